#include "engine/deadline.h"

#include "base/clock.h"
#include "engine/staffing.h"

#define MIXED  (10 * POOL__MS)   /* the least between two looks at a seat whose running item has no deadline */
#define STUCK  (1000 * POOL__MS) /* the least silence that counts as stuck: the machine may be busy */
#define STALL  (100 * POOL__MS)  /* a timer that is so late: this process did not run */
#define EXCUSE (100 * POOL__MS)  /* the most that is then left to results that are on their way */
#define STEADY 4                 /* tries to read mark, start and mark again as one */

static bool may_check(const struct pool__seat *seat)
{
    return seat->owed > 0 && (seat->state == POOL__SEAT_READY || seat->state == POOL__SEAT_LEAVING);
}

static bool same_item(struct pool__place a, struct pool__place b)
{
    return a.mark != POOL__MARK_NONE && a.batch == b.batch && a.offset == b.offset;
}

static void check_no_later_than(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t at)
{
    seat->check_at = pool__earlier(seat->check_at, at);
    scheduler->check_at = pool__earlier(scheduler->check_at, at);
}

void pool__deadline_note(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__job *job,
                         uint64_t now)
{
    if (job->deadline != 0)
        check_no_later_than(scheduler, seat, now + job->deadline);
}

/* The shortest deadline of what the seat has; NEVER: none has one. */
static uint64_t shortest(const struct pool__seat *seat)
{
    uint64_t least = POOL__NEVER;
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

        if (run != NULL && run->job->deadline != 0)
            least = pool__earlier(least, run->job->deadline);
    }
    return least;
}

/*
 * The running item and when it began (rule 9): by the worker's own word where that is not later than our first sight
 * of it. NULL: nothing runs, or the worker is between two items at this moment.
 */
static struct pool__run *running_since(struct pool__seat *seat, struct pool__place *place, uint64_t *since,
                                       uint64_t now)
{
    struct pool__run *run = NULL;
    struct pool__place again;
    bool steady = false;
    int tries;

    for (tries = 0; tries < STEADY && !steady; tries++) {
        run = pool__seat_running(seat, place);
        *since = atomic_load_explicit(&seat->board->started, memory_order_acquire);
        again = pool__board_running(seat->board);
        steady = run == NULL || (again.mark == POOL__MARK_RUN && same_item(*place, again));
    }
    if (run == NULL || !steady)
        return NULL;
    if (!same_item(seat->sighted, *place)) {
        seat->sighted = *place;
        seat->sighted_at = now;
    }
    *since = pool__earlier(*since, seat->sighted_at);
    return run;
}

/* Emptied, and read to the last byte that is here: what it runs now it has not ended. False: it is being ended. */
static bool freeze(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    pool__scheduler_empty_seat(scheduler, seat);
    if (may_check(seat))
        scheduler->actions->read(scheduler->host, seat);
    return seat->state == POOL__SEAT_READY || seat->state == POOL__SEAT_LEAVING;
}

/* Its item's time is up (rule 8). */
static void strike_running(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__place meant,
                           uint64_t now)
{
    struct pool__place place;

    if (!freeze(scheduler, seat))
        return;
    if (pool__seat_running(seat, &place) != NULL && same_item(meant, place))
        pool__staffing_condemn(scheduler, seat, POOL__KILL_DEADLINE, now);
    else
        pool__scheduler_relist(scheduler, seat);
}

/* It has been silent for long, with work in its pipe. What it had not begun is with the others by now. */
static void strike_stuck(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    uint64_t heard = seat->heard;

    if (!freeze(scheduler, seat))
        return;
    if (seat->heard == heard && !pool__seat_is_running(seat))
        pool__staffing_condemn(scheduler, seat, POOL__KILL_STUCK, now);
    else
        pool__scheduler_relist(scheduler, seat);
}

/*
 * While this process was stopped, results could not be read, and workers may have been held up by that: each item is
 * given a little more once, in which they are.
 */
static bool is_excused(struct pool__seat *seat, struct pool__place place, bool stalled)
{
    if (!stalled || same_item(seat->excused, place))
        return false;
    seat->excused = place;
    return true;
}

