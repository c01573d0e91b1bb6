#include "engine/scheduler.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "data/wire.h"
#include "engine/staffing.h"

#define BATCH_TIME (500 * UINT64_C(1000)) /* ns of work that a batch of cheap items is made to hold; what is not started can be taken back */
#define AHEAD_TIME (200 * UINT64_C(1000)) /* ns of short batches sent ahead to one worker */
#define LONG_TIME (1000 * UINT64_C(1000)) /* ns; behind work as long as this nothing is sent ahead: a pipe's latency is nothing to it */
#define ITEM_COST 100u                    /* ns; what an item costs at the least, so that measured zeros make no endless batches */
#define GROWTH 8u                         /* a batch may hold so many times the items of the last one: the first measurements are rough */
#define SUSPICIOUS_DEATHS 5u              /* rule 11 */

bool pool__scheduler_init(struct pool__scheduler *scheduler, const struct pool__actions *actions, void *host, unsigned limit)
{
    unsigned i;

    memset(scheduler, 0, sizeof *scheduler);
    scheduler->seats = calloc(limit, sizeof *scheduler->seats);
    if (scheduler->seats == NULL)
        return false;
    for (i = 0; i < limit; i++)
        scheduler->seats[i].index = i;
    scheduler->actions = actions;
    scheduler->host = host;
    scheduler->limit = limit;
    scheduler->look_at = scheduler->staff_at = POOL__NEVER;
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
    scheduler->limit = scheduler->size = 0;
}

/* ---- jobs and runs */

static struct pool__run *run_make(struct pool__job *job, uint64_t first, uint32_t count)
{
    struct pool__run *run = job->lone ? &job->own : malloc(sizeof *run);

    if (run == NULL)
        return NULL;
    memset(run, 0, sizeof *run);
    run->job = job;
    run->first = first;
    run->count = count;
    run->attempt = 1;
    return run;
}

static void run_free(struct pool__run *run)
{
    if (run != &run->job->own)
        free(run);
}

void pool__job_init(struct pool__job *job, const struct pool__owner *owner, pool_function *function, size_t item_size)
{
    memset(job, 0, sizeof *job);
    job->owner = owner;
    job->function = function;
    job->item_size = item_size;
    pool__list_init(&job->returned);
}

static struct pool__link *queue_of(struct pool__scheduler *scheduler, const struct pool__job *job)
{
    return job->lone ? &scheduler->lone : &scheduler->bulk;
}

/* A job stands in its queue exactly while it has something to give out. */
static void requeue(struct pool__scheduler *scheduler, struct pool__job *job, bool in_front)
{
    if (!pool__job_waits(job))
        pool__list_remove(&job->link);
    else if (!pool__is_linked(&job->link) && in_front)
        pool__list_push(queue_of(scheduler, job), &job->link);
    else if (!pool__is_linked(&job->link))
        pool__list_append(queue_of(scheduler, job), &job->link);
}

void pool__scheduler_submit(struct pool__scheduler *scheduler, struct pool__job *job) { requeue(scheduler, job, false); }

bool pool__scheduler_waits(const struct pool__scheduler *scheduler)
{
    return !pool__list_empty(&scheduler->lone) || !pool__list_empty(&scheduler->bulk);
}

static uint64_t waiting_in(const struct pool__link *queue)
{
    const struct pool__link *link, *returned;
    uint64_t count = 0;

    for (link = queue->next; link != queue; link = link->next) {
        const struct pool__job *job = pool__holder(link, struct pool__job, link);

        count += job->end - job->next;
        for (returned = job->returned.next; returned != &job->returned; returned = returned->next)
            count += pool__holder(returned, struct pool__run, link)->count;
    }
    return count;
}

uint64_t pool__scheduler_waiting(const struct pool__scheduler *scheduler) { return waiting_in(&scheduler->lone) + waiting_in(&scheduler->bulk); }

static void drop(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code, const char *message)
{
    if (count > 0)
        job->owner->dropped(job, first, count, status, code, message);
}

