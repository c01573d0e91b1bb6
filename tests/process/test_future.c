/* Futures: waiting, looking, getting, cancelling, freeing, one of many and all of many, and living on after the pool.
 */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <limits.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

static void get_tells_all(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    pid_t worker;
    assert_status(pool_apply(pool, task_pid, NULL, 0, &worker, sizeof worker, NULL), POOL_OK);
    long value = 12;
    struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    const struct pool_result *result = NULL, *again = NULL;
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_non_null(result);
    assert_status(result->status, POOL_OK);
    assert_int_equal(result->code, 0);
    assert_int_equal(result->index, 0);
    assert_int_equal(result->size, sizeof value);
    assert_int_equal((uintptr_t)result->data % _Alignof(max_align_t), 0);
    assert_int_equal(*(const long *)result->data, 144);
    assert_string_equal(result->message, "");
    assert_int_equal(result->worker, worker);
    assert_int_equal(result->attempts, 1);
    assert_int_equal(result->arg_size, sizeof value);
    assert_memory_equal(result->arg, &value, sizeof value);
    assert_status(pool_future_get(future, 0, &again), POOL_OK); /* as often as one likes */
    assert_ptr_equal(again, result);
    pool_future_free(future);
    pool_destroy(pool);
}

static void a_failed_task_in_full(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    int code = -7;
    struct pool_future *future = made(pool_apply_async(pool, task_fail, &code, sizeof code, NULL));
    const struct pool_result *result = NULL;
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_status(result->status, POOL_FAILED);
    assert_int_equal(result->code, -7);
    assert_non_null(strstr(result->message, "code -7 it is"));
    assert_error_has("code -7 it is");
    assert_true(result->worker > 0);
    assert_memory_equal(result->arg, &code, sizeof code);
    assert_true(pool_future_ready(future));
    assert_false(pool_future_successful(future));
    assert_status(pool_future_wait(future, 0), POOL_OK); /* it is done, badly */
    int out;
    assert_status(pool_future_read(future, 0, &out, sizeof out), POOL_FAILED);
    pool_future_free(future);
    pool_destroy(pool);
}

static void looking_and_waiting(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = start_gated(pool, 0, 5, NULL);
    const struct pool_result *result = (const struct pool_result *)ground; /* to be overwritten */
    long out = 0;
    assert_false(pool_future_ready(future));
    assert_false(pool_future_successful(future));
    assert_status(pool_future_wait(future, 0), POOL_TIMEOUT);
    assert_status(pool_future_get(future, 0, &result), POOL_TIMEOUT);
    assert_null(result);
    assert_status(pool_future_read(future, 0, &out, sizeof out), POOL_TIMEOUT);
    static const int waits[] = {1, 20, 150};
    for (size_t i = 0; i < 3; i++) {
        int64_t start = time_now_ms();
        assert_status(pool_future_wait(future, waits[i]), POOL_TIMEOUT);
        int64_t took = time_now_ms() - start;
        assert_true(took + 1 >= waits[i]); /* the clock was cut to whole milliseconds twice */
        assert_true(took < waits[i] + 2000 * time_scale());
    }
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_ready(future));
    assert_true(pool_future_successful(future));
    assert_status(pool_future_wait(future, INT_MAX), POOL_OK);
    assert_status(pool_future_read(future, 0, &out, sizeof out), POOL_OK);
    assert_int_equal(out, 5);
    pool_future_free(future);
    pool_destroy(pool);
}

static void other_negative_waits_are_refused(void **state)
{
    (void)state;
    static const int waits[] = {-2, -1000, INT_MIN};
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    for (size_t i = 0; i < 3; i++) {
        const struct pool_result *result = (const struct pool_result *)ground;
        size_t which;
        assert_status(pool_future_wait(future, waits[i]), POOL_INVALID);
        assert_status(pool_future_get(future, waits[i], &result), POOL_INVALID);
        assert_status(pool_future_read(future, waits[i], NULL, 0), POOL_INVALID);
        assert_status(pool_wait_any(&future, 1, waits[i], &which), POOL_INVALID);
        assert_status(pool_wait_all(&future, 1, waits[i]), POOL_INVALID);
    }
    pool_future_free(future);
    pool_destroy(pool);
}

