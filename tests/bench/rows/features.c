/* Row 19: what a feature costs who uses it. */
#include <procpool.h>

#include <stdatomic.h>

#include "bench.h"
#include "contest.h"
#include "tasks.h"

enum { FUTURES = 200000, QUICK_FUTURES = 1000, ITEMS = 5000000, QUICK_ITEMS = 20000 };

static void count_result(void *user, const struct pool_result *result)
{
    (void)result;
    atomic_fetch_add_explicit((atomic_size_t *)user, 1, memory_order_relaxed);
}

static void count_progress(void *user, size_t done, size_t total)
{
    (void)total;
    atomic_store_explicit((atomic_size_t *)user, done, memory_order_relaxed);
}

static double async_ns(void *context)
{
    return 1e3 / async_rate(context);
}

static double map_ns(void *context)
{
    return 1e3 / map_rate(context);
}

static void compare_futures(struct bench *bench, struct pool *pool, const char *what, const struct pool_job *job)
{
    size_t count = bench_count(bench, FUTURES, QUICK_FUTURES);
    struct async_side with = {pool, job, count, 0}, without = {pool, NULL, count, 0};

    contest(bench, what, "ns",
            (struct side[]){{"pool", async_ns, &with, false}, {"without", async_ns, &without, false}}, 2, GOAL_NONE);
}

static void compare_maps(struct bench *bench, struct map_side plain, const char *what, const struct pool_job *job)
{
    struct map_side with = plain;

    with.job = job;
    contest(bench, what, "ns", (struct side[]){{"pool", map_ns, &with, false}, {"without", map_ns, &plain, false}}, 2,
            GOAL_NONE);
}

void row_features(struct bench *bench)
{
    static atomic_size_t counted;
    size_t items = bench_count(bench, ITEMS, QUICK_ITEMS);
    struct pool *pool = pool_made(pool_create(2, NULL));
    struct map_side map = {pool, NULL, numbers_make(items), numbers_make(items), items};
    enum pool_status *statuses = (enum pool_status *)(void *)numbers_make(items);

    compare_futures(bench, pool, "a future with a deadline", &(struct pool_job){.deadline_ms = 60000});
    compare_futures(bench, pool, "a future with retries", &(struct pool_job){.retries = 3});
    compare_futures(bench, pool, "a future with a callback",
                    &(struct pool_job){.callback = count_result, .user = &counted});
    compare_maps(bench, map, "a map's item with a deadline", &(struct pool_job){.deadline_ms = 60000});
    compare_maps(bench, map, "a map's item with progress",
                 &(struct pool_job){.progress = count_progress, .progress_user = &counted});
    compare_maps(bench, map, "a map's item with statuses", &(struct pool_job){.statuses = statuses});
    compare_maps(bench, map, "a map's item with keep_going", &(struct pool_job){.keep_going = true});
    pool_destroy(pool);
}
