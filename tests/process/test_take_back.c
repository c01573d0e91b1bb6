/*
 * What has not started when a job is cancelled, stopped, freed or has failed never runs, though it may long have been sent to a worker.
 * Each test ends with close and join, so that whatever could still run has had its chance.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <signal.h>

enum { WORKERS = 2, ITEMS = 100 };

static int started_from(size_t first, size_t end)
{
    int count = 0;

    for (size_t i = first; i < end; i++)
        count += atomic_load(&ground->started[i]);
    return count;
}

static void finish(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

static int task_index_behind_gate(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    if (!gate_pass(&ground->gate[0]))
        return pool_fail(task, 1, "the gate was not opened");
    return pool_return(task, &task->index, sizeof task->index);
}

/* Both workers stand at the gate with the first items of a map; the rest is sent in chunks or waits. */
static struct pool_future *start_map(struct pool *pool, const struct pool_job *job, size_t *out)
{
    struct pool_future *future =
        made(pool_map_async(pool, task_index_behind_gate, pool_items(NULL, ITEMS, 0), out, sizeof *out, job));

    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    return future;
}

static void cancelled_map(void **state)
{
    static const size_t chunks[] = {0, 1, 10, 50, ITEMS};

    (void)state;
    for (size_t c = 0; c < 5; c++) {
        enum pool_status statuses[ITEMS];
        size_t out[ITEMS] = {0};
        const struct pool_result *result;
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses};
        struct pool *pool = made(pool_create(WORKERS, NULL));
        ground_make();
        struct pool_future *future = start_map(pool, &job, out);
        assert_status(pool_future_cancel(future, false), POOL_OK);
        gate_open(&ground->gate[0]);
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CANCELLED);
        assert_int_equal(started_from(0, ITEMS), WORKERS);
        for (size_t i = 0; i < ITEMS; i++)
            if (!atomic_load(&ground->started[i]))
                assert_status(statuses[i], POOL_CANCELLED);
        pool_future_free(future);
        finish(pool);
        assert_int_equal(started_from(0, ITEMS), WORKERS);
    }
}

/* Items that look see that they are asked to stop, and those that return non-zero then are cancelled. */
static void running_items_are_told(void **state)
{
    static int gates[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.chunk = 50, .statuses = statuses, .keep_going = true};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    struct pool_future *future = made(pool_map_async(pool, task_until_cancelled, POOL_ARRAY(gates), NULL, 0, &job));
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    assert_status(pool_future_cancel(future, false), POOL_OK);
    assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_CANCELLED);
    for (size_t i = 0; i < ITEMS; i++)
        assert_status(statuses[i], POOL_CANCELLED);
    pool_future_free(future);
    finish(pool);
    assert_int_equal(started_from(0, ITEMS), WORKERS);
}

/* Single tasks: the queued ones never run; the running one is told, and runs on if it does not listen. */
static void cancelled_tasks(void **state)
{
    struct pool_future *running, *waiting[20];
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    running = start_gated(pool, 0, 5, NULL);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    for (int i = 0; i < 20; i++)
        waiting[i] = made(pool_apply_async(pool, task_killed, NULL, 0, NULL)); /* it would be noticed */
    for (int i = 0; i < 20; i++) {
        assert_status(pool_future_cancel(waiting[i], false), POOL_OK);
        assert_status(pool_future_get(waiting[i], POOL_FOREVER, &result), POOL_CANCELLED);
        assert_int_equal(result->worker, 0);
        assert_status(pool_future_cancel(waiting[i], false), POOL_INVALID);
        pool_future_free(waiting[i]);
    }
    assert_status(pool_future_cancel(running, false), POOL_INVALID);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_get(running, POOL_FOREVER, &result), POOL_OK);
    pool_future_free(running);
    finish(pool);
}

/* Every third is cancelled, the others run. */
static void some_tasks_of_many(void **state)
{
    enum { TASKS = 60 };
    struct pool_future *futures[TASKS], *busy[WORKERS];
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    occupy(pool, 0, busy, WORKERS);
    for (long i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, i % 3 ? task_square : task_killed, &i, sizeof i, NULL));
    for (int i = 0; i < TASKS; i += 3)
        assert_status(pool_future_cancel(futures[i], false), POOL_OK);
    gate_open(&ground->gate[0]);
    for (long i = 0; i < TASKS; i++) {
        const struct pool_result *result;
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), i % 3 ? POOL_OK : POOL_CANCELLED);
        pool_future_free(futures[i]);
    }
    release(busy, WORKERS);
    finish(pool);
}

/* ---- failed maps */

