/*
 * Retries: an item whose worker died under it is run again as often as its job asked, by another worker, counted, and never twice at once; what
 * failed by its own word is not.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <signal.h>
#include <unistd.h>

/* Dies at each attempt below the one that it is given, and leaves who ran it. */
struct plan {
    unsigned good;
    bool by_exit;
};

struct note {
    unsigned attempt;
    pid_t pid;
};

static _Atomic pid_t *runners; /* by attempt, of index 0 */

static int task_good_at_last(struct pool_task *task)
{
    const struct plan *plan = task->arg;
    struct note note = {task->attempt, getpid()};

    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->attempt < 8 && task->index == 0)
        atomic_store(&runners[task->attempt], note.pid);
    if (task->attempt < plan->good && plan->by_exit)
        _exit(3);
    if (task->attempt < plan->good)
        raise(SIGKILL);
    return pool_return(task, &note, sizeof note);
}

static int begin(void **state)
{
    runners = shared_memory(8 * sizeof *runners);
    return audit_begin(state);
}

static int end(void **state)
{
    int failed = audit_end(state);

    shared_memory_free((void *)runners, 8 * sizeof *runners);
    return failed;
}

#define RETRY_TEST(function) {#function, function, begin, end, #function}

static void the_third_attempt_is_good(void **state)
{
    struct pool_job job = {.retries = 5};
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_stats stats;

    (void)state;
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        struct plan plan = {3, by_exit != 0};
        const struct pool_result *result;
        struct pool_future *future = made(pool_apply_async(pool, task_good_at_last, &plan, sizeof plan, &job));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->attempts, 3);
        assert_int_equal(((const struct note *)result->data)->attempt, 3);
        assert_int_equal(((const struct note *)result->data)->pid, result->worker);
        pid_t first = atomic_load(&runners[1]), second = atomic_load(&runners[2]);
        assert_int_not_equal(first, second);
        assert_int_not_equal(second, result->worker);
        assert_int_not_equal(first, result->worker);
        pool_future_free(future);
    }
    assert_int_equal(atomic_load(&ground->started[0]), 6);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.retried, 4);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.finished, 2);
    pool_destroy(pool);
}

static void the_last_attempt_tells_how_it_ended(void **state)
{
    struct plan plan = {100, false};
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (unsigned retries = 0; retries < 4; retries++) {
        struct pool_job job = {.retries = retries};
        atomic_store(&ground->started[0], 0);
        struct pool_future *future = made(pool_apply_async(pool, task_good_at_last, &plan, sizeof plan, &job));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CRASHED);
        assert_int_equal(result->code, SIGKILL);
        assert_int_equal(result->attempts, retries + 1);
        assert_int_equal(atomic_load(&ground->started[0]), retries + 1);
        pool_future_free(future);
    }
    plan.by_exit = true;
    assert_status(pool_apply(pool, task_good_at_last, &plan, sizeof plan, NULL, 0, &(struct pool_job){.retries = 2}),
                  POOL_EXITED);
    pool_destroy(pool);
}

static void a_failure_is_no_death(void **state)
{
    int code = 9;
    struct pool_job job = {.retries = 3};
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_fail, &code, sizeof code, &job));

    (void)state;
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->attempts, 1);
    pool_future_free(future);
    pool_destroy(pool);
}

/* Every item of the map dies once, in the middle of its chunk; none is ever in two workers. */
static int task_second_time(struct pool_task *task)
{
    if (atomic_fetch_add(&ground->started[task->index], 1) != (int)task->attempt - 1)
        atomic_fetch_add(&ground->count[1], 1);
    if (task->attempt == 1 && task->index % 3 == 0)
        raise(SIGSEGV);
    return pool_return(task, &task->index, sizeof task->index);
}

static void every_item_of_a_map(void **state)
{
    enum { ITEMS = 300 };
    static size_t out[ITEMS];
    struct pool *pool = made(pool_create(3, NULL));

    (void)state;
    for (size_t chunk = 0; chunk < 40; chunk += 13) {
        struct pool_job job = {.retries = 1, .chunk = chunk};
        memset((void *)ground->started, 0, sizeof ground->started);
        assert_status(pool_map(pool, task_second_time, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job), POOL_OK);
        for (size_t i = 0; i < ITEMS; i++) {
            assert_int_equal(out[i], i);
            assert_int_equal(atomic_load(&ground->started[i]), i % 3 == 0 ? 2 : 1);
        }
    }
    assert_int_equal(atomic_load(&ground->count[1]), 0);
    pool_destroy(pool);
}

static void iterators_count_them(void **state)
{
    enum { ITEMS = 60 };
    struct pool_job job = {.retries = 1};
    const struct pool_result *result;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_iterator *iterator = made(pool_imap(pool, task_second_time, pool_items(NULL, ITEMS, 0), &job));

    (void)state;
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, i);
        assert_status(result->status, POOL_OK);
        assert_int_equal(result->attempts, i % 3 == 0 ? 2 : 1);
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* Cancelled between two attempts, or told to end: there is no next one. */
static int task_dies_at_gate(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    gate_pass(&ground->gate[2]);
    raise(SIGKILL);
    return 0;
}

static void a_cancelled_item_is_not_retried(void **state)
{
    struct pool_job job = {.retries = 1000};
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_dies_at_gate, NULL, 0, &job));

    (void)state;
    assert_true(gate_wait_arrived(&ground->gate[2], 1));
    assert_status(pool_future_cancel(future, false), POOL_INVALID); /* it runs on, but not again */
    gate_open(&ground->gate[2]);
    assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_CRASHED);
    assert_int_equal(atomic_load(&ground->started[0]), 1);
    pool_future_free(future);
    gate_shut(&ground->gate[2]);
    future = made(pool_apply_async(pool, task_dies_at_gate, NULL, 0, &job));
    assert_true(gate_wait_arrived(&ground->gate[2], 1));
    assert_status(pool_terminate(pool), POOL_OK);
    assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_TERMINATED);
    assert_int_equal(atomic_load(&ground->started[0]), 2);
    pool_future_free(future);
    pool_destroy(pool);
}

/* After close a retry still has its worker. */
static void a_closed_pool_retries(void **state)
{
    struct plan plan = {4, false};
    struct pool_job job = {.retries = 5};
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_good_at_last, &plan, sizeof plan, &job));

    (void)state;
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_status(pool_future_get(future, 0, NULL), POOL_OK);
    pool_future_free(future);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RETRY_TEST(the_third_attempt_is_good),
        RETRY_TEST(the_last_attempt_tells_how_it_ended),
        PROCESS_TEST(a_failure_is_no_death),
        PROCESS_TEST(every_item_of_a_map),
        PROCESS_TEST(iterators_count_them),
        PROCESS_TEST(a_cancelled_item_is_not_retried),
        RETRY_TEST(a_closed_pool_retries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
