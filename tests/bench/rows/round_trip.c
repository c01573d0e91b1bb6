/* Rows 1 to 3: one small task at a time. */
#include <procpool.h>

#include <stdlib.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "floors/floors.h"
#include "peers/peers.h"
#include "tasks.h"

enum { COUNT = 20000, QUICK_COUNT = 200, PYTHON_COUNT = 4000, MOST_NEIGHBOURS = 64 };

/* The pool's apply against a ping-pong by hand, in time and, where asked, in processor time. */
static void compare(struct bench *bench, const char *what, double goal, const char *what_cpu, double cpu_goal)
{
    size_t count = bench_count(bench, COUNT, QUICK_COUNT);
    struct pool_side side = {pool_made(pool_create(0, NULL)), count};
    struct ping_pong floor;

    ping_pong_open(&floor, count);
    contest(bench, what, "us",
            (struct side[]){{"pool", apply_us, &side, false}, {"two pipes", ping_pong_us, &floor, false}}, 2,
            GOAL_AT_MOST(goal));
    if (what_cpu != NULL)
        contest(bench, what_cpu, "us",
                (struct side[]){{"pool", apply_cpu_us, &side, false}, {"two pipes", ping_pong_cpu_us, &floor, false}},
                2, cpu_goal > 0 ? GOAL_AT_MOST(cpu_goal) : GOAL_NONE);
    ping_pong_close(&floor);
    pool_destroy(side.pool);
}

static void compare_python(struct bench *bench)
{
    size_t count = bench_count(bench, COUNT, QUICK_COUNT), python_count = bench_count(bench, PYTHON_COUNT, 50);
    struct pool_side side = {pool_made(pool_create(0, NULL)), count};
    struct python_side apart = {"apply", python_count, false}, together = {"apply", python_count, true};

    contest(bench, "pool_apply, 8 bytes", "us",
            (struct side[]){{"pool", apply_us, &side, false},
                            {"Python's Pool, free", python_figure, &apart, true},
                            {"Python's Pool, pinned", python_figure, &together, true}},
            3, GOAL_NONE);
    pool_destroy(side.pool);
}

void row_apply(struct bench *bench)
{
    compare(bench, "pool_apply, 8 bytes", 0.35, "the same, processor time", 0);
    if (bench->python && python_there())
        compare_python(bench);
}

void row_apply_blocking(struct bench *bench)
{
    setenv("PROCPOOL_SPIN", "0", 1);
    compare(bench, "the same without spinning", 1.25, NULL, 0);
    unsetenv("PROCPOOL_SPIN");
    pin_to_one();
    compare(bench, "the same on one processor", 1.25, NULL, 0);
}

void row_apply_crowded(struct bench *bench)
{
    pid_t neighbours[MOST_NEIGHBOURS];
    size_t count = pool_cpu_count() < MOST_NEIGHBOURS ? pool_cpu_count() : MOST_NEIGHBOURS;

    neighbours_start(neighbours, count);
    compare(bench, "the same, each processor busy elsewhere", 1.5, "processor time a task then", 1.0);
    neighbours_end(neighbours, count);
}
