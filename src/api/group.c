#include "api/group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/result.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/deadline.h"
#include "engine/role.h"

#define FIRST_ROOM 8u  /* places of the first slab */
#define SPARES     64u /* slabs of full size that are kept for the next groups; and with more in use, large pages pay */
#define MANY       (UINT32_C(1) << 30)

struct record {
    struct pool_future future;                                    /* first */
    _Alignas(max_align_t) unsigned char room[POOL__GROUP_INLINE]; /* the argument, if it fits, and then the result */
};

static_assert(sizeof(struct record) <= 128, "a waiting task is to take no more");

struct pool__group {
    struct pool__job job; /* first */
    struct pool__grave grave;
    struct pool *pool;
    struct pool__group *next_spare;
    uint32_t room;                /* places */
    struct pool__slab_page *page; /* of pool->slabs, that it lies in; or NULL: malloc'ed */
    /* records in use; while the group is filled, MANY less those that were */
    _Atomic uint32_t holders;
    struct record records[];
};

static struct pool__group *group_of(const struct pool__job *job)
{
    return (struct pool__group *)(void *)(uintptr_t)job;
}

static struct record *record_of(const struct pool__job *job, uint64_t index)
{
    return &group_of(job)->records[index];
}

static struct record *record_at(struct pool_future *future)
{
    return (struct record *)(void *)future;
}

static struct pool__group *group_at(struct pool_future *future)
{
    struct record *first = record_at(future) - future->place;

    return pool__holder(first, struct pool__group, records);
}

static bool is_inline(const struct record *record)
{
    return record->future.result.arg == record->room;
}

/* ---- the end of a slab */

static void give_back(struct pool *pool, struct pool__group *group)
{
    pthread_mutex_lock(&pool->lock); /* what pool__unlock() does besides is being done */
    pool__slab_give(&pool->slabs, group->page, group);
    pthread_mutex_unlock(&pool->lock);
}

static void dispose(struct pool__grave *grave)
{
    struct pool__group *group = pool__holder(grave, struct pool__group, grave);
    struct pool *pool = group->pool;

    if (group->page != NULL)
        give_back(pool, group);
    else
        free(group);
    pool__let_go(pool);
}

/* Under the lock. Spares hold no reference to the pool: it is not over yet, and has its own. */
static void retire(struct pool__group *group)
{
    struct pool *pool = group->pool;

    if (group->job.pinned > 0)
        pool__release_job(pool, &group->job);
    pool->full_groups -= group->room == POOL__GROUP_MOST;
    if (pool->groups_end || group->room < POOL__GROUP_MOST || group->page != NULL || pool->spare_groups == SPARES) {
        pool__bury(pool, &group->grave, dispose);
        return;
    }
    group->next_spare = pool->spare_group;
    pool->spare_group = group;
    pool->spare_groups++;
    pool->references--;
}

static bool lets_go(struct pool__group *group, uint32_t holders)
{
    return atomic_fetch_sub_explicit(&group->holders, holders, memory_order_acq_rel) == holders;
}

static void clear_record(struct record *record)
{
    pool__result_clear(&record->future.result, record->future.owns_data);
    if (!is_inline(record))
        free((void *)(uintptr_t)record->future.result.arg);
}

void pool__group_let_go(struct pool_future *future)
{
    struct pool__group *group = group_at(future);
    struct pool *pool = future->pool;

    clear_record(record_at(future));
    if (!lets_go(group, 1))
        return;
    pool__lock(pool);
    retire(group);
    pool__unlock(pool);
}

void pool__group_close(struct pool *pool)
{
    struct pool__group *group = pool->group;

    if (group == NULL)
        return;
    pool->group = NULL;
    pool->group_room = group->job.end == group->room ? 2 * group->room : (uint32_t)group->job.end;
    if (lets_go(group, MANY - (uint32_t)group->job.end))
        retire(group);
}

bool pool__group_waits(const struct pool *pool)
{
    return pool->group != NULL && pool__job_waits(&pool->group->job);
}

void pool__groups_end(struct pool *pool)
{
    struct pool__group *spare;

    pool->groups_end = true;
    pool__group_close(pool);
    while ((spare = pool->spare_group) != NULL) {
        pool->spare_group = spare->next_spare;
        free(spare);
    }
    pool->spare_groups = 0;
    if (pool->slabs.size > 0)
        pool__slabs_end(&pool->slabs);
}

/* ---- the engine's questions */

static void argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    *bytes = record_of(job, index)->future.result.arg;
    *size = job->item_size;
}

