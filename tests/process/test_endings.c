/* How pools end: close, terminate, join, destroy, also from other threads; each call in each state. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"
#include "../support/well.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static void close_finishes_what_was_submitted(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *busy[2], *waiting[20], *map;
    long values[100], out[100];
    for (long i = 0; i < 100; i++)
        values[i] = i;
    occupy(pool, 0, busy, 2);
    for (long i = 0; i < 20; i++)
        waiting[i] = made(pool_apply_async(pool, task_square, &i, sizeof i, NULL));
    map = made(pool_map_async(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], NULL));
    assert_status(pool_join(pool, POOL_FOREVER), POOL_INVALID); /* before close */
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, 0), POOL_TIMEOUT);
    assert_status(pool_join(pool, 40), POOL_TIMEOUT);
    assert_status(pool_join(pool, -2), POOL_INVALID);
    assert_status(pool_join(pool, INT_MIN), POOL_INVALID);
    gate_open(&ground->gate[0]);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_status(pool_join(pool, 0), POOL_OK);
    assert_true(pool_future_successful(map));
    for (long i = 0; i < 20; i++) {
        long square = 0;
        assert_status(pool_future_read(waiting[i], 0, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
    }
    for (long i = 0; i < 100; i++)
        assert_int_equal(out[i], i * i);
    release(busy, 2);
    release(waiting, 20);
    release(&map, 1);
    pool_destroy(pool);
}

static void after_join_no_worker_lives(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct pool *pool = made(pool_create(3, NULL));
        pid_t pids[3];
        assert_status(pool_map(pool, task_nothing, pool_items(NULL, 50, 0), NULL, 0, NULL), POOL_OK);
        assert_int_equal(pool_worker_pids(pool, pids, 3), 3);
        if (how == 0)
            assert_status(pool_close(pool), POOL_OK);
        else if (how == 1)
            pool_stop(pool);
        else if (how == 2)
            assert_status(pool_terminate(pool), POOL_OK);
        if (how < 3)
            assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        else
            pool_destroy(pool);
        for (int i = 0; i < 3; i++) {
            errno = 0;
            assert_true(kill(pids[i], 0) == -1 && errno == ESRCH);
        }
        if (how < 3)
            pool_destroy(pool);
    }
}

static int shut_out_the_world(struct pool_task *task)
{
    (void)task;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    gate_pass(&ground->gate[0]);
    return 0;
}

static void terminate_does_not_ask(void **state)
{
    (void)state;
    for (int destroy = 0; destroy < 2; destroy++) {
        ground_make();
        struct pool *pool = made(pool_create(2, NULL));
        struct pool_future *futures[30];
        for (int i = 0; i < 30; i++)
            futures[i] = made(pool_apply_async(pool, shut_out_the_world, NULL, 0, NULL));
        assert_true(gate_wait_arrived(&ground->gate[0], 2));
        int64_t start = time_now_ms();
        if (destroy) {
            pool_destroy(pool);
        } else {
            assert_status(pool_terminate(pool), POOL_OK);
            assert_status(pool_terminate(pool), POOL_OK);
            assert_status(pool_wait_all(futures, 30, POOL_FOREVER), POOL_OK);
            assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
            pool_destroy(pool);
        }
        assert_true(time_now_ms() - start < 3000 * time_scale());
        for (int i = 0; i < 30; i++)
            assert_status(pool_future_read(futures[i], 0, NULL, 0), POOL_TERMINATED);
        assert_int_equal(atomic_load(&ground->gate[0].arrived), 2); /* no other had begun */
        release(futures, 30);
    }
}

/* A thread that stands in one of the waits while the pool ends. */
enum wait { IN_GET, IN_WAIT, IN_ANY, IN_ALL, IN_APPLY, IN_MAP, IN_ENDLESS_MAP, IN_NEXT, IN_JOIN, WAITS };

struct waiter {
    enum wait    kind;
    struct pool *pool;
    struct pool_future   *future;
    struct pool_iterator *iterator;
    atomic_int   entered, returned;
    enum pool_status status, own;
};

static int arrive(struct pool_task *task)
{
    (void)task;
    atomic_fetch_add(&ground->gate[0].arrived, 1);
    return 0;
}

