/*
 * staffing - when workers are started, stopped and killed. The scheduler's other half: pure, same struct, same rules.
 *
 * The brake: a life that ended before it did anything, by its own doing, is a bad start. From the second in a row on,
 * workers are started one at a time, 10 ms apart and doubling to a second. Ten in a row, with no worker READY, make
 * the pool hopeless: where the last ended before it was READY, or items wait. Crashing tasks never count.
 */
#ifndef POOL__STAFFING_H
#define POOL__STAFFING_H

#include "engine/scheduler.h"

void pool__staffing_resize(struct pool__scheduler *scheduler, unsigned size, uint64_t now);

/*
 * Starts workers for empty seats, stops those that are not wanted. After each group of events; and by timer, at
 * staff_at.
 */
void pool__staffing_adjust(struct pool__scheduler *scheduler, uint64_t now);

/* No more work will come. */
void pool__staffing_end(struct pool__scheduler *scheduler, uint64_t now);

/* Nor is there any left: busy workers are killed, idle ones stopped, and killed after `patience` ns. */
void pool__staffing_abort(struct pool__scheduler *scheduler, uint64_t patience, uint64_t now);

void pool__staffing_ready(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now);
void pool__staffing_condemn(struct pool__scheduler *scheduler, struct pool__seat *seat, enum pool__kill_reason reason,
                            uint64_t now);

/* A worker could not even be asked for, by an error of the system: counts as a bad start. */
void pool__staffing_no_start(struct pool__scheduler *scheduler, uint64_t now);

/* The seat has become EMPTY; `gone` of the scheduler comes first. */
void pool__staffing_left(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death,
                         uint64_t now);

bool pool__staffing_hopeless(const struct pool__scheduler *scheduler);
bool pool__staffing_over(const struct pool__scheduler *scheduler); /* ending, and the last worker is gone */

#endif
