/*
 * pool_resize(): more workers, fewer workers, in the middle of anything; no item is lost or run twice, and seats stay below the size.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <unistd.h>

/* Wait until that many workers are told of; false: it did not come to that. */
static bool workers_become(struct pool *pool, size_t count)
{
    pid_t pids[128];

    for (int tries = 0; tries < 10000; tries++) {
        if (pool_worker_pids(pool, pids, 128) == count)
            return true;
        pause_briefly();
    }
    return false;
}

/* As many tasks as the pool has workers: all must run at once before any may end. */
static void check_all_run_at_once(struct pool *pool, size_t workers)
{
    struct pool_future *futures[16];

    gate_shut(&ground->gate[0]);
    occupy(pool, 0, futures, workers);
    gate_open(&ground->gate[0]);
    release(futures, workers);
}

static int task_inside(struct pool_task *task)
{
    int seat = pool_worker_index();

    atomic_fetch_add(&ground->started[task->index], 1);
    ground_enter();
    pause_briefly();
    ground_leave();
    return pool_return(task, &seat, sizeof seat);
}

/* No more than `workers` items of a map run at once, each at a seat below `workers`. */
static void check_at_most(struct pool *pool, int workers)
{
    enum { ITEMS = 40 };
    int seats[ITEMS];

    ground_make();
    assert_status(pool_map(pool, task_inside, pool_items(NULL, ITEMS, 0), seats, sizeof seats[0], NULL), POOL_OK);
    for (int i = 0; i < ITEMS; i++) {
        assert_in_range(seats[i], 0, workers - 1);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    assert_in_range(atomic_load(&ground->most), 1, workers);
}

static void grows(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    check_all_run_at_once(pool, 2);
    assert_status(pool_resize(pool, 5), POOL_OK);
    assert_int_equal(pool_size(pool), 5);
    check_all_run_at_once(pool, 5);
    assert_true(workers_become(pool, 5));
    check_at_most(pool, 5);
    pool_destroy(pool);
}

static void shrinks_idle(void **state)
{
    struct pool *pool = made(pool_create(4, NULL));

    (void)state;
    check_all_run_at_once(pool, 4);
    assert_status(pool_resize(pool, 1), POOL_OK);
    assert_int_equal(pool_size(pool), 1);
    assert_true(workers_become(pool, 1));
    check_at_most(pool, 1);
    pool_destroy(pool);
}

/* Those that run when the pool shrinks end their tasks first. */
static void shrinks_busy(void **state)
{
    enum { WORKERS = 4 };
    struct pool_future *futures[WORKERS];
    struct pool_stats stats;
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    occupy(pool, 0, futures, WORKERS);
    assert_status(pool_resize(pool, 1), POOL_OK);
    assert_int_equal(pool_size(pool), 1);
    gate_open(&ground->gate[0]);
    for (int i = 0; i < WORKERS; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
        pool_future_free(futures[i]);
    }
    assert_true(workers_become(pool, 1));
    check_at_most(pool, 1);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.workers, 1);
    assert_int_equal(stats.crashed, 0);
    pool_destroy(pool);
}

/* Workers that grow while a map waits take their part of it at once. */
static void new_workers_help(void **state)
{
    enum { ITEMS = 8 };
    struct gated items[ITEMS];
    struct pool_job job = {.chunk = ITEMS};
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (int i = 0; i < ITEMS; i++)
        items[i] = (struct gated){.gate = 0, .value = i};
    struct pool_future *future = made(pool_map_async(pool, task_gated, POOL_ARRAY(items), NULL, 0, &job));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_status(pool_resize(pool, ITEMS), POOL_OK);
    assert_true(gate_wait_arrived(&ground->gate[0], ITEMS));
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(future));
    pool_future_free(future);
    pool_destroy(pool);
}

/* All but one worker go; what had been sent to them and not started is run by the one that stays. */
static void unstarted_items_move(void **state)
{
    enum { WORKERS = 4, ITEMS = 200 };
    size_t out[ITEMS];
    struct pool_future *busy[WORKERS];
    struct pool_job job = {.chunk = 50};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    occupy(pool, 0, busy, WORKERS);
    struct pool_future *future =
        made(pool_map_async(pool, task_index, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job));
    assert_status(pool_resize(pool, 1), POOL_OK);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(future));
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(out[i], i);
        assert_int_equal(atomic_load(&ground->started[i]),
                         i == 0 ? 1 + WORKERS : 1); /* the four count at index 0 too */
    }
    pool_future_free(future);
    release(busy, WORKERS);
    pool_destroy(pool);
}

