/*
 * A pool's handle in another process: in a child that the program forked, in a worker of its own, in a worker of another pool. Every call is
 * refused there, every free is harmless, and here nobody notices. The child can have pools of its own.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Everything that one process made of a pool, for another to lay hands on. */
struct belongings {
    struct pool          *pool;
    struct pool_future   *done, *running;
    struct pool_iterator *iterator;
};

static struct belongings theirs;

/* The first of the checks below that did not hold; "" where all did. */
static const char *first_failure;

static void expect(bool holds, const char *what)
{
    if (!holds && !*first_failure)
        first_failure = what;
}

#define EXPECT(condition) expect((condition), #condition)
#define REFUSED(call) EXPECT((call) == POOL_INVALID && *pool_error())
#define NOT_MADE(call) EXPECT((errno = 0, (call) == NULL) && errno == EINVAL && *pool_error())

static void try_pool_calls(struct pool *pool)
{
    struct pool_stats stats;
    pid_t pids[4];
    long value = 3, square = 0;

    REFUSED(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL));
    REFUSED(pool_map(pool, task_square, pool_items(&value, 1, sizeof value), &square, sizeof square, NULL));
    REFUSED(pool_map(pool, task_square, pool_items(&value, 0, sizeof value), NULL, 0, NULL));
    NOT_MADE(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    NOT_MADE(pool_map_async(pool, task_square, pool_items(&value, 1, sizeof value), NULL, 0, NULL));
    NOT_MADE(pool_imap(pool, task_square, pool_items(&value, 1, sizeof value), NULL));
    NOT_MADE(pool_imap_unordered(pool, task_square, pool_items(&value, 1, sizeof value), NULL));
    REFUSED(pool_resize(pool, 3));
    REFUSED(pool_close(pool));
    REFUSED(pool_join(pool, 0));
    REFUSED(pool_join(pool, POOL_FOREVER));
    REFUSED(pool_dispatch(pool));
    REFUSED(pool_get_stats(pool, &stats));
    EXPECT(pool_worker_pids(pool, pids, 4) == 0);
    EXPECT(square == 0);
    REFUSED(pool_terminate(pool));
    pool_stop(pool);
}

static void try_future_calls(struct pool_future *future)
{
    const struct pool_result *result;
    struct pool_future *futures[1] = {future};
    size_t which;
    long square;

    REFUSED(pool_future_wait(future, 0));
    REFUSED(pool_future_wait(future, POOL_FOREVER));
    REFUSED(pool_future_get(future, POOL_FOREVER, &result));
    REFUSED(pool_future_read(future, POOL_FOREVER, &square, sizeof square));
    REFUSED(pool_future_cancel(future, false));
    REFUSED(pool_wait_any(futures, 1, POOL_FOREVER, &which));
    REFUSED(pool_wait_all(futures, 1, POOL_FOREVER));
}

/* All of them; the frees come last. Returns what did not hold. */
static const char *try_everything(void)
{
    const struct pool_result *result;

    first_failure = "";
    try_pool_calls(theirs.pool);
    try_future_calls(theirs.done);
    try_future_calls(theirs.running);
    REFUSED(pool_iterator_next(theirs.iterator, POOL_FOREVER, &result));
    REFUSED(pool_iterator_cancel(theirs.iterator, false));
    pool_future_free(theirs.done);
    pool_future_free(theirs.running);
    pool_iterator_free(theirs.iterator);
    pool_destroy(theirs.pool);
    return first_failure;
}

static void make_belongings(unsigned flags)
{
    long value = 12;
    size_t workers = 3;

    theirs.pool = made(pool_create((unsigned)workers, &(struct pool_options){.flags = flags}));
    theirs.done = made(pool_apply_async(theirs.pool, task_square, &value, sizeof value, NULL));
    assert_status(pool_future_wait(theirs.done, POOL_FOREVER), POOL_OK);
    gate_shut(&ground->gate[0]);
    theirs.running = start_gated(theirs.pool, 0, 13, NULL);
    while (atomic_load(&ground->gate[0].arrived) == 0)
        assert_status(pool_future_wait(theirs.running, 1), POOL_TIMEOUT);
    theirs.iterator = made(pool_imap(theirs.pool, task_index, pool_items(NULL, 50, 0), NULL));
}

