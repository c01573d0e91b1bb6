/* channel_in - the reading half of a channel: the result stream, from the pipe and from the board. */
#include "engine/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "engine/crash_words.h"
#include "engine/engine.h"
#include "engine/staffing.h"

/* of the last look at a pipe that is not empty, and whose bytes nobody brings again */
#define DRAIN_TRIES 16u

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Payload for the place that it was given, or for heap memory that grows with it. */
static void store(struct pool__arrival *arrival, const unsigned char *piece, size_t size, uint64_t announced)
{
    if (arrival->known > 0) {
        size_t known = arrival->known < size ? arrival->known : size;

        arrival->known -= known;
        arrival->got += known;
        piece += known;
        size -= known;
    }
    if (arrival->heap != NULL && arrival->got + size > arrival->room) {
        size_t room = arrival->room;
        unsigned char *heap;

        while (room < arrival->got + size)
            room = room > announced / 2 ? (size_t)announced : room * 2;
        heap = realloc(arrival->heap, room + 1);
        if (heap == NULL) {
            free(arrival->heap);
            memset(arrival, 0, sizeof *arrival);
            arrival->no_memory = true;
            return;
        }
        arrival->heap = heap;
        arrival->room = room;
    }
    if (arrival->heap != NULL)
        memcpy(arrival->heap + arrival->got, piece, size);
    else if (arrival->at != NULL) {
        memcpy(arrival->at, piece, size);
        arrival->at += size;
    }
    arrival->got += size;
}

/*
 * A place is good only as long as the item is the next that is owed here: a worker can lie an item away that it has
 * begun to send, and what is not waited for any more has none either.
 */
static void check_place(const struct pool__seat *seat, struct pool__channel *channel)
{
    if (channel->arrival.at != NULL && !pool__deliver_is_next(seat, channel, &channel->decoder.record))
        channel->arrival.at = NULL;
}

/* What it has not claimed until now it shall not: of what it has claimed, nothing can be given to another. */
static void condemn(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    channel->poisoned = true;
    pool__staffing_condemn(&pool->scheduler, seat, POOL__KILL_NONSENSE, pool__now());
    pool__scheduler_empty_seat(&pool->scheduler, seat);
    pool__channel_leave_poller(pool, channel);
}

/* A row that comes in one piece is used where it lies; one that is cut is put together. */
static void take_piece(struct pool__channel *channel, const unsigned char *piece, size_t size)
{
    struct pool__arrival *arrival = &channel->arrival;
    const struct pool__record *record = &channel->decoder.record;

    if (arrival->placed) { /* without the padding */
        uint64_t wanted = (uint64_t)record->count * record->each - arrival->got;

        size = smaller(wanted, size);
    } else if (record->kind == POOL__RECORD_ROW) {
        if (arrival->got == 0 && size == record->size) {
            arrival->whole = piece;
            return;
        }
        if (arrival->heap == NULL && !arrival->no_memory)
            pool__arrive_on_heap(arrival, record->size);
    }
    store(arrival, piece, size, record->size);
}

/* One step of a large payload. False: more bytes are needed. */
static bool take_large(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel,
                       const unsigned char **bytes, size_t *size)
{
    const unsigned char *piece;
    size_t piece_size;
    enum pool__bulk_step step = pool__bulk_in_step(&channel->large_in, bytes, size, &piece, &piece_size);

    if (step == POOL__BULK_NONSENSE)
        condemn(pool, seat, channel);
    if (step == POOL__BULK_PAYLOAD || step == POOL__BULK_FROM_RING) {
        check_place(seat, channel);
        store(&channel->arrival, piece, piece_size, channel->decoder.record.size);
    }
    if (step == POOL__BULK_FROM_RING) {
        pool__bulk_in_took(&channel->large_in, piece_size);
        pool->bytes_received += piece_size;
    }
    return step != POOL__BULK_NOTHING;
}

static bool start_record(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    if (!pool__deliver_start(pool, seat, channel))
        return false;
    if (pool__board_is_large(&channel->decoder.record)) {
        channel->large_in.left = channel->decoder.record.size;
        pool__decoder_skip(&channel->decoder, channel->decoder.record.size);
    }
    return true;
}

