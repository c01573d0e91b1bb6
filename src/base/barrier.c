#ifdef __linux__
#define _GNU_SOURCE
#endif
#include "base/barrier.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(SYS_membarrier)
/* linux/membarrier.h is not where every libc finds it */
enum { QUERY = 0, GLOBAL_EXPEDITED = 1 << 1, REGISTER_GLOBAL_EXPEDITED = 1 << 2 };

static long membarrier(int command)
{
    int kept = errno;
    long got = syscall(SYS_membarrier, command, 0, 0);

    errno = kept;
    return got;
}

bool pool__barrier_is_there(void)
{
    long both = GLOBAL_EXPEDITED | REGISTER_GLOBAL_EXPEDITED, there = membarrier(QUERY);

    return there > 0 && (there & both) == both;
}

bool pool__barrier_join(void)
{
    return membarrier(REGISTER_GLOBAL_EXPEDITED) == 0;
}
bool pool__barrier_all(void)
{
    return membarrier(GLOBAL_EXPEDITED) == 0;
}
#else
bool pool__barrier_is_there(void)
{
    return false;
}
bool pool__barrier_join(void)
{
    return false;
}
bool pool__barrier_all(void)
{
    return false;
}
#endif
