/* world_hash - the state of a world as a number: two worlds with the same number go on alike. */
#ifndef TEST_WORLD_HASH_H
#define TEST_WORLD_HASH_H

#include "world.h"

static inline void mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    *hash ^= *hash >> 29;
}

static inline bool has_kills(const struct world_plan *plan)
{
    unsigned i;

    for (i = 0; i < plan->job_count; i++)
        if (plan->jobs[i].deadline != 0)
            return true;
    return plan->cancels_kill || plan->cancels_items || plan->silent;
}

/*
 * Times only matter as distances from now, those in the past up to `past`, those to come up to the horizon. Batch
 * numbers only matter as distances from the last that was left.
 */
static inline void mix_time(uint64_t *hash, const struct world *world, uint64_t time, uint64_t past)
{
    if (time == POOL__NEVER || (time > world->now && time - world->now > WORLD_HORIZON))
        mix(hash, 1);
    else if (time < world->now)
        mix(hash, 2 + 2 * pool__earlier(world->now - time, past));
    else
        mix(hash, 3 + 2 * (time - world->now));
}

static inline void mix_run(uint64_t *hash, const struct world *world, const struct pool__run *run)
{
    if (run == NULL) {
        mix(hash, 3);
        return;
    }
    mix(hash, (uint64_t)(job_of(run->job) - world->jobs));
    mix(hash, run->first << 32 | (uint64_t)run->count << 16 | run->done);
    mix(hash, (uint64_t)run->suspicion << 16 | (uint64_t)run->attempt << 32 | run->moves);
}

static inline void mix_place(uint64_t *hash, const struct pool__seat *seat, uint64_t word)
{
    uint32_t batch = (uint32_t)(word >> 32) - seat->left;

    mix(hash, batch == 0 || batch > POOL__FLIGHT ? 0 : (uint64_t)batch << 32 | (uint32_t)word);
}

static inline void mix_board(uint64_t *hash, const struct pool__seat *seat)
{
    uint32_t batch;

    mix_place(hash, seat, atomic_load(&seat->board->running));
    mix_place(hash, seat, atomic_load(&seat->board->cancel));
    mix(hash, atomic_load(&seat->board->hurry));
    for (batch = seat->left + 1; batch != seat->sent + 1; batch++)
        mix(hash, atomic_load(&seat->board->range[batch % POOL__FLIGHT]) << 16);
}

static inline void mix_stream(uint64_t *hash, const struct pool__seat *seat, const struct sim_worker *worker)
{
    unsigned i;

    mix(hash, worker->piped - worker->read);
    mix(hash, worker->received - worker->read);
    for (i = worker->received; i != worker->staged; i++) {
        const struct pool__record *record = &worker->stream[i % SIM_STREAM];

        mix(hash, (uint64_t)record->kind << 48 | (uint64_t)(record->batch - seat->left) << 16 |
                      (uint64_t)record->offset << 8 | (uint64_t)record->how);
    }
}

