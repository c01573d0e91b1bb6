#include "base/clock.h"

#include <limits.h>

uint64_t pool__now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Ticks in which not more than 4 us can pass: such counters run at 1 GHz at the least. */
#define HARDLY 4000u

uint64_t pool__now_roughly(struct pool__moment *last)
{
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__)) && !defined(POOL__PORTABLE)
    uint64_t counter = __builtin_ia32_rdtsc();

    if (last->time != 0 && counter - last->counter < HARDLY)
        return last->time;
    last->counter = counter;
#endif
    last->time = pool__now();
    return last->time;
}

uint64_t pool__end_of_wait(int timeout_ms)
{
    if (timeout_ms < 0)
        return POOL__NEVER;
    if (timeout_ms == 0)
        return 0;
    return pool__now() + (uint64_t)timeout_ms * POOL__MS;
}

int pool__ms_until(uint64_t end)
{
    uint64_t now, ms;

    if (end == POOL__NEVER)
        return -1;
    if (end == 0 || end <= (now = pool__now()))
        return 0;
    ms = (end - now + POOL__MS - 1) / POOL__MS;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

void pool__nap(void)
{
    const struct timespec millisecond = {0, (long)POOL__MS};

    nanosleep(&millisecond, NULL);
}

struct timespec pool__timespec(uint64_t ns)
{
    uint64_t seconds = ns / UINT64_C(1000000000);
    struct timespec time;

    /* a far end (POOL__NEVER) must not overflow a 32-bit time_t */
    time.tv_sec = (time_t)(seconds > INT_MAX ? INT_MAX : seconds);
    time.tv_nsec = (long)(ns % UINT64_C(1000000000));
    return time;
}
