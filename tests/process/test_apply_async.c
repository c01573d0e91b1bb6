/* pool_apply_async(): handing over, the limit of the queue, what refuses. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <pthread.h>

static void the_argument_is_copied(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *futures[50];
    long value;
    for (long i = 0; i < 50; i++) {
        value = i;
        futures[i] = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
        value = -1000;
    }
    for (long i = 0; i < 50; i++) {
        long square = 0;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
}

static void large_arguments_are_copied_too(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    enum { SIZE = 300000 };
    struct pool_future *futures[8];
    unsigned char *bytes = made(malloc(SIZE));
    for (int i = 0; i < 8; i++) {
        memset(bytes, i + 1, SIZE);
        futures[i] = made(pool_apply_async(pool, task_echo, bytes, SIZE, NULL));
    }
    memset(bytes, 0xFF, SIZE);
    for (int i = 0; i < 8; i++) {
        const struct pool_result *result;
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->size, SIZE);
        const unsigned char *got = result->data;
        for (size_t at = 0; at < SIZE; at++)
            if (got[at] != i + 1)
                assert_int_equal(got[at], i + 1);
        assert_int_equal(result->arg_size, SIZE);
        assert_memory_equal(result->arg, got, SIZE);
        pool_future_free(futures[i]);
    }
    free(bytes);
    pool_destroy(pool);
}

static int return_shared(struct pool_task *task)
{
    if (!gate_pass(&ground->gate[0]))
        return 1;
    return pool_return(task, task->shared, task->shared_size);
}

static void shared_is_copied_as_well(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *futures[3];
    for (int i = 0; i < 3; i++) {
        char text[8] = "text .";
        text[5] = (char)('0' + i);
        struct pool_job job = {.shared = text, .shared_size = sizeof text};
        futures[i] = made(pool_apply_async(pool, return_shared, NULL, 0, &job));
        memset(text, 'x', sizeof text);
    }
    gate_open(&ground->gate[0]);
    for (int i = 0; i < 3; i++) {
        char out[8], expected[8] = "text .";
        expected[5] = (char)('0' + i);
        assert_status(pool_future_read(futures[i], POOL_FOREVER, out, sizeof out), POOL_OK);
        assert_string_equal(out, expected);
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
}

static void wrong_calls_make_no_future(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long value = 3;
    enum pool_status one;
    assert_null_errno(pool_apply_async(NULL, task_square, &value, sizeof value, NULL), EINVAL);
    assert_null_errno(pool_apply_async(pool, NULL, &value, sizeof value, NULL), EINVAL);
    assert_null_errno(pool_apply_async(pool, task_square, NULL, sizeof value, NULL), EINVAL);
    struct pool_job statuses = {.statuses = &one};
    assert_null_errno(pool_apply_async(pool, task_square, &value, sizeof value, &statuses), EINVAL);
    struct pool_job going = {.keep_going = true};
    assert_null_errno(pool_apply_async(pool, task_square, &value, sizeof value, &going), EINVAL);
    struct pool_job reserved = {.reserved = {[7] = 1}};
    assert_null_errno(pool_apply_async(pool, task_square, &value, sizeof value, &reserved), EINVAL);
    assert_null(pool_apply_async(pool, task_square, &value, SIZE_MAX, NULL)); /* no such size, or no memory for it */
    assert_true(errno == EINVAL || errno == ENOMEM);
    pool_destroy(pool);
}

static void after_the_end_nothing_is_taken(void **state)
{
    (void)state;
    long value = 3;
    for (int end = 0; end < 3; end++) {
        struct pool *pool = made(pool_create(1, NULL));
        if (end == 0)
            assert_status(pool_close(pool), POOL_OK);
        else if (end == 1)
            pool_stop(pool);
        else
            assert_status(pool_terminate(pool), POOL_OK);
        assert_null_errno(pool_apply_async(pool, task_square, &value, sizeof value, NULL), EPIPE);
        pool_destroy(pool);
    }
}

