#include "engine/staffing.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "data/control.h"

#define BRAKE_FIRST  (10 * POOL__MS)
#define BRAKE_MOST   (1000 * POOL__MS)
#define SOUND_LIFE   (1000 * POOL__MS) /* a worker that was READY for so long is no sign of trouble when it ends */
#define HOPELESS     10u
#define READY_COUNTS (10000 * POOL__MS) /* how long one READY worker speaks for the others */
#define TRY_AGAIN    POOL__MS           /* after a spawn that could not be asked for */
#define DYING_TIME   (200 * POOL__MS)   /* from the kill until the items are told without having heard of the end, */
#define LAST_DYING   (1000 * POOL__MS)  /* and the same in a pool that ends, where many die at once */
#define PROD         (50 * POOL__MS) /* from a question to the zygote until it is prodded; each time twice as long, */
#define PRODS        8u              /* so many times */

static void staff_no_later_than(struct pool__scheduler *scheduler, uint64_t at)
{
    scheduler->staff_at = pool__earlier(scheduler->staff_at, at);
}

/* Every change of state in this file, so that the seats that are STARTING are counted. */
static void enter(struct pool__scheduler *scheduler, struct pool__seat *seat, enum pool__seat_state state, uint64_t now)
{
    scheduler->starting -= seat->state == POOL__SEAT_STARTING;
    pool__seat_enter(seat, state, now);
    scheduler->starting += seat->state == POOL__SEAT_STARTING;
}

/* The pause before the next start after `bad` bad ones in a row; the first is answered at once. */
static uint64_t brake(unsigned bad)
{
    uint64_t pause = BRAKE_FIRST;

    if (bad < 2)
        return 0;
    while (--bad > 1 && pause < BRAKE_MOST)
        pause *= 2;
    return pause < BRAKE_MOST ? pause : BRAKE_MOST;
}

/* While work is under way that may come back, workers are kept and replaced. */
static bool worker_wanted(const struct pool__scheduler *scheduler, const struct pool__seat *seat)
{
    if (scheduler->aborted || seat->index >= scheduler->size)
        return false;
    return !scheduler->ending || pool__scheduler_waits(scheduler) || scheduler->work_to_share;
}

static void stop(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    enter(scheduler, seat, POOL__SEAT_LEAVING, now);
    pool__list_remove(&seat->link);
    scheduler->actions->stop(scheduler->host, seat);
    staff_no_later_than(scheduler, now + scheduler->stop_timeout);
}

void pool__staffing_condemn(struct pool__scheduler *scheduler, struct pool__seat *seat, enum pool__kill_reason reason,
                            uint64_t now)
{
    if (seat->state == POOL__SEAT_EMPTY || seat->state == POOL__SEAT_DYING)
        return;
    pool__list_remove(&seat->link);
    enter(scheduler, seat, POOL__SEAT_DYING, now);
    seat->reason = reason;
    scheduler->actions->kill(scheduler->host, seat);
    staff_no_later_than(scheduler, now + PROD);
}

void pool__staffing_no_start(struct pool__scheduler *scheduler, uint64_t now)
{
    scheduler->bad_starts++;
    scheduler->bad_before_ready = true;
    scheduler->next_spawn = now + brake(scheduler->bad_starts);
}

static void start(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    if (now < scheduler->next_spawn) {
        staff_no_later_than(scheduler, scheduler->next_spawn);
        return;
    }
    if (scheduler->unspawned >= POOL__SPAWNS_AHEAD) {
        scheduler->held_back = true;
        return;
    }
    enter(scheduler, seat, POOL__SEAT_STARTING, now);
    pool__seat_begin(seat, scheduler->tasks_per_worker, now);
    if (!scheduler->actions->spawn(scheduler->host, seat)) {
        enter(scheduler, seat, POOL__SEAT_EMPTY, now);
        staff_no_later_than(scheduler, now + TRY_AGAIN);
        return;
    }
    scheduler->alive++;
    scheduler->unspawned += !seat->spawned;
    scheduler->started++;
    scheduler->next_spawn = now + brake(scheduler->bad_starts);
    staff_no_later_than(scheduler, now + PROD);
}

