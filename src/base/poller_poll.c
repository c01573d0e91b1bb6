#include "base/poller.h"

#if !defined(__linux__) || defined(POOL__PORTABLE)

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"

/* The set is an array that sleepers copy; a change while one sleeps wakes it, so that it copies anew. */
struct pool__poller {
    pthread_mutex_t lock; /* guards all below; innermost of all locks */
    struct pollfd *fds;   /* [0] is the waker */
    uint64_t *tags;
    size_t count, room;
    int waker[2];
    unsigned sleepers;
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
    if (pool__pipe(poller->waker) < 0 || pool__set_nonblocking(poller->waker[0]) < 0 ||
        pool__set_nonblocking(poller->waker[1]) < 0 || !append(poller, poller->waker[0], UINT64_MAX, POOL__POLL_READ)) {
        pool__poller_close(poller);
        return NULL;
    }
    return poller;
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

/* Under the poller's lock. */
static void tell_sleeper(struct pool__poller *poller)
{
    if (poller->sleepers > 0)
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

void pool__poller_wake(struct pool__poller *poller)
{
    int kept = errno;
    ssize_t put = write(poller->waker[1], "", 1);

    (void)put;
    errno = kept;
}

static void drain_waker(struct pool__poller *poller)
{
    char bytes[64];

    while (read(poller->waker[0], bytes, sizeof bytes) > 0)
        continue;
}

/* Copies the set behind what `fds` holds already; the number copied. */
static size_t copy_set(struct pool__poller *poller, struct pollfd *fds, uint64_t *tags, size_t room)
{
    size_t count;

    pthread_mutex_lock(&poller->lock);
    count = poller->count < room ? poller->count : room;
    memcpy(fds, poller->fds, count * sizeof *fds);
    memcpy(tags, poller->tags, count * sizeof *tags);
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

static void awake(struct pool__poller *poller)
{
    pthread_mutex_lock(&poller->lock);
    poller->sleepers--;
    pthread_mutex_unlock(&poller->lock);
}

static size_t gather(struct pool__poller *poller, uint64_t end, const struct pollfd *fds, const uint64_t *tags,
                     size_t count, struct pool__ready *ready, size_t room)
{
    size_t i, filled = 0;

    if (count > 0 && fds[0].revents != 0 && end != POOL__ONLY_LOOK)
        drain_waker(poller);
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

size_t pool__poller_wait(struct pool__poller *poller, struct pool__poller *also, uint64_t end,
                         struct pool__ready *ready, size_t room)
{
    size_t most = set_size(poller) + (also != NULL ? set_size(also) : 0) + 8, first, second = 0, filled = 0;
    struct pollfd *fds = malloc(most * sizeof *fds);
    uint64_t *tags = malloc(most * sizeof *tags);

    if (fds != NULL && tags != NULL) {
        first = copy_set(poller, fds, tags, most);
        if (also != NULL)
            second = copy_set(also, fds + first, tags + first, most - first);
        if (poll(fds, (nfds_t)(first + second), pool__ms_until(end)) > 0) {
            filled = gather(poller, end, fds, tags, first, ready, room);
            if (also != NULL)
                filled += gather(also, end, fds + first, tags + first, second, ready + filled, room - filled);
        }
        awake(poller);
        if (also != NULL)
            awake(also);
    } else {
        poll(NULL, 0, 1); /* out of memory: look again soon */
    }
    free(fds);
    free(tags);
    return filled;
}

int pool__poller_fd(const struct pool__poller *poller)
{
    (void)poller;
    return -1;
}

#else
typedef int pool__poller_poll_unused; /* a translation unit may not be empty */
#endif
