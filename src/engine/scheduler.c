#include "engine/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "data/wire.h"
#include "engine/deadline.h"
#include "engine/queue.h"
#include "engine/staffing.h"

/* ns of work that a batch of cheap items is made to hold; what is not started can be taken back */
#define BATCH_TIME (500 * UINT64_C(1000))
#define THERE_TIME (5000 * UINT64_C(1000)) /* the same of items that lie in the arena, and cost nothing to send */
#define AHEAD_TIME (200 * UINT64_C(1000))  /* ns of short batches sent ahead to one worker */
/* ns; behind work as long as this nothing is sent ahead: a pipe's latency is nothing to it */
#define LONG_TIME  (1000 * UINT64_C(1000))
#define WHOLE_TIME (10 * UINT64_C(1000)) /* ns of work that is not worth parting: another message costs as much */
#define GROWTH     8u /* a batch may hold so many times the items of the last one: the first measurements are rough */

bool pool__scheduler_init(struct pool__scheduler *scheduler, const struct pool__actions *actions, void *host,
                          unsigned limit)
{
    memset(scheduler, 0, sizeof *scheduler);
    scheduler->seats = calloc(limit, sizeof *scheduler->seats);
    if (scheduler->seats == NULL)
        return false;
    scheduler->actions = actions;
    scheduler->host = host;
    scheduler->limit = scheduler->span = limit;
    scheduler->look_at = scheduler->staff_at = scheduler->check_at = POOL__NEVER;
    pool__list_init(&scheduler->lone);
    pool__list_init(&scheduler->bulk);
    pool__list_init(&scheduler->idle);
    pool__list_init(&scheduler->roomy);
    return true;
}

void pool__scheduler_free(struct pool__scheduler *scheduler)
{
    free(scheduler->seats);
    scheduler->seats = NULL;
    scheduler->limit = scheduler->span = scheduler->size = 0;
}

/* ---- the lists of seats that can take something */

/*
 * Batches that one worker may have at a time, by the time that one takes: a pipe's latency is nothing to long ones,
 * and everything to short ones.
 */
static uint32_t depth_for(uint64_t batch_ns, uint64_t ahead)
{
    uint64_t depth;

    if (batch_ns == 0 || batch_ns >= LONG_TIME)
        return 1; /* not known yet, or long */
    depth = ahead / batch_ns;
    return depth < 2 ? 2 : depth > POOL__FLIGHT / 2 ? POOL__FLIGHT / 2 : (uint32_t)depth;
}

/* What a batch of this job takes, by the last one; 0: not known. */
static uint64_t batch_time(const struct pool__scheduler *scheduler, const struct pool__job *job)
{
    if (!job->lone)
        return job->item_ns * job->last_batch;
    return job->grouped && scheduler->lone_batch > 1 ? scheduler->lone_ns * scheduler->lone_batch : scheduler->lone_ns;
}

/* May a batch of this job go behind what the seat has? */
static bool has_room_for(const struct pool__scheduler *scheduler, const struct pool__seat *seat,
                         const struct pool__job *job)
{
    if (seat->budget == 0 || !pool__seat_has_entry(seat))
        return false;
    if (seat->owed == 0)
        return true;
    return pool__seat_batches(seat) < depth_for(batch_time(scheduler, job), job->grouped ? 2 * BATCH_TIME : AHEAD_TIME);
}

void pool__scheduler_relist(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    pool__list_remove(&seat->link);
    if (seat->state != POOL__SEAT_READY || seat->budget == 0)
        return;
    pool__list_push(seat->owed == 0 ? &scheduler->idle : &scheduler->roomy, &seat->link);
}

void pool__scheduler_has_room(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    pool__scheduler_relist(scheduler, seat);
}

/* ---- giving out */

/* Counts of items are 64 bits wide until they are cut to a batch's 24. */
static uint32_t at_most(uint64_t count, uint64_t most)
{
    if (count > most)
        count = most;
    return count < POOL__BATCH_MAX ? (uint32_t)count : POOL__BATCH_MAX;
}

/* How many items from `first` on fit in a frame; one always does. */
static uint32_t fit_in_frame(struct pool__job *job, uint64_t first, uint32_t count)
{
    uint64_t bytes = POOL__FRAME_SIZE + POOL__FRAME_ALIGN;
    uint32_t fitting;

    if (job->item_size == 0 || job->items_there)
        return count;
    if (job->item_size != SIZE_MAX) {
        uint64_t most = (POOL__FRAME_MAX - bytes) / job->item_size;

        return most < 1 ? 1 : at_most(count, most);
    }
    for (fitting = 0; fitting < count; fitting++) {
        const void *item;
        size_t size;

        job->owner->argument(job, first + fitting, &item, &size);
        if (fitting > 0 && size > POOL__FRAME_MAX - bytes)
            break;
        bytes += 8 + pool__padded(size, POOL__FRAME_ALIGN);
        if (fitting > 0 && bytes > POOL__FRAME_MAX)
            break;
        if (bytes > POOL__FRAME_MAX)
            return 1;
    }
    return fitting;
}

