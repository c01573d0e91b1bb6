/*
 * side_host - a process of its own that plays the program which uses the pool: it may change signal actions, close descriptors, fork,
 * and die, and the test looks at it from outside.
 *
 * No cmocka assertion works in it (a failing one would jump back into the test runner's copy). It uses SIDE_CHECK, which says what
 * failed and leaves with SIDE_FAILED.
 */
#ifndef TEST_SIDE_HOST_H
#define TEST_SIDE_HOST_H

#include <sys/types.h>

#define SIDE_SECONDS 20  /* the most that one may live; times time_scale() */
#define SIDE_FAILED  101 /* exit status after a SIDE_CHECK that failed */
#define SIDE_LATE    (-1)

#define SIDE_CHECK(condition) \
    do { \
        if (!(condition)) \
            side_host_fail(__FILE__, __LINE__, #condition); \
    } while (0)

_Noreturn void side_host_fail(const char *file, int line, const char *condition);

/* Fork a process that leaves by exit() with what program(context) returned. */
pid_t side_host_start(int (*program)(void *context), void *context);

/* Wait for its end: its exit status, 128 + N where signal N ended it, SIDE_LATE where it had to be killed. */
int side_host_end(pid_t pid);

/* The two together. */
int side_host_run(int (*program)(void *context), void *context);

#endif
