/*
 * The helper process that forks the workers is killed, or stopped, from outside: the pool is POOL_BROKEN, says so at once to all who wait,
 * and leaves no worker behind.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { WORKERS = 3 };

/* A pool with its processes: its workers, and the one that forked them. */
struct family {
    struct pool *pool;
    pid_t        pids[WORKERS];
    pid_t        zygote;
};

static struct family family_make(unsigned flags)
{
    struct family family = {.pool = made(pool_create(WORKERS, &(struct pool_options){.flags = flags}))};

    assert_status(pool_apply(family.pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_int_equal(pool_worker_pids(family.pool, family.pids, WORKERS), WORKERS);
    family.zygote = family_parent(family.pids[0]);
    assert_true(family.zygote > 1);
    for (int i = 1; i < WORKERS; i++)
        assert_int_equal(family_parent(family.pids[i]), family.zygote);
    return family;
}

static void check_dead(const struct family *family)
{
    assert_true(family_all_gone(family->pids, WORKERS));
    assert_true(family_gone(family->zygote));
}

static void check_refuses(struct pool *pool)
{
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_BROKEN);
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, NULL), EPIPE);
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 3, 0), NULL, 0, NULL), POOL_BROKEN);
}

static int task_for_ever(struct pool_task *task)
{
    sigset_t all;

    (void)task;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    atomic_fetch_add(&ground->gate[1].arrived, 1);
    while (true)
        pause();
    return 0;
}

static void killed_while_idle(void **state)
{
    struct family family = family_make(0);

    (void)state;
    kill(family.zygote, SIGKILL);
    enum pool_status status =
        pool_apply(family.pool, task_index, NULL, 0, NULL, 0, NULL); /* it may come before the news */
    assert_true(status == POOL_BROKEN || status == POOL_OK);
    check_dead(&family);
    /* every submission from some moment on; the news needs no call of ours to come */
    while (status == POOL_OK)
        status = pool_apply(family.pool, task_index, NULL, 0, NULL, 0, NULL);
    assert_status(status, POOL_BROKEN);
    check_refuses(family.pool);
    assert_status(pool_close(family.pool), POOL_OK);
    assert_status(pool_join(family.pool, POOL_FOREVER), POOL_OK);
    pool_destroy(family.pool);
}

static void then_destroyed_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct family family = family_make(i % 2 ? POOL_NO_THREAD : 0);
        kill(family.zygote, SIGKILL);
        pool_destroy(family.pool);
        check_dead(&family);
    }
}

static void count_broken(void *user, const struct pool_result *result)
{
    (void)user;
    atomic_fetch_add(&ground->count[result->status == POOL_BROKEN ? 0 : 1], 1);
}

/* Running, queued, mapped, iterated: everything ends, and everything that is not done ends POOL_BROKEN. */
static void killed_while_busy(void **state)
{
    enum { TASKS = 10 };
    struct pool_future *futures[TASKS];
    const struct pool_result *result;
    struct pool_job job = {.callback = count_broken};
    struct family family = family_make(0);

    (void)state;
    for (int i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(family.pool, task_for_ever, NULL, 0, &job));
    struct pool_future *map = made(pool_map_async(family.pool, task_for_ever, pool_items(NULL, 50, 0), NULL, 0, &job));
    struct pool_iterator *iterator = made(pool_imap(family.pool, task_for_ever, pool_items(NULL, 50, 0), NULL));
    assert_true(gate_wait_arrived(&ground->gate[1], WORKERS));
    int64_t start = time_now_ms();
    kill(family.zygote, SIGKILL);
    for (int i = 0; i < TASKS; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_BROKEN);
        assert_string_not_equal(result->message, "");
    }
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_BROKEN);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_BROKEN);
    assert_null(result);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_BROKEN);
    assert_true(time_now_ms() - start < FAMILY_MS * time_scale());
    check_dead(&family);
    assert_true(counter_wait(&ground->count[0], TASKS + 1));
    check_refuses(family.pool);
    for (int i = 0; i < TASKS; i++)
        pool_future_free(futures[i]);
    pool_future_free(map);
    pool_iterator_free(iterator);
    assert_status(pool_terminate(family.pool), POOL_OK);
    assert_status(pool_join(family.pool, POOL_FOREVER), POOL_OK);
    pool_destroy(family.pool);
    assert_int_equal(atomic_load(&ground->count[0]), TASKS + 1);
    assert_int_equal(atomic_load(&ground->count[1]), 0);
}

/* Several threads, each in a blocking call of its own. */
struct caller {
    struct pool     *pool;
    int              kind;
    enum pool_status status;
};

static void *call(void *argument)
{
    struct caller *caller = argument;
    const struct pool_result *result;
    struct pool_future *future;
    struct pool_iterator *iterator;

    switch (caller->kind) {
    case 0:
        caller->status = pool_apply(caller->pool, task_for_ever, NULL, 0, NULL, 0, NULL);
        break;
    case 1:
        caller->status = pool_map(caller->pool, task_for_ever, pool_items(NULL, 5, 0), NULL, 0, NULL);
        break;
    case 2:
        future = pool_apply_async(caller->pool, task_for_ever, NULL, 0, NULL);
        caller->status = pool_future_get(future, POOL_FOREVER, &result);
        pool_future_free(future);
        break;
    default:
        iterator = pool_imap_unordered(caller->pool, task_for_ever, pool_items(NULL, 5, 0), NULL);
        caller->status = pool_iterator_next(iterator, POOL_FOREVER, &result);
        pool_iterator_free(iterator);
    }
    return NULL;
}

