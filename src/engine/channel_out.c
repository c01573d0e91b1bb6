/* channel_out - the writing half of a channel: frames into the task pipe, as far as they go, and what waits. */
#include "engine/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "engine/engine.h"
#include "engine/loss.h"

/* What is sent to one worker in one turn under the lock: some milliseconds. */
#define PUSH_MOST ((uint64_t)8 << 20)

static const unsigned char zeros[POOL__FRAME_ALIGN];
static const struct pool__places nowhere;

static bool is_waiting(const struct pool__channel *channel)
{
    return pool__bytes_held(&channel->backlog) > 0 || pool__bulk_out_waits(&channel->large);
}

bool pool__channel_is_unwatched(const struct pool__channel *channel)
{
    return channel->short_of_memory || (is_waiting(channel) && channel->tasks >= 0 && !channel->want_write);
}

/* Poll for room exactly while something waits; a pipe that fails would tell of room at once, again and again. */
static void watch_room(struct pool *pool, struct pool__channel *channel)
{
    bool want = is_waiting(channel) && channel->tasks >= 0 && channel->failing_since == 0;

    if (want && !channel->want_write)
        channel->want_write = pool__poller_add(pool->pipes, channel->tasks, channel->tag, POOL__POLL_WRITE);
    else if (!want && channel->want_write) {
        pool__poller_remove(pool->pipes, channel->tasks);
        channel->want_write = false;
    }
    if (pool__channel_is_unwatched(channel))
        pool__retry_soon(pool);
}

/* For a worker that looks for a moment before it sleeps. */
static void tell_sent(struct pool *pool, struct pool__channel *channel, size_t put)
{
    struct pool__board *board = pool->scheduler.seats[channel - pool->channels].board;

    channel->sent += put;
    if (board != NULL)
        atomic_store_explicit(&board->sent, channel->sent, memory_order_release);
}

static size_t write_parts(struct pool *pool, struct pool__channel *channel, const struct iovec *parts, int count)
{
    ssize_t put;

    if (channel->seen_in != pool->calls_ever && !pool__identity_is(channel->tasks, &channel->task_pipe)) {
        pool__note_loss(pool);
        return 0;
    }
    channel->seen_in = pool->seen_in = pool->calls_ever; /* a sample of all, as good as the control socket */
    put = pool__write_some(channel->tasks, parts, count);
    if (put == POOL__GONE && channel->failing_since == 0)
        channel->failing_since = pool__now(); /* no memory, say: its reading end is ours too */
    if (put <= 0)
        return 0;
    channel->failing_since = 0;
    pool->bytes_sent += (uint64_t)put;
    tell_sent(pool, channel, (size_t)put);
    return (size_t)put;
}

static struct iovec part_of(const void *data, size_t size)
{
    struct iovec part = {(void *)(uintptr_t)data, size};

    return part;
}

/* Writes until nothing waits, the pipe is full, or others shall have the lock: the poller tells at once that there is
 * room. */
static void push(struct pool *pool, struct pool__channel *channel)
{
    uint64_t before = pool->bytes_sent;
    size_t put = 1;

    while (put > 0 && is_waiting(channel) && pool->bytes_sent - before < PUSH_MOST) {
        struct iovec parts[2];
        size_t head;

        if (pool__bytes_held(&channel->backlog) == 0)
            pool->bytes_sent += pool__bulk_out_next(&channel->large, &channel->backlog);
        head = pool__bytes_held(&channel->backlog);
        parts[0] = part_of(channel->backlog.data + channel->backlog.from, head);
        parts[1] = pool__bulk_out_part(&channel->large);
        put = write_parts(pool, channel, parts, 2);
        pool__bytes_take(&channel->backlog, put < head ? put : head);
        if (put > head)
            pool__bulk_out_wrote(&channel->large, put - head);
    }
}

static void drop_unwanted(struct pool *pool, struct pool__channel *channel);

bool pool__channel_flush(struct pool *pool, struct pool__channel *channel)
{
    channel->short_of_memory = false;
    push(pool, channel);
    if (!is_waiting(channel))
        drop_unwanted(pool, channel);
    if (!is_waiting(channel) && channel->stop_pending) {
        channel->stop_pending = false;
        pool__channel_send_stop(pool, channel);
    }
    watch_room(pool, channel);
    return !is_waiting(channel);
}

#define HEAD_ROOM (POOL__FRAME_SIZE + POOL__PLACES_SIZE)

/* The frame's header, and its places where it has any, `size` bytes of body to follow: their length. */
static size_t encode_head(unsigned char head[HEAD_ROOM], struct pool__frame *frame, const struct pool__places *places,
                          size_t size)
{
    size_t more = places->items != 0 || places->results != 0 ? POOL__PLACES_SIZE : 0;

    frame->flags |=
        (places->items != 0 ? POOL__FRAME_BODY_THERE : 0) | (places->results != 0 ? POOL__FRAME_RESULTS_THERE : 0);
    frame->body = more + size;
    pool__frame_encode(head, frame);
    if (more > 0)
        pool__places_encode(head + POOL__FRAME_SIZE, places);
    return POOL__FRAME_SIZE + more;
}

