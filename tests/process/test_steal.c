/*
 * Nobody waits behind somebody else's long item: unstarted items leave the worker they were sent to, and finished results leave it while
 * it works on.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <signal.h>
#include <unistd.h>


/* Items that wait at gate 0 are those whose bit is set in ground->count[1 + index / 16]; the others count in ground->count[0]. */
static int task_some_wait(struct pool_task *task)
{
    size_t value = task->index * 7;

    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index < 14 * 16 && atomic_load(&ground->count[1 + task->index / 16]) & 1 << task->index % 16) {
        if (!gate_pass(&ground->gate[0]))
            return pool_fail(task, 1, "the gate was not opened");
    } else {
        atomic_fetch_add(&ground->count[0], 1);
    }
    return pool_return(task, &value, sizeof value);
}

static void let_wait(size_t index)
{
    atomic_fetch_or(&ground->count[1 + index / 16], 1 << index % 16);
}

enum { ITEMS = 200 };

/* All items but those that wait are run, by whichever workers are left; then all is well. */
static void check_rest_runs(unsigned workers, size_t chunk, const size_t *waiting, size_t count)
{
    size_t out[ITEMS];
    struct pool_stats stats;
    struct pool_job job = {.chunk = chunk};
    struct pool *pool = made(pool_create(workers, NULL));

    ground_make();
    for (size_t i = 0; i < count; i++)
        let_wait(waiting[i]);
    struct pool_future *future =
        made(pool_map_async(pool, task_some_wait, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job));
    assert_true(counter_wait(&ground->count[0], ITEMS - (int)count));
    assert_true(gate_wait_arrived(&ground->gate[0], (int)count));
    assert_false(pool_future_ready(future));
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(future));
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(out[i], 7 * i);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.finished, ITEMS);
    if (chunk == ITEMS)
        assert_true(stats.stolen > 0);
    pool_future_free(future);
    pool_destroy(pool);
}

static void behind_one_long_item(void **state)
{
    static const size_t waiting[] = {0, 50, 150};
    static const size_t chunks[] = {0, 1, 7, 100, ITEMS};

    (void)state;
    for (size_t c = 0; c < 5; c++) {
        for (size_t w = 0; w < 3; w++)
            check_rest_runs(2, chunks[c], &waiting[w], 1);
        check_rest_runs(4, chunks[c], waiting, 3);
    }
}

static void behind_as_many_as_there_can_be(void **state)
{
    static const size_t waiting[] = {0, 1, 2, 100, 101, 102};

    (void)state;
    check_rest_runs(8, ITEMS, waiting, 6);
    check_rest_runs(8, 50, waiting, 6);
    check_rest_runs(7, 0, waiting, 6);
}

static int task_tenth_stops(struct pool_task *task)
{
    size_t value = task->index * 7;

    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index == 9) {
        atomic_store(&ground->count[1], (int)getpid());
        raise(SIGSTOP);
    }
    atomic_fetch_add(&ground->count[0], 1);
    return pool_return(task, &value, sizeof value);
}

/* A worker that somebody stops (a debugger, an operator) holds up its own item alone. */
static void behind_a_stopped_worker(void **state)
{
    size_t out[ITEMS];
    struct pool_job job = {.chunk = ITEMS};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    struct pool_future *future =
        made(pool_map_async(pool, task_tenth_stops, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job));
    assert_true(counter_wait(&ground->count[0], ITEMS - 1));
    assert_true(counter_wait(&ground->count[1], 1));
    pid_t pid = (pid_t)atomic_load(&ground->count[1]);
    do /* it may not have come to its stop yet */
        kill(pid, SIGCONT);
    while (pool_future_wait(future, 1) == POOL_TIMEOUT);
    assert_true(pool_future_successful(future));
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(out[i], 7 * i);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    pool_future_free(future);
    pool_destroy(pool);
}

/* The same with an imap, whose items are copied. */
static void in_an_imap(void **state)
{
    const struct pool_result *result;
    struct pool_job job = {.chunk = 20, .window = ITEMS};
    struct pool *pool = made(pool_create(2, NULL));
    bool seen[ITEMS] = {false};

    (void)state;
    let_wait(30);
    struct pool_iterator *iterator = made(pool_imap_unordered(pool, task_some_wait, pool_items(NULL, ITEMS, 0), &job));
    for (int i = 0; i < ITEMS - 1; i++) {
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(result->status, POOL_OK);
        assert_false(seen[result->index]);
        seen[result->index] = true;
    }
    assert_false(seen[30]);
    assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->index, 30);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* One worker is stuck; a hundred single tasks behind it go to the other. */
static void single_tasks(void **state)
{
    enum { TASKS = 100 };
    struct pool_future *stuck[1], *futures[TASKS];
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    occupy(pool, 0, stuck, 1);
    for (long i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, task_square, &i, sizeof i, NULL));
    for (long i = 0; i < TASKS; i++) {
        long square = 0;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
        pool_future_free(futures[i]);
    }
    assert_false(pool_future_ready(stuck[0]));
    gate_open(&ground->gate[0]);
    release(stuck, 1);
    pool_destroy(pool);
}

