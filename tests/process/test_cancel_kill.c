/*
 * Cancels that kill: what has not started never does, wherever it waits; what runs is gone at once; and of a cancel, a result and a deadline
 * that meet, one wins and the same one for everybody.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { GENEROUS = 3000 };

static void a_running_task_is_gone_at_once(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL));
    const struct pool_result *result;
    struct pool_stats stats;

    (void)state;
    assert_true(counter_wait(&ground->count[0], 1));
    assert_status(pool_future_cancel(future, false), POOL_INVALID);
    int64_t start = time_now_ms();
    assert_status(pool_future_cancel(future, true), POOL_OK);
    if (pool_future_cancel(future, true) != POOL_OK) /* its worker's end may be told already */
        assert_error_has("it is done");
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CANCELLED);
    assert_true(time_now_ms() - start < GENEROUS * time_scale());
    assert_int_equal(result->code, 0);
    assert_string_equal(result->message, "cancelled, and its worker was killed");
    assert_true(result->worker > 0);
    if (family_known())
        assert_true(family_gone(result->worker));
    assert_status(pool_future_cancel(future, true), POOL_INVALID);
    assert_error_has("it is done");
    pool_future_free(future);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.cancelled, 1);
    assert_int_equal(stats.crashed, 0);
    pool_destroy(pool);
}

static void a_waiting_task_never_runs(void **state)
{
    enum { WAITING = 50 };
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *busy, *futures[WAITING];

    (void)state;
    occupy(pool, 0, &busy, 1);
    for (int i = 0; i < WAITING; i++)
        futures[i] = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL));
    for (int i = 0; i < WAITING; i++) {
        assert_status(pool_future_cancel(futures[i], true), POOL_OK);
        assert_status(pool_future_get(futures[i], 0, NULL), POOL_CANCELLED);
        pool_future_free(futures[i]);
    }
    assert_false(pool_future_ready(busy)); /* its worker was not killed for these */
    gate_open(&ground->gate[0]);
    assert_status(pool_future_get(busy, POOL_FOREVER, NULL), POOL_OK);
    pool_future_free(busy);
    assert_int_equal(atomic_load(&ground->count[0]), 0);
    pool_destroy(pool);
}

static void all_of_a_map(void **state)
{
    enum { ITEMS = 1000, WORKERS = 3 };
    static enum pool_status statuses[ITEMS];
    struct pool_job job = {.statuses = statuses, .chunk = 10};
    struct pool *pool = made(pool_create(WORKERS, NULL));
    struct pool_future *map = made(pool_map_async(pool, task_stays_deaf, pool_items(NULL, ITEMS, 0), NULL, 0, &job));
    const struct pool_result *result;

    (void)state;
    assert_true(counter_wait(&ground->count[0], WORKERS));
    assert_status(pool_future_cancel(map, true), POOL_OK);
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_CANCELLED);
    for (int i = 0; i < ITEMS; i++)
        assert_status(statuses[i], POOL_CANCELLED);
    assert_int_equal(atomic_load(&ground->count[0]), WORKERS);
    pool_future_free(map);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

static void all_of_an_iterator(void **state)
{
    enum { ITEMS = 100, WORKERS = 2 };
    struct pool *pool = made(pool_create(WORKERS, NULL));
    struct pool_iterator *iterator = made(pool_imap(pool, task_stays_deaf, pool_items(NULL, ITEMS, 0), NULL));
    const struct pool_result *result;

    (void)state;
    assert_true(counter_wait(&ground->count[0], WORKERS));
    assert_status(pool_iterator_cancel(iterator, true), POOL_OK);
    enum pool_status status;
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
        assert_status(result->status, POOL_CANCELLED);
        assert_int_equal(result->code, 0);
    }
    assert_status(status, POOL_END);
    assert_int_equal(atomic_load(&ground->count[0]), WORKERS);
    pool_iterator_free(iterator);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