static size_t fill(struct pool *pool, struct pool_future **futures, size_t room)
{
    struct pool_job job = {.try_submit = true};
    size_t count = 0;
    while (count < room) {
        errno = 0;
        futures[count] = pool_apply_async(pool, task_nothing, NULL, 0, &job);
        if (!futures[count])
            break;
        count++;
    }
    return count;
}

static void at_the_limit_try_submit_refuses(void **state)
{
    (void)state;
    for (size_t limit = 1; limit <= 5; limit += 2) {
        struct pool_options options = {.queue_limit = limit};
        struct pool *pool = made(pool_create(1, &options));
        struct pool_future *busy, *waiting[20];
        occupy(pool, 0, &busy, 1);
        size_t count = fill(pool, waiting, 20);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(count, limit);
        gate_open(&ground->gate[0]);
        release(&busy, 1);
        release(waiting, count);
        struct pool_job job = {.try_submit = true};
        struct pool_future *again = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
        release(&again, 1);
        pool_destroy(pool);
        gate_shut(&ground->gate[0]);
    }
}

static void items_of_maps_do_not_count(void **state)
{
    (void)state;
    struct pool_options options = {.queue_limit = 1};
    struct pool *pool = made(pool_create(1, &options));
    struct pool_future *busy, *map;
    occupy(pool, 0, &busy, 1);
    map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 1000, 0), NULL, 0, NULL));
    struct pool_job job = {.try_submit = true};
    struct pool_future *one = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, &job), EAGAIN);
    gate_open(&ground->gate[0]);
    release(&busy, 1);
    release(&map, 1);
    release(&one, 1);
    pool_destroy(pool);
}

/* Nor do they make room: while the one worker runs an item, as many tasks wait as may, and no more. */
static void the_limit_holds_while_a_map_runs(void **state)
{
    (void)state;
    struct pool_options options = {.queue_limit = 2};
    struct pool *pool = made(pool_create(1, &options));
    struct gated orders[3];
    memset(orders, 0, sizeof orders);
    struct pool_future *map = made(pool_map_async(pool, task_gated, POOL_ARRAY(orders), NULL, 0, NULL)), *waiting[20];
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    size_t count = fill(pool, waiting, 20);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(count, 2);
    gate_open(&ground->gate[0]);
    release(&map, 1);
    release(waiting, count);
    pool_destroy(pool);
}

struct submitter {
    struct pool *pool;
    struct pool_future *future;
    int code;
    enum pool_status applied;
    bool apply;
    atomic_int entered, returned;
};

static void *submit_past_the_limit(void *argument)
{
    struct submitter *submitter = argument;
    atomic_store(&submitter->entered, 1);
    if (submitter->apply) {
        submitter->applied = pool_apply(submitter->pool, task_nothing, NULL, 0, NULL, 0, NULL);
    } else {
        errno = 0;
        submitter->future = pool_apply_async(submitter->pool, task_nothing, NULL, 0, NULL);
        submitter->code = errno;
    }
    atomic_store(&submitter->returned, 1);
    return NULL;
}

static void a_submitter_waits_for_room(void **state)
{
    (void)state;
    for (int apply = 0; apply < 2; apply++) {
        struct pool_options options = {.queue_limit = 2};
        struct pool *pool = made(pool_create(1, &options));
        struct pool_future *busy, *waiting[10];
        occupy(pool, 0, &busy, 1);
        size_t count = fill(pool, waiting, 10);
        struct submitter submitter = {.pool = pool, .apply = apply};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, submit_past_the_limit, &submitter), 0);
        assert_true(counter_wait(&submitter.entered, 1));
        for (int i = 0; i < 30; i++) { /* it has every chance to come back too early */
            pause_briefly();
            assert_int_equal(atomic_load(&submitter.returned), 0);
        }
        gate_open(&ground->gate[0]);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (apply) {
            assert_status(submitter.applied, POOL_OK);
        } else {
            assert_non_null(submitter.future);
            release(&submitter.future, 1);
        }
        release(&busy, 1);
        release(waiting, count);
        pool_destroy(pool);
        gate_shut(&ground->gate[0]);
    }
}