/* Items with deadlines are there and none begins: it is stopped, or stuck where no item runs (rule 9). */
static void check_waiting(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t limit, bool stalled,
                          uint64_t now)
{
    uint64_t patience = limit > STUCK ? limit : STUCK;

    if (!stalled && now >= seat->heard + patience) /* what was just heard may be newer than now */
        strike_stuck(scheduler, seat, now);
    if (may_check(seat))
        check_no_later_than(scheduler, seat, now + limit);
}

static void check_seat(struct pool__scheduler *scheduler, struct pool__seat *seat, bool stalled, uint64_t now)
{
    uint64_t limit = shortest(seat), since;
    struct pool__place place;
    struct pool__run *run;

    seat->check_at = POOL__NEVER;
    if (limit == POOL__NEVER)
        return;
    run = running_since(seat, &place, &since, now);
    if (run == NULL) {
        check_waiting(scheduler, seat, limit, stalled, now);
    } else if (run->job->deadline == 0) {
        check_no_later_than(scheduler, seat, now + (limit > MIXED ? limit : MIXED));
    } else if (now < since + run->job->deadline) {
        check_no_later_than(scheduler, seat, since + run->job->deadline);
    } else if (is_excused(seat, place, stalled)) {
        check_no_later_than(scheduler, seat, now + pool__earlier(run->job->deadline, EXCUSE));
    } else {
        strike_running(scheduler, seat, place, now);
        if (may_check(seat))
            check_no_later_than(scheduler, seat, now + limit);
    }
}

void pool__deadline_check(struct pool__scheduler *scheduler, uint64_t now)
{
    bool stalled = scheduler->check_at != POOL__NEVER && now > scheduler->check_at + STALL;
    unsigned i;

    if (now < scheduler->check_at)
        return;
    scheduler->check_at = POOL__NEVER;
    for (i = 0; scheduler->owed > 0 && i < scheduler->span; i++) {
        struct pool__seat *seat = &scheduler->seats[i];

        if (!may_check(seat))
            continue;
        if (seat->check_at <= now)
            check_seat(scheduler, seat, stalled, now);
        else
            scheduler->check_at = pool__earlier(scheduler->check_at, seat->check_at);
    }
}

static bool has_any_of(const struct pool__seat *seat, const struct pool__job *job)
{
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++)
        if (seat->flight[batch % POOL__FLIGHT] != NULL && seat->flight[batch % POOL__FLIGHT]->job == job)
            return true;
    return false;
}

/* What it still has of the job when it has been emptied and read, it runs, or has claimed and is about to. */
void pool__deadline_kill_job(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t now)
{
    unsigned i;

    job->kill_asked = true;
    for (i = 0; job->in_flight > 0 && i < scheduler->span; i++) {
        struct pool__seat *seat = &scheduler->seats[i];

        if (!may_check(seat) || !has_any_of(seat, job) || !freeze(scheduler, seat))
            continue;
        if (has_any_of(seat, job))
            pool__staffing_condemn(scheduler, seat, POOL__KILL_CANCEL, now);
        else
            pool__scheduler_relist(scheduler, seat);
    }
}

/*
 * Is it at this item, or about to be? Its seat has been emptied, so that nothing is claimed behind the last one of its
 * last batch.
 */
static bool is_at(const struct pool__seat *seat, uint32_t batch, uint32_t offset)
{
    struct pool__place place = pool__board_running(seat->board);

    if (place.mark != POOL__MARK_NONE && place.batch == batch && place.offset == offset)
        return place.mark == POOL__MARK_RUN;
    if (pool__seat_is_running(seat))
        return false;
    return seat->owed == 1 && offset + 1 == seat->flight[batch % POOL__FLIGHT]->count;
}

void pool__deadline_kill_item(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t index, uint64_t now)
{
    uint32_t batch;
    struct pool__seat *seat = pool__scheduler_seat_with(scheduler, job, index, &batch);

    if (seat == NULL || !may_check(seat) || !freeze(scheduler, seat))
        return;
    if (pool__scheduler_seat_with(scheduler, job, index, &batch) == seat &&
        is_at(seat, batch, (uint32_t)(index - seat->flight[batch % POOL__FLIGHT]->first)))
        pool__staffing_condemn(scheduler, seat, POOL__KILL_CANCEL, now);
    else
        pool__scheduler_relist(scheduler, seat);
}
