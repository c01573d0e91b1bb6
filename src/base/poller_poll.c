#include "base/poller.h"

#if !defined(__linux__) || defined(POOL__PORTABLE)

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"

#define FEW 64 /* descriptors that a sleeper has room for without asking for memory */

/*
 * The set is an array that sleepers copy; a change while one sleeps wakes it, so that it copies anew.
 *
 * As a bell (poller.h) the waker's pipe is written by other processes too. None of them is trusted with the pipe's
 * flags, which all writers share: so this process writes only where the pipe is empty, and never blocks.
 */
struct pool__poller {
    pthread_mutex_t lock; /* guards all below; innermost of all locks */
    struct pollfd *fds;   /* [0] is the waker */
    uint64_t *tags;
    size_t count, room;
    int waker[2];
    struct pool__identity identity; /* of the waker's pipe */
    unsigned sleepers;
    size_t window; /* where the next part of a set begins that is looked at in parts */
    bool is_bell;
    bool found; /* the last look found something ready, or did not come about */
};

static bool make_room(struct pool__poller *poller)
{
    size_t room = poller->room == 0 ? 16 : poller->room * 2;
    struct pollfd *fds;
    uint64_t *tags;

    if (poller->count < poller->room)
        return true;
    fds = realloc(poller->fds, room * sizeof *fds);
    if (fds == NULL)
        return false;
    poller->fds = fds;
    tags = realloc(poller->tags, room * sizeof *tags);
    if (tags == NULL)
        return false;
    poller->tags = tags;
    poller->room = room;
    return true;
}

static short poll_events(unsigned events)
{
    return (short)(((events & POOL__POLL_READ) != 0 ? POLLIN : 0) | ((events & POOL__POLL_WRITE) != 0 ? POLLOUT : 0));
}

/* A descriptor that is asked for nothing is hidden from poll(), which would report its hang-up for ever. */
static void set_entry(struct pool__poller *poller, size_t at, int fd, uint64_t tag, unsigned events)
{
    poller->fds[at].fd = events != 0 ? fd : -fd - 1;
    poller->fds[at].events = poll_events(events);
    poller->fds[at].revents = 0;
    poller->tags[at] = tag;
}

static bool append(struct pool__poller *poller, int fd, uint64_t tag, unsigned events)
{
    if (!make_room(poller)) {
        errno = ENOMEM;
        return false;
    }
    set_entry(poller, poller->count++, fd, tag, events);
    return true;
}

struct pool__poller *pool__poller_open(void)
{
    struct pool__poller *poller = calloc(1, sizeof *poller);

    if (poller == NULL)
        return NULL;
    pthread_mutex_init(&poller->lock, NULL);
    poller->waker[0] = poller->waker[1] = -1;
    if (pool__pipe(poller->waker) < 0 || !pool__identity_of(poller->waker[1], &poller->identity) ||
        pool__set_nonblocking(poller->waker[0]) < 0 || pool__set_nonblocking(poller->waker[1]) < 0 ||
        !append(poller, poller->waker[0], UINT64_MAX, POOL__POLL_READ)) {
        pool__poller_close(poller);
        return NULL;
    }
    return poller;
}

bool pool__poller_is_ours(const struct pool__poller *poller)
{
    return poller == NULL || (pool__identity_is(poller->waker[0], &poller->identity) &&
                              pool__identity_is(poller->waker[1], &poller->identity));
}

bool pool__poller_has_failed(const struct pool__poller *poller)
{
    (void)poller;
    return false;
}

void pool__poller_give_up(struct pool__poller *poller)
{
    if (poller == NULL)
        return;
    pthread_mutex_lock(&poller->lock);
    poller->count = 0;
    poller->waker[0] = poller->waker[1] = -1;
    pthread_mutex_unlock(&poller->lock);
}

void pool__poller_close_in_child(struct pool__poller *poller)
{
    if (poller == NULL)
        return;
    pool__close(&poller->waker[0]);
    pool__close(&poller->waker[1]);
}