/* One who waits for room wakes when the pool ends, and is refused. */
static void a_submitter_wakes_when_the_pool_ends(void **state)
{
    (void)state;
    for (int end = 0; end < 6; end++) {
        struct pool_options options = {.queue_limit = 1};
        struct pool *pool = made(pool_create(1, &options));
        struct pool_future *busy, *waiting[10];
        occupy(pool, 0, &busy, 1);
        size_t count = fill(pool, waiting, 10);
        struct submitter submitter = {.pool = pool, .apply = end % 2};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, submit_past_the_limit, &submitter), 0);
        assert_true(counter_wait(&submitter.entered, 1));
        for (int i = 0; i < 10; i++)
            pause_briefly();
        if (end / 2 == 0)
            assert_status(pool_terminate(pool), POOL_OK);
        else if (end / 2 == 1)
            assert_status(pool_close(pool), POOL_OK);
        else
            pool_stop(pool);
        if (end / 2 > 0) /* while the worker is still busy: nothing made room */
            assert_true(counter_wait(&submitter.returned, 1));
        gate_open(&ground->gate[0]);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (submitter.apply) {
            enum pool_status other = end / 2 == 0 ? POOL_TERMINATED : end / 2 == 1 ? POOL_CLOSED : POOL_CANCELLED;
            if (submitter.applied != other)
                assert_status(submitter.applied, POOL_CLOSED);
        } else {
            assert_null(submitter.future);
            assert_int_equal(submitter.code, EPIPE);
        }
        release(&busy, 1);
        release(waiting, count);
        pool_destroy(pool);
        gate_shut(&ground->gate[0]);
    }
}

/* Cancelling what waits makes room. */
static void a_cancelled_task_makes_room(void **state)
{
    (void)state;
    struct pool_options options = {.queue_limit = 1};
    struct pool *pool = made(pool_create(1, &options));
    struct pool_future *busy;
    struct pool_job job = {.try_submit = true};
    occupy(pool, 0, &busy, 1);
    struct pool_future *one = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, &job), EAGAIN);
    assert_status(pool_future_cancel(one, false), POOL_OK);
    struct pool_future *other = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    gate_open(&ground->gate[0]);
    release(&busy, 1);
    release(&one, 1);
    release(&other, 1);
    pool_destroy(pool);
}

static void thousands_at_once(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct pool *pool = made(pool_create(3, NULL));
    struct pool_future **futures = made(malloc(COUNT * sizeof *futures));
    for (long i = 0; i < COUNT; i++)
        futures[i] = made(pool_apply_async(pool, task_square, &i, sizeof i, NULL));
    for (long i = COUNT - 1; i >= 0; i--) {
        long square = 0;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
        pool_future_free(futures[i]);
    }
    free(futures);
    pool_destroy(pool);
}

/* Freed at once: each still runs. */
static void fire_and_forget(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int i = 0; i < 300; i++)
        pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, NULL)));
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->started[0]), 300); /* the index of an apply is 0 */
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(the_argument_is_copied),
        PROCESS_TEST(large_arguments_are_copied_too),
        PROCESS_TEST(shared_is_copied_as_well),
        PROCESS_TEST(wrong_calls_make_no_future),
        PROCESS_TEST(after_the_end_nothing_is_taken),
        PROCESS_TEST(at_the_limit_try_submit_refuses),
        PROCESS_TEST(items_of_maps_do_not_count),
        PROCESS_TEST(the_limit_holds_while_a_map_runs),
        PROCESS_TEST(a_submitter_waits_for_room),
        PROCESS_TEST(a_submitter_wakes_when_the_pool_ends),
        PROCESS_TEST(a_cancelled_task_makes_room),
        PROCESS_TEST(thousands_at_once),
        PROCESS_TEST(fire_and_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
