/*
 * fail_next - calls of the C library that fail when the test says so: the functions below stand in for the C library's,
 * in the one program that includes this, and so in the library that is linked into it.
 *
 *     fail_next(CALL_READ, 2, EINTR);   the next two reads fail with EINTR, the third is made
 *
 * Plans are for one thread, and of this process: a child inherits what is left of them.
 */
#ifndef TEST_FAIL_NEXT_H
#define TEST_FAIL_NEXT_H

#ifndef _GNU_SOURCE
#error "RTLD_NEXT: define _GNU_SOURCE before the first header"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/sanitizer.h"

enum call {
    CALL_READ,
    CALL_WRITE,
    CALL_WRITEV,
    CALL_SENDMSG,
    CALL_RECVMSG,
    CALL_FCNTL,
    CALL_IOCTL,
    CALL_PIPE,
    CALL_SOCKETPAIR,
    CALL_MMAP,
    CALL_FTRUNCATE,
    CALL_SYSCONF,
    CALL_WAITPID,
    CALL_WAITID,
    CALL_OPEN,
    CALL_FORK,
    CALL_MEMORY,
    CALLS
};

struct plan {
    int spared; /* calls that are made first */
    int failing;
    int code; /* errno */
    int made; /* calls that failed */
};
static struct plan plans[CALLS];

static inline void fail_after(enum call call, int spared, int failing, int code)
{
    plans[call] = (struct plan){spared, failing, code, 0};
}

static inline void fail_next(enum call call, int failing, int code)
{
    fail_after(call, 0, failing, code);
}

/* Nothing fails any more. How many of these had failed? */
static inline int fail_no_more(enum call call)
{
    int made = plans[call].made;

    plans[call] = (struct plan){0, 0, 0, 0};
    return made;
}

/* Does this call fail? Then errno is set. */
static inline bool fails(enum call call)
{
    struct plan *plan = &plans[call];

    if (plan->failing == 0 || plan->spared-- > 0)
        return false;
    plan->spared = 0;
    plan->failing--;
    plan->made++;
    errno = plan->code;
    return true;
}

/* ISO C has no conversion between the two kinds of pointer. */
#define REAL_CALL(result, name, ...) \
    result (*real_)(__VA_ARGS__); \
    do { \
        void *found_ = dlsym(RTLD_NEXT, #name); \
        memcpy(&real_, &found_, sizeof found_); \
    } while (0)

/*
 * The thread sanitizer makes calls of its own before a program can stand in for anything. So there is nothing that could
 * fail there, and main() returns CANNOT_FAIL, which means skipped.
 */
#define CANNOT_FAIL 77
#if !UNDER_THREAD_SANITIZER

ssize_t read(int fd, void *data, size_t size)
{
    REAL_CALL(ssize_t, read, int, void *, size_t);
    return fails(CALL_READ) ? -1 : real_(fd, data, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL_CALL(ssize_t, write, int, const void *, size_t);
    return fails(CALL_WRITE) ? -1 : real_(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL_CALL(ssize_t, writev, int, const struct iovec *, int);
    return fails(CALL_WRITEV) ? -1 : real_(fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL_CALL(ssize_t, sendmsg, int, const struct msghdr *, int);
    return fails(CALL_SENDMSG) ? -1 : real_(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL_CALL(ssize_t, recvmsg, int, struct msghdr *, int);
    return fails(CALL_RECVMSG) ? -1 : real_(fd, message, flags);
}

/* Every argument that there can be fits into a long. */
int fcntl(int fd, int command, ...)
{
    REAL_CALL(int, fcntl, int, int, ...);
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    return fails(CALL_FCNTL) ? -1 : real_(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
    REAL_CALL(int, ioctl, int, unsigned long, ...);
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return fails(CALL_IOCTL) ? -1 : real_(fd, request, argument);
}

int pipe(int ends[2])
{
    REAL_CALL(int, pipe, int *);
    return fails(CALL_PIPE) ? -1 : real_(ends);
}

int pipe2(int ends[2], int flags)
{
    REAL_CALL(int, pipe2, int *, int);
    return fails(CALL_PIPE) ? -1 : real_(ends, flags);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
    REAL_CALL(int, socketpair, int, int, int, int *);
    return fails(CALL_SOCKETPAIR) ? -1 : real_(domain, type, protocol, ends);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL_CALL(void *, mmap, void *, size_t, int, int, int, off_t);
    return fails(CALL_MMAP) ? MAP_FAILED : real_(address, size, protection, flags, fd, offset);
}

int ftruncate(int fd, off_t size)
{
    REAL_CALL(int, ftruncate, int, off_t);
    return fails(CALL_FTRUNCATE) ? -1 : real_(fd, size);
}

long sysconf(int name)
{
    REAL_CALL(long, sysconf, int);
    return fails(CALL_SYSCONF) ? -1 : real_(name);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    REAL_CALL(pid_t, waitpid, pid_t, int *, int);
    return fails(CALL_WAITPID) ? -1 : real_(pid, status, options);
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    REAL_CALL(int, waitid, idtype_t, id_t, siginfo_t *, int);
    return fails(CALL_WAITID) ? -1 : real_(type, id, info, options);
}

int open(const char *path, int flags, ...)
{
    REAL_CALL(int, open, const char *, int, ...);
    va_list arguments;
    unsigned mode;

    va_start(arguments, flags);
    mode = va_arg(arguments, unsigned);
    va_end(arguments);
    return fails(CALL_OPEN) ? -1 : real_(path, flags, mode);
}

pid_t fork(void)
{
    REAL_CALL(pid_t, fork, void);
    return fails(CALL_FORK) ? -1 : real_();
}

#endif /* !UNDER_THREAD_SANITIZER */

#if defined(__GLIBC__) && !UNDER_ADDRESS_SANITIZER && !UNDER_THREAD_SANITIZER
#define CAN_FAIL_MEMORY 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    return fails(CALL_MEMORY) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(CALL_MEMORY) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return fails(CALL_MEMORY) ? NULL : __libc_realloc(memory, size);
}
#else
#define CAN_FAIL_MEMORY 0
#endif

/* At the start of a test that needs memory to fail. */
#define skip_unless_memory_can_fail() \
    do { \
        if (!CAN_FAIL_MEMORY) \
            skip(); \
    } while (0)

#endif
