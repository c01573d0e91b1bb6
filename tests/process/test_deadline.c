/*
 * Deadlines: an item that runs for longer is killed with all it has started, by a timer that counts from its start; never early, however the
 * task resists, whoever waits or does not, and whatever else the program does meanwhile.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE = 60, GENEROUS = 3000 };

enum resistance { BUSY_LOOP, BLOCKED_SIGNALS, STOPPED, SLEEPING, WITH_CHILD, RESISTANCES };

/* Where a task that never returns leaves when it began, and whom it has started. */
struct trace {
    _Atomic int64_t began;
    _Atomic pid_t child;
};
static struct trace *trace;

static int task_resist(struct pool_task *task)
{
    const enum resistance *resistance = task->arg;
    sigset_t all;
    pid_t child;

    atomic_store(&trace->began, time_now_ms());
    atomic_fetch_add(&ground->count[0], 1);
    switch (*resistance) {
    case BUSY_LOOP:
        for (volatile long turns = 0;; turns++)
            continue;
    case BLOCKED_SIGNALS:
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        break;
    case STOPPED:
        kill(getpid(), SIGSTOP);
        break;
    case WITH_CHILD:
        child = fork();
        if (child != 0)
            atomic_store(&trace->child, child);
        break;
    case SLEEPING:
    case RESISTANCES:
        break;
    }
    while (true)
        pause();
    return 0;
}

static int traced_begin(void **state)
{
    trace = shared_memory(sizeof *trace);
    return audit_begin(state);
}

static int traced_end(void **state)
{
    int failed = audit_end(state);

    shared_memory_free(trace, sizeof *trace);
    return failed;
}

#define TRACED_TEST(function) {#function, function, traced_begin, traced_end, #function}

static void check_expired(struct pool_future *future)
{
    const struct pool_result *result = NULL;

    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_EXPIRED);
    assert_int_equal(result->code, 0);
    assert_non_null(strstr(result->message, "deadline of 60 ms"));
    assert_true(result->run_ns >= DEADLINE * UINT64_C(1000000));
    assert_int_equal(result->attempts, 1);
    if (family_known())
        assert_true(family_gone(result->worker));
}

static void no_task_resists(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE};
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_stats stats;

    (void)state;
    for (enum resistance how = 0; how < RESISTANCES; how++) {
        struct pool_future *future = made(pool_apply_async(pool, task_resist, &how, sizeof how, &job));
        check_expired(future);
        int64_t took = time_now_ms() - atomic_load(&trace->began);
        assert_true(took >= DEADLINE);
        assert_true(took < GENEROUS * time_scale());
        if (how == WITH_CHILD && family_known())
            assert_true(family_gone(atomic_load(&trace->child)));
        pool_future_free(future);
    }
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, &job), POOL_OK);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.expired, RESISTANCES);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.finished, RESISTANCES + 1);
    pool_destroy(pool);
}

/* Nobody is in a call, and the result that another waits for has nothing to do with it. */
static void nobody_need_wait(void **state)
{
    enum resistance how = SLEEPING;
    struct pool_job job = {.deadline_ms = DEADLINE};
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_resist, &how, sizeof how, &job));
    pid_t pids[2];

    (void)state;
    assert_true(counter_wait(&ground->count[0], 1));
    assert_int_equal(pool_worker_pids(pool, pids, 2), 2);
    while (!pool_future_ready(future))
        pause_briefly();
    assert_status(pool_future_get(future, 0, NULL), POOL_EXPIRED);
    pool_future_free(future);
    pool_destroy(pool);
}

static int task_for_ms(struct pool_task *task)
{
    const int *ms = task->arg;
    int64_t end = time_now_ms() + *ms;

    atomic_fetch_add(&ground->started[task->index], 1);
    while (time_now_ms() < end)
        pause_briefly();
    return pool_return(task, &task->index, sizeof task->index);
}

/* The time in the queue does not count: the last of these waits for longer than its deadline. */
static void the_wait_does_not_count(void **state)
{
    enum { TASKS = 8 };
    int ms = 100;
    struct pool_job job = {.deadline_ms = 600 * time_scale()};
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *futures[TASKS];

    (void)state;
    for (int i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, task_for_ms, &ms, sizeof ms, &job));
    for (int i = 0; i < TASKS; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, NULL), POOL_OK);
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
}

