#include "api/call.h"

#include <errno.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/error.h"
#include "engine/callbacks.h"

static _Thread_local int cancel_state;
static _Thread_local unsigned depth; /* calls nest where a generator calls the library */

/* poll, read and write are cancellation points: a thread that vanished inside would leave the lock behind. */
static void cancellation_off(void)
{
#ifdef PTHREAD_CANCEL_DISABLE
    if (depth++ == 0)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
#endif
}

static void cancellation_back(void)
{
#ifdef PTHREAD_CANCEL_DISABLE
    if (--depth == 0)
        pthread_setcancelstate(cancel_state, NULL);
#endif
}

enum pool_status pool__enter(struct pool *pool, const char *call, const char *object)
{
    if (pool == NULL)
        return pool__no_object(call, object);
    if (!pool__is_here(pool)) {
        errno = EINVAL;
        return pool__fail(POOL_INVALID, "%s: the pool belongs to another process", call);
    }
    cancellation_off();
    pool__lock(pool);
    pool->calls++;
    pool->calls_ever++;
    if (atomic_load(&pool->stop_asked) && !pool->stopped)
        pool__settle(pool);
    return POOL_OK;
}

void pool__leave(struct pool *pool)
{
    bool destroy;

    if (--pool->calls == 0 && pool->destroying)
        pthread_cond_broadcast(&pool->quiet);
    /* a callback that ran on this thread has destroyed the pool; on the callback thread, that sees to it */
    destroy = pool->destroy_when_returned && pthread_equal(pool->destroyer, pthread_self()) &&
              !pool__in_callback(pool) && !(pool->caller_runs && pthread_equal(pool->caller, pthread_self()));
    if (destroy)
        pool->destroy_when_returned = false;
    pool__unlock(pool);
    if (destroy)
        pool->destroy(pool);
    cancellation_back();
}

enum pool_status pool__enter_to_wait(struct pool *pool, const char *call, const char *object, int timeout_ms)
{
    enum pool_status status;

    if (pool != NULL && !pool__is_wait(timeout_ms)) {
        errno = EINVAL;
        return pool__fail(POOL_INVALID, "%s: timeout_ms is %d: neither POOL_FOREVER nor 0 or more", call, timeout_ms);
    }
    if (pool != NULL && pool__is_here(pool) && pool__in_callback(pool)) {
        errno = EINVAL;
        return pool__fail(POOL_INVALID, "%s: inside a callback of the pool nothing can be waited for", call);
    }
    status = pool__enter(pool, call, object);
    return status;
}

enum pool_status pool__check_open(struct pool *pool, const char *call)
{
    if (!pool->closed)
        return POOL_OK;
    errno = EPIPE;
    if (pool->broken)
        return pool__fail(POOL_BROKEN, "%s: the pool is broken: %s", call,
                          pool->broken_words != NULL ? pool->broken_words : "workers do not stay alive");
    return pool__fail(POOL_CLOSED, "%s: the pool is %s", call,
                      pool->terminated ? "terminated"
                      : pool->stopped  ? "stopped"
                                       : "closed");
}

enum pool_status pool__refuse(const char *call, const char *what)
{
    errno = EINVAL;
    return pool__fail(POOL_INVALID, "%s: %s is not available in this version", call, what);
}

void pool__job_options(struct pool__job *job, const struct pool_job *options)
{
    if (options == NULL)
        return;
    job->chunk = options->chunk;
    job->deadline = (uint64_t)options->deadline_ms * POOL__MS;
    job->retries = options->retries;
}

static enum pool_status wrong(const char *call, const char *what)
{
    errno = EINVAL;
    return pool__fail(POOL_INVALID, "%s: %s", call, what);
}

enum pool_status pool__check_job(const struct pool_job *job, const char *call, unsigned meaning)
{
    size_t i;

    if (job == NULL)
        return POOL_OK;
    for (i = 0; i < sizeof job->reserved / sizeof job->reserved[0]; i++)
        if (job->reserved[i] != 0)
            return wrong(call, "a reserved field of the job is not zero");
    if (job->deadline_ms < 0)
        return wrong(call, "deadline_ms is below zero");
    if (job->shared == NULL && job->shared_size > 0)
        return wrong(call, "shared is NULL, and shared_size is not 0");
    if (job->callback != NULL && (meaning & POOL__JOB_CALLBACK) == 0)
        return wrong(call, "a callback means nothing here: only apply_async and map_async have one");
    if ((job->statuses != NULL || job->keep_going) && (meaning & POOL__JOB_MAP) == 0)
        return wrong(call, job->keep_going ? "keep_going means nothing outside a map"
                                           : "statuses mean nothing outside a map");
    return POOL_OK;
}
