/*
 * Processes that do not run: a helper process that is stopped, a worker that is stopped, either in a debugger's hands, and one that has been
 * killed and that the system keeps. Deadlines and cancels hold, nobody waits for a corpse, ends are bounded, and nobody is left.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/held.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <unistd.h>

enum { GENEROUS = 3000, DEADLINE = 50 };

/* A pool of that many workers, all of them READY; its helper process. */
static struct pool *open_pool(unsigned workers, unsigned flags, pid_t *pids, pid_t *zygote)
{
    struct pool *pool = made(pool_create(workers, &(struct pool_options){.flags = flags}));

    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 8 * workers, 0), NULL, 0, NULL), POOL_OK);
    assert_int_equal(pool_worker_pids(pool, pids, workers), workers);
    *zygote = family_parent(pids[0]);
    assert_true(*zygote > 1);
    return pool;
}

/* Again and again: what the pool still has to say to the helper process continues it. */
static bool stops(pid_t pid)
{
    struct family_member member;
    int64_t end = time_now_ms() + FAMILY_MS * time_scale();

    do {
        kill(pid, SIGSTOP);
        pause_briefly();
    } while (family_look(pid, &member) && member.state != 'T' && time_now_ms() < end);
    return member.state == 'T';
}

/* ---- the helper process, stopped */

static void deadlines_hold(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE};
    const struct pool_result *result;
    pid_t pids[2], zygote;

    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        struct pool *pool = open_pool(2, flags, pids, &zygote);
        for (int i = 0; i < 5; i++) {
            assert_true(stops(zygote));
            struct pool_future *future = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, &job));
            int64_t start = time_now_ms();
            assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_EXPIRED);
            assert_true(time_now_ms() - start < GENEROUS * time_scale());
            assert_true(family_gone(result->worker));
            pool_future_free(future);
        }
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        pool_destroy(pool);
    }
}

static void deaths_are_told(void **state)
{
    pid_t pids[1], zygote;
    struct pool *pool = open_pool(1, 0, pids, &zygote);

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_true(stops(zygote));
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

struct orphans {
    pid_t pids[2], zygote;
};

static int program_that_is_killed(void *context)
{
    struct orphans *orphans = context;
    struct pool *pool = pool_create(2, NULL);

    SIDE_CHECK(pool != NULL);
    for (int i = 0; i < 2; i++)
        SIDE_CHECK(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL) != NULL);
    SIDE_CHECK(counter_wait(&ground->count[0], 2));
    SIDE_CHECK(pool_worker_pids(pool, orphans->pids, 2) == 2);
    orphans->zygote = family_parent(orphans->pids[0]);
    SIDE_CHECK(stops(orphans->zygote));
    raise(SIGKILL);
    return 0;
}

/* The program dies while its helper process is stopped, and its workers are in tasks that never end. */
static void the_programs_death_is_seen(void **state)
{
    struct orphans *orphans = shared_memory(sizeof *orphans);

    (void)state;
    assert_int_equal(side_host_run(program_that_is_killed, orphans), 128 + SIGKILL);
    if (!FAMILY_FOLLOWS_SESSIONS)
        kill(orphans->zygote, SIGCONT); /* nothing else does, beyond Linux */
    assert_true(family_all_gone(orphans->pids, 2));
    assert_true(family_gone(orphans->zygote));
    shared_memory_free(orphans, sizeof *orphans);
}

/* ---- the helper process, held: nothing continues it */

static void a_held_helper_holds_nobody(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE, .retries = 3};
    const struct pool_result *result;
    pid_t pids[2], zygote;
    struct pool *pool = open_pool(2, 0, pids, &zygote);
    struct pool_future *future, *other;

    (void)state;
    assert_true(hold_now(zygote));
    future = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, &job));
    other = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_EXPIRED);
    assert_int_equal(result->attempts, 1); /* its worker is not known to be gone: no second at once */
    assert_true(counter_wait(&ground->count[0], 2));
    assert_status(pool_future_cancel(other, true), POOL_OK);
    assert_status(pool_future_get(other, POOL_FOREVER, NULL), POOL_CANCELLED);
    pool_future_free(future);
    pool_future_free(other);
    int64_t start = time_now_ms();
    pool_destroy(pool);
    assert_true(time_now_ms() - start < 10000 * time_scale());
    hold_end(zygote);
    assert_true(family_all_gone(pids, 2));
    assert_true(family_gone(zygote));
}

/* ---- workers that are killed and held at their exit */

enum { CORPSES = 6 };

