/*
 * worker - a worker process: reads batches, claims items by its board, runs them, publishes results. Entered only
 * straight after a fork by the zygote; never returns.
 */
#ifndef POOL__WORKER_H
#define POOL__WORKER_H

#include "base/executable_map.h"
#include "data/board.h"
#include "data/bulk.h"
#include "procpool.h"

/* What every worker of a pool is told; made by pool_create() before the zygote is forked, unchanged since. */
struct pool__worker_setup {
    int (*initializer)(void **state, void *arg);
    void (*finalizer)(void *state, void *arg);
    void *initializer_arg;
    unsigned tasks_per_worker;
    size_t worker_memory;
    bool blocks;                      /* several items may be claimed at once: it joins the barrier */
    uint64_t spin;                    /* ns that a worker may look for its next task before it sleeps */
    struct pool__executable_map code; /* functions that a worker may be asked to run */
    char name[16];                    /* as ps shows it */
};

struct pool__worker_birth {
    const struct pool__worker_setup *setup;
    struct pool__board *board;
    struct pool__bulk *bulk;
    unsigned seat;
    int tasks, results; /* descriptors, both blocking */
    int doorbell;       /* to be rung after each read or write of those, or -1 */
};

_Noreturn void pool__worker_main(const struct pool__worker_birth *birth);

/* Ends a worker or a child that a task forked out of it: what it printed is written, nothing of the host's runs. */
_Noreturn void pool__worker_exit(int status);

#endif