/* Jobs that share the workers with the cancelled one lose nothing, and nothing of them runs twice. */
static void the_neighbours_are_unharmed(void **state)
{
    enum { ITEMS = 3000 };
    static size_t out[ITEMS];
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *map = made(pool_map_async(pool, task_index, pool_items(NULL, ITEMS, 0), out, sizeof out[0],
                                                  NULL));

    (void)state;
    for (int i = 0; i < 20; i++) {
        int gate = 1;
        struct pool_future *future = made(pool_apply_async(pool, task_until_cancelled, &gate, sizeof gate, NULL));
        assert_true(gate_wait_arrived(&ground->gate[gate], i + 1));
        assert_status(pool_future_cancel(future, true), POOL_OK);
        assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_CANCELLED);
        pool_future_free(future);
    }
    assert_status(pool_future_get(map, POOL_FOREVER, NULL), POOL_OK);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(out[i], i);
        assert_int_equal(atomic_load(&ground->started[i]), i == 0 ? 1 + 20 : 1); /* the cancelled ones have index 0 */
    }
    pool_future_free(map);
    pool_destroy(pool);
}

static int task_for_us(struct pool_task *task)
{
    const struct timespec *time = task->arg;

    nanosleep(time, NULL);
    return pool_return(task, &task->index, sizeof task->index);
}

static void note_status(void *user, const struct pool_result *result)
{
    _Atomic int *told = user;

    atomic_fetch_add(told, 1 + (int)result->status * 16);
}

/* The three meet at the same moment, over and over: the future, its callback and the cancel's answer agree. */
static void one_outcome_in_any_race(void **state)
{
    static _Atomic int told;
    struct pool_job job = {.deadline_ms = 2, .callback = note_status, .user = (void *)&told};
    struct pool *pool = made(pool_create(2, NULL));
    int ended[3] = {0, 0, 0};

    (void)state;
    for (int i = 0; i < 400; i++) {
        struct timespec time = {0, 1000 * (1000 + (i * 37) % 1600)};
        struct timespec wait = {0, 1000 * (1000 + (i * 53) % 1600)};
        const struct pool_result *result;
        atomic_store(&told, 0);
        struct pool_future *future = made(pool_apply_async(pool, task_for_us, &time, sizeof time, &job));
        nanosleep(&wait, NULL);
        bool cancelled = pool_future_cancel(future, true) == POOL_OK;
        enum pool_status status = pool_future_get(future, POOL_FOREVER, &result);
        assert_true(status == POOL_OK || status == POOL_EXPIRED || status == POOL_CANCELLED);
        assert_int_equal(cancelled, status == POOL_CANCELLED);
        assert_int_equal(result->size, status == POOL_OK ? sizeof(size_t) : 0);
        while (atomic_load(&told) == 0)
            pause_briefly();
        assert_int_equal(atomic_load(&told), 1 + (int)status * 16);
        ended[status == POOL_OK ? 0 : status == POOL_EXPIRED ? 1 : 2]++;
        pool_future_free(future);
    }
    assert_true(ended[2] > 0);
    pool_destroy(pool);
}

/* Under POOL_NO_THREAD a cancel needs no dispatch to reach the worker. */
static void without_threads(void **state)
{
    struct pool_options options = {.flags = POOL_NO_THREAD};
    struct pool *pool = made(pool_create(1, &options));
    struct pool_future *future = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL));
    pid_t pid;

    (void)state;
    while (atomic_load(&ground->count[0]) == 0)
        assert_status(pool_future_wait(future, 1), POOL_TIMEOUT);
    assert_int_equal(pool_worker_pids(pool, &pid, 1), 1);
    assert_status(pool_future_cancel(future, true), POOL_OK);
    if (family_known())
        assert_true(family_gone(pid));
    assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_CANCELLED);
    pool_future_free(future);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_running_task_is_gone_at_once), PROCESS_TEST(a_waiting_task_never_runs),
        PROCESS_TEST(all_of_a_map),                   PROCESS_TEST(all_of_an_iterator),
        PROCESS_TEST(the_neighbours_are_unharmed),    PROCESS_TEST(one_outcome_in_any_race),
        PROCESS_TEST(without_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
