/*
 * group - plain applies, many to a job: pool_apply_async() of the same function, the same size and the same options,
 * one call after another. To the engine a group is one job that gets more and more items; each is cancelled, killed
 * for, retried and blamed by itself.
 *
 * Futures, arguments and results of a group lie in one slab, 128 bytes each; larger arguments and results are malloc'ed.
 * The slab goes when all its futures are freed and have their outcomes. Slabs grow with the groups: from a few places,
 * while submissions differ from one to the next, to POOL__GROUP_MOST. Where very many are in use they come out of large
 * pages (base/slab.h).
 */
#ifndef POOL__API_GROUP_H
#define POOL__API_GROUP_H

#include "api/future.h"

#define POOL__GROUP_MOST   256u
#define POOL__GROUP_INLINE 32u /* bytes for argument and result, beside the future */

/* May it stand in a group? Not with what is the submission's own: a callback, shared bytes. */
bool pool__group_takes(const struct pool_job *options);

/*
 * One apply more, handed to the scheduler; not yet given out. `copy` is the argument, malloc'ed, where it is larger
 * than POOL__GROUP_INLINE: it is taken over. NULL: no memory. Under the lock.
 */
struct pool_future *pool__group_add(struct pool *pool, pool_function *function, const void *arg, size_t size,
                                    void *copy, const struct pool_job *options);

/* Has the group that is filled now something that is with no worker? */
bool pool__group_waits(const struct pool *pool);

/* No more are added to the group that is filled now, so that it keeps its turn before what comes after it. */
void pool__group_close(struct pool *pool);

/* Under the lock. */
void pool__group_cancel(struct pool_future *future, bool kill);

/* The program has freed one that is done. Without the lock. */
void pool__group_let_go(struct pool_future *future);

/* The pool is at its end. Under the lock. */
void pool__groups_end(struct pool *pool);

#endif
