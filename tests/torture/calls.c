#define _GNU_SOURCE /* before the first header: Linux's own calls */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(name, tricks, code, other) {#name, (unsigned)(tricks), {code, other}},
const struct call calls[CALLS] = {
#include "calls.inc"
};
#undef CALL

struct plan *plan;

static atomic_bool armed;
static int forks_ago; /* the host's own: 0; its zygote's: 2; a worker's: 3 */

void calls_arm(void)
{
    armed = true;
}

void calls_disarm(void)
{
    armed = false;
}

/* ---- does it happen to this one? */

static bool is_turn(const struct fault *fault, long number)
{
    if (number < fault->nth)
        return false;
    return fault->often == EVER || number == fault->nth ||
           (fault->often == EVERY_OTHER && (number - fault->nth) % 2 == 0);
}

static void note_hit(void)
{
    atomic_fetch_add(&plan->hits[forks_ago == 0 ? HOST : forks_ago < 3 ? ZYGOTE : WORKER], 1);
}

/* Counts it. Returns what happens to it, or NULL. */
static const struct fault *fault_of(enum call_number call)
{
    if (!armed)
        return NULL;
    long number = atomic_fetch_add(&plan->counts[call], 1) + 1;
    for (int i = 0; i < 2; i++)
        if (plan->faults[i].call == (int)call && is_turn(&plan->faults[i], number))
            return &plan->faults[i];
    return NULL;
}

/* The errno with which it fails, or 0. */
static int code_of(enum call_number call)
{
    const struct fault *fault = fault_of(call);

    if (!fault || fault->trick == SHORT || fault->trick == NOT_NOW)
        return 0;
    note_hit();
    return fault->trick == INTERRUPTED ? EINTR : fault->code;
}

#define FAIL_IF_TURN(name, failure)       \
    do {                                  \
        int code_ = code_of(CALL_##name); \
        if (code_ != 0) {                 \
            errno = code_;                \
            return failure;               \
        }                                 \
    } while (0)

/* A stand-in that fails, or is the real one. */
#define STAND_IN(type, name, failure, parameters, arguments) \
    type __real_##name parameters;                           \
    type __wrap_##name parameters;                           \
    type __wrap_##name parameters                            \
    {                                                        \
        FAIL_IF_TURN(name, failure);                         \
        return __real_##name arguments;                      \
    }

/* ---- memory, and what of it is not given back: the host's own is watched */

#define BLOCKS 8192

static atomic_flag watching = ATOMIC_FLAG_INIT;
static const void *blocks[BLOCKS];
static size_t block_count, page_bytes;

static void lock_watch(void)
{
    while (atomic_flag_test_and_set(&watching))
        sched_yield();
}

static void *note_block(void *block)
{
    if (!armed || forks_ago > 0 || !block)
        return block;
    lock_watch();
    if (block_count < BLOCKS)
        blocks[block_count++] = block;
    atomic_flag_clear(&watching);
    return block;
}

/* Blocks that libc itself allocated are passed over. */
static void forget_block(const void *block)
{
    if (forks_ago > 0 || !block)
        return;
    lock_watch();
    for (size_t i = block_count; i-- > 0;) {
        if (blocks[i] != block)
            continue;
        blocks[i] = blocks[--block_count];
        break;
    }
    atomic_flag_clear(&watching);
}

static void note_pages(size_t more, size_t less)
{
    if (!armed || forks_ago > 0)
        return;
    lock_watch();
    page_bytes += more - less;
    atomic_flag_clear(&watching);
}

size_t calls_live_blocks(void)
{
    return block_count;
}

size_t calls_live_pages(void)
{
    return page_bytes;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    FAIL_IF_TURN(malloc, NULL);
    return note_block(__real_malloc(size));
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    FAIL_IF_TURN(calloc, NULL);
    return note_block(__real_calloc(count, size));
}

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size)
{
    FAIL_IF_TURN(realloc, NULL);
    forget_block(block);
    return note_block(__real_realloc(block, size));
}

char *__real_strdup(const char *string);
char *__wrap_strdup(const char *string);
char *__wrap_strdup(const char *string)
{
    FAIL_IF_TURN(strdup, NULL);
    return note_block(__real_strdup(string));
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    forget_block(block);
    __real_free(block);
}

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    FAIL_IF_TURN(mmap, MAP_FAILED);
    void *pages = __real_mmap(at, size, protection, flags, fd, offset);
    if (pages != MAP_FAILED)
        note_pages(size, 0);
    return pages;
}

