/*
 * poller - a set of descriptors that one thread can sleep on, and a waker that ends its sleep.
 *
 * Descriptors may be added, changed and removed by any thread at any time, by the caller's lock serialised among
 * themselves; a sleeper sees the change. A wake ends one sleep where several threads sleep in one poller. Two
 * implementations below one interface: epoll and eventfd (poller_epoll.c), poll and a pipe (poller_poll.c).
 */
#ifndef POOL__POLLER_H
#define POOL__POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool__poller;

/*
 * One descriptor that is ready. `tag` is what it was added with: callers put {seat, life} there, so that a stale
 * event is known as one (rule 29).
 */
struct pool__ready {
    uint64_t tag;
    bool readable; /* or at its end, or broken: a read tells */
    bool writable;
};

#define POOL__POLL_READ  0x1u
#define POOL__POLL_WRITE 0x2u

struct pool__poller *pool__poller_open(void);         /* NULL with errno */
void pool__poller_close(struct pool__poller *poller); /* takes NULL */

/* Are its descriptors what they were? False: the program has closed one, and its number may be another file's. */
bool pool__poller_is_ours(const struct pool__poller *poller); /* takes NULL */

/* A wait has failed, and each other would: so it is not. */
bool pool__poller_has_failed(const struct pool__poller *poller); /* takes NULL */

/* Its descriptors are not ours any more: they are given up, not closed. Nobody may sleep on it from now on. */
void pool__poller_give_up(struct pool__poller *poller); /* takes NULL */

/* `events`: POOL__POLL_READ, _WRITE, both, or 0 (kept in the set, asleep). False with errno. */
bool pool__poller_add(struct pool__poller *poller, int fd, uint64_t tag, unsigned events);
void pool__poller_remove(struct pool__poller *poller, int fd); /* before it is closed */

/* Ends the sleep in progress, or the next one. Async-signal-safe. Many wakes may count as one. */
void pool__poller_wake(struct pool__poller *poller);

/*
 * Sleeps until something is ready, a wake, or `end`. Returns how many entries of `ready` were filled; 0 after a wake,
 * EINTR or at the end. The waker is drained before this returns, so what was told before the wake can be looked at
 * now. `also`, where not NULL, is a second set to sleep on at the same time.
 */
/* an `end` that has passed, and the waker is left alone: it may be meant for another thread that sleeps here */
#define POOL__ONLY_LOOK UINT64_C(1)

size_t pool__poller_wait(struct pool__poller *poller, struct pool__poller *also, uint64_t end,
                         struct pool__ready *ready, size_t room);

/*
 * One descriptor for a loop of the program's own to sleep on, readable when a wait would return at once. With epoll the
 * set itself is one. With poll nothing but the waker can be, so it serves as a bell: whoever makes a descriptor of the
 * set ready has to ring it (pool__ring() in descriptor.h) afterwards. False rings cost a look, no more.
 */
int pool__poller_fd(const struct pool__poller *poller);

/*
 * Makes the waker such a bell. *bell: a descriptor to ring it by, the caller's to close, or -1 where none is needed.
 * False with errno.
 */
bool pool__poller_make_bell(struct pool__poller *poller, int *bell);
bool pool__poller_is_bell(const struct pool__poller *poller);

/*
 * To be called when the set is left to a loop outside: a bell stays rung until a wait has found nothing ready. With
 * epoll that is so anyway. Takes NULL.
 */
void pool__poller_leave_rung(struct pool__poller *poller);

/* In a forked child: closes, touches nothing shared. */
void pool__poller_close_in_child(struct pool__poller *poller);

#endif