/* Unstarted items go to the front, where they came from; those of a withdrawn job end here. */
static void give_back(struct pool__scheduler *scheduler, struct pool__run *run)
{
    struct pool__job *job = run->job;

    if (run->count == 0 || job->withdrawn) {
        uint64_t first = run->first, count = run->count;

        run_free(run);
        drop(job, first, count, job->withdrawn_as, 0, NULL);
        return;
    }
    pool__list_push(&job->returned, &run->link);
    requeue(scheduler, job, true);
}

/* ---- the lists of seats that can take something */

/* Batches that one worker may have at a time, by the time that one takes: a pipe's latency is nothing to long ones, and everything to short ones. */
static uint32_t depth_for(uint64_t batch_ns)
{
    uint64_t depth;

    if (batch_ns == 0 || batch_ns >= LONG_TIME)
        return 1; /* not known yet, or long */
    depth = AHEAD_TIME / batch_ns;
    return depth < 2 ? 2 : depth > POOL__FLIGHT / 2 ? POOL__FLIGHT / 2 : (uint32_t)depth;
}

/* May a batch of this job go behind what the seat has? */
static bool has_room_for(const struct pool__scheduler *scheduler, const struct pool__seat *seat, const struct pool__job *job)
{
    if (seat->budget == 0 || !pool__seat_has_entry(seat))
        return false;
    if (seat->owed == 0)
        return true;
    return pool__seat_batches(seat) < depth_for(job->lone ? scheduler->lone_ns : job->item_ns * job->last_batch);
}

void pool__scheduler_relist(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    pool__list_remove(&seat->link);
    if (seat->state != POOL__SEAT_READY || seat->budget == 0)
        return;
    pool__list_push(seat->owed == 0 ? &scheduler->idle : &scheduler->roomy, &seat->link);
}

void pool__scheduler_has_room(struct pool__scheduler *scheduler, struct pool__seat *seat) { pool__scheduler_relist(scheduler, seat); }

/* ---- giving out */

static uint32_t at_most(uint64_t count, uint64_t most) { return (uint32_t)(count < most ? count : most); }

/* How many items from `first` on fit in a frame; one always does. */
static uint32_t fit_in_frame(struct pool__job *job, uint64_t first, uint32_t count)
{
    uint64_t bytes = POOL__FRAME_SIZE + POOL__FRAME_ALIGN;
    uint32_t fitting;

    if (job->item_size == 0)
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
    const struct pool__run *first = pool__list_empty(&job->returned) ? NULL : pool__holder(job->returned.next, struct pool__run, link);

    return first != NULL ? first->count : job->end - job->next;
}

/* By measured time, in steps; and so that towards the end there is something left for every worker. */
static uint32_t batch_size(const struct pool__scheduler *scheduler, const struct pool__job *job)
{
    uint64_t waiting = waiting_items(job), count, share;

    if (job->lone)
        return 1;
    if (job->chunk != 0)
        return at_most(at_most(job->chunk, waiting), POOL__BATCH_MAX);
    if (job->item_ns == 0)
        return 1;
    count = BATCH_TIME / job->item_ns;
    if (count > (uint64_t)job->last_batch * GROWTH)
        count = (uint64_t)job->last_batch * GROWTH;
    share = waiting / (2 * (uint64_t)(scheduler->size > 0 ? scheduler->size : 1));
    if (count > share)
        count = share;
    return count < 1 ? 1 : at_most(count, POOL__BATCH_MAX);
}

/* Cuts the first `count` items off a waiting run. */
static struct pool__run *cut(struct pool__run *run, uint32_t count)
{
    struct pool__run *front;