/*
 * A body that is not copied: its header goes into the backlog, which is empty. It has no places: where
 * its item's result could have been put into the arena, it comes with a record.
 */
static void send_large(struct pool *pool, struct pool__channel *channel, struct pool__frame *frame, const void *body,
                       size_t size, struct pool__job *job)
{
    unsigned char head[POOL__FRAME_SIZE];

    frame->flags |= POOL__FRAME_PIECES;
    frame->body = pool__padded(size, POOL__FRAME_ALIGN);
    pool__frame_encode(head, frame);
    pool__bytes_append(&channel->backlog, head, sizeof head);
    pool__bulk_out_begin(&channel->large, body, size, job, frame->batch);
    push(pool, channel);
    watch_room(pool, channel);
}

/*
 * A frame in two parts and its padding, with nothing waiting before it. What is not written at once is copied where
 * it is small, else referred to.
 */
static void send_frame(struct pool *pool, struct pool__channel *channel, struct pool__frame *frame,
                       const struct pool__places *places, const void *body, size_t size, struct pool__job *job)
{
    size_t padding = (size_t)(pool__padded(size, POOL__FRAME_ALIGN) - size), head_size, put;
    unsigned char head[HEAD_ROOM];
    struct iovec parts[3];

    if (size > POOL__FRAME_MAX) {
        send_large(pool, channel, frame, body, size, job);
        return;
    }
    head_size = encode_head(head, frame, places, size + padding);
    parts[0] = part_of(head, head_size);
    parts[1] = part_of(body, size);
    parts[2] = part_of(zeros, padding);
    put = write_parts(pool, channel, parts, 3);
    if (put == head_size + size + padding)
        return;
    if (put < head_size) {
        pool__bytes_append(&channel->backlog, head + put, head_size - put);
        put = head_size;
    }
    put -= head_size;
    if (put < size) {
        pool__bytes_append(&channel->backlog, (const unsigned char *)body + put, size - put);
        put = size;
    }
    pool__bytes_append_zeros(&channel->backlog, size + padding - put);
    watch_room(pool, channel);
}

void pool__channel_send_stop(struct pool *pool, struct pool__channel *channel)
{
    struct pool__frame frame;

    if (is_waiting(channel)) {
        channel->stop_pending = true;
        return;
    }
    memset(&frame, 0, sizeof frame);
    frame.kind = POOL__FRAME_STOP;
    send_frame(pool, channel, &frame, &nowhere, NULL, 0, NULL);
}

static bool has_shared(const struct pool__channel *channel, uint64_t id)
{
    size_t i;

    for (i = 0; i < channel->shared_count; i++)
        if (channel->shared[i].id == id)
            return true;
    return false;
}

static bool note_shared(struct pool__channel *channel, uint64_t id)
{
    if (channel->shared_count == channel->shared_room) {
        size_t room = channel->shared_room * 2;
        struct pool__shared_copy *shared = realloc(channel->shared, room * sizeof *shared);

        if (shared == NULL)
            return false;
        channel->shared = shared;
        channel->shared_room = room;
    }
    channel->shared[channel->shared_count].unwanted = false;
    channel->shared[channel->shared_count++].id = id;
    return true;
}

bool pool__channel_ready_for(struct pool *pool, struct pool__channel *channel, const struct pool__job *job)
{
    struct pool__places places = nowhere;
    struct pool__frame frame;

    if (is_waiting(channel) || channel->tasks < 0)
        return false;
    if (job->shared_id == 0 || has_shared(channel, job->shared_id))
        return true;
    if (!note_shared(channel, job->shared_id)) {
        channel->short_of_memory = true;
        pool__retry_soon(pool);
        return false;
    }
    memset(&frame, 0, sizeof frame);
    frame.kind = POOL__FRAME_SHARED;
    frame.shared = job->shared_id;
    frame.item_size = job->shared_size;
    if (job->shared_there)
        places.items = (uint64_t)(uintptr_t)job->shared;
    send_frame(pool, channel, &frame, &places, job->shared, job->shared_there ? 0 : job->shared_size,
               (struct pool__job *)(uintptr_t)job);
    return !is_waiting(channel);
}

/* Items of varying sizes, all in one frame of bounded length: composed in the backlog. */
static void compose_batch(struct pool *pool, struct pool__channel *channel, struct pool__frame *frame,
                          const struct pool__places *places, const struct pool__run *run)
{
    size_t table = (size_t)pool__sizes_table(run->count), start = channel->backlog.to, at, head_size;
    unsigned char head[HEAD_ROOM];
    uint32_t i;

    head_size = encode_head(head, frame, places, 0);
    pool__bytes_append_zeros(&channel->backlog, head_size + table);
    at = start + head_size;
    for (i = 0; i < run->count; i++) {
        const void *item;
        uint64_t bytes;
        size_t size;

        run->job->owner->argument(run->job, run->first + i, &item, &size);
        bytes = size;
        memcpy(channel->backlog.data + at, &bytes, sizeof bytes);
        at += sizeof bytes;
        pool__bytes_append(&channel->backlog, item, size);
        pool__bytes_append_zeros(&channel->backlog, (size_t)(pool__padded(size, POOL__FRAME_ALIGN) - size));
    }
    frame->item_size = POOL__VARIES;
    encode_head(head, frame, places, channel->backlog.to - start - head_size);
    memcpy(channel->backlog.data + start, head, head_size);
    pool__channel_flush(pool, channel);
}