static void read_wants_the_exact_size(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long value = 3, out[2] = {0, 0};
    struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    assert_status(pool_future_read(future, POOL_FOREVER, out, sizeof out), POOL_BAD_SIZE);
    assert_status(pool_future_read(future, POOL_FOREVER, out, 1), POOL_BAD_SIZE);
    assert_status(pool_future_read(future, POOL_FOREVER, NULL, sizeof out), POOL_INVALID);
    assert_status(pool_future_read(future, POOL_FOREVER, out, sizeof value), POOL_OK);
    assert_int_equal(out[0], 9);
    assert_true(pool_future_successful(future)); /* nothing of that was the task's fault */
    pool_future_free(future);
    pool_destroy(pool);
}

static void null_is_refused_and_harmless(void **state)
{
    (void)state;
    const struct pool_result *result = (const struct pool_result *)ground;
    long out;
    assert_status(pool_future_wait(NULL, 0), POOL_INVALID);
    assert_status(pool_future_get(NULL, 0, &result), POOL_INVALID);
    assert_status(pool_future_read(NULL, 0, &out, sizeof out), POOL_INVALID);
    assert_status(pool_future_cancel(NULL, false), POOL_INVALID);
    assert_false(pool_future_ready(NULL));
    assert_false(pool_future_successful(NULL));
    errno = 4321;
    pool_future_free(NULL);
    assert_int_equal(errno, 4321);
}

/* f(g(NULL)): the words of what made the NULL are kept beside the call's own. */
static void a_chain_of_calls_tells_its_first_cause(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_job reserved = {.reserved = {[3] = 1}};
    long out;
    assert_refused(
        pool_future_read(pool_apply_async(pool, task_nothing, NULL, 0, &reserved), POOL_FOREVER, &out, sizeof out),
        "reserved");
    assert_error_has("pool_future_read");
    pool_destroy(pool);
}

