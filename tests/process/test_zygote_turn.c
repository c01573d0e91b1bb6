/*
 * What the helper process does with what it is asked: all that has come is read before the next fork, so that a KILL finds
 * a SPAWN that is not carried out (rule 20); and one that it cannot carry out, since it has too many descriptors, fails
 * and is tried again (rule 22).
 */
#define _GNU_SOURCE /* prlimit */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/held.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <sys/resource.h>

static int count_starts(void **state, void *arg)
{
    (void)state;
    (void)arg;
    atomic_fetch_add(&ground->count[0], 1);
    return 0;
}

/* The pool's helper process, once a worker is there. */
static pid_t zygote_of(struct pool *pool)
{
    pid_t worker;

    assert_status(pool_apply(pool, task_pid, NULL, 0, &worker, sizeof worker, NULL), POOL_OK);
    pid_t zygote = family_parent(worker);
    assert_true(zygote > 1);
    return zygote;
}

/* The pool grows and is terminated before the helper process has read of either: nobody is forked. */
static void a_kill_drops_a_spawn_not_carried_out(void **state)
{
    (void)state;
    if (!held_possible())
        skip(); /* a stopped one would be continued by the first request */
    for (int round = 0; round < 4; round++) {
        struct pool_options options = {.initializer = count_starts, .flags = round % 2 ? POOL_NO_THREAD : 0};
        struct pool *pool = made(pool_create(1, &options));
        pid_t zygote = zygote_of(pool);
        int64_t start = time_now_ms();
        assert_int_equal(atomic_load(&ground->count[0]), round + 1);
        assert_true(hold_now(zygote));
        assert_status(pool_resize(pool, 4), POOL_OK);
        assert_status(pool_terminate(pool), POOL_OK);
        hold_end(zygote);
        assert_status(pool_join(pool, 10000 * time_scale()), POOL_OK);
        pool_destroy(pool);
        assert_true(time_now_ms() - start < 2000 * time_scale()); /* not because destroy gave it up after 3 s */
        assert_int_equal(atomic_load(&ground->count[0]), round + 1);
    }
}

#ifdef __linux__
/* From now on `pid` can have no descriptor that it has not yet; with 0, as many as this process. */
static void limit_descriptors(pid_t pid, rlim_t most)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (most > 0)
        limit.rlim_cur = most;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* One of two workers dies and cannot be replaced: the other does the work. Once it can be, it is. */
static void a_spawn_that_fails_is_tried_again(void **state)
{
    struct pool_stats stats, later;
    struct pool_future *busy[2];
    struct pool *pool = made(pool_create(2, NULL));
    pid_t zygote = zygote_of(pool);

    (void)state;
    occupy(pool, 1, busy, 2);
    gate_open(&ground->gate[1]);
    release(busy, 2);
    limit_descriptors(zygote, 3);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    do { /* asked for again and again, and the pool works on */
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_status(pool_get_stats(pool, &later), POOL_OK);
    } while (later.workers_started < stats.workers_started + 4);
    assert_int_equal(later.workers_lost, stats.workers_lost + 1);
    limit_descriptors(zygote, 0);
    occupy(pool, 0, busy, 2);
    gate_open(&ground->gate[0]);
    release(busy, 2);
    pool_destroy(pool);
}

/* Where it never can be, the pool says why. */
static void a_pool_that_can_have_none_says_why(void **state)
{
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));
    pid_t zygote = zygote_of(pool);

    (void)state;
    limit_descriptors(zygote, 3);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_BROKEN);
    assert_int_equal(result->code, EMFILE);
    assert_non_null(strstr(result->message, strerror(EMFILE)));
    pool_future_free(future);
    pool_destroy(pool);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_kill_drops_a_spawn_not_carried_out),
#ifdef __linux__
        PROCESS_TEST(a_spawn_that_fails_is_tried_again),
        PROCESS_TEST(a_pool_that_can_have_none_says_why),
#endif
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