/* Here everything is as if nobody had tried anything. */
static void check_unharmed(void)
{
    const struct pool_result *result;
    long value;

    assert_status(pool_future_read(theirs.done, 0, &value, sizeof value), POOL_OK);
    assert_int_equal(value, 144);
    assert_status(pool_future_wait(theirs.running, 0), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_read(theirs.running, POOL_FOREVER, &value, sizeof value), POOL_OK);
    assert_int_equal(value, 13);
    for (size_t i = 0; i < 50; i++) {
        assert_status(pool_iterator_next(theirs.iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(result->status, POOL_OK);
        assert_int_equal(result->index, i);
    }
    assert_status(pool_iterator_next(theirs.iterator, POOL_FOREVER, &result), POOL_END);
    assert_status(pool_apply(theirs.pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_int_equal(pool_size(theirs.pool), 3);
    pool_future_free(theirs.done);
    pool_future_free(theirs.running);
    pool_iterator_free(theirs.iterator);
    assert_status(pool_close(theirs.pool), POOL_OK);
    assert_status(pool_join(theirs.pool, POOL_FOREVER), POOL_OK);
    pool_destroy(theirs.pool);
    theirs = (struct belongings){NULL, NULL, NULL, NULL};
}

static int child_tries_everything(void *context)
{
    (void)context;
    const char *failure = try_everything();
    if (*failure)
        fprintf(stderr, "in the child: not so: %s\n", failure);
    return *failure ? 1 : 0;
}

/* The child does not free anything and leaves by exit(), with whatever handlers there are. */
static int child_only_exits(void *context)
{
    (void)context;
    return 0;
}

static int child_has_a_pool_of_its_own(void *context)
{
    long items[30], squares[30];

    for (long i = 0; i < 30; i++)
        items[i] = i;
    if (child_tries_everything(context) != 0)
        return 1;
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
    for (long i = 0; i < 30; i++)
        SIDE_CHECK(squares[i] == i * i);
    SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    pool_destroy(pool);
    return 0;
}

static void in_a_forked_child(void **state)
{
    int (*const children[])(void *) = {child_tries_everything, child_only_exits, child_has_a_pool_of_its_own};

    (void)state;
    skip_under_thread_sanitizer();
    for (int i = 0; i < 6; i++) {
        make_belongings(i % 2 ? POOL_NO_THREAD : 0);
        assert_int_equal(side_host_run(children[i / 2], NULL), 0);
        check_unharmed();
    }
}

static int grandchild(void *context)
{
    (void)context;
    return side_host_run(child_tries_everything, NULL);
}

static void in_a_grandchild(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    make_belongings(0);
    assert_int_equal(side_host_run(grandchild, NULL), 0);
    check_unharmed();
}

static int task_tries_everything(struct pool_task *task)
{
    const char *failure = try_everything();

    return *failure ? pool_fail(task, 1, "%s", failure) : 0;
}

/* In a worker of a pool that was made later: it has the first pool's handle in its memory. */
static void in_another_pools_worker(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    make_belongings(0);
    struct pool *other = made(pool_create(2, NULL));
    for (int i = 0; i < 4; i++) {
        assert_status(pool_apply(other, task_tries_everything, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_status(pool_apply(other, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
        assert_status(pool_apply(other, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    pool_destroy(other);
    check_unharmed();
}

static int task_tries_its_own_pool(struct pool_task *task)
{
    struct pool *pool;

    memcpy(&pool, task->arg, sizeof pool);
    first_failure = "";
    try_pool_calls(pool);
    return *first_failure ? pool_fail(task, 1, "%s", first_failure) : 0;
}

/* In a worker of its own, which is told the address. */
static void in_its_own_worker(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_status(pool_apply(pool, task_tries_its_own_pool, &pool, sizeof pool, NULL, 0, NULL), POOL_OK);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_int_equal(pool_size(pool), 2);
    pool_destroy(pool);
}

/* ---- forks at any moment */

struct submitter {
    struct pool *pool;
    atomic_bool *stop;
    int          failures;
};

static void *submit_all_the_time(void *argument)
{
    struct submitter *submitter = argument;

    for (long i = 0; !atomic_load(submitter->stop); i++) {
        long square = 0;
        struct pool_future *future = pool_apply_async(submitter->pool, task_square, &i, sizeof i, NULL);
        if (pool_apply(submitter->pool, task_square, &i, sizeof i, &square, sizeof square, NULL) != POOL_OK ||
            square != i * i)
            submitter->failures++;
        if (pool_future_read(future, POOL_FOREVER, &square, sizeof square) != POOL_OK || square != i * i)
            submitter->failures++;
        pool_future_free(future);
        if (i % 50 == 0 && pool_apply(submitter->pool, task_killed, NULL, 0, NULL, 0, NULL) != POOL_CRASHED)
            submitter->failures++;
    }
    return NULL;
}

/* While threads use the pool, whatever locks they hold at the moment of the fork. */
static void forked_while_threads_are_at_work(void **state)
{
    enum { THREADS = 4, FORKS = 200 };
    struct submitter submitters[THREADS];
    pthread_t threads[THREADS];
    atomic_bool stop = false;

    (void)state;
    skip_under_thread_sanitizer();
    struct pool *pool = made(pool_create(3, NULL));
    for (int i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.pool = pool, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_all_the_time, &submitters[i]), 0);
    }
    for (int i = 0; i < FORKS; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
            alarm((unsigned)(10 * time_scale()));
            bool refused = pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_INVALID &&
                           pool_close(pool) == POOL_INVALID;
            pool_destroy(pool);
            _exit(refused ? 0 : 1);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(submitters[i].failures, 0);
    }
    pool_destroy(pool);
}

/* Children that live on do not keep the pool's processes alive, or the pool waiting. */
static void a_child_lives_on(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    struct pool *pool = made(pool_create(2, NULL));
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    for (int i = 0; i < 5; i++)
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    kill(pid, SIGKILL);
    assert_int_equal(side_host_end(pid), 128 + SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(in_a_forked_child),
        PROCESS_TEST(in_a_grandchild),
        PROCESS_TEST(in_another_pools_worker),
        PROCESS_TEST(in_its_own_worker),
        PROCESS_TEST(forked_while_threads_are_at_work),
        PROCESS_TEST(a_child_lives_on),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
