/*
 * Thousands of hostile tasks (support/hostile.h) among honest ones, in one pool: what the honest ones return is right, none of them starts
 * twice or is lost, and those that share the fate of a hostile worker are those that it had too.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/hostile.h"
#include "../support/sanitizer.h"
#include "../support/scale.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <sys/resource.h>

enum { WORKERS = 6, AT_ONCE = 24, ITEMS = 400 };

static const char *told[AT_ONCE];

/*
 * Not what this build's sanitizer would not survive itself. Nor the one that says of what its worker has done that it never began it: such an
 * item does start twice, since nobody else can tell.
 */
static bool is_possible(const struct hostile_act *act)
{
    bool limits = strcmp(act->name, "limit_itself") == 0;
    bool daemon = strstr(act->name, "daemon") != NULL;

    return strcmp(act->name, "lie_about_claims") != 0 && (FAMILY_FOLLOWS_SESSIONS || !daemon)
           && !(limits && (UNDER_ADDRESS_SANITIZER || UNDER_THREAD_SANITIZER))
           && !(strstr(act->name, "thread") != NULL && UNDER_THREAD_SANITIZER);
}

static void start_hostile(struct pool *pool, struct pool_future **futures, struct dice *dice)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        struct hostile_order order;
        do
            order.act = dice_throw(dice, (uint32_t)hostile_act_count);
        while (!is_possible(&hostile_acts[order.act]));
        order.seed = dice_throw(dice, 1u << 30);
        told[i] = hostile_acts[order.act].name;
        futures[i] = made(pool_apply_async(pool, task_hostile, &order, sizeof order, NULL));
    }
}

/* A hostile task that waited at the worker of another may have crashed with it, or lost its place by it. */
static void end_hostile(struct pool_future **futures)
{
    for (size_t i = 0; i < AT_ONCE; i++) {
        enum pool_status status = pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL});
        if (status != POOL_OK && status != POOL_CRASHED && status != POOL_EXITED && status != POOL_NO_MEMORY)
            fail_msg("%s ended %s: %s", told[i], pool_status_name(status), pool_error());
        pool_future_free(futures[i]);
    }
}

static size_t check_honest(const long *squares, const enum pool_status *statuses)
{
    size_t crashed = 0;

    for (long i = 0; i < ITEMS; i++) {
        assert_in_range(atomic_load(&ground->started[i]), 0, 1);
        if (statuses[i] != POOL_OK && statuses[i] != POOL_CRASHED && statuses[i] != POOL_EXITED)
            fail_msg("honest item %ld, started %d times, ended %s", i, atomic_load(&ground->started[i]), pool_status_name(statuses[i]));
        crashed += statuses[i] != POOL_OK;
        if (statuses[i] == POOL_OK) {
            assert_int_equal(squares[i], i * i);
            assert_int_equal(atomic_load(&ground->started[i]), 1);
        }
    }
    return crashed;
}

static int task_counted_square(struct pool_task *task)
{
    long value = (long)task->index;

    atomic_fetch_add(&ground->started[task->index], 1);
    value *= value;
    return pool_return(task, &value, sizeof value);
}

static void among_honest_ones(void **state)
{
    struct pool_options options = {.start_timeout_ms = 1000};
    size_t rounds = scaled(10000) / AT_ONCE + 1, crashed = 0;
    struct dice dice = {20261122};
    struct pool_stats stats;

    (void)state;
    stress_begin();
    hostile_begin();
    struct pool *pool = made(pool_create(WORKERS, &options));
    for (size_t round = 0; round < rounds; round++) {
        struct pool_future *futures[AT_ONCE];
        enum pool_status statuses[ITEMS];
        long squares[ITEMS];
        struct pool_job job = {.keep_going = true, .statuses = statuses, .chunk = round % 2 ? 5 : 0};
        memset((void *)ground->started, 0, ITEMS * sizeof ground->started[0]);
        start_hostile(pool, futures, &dice);
        struct pool_future *map = made(pool_map_async(pool, task_counted_square, pool_items(NULL, ITEMS, 0), squares,
                                                      sizeof squares[0], &job));
        assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
        crashed += check_honest(squares, statuses);
        pool_future_free(map);
        end_hostile(futures);
    }
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    printf("%zu hostile tasks, %zu honest items of which %zu crashed with a hostile neighbour; %llu workers lost\n",
           rounds * AT_ONCE, rounds * ITEMS, crashed, (unsigned long long)stats.workers_lost);
    assert_true(crashed < rounds * ITEMS / 2);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(among_honest_ones),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
