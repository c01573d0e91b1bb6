/* outcome - how items end: by a result, or by the death of their worker, and who is to blame for that. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "engine/queue.h"

#define ITEM_COST         10u /* ns; what an item costs at the least, so that measured zeros make no endless batches */
#define SUSPICIOUS_DEATHS 5u  /* rule 11 */
#define MEASURED          16u /* items of a row that count: more of them change nothing in a mean over eight */

/* ---- outcomes */

static void measure(uint64_t *mean, uint64_t sample)
{
    if (sample < ITEM_COST)
        sample = ITEM_COST;
    *mean = *mean == 0 ? sample : (*mean * 7 + sample) / 8;
}

static void count_outcome(struct pool__scheduler *scheduler, const struct pool__outcome *outcome)
{
    scheduler->finished++;
    scheduler->run_ns += outcome->run;
    scheduler->failed += outcome->status == POOL_FAILED;
    scheduler->crashed += outcome->status == POOL_CRASHED || outcome->status == POOL_EXITED;
    scheduler->expired += outcome->status == POOL_EXPIRED;
    scheduler->cancelled += outcome->status == POOL_CANCELLED;
}

/* The next item of a batch is struck off the table: its index. */
static uint64_t strike_off(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch)
{
    struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    uint64_t index = run->first + run->done++;

    seat->owed--;
    scheduler->owed--;
    run->job->in_flight--;
    run->suspicion = 0; /* another item is first now */
    if (run->done == run->count) {
        scheduler->actions->unsend(scheduler->host, seat, batch);
        pool__seat_release(seat, batch);
        pool__run_free(run);
    }
    return index;
}

/* The next `count` items of the head, all in one. */
static void strike_off_row(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t count)
{
    struct pool__run *run = pool__seat_head(seat);

    seat->owed -= count;
    scheduler->owed -= count;
    run->job->in_flight -= count;
    run->done += count;
    run->suspicion = 0;
    if (run->done == run->count) {
        uint32_t batch = seat->head;

        scheduler->actions->unsend(scheduler->host, seat, batch);
        pool__seat_release(seat, batch);
        pool__run_free(run);
    }
}

static void cancelled_by_kill(struct pool__outcome *outcome)
{
    outcome->status = POOL_CANCELLED;
    outcome->code = 0;
    outcome->why = "cancelled, and its worker was killed";
}

/* The next item of a batch has its outcome: struck off, then told. */
static void resolve(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch,
                    struct pool__outcome *outcome)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    struct pool__job *job = run->job;
    enum pool__asked asked = pool__job_asked(job, run->first + run->done);

    outcome->attempts = run->attempt;
    outcome->worker = seat->pid;
    outcome->deadline = job->deadline;
    if ((job->cancel_asked || asked != POOL__ASKED_NOTHING) && outcome->status == POOL_FAILED)
        outcome->status = POOL_CANCELLED;
    else if ((job->kill_asked || asked == POOL__ASKED_BY_KILL) && outcome->status != POOL_OK &&
             outcome->status != POOL_CANCELLED)
        cancelled_by_kill(outcome);
    count_outcome(scheduler, outcome);
    job->owner->finished(job, strike_off(scheduler, seat, batch), outcome);
}

static void progressed(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    seat->started_any = true;
    seat->reached = seat->head;
    scheduler->bad_starts = scheduler->pipe_deaths = 0;
    scheduler->next_spawn = 0;
}

void pool__scheduler_result(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__outcome *outcome,
                            uint64_t now)
{
    struct pool__job *job = pool__seat_head(seat)->job;

    measure(job->lone ? &scheduler->lone_ns : &job->item_ns, outcome->run);
    progressed(scheduler, seat);
    resolve(scheduler, seat, seat->head, outcome);
    pool__scheduler_heard(scheduler, seat, now);
    pool__scheduler_relist(scheduler, seat);
}