static uint64_t waiting_items(const struct pool__job *job)
{
    const struct pool__run *first =
        pool__list_empty(&job->returned) ? NULL : pool__holder(job->returned.next, struct pool__run, link);

    return first != NULL ? first->count : job->end - job->next;
}

/* Half an even share of what waits, and not less than is worth parting; of a group all, where more wait behind it. */
static uint64_t fair_share(const struct pool__scheduler *scheduler, const struct pool__job *job, uint64_t item_ns)
{
    uint64_t waiting = waiting_items(job);
    uint64_t share = waiting / (2 * (uint64_t)(scheduler->size > 0 ? scheduler->size : 1));

    if (job->lone && pool__is_linked(&job->link) && job->link.next != &scheduler->lone)
        return waiting;
    return share > WHOLE_TIME / item_ns ? share : WHOLE_TIME / item_ns;
}

/* By measured time, in steps; and so that towards the end there is something left for every worker. */
static uint32_t batch_size(const struct pool__scheduler *scheduler, const struct pool__job *job)
{
    uint64_t item_ns = job->lone ? scheduler->lone_ns : job->item_ns, count, share;
    uint32_t last = job->lone ? scheduler->lone_batch : job->last_batch;

    if (pool__job_is_single(job))
        return 1;
    if (job->chunk != 0)
        return at_most(job->chunk, waiting_items(job));
    if (item_ns == 0)
        return 1;
    count = (job->items_there ? THERE_TIME : BATCH_TIME) / item_ns;
    if (count > (uint64_t)(last > 0 ? last : 1) * GROWTH)
        count = (uint64_t)(last > 0 ? last : 1) * GROWTH;
    share = fair_share(scheduler, job, item_ns);
    if (count > share)
        count = share;
    return count < 1 ? 1 : at_most(count, waiting_items(job));
}

/* Cuts the first `count` items off a waiting run. */
static struct pool__run *cut(struct pool__run *run, uint32_t count)
{
    struct pool__run *front;

    if (run->count <= count || (front = pool__run_make(run->job, run->first, count)) == NULL) {
        pool__list_remove(&run->link);
        return run;
    }
    front->attempt = run->attempt;
    front->suspicion = run->suspicion;
    run->suspicion = 0;
    run->first += count;
    run->count -= count;
    return front;
}

/* The next run of a job, of at most `most` items; NULL: no memory. */
static struct pool__run *take_run(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t most)
{
    struct pool__run *run;
    uint32_t count = at_most(batch_size(scheduler, job), most);

    if (!pool__list_empty(&job->returned)) {
        run = pool__holder(job->returned.next, struct pool__run, link);
        run = cut(run, fit_in_frame(job, run->first, at_most(count, run->count)));
        return run;
    }
    count = fit_in_frame(job, job->next, count);
    run = pool__run_make(job, job->next, count);
    if (run != NULL)
        job->next += count;
    return run;
}

static void look_no_later_than(struct pool__scheduler *scheduler, uint64_t at)
{
    if (at < scheduler->look_at)
        scheduler->look_at = at;
}

/* To the end of its queue; but the rest of a group came before what stands behind it. */
static void end_turn(struct pool__scheduler *scheduler, struct pool__job *job)
{
    if (job->grouped && pool__job_waits(job))
        return;
    pool__list_remove(&job->link);
    pool__queue_update(scheduler, job);
}

/* No memory to hand out fresh items: they end here and are told so, rather than wait for what may never come. */
static void drop_next(struct pool__scheduler *scheduler, struct pool__job *job)
{
    uint64_t first = job->next;
    uint32_t count = batch_size(scheduler, job);

    job->next += count;
    end_turn(scheduler, job);
    pool__queue_drop(job, first, count, POOL_NO_MEMORY, 0, "no memory to hand it to a worker");
}