static void *wait_for_the_end(void *argument)
{
    struct waiter *waiter = argument;
    struct gated order = {.gate = 0}, orders[10] = {{.gate = 0}};
    const struct pool_result *result = NULL;
    struct well well = well_new(-1, 0);
    size_t which;
    atomic_store(&waiter->entered, 1);
    switch (waiter->kind) {
    case IN_GET:
        waiter->status = pool_future_get(waiter->future, POOL_FOREVER, &result);
        waiter->own = result ? result->status : POOL_SYSTEM;
        break;
    case IN_WAIT:
        waiter->status = pool_future_wait(waiter->future, 20000);
        waiter->own = pool_future_read(waiter->future, 0, NULL, 0);
        break;
    case IN_ANY:
        waiter->status = pool_wait_any(&waiter->future, 1, POOL_FOREVER, &which);
        waiter->own = pool_future_read(waiter->future, 0, NULL, 0);
        break;
    case IN_ALL:
        waiter->status = pool_wait_all(&waiter->future, 1, POOL_FOREVER);
        waiter->own = pool_future_read(waiter->future, 0, NULL, 0);
        break;
    case IN_APPLY:
        waiter->own = waiter->status = pool_apply(waiter->pool, task_gated, &order, sizeof order, NULL, 0, NULL);
        break;
    case IN_MAP:
        waiter->own = waiter->status = pool_map(waiter->pool, task_gated, POOL_ARRAY(orders), NULL, 0, NULL);
        break;
    case IN_ENDLESS_MAP:
        waiter->own = waiter->status = pool_map(waiter->pool, arrive, well_source(&well), NULL, 0, NULL);
        break;
    case IN_NEXT:
        while ((waiter->status = pool_iterator_next(waiter->iterator, POOL_FOREVER, &result)) == POOL_OK)
            ;
        waiter->own = waiter->status;
        break;
    case IN_JOIN:
        waiter->status = pool_join(waiter->pool, POOL_FOREVER);
        waiter->own = POOL_TERMINATED;
        break;
    case WAITS:
        break;
    }
    atomic_store(&waiter->returned, 1);
    return NULL;
}

static void every_waiter_wakes(void **state)
{
    (void)state;
    for (int destroy = 0; destroy < 2; destroy++)
        for (int kind = 0; kind < WAITS; kind++) {
            if (kind == IN_JOIN && destroy) /* two last uses at a time */
                continue;
            ground_make();
            struct pool *pool = made(pool_create(1, NULL));
            struct gated orders[10];
            memset(orders, 0, sizeof orders);
            struct waiter waiter = {.kind = (enum wait)kind, .pool = pool};
            if (kind <= IN_ALL)
                waiter.future = start_gated(pool, 0, 1, NULL);
            if (kind == IN_NEXT)
                waiter.iterator = made(pool_imap(pool, task_gated, POOL_ARRAY(orders), NULL));
            if (kind == IN_JOIN) {
                pool_future_free(start_gated(pool, 0, 1, NULL));
                assert_status(pool_close(pool), POOL_OK);
            }
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, wait_for_the_end, &waiter), 0);
            assert_true(counter_wait(&waiter.entered, 1));
            assert_true(gate_wait_arrived(&ground->gate[0], 1)); /* the task is running */
            for (int i = 0; i < 5; i++)
                pause_briefly();
            assert_int_equal(atomic_load(&waiter.returned), 0);
            if (destroy)
                pool_destroy(pool);
            else
                assert_status(pool_terminate(pool), POOL_OK);
            assert_int_equal(pthread_join(thread, NULL), 0);
            if (kind == IN_WAIT || kind == IN_ANY || kind == IN_ALL || kind == IN_JOIN)
                assert_status(waiter.status, POOL_OK);
            else
                assert_status(waiter.status, POOL_TERMINATED);
            assert_status(waiter.own, POOL_TERMINATED);
            pool_future_free(waiter.future);
            pool_iterator_free(waiter.iterator);
            if (!destroy)
                pool_destroy(pool);
        }
}

/* The source of a map ends the pool that reads it. */
struct saboteur {
    struct pool *pool;
    int left, end;
};

static int draw_and_end(void *context, const void **item, size_t *size)
{
    struct saboteur *saboteur = context;
    if (saboteur->left-- == 0) {
        if (saboteur->end == 0)
            pool_terminate(saboteur->pool);
        else if (saboteur->end == 1)
            pool_stop(saboteur->pool);
        else
            pool_close(saboteur->pool);
    }
    if (saboteur->left < -20)
        return 0;
    *item = &saboteur->left;
    *size = sizeof saboteur->left;
    return 1;
}

static void ended_by_a_maps_own_source(void **state)
{
    (void)state;
    static const enum pool_status expected[] = {POOL_TERMINATED, POOL_CANCELLED, POOL_OK};
    for (int end = 0; end < 3; end++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct saboteur saboteur = {.pool = pool, .left = 40, .end = end};
        assert_status(pool_map(pool, task_nothing, pool_generate(draw_and_end, &saboteur), NULL, 0, NULL),
                      expected[end]);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        pool_destroy(pool);
    }
}

/* At whatever instant: a waiter and one who destroys. */
static void *apply_once(void *argument)
{
    struct waiter *waiter = argument;
    waiter->status = pool_future_get(waiter->future, POOL_FOREVER, &(const struct pool_result *){NULL});
    return NULL;
}

static void destroyed_at_any_instant(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct waiter waiter = {.pool = pool};
        long value = 2;
        waiter.future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, apply_once, &waiter), 0);
        for (volatile int spin = 0; spin < round * 20000; spin++)
            ;
        pool_destroy(pool);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (waiter.status != POOL_OK)
            assert_status(waiter.status, POOL_TERMINATED);
        assert_true(pool_future_ready(waiter.future));
        pool_future_free(waiter.future);
    }
}

