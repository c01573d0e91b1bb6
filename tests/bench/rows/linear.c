/* Row 18: time is linear in the number of items and of chunks. */
#include <procpool.h>


#include "bench.h"
#include "contest.h"
#include "tasks.h"

enum { MANY = 10000000, QUICK_MANY = 20000, TIMES = 10, MOST_ROUNDS = 3 };

static double map_ns(void *context)
{
    return 1e3 / map_rate(context);
}

static double async_ns(void *context)
{
    return 1e3 / async_rate(context);
}

static void compare(struct bench *bench, const char *what, double (*measure)(void *context), void *many, void *few)
{
    contest(bench, what, "ns",
            (struct side[]){{"pool", measure, many, false}, {"a tenth of them", measure, few, false}}, 2,
            GOAL_AT_MOST(1.25));
}

void row_linear(struct bench *bench)
{
    struct bench less = *bench; /* a round takes long */
    size_t count = bench_count(bench, MANY, QUICK_MANY);
    struct pool_job single = {.chunk = 1};
    struct pool *pool = pool_made(pool_create(2, NULL));
    struct map_side many = {pool, NULL, numbers_make(count), numbers_make(count), count}, few = many;
    struct async_side many_futures = {pool, NULL, count / 2, 0}, few_futures = {pool, NULL, count / 2 / TIMES, 0};

    if (less.rounds > MOST_ROUNDS)
        less.rounds = MOST_ROUNDS;
    few.count = count / TIMES;
    compare(&less, "an item of a map of 10,000,000", map_ns, &many, &few);
    many.job = few.job = &single;
    compare(&less, "the same with 10,000,000 chunks", map_ns, &many, &few);
    compare(&less, "one of 5,000,000 futures", async_ns, &many_futures, &few_futures);
    pool_destroy(pool);
}
