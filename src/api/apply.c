/* apply - one task: pool_apply(), pool_apply_async(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/group.h"
#include "api/result.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/role.h"

struct apply {
    struct pool__promise promise; /* first */
    const void *arg;
    size_t size;
    void *out; /* pool_apply: where the result goes, if it has just that size */
    size_t out_size;
};

static struct apply *apply_of(struct pool__job *job)
{
    return (struct apply *)(void *)job;
}

/* ---- the engine's questions */

static void argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    (void)index;
    *bytes = apply_of(job)->arg;
    *size = apply_of(job)->size;
}

static void *place(struct pool__job *job, uint64_t index, uint64_t size, bool *keep)
{
    struct apply *apply = apply_of(job);

    (void)index;
    *keep = !apply->promise.future.detached || apply->promise.callback != NULL;
    return apply->out != NULL && size == apply->out_size && !apply->promise.future.detached ? apply->out : NULL;
}

static void ended(struct apply *apply)
{
    apply->promise.future.result.arg = apply->arg;
    apply->promise.future.result.arg_size = apply->size;
    apply->promise.future.pool->lone_unfinished--;
    if (apply->promise.future.pool->queue_limit != 0)
        pool__notify(apply->promise.future.pool, apply->promise.future.pool);
    pool__promise_done(&apply->promise);
    pool__promise_over(&apply->promise);
}

static void finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct apply *apply = apply_of(job);
    bool in_place;

    if (apply->promise.future.cancelled) { /* that was said: a result that has made it nevertheless is nobody's */
        pool__outcome_free(outcome);
        outcome->status = POOL_CANCELLED;
        outcome->code = 0;
    }
    in_place =
        outcome->status == POOL_OK && outcome->data == NULL && apply->out != NULL && outcome->size == apply->out_size;
    pool__result_fill(&apply->promise.future.result, outcome, index, true, apply->promise.submitted);
    if (in_place)
        apply->promise.future.result.data = apply->out;
    apply->promise.future.owns_data = !in_place;
    ended(apply);
}

static void dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                    const char *message)
{
    struct apply *apply = apply_of(job);

    (void)count;
    pool__result_fill_dropped(&apply->promise.future.result, status, code, message, first, true);
    ended(apply);
}

static const struct pool__owner owner = {argument, place, finished, dropped, NULL, NULL};

/* ---- submitting */

/* queue_limit counts those that wait: besides these, each worker that is not at a map's items may have one. */
static bool has_room(const void *context)
{
    const struct pool *pool = context;
    size_t most = pool->queue_limit;
    unsigned i;

    for (i = 0; i < pool->scheduler.size; i++) {
        const struct pool__run *head =
            pool->scheduler.seats[i].board != NULL ? pool__seat_head(&pool->scheduler.seats[i]) : NULL;

        most += head == NULL || head->job->lone;
    }
    return pool->closed || pool->lone_unfinished < most;
}

static enum pool_status wait_for_room(struct pool *pool, const char *call, bool waits)
{
    if (pool->queue_limit == 0 || has_room(pool))
        return POOL_OK;
    if (!waits) {
        errno = EAGAIN;
        return pool__fail(POOL_INVALID, "%s: %zu tasks wait already: queue_limit", call, pool->queue_limit);
    }
    pool__wait(pool, pool, has_room, pool, POOL__NEVER);
    return pool__check_open(pool, call);
}

static enum pool_status check(pool_function *fn, const void *arg, size_t size, const struct pool_job *job,
                              const char *call, unsigned meaning)
{
    errno = EINVAL;
    if (fn == NULL)
        return pool__fail(POOL_INVALID, "%s: fn is NULL", call);
    if (arg == NULL && size > 0)
        return pool__fail(POOL_INVALID, "%s: arg is NULL, and size is %zu", call, size);
    if (size > PTRDIFF_MAX)
        return pool__fail(POOL_INVALID, "%s: size is %zu: more than memory can hold", call, size);
    return pool__check_job(job, call, meaning);
}

