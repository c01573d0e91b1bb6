/* pool_get_stats() and pool_worker_pids(): what the pool says of itself adds up. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <signal.h>
#include <stdio.h>

static struct pool_stats look(struct pool *pool)
{
    struct pool_stats stats;
    memset(&stats, 0x77, sizeof stats);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(stats.reserved[i], 0);
    return stats;
}

static void a_new_pool(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    struct pool_stats stats = look(pool);
    assert_int_equal(stats.workers, 3);
    assert_int_equal(stats.busy, 0);
    assert_int_equal(stats.submitted + stats.finished + stats.failed + stats.crashed + stats.expired + stats.cancelled,
                     0);
    assert_int_equal(stats.retried, 0);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.workers_lost, 0);
    assert_int_equal(stats.run_ns, 0);
    pool_destroy(pool);
}

static void wrong_calls(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_stats stats;
    assert_status(pool_get_stats(NULL, &stats), POOL_INVALID);
    assert_status(pool_get_stats(pool, NULL), POOL_INVALID);
    pid_t pid;
    assert_int_equal(pool_worker_pids(NULL, &pid, 1), 0);
    assert_int_equal(pool_size(NULL), 0);
    pool_destroy(pool);
}

static void outcomes_are_counted(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long values[100], out[100];
    for (long i = 0; i < 100; i++)
        values[i] = i;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], NULL), POOL_OK);
    struct pool_stats stats = look(pool);
    assert_int_equal(stats.submitted, 100);
    assert_int_equal(stats.finished, 100);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.running, 0);
    assert_true(stats.bytes_sent >= 100 * sizeof(long));
    assert_true(stats.bytes_received >= 100 * sizeof(long));
    assert_int_equal(stats.workers_started, 2);

    int code = 3;
    for (int i = 0; i < 4; i++)
        assert_status(pool_apply(pool, task_fail, &code, sizeof code, NULL, 0, NULL), POOL_FAILED);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    struct pool_stats later = look(pool);
    assert_int_equal(later.submitted, 106);
    assert_int_equal(later.failed, 4);
    assert_int_equal(later.crashed, 1);
    assert_int_equal(later.workers_lost, 1);
    assert_int_equal(later.expired, 0);
    assert_int_equal(later.cancelled, 0);
    assert_true(later.run_ns >= stats.run_ns);
    pool_destroy(pool);
}

static void now_counts_what_is_now(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *busy[2], *waiting[5];
    occupy(pool, 0, busy, 2);
    for (int i = 0; i < 5; i++)
        waiting[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    struct pool_stats stats = look(pool);
    assert_int_equal(stats.workers, 2);
    assert_int_equal(stats.busy, 2);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.queued, 5);
    assert_int_equal(stats.submitted, 7);
    assert_status(pool_future_cancel(waiting[4], false), POOL_OK);
    assert_status(pool_future_wait(waiting[4], POOL_FOREVER), POOL_OK);
    stats = look(pool);
    assert_int_equal(stats.queued, 4);
    assert_int_equal(stats.cancelled, 1);
    gate_open(&ground->gate[0]);
    release(busy, 2);
    release(waiting, 5);
    stats = look(pool);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.running, 0);
    pool_destroy(pool);
}

static int take_some_time(struct pool_task *task)
{
    (void)task;
    for (int i = 0; i < 30; i++)
        pause_briefly();
    return 0;
}

static void run_time_adds_up(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    assert_status(pool_map(pool, take_some_time, pool_items(NULL, 4, 0), NULL, 0, NULL), POOL_OK);
    assert_true(look(pool).run_ns >= 4u * 30 * 1000000);
    pool_destroy(pool);
}

static void lost_workers_are_replaced(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    pid_t before[2], after[2];
    struct pool_future *busy[2]; /* so that both have surely started */
    occupy(pool, 0, busy, 2);
    gate_open(&ground->gate[0]);
    release(busy, 2);
    assert_int_equal(pool_worker_pids(pool, before, 2), 2);
    kill(before[0], SIGKILL);
    bool replaced = false;
    for (int steps = 0; steps < GATE_SECONDS * 1000 && !replaced; steps++) {
        pause_briefly();
        replaced = pool_worker_pids(pool, after, 2) == 2 && after[0] != before[0] && after[1] != before[0];
    }
    assert_true(replaced);
    assert_int_equal(look(pool).workers_lost, 1);
    assert_int_equal(look(pool).workers_started, 3);
    assert_true(after[0] == before[1] || after[1] == before[1]);
    pool_destroy(pool);
}

static void resizing_shows(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    assert_status(pool_resize(pool, 5), POOL_OK);
    assert_int_equal(pool_size(pool), 5);
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 50, 0), NULL, 0, NULL), POOL_OK);
    assert_status(pool_resize(pool, 1), POOL_OK);
    assert_int_equal(pool_size(pool), 1);
    for (int steps = 0; steps < GATE_SECONDS * 1000 && look(pool).workers != 1; steps++)
        pause_briefly();
    assert_int_equal(look(pool).workers, 1);
    assert_int_equal(look(pool).workers_lost, 0); /* they went in good order */
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 50, 0), NULL, 0, NULL), POOL_OK);
    assert_int_equal(look(pool).finished, 100);
    pool_destroy(pool);
}

static void after_the_end_the_counts_stay(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 50, 0), NULL, 0, NULL), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    struct pool_stats stats = look(pool);
    assert_int_equal(stats.finished, 50);
    assert_int_equal(stats.workers, 0);
    assert_int_equal(stats.busy, 0);
    pid_t pids[2];
    assert_int_equal(pool_worker_pids(pool, pids, 2), 0);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_new_pool),
        PROCESS_TEST(wrong_calls),
        PROCESS_TEST(outcomes_are_counted),
        PROCESS_TEST(now_counts_what_is_now),
        PROCESS_TEST(run_time_adds_up),
        PROCESS_TEST(lost_workers_are_replaced),
        PROCESS_TEST(resizing_shows),
        PROCESS_TEST(after_the_end_the_counts_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
