#include "api/future.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/result.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/deadline.h"
#include "engine/role.h"

/* ---- life */

static void run_callback(struct pool__call *call)
{
    struct pool_future *future = pool__holder(call, struct pool_future, call);
    struct pool *pool = future->pool;

    future->callback(future->user, &future->result);
    pool__callback_returned(pool);
    pool__lock(pool);
    pool__future_drop(future);
    pool__unlock(pool);
}

void pool__future_begin(struct pool_future *future, struct pool *pool, const struct pool_job *options)
{
    future->pool = pool;
    future->references = 2;
    pool__result_init(&future->result);
    future->call.run = run_callback;
    if (options != NULL) {
        future->callback = options->callback;
        future->user = options->user;
    }
}

struct pool_future *pool__future_make(struct pool *pool, size_t size, const struct pool_job *options)
{
    struct pool_future *future = calloc(1, size);

    if (future == NULL)
        return NULL;
    pool__future_begin(future, pool, options);
    pool__hold(pool);
    return future;
}

static void dispose(struct pool__grave *grave)
{
    struct pool_future *future = pool__holder(grave, struct pool_future, grave);
    struct pool *pool = future->pool;

    if (future->done)
        pool__result_clear(&future->result, future->owns_data);
    free(future->copies);
    free(future);
    pool__let_go(pool);
}

void pool__future_drop(struct pool_future *future)
{
    if (--future->references == 0)
        pool__bury(future->pool, &future->grave, dispose);
}

void pool__future_done(struct pool_future *future)
{
    if (future->done)
        return;
    future->done = true;
    if (future->callback != NULL) {
        future->references++;
        pool__callbacks_queue(future->pool, &future->call);
    }
    pool__notify(future->pool, future);
}

void pool__future_over(struct pool_future *future)
{
    if (future->over)
        return;
    future->over = true;
    if (pool__job_is_there(&future->job)) /* who frees it waits for that */
        pool__notify(future->pool, future);
    if (future->job.pinned > 0 || future->job.shared_id != 0)
        pool__release_job(future->pool, &future->job);
    pool__list_remove(&future->job.unwanted);
    pool__future_drop(future);
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
    return ((const struct pool_future *)future)->done;
}

static enum pool_status wait_for(struct pool_future *future, const char *call, int timeout_ms)
{
    if (pool__wait(future->pool, future, is_done, future, pool__end_of_wait(timeout_ms)))
        return POOL_OK;
    return pool__fail(POOL_TIMEOUT, "%s: not done within %d ms", call, timeout_ms);
}

static struct pool *pool_of(const struct pool_future *future)
{
    return future != NULL ? future->pool : NULL;
}

enum pool_status pool_future_wait(struct pool_future *future, int timeout_ms)
{
    enum pool_status status = pool__enter_to_wait(pool_of(future), "pool_future_wait", "future", timeout_ms);

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
    enum pool_status status = pool__enter_to_wait(pool_of(future), call, "future", timeout_ms);

    if (result != NULL)
        *result = NULL;
    if (status != POOL_OK)
        return status;
    status = wait_for(future, call, timeout_ms);
    pool__leave(future->pool);
    if (status != POOL_OK)
        return status;
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
    bool done;

    if (pool__enter(pool_of(future), call, "future") != POOL_OK)
        return false;
    done = future->done;
    *status = future->result.status;
    pool__leave(future->pool);
    return done;
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

/* ---- many at once */

struct several {
    struct pool_future *const *futures;
    size_t count;
};

static bool one_is_done(const void *context)
{
    const struct several *several = context;
    size_t i;

    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL && several->futures[i]->done)
            return true;
    return false;
}

static bool all_are_done(const void *context)
{
    const struct several *several = context;
    size_t i;

    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL && !several->futures[i]->done)
            return false;
    return true;
}

static struct pool *first_pool(const struct several *several)
{
    size_t i;

    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL)
            return several->futures[i]->pool;
    return NULL;
}

static enum pool_status check_several(const struct several *several, const char *call)
{
    const struct pool *pool;
    size_t i;

    errno = EINVAL;
    if (several->futures == NULL && several->count > 0)
        return pool__fail(POOL_INVALID, "%s: futures is NULL, and count is %zu", call, several->count);
    pool = first_pool(several);
    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL && several->futures[i]->pool != pool)
            return pool__fail(POOL_INVALID, "%s: future %zu is of another pool than those before it", call, i);
    return POOL_OK;
}

enum pool_status pool_wait_any(struct pool_future *const *futures, size_t count, int timeout_ms, size_t *which)
{
    struct several several = {futures, count};
    enum pool_status status = check_several(&several, "pool_wait_any");
    struct pool *pool;
    size_t i;

