/*
 * world - a pool without processes: the scheduler, staffing, seats and boards that ship, among simulated workers
 * (sim_worker.h), a simulated zygote and a clock that is moved by hand. What can happen next is a list of choices; a
 * driver takes one after another (test_explorer.c all of them, test_simulator.c some at random). The host's part
 * repeats what engine/engine.c, delivery.c and ending.c do at each event.
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
#define WORLD_BOARDS 20u
#define WORLD_WORKERS (WORLD_SEATS + WORLD_BOARDS) /* those on seats, and those that nobody waits for any more */
#define WORLD_JOBS 40u
#define WORLD_HORIZON (15000 * POOL__MS) /* a timer later than that is for workers that hang */
#define WORLD_PID 100

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
    CANCEL_KILL, /* and what runs of it is killed */
    CANCEL_ITEM, /* one item of a group is: which, job and index */
    CANCEL_ITEM_KILL,
    STALL,     /* this process does not run for a while */
    GRACE,     /* the time passes that a killed worker is given to end */
    ZYGOTE_DIES,
    CLOSE,
    TERMINATE,
    RESIZE,
    FINISH,     /* nothing more is done to this world: it closes and runs down */
    FINISH_MUTE /* the same, and of what was killed and has not ended nothing is ever heard */
};

struct choice {
    enum choice_kind kind;
    unsigned which;
};
#define WORLD_GROUP 16u /* items of a group that may be cancelled by themselves */
#define CHOICES_MAX (8 * WORLD_SEATS + 4 * WORLD_BOARDS + 2 * WORLD_JOBS + 2 * WORLD_GROUP * WORLD_JOBS + 16)

struct job_plan {
    unsigned items, chunk;
    bool lone, grouped, keep_going;
    const uint8_t *functions;
    uint64_t deadline;
    unsigned retries;
};

struct world_plan {
    const char *name;
    unsigned workers, limit, tasks_per_worker;
    unsigned job_count;
    struct job_plan jobs[WORLD_JOBS];
    unsigned claims;         /* items that a worker claims at a time, where it may; 0: one */
    unsigned meanwhile;      /* steps of each worker while the host has a barrier passed */
    uint64_t item_ns;        /* 0: by the clock */
    uint64_t start_timeout, stop_timeout; /* 0: a minute */
    unsigned pipe_frames;    /* unread frames that a task pipe takes, 0: any number */
    unsigned deaths;         /* how often DIE may come */
    unsigned bad_starts;     /* so many workers fail to start, the first ones */
    unsigned refusals;       /* so often no worker can be asked for, at first */
    bool may_break;          /* so much goes wrong that the pool may give up */
    bool cancels, closes, terminates, cancels_kill, cancels_items, zygote_dies;
    unsigned stalls;         /* how often STALL may come */
    bool silent;             /* a SIGKILL that was asked for may take any time, or never come */
    unsigned spare_boards;
    unsigned ticks;          /* for the explorer, where not its own number */
    unsigned resize_to;      /* 0: not */
    bool at_once;            /* all jobs are there before the first worker is ready */
};

struct world_job {
    struct pool__job job; /* first */
    struct world *world;
    bool keep_going, unwanted, cancelled, kill_said;
    unsigned count, left;
    struct sim_item *items;
    const uint8_t *functions;
};