static void what_waits_can_be_cancelled(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *busy, *waiting[3];
    occupy(pool, 0, &busy, 1);
    for (size_t i = 0; i < 3; i++)
        waiting[i] = made(pool_apply_async(pool, task_index, NULL, 0, NULL));
    assert_status(pool_future_cancel(waiting[1], false), POOL_OK);
    const struct pool_result *result;
    assert_status(pool_future_get(waiting[1], POOL_FOREVER, &result), POOL_CANCELLED);
    assert_status(result->status, POOL_CANCELLED);
    assert_int_equal(result->worker, 0);
    assert_status(pool_future_cancel(waiting[1], false), POOL_INVALID); /* it is done */
    gate_open(&ground->gate[0]);
    assert_status(pool_wait_all(waiting, 3, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(waiting[0]) && pool_future_successful(waiting[2]));
    assert_false(pool_future_successful(waiting[1]));
    release(waiting, 3);
    release(&busy, 1);
    assert_int_equal(atomic_load(&ground->started[0]), 3); /* the busy one and two of the three */
    pool_destroy(pool);
}

static void what_runs_is_asked_to_stop(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    int gate = 0;
    struct pool_future *future = made(pool_apply_async(pool, task_until_cancelled, &gate, sizeof gate, NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_status(pool_future_cancel(future, false), POOL_INVALID); /* it runs on; no mistake meant */
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_status(pool_future_read(future, 0, NULL, 0), POOL_CANCELLED);
    assert_status(pool_future_cancel(future, false), POOL_INVALID);
    pool_future_free(future);
    long value = 3, square = 0; /* the next task is not asked */
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
    pool_destroy(pool);
}

static int look_whether_cancelled(struct pool_task *task)
{
    bool cancelled = pool_cancelled(task);
    return pool_return(task, &cancelled, sizeof cancelled);
}

static void a_cancel_meets_nobody_else(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    for (int i = 0; i < 200; i++) {
        struct pool_future *one = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
        struct pool_future *other = made(pool_apply_async(pool, look_whether_cancelled, NULL, 0, NULL));
        pool_future_cancel(one, false); /* at any moment of its life */
        bool cancelled = true;
        assert_status(pool_future_read(other, POOL_FOREVER, &cancelled, sizeof cancelled), POOL_OK);
        assert_false(cancelled);
        pool_future_free(one);
        pool_future_free(other);
    }
    pool_destroy(pool);
}

static void one_that_ends_well_all_the_same(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = start_gated(pool, 0, 8, NULL);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_status(pool_future_cancel(future, false), POOL_INVALID);
    gate_open(&ground->gate[0]);
    long out = 0;
    assert_status(pool_future_read(future, POOL_FOREVER, &out, sizeof out), POOL_OK);
    assert_int_equal(out, 8);
    pool_future_free(future);
    pool_destroy(pool);
}

/* POOL_OK of a cancel is a promise: the function never ran. */
static void cancel_and_start_agree(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct pool *pool = made(pool_create(2, NULL));
    int cancelled = 0;
    for (int i = 0; i < COUNT; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
        for (volatile int spin = 0; spin < (i % 50) * 100; spin++)
            ;
        enum pool_status said = pool_future_cancel(future, false);
        assert_true(said == POOL_OK || said == POOL_INVALID);
        assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        assert_status(pool_future_read(future, 0, NULL, 0), said == POOL_OK ? POOL_CANCELLED : POOL_OK);
        cancelled += said == POOL_OK;
        pool_future_free(future);
    }
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->started[0]), COUNT - cancelled);
    pool_destroy(pool);
}

static void the_first_of_many(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    struct pool *pool = made(pool_create(COUNT, NULL));
    struct pool_future *futures[COUNT + 1];
    size_t which = 77;
    for (int i = 0; i < COUNT; i++)
        futures[i + 1] = start_gated(pool, i, i, NULL);
    futures[0] = NULL; /* skipped */
    assert_status(pool_wait_any(futures, COUNT + 1, 0, &which), POOL_TIMEOUT);
    int64_t start = time_now_ms();
    assert_status(pool_wait_any(futures, COUNT + 1, 50, &which), POOL_TIMEOUT);
    assert_true(time_now_ms() - start >= 49);
    for (int i = COUNT - 1; i >= 0; i--) {
        gate_open(&ground->gate[i]);
        assert_status(pool_wait_any(futures, COUNT + 1, POOL_FOREVER, &which), POOL_OK);
        assert_int_equal(which, i + 1);
        assert_true(pool_future_ready(futures[which]));
        pool_future_free(futures[which]);
        futures[which] = NULL;
    }
    assert_status(pool_wait_any(futures, COUNT + 1, POOL_FOREVER, &which), POOL_END);
    assert_status(pool_wait_any(NULL, 0, POOL_FOREVER, &which), POOL_END);
    assert_status(pool_wait_any(NULL, 2, POOL_FOREVER, &which), POOL_INVALID);
    pool_destroy(pool);
}

static void all_of_many(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *futures[COUNT];
    int code = 3;
    futures[0] = start_gated(pool, 0, 0, NULL);
    futures[1] = made(pool_apply_async(pool, task_fail, &code, sizeof code, NULL));
    futures[2] = start_gated(pool, 0, 2, NULL);
    futures[3] = made(pool_map_async(pool, task_nothing, pool_items(NULL, 100, 0), NULL, 0, NULL));
    assert_status(pool_wait_all(futures, COUNT, 0), POOL_TIMEOUT);
    assert_status(pool_wait_all(futures, COUNT, 40), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    assert_status(pool_wait_all(futures, COUNT, POOL_FOREVER), POOL_OK); /* done, well or badly */
    for (int i = 0; i < COUNT; i++)
        assert_true(pool_future_ready(futures[i]));
    assert_status(pool_wait_all(futures, COUNT, 0), POOL_OK);
    assert_status(pool_wait_all(NULL, 0, POOL_FOREVER), POOL_OK);
    assert_status(pool_wait_all(NULL, 2, POOL_FOREVER), POOL_INVALID);
    release(futures, COUNT);
    pool_destroy(pool);
}

static void futures_of_two_pools(void **state)
{
    (void)state;
    struct pool *one = made(pool_create(1, NULL)), *other = made(pool_create(1, NULL));
    struct pool_future *futures[2] = {start_gated(one, 0, 1, NULL), start_gated(other, 1, 2, NULL)};
    size_t which;
    assert_status(pool_wait_any(futures, 2, 0, &which), POOL_INVALID);
    assert_status(pool_wait_all(futures, 2, 20), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    assert_status(pool_wait_all(futures, 2, 20), POOL_TIMEOUT);
    gate_open(&ground->gate[1]);
    assert_status(pool_wait_all(futures, 2, POOL_FOREVER), POOL_OK);
    release(futures, 2);
    pool_destroy(one);
    pool_destroy(other);
}

static void futures_live_longer_than_their_pool(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long value = 11, out = 0;
    int code = 6;
    struct pool_future *good = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    struct pool_future *bad = made(pool_apply_async(pool, task_fail, &code, sizeof code, NULL));
    assert_status(pool_future_wait(good, POOL_FOREVER), POOL_OK);
    assert_status(pool_future_wait(bad, POOL_FOREVER), POOL_OK);
    struct pool_future *busy[2], *waiting;
    occupy(pool, 0, busy, 2);
    waiting = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    pool_destroy(pool);

    const struct pool_result *result;
    assert_status(pool_future_get(good, 0, &result), POOL_OK);
    assert_int_equal(*(const long *)result->data, 121);
    assert_status(pool_future_read(good, POOL_FOREVER, &out, sizeof out), POOL_OK);
    assert_status(pool_future_get(bad, 0, &result), POOL_FAILED);
    assert_non_null(strstr(result->message, "code 6 it is"));
    struct pool_future *unfinished[3] = {busy[0], busy[1], waiting};
    assert_status(pool_wait_all(unfinished, 3, POOL_FOREVER), POOL_OK);
    for (int i = 0; i < 3; i++) {
        size_t which;
        assert_true(pool_future_ready(unfinished[i]));
        assert_status(pool_future_get(unfinished[i], POOL_FOREVER, &result), POOL_TERMINATED);
        assert_status(result->status, POOL_TERMINATED);
        assert_status(pool_future_cancel(unfinished[i], false), POOL_INVALID);
        assert_status(pool_wait_any(&unfinished[i], 1, 0, &which), POOL_OK);
    }
    release(unfinished, 3);
    pool_future_free(good);
    pool_future_free(bad);
}

static void free_keeps_errno(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *done = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    assert_status(pool_future_wait(done, POOL_FOREVER), POOL_OK);
    struct pool_future *unfinished = start_gated(pool, 0, 1, NULL);
    errno = 4321;
    pool_future_free(done);
    assert_int_equal(errno, 4321);
    pool_future_free(unfinished);
    assert_int_equal(errno, 4321);
    gate_open(&ground->gate[0]);
    errno = 4321;
    pool_destroy(pool);
    assert_int_equal(errno, 4321);
    pool_destroy(NULL);
    assert_int_equal(errno, 4321);
}

static void times_are_told(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *first = start_gated(pool, 0, 1, NULL);
    struct pool_future *second = start_gated(pool, 0, 1, NULL);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_status(pool_future_wait(second, 60), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    const struct pool_result *result;
    assert_status(pool_future_get(first, POOL_FOREVER, &result), POOL_OK);
    assert_true(result->run_ns >= 55000000);
    assert_status(pool_future_get(second, POOL_FOREVER, &result), POOL_OK);
    assert_true(result->wait_ns >= 55000000);
    pool_future_free(first);
    pool_future_free(second);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(get_tells_all),
        PROCESS_TEST(a_failed_task_in_full),
        PROCESS_TEST(looking_and_waiting),
        PROCESS_TEST(other_negative_waits_are_refused),
        PROCESS_TEST(read_wants_the_exact_size),
        PROCESS_TEST(null_is_refused_and_harmless),
        PROCESS_TEST(a_chain_of_calls_tells_its_first_cause),
        PROCESS_TEST(what_waits_can_be_cancelled),
        PROCESS_TEST(what_runs_is_asked_to_stop),
        PROCESS_TEST(a_cancel_meets_nobody_else),
        PROCESS_TEST(one_that_ends_well_all_the_same),
        PROCESS_TEST(cancel_and_start_agree),
        PROCESS_TEST(the_first_of_many),
        PROCESS_TEST(all_of_many),
        PROCESS_TEST(futures_of_two_pools),
        PROCESS_TEST(futures_live_longer_than_their_pool),
        PROCESS_TEST(free_keeps_errno),
        PROCESS_TEST(times_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
