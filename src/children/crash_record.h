/*
 * crash_record - a worker that is ended by a signal of its own making leaves on its board what it was: signal,
 * address, program counter, and the calls that led there.
 *
 * Of SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and SIGSYS. The signal then takes its default course, so wait status
 * and core are those of a program without a handler. A task may set handlers of its own; they replace these.
 */
#ifndef POOL__CRASH_RECORD_H
#define POOL__CRASH_RECORD_H

#include <stdint.h>

#include "data/board.h"

/*
 * Sets the handlers of this process and of those that are forked from it, on a stack of their own. They write nothing
 * until pool__crash_record_begin(). Both are async-signal-safe.
 */
void pool__crash_record_install(void);

/*
 * From here on this process's crash is told on `board`. `outermost` is an address in the frame of the function that
 * all tasks are called from: what lies beyond is not told.
 */
void pool__crash_record_begin(struct pool__board *board, uintptr_t outermost);

#endif
