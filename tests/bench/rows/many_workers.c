/* Row 15: one task at a time, with a thousand workers about. */
#include <procpool.h>


#include "bench.h"
#include "contest.h"
#include "floors/floors.h"
#include "tasks.h"

enum { COUNT = 10000, QUICK_COUNT = 100, WORKERS = 1000, QUICK_WORKERS = 20 };

static void sweep_workers(struct bench *bench)
{
    static const size_t numbers[] = {2, 8, 32, 125, 500, 1000};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        size_t workers = bench_count(bench, numbers[i], 2 + i), count = bench_count(bench, COUNT, QUICK_COUNT);
        struct pool_side side = {pool_made(pool_create((unsigned)workers, NULL)), count};
        double ours[3], theirs[3];
        struct epoll_loop floor;
        epoll_loop_open(&floor, workers, count);
        for (int turn = 0; turn < 3; turn++) {
            ours[turn] = apply_us(&side);
            theirs[turn] = epoll_loop_us(&floor);
        }
        report_point(bench->report, "pool_apply", (double)workers, median(ours, 3));
        report_point(bench->report, "epoll by hand", (double)workers, median(theirs, 3));
        epoll_loop_close(&floor);
        pool_destroy(side.pool);
    }
}

void row_many_workers(struct bench *bench)
{
    size_t workers = bench_count(bench, WORKERS, QUICK_WORKERS), count = bench_count(bench, COUNT, QUICK_COUNT);
    struct pool_side side = {pool_made(pool_create((unsigned)workers, NULL)), count};
    struct epoll_loop floor;

    must(pool_map(side.pool, task_nothing, pool_items(NULL, 10 * workers, 0), NULL, 0, NULL)); /* all have started */
    epoll_loop_open(&floor, workers, count);
    contest(bench, "pool_apply with 1,000 workers", "us",
            (struct side[]){{"pool", apply_us, &side, false}, {"epoll by hand", epoll_loop_us, &floor, false}}, 2,
            GOAL_AT_MOST(1.3));
    epoll_loop_close(&floor);
    pool_destroy(side.pool);
    if (bench->sweep)
        sweep_workers(bench);
}