void pool__poller_close(struct pool__poller *poller)
{
    int kept = errno;

    if (poller == NULL)
        return;
    pool__poller_close_in_child(poller);
    pthread_mutex_destroy(&poller->lock);
    free(poller->fds);
    free(poller->tags);
    free(poller);
    errno = kept;
}

static size_t find(const struct pool__poller *poller, int fd)
{
    size_t at;

    for (at = 0; at < poller->count; at++)
        if (poller->fds[at].fd == fd || poller->fds[at].fd == -fd - 1)
            break;
    return at;
}

/* Under the poller's lock. What is new in the set may be ready already, and have been rung for before it came. */
static void tell_sleeper(struct pool__poller *poller)
{
    if (poller->sleepers > 0 || poller->is_bell)
        pool__poller_wake(poller);
}

bool pool__poller_add(struct pool__poller *poller, int fd, uint64_t tag, unsigned events)
{
    bool added;

    pthread_mutex_lock(&poller->lock);
    added = append(poller, fd, tag, events);
    tell_sleeper(poller);
    pthread_mutex_unlock(&poller->lock);
    return added;
}

void pool__poller_remove(struct pool__poller *poller, int fd)
{
    size_t at;

    if (fd < 0)
        return;
    pthread_mutex_lock(&poller->lock);
    at = find(poller, fd);
    if (at < poller->count) {
        poller->fds[at] = poller->fds[--poller->count];
        poller->tags[at] = poller->tags[poller->count];
        tell_sleeper(poller);
    }
    pthread_mutex_unlock(&poller->lock);
}

static bool is_rung(const struct pool__poller *poller)
{
    struct pollfd waker = {poller->waker[0], POLLIN, 0};

    return poll(&waker, 1, 0) > 0;
}

void pool__poller_wake(struct pool__poller *poller)
{
    int kept = errno;

    /* both its ends: written to without a reader it would raise SIGPIPE */
    if (pool__poller_is_ours(poller) && (!poller->is_bell || !is_rung(poller)))
        pool__ring(poller->waker[1]);
    errno = kept;
}

/* As much as a pipe holds, and no more: a worker may ring a bell for ever. */
static void drain_waker(struct pool__poller *poller)
{
    char bytes[4096];
    int turns = pool__poller_is_ours(poller) ? 16 : 0;

    while (turns-- > 0 && read(poller->waker[0], bytes, sizeof bytes) > 0)
        continue;
}

/*
 * Copies the set, or the waker and a part of the rest, another one each time, where it is larger than `room`; the
 * number copied.
 */
static size_t copy_set(struct pool__poller *poller, struct pollfd *fds, uint64_t *tags, size_t room)
{
    size_t count, i;

    pthread_mutex_lock(&poller->lock);
    count = poller->count < room ? poller->count : room;
    for (i = 0; i < count; i++) {
        size_t from = i == 0 || count == poller->count ? i : 1 + (poller->window + i) % (poller->count - 1);

        fds[i] = poller->fds[from];
        tags[i] = poller->tags[from];
    }
    poller->window += count < poller->count ? count - 1 : 0;
    poller->sleepers++;
    pthread_mutex_unlock(&poller->lock);
    return count;
}

static size_t set_size(struct pool__poller *poller)
{
    size_t count;

    pthread_mutex_lock(&poller->lock);
    count = poller->count;
    pthread_mutex_unlock(&poller->lock);
    return count;
}

/* `copied` of its descriptors were looked at. */
static void awake(struct pool__poller *poller, size_t copied, bool found)
{
    pthread_mutex_lock(&poller->lock);
    poller->sleepers--;
    poller->found = found || poller->count != copied;
    pthread_mutex_unlock(&poller->lock);
}

/* Where there is no memory for poll(), each is looked at, now and then: none of them blocks. */
static int poll_all(struct pollfd *fds, size_t count, uint64_t end)
{
    int told = poll(fds, (nfds_t)count, pool__ms_until(end));
    size_t i;

    if (told >= 0 || errno == EINTR)
        return told;
    if (pool__ms_until(end) != 0)
        pool__nap();
    for (i = 0; i < count; i++)
        fds[i].revents = (short)(fds[i].fd >= 0 ? fds[i].events : 0);
    return (int)count;
}

