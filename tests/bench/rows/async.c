/* Rows 4 and 5: a million small tasks, each with an outcome of its own. */
#include <procpool.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "peers/peers.h"
#include "tasks.h"

enum { COUNT = 1000000, QUICK_COUNT = 2000, PYTHON_COUNT = 20000, MOST_SIDES = 6 };

static void sweep_batches(struct bench *bench, struct pool *pool)
{
    for (size_t batch = 1; batch <= COUNT; batch *= 4) {
        size_t count = batch * 1000 < COUNT ? batch * 1000 : COUNT;
        struct async_side side = {pool, NULL, bench_count(bench, count, QUICK_COUNT), batch};
        double figures[3];
        for (int i = 0; i < 3; i++)
            figures[i] = async_rate(&side);
        report_point(bench->report, "pool_apply_async, then read", (double)batch, median(figures, 3));
    }
}

void row_apply_async(struct bench *bench)
{
    size_t count = bench_count(bench, COUNT, QUICK_COUNT), sides = 1;
    struct async_side ours = {pool_made(pool_create(2, NULL)), NULL, count, 0};
    struct side side[MOST_SIDES] = {{"pool", async_rate, &ours, false}};
    struct python_side python = {"async", bench_count(bench, PYTHON_COUNT, 100), true};

    for (size_t i = 0; i < thread_pool_count; i++)
        side[sides++] = (struct side){thread_pools[i].name, thread_pools[i].rate, &count, false};
    if (bench->python && python_there())
        side[sides++] = (struct side){"Python's Pool, pinned", python_figure, &python, true};
    if (sides == 1)
        report_figure(bench->report, "1,000,000 futures, no peer installed", "M/s", async_rate(&ours), GOAL_NONE);
    else
        contest(bench, "1,000,000 pool_apply_async, all read", "M/s", side, sides, GOAL_AT_LEAST(1.0));
    if (bench->sweep)
        sweep_batches(bench, ours.pool);
    pool_destroy(ours.pool);
}

/* ------------------------------------------------------------------ iterators */

void row_imap(struct bench *bench)
{
    size_t count = bench_count(bench, COUNT, QUICK_COUNT);
    struct pool *pool = pool_made(pool_create(2, NULL));
    long *in = numbers_make(count);
    struct async_side futures = {pool, NULL, count, 0};
    struct imap_side ordered = {pool, in, count, pool_imap}, unordered = {pool, in, count, pool_imap_unordered};
    struct python_side python = {"imap", bench_count(bench, 10 * PYTHON_COUNT, 100), true};
    size_t sides = bench->python && python_there() ? 3 : 2;

    contest(bench, "pool_imap, 1,000,000 longs", "M/s",
            (struct side[]){{"pool", imap_rate, &ordered, false},
                            {"row 4", async_rate, &futures, false},
                            {"Python's imap, chunk 64, pinned", python_figure, &python, true}},
            sides, GOAL_AT_LEAST(0.8));
    contest(bench, "pool_imap_unordered, 1,000,000 longs", "M/s",
            (struct side[]){{"pool", imap_rate, &unordered, false}, {"row 4", async_rate, &futures, false}}, 2,
            GOAL_AT_LEAST(0.8));
    pool_destroy(pool);
}