struct world {
    const struct world_plan *plan;
    struct pool__scheduler scheduler;
    struct pool__board *boards;
    bool taken[WORLD_BOARDS];
    struct world_job jobs[WORLD_JOBS];
    unsigned submitted;
    uint64_t now;
    unsigned deaths_left, bad_starts_left, refusals_left, stalls_left, deaths, ticks, given_up;
    uint64_t quiet_since; /* nothing but time has passed */
    bool restaff, closed, aborting, terminated, broken, resized, finished, silent, zygote_dead;
    const char *complaint;
    struct sim_worker workers[WORLD_WORKERS]; /* on the seats; behind these, by their boards, the abandoned */
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

static inline enum pool__asked world_asked(const struct pool__job *job, uint64_t index)
{
    return (enum pool__asked)((const struct world_job *)(const void *)job)->items[index].asked;
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

static inline bool says(const struct pool__outcome *outcome, const char *words)
{
    return outcome->why != NULL && strstr(outcome->why, words) != NULL;
}

/* A death that was asked for, for this item or for another. */
static inline void check_kill(struct world *world, const struct world_job *job, const struct sim_item *item,
                              const struct pool__outcome *outcome)
{
    unsigned index = (unsigned)(outcome->worker - WORLD_PID);
    const struct pool__seat *seat = &world->scheduler.seats[index];

    if (outcome->status == POOL_EXPIRED && world->workers[index].struck != item)
        complain(world, "expired is another item than the one that was killed for");
    if (outcome->status == POOL_EXPIRED && job->job.deadline == 0)
        complain(world, "an item without deadline has expired");
    if (outcome->status == POOL_CRASHED && (seat->reason == POOL__KILL_DEADLINE || seat->reason == POOL__KILL_CANCEL))
        complain(world, "an item pays for the kill of another");
}

/* What a death has made of an item of honest workers. */
static inline void check_death(struct world *world, const struct sim_item *item, const struct pool__outcome *outcome)
{
    bool suspected = says(outcome, "before it could start"), held = says(outcome, "held by the system");

    if (item->published)
        complain(world, "a published result is lost");
    if (item->starts + 1u == outcome->attempts && (held || (suspected && world->deaths + world->given_up >= 5)))
        return; /* it never began */
    if (item->starts < outcome->attempts && item->starts + item->marked >= outcome->attempts)
        return;
    if (suspected || item->starts == 0)
        complain(world, "an item that was never started is crashed");
    if (item->starts != outcome->attempts)
        complain(world, "attempts are other than starts");
}

static inline void world_finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct world_job *mine = job_of(job);
    struct world *world = mine->world;
    struct sim_item *item = settle_item(job, index, outcome->status);
    enum pool_status status = outcome->status;

    if (status != POOL_OK && !mine->keep_going)
        mine->unwanted = true;
    if ((mine->kill_said || item->asked == POOL__ASKED_BY_KILL) && status != POOL_OK && status != POOL_CANCELLED)
        complain(world, "a cancel that kills has said yes, and it is something else");
    if (item->tainted)
        return;
    if (status == POOL_CANCELLED && !job->cancel_asked && item->asked == POOL__ASKED_NOTHING)
        complain(world, "cancelled, and nobody asked for that");
    if (status == POOL_CANCELLED && item->published && (mine->functions == NULL || mine->functions[index] != SIM_FAILS))
        complain(world, "a published result is lost to a cancel");
    if ((status == POOL_OK || status == POOL_FAILED) && (!item->published || item->starts > outcome->attempts || item->starts + item->marked < outcome->attempts))
        complain(world, "a result that no worker gave");
    if (status != POOL_CRASHED && status != POOL_EXITED && status != POOL_EXPIRED)
        return;
    check_kill(world, mine, item, outcome);
    check_death(world, item, outcome);
}

static inline void world_dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status,
                                 int code, const char *message)
{
    struct world *world = job_of(job)->world;
    uint64_t i;

    (void)code;
    (void)message;
    for (i = first; i < first + count; i++) {
        struct sim_item *item = settle_item(job, i, status);

        if (item->tainted)
            continue;
        if (!world->aborting && (item->inside || item->starts > job->retries))
            complain(world, "a started item is told to be dropped");
        if (item->published)
            complain(world, "a result that was there before is lost");
    }
}

static const struct pool__owner world_owner = {world_argument, NULL, world_finished, world_dropped, NULL, world_asked};

/* ---- the scheduler's actions */

static inline struct sim_worker *worker_at(struct world *world, const struct pool__seat *seat)
{
    return &world->workers[seat->index];
}

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

/* Is there another seat than this that has nothing to do? */
static inline bool another_is_idle(const struct world *world, const struct pool__seat *seat)
{
    const struct pool__link *link;

    for (link = world->scheduler.idle.next; link != &world->scheduler.idle; link = link->next)
        if (link != &seat->link && !world->workers[pool__holder(link, struct pool__seat, link)->index].wants_room)
            return true;
    return false;
}

static inline void note_sent(struct world *world, const struct pool__seat *seat, struct sim_item *item)
{
    if (item->outcome != 0)
        complain(world, "an item is sent that has an outcome");
    if (item->seat == seat->index + 1 && item->life == seat->life && another_is_idle(world, seat) &&
        world->workers[seat->index].frozen_at != world->now && !item->tainted)
        complain(world, "an item goes back to the worker that it was taken from");
    item->seat = (uint8_t)(seat->index + 1);
    item->life = seat->life;
    if (world->workers[seat->index].liar)
        item->tainted = 1;
}

static inline void world_send(void *host, struct pool__seat *seat, uint32_t batch, const struct pool__run *run)
{
    struct world *world = host;
    struct sim_worker *worker = worker_at(world, seat);
    struct world_job *job = job_of(run->job);
    struct sim_frame frame = {.batch = batch, .count = run->count, .attempt = run->attempt, .job = job,
                              .blocks = pool__scheduler_claims_blocks(&world->scheduler, run->job),
                              .deadline = run->job->deadline, .items = job->items + run->first};
    uint32_t i;

    if (seat->state != POOL__SEAT_READY)
        complain(world, "a batch for a worker that takes none");
    if (run->job->withdrawn)
        complain(world, "an item of a withdrawn job is sent");
    if (job->items[run->first].asked == POOL__ASKED_BY_KILL)
        complain(world, "an item is sent that is cancelled");
    if (run->count == 0 || run->done != 0 || run->first + run->count > job->count)
        complain(world, "a batch of items that are not");
    for (i = 0; i < run->count; i++)
        note_sent(world, seat, &job->items[run->first + i]);
    if (job->functions != NULL)
        frame.functions = job->functions + run->first;
    sim_send_frame(worker, frame);
}

