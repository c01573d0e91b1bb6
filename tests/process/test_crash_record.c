/*
 * What is told of a worker that a signal has ended: which one, at what address, in which item and function, by which calls; and that the signal
 * is the worker's end as if nobody had looked.
 */
#define _GNU_SOURCE /* vfork */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/crashes.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------ how it is asked */

/* Crashes as its argument says; returns the worker's pid where it did not. */
static int task_crashes(struct pool_task *task)
{
    enum crash crash;
    pid_t pid = getpid();

    memcpy(&crash, task->arg, sizeof crash);
    crash_now(crash);
    return pool_return(task, &pid, sizeof pid);
}

/* The item that ground->count[0] names writes to nothing. */
static int task_one_crashes(struct pool_task *task)
{
    if ((size_t)atomic_load(&ground->count[0]) == task->index)
        crash_now(WRITE_TO_NOTHING);
    return 0;
}

static char message[8192];

/* What comes of one call; its message is kept. */
static int apply(struct pool *pool, pool_function *function, const void *argument, size_t size)
{
    struct pool_future *future = made(pool_apply_async(pool, function, argument, size, NULL));
    const struct pool_result *result;
    int status = (int)pool_future_get(future, POOL_FOREVER, &result);

    assert_true(strlen(result->message) < 4096);
    snprintf(message, sizeof message, "%s", result->message);
    if (status == POOL_CRASHED)
        status = 1000 + result->code; /* both at once */
    pool_future_free(future);
    return status;
}

static void check_message(const char *part, bool there, const char *file, int line)
{
    if ((strstr(message, part) != NULL) != there) {
        print_error("\"%s\" is %sin \"%s\"\n", part, there ? "not " : "", message);
        _fail(file, line);
    }
}
#define assert_said(part) check_message(part, true, __FILE__, __LINE__)
#define assert_unsaid(part) check_message(part, false, __FILE__, __LINE__)

/* The lowest line that is told belongs to the task function, and so nothing of the worker's own is. */
static void assert_calls(const char *innermost)
{
    if (!CRASH_CALLS_KNOWN)
        return;
    assert_said(innermost);
    assert_said(", task function task_crashes\n  ");
    assert_said("\n  task_crashes+0x");
    assert_unsaid("pool__worker_main");
}

/* ------------------------------------------------------------------ each signal */

static void every_crash_is_told(void **state)
{
    static const struct {
        enum crash crash;
        int        signal;
        const char *first, *innermost;
    } cases[] = {
        {WRITE_TO_NOTHING, SIGSEGV, "segmentation fault (signal 11) at address 0x10 in worker ", "\n  write_to+0x"},
        {WRITE_TO_NOWHERE, SIGSEGV, "segmentation fault (signal 11) at address 0x123456000 in worker ", "\n  write_to+0x"},
        {WRITE_BEYOND_FILE, SIGBUS, "bus error (signal 7) at address 0x", "\n  write_beyond_file+0x"},
        {BAD_INSTRUCTION, SIGILL, "illegal instruction (signal 4) at address 0x", "\n  bad_instruction"},
        {CALL_ABORT, SIGABRT, "aborted (signal 6) in worker ", "\n  abort+0x"},
        {RAISE_ABORT, SIGABRT, "aborted (signal 6) in worker ", "\n  raise_it"},
        {RAISE_SEGV, SIGSEGV, "segmentation fault (signal 11), sent by itself, in worker ", "\n  raise_it"},
        {RAISE_SYS, SIGSYS, "bad system call (signal 31), sent by itself, in worker ", "\n  raise_it"},
#if CRASH_DIVIDES
        {DIVIDE_BY_ZERO, SIGFPE, "arithmetic error (signal 8) at address 0x", "\n  divide_by_zero"},
#endif
#if CRASH_CALLS_KNOWN
        {CALL_NOTHING, SIGSEGV, "segmentation fault (signal 11) at address 0x0 in worker ", "\n  0x0\n  call_nothing"},
        {FORBIDDEN_CALL, SIGSYS, "bad system call (signal 31) by system call ", "\n  forbidden_call"},
#endif
    };
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(apply(pool, task_crashes, &cases[i].crash, sizeof cases[i].crash), 1000 + cases[i].signal);
        assert_said(cases[i].first);
        assert_unsaid("item ");
        assert_calls(cases[i].innermost);
        if (cases[i].crash != CALL_NOTHING)
            assert_unsaid("\n  0x"); /* each call lies in a file */
    }
    pool_destroy(pool);
}

