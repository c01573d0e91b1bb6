/*
 * world_events - what can happen in a world (world.h): each event as the host takes it, and the list of those that
 * can come next.
 */
#ifndef TEST_WORLD_EVENTS_H
#define TEST_WORLD_EVENTS_H

#include "engine/deadline.h"
#include "world.h"

/* ---- what follows from an event */

static inline void world_abandon(struct world *world, enum pool_status status)
{
    unsigned i;

    world->aborting = world->closed = true;
    for (i = 0; i < world->scheduler.limit; i++)
        pool__scheduler_empty_seat(&world->scheduler, &world->scheduler.seats[i]);
    pool__scheduler_drop_all(&world->scheduler, status, 0, NULL);
    pool__staffing_abort(&world->scheduler, 1000 * POOL__MS, world->now);
}

static inline void withdraw_job(struct world *world, struct world_job *job, bool ask)
{
    job->cancelled = true;
    pool__scheduler_withdraw(&world->scheduler, &job->job, POOL_CANCELLED, ask);
}

/* As api/future.c does it. */
static inline void cancel_and_kill(struct world *world, struct world_job *job)
{
    withdraw_job(world, job, true);
    if (job->left > 0)
        pool__deadline_kill_job(&world->scheduler, &job->job, world->now);
    job->kill_said = job->left > 0;
}

/* As api/group.c does it. */
static inline void cancel_item(struct world *world, unsigned which, bool kill)
{
    struct world_job *job = &world->jobs[which / WORLD_GROUP];
    struct sim_item *item = &job->items[which % WORLD_GROUP];

    if (pool__scheduler_withdraw_item(&world->scheduler, &job->job, which % WORLD_GROUP))
        return;
    item->asked = kill ? POOL__ASKED_BY_KILL : POOL__ASKED_TO_STOP;
    if (kill)
        pool__deadline_kill_item(&world->scheduler, &job->job, which % WORLD_GROUP, world->now);
}

/* What came back and found no worker at once may later go wherever there is one. */
static inline void forget_senders(struct world *world)
{
    const struct pool__link *link;
    unsigned i;
    uint32_t k;

    for (i = 0; i < world->submitted; i++) {
        const struct pool__link *list = &world->jobs[i].job.returned;

        for (link = list->next; link != list; link = link->next) {
            const struct pool__run *run = pool__holder(link, struct pool__run, link);

            for (k = 0; k < run->count; k++)
                world->jobs[i].items[run->first + k].seat = 0;
        }
    }
}

static inline void world_settle(struct world *world)
{
    struct pool__scheduler *scheduler = &world->scheduler;
    unsigned i;

    for (i = 0; i < world->submitted; i++) {
        if (world->jobs[i].unwanted && !world->jobs[i].job.withdrawn && world->jobs[i].left > 0)
            withdraw_job(world, &world->jobs[i], false);
    }
    pool__scheduler_look(scheduler, world->now);
    pool__deadline_check(scheduler, world->now);
    pool__scheduler_dispatch(scheduler, world->now);
    if (world->restaff || scheduler->ending || world->now >= scheduler->staff_at) {
        world->restaff = false;
        pool__staffing_adjust(scheduler, world->now);
        pool__scheduler_dispatch(scheduler, world->now);
    }
    if (pool__staffing_hopeless(scheduler) && !world->broken) {
        if (!world->plan->may_break)
            complain(world, "a pool without bad starts is broken");
        world->broken = true;
        world_abandon(world, POOL_BROKEN);
    }
    if (world->closed && !scheduler->ending)
        pool__staffing_end(scheduler, world->now);
    if (pool__scheduler_waits(scheduler))
        forget_senders(world);
}

static inline uint64_t next_timer(const struct world *world)
{
    uint64_t next = world->scheduler.staff_at;

    if (world->scheduler.owed == 0)
        return next;
    return pool__earlier(pool__earlier(next, world->scheduler.look_at), world->scheduler.check_at);
}

static inline void life_over(struct world *world, struct pool__seat *seat)
{
    struct sim_worker *worker = worker_at(world, seat);
    struct pool__death death = {.known = true, .status = worker->status};

    deliver_until(world, seat, worker->piped);
    deliver_until(world, seat, worker->staged);
    death.announced = worker->announced;
    world->taken[seat->board - world->boards] = false;
    pool__scheduler_gone(&world->scheduler, seat, &death, world->now);
    pool__staffing_left(&world->scheduler, seat, &death, world->now);
    worker->forked = false;
    world->restaff = true;
}