    if (run->count <= count || (front = run_make(run->job, run->first, count)) == NULL) {
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
    run = run_make(job, job->next, count);
    if (run != NULL)
        job->next += count;
    return run;
}

static void look_no_later_than(struct pool__scheduler *scheduler, uint64_t at)
{
    if (at < scheduler->look_at)
        scheduler->look_at = at;
}

static bool give(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__job *job, uint64_t now)
{
    struct pool__run *run;
    uint32_t batch;

    if (!scheduler->actions->can_send(scheduler->host, seat, job))
        return false;
    run = take_run(scheduler, job, seat->budget);
    if (run == NULL)
        return false;
    pool__list_remove(&job->link);
    requeue(scheduler, job, false);
    if (!job->lone)
        job->last_batch = run->count;
    batch = pool__seat_add(seat, run, now);
    scheduler->owed += run->count;
    look_no_later_than(scheduler, now + (seat->owed > 1 ? POOL__LOOK_AFTER : POOL__STEAL_AFTER));
    scheduler->actions->send(scheduler->host, seat, batch, run);
    return true;
}

/* Applies and maps take turns, so that neither waits for a long line of the other; each kind in its own order, maps one batch each. */
static struct pool__job *next_job(struct pool__scheduler *scheduler)
{
    bool lone = !pool__list_empty(&scheduler->lone), bulk = !pool__list_empty(&scheduler->bulk);

    if (!lone && !bulk)
        return NULL;
    if (lone && bulk)
        scheduler->bulk_turn = !scheduler->bulk_turn;
    return pool__holder(bulk && (!lone || scheduler->bulk_turn) ? scheduler->bulk.next : scheduler->lone.next, struct pool__job, link);
}

/* One batch to one seat. False: nothing waits, or nobody can take it. A seat that cannot is left out until something happens there. */
static bool give_one(struct pool__scheduler *scheduler, uint64_t now)
{
    struct pool__job *job = next_job(scheduler);
    struct pool__link *link;

    while (job != NULL) {
        struct pool__seat *seat;

        link = !pool__list_empty(&scheduler->idle) ? scheduler->idle.next : scheduler->roomy.next;
        if (link == &scheduler->roomy)
            return false;
        seat = pool__holder(link, struct pool__seat, link);
        if (has_room_for(scheduler, seat, job) && give(scheduler, seat, job, now)) {
            pool__scheduler_relist(scheduler, seat);
            return true;
        }
        pool__list_remove(&seat->link);
    }
    return false;
}

/* ---- stealing (inv. 7, rule 10) */

static uint32_t unclaimed(const struct pool__seat *seat, uint32_t batch)
{
    const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
    uint32_t claimed;

    return run != NULL && pool__board_claimed(seat->board, batch, run->count, &claimed) ? run->count - claimed : 0;
}

static uint64_t unclaimed_at(const struct pool__seat *seat)
{
    uint64_t count = 0;
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++)
        count += unclaimed(seat, batch);
    return count;
}

static bool may_be_robbed(const struct pool__seat *seat, uint64_t now)
{
    if (seat->owed == 0 || (seat->state != POOL__SEAT_READY && seat->state != POOL__SEAT_LEAVING))
        return false;
    return pool__seat_is_running(seat) || now >= seat->heard + POOL__STEAL_AFTER;
}

static struct pool__seat *richest(struct pool__scheduler *scheduler, uint64_t now, uint64_t *riches)
{
    struct pool__seat *found = NULL;
    unsigned i;

    *riches = 0;
    for (i = 0; i < scheduler->limit; i++) {
        struct pool__seat *seat = &scheduler->seats[i];
        uint64_t count;

        if (seat->owed > *riches && may_be_robbed(seat, now) && (count = unclaimed_at(seat)) > *riches) {
            *riches = count;
            found = seat;
        }
    }
    return found;
}

/* A board that says what host and worker could not have written: the worker is not trusted from here on (rule 12). */
static void distrust(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    pool__staffing_condemn(scheduler, seat, POOL__KILL_NONSENSE, seat->heard);
}

