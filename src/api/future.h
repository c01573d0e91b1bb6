/*
 * future - what an apply (apply.c) and a map (map.c) have in common: one job, one result, now or later.
 *
 * References: one is the program's, from the submission to pool_future_free(); one the engine's, until the job's last
 * item has its outcome; one of each queued callback. All fields are guarded by the pool's lock; the result does not
 * change once `done` is set.
 */
#ifndef POOL__API_FUTURE_H
#define POOL__API_FUTURE_H

#include "engine/callbacks.h"
#include "engine/engine.h"

struct pool_future {
    struct pool__job job; /* first: a job of these owners is a future */
    struct pool__grave grave;
    struct pool *pool;
    unsigned references;
    bool done;      /* the result stands */
    bool over;      /* the engine has nothing of it any more */
    bool cancelled; /* a cancel has said POOL_OK: nothing else is told any more */
    bool detached;  /* the program has freed it: its memory is not touched */
    bool owns_data;
    struct pool_result result;
    uint64_t submitted;
    void (*callback)(void *user, const struct pool_result *result);
    void *user;
    struct pool__call call;
    void *copies; /* argument, shared bytes: malloc'ed, freed with the future */
};

/*
 * `size` bytes for the future at the head of a larger struct; zeroed; NULL: no memory. The references of program and
 * engine are counted.
 */
struct pool_future *pool__future_make(struct pool *pool, size_t size, const struct pool_job *options);

/* The same for zeroed memory of the caller's own, which stays his: he waits until the engine's reference has gone. */
void pool__future_begin(struct pool_future *future, struct pool *pool, const struct pool_job *options);

/* The result stands: waiters wake, the callback is queued. */
void pool__future_done(struct pool_future *future);

/* The engine's reference goes. */
void pool__future_over(struct pool_future *future);

/* A reference goes; the last buries the future. */
void pool__future_drop(struct pool_future *future);

/* Shared bytes of a job: a name for them. */
void pool__job_share(struct pool *pool, struct pool__job *job, const void *shared, size_t size);

#endif
