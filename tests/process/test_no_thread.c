/* POOL_NO_THREAD: no thread in the host, all goes on in pool_dispatch() and in waits, driven by the program's own
 * poll(). */
#include "../support/audit.h"
#include "../support/system.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

static int threads_before;

static struct pool *open_quiet(unsigned workers, struct pool_options *options)
{
    struct pool_options quiet = {.flags = POOL_NO_THREAD};
    if (options)
        options->flags = POOL_NO_THREAD;
    threads_before = audit_threads();
    return made(pool_create(workers, options ? options : &quiet));
}

static void expect_no_thread(void)
{
    assert_int_equal(audit_threads(), threads_before);
}

static bool readable(struct pool *pool, int timeout_ms)
{
    struct pollfd entry = {.fd = pool_fd(pool), .events = POLLIN};
    int count = poll(&entry, 1, timeout_ms);
    assert_true(count == 0 || entry.revents == POLLIN);
    return count == 1;
}

/* One turn of an event loop, with a limit instead of for ever; true: pool_dispatch() was called. */
static bool turn(struct pool *pool)
{
    int timeout = pool_next_timeout(pool);
    assert_true(timeout >= -1);
    int limit = timeout < 0 || timeout > 1000 ? 1000 : timeout;
    bool ready = readable(pool, limit);
    if (!ready && timeout != limit)
        return false;
    assert_status(pool_dispatch(pool), POOL_OK);
    return true;
}

static void drive_until(struct pool *pool, struct pool_future *future)
{
    int64_t end = time_now_ms() + 10000 * time_scale();
    while (!pool_future_ready(future)) {
        assert_true(time_now_ms() < end);
        turn(pool);
        expect_no_thread();
    }
}

/* Dispatch until there is nothing to do and nothing to wait for. */
static void settle(struct pool *pool)
{
    int64_t end = time_now_ms() + 10000 * time_scale();
    while (pool_next_timeout(pool) != IDLE_TIMEOUT || readable(pool, 20)) {
        assert_true(time_now_ms() < end);
        turn(pool);
    }
}

static void an_event_loop_runs_tasks(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(2, NULL);
    assert_true(pool_fd(pool) >= 0);
    enum { COUNT = 200 };
    struct pool_future *futures[COUNT];
    for (long i = 0; i < COUNT; i++)
        futures[i] = made(pool_apply_async(pool, task_square, &i, sizeof i, NULL));
    for (long i = 0; i < COUNT; i++) {
        long square = 0;
        drive_until(pool, futures[i]);
        assert_status(pool_future_read(futures[i], 0, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
        pool_future_free(futures[i]);
    }
    expect_no_thread();
    pool_destroy(pool);
}

static void looking_moves_nothing(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(1, NULL);
    for (int round = 0; round < 20; round++) {
        long value = round;
        struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
        for (int turns = 0; !pool_future_ready(future); turns++) {
            assert_true(turns < 100);
            bool ready = readable(pool, 2000);
            assert_false(pool_future_ready(future)); /* even where the result has come */
            assert_false(pool_future_successful(future));
            if (ready)
                assert_true(readable(pool, 0)); /* level-triggered: still so until it is dispatched */
            assert_status(pool_dispatch(pool), POOL_OK);
        }
        assert_true(pool_future_successful(future));
        pool_future_free(future);
    }
    pool_destroy(pool);
}

static void an_idle_pool_is_quiet(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(2, NULL);
    settle(pool);
    assert_int_equal(pool_next_timeout(pool), IDLE_TIMEOUT);
    assert_false(readable(pool, 100));
    assert_status(pool_dispatch(pool), POOL_OK); /* with nothing to do it does nothing */
    struct pool_future *future = start_gated(pool, 0, 1, NULL);
    for (int steps = 0; steps < 10000 && atomic_load(&ground->gate[0].arrived) == 0; steps++) {
        assert_status(pool_dispatch(pool), POOL_OK);
        pause_briefly();
    }
    int64_t start = time_now_ms();
    for (int i = 0; i < 1000; i++)
        assert_status(pool_dispatch(pool), POOL_OK); /* never blocks, though a task runs */
    assert_true(time_now_ms() - start < 5000 * time_scale());
    gate_open(&ground->gate[0]);
    drive_until(pool, future);
    pool_future_free(future);
    settle(pool);
    assert_false(readable(pool, 50));
    pool_destroy(pool);
}

static void waits_drive_the_pool(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(2, NULL);
    long value = 5, square = 0, values[500], out[500];
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
    assert_int_equal(square, 25);
    for (long i = 0; i < 500; i++)
        values[i] = i;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], NULL), POOL_OK);
    for (long i = 0; i < 500; i++)
        assert_int_equal(out[i], i * i);
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, POOL_ARRAY(values), NULL));
    const struct pool_result *result;
    for (size_t i = 0; i < 500; i++) {
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, i);
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    struct pool_future *futures[20];
    for (int i = 0; i < 20; i++)
        futures[i] = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    size_t which;
    assert_status(pool_wait_any(futures, 20, POOL_FOREVER, &which), POOL_OK);
    assert_true(pool_future_ready(futures[which]));
    assert_status(pool_wait_all(futures, 20, POOL_FOREVER), POOL_OK);
    release(futures, 20);
    expect_no_thread();
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    expect_no_thread();
    pool_destroy(pool);
}

