/*
 * Single processes: what the child has of the program (signals, streams, exit handlers, descriptors), and what it
 * can do to it.
 */
#define _XOPEN_SOURCE 700
#include "gated_child.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "base/child.h"
#include "base/descriptor.h"

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ signals */

static volatile sig_atomic_t alarms, children;

static void count_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

static void count_child(int signal_number)
{
    (void)signal_number;
    children++;
}

static void interruptions_neither_end_nor_stretch_a_wait(void **state)
{
    struct sigaction action = {.sa_handler = count_alarm}, before;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct pool_process *process = waiting_child();
    uint64_t start, took;

    (void)state;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    start = now_ms();
    assert_int_equal(pool_process_join(process, 200), POOL_TIMEOUT);
    took = now_ms() - start;
    byte_write(gate[1], 'g');
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_true(alarms > 10);
    assert_in_range(took, 199, 5000);
    assert_int_equal(pool_process_exit_code(process), 5);
    pool_process_free(process);
}

static int same_signal_state(void *arg)
{
    sigset_t mask;
    struct sigaction action;

    (void)arg;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGUSR1, NULL, &action);
    return sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGTERM) == 0 && action.sa_handler == count_alarm ? 1
                                                                                                                    : 2;
}

static void handlers_and_mask_are_the_programs(void **state)
{
    struct sigaction action = {.sa_handler = count_alarm}, before, on_child = {.sa_handler = count_child}, child_before;
    sigset_t mask, mask_before, mask_after;
    struct pool_process *process;

    (void)state;
    sigemptyset(&action.sa_mask);
    sigemptyset(&on_child.sa_mask);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigaction(SIGUSR1, &action, &before);
    sigaction(SIGCHLD, &on_child, &child_before);
    sigprocmask(SIG_BLOCK, &mask, &mask_before);
    process = pool_process_start(same_signal_state, NULL);
    sigprocmask(SIG_SETMASK, &mask_before, &mask_after);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 1);
    pool_process_free(process);
    sigaction(SIGUSR1, &before, NULL);
    sigaction(SIGCHLD, &child_before, NULL);
    assert_int_equal(sigismember(&mask_after, SIGUSR2), 1);
    assert_int_equal(sigismember(&mask_after, SIGTERM), 0);
    assert_int_equal(children, 1);
}

/* ------------------------------------------------------------------ stdio, exit(), copies */

static int print_and_end(void *arg)
{
    printf("child ");
    fprintf(stderr, "said ");
    if (*(int *)arg != 0)
        exit(4);
    return 4;
}

/* What was buffered before the start comes once; what the child printed comes, in order, before its end. */
static void output_comes_once(void **state)
{
    (void)state;
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        struct pool_process *process;
        FILE *file = tmpfile();
        int out, err, code;
        char text[128] = "";

        assert_non_null(file);
        fflush(stdout);
        out = dup(STDOUT_FILENO);
        err = dup(STDERR_FILENO);
        dup2(fileno(file), STDOUT_FILENO);
        dup2(fileno(file), STDERR_FILENO);
        printf("program ");
        process = pool_process_start(print_and_end, &by_exit);
        pool_process_join(process, POOL_FOREVER);
        code = pool_process_exit_code(process);
        pool_process_free(process);
        printf("again");
        fflush(stdout);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        close(out);
        close(err);
        rewind(file);
        assert_true(fread(text, 1, sizeof text - 1, file) > 0);
        fclose(file);
        assert_int_equal(code, 4);
        assert_string_equal(text, "program said child again");
    }
}

static pid_t test_pid;

static void at_exit_of_the_program(void)
{
    if (getpid() != test_pid)
        byte_write(told[1], '!');
}

static void exit_hook_of_the_test(int status)
{
    (void)status;
}

static void the_programs_exit_handlers_are_not_the_childs(void **state)
{
    int number = 9;
    struct pool_process *process;

    (void)state;
    if (!pool__on_exit(exit_hook_of_the_test)) /* exit() cannot be hooked here: it takes its natural course */
        skip();
    process = pool_process_start(exit_with_number, &number);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 9);
    pool_process_free(process);
    close(told[1]);
    assert_int_equal(byte_read(told[0]), '\0');
    told[1] = dup(told[0]);
}

