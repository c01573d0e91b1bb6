/*
 * delivery - what a record of a worker's stream means: checked against the one seat that it came from (inv. 8), then
 * handed to the scheduler.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/staffing.h"

#define FIRST_ROOM 65536u /* heap for a payload before any of it is here */
#define WORDS_MOST 65536u /* longer words are nonsense */

bool pool__deliver_is_next(const struct pool__seat *seat, const struct pool__record *record)
{
    const struct pool__run *run = pool__seat_head(seat);

    return run != NULL && record->batch == seat->head && record->offset == run->done;
}

/* Heap for `size` announced bytes, of which few are here yet; one more for a final NUL. */
static void arrive_on_heap(struct pool__arrival *arrival, uint64_t size)
{
    arrival->room = size < FIRST_ROOM ? (size_t)size : FIRST_ROOM;
    arrival->heap = malloc(arrival->room + 1);
    arrival->no_memory = arrival->heap == NULL;
}

static bool start_result(struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;
    struct pool__run *run = pool__seat_head(seat);
    bool keep = true;

    if (!pool__deliver_is_next(seat, record) || !seat->was_ready)
        return false;
    if (record->how != POOL__HOW_OK) {
        if (record->size > WORDS_MOST)
            return false;
        if (record->size > 0)
            arrive_on_heap(&channel->arrival, record->size);
        return true;
    }
    channel->arrival.at = run->job->owner->place(run->job, run->first + run->done, record->size, &keep);
    if (channel->arrival.at == NULL && keep && record->size > 0)
        arrive_on_heap(&channel->arrival, record->size);
    return true;
}

bool pool__deliver_start(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;

    free(channel->arrival.heap); /* of a record that was dropped */
    memset(&channel->arrival, 0, sizeof channel->arrival);
    if (pool->scheduler.aborted)
        return true; /* nobody waits for it any more */
    switch (record->kind) {
    case POOL__RECORD_RESULT:
        return start_result(seat, channel);
    case POOL__RECORD_START_FAILED:
        if (seat->was_ready || record->size > WORDS_MOST)
            return false;
        arrive_on_heap(&channel->arrival, record->size);
        return true;
    case POOL__RECORD_READY:
    case POOL__RECORD_LEFT:
    case POOL__RECORD_LEAVING:
        break;
    }
    return true;
}

static void failed_words(struct pool__arrival *arrival, struct pool__outcome *outcome)
{
    if (arrival->heap == NULL)
        return;
    arrival->heap[arrival->got] = '\0';
    outcome->message = (char *)arrival->heap;
    arrival->heap = NULL;
}

static void ok_result(struct pool__channel *channel, struct pool__outcome *outcome)
{
    struct pool__arrival *arrival = &channel->arrival;

    outcome->size = (size_t)channel->decoder.record.size;
    if (arrival->no_memory) {
        outcome->status = POOL_NO_MEMORY;
        outcome->why = "no memory for the result in this process";
        return;
    }
    outcome->data = arrival->heap;
    arrival->heap = NULL;
}

static bool end_result(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;
    struct pool__outcome outcome;

    if (!pool__deliver_is_next(seat, record)) {
        free(channel->arrival.heap);
        channel->arrival.heap = NULL;
        return false;
    }
    memset(&outcome, 0, sizeof outcome);
    outcome.start = record->start;
    outcome.run = record->run;
    switch (record->how) {
    case POOL__HOW_FAILED:
        outcome.status = POOL_FAILED;
        outcome.code = record->code;
        failed_words(&channel->arrival, &outcome);
        break;
    case POOL__HOW_REFUSED:
        outcome.status = POOL_INVALID;
        outcome.why = "the function is not in the workers' memory: its library was loaded after the pool was made";
        break;
    case POOL__HOW_NO_MEMORY:
        outcome.status = POOL_NO_MEMORY;
        outcome.why = "no memory for the result in the worker";
        break;
    case POOL__HOW_OK:
    case POOL__HOW_COUNT:
        ok_result(channel, &outcome);
        break;
    }
    free(channel->arrival.heap); /* words that came with a refusal */
    channel->arrival.heap = NULL;
    pool__scheduler_result(&pool->scheduler, seat, &outcome, pool__now());
    /* it is to leave, in time */
    pool->restaff = pool->restaff || ((seat->budget == 0 || seat->state == POOL__SEAT_LEAVING) && seat->owed == 0);
    return true;
}

static void note_failed_start(struct pool *pool, struct pool__channel *channel)
{
    struct pool__arrival *arrival = &channel->arrival;

    channel->start_failed = true;
    free(pool->last_failure.words);
    pool->last_failure.words = NULL;
    pool->last_failure.code = channel->decoder.record.code;
    if (arrival->heap == NULL || arrival->got == 0)
        return;
    arrival->heap[arrival->got] = '\0';
    pool->last_failure.words = (char *)arrival->heap;
    arrival->heap = NULL;
}

bool pool__deliver_end(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;

    if (pool->scheduler.aborted) {
        channel->announced = channel->announced || record->kind == POOL__RECORD_LEAVING;
        return true;
    }
    switch (record->kind) {
    case POOL__RECORD_RESULT:
        return end_result(pool, seat, channel);
    case POOL__RECORD_READY:
        if (seat->was_ready)
            return false;
        seat->was_ready = true;
        if (!seat->spawned)
            seat->pid = record->code; /* for show; SPAWNED, which has the truth, is on its way by the other channel */
        pool->restaff = true;         /* its start timeout is past */
        pool__staffing_ready(&pool->scheduler, seat, pool__now());
        return true;
    case POOL__RECORD_START_FAILED:
        note_failed_start(pool, channel);
        return true;
    case POOL__RECORD_LEFT:
        return pool__scheduler_left(&pool->scheduler, seat, record->batch, pool__now());
    case POOL__RECORD_LEAVING:
        channel->announced = true;
        pool->restaff = true;
        return pool__scheduler_leaving(&pool->scheduler, seat, pool__now());
    }
    return false;
}
