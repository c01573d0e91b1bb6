/*
 * watchdog - time in tests: a hard limit for each, and the one scale by which slow machines stretch every limit.
 *
 * PROCPOOL_TIME_SCALE (a whole number, 1 where it is not set) multiplies all limits: sanitizers and emulators are slow.
 * It never multiplies the waits that a test asks of the library, so that what is measured stays the same.
 */
#ifndef TEST_WATCHDOG_H
#define TEST_WATCHDOG_H

#include <stdint.h>

#define WATCHDOG_SECONDS 30

/* At least 1. */
int time_scale(void);

/* Milliseconds on the monotonic clock. */
int64_t time_now_ms(void);

/* From now on `test` has WATCHDOG_SECONDS; past them its name goes to stderr and the program aborts. `test` must stay
 * readable. */
void watchdog_start(const char *test);
void watchdog_stop(void);

#endif
