/* pool_stop(): what runs may finish, what is done is kept, and a signal handler may call it. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/well.h"

#include <signal.h>
#include <unistd.h>

static int report_cancelled(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    atomic_fetch_add(&ground->gate[0].arrived, 1);
    for (int steps = 0; steps < GATE_SECONDS * 1000 && !pool_cancelled(task); steps++)
        pause_briefly();
    bool cancelled = pool_cancelled(task);
    return pool_return(task, &cancelled, sizeof cancelled); /* and returns 0: ends with its result */
}

static void stop_keeps_what_runs(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    enum pool_status statuses[20];
    bool cancelled[20] = {false};
    struct pool_job job = {.statuses = statuses, .chunk = 1};
    struct pool_future *map =
        made(pool_map_async(pool, report_cancelled, pool_items(NULL, 20, 0), cancelled, sizeof cancelled[0], &job));
    assert_true(gate_wait_arrived(&ground->gate[0], 2));
    struct pool_future *waiting = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    pool_stop(pool);
    pool_stop(pool);
    assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
    const struct pool_result *result;
    assert_status(pool_future_get(map, 0, &result), POOL_CANCELLED);
    assert_status(pool_future_wait(waiting, POOL_FOREVER), POOL_OK);
    assert_status(pool_future_read(waiting, 0, NULL, 0), POOL_CANCELLED);
    int ok = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(atomic_load(&ground->started[i]), statuses[i] == POOL_OK);
        if (statuses[i] == POOL_OK)
            assert_true(cancelled[i]); /* what runs is asked to end soon */
        else
            assert_status(statuses[i], POOL_CANCELLED);
        ok += statuses[i] == POOL_OK;
    }
    assert_int_equal(ok, 2);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    release(&map, 1);
    release(&waiting, 1);
    pool_destroy(pool);
}

static struct pool *stopped_pool;

static void stop_on_signal(int number)
{
    (void)number;
    int saved = errno;
    errno = 1234;
    pool_stop(stopped_pool);
    if (errno != 1234)
        _exit(88); /* it keeps errno */
    errno = saved;
}

/* The 300th item sends a signal to the host, which is in pool_map(). */
static int interrupt_the_host(struct pool_task *task)
{
    pid_t host;
    memcpy(&host, task->shared, sizeof host);
    if (task->index < GROUND_ITEMS)
        atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index == 300)
        kill(host, SIGUSR1);
    if (task->index > 300)
        pause_briefly();
    long value = (long)task->index;
    return pool_return(task, &value, sizeof value);
}

static void stopped_by_a_signal_handler(void **state)
{
    (void)state;
    enum { COUNT = 19000 };
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop_on_signal;
    sigaction(SIGUSR1, &action, &old);
    long *out = made(malloc(COUNT * sizeof *out));
    enum pool_status *statuses = made(malloc(COUNT * sizeof *statuses));
    static const size_t chunks[] = {0, 1, 50};
    for (size_t c = 0; c < 3; c++) {
        ground_make();
        pid_t self = getpid();
        stopped_pool = made(pool_create(2, NULL));
        struct pool_job job = {.chunk = chunks[c], .statuses = statuses, .shared = &self, .shared_size = sizeof self};
        assert_status(pool_map(stopped_pool, interrupt_the_host, pool_items(NULL, COUNT, 0), out, sizeof out[0], &job),
                      POOL_CANCELLED);
        int ok = 0;
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(atomic_load(&ground->started[i]), statuses[i] == POOL_OK);
            if (statuses[i] == POOL_OK)
                assert_int_equal(out[i], i); /* what is done is kept */
            else
                assert_status(statuses[i], POOL_CANCELLED);
            ok += statuses[i] == POOL_OK;
        }
        assert_status(statuses[300], POOL_OK);
        assert_in_range(ok, 1, COUNT / 2);
        assert_status(pool_apply(stopped_pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_CLOSED);
        assert_status(pool_join(stopped_pool, POOL_FOREVER), POOL_OK);
        pool_destroy(stopped_pool);
    }
    sigaction(SIGUSR1, &old, NULL);
    free(out);
    free(statuses);
}

/* Item 300 of a source without end. */
static void an_endless_map_is_stopped(void **state)
{
    (void)state;
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop_on_signal;
    sigaction(SIGUSR1, &action, &old);
    pid_t self = getpid();
    struct well well = well_new(-1, 0);
    stopped_pool = made(pool_create(2, NULL));
    struct pool_job job = {.shared = &self, .shared_size = sizeof self};
    assert_status(pool_map(stopped_pool, interrupt_the_host, well_source(&well), NULL, 0, &job), POOL_CANCELLED);
    assert_status(pool_join(stopped_pool, POOL_FOREVER), POOL_OK);
    pool_destroy(stopped_pool);
    sigaction(SIGUSR1, &old, NULL);
    assert_int_equal(atomic_load(&ground->started[300]), 1);
}

/* What is done comes out, what was not started as POOL_CANCELLED, and then the iteration has ended. */
static void an_iteration_is_stopped(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct well well = well_new(-1, 0);
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, well_source(&well), NULL));
    const struct pool_result *result;
    for (int i = 0; i < 50; i++)
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
    pool_stop(pool);
    enum pool_status status;
    for (size_t i = 50; (status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK; i++) {
        assert_int_equal(result->index, i);
        if (result->status != POOL_OK)
            assert_status(result->status, POOL_CANCELLED);
    }
    assert_status(status, POOL_END);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* Ends the instant it is asked to: what lies behind it in the same message must be out of reach by then. */
static int spin_until_cancelled(struct pool_task *task)
{
    if (task->index < GROUND_ITEMS)
        atomic_fetch_add(&ground->started[task->index], 1);
    atomic_fetch_add(&ground->gate[0].arrived, 1);
    for (unsigned long spins = 0; spins < 4000000000ul; spins++)
        if (pool_cancelled(task))
            return 1;
    return pool_fail(task, 99, "nobody cancelled");
}

static void what_has_not_begun_never_does(void **state)
{
    (void)state;
    enum { ROUNDS = 60, COUNT = 500 };
    for (int round = 0; round < ROUNDS; round++) {
        ground_make();
        struct pool *pool = made(pool_create(1, NULL));
        struct pool_job job = {.chunk = round % 2 ? 0 : COUNT};
        struct pool_future *map =
            made(pool_map_async(pool, spin_until_cancelled, pool_items(NULL, COUNT, 0), NULL, 0, &job));
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        for (int i = 0; i < 1000; i++) /* so that a stop has much to take back */
            pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, NULL)));
        switch (round % 3) {
        case 0:
            pool_stop(pool);
            break;
        case 1:
            assert_status(pool_future_cancel(map, false), POOL_OK);
            break;
        default:
            pool_future_free(map);
            map = NULL;
        }
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        if (map)
            assert_status(pool_future_read(map, 0, NULL, 0), POOL_CANCELLED);
        assert_int_equal(atomic_load(&ground->gate[0].arrived), 1);
        pool_future_free(map);
        pool_destroy(pool);
    }
}

static void stop_with_nothing_waiting(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL)); /* idle: nobody is in a call */
    pool_stop(pool);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    pool_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(stop_keeps_what_runs),
        PROCESS_TEST(stopped_by_a_signal_handler),
        PROCESS_TEST(an_endless_map_is_stopped),
        PROCESS_TEST(an_iteration_is_stopped),
        PROCESS_TEST(what_has_not_begun_never_does),
        PROCESS_TEST(stop_with_nothing_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
