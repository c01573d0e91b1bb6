/*
 * Large arguments and results on their way through the rings that a worker shares with its host: each size where one
 * way ends and the next begins, and what becomes of one that is let go, robbed or killed with half of it under way.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include "data/board.h"
#include "data/bulk.h"
#include "data/wire.h"

#include <signal.h>
#include <sys/resource.h>

#define MEBIBYTE ((size_t)1 << 20)

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed + i * 7 + (i >> 8) * 3 + (i >> 16));
}

static unsigned char *filled(size_t size, unsigned seed)
{
    unsigned char *bytes = made(malloc(size + 1));

    fill(bytes, size, seed);
    return bytes;
}

/* ---- every size */

/* Its argument back, with one more in each byte. */
static int task_adds(struct pool_task *task)
{
    const unsigned char *in = task->arg;
    unsigned char *out = pool_return_space(task, task->size);

    if (!out)
        return pool_fail(task, 1, "no memory");
    for (size_t i = 0; i < task->size; i++)
        out[i] = (unsigned char)(in[i] + 1);
    return 0;
}

static void check_size(struct pool *pool, size_t size, unsigned seed)
{
    unsigned char *argument = filled(size, seed), *expected = filled(size, seed + 1), *result = made(malloc(size + 1));

    result[size] = 0x5a;
    assert_status(pool_apply(pool, task_adds, argument, size, result, size, NULL), POOL_OK);
    assert_memory_equal(result, expected, size);
    assert_int_equal(result[size], 0x5a);
    free(argument);
    free(expected);
    free(result);
}

static void sizes_at_every_border(void **state)
{
    static const size_t borders[] = {POOL__FRAME_MAX,      POOL__STAGING_SIZE - POOL__RECORD_SIZE,
                                     POOL__PIECE_MOST,     POOL__PIECE_MOST + POOL__PIECE_BETWEEN,
                                     POOL__RING_ROOM,      POOL__RING_ROOM + POOL__PIECE_BETWEEN,
                                     2 * POOL__RING_ROOM,  3 * MEBIBYTE};
    static const int steps[] = {-17, -16, -15, -1, 0, 1, 15, 16, 17};
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (unsigned i = 0; i < sizeof borders / sizeof borders[0]; i++)
        for (unsigned k = 0; k < sizeof steps / sizeof steps[0]; k++)
            check_size(pool, borders[i] + (size_t)steps[k], i * 16 + k);
    pool_destroy(pool);
}

/* The rings are used on where they stand, by every worker of a row. */
static void sizes_of_all_kinds_in_a_row(void **state)
{
    struct pool *pool = made(pool_create(2, &(struct pool_options){.tasks_per_worker = 40}));
    unsigned number = 4;

    (void)state;
    for (unsigned round = 0; round < 150; round++) {
        number = number * 1103515245u + 12345u;
        check_size(pool, (number >> 8) % (round % 3 == 0 ? 2 * MEBIBYTE : 300000), round);
    }
    pool_destroy(pool);
}

/* ---- half of it under way: a worker that does not run has what ring and pipe hold, the rest waits */

static bool stops(pid_t pid)
{
    struct family_member member;
    int64_t end = time_now_ms() + FAMILY_MS * time_scale();

    kill(pid, SIGSTOP);
    while (family_look(pid, &member) && member.state != 'T' && time_now_ms() < end)
        pause_briefly();
    return member.state == 'T';
}

static struct pool *open_pool(unsigned workers, unsigned flags, pid_t *pids)
{
    struct pool *pool = made(pool_create(workers, &(struct pool_options){.flags = flags}));

    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 8 * workers, 0), NULL, 0, NULL), POOL_OK);
    assert_int_equal(pool_worker_pids(pool, pids, workers), workers);
    for (unsigned i = 0; i < workers; i++)
        assert_true(stops(pids[i]));
    return pool;
}

static void check_future(struct pool_future *future, size_t size, unsigned seed)
{
    unsigned char *expected = filled(size, seed + 1);
    const struct pool_result *result;

    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->size, size);
    assert_memory_equal(result->data, expected, size);
    pool_future_free(future);
    free(expected);
}

/* It never comes, and what follows it does. */
static void one_is_cancelled(void **state)
{
    const size_t size = 8 * MEBIBYTE;
    unsigned char *argument = filled(size, 1);
    pid_t pid;

    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD)
        for (int round = 0; round < 4; round++) {
            struct pool *pool = open_pool(1, flags, &pid);
            struct pool_future *future = made(pool_apply_async(pool, task_adds, argument, size, NULL));
            if (round % 2 != 0)
                assert_status(pool_future_wait(future, 5), POOL_TIMEOUT);
            assert_status(pool_future_cancel(future, false), POOL_OK);
            assert_status(pool_future_get(future, 0, &(const struct pool_result *){NULL}), POOL_CANCELLED);
            pool_future_free(future); /* and its argument with it */
            future = made(pool_apply_async(pool, task_adds, argument, size, NULL));
            kill(pid, SIGCONT);
            check_future(future, size, 1);
            check_size(pool, size + 1, 2);
            pool_destroy(pool);
        }
    free(argument);
}

