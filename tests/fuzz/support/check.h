/* check - what must hold of a pool between any two events, whatever its workers do. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "engine/engine.h"
#include "input.h"

static inline uint64_t owed_by_table(const struct pool__seat *seat)
{
    uint64_t owed = 0;
    uint32_t batch;

    MUST(seat->sent - seat->left <= POOL__FLIGHT);
    MUST(seat->head - seat->left - 1 <= seat->sent - seat->left);
    for (batch = seat->left + 1; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

        if (run == NULL)
            continue;
        MUST(batch - seat->left >= seat->head - seat->left); /* what lies before the head has its outcomes */
        MUST(run->done < run->count);
        MUST(run->job->in_flight >= run->count - run->done);
        owed += run->count - run->done;
    }
    return owed;
}

/* Items of one job that are with workers, without an outcome. */
static inline uint64_t owed_of_job(const struct pool__scheduler *scheduler, const struct pool__job *job)
{
    uint64_t owed = 0;
    unsigned i, entry;

    for (i = 0; i < scheduler->limit; i++)
        for (entry = 0; scheduler->seats[i].board != NULL && entry < POOL__FLIGHT; entry++) {
            const struct pool__run *run = scheduler->seats[i].flight[entry];

            if (run != NULL && run->job == job)
                owed += run->count - run->done;
        }
    return owed;
}

/* Memory grows with bytes received, never with a length announced (inv. 8). */
static inline void check_channel(const struct pool__channel *channel)
{
    const struct pool__arrival *arrival = &channel->arrival;

    MUST(arrival->heap == NULL || arrival->room <= 65536 || arrival->room <= 2 * arrival->got);
    MUST(arrival->heap == NULL || arrival->got <= arrival->room);
    MUST(arrival->got <= channel->received + channel->large_in.taken);
    MUST(channel->decoder.have <= POOL__RECORD_SIZE);
}

static inline void check_pool(const struct pool *pool)
{
    const struct pool__scheduler *scheduler = &pool->scheduler;
    uint64_t owed = 0;
    unsigned i, alive = 0;

    for (i = 0; i < scheduler->limit; i++) {
        const struct pool__seat *seat = &scheduler->seats[i];

        alive += seat->state != POOL__SEAT_EMPTY;
        if (seat->board == NULL) {
            MUST(seat->owed == 0 || seat->state == POOL__SEAT_EMPTY);
            continue;
        }
        MUST(seat->owed == owed_by_table(seat));
        owed += seat->owed;
        check_channel(&pool->channels[i]);
        if (pool__seat_head(seat) != NULL)
            MUST(owed_of_job(scheduler, pool__seat_head(seat)->job) == pool__seat_head(seat)->job->in_flight);
    }
    MUST(owed == scheduler->owed);
    MUST(alive == scheduler->alive);
    MUST(scheduler->finished + scheduler->owed <= pool->submitted);
}

#endif