void pool__scheduler_row(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__row *row,
                         uint64_t now)
{
    struct pool__job *job = pool__seat_head(seat)->job;
    uint32_t i;

    for (i = 0; i < row->count && i < MEASURED; i++)
        measure(job->lone ? &scheduler->lone_ns : &job->item_ns, pool__row_run(row, i));
    for (i = 0; row->times != NULL && i < row->count; i++)
        scheduler->run_ns += pool__row_run(row, i);
    if (row->times == NULL)
        scheduler->run_ns += row->mean * row->count;
    scheduler->finished += row->count;
    progressed(scheduler, seat);
    strike_off_row(scheduler, seat, row->count);
    job->owner->finished_row(job, row);
    pool__scheduler_heard(scheduler, seat, now);
    pool__scheduler_relist(scheduler, seat);
}

bool pool__scheduler_left(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, uint64_t now)
{
    if (seat->left == seat->sent || batch != seat->left + 1 || seat->flight[batch % POOL__FLIGHT] != NULL)
        return false;
    seat->left = batch;
    pool__scheduler_heard(scheduler, seat, now);
    pool__scheduler_relist(scheduler, seat);
    return true;
}

bool pool__scheduler_leaving(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now)
{
    if (seat->state != POOL__SEAT_READY && seat->state != POOL__SEAT_LEAVING)
        return false;
    pool__seat_enter(seat, POOL__SEAT_LEAVING, now);
    pool__list_remove(&seat->link);
    pool__scheduler_empty_seat(scheduler, seat);
    return true;
}

/* ---- a death */

/*
 * By its own end, or by ours: an end of its own that came before the kill is told as what it was. So is that of an item
 * that was begun after the kill was asked for, where memory was too short to take it back before.
 */
static bool ended_by_deadline(const struct pool__seat *seat, const struct pool__death *death)
{
    struct pool__place place = pool__board_running(seat->board);

    return seat->reason == POOL__KILL_DEADLINE && place.batch == seat->sighted.batch &&
           place.offset == seat->sighted.offset &&
           (!death->known || (WIFSIGNALED(death->status) && WTERMSIG(death->status) == SIGKILL));
}

/* How long it ran, by its worker's word where that can be. */
static void note_times(struct pool__outcome *outcome, const struct pool__seat *seat, uint64_t now)
{
    uint64_t start = atomic_load_explicit(&seat->board->started, memory_order_relaxed);

    outcome->start = start == 0 || start > now ? now : start;
    outcome->run = now - outcome->start;
}

static void blame(struct pool__outcome *outcome, const struct pool__seat *seat, const struct pool__death *death,
                  bool running, uint64_t now)
{
    memset(outcome, 0, sizeof *outcome);
    outcome->status = POOL_CRASHED;
    if (running)
        note_times(outcome, seat, now);
    if (running && ended_by_deadline(seat, death)) {
        outcome->status = POOL_EXPIRED;
        return;
    }
    if (running)
        outcome->words = death->words;
    if (death->abandoned) {
        outcome->why = "its worker was killed, and is held by the system";
    } else if (!death->known) {
        outcome->why = "its worker is gone, with the helper process that knew how it ended";
    } else if (WIFSIGNALED(death->status)) {
        outcome->code = WTERMSIG(death->status);
    } else {
        outcome->status = POOL_EXITED;
        outcome->code = WEXITSTATUS(death->status);
    }
    if (seat->reason == POOL__KILL_NONSENSE)
        outcome->why = "its worker sent what no worker sends, and was killed";
    else if (seat->reason == POOL__KILL_PIPE)
        outcome->why = "its worker was killed: its pipes cannot be read or written";
    else if (!running && outcome->why == NULL)
        outcome->why = "its worker ended without leaving the result";
}

/*
 * An item that is first in line at death after death has some part in them, though it never ran (too large to
 * receive, most often). Then it is CRASHED now.
 */
static void suspect(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death,
                    uint64_t now)
{
    struct pool__run *run = pool__seat_head(seat);
    struct pool__outcome outcome;

    if (++run->suspicion < SUSPICIOUS_DEATHS)
        return;
    blame(&outcome, seat, death, false, now);
    outcome.status = POOL_CRASHED;
    outcome.why = "its workers died before it could start";
    resolve(scheduler, seat, seat->head, &outcome);
}

