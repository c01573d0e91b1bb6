#define _GNU_SOURCE /* syscall */
#include "crashes.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

/* Each has a frame of its own, and something to do after its call. */
#ifdef __clang__
#define APART __attribute__((noinline)) UNWATCHED
#else
#define APART __attribute__((noinline, noclone)) UNWATCHED
#endif

static volatile int after;

APART static void write_to(uintptr_t address)
{
    *(volatile int *)address = 1;
    after++;
}

APART static void call_nothing(void)
{
    void (*volatile nothing)(void) = NULL;

    nothing();
    after++;
}

APART static int overflow_stack(int depth)
{
    volatile char room[512];

    room[depth % 512] = (char)depth;
    if (depth < 0)
        return 0;
    return overflow_stack(depth / 2 + 1) + room[0];
}

APART static void write_beyond_file(void)
{
    FILE *file = tmpfile();
    long size = sysconf(_SC_PAGESIZE);
    volatile char *bytes;

    if (file == NULL || ftruncate(fileno(file), size) != 0)
        return;
    bytes = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    if (bytes == MAP_FAILED || ftruncate(fileno(file), 0) != 0)
        return;
    bytes[8] = 1;
    after++;
}

APART static void divide_by_zero(void)
{
    volatile int many = 1000, zero = 0;

    after = many / zero;
    after++;
}

APART static void bad_instruction(void)
{
    __builtin_trap();
}

APART static void raise_it(int number)
{
    raise(number);
    after++;
}

#if defined(__linux__)
/* From now on this process may not ask for its priority. */
APART static void forbidden_call(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof steps / sizeof steps[0], steps};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
    syscall(SYS_getpriority, 0, 0);
    after++;
}
#else
static void forbidden_call(void)
{
}
#endif

void crash_now(enum crash crash)
{
    switch (crash) {
    case WRITE_TO_NOTHING:
        write_to(0x10);
        break;
    case WRITE_TO_NOWHERE:
        write_to((uintptr_t)UINT64_C(0x123456000));
        break;
    case WRITE_TO_IMPOSSIBLE:
        write_to((uintptr_t)UINT64_C(0xdeadbeefdeadbee8));
        break;
    case CALL_NOTHING:
        call_nothing();
        break;
    case OVERFLOW_STACK:
        after = overflow_stack(1);
        break;
    case WRITE_BEYOND_FILE:
        write_beyond_file();
        break;
    case DIVIDE_BY_ZERO:
        divide_by_zero();
        break;
    case BAD_INSTRUCTION:
        bad_instruction();
        break;
    case CALL_ABORT:
        abort();
    case RAISE_ABORT:
        raise_it(SIGABRT);
        break;
    case RAISE_SEGV:
        raise_it(SIGSEGV);
        break;
    case RAISE_SYS:
        raise_it(SIGSYS);
        break;
    case FORBIDDEN_CALL:
        forbidden_call();
        break;
    case CRASHES:
        break;
    }
    after++;
}
