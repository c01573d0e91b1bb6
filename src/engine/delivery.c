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

/* How many of a row's results, from the front, were taken before it was closed. */
static uint32_t known_of(const struct pool__channel *channel, const struct pool__record *record)
{
    return record->batch == channel->open_batch && record->offset == channel->open_first ? channel->open_taken : 0;
}

static bool is_known(const struct pool__channel *channel, const struct pool__record *record)
{
    return record->kind == POOL__RECORD_ROW && known_of(channel, record) == record->count;
}

bool pool__deliver_is_next(const struct pool__seat *seat, const struct pool__channel *channel,
                           const struct pool__record *record)
{
    const struct pool__run *run = pool__seat_head(seat);
    uint32_t known;

    if (run == NULL || record->batch != seat->head)
        return false;
    if (record->kind != POOL__RECORD_ROW)
        return record->offset == run->done;
    known = known_of(channel, record);
    return record->timed == run->job->timed && known < record->count && record->offset + known == run->done &&
           record->offset <= run->count && record->count <= run->count - record->offset;
}

void pool__arrive_on_heap(struct pool__arrival *arrival, uint64_t size)
{
    arrival->room = size < FIRST_ROOM ? (size_t)size : FIRST_ROOM;
    arrival->heap = malloc(arrival->room + 1);
    arrival->no_memory = arrival->heap == NULL;
}

/* What says that results are at their places is sane only where they have such. */
static bool may_be_there(const struct pool__seat *seat, const struct pool__record *record)
{
    return !record->there || pool__seat_head(seat)->job->results != NULL;
}

static bool start_result(struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;
    struct pool__run *run = pool__seat_head(seat);
    bool keep = true;

    if (!pool__deliver_is_next(seat, channel, record) || !seat->was_ready || !may_be_there(seat, record))
        return false;
    if (record->there)
        return true;
    if (record->how != POOL__HOW_OK) {
        if (record->size > WORDS_MOST)
            return false;
        if (record->size > 0)
            pool__arrive_on_heap(&channel->arrival, record->size);
        return true;
    }
    channel->arrival.at = run->job->owner->place(run->job, run->first + run->done, record->size, &keep);
    if (channel->arrival.at == NULL && keep && record->size > 0)
        pool__arrive_on_heap(&channel->arrival, record->size);
    return true;
}