    if (status == POOL_OK && !pool__is_wait(timeout_ms)) {
        errno = EINVAL;
        return pool__fail(POOL_INVALID, "pool_wait_any: timeout_ms is %d: neither POOL_FOREVER nor 0 or more",
                          timeout_ms);
    }
    if (status != POOL_OK)
        return status;
    pool = first_pool(&several);
    if (pool == NULL)
        return POOL_END;
    status = pool__enter_to_wait(pool, "pool_wait_any", "future", timeout_ms);
    if (status != POOL_OK)
        return status;
    if (!pool__wait(pool, NULL, one_is_done, &several, pool__end_of_wait(timeout_ms)))
        status = pool__fail(POOL_TIMEOUT, "pool_wait_any: none of %zu is done within %d ms", count, timeout_ms);
    for (i = 0; status == POOL_OK && i < count; i++) {
        if (futures[i] != NULL && futures[i]->done) {
            if (which != NULL)
                *which = i;
            break;
        }
    }
    pool__leave(pool);
    return status;
}

/* Of several pools: one future after the other, to one end. */
static enum pool_status wait_each(const struct several *several, uint64_t end)
{
    enum pool_status status = POOL_OK;
    size_t i;

    for (i = 0; status == POOL_OK && i < several->count; i++)
        if (several->futures[i] != NULL)
            status = pool_future_wait(several->futures[i], pool__ms_until(end));
    return status;
}

enum pool_status pool_wait_all(struct pool_future *const *futures, size_t count, int timeout_ms)
{
    struct several several = {futures, count};
    struct pool *pool;
    enum pool_status status;
    size_t i;

    errno = EINVAL;
    if (futures == NULL && count > 0)
        return pool__fail(POOL_INVALID, "pool_wait_all: futures is NULL, and count is %zu", count);
    if (!pool__is_wait(timeout_ms))
        return pool__fail(POOL_INVALID, "pool_wait_all: timeout_ms is %d: neither POOL_FOREVER nor 0 or more",
                          timeout_ms);
    pool = first_pool(&several);
    if (pool == NULL)
        return POOL_OK;
    for (i = 0; i < count; i++)
        if (futures[i] != NULL && futures[i]->pool != pool)
            return wait_each(&several, pool__end_of_wait(timeout_ms));
    status = pool__enter_to_wait(pool, "pool_wait_all", "future", timeout_ms);
    if (status != POOL_OK)
        return status;
    if (!pool__wait(pool, NULL, all_are_done, &several, pool__end_of_wait(timeout_ms)))
        status = pool__fail(POOL_TIMEOUT, "pool_wait_all: not all of %zu are done within %d ms", count, timeout_ms);
    pool__leave(pool);
    return status;
}

/* ---- cancel and free */

/* Either step may make it done, here and now: the drop of its last items, or a result that is read before a kill. */
static void cancel(struct pool_future *future, bool kill)
{
    struct pool__scheduler *scheduler = &future->pool->scheduler;

    if (pool__scheduler_withdraw(scheduler, &future->job, POOL_CANCELLED, true) > 0)
        future->cancelled = true;
    if (!kill || future->done)
        return;
    pool__deadline_kill_job(scheduler, &future->job, pool__now());
    /* what heard that it is to stop, and did so before the kill, was cancelled as well */
    if (!future->done || future->result.status == POOL_CANCELLED)
        future->cancelled = true;
}

enum pool_status pool_future_cancel(struct pool_future *future, bool kill)
{
    enum pool_status status;
    bool was_done;

    status = pool__enter(pool_of(future), "pool_future_cancel", "future");
    if (status != POOL_OK)
        return status;
    was_done = future->done;
    if (!was_done)
        cancel(future, kill);
    if (was_done || !future->cancelled) {
        errno = EINVAL;
        status = pool__fail(POOL_INVALID, "pool_future_cancel: %s", future->done ? "it is done" : "it runs on");
    }
    pool__settle(future->pool);
    pool__leave(future->pool);
    return status;
}

static bool is_over(const void *future)
{
    return ((const struct pool_future *)future)->over;
}

/* What is at the program's own memory in the arena is killed, and has gone before this returns (rule 16). */
static void end_what_is_there(struct pool_future *future)
{
    if (!pool__job_is_there(&future->job) || future->over)
        return;
    pool__deadline_kill_job(&future->pool->scheduler, &future->job, pool__now());
    pool__settle(future->pool);
    pool__wait(future->pool, future, is_over, future, POOL__NEVER);
}

/*
 * Of a map, what is not started is cancelled; an apply runs on, for its callback. From here on no memory of the
 * program's is touched.
 */
static void detach(struct pool_future *future)
{
    struct pool *pool = future->pool;

    future->detached = true;
    if (future->over || future->job.lone)
        return;
    future->references++; /* while its owner is told */
    if (!future->done) {
        pool__result_clear(&future->result, false); /* an item of it may have failed already */
        pool__result_fill_dropped(&future->result, POOL_CANCELLED, 0, NULL, 0, true);
        pool__future_done(future);
    }
    pool__scheduler_withdraw(&pool->scheduler, &future->job, POOL_CANCELLED, true);
    end_what_is_there(future);
    pool__release_job(pool, &future->job);
    pool__future_drop(future);
    pool__settle(pool);
}

void pool_future_free(struct pool_future *future)
{
    int kept = errno;

    if (future != NULL && pool__is_here(future->pool) &&
        pool__enter(future->pool, "pool_future_free", "future") == POOL_OK) {
        struct pool *pool = future->pool;

        pool__hold(pool);
        detach(future);
        pool__future_drop(future);
        pool__leave(pool);
        pool__let_go(pool);
    }
    errno = kept;
}
