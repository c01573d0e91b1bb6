/*
 * What a worker's death costs: the one item that was running, told with its cause, and nothing else.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/system.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum how { BY_SIGNAL, BY_EXIT, BY_EXIT_AT_ONCE, BY_NULL_POINTER, BY_ABORT, BY_THREAD_EXIT};

struct end {
    enum how how;
    int      code;
};

static int task_end(struct pool_task *task)
{
    const struct end *end = task->arg;
    volatile int *volatile nothing = NULL;

    switch (end->how) {
    case BY_SIGNAL:
        raise(end->code);
        break;
    case BY_EXIT:
        exit(end->code);
    case BY_EXIT_AT_ONCE:
        _exit(end->code);
    case BY_NULL_POINTER:
        *nothing = 1;
        break;
    case BY_ABORT:
        abort();
    case BY_THREAD_EXIT:
        pthread_exit(NULL);
    }
    return 0;
}

/* Counts its start, and for the item that ground->count[0] names, ends the worker; else returns 3 x index + 1. */
static int task_one_dies(struct pool_task *task)
{
    size_t value = 3 * task->index + 1;

    atomic_fetch_add(&ground->started[task->index], 1);
    if ((size_t)atomic_load(&ground->count[0]) == task->index)
        raise(SIGKILL);
    return pool_return(task, &value, sizeof value);
}

static void check_usable(struct pool *pool, int times)
{
    for (int i = 0; i < times; i++) {
        pid_t pid = 0;
        assert_status(pool_apply(pool, task_pid, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
        assert_int_not_equal(pid, 0);
        assert_int_not_equal(pid, getpid());
    }
}

/* Run one end in a worker and check all that is told of it. */
static void check_end(struct pool *pool, struct end end, enum pool_status status, int code)
{
    const struct pool_result *result = NULL;
    struct pool_future *future = pool_apply_async(pool, task_end, &end, sizeof end, NULL);

    assert_non_null(future);
    assert_status(pool_future_get(future, POOL_FOREVER, &result), status);
    assert_non_null(result);
    assert_status(result->status, status);
    assert_int_equal(result->code, code);
    assert_int_equal(result->index, 0);
    assert_int_equal(result->attempts, 1);
    assert_non_null(result->message);
    assert_string_not_equal(result->message, "");
    assert_string_equal(pool_error(), result->message);
    assert_true(result->worker > 0);
    assert_memory_equal(result->arg, &end, sizeof end);
    assert_int_equal(result->arg_size, sizeof end);
    assert_true(pool_future_ready(future));
    assert_false(pool_future_successful(future));
    if (family_known())
        assert_true(family_gone(result->worker));
    pool_future_free(future);
}

static void signals(void **state)
{
    static const int numbers[] = {SIGKILL, SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGABRT, SIGTERM, SIGINT,
                                  SIGHUP,  SIGPIPE, SIGALRM, SIGUSR1, SIGSYS, SIGTRAP, SIGQUIT};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        check_end(pool, (struct end){.how = BY_SIGNAL, .code = numbers[i] }, POOL_CRASHED, numbers[i]);
        check_usable(pool, 2);
    }
    check_end(pool, (struct end){.how = BY_NULL_POINTER}, POOL_CRASHED, SIGSEGV);
    check_end(pool, (struct end){.how = BY_ABORT}, POOL_CRASHED, SIGABRT);
    check_usable(pool, 4);
    pool_destroy(pool);
}

static void exits(void **state)
{
    static const int statuses[] = { 0, 1, 3, 99, 127, 128, 255};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        check_end(pool, (struct end){.how = BY_EXIT, .code = statuses[i] }, POOL_EXITED, exit_code_told(statuses[i]));
        check_end(pool, (struct end){.how = BY_EXIT_AT_ONCE, .code = statuses[i] }, POOL_EXITED, statuses[i]);
        check_usable(pool, 2);
    }
    pool_destroy(pool);
}

