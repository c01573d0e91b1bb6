/*
 * crashes - the ways in which a program comes to be ended by a signal of its own making, each in a function of its own, whose name is looked for
 * in what is told of the crash.
 */
#ifndef TEST_CRASHES_H
#define TEST_CRASHES_H

#include <stdlib.h> /* __GLIBC__ */

enum crash {
    WRITE_TO_NOTHING,    /* SIGSEGV at 0x10 */
    WRITE_TO_NOWHERE,    /* SIGSEGV at 0x123456000 */
    WRITE_TO_IMPOSSIBLE, /* SIGSEGV, at an address that most processors cannot have */
    CALL_NOTHING,        /* SIGSEGV: a call through a null pointer */
    OVERFLOW_STACK,      /* SIGSEGV */
    WRITE_BEYOND_FILE,   /* SIGBUS: a mapped file that was cut */
    DIVIDE_BY_ZERO,      /* SIGFPE, on some processors */
    BAD_INSTRUCTION,     /* SIGILL */
    CALL_ABORT,          /* SIGABRT */
    RAISE_ABORT,         /* SIGABRT */
    RAISE_SEGV,          /* SIGSEGV */
    RAISE_SYS,           /* SIGSYS */
    FORBIDDEN_CALL,      /* SIGSYS: by a filter, where there are filters */
    CRASHES
};

/* Are the calls that led to a crash told, by name? */
#if defined(__GLIBC__) && !defined(POOL__PORTABLE)
#define CRASH_CALLS_KNOWN 1
#else
#define CRASH_CALLS_KNOWN 0
#endif

/* Does a division by zero trap? */
#if defined(__x86_64__) || defined(__i386__)
#define CRASH_DIVIDES 1
#else
#define CRASH_DIVIDES 0
#endif

/* Does not return, where this system has such a crash. */
void crash_now(enum crash crash);

/* A function whose faults are the processor's to find: a sanitizer would end the program itself, before it. */
#define UNWATCHED __attribute__((no_sanitize("address", "undefined", "thread")))

#endif