static inline void mix_worker(uint64_t *hash, const struct world *world, const struct pool__seat *seat)
{
    const struct sim_worker *worker = &world->workers[seat->index];
    bool has_item = worker->pc == SIM_MARK || worker->pc == SIM_CHECK || worker->pc == SIM_RUN || worker->pc == SIM_STAGED;
    unsigned i;

    mix(hash, (uint64_t)worker->dead << 1 | (uint64_t)worker->kill_sent << 2 | (uint64_t)worker->announced << 3 |
                  (uint64_t)worker->poisoned << 4 | (uint64_t)worker->wants_room << 5 |
                  (uint64_t)worker->fails_to_start << 6 | (uint64_t)worker->pc << 8 |
                  (uint64_t)(has_item ? worker->offset : 0) << 16);
    mix(hash, worker->tasks_per_worker != 0 ? worker->started_items : 0);
    if (has_item && world->plan->claims > 0) {
        mix(hash, (uint64_t)worker->claim.next << 32 | worker->claim.end);
        mix(hash, (uint64_t)(worker->done.batch - seat->left) << 32 | (uint64_t)worker->done.offset << 8 | worker->done.mark);
        mix(hash, worker->claim.word << 16 | worker->lost);
    }
    mix(hash, (uint64_t)worker->status);
    mix(hash, has_item || worker->pc == SIM_CLAIM ? worker->frame.batch - seat->left : 0);
    for (i = worker->from; i != worker->to; i++)
        mix(hash, (uint64_t)(worker->frames[i % SIM_FRAMES].batch - seat->left) << 2 |
                      (uint64_t)(i - worker->from < worker->fetched - worker->from) << 1 |
                      worker->frames[i % SIM_FRAMES].stop);
    mix(hash, 5);
    mix_stream(hash, seat, worker);
    mix(hash, worker->oldest != 0 && world->now - worker->oldest >= SIM_FLUSH_AFTER);
    mix(hash, (worker->pc == SIM_RUN || worker->pc == SIM_STAGED) && world->now - worker->began >= SIM_FLUSH_AFTER);
}

/* What deadlines and kills add; worlds without them are spared it. */
static inline void mix_kills(uint64_t *hash, const struct world *world, const struct pool__seat *seat)
{
    const struct sim_worker *worker = &world->workers[seat->index];
    struct pool__place place = pool__board_running(seat->board);
    bool sighted = place.batch == seat->sighted.batch && place.offset == seat->sighted.offset;

    mix_time(hash, world, seat->owed > 0 ? seat->check_at : POOL__NEVER, 0);
    if (worker->pc == SIM_RUN || worker->pc == SIM_STAGED)
        mix_time(hash, world, worker->began, WORLD_HORIZON);
    mix_time(hash, world, sighted ? seat->sighted_at : POOL__NEVER, WORLD_HORIZON);
    mix(hash, (uint64_t)(place.batch == seat->excused.batch && place.offset == seat->excused.offset) |
                  (uint64_t)seat->abandoned << 1 | (uint64_t)(worker->struck != NULL) << 2);
    if (seat->state != POOL__SEAT_DYING)
        return;
    mix_time(hash, world, seat->since, WORLD_HORIZON);
    mix_time(hash, world, seat->prodded_at, WORLD_HORIZON);
    mix(hash, seat->prods);
}

/* One that nobody waits for: the order of those does not matter, nor when they came to that. */
static inline uint64_t hash_of_abandoned(const struct sim_worker *worker)
{
    uint64_t hash = 13;

    mix(&hash, (uint64_t)worker->dead | (uint64_t)worker->pc << 8 | (uint64_t)worker->offset << 16);
    mix(&hash, worker->frame.batch);
    mix(&hash, worker->to - worker->from);
    mix(&hash, worker->staged - worker->piped);
    mix(&hash, (uintptr_t)worker->frame.job);
    return hash;
}

static inline void mix_seat(uint64_t *hash, const struct world *world, const struct pool__seat *seat)
{
    uint32_t batch;

    mix(hash, (uint64_t)seat->state);
    if (seat->state == POOL__SEAT_EMPTY)
        return;
    mix(hash, (uint64_t)seat->reason | (uint64_t)seat->was_ready << 16 | (uint64_t)seat->started_any << 17);
    mix(hash, seat->budget);
    mix(hash, (uint64_t)(seat->sent - seat->left) << 20 | (seat->head - seat->left));
    mix_worker(hash, world, seat);
    if (world->aborting)
        mix_time(hash, world, seat->since, WORLD_HORIZON);
    if (seat->owed > 0 || world->aborting) {
        mix_time(hash, world, seat->heard, WORLD_HORIZON);
        mix(hash, seat->looks);
    }
    mix_board(hash, seat);
    if (has_kills(world->plan))
        mix_kills(hash, world, seat);
    for (batch = seat->head; batch != seat->sent + 1; batch++)
        mix_run(hash, world, seat->flight[batch % POOL__FLIGHT]);
}

