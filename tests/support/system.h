/*
 * system - what the library promises less exactly where the system, or a build that uses nothing beyond POSIX, offers less.
 */
#ifndef TEST_SYSTEM_H
#define TEST_SYSTEM_H

#include <stdlib.h> /* __GLIBC__ */

/*
 * What pool_next_timeout() answers while nothing is to be waited for. Where pool_fd() is a bell that others ring, the death of the helper
 * process is found by looking: every so many milliseconds.
 */
#if defined(__linux__) && !defined(POOL__PORTABLE)
#define IDLE_TIMEOUT (-1)
#else
#define IDLE_TIMEOUT 1000
#endif

/* The code of an item whose task called exit(status): without on_exit() nobody is told the status. That of _exit() is known everywhere. */
#if defined(__GLIBC__) && !defined(POOL__PORTABLE)
#define exit_code_told(status) (status)
#else
#define exit_code_told(status) 255
#endif

#endif