static int task_fourth_fails(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index == 3)
        return pool_fail(task, 33, "the fourth");
    if (task->index > 3 && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 1, "the gate was not opened");
    return pool_return(task, &task->index, sizeof task->index);
}

/* One worker has the whole map; once this program knows of the failure, only what then runs is let finish. */
static void failed_map(void **state)
{
    static const size_t chunks[] = {0, 1, ITEMS};

    (void)state;
    for (size_t c = 0; c < 3; c++) {
        enum pool_status statuses[ITEMS];
        size_t out[ITEMS] = {0};
        const struct pool_result *result;
        struct pool_stats stats;
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses};
        struct pool *pool = made(pool_create(1, NULL));
        ground_make();
        struct pool_future *future =
            made(pool_map_async(pool, task_fourth_fails, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job));
        do {
            pause_briefly();
            assert_status(pool_get_stats(pool, &stats), POOL_OK);
        } while (stats.failed == 0);
        gate_open(&ground->gate[0]);
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
        assert_int_equal(result->index, 3);
        assert_int_equal(result->code, 33);
        assert_string_equal(result->message, "the fourth");
        assert_true(started_from(4, ITEMS) <= 1);
        assert_int_equal(started_from(5, ITEMS), 0);
        for (size_t i = 0; i < ITEMS; i++)
            assert_status(statuses[i], i == 3                             ? POOL_FAILED
                                       : atomic_load(&ground->started[i]) ? POOL_OK
                                                                          : POOL_CANCELLED);
        pool_future_free(future);
        finish(pool);
        assert_int_equal(started_from(5, ITEMS), 0);
    }
}

/* A map's future is freed while its first items run: the rest never does, and the arrays are left alone from then on. */
static void freed_map(void **state)
{
    static const size_t chunks[] = {0, 1, 50, ITEMS};

    (void)state;
    for (size_t c = 0; c < 4; c++) {
        size_t *out = made(malloc(ITEMS * sizeof *out));
        enum pool_status *statuses = made(malloc(ITEMS * sizeof *statuses));
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses};
        struct pool *pool = made(pool_create(WORKERS, NULL));
        ground_make();
        pool_future_free(start_map(pool, &job, out));
        memset(out, 0x5a, ITEMS * sizeof *out);
        memset(statuses, 0x5a, ITEMS * sizeof *statuses);
        gate_open(&ground->gate[0]);
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        for (size_t i = 0; i < ITEMS * sizeof *out; i++)
            assert_int_equal(((unsigned char *)out)[i], 0x5a);
        for (size_t i = 0; i < ITEMS * sizeof *statuses; i++)
            assert_int_equal(((unsigned char *)statuses)[i], 0x5a);
        free(out);
        free(statuses);
        assert_int_equal(started_from(0, ITEMS), WORKERS);
        pool_destroy(pool);
    }
}

/* ---- pools that are stopped or terminated */

static void stopped_pool(void **state)
{
    enum { TASKS = 20 };
    struct pool_future *tasks[TASKS];
    enum pool_status statuses[ITEMS];
    size_t out[ITEMS] = {0};
    const struct pool_result *result;
    struct pool_job job = {.chunk = 50, .statuses = statuses};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    struct pool_future *map = start_map(pool, &job, out);
    for (int i = 0; i < TASKS; i++)
        tasks[i] = made(pool_apply_async(pool, task_killed, NULL, 0, NULL));
    struct pool_iterator *iterator = made(pool_imap(pool, task_killed, pool_items(NULL, ITEMS, 0), NULL));
    pool_stop(pool);
    for (int i = 0; i < TASKS; i++) {
        assert_status(pool_future_get(tasks[i], POOL_FOREVER, &result), POOL_CANCELLED);
        pool_future_free(tasks[i]);
    }
    assert_false(pool_future_ready(map));
    gate_open(&ground->gate[0]);
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_CANCELLED);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(statuses[i], atomic_load(&ground->started[i]) ? POOL_OK : POOL_CANCELLED);
        if (statuses[i] == POOL_OK)
            assert_int_equal(out[i], i);
    }
    enum pool_status status;
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK)
        assert_status(result->status, POOL_CANCELLED);
    assert_status(status, POOL_END);
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, NULL), EPIPE);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_CLOSED);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(started_from(0, ITEMS), WORKERS);
    pool_future_free(map);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* Items that run when the pool is stopped see it. */
static void stopped_items_are_told(void **state)
{
    static int gates[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.statuses = statuses, .chunk = 10};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    struct pool_future *future = made(pool_map_async(pool, task_until_cancelled, POOL_ARRAY(gates), NULL, 0, &job));
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    pool_stop(pool);
    assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_CANCELLED);
    for (size_t i = 0; i < ITEMS; i++)
        assert_status(statuses[i], POOL_CANCELLED);
    pool_future_free(future);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    assert_int_equal(started_from(0, ITEMS), WORKERS);
}

