/*
 * test_process.c once more on a system without pidfds: the child's end is told by the gate between the two, and waits look
 * at the process itself.
 *
 * The function below stands in for the C library's, in this program and so in the library that is linked into it.
 */
#define _GNU_SOURCE /* RTLD_NEXT, syscall */

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
    long (*real)(long, ...);
    void *found = dlsym(RTLD_NEXT, "syscall");
    long argument[6];
    va_list arguments;

#ifdef SYS_pidfd_open
    if (number == SYS_pidfd_open) {
        errno = ENOSYS;
        return -1;
    }
#endif
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(arguments, long);
    va_end(arguments);
    memcpy(&real, &found, sizeof real);
    return real(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

#include "test_process.c"