static void blocking_calls_tell_it_too(void **state)
{
    struct end kill_it = {.how = BY_SIGNAL, .code = SIGKILL}, leave = {.how = BY_EXIT, .code = 7};
    int out = 4711;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    assert_status(pool_apply(pool, task_end, &kill_it, sizeof kill_it, &out, sizeof out, NULL), POOL_CRASHED);
    assert_string_not_equal(pool_error(), "");
    assert_int_equal(out, 4711);
    assert_status(pool_apply(pool, task_end, &leave, sizeof leave, NULL, 0, NULL), POOL_EXITED);
    assert_status(pool_map(pool, task_end, pool_items(&kill_it, 1, sizeof kill_it), NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_map(pool, task_end, pool_items(&leave, 1, sizeof leave), NULL, 0, NULL), POOL_EXITED);
    check_usable(pool, 2);
    pool_destroy(pool);
}

/* The header leaves open which of the two it is; nothing hangs and nothing else suffers. */
static void thread_exit(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    struct end end = {.how = BY_THREAD_EXIT};
    struct pool *pool = made(pool_create(1, NULL));
    enum pool_status status = pool_apply(pool, task_end, &end, sizeof end, NULL, 0, NULL);
    assert_true(status == POOL_CRASHED || status == POOL_EXITED);
    check_usable(pool, 2);
    pool_destroy(pool);
}

/* One map of 100 items of which `victim` dies, everything else must be there. */
static void check_chunk(struct pool *pool, size_t chunk, size_t victim)
{
    enum { ITEMS = 100};
    size_t out[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.chunk = chunk, .keep_going = true, .statuses = statuses};

    ground_make();
    atomic_store(&ground->count[0], (int)victim);
    memset(out, 0, sizeof out);
    assert_status(pool_map(pool, task_one_dies, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job), POOL_CRASHED);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(atomic_load(&ground->started[i]), 1);
        assert_status(statuses[i], i == victim ? POOL_CRASHED : POOL_OK);
        if (i != victim)
            assert_int_equal(out[i], 3 * i + 1);
    }
}

static void one_item_of_a_chunk_pays(void **state)
{
    static const size_t chunks[] = { 0, 1, 7, 100}, victims[] = { 0, 37, 98, 99};

    (void)state;
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        struct pool *pool = made(pool_create(workers, NULL));
        for (size_t c = 0; c < 4; c++)
            for (size_t v = 0; v < 4; v++)
                check_chunk(pool, chunks[c], victims[v]);
        pool_destroy(pool);
    }
}

static int task_every_third_dies(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index % 3 == 1)
        raise(SIGSEGV);
    if (task->index % 3 == 2)
        exit((int)(task->index % 200));
    return pool_return(task, &task->index, sizeof task->index);
}

static void many_deaths_in_a_map(void **state)
{
    enum { ITEMS = 90};
    size_t out[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.chunk = 30, .keep_going = true, .statuses = statuses};
    struct pool *pool = made(pool_create(3, NULL));

    (void)state;
    assert_status(pool_map(pool, task_every_third_dies, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job),
                  POOL_CRASHED);
    for (size_t i = 0; i < ITEMS; i++) {
        static const enum pool_status wanted[] = { POOL_OK, POOL_CRASHED, POOL_EXITED};
        assert_status(statuses[i], wanted[i % 3]);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
        if (i % 3 == 0)
            assert_int_equal(out[i], i);
    }
    pool_destroy(pool);
}

