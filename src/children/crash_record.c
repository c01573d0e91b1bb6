/*
 * The handler writes to the board, walks the stack, and lets the signal go on: no lock, no heap, no stream. It may
 * itself be struck by a fault, where the stack that it walks is in ruins; then the process ends by the first signal,
 * with what has been told so far.
 */
#include "children/crash_record.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"

static const int recorded[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

static struct {
    pid_t owner;
    struct pool__board *board;
    uintptr_t outermost;
    _Atomic int first; /* the signal whose record is being written */
} self;

/* The signal with its default action, whatever is blocked here: the process ends by it. */
static _Noreturn void die_of(int number)
{
    struct sigaction action;
    sigset_t only;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
    raise(number);
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    _exit(128 + number);
}

static void write_record(int number, const struct pool__fault *fault, void *context)
{
    static uintptr_t calls[POOL__CRASH_CALLS];
    struct pool__crash crash;
    size_t count;

    memset(&crash, 0, sizeof crash);
    crash.signal = number;
    crash.kind = (uint32_t)fault->kind;
    crash.value = fault->value;
    crash.counter = fault->counter;
    crash.stack = fault->stack;
    pool__board_tell_crash(self.board, &crash);
    count = pool__fault_calls(fault, context, self.outermost, calls, POOL__CRASH_CALLS);
    pool__board_tell_calls(self.board, calls, count);
}

/*
 * The action was reset to the default when this was called. An instruction that could not be carried out is carried
 * out again when this returns, and then ends the process just where it stands. What was sent, or told only once, is
 * sent again: it waits, blocked, for the same return.
 */
static void handle_crash(int number, siginfo_t *info, void *context)
{
    struct pool__fault fault;
    int earlier = 0;

    pool__fault_read(&fault, number, info, context);
    /* a task's child has this handler too, but neither the board nor a part in its parent's ending (rule 18) */
    if (getpid() == self.owner) {
        if (!atomic_compare_exchange_strong(&self.first, &earlier, number))
            die_of(earlier); /* struck while it was written, or another thread's: one record is all there is */
        write_record(number, &fault, context);
    }
    if (fault.kind != POOL__FAULT_AT)
        raise(number);
}

void pool__crash_record_begin(struct pool__board *board, uintptr_t outermost)
{
    self.owner = getpid();
    self.board = board;
    self.outermost = outermost;
    atomic_store(&self.first, 0);
}

void pool__crash_record_install(void)
{
    pool__fault_catch(recorded, sizeof recorded / sizeof recorded[0], handle_crash);
}
