/*
 * fault - what a signal handler can learn of the fault that it was called for: how the signal came, where the program
 * was, and the calls that led there.
 *
 * All of it is async-signal-safe once pool__fault_prepare() has run in this process or in one that it was forked
 * from. The calls are found by the compiler's own unwinder, which needs neither frame pointers nor heap, and goes
 * through the signal's frame back to the stack that the fault happened on. Where there is nothing of the kind, and in
 * the portable build, there are no registers and no calls: the address of the fault is all.
 */
#ifndef POOL__FAULT_H
#define POOL__FAULT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pool__fault_kind {
    POOL__FAULT_AT = 1,  /* an instruction could not be carried out; `value` is the address that it was about */
    POOL__FAULT_NOWHERE, /* the same, and the system does not say which address */
    POOL__FAULT_SENT,    /* by kill(), raise(), abort(); `value` is who sent it */
    POOL__FAULT_CALL     /* a system call that a filter refused; `value` is its number */
};

struct pool__fault {
    int number; /* of the signal */
    enum pool__fault_kind kind;
    uint64_t value;
    uintptr_t counter, stack; /* program counter and stack pointer, 0: unknown */
};

/* In a program with one thread or many, before the first fork: what the unwinder does at its first use only. */
void pool__fault_prepare(void);

/*
 * Sets the handler for each of the signals, once: its action is the default again when it is called. It runs on a
 * stack of its own, one for the process, so that it can where the other is full.
 */
void pool__fault_catch(const int *numbers, size_t count, void (*handler)(int, siginfo_t *, void *));

/* From a handler's arguments. */
void pool__fault_read(struct pool__fault *fault, int number, const siginfo_t *info, const void *context);

/*
 * The calls that led to the fault, the innermost first, up to `room` of them; how many. Each is an address within the
 * instruction that was carried out. Frames older than the one at `end` are left out (0: all are told). The context
 * is as it was when this returns.
 */
size_t pool__fault_calls(const struct pool__fault *fault, void *context, uintptr_t end, uintptr_t *calls, size_t room);

/* Where the function that holds `address` begins, by the unwinder's tables; 0: unknown. Not for handlers. */
uintptr_t pool__function_start(uintptr_t address);

#endif
