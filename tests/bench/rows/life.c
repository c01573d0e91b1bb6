/* Row 11: a pool's whole life, with one task on each worker. */
#include <procpool.h>

#include <stdatomic.h>
#include <stdio.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "floors/floors.h"
#include "peers/peers.h"
#include "tasks.h"

/*
 * The tasks meet: none ends before all have begun, so that each is on another worker. The last one to come opens a
 * gate, which is a byte for each in a pipe.
 */
static struct {
    atomic_size_t *here;
    size_t awaited;
    int gate[2];
} meeting;

static void meet(void)
{
    static const char bytes[1000];
    char byte;

    if (atomic_fetch_add(meeting.here, 1) + 1 == meeting.awaited)
        for (size_t left = meeting.awaited; left > 0;) {
            size_t some = left < sizeof bytes ? left : sizeof bytes;
            write_whole(meeting.gate[1], bytes, some);
            left -= some;
        }
    if (!read_whole(meeting.gate[0], &byte, 1))
        give_up("the gate is gone");
}

static int task_meet(struct pool_task *task)
{
    (void)task;
    meet();
    return 0;
}

static void rearm(void)
{
    atomic_store(meeting.here, 0);
}

static double life_ms(void *context)
{
    size_t workers = *(const size_t *)context;
    struct pool_job job = {.chunk = 1};
    double start;
    struct pool *pool;

    rearm();
    start = seconds_now();
    pool = pool_made(pool_create((unsigned)workers, NULL));
    must(pool_map(pool, task_meet, pool_items(NULL, workers, 0), NULL, 0, &job));
    pool_destroy(pool);
    return (seconds_now() - start) * 1e3;
}

static void compare(struct bench *bench, size_t workers)
{
    struct zygote_loop floor = {workers, meet, rearm};
    struct python_side python = {"life", workers, false};
    char what[64];

    meeting.awaited = workers;
    snprintf(what, sizeof what, "create, a task on each of %zu, destroy", workers);
    contest(bench, what, "ms",
            (struct side[]){{"pool", life_ms, &workers, false},
                            {"zygote by hand", zygote_loop_ms, &floor, false},
                            {"Python's Pool", python_figure, &python, true}},
            workers <= 64 && bench->python && python_there() ? 3 : 2, GOAL_AT_MOST(1.3));
}

void row_life(struct bench *bench)
{
    meeting.here = shared_make(sizeof *meeting.here);
    pipe_make(meeting.gate);
    compare(bench, 2);
    compare(bench, 64);
    if (!bench->quick)
        compare(bench, 1000);
}
