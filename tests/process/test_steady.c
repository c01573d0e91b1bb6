/*
 * Where nothing goes wrong nothing is replaced: loads of all shapes, and at the end the same workers as at the start. A
 * worker that ended between items would be missed by nothing else: its items are done, and another takes its seat.
 */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <stdio.h>

enum { WORKERS = 3 };

struct look {
    pid_t pids[WORKERS];
    struct pool_stats stats;
};

static struct look look_at(struct pool *pool)
{
    struct look look;

    assert_int_equal(pool_worker_pids(pool, look.pids, WORKERS), WORKERS);
    assert_status(pool_get_stats(pool, &look.stats), POOL_OK);
    return look;
}

static void check_steady(struct pool *pool, const struct look *before)
{
    struct look after = look_at(pool);

    assert_int_equal(after.stats.workers_started, WORKERS);
    assert_int_equal(after.stats.workers_lost, 0);
    assert_int_equal(after.stats.crashed, 0);
    assert_int_equal(after.stats.retried, 0);
    assert_int_equal(after.stats.submitted, after.stats.finished);
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(after.pids[i], before->pids[i]);
    pool_destroy(pool);
}

/* Every size around the limits of alignment, frames, buffers and staging. */
static void sizes(struct pool *pool)
{
    static const size_t some[] = {0,     1,     15,    16,    17,    4095,  4096,  4097,   16383,  16384, 16385,
                                  61375, 61376, 61440, 61441, 64463, 64464, 64465, 65536,  65537,  131072, 300001};
    static unsigned char in[300001], out[300001];

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        memset(out, 0, sizeof out);
        assert_status(pool_apply(pool, task_echo, in, some[i], out, some[i], NULL), POOL_OK);
        assert_memory_equal(out, in, some[i]);
    }
}

static void mixed(struct pool *pool)
{
    static long items[3000], squares[3000];
    struct pool_future *futures[100];
    const struct pool_result *result;
    char *strings[] = {"a", "", "a longer string than the others"};
    size_t lengths[3] = {0};

    for (long i = 0; i < 3000; i++)
        items[i] = i;
    for (size_t i = 0; i < 100; i++)
        futures[i] = made(pool_apply_async(pool, task_square, &items[i], sizeof items[i], NULL));
    assert_status(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL), POOL_OK);
    for (long i = 0; i < 3000; i++)
        assert_int_equal(squares[i], i * i);
    release(futures, 100);
    assert_status(pool_map(pool, task_size, pool_strings(strings, 3), lengths, sizeof lengths[0], NULL), POOL_OK);
    assert_int_equal(lengths[0] + lengths[1] + lengths[2], 2 + 1 + 32);
    struct pool_iterator *iterator = made(pool_imap_unordered(pool, task_half, POOL_ARRAY(items), NULL));
    while (pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK)
        assert_true(result->status == POOL_OK || result->status == POOL_FAILED);
    pool_iterator_free(iterator);
}

static int task_shared(struct pool_task *task)
{
    const unsigned char *shared = task->shared;

    for (size_t i = 0; i < task->shared_size; i++)
        if (shared[i] != (unsigned char)task->shared_size)
            return pool_fail(task, 1, "byte %zu of %zu", i, task->shared_size);
    return pool_return(task, &task->shared_size, sizeof task->shared_size);
}

/* Several jobs' shared bytes at a time, so that they are dropped out of the middle too. */
static void shared(struct pool *pool)
{
    static unsigned char bytes[5][70000];
    static const size_t sizes_of[5] = {1, 70000, 16, 300, 5000};
    struct pool_future *futures[5];
    long items[40] = {0};
    size_t got[5][40];

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 5; i++) {
            struct pool_job job = {.shared = bytes[i], .shared_size = sizes_of[i], .chunk = 1};

            memset(bytes[i], (unsigned char)sizes_of[i], sizes_of[i]);
            futures[i] = made(pool_map_async(pool, task_shared, POOL_ARRAY(items), got[i], sizeof got[i][0], &job));
        }
        for (size_t i = 0; i < 5; i++) {
            assert_status(pool_future_get(futures[i], POOL_FOREVER, NULL), POOL_OK);
            pool_future_free(futures[i]);
            for (size_t k = 0; k < 40; k++)
                assert_int_equal(got[i][k], sizes_of[i]);
        }
    }
}

static void check(void (*load)(struct pool *pool))
{
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        struct pool *pool = made(pool_create(WORKERS, &(struct pool_options){.flags = flags}));
        struct look before = look_at(pool);

        load(pool);
        load(pool);
        check_steady(pool, &before);
    }
}

static void payloads_of_all_sizes(void **state)
{
    (void)state;
    check(sizes);
}

static void jobs_of_all_kinds(void **state)
{
    (void)state;
    check(mixed);
}

static void shared_bytes_of_several_jobs(void **state)
{
    (void)state;
    check(shared);
}

/* ---- what a failed map tells, and waits for futures of several pools */

static void a_failed_map_has_its_item(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    const struct pool_result *result;
    long items[] = {0, 2, 4, 7, 8};
    struct pool_future *map = made(pool_map_async(pool, task_half, POOL_ARRAY(items), NULL, 0, NULL));

    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->index, 3);
    assert_ptr_equal(result->arg, &items[3]);
    assert_int_equal(result->arg_size, sizeof items[3]);
    pool_future_free(map);
    pool_destroy(pool);
}

static void waits_reach_over_pools(void **state)
{
    (void)state;
    struct pool *pools[2] = {made(pool_create(1, NULL)), made(pool_create(1, NULL))};
    struct pool_future *futures[3] = {NULL, NULL, NULL};

    futures[0] = start_gated(pools[0], 0, 1, NULL);
    futures[2] = start_gated(pools[1], 1, 2, NULL);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(futures[0], POOL_FOREVER), POOL_OK);
    assert_status(pool_wait_all(futures, 3, 20), POOL_TIMEOUT);
    gate_open(&ground->gate[1]);
    assert_status(pool_wait_all(futures, 3, POOL_FOREVER), POOL_OK);
    assert_status(pool_future_wait(futures[2], 0), POOL_OK);
    pool_future_free(futures[0]);
    pool_future_free(futures[2]);
    pool_destroy(pools[0]);
    pool_destroy(pools[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(payloads_of_all_sizes),        PROCESS_TEST(jobs_of_all_kinds),
        PROCESS_TEST(shared_bytes_of_several_jobs), PROCESS_TEST(a_failed_map_has_its_item),
        PROCESS_TEST(waits_reach_over_pools),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
