/* several - many futures at once: pool_wait_any(), pool_wait_all(). */
#include <errno.h>

#include "api/call.h"
#include "api/future.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/role.h"

struct several {
    struct pool_future *const *futures;
    size_t count;
};

/* Looked through once, and again only when a watched future is done: what wakes the thread in between is not theirs. */
struct watch {
    const struct several *several;
    const struct pool *pool;
    uint64_t seen; /* of pool->watched_done */
    bool found;    /* it may be asked again after it has said so */
};

static size_t first_done(const struct several *several)
{
    size_t i;

    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL && pool__future_is_done(several->futures[i]))
            break;
    return i;
}

static void watch_all(const struct several *several)
{
    size_t i;

    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL && !pool__future_is_done(several->futures[i]))
            several->futures[i]->watched = true;
}

static bool one_is_done(const void *context)
{
    struct watch *watch = (struct watch *)(uintptr_t)context;

    if (!watch->found && watch->seen != watch->pool->watched_done) {
        watch->seen = watch->pool->watched_done;
        watch->found = first_done(watch->several) < watch->several->count;
    }
    return watch->found;
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

/* Under the lock. */
static bool wait_for_one(struct pool *pool, const struct several *several, uint64_t end)
{
    struct watch watch = {several, pool, pool->watched_done, false};

    if (first_done(several) < several->count)
        return true;
    watch_all(several);
    return pool__wait(pool, &pool->watched_done, one_is_done, &watch, end);
}

enum pool_status pool_wait_any(struct pool_future *const *futures, size_t count, int timeout_ms, size_t *which)
{
    struct several several = {futures, count};
    enum pool_status status = check_several(&several, "pool_wait_any");
    struct pool *pool;

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
    if (!wait_for_one(pool, &several, pool__end_of_wait(timeout_ms)))
        status = pool__fail(POOL_TIMEOUT, "pool_wait_any: none of %zu is done within %d ms", count, timeout_ms);
    pool__leave(pool);
    if (status == POOL_OK && which != NULL)
        *which = first_done(&several);
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

/* One after the other: what is done once stays so. Under the lock. */
static bool wait_for_all(const struct several *several, uint64_t end)
{
    size_t i;

    for (i = 0; i < several->count; i++)
        if (several->futures[i] != NULL && !pool__future_await(several->futures[i], end))
            return false;
    return true;
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
    if (!wait_for_all(&several, pool__end_of_wait(timeout_ms)))
        status = pool__fail(POOL_TIMEOUT, "pool_wait_all: not all of %zu are done within %d ms", count, timeout_ms);
    pool__leave(pool);
    return status;
}
