/*
 * take_back - items that are with a worker and have not started come back: to be stolen, because they are not wanted
 * any more, or because the worker or the pool is at its end.
 */
#include "engine/queue.h"
#include "engine/staffing.h"
#include "engine/take_back.h"

#define LOWERINGS 8u /* of a claim, while its worker claims again what it has lost: one by one then */

/* ---- stealing (inv. 7, rule 10) */

uint32_t pool__take_back_unstarted(const struct pool__scheduler *scheduler, const struct pool__seat *seat,
                                   uint32_t batch)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    uint32_t claimed, started;

    if (run == NULL || !pool__board_claimed(seat->board, batch, run->count, &claimed))
        return 0;
    if (!pool__scheduler_claims_blocks(scheduler, run->job))
        return run->count - claimed;
    started = pool__seat_started(seat, batch, claimed);
    return run->count - (started < claimed ? started : claimed);
}

static uint64_t unstarted_at(const struct pool__scheduler *scheduler, const struct pool__seat *seat)
{
    uint64_t count = 0;
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++)
        count += pool__take_back_unstarted(scheduler, seat, batch);
    return count;
}

static bool may_be_robbed(const struct pool__seat *seat, uint64_t now)
{
    if (seat->owed == 0 || (seat->state != POOL__SEAT_READY && seat->state != POOL__SEAT_LEAVING))
        return false;
    return pool__seat_is_running(seat) || now >= pool__seat_patience_ends(seat);
}

/*
 * Of those that are equally rich, the first. It looks no further than to where all that is owed has been seen, and
 * begins where something was given last: so one busy worker among a thousand is found at once.
 */
static struct pool__seat *richest(struct pool__scheduler *scheduler, uint64_t now, uint64_t *riches)
{
    struct pool__seat *found = NULL;
    uint64_t unseen = scheduler->owed;
    unsigned looked, i = scheduler->latest < scheduler->span ? scheduler->latest : 0;

    *riches = 0;
    for (looked = 0; unseen > 0 && looked < scheduler->span; looked++) {
        struct pool__seat *seat = &scheduler->seats[i];
        uint64_t count;

        unseen -= seat->owed < unseen ? seat->owed : unseen;
        if (seat->owed > 0 && seat->owed >= *riches && may_be_robbed(seat, now) &&
            (count = unstarted_at(scheduler, seat)) > 0 && (count > *riches || (count == *riches && seat < found))) {
            *riches = count;
            found = seat;
        }
        i = i + 1 < scheduler->span ? i + 1 : 0;
    }
    return found;
}

/* A board that says what host and worker could not have written: the worker is not trusted from here on (rule 12). */
static void distrust(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    pool__staffing_condemn(scheduler, seat, POOL__KILL_NONSENSE, seat->heard);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/*
 * What is claimed and not started is unclaimed again, where more is to be taken than what is unclaimed anyway. Between
 * the first change of the word and the second the worker may have started some more: it corrects the word itself, or
 * the second change does (struct pool__claim); all of them, where its words do not fit together any more. How many
 * unclaimed items are to be kept, so that `keep` unstarted ones are.
 */
static uint32_t lower_claim(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, uint32_t keep)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    unsigned tries;

    for (tries = 0; tries < LOWERINGS; tries++) {
        uint32_t claimed, started, now_started;

        if (!pool__board_claimed(seat->board, batch, run->count, &claimed))
            return keep;
        started = pool__seat_started(seat, batch, claimed);
        if (started >= claimed)
            return keep;
        if (claimed - started <= keep)
            return keep - (claimed - started);
        if (!pool__board_move_claim(seat->board, batch, run->count, claimed, started))
            continue;
        if (!scheduler->actions->barrier(scheduler->host)) {
            pool__board_move_claim(seat->board, batch, run->count, started, claimed);
            return 0;
        }
        now_started = smaller(pool__seat_started(seat, batch, claimed), claimed);
        if (now_started > started) {
            pool__board_move_claim(seat->board, batch, run->count, started, now_started);
            keep -= smaller(keep, now_started - started); /* they were to be kept among others */
        }
    }
    return keep;
}

