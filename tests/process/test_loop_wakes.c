/*
 * POOL_NO_THREAD: a callback that was queued outside pool_dispatch() makes pool_fd() readable, and pool_next_timeout() 0,
 * until a dispatch has run it (rule 31).
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/system.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <poll.h>
#include <pthread.h>

static int calls;

static void count_call(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
    calls++;
}

static bool readable(struct pool *pool, int timeout_ms)
{
    struct pollfd entry = {.fd = pool_fd(pool), .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1;
}

/* Until there is nothing to do and nothing to wait for, though a task runs. */
static void settle(struct pool *pool)
{
    int64_t end = time_now_ms() + 10000 * time_scale();

    while (pool_next_timeout(pool) != IDLE_TIMEOUT || readable(pool, 20)) {
        assert_true(time_now_ms() < end);
        assert_status(pool_dispatch(pool), POOL_OK);
    }
}

/* A pool whose only worker stands at gate 0, and which has nothing to do. */
static struct pool *make_settled(struct pool_future **busy)
{
    struct pool *pool = made(pool_create(1, &(struct pool_options){.flags = POOL_NO_THREAD}));

    calls = 0;
    *busy = start_gated(pool, 0, 1, NULL);
    int64_t end = time_now_ms() + 10000 * time_scale();
    while (atomic_load(&ground->gate[0].arrived) == 0) {
        assert_true(time_now_ms() < end);
        assert_status(pool_dispatch(pool), POOL_OK);
        pause_briefly();
    }
    settle(pool);
    return pool;
}

static void finish(struct pool *pool, struct pool_future *busy)
{
    gate_open(&ground->gate[0]);
    release(&busy, 1);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

/* The callback has not come yet, is announced in both ways, and comes in the next dispatch; then all is quiet again. */
static void check_announced(struct pool *pool)
{
    assert_int_equal(calls, 0);
    assert_int_equal(pool_next_timeout(pool), 0);
    assert_true(readable(pool, 5000));
    assert_status(pool_dispatch(pool), POOL_OK);
    assert_int_equal(calls, 1);
    settle(pool);
    assert_int_equal(pool_next_timeout(pool), IDLE_TIMEOUT);
    assert_false(readable(pool, 0));
}

static void by_a_cancel(void **state)
{
    struct pool_job job = {.callback = count_call};
    struct pool_future *busy;
    struct pool *pool = make_settled(&busy);

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    settle(pool);
    assert_status(pool_future_cancel(future, false), POOL_OK);
    check_announced(pool);
    pool_future_free(future);
    finish(pool, busy);
}

static void by_the_free_of_a_map(void **state)
{
    struct pool_job job = {.callback = count_call};
    struct pool_future *busy;
    struct pool *pool = make_settled(&busy);

    (void)state;
    struct pool_future *map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 5, 0), NULL, 0, &job));
    settle(pool);
    pool_future_free(map);
    check_announced(pool);
    finish(pool, busy);
}

static void by_an_empty_map(void **state)
{
    struct pool_job job = {.callback = count_call};
    struct pool_future *busy;
    struct pool *pool = make_settled(&busy);

    (void)state;
    struct pool_future *map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 0, 0), NULL, 0, &job));
    check_announced(pool);
    pool_future_free(map);
    finish(pool, busy);
}

/* The loop sleeps in poll() on one thread while another cancels. */
static void *sleep_in_poll(void *pool)
{
    return readable(pool, 5000 * time_scale()) ? pool : NULL;
}

static void by_another_thread(void **state)
{
    struct pool_job job = {.callback = count_call};
    struct pool_future *busy;
    pthread_t thread;
    void *woken;
    struct pool *pool = make_settled(&busy);

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    settle(pool);
    assert_int_equal(pthread_create(&thread, NULL, sleep_in_poll, pool), 0);
    assert_status(pool_future_cancel(future, false), POOL_OK);
    assert_int_equal(pthread_join(thread, &woken), 0);
    assert_ptr_equal(woken, pool);
    check_announced(pool);
    pool_future_free(future);
    finish(pool, busy);
}

/* ---- a loop that sleeps in one thread, and another that gives it something to keep time for */

struct loop {
    struct pool *pool;
    struct pool_future *future;
};

static void *run_loop(void *context)
{
    struct loop *loop = context;
    struct pollfd entry = {.fd = pool_fd(loop->pool), .events = POLLIN};
    bool done = false;

    while (!done) {
        int timeout = pool_next_timeout(loop->pool);
        atomic_fetch_add(&ground->count[1], 1);
        poll(&entry, 1, timeout);
        pool_dispatch(loop->pool);
        done = atomic_load(&ground->count[0]) != 0 && pool_future_ready(loop->future);
    }
    return NULL;
}

static void a_new_deadline_wakes_it(void **state)
{
    struct pool_job job = {.deadline_ms = 50};
    struct pool *pool = made(pool_create(2, &(struct pool_options){.flags = POOL_NO_THREAD}));
    struct loop loop = {.pool = pool};
    pthread_t thread;
    int gate = 1; /* never opened */

    (void)state;
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 8, 0), NULL, 0, NULL), POOL_OK);
    settle(pool);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, &loop), 0);
    assert_true(counter_wait(&ground->count[1], 1)); /* it sleeps now, or is about to */
    loop.future = made(pool_apply_async(pool, task_until_cancelled, &gate, sizeof gate, &job));
    atomic_store(&ground->count[0], 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_status(pool_future_get(loop.future, 0, NULL), POOL_EXPIRED);
    pool_future_free(loop.future);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(by_a_cancel),
        PROCESS_TEST(by_the_free_of_a_map),
        PROCESS_TEST(by_an_empty_map),
        PROCESS_TEST(by_another_thread),
        PROCESS_TEST(a_new_deadline_wakes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
