/*
 * world - a pool without processes: the scheduler, staffing, seats and boards that ship, among simulated workers (sim_worker.h), a simulated zygote and a clock that is moved by hand. What can happen next is a list of
 * choices; a driver takes one after another (test_explorer.c all of them, test_simulator.c some at random). The host's part repeats what engine/engine.c, delivery.c and ending.c do at each event.
 *
 * A promise that is seen to be broken becomes the world's complaint, and stops it.
 */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine/scheduler.h"
#include "engine/staffing.h"
#include "sim_worker.h"

#define WORLD_SEATS 16u
#define WORLD_JOBS 40u
#define WORLD_HORIZON (1500 * POOL__MS) /* a timer later than that is for workers that hang */

enum choice_kind {
    STEP,      /* a worker takes its next step */
    HEAR,      /* the host reads a worker's next record */
    ROOM,      /* a task pipe that was full has room again */
    KILLED,    /* a SIGKILL that was asked for arrives */
    EXITED,    /* the host hears of a death */
    TICK,      /* time passes, up to the next timer */
    SUBMIT,    /* the next job comes */
    DIE,       /* SIGKILL from elsewhere */
    CANCEL,    /* the job is withdrawn */
    CLOSE,
    TERMINATE,
    RESIZE,
    FINISH     /* nothing more is done to this world: it closes and runs down */
};

struct choice {
    enum choice_kind kind;
    unsigned which;
};
#define CHOICES_MAX (6 * WORLD_SEATS + WORLD_JOBS + 8)

struct job_plan {
    unsigned items, chunk;
    bool lone, keep_going;
    const uint8_t *functions;
};

struct world_plan {
    const char *name;
    unsigned workers, limit, tasks_per_worker;
    unsigned job_count;
    struct job_plan jobs[WORLD_JOBS];
    uint64_t item_ns;        /* 0: by the clock */
    uint64_t start_timeout, stop_timeout; /* 0: a minute */
    unsigned pipe_frames;    /* unread frames that a task pipe takes, 0: any number */
    unsigned deaths;         /* how often DIE may come */
    unsigned bad_starts;     /* so many workers fail to start, the first ones */
    unsigned refusals;       /* so often no worker can be asked for, at first */
    bool may_break;          /* so much goes wrong that the pool may give up */
    bool cancels, closes, terminates;
    unsigned resize_to;      /* 0: not */
    bool at_once;            /* all jobs are there before the first worker is ready */
};

struct world_job {
    struct pool__job job; /* first */
    struct world *world;
    bool keep_going, unwanted, cancelled;
    unsigned count, left;
    struct sim_item *items;
    const uint8_t *functions;
};

struct world {
    const struct world_plan *plan;
    struct pool__scheduler scheduler;
    struct pool__board *boards;
    struct sim_worker workers[WORLD_SEATS];
    struct world_job jobs[WORLD_JOBS];
    unsigned submitted;
    uint64_t now;
    unsigned deaths_left, bad_starts_left, refusals_left, deaths, ticks;
    bool restaff, closed, aborting, terminated, broken, resized, finished;
    const char *complaint;
};

static inline void complain(struct world *world, const char *words)
{
    if (world->complaint == NULL)
        world->complaint = words;
}

/* ---- the owner of the jobs */

static inline struct world_job *job_of(struct pool__job *job) { return (struct world_job *)(void *)job; }

static inline void world_argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    *bytes = &job_of(job)->items[index];
    *size = 8;
}

static inline struct sim_item *settle_item(struct pool__job *job, uint64_t index, enum pool_status status)
{
    struct world_job *mine = job_of(job);
    struct sim_item *item = &mine->items[index];

    if (index >= mine->count)
        complain(mine->world, "an outcome of an item that is not");
    if (item->outcome != 0)
        complain(mine->world, "an item has two outcomes");
    item->outcome = (uint8_t)(1 + status);
    mine->left--;
    return item;
}

static inline void world_finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct world *world = job_of(job)->world;
    struct sim_item *item = settle_item(job, index, outcome->status);
    bool crashed = outcome->status == POOL_CRASHED || outcome->status == POOL_EXITED;
    bool suspected = crashed && outcome->why != NULL && strstr(outcome->why, "before it could start") != NULL;

    if (outcome->status != POOL_OK && !job_of(job)->keep_going)
        job_of(job)->unwanted = true;
    if (item->tainted)
        return;
    if (!crashed && !item->published)
        complain(world, "a result that no worker gave");
    if (crashed && item->published)
        complain(world, "a published result is lost");
    if (crashed && item->starts == 0 && !(suspected && world->deaths >= 5))
        complain(world, "an item that was never started is crashed");
    if (suspected && item->starts > 0)
        complain(world, "a started item is told not to have started");
    if (crashed && outcome->attempts != 1)
        complain(world, "attempts are not 1");
}

