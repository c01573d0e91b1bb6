/*
 * Initializers and finalizers: what they leave, and what happens when they fail, end, crash or hang. A pool whose workers cannot start is
 * POOL_BROKEN, says why, and has not tried without end.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/system.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* what the initializers and finalizers below count in the ground */
enum { STARTS, ENDS, STATE_SEEN, SEATS };

/* The most starts of a pool that never gets one worker ready: ten in a row, and those that were under way beside them. */
static int most_starts(unsigned workers)
{
    return (int)workers + 10;
}

static int starts(void)
{
    return atomic_load(&ground->count[STARTS]);
}

static int count_start(void)
{
    return atomic_fetch_add(&ground->count[STARTS], 1) + 1;
}

static int init_fails(void **state, void *arg)
{
    (void)state;
    (void)arg;
    count_start();
    return pool_fail(NULL, 42, "no %s on port %d", "database", 5432);
}

static int init_fails_without_words(void **state, void *arg)
{
    (void)state;
    (void)arg;
    count_start();
    return 7;
}

static int init_exits(void **state, void *arg)
{
    (void)state;
    (void)arg;
    count_start();
    exit(5);
}

static int init_leaves_with_0(void **state, void *arg)
{
    (void)state;
    (void)arg;
    count_start();
    _exit(0);
}

static int init_crashes(void **state, void *arg)
{
    (void)state;
    (void)arg;
    count_start();
    raise(SIGSEGV);
    return 0;
}

static int init_hangs(void **state, void *arg)
{
    (void)state;
    (void)arg;
    count_start();
    while (true)
        pause();
    return 0;
}

static int init_fails_every_second_time(void **state, void *arg)
{
    (void)state;
    (void)arg;
    return count_start() % 2 == 1 ? pool_fail(NULL, 1, "not this time") : 0;
}

static int init_crashes_three_times(void **state, void *arg)
{
    (void)state;
    (void)arg;
    if (count_start() <= 3)
        raise(SIGKILL);
    return 0;
}

static int init_fails_from_the_tenth_on(void **state, void *arg)
{
    (void)state;
    (void)arg;
    return count_start() >= 10 ? pool_fail(NULL, 9, "worn out") : 0;
}

/* Every call that could hand work to a broken pool says that it is broken (or, where an object is asked for, gives none). */
static void check_broken(struct pool *pool)
{
    const struct pool_result *result;
    size_t out[3];

    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_BROKEN);
    assert_status(pool_map(pool, task_index, pool_items(NULL, 3, 0), out, sizeof out[0], NULL), POOL_BROKEN);
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, NULL), EPIPE);
    struct pool_iterator *iterator = pool_imap(pool, task_nothing, pool_items(NULL, 3, 0), NULL);
    if (iterator)
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_BROKEN);
    pool_iterator_free(iterator);
}

/* A pool with this initializer breaks; its first task learns code and words. A code of -1: any. */
static void check_breaks(int (*initializer)(void **, void *), int code, const char *words)
{
    enum { WORKERS = 3 };
    const struct pool_result *result = NULL;
    struct pool_options options = {.initializer = initializer, .start_timeout_ms = initializer == init_hangs ? 100 : 0};
    struct pool *pool = made(pool_create(WORKERS, &options));
    struct pool_future *future = pool_apply_async(pool, task_nothing, NULL, 0, NULL);

    if (future) { /* else it broke before the task was handed in */
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_BROKEN);
        assert_non_null(result);
        assert_status(result->status, POOL_BROKEN);
        assert_non_null(strstr(result->message, words));
        assert_error_has(words);
        if (code >= 0)
            assert_int_equal(result->code, code);
        assert_int_equal(result->worker, 0);
    } else {
        assert_int_equal(errno, EPIPE);
    }
    pool_future_free(future);
    int before = starts();
    assert_in_range(before, 1, most_starts(WORKERS));
    check_broken(pool);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(starts(), before);
    pool_destroy(pool);
    assert_int_equal(starts(), before);
}

static void failing(void **state)
{
    (void)state;
    check_breaks(init_fails, 42, "no database on port 5432");
}

static void failing_without_words(void **state)
{
    (void)state;
    check_breaks(init_fails_without_words, 7, "");
}

static void exiting(void **state)
{
    (void)state;
    check_breaks(init_exits, exit_code_told(5), "");
}

static void leaving_with_0(void **state)
{
    (void)state;
    check_breaks(init_leaves_with_0, 0, "");
}

