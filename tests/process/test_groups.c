/*
 * Plain applies that stand in one group and go out in common frames: each keeps what is promised for one alone. It is
 * cancelled, killed for, crashes, is retried, has its argument and result by itself; and its neighbours do not notice.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { MANY = 1000 };

struct numbered {
    int number, what;
};
enum { RETURNS, WAITS_AT_GATE_1, DIES, DIES_ONCE, FAILS };

/* Counts its start; the number is the result. */
static int task_numbered(struct pool_task *task)
{
    struct numbered numbered;

    if (task->size != sizeof numbered)
        return 1;
    memcpy(&numbered, task->arg, sizeof numbered);
    if (task->index != 0)
        return 2;
    atomic_fetch_add(&ground->started[numbered.number], 1);
    if (numbered.what == WAITS_AT_GATE_1 && !gate_pass(&ground->gate[1]))
        return 3;
    if (numbered.what == DIES || (numbered.what == DIES_ONCE && task->attempt == 1))
        return task_killed(task);
    if (numbered.what == FAILS)
        return pool_fail(task, 4, "%d fails", numbered.number);
    return pool_return(task, &numbered.number, sizeof numbered.number);
}

static struct pool_future *start(struct pool *pool, int number, int what, const struct pool_job *job)
{
    struct numbered numbered = {number, what};

    return made(pool_apply_async(pool, task_numbered, &numbered, sizeof numbered, job));
}

/* So that the pool knows that they are short, and sends many at a time. */
static void warm_up(struct pool *pool)
{
    struct pool_future *futures[100];

    for (int i = 0; i < 100; i++)
        futures[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    assert_status(pool_wait_all(futures, 100, POOL_FOREVER), POOL_OK);
    release(futures, 100);
    atomic_store(&ground->started[0], 0);
}

static void assert_done(struct pool_future *future, int number)
{
    const struct pool_result *result;
    int back;

    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->size, sizeof back);
    memcpy(&back, result->data, sizeof back);
    assert_int_equal(back, number);
    assert_int_equal(result->index, 0);
    assert_int_equal(((const struct numbered *)result->arg)->number, number);
    assert_int_equal(result->arg_size, sizeof(struct numbered));
    assert_string_equal(result->message, "");
    assert_true(result->worker > 0);
    assert_int_equal((uintptr_t)result->data % 16, 0);
    assert_int_equal((uintptr_t)result->arg % 16, 0);
}

static void each_has_its_own_result(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[MANY];

    (void)state;
    warm_up(pool);
    for (int i = 0; i < MANY; i++)
        futures[i] = start(pool, i, RETURNS, NULL);
    for (int i = MANY - 1; i >= 0; i--) {
        assert_done(futures[i], i);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    release(futures, MANY);
    pool_destroy(pool);
}

/* Every third of those behind a gate: these never run, the others once each. */
static void one_of_many_that_wait_is_cancelled(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[MANY], *busy[2];

    (void)state;
    warm_up(pool);
    occupy(pool, 1, busy, 2);
    atomic_store(&ground->started[0], 0);
    for (int i = 0; i < MANY; i++)
        futures[i] = start(pool, i, RETURNS, NULL);
    for (int i = 2; i < MANY; i += 3) {
        assert_status(pool_future_cancel(futures[i], i % 2 == 0), POOL_OK);
        assert_status(pool_future_get(futures[i], 0, NULL), POOL_CANCELLED);
        assert_status(pool_future_cancel(futures[i], false), POOL_INVALID);
    }
    gate_open(&ground->gate[1]);
    for (int i = 0; i < MANY; i++) {
        if (i % 3 != 2)
            assert_done(futures[i], i);
        assert_int_equal(atomic_load(&ground->started[i]), i % 3 != 2);
    }
    release(busy, 2);
    struct pool_stats stats;
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.cancelled, MANY / 3);
    assert_int_equal(stats.queued + stats.running, 0);
    release(futures, MANY);
    pool_destroy(pool);
}

