/*
 * Pools within workers: they work, are their worker's own, and end with it.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* The sum of the squares below `value`, by a pool of the worker's own. */
static int task_sum_of_squares(struct pool_task *task)
{
    long value, items[20], squares[20], sum = 0;
    int seat = pool_worker_index();

    memcpy(&value, task->arg, sizeof value);
    struct pool *pool = pool_create(2, NULL);
    if (!pool)
        return pool_fail(task, 1, "no pool: %s", pool_error());
    for (long i = 0; i < value; i++)
        items[i] = i;
    enum pool_status status = pool_map(pool, task_square, pool_items(items, (size_t)value, sizeof items[0]), squares,
                                       sizeof squares[0], NULL);
    if (status != POOL_OK)
        return pool_fail(task, 2, "the inner map: %s", pool_error());
    for (long i = 0; i < value; i++)
        sum += squares[i];
    status = pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL);
    if (status != POOL_CRASHED)
        return pool_fail(task, 3, "a crash in the inner pool: %s", pool_status_name(status));
    pool_destroy(pool);
    if (pool_worker_index() != seat)
        return pool_fail(task, 4, "the seat was %d and is %d", seat, pool_worker_index());
    return pool_return(task, &sum, sizeof sum);
}

static void pools_in_tasks(void **state)
{
    enum { ITEMS = 12 };
    long items[ITEMS], sums[ITEMS], sum = 0;
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    assert_status(pool_map(pool, task_sum_of_squares, POOL_ARRAY(items), sums, sizeof sums[0], NULL), POOL_OK);
    for (long i = 0; i < ITEMS; i++) {
        assert_int_equal(sums[i], sum);
        sum += i * i;
    }
    pool_destroy(pool);
}

/* A pool in a worker of a pool in a worker, `depth` deep; the innermost returns 1, each other one adds 1. */
static int task_goes_deeper(struct pool_task *task)
{
    long depth, result = 1;

    memcpy(&depth, task->arg, sizeof depth);
    if (depth > 0) {
        depth--;
        struct pool *pool = pool_create(1, NULL);
        if (!pool)
            return pool_fail(task, 1, "no pool at %ld: %s", depth, pool_error());
        if (pool_apply(pool, task_goes_deeper, &depth, sizeof depth, &result, sizeof result, NULL) != POOL_OK)
            return pool_fail(task, 2, "at %ld: %s", depth, pool_error());
        pool_destroy(pool);
        result++;
    }
    return pool_return(task, &result, sizeof result);
}

static void four_deep(void **state)
{
    long depth = 4, result = 0;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_status(pool_apply(pool, task_goes_deeper, &depth, sizeof depth, &result, sizeof result, NULL), POOL_OK);
        assert_int_equal(result, 5);
    }
    pool_destroy(pool);
}

/* ---- a pool that a worker keeps */

static struct pool *kept;

static int init_makes_pool(void **state, void *arg)
{
    (void)arg;
    kept = pool_create(2, NULL);
    *state = kept;
    return kept ? 0 : pool_fail(NULL, 1, "no pool: %s", pool_error());
}

static void final_destroys_pool(void *state, void *arg)
{
    (void)arg;
    pool_destroy(state);
    atomic_fetch_add(&ground->count[0], 1);
}

static int task_uses_kept(struct pool_task *task)
{
    long value = (long)task->index, square = 0;

    if (task->state != kept)
        return pool_fail(task, 1, "another state");
    if (pool_apply(kept, task_square, &value, sizeof value, &square, sizeof square, NULL) != POOL_OK)
        return pool_fail(task, 2, "%s", pool_error());
    return pool_return(task, &square, sizeof square);
}

static void kept_by_the_initializer(void **state)
{
    enum { ITEMS = 30 };
    long squares[ITEMS];
    struct pool_options options = {.initializer = init_makes_pool, .finalizer = final_destroys_pool};
    struct pool *pool = made(pool_create(2, &options));

    (void)state;
    assert_status(pool_map(pool, task_uses_kept, pool_items(NULL, ITEMS, 0), squares, sizeof squares[0], NULL),
                  POOL_OK);
    for (long i = 0; i < ITEMS; i++)
        assert_int_equal(squares[i], i * i);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[0]), 2);
    pool_destroy(pool);
}

/* ---- endings */

static int task_hangs_in_inner(struct pool_task *task)
{
    atomic_store(&ground->count[task->index + 1], (int)getpid());
    atomic_fetch_add(&ground->gate[1].arrived, 1);
    while (true)
        pause();
    return 0;
}

enum inner_end { WAITS, CRASHES, EXITS, RETURNS };

/* Makes a pool whose two workers are busy for ever, and then ends, or does not. */
static int task_with_busy_pool(struct pool_task *task)
{
    enum inner_end end;
    const struct pool_result *result;

    memcpy(&end, task->arg, sizeof end);
    struct pool *pool = pool_create(2, NULL);
    struct pool_future *future =
        pool ? pool_map_async(pool, task_hangs_in_inner, pool_items(NULL, 2, 0), NULL, 0, NULL) : NULL;
    if (!future || !gate_wait_arrived(&ground->gate[1], 2))
        return pool_fail(task, 1, "no busy pool: %s", pool_error());
    if (end == CRASHES)
        raise(SIGSEGV);
    if (end == EXITS)
        exit(0);
    if (end == WAITS)
        pool_future_get(future, POOL_FOREVER, &result);
    return 0; /* RETURNS leaves the pool at work, and lost */
}

static void check_inner_gone(void)
{
    pid_t pids[2] = {(pid_t)atomic_load(&ground->count[1]), (pid_t)atomic_load(&ground->count[2])};

    assert_true(pids[0] > 0 && pids[1] > 0);
    assert_true(family_all_gone(pids, 2));
}

static void the_worker_ends(void **state)
{
    static const enum pool_status statuses[] = {[CRASHES] = POOL_CRASHED, [EXITS] = POOL_EXITED};
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (enum inner_end end = CRASHES; end <= EXITS; end++) {
        gate_shut(&ground->gate[1]);
        assert_status(pool_apply(pool, task_with_busy_pool, &end, sizeof end, NULL, 0, NULL), statuses[end]);
        check_inner_gone();
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    }
    assert_true(pool_size(pool) == 1);
    pool_destroy(pool);
}

static void the_pool_ends(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        enum inner_end end = round % 2 ? RETURNS : WAITS;
        struct pool *pool = made(pool_create(1, NULL));
        gate_shut(&ground->gate[1]);
        struct pool_future *future = made(pool_apply_async(pool, task_with_busy_pool, &end, sizeof end, NULL));
        assert_true(gate_wait_arrived(&ground->gate[1], 2));
        if (end == RETURNS)
            assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
        if (round < 2) {
            assert_status(pool_terminate(pool), POOL_OK);
            assert_status(pool_join(pool, 10000 * time_scale()), POOL_OK);
        }
        pool_destroy(pool);
        assert_true(pool_future_ready(future));
        pool_future_free(future);
        check_inner_gone();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(pools_in_tasks),
        PROCESS_TEST(four_deep),
        PROCESS_TEST(kept_by_the_initializer),
        PROCESS_TEST(the_worker_ends),
        PROCESS_TEST(the_pool_ends),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