static void crashing(void **state)
{
    (void)state;
    check_breaks(init_crashes, SIGSEGV, "");
}

static void hanging(void **state)
{
    (void)state;
    check_breaks(init_hangs, -1, "");
}

/* Everything that waits wakes: futures, a map, an iterator. */
static void all_waiting_work_is_told(void **state)
{
    enum { TASKS = 20 };
    struct pool_future *futures[TASKS];
    const struct pool_result *result;
    struct pool_options options = {.initializer = init_hangs, .start_timeout_ms = 100};
    struct pool *pool = made(pool_create(2, &options));
    long items[30] = {0};
    long out[30];

    (void)state;
    for (int i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    struct pool_future *map = made(pool_map_async(pool, task_square, POOL_ARRAY(items), out, sizeof out[0], NULL));
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, POOL_ARRAY(items), NULL));
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_BROKEN);
    assert_null(result);
    assert_status(pool_iterator_next(iterator, 0, &result), POOL_BROKEN);
    for (int i = 0; i < TASKS; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_BROKEN);
        pool_future_free(futures[i]);
    }
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_BROKEN);
    pool_future_free(map);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

static void create_does_not_wait(void **state)
{
    struct pool_options options = {.initializer = init_hangs};
    int64_t start = time_now_ms();
    struct pool *pool = made(pool_create(2, &options));

    (void)state;
    assert_true(time_now_ms() - start < 5000 * time_scale());
    pool_destroy(pool); /* nor does destroy wait for the initializer's 60 s */
    assert_true(time_now_ms() - start < 10000 * time_scale());
}

/* A pool of one worker for each task, so that every task needs a start, of which every second fails: nothing is lost. */
static void failing_every_second_time(void **state)
{
    enum { ITEMS = 12 };
    struct pool_options options = {.initializer = init_fails_every_second_time, .tasks_per_worker = 1};
    struct pool *pool = made(pool_create(2, &options));
    size_t out[ITEMS];

    (void)state;
    assert_status(pool_map(pool, task_index, pool_items(NULL, ITEMS, 0), out, sizeof out[0], NULL), POOL_OK);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(out[i], i);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

static void crashing_at_first(void **state)
{
    struct pool_options options = {.initializer = init_crashes_three_times};
    struct pool *pool = made(pool_create(1, &options));
    size_t out[5];

    (void)state;
    assert_status(pool_map(pool, task_index, pool_items(NULL, 5, 0), out, sizeof out[0], NULL), POOL_OK);
    assert_int_equal(starts(), 4);
    pool_destroy(pool);
}

/* A pool that worked and then gets no worker ready any more: what was done is done, the rest is told. */
static void failing_from_the_tenth_on(void **state)
{
    enum { ITEMS = 30 };
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct pool_options options = {.initializer = init_fails_from_the_tenth_on, .tasks_per_worker = 1};
    struct pool *pool = made(pool_create(2, &options));

    (void)state;
    assert_status(pool_map(pool, task_index, pool_items(NULL, ITEMS, 0), NULL, 0, &job), POOL_BROKEN);
    assert_error_has("worn out");
    int done = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(statuses[i], atomic_load(&ground->started[i]) == 1 ? POOL_OK : POOL_BROKEN);
        done += statuses[i] == POOL_OK;
    }
    assert_int_equal(done, 9);
    assert_in_range(starts(), 10, 9 + most_starts(2));
    check_broken(pool);
    pool_destroy(pool);
}

/* ---- finalizers */

struct worker_state {
    int starts;
    int seat;
};

static int init_leaves_state(void **state, void *arg)
{
    static struct worker_state own;

    own.starts = count_start();
    own.seat = pool_worker_index();
    if (own.seat < 0)
        return pool_fail(NULL, 1, "no seat in the initializer");
    atomic_fetch_or(&ground->count[SEATS], 1 << own.seat);
    if (strcmp(arg, "the argument") != 0)
        return pool_fail(NULL, 1, "another argument");
    *state = &own;
    return 0;
}

static void final_counts(void *state, void *arg)
{
    const struct worker_state *own = state;

    if (own && own->seat == pool_worker_index() && strcmp(arg, "the argument") == 0)
        atomic_fetch_add(&ground->count[STATE_SEEN], 1);
    atomic_fetch_add(&ground->count[ENDS], 1); /* the last: tests wait for it */
}

static int task_state_seat(struct pool_task *task)
{
    const struct worker_state *own = task->state;

    return own->seat == pool_worker_index()
               ? 0
               : pool_fail(task, 1, "the state of seat %d at seat %d", own->seat, pool_worker_index());
}

