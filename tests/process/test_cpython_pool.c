/* What Python's own test suite asks of multiprocessing.Pool, asked of procpool in C. For iterables see
 * test_cpython_iterables.c. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pool *pool;

static int open_pool(void **state)
{
    int failed = audit_begin(state);
    pool = pool_create(4, NULL);
    return failed || !pool;
}

static int close_pool(void **state)
{
    pool_destroy(pool);
    pool = NULL;
    return audit_end(state);
}

#define POOL_TEST(function) {#function, function, open_pool, close_pool, #function}

static long numbers[1000];

static struct pool_source range(size_t count)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = (long)i;
    return pool_items(numbers, count, sizeof numbers[0]);
}

/* apply(sqr, (5,)), and one argument left out */
static long square_or_default(const long *value)
{
    return value ? *value * *value : 1;
}

static int apply_square(struct pool_task *task)
{
    long square = square_or_default(task->size ? task->arg : NULL);
    return pool_return(task, &square, sizeof square);
}

static void apply(void **state)
{
    (void)state;
    long five = 5, out = 0;
    assert_status(pool_apply(pool, apply_square, &five, sizeof five, &out, sizeof out, NULL), POOL_OK);
    assert_int_equal(out, 25);
    assert_status(pool_apply(pool, apply_square, NULL, 0, &out, sizeof out, NULL), POOL_OK);
    assert_int_equal(out, 1);
}

static void map(void **state)
{
    (void)state;
    long out[100];
    struct pool_job job = {.chunk = 20};
    assert_status(pool_map(pool, task_square, range(10), out, sizeof out[0], NULL), POOL_OK);
    for (long i = 0; i < 10; i++)
        assert_int_equal(out[i], i * i);
    assert_status(pool_map(pool, task_square, range(100), out, sizeof out[0], &job), POOL_OK);
    for (long i = 0; i < 100; i++)
        assert_int_equal(out[i], i * i);
}

/* starmap: the items are tuples */
struct pair {
    int one, other;
};

static int multiply(struct pool_task *task)
{
    struct pair pair;
    memcpy(&pair, task->arg, sizeof pair);
    int product = pair.one * pair.other;
    return pool_return(task, &product, sizeof product);
}

static void starmap(void **state)
{
    (void)state;
    struct pair pairs[100];
    int out[100];
    for (int i = 0; i < 100; i++)
        pairs[i] = (struct pair){i, 9 - i};
    struct pool_job job = {.chunk = 20};
    assert_status(pool_map(pool, multiply, POOL_ARRAY(pairs), out, sizeof out[0], &job), POOL_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(out[i], i * (9 - i));
    struct pool_future *future = made(pool_map_async(pool, multiply, POOL_ARRAY(pairs), out, sizeof out[0], NULL));
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(future));
    for (int i = 0; i < 100; i++)
        assert_int_equal(out[i], i * (9 - i));
    pool_future_free(future);
}

static atomic_int called_ok, called_failed;

static void count_outcome(void *user, const struct pool_result *result)
{
    (void)user;
    atomic_fetch_add(result->status == POOL_OK ? &called_ok : &called_failed, 1);
}

/* map_async(int, ["1"], callback=...), then one that raises with error_callback=... */
static void map_async_callbacks(void **state)
{
    (void)state;
    atomic_store(&called_ok, 0);
    atomic_store(&called_failed, 0);
    long good = 2, bad = 3, out;
    struct pool_job job = {.callback = count_outcome};
    struct pool_future *future =
        made(pool_map_async(pool, task_half, pool_items(&good, 1, sizeof good), &out, sizeof out, &job));
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(counter_wait(&called_ok, 1));
    assert_int_equal(out, 1);
    pool_future_free(future);
    future = made(pool_map_async(pool, task_half, pool_items(&bad, 1, sizeof bad), &out, sizeof out, &job));
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_true(counter_wait(&called_failed, 1));
    assert_int_equal(atomic_load(&called_ok), 1);
    pool_future_free(future);
}

static int sleep_and_square(struct pool_task *task)
{
    for (int i = 0; i < 50; i++)
        pause_briefly();
    return task_square(task);
}