static inline void world_dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code, const char *message)
{
    struct world *world = job_of(job)->world;
    uint64_t i;

    (void)code;
    (void)message;
    for (i = first; i < first + count; i++) {
        struct sim_item *item = settle_item(job, i, status);

        if (!world->aborting && item->starts > 0 && !item->tainted)
            complain(world, "a started item is told to be dropped");
        if (world->aborting && item->published && !item->tainted)
            complain(world, "a result that was there before the end is lost");
    }
}

static const struct pool__owner world_owner = {world_argument, NULL, world_finished, world_dropped};

/* ---- the scheduler's actions */

static inline struct sim_worker *worker_at(struct world *world, const struct pool__seat *seat) { return &world->workers[seat->index]; }

static inline bool pipe_has_room(const struct world *world, const struct sim_worker *worker)
{
    return world->plan->pipe_frames == 0 || worker->to - worker->fetched < world->plan->pipe_frames;
}

static inline bool world_can_send(void *host, const struct pool__seat *seat, const struct pool__job *job)
{
    struct world *world = host;
    struct sim_worker *worker = worker_at(world, seat);

    (void)job;
    worker->wants_room = !pipe_has_room(world, worker);
    return !worker->wants_room;
}

static inline void world_send(void *host, struct pool__seat *seat, uint32_t batch, const struct pool__run *run)
{
    struct world *world = host;
    struct sim_worker *worker = worker_at(world, seat);
    struct world_job *job = job_of(run->job);
    struct sim_frame frame = {false, batch, run->count, job->items + run->first, NULL};
    uint32_t i;

    if (seat->state != POOL__SEAT_READY)
        complain(world, "a batch for a worker that takes none");
    if (run->count == 0 || run->done != 0 || run->first + run->count > job->count)
        complain(world, "a batch of items that are not");
    for (i = 0; i < run->count; i++) {
        if (job->items[run->first + i].outcome != 0)
            complain(world, "an item is sent that has an outcome");
        if (worker->liar)
            job->items[run->first + i].tainted = 1;
    }
    if (job->functions != NULL)
        frame.functions = job->functions + run->first;
    sim_send_frame(worker, frame);
}

static inline void world_stop(void *host, struct pool__seat *seat)
{
    struct sim_frame frame = {true, 0, 0, NULL, NULL};

    sim_send_frame(worker_at(host, seat), frame);
}

static inline void world_kill(void *host, struct pool__seat *seat) { worker_at(host, seat)->kill_sent = true; }

static inline bool world_spawn(void *host, struct pool__seat *seat)
{
    struct world *world = host;
    struct sim_worker *worker = worker_at(world, seat);

    if (worker->forked)
        complain(world, "two workers on one seat");
    if (world->aborting)
        complain(world, "a worker is started after the end");
    if (world->refusals_left > 0) {
        world->refusals_left--;
        return false;
    }
    seat->life++;
    seat->board = &world->boards[seat->index];
    seat->pid = 100;
    pool__board_clear(seat->board);
    sim_worker_fork(worker, seat->board, world->scheduler.tasks_per_worker, world->plan->item_ns);
    worker->fails_to_start = world->bad_starts_left > 0;
    world->bad_starts_left -= worker->fails_to_start;
    return true;
}

/* ---- delivery */

static inline bool deliver_result(struct world *world, struct pool__seat *seat, const struct pool__record *record)
{
    const struct pool__run *run = pool__seat_head(seat);
    struct pool__outcome outcome;

    if (run == NULL || record->batch != seat->head || record->offset != run->done || !seat->was_ready)
        return false;
    memset(&outcome, 0, sizeof outcome);
    outcome.status = record->how == POOL__HOW_OK ? POOL_OK : POOL_FAILED;
    outcome.code = record->code;
    outcome.run = record->run;
    pool__scheduler_result(&world->scheduler, seat, &outcome, world->now);
    return true;
}

static inline bool deliver_record(struct world *world, struct pool__seat *seat, const struct pool__record *record)
{
    struct sim_worker *worker = worker_at(world, seat);

    worker->announced = worker->announced || record->kind == POOL__RECORD_LEAVING;
    if (world->aborting)
        return true;
    switch (record->kind) {
    case POOL__RECORD_RESULT:
        return deliver_result(world, seat, record);
    case POOL__RECORD_READY:
        if (seat->was_ready)
            return false;
        seat->was_ready = true;
        pool__staffing_ready(&world->scheduler, seat, world->now);
        return true;
    case POOL__RECORD_LEFT:
        return pool__scheduler_left(&world->scheduler, seat, record->batch, world->now);
    case POOL__RECORD_LEAVING:
        world->restaff = true;
        return pool__scheduler_leaving(&world->scheduler, seat, world->now);
    case POOL__RECORD_START_FAILED:
        return false;
    }
    return false;
}