static int task_index_or_stay(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    while (task->index % 100 == 37)
        pause();
    return pool_return(task, &task->index, sizeof task->index);
}

/* One item of a chunk is over its time: the others, before and behind it, have their results, each run once. */
static void one_item_of_a_chunk_pays(void **state)
{
    enum { ITEMS = 400 };
    static size_t out[ITEMS];
    static enum pool_status statuses[ITEMS];
    struct pool_job job = {.deadline_ms = DEADLINE, .chunk = 100, .keep_going = true, .statuses = statuses};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    assert_status(pool_map(pool, task_index_or_stay, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job),
                  POOL_EXPIRED);
    assert_error_has("item 37: ");
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(statuses[i], i % 100 == 37 ? POOL_EXPIRED : POOL_OK);
        assert_true(i % 100 == 37 || out[i] == i);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    }
    pool_destroy(pool);
}

static void iterators_tell_it(void **state)
{
    enum { ITEMS = 40 };
    struct pool_job job = {.deadline_ms = DEADLINE};
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_iterator *iterator = made(pool_imap(pool, task_index_or_stay, pool_items(NULL, ITEMS, 0), &job));
    const struct pool_result *result;

    (void)state;
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, i);
        assert_status(result->status, i == 37 ? POOL_EXPIRED : POOL_OK);
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* Many short items under a deadline that is long for each and short for all: none is killed. */
static void never_early(void **state)
{
    enum { ITEMS = 5000 };
    struct pool_job job = {.deadline_ms = 500 * time_scale()};
    struct pool *pool = made(pool_create(2, NULL));
    int64_t end = time_now_ms() + 1500 * time_scale();

    (void)state;
    do {
        assert_status(pool_map(pool, task_nothing, pool_items(NULL, ITEMS, 0), NULL, 0, &job), POOL_OK);
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, &job), POOL_OK);
    } while (time_now_ms() < end);
    pool_destroy(pool);
}

/* A job without a deadline shares the workers with one that has: its items run for as long as they like. */
static void jobs_without_are_left_alone(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE};
    enum resistance how = SLEEPING;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *calm, *over[3];

    (void)state;
    occupy(pool, 0, &calm, 1);
    for (int i = 0; i < 3; i++)
        over[i] = made(pool_apply_async(pool, task_resist, &how, sizeof how, &job));
    for (int i = 0; i < 3; i++) {
        check_expired(over[i]);
        pool_future_free(over[i]);
    }
    assert_false(pool_future_ready(calm));
    gate_open(&ground->gate[0]);
    assert_status(pool_future_get(calm, POOL_FOREVER, NULL), POOL_OK);
    pool_future_free(calm);
    pool_destroy(pool);
}

static void stand_at_gate(void *user, const struct pool_result *result)
{
    (void)result;
    gate_pass(user);
}

static void no_callback_delays_one(void **state)
{
    struct pool_job slow = {.callback = stand_at_gate, .user = &ground->gate[0]}, job = {.deadline_ms = DEADLINE};
    enum resistance how = BUSY_LOOP;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *first = made(pool_apply_async(pool, task_nothing, NULL, 0, &slow)), *second;

    (void)state;
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    second = made(pool_apply_async(pool, task_resist, &how, sizeof how, &job));
    check_expired(second);
    gate_open(&ground->gate[0]);
    pool_future_free(first);
    pool_future_free(second);
    pool_destroy(pool);
}

static void the_programs_own_loop_keeps_it(void **state)
{
    struct pool_options options = {.flags = POOL_NO_THREAD};
    struct pool_job job = {.deadline_ms = DEADLINE};
    enum resistance how = SLEEPING;
    struct pool *pool = made(pool_create(1, &options));
    struct pool_future *future = made(pool_apply_async(pool, task_resist, &how, sizeof how, &job));
    struct pollfd readable = {.fd = pool_fd(pool), .events = POLLIN};

    (void)state;
    while (!pool_future_ready(future)) {
        int timeout = pool_next_timeout(pool);
        poll(&readable, readable.fd >= 0, timeout < 0 ? 1000 : timeout);
        assert_status(pool_dispatch(pool), POOL_OK);
    }
    check_expired(future);
    pool_future_free(future);
    pool_destroy(pool);
}