static inline void world_stop(void *host, struct pool__seat *seat)
{
    struct sim_frame frame = {.stop = true};

    sim_send_frame(worker_at(host, seat), frame);
}

/* Was there reason to? */
static inline void check_reason(struct world *world, const struct pool__seat *seat, const struct sim_worker *worker)
{
    bool at_item = worker->pc == SIM_RUN || worker->pc == SIM_MARK || worker->pc == SIM_CHECK;

    if (seat->reason == POOL__KILL_DEADLINE &&
        (worker->pc != SIM_RUN || worker->frame.deadline == 0 || world->now < worker->began + worker->frame.deadline))
        complain(world, "killed for a deadline that has not passed");
    if (seat->reason == POOL__KILL_CANCEL &&
        (!at_item || (!((const struct world_job *)worker->frame.job)->job.kill_asked &&
                      worker->frame.items[worker->offset].asked != POOL__ASKED_BY_KILL)))
        complain(world, "killed for a cancel while at something else");
    if (seat->reason == POOL__KILL_STUCK && worker->pc == SIM_RUN)
        complain(world, "killed for not beginning while it runs");
}

static inline void world_kill(void *host, struct pool__seat *seat)
{
    struct world *world = host;
    struct sim_worker *worker = worker_at(world, seat);

    worker->kill_sent = true;
    if (worker->liar)
        return;
    check_reason(world, seat, worker);
    if (seat->reason == POOL__KILL_DEADLINE)
        worker->struck = &worker->frame.items[worker->offset];
    world->given_up += seat->reason == POOL__KILL_STUCK;
}

static inline unsigned free_board(const struct world *world)
{
    unsigned board = 0;

    while (board < world->plan->limit + world->plan->spare_boards && world->taken[board])
        board++;
    return board;
}

static inline bool has_free_board(const struct world *world)
{
    return free_board(world) < world->plan->limit + world->plan->spare_boards;
}

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
    if (!has_free_board(world))
        return false;
    seat->life++;
    seat->board = &world->boards[free_board(world)];
    world->taken[seat->board - world->boards] = true;
    seat->pid = WORLD_PID + (pid_t)seat->index;
    seat->spawned = true;
    pool__board_clear(seat->board);
    sim_worker_fork(worker, seat->board, world->scheduler.tasks_per_worker, world->plan->item_ns);
    worker->most = world->plan->claims;
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
    if ((seat->budget == 0 || seat->state == POOL__SEAT_LEAVING) && seat->owed == 0)
        world->restaff = true; /* it is to leave, in time */
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
    case POOL__RECORD_ROW:
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

static inline void world_unsend(void *host, struct pool__seat *seat, uint32_t batch)
{
    (void)host;
    (void)seat;
    (void)batch;
}

static inline void world_read(void *host, struct pool__seat *seat)
{
    struct world *world = host;

    worker_at(world, seat)->frozen_at = world->now;
    deliver_until(world, seat, worker_at(world, seat)->staged);
}

/* The worker lives on, behind the seats. */
static inline bool world_give_up_seat(void *host, struct pool__seat *seat)
{
    struct world *world = host;
    struct sim_worker *worker = worker_at(world, seat);

    if (seat->state != POOL__SEAT_DYING)
        complain(world, "a worker is given up that was not killed");
    if (!world->scheduler.ending && !has_free_board(world))
        return false;
    world->workers[WORLD_SEATS + (seat->board - world->boards)] = *worker;
    worker->forked = false;
    world->restaff = true;
    return true;
}

static inline void world_prod(void *host) { (void)host; }

/* What the host did before, the workers see; what they do meanwhile, it sees afterwards. */
static inline bool world_barrier(void *host)
{
    struct world *world = host;
    unsigned i, step;

    for (i = 0; i < WORLD_WORKERS; i++)
        for (step = 0; step < world->plan->meanwhile && sim_worker_can_step(&world->workers[i]); step++)
            sim_worker_step(&world->workers[i], world->now);
    return true;
}

static const struct pool__actions world_actions = {world_can_send, world_send, world_unsend, world_stop,   world_kill,
                                                   world_spawn,    world_look, world_read,   world_prod,
                                                   world_give_up_seat, world_barrier};

#endif