/* What munmap cannot do is not the library's leak. */
int __real_munmap(void *pages, size_t size);
int __wrap_munmap(void *pages, size_t size);
int __wrap_munmap(void *pages, size_t size)
{
    note_pages(0, size);
    FAIL_IF_TURN(munmap, -1);
    return __real_munmap(pages, size);
}

STAND_IN(int, madvise, -1, (void *pages, size_t size, int advice), (pages, size, advice))
STAND_IN(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
STAND_IN(int, ftruncate, -1, (int fd, off_t size), (fd, size))

/* ---- descriptors */

/* Which ones hold a number or a signal: reading and writing those does not fail. */
#define DESCRIPTORS 4096
static atomic_bool is_counter[DESCRIPTORS];

static int note_counter(int fd, bool is)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        atomic_store(&is_counter[fd], is);
    return fd;
}

static bool counts(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && atomic_load(&is_counter[fd]);
}

STAND_IN(int, pipe2, -1, (int *ends, int flags), (ends, flags))
STAND_IN(int, pipe, -1, (int *ends), (ends))
STAND_IN(int, socketpair, -1, (int domain, int type, int protocol, int *ends), (domain, type, protocol, ends))
STAND_IN(int, epoll_create1, -1, (int flags), (flags))
STAND_IN(int, epoll_ctl, -1, (int set, int operation, int fd, struct epoll_event *event), (set, operation, fd, event))
STAND_IN(int, epoll_wait, -1, (int set, struct epoll_event *events, int room, int ms), (set, events, room, ms))
STAND_IN(int, poll, -1, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms))
STAND_IN(int, shutdown, -1, (int fd, int how), (fd, how))
STAND_IN(int, dup2, -1, (int from, int to), (from, to))
STAND_IN(int, fstat, -1, (int fd, struct stat *found), (fd, found))

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    FAIL_IF_TURN(eventfd, -1);
    return note_counter(__real_eventfd(value, flags), true);
}

int __real_signalfd(int fd, const sigset_t *signals, int flags);
int __wrap_signalfd(int fd, const sigset_t *signals, int flags);
int __wrap_signalfd(int fd, const sigset_t *signals, int flags)
{
    FAIL_IF_TURN(signalfd, -1);
    return note_counter(__real_signalfd(fd, signals, flags), true);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument = 0;

    FAIL_IF_TURN(fcntl, -1);
    va_start(arguments, command);
    if (command != F_GETFD && command != F_GETFL)
        argument = va_arg(arguments, int); /* all that the library gives */
    va_end(arguments);
    int got = __real_fcntl(fd, command, argument);
    if (command == F_DUPFD_CLOEXEC || command == F_DUPFD)
        note_counter(got, counts(fd));
    return got;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    FAIL_IF_TURN(ioctl, -1);
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return __real_ioctl(fd, request, argument);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    FAIL_IF_TURN(open, -1);
    return __real_open(path, flags); /* the library makes no files */
}

/* The number is free afterwards, whatever close says. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    note_counter(fd, false);
    int got = __real_close(fd);
    FAIL_IF_TURN(close, -1);
    return got;
}

/* ---- moving bytes */

#define MUCH 8192u

/* False: it fails, with errno set. Else *size is what it may move at most. */
static bool may_move(enum call_number call, int fd, size_t *size)
{
    if (counts(fd))
        return true;
    const struct fault *fault = fault_of(call);
    if (!fault)
        return true;
    if (fault->trick == SHORT) {
        if (*size > 1) {
            note_hit();
            /* of much, not byte by byte: that would take minutes */
            *size = fault->half ? *size / 2 : *size > MUCH ? MUCH - 1 : 1;
        }
        return true;
    }
    bool waits = (__real_fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
    if (fault->trick == NOT_NOW && waits)
        return true;
    if (call == CALL_write && fault->trick == FAILS && !waits && *size == 1)
        return true; /* who is woken by a pipe is as sure of it as by a counter */
    note_hit();
    errno = fault->trick == NOT_NOW ? EAGAIN : fault->trick == INTERRUPTED ? EINTR : fault->code;
    return false;
}

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size)
{
    return may_move(CALL_read, fd, &size) ? __real_read(fd, data, size) : -1;
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    return may_move(CALL_write, fd, &size) ? __real_write(fd, data, size) : -1;
}