/* Items of one size that do not lie in one piece: gathered in the backlog. */
static void gather_batch(struct pool *pool, struct pool__channel *channel, struct pool__frame *frame,
                         const struct pool__run *run)
{
    size_t bytes = run->job->item_size * run->count;
    unsigned char head[POOL__FRAME_SIZE];
    const void *item;
    size_t size;
    uint32_t i;

    frame->item_size = run->job->item_size;
    frame->body = pool__padded(bytes, POOL__FRAME_ALIGN);
    pool__frame_encode(head, frame);
    pool__bytes_append(&channel->backlog, head, sizeof head);
    for (i = 0; bytes > 0 && i < run->count; i++) {
        run->job->owner->argument(run->job, run->first + i, &item, &size);
        pool__bytes_append(&channel->backlog, item, size);
    }
    pool__bytes_append_zeros(&channel->backlog, (size_t)frame->body - bytes);
    pool__channel_flush(pool, channel);
}

void pool__channel_send_batch(struct pool *pool, struct pool__channel *channel, uint32_t batch,
                              const struct pool__run *run)
{
    struct pool__job *job = run->job;
    struct pool__places places = nowhere;
    struct pool__frame frame;
    const void *items;
    size_t size;

    if (job->results != NULL) {
        places.results = (uint64_t)(uintptr_t)(job->results + (size_t)run->first * job->result_size);
        places.result_size = job->result_size;
    }
    memset(&frame, 0, sizeof frame);
    frame.kind = POOL__FRAME_BATCH;
    frame.batch = batch;
    frame.count = run->count;
    frame.attempt = run->attempt;
    frame.function = (uint64_t)(uintptr_t)job->function;
    frame.shared = job->shared_id;
    frame.first = job->grouped ? POOL__EACH_ALONE : run->first;
    frame.flags = (job->timed ? POOL__FRAME_TIMED : 0) |
                  (pool__scheduler_claims_blocks(&pool->scheduler, job) ? POOL__FRAME_BLOCKS : 0);
    if (job->item_size == SIZE_MAX && run->count > 1) {
        compose_batch(pool, channel, &frame, &places, run);
        return;
    }
    if (job->grouped && run->count > 1) {
        gather_batch(pool, channel, &frame, run);
        return;
    }
    job->owner->argument(job, run->first, &items, &size);
    frame.item_size = size;
    if (job->items_there)
        places.items = (uint64_t)(uintptr_t)items;
    send_frame(pool, channel, &frame, &places, items, job->items_there ? 0 : size * run->count, job);
}

static void send_drop(struct pool *pool, struct pool__channel *channel, uint64_t id)
{
    struct pool__frame frame;

    memset(&frame, 0, sizeof frame);
    frame.kind = POOL__FRAME_DROP;
    frame.shared = id;
    send_frame(pool, channel, &frame, &nowhere, NULL, 0, NULL);
}

/* One DROP after the other, each when nothing waits before it. */
static void drop_unwanted(struct pool *pool, struct pool__channel *channel)
{
    size_t i = 0;

    while (i < channel->shared_count && !is_waiting(channel)) {
        uint64_t id = channel->shared[i].id;

        if (!channel->shared[i].unwanted) {
            i++;
            continue;
        }
        channel->shared[i] = channel->shared[--channel->shared_count];
        send_drop(pool, channel, id);
    }
}

static void drop_shared(struct pool *pool, struct pool__channel *channel, uint64_t id)
{
    size_t i;

    for (i = 0; i < channel->shared_count; i++)
        if (channel->shared[i].id == id)
            channel->shared[i].unwanted = true;
    drop_unwanted(pool, channel);
}

void pool__channel_forget(struct pool *pool, struct pool__channel *channel, struct pool__job *job, bool reading_it)
{
    if (channel->large.job == job)
        pool__bulk_out_forget(&channel->large);
    if (reading_it && channel->decoder.have == POOL__RECORD_SIZE)
        channel->arrival.at = NULL;
    if (job->shared_id != 0)
        drop_shared(pool, channel, job->shared_id);
}

void pool__channel_unsend(struct pool__channel *channel, uint32_t batch)
{
    if (channel->large.job != NULL && channel->large.batch == batch)
        pool__bulk_out_forget(&channel->large);
}

void pool__channel_forget_all(struct pool__channel *channel)
{
    pool__bulk_out_forget(&channel->large);
    channel->arrival.at = NULL;
}