/* A busy worker ends what it runs; what it has not begun goes to the others. */
static void retire(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    pool__scheduler_empty_seat(scheduler, seat);
    stop(scheduler, seat, now);
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* True once `limit` ns have passed since `since`; until then the timer is set. */
static bool is_due(struct pool__scheduler *scheduler, uint64_t since, uint64_t limit, uint64_t now)
{
    if (now >= since + limit)
        return true;
    staff_no_later_than(scheduler, since + limit);
    return false;
}

/*
 * A spawn, a kill or a death of which the zygote says nothing: it may be stopped. What hung up may also live, without
 * its pipe.
 */
static void prod_if_silent(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    bool owed = seat->state != POOL__SEAT_EMPTY && (!seat->spawned || seat->hung_up || seat->state == POOL__SEAT_DYING);

    if (!owed || !is_due(scheduler, seat->prodded_at, PROD << seat->prods, now))
        return;
    scheduler->actions->prod(scheduler->host);
    seat->prodded_at = now;
    seat->prods += seat->prods < PRODS;
    staff_no_later_than(scheduler, now + (PROD << seat->prods));
}

/*
 * SIGKILL is on its way to it, or was, and nothing has been heard: a process in a debugger's hands or in the middle
 * of the system's, or a zygote that is stopped. Nobody waits for that any longer than this.
 */
static void adjust_dying(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    struct pool__death unknown = {.known = false, .abandoned = true};

    if (seat->kill_unsent)
        staff_no_later_than(scheduler, now + TRY_AGAIN);
    if (!is_due(scheduler, seat->since, scheduler->ending ? LAST_DYING : DYING_TIME, now))
        return;
    if (!seat->abandoned) {
        scheduler->actions->read(scheduler->host, seat);
        pool__scheduler_empty_seat(scheduler, seat);
        pool__scheduler_gone(scheduler, seat, &unknown, now);
        seat->abandoned = true;
    }
    if (scheduler->actions->abandon(scheduler->host, seat))
        pool__staffing_left(scheduler, seat, &unknown, now);
}

static void adjust_seat(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    bool wanted = worker_wanted(scheduler, seat);

    prod_if_silent(scheduler, seat, now);
    switch (seat->state) {
    case POOL__SEAT_EMPTY:
        if (wanted)
            start(scheduler, seat, now);
        break;
    case POOL__SEAT_STARTING:
        if (!wanted)
            stop(scheduler, seat, now);
        else if (is_due(scheduler, seat->since, scheduler->start_timeout, now))
            pool__staffing_condemn(scheduler, seat, POOL__KILL_START, now);
        break;
    case POOL__SEAT_READY:
        if (!wanted && (seat->index >= scheduler->size || seat->owed == 0))
            retire(scheduler, seat, now);
        else if (seat->budget == 0 && seat->owed == 0 && is_due(scheduler, seat->heard, scheduler->stop_timeout, now))
            pool__staffing_condemn(scheduler, seat, POOL__KILL_STOP, now); /* it was to leave by itself */
        break;
    case POOL__SEAT_LEAVING:
        /* its task may take what time it wants; the clock starts when the last outcome is here */
        if (seat->owed == 0 && is_due(scheduler, later(seat->heard, seat->since), scheduler->stop_timeout, now))
            pool__staffing_condemn(scheduler, seat, POOL__KILL_STOP, now);
        break;
    case POOL__SEAT_DYING:
        adjust_dying(scheduler, seat, now);
        break;
    }
}

static unsigned count_unspawned(const struct pool__scheduler *scheduler)
{
    unsigned count = 0, i;

    for (i = 0; i < scheduler->span; i++)
        count += scheduler->seats[i].state != POOL__SEAT_EMPTY && !scheduler->seats[i].spawned;
    return count;
}

/* Items that others may still take over: more are owed than run. One that its worker does not begin may be stolen. */
static bool is_work_to_share(const struct pool__scheduler *scheduler)
{
    unsigned running = 0, i;

    for (i = 0; i < scheduler->span; i++) {
        const struct pool__seat *seat = &scheduler->seats[i];

        running += seat->board != NULL && seat->owed > 0 && pool__seat_is_running(seat);
    }
    return scheduler->owed > running;
}

void pool__staffing_adjust(struct pool__scheduler *scheduler, uint64_t now)
{
    unsigned i;

    while (scheduler->span > scheduler->size && scheduler->seats[scheduler->span - 1].state == POOL__SEAT_EMPTY)
        scheduler->span--;
    scheduler->work_to_share = is_work_to_share(scheduler);
    scheduler->staff_at = POOL__NEVER;
    scheduler->unspawned = count_unspawned(scheduler);
    scheduler->held_back = false;
    for (i = 0; i < scheduler->span; i++) {
        scheduler->seats[i].index = i; /* here, so that seats that are never used are never touched */
        adjust_seat(scheduler, &scheduler->seats[i], now);
    }
}

void pool__staffing_resize(struct pool__scheduler *scheduler, unsigned size, uint64_t now)
{
    scheduler->size = size;
    if (scheduler->span < size)
        scheduler->span = size;
    pool__staffing_adjust(scheduler, now);
}

void pool__staffing_end(struct pool__scheduler *scheduler, uint64_t now)
{
    scheduler->ending = true;
    pool__staffing_adjust(scheduler, now);
}

/* All was dropped but what works in the arena: that ends with its worker. */
static bool is_kept(const struct pool__scheduler *scheduler, const struct pool__seat *seat)
{
    return scheduler->dropped_as != POOL_OK && seat->owed > 0;
}

void pool__staffing_abort(struct pool__scheduler *scheduler, uint64_t patience, uint64_t now)
{
    unsigned i;

    scheduler->ending = scheduler->aborted = true;
    scheduler->stop_timeout = patience;
    for (i = 0; i < scheduler->span; i++) {
        struct pool__seat *seat = &scheduler->seats[i];

        /*
         * one that is blocked in a write still owes something here, or is behind its last result: then the patience
         * ends it
         */
        if (seat->state == POOL__SEAT_STARTING ||
            (seat->state != POOL__SEAT_EMPTY && (is_kept(scheduler, seat) || pool__seat_is_marked(seat))))
            pool__staffing_condemn(scheduler, seat, POOL__KILL_TERMINATE, now);
        else if (seat->state == POOL__SEAT_READY)
            stop(scheduler, seat, now);
    }
    pool__staffing_adjust(scheduler, now);
}

void pool__staffing_ready(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    seat->heard = now;
    if (seat->state != POOL__SEAT_STARTING)
        return; /* stopped or condemned meanwhile */
    enter(scheduler, seat, POOL__SEAT_READY, now);
    scheduler->last_ready = now;
    pool__scheduler_relist(scheduler, seat);
}

/*
 * Somebody else kills workers, faster than they begin, of a pool whose workers have shown that they can: that slows
 * the pool down, but is no reason to give it up.
 */
static bool was_killed(const struct pool__scheduler *scheduler, const struct pool__death *death, uint64_t now)
{
    return death->known && WIFSIGNALED(death->status) && WTERMSIG(death->status) == SIGKILL &&
           scheduler->last_ready != 0 && now - scheduler->last_ready < READY_COUNTS;
}

void pool__staffing_left(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death,
                         uint64_t now)
{
    bool ours =
        (seat->reason != POOL__KILL_NONE && seat->reason != POOL__KILL_START && seat->reason != POOL__KILL_NONSENSE) ||
        death->announced || seat->state == POOL__SEAT_LEAVING;

    if (seat->was_ready && !death->announced)
        scheduler->lost++;
    if (seat->was_ready && now >= seat->since + SOUND_LIFE)
        scheduler->bad_starts = 0;
    if (seat->started_any)
        scheduler->bad_starts = 0; /* a crashing task proves that workers do start */
    scheduler->pipe_deaths += seat->reason == POOL__KILL_PIPE;
    if (!ours && !seat->started_any) {
        if (scheduler->bad_starts + 1 < HOPELESS || seat->reason != POOL__KILL_NONE ||
            !was_killed(scheduler, death, now))
            scheduler->bad_starts++;
        scheduler->bad_before_ready = !seat->was_ready;
        scheduler->next_spawn = now + brake(scheduler->bad_starts);
    }
    enter(scheduler, seat, POOL__SEAT_EMPTY, now);
    seat->board = NULL;
    seat->pid = 0;
    seat->kill_unsent = false;
    scheduler->alive--;
}

bool pool__staffing_hopeless(const struct pool__scheduler *scheduler)
{
    unsigned i;

    if (scheduler->pipe_deaths >= HOPELESS && !scheduler->aborted)
        return true; /* READY or not: none can be reached */
    if (scheduler->bad_starts < HOPELESS || scheduler->aborted ||
        (!scheduler->bad_before_ready && !pool__scheduler_waits(scheduler)))
        return false;
    for (i = 0; i < scheduler->span; i++)
        if (scheduler->seats[i].state == POOL__SEAT_READY || scheduler->seats[i].state == POOL__SEAT_LEAVING)
            return false;
    return true;
}

bool pool__staffing_over(const struct pool__scheduler *scheduler)
{
    return scheduler->ending && scheduler->alive == 0 && (scheduler->aborted || !pool__scheduler_waits(scheduler));
}