static void async(void **state)
{
    (void)state;
    long seven = 7, out = 0;
    int64_t start = time_now_ms();
    struct pool_future *future = made(pool_apply_async(pool, sleep_and_square, &seven, sizeof seven, NULL));
    assert_true(time_now_ms() - start < 40 + 1000 * (time_scale() - 1)); /* handed over, not waited for */
    assert_status(pool_future_read(future, POOL_FOREVER, &out, sizeof out), POOL_OK);
    assert_int_equal(out, 49);
    assert_true(time_now_ms() - start >= 49);
    pool_future_free(future);
}

static void async_timeout(void **state)
{
    (void)state;
    long out;
    struct pool_future *future = start_gated(pool, 0, 6, NULL);
    int64_t start = time_now_ms();
    assert_status(pool_future_read(future, 200, &out, sizeof out), POOL_TIMEOUT);
    int64_t took = time_now_ms() - start;
    assert_true(took >= 199 && took < 200 + 2000 * time_scale());
    gate_open(&ground->gate[0]);
    assert_status(pool_future_read(future, POOL_FOREVER, &out, sizeof out), POOL_OK);
    pool_future_free(future);
}

static void make_pool(void **state)
{
    (void)state;
    assert_null(pool_create((unsigned)-1, NULL)); /* Pool(-1) */
    assert_int_equal(errno, EINVAL);
    struct pool *three = made(pool_create(3, NULL));
    assert_int_equal(pool_size(three), 3);
    assert_status(pool_close(three), POOL_OK);
    assert_status(pool_join(three, POOL_FOREVER), POOL_OK);
    pool_destroy(three);
}

/* Ten thousand sleepers, and terminate() does not wait for them. */
static int sleep_long(struct pool_task *task)
{
    (void)task;
    sleep(5);
    return 0;
}

