/* What Python's own test suite asks of multiprocessing.Process, asked of pool_process in C. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child leaves for its parent. */
static int leave_pid(void *argument)
{
    atomic_int *place = argument;
    atomic_store(place, (int)getpid());
    return 0;
}

static void process(void **state)
{
    (void)state;
    struct pool_process *child = made(pool_process_start(leave_pid, &ground->count[0]));
    pid_t pid = pool_process_pid(child);
    assert_true(pid > 0 && pid != getpid());
    assert_status(pool_process_join(child, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[0]), pid);
    assert_int_equal(pool_process_exit_code(child), 0);
    assert_false(pool_process_alive(child));
    assert_int_equal(pool_process_pid(child), pid);
    assert_status(pool_process_join(child, 0), POOL_OK);
    pool_process_free(child);
}

static int wait_at_gate(void *argument)
{
    (void)argument;
    return gate_pass(&ground->gate[0]) ? 0 : 99;
}

static void alive_until_it_ends(void **state)
{
    (void)state;
    struct pool_process *child = made(pool_process_start(wait_at_gate, NULL));
    assert_true(pool_process_alive(child));
    assert_int_equal(pool_process_exit_code(child), INT_MIN);
    assert_status(pool_process_join(child, 0), POOL_TIMEOUT);
    int64_t start = time_now_ms();
    assert_status(pool_process_join(child, 60), POOL_TIMEOUT);
    assert_true(time_now_ms() - start >= 59);
    assert_status(pool_process_join(child, -2), POOL_INVALID);
    assert_true(pool_process_alive(child));
    gate_open(&ground->gate[0]);
    assert_status(pool_process_join(child, POOL_FOREVER), POOL_OK);
    assert_false(pool_process_alive(child));
    assert_int_equal(pool_process_exit_code(child), 0);
    pool_process_free(child);
}