static inline void mix_job(uint64_t *hash, const struct world *world, const struct world_job *job)
{
    const struct pool__link *link;
    unsigned i;

    mix(hash, (uint64_t)job->unwanted | (uint64_t)job->cancelled << 1 | (uint64_t)job->job.withdrawn << 2 |
                  (uint64_t)job->job.cancel_asked << 3 | (uint64_t)job->kill_said << 4 |
                  (uint64_t)job->job.kill_asked << 5 | (uint64_t)job->job.last_batch << 8 | job->job.next << 40);
    mix(hash, job->job.item_ns);
    for (link = job->job.returned.next; link != &job->job.returned; link = link->next)
        mix_run(hash, world, pool__holder(link, struct pool__run, link));
    for (i = 0; i < job->count; i++)
        mix(hash, job->items[i].outcome != 0
                      ? 1
                      : 2 | (uint64_t)job->items[i].starts << 8 | (uint64_t)job->items[i].published << 16 |
                            (uint64_t)job->items[i].inside << 24 | (uint64_t)job->items[i].asked << 32);
}

static inline void mix_list(uint64_t *hash, const struct world *world, const struct pool__link *list, bool of_seats)
{
    const struct pool__link *link;

    mix(hash, 7);
    for (link = list->next; link != list; link = link->next)
        mix(hash, of_seats ? pool__holder(link, struct pool__seat, link)->index
                           : (uint64_t)(job_of(pool__holder(link, struct pool__job, link)) - world->jobs));
}

static inline uint64_t world_hash(const struct world *world)
{
    const struct pool__scheduler *scheduler = &world->scheduler;
    uint64_t hash = 11, abandoned = 0;
    unsigned i;

    mix(&hash, (uint64_t)world->submitted | (uint64_t)world->deaths_left << 8 | (uint64_t)world->bad_starts_left << 16 |
                   (uint64_t)world->refusals_left << 48 | (uint64_t)world->closed << 24 |
                   (uint64_t)world->aborting << 25 | (uint64_t)world->resized << 26 | (uint64_t)world->restaff << 27 |
                   (uint64_t)scheduler->bulk_turn << 28 | (uint64_t)scheduler->ending << 29 |
                   (uint64_t)scheduler->bad_before_ready << 30 | (uint64_t)scheduler->work_to_share << 31 |
                   (uint64_t)scheduler->bad_starts << 32);
    mix(&hash, (uint64_t)world->ticks << 32 ^ scheduler->lone_ns ^ (uint64_t)scheduler->lone_batch << 56);
    mix_time(&hash, world, scheduler->owed > 0 ? scheduler->look_at : POOL__NEVER, 0);
    mix_time(&hash, world, scheduler->staff_at, 0);
    mix_time(&hash, world, scheduler->next_spawn, 0);
    mix(&hash, (uint64_t)world->stalls_left | (uint64_t)world->zygote_dead << 8 | (uint64_t)world->silent << 9);
    if (world->plan->silent)
        mix_time(&hash, world, world->quiet_since, 2 * WORLD_HORIZON);
    if (has_kills(world->plan))
        mix_time(&hash, world, scheduler->owed > 0 ? scheduler->check_at : POOL__NEVER, 200 * POOL__MS);
    for (i = WORLD_SEATS; i < WORLD_WORKERS; i++)
        if (world->workers[i].forked)
            abandoned += hash_of_abandoned(&world->workers[i]);
    mix(&hash, abandoned);
    mix_list(&hash, world, &scheduler->lone, false);
    mix_list(&hash, world, &scheduler->bulk, false);
    mix_list(&hash, world, &scheduler->idle, true);
    mix_list(&hash, world, &scheduler->roomy, true);
    for (i = 0; i < scheduler->limit; i++)
        mix_seat(&hash, world, &scheduler->seats[i]);
    for (i = 0; i < world->submitted; i++)
        mix_job(&hash, world, &world->jobs[i]);
    return hash;
}

#endif
