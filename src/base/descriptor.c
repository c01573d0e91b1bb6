#define _GNU_SOURCE /* pipe2 */
#include "base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__) && !defined(POOL__PORTABLE)
#define HAVE_ATOMIC_CLOEXEC 1
#else
#define HAVE_ATOMIC_CLOEXEC 0
#endif

#ifdef MSG_NOSIGNAL
#define NO_SIGNAL MSG_NOSIGNAL
#else
#define NO_SIGNAL 0
#endif

/* What no pipe holds more than, without privileges. */
#define PIPE_MOST ((size_t)1 << 20)

/* Largest single transfer that every system takes. */
#define TRANSFER_MAX ((size_t)INT_MAX & ~(size_t)4095)

static int set_cloexec(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    return flags < 0 ? -1 : fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

int pool__above_standard(int *fd)
{
    int lifted;

    if (*fd > 2)
        return 0;
    lifted = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    if (lifted < 0)
        return -1;
    pool__close(fd);
    *fd = lifted;
    return 0;
}

static int finish_pair(int ends[2])
{
    if (!HAVE_ATOMIC_CLOEXEC && (set_cloexec(ends[0]) < 0 || set_cloexec(ends[1]) < 0))
        goto fail;
    if (pool__above_standard(&ends[0]) < 0 || pool__above_standard(&ends[1]) < 0)
        goto fail;
    return 0;
fail:
    pool__close(&ends[0]);
    pool__close(&ends[1]);
    return -1;
}

/* Where the build asks for small pipes, to be tested with: a system that says no leaves them as they are. */
static void shrink_pipe(int fd)
{
#if defined(POOL__PIPE_SIZE) && defined(F_SETPIPE_SZ)
    (void)fcntl(fd, F_SETPIPE_SZ, POOL__PIPE_SIZE);
#else
    (void)fd;
#endif
}

int pool__pipe(int ends[2])
{
#if HAVE_ATOMIC_CLOEXEC
    int made = pipe2(ends, O_CLOEXEC);
#else
    int made = pipe(ends);
#endif
    if (made < 0)
        return -1;
    shrink_pipe(ends[1]);
    return finish_pair(ends);
}

int pool__socket_pair(int ends[2])
{
#if HAVE_ATOMIC_CLOEXEC
    int made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
#else
    int made = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
#endif
    return made < 0 ? -1 : finish_pair(ends);
}

int pool__set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void pool__close(int *fd)
{
    int number = *fd, kept = errno;

    *fd = -1;
    if (number >= 0)
        close(number);
    errno = kept;
}

/* One meaning for what read and write return. */
static ssize_t settle(ssize_t got, bool end_is_gone)
{
    if (got > 0)
        return got;
    if (got == 0)
        return end_is_gone ? POOL__GONE : POOL__NOT_NOW;
    return errno == EAGAIN || errno == EWOULDBLOCK ? POOL__NOT_NOW : POOL__GONE;
}

ssize_t pool__read_some(int fd, void *data, size_t size)
{
    ssize_t got;

    if (size > TRANSFER_MAX)
        size = TRANSFER_MAX;
    do
        got = read(fd, data, size);
    while (got < 0 && errno == EINTR);
    return settle(got, true);
}

ssize_t pool__write_some(int fd, const struct iovec *parts, int count)
{
    ssize_t put;

    do
        put = writev(fd, parts, count);
    while (put < 0 && errno == EINTR);
    return settle(put, false);
}

bool pool__write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t put = write(fd, at, size < TRANSFER_MAX ? size : TRANSFER_MAX);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

void pool__ring(int fd)
{
    int kept = errno;
    ssize_t put;

    do
        put = fd >= 0 ? write(fd, "", 1) : 0;
    while (put < 0 && errno == EINTR);
    errno = kept;
}

size_t pool__readable_bytes(int fd)
{
    int bytes = 0;

    if (ioctl(fd, FIONREAD, &bytes) < 0)
        return PIPE_MOST;
    return bytes > 0 ? (size_t)bytes : 0;
}

bool pool__identity_of(int fd, struct pool__identity *identity)
{
    struct stat found;

    if (fstat(fd, &found) < 0) {
        errno = errno == EBADF ? EBADF : EAGAIN;
        return false;
    }
    identity->device = found.st_dev;
    identity->inode = found.st_ino;
    return true;
}

bool pool__identity_is(int fd, const struct pool__identity *identity)
{
    struct pool__identity found;

    if (!pool__identity_of(fd, &found))
        return errno != EBADF; /* nothing is known then, and nothing assumed */
    return found.device == identity->device && found.inode == identity->inode;
}

void pool__close_own(int *fd, const struct pool__identity *identity)
{
    if (*fd >= 0 && pool__identity_is(*fd, identity))
        pool__close(fd);
    *fd = -1;
}

bool pool__has_hung_up(int fd)
{
    struct pollfd pipe_end = {fd, POLLIN, 0};

    return poll(&pipe_end, 1, 0) > 0 && (pipe_end.revents & POLLHUP) != 0;
}

/* Room for the descriptors of one record, aligned as a control message must be. */
union control_room {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(POOL__FDS_MAX * sizeof(int))];
};

ssize_t pool__send_record(int fd, const void *record, size_t size, const int *fds, size_t fd_count)
{
    struct iovec part = {(void *)(uintptr_t)record, size};
    struct msghdr message;
    union control_room room;
    ssize_t put;

    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd_count > 0) {
        struct cmsghdr *header;

        memset(&room, 0, sizeof room);
        message.msg_control = &room;
        message.msg_controllen = (unsigned)CMSG_SPACE(fd_count * sizeof(int)); /* a size_t, or a socklen_t */
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = (unsigned)CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    do
        put = sendmsg(fd, &message, NO_SIGNAL);
    while (put < 0 && errno == EINTR);
    return settle(put, false);
}

/* One control message comes with a record, if any. */
static size_t take_descriptors(struct msghdr *message, int *fds)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    size_t count = 0, sent, i;

    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return 0;
    sent = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (i = 0; i < sent; i++) {
        int got;

        memcpy(&got, CMSG_DATA(header) + i * sizeof got, sizeof got);
        if (!HAVE_ATOMIC_CLOEXEC)
            set_cloexec(got);
        if (count < POOL__FDS_MAX && pool__above_standard(&got) == 0)
            fds[count++] = got;
        else
            close(got);
    }
    return count;
}

ssize_t pool__receive_record(int fd, void *record, size_t size, int *fds, size_t *fd_count, bool *cut)
{
    struct iovec part = {record, size};
    struct msghdr message;
    union control_room room;
    ssize_t got;

    *fd_count = 0;
    *cut = false;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &room;
    message.msg_controllen = sizeof room;
    do
#if HAVE_ATOMIC_CLOEXEC
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
#else
        got = recvmsg(fd, &message, 0);
#endif
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return settle(got, true);
    *fd_count = take_descriptors(&message, fds);
    if ((message.msg_flags & MSG_CTRUNC) != 0) {
        while (*fd_count > 0)
            pool__close(&fds[--*fd_count]);
        *cut = true;
    }
    return settle(got, true);
}