/* Of one that nobody waited for. */
static inline void late_end(struct world *world, struct sim_worker *worker)
{
    worker->forked = false;
    world->taken[worker->board - world->boards] = false;
    world->restaff = true;
}

static inline void read_what_is_here(struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        if (world->scheduler.seats[i].board != NULL && world->scheduler.seats[i].owed > 0)
            deliver_until(world, &world->scheduler.seats[i], world->workers[i].staged);
}

static inline void terminate(struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        pool__scheduler_empty_seat(&world->scheduler, &world->scheduler.seats[i]);
    read_what_is_here(world);
    world->terminated = true;
    world_abandon(world, POOL_TERMINATED);
}

/* All workers die with it, and how nobody knows. */
static inline void zygote_dies(struct world *world)
{
    struct pool__death death = {.known = false};
    unsigned i;

    world->zygote_dead = true;
    for (i = 0; i < WORLD_WORKERS; i++)
        if (world->workers[i].forked && !world->workers[i].dead)
            sim_worker_die(&world->workers[i], SIGKILL);
    if (!world->aborting) {
        read_what_is_here(world);
        world->broken = true;
        world_abandon(world, POOL_BROKEN);
    }
    for (i = 0; i < world->scheduler.limit; i++) {
        if (world->scheduler.seats[i].board == NULL)
            continue;
        death.announced = world->workers[i].announced;
        pool__scheduler_gone(&world->scheduler, &world->scheduler.seats[i], &death, world->now);
        pool__staffing_left(&world->scheduler, &world->scheduler.seats[i], &death, world->now);
    }
    for (i = 0; i < WORLD_WORKERS; i++)
        world->workers[i].forked = false;
    memset(world->taken, 0, sizeof world->taken);
}

static inline void submit(struct world *world)
{
    struct world_job *job = &world->jobs[world->submitted++];

    job->job.end = job->count;
    pool__scheduler_submit(&world->scheduler, &job->job);
}

/* ---- a world's life */

static inline void world_begin(struct world *world, const struct world_plan *plan)
{
    static struct pool__board boards[WORLD_BOARDS]; /* one world at a time */
    unsigned i;

    memset(world, 0, offsetof(struct world, workers));
    for (i = 0; i < WORLD_WORKERS; i++)
        world->workers[i].forked = world->workers[i].wants_room = false;
    world->silent = plan->silent;
    world->stalls_left = plan->stalls;
    world->plan = plan;
    world->now = world->quiet_since = 1000 * POOL__MS;
    world->deaths_left = plan->deaths;
    world->bad_starts_left = plan->bad_starts;
    world->refusals_left = plan->refusals;
    world->boards = boards;
    if (!pool__scheduler_init(&world->scheduler, &world_actions, world, plan->limit))
        abort();
    for (i = 0; i < plan->limit; i++)
        world->scheduler.seats[i].index = i; /* also of those that are not used yet: all are looked at */
    world->scheduler.size = plan->workers;
    world->scheduler.blocks = plan->claims > 0;
    world->scheduler.tasks_per_worker = plan->tasks_per_worker;
    world->scheduler.start_timeout = plan->start_timeout != 0 ? plan->start_timeout : 60000 * POOL__MS;
    world->scheduler.stop_timeout = plan->stop_timeout != 0 ? plan->stop_timeout : 60000 * POOL__MS;
    for (i = 0; i < plan->job_count; i++) {
        struct world_job *job = &world->jobs[i];

        pool__job_init(&job->job, &world_owner, NULL, 8);
        job->world = world;
        job->job.lone = plan->jobs[i].lone || plan->jobs[i].grouped;
        job->job.grouped = plan->jobs[i].grouped;
        job->job.chunk = plan->jobs[i].chunk;
        job->job.deadline = plan->jobs[i].deadline;
        job->job.retries = plan->jobs[i].retries;
        job->keep_going = plan->jobs[i].keep_going || job->job.lone;
        job->count = job->left = plan->jobs[i].items;
        job->functions = plan->jobs[i].functions;
        job->items = calloc(job->count, sizeof *job->items);
        if (job->items == NULL)
            abort();
    }
    if (plan->at_once)
        while (world->submitted < plan->job_count)
            submit(world);
    pool__staffing_adjust(&world->scheduler, world->now);
}

