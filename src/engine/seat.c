#include "engine/seat.h"

#include <string.h>

#include "base/clock.h"

static const bool may_become[5][5] = {
    [POOL__SEAT_EMPTY] = {[POOL__SEAT_STARTING] = true},
    [POOL__SEAT_STARTING] =
        {[POOL__SEAT_READY] = true, [POOL__SEAT_LEAVING] = true, [POOL__SEAT_DYING] = true, [POOL__SEAT_EMPTY] = true},
    [POOL__SEAT_READY] = {[POOL__SEAT_LEAVING] = true, [POOL__SEAT_DYING] = true, [POOL__SEAT_EMPTY] = true},
    [POOL__SEAT_LEAVING] = {[POOL__SEAT_DYING] = true, [POOL__SEAT_EMPTY] = true},
    [POOL__SEAT_DYING] = {[POOL__SEAT_EMPTY] = true},
};

bool pool__seat_may_become(enum pool__seat_state from, enum pool__seat_state to)
{
    return may_become[from][to];
}

void pool__seat_enter(struct pool__seat *seat, enum pool__seat_state state, uint64_t now)
{
    if (!pool__seat_may_become(seat->state, state))
        return;
    seat->state = state;
    seat->since = seat->prodded_at = now;
    seat->prods = 0;
    if (state == POOL__SEAT_READY)
        seat->was_ready = true;
}

void pool__seat_begin(struct pool__seat *seat, unsigned tasks_per_worker, uint64_t now)
{
    memset(seat->flight, 0, sizeof seat->flight);
    seat->reason = POOL__KILL_NONE;
    seat->sent = seat->left = seat->reached = 0;
    seat->head = 1;
    seat->owed = 0;
    seat->budget = tasks_per_worker != 0 ? tasks_per_worker : UINT64_MAX;
    seat->spawned = seat->kill_unsent = seat->hung_up = seat->was_ready = seat->started_any = false;
    seat->heard = now;
    seat->looks = 0;
    seat->check_at = POOL__NEVER;
    memset(&seat->sighted, 0, sizeof seat->sighted);
    memset(&seat->excused, 0, sizeof seat->excused);
    seat->sighted_at = now;
    seat->abandoned = false;
}

bool pool__seat_has_entry(const struct pool__seat *seat)
{
    return seat->sent - seat->left < POOL__FLIGHT;
}
uint32_t pool__seat_batches(const struct pool__seat *seat)
{
    return seat->sent + 1 - seat->head;
}

struct pool__run *pool__seat_head(const struct pool__seat *seat)
{
    return seat->head == seat->sent + 1 ? NULL : seat->flight[seat->head % POOL__FLIGHT];
}

static void advance_head(struct pool__seat *seat)
{
    while (seat->head != seat->sent + 1 && seat->flight[seat->head % POOL__FLIGHT] == NULL)
        seat->head++;
}

uint32_t pool__seat_add(struct pool__seat *seat, struct pool__run *run, uint64_t now)
{
    uint32_t batch = ++seat->sent;

    if (seat->owed == 0)
        seat->head = batch;
    if (seat->owed < 2) { /* there is something new to wait for */
        seat->heard = now;
        seat->looks = 0;
    }
    seat->flight[batch % POOL__FLIGHT] = run;
    seat->owed += run->count;
    if (seat->budget != UINT64_MAX)
        seat->budget -= run->count;
    run->job->in_flight += run->count;
    pool__board_open(seat->board, batch, run->count);
    return batch;
}

void pool__seat_release(struct pool__seat *seat, uint32_t batch)
{
    seat->flight[batch % POOL__FLIGHT] = NULL;
    advance_head(seat);
}

uint32_t pool__seat_take_back(struct pool__seat *seat, uint32_t batch, uint32_t keep, uint64_t *first, bool *sane)
{
    struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    uint32_t taken = pool__board_take_back(seat->board, batch, &run->count, keep, sane);

    /* the worker cannot have left unclaimed what has an outcome */
    if (run->count < run->done) {
        run->count += taken;
        *sane = false;
        return 0;
    }
    *first = run->first + run->count;
    seat->owed -= taken;
    if (seat->budget != UINT64_MAX)
        seat->budget += taken;
    run->job->in_flight -= taken;
    return taken;
}

static bool is_in_flight(const struct pool__seat *seat, struct pool__place place)
{
    return place.mark != POOL__MARK_NONE && place.batch - seat->left - 1 < seat->sent - seat->left;
}

bool pool__seat_is_marked(const struct pool__seat *seat)
{
    struct pool__place place = pool__board_running(seat->board);

    return place.mark == POOL__MARK_RUN && is_in_flight(seat, place);
}

/*
 * A mark outlives its item's outcome for a moment, where the result was taken from the board or went straight into
 * the pipe.
 */
struct pool__run *pool__seat_running(const struct pool__seat *seat, struct pool__place *place)
{
    const struct pool__run *head = pool__seat_head(seat);