/*
 * A bell is quietened first and its set looked at then: what was rung for before is found now. `told` is what poll()
 * said; what it says at last is returned.
 */
static int quieten(struct pool__poller *poller, uint64_t end, struct pollfd *fds, size_t count, int told)
{
    if (told > 0 && count > 0 && fds[0].revents != 0 && end != POOL__ONLY_LOOK) {
        drain_waker(poller);
        if (poller->is_bell)
            told = poll_all(fds, count, 0);
    }
    return told;
}

static size_t gather(const struct pollfd *fds, const uint64_t *tags, size_t count, struct pool__ready *ready,
                     size_t room)
{
    size_t i, filled = 0;

    for (i = 1; i < count && filled < room; i++) {
        if (fds[i].revents == 0 || (fds[i].revents & POLLNVAL) != 0)
            continue;
        ready[filled].tag = tags[i];
        ready[filled].readable = (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
        ready[filled].writable = (fds[i].revents & (POLLOUT | POLLERR)) != 0;
        filled++;
    }
    return filled;
}

/* Room for a copy of one set or two. */
struct copy {
    struct pollfd *fds;
    uint64_t *tags;
    size_t room;
    void *heap;
    struct pollfd few_fds[FEW];
    uint64_t few_tags[FEW];
};

/* No memory for a large set: then it is looked at in parts, so that all goes on. */
static void find_room(struct copy *copy, size_t most)
{
    copy->fds = copy->few_fds;
    copy->tags = copy->few_tags;
    copy->room = FEW;
    copy->heap = most > FEW ? malloc(most * (sizeof *copy->tags + sizeof *copy->fds)) : NULL;
    if (copy->heap == NULL)
        return;
    copy->tags = copy->heap;
    copy->fds = (struct pollfd *)(void *)(copy->tags + most);
    copy->room = most;
}

size_t pool__poller_wait(struct pool__poller *poller, struct pool__poller *also, uint64_t end,
                         struct pool__ready *ready, size_t room)
{
    size_t theirs = also != NULL ? set_size(also) : 0, all = set_size(poller) + theirs;
    size_t first, second = 0, filled = 0;
    struct copy copy;
    int told;

    find_room(&copy, all + 8);
    first = copy_set(poller, copy.fds, copy.tags, copy.room - (theirs < copy.room / 2 ? theirs : copy.room / 2));
    if (also != NULL)
        second = copy_set(also, copy.fds + first, copy.tags + first, copy.room - first);
    if (first + second < all && end != POOL__ONLY_LOOK)
        end = pool__earlier(end, pool__now() + POOL__MS);
    told = poll_all(copy.fds, first + second, end);
    if (also == NULL) {
        told = quieten(poller, end, copy.fds, first, told);
    } else {
        quieten(poller, end, copy.fds, first, told);
        quieten(also, end, copy.fds + first, second, told);
    }
    if (told > 0) {
        filled = gather(copy.fds, copy.tags, first, ready, room);
        filled += gather(copy.fds + first, copy.tags + first, second, ready + filled, room - filled);
    }
    awake(poller, first, told < 0 || filled > 0);
    if (also != NULL)
        awake(also, second, told < 0 || filled > 0);
    free(copy.heap);
    return filled;
}

int pool__poller_fd(const struct pool__poller *poller)
{
    return poller->waker[0];
}

bool pool__poller_make_bell(struct pool__poller *poller, int *bell)
{
    *bell = fcntl(poller->waker[1], F_DUPFD_CLOEXEC, 3);
    poller->is_bell = *bell >= 0;
    return poller->is_bell;
}

bool pool__poller_is_bell(const struct pool__poller *poller)
{
    return poller->is_bell;
}

void pool__poller_leave_rung(struct pool__poller *poller)
{
    bool found;

    if (poller == NULL || !poller->is_bell)
        return;
    pthread_mutex_lock(&poller->lock);
    found = poller->found;
    pthread_mutex_unlock(&poller->lock);
    if (found)
        pool__poller_wake(poller);
}

#else
typedef int pool__poller_poll_unused; /* a translation unit may not be empty */
#endif