static inline void world_end(struct world *world)
{
    unsigned i;

    pool__scheduler_drop_all(&world->scheduler, POOL_TERMINATED, 0,
                             NULL); /* where a complaint has stopped it in the middle */
    for (i = 0; i < world->plan->job_count; i++)
        free(world->jobs[i].items);
    pool__scheduler_free(&world->scheduler);
}

static inline void add_choice(struct choice *choices, unsigned *count, enum choice_kind kind, unsigned which)
{
    choices[*count].kind = kind;
    choices[(*count)++].which = which;
}

/* Of workers that nobody waits for: what they do, and their end. */
static inline void add_abandoned(const struct world *world, struct choice *choices, unsigned *count, bool must)
{
    unsigned i;

    for (i = WORLD_SEATS; i < WORLD_WORKERS; i++) {
        const struct sim_worker *worker = &world->workers[i];

        if (!worker->forked)
            continue;
        if (must && worker->dead)
            add_choice(choices, count, EXITED, i);
        if (!must && sim_worker_can_step(worker))
            add_choice(choices, count, STEP, i);
        if (!worker->dead && must == !world->silent)
            add_choice(choices, count, KILLED, i);
    }
}

/* For so long that there is no more to come of it: a host prods its zygote, now and then, for ever. */
static inline bool only_time_passes(const struct world *world)
{
    return world->now >= world->quiet_since + 2 * WORLD_HORIZON;
}

/* What will happen by itself, sooner or later. */
static inline unsigned world_must(const struct world *world, struct choice *choices)
{
    unsigned count = 0, i;

    for (i = 0; i < world->scheduler.limit; i++) {
        const struct sim_worker *worker = &world->workers[i];

        if (!worker->forked)
            continue;
        if (sim_worker_can_step(worker))
            add_choice(choices, &count, STEP, i);
        if (worker->read < worker->piped && !worker->poisoned)
            add_choice(choices, &count, HEAR, i);
        if (worker->wants_room && !worker->dead && pipe_has_room(world, worker))
            add_choice(choices, &count, ROOM, i);
        if (worker->kill_sent && !worker->dead && !world->silent)
            add_choice(choices, &count, KILLED, i);
        if (worker->dead)
            add_choice(choices, &count, EXITED, i);
    }
    add_abandoned(world, choices, &count, true);
    if (world->submitted < world->plan->job_count && !world->closed)
        add_choice(choices, &count, SUBMIT, 0);
    if (next_timer(world) < world->now + WORLD_HORIZON && (count > 0 || !only_time_passes(world)))
        add_choice(choices, &count, TICK, 0);
    return count;
}

static inline bool is_grace(const struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        if (world->scheduler.seats[i].state == POOL__SEAT_DYING && !world->scheduler.seats[i].abandoned)
            return true;
    return false;
}

/* What may happen where kills take their time. */
static inline unsigned world_silence(const struct world *world, struct choice *choices)
{
    unsigned count = 0, i;

    if (!world->silent)
        return 0;
    add_abandoned(world, choices, &count, false);
    for (i = 0; i < world->scheduler.limit; i++)
        if (world->workers[i].forked && world->workers[i].kill_sent && !world->workers[i].dead)
            add_choice(choices, &count, KILLED, i);
    if (is_grace(world))
        add_choice(choices, &count, GRACE, 0);
    return count;
}

static inline void add_item_cancels(const struct world *world, struct choice *choices, unsigned *count)
{
    unsigned i, k;

    for (i = 0; world->plan->cancels_items && !world->aborting && i < world->submitted; i++)
        for (k = 0; world->jobs[i].job.grouped && k < world->jobs[i].count && k < WORLD_GROUP; k++) {
            const struct sim_item *item = &world->jobs[i].items[k];

            if (item->outcome == 0 && item->asked == POOL__ASKED_NOTHING)
                add_choice(choices, count, CANCEL_ITEM, i * WORLD_GROUP + k);
            if (item->outcome == 0 && item->asked != POOL__ASKED_BY_KILL)
                add_choice(choices, count, CANCEL_ITEM_KILL, i * WORLD_GROUP + k);
        }
}

