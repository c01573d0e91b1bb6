/* Maps whose items fail: which status is told, what becomes of the others, keep_going, statuses. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/well.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const size_t chunks[] = {0, 1, 2, 7, 1000};
#define CHUNKS (sizeof chunks / sizeof chunks[0])

#define COUNT 400
static long values[COUNT], out[COUNT];
static enum pool_status statuses[COUNT];

/* Even values everywhere, ready for task_half; `out` and `statuses` are filled with nonsense. */
static void prepare(void)
{
    for (long i = 0; i < COUNT; i++)
        values[i] = 2 * i;
    memset(out, 0xEE, sizeof out);
    memset(statuses, 0x55, sizeof statuses);
    ground_make();
}

static void others_go_on_with_keep_going(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        prepare();
        for (size_t i = 5; i < COUNT; i += 10)
            values[i] = (long)i;
        struct pool_job job = {.chunk = chunks[c], .keep_going = true, .statuses = statuses};
        assert_status(pool_map(pool, task_half, POOL_ARRAY(values), out, sizeof out[0], &job), POOL_FAILED);
        assert_error_has("5 is odd"); /* the lowest */
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(atomic_load(&ground->started[i]), 1);
            if (i % 10 == 5) {
                assert_status(statuses[i], POOL_FAILED);
            } else {
                assert_status(statuses[i], POOL_OK);
                assert_int_equal(out[i], (long)i);
            }
        }
    }
    pool_destroy(pool);
}

static void every_status_says_what_happened(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    for (size_t c = 0; c < CHUNKS; c++)
        for (int bad = 0; bad < COUNT; bad += 133) {
            prepare();
            values[bad] = 7;
            struct pool_job job = {.chunk = chunks[c], .statuses = statuses};
            assert_status(pool_map(pool, task_half, POOL_ARRAY(values), out, sizeof out[0], &job), POOL_FAILED);
            assert_error_has("7 is odd");
            assert_status(statuses[bad], POOL_FAILED);
            for (int i = 0; i < COUNT; i++) {
                /* what is cancelled never ran, and all else ran once */
                assert_int_equal(atomic_load(&ground->started[i]), statuses[i] != POOL_CANCELLED);
                assert_true(i == bad || statuses[i] == POOL_CANCELLED || statuses[i] == POOL_OK);
                if (statuses[i] == POOL_OK)
                    assert_int_equal(out[i], (long)i);
            }
        }
    pool_destroy(pool);
}

static void without_failure_all_are_ok(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    for (size_t c = 0; c < CHUNKS; c++)
        for (int going = 0; going < 2; going++) {
            prepare();
            struct pool_job job = {.chunk = chunks[c], .statuses = statuses, .keep_going = going};
            assert_status(pool_map(pool, task_half, POOL_ARRAY(values), out, sizeof out[0], &job), POOL_OK);
            for (size_t i = 0; i < COUNT; i++)
                assert_status(statuses[i], POOL_OK);
        }
    pool_destroy(pool);
}

/* Item 1 fails while item 0 still runs; then 0 fails too. The lowest is told, not the first in time. */
static int fail_in_turn(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index == 0 && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 99, "the gate was never opened");
    if (task->index == 1 && !gate_wait_arrived(&ground->gate[0], 1))
        return pool_fail(task, 99, "item 0 never came");
    return pool_fail(task, 10 + (int)task->index, "item %zu fails", task->index);
}

static bool wait_failures(struct pool *pool, uint64_t failed)
{
    struct pool_stats stats;
    for (int steps = 0; steps < GATE_SECONDS * 1000; steps++) {
        if (pool_get_stats(pool, &stats) != POOL_OK)
            return false;
        if (stats.failed >= failed)
            return true;
        pause_briefly();
    }
    return false;
}

