/* Single processes: how they end, who may wait for them and with what, and who may have been quicker. */
#define _XOPEN_SOURCE 700
#include "gated_child.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int kill_itself(void *arg)
{
    raise(*(int *)arg);
    return 0;
}

/* ------------------------------------------------------------------ ends */

static void what_fn_returns_is_the_exit_code(void **state)
{
    static const int numbers[][2] = {{0, 0}, {7, 7}, {255, 255}, {256, 0}, {259, 3}, {-1, 255}};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int number = numbers[i][0];
        struct pool_process *process = pool_process_start(return_number, &number);

        assert_non_null(process);
        assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
        assert_int_equal(pool_process_exit_code(process), numbers[i][1]);
        assert_int_equal(pool_process_join(process, 0), POOL_OK); /* twice is once */
        assert_false(pool_process_alive(process));
        pool_process_free(process);
        process = pool_process_start(exit_with_number, &number);
        assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
        assert_int_equal(pool_process_exit_code(process), numbers[i][1]);
        pool_process_free(process);
    }
}

static void a_signal_is_a_negative_code(void **state)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGUSR1};

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int number = signals[i];
        struct pool_process *process = pool_process_start(kill_itself, &number);

        assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
        assert_int_equal(pool_process_exit_code(process), -signals[i]);
        pool_process_free(process);
    }
}

static void one_that_runs_is_alive(void **state)
{
    struct pool_process *process = waiting_child();
    uint64_t start = now_ms();

    (void)state;
    assert_true(pool_process_alive(process));
    assert_int_equal(pool_process_exit_code(process), INT_MIN);
    assert_true(pool_process_pid(process) > 0);
    assert_int_equal(pool_process_join(process, 0), POOL_TIMEOUT);
    assert_int_equal(pool_process_join(process, 50), POOL_TIMEOUT);
    assert_true(now_ms() - start >= 49);
    assert_int_equal(pool_process_join(process, -2), POOL_INVALID);
    assert_non_null(strstr(pool_error(), "-2"));
    byte_write(gate[1], 'g');
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_false(pool_process_alive(process));
    assert_int_equal(pool_process_exit_code(process), 5);
    pool_process_free(process);
}

static void terminate_and_kill_send_their_signals(void **state)
{
    struct pool_process *process = waiting_child();

    (void)state;
    assert_int_equal(pool_process_terminate(process), POOL_OK);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), -SIGTERM);
    assert_int_equal(pool_process_terminate(process), POOL_OK); /* nobody is there to be signalled */
    assert_int_equal(pool_process_kill(process), POOL_OK);
    pool_process_free(process);
    process = waiting_child();
    assert_int_equal(pool_process_kill(process), POOL_OK);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), -SIGKILL);
    pool_process_free(process);
}

static void free_ends_one_that_runs(void **state)
{
    struct pool_process *process = waiting_child();
    pid_t pid = pool_process_pid(process);

    (void)state;
    errno = EILSEQ;
    pool_process_free(process);
    assert_int_equal(errno, EILSEQ);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH); /* reaped, too */
    errno = EILSEQ;
    pool_process_free(NULL);
    assert_int_equal(errno, EILSEQ);
}

static void nothing_can_be_asked_of_null(void **state)
{
    (void)state;
    assert_null(pool_process_start(NULL, NULL));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(pool_process_join(NULL, 0), POOL_INVALID);
    assert_non_null(strstr(pool_error(), "fn is NULL")); /* the first cause */
    assert_int_equal(pool_process_terminate(NULL), POOL_INVALID);
    assert_int_equal(pool_process_kill(NULL), POOL_INVALID);
    assert_false(pool_process_alive(NULL));
    assert_int_equal(pool_process_exit_code(NULL), INT_MAX);
    assert_int_equal(pool_process_pid(NULL), 0);
    assert_int_equal(pool_process_fd(NULL), -1);
}

/* ------------------------------------------------------------------ the descriptor */

static void the_descriptor_is_readable_at_the_end(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pool_process *process = waiting_child();
        struct pollfd wait = {.fd = pool_process_fd(process), .events = POLLIN};

        assert_int_equal(poll(&wait, 1, 0), 0);
        assert_int_equal(fcntl(wait.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        byte_write(gate[1], 'g');
        assert_int_equal(poll(&wait, 1, -1), 1);
        assert_true((wait.revents & POLLIN) != 0);
        assert_int_equal(pool_process_join(process, 0), POOL_OK); /* no moment between the two */
        assert_int_equal(pool_process_exit_code(process), 5);
        pool_process_free(process);
    }
}

static int close_all_and_wait(void *arg)
{
    int kept = *(int *)arg, tell = told[1];

    for (int fd = 0; fd < 256; fd++) {
        if (fd != kept && fd != tell)
            close(fd);
    }
    byte_write(tell, 'r');
    byte_read(kept);
    return 6;
}

static void a_child_may_close_everything(void **state)
{
    struct pool_process *process = pool_process_start(close_all_and_wait, &gate[0]);

    (void)state;
    assert_non_null(process);
    assert_int_equal(byte_read(told[0]), 'r');
    assert_true(pool_process_alive(process));
    assert_int_equal(pool_process_join(process, 30), POOL_TIMEOUT);
    byte_write(gate[1], 'g');
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 6);
    pool_process_free(process);
}

/* The grandchild holds all that its parent held, and outlives it until the gate opens. */
static int leave_a_grandchild(void *arg)
{
    (void)arg;
    if (fork() == 0) {
        byte_read(gate[0]);
        byte_write(told[1], 'g');
        _exit(0);
    }
    return 8;
}