/* Behind the argument where that lies there; NULL: not enough. */
static unsigned char *room_for(struct record *record, uint64_t size)
{
    size_t used = is_inline(record) ? (record->future.result.arg_size + 15) & ~(size_t)15 : 0;

    return size > 0 && size <= POOL__GROUP_INLINE - used ? record->room + used : NULL;
}

static void *place(struct pool__job *job, uint64_t index, uint64_t size, bool *keep)
{
    struct record *record = record_of(job, index);

    *keep = !record->future.detached;
    return record->future.detached ? NULL : room_for(record, size);
}

static enum pool__asked asked(const struct pool__job *job, uint64_t index)
{
    return (enum pool__asked)record_of(job, index)->future.asked;
}

/* ---- and news */

static void ended(struct record *record)
{
    struct pool_future *future = &record->future;
    struct pool *pool = future->pool;

    pool->lone_unfinished--;
    if (pool->queue_limit != 0)
        pool__notify(pool, pool);
    if (!future->detached) {
        pool__future_done(future); /* from here on it may be freed */
    } else {
        struct pool__group *group = group_at(future);

        clear_record(record);
        if (lets_go(group, 1))
            retire(group);
    }
}

static void finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct record *record = record_of(job, index);
    struct pool_result *result = &record->future.result;
    unsigned char *placed = NULL;

    if (record->future.cancelled) { /* that was said: a result that has made it nevertheless is nobody's */
        pool__outcome_free(outcome);
        outcome->status = POOL_CANCELLED;
        outcome->code = 0;
    }
    if (outcome->status == POOL_OK && outcome->data == NULL && !record->future.detached)
        placed = room_for(record, outcome->size);
    pool__result_fill(result, outcome, 0, true, result->wait_ns);
    if (placed != NULL)
        result->data = placed;
    record->future.owns_data = placed == NULL;
    ended(record);
}

static void dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                    const char *message)
{
    uint64_t i;

    for (i = first; i < first + count; i++) {
        pool__result_fill_dropped(&record_of(job, i)->future.result, status, code, message, 0, true);
        ended(record_of(job, i));
    }
}

/* The bytes of one result of a row, where they were not put to their place already. */
static bool keep_bytes(struct record *record, const unsigned char *bytes, size_t size)
{
    unsigned char *to = room_for(record, size);

    if (size == 0)
        return true;
    record->future.owns_data = to == NULL;
    if (to == NULL && (to = malloc(size)) == NULL)
        return false;
    if (bytes != NULL)
        memcpy(to, bytes, size);
    record->future.result.data = to;
    record->future.result.size = size;
    return true;
}

/* A result that was not kept: told one by one. */
static void finish_without(struct pool__job *job, const struct pool__row *row, uint32_t which, uint64_t start,
                           uint64_t run)
{
    struct pool__outcome outcome;

    memset(&outcome, 0, sizeof outcome);
    outcome.status = POOL_NO_MEMORY;
    outcome.why = "no memory for the result in this process";
    outcome.worker = row->worker;
    outcome.attempts = row->attempts;
    outcome.start = start;
    outcome.run = run;
    finished(job, row->first + which, &outcome);
}

static void finished_row(struct pool__job *job, const struct pool__row *row)
{
    uint64_t start = row->start, run;
    uint32_t i;

    for (i = 0; i < row->count; i++, start += run) {
        struct record *record = record_of(job, row->first + i);
        struct pool_result *result = &record->future.result;
        const unsigned char *bytes = row->bytes != NULL ? row->bytes + (size_t)i * row->stride : NULL;

        run = pool__row_run(row, i);
        if (record->future.cancelled || (!record->future.detached && !keep_bytes(record, bytes, row->size))) {
            finish_without(job, row, i, start, run);
            continue;
        }
        result->worker = row->worker;
        result->attempts = row->attempts;
        result->run_ns = run;
        result->wait_ns = start > result->wait_ns ? start - result->wait_ns : 0;
        ended(record);
    }
}

static const struct pool__owner owner = {argument, place, finished, dropped, finished_row, asked};

/* ---- submitting */

bool pool__group_takes(const struct pool_job *options)
{
    return options == NULL || (options->callback == NULL && options->shared == NULL);
}

static bool fits(const struct pool__group *group, pool_function *function, size_t size, uint64_t deadline,
                 unsigned retries)
{
    const struct pool__job *job = &group->job;

    return job->end < group->room && job->function == function && job->item_size == size && job->deadline == deadline &&
           job->retries == retries && !job->withdrawn && !job->cancel_asked;
}

static size_t slab_size(uint32_t room)
{
    return sizeof(struct pool__group) + room * sizeof(struct record);
}