/* Takes back all but `keep` unclaimed items of one batch and queues them. False: no memory, or a board that talks nonsense. */
static bool take_back(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, uint32_t keep, uint32_t *taken)
{
    struct pool__run *run = seat->flight[batch % POOL__FLIGHT], *back = run;
    struct pool__job *job = run->job;
    uint64_t first = 0;
    bool sane = true;

    *taken = 0;
    if (!job->lone && (back = run_make(job, 0, 0)) == NULL)
        return false;
    *taken = pool__seat_take_back(seat, batch, keep, &first, &sane);
    scheduler->owed -= *taken;
    if (run->done == run->count) {
        pool__seat_release(seat, batch);
        if (back != run) {
            back->attempt = run->attempt;
            run_free(run);
        }
    }
    if (*taken > 0) {
        back->first = first;
        back->count = *taken;
        back->done = 0;
        give_back(scheduler, back);
    } else if (back != run) {
        run_free(back);
    }
    if (!sane)
        distrust(scheduler, seat);
    return sane;
}

/* Half of what the richest seat has not begun, its last batches first. */
static bool steal(struct pool__scheduler *scheduler, uint64_t now)
{
    uint64_t riches, want;
    struct pool__seat *seat = richest(scheduler, now, &riches);
    uint32_t batch, taken = 0;
    bool any = false;

    if (seat == NULL)
        return false;
    want = (riches + 1) / 2;
    for (batch = seat->sent; want > 0 && batch != seat->head - 1; batch--) {
        uint32_t here = unclaimed(seat, batch);

        if (here == 0)
            continue;
        if (!take_back(scheduler, seat, batch, here > want ? here - (uint32_t)want : 0, &taken))
            break;
        want -= taken < want ? taken : want;
        scheduler->stolen += taken;
        any = any || taken > 0;
    }
    pool__scheduler_relist(scheduler, seat);
    return any;
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
        if (pool__scheduler_waits(scheduler) || pool__list_empty(&scheduler->idle) || scheduler->owed == 0 || !steal(scheduler, now))
            return;
    }
}

void pool__scheduler_empty_seat(struct pool__scheduler *scheduler, struct pool__seat *seat)
{
    uint32_t batch, taken;

    for (batch = seat->sent; seat->owed > 0 && batch != seat->head - 1; batch--)
        if (seat->flight[batch % POOL__FLIGHT] != NULL && !take_back(scheduler, seat, batch, 0, &taken))
            return;
}

/* ---- silence */

/* When the next look at a seat is due; NEVER after the last. */
static uint64_t look_due(const struct pool__seat *seat)
{
    if (seat->owed == 0 || (seat->state != POOL__SEAT_READY && seat->state != POOL__SEAT_LEAVING) || seat->looks > 2)
        return POOL__NEVER;
    if (seat->looks == 2 || seat->owed == 1)
        return seat->heard + POOL__STEAL_AFTER;
    return seat->heard + POOL__LOOK_AFTER * (seat->looks + 1);
}

/* Twice for results that wait behind a running function; once more so that dispatch sees what can be stolen. */
void pool__scheduler_look(struct pool__scheduler *scheduler, uint64_t now)
{
    uint64_t next = POOL__NEVER;
    unsigned i;

    if (now < scheduler->look_at)
        return;
    for (i = 0; scheduler->owed > 0 && i < scheduler->limit; i++) {
        struct pool__seat *seat = &scheduler->seats[i];
        uint64_t due = look_due(seat);

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
static void resolve(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, struct pool__outcome *outcome)
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
        pool__seat_release(seat, batch);
        run_free(run);
    }
    job->owner->finished(job, index, outcome);
}

void pool__scheduler_result(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__outcome *outcome, uint64_t now)
{
    struct pool__job *job = pool__seat_head(seat)->job;

    measure(job->lone ? &scheduler->lone_ns : &job->item_ns, outcome->run);
    seat->started_any = true;
    scheduler->bad_starts = 0;
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

static void blame(struct pool__outcome *outcome, const struct pool__seat *seat, const struct pool__death *death, bool running)
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

/* An item that is first in line at death after death has some part in them, though it never ran (too large to receive, most often). True: it is CRASHED now. */
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
    give_back(scheduler, run);
}

