/* world_check - what must hold in a world: at every moment, when the host has nothing to do, and at its end. */
#ifndef TEST_WORLD_CHECK_H
#define TEST_WORLD_CHECK_H

#include "world_events.h"

/* ---- always: table and counts agree */

static inline uint64_t items_in_table(const struct pool__seat *seat)
{
    uint64_t count = 0;
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++)
        if (seat->flight[batch % POOL__FLIGHT] != NULL)
            count += seat->flight[batch % POOL__FLIGHT]->count - seat->flight[batch % POOL__FLIGHT]->done;
    return count;
}

static inline void check_seat(struct world *world, const struct pool__seat *seat)
{
    const struct sim_worker *worker = &world->workers[seat->index];

    if (seat->owed != items_in_table(seat))
        complain(world, "a seat owes other than its table says");
    if (seat->sent - seat->left > POOL__FLIGHT)
        complain(world, "more batches than board entries");
    if ((seat->state == POOL__SEAT_EMPTY) == worker->forked || (seat->board != NULL) != worker->forked)
        complain(world, "a seat and its worker disagree");
    if (seat->state == POOL__SEAT_EMPTY && seat->owed != 0)
        complain(world, "an empty seat owes items");
    if (pool__is_linked(&seat->link) && seat->state != POOL__SEAT_READY)
        complain(world, "a seat is listed that takes nothing");
    if (world->plan->tasks_per_worker != 0 && worker->forked && worker->started_items > world->plan->tasks_per_worker)
        complain(world, "a worker has started more than tasks_per_worker");
}

static inline void world_check(struct world *world)
{
    uint64_t owed = 0, in_flight = 0, left = 0, waiting = pool__scheduler_waiting(&world->scheduler);
    unsigned i, alive = 0;

    for (i = 0; i < world->scheduler.limit; i++) {
        const struct pool__seat *seat = &world->scheduler.seats[i];

        check_seat(world, seat);
        owed += seat->owed;
        alive += seat->state != POOL__SEAT_EMPTY;
    }
    for (i = 0; i < world->submitted; i++) {
        in_flight += world->jobs[i].job.in_flight;
        left += world->jobs[i].left;
    }
    if (owed != world->scheduler.owed)
        complain(world, "the scheduler owes other than its seats");
    if (owed != in_flight)
        complain(world, "jobs have other items in flight than seats");
    if (left != owed + waiting)
        complain(world, "items without outcome are neither waiting nor with a worker");
    if (alive != world->scheduler.alive)
        complain(world, "a wrong count of live workers");
}

/* ---- when workers stand still and the host has nothing to do (inv. 7) */

/* No record, death or kill is on its way, and no timer will be due soon. */
static inline bool host_is_quiet(const struct world *world)
{
    struct choice choices[CHOICES_MAX];
    unsigned count = world_must(world, choices), i;

    for (i = 0; i < count; i++)
        if (choices[i].kind != STEP)
            return false;
    return true;
}

static inline uint64_t unclaimed_items(const struct pool__seat *seat)
{
    uint64_t count = 0;
    uint32_t batch, claimed;

    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

        if (run != NULL && pool__board_claimed(seat->board, batch, run->count, &claimed))
            count += run->count - claimed;
    }
    return count;
}

static inline bool has_idle_worker(const struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++) {
        const struct pool__seat *seat = &world->scheduler.seats[i];

        if (seat->state == POOL__SEAT_READY && seat->owed == 0 && seat->budget > 0 && !world->workers[i].wants_room &&
            pool__seat_has_entry(seat))
            return true;
    }
    return false;
}

static inline bool hides_a_result(const struct sim_worker *worker)
{
    unsigned i;

    for (i = worker->received; i < worker->staged; i++)
        if (worker->stream[i % SIM_STREAM].kind == POOL__RECORD_RESULT)
            return true;
    return false;
}

static inline void world_check_quiet(struct world *world)
{
    bool idle = has_idle_worker(world);
    unsigned i;

    if (world->aborting)
        return;
    if (idle && pool__scheduler_waits(&world->scheduler))
        complain(world, "an item waits, and a worker is idle");
    for (i = 0; i < world->scheduler.limit; i++) {
        const struct pool__seat *seat = &world->scheduler.seats[i];
        const struct sim_worker *worker = &world->workers[i];

        if ((seat->state != POOL__SEAT_READY && seat->state != POOL__SEAT_LEAVING) || worker->liar)
            continue;
        if (idle && unclaimed_items(seat) > 0)
            complain(world, "an item waits behind a worker that stands still, and another is idle");
        if (worker->forked && !worker->dead && worker->pc == SIM_RUN && hides_a_result(worker))
            complain(world, "a finished result waits behind a running function");
    }
}

/* ---- at the end */

static inline void check_outcomes(struct world *world)
{
    unsigned i, k;

    for (i = 0; i < world->submitted; i++) {
        const struct world_job *job = &world->jobs[i];

        if (job->left != 0 || job->job.in_flight != 0 || pool__job_waits(&job->job))
            complain(world, "the world stands still: items have no outcome");
        for (k = 0; k < job->count; k++)
            if (job->items[k].outcome == 0)
                complain(world, "an item has no outcome");
    }
}

static inline bool anybody_hangs(const struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        if (world->workers[i].forked && !world->workers[i].dead && sim_worker_hangs(&world->workers[i]))
            return true;
    return false;
}

/* Everything that is under way happens, in some order. */
static inline void run_down(struct world *world)
{
    struct choice choices[CHOICES_MAX];
    unsigned steps = 0;

    while (world->complaint == NULL) {
        if (world_must(world, choices) == 0) {
            if (!anybody_hangs(world) || next_timer(world) == POOL__NEVER || only_time_passes(world))
                return;
            choices[0].kind = TICK;
        }
        world_apply(world, choices[0]);
        if (++steps > 1000000)
            complain(world, "the world does not come to rest");
    }
}

/* `mute`: what was killed never ends. Nobody waits for it, as long as there is a board for another; nor at the end. */
static inline void world_finish(struct world *world, bool mute)
{
    struct choice last = {mute ? TERMINATE : CLOSE, 0};

    world->finished = true;
    world->silent = mute;
    run_down(world);
    if (!mute || has_free_board(world))
        check_outcomes(world);
    if (mute ? !world->aborting : !world->closed)
        world_apply(world, last);
    world->quiet_since = world->now;
    run_down(world);
    check_outcomes(world);
    world_check(world);
    if (world->complaint == NULL && (!pool__staffing_over(&world->scheduler) || world->scheduler.owed != 0))
        complain(world, "the pool does not come to its end");
}

#endif
