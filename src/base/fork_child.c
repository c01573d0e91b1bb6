#define _GNU_SOURCE /* MADV_WIPEONFORK */
#include "base/fork_child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/shared_pages.h"

static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool__link guards = {&guards, &guards}; /* guarded by fork_lock */
/* this thread forks for the pool: it holds fork_lock, or is the zygote's only one */
static _Thread_local bool own_fork;

static _Atomic uint64_t last_generation;  /* counts up in each child; copied by fork */
static _Atomic uint64_t plain_generation; /* where no page can be wiped */
static _Atomic uint64_t *generation = &plain_generation;
static bool stray;

static void before_fork(void)
{
    if (!own_fork)
        pthread_mutex_lock(&fork_lock);
}

static void after_fork_in_parent(void)
{
    if (!own_fork)
        pthread_mutex_unlock(&fork_lock);
}

/*
 * Only closes and counts: no lock but the one that this thread holds, no call into the poller (a shared description
 * would be changed for the parent too).
 */
static void after_fork_in_child(void)
{
    struct pool__link *link;

    if (generation == &plain_generation)
        atomic_store(generation, atomic_fetch_add(&last_generation, 1) + 1);
    stray = true;
    while ((link = pool__list_pop(&guards)) != NULL) {
        struct pool__fork_guard *guard = pool__holder(link, struct pool__fork_guard, link);

        guard->in_child(guard);
    }
    if (!own_fork)
        pthread_mutex_unlock(&fork_lock);
}

#if defined(MADV_WIPEONFORK) && !defined(POOL__PORTABLE)
static void use_wiped_page(void)
{
    size_t size = pool__page_size();
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    if (madvise(page, size, MADV_WIPEONFORK) == 0)
        generation = page;
    else
        munmap(page, size);
}
#else
static void use_wiped_page(void)
{
}
#endif

static atomic_int install_status;
static _Thread_local bool installing;

static void install(void)
{
    installing = true;
    if (last_generation == 0) {
        use_wiped_page();
        atomic_store(&last_generation, 1);
        atomic_store(generation, 1);
    }
    atomic_store(&install_status, pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child));
}

/* Where it fails, the thread that tried makes another try possible. */
int pool__fork_handlers_install(void)
{
    static const pthread_once_t afresh = PTHREAD_ONCE_INIT;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int status;

    pthread_once(&once, install);
    status = atomic_load(&install_status);
    if (status != 0 && installing)
        once = afresh;
    installing = false;
    return status;
}

uint64_t pool__process_generation(void)
{
    uint64_t now = atomic_load(generation);

    if (now == 0) { /* a child, which has no number until it is asked for: so it need not have the page either */
        uint64_t next = atomic_fetch_add(&last_generation, 1) + 1;

        if (atomic_compare_exchange_strong(generation, &now, next))
            now = next;
    }
    return now;
}

bool pool__process_is(uint64_t owner)
{
    return atomic_load_explicit(generation, memory_order_relaxed) == owner;
}

void pool__fork_lock(void)
{
    pthread_mutex_lock(&fork_lock);
}
bool pool__fork_trylock(void)
{
    return pthread_mutex_trylock(&fork_lock) == 0;
}
void pool__fork_unlock(void)
{
    pthread_mutex_unlock(&fork_lock);
}
void pool__fork_guard_add(struct pool__fork_guard *guard)
{
    pool__list_append(&guards, &guard->link);
}
void pool__fork_guard_remove(struct pool__fork_guard *guard)
{
    pool__list_remove(&guard->link);
}

bool pool__is_stray_child(void)
{
    return stray;
}
void pool__settle_in(void)
{
    stray = false;
}

void pool__signals_unblock_all(void)
{
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

void pool__signals_block_requests(void)
{
    sigset_t requests;

    sigemptyset(&requests);
    sigaddset(&requests, SIGTERM);
    sigaddset(&requests, SIGINT);
    sigaddset(&requests, SIGHUP);
    sigaddset(&requests, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &requests, NULL);
}

void pool__signals_to_default(void)
{
    struct sigaction action;
    stack_t no_stack;
    int number;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    for (number = 1; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL);
    memset(&no_stack, 0, sizeof no_stack);
    no_stack.ss_flags = SS_DISABLE;
    sigaltstack(&no_stack, NULL);
}

pid_t pool__fork(void)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    own_fork = true;
    pid = fork();
    own_fork = false;
    if (pid != 0) {
        int kept = errno;

        pthread_sigmask(SIG_SETMASK, &before, NULL);
        errno = kept;
    }
    return pid;
}

#if !defined(__APPLE__) && !defined(__OpenBSD__) /* which lack sigtimedwait(), though it is POSIX */
/*
 * With SIGCHLD blocked: takes back the one that the death of `child` left pending. Signals of one number do not
 * queue, so one of the program's own children may have hidden behind it: then SIGCHLD is raised again.
 */
static void swallow_sigchld(pid_t child)
{
    const struct timespec at_once = {0, 0};
    siginfo_t info, other;
    sigset_t only;

    sigemptyset(&only);
    sigaddset(&only, SIGCHLD);
    memset(&info, 0, sizeof info);
    if (sigtimedwait(&only, &info, &at_once) != SIGCHLD)
        return;
    memset(&other, 0, sizeof other);
    if (info.si_pid != child || (waitid(P_ALL, 0, &other, WEXITED | WNOHANG | WNOWAIT) == 0 && other.si_pid != 0))
        kill(getpid(), SIGCHLD);
}
#else
static void swallow_sigchld(pid_t child)
{
    (void)child;
}
#endif

/* The process between: its exit status is the errno of the second fork. */
static void go_between(void (*run)(void *argument), void *argument)
{
    pid_t pid;

    own_fork = true;
    pid = fork();
    if (pid == 0) {
        own_fork = false;
        pool__fork_unlock(); /* the caller's, copied: tasks fork too */
        run(argument);
        _exit(0);
    }
    _exit(pid < 0 ? errno & 0xff : 0);
}

int pool__fork_twice(void (*run)(void *argument), void *argument)
{
    sigset_t all, before, pending;
    bool was_pending;
    int status = 0, outcome = 0;
    pid_t between, told;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGCHLD) == 1;
    own_fork = true;
    between = fork();
    if (between == 0)
        go_between(run, argument);
    own_fork = false;
    if (between < 0) {
        outcome = errno;
    } else {
        do
            told = waitpid(between, &status, 0);
        while (told < 0 && errno == EINTR);
        /*
         * ECHILD: the program ignores SIGCHLD, or another thread of it took the status; whether the zygote lives, its
         * first message tells
         */
        if (told == between && status != 0)
            outcome = WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EAGAIN;
        if (!was_pending)
            swallow_sigchld(between);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return outcome;
}