void pool__scheduler_gone(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death, uint64_t now)
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
    if (pool__seat_head(seat) != NULL && !anything_ran && seat->was_ready && seat->reason == POOL__KILL_NONE && !death->announced)
        suspect(scheduler, seat, death);
    /* from the last to the first, each to the front: so they keep their order */
    for (batch = seat->sent; seat->owed > 0; batch--)
        if (seat->flight[batch % POOL__FLIGHT] != NULL)
            return_rest(scheduler, seat, batch);
}

/* ---- taking a job back */

static uint64_t drop_waiting(struct pool__job *job, enum pool_status status, int code, const char *message)
{
    uint64_t dropped = 0, first = job->next, fresh = job->end - job->next;
    struct pool__link *link;

    while ((link = pool__list_pop(&job->returned)) != NULL) {
        struct pool__run *run = pool__holder(link, struct pool__run, link);
        uint64_t from = run->first, count = run->count;

        run_free(run);
        dropped += count;
        drop(job, from, count, status, code, message);
    }
    job->next = job->end;
    drop(job, first, fresh, status, code, message);
    return dropped + fresh;
}

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
        taken = pool__seat_take_back(seat, batch, 0, &first, &sane);
        scheduler->owed -= taken;
        dropped += taken;
        if (!sane)
            distrust(scheduler, seat);
        if (run->done == run->count) {
            pool__seat_release(seat, batch);
            run_free(run);
        }
        drop(job, first, taken, job->withdrawn_as, 0, NULL);
    }
    pool__scheduler_relist(scheduler, seat);
    return dropped;
}

/* After the take-back all that is left of a batch is claimed, and only its last item can be running. */
static void ask_seat(struct pool__seat *seat, const struct pool__job *job)
{
    uint32_t batch;

    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];
        struct pool__place place;

        if (run == NULL || run->job != job)
            continue;
        place.batch = batch;
        place.offset = run->count - 1;
        place.mark = POOL__MARK_RUN;
        pool__board_ask_cancel(seat->board, place);
    }
}

uint64_t pool__scheduler_withdraw(struct pool__scheduler *scheduler, struct pool__job *job, enum pool_status status, bool ask)
{
    uint64_t dropped;
    unsigned i;

    job->withdrawn = true;
    job->withdrawn_as = status;
    job->cancel_asked = job->cancel_asked || ask;
    pool__list_remove(&job->link);
    dropped = drop_waiting(job, status, 0, NULL);
    for (i = 0; job->in_flight > 0 && i < scheduler->limit; i++)
        if (scheduler->seats[i].owed > 0)
            dropped += withdraw_from_seat(scheduler, &scheduler->seats[i], job);
    for (i = 0; ask && job->in_flight > 0 && i < scheduler->limit; i++)
        if (scheduler->seats[i].owed > 0)
            ask_seat(&scheduler->seats[i], job);
    scheduler->cancelled += dropped;
    return dropped;
}

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
    for (i = 0; i < scheduler->limit; i++) {
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
        drop_waiting(pool__holder(link, struct pool__job, link), status, code, message);
}

/* What a seat has ends here for good; what still comes of it is for nobody. */
static void drop_flight(struct pool__scheduler *scheduler, struct pool__seat *seat, enum pool_status status, int code, const char *message)
{
    uint32_t batch;

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
        scheduler->owed -= rest;
        job->in_flight -= rest;
        seat->flight[batch % POOL__FLIGHT] = NULL;
        run_free(run);
        drop(job, first, rest, status, code, message);
    }
    seat->head = seat->sent + 1;
    seat->owed = 0;
}

void pool__scheduler_drop_all(struct pool__scheduler *scheduler, enum pool_status status, int code, const char *message)
{
    unsigned i;

    drop_queue(&scheduler->lone, status, code, message);
    drop_queue(&scheduler->bulk, status, code, message);
    for (i = 0; i < scheduler->limit; i++)
        drop_flight(scheduler, &scheduler->seats[i], status, code, message);
}