/* Where very many are in use already. NULL: it is not so, or there are no such pages. */
static struct pool__group *take_from_page(struct pool *pool, uint32_t room, struct pool__slab_page **page)
{
    if (room < POOL__GROUP_MOST || pool->full_groups < SPARES)
        return NULL;
    if (pool->slabs.size == 0)
        pool__slabs_init(&pool->slabs, slab_size(POOL__GROUP_MOST));
    return pool__slab_take(&pool->slabs, page);
}

static struct pool__group *take_slab(struct pool *pool)
{
    uint32_t room = pool->group_room == 0 ? FIRST_ROOM : pool->group_room;
    struct pool__group *group = pool->spare_group;
    struct pool__slab_page *page = NULL;

    if (room > POOL__GROUP_MOST)
        room = POOL__GROUP_MOST;
    if (room == POOL__GROUP_MOST && group != NULL) {
        pool->spare_group = group->next_spare;
        pool->spare_groups--;
    } else {
        group = take_from_page(pool, room, &page);
        if (group == NULL)
            group = malloc(slab_size(room));
    }
    if (group == NULL)
        return NULL;
    memset(group, 0, sizeof *group);
    group->pool = pool;
    group->room = room;
    group->page = page;
    pool->full_groups += room == POOL__GROUP_MOST;
    atomic_init(&group->holders, MANY);
    pool__hold(pool);
    return group;
}

/* All that it had is over and freed. */
static bool is_free(const struct pool__group *group)
{
    return atomic_load_explicit(&group->holders, memory_order_acquire) == MANY - (uint32_t)group->job.end;
}

static void begin_again(struct pool__group *group)
{
    atomic_store_explicit(&group->holders, MANY, memory_order_relaxed);
    group->job.next = group->job.end = 0;
}

/* The group for the next one: the one that is filled now, or a new one. NULL: no memory. */
static struct pool__group *group_for(struct pool *pool, pool_function *function, size_t size,
                                     const struct pool_job *options)
{
    uint64_t deadline = options != NULL ? (uint64_t)options->deadline_ms * POOL__MS : 0;
    unsigned retries = options != NULL ? options->retries : 0;
    struct pool__group *group = pool->group;

    if (group != NULL && group->job.end > 0 && is_free(group))
        begin_again(group);
    if (group != NULL && fits(group, function, size, deadline, retries))
        return group;
    pool__group_close(pool);
    group = take_slab(pool);
    if (group == NULL)
        return NULL;
    pool__job_init(&group->job, &owner, function, size);
    group->job.lone = group->job.grouped = group->job.timed = true;
    group->job.deadline = deadline;
    group->job.retries = retries;
    pool->group = group;
    return group;
}

struct pool_future *pool__group_add(struct pool *pool, pool_function *function, const void *arg, size_t size,
                                    void *copy, const struct pool_job *options)
{
    struct pool__group *group = group_for(pool, function, size, options);
    struct record *record;

    if (group == NULL)
        return NULL;
    record = record_of(&group->job, group->job.end);
    memset(&record->future, 0, sizeof record->future);
    record->future.pool = pool;
    record->future.place = (uint16_t)group->job.end;
    pool__result_init(&record->future.result);
    record->future.result.wait_ns = pool__now_roughly(&pool->submitted_at);
    record->future.result.arg = copy != NULL ? copy : record->room;
    record->future.result.arg_size = size;
    if (copy == NULL && size > 0)
        memcpy(record->room, arg, size);
    group->job.end++;
    pool->submitted++;
    pool->lone_unfinished++;
    pool__scheduler_submit(&pool->scheduler, &group->job);
    return &record->future;
}

/* ---- cancel and free */

/* Either step may make it done, here and now: it is dropped, or a result is read before a kill. */
void pool__group_cancel(struct pool_future *future, bool kill)
{
    struct pool__scheduler *scheduler = &future->pool->scheduler;
    struct pool__job *job = &group_at(future)->job;

    if (pool__scheduler_withdraw_item(scheduler, job, future->place)) {
        future->cancelled = true;
        return;
    }
    if (future->asked == POOL__ASKED_NOTHING)
        future->asked = POOL__ASKED_TO_STOP;
    if (!kill)
        return;
    future->asked = POOL__ASKED_BY_KILL;
    pool__deadline_kill_item(scheduler, job, future->place, pool__now());
    /* what heard that it is to stop, and did so before the kill, was cancelled as well */
    if (!pool__future_is_done(future) || future->result.status == POOL_CANCELLED)
        future->cancelled = true;
}
