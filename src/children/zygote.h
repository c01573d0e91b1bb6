/*
 * zygote - the helper process that forks, signals and reaps all workers. Entered only straight after a fork; never
 * returns.
 *
 * One thread, no heap, async-signal-safe calls only (inv. 11): its memory is the host's as it was at pool_create(),
 * and every worker is a copy of it. One turn of its loop (rule 20): the host's death, the deaths of children, all
 * control messages into the table, then one fork; sends never block, what cannot be told stays in the table.
 */
#ifndef POOL__ZYGOTE_H
#define POOL__ZYGOTE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/death_bell.h"
#include "base/poller.h"
#include "children/worker.h"

/* What the zygote knows of one life. */
enum pool__life_state {
    POOL__LIFE_FREE,
    POOL__LIFE_WANTED, /* SPAWN came, not forked yet */
    POOL__LIFE_RUNS,
    POOL__LIFE_ENDED /* reaped, or never forked; to be told */
};

struct pool__zygote_life {
    enum pool__life_state state;
    uint32_t seat, life, board;
    int tasks, results; /* descriptors while WANTED */
    pid_t pid;
    bool spawned_untold, failed, killed;
    int ending; /* wait status, or errno where failed */
};

/* All made by the host before the fork. */
struct pool__zygote_setup {
    int control;
    int host_end; /* the host's end of the control socket: not the zygote's to keep */
    int host;     /* the host's pidfd, or -1 */
    int doorbell; /* rung after each notice, and by each worker, where the host's loop hears only that; or -1 */
    struct pool__poller *pipes; /* the host's: its descriptors are not the zygote's to keep */
    struct pool__death_bell bell;
    char name[16];
    struct pool__worker_setup worker;
    struct pool__board *boards; /* one mapping */
    size_t board_count;
    struct pool__zygote_life *lives; /* board_count of them: a life has a board */
};

/* `setup` is a struct pool__zygote_setup. */
void pool__zygote_main(void *setup);

#endif
