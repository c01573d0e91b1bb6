#include "base/death_bell.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/fork_child.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#include <fcntl.h>
#include <sys/signalfd.h>

static void death_only(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
}

int pool__death_bell_open(struct pool__death_bell *bell)
{
    sigset_t death;

    death_only(&death);
    bell->ring = -1;
    bell->listen = signalfd(-1, &death, SFD_CLOEXEC | SFD_NONBLOCK);
    return bell->listen < 0 || pool__above_standard(&bell->listen) < 0 ? -1 : 0;
}

bool pool__death_bell_arm(const struct pool__death_bell *bell)
{
    sigset_t death;

    (void)bell;
    death_only(&death);
    return sigprocmask(SIG_SETMASK, &death, NULL) == 0;
}

void pool__death_bell_leave(const struct pool__death_bell *bell)
{
    close(bell->listen);
}

#else

static int ring_to = -1; /* for the handler */

static void ring(int signal_number)
{
    (void)signal_number;
    pool__ring(ring_to);
}

int pool__death_bell_open(struct pool__death_bell *bell)
{
    int ends[2];

    bell->listen = bell->ring = -1;
    if (pool__pipe(ends) < 0)
        return -1;
    bell->listen = ends[0];
    bell->ring = ends[1];
    if (pool__set_nonblocking(bell->listen) == 0 && pool__set_nonblocking(bell->ring) == 0)
        return 0;
    pool__death_bell_close(bell);
    return -1;
}

bool pool__death_bell_arm(const struct pool__death_bell *bell)
{
    struct sigaction action;

    ring_to = bell->ring;
    memset(&action, 0, sizeof action);
    action.sa_handler = ring;
    action.sa_flags = SA_NOCLDSTOP;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGCHLD, &action, NULL) < 0)
        return false;
    pool__signals_unblock_all();
    return true;
}

void pool__death_bell_leave(const struct pool__death_bell *bell)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    close(bell->listen);
    close(bell->ring);
}
#endif

void pool__death_bell_close(struct pool__death_bell *bell)
{
    pool__close(&bell->listen);
    pool__close(&bell->ring);
}

void pool__death_bell_quiet(const struct pool__death_bell *bell)
{
    char rung[512];

    while (read(bell->listen, rung, sizeof rung) == (ssize_t)sizeof rung)
        continue;
}
