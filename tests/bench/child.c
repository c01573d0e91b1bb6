#define _GNU_SOURCE /* MAP_ANONYMOUS, sched_setaffinity */
#include "child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void give_up(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "bench: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    _exit(1);
}

/* ------------------------------------------------------------------ processes */

pid_t child_start(void (*body)(void *context), void *context)
{
    pid_t parent = getpid(), pid;

    fflush(stdout);
    pid = fork();
    if (pid < 0)
        give_up("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    body(context);
    _exit(0);
}

void child_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid: %s", strerror(errno));
}

void child_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    child_wait(pid);
}

void pin_to_one(void)
{
    cpu_set_t may, one;
    size_t cpu = 0;

    if (sched_getaffinity(0, sizeof may, &may) != 0)
        give_up("sched_getaffinity: %s", strerror(errno));
    while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &may))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0)
        give_up("sched_setaffinity: %s", strerror(errno));
}

static void run_hot(void *context)
{
    volatile unsigned long turns = 0;

    (void)context;
    while (true)
        turns++;
}

void neighbours_start(pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pids[i] = child_start(run_hot, NULL);
}

void neighbours_end(const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        child_kill(pids[i]);
}

/* ------------------------------------------------------------------ pipes */

void pipe_make(int ends[2])
{
    if (pipe(ends) != 0)
        give_up("pipe: %s", strerror(errno));
}

void write_whole(int descriptor, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t got = write(descriptor, at, size);
        if (got < 0 && errno != EINTR)
            give_up("write: %s", strerror(errno));
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

bool read_whole(int descriptor, void *data, size_t size)
{
    char *at = data;

    while (size > 0) {
        ssize_t got = read(descriptor, at, size);
        if (got == 0)
            return false;
        if (got < 0 && errno != EINTR)
            give_up("read: %s", strerror(errno));
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ memory */

void *shared_make(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        give_up("mmap of %zu bytes: %s", size, strerror(errno));
    return memory;
}

void *memory_make(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL)
        give_up("malloc of %zu bytes", size);
    memset(memory, 1, size); /* touched once: a page's first use costs more than what is measured */
    return memory;
}
