/*
 * descriptor - pipes, socket pairs, and reads and writes whose result has one meaning.
 *
 * Every descriptor made here is close-on-exec and above 2, so that it never stands in for a standard stream that the
 * program has closed.
 */
#ifndef POOL__DESCRIPTOR_H
#define POOL__DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What a read or write that does not block may come to, besides a number of bytes above 0. */
#define POOL__NOT_NOW 0
#define POOL__GONE    (-1)

/* 0, or -1 with errno; on failure nothing is open. ends[0] reads, ends[1] writes. */
int pool__pipe(int ends[2]);
int pool__socket_pair(int ends[2]); /* AF_UNIX, stream */

int pool__set_nonblocking(int fd);

/* Moves a descriptor that took the number of a closed standard stream. 0, or -1 with errno, then it is as it was. */
int pool__above_standard(int *fd);

/*
 * Forgets the number before it closes, so that a fork handler in between can only leak it, never close a stranger.
 * Takes -1. Keeps errno.
 */
void pool__close(int *fd);

/* Bytes (> 0), POOL__NOT_NOW, or POOL__GONE (end of file, or an error in errno). EINTR is tried again. */
ssize_t pool__read_some(int fd, void *data, size_t size);
ssize_t pool__write_some(int fd, const struct iovec *parts, int count);

/* For processes that may block. False: the other side is gone. */
bool pool__write_all(int fd, const void *data, size_t size);

/* One byte, for who sleeps at the other end; a full pipe is rung already. Async-signal-safe, keeps errno. Takes -1. */
void pool__ring(int fd);

/* Bytes that a pipe holds; where the system cannot tell, as many as it can hold at most. */
size_t pool__readable_bytes(int fd);

/* What a descriptor stands for: a task may have closed it and opened a file of its own under the number. */
struct pool__identity {
    dev_t device;
    ino_t inode;
};
bool pool__identity_of(int fd, struct pool__identity *identity);
bool pool__identity_is(int fd, const struct pool__identity *identity);

/* Closes it if it is still that file; else the number is another's now, and is only forgotten. */
void pool__close_own(int *fd, const struct pool__identity *identity);

/* Has every writer of this pipe gone? */
bool pool__has_hung_up(int fd);

/*
 * Sends one record with up to POOL__FDS_MAX descriptors, never raising SIGPIPE: the number of bytes sent,
 * POOL__NOT_NOW or POOL__GONE.
 */
#define POOL__FDS_MAX 2
ssize_t pool__send_record(int fd, const void *record, size_t size, const int *fds, size_t fd_count);

/*
 * Receives up to `size` bytes and the descriptors that came with them. *fd_count is what arrived; where some were cut
 * off (MSG_CTRUNC) those that came are closed, *fd_count is 0 and *cut is true.
 */
ssize_t pool__receive_record(int fd, void *record, size_t size, int *fds, size_t *fd_count, bool *cut);

#endif