static void terminate(void **state)
{
    (void)state;
    struct pool_job job = {.chunk = 1};
    struct pool_future *future = made(pool_map_async(pool, sleep_long, pool_items(NULL, 10000, 0), NULL, 0, &job));
    int64_t start = time_now_ms();
    assert_status(pool_terminate(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_true(time_now_ms() - start < 2000 * time_scale());
    assert_true(pool_future_ready(future));
    pool_future_free(future);
}

/* `with Pool(2) as p:`, after which its futures still have their results and the pool takes nothing more. */
static void context(void **state)
{
    (void)state;
    long out[10];
    struct pool *two = made(pool_create(2, NULL));
    struct pool_future *future = made(pool_map_async(two, task_square, range(10), out, sizeof out[0], NULL));
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    assert_status(pool_terminate(two), POOL_OK);
    assert_null_errno(pool_map_async(two, task_square, range(10), out, sizeof out[0], NULL), EPIPE);
    pool_destroy(two);
    for (long i = 0; i < 10; i++)
        assert_int_equal(out[i], i * i);
    assert_true(pool_future_successful(future));
    pool_future_free(future);
}

static int raise_with_words(struct pool_task *task)
{
    return pool_fail(task, 123, "%s:%d: what went wrong", "far_away.c", 17);
}

static void traceback(void **state)
{
    (void)state;
    assert_status(pool_apply(pool, raise_with_words, NULL, 0, NULL, 0, NULL), POOL_FAILED);
    assert_error_has("far_away.c:17: what went wrong");
    struct pool_future *future = made(pool_apply_async(pool, raise_with_words, NULL, 0, NULL));
    const struct pool_result *result;
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->code, 123);
    assert_non_null(strstr(result->message, "far_away.c:17: what went wrong"));
    pool_future_free(future);
}

/* A failure does not let the map return while other items run. */
static int fail_fast_or_sleep(struct pool_task *task)
{
    if (task->index == 0)
        return pool_fail(task, 1, "fast");
    if (task->index == 1) {
        for (int i = 0; i < 60; i++)
            pause_briefly();
        atomic_store(&ground->count[0], 1);
    }
    return 0;
}

static void map_no_failfast(void **state)
{
    (void)state;
    struct pool_job job = {.chunk = 1, .keep_going = true};
    assert_status(pool_map(pool, fail_fast_or_sleep, pool_items(NULL, 2, 0), NULL, 0, &job), POOL_FAILED);
    assert_int_equal(atomic_load(&ground->count[0]), 1);
}

static void async_error_callback(void **state)
{
    (void)state;
    struct pool *two = made(pool_create(2, NULL));
    atomic_store(&called_failed, 0);
    int code = 2;
    struct pool_job job = {.callback = count_outcome};
    struct pool_future *future = made(pool_apply_async(two, task_fail, &code, sizeof code, &job));
    assert_status(pool_future_read(future, POOL_FOREVER, NULL, 0), POOL_FAILED);
    assert_status(pool_close(two), POOL_OK);
    assert_status(pool_join(two, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&called_failed), 1);
    pool_future_free(future);
    pool_destroy(two);
}

/* maxtasksperchild: three workers, ten tasks each, a hundred tasks: all right, and other workers than at first. */
static void worker_lifetime(void **state)
{
    (void)state;
    struct pool_options options = {.tasks_per_worker = 10};
    struct pool *three = made(pool_create(3, &options));
    pid_t first[3], last[3];
    assert_int_equal(pool_worker_pids(three, first, 3), 3);
    struct pool_future *futures[100];
    for (long i = 0; i < 100; i++)
        futures[i] = made(pool_apply_async(three, task_square, &i, sizeof i, NULL));
    for (long i = 0; i < 100; i++) {
        long square;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
        pool_future_free(futures[i]);
    }
    bool full = false;
    for (int steps = 0; steps < GATE_SECONDS * 1000 && !full; steps++) {
        full = pool_worker_pids(three, last, 3) == 3;
        if (!full)
            pause_briefly();
    }
    assert_true(full);
    bool same = true;
    for (int i = 0; i < 3; i++)
        same = same && (last[i] == first[0] || last[i] == first[1] || last[i] == first[2]);
    assert_false(same);
    struct pool_stats stats;
    assert_status(pool_get_stats(three, &stats), POOL_OK);
    assert_in_range(stats.workers_started, 10, 13); /* 100 tasks in lives of exactly 10 */
    assert_int_equal(stats.workers_lost, 0);
    assert_status(pool_close(three), POOL_OK);
    assert_status(pool_join(three, POOL_FOREVER), POOL_OK);
    pool_destroy(three);
}

static void worker_lifetime_early_close(void **state)
{
    (void)state;
    struct pool_options options = {.tasks_per_worker = 1};
    struct pool *three = made(pool_create(3, &options));
    struct pool_future *futures[6];
    for (long i = 0; i < 6; i++)
        futures[i] = made(pool_apply_async(three, sleep_and_square, &i, sizeof i, NULL));
    assert_status(pool_close(three), POOL_OK);
    assert_status(pool_join(three, POOL_FOREVER), POOL_OK);
    for (long i = 0; i < 6; i++) {
        long square;
        assert_status(pool_future_read(futures[i], 0, &square, sizeof square), POOL_OK);
        assert_int_equal(square, i * i);
        pool_future_free(futures[i]);
    }
    pool_destroy(three);
}

static int note_initialized(void **task_state, void *arg)
{
    *task_state = arg;
    atomic_fetch_add(&ground->count[0], *(int *)arg);
    return 0;
}

static void pool_initializer(void **state)
{
    (void)state;
    int one = 1;
    struct pool_options options = {.initializer = note_initialized, .initializer_arg = &one};
    struct pool *single = made(pool_create(1, &options));
    assert_status(pool_close(single), POOL_OK);
    assert_status(pool_join(single, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[0]), 1); /* though no task ever came */
    pool_destroy(single);
}

/* A pool made and used in a child of the program. */
static int use_a_pool(void *argument)
{
    long value = 6, square = 0;
    (void)argument;
    struct pool *own = pool_create(2, NULL);
    if (!own)
        return 2;
    if (pool_apply(own, task_square, &value, sizeof value, &square, sizeof square, NULL) != POOL_OK || square != 36)
        return 3;
    if (pool_close(own) != POOL_OK || pool_join(own, POOL_FOREVER) != POOL_OK)
        return 4;
    pool_destroy(own);
    return 0;
}

static void pool_in_process(void **state)
{
    (void)state;
    struct pool_process *process = made(pool_process_start(use_a_pool, NULL));
    assert_status(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 0);
    pool_process_free(process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(apply),
        POOL_TEST(map),
        POOL_TEST(starmap),
        POOL_TEST(map_async_callbacks),
        POOL_TEST(async),
        POOL_TEST(async_timeout),
        POOL_TEST(make_pool),
        POOL_TEST(terminate),
        POOL_TEST(context),
        POOL_TEST(traceback),
        POOL_TEST(map_no_failfast),
        POOL_TEST(async_error_callback),
        POOL_TEST(worker_lifetime),
        POOL_TEST(worker_lifetime_early_close),
        POOL_TEST(pool_initializer),
        POOL_TEST(pool_in_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