static void *join_pool(void *argument)
{
    struct waiter *waiter = argument;
    waiter->status = pool_join(waiter->pool, POOL_FOREVER);
    return NULL;
}

static void several_threads_may_join(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *busy[2];
    occupy(pool, 0, busy, 2);
    assert_status(pool_close(pool), POOL_OK);
    pthread_t threads[3];
    struct waiter waiters[3];
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){.pool = pool, .status = POOL_SYSTEM};
        assert_int_equal(pthread_create(&threads[i], NULL, join_pool, &waiters[i]), 0);
    }
    gate_open(&ground->gate[0]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_status(waiters[i].status, POOL_OK);
    }
    release(busy, 2);
    pool_destroy(pool);
}

/* Ended in every way, each call answers in its way; the second answer is that of an open pool. */
enum ending { OPEN, CLOSED, STOPPED, TERMINATED, JOINED, DOUBLY_ENDED, ENDINGS };

static struct pool *pool_in_state(enum ending ending)
{
    struct pool *pool = made(pool_create(1, NULL));
    switch (ending) {
    case OPEN:
    case ENDINGS:
        break;
    case CLOSED:
        assert_status(pool_close(pool), POOL_OK);
        break;
    case STOPPED:
        pool_stop(pool);
        break;
    case TERMINATED:
        assert_status(pool_terminate(pool), POOL_OK);
        break;
    case JOINED:
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        break;
    case DOUBLY_ENDED:
        assert_status(pool_close(pool), POOL_OK);
        pool_stop(pool);
        assert_status(pool_terminate(pool), POOL_OK);
        assert_status(pool_close(pool), POOL_OK);
        pool_stop(pool);
        break;
    }
    return pool;
}

static void expect_no_submission(struct pool *pool)
{
    long value = 3, out;
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, NULL), POOL_CLOSED);
    assert_status(pool_map(pool, task_square, pool_items(&value, 1, sizeof value), &out, sizeof out, NULL),
                  POOL_CLOSED);
    assert_null_errno(pool_apply_async(pool, task_square, &value, sizeof value, NULL), EPIPE);
    assert_null_errno(pool_map_async(pool, task_square, pool_items(&value, 1, sizeof value), NULL, 0, NULL), EPIPE);
    assert_null_errno(pool_imap(pool, task_square, pool_items(&value, 1, sizeof value), NULL), EPIPE);
    assert_null_errno(pool_imap_unordered(pool, task_square, pool_items(&value, 1, sizeof value), NULL), EPIPE);
}

static void each_call_in_each_state(void **state)
{
    (void)state;
    for (int ending = OPEN; ending < ENDINGS; ending++) {
        struct pool *pool = pool_in_state((enum ending)ending);
        struct pool_stats stats;
        pid_t pids[4];
        if (ending == OPEN) {
            assert_status(pool_join(pool, 0), POOL_INVALID);
            assert_status(pool_resize(pool, 2), POOL_OK);
        } else {
            expect_no_submission(pool);
            enum pool_status resized = pool_resize(pool, 2); /* too late, one way or the other */
            assert_true(resized == POOL_OK || resized == POOL_CLOSED || resized == POOL_INVALID);
        }
        assert_true(pool_worker_pids(pool, pids, 4) <= 2);
        assert_status(pool_get_stats(pool, &stats), POOL_OK);
        assert_int_equal(stats.submitted, 0);
        assert_true(pool_size(pool) <= 2);
        assert_int_equal(pool_fd(pool), -1);
        assert_true(pool_next_timeout(pool) >= -1);
        if (ending != OPEN)
            assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_terminate(pool), POOL_OK);
        pool_stop(pool);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        pool_destroy(pool);
    }
}

static void each_call_with_null(void **state)
{
    (void)state;
    struct pool_stats stats;
    pid_t pid;
    assert_status(pool_close(NULL), POOL_INVALID);
    assert_error_has("pool_close");
    pool_stop(NULL);
    assert_status(pool_terminate(NULL), POOL_INVALID);
    assert_status(pool_join(NULL, 0), POOL_INVALID);
    assert_status(pool_resize(NULL, 1), POOL_INVALID);
    assert_status(pool_get_stats(NULL, &stats), POOL_INVALID);
    assert_int_equal(pool_worker_pids(NULL, &pid, 1), 0);
    assert_int_equal(pool_size(NULL), 0);
    assert_int_equal(pool_fd(NULL), -1);
    assert_status(pool_dispatch(NULL), POOL_INVALID);
    errno = 4321;
    pool_destroy(NULL);
    assert_int_equal(errno, 4321);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(close_finishes_what_was_submitted),
        PROCESS_TEST(after_join_no_worker_lives),
        PROCESS_TEST(terminate_does_not_ask),
        PROCESS_TEST(every_waiter_wakes),
        PROCESS_TEST(ended_by_a_maps_own_source),
        PROCESS_TEST(destroyed_at_any_instant),
        PROCESS_TEST(several_threads_may_join),
        PROCESS_TEST(each_call_in_each_state),
        PROCESS_TEST(each_call_with_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