static void the_lowest_failure_is_told(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int going = 0; going < 2; going++) {
        ground_make();
        struct pool_stats stats;
        assert_status(pool_get_stats(pool, &stats), POOL_OK);
        struct pool_job job = {.chunk = 1, .keep_going = going};
        struct pool_future *map = made(pool_map_async(pool, fail_in_turn, pool_items(NULL, 2, 0), NULL, 0, &job));
        const struct pool_result *result;
        assert_true(wait_failures(pool, stats.failed + 1)); /* of item 1 */
        assert_status(pool_future_wait(map, 0), POOL_TIMEOUT);
        gate_open(&ground->gate[0]);
        assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_FAILED);
        assert_int_equal(result->index, 0);
        assert_int_equal(result->code, 10);
        assert_non_null(strstr(result->message, "item 0 fails"));
        assert_true(result->worker > 0);
        pool_future_free(map);
    }
    pool_destroy(pool);
}

/* The failure is told although a lower item was cancelled for it. */
static int fail_late_in_the_array(struct pool_task *task)
{
    if (task->index == 0) /* holds one worker until the failure has happened */
        return gate_pass(&ground->gate[0]) ? 0 : pool_fail(task, 99, "the gate was never opened");
    if (task->index == 399) {
        gate_open(&ground->gate[0]);
        return pool_fail(task, 5, "the last one fails");
    }
    pause_briefly();
    return 0;
}

static void a_failure_counts_more_than_what_it_cancelled(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(4, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        prepare();
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses};
        struct pool_future *map =
            made(pool_map_async(pool, fail_late_in_the_array, pool_items(NULL, COUNT, 0), NULL, 0, &job));
        const struct pool_result *result;
        assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_FAILED);
        assert_int_equal(result->index, 399);
        assert_int_equal(result->code, 5);
        assert_status(statuses[399], POOL_FAILED);
        assert_status(statuses[0], POOL_OK);
        pool_future_free(map);
    }
    pool_destroy(pool);
}

static int fail_first(struct pool_task *task)
{
    if (task->index == 0)
        return pool_fail(task, 1, "the first");
    atomic_fetch_add(&ground->count[0], 1);
    pause_briefly();
    return 0;
}

static void a_failure_stops_the_map(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        ground_make();
        struct pool_job job = {.chunk = chunks[c]};
        assert_status(pool_map(pool, fail_first, pool_items(NULL, MANY, 0), NULL, 0, &job), POOL_FAILED);
        assert_true(atomic_load(&ground->count[0]) < MANY / 4); /* which alone would take seconds */
    }
    pool_destroy(pool);
}

static int fail_from_fifty_on(struct pool_task *task)
{
    if (task->index >= 50)
        return pool_fail(task, (int)task->index, "item %zu is too much", task->index);
    atomic_fetch_add(&ground->count[0], 1);
    return 0;
}

/* A source without end ends with the first failure; with keep_going one of some length is read to its end. */
static void a_failure_ends_a_generator(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        ground_make();
        struct well endless = well_new(-1, 0), hundred = well_new(100, 0);
        struct pool_job job = {.chunk = chunks[c]};
        assert_status(pool_map(pool, fail_from_fifty_on, well_source(&endless), NULL, 0, &job), POOL_FAILED);
        assert_error_has("is too much");
        assert_in_range(atomic_load(&ground->count[0]), 0, 50);
        job.keep_going = true;
        atomic_store(&ground->count[0], 0);
        assert_status(pool_map(pool, fail_from_fifty_on, well_source(&hundred), NULL, 0, &job), POOL_FAILED);
        assert_error_has("item 50 is too much");
        assert_int_equal(atomic_load(&hundred.drawn), 100);
        assert_int_equal(atomic_load(&ground->count[0]), 50);
    }
    pool_destroy(pool);
}

static int shrink_some(struct pool_task *task)
{
    long value = (long)task->index;
    return pool_return(task, &value, task->index % 50 == 20 ? 3 : sizeof value);
}

