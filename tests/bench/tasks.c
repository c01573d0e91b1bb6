#include "tasks.h"

#include <stdlib.h>

#include "child.h"
#include "contest.h"
#include "usage.h"

int task_nothing(struct pool_task *task)
{
    (void)task;
    return 0;
}

long square(long value)
{
    return value * value;
}

POOL_FUNCTION(square_once, long, long, square)

int task_square(struct pool_task *task)
{
    return square_once(task);
}

int task_echo(struct pool_task *task)
{
    return pool_return(task, task->arg, task->size);
}

struct pool *pool_made(struct pool *pool)
{
    if (pool == NULL)
        give_up("no pool: %s", pool_error());
    return pool;
}

void must(enum pool_status status)
{
    if (status != POOL_OK)
        give_up("%s: %s", pool_status_name(status), pool_error());
}

long *numbers_make(size_t count)
{
    long *numbers = memory_make(count * sizeof numbers[0]);

    for (size_t i = 0; i < count; i++)
        numbers[i] = (long)i;
    return numbers;
}

/* ------------------------------------------------------------------ one at a time */

static void apply_all(const struct pool_side *side)
{
    for (size_t i = 0; i < side->count; i++) {
        long value = (long)(i % 1000), result;
        must(pool_apply(side->pool, task_square, &value, sizeof value, &result, sizeof result, NULL));
        if (result != value * value)
            give_up("pool_apply gave a wrong answer");
    }
}

double apply_us(void *context)
{
    const struct pool_side *side = context;
    double start = seconds_now();

    apply_all(side);
    return (seconds_now() - start) * 1e6 / (double)side->count;
}

double apply_cpu_us(void *context)
{
    enum { MOST = 64 };
    const struct pool_side *side = context;
    pid_t pids[MOST];
    size_t workers = pool_worker_pids(side->pool, pids, MOST);
    double start = usage_cpu_seconds(pids, workers);

    apply_all(side);
    return (usage_cpu_seconds(pids, workers) - start) * 1e6 / (double)side->count;
}

/* ------------------------------------------------------------------ futures */

static void submit_and_read(const struct async_side *side, struct pool_future **futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        futures[i] = pool_apply_async(side->pool, task_nothing, NULL, 0, side->job);
        if (futures[i] == NULL)
            give_up("pool_apply_async: %s", pool_error());
    }
    for (size_t i = 0; i < count; i++) {
        const struct pool_result *result;
        must(pool_future_get(futures[i], POOL_FOREVER, &result));
        pool_future_free(futures[i]);
    }
}

double async_rate(void *context)
{
    const struct async_side *side = context;
    size_t batch = side->batch > 0 && side->batch < side->count ? side->batch : side->count;
    struct pool_future **futures = memory_make(batch * sizeof futures[0]);
    double start = seconds_now(), end;

    for (size_t done = 0; done < side->count; done += batch)
        submit_and_read(side, futures, side->count - done < batch ? side->count - done : batch);
    end = seconds_now();
    free(futures);
    return (double)side->count / (end - start) / 1e6;
}

/* ------------------------------------------------------------------ iterators */

double imap_rate(void *context)
{
    const struct imap_side *side = context;
    double start = seconds_now(), end;
    struct pool_iterator *iterator =
        side->start(side->pool, task_square, pool_items(side->in, side->count, sizeof side->in[0]), NULL);
    const struct pool_result *result;
    size_t read = 0;

    if (iterator == NULL)
        give_up("no iterator: %s", pool_error());
    while (pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK)
        if (result->status == POOL_OK && result->size == sizeof(long))
            read++;
    end = seconds_now();
    pool_iterator_free(iterator);
    if (read != side->count)
        give_up("an iterator gave %zu of %zu results", read, side->count);
    return (double)side->count / (end - start) / 1e6;
}

/* ------------------------------------------------------------------ maps */

double map_rate(void *context)
{
    const struct map_side *side = context;
    double start = seconds_now(), end;

    must(pool_map(side->pool, task_square, pool_items(side->in, side->count, sizeof side->in[0]), side->out,
                  sizeof side->out[0], side->job));
    end = seconds_now();
    for (size_t i = 0; i < side->count; i += 1 + side->count / 1000)
        if (side->out[i] != side->in[i] * side->in[i])
            give_up("pool_map gave a wrong answer");
    return (double)side->count / (end - start) / 1e6;
}
