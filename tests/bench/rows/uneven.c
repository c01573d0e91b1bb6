/* Row 8: rows of uneven cost, whatever the chunk. */
#include <procpool.h>

#include <stdio.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "floors/floors.h"
#include "tasks.h"

enum { ROWS = 512, HUMP_FROM = 320, HUMP_TO = 400, HUMP_COST = 1300 };

static size_t unit_of_work; /* turns of the loop below for a row of cost 1 */
static long *results;       /* shared, for the floor */

/* Cheap rows, and a hump of some that cost up to 1,300 times as much: halves by number are most uneven. */
static size_t cost_of(size_t row)
{
    size_t middle = (HUMP_FROM + HUMP_TO) / 2, half = (HUMP_TO - HUMP_FROM) / 2, away;

    if (row < HUMP_FROM || row >= HUMP_TO)
        return 1;
    away = row < middle ? middle - row : row - middle;
    return HUMP_COST - away * (HUMP_COST - 1) / half;
}

static long work(size_t row)
{
    unsigned long state = row + 1;

    for (size_t i = unit_of_work * cost_of(row); i > 0; i--) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    return (long)state;
}

static int task_row(struct pool_task *task)
{
    long result = work(task->index);

    return pool_return(task, &result, sizeof result);
}

static void row_by_hand(size_t row)
{
    results[row] = work(row);
}

struct uneven_side {
    struct pool *pool;
    struct pool_job job;
};

static double uneven_ms(void *context)
{
    const struct uneven_side *side = context;
    long out[ROWS];
    double start = seconds_now(), end;

    must(pool_map(side->pool, task_row, pool_items(NULL, ROWS, 0), out, sizeof out[0], &side->job));
    end = seconds_now();
    for (size_t i = 0; i < ROWS; i += 50)
        if (out[i] != work(i))
            give_up("a row came out wrong");
    return (end - start) * 1e3;
}

void row_uneven(struct bench *bench)
{
    static const size_t chunks[] = {0, 1, 8, 64, ROWS / 2, ROWS};
    struct counter floor = {row_by_hand, ROWS};
    struct pool *pool;

    unit_of_work = bench_count(bench, 2000, 20);
    results = shared_make(ROWS * sizeof results[0]);
    pool = pool_made(pool_create(2, NULL));
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct uneven_side side = {pool, {.chunk = chunks[i]}};
        char what[64];
        if (chunks[i] == 0)
            snprintf(what, sizeof what, "uneven rows, chunk chosen by the pool");
        else
            snprintf(what, sizeof what, "uneven rows, chunk %zu", chunks[i]);
        contest(bench, what, "ms",
                (struct side[]){{"pool", uneven_ms, &side, false}, {"fork, counter", counter_ms, &floor, false}}, 2,
                GOAL_AT_MOST(1.03));
    }
    pool_destroy(pool);
}
