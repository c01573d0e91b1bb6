#include "floors.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "child.h"
#include "contest.h"

struct ends {
    const struct epoll_loop *floor;
    size_t made; /* whose parent's ends the child has too */
    int task[2], result[2];
};

static void answer(void *context)
{
    struct ends *ends = context;
    long value;

    for (size_t i = 0; i < ends->made; i++) {
        close(ends->floor->task[i]); /* or an earlier child would not see its end */
        close(ends->floor->result[i]);
    }
    close(ends->floor->epoll);
    close(ends->task[1]);
    close(ends->result[0]);
    while (read_whole(ends->task[0], &value, sizeof value)) {
        value = value * value;
        write_whole(ends->result[1], &value, sizeof value);
    }
}

static void open_one(struct epoll_loop *floor, size_t i)
{
    struct ends ends = {.floor = floor, .made = i};
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = i}};

    pipe_make(ends.task);
    pipe_make(ends.result);
    floor->children[i] = child_start(answer, &ends);
    close(ends.task[0]);
    close(ends.result[1]);
    floor->task[i] = ends.task[1];
    floor->result[i] = ends.result[0];
    if (epoll_ctl(floor->epoll, EPOLL_CTL_ADD, floor->result[i], &event) != 0)
        give_up("epoll_ctl: %s", strerror(errno));
}

void epoll_loop_open(struct epoll_loop *floor, size_t workers, size_t count)
{
    *floor = (struct epoll_loop){.workers = workers, .count = count};
    floor->children = memory_make(workers * sizeof floor->children[0]);
    floor->task = memory_make(workers * sizeof floor->task[0]);
    floor->result = memory_make(workers * sizeof floor->result[0]);
    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (floor->epoll < 0)
        give_up("epoll_create1: %s", strerror(errno));
    for (size_t i = 0; i < workers; i++)
        open_one(floor, i);
}

/* The worker that is busy is always the same, whose memory is warm: the least that a loop over all can cost. */
double epoll_loop_us(void *context)
{
    const struct epoll_loop *floor = context;
    double start = seconds_now();

    for (size_t i = 0; i < floor->count; i++) {
        long value = (long)(i % 1000), square;
        struct epoll_event event;
        write_whole(floor->task[0], &value, sizeof value);
        while (epoll_wait(floor->epoll, &event, 1, -1) != 1)
            if (errno != EINTR)
                give_up("epoll_wait: %s", strerror(errno));
        if (!read_whole(floor->result[event.data.u64], &square, sizeof square) || square != value * value)
            give_up("a child gave a wrong answer");
    }
    return (seconds_now() - start) * 1e6 / (double)floor->count;
}

void epoll_loop_close(struct epoll_loop *floor)
{
    for (size_t i = 0; i < floor->workers; i++) {
        close(floor->task[i]);
        close(floor->result[i]);
    }
    for (size_t i = 0; i < floor->workers; i++)
        child_wait(floor->children[i]);
    close(floor->epoll);
    free(floor->children);
    free(floor->task);
    free(floor->result);
}
