/*
 * process - one child process of the program's own: Python's Process.
 *
 * Unlike a pool's workers this is a plain fork of the program, there and then: it keeps the program's signal
 * handlers, mask and process group, and the program gets its SIGCHLD. So its status can be taken by any wait
 * elsewhere in the program, and its number then go to a stranger. Nothing here waits for that number without an end
 * or signals it blindly: the state is looked at under the object's lock, which all of our own reaping holds, and a
 * signal follows under the same lock.
 *
 * The child waits at a gate, a socket pair, until its parent has its pidfd: it cannot end before, so the pidfd is no
 * stranger's even where SIGCHLD is ignored. Where there are no pidfds the child keeps its end of the gate and the
 * parent's end tells its death. That is a hint only, since what the child forks has the end too, and the child may
 * close it; a wait then looks at the process itself from time to time.
 */
#include "procpool.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/descriptor.h"
#include "base/error.h"
#include "base/process_self.h"

#define LOOK_EVERY_MS 50 /* the longest nap of a wait that the descriptor may not wake */
#define LAST_STRETCH  500 /* naps of 1 ms, of a busy machine: from the closing of descriptors to a status */
#define GATE_CLOSE    'c'
#define GATE_KEEP     'k'

struct pool_process {
    /* set at start */
    pid_t pid, owner; /* owner: the process that started it, and that alone may use this */
    int fd;           /* readable once it has ended: its pidfd, or our end of the gate */
    bool fd_is_pidfd;
    pthread_mutex_t lock;
    /* guarded by lock */
    bool ended;
    bool fd_lies; /* it was readable, and the process went on */
    int code;
};

/* ------------------------------------------------------------------ in the child */

struct start {
    int (*fn)(void *arg);
    void *arg;
    int ours, theirs; /* the gate's ends */
    sigset_t mask;    /* of the calling thread, all signals being blocked across the fork */
};

static _Noreturn void leave(int status)
{
    pool__stdio_flush();
    _exit(status & 255);
}

/* Returns when the parent is ready, or gone: then the child is on its own, as any child whose parent has died. */
static void gate_pass(struct start *start)
{
    char word = GATE_CLOSE;
    ssize_t got;

    pool__close(&start->ours);
    do
        got = read(start->theirs, &word, 1);
    while (got < 0 && errno == EINTR);
    if (word != GATE_KEEP)
        pool__close(&start->theirs);
}

/*
 * What the program had registered with atexit() is the program's own and must not run twice: exit() in fn comes to
 * leave() first, where exit() can be hooked. Thread cancellation stays off: one that is pending for the thread that
 * forked is copied too, and is not meant for this process.
 */
static _Noreturn void child_run(struct start *start)
{
    gate_pass(start);
    pool__on_exit(leave);
    pthread_sigmask(SIG_SETMASK, &start->mask, NULL);
    leave(start->fn(start->arg));
}

/* ------------------------------------------------------------------ start */

static struct pool_process *process_new(void)
{
    struct pool_process *process = calloc(1, sizeof *process);
    int error;

    if (process == NULL)
        return pool__null(ENOMEM, "pool_process_start: no memory");
    error = pthread_mutex_init(&process->lock, NULL);
    if (error != 0) {
        free(process);
        return pool__null(error, "pool_process_start: no lock can be made");
    }
    process->owner = getpid();
    process->fd = -1;
    return process;
}

static void process_delete(struct pool_process *process)
{
    pool__close(&process->fd);
    pthread_mutex_destroy(&process->lock);
    free(process);
}

/* 0, or an errno: then the child waits at the gate still. */
static int gate_open(struct pool_process *process, struct start *start)
{
    int pidfd = pool__pidfd_open(process->pid);
    char word = pidfd >= 0 ? GATE_CLOSE : GATE_KEEP;

    /*
     * Our copy of the child's end is still open, so this raises no SIGPIPE even where the child has been killed. To
     * close says GATE_CLOSE too.
     */
    if (!pool__write_all(start->ours, &word, 1) && pidfd < 0)
        return errno;
    pool__close(&start->theirs);
    process->fd_is_pidfd = pidfd >= 0;
    process->fd = pidfd >= 0 ? pidfd : start->ours;
    if (pidfd >= 0)
        pool__close(&start->ours);
    return 0;
}

