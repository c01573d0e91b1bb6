/*
 * Tasks that treat their worker badly: close its descriptors, write rubbish into them, stop it, spin with all signals blocked, eat the stack.
 * The task may suffer for it; the program, the other tasks and the pool do not.
 */
/* for sigaltstack; before the first header */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HIGHEST = 4096 }; /* past any descriptor that a worker here can have */

static void check_usable(struct pool *pool)
{
    long items[20], squares[20];

    for (long i = 0; i < 20; i++)
        items[i] = i;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL), POOL_OK);
    for (long i = 0; i < 20; i++)
        assert_int_equal(squares[i], i * i);
}

static void close_from(int lowest)
{
    for (int fd = lowest; fd < HIGHEST; fd++)
        close(fd);
}

static int task_closes_all(struct pool_task *task)
{
    int lowest;

    memcpy(&lowest, task->arg, sizeof lowest);
    close_from(lowest);
    return 0;
}

static jmp_buf elsewhere;

static int task_jumps_away(struct pool_task *task)
{
    (void)task;
    longjmp(elsewhere, 1);
}

static void use_and_jump(void)
{
    struct pool *pool = made(pool_create(2, NULL));

    for (int i = 0; i < 3; i++) {
        assert_status(pool_apply(pool, task_jumps_away, NULL, 0, NULL, 0, NULL), POOL_EXITED);
        check_usable(pool);
    }
    pool_destroy(pool);
}

/* The worker is a copy of this program down to the stack: it lands here, and must not go on as if it were the program. */
static void jumps_away(void **state)
{
    (void)state;
    if (setjmp(elsewhere) != 0)
        _exit(3);
    use_and_jump();
}

/* Nobody hears of such a worker again, so it is replaced. Its task has crashed or exited, or well ended where the library got hold of the result. */
static void descriptors_closed(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (int lowest = 0; lowest <= 3; lowest += 3) {
        for (int i = 0; i < 5; i++) {
            const struct pool_result *result;
            struct pool_future *future = made(pool_apply_async(pool, task_closes_all, &lowest, sizeof lowest, NULL));
            enum pool_status status = pool_future_get(future, POOL_FOREVER, &result);
            assert_true(status == POOL_OK || status == POOL_CRASHED || status == POOL_EXITED);
            if (status != POOL_OK)
                assert_string_not_equal(result->message, "");
            pool_future_free(future);
            check_usable(pool);
        }
    }
    pool_destroy(pool);
}

static int task_closes_all_and_stays(struct pool_task *task)
{
    close_from(3);
    return gate_pass(&ground->gate[0]) ? 0 : pool_fail(task, 1, "the gate was not opened");
}

/* Closing them is no death: nothing is told of the task before it has ended, and its neighbours go on. */
static void descriptors_closed_and_running(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_closes_all_and_stays, NULL, 0, NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    check_usable(pool);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    pool_future_free(future);
    check_usable(pool);
    pool_destroy(pool);
}

/* Closes everything and opens a file under all the numbers that became free: whatever is written to them lands in the file. */
static int task_puts_files_in_their_place(struct pool_task *task)
{
    const char *path = task->arg;

    close_from(3);
    for (int i = 0; i < 64; i++)
        if (open(path, O_RDWR | O_APPEND) < 0)
            return pool_fail(task, 1, "cannot open %s", path);
    /* as high as the library may have put its own */
    for (int fd = 64; fd < 1024; fd++)
        if (dup2(3, fd) < 0)
            break;
    return 0;
}

static void no_foreign_file_is_written(void **state)
{
    char path[] = "/tmp/procpool-test-XXXXXX";
    int file = mkstemp(path);
    struct stat found;
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    assert_true(file >= 0);
    for (int i = 0; i < 5; i++) {
        struct pool_future *future =
            made(pool_apply_async(pool, task_puts_files_in_their_place, path, sizeof path, NULL));
        assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        pool_future_free(future);
        check_usable(pool);
    }
    pool_destroy(pool);
    assert_int_equal(fstat(file, &found), 0);
    assert_int_equal(found.st_size, 0);
    close(file);
    unlink(path);
}

/* Which pipes were open before the pool was made: they belong to who runs this test. */
static bool own_pipe[HIGHEST];

static bool is_pipe(int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && (S_ISFIFO(found.st_mode) || S_ISSOCK(found.st_mode));
}

static int task_writes_rubbish(struct pool_task *task)
{
    unsigned char rubbish[512];
    unsigned number = 99u + (unsigned)task->index;

    for (size_t i = 0; i < sizeof rubbish; i++) {
        number = number * 1103515245u + 12345u;
        rubbish[i] = (unsigned char)(number >> 16);
    }
    for (int fd = 3; fd < HIGHEST; fd++) {
        if (!is_pipe(fd) || own_pipe[fd] || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
            continue;
        size_t size = 1 + number % sizeof rubbish;
        if (write(fd, rubbish, size) < 0)
            return 1;
    }
    return 0;
}

/* Nonsense from a worker costs that worker, its task, and nothing else. */
static void rubbish_written(void **state)
{
    (void)state;
    for (int fd = 0; fd < HIGHEST; fd++)
        own_pipe[fd] = is_pipe(fd);
    struct pool *pool = made(pool_create(2, NULL));
    for (int i = 0; i < 30; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_writes_rubbish, NULL, 0, NULL));
        assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        pool_future_free(future);
        check_usable(pool);
    }
    pool_destroy(pool);
}

