/*
 * take_back - items that are with a worker and have not started come back to the queue. A part of the scheduler: pure,
 * under the same rules. Stealing and withdrawing are in scheduler.h.
 */
#ifndef POOL__TAKE_BACK_H
#define POOL__TAKE_BACK_H

#include "engine/scheduler.h"

/* Items of a batch that have not been started and can be taken: claimed ones too, where that can be undone. */
uint32_t pool__take_back_unstarted(const struct pool__scheduler *scheduler, const struct pool__seat *seat,
                                   uint32_t batch);

/*
 * Takes back all but `keep` unstarted items of one batch and queues them. False: no memory, or a board that talks
 * nonsense.
 */
bool pool__take_back(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, uint32_t keep,
                     uint32_t *taken);

/* The seat is not first for what was just taken from it. */
void pool__take_back_last_in_line(struct pool__scheduler *scheduler, struct pool__seat *seat);

#endif
