#include "side_host.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate.h"
#include "procpool.h"
#include "watchdog.h"

_Noreturn void side_host_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: in a side host: not so: %s (pool_error: \"%s\")\n", file, line, condition, pool_error());
    fflush(stderr);
    _exit(SIDE_FAILED);
}

pid_t side_host_start(int (*program)(void *context), void *context)
{
    fflush(stdout);
    fflush(stderr);
    pid_t pid = fork();
    if (pid == 0) {
        /* should the test fail before it waits for this process */
        signal(SIGALRM, SIG_DFL);
        alarm((unsigned)(2 * SIDE_SECONDS * time_scale()));
        exit(program(context));
    }
    if (pid < 0) {
        perror("fork");
        abort();
    }
    return pid;
}

int side_host_end(pid_t pid)
{
    int64_t end = time_now_ms() + (int64_t)SIDE_SECONDS * 1000 * time_scale();
    int status;

    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if ((got < 0 && errno != EINTR) || time_now_ms() >= end)
            break;
        pause_briefly();
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return SIDE_LATE;
}

int side_host_run(int (*program)(void *context), void *context)
{
    return side_host_end(side_host_start(program, context));
}