/* Tasks that were handed in while all workers were busy, so that they may have been sent ahead: the first worker that is free takes all. */
static void tasks_sent_ahead(void **state)
{
    enum { TASKS = 50 };
    struct pool_future *first[1], *second[1], *futures[TASKS];
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    occupy(pool, 0, first, 1);
    occupy(pool, 1, second, 1);
    for (long i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, task_square, &i, sizeof i, NULL));
    gate_open(&ground->gate[1]);
    for (long i = 0; i < TASKS; i++) {
        assert_status(pool_future_wait(futures[i], POOL_FOREVER), POOL_OK);
        pool_future_free(futures[i]);
    }
    assert_false(pool_future_ready(first[0]));
    gate_open(&ground->gate[0]);
    release(first, 1);
    release(second, 1);
    pool_destroy(pool);
}

static int task_large(struct pool_task *task)
{
    size_t sum = 0;

    for (size_t i = 0; i < task->size; i++)
        sum += ((const unsigned char *)task->arg)[i];
    if (task->index == 0 && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 1, "the gate was not opened");
    if (task->index > 0)
        atomic_fetch_add(&ground->count[0], 1);
    return pool_return(task, &sum, sizeof sum);
}

/* Large items fill the pipe, so that a part of a frame may be on its way when the items are taken back. */
static void large_items(void **state)
{
    enum { LARGE = 40, SIZE = 100000 };
    unsigned char *items = made(malloc((size_t)LARGE * SIZE));
    size_t sums[LARGE];
    struct pool_job job = {.chunk = LARGE};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        memset(items + i * SIZE, (int)i, SIZE);
    struct pool_future *future =
        made(pool_map_async(pool, task_large, pool_items(items, LARGE, SIZE), sums, sizeof sums[0], &job));
    assert_true(counter_wait(&ground->count[0], LARGE - 1));
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(future));
    for (size_t i = 0; i < LARGE; i++)
        assert_int_equal(sums[i], i * SIZE);
    pool_future_free(future);
    pool_destroy(pool);
    free(items);
}

/* ---- finished results do not wait behind a running function */

/* Nine items end; the tenth of the same chunk waits for what this program does once it has seen the nine. */
static void check_results_come(unsigned flags, bool ordered, size_t chunk)
{
    const struct pool_result *result;
    struct pool_job job = {.chunk = chunk, .window = 10};
    struct pool *pool = made(pool_create(1, &(struct pool_options){.flags = flags}));

    ground_make();
    let_wait(9);
    struct pool_iterator *iterator =
        made((ordered ? pool_imap : pool_imap_unordered)(pool, task_some_wait, pool_items(NULL, 10, 0), &job));
    for (size_t i = 0; i < 9; i++) {
        assert_status(pool_iterator_next(iterator, GATE_SECONDS * 500, &result), POOL_OK);
        assert_int_equal(result->index, i);
        assert_status(result->status, POOL_OK);
    }
    gate_open(&ground->gate[0]);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->index, 9);
    assert_status(result->status, POOL_OK);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

static void results_of_an_imap_come(void **state)
{
    (void)state;
    for (size_t chunk = 0; chunk <= 10; chunk += 5) {
        check_results_come(0, true, chunk);
        check_results_come(0, false, chunk);
        check_results_come(POOL_NO_THREAD, true, chunk);
        check_results_come(POOL_NO_THREAD, false, chunk);
    }
}

static int task_after_gate(struct pool_task *task)
{
    long value;

    memcpy(&value, task->arg, sizeof value);
    if (value == 4 && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 1, "the gate was not opened");
    return pool_return(task, &value, sizeof value);
}

/* Single tasks in one worker: each future is done when its task is, whatever runs after it. */
static void results_of_single_tasks_come(void **state)
{
    struct pool_future *futures[5];

    (void)state;
    for (int round = 0; round < 40; round++) {
        struct pool *pool = made(pool_create(1, &(struct pool_options){.flags = round % 2 ? POOL_NO_THREAD : 0}));
        gate_shut(&ground->gate[0]);
        for (long i = 0; i < 5; i++)
            futures[i] = made(pool_apply_async(pool, task_after_gate, &i, sizeof i, NULL));
        for (long i = 0; i < 4; i++) {
            long value = -1;
            assert_status(pool_future_read(futures[i], GATE_SECONDS * 500, &value, sizeof value), POOL_OK);
            assert_int_equal(value, i);
        }
        assert_false(pool_future_ready(futures[4]));
        gate_open(&ground->gate[0]);
        release(futures, 5);
        pool_destroy(pool);
    }
}

static void count_result(void *user, const struct pool_result *result)
{
    atomic_int *count = user;

    if (result->status == POOL_OK)
        atomic_fetch_add(count, 1);
}

/* Nobody waits; the callbacks come all the same while the last task runs. */
static void callbacks_come(void **state)
{
    static atomic_int count;
    struct pool_job job = {.callback = count_result, .user = &count};
    struct pool_future *futures[5];
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (long i = 0; i < 5; i++)
        futures[i] = made(pool_apply_async(pool, task_after_gate, &i, sizeof i, &job));
    assert_true(counter_wait(&count, 4));
    gate_open(&ground->gate[0]);
    release(futures, 5);
    assert_true(counter_wait(&count, 5));
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(behind_one_long_item),
        PROCESS_TEST(behind_as_many_as_there_can_be),
        PROCESS_TEST(behind_a_stopped_worker),
        PROCESS_TEST(in_an_imap),
        PROCESS_TEST(single_tasks),
        PROCESS_TEST(tasks_sent_ahead),
        PROCESS_TEST(large_items),
        PROCESS_TEST(results_of_an_imap_come),
        PROCESS_TEST(results_of_single_tasks_come),
        PROCESS_TEST(callbacks_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
