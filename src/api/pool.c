/* pool - a pool's later life: close, stop, terminate, join, resize; the program's own event loop; looking inside. */
#include <errno.h>
#include <string.h>

#include "api/call.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/callbacks.h"
#include "engine/role.h"
#include "engine/staffing.h"

/* ---- ends */

enum pool_status pool_close(struct pool *pool)
{
    enum pool_status status = pool__enter(pool, "pool_close", "pool");

    if (status != POOL_OK)
        return status;
    pool->closed = true;
    pool__settle(pool);
    pool__notify(pool, pool); /* submitters that wait for room */
    pool__leave(pool);
    return POOL_OK;
}

/*
 * Perhaps in a signal handler, in a thread that holds the lock: a flag and the waker, nothing else (rule 30). Whoever
 * wakes does the rest.
 */
void pool_stop(struct pool *pool)
{
    if (pool == NULL || !pool__is_here(pool))
        return;
    atomic_store(&pool->stop_asked, true);
    pool__poller_wake(pool->bell != NULL ? pool->bell : pool->pipes);
}

enum pool_status pool_terminate(struct pool *pool)
{
    enum pool_status status = pool__enter(pool, "pool_terminate", "pool");

    if (status != POOL_OK)
        return status;
    pool__end_by_terminate(pool);
    pool__settle(pool);
    pool__leave(pool);
    return POOL_OK;
}

static bool has_ended(const void *context)
{
    const struct pool *pool = context;

    return pool__is_over(pool) && pool__callbacks_idle(pool);
}

enum pool_status pool_join(struct pool *pool, int timeout_ms)
{
    enum pool_status status = pool__enter_to_wait(pool, "pool_join", "pool", timeout_ms);

    if (status != POOL_OK)
        return status;
    if (!pool->closed) {
        errno = EINVAL;
        status = pool__fail(POOL_INVALID, "pool_join: the pool is neither closed, stopped nor terminated");
    } else if (!pool__wait(pool, pool, has_ended, pool, pool__end_of_wait(timeout_ms))) {
        status =
            pool__fail(POOL_TIMEOUT, "pool_join: %u workers live on after %d ms", pool->scheduler.alive, timeout_ms);
    }
    pool__leave(pool);
    return status;
}

/* ---- size */

enum pool_status pool_resize(struct pool *pool, unsigned workers)
{
    enum pool_status status = pool__enter(pool, "pool_resize", "pool");

    if (status != POOL_OK)
        return status;
    if (workers == 0)
        workers = pool_cpu_count();
    status = pool__check_open(pool, "pool_resize");
    if (status == POOL_OK && workers > pool->scheduler.limit) {
        errno = EINVAL;
        status = pool__fail(POOL_INVALID, "pool_resize: %u workers are more than max_workers, %u", workers,
                            pool->scheduler.limit);
    }
    if (status == POOL_OK) {
        pool__staffing_resize(&pool->scheduler, workers, pool__now());
        pool__settle(pool);
        pool__notify(pool, pool);
    }
    pool__leave(pool);
    return status;
}

unsigned pool_size(const struct pool *pool)
{
    struct pool *own = (struct pool *)(uintptr_t)pool;
    unsigned size;

    if (pool__enter(own, "pool_size", "pool") != POOL_OK)
        return 0;
    size = own->scheduler.size;
    pool__leave(own);
    return size;
}

/* ---- the program's own event loop */

/* ms: a zygote that is killed cannot ring the bell that pool_fd() may be; so the loop looks for its end by time. */
#define LOOK_FOR_ZYGOTE 1000

int pool_fd(const struct pool *pool)
{
    if (pool == NULL) {
        pool__no_object("pool_fd", "pool");
        return -1;
    }
    return !pool__is_here(pool) || pool__has_thread(pool) ? -1 : pool__poller_fd(pool->pipes);
}

