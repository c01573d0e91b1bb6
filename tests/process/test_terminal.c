/*
 * The program runs on a terminal: ^C reaches it alone, workers that print are not stopped, and those that read find the end of the file.
 */
/* for pseudo-terminals and TIOCSCTTY; before the first header */
#define _XOPEN_SOURCE 700
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { WORKERS = 2 };

static volatile sig_atomic_t interrupts;

static void count_interrupt(int number)
{
    (void)number;
    interrupts++;
}

/* This process becomes the leader of a session whose terminal is the slave of `master`, as a shell's child would find it. */
static void take_terminal(int master)
{
    setsid();
    int slave = open(ptsname(master), O_RDWR);
    SIDE_CHECK(slave >= 0);
#ifdef TIOCSCTTY
    ioctl(slave, TIOCSCTTY, 0);
#endif
    struct termios modes;
    SIDE_CHECK(tcgetattr(slave, &modes) == 0);
    modes.c_lflag |= TOSTOP; /* who prints in the background is stopped */
    SIDE_CHECK(tcsetattr(slave, TCSANOW, &modes) == 0);
    SIDE_CHECK(tcgetpgrp(slave) == getpgrp());
    dup2(slave, STDIN_FILENO);
    dup2(slave, STDOUT_FILENO);
    dup2(slave, STDERR_FILENO);
    if (slave > STDERR_FILENO)
        close(slave);
    close(master);
}

static int task_prints_and_waits(struct pool_task *task)
{
    char byte;

    printf("from item %zu\n", task->index);
    fflush(stdout);
    if (read(STDIN_FILENO, &byte, 1) != 0)
        return pool_fail(task, 1, "stdin is not at its end");
    return gate_pass(&ground->gate[0]) ? 0 : pool_fail(task, 2, "the gate was not opened");
}

static int host_on_a_terminal(void *context)
{
    const int *master = context;
    struct sigaction action;

    take_terminal(*master);
    memset(&action, 0, sizeof action);
    action.sa_handler = count_interrupt;
    sigaction(SIGINT, &action, NULL);
    struct pool *pool = pool_create(WORKERS, NULL);
    SIDE_CHECK(pool);
    struct pool_future *future =
        pool_map_async(pool, task_prints_and_waits, pool_items(NULL, WORKERS, 0), NULL, 0, NULL);
    SIDE_CHECK(future);
    SIDE_CHECK(gate_wait_arrived(&ground->gate[0], WORKERS));
    gate_open(&ground->gate[1]);
    while (!interrupts)
        pause_briefly();
    SIDE_CHECK(pool_future_wait(future, 0) == POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}) == POOL_OK);
    SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    pool_future_free(future);
    pool_destroy(pool);
    SIDE_CHECK(interrupts == 1);
    return 0;
}

/* Without a handler ^C ends the program, and so everything. */
static int host_that_is_ended(void *context)
{
    const int *master = context;

    take_terminal(*master);
    struct pool *pool = pool_create(WORKERS, NULL);
    SIDE_CHECK(pool);
    gate_open(&ground->gate[1]);
    pool_map(pool, task_prints_and_waits, pool_items(NULL, WORKERS, 0), NULL, 0, NULL);
    return 1;
}

static int open_master(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        skip();
    return master;
}

static void interrupted_by_the_user(void **state)
{
    char text[4096] = "";
    size_t size = 0;
    ssize_t got;
    int master = open_master();

    (void)state;
    pid_t pid = side_host_start(host_on_a_terminal, &master);
    assert_true(counter_wait(&ground->gate[1].opened, 1));
    assert_int_equal(write(master, "\003", 1), 1);
    int status = side_host_end(pid);
    /* all that was printed; the read fails when nobody has the terminal any more */
    while (size < sizeof text - 1 && (got = read(master, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    close(master);
    if (status != 0)
        print_message("    the terminal shows: %s\n", text);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "from item 0"));
    assert_non_null(strstr(text, "from item 1"));
}

static void ended_by_the_user(void **state)
{
    int master = open_master();

    (void)state;
    pid_t pid = side_host_start(host_that_is_ended, &master);
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    assert_int_equal(write(master, "\003", 1), 1);
    assert_int_equal(side_host_end(pid), 128 + SIGINT);
    assert_true(audit_wait_alone(2000));
    close(master);
}

/* The terminal goes away: SIGHUP ends the program, and so everything. */
static void hung_up(void **state)
{
    int master = open_master();

    (void)state;
    pid_t pid = side_host_start(host_that_is_ended, &master);
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    close(master);
    assert_int_equal(side_host_end(pid), 128 + SIGHUP);
    assert_true(audit_wait_alone(2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(interrupted_by_the_user),
        PROCESS_TEST(ended_by_the_user),
        PROCESS_TEST(hung_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
