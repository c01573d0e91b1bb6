/*
 * test_large.c once more with pipes of 4,096 bytes, the least that there are: nothing may depend on how much fits into one.
 *
 * The functions below stand in for the C library's, in this program and so in the library that is linked into it.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ, pipe2 and syscall; before the first header */

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int small_pipe(int ends[2], int flags)
{
#if defined(SYS_pipe2) && defined(F_SETPIPE_SZ)
    if (syscall(SYS_pipe2, ends, flags) != 0)
        return -1;
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    return 0;
#else
    (void)ends;
    (void)flags;
    _exit(77);
#endif
}

int pipe2(int ends[2], int flags)
{
    return small_pipe(ends, flags);
}

int pipe(int ends[2])
{
    return small_pipe(ends, 0);
}

#include "test_large.c"