/* The next bytes of the stream. */
static void decode(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel,
                   const unsigned char *bytes, size_t size)
{
    const unsigned char *piece;
    size_t piece_size;

    while (!channel->poisoned) {
        if (pool__bulk_in_waits(&channel->large_in)) {
            if (!take_large(pool, seat, channel, &bytes, &size))
                return;
            continue;
        }
        switch (pool__decoder_step(&channel->decoder, &bytes, &size, &piece, &piece_size)) {
        case POOL__DECODED_NOTHING:
            return;
        case POOL__DECODED_RECORD:
            if (!start_record(pool, seat, channel))
                condemn(pool, seat, channel);
            break;
        case POOL__DECODED_PAYLOAD:
            check_place(seat, channel);
            take_piece(channel, piece, piece_size);
            break;
        case POOL__DECODED_END:
            if (!pool__deliver_end(pool, seat, channel))
                condemn(pool, seat, channel);
            break;
        case POOL__DECODED_NONSENSE:
            condemn(pool, seat, channel);
            break;
        }
    }
}

/* Bytes that came by the pipe; the first of them may have been taken from the board before. */
static void decode_piped(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel,
                         const unsigned char *bytes, size_t size)
{
    size_t known = channel->piped < channel->received ? smaller(channel->received - channel->piped, size) : 0;

    channel->piped += size;
    pool->bytes_received += size;
    channel->received += size - known;
    if (known > 0)
        pool__scheduler_heard(&pool->scheduler, seat, pool__now());
    decode(pool, seat, channel, bytes + known, size - known);
}

/* One read of at most `most` bytes: what read returned, the bytes delivered. */
static ssize_t read_once(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel, size_t most)
{
    ssize_t got;

    pool__bulk_in_read(&channel->large_in);
    got = pool__read_some(channel->results, pool->scratch, most < POOL__SCRATCH ? most : POOL__SCRATCH);
    if (got > 0)
        decode_piped(pool, seat, channel, pool->scratch, (size_t)got);
    return got;
}

/*
 * In the middle of a record of which no more can come: what began it was not the worker's own code. It may never send
 * again, and be looked at no more: so not only what is known to be over counts, but what cannot be.
 */
static void check_progress(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    if (channel->decoder.have == 0 || channel->poisoned || seat->board == NULL)
        return;
    if (!pool__seat_may_send_more(seat, channel->received))
        condemn(pool, seat, channel);
}

static void read_some(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    int turns;

    for (turns = 0; turns < 16 && !channel->poisoned && !channel->at_end; turns++) {
        ssize_t got = read_once(pool, seat, channel, POOL__SCRATCH);

        if (got == POOL__GONE) {
            /* its end only hints at a death: the zygote tells (inv. 2), where it is not stopped */
            pool__poller_remove(pool->pipes, channel->results);
            channel->at_end = true;
            if (!pool__has_hung_up(channel->results)) /* no end, but a failure; what is in it is read after its death */
                pool__staffing_condemn(&pool->scheduler, seat, POOL__KILL_PIPE, pool__now());
            seat->hung_up = true;
            pool__death_expected(pool, seat);
            seat->prodded_at = pool__now();
            pool->restaff = true;
        }
        if (got <= 0 || (got < 4096 && !pool__bulk_in_waits(&channel->large_in)))
            return;
    }
}

/* A bounded amount, so that one that floods does not starve the others. */
void pool__channel_read(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    read_some(pool, seat, channel);
    check_progress(pool, seat, channel);
}

static void take_open_row(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__run *run = pool__seat_head(seat);
    struct pool__record record;

    if (channel->poisoned || channel->decoder.have > 0 || run == NULL ||
        !pool__board_open_row(seat->board, channel->received, seat->head, run->done, &record, pool->scratch,
                              POOL__SCRATCH))
        return;
    if (!pool__deliver_open_row(pool, seat, channel, &record, pool->scratch))
        condemn(pool, seat, channel);
}

/* Once: all of staging fits. A worker that stages on and on would hold us here. */
void pool__channel_salvage(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    size_t got;

    if (channel->poisoned || seat->board == NULL)
        return;
    got = pool__board_salvage(seat->board, channel->received, pool->scratch, POOL__SCRATCH);
    channel->received += got;
    decode(pool, seat, channel, pool->scratch, got);
    take_open_row(pool, seat, channel);
    check_progress(pool, seat, channel);
}

void pool__channel_drain(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    size_t left =
        pool__identity_is(channel->results, &channel->result_pipe) ? pool__readable_bytes(channel->results) : 0;
    unsigned tries = DRAIN_TRIES;

    while (left > 0 && !channel->poisoned) {
        ssize_t got = read_once(pool, seat, channel, left);

        if (got == POOL__NOT_NOW && tries-- > 0)
            continue;
        if (got <= 0)
            break;
        left -= (size_t)got < left ? (size_t)got : left;
    }
    pool__channel_salvage(pool, seat, channel);
}