/* One that has not come past the gate: it never was. */
static void child_undo(const struct pool_process *process)
{
    if (kill(process->pid, SIGKILL) < 0)
        return;
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* 0, or an errno. */
static int child_fork(struct pool_process *process, struct start *start)
{
    sigset_t all;
    int error;

    /*
     * What is buffered would be written by both. Not fflush(NULL): that hangs while another thread sits in
     * getchar().
     */
    fflush(stdout);
    fflush(stderr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &start->mask);
    process->pid = fork();
    if (process->pid == 0) {
        process_delete(process); /* the child's copy */
        child_run(start);
    }
    error = process->pid < 0 ? errno : gate_open(process, start);
    if (process->pid > 0 && error != 0)
        child_undo(process);
    pthread_sigmask(SIG_SETMASK, &start->mask, NULL);
    return error;
}

/* With thread cancellation off: the waits and writes in here are cancellation points. */
static struct pool_process *process_start(struct start *start)
{
    struct pool_process *process = process_new();
    int gate[2], error;

    if (process == NULL)
        return NULL;
    if (pool__socket_pair(gate) < 0) {
        error = errno;
        process_delete(process);
        errno = error;
        pool__system("pool_process_start: no socket pair");
        return NULL;
    }
    start->ours = gate[0];
    start->theirs = gate[1];
    error = child_fork(process, start);
    if (error != 0) {
        pool__close(&start->ours);
        pool__close(&start->theirs);
        process_delete(process);
        errno = error;
        pool__system("pool_process_start: fork");
        return NULL;
    }
    return process;
}

struct pool_process *pool_process_start(int (*fn)(void *arg), void *arg)
{
    struct start start = {.fn = fn, .arg = arg};
    struct pool_process *process;
    int saved = errno, cancel_state;

    if (fn == NULL)
        return pool__null(EINVAL, "pool_process_start: fn is NULL");
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    process = process_start(&start);
    pthread_setcancelstate(cancel_state, NULL);
    if (process != NULL)
        errno = saved;
    return process;
}

/* ------------------------------------------------------------------ looking */

static enum pool_status process_check(const struct pool_process *process, const char *call)
{
    if (process == NULL)
        return pool__no_object(call, "process");
    if (process->owner != getpid())
        return pool__fail(POOL_INVALID, "%s: not started by this process, and so not its to wait for or to signal",
                          call);
    return POOL_OK;
}

/* The lock is never held by a thread that a pthread_cancel() has ended. */
static int process_lock(struct pool_process *process)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&process->lock);
    return cancel_state;
}

static void process_unlock(struct pool_process *process, int cancel_state)
{
    pthread_mutex_unlock(&process->lock);
    pthread_setcancelstate(cancel_state, NULL);
}

/* Under the lock. */
static bool look_once(struct pool_process *process)
{
    int code = 0;

    if (process->ended)
        return true;
    switch (pool__child_look(process->fd_is_pidfd ? process->fd : -1, process->pid, &code)) {
    case POOL__CHILD_RUNS:
        return false;
    case POOL__CHILD_ENDED:
        process->code = code;
        break;
    case POOL__CHILD_TAKEN:
        process->code = INT_MAX;
        break;
    }
    process->ended = true;
    return true;
}

static bool fd_speaks(const struct pool_process *process)
{
    struct pollfd wait = {.fd = process->fd, .events = POLLIN};

    return poll(&wait, 1, 0) > 0;
}

/*
 * Under the lock: has it ended? Reaps it. Who was told by the descriptor must hear yes, but at the gate's end the
 * descriptor is a moment early: the kernel closes a dying process's descriptors before there is a status. So look
 * again for that moment, once: a descriptor that is readable without a death (the child has closed its end; a
 * debugger keeps the dead) is not believed any more.
 */
static bool has_ended(struct pool_process *process)
{
    if (look_once(process))
        return true;
    if (process->fd_lies || !fd_speaks(process))
        return false;
    for (int nap = 0; nap < LAST_STRETCH; nap++) {
        if (look_once(process))
            return true;
        poll(NULL, 0, 1);
    }
    process->fd_lies = !look_once(process);
    return process->ended;
}

