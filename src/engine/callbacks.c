#include "engine/callbacks.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/fork_child.h"
#include "engine/role.h"

static _Thread_local const struct pool *calling_for;

/* Callbacks nest where one waits for another pool. */
bool pool__in_callback(const struct pool *pool)
{
    const struct pool *inner;

    for (inner = calling_for; inner != NULL; inner = inner->called_within)
        if (inner == pool)
            return true;
    return false;
}

bool pool__callbacks_idle(const struct pool *pool)
{
    return pool__list_empty(&pool->calls_queued) && !pool->calling;
}

void pool__callbacks_take_turn(struct pool *pool)
{
    while (pool->calling)
        pool__sleep(pool, &pool->call_done, POOL__NEVER);
    pool->calling = true;
    pool->called_within = calling_for;
    calling_for = pool;
}

void pool__callbacks_end_turn(struct pool *pool)
{
    calling_for = pool->called_within;
    pool->calling = false;
    pool->current = NULL;
    pthread_cond_broadcast(&pool->call_done);
    pool__notify(pool, pool);
}

static void run_one(struct pool *pool)
{
    struct pool__call *call;

    pool__callbacks_take_turn(pool);
    if (pool__list_empty(&pool->calls_queued)) { /* another thread was quicker */
        pool__callbacks_end_turn(pool);
        return;
    }
    call = pool__holder(pool__list_pop(&pool->calls_queued), struct pool__call, link);
    pool->current = call;
    pool__unlock(pool);
    call->run(call);
    pool__lock(pool);
    pool__callbacks_end_turn(pool);
}

bool pool__callbacks_run(struct pool *pool)
{
    bool any = false;

    if (pool__in_callback(pool))
        return false;
    while (!pool__list_empty(&pool->calls_queued)) {
        run_one(pool);
        any = true;
    }
    return any;
}

void pool__callbacks_queue(struct pool *pool, struct pool__call *call)
{
    if (pool__is_linked(&call->link))
        return;
    pool__list_append(&pool->calls_queued, &call->link);
    if (pool__has_thread(pool))
        pthread_cond_broadcast(&pool->call_done);
    else
        pool__poller_wake(pool->pipes);
}

void pool__callback_returned(const struct pool *pool)
{
    if (!pool__is_here(pool) && pool__has_thread(pool) && pool->caller_runs &&
        pthread_equal(pool->caller, pthread_self()))
        _exit(0);
}

static void *caller(void *argument)
{
    struct pool *pool = argument;
    bool destroy;

    pool__lock(pool);
    while (!pool->caller_ends || !pool__list_empty(&pool->calls_queued)) {
        if (pool__list_empty(&pool->calls_queued) || pool->calling) {
            pool__sleep(pool, &pool->call_done, POOL__NEVER);
            continue;
        }
        run_one(pool);
        if (pool->destroy_when_returned && pthread_equal(pool->destroyer, pthread_self()))
            break;
    }
    destroy = pool->destroy_when_returned && pthread_equal(pool->destroyer, pthread_self());
    if (destroy)
        pthread_detach(pthread_self());
    pool__unlock(pool);
    if (destroy)
        pool->destroy(pool);
    return NULL;
}

int pool__callbacks_start(struct pool *pool)
{
    int code;

    if (!pool__has_thread(pool) || pool->caller_runs)
        return 0;
    code = pool__thread_start(&pool->caller, caller, pool);
    pool->caller_runs = code == 0;
    return code;
}

void pool__callbacks_end(struct pool *pool)
{
    bool runs;

    pool__lock(pool);
    runs = pool->caller_runs;
    pool->caller_ends = true;
    pthread_cond_broadcast(&pool->call_done);
    pool__unlock(pool);
    if (runs && !pthread_equal(pool->caller, pthread_self())) {
        pthread_join(pool->caller, NULL);
        return;
    }
    /* the callback thread itself destroys the pool, or there is none */
    pool__lock(pool);
    pool__callbacks_run(pool);
    pool__unlock(pool);
}
