/*
 * progress - the progress calls of one job: coalesced into one queued call, made now and then, and once more at the
 * end: by the thread that waits for it, or, where none does, before the callback.
 */
#ifndef POOL__API_PROGRESS_H
#define POOL__API_PROGRESS_H

#include "api/future.h"

struct pool__progress {
    struct pool__call call;
    struct pool *pool;
    /* the owner is kept while a call is queued or running: +1, -1 */
    void (*refer)(struct pool__progress *progress, int more);
    void (*function)(void *user, size_t done, size_t total); /* NULL: none is wanted */
    void *user;
    size_t done, total; /* guarded by the pool's lock */
    uint64_t called;    /* when the last call was queued */
    bool over;          /* no further call */
};

void pool__progress_init(struct pool__progress *progress, struct pool *pool,
                         void (*refer)(struct pool__progress *progress, int more), const struct pool_job *options,
                         size_t total);

/* `done` items more have an outcome. */
void pool__progress_add(struct pool__progress *progress, size_t done);

/* Queues the last call, where it has not been queued with these numbers already. For jobs that a callback follows. */
void pool__progress_queue_last(struct pool__progress *progress);

/* Is this thread inside one of its calls? Under the lock, as all here. */
bool pool__progress_is_inside(const struct pool__progress *progress);

/*
 * Takes back a queued call and waits for one that runs (save where this thread is inside it); then none comes any
 * more. `last`: makes the final call itself. The lock is let go meanwhile.
 */
void pool__progress_end(struct pool__progress *progress, bool last);

#endif