bool pool__take_back(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, uint32_t keep,
                     uint32_t *taken)
{
    struct pool__run *run = seat->flight[batch % POOL__FLIGHT], *back = run;
    struct pool__job *job = run->job;
    uint64_t first = 0;
    bool sane = true, running = pool__seat_is_running(seat);

    *taken = 0;
    if (!pool__job_is_single(job) && (back = pool__run_make(job, 0, 0)) == NULL)
        return false;
    if (pool__scheduler_claims_blocks(scheduler, job))
        keep = lower_claim(scheduler, seat, batch, keep);
    *taken = pool__seat_take_back(seat, batch, keep, &first, &sane);
    scheduler->owed -= *taken;
    if (run->done == run->count) {
        scheduler->actions->unsend(scheduler->host, seat, batch);
        pool__seat_release(seat, batch);
        if (back != run) {
            back->attempt = run->attempt;
            back->moves = run->moves;
            pool__run_free(run);
        }
    }
    if (*taken > 0) {
        back->first = first;
        back->count = *taken;
        back->done = 0;
        back->moves += !running;
        pool__queue_give_back(scheduler, back);
    } else if (back != run) {
        pool__run_free(back);
    }
    if (!sane)
        distrust(scheduler, seat);
    return sane;
}

void pool__take_back_last_in_line(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    if (seat->owed > 0 || seat->state != POOL__SEAT_READY || !pool__is_linked(&seat->link))
        return;
    pool__list_remove(&seat->link);
    pool__list_append(&scheduler->idle, &seat->link);
}

/* Half of what the richest seat has not begun, its last batches first. */
bool pool__scheduler_steal(struct pool__scheduler *scheduler, uint64_t now)
{
    uint64_t riches, want;
    struct pool__seat *seat = richest(scheduler, now, &riches);
    uint32_t batch, taken = 0;
    bool any = false;

    if (seat == NULL)
        return false;
    want = (riches + 1) / 2;
    for (batch = seat->sent; want > 0 && batch != seat->head - 1; batch--) {
        uint32_t here = pool__take_back_unstarted(scheduler, seat, batch);

        if (here == 0)
            continue;
        if (!pool__take_back(scheduler, seat, batch, here > want ? here - (uint32_t)want : 0, &taken))
            break;
        want -= taken < want ? taken : want;
        scheduler->stolen += taken;
        any = any || taken > 0;
    }
    pool__scheduler_relist(scheduler, seat);
    if (any)
        pool__take_back_last_in_line(scheduler, seat);
    return any;
}

void pool__scheduler_empty_seat(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    uint32_t batch, taken;

    for (batch = seat->sent; seat->owed > 0 && batch != seat->head - 1; batch--)
        if (seat->flight[batch % POOL__FLIGHT] != NULL && !pool__take_back(scheduler, seat, batch, 0, &taken))
            return;
}

/* ---- jobs that are not wanted any more */

/* What the seat has of the job and has not claimed. */
static uint64_t withdraw_from_seat(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__job *job)
{
    uint64_t dropped = 0, first = 0;
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
        bool sane = true;
        uint32_t taken;

        if (run == NULL || run->job != job)
            continue;
        if (pool__scheduler_claims_blocks(scheduler, job))
            lower_claim(scheduler, seat, batch, 0);
        taken = pool__seat_take_back(seat, batch, 0, &first, &sane);
        scheduler->owed -= taken;
        dropped += taken;
        if (!sane)
            distrust(scheduler, seat);
        if (run->done == run->count) {
            scheduler->actions->unsend(scheduler->host, seat, batch);
            pool__seat_release(seat, batch);
            pool__run_free(run);
        }
        pool__queue_drop(job, first, taken, job->withdrawn_as, 0, NULL);
    }
    pool__scheduler_relist(scheduler, seat);
    return dropped;
}

/* After the take-back all that is left of a batch is claimed: what of it is running, or is run yet. */
static void ask_seat(struct pool__seat *seat, const struct pool__job *job)
{
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
        struct pool__place place = pool__board_running(seat->board);

        /*
         * one that lies before the running batch has ended: its result is on its way, and the word belongs to another
         */
        if (run == NULL || run->job != job || (pool__seat_is_running(seat) && batch < place.batch))
            continue;
        place.batch = batch;
        place.offset = run->count - 1;
        place.mark = POOL__CANCEL_UP_TO;
        pool__board_ask_cancel(seat->board, place);
    }
}