static void corpses_hold_nobody(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE, .retries = 2};
    const struct pool_result *result;
    pid_t corpses[CORPSES], zygote;
    struct pool *pool = open_pool(1, 0, corpses, &zygote);

    (void)state;
    /* more of them than there are boards to spare: the last wait for one to be gone */
    for (int i = 0; i < CORPSES - 2; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, &job));
        assert_true(counter_wait(&ground->count[0], i + 1));
        assert_int_equal(pool_worker_pids(pool, &corpses[i], 1), 1);
        assert_true(hold_at_exit(corpses[i]));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_EXPIRED);
        assert_int_equal(result->attempts, 1);
        assert_int_equal(result->worker, corpses[i]);
        assert_true(hold_reached(corpses[i]));
        pool_future_free(future);
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    }
    struct pool_future *last = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL));
    assert_true(counter_wait(&ground->count[0], CORPSES - 1));
    assert_int_equal(pool_worker_pids(pool, &corpses[CORPSES - 2], 1), 1);
    assert_true(hold_at_exit(corpses[CORPSES - 2]));
    assert_status(pool_future_cancel(last, true), POOL_OK);
    assert_status(pool_future_get(last, POOL_FOREVER, NULL), POOL_CANCELLED);
    assert_true(hold_reached(corpses[CORPSES - 2]));
    pool_future_free(last);
    hold_end(corpses[0]); /* its board goes to the next worker */
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    for (int i = 1; i < CORPSES - 1; i++)
        hold_end(corpses[i]);
    assert_true(family_all_gone(corpses, CORPSES - 1));
    for (int i = 0; i < 4; i++)
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    pool_destroy(pool);
}

static void the_end_does_not_wait_for_one(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        pid_t pids[2], zygote;
        struct pool *pool = open_pool(2, way == 2 ? POOL_NO_THREAD : 0, pids, &zygote);
        struct pool_future *future = made(pool_apply_async(pool, task_stays_deaf, NULL, 0, NULL));
        while (atomic_load(&ground->count[0]) <= way)
            assert_status(pool_future_wait(future, 1), POOL_TIMEOUT);
        for (int i = 0; i < 2; i++)
            assert_true(hold_at_exit(pids[i]));
        int64_t start = time_now_ms();
        if (way == 1) {
            assert_status(pool_terminate(pool), POOL_OK);
            assert_status(pool_join(pool, 8000 * time_scale()), POOL_OK);
        }
        pool_destroy(pool);
        assert_true(time_now_ms() - start < 8000 * time_scale());
        assert_status(pool_future_get(future, 0, NULL), POOL_TERMINATED);
        pool_future_free(future);
        for (int i = 0; i < 2; i++)
            hold_end(pids[i]);
        assert_true(family_all_gone(pids, 2));
    }
}

/* ---- workers that are stopped */

/* It was idle when it was stopped: what it is given then and does not begin goes to another, once, under a deadline. */
static void a_stopped_worker_is_replaced(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE};
    const struct pool_result *result;
    pid_t stopped, zygote;
    struct pool *pool = open_pool(1, 0, &stopped, &zygote);

    (void)state;
    assert_true(stops(stopped));
    atomic_store(&ground->started[0], 0);
    struct pool_future *future = made(pool_apply_async(pool, task_index, NULL, 0, &job));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_int_not_equal(result->worker, stopped);
    assert_int_equal(result->attempts, 1);
    assert_int_equal(atomic_load(&ground->started[0]), 1);
    assert_true(family_gone(stopped));
    pool_future_free(future);
    pool_destroy(pool);
}

/* A closed pool keeps an idle worker until the last item has begun: one that is with a stopped worker goes to it. */
static void a_closed_pool_takes_it_over(void **state)
{
    pid_t pids[2], zygote;
    struct pool *pool = open_pool(2, 0, pids, &zygote);
    struct pool_future *futures[2];

    (void)state;
    assert_true(stops(pids[0]));
    for (int i = 0; i < 2; i++)
        futures[i] = made(pool_apply_async(pool, task_index, NULL, 0, NULL));
    assert_status(pool_close(pool), POOL_OK);
    for (int i = 0; i < 2; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, NULL), POOL_OK);
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
}

static void stopped_workers_end_with_their_pool(void **state)
{
    pid_t pids[3], zygote;

    (void)state;
    for (int way = 0; way < 2; way++) {
        struct pool *pool = open_pool(3, 0, pids, &zygote);
        for (int i = 0; i < 3; i++)
            assert_true(stops(pids[i]));
        int64_t start = time_now_ms();
        if (way == 1)
            assert_true(stops(zygote));
        pool_destroy(pool);
        assert_true(time_now_ms() - start < 5000 * time_scale());
        assert_true(family_all_gone(pids, 3));
        assert_true(family_gone(zygote));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(deadlines_hold),
        PROCESS_TEST(deaths_are_told),
        PROCESS_TEST(the_programs_death_is_seen),
        PROCESS_TEST(a_stopped_worker_is_replaced),
        PROCESS_TEST(a_closed_pool_takes_it_over),
        PROCESS_TEST(stopped_workers_end_with_their_pool),
    };
    const struct CMUnitTest with_a_debugger[] = {
        PROCESS_TEST(a_held_helper_holds_nobody),
        PROCESS_TEST(corpses_hold_nobody),
        PROCESS_TEST(the_end_does_not_wait_for_one),
    };
    int failed;

    if (!family_known())
        return 77;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (held_possible())
        failed += cmocka_run_group_tests(with_a_debugger, NULL, NULL);
    return failed;
}