static int task_stops(struct pool_task *task)
{
    pid_t pid = getpid();

    atomic_store(&ground->count[0], (int)pid);
    raise(SIGSTOP);
    return pool_return(task, &pid, sizeof pid);
}

/* A stopped worker is no dead one: its neighbours work, and its task ends well once it is continued. */
static void stopped_and_continued(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));
    struct family_member member = {.state = '?'};

    (void)state;
    if (!family_known())
        skip();
    struct pool_future *future = made(pool_apply_async(pool, task_stops, NULL, 0, NULL));
    assert_true(counter_wait(&ground->count[0], 1));
    pid_t pid = (pid_t)atomic_load(&ground->count[0]);
    while (family_look(pid, &member) && member.state != 'T')
        pause_briefly();
    check_usable(pool);
    assert_status(pool_future_wait(future, 0), POOL_TIMEOUT);
    kill(pid, SIGCONT);
    assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
    pool_future_free(future);
    pool_destroy(pool);
}

static int task_spins_deaf(struct pool_task *task)
{
    sigset_t all;

    (void)task;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    gate_open(&ground->gate[1]);
    while (true)
        atomic_load(&ground->count[1]);
    return 0;
}

/* Stopped, spinning or deaf to signals: terminate and destroy end them at once. */
static void nothing_holds_up_the_end(void **state)
{
    pool_function *const functions[] = {task_stops, task_spins_deaf};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct pool *pool = made(pool_create(2, NULL));
        gate_shut(&ground->gate[1]);
        atomic_store(&ground->count[0], 0);
        struct pool_future *future = made(pool_apply_async(pool, functions[i / 2], NULL, 0, NULL));
        assert_true(i / 2 == 0 ? counter_wait(&ground->count[0], 1) : counter_wait(&ground->gate[1].opened, 1));
        int64_t start = time_now_ms();
        if (i % 2) {
            assert_status(pool_terminate(pool), POOL_OK);
            assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_TERMINATED);
            assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        }
        pool_destroy(pool);
        assert_true(time_now_ms() - start < 2000 * time_scale());
        assert_true(pool_future_ready(future));
        pool_future_free(future);
    }
}

/* Ends where the byte is not 0, which it always is. */
static int eat_stack(const volatile char *before)
{
    volatile char here[4096];

    here[0] = before[0];
    return here[0] ? 0 : eat_stack(here) + here[0];
}

static int task_eats_the_stack(struct pool_task *task)
{
    const volatile char start[1] = {0};

    (void)task;
    return eat_stack(start);
}

static volatile sig_atomic_t handled;

static void handle(int number)
{
    (void)number;
    handled++;
}

/* The program handles SIGSEGV on a stack of its own; a worker that overruns its stack ends all the same. */
static int host_handles_segv(void *context)
{
    static char other_stack[1 << 16];
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    struct sigaction action;
    const struct pool_result *result;

    (void)context;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    action.sa_flags = SA_ONSTACK;
    SIDE_CHECK(sigaltstack(&stack, NULL) == 0);
    SIDE_CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    struct pool *pool = pool_create(1, NULL);
    SIDE_CHECK(pool);
    struct pool_future *future = pool_apply_async(pool, task_eats_the_stack, NULL, 0, NULL);
    SIDE_CHECK(future);
    SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &result) == POOL_CRASHED);
    SIDE_CHECK(result->code == SIGSEGV);
    pool_future_free(future);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(handled == 0);
    pool_destroy(pool);
    return 0;
}

static void stack_overrun(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_handles_segv, NULL), 0);
}

static int task_claims_memory(struct pool_task *task)
{
    return pool_return_space(task, SIZE_MAX - 64) ? 0 : pool_fail(task, 12, "no memory");
}

static int task_returns_too_much(struct pool_task *task)
{
    char byte = 0;

    return pool_return(task, &byte, SIZE_MAX) == POOL_NO_MEMORY ? pool_fail(task, 13, "refused") : 0;
}

static void results_too_large_for_any_memory(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    assert_status(pool_apply(pool, task_claims_memory, NULL, 0, NULL, 0, NULL), POOL_FAILED);
    assert_status(pool_apply(pool, task_returns_too_much, NULL, 0, NULL, 0, NULL), POOL_FAILED);
    check_usable(pool);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(jumps_away), PROCESS_TEST(descriptors_closed),
        PROCESS_TEST(descriptors_closed_and_running),
        PROCESS_TEST(no_foreign_file_is_written),
        PROCESS_TEST(rubbish_written),
        PROCESS_TEST(stopped_and_continued),
        PROCESS_TEST(nothing_holds_up_the_end),
        PROCESS_TEST(stack_overrun),
        PROCESS_TEST(results_too_large_for_any_memory),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
