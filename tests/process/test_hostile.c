/*
 * Tasks that lie, scribble, close and cling (see support/hostile.h): each costs its own item at most. The items of other workers, the
 * program's memory and the pool are as if nothing had been.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/hostile.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include "data/board.h"
#include "data/wire.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WORKERS = 4, NEIGHBOURS = WORKERS - 1, ROUNDS = 4 };

/* Short patience for workers that say they are leaving, and do not. */
static struct pool *make_pool(unsigned workers)
{
    hostile_begin();
    return made(pool_create(workers, &(struct pool_options){.start_timeout_ms = 1000 * time_scale()}));
}

/* Some honest items: each has its right result, or its worker was one that is hostile still. True: all have it. */
static bool honest_items(struct pool *pool)
{
    enum { ITEMS = 40 };
    long items[ITEMS], squares[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.keep_going = true, .statuses = statuses};

    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    enum pool_status status = pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job);
    for (long i = 0; i < ITEMS; i++) {
        assert_true(statuses[i] == POOL_OK || statuses[i] == POOL_CRASHED || statuses[i] == POOL_EXITED);
        if (statuses[i] == POOL_OK)
            assert_int_equal(squares[i], i * i);
    }
    return status == POOL_OK;
}

/* A hostile worker is there until it is found out; then all is well. */
static void check_usable(struct pool *pool)
{
    int tries = 20;

    while (!honest_items(pool))
        assert_true(--tries > 0);
}

static bool is_impossible_here(const struct hostile_act *act)
{
    bool thread = strstr(act->name, "thread") != NULL, limits = strcmp(act->name, "limit_itself") == 0;

    bool daemon = strstr(act->name, "daemon") != NULL;

    return (UNDER_THREAD_SANITIZER && (thread || limits)) || (UNDER_ADDRESS_SANITIZER && limits)
           || (!FAMILY_FOLLOWS_SESSIONS && daemon);
}

static void check_outcome(const struct hostile_act *act, enum pool_status status)
{
    if ((act->outcomes & 1u << status) == 0)
        fail_msg("%s ended %s: %s", act->name, pool_status_name(status), pool_error());
}

/* It may lie in wait, its board scribbled over. The acts that follow are to begin with honest workers. */
static void end_the_hostile(pid_t worker)
{
    if (worker > 1 && kill(worker, SIGKILL) == 0 && family_known())
        assert_true(family_gone(worker));
}

/* All neighbours are in a task while it happens, and all of them end well. */
static void each_act(void **state)
{
    struct pool *pool = make_pool(WORKERS);

    (void)state;
    for (unsigned i = 0; i < hostile_act_count * ROUNDS; i++) {
        const struct hostile_act *act = &hostile_acts[i / ROUNDS];
        struct hostile_order order = {i / ROUNDS, i % ROUNDS};
        struct pool_future *neighbours[NEIGHBOURS];
        const struct pool_result *result;
        if (is_impossible_here(act))
            continue;
        gate_shut(&ground->gate[0]);
        occupy(pool, 0, neighbours, NEIGHBOURS);
        struct pool_future *future = made(pool_apply_async(pool, task_hostile, &order, sizeof order, NULL));
        check_outcome(act, pool_future_get(future, POOL_FOREVER, &result));
        assert_true(result->status == POOL_OK || result->message[0] != '\0');
        pid_t worker = result->worker;
        pool_future_free(future);
        gate_open(&ground->gate[0]);
        for (size_t n = 0; n < NEIGHBOURS; n++) {
            long value = -1;
            assert_status(pool_future_read(neighbours[n], POOL_FOREVER, &value, sizeof value), POOL_OK);
            assert_int_equal(value, (long)n);
        }
        release(neighbours, NEIGHBOURS);
        check_usable(pool);
        end_the_hostile(worker);
    }
    pool_destroy(pool);
}

/* A pool of one: whatever the act did to its only worker, the next task is done. */
static void each_act_alone(void **state)
{
    struct pool *pool = make_pool(1);

    (void)state;
    for (unsigned i = 0; i < hostile_act_count; i++) {
        struct hostile_order order = {i, 1};
        if (is_impossible_here(&hostile_acts[i]))
            continue;
        const struct pool_result *result;
        struct pool_future *future = made(pool_apply_async(pool, task_hostile, &order, sizeof order, NULL));
        check_outcome(&hostile_acts[i], pool_future_get(future, POOL_FOREVER, &result));
        pid_t worker = result->worker;
        pool_future_free(future);
        check_usable(pool);
        end_the_hostile(worker); /* what it has left behind may write into the same pipe yet */
    }
    pool_destroy(pool);
}