/* Copies the first `most` bytes' parts; returns how many parts those are. */
#define PARTS 8
static int first_parts(struct iovec *copies, const struct iovec *parts, int count, size_t most)
{
    int used = 0;

    while (used < count && used < PARTS && most > 0) {
        copies[used] = parts[used];
        if (copies[used].iov_len > most)
            copies[used].iov_len = most;
        most -= copies[used++].iov_len;
    }
    return used;
}

static size_t size_of_parts(const struct iovec *parts, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

ssize_t __real_writev(int fd, const struct iovec *parts, int count);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count);
ssize_t __wrap_writev(int fd, const struct iovec *parts, int count)
{
    struct iovec copies[PARTS];
    size_t size = size_of_parts(parts, count), most = size;

    if (!may_move(CALL_writev, fd, &most))
        return -1;
    if (most == size)
        return __real_writev(fd, parts, count);
    return __real_writev(fd, copies, first_parts(copies, parts, count, most));
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct msghdr copy = *message;
    struct iovec part = message->msg_iov[0];

    if (!may_move(CALL_sendmsg, fd, &part.iov_len))
        return -1;
    copy.msg_iov = &part;
    return __real_sendmsg(fd, &copy, flags);
}

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct iovec *kept = message->msg_iov, part = kept[0];

    if (!may_move(CALL_recvmsg, fd, &part.iov_len))
        return -1;
    message->msg_iov = &part;
    ssize_t got = __real_recvmsg(fd, message, flags);
    message->msg_iov = kept;
    return got;
}

/* ---- processes and threads */

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
    FAIL_IF_TURN(fork, -1);
    pid_t pid = __real_fork();
    if (pid == 0 && armed)
        forks_ago++;
    return pid;
}

/* ECHILD: somebody else has taken the status, so it is gone. */
pid_t __real_waitpid(pid_t pid, int *status, int flags);
pid_t __wrap_waitpid(pid_t pid, int *status, int flags);
pid_t __wrap_waitpid(pid_t pid, int *status, int flags)
{
    int code = code_of(CALL_waitpid);

    if (code == 0)
        return __real_waitpid(pid, status, flags);
    if (code == ECHILD && __real_waitpid(pid, NULL, flags) == 0)
        return 0; /* it has none yet that could be taken */
    errno = code;
    return -1;
}

static int code_instead_of_errno(enum call_number call)
{
    return code_of(call);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    int code = code_instead_of_errno(CALL_pthread_create);

    return code != 0 ? code : __real_pthread_create(thread, attributes, run, argument);
}

int __real_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));
int __wrap_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));
int __wrap_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    int code = code_instead_of_errno(CALL_pthread_atfork);

    return code != 0 ? code : __real_pthread_atfork(before, in_parent, in_child);
}

STAND_IN(int, setpgid, -1, (pid_t pid, pid_t group), (pid, group))
STAND_IN(pid_t, setsid, -1, (void), ())
STAND_IN(int, waitid, -1, (idtype_t type, id_t id, siginfo_t *info, int flags), (type, id, info, flags))
STAND_IN(int, kill, -1, (pid_t pid, int number), (pid, number))
STAND_IN(int, sigaction, -1, (int number, const struct sigaction *action, struct sigaction *old), (number, action, old))
STAND_IN(int, sigaltstack, -1, (const stack_t *stack, stack_t *old), (stack, old))
STAND_IN(int, sigtimedwait, -1, (const sigset_t *signals, siginfo_t *info, const struct timespec *time),
         (signals, info, time))
STAND_IN(int, sched_getaffinity, -1, (pid_t pid, size_t size, cpu_set_t *set), (pid, size, set))
STAND_IN(long, sysconf, -1, (int name), (name))
STAND_IN(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
STAND_IN(FILE *, fdopen, NULL, (int fd, const char *mode), (fd, mode))
STAND_IN(int, fflush, EOF, (FILE * stream), (stream))
STAND_IN(int, atexit, -1, (void (*hook)(void)), (hook))
#ifdef __GLIBC__
STAND_IN(int, on_exit, -1, (void (*hook)(int, void *), void *argument), (hook, argument))
#endif

int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...)
{
    unsigned long given[4];
    va_list arguments;

    FAIL_IF_TURN(prctl, -1);
    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        given[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    return __real_prctl(option, given[0], given[1], given[2], given[3]);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long given[4] = {0};
    int count = number == SYS_pidfd_open ? 2 : 4;
    va_list arguments;

    FAIL_IF_TURN(syscall, -1);
    va_start(arguments, number);
    for (int i = 0; i < count; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
    return __real_syscall(number, given[0], given[1], given[2], given[3]);
}