/* A pointer that no processor takes for an address: the system does not say which. */
static void an_impossible_address(void **state)
{
    enum crash crash = WRITE_TO_IMPOSSIBLE;
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    assert_int_equal(apply(pool, task_crashes, &crash, sizeof crash), 1000 + SIGSEGV);
    assert_said("segmentation fault (signal 11)");
    assert_calls("\n  write_to+0x");
    pool_destroy(pool);
}

static void a_stack_overflow(void **state)
{
    enum crash crash = OVERFLOW_STACK;
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    assert_int_equal(apply(pool, task_crashes, &crash, sizeof crash), 1000 + SIGSEGV);
    assert_said("segmentation fault (signal 11) at address 0x");
    if (CRASH_CALLS_KNOWN) {
        assert_said("(the stack has no room left)");
        assert_said("\n  overflow_stack+0x");
        assert_said(" times\n  ...");
    }
    assert_int_equal(apply(pool, task_nothing, NULL, 0), POOL_OK);
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ where */

static void in_a_map_the_item_is_named(void **state)
{
    struct pool_job job = {.chunk = 50};
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    atomic_store(&ground->count[0], 17);
    assert_status(pool_map(pool, task_one_crashes, pool_items(NULL, 50, 0), NULL, 0, &job), POOL_CRASHED);
    assert_error_has("item 17: segmentation fault (signal 11) at address 0x10 in worker ");
    if (CRASH_CALLS_KNOWN) {
        assert_error_has(", task function task_one_crashes\n  write_to+0x");
        assert_error_has("\n  task_one_crashes+0x");
    }
    pool_destroy(pool);
}

static int init_crashes(void **state, void *arg)
{
    (void)arg;
    crash_now(WRITE_TO_NOTHING);
    *state = NULL;
    return 0;
}

static void in_the_initializer(void **state)
{
    struct pool_options options = {.initializer = init_crashes};
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, &options));
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_BROKEN);
    assert_error_has("segmentation fault (signal 11) at address 0x10 in worker ");
    if (CRASH_CALLS_KNOWN)
        assert_error_has(", initializer init_crashes\n  write_to+0x");
    pool_destroy(pool);
}

static void *thread_crashes(void *crash)
{
    crash_now(*(enum crash *)crash);
    return NULL;
}

static int task_has_a_thread_that_crashes(struct pool_task *task)
{
    enum crash crash = WRITE_TO_NOTHING;
    pthread_t thread;

    (void)task;
    if (pthread_create(&thread, NULL, thread_crashes, &crash) == 0)
        pthread_join(thread, NULL);
    return 0;
}

static void in_a_thread_of_the_task(void **state)
{
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    assert_int_equal(apply(pool, task_has_a_thread_that_crashes, NULL, 0), 1000 + SIGSEGV);
    assert_said("segmentation fault (signal 11) at address 0x10 in worker ");
    if (CRASH_CALLS_KNOWN) {
        assert_said("\n  write_to+0x");
        assert_said("\n  thread_crashes+0x");
    }
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ from outside */

/* What is said of a worker that runs a task and is sent a signal by this process. */
static void send_to_one_that_runs(int number)
{
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *future = start_gated(pool, 0, 1, NULL);
    const struct pool_result *result;
    pid_t worker;

    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_int_equal(pool_worker_pids(pool, &worker, 1), 1);
    assert_int_equal(kill(worker, number), 0);
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CRASHED);
    assert_int_equal(result->code, number);
    assert_int_equal(result->worker, worker);
    snprintf(message, sizeof message, "%s", result->message);
    pool_future_free(future);
    pool_destroy(pool);
}

static void killed_from_outside(void **state)
{
    (void)state;
    send_to_one_that_runs(SIGKILL);
    assert_said("killed by signal 9 from outside the pool, in worker ");
    assert_said(CRASH_CALLS_KNOWN ? ", task function task_gated" : ", task function 0x");
}

