/*
 * work - what rows 1, 4, 5 and 6 have the library do, with nothing else around it: for profilers (profile.sh).
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a pool of two workers, has it do `count` tasks (apply, async) or items (imap, map) and ends it in good order. False:
 * there is no work of that name. */
bool work_run(const char *name, size_t count);

#endif