static void deaths_in_an_imap(void **state)
{
    enum { ITEMS = 60};
    const struct pool_result *result;
    struct pool_job job = {.chunk = 10};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    struct pool_iterator *iterator = pool_imap(pool, task_every_third_dies, pool_items(NULL, ITEMS, 0), &job);
    assert_non_null(iterator);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, i);
        switch (i % 3) {
        case 0:
            assert_status(result->status, POOL_OK);
            assert_int_equal(result->size, sizeof i);
            assert_memory_equal(result->data, &i, sizeof i);
            break;
        case 1:
            assert_status(result->status, POOL_CRASHED);
            assert_int_equal(result->code, SIGSEGV);
            break;
        default:
            assert_status(result->status, POOL_EXITED);
            assert_int_equal(result->code, exit_code_told(i % 200));
        }
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* Without keep_going: who ran is told, who did not run is POOL_CANCELLED, and nobody is started after being told so. */
static void map_stops_at_a_death(void **state)
{
    enum { ITEMS = 2000};
    static enum pool_status statuses[ITEMS];
    struct pool_job job = {.chunk = 500, .statuses = statuses};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    atomic_store(&ground->count[0], 3);
    assert_status(pool_map(pool, task_one_dies, pool_items(NULL, ITEMS, 0), NULL, 0, &job), POOL_CRASHED);
    for (size_t i = 0; i < ITEMS; i++) {
        enum pool_status wanted = i == 3                                  ? POOL_CRASHED
                                  : atomic_load(&ground->started[i]) == 1 ? POOL_OK
                                                                          : POOL_CANCELLED;
        assert_true(atomic_load(&ground->started[i]) <= 1);
        assert_status(statuses[i], wanted);
    }
    check_usable(pool, 4);
    pool_destroy(pool);
}

