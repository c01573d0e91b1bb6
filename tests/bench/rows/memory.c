/* Rows 14 and 16: what waiting tasks and idle workers cost. */
#include <procpool.h>

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "tasks.h"
#include "usage.h"

enum { WAITING = 10000000, QUICK_WAITING = 10000, IDLE = 64, QUICK_IDLE = 4, ROOM_FOR_ONE = 800, PAYLOAD = 8 };

/* ------------------------------------------------------------------ waiting tasks */

static int gate[2];

static int task_wait(struct pool_task *task)
{
    char byte;

    (void)task;
    return read_whole(gate[0], &byte, 1) ? 0 : 1;
}

/* Their number is cut where memory would not do for tasks as large as ROOM_FOR_ONE. */
static void measure_waiting(struct bench *bench)
{
    size_t count = bench_count(bench, WAITING, QUICK_WAITING), most = (size_t)(usage_available() / 2 / ROOM_FOR_ONE);
    struct pool *pool = pool_made(pool_create(1, NULL));
    struct pool_future **futures, *first;
    double before, start, submitted;
    long payload = 1;

    if (count > most)
        count = most;
    futures = memory_make(count * sizeof futures[0]);
    first = pool_apply_async(pool, task_wait, NULL, 0, NULL);
    before = usage_resident();
    start = seconds_now();
    for (size_t i = 0; i < count; i++) {
        futures[i] = pool_apply_async(pool, task_nothing, &payload, PAYLOAD, NULL);
        if (first == NULL || futures[i] == NULL)
            give_up("pool_apply_async: %s", pool_error());
    }
    submitted = seconds_now();
    report_figure(bench->report, "memory for each of 10,000,000 waiting", "bytes",
                  (usage_resident() - before) / (double)count, GOAL_AT_MOST(128 + PAYLOAD));
    report_figure(bench->report, "submitting one of them", "ns", (submitted - start) * 1e9 / (double)count, GOAL_NONE);
    write_whole(gate[1], "g", 1);
    pool_future_free(first);
    for (size_t i = 0; i < count; i++) {
        const struct pool_result *result;
        must(pool_future_get(futures[i], POOL_FOREVER, &result));
        pool_future_free(futures[i]);
    }
    report_figure(bench->report, "running, reading and freeing one", "ns",
                  (seconds_now() - submitted) * 1e9 / (double)count, GOAL_NONE);
    free(futures);
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ idle workers */

static struct pool *pool_after_work(size_t workers)
{
    struct pool *pool = pool_made(pool_create((unsigned)workers, NULL));

    for (int i = 0; i < 3; i++)
        must(pool_map(pool, task_nothing, pool_items(NULL, workers * 10, 0), NULL, 0, NULL));
    return pool;
}

static void measure_idle_memory(struct bench *bench)
{
    size_t workers = bench_count(bench, IDLE, QUICK_IDLE);
    struct pool *pool = pool_after_work(workers);
    pid_t pids[IDLE];
    double sum = 0;

    if (pool_worker_pids(pool, pids, workers) != workers)
        give_up("not all workers are there");
    for (size_t i = 0; i < workers; i++)
        sum += usage_private(pids[i]);
    report_figure(bench->report, "private memory of an idle worker", "KiB", sum / (double)workers / 1024,
                  GOAL_AT_MOST(64));
    report_figure(bench->report, "private memory of the zygote", "KiB", usage_private(usage_parent(pids[0])) / 1024,
                  GOAL_NONE);
    pool_destroy(pool);
}

void row_memory(struct bench *bench)
{
    pipe_make(gate);
    measure_waiting(bench);
    measure_idle_memory(bench);
}

static struct usage_threads usage_of_all(const pid_t *pids, size_t count)
{
    struct usage_threads sum = usage_threads(getpid());

    for (size_t i = 0; i < count; i++) {
        struct usage_threads one = usage_threads(pids[i]);
        sum.switches += one.switches;
        sum.cpu_ns += one.cpu_ns;
    }
    return sum;
}

void row_idle(struct bench *bench)
{
    size_t workers = bench_count(bench, IDLE, QUICK_IDLE);
    struct timespec pause = {bench->quick ? 0 : 1, bench->quick ? 50000000 : 0};
    struct pool *pool = pool_after_work(workers);
    struct usage_threads before, after;
    pid_t pids[IDLE + 1];

    if (pool_worker_pids(pool, pids, workers) != workers)
        give_up("not all workers are there");
    pids[workers] = usage_parent(pids[0]);
    nanosleep(&pause, NULL);
    before = usage_of_all(pids, workers + 1);
    nanosleep(&pause, NULL);
    after = usage_of_all(pids, workers + 1);
    report_figure(bench->report, "64 workers, the 2nd second after work", "wake-ups", after.switches - before.switches,
                  GOAL_AT_MOST(0));
    report_figure(bench->report, "processor time in that second", "us", (after.cpu_ns - before.cpu_ns) / 1e3,
                  GOAL_AT_MOST(0));
    pool_destroy(pool);
}