/* Those that run are killed for, and what was sent behind them runs elsewhere, once each. */
static void a_kill_harms_no_neighbour(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[MANY];
    const struct pool_result *result;

    (void)state;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++)
            atomic_store(&ground->started[i], 0);
        gate_shut(&ground->gate[1]);
        warm_up(pool);
        for (int i = 0; i < MANY; i++)
            futures[i] = start(pool, i, i == 100 || i == 600 ? WAITS_AT_GATE_1 : RETURNS, NULL);
        for (int i = 100; i <= 600; i += 500) {
            assert_true(counter_wait(&ground->started[i], 1));
            assert_status(pool_future_cancel(futures[i], true), POOL_OK);
            assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_CANCELLED);
            assert_string_equal(result->message, "cancelled, and its worker was killed");
        }
        for (int i = 0; i < MANY; i++) {
            if (i != 100 && i != 600)
                assert_done(futures[i], i);
            assert_int_equal(atomic_load(&ground->started[i]), 1);
        }
        release(futures, MANY);
    }
    struct pool_stats stats;
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.cancelled, 10);
    pool_destroy(pool);
}

static void a_crash_costs_one(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[MANY];
    const struct pool_result *result;

    (void)state;
    warm_up(pool);
    for (int i = 0; i < MANY; i++)
        futures[i] = start(pool, i, i % 200 == 100 ? DIES : i % 200 == 101 ? FAILS : RETURNS, NULL);
    for (int i = 0; i < MANY; i++) {
        if (i % 200 == 100) {
            assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_CRASHED);
            assert_int_equal(result->code, SIGKILL);
            assert_null(strstr(result->message, "item "));
        } else if (i % 200 == 101) {
            assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_FAILED);
            assert_int_equal(result->code, 4);
            assert_non_null(strstr(result->message, "fails"));
        } else {
            assert_done(futures[i], i);
        }
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    release(futures, MANY);
    pool_destroy(pool);
}

static void each_is_retried_by_itself(void **state)
{
    struct pool_job job = {.retries = 2};
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[300];
    const struct pool_result *result;

    (void)state;
    warm_up(pool);
    for (int i = 0; i < 300; i++)
        futures[i] = start(pool, i, i % 100 == 50 ? DIES_ONCE : RETURNS, &job);
    for (int i = 0; i < 300; i++) {
        assert_done(futures[i], i);
        assert_status(pool_future_get(futures[i], 0, &result), POOL_OK);
        assert_int_equal(result->attempts, i % 100 == 50 ? 2 : 1);
        assert_int_equal(atomic_load(&ground->started[i]), i % 100 == 50 ? 2 : 1);
    }
    release(futures, 300);
    pool_destroy(pool);
}

/* Sizes around what has room beside a future, empty ones, and such as go in no common frame. */
static void arguments_and_results_of_any_size(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 31, 32, 33, 64, 4096, 70000, 300000};
    enum { KINDS = sizeof sizes / sizeof sizes[0], EACH = 20 };
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[KINDS][EACH];
    static unsigned char bytes[300000];
    const struct pool_result *result;

    (void)state;
    warm_up(pool);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < EACH; i++) {
            memset(bytes, k * EACH + i, sizes[k]);
            futures[k][i] = made(pool_apply_async(pool, task_echo, bytes, sizes[k], NULL));
        }
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < EACH; i++) {
            assert_status(pool_future_get(futures[k][i], POOL_FOREVER, &result), POOL_OK);
            assert_int_equal(result->size, sizes[k]);
            assert_int_equal(result->arg_size, sizes[k]);
            memset(bytes, k * EACH + i, sizes[k]);
            assert_true(sizes[k] == 0 || memcmp(result->data, bytes, sizes[k]) == 0);
            assert_true(sizes[k] == 0 || memcmp(result->arg, bytes, sizes[k]) == 0);
            pool_future_free(futures[k][i]);
        }
    pool_destroy(pool);
}

static int task_append(struct pool_task *task)
{
    int place = atomic_fetch_add(&ground->count[0], 1);

    atomic_store(&ground->started[place], *(const int *)task->arg);
    return 0;
}

static int task_append_too(struct pool_task *task)
{
    return task_append(task);
}

static void note_nothing(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
}

/* With one worker they begin in the order in which they came, whatever they have in common. */
static void they_keep_their_order(void **state)
{
    struct pool_job with_callback = {.callback = note_nothing}, with_retries = {.retries = 1};
    struct pool *pool = made(pool_create(1, NULL));
    static struct pool_future *futures[MANY];
    struct pool_future *busy;

    (void)state;
    warm_up(pool);
    occupy(pool, 0, &busy, 1);
    for (int i = 0; i < MANY; i++)
        futures[i] = made(pool_apply_async(pool, i % 7 == 3 ? task_append_too : task_append, &i, sizeof i,
                                           i % 11 == 5   ? &with_callback
                                           : i % 13 == 1 ? &with_retries
                                                         : NULL));
    gate_open(&ground->gate[0]);
    assert_status(pool_wait_all(futures, MANY, POOL_FOREVER), POOL_OK);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(atomic_load(&ground->started[i]), i);
    release(futures, MANY);
    release(&busy, 1);
    pool_destroy(pool);
}