static void every_attempt_has_its_own(void **state)
{
    struct pool_job job = {.deadline_ms = DEADLINE, .retries = 2};
    enum resistance how = SLEEPING;
    const struct pool_result *result;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_future *future = made(pool_apply_async(pool, task_resist, &how, sizeof how, &job));

    (void)state;
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_EXPIRED);
    assert_int_equal(result->attempts, 3);
    assert_int_equal(atomic_load(&ground->count[0]), 3);
    pool_future_free(future);
    pool_destroy(pool);
}

static void the_longest_and_the_wrong(void **state)
{
    struct pool_job longest = {.deadline_ms = INT_MAX}, wrong = {.deadline_ms = -1};
    struct pool *pool = made(pool_create(1, NULL));
    long values[3] = {1, 2, 3}, out[3];

    (void)state;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], &longest), POOL_OK);
    assert_refused(pool_apply(pool, task_square, values, sizeof values[0], out, sizeof out[0], &wrong), "deadline_ms");
    assert_refused(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], &wrong), "deadline_ms");
    assert_null_errno(pool_apply_async(pool, task_square, values, sizeof values[0], &wrong), EINVAL);
    assert_null_errno(pool_map_async(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], &wrong), EINVAL);
    assert_null_errno(pool_imap(pool, task_square, POOL_ARRAY(values), &wrong), EINVAL);
    assert_null_errno(pool_imap_unordered(pool, task_square, POOL_ARRAY(values), &wrong), EINVAL);
    pool_destroy(pool);
}

/* ---- the program itself is stopped */

enum { LARGE = 4 << 20 };

static int task_large_soon(struct pool_task *task)
{
    int64_t end = time_now_ms() + 150;
    void *room = pool_return_space(task, LARGE);

    atomic_fetch_add(&ground->count[1], 1);
    while (time_now_ms() < end)
        pause_briefly();
    memset(room, 7, LARGE);
    return 0;
}

/* Its tasks take less than their deadline, and it is stopped until long after that. */
static int program_that_is_stopped(void *context)
{
    struct pool_job job = {.deadline_ms = 400 * time_scale()};
    int ms = 150;
    struct pool *pool = pool_create(2, NULL);
    struct pool_future *small, *large;

    (void)context;
    SIDE_CHECK(pool != NULL);
    small = pool_apply_async(pool, task_for_ms, &ms, sizeof ms, &job);
    large = pool_apply_async(pool, task_large_soon, NULL, 0, &job);
    SIDE_CHECK(small != NULL && large != NULL);
    SIDE_CHECK(counter_wait(&ground->count[1], 1) && counter_wait(&ground->started[0], 1));
    kill(getpid(), SIGSTOP);
    SIDE_CHECK(pool_future_get(small, POOL_FOREVER, NULL) == POOL_OK);
    SIDE_CHECK(pool_future_get(large, POOL_FOREVER, NULL) == POOL_OK);
    pool_future_free(small);
    pool_future_free(large);
    pool_destroy(pool);
    return 0;
}

static void results_come_before_kills(void **state)
{
    pid_t host = side_host_start(program_that_is_stopped, NULL);
    int status;

    (void)state;
    assert_int_equal(waitpid(host, &status, WUNTRACED), host);
    assert_true(WIFSTOPPED(status));
    int64_t end = time_now_ms() + 1000 * time_scale();
    while (time_now_ms() < end)
        pause_briefly();
    kill(host, SIGCONT);
    assert_int_equal(side_host_end(host), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRACED_TEST(no_task_resists),
        TRACED_TEST(nobody_need_wait),
        PROCESS_TEST(the_wait_does_not_count),
        PROCESS_TEST(one_item_of_a_chunk_pays),
        PROCESS_TEST(iterators_tell_it),
        PROCESS_TEST(never_early),
        TRACED_TEST(jobs_without_are_left_alone),
        TRACED_TEST(no_callback_delays_one),
        TRACED_TEST(the_programs_own_loop_keeps_it),
        TRACED_TEST(every_attempt_has_its_own),
        PROCESS_TEST(the_longest_and_the_wrong),
        PROCESS_TEST(results_come_before_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
