#include "api/progress.h"

#include <string.h>

#include "base/clock.h"

#define PAUSE (20 * POOL__MS) /* between two calls */

static void queue(struct pool__progress *progress)
{
    if (!pool__is_linked(&progress->call.link))
        progress->refer(progress, 1);
    pool__callbacks_queue(progress->pool, &progress->call);
}

static void unqueue(struct pool__progress *progress)
{
    if (!pool__is_linked(&progress->call.link))
        return;
    pool__list_remove(&progress->call.link);
    progress->refer(progress, -1);
}

static void call_program(struct pool__call *call)
{
    struct pool__progress *progress = pool__holder(call, struct pool__progress, call);
    struct pool *pool = progress->pool;
    size_t done, total;
    bool over;

    pool__lock(pool);
    done = progress->done;
    total = progress->total;
    over = progress->over;
    pool__unlock(pool);
    if (!over)
        progress->function(progress->user, done, total);
    pool__callback_returned(pool);
    pool__lock(pool);
    progress->refer(progress, -1);
    pool__unlock(pool);
}

void pool__progress_init(struct pool__progress *progress, struct pool *pool,
                         void (*refer)(struct pool__progress *progress, int more), const struct pool_job *options,
                         size_t total)
{
    memset(progress, 0, sizeof *progress);
    progress->call.run = call_program;
    progress->pool = pool;
    progress->refer = refer;
    progress->total = total;
    if (options != NULL) {
        progress->function = options->progress;
        progress->user = options->progress_user;
    }
}

void pool__progress_add(struct pool__progress *progress, size_t done)
{
    uint64_t now;

    progress->done += done;
    if (progress->function == NULL || progress->over || progress->done == progress->total)
        return;
    now = pool__now();
    if (progress->called != 0 && now - progress->called < PAUSE)
        return;
    progress->called = now;
    queue(progress);
}

void pool__progress_queue_last(struct pool__progress *progress)
{
    if (progress->function != NULL && !progress->over)
        queue(progress);
}

bool pool__progress_is_inside(const struct pool__progress *progress)
{
    return pool__in_callback(progress->pool) && progress->pool->current == &progress->call;
}

void pool__progress_end(struct pool__progress *progress, bool last)
{
    struct pool *pool = progress->pool;
    size_t done = progress->done, total = progress->total;

    if (progress->function == NULL || progress->over)
        return;
    progress->over = true;
    unqueue(progress);
    if (pool__in_callback(pool))
        return; /* freed in a callback: a call of its own cannot be running elsewhere */
    while (pool->current == &progress->call)
        pool__sleep(pool, &pool->call_done, POOL__NEVER);
    if (!last)
        return;
    pool__callbacks_take_turn(pool);
    pool__unlock(pool);
    progress->function(progress->user, done, total);
    pool__lock(pool);
    pool__callbacks_end_turn(pool);
}
