#define _GNU_SOURCE /* ptrace, __WALL */
#include "held.h"

#include "gate.h"
#include "watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/ptrace.h>

/* Containers may forbid it; and the worker of a pool is no child of this process: the kernel may allow only those. */
bool held_possible(void)
{
    static int possible = -1;

    if (possible < 0) {
        int ends[2];
        pid_t child, stranger = 0;

        if (pipe(ends) < 0)
            return false;
        child = fork();
        if (child == 0) {
            stranger = fork();
            if (stranger == 0)
                while (true)
                    pause();
            _exit(write(ends[1], &stranger, sizeof stranger) < 0);
        }
        if (read(ends[0], &stranger, sizeof stranger) < 0)
            stranger = 0;
        close(ends[0]);
        close(ends[1]);
        waitpid(child, NULL, 0);
        possible = stranger > 0 && hold_now(stranger);
        if (possible)
            hold_end(stranger);
        if (stranger > 0)
            kill(stranger, SIGKILL);
    }
    return possible != 0;
}

static bool wait_for_stop(pid_t pid)
{
    int64_t end = time_now_ms() + (int64_t)GATE_SECONDS * 1000 * time_scale();
    int status;

    while (time_now_ms() < end) {
        pid_t got = waitpid(pid, &status, __WALL | WNOHANG);
        if (got == pid)
            return WIFSTOPPED(status);
        if (got < 0 && errno != EINTR)
            return false;
        pause_briefly();
    }
    return false;
}

bool hold_now(pid_t pid)
{
    return ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0 && ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 &&
           wait_for_stop(pid);
}

bool hold_at_exit(pid_t pid)
{
    return ptrace(PTRACE_SEIZE, pid, NULL, (void *)(uintptr_t)PTRACE_O_TRACEEXIT) == 0;
}

bool hold_reached(pid_t pid)
{
    return wait_for_stop(pid);
}

void hold_end(pid_t pid)
{
    int status;

    /* killed meanwhile: its parent hears of it after us */
    while (ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0 && waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
        continue;
}
#else
bool held_possible(void)
{
    return false;
}

bool hold_now(pid_t pid)
{
    (void)pid;
    return false;
}

bool hold_at_exit(pid_t pid)
{
    (void)pid;
    return false;
}

bool hold_reached(pid_t pid)
{
    (void)pid;
    return false;
}

void hold_end(pid_t pid)
{
    (void)pid;
}
#endif