static void killed_while_idle(void **state)
{
    struct pool_stats stats;
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (int round = 0; round < 20; round++) {
        pid_t pid;
        assert_status(pool_apply(pool, task_pid, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
        assert_int_equal(kill(pid, SIGKILL), 0);
        check_usable(pool, 3);
    }
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.failed, 0);
    assert_int_equal(stats.finished, 80);
    pool_destroy(pool);
}

static void all_killed_while_idle(void **state)
{
    enum { WORKERS = 4};
    pid_t pids[WORKERS];
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    check_usable(pool, 1);
    for (int round = 0; round < 10; round++) {
        size_t count = pool_worker_pids(pool, pids, WORKERS);
        assert_true(count <= WORKERS);
        for (size_t i = 0; i < count; i++)
            if (pids[i] > 0)
                kill(pids[i], SIGKILL);
        check_usable(pool, 8);
    }
    pool_destroy(pool);
}

/* Whoever kills idle workers again and again slows the pool down. But it is not broken: nothing of its own fails. */
static void killed_while_idle_again_and_again(void **state)
{
    enum { WORKERS = 4};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    for (int round = 0; round < 100; round++) {
        pid_t pids[WORKERS] = {0};
        size_t count = pool_worker_pids(pool, pids, WORKERS);
        for (size_t i = 0; i < count && i < WORKERS; i++)
            if (pids[i] > 0)
                kill(pids[i], SIGKILL);
        pause_briefly();
    }
    check_usable(pool, 8);
    pool_destroy(pool);
}

/* What was got before the worker died stays got, and a death straight after a result is nobody's crash. */
static void killed_right_after_the_result(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (int round = 0; round < 100; round++) {
        const struct pool_result *result;
        pid_t pid;
        struct pool_future *future = pool_apply_async(pool, task_pid, NULL, 0, NULL);
        assert_non_null(future);
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
        memcpy(&pid, result->data, sizeof pid);
        assert_int_equal(pid, result->worker);
        kill(pid, SIGKILL);
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
        pool_future_free(future);
    }
    check_usable(pool, 3);
    pool_destroy(pool);
}

static int task_wait_at_gate(struct pool_task *task)
{
    pid_t pid = getpid();

    if (!gate_pass(&ground->gate[0]))
        return pool_fail(task, 1, "the gate was not opened");
    return pool_return(task, &pid, sizeof pid);
}

/* Several workers run; one of them is killed from outside: its item alone crashes, the others end well. */
static void killed_from_outside(void **state)
{
    enum { WORKERS = 3};
    struct pool_future *futures[WORKERS];
    pid_t pids[WORKERS] = { 0};
    struct pool *pool = made(pool_create(WORKERS, NULL));
    int crashed = 0;

    (void)state;
    for (int i = 0; i < WORKERS; i++) {
        futures[i] = pool_apply_async(pool, task_wait_at_gate, NULL, 0, NULL);
        assert_non_null(futures[i]);
    }
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    assert_int_equal(pool_worker_pids(pool, pids, WORKERS), WORKERS);
    kill(pids[1], SIGKILL);
    size_t which = 0;
    assert_status(pool_wait_any(futures, WORKERS, POOL_FOREVER, &which), POOL_OK);
    gate_open(&ground->gate[0]);
    for (size_t i = 0; i < WORKERS; i++) {
        const struct pool_result *result;
        enum pool_status status = pool_future_get(futures[i], POOL_FOREVER, &result);
        assert_status(status, i == which ? POOL_CRASHED : POOL_OK);
        assert_int_equal(result->code, i == which ? SIGKILL : 0);
        crashed += status == POOL_CRASHED;
        if (i == which)
            assert_int_equal(result->worker, pids[1]);
        pool_future_free(futures[i]);
    }
    assert_int_equal(crashed, 1);
    pool_destroy(pool);
}

/* Tasks that crash are no reason to give a pool up, however many come in a row. */
static void poison_does_not_break_the_pool(void **state)
{
    enum { POISON = 200};
    struct end ends[POISON];
    enum pool_status statuses[POISON];
    struct pool_stats stats;
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (int i = 0; i < POISON; i++)
        ends[i] = (struct end){.how = i % 2 ? BY_SIGNAL : BY_EXIT_AT_ONCE, .code = i % 2 ? SIGKILL : 1};
    assert_status(pool_map(pool, task_end, POOL_ARRAY(ends), NULL, 0, &job), POOL_EXITED);
    for (int i = 0; i < POISON; i++)
        assert_status(statuses[i], i % 2 ? POOL_CRASHED : POOL_EXITED);
    check_usable(pool, 10);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_true(stats.workers_lost >= POISON);
    assert_true(stats.workers_started >= POISON);
    pool_destroy(pool);
}

static void *crash_behind_gate(void *argument)
{
    (void)argument;
    if (gate_pass(&ground->gate[0]))
        raise(SIGSEGV);
    return NULL;
}

static int task_leaves_a_thread(struct pool_task *task)
{
    pthread_t thread;
    pid_t pid = getpid();

    if (pthread_create(&thread, NULL, crash_behind_gate, NULL) != 0)
        return pool_fail(task, 1, "no thread");
    pthread_detach(thread);
    return pool_return(task, &pid, sizeof pid);
}

/* A thread that a task left behind ends its worker when the task has long ended: nobody's crash, and the next tasks run elsewhere. */
static void a_thread_of_a_task_crashes_later(void **state)
{
    struct pool_stats stats;
    struct pool *pool = made(pool_create(1, NULL));
    pid_t pid;

    (void)state;
    assert_status(pool_apply(pool, task_leaves_a_thread, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    gate_open(&ground->gate[0]);
    if (family_known())
        assert_true(family_gone(pid));
    check_usable(pool, 3);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.crashed, 0);
    pool_destroy(pool);
}

static int task_dies_with_a_large_result(struct pool_task *task)
{
    size_t size = 8u << 20;
    char *space = pool_return_space(task, size);

    if (space == NULL)
        return pool_fail(task, 1, "no room");
    memset(space, 'x', size);
    raise(SIGKILL);
    return 0;
}

static void result_prepared_and_not_given(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    assert_status(pool_apply(pool, task_dies_with_a_large_result, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    check_usable(pool, 2);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(signals),
        PROCESS_TEST(exits),
        PROCESS_TEST(blocking_calls_tell_it_too),
        PROCESS_TEST(thread_exit),
        PROCESS_TEST(one_item_of_a_chunk_pays),
        PROCESS_TEST(many_deaths_in_a_map),
        PROCESS_TEST(deaths_in_an_imap),
        PROCESS_TEST(map_stops_at_a_death),
        PROCESS_TEST(killed_while_idle),
        PROCESS_TEST(all_killed_while_idle),
        PROCESS_TEST(killed_while_idle_again_and_again),
        PROCESS_TEST(killed_right_after_the_result),
        PROCESS_TEST(killed_from_outside),
        PROCESS_TEST(poison_does_not_break_the_pool),
        PROCESS_TEST(a_thread_of_a_task_crashes_later),
        PROCESS_TEST(result_prepared_and_not_given),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