/* ---- lies that would reach into the program's memory */

enum { LARGE = 300000, EARLY = 100 };

/*
 * The first time: sends the head of its own result and a few bytes of it, then tells the board that it never began. The item goes to another
 * worker, which gives the result. Behind gate 1 the rest of the first one's bytes comes.
 */
static int task_takes_its_claim_back(struct pool_task *task)
{
    char *bytes;

    if (atomic_fetch_add(&ground->count[0], 1) == 0) {
        struct pool__board *board = hostile_board(task);
        struct pool__record record;
        static char lies[LARGE];
        memset(lies, 'X', sizeof lies);
        hostile_own_result(task, &record, LARGE);
        hostile_send(&record);
        hostile_write(lies, EARLY);
        pause_briefly(); /* it is read: its place is known */
        uint64_t word = atomic_load(&board->range[record.batch % POOL__FLIGHT]);
        atomic_store(&board->running, 0);
        atomic_store(&board->range[record.batch % POOL__FLIGHT], word & ~(uint64_t)POOL__BATCH_MAX);
        gate_pass(&ground->gate[1]);
        hostile_write(lies, sizeof lies - EARLY);
        gate_open(&ground->gate[2]);
        return 0;
    }
    bytes = pool_return_space(task, LARGE);
    if (bytes == NULL)
        return 1;
    memset(bytes, 'a', LARGE);
    return 0;
}

static bool is_all(const char *bytes, size_t size, char byte)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte)
            return false;
    return true;
}

static void a_claim_taken_back(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct pool *pool = make_pool(2);
        char *out = made(calloc(1, LARGE));
        ground_make();
        struct pool_future *map = made(
            pool_map_async(pool, task_takes_its_claim_back, pool_items(NULL, 1, 0), out, LARGE, NULL));
        enum pool_status status = pool_future_get(map, POOL_FOREVER, &(const struct pool_result *){NULL});
        assert_true(status == POOL_OK || status == POOL_CRASHED);
        assert_true(status != POOL_OK || is_all(out, LARGE, 'a'));
        pool_future_free(map);
        /* from here on it is the program's again */
        memset(out, 'p', LARGE);
        gate_open(&ground->gate[1]);
        for (int i = 0; i < 20; i++)
            check_usable(pool);
        assert_true(is_all(out, LARGE, 'p'));
        free(out);
        pool_destroy(pool);
    }
}

/* ---- lies of two tasks of one worker that would have others' items run twice */

enum { AHEAD = 5, PLACE = 100 }; /* of ground->started: the other tasks count theirs from 0 on */

/* What follows in the stream seems to be its result's body. */
static int task_swallows_results(struct pool_task *task)
{
    struct pool__record record;

    hostile_own_result(task, &record, 100000);
    hostile_send(&record);
    return 0;
}

/* As if the worker were not here yet. */
static int task_sets_the_mark_back(struct pool_task *task)
{
    struct pool__board *board = hostile_board(task);

    pool__board_mark(board, pool__board_running(board).batch - 1, 1, POOL__MARK_NONE);
    raise(SIGKILL);
    return pool_fail(task, 1, "it lives");
}

static int task_starts(struct pool_task *task)
{
    long place;

    memcpy(&place, task->arg, sizeof place);
    atomic_fetch_add(&ground->started[PLACE + place], 1);
    return 0;
}

/* Sent ahead to the only worker, while it is busy: one that swallows, honest ones, one that lies and dies. */
static void no_results_and_no_mark(void **state)
{
    (void)state;
    struct pool *pool = make_pool(1);
    for (int round = 0; round < 20; round++) {
        struct pool_future *busy, *futures[AHEAD + 2];
        ground_make();
        for (int i = 0; i < 20; i++) /* short ones: so that more of them are sent ahead */
            pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL);
        occupy(pool, 0, &busy, 1);
        futures[0] = made(pool_apply_async(pool, task_swallows_results, NULL, 0, NULL));
        for (long i = 0; i < AHEAD; i++)
            futures[1 + i] = made(pool_apply_async(pool, task_starts, &i, sizeof i, NULL));
        futures[AHEAD + 1] = made(pool_apply_async(pool, task_sets_the_mark_back, NULL, 0, NULL));
        gate_open(&ground->gate[0]);
        for (size_t i = 0; i < AHEAD + 2; i++) {
            pool_future_wait(futures[i], POOL_FOREVER);
            pool_future_free(futures[i]);
        }
        release(&busy, 1);
        for (size_t i = 0; i < AHEAD; i++)
            assert_in_range(atomic_load(&ground->started[PLACE + i]), 0, 1);
    }
    pool_destroy(pool);
}