/* Argument, and shared bytes behind it, copied before the lock is taken: they may be large. */
struct copies {
    unsigned char *bytes;
    size_t shared_at;
};

static bool copy_in(struct copies *copies, const void *arg, size_t size, const struct pool_job *job)
{
    size_t shared = job != NULL && job->shared != NULL ? job->shared_size : 0;

    copies->bytes = NULL;
    copies->shared_at = (size + 15) & ~(size_t)15;
    if (shared > PTRDIFF_MAX - copies->shared_at)
        return false;
    copies->bytes = malloc(copies->shared_at + shared > 0 ? copies->shared_at + shared : 1);
    if (copies->bytes == NULL)
        return false;
    if (size > 0)
        memcpy(copies->bytes, arg, size);
    if (shared > 0)
        memcpy(copies->bytes + copies->shared_at, job->shared, shared);
    return true;
}

static void submit(struct pool *pool, struct apply *apply)
{
    struct pool__job *job = &apply->promise.job;

    if (pool__group_waits(pool))
        pool__group_close(pool); /* what is submitted later comes later */
    apply->promise.submitted = pool__now();
    job->end = 1;
    pool->submitted++;
    pool->lone_unfinished++;
    pool__scheduler_submit(&pool->scheduler, job);
    pool->held_back = 0;
    pool__scheduler_dispatch(&pool->scheduler, apply->promise.submitted);
}

static void describe(struct apply *apply, pool_function *fn, size_t size, const struct pool_job *job)
{
    pool__job_init(&apply->promise.job, &owner, fn, size);
    pool__job_options(&apply->promise.job, job);
    apply->promise.job.lone = true;
    apply->size = size;
}

/* ---- alone: with a callback or shared bytes */

/* Takes over the copies where it succeeds. NULL with *code. */
static struct pool_future *apply_alone(struct pool *pool, pool_function *fn, const struct copies *copies, size_t size,
                                       const struct pool_job *job, int *code)
{
    struct apply *apply;

    if (job != NULL && job->callback != NULL && (*code = pool__callbacks_start(pool)) != 0) {
        pool__fail(POOL_SYSTEM, "pool_apply_async: no thread for callbacks: %s", strerror(*code));
        return NULL;
    }
    apply = (struct apply *)(void *)pool__promise_make(pool, sizeof *apply, job);
    if (apply == NULL) {
        pool__fail(POOL_NO_MEMORY, "pool_apply_async: no memory for a task");
        *code = ENOMEM;
        return NULL;
    }
    describe(apply, fn, size, job);
    apply->promise.copies = copies->bytes;
    apply->arg = copies->bytes;
    if (job != NULL && job->shared != NULL)
        pool__job_share(pool, &apply->promise.job, copies->bytes + copies->shared_at, job->shared_size);
    submit(pool, apply);
    pool__rouse(pool);
    return &apply->promise.future;
}

/* ---- in a group */

static struct pool_future *apply_in_group(struct pool *pool, pool_function *fn, const struct copies *copies,
                                          const void *arg, size_t size, const struct pool_job *job, int *code)
{
    struct pool_future *future = pool__group_add(pool, fn, arg, size, copies->bytes, job);

    if (future == NULL) {
        pool__fail(POOL_NO_MEMORY, "pool_apply_async: no memory for a task");
        *code = ENOMEM;
        return NULL;
    }
    pool__give_out_soon(pool);
    return future;
}

static bool may_wait(const struct pool *pool, const struct pool_job *job)
{
    return (job == NULL || !job->try_submit) && pool__has_thread(pool) && !pool__in_callback(pool);
}