static void end_by(enum pool_status (*end)(struct pool_process *), int expected)
{
    struct pool_process *child = made(pool_process_start(wait_at_gate, NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_status(end(child), POOL_OK);
    assert_status(pool_process_join(child, POOL_FOREVER), POOL_OK);
    assert_false(pool_process_alive(child));
    assert_int_equal(pool_process_exit_code(child), expected);
    assert_status(end(child), POOL_OK); /* nothing where it has ended */
    pool_process_free(child);
    gate_shut(&ground->gate[0]);
}

static void terminate_and_kill(void **state)
{
    (void)state;
    end_by(pool_process_terminate, -SIGTERM);
    end_by(pool_process_kill, -SIGKILL);
}

static int return_number(void *argument)
{
    return *(const int *)argument;
}

static int leave_by_exit(void *argument)
{
    exit(*(const int *)argument);
}

static int leave_by_underscore_exit(void *argument)
{
    _exit(*(const int *)argument);
}

static int leave_by_signal(void *argument)
{
    kill(getpid(), *(const int *)argument);
    return 0;
}

static int run_child(int (*fn)(void *), int number)
{
    struct pool_process *child = made(pool_process_start(fn, &number));
    assert_status(pool_process_join(child, POOL_FOREVER), POOL_OK);
    int code = pool_process_exit_code(child);
    pool_process_free(child);
    return code;
}

static void exit_codes(void **state)
{
    (void)state;
    static const int numbers[] = {0, 1, 2, 99, 255};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(run_child(return_number, numbers[i]), numbers[i]);
        assert_int_equal(run_child(leave_by_underscore_exit, numbers[i]), numbers[i]);
        assert_int_equal(run_child(leave_by_exit, numbers[i]), numbers[i]);
    }
    assert_int_equal(run_child(return_number, 256 + 7), 7);
    assert_int_equal(run_child(return_number, -1), 255);
    assert_int_equal(run_child(leave_by_signal, SIGKILL), -SIGKILL);
    assert_int_equal(run_child(leave_by_signal, SIGUSR1), -SIGUSR1);
}

/* Each of several levels starts two of the next, as deep as told. */
static int recurse(void *argument)
{
    int depth = *(int *)argument;
    atomic_fetch_add(&ground->count[0], 1);
    if (depth == 0)
        return 0;
    int next = depth - 1;
    for (int i = 0; i < 2; i++) {
        struct pool_process *child = pool_process_start(recurse, &next);
        if (!child || pool_process_join(child, POOL_FOREVER) != POOL_OK || pool_process_exit_code(child) != 0)
            return 1;
        pool_process_free(child);
    }
    return 0;
}

static void recursion(void **state)
{
    (void)state;
    assert_int_equal(run_child(recurse, 3), 0);
    assert_int_equal(atomic_load(&ground->count[0]), 1 + 2 + 4 + 8);
}

static bool fd_says_ended(const struct pool_process *child, int timeout_ms)
{
    struct pollfd entry = {.fd = pool_process_fd(child), .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & (POLLIN | POLLHUP));
}

static void sentinel(void **state)
{
    (void)state;
    struct pool_process *child = made(pool_process_start(wait_at_gate, NULL));
    assert_true(pool_process_fd(child) >= 0);
    assert_false(fd_says_ended(child, 0));
    gate_open(&ground->gate[0]);
    assert_true(fd_says_ended(child, 10000));
    assert_true(fd_says_ended(child, 0));
    assert_status(pool_process_join(child, POOL_FOREVER), POOL_OK);
    assert_true(fd_says_ended(child, 0));
    pool_process_free(child);
}

/* poll() on several at once tells which has ended. */
static int wait_at_own_gate(void *argument)
{
    return gate_pass(argument) ? 0 : 99;
}

static void wait_for_one_of_several(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    struct pool_process *children[COUNT];
    struct pollfd entries[COUNT];
    for (int i = 0; i < COUNT; i++) {
        children[i] = made(pool_process_start(wait_at_own_gate, &ground->gate[i]));
        entries[i] = (struct pollfd){.fd = pool_process_fd(children[i]), .events = POLLIN};
    }
    assert_int_equal(poll(entries, COUNT, 30), 0);
    for (int i = COUNT - 1; i >= 0; i--) {
        gate_open(&ground->gate[i]);
        assert_int_equal(poll(entries, COUNT, 10000), 1);
        for (int j = 0; j < COUNT; j++)
            assert_int_equal(entries[j].revents != 0, j == i);
        entries[i].fd = -1;
        assert_status(pool_process_join(children[i], POOL_FOREVER), POOL_OK);
        pool_process_free(children[i]);
    }
}

static void free_ends_one_that_runs(void **state)
{
    (void)state;
    struct pool_process *child = made(pool_process_start(wait_at_gate, NULL));
    pid_t pid = pool_process_pid(child);
    errno = 4321;
    pool_process_free(child);
    assert_int_equal(errno, 4321);
    errno = 0;
    assert_true(kill(pid, 0) == -1 && errno == ESRCH);
    errno = 4321;
    pool_process_free(NULL);
    assert_int_equal(errno, 4321);
}

static void many_processes(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    struct pool_process *children[COUNT];
    for (int i = 0; i < COUNT; i++)
        children[i] = made(pool_process_start(wait_at_gate, NULL));
    for (int i = 0; i < COUNT / 2; i++)
        assert_status(pool_process_terminate(children[i]), POOL_OK);
    assert_true(gate_wait_arrived(&ground->gate[0], COUNT / 2));
    gate_open(&ground->gate[0]);
    for (int i = 0; i < COUNT; i++) {
        assert_status(pool_process_join(children[i], POOL_FOREVER), POOL_OK);
        assert_int_equal(pool_process_exit_code(children[i]), i < COUNT / 2 ? -SIGTERM : 0);
        pool_process_free(children[i]);
    }
}

static int count_descriptors(void *argument)
{
    (void)argument;
    return audit_descriptors();
}

/* However many children came before: each has as many descriptors as the first. */
static void no_descriptor_inflation(void **state)
{
    (void)state;
    int first = 0;
    for (int i = 0; i < 10; i++) {
        int count = run_child(count_descriptors, 0);
        if (i == 0)
            first = count;
        assert_int_equal(count, first);
    }
}

static int print_two_words(void *argument)
{
    (void)argument;
    printf("from the child, ");
    fprintf(stderr, "%s", ""); /* nothing to be flushed there */
    printf("without a newline");
    return 0;
}

/* What the parent had buffered comes out once, and what the child prints is flushed. */
static void stdio_is_flushed_once(void **state)
{
    (void)state;
    char text[256] = "";
    int ends[2], kept = dup(STDOUT_FILENO);
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    assert_true(kept >= 0 && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO);
    printf("from the parent; ");
    struct pool_process *child = pool_process_start(print_two_words, NULL);
    enum pool_status joined = pool_process_join(child, POOL_FOREVER);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_status(joined, POOL_OK);
    assert_true(length > 0);
    assert_string_equal(text, "from the parent; from the child, without a newline");
    pool_process_free(child);
}

/* A wait for any child elsewhere in the program takes the status: told, not waited for without end. */
static void a_status_taken_by_another(void **state)
{
    (void)state;
    int number = 5, status;
    struct pool_process *child = made(pool_process_start(return_number, &number));
    assert_int_equal(waitpid(pool_process_pid(child), &status, 0), pool_process_pid(child));
    assert_int_equal(WEXITSTATUS(status), 5);
    assert_status(pool_process_join(child, POOL_FOREVER), POOL_OK);
    assert_false(pool_process_alive(child));
    assert_int_equal(pool_process_exit_code(child), INT_MAX);
    assert_status(pool_process_terminate(child), POOL_OK);
    pool_process_free(child);
}

static void null_is_refused(void **state)
{
    (void)state;
    assert_null_errno(pool_process_start(NULL, NULL), EINVAL);
    assert_status(pool_process_join(NULL, 0), POOL_INVALID);
    assert_false(pool_process_alive(NULL));
    assert_status(pool_process_terminate(NULL), POOL_INVALID);
    assert_status(pool_process_kill(NULL), POOL_INVALID);
    assert_int_equal(pool_process_fd(NULL), -1);
    pool_process_pid(NULL);
    pool_process_exit_code(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(process),
        PROCESS_TEST(alive_until_it_ends),
        PROCESS_TEST(terminate_and_kill),
        PROCESS_TEST(exit_codes),
        PROCESS_TEST(recursion),
        PROCESS_TEST(sentinel),
        PROCESS_TEST(wait_for_one_of_several),
        PROCESS_TEST(free_ends_one_that_runs),
        PROCESS_TEST(many_processes),
        PROCESS_TEST(no_descriptor_inflation),
        PROCESS_TEST(stdio_is_flushed_once),
        PROCESS_TEST(a_status_taken_by_another),
        PROCESS_TEST(null_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
