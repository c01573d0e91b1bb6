/*
 * peers - what else does this work, where it is installed: thread pools for C, and Python's processes.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>

/* A thread pool of two threads: *count empty tasks pushed, all waited for and looked at. Million tasks a second. */
struct thread_pool {
    const char *name;
    double (*rate)(void *count);
};
extern const struct thread_pool thread_pools[]; /* those that were found when this was built */
extern const size_t thread_pool_count;

double glib_rate(void *count);
double uv_rate(void *count);

/* One measurement of python_pool.py, which says what its modes are. */
struct python_side {
    const char *mode;
    size_t count;
    bool pinned; /* to one processor, where this pool is mostly faster */
};
bool python_there(void);
double python_figure(void *python_side);

#endif
