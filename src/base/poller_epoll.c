#define _GNU_SOURCE
#include "base/poller.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"

struct pool__poller {
    int set;                        /* epoll */
    int waker;                      /* eventfd, level-triggered: also makes `set` readable for a program's own loop */
    struct pool__identity identity; /* of both; the system has one for all of their kind, which no file has */
    _Atomic bool failed;
};

#define WAKER_TAG UINT64_MAX
#define BATCH     64

static uint32_t epoll_events(unsigned events)
{
    return ((events & POOL__POLL_READ) != 0 ? (uint32_t)EPOLLIN : 0u) |
           ((events & POOL__POLL_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u);
}

static bool control(struct pool__poller *poller, int operation, int fd, uint64_t tag, unsigned events)
{
    struct epoll_event event;

    memset(&event, 0, sizeof event);
    event.events = epoll_events(events);
    event.data.u64 = tag;
    return epoll_ctl(poller->set, operation, fd, &event) == 0;
}

struct pool__poller *pool__poller_open(void)
{
    struct pool__poller *poller = calloc(1, sizeof *poller);

    if (poller == NULL)
        return NULL;
    poller->set = epoll_create1(EPOLL_CLOEXEC);
    poller->waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poller->set < 0 || poller->waker < 0 || !pool__identity_of(poller->waker, &poller->identity) ||
        !control(poller, EPOLL_CTL_ADD, poller->waker, WAKER_TAG, POOL__POLL_READ)) {
        pool__poller_close(poller);
        return NULL;
    }
    return poller;
}

bool pool__poller_is_ours(const struct pool__poller *poller)
{
    return poller == NULL ||
           (pool__identity_is(poller->set, &poller->identity) && pool__identity_is(poller->waker, &poller->identity));
}

bool pool__poller_has_failed(const struct pool__poller *poller)
{
    return poller != NULL && atomic_load_explicit(&poller->failed, memory_order_relaxed);
}

void pool__poller_give_up(struct pool__poller *poller)
{
    if (poller != NULL)
        poller->set = poller->waker = -1;
}

void pool__poller_close_in_child(struct pool__poller *poller)
{
    if (poller == NULL)
        return;
    pool__close(&poller->set);
    pool__close(&poller->waker);
}

void pool__poller_close(struct pool__poller *poller)
{
    int kept = errno;

    pool__poller_close_in_child(poller);
    free(poller);
    errno = kept;
}

bool pool__poller_add(struct pool__poller *poller, int fd, uint64_t tag, unsigned events)
{
    return control(poller, EPOLL_CTL_ADD, fd, tag, events);
}

void pool__poller_remove(struct pool__poller *poller, int fd)
{
    if (fd >= 0)
        control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

void pool__poller_wake(struct pool__poller *poller)
{
    const uint64_t one = 1;
    int kept = errno;

    if (pool__identity_is(poller->waker, &poller->identity)) {
        ssize_t put = write(poller->waker, &one, sizeof one); /* full: a wake is pending already */

        (void)put;
    }
    errno = kept;
}

static void drain_waker(struct pool__poller *poller)
{
    uint64_t count;
    ssize_t got = read(poller->waker, &count, sizeof count);

    (void)got;
}

static size_t collect(struct pool__poller *poller, uint64_t end, struct pool__ready *ready, size_t room)
{
    struct epoll_event events[BATCH];
    int count = epoll_wait(poller->set, events, room < BATCH ? (int)room : BATCH, pool__ms_until(end)), i;
    size_t filled = 0;

    if (count < 0 && errno != EINTR)
        atomic_store_explicit(&poller->failed, true, memory_order_relaxed);
    for (i = 0; i < count; i++) {
        if (events[i].data.u64 == WAKER_TAG) {
            if (end != POOL__ONLY_LOOK)
                drain_waker(poller);
            continue;
        }
        ready[filled].tag = events[i].data.u64;
        ready[filled].readable = (events[i].events & (uint32_t)(EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
        ready[filled].writable = (events[i].events & (uint32_t)(EPOLLOUT | EPOLLERR)) != 0;
        filled++;
    }
    return filled;
}

size_t pool__poller_wait(struct pool__poller *poller, struct pool__poller *also, uint64_t end,
                         struct pool__ready *ready, size_t room)
{
    struct pollfd both[2];
    size_t filled = 0;
    int told;

    if (also == NULL)
        return collect(poller, end, ready, room);
    memset(both, 0, sizeof both);
    both[0].fd = poller->set;
    both[1].fd = also->set;
    both[0].events = both[1].events = POLLIN;
    told = poll(both, 2, pool__ms_until(end));
    if (told == 0 || (told < 0 && errno == EINTR))
        return 0;
    if (told < 0) { /* no memory for it: each is looked at, now and then */
        pool__nap();
        both[0].revents = both[1].revents = POLLIN;
    }
    if (both[0].revents != 0)
        filled = collect(poller, 0, ready, room);
    if (both[1].revents != 0 && filled < room)
        filled += collect(also, 0, ready + filled, room - filled);
    return filled;
}

int pool__poller_fd(const struct pool__poller *poller)
{
    return poller->set;
}

bool pool__poller_make_bell(struct pool__poller *poller, int *bell)
{
    (void)poller;
    *bell = -1;
    return true;
}

bool pool__poller_is_bell(const struct pool__poller *poller)
{
    (void)poller;
    return false;
}

void pool__poller_leave_rung(struct pool__poller *poller)
{
    (void)poller;
}

#else
typedef int pool__poller_epoll_unused; /* a translation unit may not be empty */
#endif
