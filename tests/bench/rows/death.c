/* Rows 12 and 13: a worker dies, and another takes its place. */
#include <procpool.h>

#include <signal.h>
#include <unistd.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "floors/floors.h"
#include "tasks.h"
#include "usage.h"

enum { DEATHS = 20, QUICK_DEATHS = 2 };

/* ------------------------------------------------------------------ one death */

static int busy[2]; /* a pipe: a byte comes when the task has begun */

static int task_for_ever(struct pool_task *task)
{
    (void)task;
    write_whole(busy[1], "b", 1);
    while (true)
        pause();
    return 0;
}

struct death {
    double told, replaced; /* milliseconds after the kill */
};

static struct death kill_one(struct pool *pool)
{
    struct pool_future *future = pool_apply_async(pool, task_for_ever, NULL, 0, NULL);
    struct death death;
    double start;
    char byte;
    pid_t pid;

    if (future == NULL || !read_whole(busy[0], &byte, 1) || pool_worker_pids(pool, &pid, 1) != 1)
        give_up("no busy worker: %s", pool_error());
    start = seconds_now();
    kill(pid, SIGKILL);
    if (pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}) != POOL_CRASHED)
        give_up("a killed worker's task did not crash: %s", pool_error());
    death.told = (seconds_now() - start) * 1e3;
    must(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL));
    death.replaced = (seconds_now() - start) * 1e3;
    pool_future_free(future);
    return death;
}

static double told_ms(void *context)
{
    return kill_one(context).told;
}

static double replaced_ms(void *context)
{
    return kill_one(context).replaced;
}

static struct pool *make_pool(void)
{
    struct pool *pool = pool_made(pool_create(1, NULL));

    must(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL));
    return pool;
}

/* Deaths are short: more rounds, with one in each. */
void row_death(struct bench *bench)
{
    struct bench many = *bench;
    struct pool *pool;

    many.rounds = (unsigned)bench_count(bench, bench->rounds * 10, 3);
    pipe_make(busy);
    pool = make_pool();
    contest(&many, "SIGKILL of a busy worker to the outcome", "ms",
            (struct side[]){{"pool", told_ms, pool, false}, {"kill, wait", death_told_ms, NULL, false}}, 2,
            GOAL_AT_MOST(1.5));
    contest(&many, "SIGKILL to the replacement's first answer", "ms",
            (struct side[]){{"pool", replaced_ms, pool, false},
                            {"kill, wait, fork, ask", death_replaced_ms, NULL, false}},
            2, GOAL_AT_MOST(1.5));
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ in a large program */

struct host {
    pid_t pid;
    int ask, answer;
    size_t ballast; /* bytes that it holds, beside its pool */
    size_t deaths;  /* each time it is asked */
};

struct ends {
    const struct host *host;
    int ask[2], answer[2];
};

static void be_host(void *context)
{
    const struct ends *ends = context;
    struct pool *pool = make_pool(); /* before there is much memory, as the header advises */
    volatile char *ballast = memory_make(ends->host->ballast);
    double figures[DEATHS];
    char byte;

    close(ends->ask[1]);
    close(ends->answer[0]);
    while (read_whole(ends->ask[0], &byte, 1)) {
        double figure;
        for (size_t i = 0; i < ends->host->deaths; i++)
            figures[i] = replaced_ms(pool);
        figure = median(figures, ends->host->deaths);
        write_whole(ends->answer[1], &figure, sizeof figure);
    }
    pool_destroy(pool);
    if (ballast[0] != 1)
        give_up("memory has changed");
}

static void start_host(struct host *host)
{
    struct ends ends = {.host = host};

    pipe_make(ends.ask);
    pipe_make(ends.answer);
    host->pid = child_start(be_host, &ends);
    close(ends.ask[0]);
    close(ends.answer[1]);
    host->ask = ends.ask[1];
    host->answer = ends.answer[0];
}

static double host_ms(void *context)
{
    const struct host *host = context;
    double figure;

    write_whole(host->ask, "a", 1);
    if (!read_whole(host->answer, &figure, sizeof figure))
        give_up("a host with %zu bytes has ended", host->ballast);
    return figure;
}

void row_large_host(struct bench *bench)
{
    size_t deaths = bench_count(bench, DEATHS, QUICK_DEATHS), size = bench_count(bench, (size_t)4 << 30, 64 << 20);
    struct host small = {.ballast = 2 << 20, .deaths = deaths}, large = {.ballast = size, .deaths = deaths};

    if (usage_available() < 1.5 * (double)size) {
        report_note(bench->report, "a worker replaced, host of 4 GiB", "not enough memory here");
        return;
    }
    pipe_make(busy);
    start_host(&small);
    start_host(&large);
    contest(bench, "a worker replaced, host of 4 GiB", "ms",
            (struct side[]){{"pool", host_ms, &large, false}, {"host of 2 MiB", host_ms, &small, false}}, 2,
            GOAL_AT_MOST(1.1));
    child_kill(small.pid);
    child_kill(large.pid);
}
