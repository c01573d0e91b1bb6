/*
 * How soon it is told: a worker's death, a cancel that kills, the helper process' death; each many times over, in a pool of many workers.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/scale.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 64, LATEST_MS = 2000 };

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- times */

struct times {
    int64_t *us;
    size_t   count;
};

static int compare_times(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;

    return (a > b) - (a < b);
}

/* Prints them; a machine that is busy otherwise is given ten times what is promised of an idle one. */
static void check_times(struct times *times, const char *what, int64_t promised_ms)
{
    qsort(times->us, times->count, sizeof *times->us, compare_times);
    print_message("    %s, %zu times: %ld us (median), %ld us (99 of 100), %ld us (most)\n", what, times->count,
                  (long)times->us[times->count / 2], (long)times->us[times->count * 99 / 100],
                  (long)times->us[times->count - 1]);
    assert_true(times->us[times->count / 2] < promised_ms * 10000 * time_scale());
    assert_true(times->us[times->count - 1] < (int64_t)LATEST_MS * 1000 * time_scale());
    free(times->us);
}

/* ---- what happens */

/* Tells its pid and stays. */
static int task_stays(struct pool_task *task)
{
    uint32_t place;

    memcpy(&place, task->arg, sizeof place);
    atomic_store(&ground->started[place], (int)getpid());
    for (;;)
        pause();
    return 0;
}

static pid_t pid_at(uint32_t place)
{
    return counter_wait(&ground->started[place], 1) ? (pid_t)atomic_load(&ground->started[place]) : 0;
}

static struct pool_future *start_at(struct pool *pool, uint32_t place)
{
    atomic_store(&ground->started[place], 0);
    return made(pool_apply_async(pool, task_stays, &place, sizeof place, NULL));
}

/* All workers are busy; one after the other is killed, and its place taken by another. */
static void deaths(void **state)
{
    struct times times = {.count = scaled(500)};
    struct pool_future *futures[WORKERS];
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    stress_begin();
    times.us = made(calloc(times.count, sizeof *times.us));
    for (uint32_t i = 0; i < WORKERS; i++)
        futures[i] = start_at(pool, i);
    for (size_t i = 0; i < times.count; i++) {
        uint32_t victim = (uint32_t)(i * 37 % WORKERS);
        pid_t pid = pid_at(victim);
        assert_true(pid > 0);
        int64_t start = now_us();
        kill(pid, SIGKILL);
        assert_status(pool_future_wait(futures[victim], POOL_FOREVER), POOL_OK);
        times.us[i] = now_us() - start;
        assert_status(pool_future_get(futures[victim], 0, NULL), POOL_CRASHED);
        pool_future_free(futures[victim]);
        futures[victim] = start_at(pool, victim);
    }
    pool_destroy(pool);
    release(futures, WORKERS);
    check_times(&times, "deaths", 5);
}

static void cancels_that_kill(void **state)
{
    struct times times = {.count = scaled(500)};
    struct pool *pool = made(pool_create(8, NULL));

    (void)state;
    stress_begin();
    times.us = made(calloc(times.count, sizeof *times.us));
    for (size_t i = 0; i < times.count; i++) {
        struct pool_future *future = start_at(pool, 0);
        pid_t pid = pid_at(0);
        assert_true(pid > 0);
        int64_t start = now_us();
        assert_status(pool_future_cancel(future, true), POOL_OK);
        while (kill(pid, 0) == 0) /* until its number is nobody's: it is dead, and reaped */
            assert_true(now_us() - start < (int64_t)LATEST_MS * 1000 * time_scale());
        times.us[i] = now_us() - start;
        assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_CANCELLED);
        pool_future_free(future);
    }
    pool_destroy(pool);
    check_times(&times, "workers gone after a cancel", 50);
}

/* Until every one of its futures is told, and until no process is left. */
static void deaths_of_the_helper(void **state)
{
    enum { BUSY = 16 };
    struct times told = {.count = scaled(40)}, gone = {.count = scaled(40)};

    (void)state;
    stress_begin();
    told.us = made(calloc(told.count, sizeof *told.us));
    gone.us = made(calloc(gone.count, sizeof *gone.us));
    for (size_t i = 0; i < told.count; i++) {
        struct pool_future *futures[BUSY];
        pid_t pids[BUSY];
        struct pool *pool = made(pool_create(BUSY, NULL));
        for (uint32_t j = 0; j < BUSY; j++)
            futures[j] = start_at(pool, j);
        for (uint32_t j = 0; j < BUSY; j++)
            pids[j] = pid_at(j);
        pid_t helper = family_parent(pids[0]);
        assert_true(helper > 1);
        int64_t start = now_us();
        kill(helper, SIGKILL);
        for (uint32_t j = 0; j < BUSY; j++)
            assert_status(pool_future_get(futures[j], POOL_FOREVER, NULL), POOL_BROKEN);
        told.us[i] = now_us() - start;
        assert_true(family_all_gone(pids, BUSY));
        gone.us[i] = now_us() - start;
        release(futures, BUSY);
        pool_destroy(pool);
    }
    check_times(&told, "deaths of the helper, all told", 100);
    check_times(&gone, "and all workers gone", 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(deaths),
        PROCESS_TEST(cancels_that_kill),
        PROCESS_TEST(deaths_of_the_helper),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
