/* channel - a channel's life: its pipes, from before the worker is forked until they are closed. */
#include "engine/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "engine/engine.h"

/*
 * What a waiting frame of several items, and control frames behind it, may take. Reserved when the pipes are made, so
 * that sending cannot fail.
 */
#define BACKLOG_ROOM (65536u + 4096u)
/* jobs whose shared bytes a worker may have at once without more memory, reserved too */
#define SHARED_ROOM 4u

void pool__channel_clear(struct pool__channel *channel)
{
    memset(channel, 0, sizeof *channel);
    channel->tasks = channel->tasks_read = channel->results = channel->results_write = -1;
}

static bool reserve_shared(struct pool__channel *channel)
{
    channel->shared = malloc(SHARED_ROOM * sizeof *channel->shared);
    channel->shared_room = channel->shared != NULL ? SHARED_ROOM : 0;
    return channel->shared != NULL;
}

int pool__channel_open(struct pool *pool, struct pool__channel *channel, uint64_t tag, struct pool__bulk *bulk,
                       int theirs[2])
{
    int tasks[2] = {-1, -1}, results[2] = {-1, -1}, code;

    pool__channel_clear(channel);
    if (pool__pipe(tasks) < 0 || pool__pipe(results) < 0)
        goto fail;
    channel->tasks_read = tasks[0];
    channel->tasks = tasks[1];
    channel->results = results[0];
    channel->results_write = results[1];
    channel->tag = tag;
    channel->large.ring = &bulk->in;
    channel->large_in.ring = &bulk->out;
    if (pool__set_nonblocking(channel->tasks) < 0 || pool__set_nonblocking(channel->results) < 0)
        goto fail;
    if (!pool__identity_of(channel->tasks, &channel->task_pipe) ||
        !pool__identity_of(channel->results, &channel->result_pipe))
        goto fail;
    if (!pool__bytes_reserve(&channel->backlog, BACKLOG_ROOM) || !reserve_shared(channel)) {
        errno = ENOMEM;
        goto fail;
    }
    if (!pool__poller_add(pool->pipes, channel->results, tag, POOL__POLL_READ))
        goto fail;
    theirs[0] = channel->tasks_read;
    theirs[1] = channel->results_write;
    return 0;
fail:
    code = errno;
    if (channel->tasks < 0) {
        pool__close(&tasks[0]);
        pool__close(&tasks[1]);
    }
    pool__channel_leave_poller(pool, channel);
    pool__channel_close_in_child(channel); /* while they are ours beyond doubt */
    pool__channel_close(pool, channel);
    return code;
}

void pool__channel_handed_over(struct pool__channel *channel)
{
    pool__close(&channel->results_write);
}

void pool__channel_close_in_child(struct pool__channel *channel)
{
    pool__close(&channel->tasks);
    pool__close(&channel->tasks_read);
    pool__close(&channel->results);
    pool__close(&channel->results_write);
}

void pool__channel_leave_poller(struct pool *pool, struct pool__channel *channel)
{
    if (channel->want_write)
        pool__poller_remove(pool->pipes, channel->tasks);
    if (!channel->at_end)
        pool__poller_remove(pool->pipes, channel->results);
    channel->want_write = false;
    channel->at_end = true;
}

/* Not blindly: a program that closes all that it does not know may have opened files of its own by these numbers. */
static void close_own(struct pool__channel *channel)
{
    pool__close_own(&channel->tasks, &channel->task_pipe);
    pool__close_own(&channel->tasks_read, &channel->task_pipe);
    pool__close_own(&channel->results, &channel->result_pipe);
    pool__close_own(&channel->results_write, &channel->result_pipe);
}

void pool__channel_give_up(struct pool__channel *channel, bool all)
{
    if (all)
        channel->tasks = channel->tasks_read = channel->results = channel->results_write = -1;
    else
        close_own(channel);
    channel->want_write = false;
    channel->at_end = true;
}

void pool__channel_close(struct pool *pool, struct pool__channel *channel)
{
    pool__channel_leave_poller(pool, channel);
    pool__bulk_out_forget(&channel->large);
    close_own(channel);
    pool__bytes_free(&channel->backlog);
    free(channel->shared);
    free(channel->arrival.heap);
    pool__channel_clear(channel);
    channel->at_end = true;
}