    *place = pool__board_running(seat->board);
    if (place->mark != POOL__MARK_RUN || head == NULL || !is_in_flight(seat, *place) || place->batch < seat->head ||
        (place->batch == seat->head && place->offset < head->done))
        return NULL;
    return seat->flight[place->batch % POOL__FLIGHT];
}

bool pool__seat_is_running(const struct pool__seat *seat)
{
    struct pool__place place;

    return pool__seat_running(seat, &place) != NULL;
}

bool pool__seat_is_sane(const struct pool__seat *seat)
{
    struct pool__place place = pool__board_running(seat->board);
    uint32_t batch, claimed;

    if (place.mark != POOL__MARK_NONE && place.batch - 1 >= seat->sent)
        return false;
    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

        if (run != NULL && (!pool__board_claimed(seat->board, batch, run->count, &claimed) || claimed < run->done))
            return false;
    }
    return true;
}

bool pool__seat_may_send_more(const struct pool__seat *seat, uint64_t received)
{
    const struct pool__run *head = pool__seat_head(seat);
    struct pool__place place, again;
    bool runs = pool__seat_running(seat, &place) != NULL, sane, more;

    if (head == NULL || (runs && place.batch == seat->head && place.offset == head->done))
        return true;
    more = pool__board_has_more(seat->board, received, &sane);
    again = pool__board_running(seat->board);
    return more &&
           (sane || runs || again.batch != place.batch || again.offset != place.offset || again.mark != place.mark);
}

uint64_t pool__seat_patience_ends(const struct pool__seat *seat)
{
    const struct pool__run *head = pool__seat_head(seat);
    unsigned doublings = head == NULL || head->moves < 10 ? (head == NULL ? 0 : head->moves) : 10;

    return seat->heard + (POOL__STEAL_AFTER << doublings);
}

/* Has the worker claimed anything of a later batch? A word that cannot be is no proof that it has not. */
static bool has_gone_on(const struct pool__seat *seat, uint32_t batch)
{
    uint32_t later, claimed;

    for (later = batch + 1; later != seat->sent + 1; later++) {
        const struct pool__run *run = seat->flight[later % POOL__FLIGHT];

        if (run != NULL && (!pool__board_claimed(seat->board, later, run->count, &claimed) || claimed > 0))
            return true;
    }
    return false;
}

/*
 * Can a worker that is at this batch have left this mark: of an item of the batch, no earlier than the last that has an
 * outcome; of the end of an earlier batch, no earlier than the last that has brought a result; or none at all, where it
 * has run nothing?
 */
static bool is_mark_of(const struct pool__seat *seat, struct pool__place place, uint32_t batch)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

    if (place.mark == POOL__MARK_ALL)
        return false;
    if (place.mark == POOL__MARK_NONE)
        return place.batch == 0 && place.offset == 0 && seat->reached == 0;
    if (place.batch == batch)
        return place.offset + 1 >= run->done;
    return place.mark == POOL__MARK_DONE && place.batch > 0 && place.batch < batch && place.batch >= seat->reached &&
           run->done == 0;
}

/* Does the mark say what of the batch has been started? */
static bool is_believed(const struct pool__seat *seat, struct pool__place place, uint32_t batch)
{
    return seat->reason != POOL__KILL_NONSENSE && is_mark_of(seat, place, batch) && !has_gone_on(seat, batch);
}

uint32_t pool__seat_started(const struct pool__seat *seat, uint32_t batch, uint32_t claimed)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    struct pool__place place = pool__board_running(seat->board);
    uint32_t marked = place.mark != POOL__MARK_NONE && place.batch == batch ? place.offset + 1 : 0;
    uint32_t started = marked > run->done ? marked : run->done;

    return started < claimed && !is_believed(seat, place, batch) ? claimed : started;
}

/*
 * Rule 2 and rule 12. The marked item is to blame. What lies before it in order must have been finished, and its
 * result is nowhere: not to be run again. The mark alone says what of the claimed has not begun: where it says nothing
 * that can be, or the worker talked nonsense, all of it may have run; where the worker has gone on to a later batch, all
 * of it has.
 */
struct pool__verdict pool__seat_judge(const struct pool__seat *seat, uint32_t batch)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    struct pool__place place = pool__board_running(seat->board);
    struct pool__verdict verdict = {0, false};
    bool in_flight = is_in_flight(seat, place);
    uint32_t claimed, unresolved = run->count - run->done;

    if (!pool__board_claimed(seat->board, batch, run->count, &claimed) || claimed < run->done) {
        verdict.lost = unresolved;
        return verdict;
    }
    if (in_flight && place.batch == batch && place.offset >= run->count) {
        verdict.lost = unresolved; /* a mark on an item that was never here */
    } else if (in_flight && place.batch == batch && place.offset >= run->done) {
        verdict.lost = place.offset - run->done + 1;
        verdict.running = place.mark == POOL__MARK_RUN;
    } else if (in_flight && place.batch > batch) {
        verdict.lost = unresolved;
    }
    if (claimed - run->done > verdict.lost && !is_believed(seat, place, batch)) {
        verdict.lost = claimed - run->done;
        verdict.running = false; /* the last of them is not the marked one */
    }
    return verdict;
}