uint64_t pool__scheduler_withdraw(struct pool__scheduler *scheduler, struct pool__job *job, enum pool_status status,
                                  bool ask)
{
    uint64_t dropped;
    unsigned i;

    job->withdrawn = true;
    job->withdrawn_as = status;
    job->cancel_asked = job->cancel_asked || ask;
    pool__list_remove(&job->link);
    dropped = pool__queue_drop_waiting(job, status, 0, NULL);
    for (i = 0; job->in_flight > 0 && i < scheduler->span; i++)
        if (scheduler->seats[i].owed > 0)
            dropped += withdraw_from_seat(scheduler, &scheduler->seats[i], job);
    for (i = 0; ask && job->in_flight > 0 && i < scheduler->span; i++)
        if (scheduler->seats[i].owed > 0)
            ask_seat(&scheduler->seats[i], job);
    scheduler->cancelled += dropped;
    return dropped;
}

/* ---- all of them */

static void withdraw_unasked(struct pool__scheduler *scheduler, struct pool__job *job, enum pool_status status)
{
    job->cancel_asked = true; /* the caller asks them all at once, when everything has been taken back */
    pool__scheduler_withdraw(scheduler, job, status, false);
}

void pool__scheduler_withdraw_all(struct pool__scheduler *scheduler, enum pool_status status)
{
    unsigned i;

    while (!pool__list_empty(&scheduler->lone))
        withdraw_unasked(scheduler, pool__holder(scheduler->lone.next, struct pool__job, link), status);
    while (!pool__list_empty(&scheduler->bulk))
        withdraw_unasked(scheduler, pool__holder(scheduler->bulk.next, struct pool__job, link), status);
    for (i = 0; i < scheduler->span; i++) {
        struct pool__seat *seat = &scheduler->seats[i];
        uint32_t batch;

        for (batch = seat->head; seat->board != NULL && batch != seat->sent + 1; batch++) {
            struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

            if (run != NULL && !run->job->withdrawn)
                withdraw_unasked(scheduler, run->job, status);
        }
    }
}

static void drop_queue(struct pool__link *queue, enum pool_status status, int code, const char *message)
{
    struct pool__link *link;

    while ((link = pool__list_pop(queue)) != NULL)
        pool__queue_drop_waiting(pool__holder(link, struct pool__job, link), status, code, message);
}

/*
 * What a seat has ends here for good; what still comes of it is for nobody. `there` too: what works in the arena, and
 * ends only with its worker (rule 16).
 */
static void drop_flight(struct pool__scheduler *scheduler, struct pool__seat *seat, bool there)
{
    uint32_t batch, head = seat->sent + 1;
    uint64_t kept = 0;

    if (seat->owed == 0)
        return;
    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
        struct pool__job *job;
        uint64_t first;
        uint32_t rest;

        if (run == NULL)
            continue;
        job = run->job;
        first = run->first + run->done;
        rest = run->count - run->done;
        if (!there && pool__job_is_there(job)) {
            head = kept == 0 ? batch : head;
            kept += rest;
            continue;
        }
        scheduler->owed -= rest;
        job->in_flight -= rest;
        seat->flight[batch % POOL__FLIGHT] = NULL;
        pool__run_free(run);
        pool__queue_drop(job, first, rest, scheduler->dropped_as, scheduler->dropped_code, scheduler->dropped_words);
    }
    seat->head = head;
    seat->owed = kept;
}

void pool__scheduler_drop_rest(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    drop_flight(scheduler, seat, true);
}

void pool__scheduler_drop_all(struct pool__scheduler *scheduler, enum pool_status status, int code, const char *message)
{
    unsigned i;

    scheduler->dropped_as = status;
    scheduler->dropped_code = code;
    scheduler->dropped_words = message;
    drop_queue(&scheduler->lone, status, code, message);
    drop_queue(&scheduler->bulk, status, code, message);
    for (i = 0; i < scheduler->span; i++)
        drop_flight(scheduler, &scheduler->seats[i], false);
}