static void a_grandchild_does_not_hold_up_the_join(void **state)
{
    struct pool_process *process = pool_process_start(leave_a_grandchild, NULL);

    (void)state;
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 8);
    pool_process_free(process);
    byte_write(gate[1], 'g');
    assert_int_equal(byte_read(told[0]), 'g');
}

/* ------------------------------------------------------------------ others who wait */

static pid_t any_child_wait(void)
{
    pid_t pid;

    do
        pid = waitpid(-1, NULL, 0);
    while (pid < 0 && errno == EINTR);
    return pid;
}

static void a_status_taken_by_another_wait_is_told(void **state)
{
    struct pool_process *process = waiting_child();

    (void)state;
    byte_write(gate[1], 'g');
    assert_int_equal(any_child_wait(), pool_process_pid(process));
    assert_int_equal(pool_process_kill(process), POOL_OK); /* its number is nobody's now, or a stranger's */
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_false(pool_process_alive(process));
    assert_int_equal(pool_process_exit_code(process), INT_MAX);
    pool_process_free(process);
}

static void *join_in_a_thread(void *process)
{
    enum pool_status status = pool_process_join(process, POOL_FOREVER);

    return status == POOL_OK ? process : NULL;
}

static void a_join_ends_though_another_takes_the_status(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct pool_process *process = waiting_child();
        pthread_t thread;
        void *joined;
        int code;

        assert_int_equal(pthread_create(&thread, NULL, join_in_a_thread, process), 0);
        byte_write(gate[1], 'g');
        any_child_wait(); /* either may have it */
        assert_int_equal(pthread_join(thread, &joined), 0);
        assert_ptr_equal(joined, process);
        code = pool_process_exit_code(process);
        assert_true(code == 5 || code == INT_MAX);
        pool_process_free(process);
    }
}

static void waits_end_where_sigchld_is_ignored(void **state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    struct pool_process *process;
    int number = 3;

    (void)state;
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGCHLD, &ignore, &before);
    for (int i = 0; i < 20; i++) {
        process = pool_process_start(return_number, &number);
        assert_non_null(process);
        assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
        assert_int_equal(pool_process_exit_code(process), INT_MAX);
        pool_process_free(process);
    }
    process = waiting_child();
    assert_true(pool_process_alive(process));
    assert_int_equal(pool_process_join(process, 20), POOL_TIMEOUT);
    assert_int_equal(pool_process_kill(process), POOL_OK);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    pool_process_free(process);
    sigaction(SIGCHLD, &before, NULL);
}

static void many_threads_may_join(void **state)
{
    struct pool_process *process = waiting_child();
    pthread_t threads[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, join_in_a_thread, process), 0);
    byte_write(gate[1], 'g');
    for (int i = 0; i < 8; i++) {
        void *joined;

        assert_int_equal(pthread_join(threads[i], &joined), 0);
        assert_ptr_equal(joined, process);
    }
    assert_int_equal(pool_process_exit_code(process), 5);
    pool_process_free(process);
}

static void *start_and_join_many(void *arg)
{
    int number = 4;

    (void)arg;
    for (int i = 0; i < 25; i++) {
        struct pool_process *process = pool_process_start(return_number, &number);

        if (process == NULL || pool_process_join(process, POOL_FOREVER) != POOL_OK ||
            pool_process_exit_code(process) != 4)
            return NULL;
        pool_process_free(process);
    }
    return arg;
}

static void many_threads_may_start(void **state)
{
    pthread_t threads[4];
    int mark;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_and_join_many, &mark), 0);
    for (int i = 0; i < 4; i++) {
        void *well;

        assert_int_equal(pthread_join(threads[i], &well), 0);
        assert_ptr_equal(well, &mark);
    }
}

struct cancelled {
    struct pool_process *first;
    bool finished;
};

/*
 * With a cancellation pending from the start: whichever cancellation point were open in a call would end the thread
 * there.
 */
static void *use_all_and_end(void *arg)
{
    struct cancelled *cancelled = arg;
    struct pool_process *second;
    int number = 4;

    pthread_cancel(pthread_self());
    second = pool_process_start(return_number, &number);
    cancelled->finished = pool_process_join(second, POOL_FOREVER) == POOL_OK && pool_process_exit_code(second) == 4 &&
                          pool_process_alive(cancelled->first) &&
                          pool_process_join(cancelled->first, 20) == POOL_TIMEOUT;
    pool_process_free(second);
    pool_process_free(cancelled->first);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return cancelled;
}

static void a_cancelled_thread_finishes_its_calls(void **state)
{
    struct cancelled cancelled = {.first = waiting_child()};
    pthread_t thread;
    void *result;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, use_all_and_end, &cancelled), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &cancelled);
    assert_true(cancelled.finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GATES(what_fn_returns_is_the_exit_code),
        WITH_GATES(a_signal_is_a_negative_code),
        WITH_GATES(one_that_runs_is_alive),
        WITH_GATES(terminate_and_kill_send_their_signals),
        WITH_GATES(free_ends_one_that_runs),
        WITH_GATES(nothing_can_be_asked_of_null),
        WITH_GATES(the_descriptor_is_readable_at_the_end),
        WITH_GATES(a_child_may_close_everything),
        WITH_GATES(a_grandchild_does_not_hold_up_the_join),
        WITH_GATES(a_status_taken_by_another_wait_is_told),
        WITH_GATES(a_join_ends_though_another_takes_the_status),
        WITH_GATES(waits_end_where_sigchld_is_ignored),
        WITH_GATES(many_threads_may_join),
        WITH_GATES(many_threads_may_start),
        WITH_GATES(a_cancelled_thread_finishes_its_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
