/*
 * Children that tell when they run and wait until they may end, for tests of single processes: gates in place of
 * sleeps.
 *
 * Every such child ends when its test lets it, or with the test program. Asserts stand in the parent only, since a
 * failed one would jump back into the child's copy of the test runner.
 */
#ifndef GATED_CHILD_H
#define GATED_CHILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procpool.h"

static int gate[2]; /* a child waits for a byte or the end */
static int told[2]; /* and tells by this one */

static inline int gates_make(void **state)
{
    (void)state;
    return pipe(gate) == 0 && pipe(told) == 0 ? 0 : -1;
}

/* Whatever a test did, there is no child of ours left. */
static inline int gates_close(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        close(gate[i]);
        close(told[i]);
    }
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

static inline char byte_read(int fd)
{
    char byte = 0;
    ssize_t got;

    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1 ? byte : '\0';
}

static inline void byte_write(int fd, char byte)
{
    ssize_t put;

    do
        put = write(fd, &byte, 1);
    while (put < 0 && errno == EINTR);
}

static inline int return_number(void *arg)
{
    return *(int *)arg;
}

static inline int exit_with_number(void *arg)
{
    exit(*(int *)arg);
}

static inline int tell_and_wait(void *arg)
{
    (void)arg;
    byte_write(told[1], 'r');
    return byte_read(gate[0]) == '\0' ? 99 : 5;
}

static inline struct pool_process *waiting_child(void)
{
    struct pool_process *process = pool_process_start(tell_and_wait, NULL);

    assert_non_null(process);
    assert_int_equal(byte_read(told[0]), 'r');
    return process;
}

#define WITH_GATES(test) cmocka_unit_test_setup_teardown(test, gates_make, gates_close)

#endif