static int use_the_parents(void *arg)
{
    struct pool_process *process = arg;
    int wrong = 0;

    wrong += pool_process_join(process, POOL_FOREVER) != POOL_INVALID;
    wrong += pool_process_kill(process) != POOL_INVALID;
    wrong += pool_process_terminate(process) != POOL_INVALID;
    wrong += pool_process_alive(process);
    wrong += pool_process_exit_code(process) != INT_MAX;
    wrong += pool_process_fd(process) != -1;
    wrong += strstr(pool_error(), "not started by this process") == NULL;
    pool_process_free(process);
    return wrong;
}

static void a_copy_in_another_process_is_harmless(void **state)
{
    struct pool_process *process = waiting_child(), *other = pool_process_start(use_the_parents, process);

    (void)state;
    assert_int_equal(pool_process_join(other, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(other), 0);
    pool_process_free(other);
    assert_true(pool_process_alive(process));
    byte_write(gate[1], 'g');
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 5);
    pool_process_free(process);
}

static int start_one_more(void *arg)
{
    struct pool_process *process = pool_process_start(exit_with_number, arg);

    pool_process_join(process, POOL_FOREVER);
    return pool_process_exit_code(process) + 1;
}

static void a_child_may_have_children(void **state)
{
    int number = 20;
    struct pool_process *process = pool_process_start(start_one_more, &number);

    (void)state;
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 21);
    pool_process_free(process);
}

/* ------------------------------------------------------------------ descriptors */

static int descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void descriptors_are_given_back(void **state)
{
    int before = descriptors(), number = 0;

    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pool_process *process = i % 2 == 0 ? pool_process_start(return_number, &number) : waiting_child();

        assert_non_null(process);
        assert_int_equal(descriptors(), before + 1);
        pool_process_free(process);
    }
    assert_int_equal(descriptors(), before);
}

static int count_descriptors(void *arg)
{
    return descriptors() - *(int *)arg;
}

/* The child has what the program had; where there are no pidfds, its end of the gate besides. */
static void a_child_gets_no_descriptor_of_ours(void **state)
{
    int before = descriptors(), pidfd = pool__pidfd_open(getpid()), kept = pidfd < 0;
    struct pool_process *process;

    (void)state;
    pool__close(&pidfd);
    process = pool_process_start(count_descriptors, &before);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), kept);
    pool_process_free(process);
}

static void without_descriptors_start_fails_cleanly(void **state)
{
    int before = descriptors(), number = 0;
    struct rlimit limit, little;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    little = limit;
    for (little.rlim_cur = 0; little.rlim_cur < 64; little.rlim_cur++) {
        struct pool_process *process;
        int error;

        setrlimit(RLIMIT_NOFILE, &little);
        errno = 0;
        process = pool_process_start(return_number, &number);
        error = errno;
        setrlimit(RLIMIT_NOFILE, &limit);
        if (process != NULL) {
            assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
            assert_int_equal(pool_process_exit_code(process), 0);
            pool_process_free(process);
        } else {
            assert_int_equal(error, EMFILE);
            assert_non_null(strstr(pool_error(), "pool_process_start"));
        }
        assert_int_equal(descriptors(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GATES(interruptions_neither_end_nor_stretch_a_wait),
        WITH_GATES(handlers_and_mask_are_the_programs),
        WITH_GATES(output_comes_once),
        WITH_GATES(the_programs_exit_handlers_are_not_the_childs),
        WITH_GATES(a_copy_in_another_process_is_harmless),
        WITH_GATES(a_child_may_have_children),
        WITH_GATES(descriptors_are_given_back),
        WITH_GATES(a_child_gets_no_descriptor_of_ours),
        WITH_GATES(without_descriptors_start_fails_cleanly),
    };

    test_pid = getpid();
    atexit(at_exit_of_the_program);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
