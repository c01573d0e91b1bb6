#include "api/future.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/group.h"
#include "api/progress.h"
#include "api/result.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/deadline.h"
#include "engine/role.h"

/* ---- life */

void pool__future_done(struct pool_future *future)
{
    struct pool *pool = future->pool;
    bool watched = future->watched;

    atomic_store_explicit(&future->done, true, memory_order_release); /* it may be read and freed now */
    if (pool__list_empty(&pool->waiters))
        return;
    pool__notify(pool, future);
    if (watched) {
        pool->watched_done++;
        pool__notify(pool, &pool->watched_done);
    }
}

static void run_callback(struct pool__call *call)
{
    struct pool__promise *promise = pool__holder(call, struct pool__promise, call);
    struct pool *pool = promise->future.pool;

    promise->callback(promise->user, &promise->future.result);
    pool__callback_returned(pool);
    pool__lock(pool);
    pool__promise_drop(promise);
    pool__unlock(pool);
}

void pool__promise_begin(struct pool__promise *promise, struct pool *pool, const struct pool_job *options)
{
    promise->future.pool = pool;
    promise->future.place = POOL__ALONE;
    promise->references = 2;
    pool__result_init(&promise->future.result);
    promise->call.run = run_callback;
    if (options != NULL) {
        promise->callback = options->callback;
        promise->user = options->user;
    }
}

struct pool__promise *pool__promise_make(struct pool *pool, size_t size, const struct pool_job *options)
{
    struct pool__promise *promise = calloc(1, size);

    if (promise == NULL)
        return NULL;
    pool__promise_begin(promise, pool, options);
    pool__hold(pool);
    return promise;
}

static void dispose(struct pool__grave *grave)
{
    struct pool__promise *promise = pool__holder(grave, struct pool__promise, grave);
    struct pool *pool = promise->future.pool;

    if (pool__future_is_done(&promise->future))
        pool__result_clear(&promise->future.result, promise->future.owns_data);
    free(promise->copies);
    free(promise);
    pool__let_go(pool);
}

void pool__promise_drop(struct pool__promise *promise)
{
    if (--promise->references == 0)
        pool__bury(promise->future.pool, &promise->grave, dispose);
}

void pool__promise_done(struct pool__promise *promise)
{
    if (pool__future_is_done(&promise->future))
        return;
    if (promise->callback != NULL) {
        promise->references++;
        pool__callbacks_queue(promise->future.pool, &promise->call);
    }
    pool__future_done(&promise->future);
}

void pool__promise_over(struct pool__promise *promise)
{
    if (promise->over)
        return;
    promise->over = true;
    if (pool__job_is_there(&promise->job)) /* who frees it waits for that */
        pool__notify(promise->future.pool, &promise->future);
    if (promise->job.pinned > 0 || promise->job.shared_id != 0)
        pool__release_job(promise->future.pool, &promise->job);
    pool__list_remove(&promise->job.unwanted);
    pool__promise_drop(promise);
}

void pool__job_share(struct pool *pool, struct pool__job *job, const void *shared, size_t size)
{
    if (shared == NULL)
        return;
    job->shared = shared;
    job->shared_size = size;
    job->shared_there = pool__arena_has(&pool->arena, shared, size);
    job->shared_id = ++pool->next_shared_id;
}

/* ---- waiting */

static bool is_done(const void *future)
{
    return pool__future_is_done(future);
}

bool pool__future_await(struct pool_future *future, uint64_t end)
{
    return pool__wait(future->pool, future, is_done, future, end);
}

static enum pool_status wait_for(struct pool_future *future, const char *call, int timeout_ms)
{
    if (pool__future_await(future, pool__end_of_wait(timeout_ms)))
        return POOL_OK;
    return pool__fail(POOL_TIMEOUT, "%s: not done within %d ms", call, timeout_ms);
}

static struct pool *pool_of(const struct pool_future *future)
{
    return future != NULL ? future->pool : NULL;
}