static struct pool_options options_with_finalizer(void)
{
    static char argument[] = "the argument";

    return (struct pool_options){
        .initializer = init_leaves_state, .finalizer = final_counts, .initializer_arg = argument};
}

static void check_ends(int wanted)
{
    assert_int_equal(atomic_load(&ground->count[ENDS]), wanted);
    assert_int_equal(atomic_load(&ground->count[STATE_SEEN]), wanted);
}

static void finalizer_after_close(void **state)
{
    struct pool_options options = options_with_finalizer();
    struct pool *pool = made(pool_create(3, &options));

    (void)state;
    assert_status(pool_map(pool, task_state_seat, pool_items(NULL, 30, 0), NULL, 0, NULL), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(starts(), 3);
    assert_int_equal(atomic_load(&ground->count[SEATS]), 7);
    check_ends(3);
    pool_destroy(pool);
    check_ends(3);
}

static void finalizer_at_each_replacement(void **state)
{
    struct pool_options options = options_with_finalizer();

    (void)state;
    options.tasks_per_worker = 2;
    struct pool *pool = made(pool_create(2, &options));
    assert_status(pool_map(pool, task_state_seat, pool_items(NULL, 20, 0), NULL, 0, NULL), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_in_range(starts(), 10, 12);
    assert_int_equal(atomic_load(&ground->count[SEATS]), 3);
    check_ends(starts());
    pool_destroy(pool);
}

static void finalizer_when_the_pool_shrinks(void **state)
{
    struct pool_options options = options_with_finalizer();
    struct pool *pool = made(pool_create(3, &options));

    (void)state;
    assert_true(counter_wait(&ground->count[STARTS], 3));
    assert_status(pool_resize(pool, 1), POOL_OK);
    assert_true(counter_wait(&ground->count[ENDS], 2));
    assert_status(pool_map(pool, task_state_seat, pool_items(NULL, 5, 0), NULL, 0, NULL), POOL_OK);
    check_ends(2);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    check_ends(3);
    pool_destroy(pool);
}

/* A worker that a task killed does not end in good order. */
static void no_finalizer_after_a_crash(void **state)
{
    struct pool_options options = options_with_finalizer();
    struct pool *pool = made(pool_create(1, &options));

    (void)state;
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_state_seat, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(starts(), 2);
    check_ends(1);
    pool_destroy(pool);
}

static void final_hangs(void *state, void *arg)
{
    (void)state;
    (void)arg;
    atomic_fetch_add(&ground->count[ENDS], 1);
    for (;;)
        pause();
}

static void final_crashes(void *state, void *arg)
{
    (void)state;
    (void)arg;
    atomic_fetch_add(&ground->count[ENDS], 1);
    raise(SIGSEGV);
}

/* A finalizer that hangs or crashes holds up nobody for ever. */
static void bad_finalizers(void **state)
{
    void (*const finalizers[])(void *, void *) = {final_hangs, final_crashes};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct pool_options options = {.finalizer = finalizers[i / 2], .start_timeout_ms = 200};
        struct pool *pool = made(pool_create(2, &options));
        atomic_store(&ground->count[ENDS], 0);
        assert_status(pool_map(pool, task_nothing, pool_items(NULL, 10, 0), NULL, 0, NULL), POOL_OK);
        if (i % 2 == 0) {
            assert_status(pool_close(pool), POOL_OK);
            assert_status(pool_join(pool, 10000 * time_scale()), POOL_OK);
            assert_int_equal(atomic_load(&ground->count[ENDS]), 2);
        }
        pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(failing),
        PROCESS_TEST(failing_without_words),
        PROCESS_TEST(exiting),
        PROCESS_TEST(leaving_with_0),
        PROCESS_TEST(crashing),
        PROCESS_TEST(hanging),
        PROCESS_TEST(all_waiting_work_is_told),
        PROCESS_TEST(create_does_not_wait),
        PROCESS_TEST(failing_every_second_time),
        PROCESS_TEST(crashing_at_first),
        PROCESS_TEST(failing_from_the_tenth_on),
        PROCESS_TEST(finalizer_after_close),
        PROCESS_TEST(finalizer_at_each_replacement),
        PROCESS_TEST(finalizer_when_the_pool_shrinks),
        PROCESS_TEST(no_finalizer_after_a_crash),
        PROCESS_TEST(bad_finalizers),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