/* What others may do to it. */
static inline unsigned world_may(const struct world *world, struct choice *choices)
{
    unsigned count = world_silence(world, choices), i;

    for (i = 0; world->deaths_left > 0 && i < world->scheduler.limit; i++)
        if (world->workers[i].forked && !world->workers[i].dead)
            add_choice(choices, &count, DIE, i);
    for (i = 0; world->plan->cancels && !world->aborting && i < world->submitted; i++)
        if (!world->jobs[i].cancelled && world->jobs[i].left > 0)
            add_choice(choices, &count, CANCEL, i);
    for (i = 0; world->plan->cancels_kill && !world->aborting && i < world->submitted; i++)
        if (!world->jobs[i].kill_said && world->jobs[i].left > 0)
            add_choice(choices, &count, CANCEL_KILL, i);
    add_item_cancels(world, choices, &count);
    if (world->stalls_left > 0)
        add_choice(choices, &count, STALL, 0);
    if (world->plan->zygote_dies && !world->zygote_dead)
        add_choice(choices, &count, ZYGOTE_DIES, 0);
    if (world->plan->closes && !world->closed)
        add_choice(choices, &count, CLOSE, 0);
    if (world->plan->terminates && !world->aborting)
        add_choice(choices, &count, TERMINATE, 0);
    if (world->plan->resize_to != 0 && !world->resized && !world->closed)
        add_choice(choices, &count, RESIZE, 0);
    return count;
}

/* The pipe's next record; it may be known from the board. */
static inline void hear(struct world *world, struct pool__seat *seat)
{
    struct sim_worker *worker = worker_at(world, seat);

    if (++worker->read > worker->received)
        deliver_until(world, seat, worker->read);
    else
        pool__scheduler_heard(&world->scheduler, seat, world->now);
}

/* Until the first of those that were killed is waited for no more. */
static inline void grace_passes(struct world *world)
{
    uint64_t over = POOL__NEVER;
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        if (world->scheduler.seats[i].state == POOL__SEAT_DYING && !world->scheduler.seats[i].abandoned)
            over = pool__earlier(over, world->scheduler.seats[i].since +
                                           (world->scheduler.ending ? 1000 * POOL__MS : 200 * POOL__MS));
    if (over > world->now)
        world->now = over;
}

static inline void host_event(struct world *world, struct choice choice)
{
    struct pool__seat *seat = choice.which < world->scheduler.limit ? &world->scheduler.seats[choice.which] : NULL;

    switch (choice.kind) {
    case HEAR:
        hear(world, seat);
        break;
    case ROOM:
        worker_at(world, seat)->wants_room = false;
        pool__scheduler_has_room(&world->scheduler, seat);
        break;
    case EXITED:
        if (choice.which >= WORLD_SEATS)
            late_end(world, &world->workers[choice.which]);
        else
            life_over(world, seat);
        break;
    case TICK:
        world->ticks++;
        world->now = next_timer(world) > world->now ? next_timer(world) : world->now;
        break;
    case SUBMIT:
        submit(world);
        break;
    case CANCEL:
        withdraw_job(world, &world->jobs[choice.which], true);
        break;
    case CANCEL_KILL:
        cancel_and_kill(world, &world->jobs[choice.which]);
        break;
    case CANCEL_ITEM:
    case CANCEL_ITEM_KILL:
        cancel_item(world, choice.which, choice.kind == CANCEL_ITEM_KILL);
        break;
    case GRACE:
        grace_passes(world);
        break;
    case ZYGOTE_DIES:
        zygote_dies(world);
        break;
    case CLOSE:
        world->closed = true;
        break;
    case TERMINATE:
        terminate(world);
        break;
    case RESIZE:
        world->resized = true;
        pool__staffing_resize(&world->scheduler, world->plan->resize_to, world->now);
        break;
    default:
        break;
    }
    world_settle(world);
}

static inline void world_apply(struct world *world, struct choice choice)
{
    struct sim_worker *worker = choice.which < WORLD_WORKERS ? &world->workers[choice.which] : NULL;

    if (choice.kind != TICK)
        world->quiet_since = world->now;
    switch (choice.kind) {
    case STALL:
        world->stalls_left--;
        world->now += 300 * POOL__MS;
        break;
    case STEP:
        sim_worker_step(worker, world->now);
        if (worker->complaint != NULL)
            complain(world, worker->complaint);
        break;
    case DIE:
        world->deaths_left--;
        world->deaths++;
        sim_worker_die(worker, SIGKILL);
        break;
    case KILLED:
        sim_worker_die(worker, SIGKILL);
        break;
    default:
        host_event(world, choice);
        break;
    }
}

#endif