/* Done, and this process's own: nothing of the pool need be asked. */
static bool stands(const struct pool_future *future)
{
    return future != NULL && pool__is_here(future->pool) && pool__future_is_done(future);
}

/* The same for a call that would wait, and is refused where waiting is. */
static bool needs_no_wait(const struct pool_future *future, int timeout_ms)
{
    return stands(future) && pool__is_wait(timeout_ms) && !pool__in_callback(future->pool);
}

enum pool_status pool_future_wait(struct pool_future *future, int timeout_ms)
{
    enum pool_status status;

    if (needs_no_wait(future, timeout_ms))
        return POOL_OK;
    status = pool__enter_to_wait(pool_of(future), "pool_future_wait", "future", timeout_ms);
    if (status != POOL_OK)
        return status;
    status = wait_for(future, "pool_future_wait", timeout_ms);
    pool__leave(future->pool);
    return status;
}

/* The words of a result that is not POOL_OK become the thread's. */
static enum pool_status told(const struct pool_result *result)
{
    if (result->status == POOL_OK)
        return POOL_OK;
    return pool__fail(result->status, "%s",
                      result->message[0] != '\0' ? result->message : pool_status_name(result->status));
}

static enum pool_status get(struct pool_future *future, const char *call, int timeout_ms,
                            const struct pool_result **result)
{
    enum pool_status status;

    if (result != NULL)
        *result = NULL;
    if (!needs_no_wait(future, timeout_ms)) {
        status = pool__enter_to_wait(pool_of(future), call, "future", timeout_ms);
        if (status != POOL_OK)
            return status;
        status = wait_for(future, call, timeout_ms);
        pool__leave(future->pool);
        if (status != POOL_OK)
            return status;
    }
    if (result != NULL)
        *result = &future->result;
    return told(&future->result);
}

enum pool_status pool_future_get(struct pool_future *future, int timeout_ms, const struct pool_result **result)
{
    return get(future, "pool_future_get", timeout_ms, result);
}

enum pool_status pool_future_read(struct pool_future *future, int timeout_ms, void *out, size_t out_size)
{
    const struct pool_result *result;
    enum pool_status status;

    if (future != NULL && out == NULL && out_size > 0) {
        errno = EINVAL;
        return pool__fail(POOL_INVALID, "pool_future_read: out is NULL, and out_size is %zu", out_size);
    }
    status = get(future, "pool_future_read", timeout_ms, &result);
    if (status != POOL_OK)
        return status;
    if (out == NULL)
        return POOL_OK;
    if (result->size != out_size)
        return pool__fail(POOL_BAD_SIZE, "pool_future_read: the result has %zu bytes, %zu were asked for", result->size,
                          out_size);
    if (out_size > 0 && out != result->data)
        memcpy(out, result->data, out_size);
    return POOL_OK;
}

/* Only looks: neither waits nor moves anything. */
static bool look(const struct pool_future *future, const char *call, enum pool_status *status)
{
    if (stands(future)) {
        *status = future->result.status;
        return true;
    }
    if (pool__enter(pool_of(future), call, "future") != POOL_OK) /* another process's, or none: that is told */
        return false;
    pool__leave(future->pool);
    return false;
}

bool pool_future_ready(const struct pool_future *future)
{
    enum pool_status status = POOL_OK;

    return look(future, "pool_future_ready", &status);
}

bool pool_future_successful(const struct pool_future *future)
{
    enum pool_status status = POOL_INVALID;

    return look(future, "pool_future_successful", &status) && status == POOL_OK;
}

/* ---- cancel and free */

static struct pool__promise *promise_of(struct pool_future *future)
{
    return pool__holder(future, struct pool__promise, future);
}