/* Freed in any order, done or not; the pool first, too. */
static void freed_in_any_order(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));
    static struct pool_future *futures[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++)
        futures[i] = start(pool, i, RETURNS, NULL);
    for (int i = 0; i < MANY; i += 3)
        pool_future_free(futures[i]);
    for (int i = 1; i < MANY; i += 3)
        assert_done(futures[i], i);
    for (int i = MANY - 1; i >= 0; i--)
        if (i % 3 == 1)
            pool_future_free(futures[i]);
    pool_destroy(pool);
    for (int i = 2; i < MANY; i += 3) {
        enum pool_status status = pool_future_wait(futures[i], 0);
        assert_status(status, POOL_OK);
        status = pool_future_get(futures[i], 0, NULL);
        assert_true(status == POOL_OK || status == POOL_TERMINATED);
        pool_future_free(futures[i]);
    }
}

/* KiB of addresses that this process has; 0: the system does not tell. */
static long addresses(void)
{
    char line[256];
    long size = 0;
    FILE *file = fopen("/proc/self/status", "r");

    while (file && size == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmSize: %ld", &size) != 1)
            size = 0;
    if (file)
        fclose(file);
    return size;
}

/* As many as large pages are taken for, twice; some are freed after the pool. */
static void burst(struct pool_future **futures, size_t count)
{
    struct pool *pool = made(pool_create(2, NULL));

    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < count; i++) {
            long value = (long)i;
            futures[i] = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
        }
        for (size_t i = 0; i < count; i++) {
            const struct pool_result *result;
            long square;
            assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_OK);
            memcpy(&square, result->data, sizeof square);
            assert_int_equal(square, (long)i * (long)i);
        }
        if (turn == 1)
            pool_destroy(pool);
        for (size_t first = 0; first < 7; first++)
            for (size_t i = first; i < count; i += 7)
                pool_future_free(futures[i]);
    }
}

static void very_many(void **state)
{
    enum { COUNT = 60000, BURSTS = 10, MIB = 1024 };
    static struct pool_future *futures[COUNT];
    long before = 0;

    (void)state;
    for (int i = 0; i < BURSTS; i++) {
        burst(futures, COUNT);
        if (i == 0)
            before = addresses();
    }
    if (before > 0 && !UNDER_ADDRESS_SANITIZER && !UNDER_THREAD_SANITIZER) /* they keep what is freed */
        assert_in_range(addresses(), 1, before + 10 * MIB);
}

/* A task that waits tells how long; the time between two submissions does not go to the later one's account. */
static void waiting_times_are_their_own(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));
    const struct timespec pause = {0, 100 * 1000000};
    const struct pool_result *early, *late;
    struct pool_future *busy, *first, *second;

    (void)state;
    occupy(pool, 0, &busy, 1);
    first = start(pool, 1, RETURNS, NULL);
    nanosleep(&pause, NULL);
    second = start(pool, 2, RETURNS, NULL);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_get(first, POOL_FOREVER, &early), POOL_OK);
    assert_status(pool_future_get(second, POOL_FOREVER, &late), POOL_OK);
    assert_true(early->wait_ns >= 100 * 1000000);
    assert_true(late->wait_ns + 90 * 1000000 < early->wait_ns);
    pool_future_free(first);
    pool_future_free(second);
    release(&busy, 1);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(each_has_its_own_result),   PROCESS_TEST(one_of_many_that_wait_is_cancelled),
        PROCESS_TEST(a_kill_harms_no_neighbour), PROCESS_TEST(a_crash_costs_one),
        PROCESS_TEST(each_is_retried_by_itself), PROCESS_TEST(arguments_and_results_of_any_size),
        PROCESS_TEST(they_keep_their_order),     PROCESS_TEST(freed_in_any_order),
        PROCESS_TEST(waiting_times_are_their_own), PROCESS_TEST(very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
