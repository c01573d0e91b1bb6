/* outcome - how items end: by a result, or by the death of their worker, and who is to blame for that. */
#include <string.h>
#include <sys/wait.h>

#include "engine/queue.h"

#define ITEM_COST         100u /* ns; what an item costs at the least, so that measured zeros make no endless batches */
#define SUSPICIOUS_DEATHS 5u   /* rule 11 */

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
    scheduler->cancelled += outcome->status == POOL_CANCELLED;
}

/* The next item of a batch has its outcome: struck off the table, then told. */
static void resolve(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch,
                    struct pool__outcome *outcome)
{
    struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    struct pool__job *job = run->job;
    uint64_t index = run->first + run->done++;

    seat->owed--;
    scheduler->owed--;
    job->in_flight--;
    run->suspicion = 0; /* another item is first now */
    outcome->attempts = run->attempt;
    outcome->worker = seat->pid;
    if (outcome->status == POOL_FAILED && job->cancel_asked)
        outcome->status = POOL_CANCELLED;
    count_outcome(scheduler, outcome);
    if (run->done == run->count) {
        scheduler->actions->unsend(scheduler->host, seat, batch);
        pool__seat_release(seat, batch);
        pool__run_free(run);
    }
    job->owner->finished(job, index, outcome);
}

void pool__scheduler_result(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__outcome *outcome,
                            uint64_t now)
{
    struct pool__job *job = pool__seat_head(seat)->job;

    measure(job->lone ? &scheduler->lone_ns : &job->item_ns, outcome->run);
    seat->started_any = true;
    scheduler->bad_starts = 0;
    scheduler->next_spawn = 0;
    resolve(scheduler, seat, seat->head, outcome);
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

static void blame(struct pool__outcome *outcome, const struct pool__seat *seat, const struct pool__death *death,
                  bool running)
{
    memset(outcome, 0, sizeof *outcome);
    outcome->status = POOL_CRASHED;
    if (!death->known) {
        outcome->why = "its worker is gone, with the helper process that knew how it ended";
    } else if (WIFSIGNALED(death->status)) {
        outcome->code = WTERMSIG(death->status);
    } else {
        outcome->status = POOL_EXITED;
        outcome->code = WEXITSTATUS(death->status);
    }
    if (seat->reason == POOL__KILL_NONSENSE)
        outcome->why = "its worker sent what no worker sends, and was killed";
    else if (!running && outcome->why == NULL)
        outcome->why = "its worker ended without leaving the result";
}

/*
 * An item that is first in line at death after death has some part in them, though it never ran (too large to
 * receive, most often). True: it is CRASHED now.
 */
static bool suspect(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death)
{
    struct pool__run *run = pool__seat_head(seat);
    struct pool__outcome outcome;

    if (++run->suspicion < SUSPICIOUS_DEATHS)
        return false;
    blame(&outcome, seat, death, false);
    outcome.status = POOL_CRASHED;
    outcome.why = "its workers died before it could start";
    resolve(scheduler, seat, seat->head, &outcome);
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

void pool__scheduler_gone(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death,
                          uint64_t now)
{
    bool anything_ran = pool__seat_is_marked(seat);
    uint32_t batch;

    (void)now;
    pool__list_remove(&seat->link);
    seat->started_any = seat->started_any || anything_ran;
    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        struct pool__verdict verdict = {0, false};

        if (seat->flight[batch % POOL__FLIGHT] != NULL)
            verdict = pool__seat_judge(seat, batch);
        for (; verdict.lost > 0; verdict.lost--) {
            struct pool__outcome outcome;

            anything_ran = true;
            blame(&outcome, seat, death, verdict.running && verdict.lost == 1);
            resolve(scheduler, seat, batch, &outcome);
        }
    }
    if (pool__seat_head(seat) != NULL && !anything_ran && seat->was_ready && seat->reason == POOL__KILL_NONE &&
        !death->announced)
        suspect(scheduler, seat, death);
    /* from the last to the first, each to the front: so they keep their order */
    for (batch = seat->sent; seat->owed > 0; batch--)
        if (seat->flight[batch % POOL__FLIGHT] != NULL)
            return_rest(scheduler, seat, batch);
}