static void a_wait_of_nothing_moves_results(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(1, NULL);
    long value = 5, square = 0;
    struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    enum pool_status status = POOL_TIMEOUT;
    for (int steps = 0; steps < 10000 && (status = pool_future_wait(future, 0)) == POOL_TIMEOUT; steps++)
        pause_briefly();
    assert_status(status, POOL_OK);
    assert_status(pool_future_read(future, 0, &square, sizeof square), POOL_OK);
    assert_int_equal(square, 25);
    pool_future_free(future);
    pool_destroy(pool);
}

static void timed_waits_end_in_time(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(1, NULL);
    struct pool_future *future = start_gated(pool, 0, 1, NULL);
    int64_t start = time_now_ms();
    assert_status(pool_future_wait(future, 80), POOL_TIMEOUT);
    assert_true(time_now_ms() - start >= 79);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    pool_future_free(future);
    pool_destroy(pool);
}

/* Set around the calls in which a callback may come. */
static bool allowed;
static int calls, out_of_place, on_another_thread;
static pthread_t host_thread;

static void note(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
    calls++;
    out_of_place += !allowed;
    on_another_thread += !pthread_equal(pthread_self(), host_thread);
}

static void callbacks_come_in_dispatch_and_waits_only(void **state)
{
    (void)state;
    host_thread = pthread_self();
    calls = out_of_place = on_another_thread = 0;
    allowed = false;
    struct pool *pool = open_quiet(1, NULL);
    struct pool_job job = {.callback = note};
    struct pool_future *first = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    struct pool_future *second = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    for (int steps = 0; steps < 10000 && calls == 0; steps++) {
        readable(pool, 100);
        pool_future_ready(first);
        struct pool_stats stats;
        assert_status(pool_get_stats(pool, &stats), POOL_OK);
        allowed = true;
        assert_status(pool_dispatch(pool), POOL_OK);
        allowed = false;
    }
    allowed = true;
    assert_status(pool_future_wait(second, POOL_FOREVER), POOL_OK);
    assert_status(pool_dispatch(pool), POOL_OK);
    allowed = false;
    assert_int_equal(calls, 2);

    /* a cancel makes a future done, and its callback waits for the next dispatch, which pool_fd() announces */
    struct pool_future *busy = start_gated(pool, 0, 1, NULL), *third;
    third = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    assert_status(pool_future_cancel(third, false), POOL_OK);
    assert_int_equal(calls, 2);
    assert_true(readable(pool, 5000) || pool_next_timeout(pool) == 0);
    allowed = true;
    for (int steps = 0; steps < 10000 && calls == 2; steps++)
        assert_status(pool_dispatch(pool), POOL_OK);
    allowed = false;
    assert_int_equal(calls, 3);
    struct pool_future *map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 100, 0), NULL, 0, &job));
    pool_future_free(map);
    pool_future_free(third);
    assert_int_equal(calls, 3); /* none in a free */
    gate_open(&ground->gate[0]);
    allowed = true;
    release(&busy, 1);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(calls, 4);
    assert_int_equal(out_of_place, 0);
    assert_int_equal(on_another_thread, 0);
    release(&first, 1);
    release(&second, 1);
    expect_no_thread();
    pool_destroy(pool);
}