struct resizing {
    struct pool *pool;
    atomic_bool  stop;
    unsigned     failures;
};

static void *resize_at_random(void *argument)
{
    struct resizing *resizing = argument;
    unsigned number = 12345;

    while (!atomic_load(&resizing->stop)) {
        number = number * 1103515245u + 12345u;
        if (pool_resize(resizing->pool, 1 + (number >> 16) % 6) != POOL_OK)
            resizing->failures++;
        pause_briefly();
    }
    return NULL;
}

static void while_maps_run(void **state)
{
    enum { ITEMS = 300 };
    static size_t out[ITEMS];
    static const size_t chunks[] = {0, 1, 40, 300};
    struct pool_stats stats;
    struct resizing resizing = {.pool = made(pool_create(3, NULL))};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, resize_at_random, &resizing), 0);
    for (size_t round = 0; round < 20; round++) {
        struct pool_job job = {.chunk = chunks[round % 4]};
        ground_make();
        assert_status(pool_map(resizing.pool, task_index, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job),
                      POOL_OK);
        for (size_t i = 0; i < ITEMS; i++) {
            assert_int_equal(out[i], i);
            assert_int_equal(atomic_load(&ground->started[i]), 1);
        }
    }
    atomic_store(&resizing.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(resizing.failures, 0);
    assert_status(pool_get_stats(resizing.pool, &stats), POOL_OK);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.finished, 20 * ITEMS);
    assert_status(pool_resize(resizing.pool, 2), POOL_OK);
    assert_true(workers_become(resizing.pool, 2));
    check_at_most(resizing.pool, 2);
    pool_destroy(resizing.pool);
}

static void sizes(void **state)
{
    struct pool_options options = {.max_workers = 3};
    struct pool *pool = made(pool_create(2, &options));

    (void)state;
    assert_status(pool_resize(pool, 3), POOL_OK);
    assert_status(pool_resize(pool, 4), POOL_INVALID);
    assert_string_not_equal(pool_error(), "");
    assert_int_equal(pool_size(pool), 3);
    assert_status(pool_resize(pool, 3), POOL_OK);
    pool_destroy(pool);

    options.max_workers = pool_cpu_count() + 1;
    pool = made(pool_create(1, &options));
    assert_status(pool_resize(pool, 0), POOL_OK);
    assert_int_equal(pool_size(pool), pool_cpu_count());
    pool_destroy(pool);
}

/* Where max_workers is not given it is 64, and with more than 16 workers four times their number. */
static void largest_size_by_default(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    assert_status(pool_resize(pool, 65), POOL_INVALID);
    assert_int_equal(pool_size(pool), 1);
    assert_status(pool_resize(pool, 64), POOL_OK);
    assert_true(workers_become(pool, 64));
    assert_status(pool_resize(pool, 2), POOL_OK);
    assert_true(workers_become(pool, 2));
    check_at_most(pool, 2);
    pool_destroy(pool);

    pool = made(pool_create(17, NULL));
    assert_status(pool_resize(pool, 69), POOL_INVALID);
    assert_status(pool_resize(pool, 68), POOL_OK);
    assert_int_equal(pool_size(pool), 68);
    pool_destroy(pool);
}

/* A pool that is closed while it shrinks and grows ends as any other. */
static void then_close(void **state)
{
    enum { ITEMS = 100 };
    size_t out[ITEMS];

    (void)state;
    for (unsigned size = 1; size <= 4; size++) {
        struct pool *pool = made(pool_create(2, NULL));
        ground_make();
        struct pool_future *future =
            made(pool_map_async(pool, task_index, pool_items(NULL, ITEMS, 0), out, sizeof out[0], NULL));
        assert_status(pool_resize(pool, size), POOL_OK);
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        assert_true(pool_future_successful(future));
        for (size_t i = 0; i < ITEMS; i++)
            assert_int_equal(out[i], i);
        pool_future_free(future);
        pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(grows),
        PROCESS_TEST(shrinks_idle),
        PROCESS_TEST(shrinks_busy),
        PROCESS_TEST(new_workers_help),
        PROCESS_TEST(unstarted_items_move),
        PROCESS_TEST(while_maps_run),
        PROCESS_TEST(sizes),
        PROCESS_TEST(largest_size_by_default),
        PROCESS_TEST(then_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
