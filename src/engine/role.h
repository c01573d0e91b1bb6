/*
 * role - who sleeps on the pool's descriptors, and how threads wait for something to become true.
 *
 * The role is the right to *sleep* on the result pipes (rule 27). A thread that waits takes it when nobody else has
 * it, so that a round trip costs no extra wake-up; the others sleep on a condition of their own. It is assigned under
 * the lock, and whoever returns, for any reason, passes it on: to another waiter, or else, after a millisecond, to
 * the background thread. Reading and completing are done under the lock by whoever is awake.
 *
 * The background thread always sleeps on control socket, waker and hard timers, so that deaths hang on no user thread
 * (rule 28). Under POOL_NO_THREAD there is none: then the holder's set has all of that too.
 */
#ifndef POOL__ROLE_H
#define POOL__ROLE_H

#include "engine/engine.h"

struct pool__waiter {
    struct pool__link link;
    const void *object;  /* what it waits for; NULL: anything */
    pthread_cond_t *bed; /* the condition that it sleeps on, one of the pool's; NULL: it has not slept yet */
    pthread_cond_t own;  /* where all of those are taken */
};

/*
 * Under the lock, which is let go while the thread sleeps. `ready` is asked under the lock. True: it is so. False:
 * `end` has passed.
 */
bool pool__wait(struct pool *pool, const void *object, bool (*ready)(const void *context), const void *context,
                uint64_t end);

/* Something that threads may wait for has changed: those that wait for `object` look again. */
void pool__notify(struct pool *pool, const void *object);

/*
 * Work is with workers, or a timer is earlier than before: does whoever sleeps know? To be called before the lock is
 * let go.
 */
void pool__rouse(struct pool *pool);

/*
 * Applies have come. Where a worker has nothing to do they are given out now. Otherwise not more are held back, to go
 * out together, than a worker has already; and now and then the results that are here are read in passing, so that who
 * submits for long needs no other thread for that.
 */
void pool__give_out_soon(struct pool *pool);

/* The poller's part of one turn, under the lock and without sleeping. */
void pool__look_at_pipes(struct pool *pool);

int pool__background_start(struct pool *pool); /* 0, or an errno */
void pool__background_end(struct pool *pool);  /* without the lock */

/* Threads of the library's own: every signal blocked (inv. 10), a stack of known size. 0, or an errno. */
int pool__thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

/* Conditions of the monotonic clock. */
void pool__condition_init(pthread_cond_t *condition);

#endif
