/*
 * future - what the program holds of a submission: one result, now or later. And the two things that stand behind one:
 * a promise, which is a job with one result (a map, an apply with a callback or shared bytes: map.c, apply.c), or a
 * place in a group of plain applies (group.c).
 *
 * The result does not change once `done` is set, and what is done needs no lock to be read or freed. All else is
 * guarded by the pool's lock.
 *
 * References of a promise: one is the program's, from the submission to pool_future_free(); one the engine's, until
 * the job's last item has its outcome; one of each queued callback.
 */
#ifndef POOL__API_FUTURE_H
#define POOL__API_FUTURE_H

#include "engine/callbacks.h"
#include "engine/engine.h"

#define POOL__ALONE UINT16_MAX

/* Small, since millions of them may wait. */
struct pool_future {
    struct pool_result result; /* of a group: arg is set from the start, and wait_ns is when it was submitted */
    struct pool *pool;
    _Atomic bool done; /* the result stands; set last */
    bool cancelled;    /* a cancel has said POOL_OK: nothing else is told any more */
    bool detached;     /* the program has freed it: its memory is not touched */
    bool owns_data;
    bool watched;        /* a pool_wait_any() waits for it among others */
    unsigned char asked; /* of a group: enum pool__asked */
    uint16_t place;      /* in its group; or POOL__ALONE, in a promise */
};

struct pool__progress;

struct pool__promise {
    struct pool__job job; /* first: a job of these owners is a promise */
    struct pool_future future;
    struct pool__grave grave;
    unsigned references;
    bool over; /* the engine has nothing of it any more */
    uint64_t submitted;
    void (*callback)(void *user, const struct pool_result *result);
    void *user;
    struct pool__call call;
    struct pool__progress *progress; /* of a map; or NULL */
    void *copies; /* argument, shared bytes: malloc'ed, freed with the promise */
};

static inline bool pool__future_is_done(const struct pool_future *future)
{
    return atomic_load_explicit(&future->done, memory_order_acquire);
}

/* The result stands: it is told to whoever waits. */
void pool__future_done(struct pool_future *future);

/* Waits for one, under the lock. False: `end` has passed. */
bool pool__future_await(struct pool_future *future, uint64_t end);

/*
 * `size` bytes for the promise at the head of a larger struct; zeroed; NULL: no memory. The references of program and
 * engine are counted.
 */
struct pool__promise *pool__promise_make(struct pool *pool, size_t size, const struct pool_job *options);

/* The same for zeroed memory of the caller's own, which stays his: he waits until the engine's reference has gone. */
void pool__promise_begin(struct pool__promise *promise, struct pool *pool, const struct pool_job *options);

/* The result stands: waiters wake, the callback is queued. */
void pool__promise_done(struct pool__promise *promise);

/* The engine's reference goes. */
void pool__promise_over(struct pool__promise *promise);

/* A reference goes; the last buries the promise. */
void pool__promise_drop(struct pool__promise *promise);

/* Shared bytes of a job: a name for them. */
void pool__job_share(struct pool *pool, struct pool__job *job, const void *shared, size_t size);

#endif