static void terminated_from_outside(void **state)
{
    (void)state;
    send_to_one_that_runs(SIGTERM);
    assert_said("terminated (signal 15) in worker ");
}

static void a_crash_signal_from_outside(void **state)
{
    char sender[96];

    (void)state;
    skip_under_thread_sanitizer();
    send_to_one_that_runs(SIGSEGV);
    snprintf(sender, sizeof sender, "segmentation fault (signal 11), sent by process %ld, in worker ", (long)getpid());
    assert_said(sender);
}

/* ------------------------------------------------------------------ what a task has of its own */

static void leave_with_42(int number)
{
    (void)number;
    _exit(42);
}

static int task_handles_its_crash(struct pool_task *task)
{
    struct sigaction action;

    (void)task;
    memset(&action, 0, sizeof action);
    action.sa_handler = leave_with_42;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    crash_now(WRITE_TO_NOTHING);
    return 0;
}

static void a_tasks_own_handler_stays(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    assert_int_equal(apply(pool, task_handles_its_crash, NULL, 0), POOL_EXITED);
    assert_said("42");
    pool_destroy(pool);
}

/* A child that shares its parent's memory until it ends: what it wrote would be the parent's. */
static pid_t share_and_crash(void)
{
    pid_t child = vfork();

    if (child == 0)
        crash_now(WRITE_TO_NOTHING);
    return child;
}

static pid_t copy_and_crash(void)
{
    pid_t child = fork();

    if (child == 0) {
        crash_now(WRITE_TO_NOTHING);
        _exit(0);
    }
    return child;
}

/* A child of the task crashes by SIGSEGV. Then the task itself, where it is told so, by SIGABRT. */
static int task_has_children_that_crash(struct pool_task *task)
{
    bool itself = *(const bool *)task->arg;
    pid_t (*const ways[])(void) = {copy_and_crash, share_and_crash};

    for (size_t i = 0; i < 2; i++) {
        int   status = 0;
        pid_t child = ways[i]();
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
            return 1 + (int)i;
    }
    if (itself)
        crash_now(CALL_ABORT);
    return 0;
}

/* It is nothing to the item, which goes on, and whose own crash is told as what it is. */
static void a_tasks_child_crashes(void **state)
{
    struct pool *pool;
    bool itself = false;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    assert_int_equal(apply(pool, task_has_children_that_crash, &itself, sizeof itself), POOL_OK);
    itself = true;
    assert_int_equal(apply(pool, task_has_children_that_crash, &itself, sizeof itself), 1000 + SIGABRT);
    assert_said("aborted (signal 6) in worker ");
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ one after another */

/* A crash is told of its own life only: the next worker has the same board, or the next but a few. */
static void the_next_life_tells_its_own(void **state)
{
    enum crash crash = WRITE_TO_NOTHING;
    struct pool *pool;

    (void)state;
    skip_under_thread_sanitizer();
    pool = made(pool_create(1, NULL));
    for (int i = 0; i < 12; i++) {
        assert_int_equal(apply(pool, task_crashes, &crash, sizeof crash), 1000 + SIGSEGV);
        assert_said("at address 0x10");
        assert_int_equal(apply(pool, task_killed, NULL, 0), 1000 + SIGKILL);
        assert_said("killed by signal 9 from outside the pool");
        assert_unsaid("address");
        assert_unsaid("\n");
    }
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(every_crash_is_told),
        PROCESS_TEST(an_impossible_address),
        PROCESS_TEST(a_stack_overflow),
        PROCESS_TEST(in_a_map_the_item_is_named),
        PROCESS_TEST(in_the_initializer),
        PROCESS_TEST(in_a_thread_of_the_task),
        PROCESS_TEST(killed_from_outside),
        PROCESS_TEST(terminated_from_outside),
        PROCESS_TEST(a_crash_signal_from_outside),
        PROCESS_TEST(a_tasks_own_handler_stays),
        PROCESS_TEST(a_tasks_child_crashes),
        PROCESS_TEST(the_next_life_tells_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