/* NULL with *code. */
static struct pool_future *apply_async(struct pool *pool, pool_function *fn, const struct copies *copies,
                                       const void *arg, size_t size, const struct pool_job *job, int *code)
{
    if (pool__check_open(pool, "pool_apply_async") != POOL_OK ||
        (pool->queue_limit != 0 && wait_for_room(pool, "pool_apply_async", may_wait(pool, job)) != POOL_OK)) {
        *code = errno;
        return NULL;
    }
    if (pool__group_takes(job))
        return apply_in_group(pool, fn, copies, arg, size, job, code);
    return apply_alone(pool, fn, copies, size, job, code);
}

struct pool_future *pool_apply_async(struct pool *pool, pool_function *fn, const void *arg, size_t size,
                                     const struct pool_job *job)
{
    struct pool_future *future;
    struct copies copies = {NULL, 0};
    int code = 0;

    if (pool == NULL) {
        pool__no_object("pool_apply_async", "pool");
        return NULL;
    }
    if (check(fn, arg, size, job, "pool_apply_async", POOL__JOB_CALLBACK) != POOL_OK)
        return NULL;
    if ((size > POOL__GROUP_INLINE || !pool__group_takes(job)) && !copy_in(&copies, arg, size, job))
        return pool__null(ENOMEM, "pool_apply_async: no memory for a task of %zu bytes", size);
    if (pool__enter(pool, "pool_apply_async", "pool") != POOL_OK) {
        free(copies.bytes);
        errno = EINVAL;
        return NULL;
    }
    future = apply_async(pool, fn, &copies, arg, size, job, &code);
    pool__leave(pool);
    if (future == NULL) {
        free(copies.bytes);
        errno = code;
    }
    return future;
}

/* ---- and waiting */

static enum pool_status result_of(const struct apply *apply)
{
    const struct pool_result *result = &apply->promise.future.result;

    if (result->status != POOL_OK)
        return pool__fail(result->status, "%s",
                          result->message[0] != '\0' ? result->message : pool_status_name(result->status));
    if (apply->out != NULL && result->size != apply->out_size)
        return pool__fail(POOL_BAD_SIZE, "pool_apply: the result has %zu bytes, %zu were asked for", result->size,
                          apply->out_size);
    return POOL_OK;
}

/*
 * Nothing is allocated: argument and future are the caller's, and he waits. With its outcome the engine has let go of it
 * (pool__promise_over() comes in the same step), and who was in the middle of that step has ended it when the lock is had.
 */
static void apply_and_wait(struct pool *pool, struct apply *apply)
{
    submit(pool, apply);
    pool__future_await(&apply->promise.future, POOL__NEVER);
}

enum pool_status pool_apply(struct pool *pool, pool_function *fn, const void *arg, size_t size, void *out,
                            size_t out_size, const struct pool_job *job)
{
    enum pool_status status;
    struct apply apply;

    if (pool != NULL && (status = check(fn, arg, size, job, "pool_apply", 0)) != POOL_OK)
        return status;
    if (pool != NULL && out == NULL && out_size > 0)
        return pool__fail(POOL_INVALID, "pool_apply: out is NULL, and out_size is %zu", out_size);
    status = pool__enter_to_wait(pool, "pool_apply", "pool", POOL_FOREVER);
    if (status != POOL_OK)
        return status;
    status = pool__check_open(pool, "pool_apply");
    if (status == POOL_OK)
        status = wait_for_room(pool, "pool_apply", true);
    if (status != POOL_OK) {
        pool__leave(pool);
        return status;
    }
    memset(&apply, 0, sizeof apply);
    pool__promise_begin(&apply.promise, pool, job);
    describe(&apply, fn, size, job);
    apply.arg = arg;
    apply.promise.job.items_there = pool__arena_has(&pool->arena, arg, size);
    apply.out = out;
    apply.out_size = out_size;
    if (job != NULL && job->shared != NULL)
        pool__job_share(pool, &apply.promise.job, job->shared, job->shared_size);
    apply_and_wait(pool, &apply);
    pool__leave(pool);
    status = result_of(&apply);
    pool__result_clear(&apply.promise.future.result, apply.promise.future.owns_data);
    return status;
}