int pool_next_timeout(struct pool *pool)
{
    uint64_t next;
    int timeout;

    if (pool__enter(pool, "pool_next_timeout", "pool") != POOL_OK)
        return -1;
    next = pool__has_thread(pool)                   ? POOL__NEVER
           : !pool__list_empty(&pool->calls_queued) ? 0
                                                    : pool__next_timer(pool, true);
    pool->loop_sleeps_until = pool__has_thread(pool) ? 0 : next;
    timeout = pool__ms_until(next);
    if (pool__poller_is_bell(pool->pipes) && pool->zygote.control >= 0 && (timeout < 0 || timeout > LOOK_FOR_ZYGOTE))
        timeout = LOOK_FOR_ZYGOTE;
    pool__leave(pool);
    return timeout;
}

enum pool_status pool_dispatch(struct pool *pool)
{
    enum pool_status status = pool__enter(pool, "pool_dispatch", "pool");

    if (status != POOL_OK)
        return status;
    if (pool__in_callback(pool)) {
        errno = EINVAL;
        status = pool__fail(POOL_INVALID, "pool_dispatch: inside a callback of the pool");
    } else {
        pool->loop_sleeps_until = 0;
        pool__look_at_pipes(pool);
        if (!pool__has_thread(pool))
            pool__callbacks_run(pool);
        if (pool->broken)
            status = pool__fail(POOL_BROKEN, "pool_dispatch: the pool is broken: %s",
                                pool->broken_words != NULL ? pool->broken_words : "workers do not stay alive");
    }
    pool__leave(pool);
    return status;
}

/* ---- looking inside */

enum pool_status pool_get_stats(struct pool *pool, struct pool_stats *stats)
{
    enum pool_status status = pool__enter(pool, "pool_get_stats", "pool");
    const struct pool__scheduler *scheduler;
    unsigned i;

    if (status != POOL_OK)
        return status;
    if (stats == NULL) {
        errno = EINVAL;
        pool__leave(pool);
        return pool__fail(POOL_INVALID, "pool_get_stats: stats is NULL");
    }
    scheduler = &pool->scheduler;
    memset(stats, 0, sizeof *stats);
    for (i = 0; i < scheduler->span; i++) {
        const struct pool__seat *seat = &scheduler->seats[i];

        stats->workers += seat->board != NULL && seat->state != POOL__SEAT_DYING;
        stats->busy += seat->board != NULL && seat->owed > 0;
    }
    stats->submitted = pool->submitted;
    stats->finished = scheduler->finished;
    stats->failed = scheduler->failed;
    stats->crashed = scheduler->crashed;
    stats->expired = scheduler->expired;
    stats->cancelled = scheduler->cancelled;
    stats->retried = scheduler->retried;
    stats->stolen = scheduler->stolen;
    stats->workers_started = scheduler->started;
    stats->workers_lost = scheduler->lost;
    stats->bytes_sent = pool->bytes_sent;
    stats->bytes_received = pool->bytes_received;
    stats->run_ns = scheduler->run_ns;
    stats->running = stats->busy;
    stats->queued = (size_t)(scheduler->owed + pool__scheduler_waiting(scheduler)) - stats->running;
    pool__leave(pool);
    return POOL_OK;
}

size_t pool_worker_pids(struct pool *pool, pid_t *pids, size_t count)
{
    size_t found = 0;
    unsigned i;

    if (pool__enter(pool, "pool_worker_pids", "pool") != POOL_OK)
        return 0;
    for (i = 0; i < pool->scheduler.span; i++) {
        const struct pool__seat *seat = &pool->scheduler.seats[i];

        if (seat->board == NULL || seat->pid == 0)
            continue;
        if (pids != NULL && found < count)
            pids[found] = seat->pid;
        found++;
    }
    pool__leave(pool);
    return pids == NULL || found < count ? found : count;
}

enum pool_status pool_trace(struct pool *pool, const char *path)
{
    enum pool_status status = pool__enter(pool, "pool_trace", "pool");

    (void)path;
    if (status != POOL_OK)
        return status;
    pool__leave(pool);
    return pool__refuse("pool_trace", "a trace");
}
