#define _GNU_SOURCE /* sigaltstack; REG_RIP and its kind, si_syscall, SI_KERNEL */
#include "base/fault.h"

#include <string.h>

#if defined(__linux__) && defined(__GNUC__) && !defined(POOL__PORTABLE)
#define HAVE_REGISTERS 1
#else
#define HAVE_REGISTERS 0
#endif

/* Another libc's program may be linked with the unwinder of a compiler that was built for glibc, and needs glibc. */
#if HAVE_REGISTERS && defined(__GLIBC__)
#define HAVE_UNWINDER 1
#else
#define HAVE_UNWINDER 0
#endif

/* ------------------------------------------------------------------ handlers */

/* The largest processor state that a kernel saves is some 11 KiB; the walk needs about as much. */
#define OWN_STACK 65536u

void pool__fault_catch(const int *numbers, size_t count, void (*handler)(int, siginfo_t *, void *))
{
    static _Alignas(64) unsigned char own_stack[OWN_STACK];
    struct sigaction action;
    stack_t stack;
    size_t i;

    memset(&stack, 0, sizeof stack);
    stack.ss_sp = own_stack;
    stack.ss_size = sizeof own_stack;
    sigaltstack(&stack, NULL);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    for (i = 0; i < count; i++)
        sigaction(numbers[i], &action, NULL);
}

/* ------------------------------------------------------------------ how the signal came */

#ifdef si_syscall
static uint64_t refused_call(const siginfo_t *info)
{
    return (uint64_t)(unsigned)info->si_syscall;
}
#else
static uint64_t refused_call(const siginfo_t *info)
{
    (void)info;
    return 0;
}
#endif

#ifdef SI_KERNEL
#define OF_THE_KERNEL SI_KERNEL
#else
#define OF_THE_KERNEL 0x7fffffff
#endif

static void read_cause(struct pool__fault *fault, int number, const siginfo_t *info)
{
    fault->number = number;
    fault->value = 0;
    if (info->si_code <= 0) {
        fault->kind = POOL__FAULT_SENT;
        fault->value = (uint64_t)info->si_pid;
    } else if (number == SIGSYS) {
        fault->kind = POOL__FAULT_CALL;
        fault->value = refused_call(info);
    } else if (info->si_code == OF_THE_KERNEL) {
        fault->kind = POOL__FAULT_NOWHERE;
    } else {
        fault->kind = POOL__FAULT_AT;
        fault->value = (uint64_t)(uintptr_t)info->si_addr;
    }
}

/* ------------------------------------------------------------------ registers */

#if HAVE_REGISTERS
#include <ucontext.h>

#if defined(__x86_64__)
#define COUNTER(context) ((context)->uc_mcontext.gregs[REG_RIP])
#define STACK(context)   ((context)->uc_mcontext.gregs[REG_RSP])
#elif defined(__i386__)
#define COUNTER(context) ((context)->uc_mcontext.gregs[REG_EIP])
#define STACK(context)   ((context)->uc_mcontext.gregs[REG_ESP])
#elif defined(__aarch64__)
#define COUNTER(context) ((context)->uc_mcontext.pc)
#define STACK(context)   ((context)->uc_mcontext.sp)
#elif defined(__riscv)
#define COUNTER(context) ((context)->uc_mcontext.__gregs[0])
#define STACK(context)   ((context)->uc_mcontext.__gregs[2])
#endif
#endif

#ifdef COUNTER
static void read_registers(struct pool__fault *fault, const void *context)
{
    const ucontext_t *here = context;

    fault->counter = (uintptr_t)COUNTER(here);
    fault->stack = (uintptr_t)STACK(here);
}
#else
static void read_registers(struct pool__fault *fault, const void *context)
{
    (void)context;
    fault->counter = fault->stack = 0;
}
#endif

void pool__fault_read(struct pool__fault *fault, int number, const siginfo_t *info, const void *context)
{
    read_cause(fault, number, info);
    read_registers(fault, context);
}

/* ------------------------------------------------------------------ calls */

#if HAVE_UNWINDER
#include <unwind.h>