/* The stream up to record number `until`. */
static inline void deliver_until(struct world *world, struct pool__seat *seat, unsigned until)
{
    struct sim_worker *worker = worker_at(world, seat);

    while (worker->received < until && !worker->poisoned) {
        if (deliver_record(world, seat, &worker->stream[worker->received++ % SIM_STREAM]))
            continue;
        if (!worker->liar && seat->state != POOL__SEAT_DYING)
            complain(world, "an honest worker is taken for a liar");
        worker->poisoned = true;
        pool__staffing_condemn(&world->scheduler, seat, POOL__KILL_NONSENSE, world->now);
    }
}

static inline void world_look(void *host, struct pool__seat *seat)
{
    struct world *world = host;

    deliver_until(world, seat, worker_at(world, seat)->staged);
    atomic_store(&seat->board->hurry, 1);
}

static const struct pool__actions world_actions = {world_can_send, world_send, world_stop, world_kill, world_spawn, world_look};

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

static inline void world_settle(struct world *world)
{
    struct pool__scheduler *scheduler = &world->scheduler;
    unsigned i;

    for (i = 0; i < world->submitted; i++) {
        if (world->jobs[i].unwanted && !world->jobs[i].job.withdrawn && world->jobs[i].left > 0)
            withdraw_job(world, &world->jobs[i], false);
    }
    pool__scheduler_look(scheduler, world->now);
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
}

static inline uint64_t next_timer(const struct world *world)
{
    uint64_t next = world->scheduler.staff_at;

    return world->scheduler.owed > 0 ? pool__earlier(next, world->scheduler.look_at) : next;
}

static inline void life_over(struct world *world, struct pool__seat *seat)
{
    struct sim_worker *worker = worker_at(world, seat);
    struct pool__death death = {true, worker->status, false};

    deliver_until(world, seat, worker->piped);
    deliver_until(world, seat, worker->staged);
    death.announced = worker->announced;
    pool__scheduler_gone(&world->scheduler, seat, &death, world->now);
    pool__staffing_left(&world->scheduler, seat, &death, world->now);
    worker->forked = false;
    world->restaff = true;
}

static inline void terminate(struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        if (world->scheduler.seats[i].board != NULL && world->scheduler.seats[i].owed > 0)
            deliver_until(world, &world->scheduler.seats[i], world->workers[i].staged);
    world->terminated = true;
    world_abandon(world, POOL_TERMINATED);
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
    unsigned i;

    memset(world, 0, sizeof *world);
    world->plan = plan;
    world->now = 1000 * POOL__MS;
    world->deaths_left = plan->deaths;
    world->bad_starts_left = plan->bad_starts;
    world->refusals_left = plan->refusals;
    world->boards = aligned_alloc(64, plan->limit * sizeof *world->boards);
    if (world->boards == NULL || !pool__scheduler_init(&world->scheduler, &world_actions, world, plan->limit))
        abort();
    world->scheduler.size = plan->workers;
    world->scheduler.tasks_per_worker = plan->tasks_per_worker;
    world->scheduler.start_timeout = plan->start_timeout != 0 ? plan->start_timeout : 60000 * POOL__MS;
    world->scheduler.stop_timeout = plan->stop_timeout != 0 ? plan->stop_timeout : 60000 * POOL__MS;
    for (i = 0; i < plan->job_count; i++) {
        struct world_job *job = &world->jobs[i];

        pool__job_init(&job->job, &world_owner, NULL, 8);
        job->world = world;
        job->job.lone = plan->jobs[i].lone;
        job->job.chunk = plan->jobs[i].chunk;
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

    pool__scheduler_drop_all(&world->scheduler, POOL_TERMINATED, 0, NULL); /* where a complaint has stopped it in the middle */
    for (i = 0; i < world->plan->job_count; i++)
        free(world->jobs[i].items);
    pool__scheduler_free(&world->scheduler);
    free(world->boards);
}

static inline void add_choice(struct choice *choices, unsigned *count, enum choice_kind kind, unsigned which)
{
    choices[*count].kind = kind;
    choices[(*count)++].which = which;
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
        if (worker->kill_sent && !worker->dead)
            add_choice(choices, &count, KILLED, i);
        if (worker->dead)
            add_choice(choices, &count, EXITED, i);
    }
    if (world->submitted < world->plan->job_count && !world->closed)
        add_choice(choices, &count, SUBMIT, 0);
    if (next_timer(world) < world->now + WORLD_HORIZON)
        add_choice(choices, &count, TICK, 0);
    return count;
}

/* What others may do to it. */
static inline unsigned world_may(const struct world *world, struct choice *choices)
{
    unsigned count = 0, i;

    for (i = 0; world->deaths_left > 0 && i < world->scheduler.limit; i++)
        if (world->workers[i].forked && !world->workers[i].dead)
            add_choice(choices, &count, DIE, i);
    for (i = 0; world->plan->cancels && !world->aborting && i < world->submitted; i++)
        if (!world->jobs[i].cancelled && world->jobs[i].left > 0)
            add_choice(choices, &count, CANCEL, i);
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
    struct sim_worker *worker = choice.which < WORLD_SEATS ? &world->workers[choice.which] : NULL;

    switch (choice.kind) {
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
