#define _GNU_SOURCE /* syscall, on_exit */
#include "base/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__) && !defined(POOL__PORTABLE) && defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
#define HAVE_PIDFD 1
#else
#define HAVE_PIDFD 0
#endif

#if defined(__GLIBC__) && !defined(POOL__PORTABLE)
#define HAVE_ON_EXIT 1
#else
#define HAVE_ON_EXIT 0
#endif

/* ------------------------------------------------------------------ by number */

static int code_of(int status)
{
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static enum pool__child_state pid_look(pid_t pid, int *code)
{
    int status = 0;
    pid_t got;

    do
        got = waitpid(pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return POOL__CHILD_TAKEN; /* ECHILD, and nothing else can be */
    if (got == 0)
        return POOL__CHILD_RUNS;
    *code = code_of(status);
    return POOL__CHILD_ENDED;
}

/* ------------------------------------------------------------------ by descriptor */

#if HAVE_PIDFD

#define BY_PIDFD ((idtype_t)3) /* P_PIDFD, which older headers lack */

int pool__pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

enum pool__child_state pool__child_look(int pidfd, pid_t pid, int *code)
{
    siginfo_t info;
    int got;

    if (pidfd < 0)
        return pid_look(pid, code);
    info.si_pid = 0; /* stays so where it runs */
    do
        got = waitid(BY_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got < 0) /* a Linux that knows pidfds, but not in waits (5.3), says EINVAL */
        return errno == ECHILD ? POOL__CHILD_TAKEN : pid_look(pid, code);
    if (info.si_pid == 0)
        return POOL__CHILD_RUNS;
    *code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return POOL__CHILD_ENDED;
}

int pool__child_signal(int pidfd, pid_t pid, int signal_number)
{
    if (pidfd < 0)
        return kill(pid, signal_number);
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

#else

int pool__pidfd_open(pid_t pid)
{
    (void)pid;
    errno = ENOSYS;
    return -1;
}

enum pool__child_state pool__child_look(int pidfd, pid_t pid, int *code)
{
    (void)pidfd;
    return pid_look(pid, code);
}

int pool__child_signal(int pidfd, pid_t pid, int signal_number)
{
    (void)pidfd;
    return kill(pid, signal_number);
}

#endif

/* ------------------------------------------------------------------ exit() */

static void (*exit_hook)(int status);

#if HAVE_ON_EXIT

static void exit_told(int status, void *unused)
{
    (void)unused;
    exit_hook(status);
}

/* Registered again for each hook, so that it comes before what was registered in between. */
bool pool__on_exit(void (*hook)(int status))
{
    exit_hook = hook;
    return on_exit(exit_told, NULL) == 0;
}

bool pool__exit_hook(void (*hook)(int status))
{
    return pool__on_exit(hook);
}

#else

static void exit_untold(void)
{
    exit_hook(-1);
}

bool pool__on_exit(void (*hook)(int status))
{
    (void)hook;
    return false;
}

bool pool__exit_hook(void (*hook)(int status))
{
    exit_hook = hook;
    return atexit(exit_untold) == 0;
}

#endif