static void terminated_pool(void **state)
{
    (void)state;
    for (size_t chunk = 0; chunk <= 50; chunk += 25) {
        enum pool_status statuses[ITEMS];
        size_t out[ITEMS] = {0};
        struct pool_job job = {.chunk = chunk, .statuses = statuses};
        struct pool *pool = made(pool_create(WORKERS, NULL));
        ground_make();
        struct pool_future *map = start_map(pool, &job, out);
        struct pool_future *queued = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
        assert_status(pool_terminate(pool), POOL_OK);
        assert_status(pool_future_get(map, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_TERMINATED);
        assert_status(pool_future_get(queued, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_TERMINATED);
        gate_open(&ground->gate[0]);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        for (size_t i = 0; i < ITEMS; i++)
            assert_status(statuses[i], POOL_TERMINATED);
        assert_int_equal(started_from(0, ITEMS), WORKERS);
        pool_future_free(map);
        pool_future_free(queued);
        pool_destroy(pool);
    }
}

/* ---- iterators */

/* The window's items have been sent; cancelled, they come out as such, each once, and the source is read no more. */
static void cancelled_iterator(void **state)
{
    const struct pool_result *result;
    struct pool_job job = {.chunk = 20, .window = 40};
    struct pool *pool = made(pool_create(WORKERS, NULL));
    size_t seen = 0, ok = 0;

    (void)state;
    struct pool_iterator *iterator = made(pool_imap(pool, task_index_behind_gate, pool_items(NULL, ITEMS, 0), &job));
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    assert_status(pool_iterator_cancel(iterator, false), POOL_OK);
    gate_open(&ground->gate[0]);
    enum pool_status status;
    for (; (status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK; seen++) {
        assert_int_equal(result->index, seen);
        assert_status(result->status, atomic_load(&ground->started[seen]) ? POOL_OK : POOL_CANCELLED);
        ok += result->status == POOL_OK;
    }
    assert_status(status, POOL_END);
    assert_int_equal(ok, WORKERS);
    assert_in_range(seen, WORKERS, 40);
    pool_iterator_free(iterator);
    finish(pool);
    assert_int_equal(started_from(0, ITEMS), WORKERS);
}

static void freed_iterator(void **state)
{
    struct pool_job job = {.chunk = 20, .window = 40};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    struct pool_iterator *iterator =
        made(pool_imap_unordered(pool, task_index_behind_gate, pool_items(NULL, ITEMS, 0), &job));
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    pool_iterator_free(iterator);
    gate_open(&ground->gate[0]);
    finish(pool);
    assert_int_equal(started_from(0, ITEMS), WORKERS);
}

/* ---- deaths */

/* A worker dies with a chunk behind it while the map is cancelled: nothing of the chunk is given out again. */
static void cancelled_and_crashed(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        size_t out[ITEMS];
        pid_t pids[WORKERS] = {0};
        struct pool_job job = {.chunk = 50};
        struct pool *pool = made(pool_create(WORKERS, NULL));
        ground_make();
        struct pool_future *future = start_map(pool, &job, out);
        assert_int_equal(pool_worker_pids(pool, pids, WORKERS), WORKERS);
        if (round % 2)
            kill(pids[0], SIGKILL);
        /* killed first, its item may be known as crashed by now, and the map has stopped by itself: then nothing is left */
        enum pool_status cancelled = pool_future_cancel(future, false);
        if (round % 2 == 0 || cancelled != POOL_INVALID)
            assert_status(cancelled, POOL_OK);
        if (round % 2 == 0)
            kill(pids[0], SIGKILL);
        gate_open(&ground->gate[0]);
        assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        assert_false(pool_future_successful(future));
        pool_future_free(future);
        finish(pool);
        assert_int_equal(started_from(0, ITEMS), WORKERS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(cancelled_map),
        PROCESS_TEST(running_items_are_told),
        PROCESS_TEST(cancelled_tasks),
        PROCESS_TEST(some_tasks_of_many),
        PROCESS_TEST(failed_map),
        PROCESS_TEST(freed_map),
        PROCESS_TEST(stopped_pool),
        PROCESS_TEST(stopped_items_are_told),
        PROCESS_TEST(terminated_pool),
        PROCESS_TEST(cancelled_iterator),
        PROCESS_TEST(freed_iterator),
        PROCESS_TEST(cancelled_and_crashed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
