/*
 * run - one scenario under one plan, in processes of its own: a warden, to whom all its orphans come, and under it
 * the host, which plays the program.
 *
 * What was wrong is in plan->words: said by the scenario; or a thing that the host has not got back (descriptors,
 * threads, children, memory, signal mask); or a crash, a process that was left behind, a run that took longer than it
 * may.
 */
#ifndef TORTURE_RUN_H
#define TORTURE_RUN_H

#include <sys/types.h>

#include "calls.h"
#include "scenario.h"

/* The most that a run, and its processes after their host, may take; times the time scale. */
enum { RUN_MS = 20000, LEFT_MS = 3000 };

/* Starts it. The warden exits with 0 where nothing was wrong. */
pid_t run_start(struct plan *with, const struct scenario *scenario, bool quiet);

/* Milliseconds, monotonic. */
long now_ms(void);

#endif
