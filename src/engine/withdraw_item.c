/*
 * withdraw_item - one item of a group is not wanted any more: it is cut out, wherever it is, from between others that
 * are. These keep their order.
 */
#include "engine/queue.h"
#include "engine/take_back.h"

/* The item goes out of a waiting run. False: no memory for the part behind it. */
static bool cut_out(struct pool__run *run, uint64_t index)
{
    uint64_t behind = run->first + run->count - index - 1;
    struct pool__run *rest;

    if (index == run->first) {
        run->first++;
        run->suspicion = 0; /* another item is first now */
    } else if (behind > 0) {
        if ((rest = pool__run_make(run->job, index + 1, (uint32_t)behind)) == NULL)
            return false;
        rest->attempt = run->attempt;
        rest->moves = run->moves;
        pool__list_insert_after(&run->link, &rest->link);
        run->count -= (uint32_t)behind;
    }
    if (--run->count == 0) {
        pool__list_remove(&run->link);
        pool__run_free(run);
    }
    return true;
}

/* Fresh items that lie before it become a run: they come next, as before. */
static bool cut_out_fresh(struct pool__job *job, uint64_t index)
{
    uint64_t before = index - job->next;
    struct pool__run *run;

    if (before > 0) {
        if ((run = pool__run_make(job, job->next, (uint32_t)before)) == NULL)
            return false;
        pool__list_append(&job->returned, &run->link);
    }
    job->next = index + 1;
    return true;
}

/* *found: it waits, with no worker. */
static bool withdraw_waiting(struct pool__job *job, uint64_t index, bool *found)
{
    struct pool__link *link;

    *found = index >= job->next && index < job->end;
    if (*found)
        return cut_out_fresh(job, index);
    for (link = job->returned.next; link != &job->returned; link = link->next) {
        struct pool__run *run = pool__holder(link, struct pool__run, link);

        if ((*found = index - run->first < run->count))
            return cut_out(run, index);
    }
    return false;
}

struct pool__seat *pool__scheduler_seat_with(struct pool__scheduler *scheduler, const struct pool__job *job,
                                             uint64_t index, uint32_t *batch)
{
    unsigned i;

    for (i = 0; job->in_flight > 0 && i < scheduler->span; i++) {
        struct pool__seat *seat = &scheduler->seats[i];

        if (seat->owed == 0)
            continue;
        for (*batch = seat->head; *batch != seat->sent + 1; ++*batch) {
            const struct pool__run *run = seat->flight[*batch % POOL__FLIGHT];

            if (run != NULL && run->job == job && index >= run->first + run->done && index < run->first + run->count)
                return seat;
        }
    }
    return NULL;
}

/* It runs, or was claimed alone and is about to. What lies before has ended: the seat's word belongs to another. */
static void ask_item(struct pool__seat *seat, uint32_t batch, uint32_t offset)
{
    struct pool__place place = {batch, offset, POOL__MARK_RUN}, now;
    uint32_t claimed;

    if (!pool__board_claimed(seat->board, batch, seat->flight[batch % POOL__FLIGHT]->count, &claimed) ||
        offset >= claimed || (pool__seat_running(seat, &now) != NULL && (now.batch != batch || now.offset > offset)))
        return;
    pool__board_ask_cancel(seat->board, place);
}

bool pool__scheduler_withdraw_item(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t index)
{
    struct pool__seat *seat;
    uint32_t batch, taken;
    bool found, out = withdraw_waiting(job, index, &found);

    if (!found && (seat = pool__scheduler_seat_with(scheduler, job, index, &batch)) != NULL) {
        uint32_t offset = (uint32_t)(index - seat->flight[batch % POOL__FLIGHT]->first);

        if (pool__take_back_unstarted(scheduler, seat, batch) >
            seat->flight[batch % POOL__FLIGHT]->count - 1 - offset) {
            pool__take_back(scheduler, seat, batch, 0, &taken);
            pool__scheduler_relist(scheduler, seat);
            pool__take_back_last_in_line(scheduler, seat);
        }
        out = withdraw_waiting(job, index, &found);
        if (!found && seat->owed > 0 && pool__scheduler_seat_with(scheduler, job, index, &batch) == seat)
            ask_item(seat, batch, offset);
    }
    if (!out)
        return false;
    if (!pool__job_waits(job))
        pool__list_remove(&job->link);
    scheduler->cancelled++;
    pool__queue_drop(job, index, 1, POOL_CANCELLED, 0, NULL);
    return true;
}
