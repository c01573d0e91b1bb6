/*
 * callbacks - the program's functions, called one at a time, under no lock and never by who reads results, so that a
 * slow one delays nothing.
 *
 * On a thread of their own, started with the first job that has one; under POOL_NO_THREAD in pool_dispatch() and in
 * waits. The queue is made of links in what they belong to: it needs no memory and has no bound.
 */
#ifndef POOL__CALLBACKS_H
#define POOL__CALLBACKS_H

#include "engine/engine.h"

struct pool__call {
    struct pool__link link;
    void (*run)(struct pool__call *call); /* without the lock; `call` may be gone when it returns */
};

/* Makes sure of the thread. 0, or an errno. Under the lock. */
int pool__callbacks_start(struct pool *pool);

/* Queues a call once; one that waits already is left where it is. Under the lock. */
void pool__callbacks_queue(struct pool *pool, struct pool__call *call);

/*
 * Under POOL_NO_THREAD: runs what is queued. The lock is held, and let go while a call runs. False: there was nothing
 * to run.
 */
bool pool__callbacks_run(struct pool *pool);

/* The calling thread runs a function of the program itself, in its turn. The lock is held on both sides. */
void pool__callbacks_take_turn(struct pool *pool);
void pool__callbacks_end_turn(struct pool *pool);

bool pool__callbacks_idle(const struct pool *pool); /* none queued, none running */

/*
 * To be called straight after the program's function: a child that it forked, and that came back into the callback
 * thread, is no thread of the pool's, and ends (rule 18).
 */
void pool__callback_returned(const struct pool *pool);

/* Is this thread inside a callback of this pool? */
bool pool__in_callback(const struct pool *pool);

/* Ends the thread, when it has called what is queued; without the lock. */
void pool__callbacks_end(struct pool *pool);

#endif
