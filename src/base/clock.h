/*
 * clock - monotonic time in nanoseconds, and waits with an absolute end (inv. 13).
 *
 * A wait is turned into its end once, when the call comes in; what is left is computed from that end each time, so
 * that neither EINTR nor a spurious wake shortens or lengthens it.
 */
#ifndef POOL__CLOCK_H
#define POOL__CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define POOL__NEVER UINT64_MAX
#define POOL__MS    UINT64_C(1000000)

/* Async-signal-safe; the same clock in every process. */
uint64_t pool__now(void);

/*
 * The time true to some microseconds, for what comes often: where the processor's own counter (which costs less to
 * read than the clock) has hardly moved since `last`, the time then. The counter is not trusted further. Zeroed to
 * begin with.
 */
struct pool__moment {
    uint64_t time, counter;
};
uint64_t pool__now_roughly(struct pool__moment *last);

/* The end of a wait of `timeout_ms` from now: POOL__NEVER for POOL_FOREVER (-1), 0 (the past) for 0. */
uint64_t pool__end_of_wait(int timeout_ms);

/* POOL_FOREVER, 0 and above are waits; other negative values are the caller's mistake. */
static inline bool pool__is_wait(int timeout_ms)
{
    return timeout_ms >= -1;
}

/* Milliseconds from now to `end`, rounded up so that a poll() never ends early; -1 for POOL__NEVER. */
int pool__ms_until(uint64_t end);

struct timespec pool__timespec(uint64_t ns);

/* Sleeps for a millisecond: for loops whose poll() has failed and would spin. Async-signal-safe. */
void pool__nap(void);

static inline uint64_t pool__earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
