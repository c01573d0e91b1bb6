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
#include "children/lives.h"
#include "children/worker.h"

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
    struct pool__board *boards; /* the first part of the shared pages, */
    struct pool__bulk *bulks;   /* one a board, the second */
    size_t board_count;
    struct pool__lives *lives; /* the rest of them */
    size_t shared_size;        /* of both */
};

/* `setup` is a struct pool__zygote_setup. */
void pool__zygote_main(void *setup);

#endif