static void a_full_queue_always_refuses(void **state)
{
    (void)state;
    struct pool_options options = {.queue_limit = 2};
    struct pool *pool = open_quiet(1, &options);
    struct pool_future *futures[20];
    int count = 0;
    while (count < 20) { /* without try_submit */
        errno = 0;
        futures[count] = pool_apply_async(pool, task_nothing, NULL, 0, NULL);
        if (!futures[count])
            break;
        count++;
    }
    assert_int_equal(errno, EAGAIN);
    assert_in_range(count, 2, 4); /* one or two may have begun */
    release(futures, (size_t)count);
    struct pool_future *again = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    release(&again, 1);
    pool_destroy(pool);
}

static void crashes_are_seen_by_the_loop(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(2, NULL);
    for (int i = 0; i < 5; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_killed, NULL, 0, NULL));
        drive_until(pool, future);
        assert_status(pool_future_read(future, 0, NULL, 0), POOL_CRASHED);
        pool_future_free(future);
    }
    long value = 6, square = 0;
    struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    drive_until(pool, future);
    assert_status(pool_future_read(future, 0, &square, sizeof square), POOL_OK);
    assert_int_equal(square, 36);
    pool_future_free(future);
    pool_destroy(pool);
}

static void a_map_by_an_event_loop(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(2, NULL);
    static long values[5000], out[5000];
    for (long i = 0; i < 5000; i++)
        values[i] = i;
    struct pool_future *map = made(pool_map_async(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], NULL));
    drive_until(pool, map);
    assert_true(pool_future_successful(map));
    for (long i = 0; i < 5000; i++)
        assert_int_equal(out[i], i * i);
    pool_future_free(map);
    pool_destroy(pool);
}

static void destroyed_with_work_unfinished(void **state)
{
    (void)state;
    host_thread = pthread_self();
    calls = 0;
    allowed = true;
    struct pool *pool = open_quiet(2, NULL);
    struct pool_job job = {.callback = note};
    struct pool_future *futures[5];
    for (int i = 0; i < 5; i++)
        futures[i] = start_gated(pool, 0, i, &job);
    pool_destroy(pool);
    assert_int_equal(calls, 5);
    for (int i = 0; i < 5; i++) {
        assert_true(pool_future_ready(futures[i]));
        assert_status(pool_future_read(futures[i], 0, NULL, 0), POOL_TERMINATED);
    }
    release(futures, 5);
    expect_no_thread();
}

static void other_pools_have_no_descriptor(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    assert_int_equal(pool_fd(pool), -1);
    assert_int_equal(pool_fd(NULL), -1);
    assert_status(pool_dispatch(NULL), POOL_INVALID);
    assert_int_equal(pool_next_timeout(NULL), -1);
    pool_destroy(pool);
}

/* Stopped from elsewhere (a signal handler, say), the loop hears of it. */
static void a_stop_wakes_the_loop(void **state)
{
    (void)state;
    struct pool *pool = open_quiet(1, NULL);
    struct pool_future *busy = start_gated(pool, 0, 1, NULL);
    struct pool_future *waiting = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    for (int steps = 0; steps < 10000 && atomic_load(&ground->gate[0].arrived) == 0; steps++) {
        assert_status(pool_dispatch(pool), POOL_OK);
        pause_briefly();
    }
    settle(pool);
    pool_stop(pool);
    assert_true(readable(pool, 5000));
    drive_until(pool, waiting);
    assert_status(pool_future_read(waiting, 0, NULL, 0), POOL_CANCELLED);
    gate_open(&ground->gate[0]);
    drive_until(pool, busy);
    assert_true(pool_future_successful(busy));
    release(&busy, 1);
    release(&waiting, 1);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(an_event_loop_runs_tasks),
        PROCESS_TEST(looking_moves_nothing),
        PROCESS_TEST(an_idle_pool_is_quiet),
        PROCESS_TEST(waits_drive_the_pool),
        PROCESS_TEST(a_wait_of_nothing_moves_results),
        PROCESS_TEST(timed_waits_end_in_time),
        PROCESS_TEST(callbacks_come_in_dispatch_and_waits_only),
        PROCESS_TEST(a_full_queue_always_refuses),
        PROCESS_TEST(crashes_are_seen_by_the_loop),
        PROCESS_TEST(a_map_by_an_event_loop),
        PROCESS_TEST(destroyed_with_work_unfinished),
        PROCESS_TEST(other_pools_have_no_descriptor),
        PROCESS_TEST(a_stop_wakes_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