/* Results of a row that have places of their size lie there one after the other: a map's (struct pool__owner). */
static bool start_row(struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;
    struct pool__arrival *arrival = &channel->arrival;
    struct pool__run *run = pool__seat_head(seat);
    bool keep;

    if (is_known(channel, record))
        return true;
    if (!pool__deliver_is_next(seat, channel, record) || !seat->was_ready || !may_be_there(seat, record))
        return false;
    if (!record->timed && record->each > 0)
        arrival->at = run->job->owner->place(run->job, run->first + run->done, record->each, &keep);
    arrival->placed = arrival->at != NULL;
    if (arrival->placed)
        arrival->known = known_of(channel, record) * (size_t)record->each;
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
    case POOL__RECORD_ROW:
        return start_row(seat, channel);
    case POOL__RECORD_START_FAILED:
        if (seat->was_ready || record->size > WORDS_MOST)
            return false;
        pool__arrive_on_heap(&channel->arrival, record->size);
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

static void ok_result(const struct pool__seat *seat, struct pool__channel *channel, struct pool__outcome *outcome)
{
    const struct pool__record *record = &channel->decoder.record;
    struct pool__arrival *arrival = &channel->arrival;

    outcome->size = record->there ? pool__seat_head(seat)->job->result_size : (size_t)record->size;
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

    if (!pool__deliver_is_next(seat, channel, record)) {
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
        ok_result(seat, channel, &outcome);
        break;
    }
    free(channel->arrival.heap); /* words that came with a refusal */
    channel->arrival.heap = NULL;
    pool__scheduler_result(&pool->scheduler, seat, &outcome, pool__now());
    /* it is to leave, in time */
    pool->restaff = pool->restaff || ((seat->budget == 0 || seat->state == POOL__SEAT_LEAVING) && seat->owed == 0);
    return true;
}

/* ---- rows */

/* One of a row whose owner takes no rows, or for which there was no memory. */
static void end_one_of_row(struct pool *pool, struct pool__seat *seat, const struct pool__row *row, uint32_t which,
                           bool no_memory)
{
    struct pool__job *job = pool__seat_head(seat)->job;
    struct pool__outcome outcome;
    bool keep = true;
    void *place;

    memset(&outcome, 0, sizeof outcome);
    outcome.size = row->size;
    outcome.start = row->start;
    outcome.run = pool__row_run(row, which);
    place = no_memory ? NULL : job->owner->place(job, row->first + which, row->size, &keep);
    if (place == NULL && keep && row->size > 0 && !no_memory)
        place = outcome.data = malloc(row->size);
    if (no_memory || (place == NULL && keep && row->size > 0)) {
        outcome.status = POOL_NO_MEMORY;
        outcome.why = "no memory for the result in this process";
    } else if (place != NULL && row->bytes != NULL) {
        memcpy(place, row->bytes + (size_t)which * row->stride, row->size);
    }
    pool__scheduler_result(&pool->scheduler, seat, &outcome, pool__now());
}

/* The results `bytes` of a row, from the seat's next item on; NULL: at their places, or, `no_memory`, nowhere. */
static void end_row(struct pool *pool, struct pool__seat *seat, const struct pool__record *record, uint32_t known,
                    const unsigned char *bytes, bool no_memory)
{
    const struct pool__run *run = pool__seat_head(seat);
    struct pool__row row;
    uint32_t i;

    memset(&row, 0, sizeof row);
    row.first = run->first + run->done;
    row.count = record->count - known;
    row.size = record->there ? run->job->result_size : record->each;
    row.stride = pool__row_stride(record->each, record->timed);
    row.times = record->timed ? bytes : NULL;
    row.bytes = record->there ? NULL : record->timed && bytes != NULL ? bytes + 8 : bytes;
    row.worker = seat->pid;
    row.attempts = run->attempt;
    row.start = record->start;
    row.mean = record->run / record->count;
    if (run->job->owner->finished_row != NULL && !no_memory)
        pool__scheduler_row(&pool->scheduler, seat, &row, pool__now());
    else
        for (i = 0; i < row.count; i++)
            end_one_of_row(pool, seat, &row, i, no_memory);
    pool->restaff = pool->restaff || ((seat->budget == 0 || seat->state == POOL__SEAT_LEAVING) && seat->owed == 0);
}

static bool end_whole_row(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel)
{
    const struct pool__record *record = &channel->decoder.record;
    struct pool__arrival *arrival = &channel->arrival;
    const unsigned char *bytes = arrival->whole != NULL ? arrival->whole : arrival->heap;
    uint32_t known = known_of(channel, record);
    bool sane = is_known(channel, record) || pool__deliver_is_next(seat, channel, record);

    channel->open_batch = 0;
    if (sane && known < record->count) {
        size_t before = known * pool__row_stride(record->each, record->timed);
        bool nothing = record->size == 0;

        end_row(pool, seat, record, known, arrival->placed || bytes == NULL ? NULL : bytes + before,
                !arrival->placed && !nothing && bytes == NULL);
    }
    free(arrival->heap);
    arrival->heap = NULL;
    return sane;
}

/* Its results go to their places here, if they have any: what follows of the row may bring it again. */
bool pool__deliver_open_row(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel,
                            const struct pool__record *record, const unsigned char *bytes)
{
    struct pool__run *run = pool__seat_head(seat);
    uint32_t known = known_of(channel, record), count = record->count - known;
    void *place = NULL;
    bool keep;

    if (pool->scheduler.aborted)
        return true;
    if (!pool__deliver_is_next(seat, channel, record) || !seat->was_ready || !may_be_there(seat, record))
        return false;
    if (!record->timed && record->each > 0)
        place = run->job->owner->place(run->job, run->first + run->done, record->each, &keep);
    if (place != NULL)
        memcpy(place, bytes, (size_t)count * record->each);
    channel->open_batch = record->batch;
    channel->open_first = record->offset;
    channel->open_taken = record->count;
    end_row(pool, seat, record, known, place != NULL || record->size == 0 ? NULL : bytes, false);
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
    case POOL__RECORD_ROW:
        return end_whole_row(pool, seat, channel);
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
