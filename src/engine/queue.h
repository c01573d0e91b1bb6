/*
 * queue - jobs that have something to give out, and the runs of items that they are given out and come back in. A
 * part of the scheduler: pure, under the same rules.
 *
 * A job stands in its queue (applies in one, maps and imaps in the other) exactly while it has items that are with no
 * worker. What comes back from a worker goes to the front.
 */
#ifndef POOL__QUEUE_H
#define POOL__QUEUE_H

#include "engine/scheduler.h"

/* The only run of a single job lies in the job itself, as does the first of a group. NULL: no memory. */
struct pool__run *pool__run_make(struct pool__job *job, uint64_t first, uint32_t count);
void pool__run_free(struct pool__run *run);

/* After items were taken from the job, or came to it. */
void pool__queue_update(struct pool__scheduler *scheduler, struct pool__job *job);

/* Unstarted items go to the front, where they came from; those of a withdrawn job end here. */
void pool__queue_give_back(struct pool__scheduler *scheduler, struct pool__run *run);

/* Tells the owner of `count` items, 0 of them too, that they never run. */
void pool__queue_drop(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                      const char *message);

/* All of the job that is with no worker; how many that were. */
uint64_t pool__queue_drop_waiting(struct pool__job *job, enum pool_status status, int code, const char *message);

#endif