/* The end of it, or of the wait. The descriptor wakes us; where it may fail to, naps of growing length do. */
static bool process_wait(struct pool_process *process, uint64_t end)
{
    int nap = 1;

    for (;;) {
        struct pollfd wait = {.fd = process->fd, .events = POLLIN};
        int cancel_state = process_lock(process), left;
        bool ended = has_ended(process), fd_lies = process->fd_lies;

        process_unlock(process, cancel_state);
        if (ended)
            return true;
        left = pool__ms_until(end);
        if (left == 0)
            return false;
        if ((fd_lies || !process->fd_is_pidfd) && (left < 0 || left > nap)) {
            left = nap;
            nap = nap * 2 < LOOK_EVERY_MS ? nap * 2 : LOOK_EVERY_MS;
        }
        poll(&wait, fd_lies ? 0 : 1, left);
    }
}

/* ------------------------------------------------------------------ the calls */

enum pool_status pool_process_join(struct pool_process *process, int timeout_ms)
{
    enum pool_status status = process_check(process, "pool_process_join");
    int saved = errno, cancel_state;

    if (status != POOL_OK)
        return status;
    if (!pool__is_wait(timeout_ms))
        return pool__fail(POOL_INVALID, "pool_process_join: a timeout of %d ms", timeout_ms);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (!process_wait(process, pool__end_of_wait(timeout_ms)))
        status = pool__fail(POOL_TIMEOUT, "pool_process_join: process %ld still runs after %d ms", (long)process->pid,
                            timeout_ms);
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved;
    return status;
}

/* The exit code, INT_MIN while it runs. */
static int process_code(struct pool_process *process)
{
    int saved = errno, cancel_state = process_lock(process);
    int code = has_ended(process) ? process->code : INT_MIN;

    process_unlock(process, cancel_state);
    errno = saved;
    return code;
}

bool pool_process_alive(struct pool_process *process)
{
    return process_check(process, "pool_process_alive") == POOL_OK && process_code(process) == INT_MIN;
}

int pool_process_exit_code(struct pool_process *process)
{
    /* Of one that is not ours to ask there is no code to be had: as where somebody took it. */
    return process_check(process, "pool_process_exit_code") == POOL_OK ? process_code(process) : INT_MAX;
}

pid_t pool_process_pid(const struct pool_process *process)
{
    /* 0 and not -1 where there is none: a kill() that is given it then reaches the least */
    return process_check(process, "pool_process_pid") == POOL_OK ? process->pid : 0;
}

int pool_process_fd(const struct pool_process *process)
{
    return process_check(process, "pool_process_fd") == POOL_OK ? process->fd : -1;
}

/* POOL_OK where it has ended, too: then there is nothing to signal. */
static enum pool_status process_signal(struct pool_process *process, int signal_number, const char *call)
{
    enum pool_status status = process_check(process, call);
    int saved = errno, error = 0, cancel_state;

    if (status != POOL_OK)
        return status;
    cancel_state = process_lock(process);
    if (!look_once(process) &&
        pool__child_signal(process->fd_is_pidfd ? process->fd : -1, process->pid, signal_number) < 0 && errno != ESRCH)
        error = errno;
    process_unlock(process, cancel_state);
    errno = error != 0 ? error : saved;
    return error != 0 ? pool__system("%s: process %ld", call, (long)process->pid) : POOL_OK;
}

enum pool_status pool_process_terminate(struct pool_process *process)
{
    return process_signal(process, SIGTERM, "pool_process_terminate");
}

enum pool_status pool_process_kill(struct pool_process *process)
{
    return process_signal(process, SIGKILL, "pool_process_kill");
}

/*
 * One that may not be signalled (it has changed its user) is left to itself: waiting for it could take for ever. In
 * another process nothing but memory is given back: the lock may be held by a thread that is not there, and the
 * descriptor's number be another's by now.
 */
void pool_process_free(struct pool_process *process)
{
    int saved = errno, cancel_state;

    if (process == NULL)
        return;
    if (process->owner != getpid()) {
        free(process);
        errno = saved;
        return;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (process_signal(process, SIGKILL, "pool_process_free") == POOL_OK)
        process_wait(process, POOL__NEVER);
    process_delete(process);
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved;
}