static void callers_wake(void **state)
{
    enum { CALLERS = 8 };
    struct family family = family_make(0);
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    struct pool_stats stats;

    (void)state;
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.pool = family.pool, .kind = i % 4};
        assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    do {
        pause_briefly();
        assert_status(pool_get_stats(family.pool, &stats), POOL_OK);
    } while (stats.submitted <
             2 * (1 + 5 + 1 + 5)); /* all of them are in: a late one would have no future to wait for */
    kill(family.zygote, SIGKILL);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CALLERS; i++)
        assert_status(callers[i].status, POOL_BROKEN);
    check_dead(&family);
    pool_destroy(family.pool);
}

static void without_threads(void **state)
{
    const struct pool_result *result;
    struct family family = family_make(POOL_NO_THREAD);
    struct pollfd poller = {.fd = pool_fd(family.pool), .events = POLLIN};

    (void)state;
    struct pool_future *future = made(pool_apply_async(family.pool, task_for_ever, NULL, 0, NULL));
    kill(family.zygote, SIGKILL);
    int64_t end = time_now_ms() + FAMILY_MS * time_scale();
    enum pool_status status = POOL_OK;
    while (status == POOL_OK && time_now_ms() < end) {
        int wait = pool_next_timeout(family.pool);
        poll(&poller, 1, wait < 0 || wait > 1000 ? 1000 : wait);
        status = pool_dispatch(family.pool);
    }
    assert_status(status, POOL_BROKEN);
    assert_status(pool_dispatch(family.pool), POOL_BROKEN);
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_BROKEN);
    check_dead(&family);
    check_refuses(family.pool);
    pool_future_free(future);
    pool_destroy(family.pool);
}

/* The same at all sorts of moments: while workers are being replaced, results come, the pool is closed. */
static void killed_at_any_moment(void **state)
{
    enum { ITEMS = 200 };
    unsigned number = 7;

    (void)state;
    for (int round = 0; round < 40; round++) {
        enum pool_status statuses[ITEMS];
        struct pool_job job = {.keep_going = true, .statuses = statuses, .chunk = 1 + (size_t)round % 5};
        struct pool_options options = {.tasks_per_worker = 3};
        pid_t pids[2] = {0};
        struct pool *pool = made(pool_create(2, &options));
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_true(pool_worker_pids(pool, pids, 2) > 0);
        pid_t zygote = family_parent(pids[0] > 0 ? pids[0] : pids[1]);
        ground_make();
        struct pool_future *map = made(pool_map_async(pool, task_index, pool_items(NULL, ITEMS, 0), NULL, 0, &job));
        number = number * 1103515245u + 12345u;
        for (unsigned spins = (number >> 16) % 40000; spins > 0; spins--)
            atomic_load(&ground->count[0]);
        if (zygote > 1)
            kill(zygote, SIGKILL);
        assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
        for (int i = 0; i < ITEMS; i++) {
            assert_in_range(atomic_load(&ground->started[i]), 0, 1);
            assert_true(statuses[i] == POOL_OK || statuses[i] == POOL_BROKEN || statuses[i] == POOL_CRASHED);
            assert_true(statuses[i] != POOL_OK || atomic_load(&ground->started[i]) == 1);
        }
        pool_future_free(map);
        pool_destroy(pool);
        assert_true(audit_wait_alone(FAMILY_MS));
    }
}

/* Stopped, it answers nothing; the pool can be ended all the same, and its workers go. */
static void stopped(void **state)
{
    const struct pool_result *result;

    (void)state;
    for (int round = 0; round < 4; round++) {
        struct family family = family_make(round % 2 ? POOL_NO_THREAD : 0);
        struct pool_future *future = NULL;
        gate_shut(&ground->gate[1]);
        if (round >= 2) {
            future = made(pool_apply_async(family.pool, task_for_ever, NULL, 0, NULL));
            while (atomic_load(&ground->gate[1].arrived) == 0)
                assert_status(pool_future_wait(future, 1), POOL_TIMEOUT);
        }
        kill(family.zygote, SIGSTOP);
        int64_t start = time_now_ms();
        if (future) {
            assert_status(pool_terminate(family.pool), POOL_OK);
            assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_TERMINATED);
        }
        pool_destroy(family.pool);
        assert_true(time_now_ms() - start < 10000 * time_scale());
        assert_true(family_all_gone(family.pids, WORKERS));
        pool_future_free(future);
        kill(family.zygote, SIGCONT);
        check_dead(&family);
    }
}

/* Stopped for a while and continued, it has missed nothing: crashes are told late, and all goes on. */
static void stopped_and_continued(void **state)
{
    enum { TASKS = 12 };
    struct family family = family_make(0);
    struct pool_future *futures[TASKS];
    const struct pool_result *result;

    (void)state;
    kill(family.zygote, SIGSTOP);
    for (int i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(family.pool, i % 2 ? task_killed : task_nothing, NULL, 0, NULL));
    /* with every worker dead nothing can end but what had ended before */
    assert_true(family_all_gone(family.pids, WORKERS));
    kill(family.zygote, SIGCONT);
    for (int i = 0; i < TASKS; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), i % 2 ? POOL_CRASHED : POOL_OK);
        pool_future_free(futures[i]);
    }
    assert_status(pool_apply(family.pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(family.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(killed_while_idle),
        PROCESS_TEST(then_destroyed_at_once),
        PROCESS_TEST(killed_while_busy),
        PROCESS_TEST(callers_wake),
        PROCESS_TEST(without_threads),
        PROCESS_TEST(killed_at_any_moment),
        PROCESS_TEST(stopped),
        PROCESS_TEST(stopped_and_continued),
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
