/*
 * Calls as they are seldom made: what may be left out is left out, what is not there is refused, and no memory is told as
 * such.
 */
#define _GNU_SOURCE
#include "../unit/fail_next.h"

#include "../support/audit.h"
#include "../support/family.h"
#include "../support/tasks.h"

#include <stdio.h>

static int task_fails_silently(struct pool_task *task)
{
    return pool_fail(task, 3, NULL);
}

static int task_three(struct pool_task *task)
{
    return *(const long *)task->arg == 3;
}

static void options_without_sense(void **state)
{
    (void)state;
    assert_null_errno(pool_create(1, &(struct pool_options){.start_timeout_ms = -1}), EINVAL);
    assert_error_has("start_timeout_ms");
}

static void a_failure_without_words_has_its_status(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    const struct pool_result *result;
    struct pool_future *future;

    assert_status(pool_apply(pool, task_fails_silently, NULL, 0, NULL, 0, NULL), POOL_FAILED);
    assert_true(*pool_error() != '\0');
    future = made(pool_apply_async(pool, task_fails_silently, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->code, 3);
    pool_future_free(future);
    pool_destroy(pool);
}

/* A result of another size than the caller's room is no result; and one that is not asked for is none either. */
static void results_need_not_be_taken(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long value = 6, square = 0;
    int small = 0;

    assert_status(pool_apply(pool, task_square, &value, sizeof value, NULL, 0, NULL), POOL_OK);
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &small, sizeof small, NULL), POOL_BAD_SIZE);
    assert_int_equal(small, 0);
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
    assert_int_equal(square, 36);
    pool_destroy(pool);
}

static void iterators_and_waits_without_places_for_answers(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long items[] = {1, 2, 3};
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, POOL_ARRAY(items), NULL));
    struct pool_future *futures[2] = {NULL, NULL};

    for (int i = 0; i < 3; i++)
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, NULL), POOL_OK);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, NULL), POOL_END);
    pool_iterator_free(iterator);
    for (int i = 0; i < 3; i++)
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    futures[1] = start_gated(pool, 0, 1, NULL);
    assert_status(pool_wait_any(futures, 2, 0, NULL), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    assert_status(pool_wait_any(futures, 2, POOL_FOREVER, NULL), POOL_OK);
    pool_future_free(futures[1]);
    pool_destroy(pool);
}

/* The first failure that is no cancellation is what a map tells, wherever it lies. */
static void maps_with_statuses_and_nothing_else(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long items[] = {0, 1, 2, 3, 4};
    enum pool_status statuses[5];
    struct pool_job job = {.statuses = statuses, .keep_going = true};

    assert_status(pool_map(pool, task_three, POOL_ARRAY(items), NULL, 0, &job), POOL_FAILED);
    assert_error_has("item 3");
    for (int i = 0; i < 5; i++)
        assert_int_equal(statuses[i], i == 3 ? POOL_FAILED : POOL_OK);
    pool_destroy(pool);
}

static int failing_generator(void *context, const void **item, size_t *size)
{
    static long value;
    int *left = context;

    if (--*left < 0)
        return -EIO;
    value = 2;
    *item = &value;
    *size = sizeof value;
    return 1;
}

static void a_generator_that_fails_in_a_map(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    int left = 5;

    assert_status(pool_map(pool, task_square, pool_generate(failing_generator, &left), NULL, 0, NULL), POOL_FAILED);
    pool_close(pool);
    left = 5;
    assert_status(pool_map(pool, task_square, pool_generate(failing_generator, &left), NULL, 0, NULL), POOL_CLOSED);
    assert_int_equal(left, 5);
    pool_destroy(pool);
}

/* ---- no memory: the first allocation of a call, the second ... until there is none that could fail */

static enum pool_status map_once(struct pool *pool)
{
    long items[] = {1, 2, 3}, out[3];

    return pool_map(pool, task_square, POOL_ARRAY(items), out, sizeof out[0], NULL);
}

static enum pool_status imap_once(struct pool *pool)
{
    long items[] = {1, 2, 3};
    struct pool_iterator *iterator = pool_imap(pool, task_square, POOL_ARRAY(items), NULL);
    enum pool_status status;

    if (iterator == NULL)
        return errno == ENOMEM ? POOL_NO_MEMORY : POOL_SYSTEM;
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, NULL)) == POOL_OK)
        continue;
    pool_iterator_free(iterator);
    return status == POOL_END || status == POOL_FAILED ? POOL_OK : status;
}

static void check_no_memory(enum pool_status (*call)(struct pool *pool))
{
    struct pool *pool = made(pool_create(1, &(struct pool_options){.flags = POOL_NO_THREAD}));
    int failures = 0;

    assert_status(call(pool), POOL_OK);
    for (int spared = 0; spared < 100; spared++) {
        enum pool_status status;

        fail_after(CALL_MEMORY, spared, 1, ENOMEM);
        status = call(pool);
        if (fail_no_more(CALL_MEMORY) == 0)
            break;
        failures++;
        assert_true(status == POOL_NO_MEMORY || status == POOL_OK);
    }
    assert_true(failures > 0);
    assert_status(call(pool), POOL_OK);
    pool_destroy(pool);
}

static void no_memory_is_told_as_such(void **state)
{
    (void)state;
    skip_unless_memory_can_fail();
    check_no_memory(map_once);
    check_no_memory(imap_once);
}

/* ---- a pool without threads, asked in the wrong place */

static struct pool *loop_pool;

static void dispatch_inside(void *user, const struct pool_result *result)
{
    enum pool_status *status = user;

    (void)result;
    *status = pool_dispatch(loop_pool);
}

static void dispatch_belongs_to_the_loop(void **state)
{
    (void)state;
    enum pool_status inside = POOL_OK;
    struct pool_job job = {.callback = dispatch_inside, .user = &inside};
    struct pool *threaded = made(pool_create(1, NULL));
    struct pool_future *future;

    assert_status(pool_dispatch(threaded), POOL_OK); /* it has its own thread, and this harms nobody */
    assert_int_equal(pool_fd(threaded), -1);
    assert_int_equal(pool_fd(NULL), -1);
    assert_int_equal(pool_next_timeout(NULL), -1);
    assert_status(pool_dispatch(NULL), POOL_INVALID);
    pool_destroy(threaded);
    loop_pool = made(pool_create(1, &(struct pool_options){.flags = POOL_NO_THREAD}));
    future = made(pool_apply_async(loop_pool, task_nothing, NULL, 0, &job));
    assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_OK);
    assert_status(pool_dispatch(loop_pool), POOL_OK);
    assert_status(inside, POOL_INVALID); /* from its own callback */
    pool_future_free(future);
    pool_destroy(loop_pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(options_without_sense),
        PROCESS_TEST(a_failure_without_words_has_its_status),
        PROCESS_TEST(results_need_not_be_taken),
        PROCESS_TEST(iterators_and_waits_without_places_for_answers),
        PROCESS_TEST(maps_with_statuses_and_nothing_else),
        PROCESS_TEST(a_generator_that_fails_in_a_map),
        PROCESS_TEST(no_memory_is_told_as_such),
        PROCESS_TEST(dispatch_belongs_to_the_loop),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