#define HANDLER_FRAMES 16         /* the most between here and the frame that the signal struck */
#define BEYOND         (1u << 20) /* bytes of stack: what lies further off than that is another one */

struct walk {
    uintptr_t *calls;
    size_t room, count;
    uintptr_t end;
    bool struck; /* the handler's own frames are behind us */
    unsigned passed;
};

static bool is_beyond(const struct walk *walk, uintptr_t frame)
{
    return walk->end != 0 && frame > walk->end && frame - walk->end < BEYOND;
}

/*
 * Only in the frame that a signal struck is the address that of the next instruction to be carried out; everywhere
 * else it is where a call returns to, which may be another function's first byte.
 */
static _Unwind_Reason_Code note_frame(struct _Unwind_Context *frame, void *context)
{
    struct walk *walk = context;
    int exact = 0;
    uintptr_t address = (uintptr_t)_Unwind_GetIPInfo(frame, &exact);

    if (!walk->struck && !exact)
        return ++walk->passed < HANDLER_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
    walk->struck = true;
    if (walk->count == walk->room || address == 0 || is_beyond(walk, (uintptr_t)_Unwind_GetCFA(frame)))
        return _URC_END_OF_STACK;
    walk->calls[walk->count++] = exact ? address : address - 1;
    return _URC_NO_REASON;
}

/*
 * A call through a pointer that points nowhere faults at the address that it went to, which no table knows. There the
 * caller is looked for where the processor has just put its address; the context is made to say so for the while.
 */
#ifdef COUNTER
static void step_back(ucontext_t *here)
{
#if defined(__x86_64__) || defined(__i386__)
    const uintptr_t *top = (const uintptr_t *)(uintptr_t)STACK(here);

    COUNTER(here) = (greg_t)(*top - 1);
    STACK(here) += (greg_t)sizeof *top;
#elif defined(__aarch64__)
    COUNTER(here) = here->uc_mcontext.regs[30] - 4;
#else
    (void)here;
#endif
}

static void walk_from_caller(struct walk *walk, ucontext_t *here)
{
    __typeof__(COUNTER(here)) counter = COUNTER(here);
    __typeof__(STACK(here)) stack = STACK(here);

    step_back(here);
    _Unwind_Backtrace(note_frame, walk);
    COUNTER(here) = counter;
    STACK(here) = stack;
}
#else
static void walk_from_caller(struct walk *walk, void *here)
{
    (void)here;
    (void)walk;
}
#endif

size_t pool__fault_calls(const struct pool__fault *fault, void *context, uintptr_t end, uintptr_t *calls, size_t room)
{
    struct walk walk = {calls, room, 0, end, false, 0};
    /* where registers are known there is a stack */
    bool at_nothing = fault->stack != 0 && fault->kind == POOL__FAULT_AT && fault->value == fault->counter &&
                      (fault->number == SIGSEGV || fault->number == SIGBUS);

    if (at_nothing && room > 0) {
        calls[walk.count++] = fault->counter;
        walk_from_caller(&walk, context);
    } else {
        _Unwind_Backtrace(note_frame, &walk);
    }
    return walk.count;
}

static _Unwind_Reason_Code look_once(struct _Unwind_Context *frame, void *context)
{
    int exact;

    (void)context;
    _Unwind_GetIPInfo(frame, &exact);
    _Unwind_GetCFA(frame);
    return _URC_NO_REASON;
}

/* Binds the functions and lets the unwinder measure the processor's registers, both of which take locks. */
void pool__fault_prepare(void)
{
    _Unwind_Backtrace(look_once, NULL);
}

uintptr_t pool__function_start(uintptr_t address)
{
    return (uintptr_t)_Unwind_FindEnclosingFunction((void *)address);
}

#else

size_t pool__fault_calls(const struct pool__fault *fault, void *context, uintptr_t end, uintptr_t *calls, size_t room)
{
    (void)fault;
    (void)context;
    (void)end;
    (void)calls;
    (void)room;
    return 0;
}

void pool__fault_prepare(void)
{
}

uintptr_t pool__function_start(uintptr_t address)
{
    (void)address;
    return 0;
}

#endif