/* Either step may make it done, here and now: the drop of its last items, or a result that is read before a kill. */
static void cancel(struct pool_future *future, bool kill)
{
    struct pool__scheduler *scheduler = &future->pool->scheduler;
    struct pool__job *job = &promise_of(future)->job;

    if (pool__scheduler_withdraw(scheduler, job, POOL_CANCELLED, true) > 0)
        future->cancelled = true;
    if (!kill || pool__future_is_done(future))
        return;
    pool__deadline_kill_job(scheduler, job, pool__now());
    /* what heard that it is to stop, and did so before the kill, was cancelled as well */
    if (!pool__future_is_done(future) || future->result.status == POOL_CANCELLED)
        future->cancelled = true;
}

enum pool_status pool_future_cancel(struct pool_future *future, bool kill)
{
    enum pool_status status;
    bool was_done;

    status = pool__enter(pool_of(future), "pool_future_cancel", "future");
    if (status != POOL_OK)
        return status;
    was_done = pool__future_is_done(future);
    if (!was_done && future->place != POOL__ALONE)
        pool__group_cancel(future, kill);
    else if (!was_done)
        cancel(future, kill);
    if (was_done || !future->cancelled) {
        errno = EINVAL;
        status = pool__fail(POOL_INVALID, "pool_future_cancel: %s",
                            pool__future_is_done(future) ? "it is done" : "it runs on");
    }
    pool__settle(future->pool);
    pool__leave(future->pool);
    return status;
}

static bool is_over(const void *promise)
{
    return ((const struct pool__promise *)promise)->over;
}

/* What is at the program's own memory in the arena is killed, and has gone before this returns (rule 16). */
static void end_what_is_there(struct pool__promise *promise)
{
    struct pool *pool = promise->future.pool;

    if (!pool__job_is_there(&promise->job) || promise->over)
        return;
    pool__deadline_kill_job(&pool->scheduler, &promise->job, pool__now());
    pool__settle(pool);
    pool__wait(pool, &promise->future, is_over, promise, POOL__NEVER);
}

/*
 * Of a map, what is not started is cancelled; an apply runs on, for its callback. From here on no memory of the
 * program's is touched.
 */
static void detach(struct pool__promise *promise)
{
    struct pool *pool = promise->future.pool;

    promise->future.detached = true;
    if (promise->over || promise->job.lone)
        return;
    promise->references++; /* while its owner is told */
    if (!pool__future_is_done(&promise->future)) {
        pool__result_clear(&promise->future.result, false); /* an item of it may have failed already */
        pool__result_fill_dropped(&promise->future.result, POOL_CANCELLED, 0, NULL, 0, true);
        pool__promise_done(promise);
    }
    pool__scheduler_withdraw(&pool->scheduler, &promise->job, POOL_CANCELLED, true);
    end_what_is_there(promise);
    pool__release_job(pool, &promise->job);
    pool__promise_drop(promise);
    pool__settle(pool);
}

static void free_promise(struct pool__promise *promise)
{
    struct pool *pool = promise->future.pool;

    pool__hold(pool);
    if (promise->progress != NULL &&
        (!pool__future_is_done(&promise->future) || pool__progress_is_inside(promise->progress)))
        pool__progress_end(promise->progress, false); /* else the last call is still to come, before the callback */
    detach(promise);
    pool__promise_drop(promise);
    pool__leave(pool);
    pool__let_go(pool);
}

/* It may become done before the lock is here. */
static void free_grouped(struct pool_future *future)
{
    struct pool *pool = future->pool;
    bool done = pool__future_is_done(future);

    if (!done)
        future->detached = true;
    pool__leave(pool);
    if (done)
        pool__group_let_go(future);
}

void pool_future_free(struct pool_future *future)
{
    int kept = errno;

    if (future != NULL && future->place != POOL__ALONE && stands(future))
        pool__group_let_go(future);
    else if (future != NULL && pool__is_here(future->pool) &&
             pool__enter(future->pool, "pool_future_free", "future") == POOL_OK) {
        if (future->place != POOL__ALONE)
            free_grouped(future);
        else
            free_promise(promise_of(future));
    }
    errno = kept;
}