/*
 * Where the job asked for it, the next item of a batch is run again, by another worker: the one that ran it is gone.
 * It joins those that are given back at the end. False: it is not, and is to have its outcome.
 */
static bool retry(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch,
                  const struct pool__outcome *outcome, struct pool__link *again_list)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    struct pool__job *job = run->job;
    unsigned attempt = run->attempt;
    uint64_t index = run->first + run->done;
    struct pool__run *again = NULL;
    bool same_memory =
        run == &job->own && run->done + 1 == run->count; /* which is free when the old one is struck off */

    if (attempt > job->retries || job->withdrawn || scheduler->aborted ||
        pool__job_asked(job, index) != POOL__ASKED_NOTHING ||
        (outcome->status != POOL_CRASHED && outcome->status != POOL_EXITED && outcome->status != POOL_EXPIRED))
        return false;
    if (!same_memory && (again = pool__run_make(job, index, 1)) == NULL)
        return false;
    strike_off(scheduler, seat, batch);
    if (same_memory)
        again = pool__run_make(job, index, 1);
    again->attempt = attempt + 1;
    scheduler->retried++;
    pool__list_push(again_list, &again->link);
    return true;
}

/* What is left of a run after its outcomes, back to the queue. */
static void return_rest(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch)
{
    struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    uint32_t rest = run->count - run->done;

    seat->owed -= rest;
    scheduler->owed -= rest;
    run->job->in_flight -= rest;
    run->first += run->done;
    run->count = rest;
    run->done = 0;
    pool__seat_release(seat, batch);
    pool__queue_give_back(scheduler, run);
}

/*
 * The items of a batch that the death has lost. Of a life that is not known to be over nothing is given to another
 * worker, nor run again: it might start yet.
 */
static bool lose_items(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch,
                       const struct pool__death *death, struct pool__link *again, uint64_t now)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    struct pool__verdict verdict = {0, false};
    uint32_t lost, i;

    if (run == NULL)
        return false;
    verdict = pool__seat_judge(seat, batch);
    lost = death->abandoned ? run->count - run->done : verdict.lost;
    for (i = 1; i <= lost; i++) {
        struct pool__outcome outcome;

        blame(&outcome, seat, death, verdict.running && i == verdict.lost, now);
        if (death->abandoned || !retry(scheduler, seat, batch, &outcome, again))
            resolve(scheduler, seat, batch, &outcome);
    }
    return lost > 0;
}

void pool__scheduler_gone(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death,
                          uint64_t now)
{
    bool anything_ran = pool__seat_is_marked(seat);
    struct pool__link again, *link; /* what is run again, the last first */
    uint32_t batch;

    pool__list_init(&again);
    pool__list_remove(&seat->link);
    if (scheduler->dropped_as != POOL_OK)
        pool__scheduler_drop_rest(scheduler, seat);
    for (batch = seat->head; batch != seat->sent + 1; batch++)
        anything_ran = lose_items(scheduler, seat, batch, death, &again, now) || anything_ran;
    seat->started_any = seat->started_any || anything_ran; /* by what was lost, too: a mark may be a lie */
    if (pool__seat_head(seat) != NULL && !anything_ran && seat->was_ready && !death->announced &&
        (seat->reason == POOL__KILL_NONE || seat->reason == POOL__KILL_STUCK))
        suspect(scheduler, seat, death, now);
    /* from the last to the first, each to the front: so they keep their order. What was lost lay before the rest */
    for (batch = seat->sent; seat->owed > 0; batch--)
        if (seat->flight[batch % POOL__FLIGHT] != NULL)
            return_rest(scheduler, seat, batch);
    while ((link = pool__list_pop(&again)) != NULL)
        pool__queue_give_back(scheduler, pool__holder(link, struct pool__run, link));
}