/* A map's array is its caller's again when the map has been cancelled, whatever was sent of it. */
static void a_map_lets_its_array_go(void **state)
{
    enum { ITEMS = 3 };
    const size_t size = 4 * MEBIBYTE;
    pid_t pid;

    (void)state;
    struct pool *pool = open_pool(1, 0, &pid);
    unsigned char *items = filled(ITEMS * size, 1), *out = made(malloc(ITEMS * size));
    struct pool_future *future =
        made(pool_map_async(pool, task_adds, pool_items(items, ITEMS, size), out, size, NULL));
    pool_future_free(future);
    free(items);
    free(out);
    kill(pid, SIGCONT);
    check_size(pool, size, 2);
    pool_destroy(pool);
}

static void one_is_robbed(void **state)
{
    const size_t size = 8 * MEBIBYTE;
    unsigned char *argument = filled(size, 1);
    pid_t pids[2];

    (void)state;
    struct pool *pool = open_pool(2, 0, pids);
    struct pool_future *first = made(pool_apply_async(pool, task_adds, argument, size, NULL));
    struct pool_future *second = made(pool_apply_async(pool, task_adds, argument, size - 5, NULL));
    kill(pids[1], SIGCONT); /* does both: what the other has is taken from it in the middle */
    check_future(first, size, 1);
    check_future(second, size - 5, 1);
    kill(pids[0], SIGCONT);
    for (unsigned i = 0; i < 6; i++)
        check_size(pool, size + i, i);
    pool_destroy(pool);
    free(argument);
}

static void one_is_killed_before_it_has_its_argument(void **state)
{
    const size_t size = 8 * MEBIBYTE;
    unsigned char *argument = filled(size, 1);
    pid_t pid;

    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        struct pool *pool = open_pool(1, flags, &pid);
        struct pool_future *future = made(pool_apply_async(pool, task_adds, argument, size, NULL));
        kill(pid, SIGKILL);
        check_future(future, size, 1); /* by its successor, which has a ring of its own */
        check_size(pool, size, 2);
        pool_destroy(pool);
    }
    free(argument);
}

/* ---- half of a result under way: a host that does not read */

/* A worker that has run its task and sleeps has filled ring and pipe with what came of it. */
static bool sleeps(pid_t pid)
{
    struct family_member member;
    unsigned long long ticks = 0;
    int64_t end = time_now_ms() + FAMILY_MS * time_scale();
    int same = 0;

    while (same < 20 && time_now_ms() < end && family_look(pid, &member)) {
        same = member.state == 'S' && member.ticks == ticks ? same + 1 : 0;
        ticks = member.ticks;
        pause_briefly();
    }
    return same == 20;
}

static int task_tells_and_adds(struct pool_task *task)
{
    int code = task_adds(task);

    gate_pass(&ground->gate[1]);
    atomic_store(&ground->count[0], 1);
    return code;
}

static void one_is_killed_before_its_result_is_out(void **state)
{
    const size_t size = 8 * MEBIBYTE;
    unsigned char *argument = filled(size, 1);
    struct pool_job job = {.retries = 1};
    pid_t pid;

    (void)state;
    for (int again = 0; again < 2; again++) {
        struct pool *pool = made(pool_create(1, &(struct pool_options){.flags = POOL_NO_THREAD}));
        ground_make();
        assert_status(pool_apply(pool, task_pid, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
        struct pool_future *future =
            made(pool_apply_async(pool, task_tells_and_adds, argument, size, again ? &job : NULL));
        while (atomic_load(&ground->gate[1].arrived) == 0) {
            assert_status(pool_dispatch(pool), POOL_OK); /* until it has its argument */
            pause_briefly();
        }
        gate_open(&ground->gate[1]);
        assert_true(counter_wait(&ground->count[0], 1));
        assert_true(sleeps(pid));
        kill(pid, SIGKILL);
        if (again)
            check_future(future, size, 1);
        else {
            assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_CRASHED);
            pool_future_free(future);
        }
        check_size(pool, size, 2);
        pool_destroy(pool);
    }
    free(argument);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(sizes_at_every_border),
        PROCESS_TEST(sizes_of_all_kinds_in_a_row),
        PROCESS_TEST(one_is_cancelled),
        PROCESS_TEST(a_map_lets_its_array_go),
        PROCESS_TEST(one_is_robbed),
        PROCESS_TEST(one_is_killed_before_it_has_its_argument),
        PROCESS_TEST(one_is_killed_before_its_result_is_out),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