static void a_result_of_another_size_is_its_items_failure(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        prepare();
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses, .keep_going = true};
        assert_status(pool_map(pool, shrink_some, pool_items(NULL, COUNT, 0), out, sizeof out[0], &job), POOL_BAD_SIZE);
        for (size_t i = 0; i < COUNT; i++) {
            assert_status(statuses[i], i % 50 == 20 ? POOL_BAD_SIZE : POOL_OK);
            if (i % 50 != 20)
                assert_int_equal(out[i], i);
        }
    }
    /* larger ones as well, and it is told which */
    struct pool_future *map = made(pool_map_async(pool, shrink_some, pool_items(NULL, 40, 0), out, 3, NULL));
    const struct pool_result *result;
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_BAD_SIZE);
    assert_true(result->index != 20);
    pool_future_free(map);
    /* where no result is wanted none is wrong */
    assert_status(pool_map(pool, shrink_some, pool_items(NULL, COUNT, 0), NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

static int end_badly(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index == 50)
        kill(getpid(), SIGKILL);
    if (task->index == 150)
        _exit(9);
    if (task->index == 250)
        return pool_fail(task, 3, "no");
    return pool_return(task, &task->index, sizeof task->index);
}

static void of_a_chunk_only_the_guilty_pay(void **state)
{
    (void)state;
    size_t indexes[COUNT];
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        prepare();
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses, .keep_going = true};
        assert_status(pool_map(pool, end_badly, pool_items(NULL, COUNT, 0), indexes, sizeof indexes[0], &job),
                      POOL_CRASHED);
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(atomic_load(&ground->started[i]), 1);
            assert_status(statuses[i], i == 50    ? POOL_CRASHED
                                       : i == 150 ? POOL_EXITED
                                       : i == 250 ? POOL_FAILED
                                                  : POOL_OK);
            if (statuses[i] == POOL_OK)
                assert_int_equal(indexes[i], i);
        }
    }
    pool_destroy(pool);
}

/* A function that returns non-zero without a word. */
static int fail_silently(struct pool_task *task)
{
    return task->index == 3 ? -44 : 0;
}

static void the_future_names_item_and_code(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_job job = {.keep_going = true};
    struct pool_future *map =
        made(pool_map_async(pool, fail_silently, pool_items(values, 10, sizeof values[0]), NULL, 0, &job));
    const struct pool_result *result;
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_FAILED);
    assert_status(result->status, POOL_FAILED);
    assert_int_equal(result->index, 3);
    assert_int_equal(result->code, -44);
    assert_non_null(result->message);
    assert_false(pool_future_successful(map));
    pool_future_free(map);
    assert_status(pool_map(pool, fail_silently, pool_items(NULL, 10, 0), NULL, 0, NULL), POOL_FAILED);
    assert_error_has("3"); /* it names the item */
    pool_destroy(pool);
}

static void the_pool_is_as_good_as_new(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int round = 0; round < 30; round++) {
        prepare();
        values[round * 13] = 1;
        assert_status(pool_map(pool, task_half, POOL_ARRAY(values), out, sizeof out[0], NULL), POOL_FAILED);
        values[round * 13] = 0;
        assert_status(pool_map(pool, task_half, POOL_ARRAY(values), out, sizeof out[0], NULL), POOL_OK);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(out[i], values[i] / 2);
    }
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(others_go_on_with_keep_going),
        PROCESS_TEST(every_status_says_what_happened),
        PROCESS_TEST(without_failure_all_are_ok),
        PROCESS_TEST(the_lowest_failure_is_told),
        PROCESS_TEST(a_failure_counts_more_than_what_it_cancelled),
        PROCESS_TEST(a_failure_stops_the_map),
        PROCESS_TEST(a_failure_ends_a_generator),
        PROCESS_TEST(a_result_of_another_size_is_its_items_failure),
        PROCESS_TEST(of_a_chunk_only_the_guilty_pay),
        PROCESS_TEST(the_future_names_item_and_code),
        PROCESS_TEST(the_pool_is_as_good_as_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
