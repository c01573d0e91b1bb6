/* One child as its parent holds it: by its descriptor and by its number, interrupted, taken by others, on old systems. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <poll.h>
#include <stdlib.h>

#include "base/child.h"

/* A child that ends with the code at once, or waits for its signal. Its end has come when the pipe's end of file has. */
static pid_t start_child(int code)
{
    pid_t pid = fork();

    if (pid == 0) {
        while (code < 0)
            pause();
        _exit(code);
    }
    assert_true(pid > 0);
    return pid;
}

static void wait_without_reaping(pid_t pid)
{
    siginfo_t info;

    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

/* -1 where the system has no such thing: then the number serves. */
static int descriptor_of(pid_t pid)
{
    return pool__pidfd_open(pid);
}

static void check_one(bool by_descriptor)
{
    pid_t pid = start_child(7);
    int fd = by_descriptor ? descriptor_of(pid) : -1, code = 99;

    wait_without_reaping(pid);
    fail_next(fd >= 0 ? CALL_WAITID : CALL_WAITPID, 3, EINTR);
    assert_int_equal(pool__child_look(fd, pid, &code), POOL__CHILD_ENDED);
    assert_int_equal(fail_no_more(fd >= 0 ? CALL_WAITID : CALL_WAITPID), 3);
    assert_int_equal(code, 7);
    code = 99;
    assert_int_equal(pool__child_look(fd, pid, &code), POOL__CHILD_TAKEN); /* by the look before */
    assert_int_equal(code, 99);
    if (fd >= 0)
        close(fd);

    pid = start_child(-1);
    fd = by_descriptor ? descriptor_of(pid) : -1;
    assert_int_equal(pool__child_look(fd, pid, &code), POOL__CHILD_RUNS);
    assert_int_equal(code, 99);
    assert_int_equal(pool__child_signal(fd, pid, 0), 0);
    assert_int_equal(pool__child_signal(fd, pid, SIGUSR2), 0);
    wait_without_reaping(pid);
    assert_int_equal(pool__child_look(fd, pid, &code), POOL__CHILD_ENDED);
    assert_int_equal(code, -SIGUSR2);
    if (fd >= 0)
        close(fd);
}

static void by_number(void **state)
{
    (void)state;
    check_one(false);
}

static void by_descriptor(void **state)
{
    (void)state;
    check_one(true);
}

/* A system may have the descriptors and no waits for them. */
static void a_wait_that_knows_no_descriptors(void **state)
{
    pid_t pid = start_child(3);
    int fd = descriptor_of(pid), code = 99;

    (void)state;
    if (fd < 0) {
        assert_int_equal(errno, ENOSYS);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        skip();
    }
    wait_without_reaping(pid);
    fail_next(CALL_WAITID, 1, EINVAL);
    assert_int_equal(pool__child_look(fd, pid, &code), POOL__CHILD_ENDED);
    assert_int_equal(fail_no_more(CALL_WAITID), 1);
    assert_int_equal(code, 3);
    close(fd);
}

static void a_descriptor_is_readable_at_the_end_and_closed_on_exec(void **state)
{
    pid_t pid = start_child(-1);
    struct pollfd wait = {.fd = descriptor_of(pid), .events = POLLIN};

    (void)state;
    if (wait.fd >= 0) {
        assert_int_equal(fcntl(wait.fd, F_GETFD, 0L), FD_CLOEXEC);
        assert_int_equal(poll(&wait, 1, 0), 0);
    }
    assert_int_equal(pool__child_signal(wait.fd, pid, SIGKILL), 0);
    if (wait.fd >= 0)
        assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    if (wait.fd < 0)
        return;
    assert_int_equal(pool__child_signal(wait.fd, pid, SIGKILL), -1);
    assert_int_equal(errno, ESRCH);
    close(wait.fd);
}

static int result_pipe[2];

static void tell(int status)
{
    char text = (char)status;

    _exit(write(result_pipe[1], &text, 1) == 1 ? 42 : 43);
}

static void never(int status)
{
    (void)status;
    _exit(44);
}

enum { NO_HOOK = 45, STATUS = 17 };

/* The hook comes before what the program has registered, and it is the last one that was given. What it is told. */
static int told_to(bool (*hook)(void (*)(int)))
{
    int status = 0;
    signed char got = 0;
    pid_t pid;

    assert_int_equal(pipe(result_pipe), 0);
    pid = fork();
    if (pid == 0) {
        if (!hook(never) || !hook(tell))
            _exit(NO_HOOK);
        exit(STATUS);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(result_pipe[1]);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != NO_HOOK) {
        assert_int_equal(WEXITSTATUS(status), 42);
        assert_int_equal(read(result_pipe[0], &got, 1), 1);
    }
    close(result_pipe[0]);
    return WEXITSTATUS(status) == NO_HOOK ? NO_HOOK : got;
}

static void exit_comes_to_the_last_hook(void **state)
{
    int told = told_to(pool__on_exit);

    (void)state;
    assert_true(told == STATUS || told == NO_HOOK);
    assert_int_equal(told_to(pool__exit_hook), told == STATUS ? STATUS : -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_number),
        cmocka_unit_test(by_descriptor),
        cmocka_unit_test(a_wait_that_knows_no_descriptors),
        cmocka_unit_test(a_descriptor_is_readable_at_the_end_and_closed_on_exec),
        cmocka_unit_test(exit_comes_to_the_last_hook),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