/* ---- lies that would keep the program busy */

static void *stage_without_end(void *argument)
{
    struct pool__board *board = argument;

    for (;;) {
        uint64_t staged = atomic_load(&board->staged);
        atomic_store(&board->base, staged);
        atomic_store(&board->staged, staged + POOL__STAGING_SIZE);
    }
    return NULL;
}

/* A result of 2^40 bytes, of which 64 KiB are staged anew as soon as somebody has taken the last. */
static int task_stages_without_end(struct pool_task *task)
{
    struct pool__board *board = hostile_board(task);
    struct pool__record record;
    pthread_t thread;

    if (task->index != 0)
        return task_index(task);
    hostile_own_result(task, &record, (uint64_t)1 << 40);
    hostile_send(&record);
    atomic_store(&board->base, POOL__RECORD_SIZE);
    if (pthread_create(&thread, NULL, stage_without_end, board) != 0)
        return 1;
    gate_pass(&ground->gate[0]);
    _exit(0);
}

static void staged_without_end(void **state)
{
    struct pool_job job = {.chunk = 8, .keep_going = true};

    (void)state;
    skip_under_thread_sanitizer();
    struct pool *pool = make_pool(2);
    struct pool_future *map = made(pool_map_async(pool, task_stages_without_end, pool_items(NULL, 16, 0), NULL, 0, &job));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    int64_t start = time_now_ms();
    for (int i = 0; i < 200; i++) /* under the same lock */
        check_usable(pool);
    assert_true(time_now_ms() - start < 10000 * time_scale());
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
    pool_future_free(map);
    pool_destroy(pool);
}

static int task_floods(struct pool_task *task)
{
    static const char bytes[65536];
    struct pool__record record;

    hostile_own_result(task, &record, (uint64_t)1 << 40);
    hostile_send(&record);
    gate_pass(&ground->gate[0]);
    while (!atomic_load(&ground->gate[1].opened) && hostile_write(bytes, sizeof bytes))
        continue;
    _exit(0);
}

/* How long so many tasks take, one after the other. */
static int64_t time_of_tasks(struct pool *pool)
{
    int64_t start = time_now_ms();

    for (int i = 0; i < 10; i++)
        check_usable(pool);
    return time_now_ms() - start;
}

/* A map's item whose place is 64 KiB announces 2^40: nothing is kept. It floods, and the others come through. */
static void a_flood(void **state)
{
    static char out[65536];
    struct pool *pool = make_pool(WORKERS);

    (void)state;
    struct pool_future *map = made(pool_map_async(pool, task_floods, pool_items(NULL, 1, 0), out, sizeof out, NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    int64_t calm = time_of_tasks(pool);
    gate_open(&ground->gate[0]);
    int64_t flooded = time_of_tasks(pool);
    printf("400 tasks one map after the other: %lld ms, in a flood %lld ms\n", (long long)calm, (long long)flooded);
    assert_true(flooded < 2000 * time_scale());
    gate_open(&ground->gate[1]);
    assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
    pool_future_free(map);
    pool_destroy(pool);
}

/* ---- workers that say good-bye, and stay */

static int task_takes_leave(struct pool_task *task)
{
    struct pool__record record;

    (void)task;
    memset(&record, 0, sizeof record);
    record.kind = POOL__RECORD_LEAVING;
    hostile_send(&record);
    return 0;
}

/* The only worker says that it leaves, and does not: it is not waited for longer than for one that was told to. */
static void leave_is_taken_and_nobody_goes(void **state)
{
    struct pool *pool = make_pool(1);

    (void)state;
    for (int i = 0; i < 2; i++) {
        int64_t start = time_now_ms();
        assert_status(pool_apply(pool, task_takes_leave, NULL, 0, NULL, 0, NULL), POOL_OK);
        check_usable(pool);
        assert_true(time_now_ms() - start < 5000 * time_scale());
    }
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(each_act),
        PROCESS_TEST(each_act_alone),
        PROCESS_TEST(a_claim_taken_back),
        PROCESS_TEST(no_results_and_no_mark),
        PROCESS_TEST(staged_without_end),
        PROCESS_TEST(a_flood),
        PROCESS_TEST(leave_is_taken_and_nobody_goes),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