/* One batch of the job to the seat, or, where memory is short, none. False: the seat cannot take it. */
static bool give(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__job *job, uint64_t now)
{
    struct pool__run *run;
    uint32_t batch;

    if (!scheduler->actions->can_send(scheduler->host, seat, job))
        return false;
    run = take_run(scheduler, job, seat->budget);
    if (run == NULL) {
        drop_next(scheduler, job);
        return true;
    }
    end_turn(scheduler, job);
    if (!job->lone)
        job->last_batch = run->count;
    else if (job->grouped)
        scheduler->lone_batch = run->count > scheduler->lone_batch / 2 ? run->count : scheduler->lone_batch / 2;
    batch = pool__seat_add(seat, run, now);
    scheduler->owed += run->count;
    scheduler->latest = seat->index;
    pool__deadline_note(scheduler, seat, job, now);
    look_no_later_than(scheduler, now + (seat->owed > 1 ? POOL__LOOK_AFTER : POOL__STEAL_AFTER));
    scheduler->actions->send(scheduler->host, seat, batch, run);
    return true;
}

/*
 * Applies and maps take turns, so that neither waits for a long line of the other; each kind in its own order, maps
 * one batch each.
 */
static struct pool__job *next_job(struct pool__scheduler *scheduler)
{
    bool lone = !pool__list_empty(&scheduler->lone), bulk = !pool__list_empty(&scheduler->bulk);

    if (!lone && !bulk)
        return NULL;
    return pool__holder(bulk && (!lone || scheduler->bulk_turn) ? scheduler->bulk.next : scheduler->lone.next,
                        struct pool__job, link);
}

/*
 * One batch to one seat. False: nothing waits, or nobody can take it. A seat that cannot is left out until something
 * happens there.
 */
static bool give_one(struct pool__scheduler *scheduler, uint64_t now)
{
    struct pool__job *job = next_job(scheduler);
    bool lone = job != NULL && job->lone;
    struct pool__link *link;

    while (job != NULL) {
        struct pool__seat *seat;

        link = !pool__list_empty(&scheduler->idle) ? scheduler->idle.next : scheduler->roomy.next;
        if (link == &scheduler->roomy)
            return false;
        seat = pool__holder(link, struct pool__seat, link);
        if (has_room_for(scheduler, seat, job) && give(scheduler, seat, job, now)) {
            scheduler->bulk_turn = lone;
            pool__scheduler_relist(scheduler, seat);
            return true;
        }
        pool__list_remove(&seat->link);
    }
    return false;
}

bool pool__scheduler_expects(const struct pool__scheduler *scheduler)
{
    return scheduler->owed > 0 || scheduler->starting > 0 || pool__scheduler_waits(scheduler);
}

void pool__scheduler_dispatch(struct pool__scheduler *scheduler, uint64_t now)
{
    for (;;) {
        while (give_one(scheduler, now))
            continue;
        if (pool__scheduler_waits(scheduler) || pool__list_empty(&scheduler->idle) || scheduler->owed == 0 ||
            !pool__scheduler_steal(scheduler, now))
            return;
    }
}

/* ---- silence */

/* When the next look at a seat is due; NEVER after the last. */
static uint64_t look_due(const struct pool__seat *seat)
{
    if (seat->owed == 0 || (seat->state != POOL__SEAT_READY && seat->state != POOL__SEAT_LEAVING) || seat->looks > 2)
        return POOL__NEVER;
    if (seat->looks == 2 || seat->owed == 1)
        return pool__seat_patience_ends(seat);
    return seat->heard + POOL__LOOK_AFTER * (seat->looks + 1);
}

/* Twice for results that wait behind a running function; once more so that dispatch sees what can be stolen. */
void pool__scheduler_look(struct pool__scheduler *scheduler, uint64_t now)
{
    uint64_t next = POOL__NEVER;
    unsigned i;

    if (now < scheduler->look_at)
        return;
    for (i = 0; scheduler->owed > 0 && i < scheduler->span; i++) {
        struct pool__seat *seat = &scheduler->seats[i];
        uint64_t due = look_due(seat);

        if (due <= now && !pool__seat_is_sane(seat)) {
            pool__staffing_condemn(scheduler, seat, POOL__KILL_NONSENSE, now);
            pool__scheduler_empty_seat(scheduler, seat);
            continue;
        }
        if (due <= now) {
            seat->looks = seat->looks < 2 && seat->owed > 1 ? seat->looks + 1 : 3;
            if (seat->looks < 3)
                scheduler->actions->look(scheduler->host, seat);
            due = look_due(seat);
        }
        next = pool__earlier(next, due);
    }
    scheduler->look_at = next;
}

void pool__scheduler_heard(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    seat->heard = now;
    seat->looks = 0;
    if (seat->owed > 0)
        look_no_later_than(scheduler, now + (seat->owed > 1 ? POOL__LOOK_AFTER : POOL__STEAL_AFTER));
}
