/*
 * Maps of short items, claimed many at a time (rule 7), while the host takes them back to share them out, to cancel
 * them, or because workers go: none is passed over, none starts twice, and no worker is taken for a liar.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/scale.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { WORKERS = 6, MOST_ITEMS = 4000 };

static long squares[MOST_ITEMS];
static enum pool_status statuses[MOST_ITEMS];

static void spin(uint64_t ns)
{
    struct timespec from, now;

    clock_gettime(CLOCK_MONOTONIC, &from);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((uint64_t)(now.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec - (uint64_t)from.tv_nsec < ns);
}

/* Every `each`th item takes `ns`, the others nothing. */
struct cost {
    size_t each;
    uint64_t ns;
};

static int task_of_some_cost(struct pool_task *task)
{
    long value = (long)task->index;
    struct cost cost;

    memcpy(&cost, task->shared, sizeof cost);
    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index % cost.each == cost.each - 1)
        spin(cost.ns);
    value *= value;
    return pool_return(task, &value, sizeof value);
}

struct round {
    size_t items;
    struct cost cost;
    struct pool_job job;
    struct pool_future *map;
};

static void start_round(struct round *round, struct pool *pool, struct dice *dice)
{
    static const size_t items[] = {60, 400, MOST_ITEMS};
    static const struct cost costs[] = {{7, 2000}, {97, 30000}, {501, 1000000}, {SIZE_MAX, 0}};

    memset((void *)ground->started, 0, MOST_ITEMS * sizeof ground->started[0]);
    round->items = items[dice_throw(dice, 3)];
    round->cost = costs[dice_throw(dice, 4)];
    round->job = (struct pool_job){.keep_going = true, .statuses = statuses, .shared = &round->cost,
                                   .shared_size = sizeof round->cost};
    round->job.chunk = (size_t[]){0, 5, 17, round->items}[dice_throw(dice, 4)];
    round->map = made(pool_map_async(pool, task_of_some_cost, pool_items(NULL, round->items, 0), squares,
                                     sizeof squares[0], &round->job));
}

/* How many have crashed. */
static size_t end_round(struct round *round)
{
    size_t crashed = 0;

    assert_status(pool_future_wait(round->map, POOL_FOREVER), POOL_OK);
    for (size_t i = 0; i < round->items; i++) {
        int starts = atomic_load(&ground->started[i]);

        assert_in_range(starts, 0, 1);
        assert_true(statuses[i] == POOL_OK || statuses[i] == POOL_CANCELLED || statuses[i] == POOL_CRASHED);
        assert_true(statuses[i] != POOL_OK || (starts == 1 && squares[i] == (long)(i * i)));
        assert_true(statuses[i] != POOL_CANCELLED || starts == 0);
        crashed += statuses[i] == POOL_CRASHED;
    }
    pool_future_free(round->map);
    return crashed;
}

static void nobody_dies(void **state)
{
    struct pool *pool = made(pool_create(WORKERS, NULL));
    struct dice dice = {20261122};
    size_t rounds = scaled(6000);
    struct pool_stats stats;
    struct round round;

    (void)state;
    stress_begin();
    for (size_t i = 0; i < rounds; i++) {
        start_round(&round, pool, &dice);
        if (dice_throw(&dice, 8) == 0) {
            spin(dice_throw(&dice, 400000));
            pool_future_cancel(round.map, false); /* POOL_INVALID where all of it runs, or is done */
        }
        assert_int_equal(end_round(&round), 0);
    }
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.workers_lost, 0);
    printf("%zu maps, %llu items stolen\n", rounds, (unsigned long long)stats.stolen);
    pool_destroy(pool);
}

static void kill_one(struct pool *pool, struct dice *dice)
{
    pid_t pids[WORKERS * 2];
    size_t count = pool_worker_pids(pool, pids, WORKERS * 2);

    if (count > 0)
        kill(pids[dice_throw(dice, (uint32_t)count)], SIGKILL);
}

static void workers_come_and_go(unsigned tasks_per_worker)
{
    struct pool_options options = {.tasks_per_worker = tasks_per_worker};
    struct pool *pool = made(pool_create(WORKERS, &options));
    struct dice dice = {20261123};
    size_t rounds = scaled(2000), crashed = 0;
    struct round round;

    stress_begin();
    for (size_t i = 0; i < rounds; i++) {
        start_round(&round, pool, &dice);
        spin(dice_throw(&dice, 300000));
        if (dice_throw(&dice, 3) == 0)
            kill_one(pool, &dice);
        if (dice_throw(&dice, 5) == 0)
            assert_status(pool_resize(pool, 2 + dice_throw(&dice, WORKERS)), POOL_OK);
        crashed += end_round(&round);
    }
    printf("%zu maps, %zu items crashed\n", rounds, crashed);
    pool_destroy(pool);
}

static void some_are_killed(void **state)
{
    (void)state;
    workers_come_and_go(0);
}

static void all_retire(void **state)
{
    (void)state;
    workers_come_and_go(300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(nobody_dies),
        PROCESS_TEST(some_are_killed),
        PROCESS_TEST(all_retire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
