/*
 * deadline - when a worker is killed for what it runs: because the item's time is up, or because the item was
 * cancelled by a cancel that kills. A part of the scheduler: pure, same struct, same rules.
 *
 * An item's time counts from its start in the worker, and is kept by a hard timer. A look at a seat answers when to
 * look next, so that no deadline is missed:
 *
 *   what the seat has                            next look
 *   an item with a deadline runs                 at that deadline
 *   nothing runs, items with deadlines wait      after the shortest of their deadlines: what begins meanwhile cannot
 *                                                be due before that
 *   an item without one runs, such wait behind   the same, but no sooner than 10 ms
 *   nothing with a deadline                      never
 *
 * To kill (rule 8): the seat is emptied, so that it cannot go on to another item; what it has sent and staged is read,
 * since a result that is there wins; killed is it only when it runs that same item still.
 */
#ifndef POOL__DEADLINE_H
#define POOL__DEADLINE_H

#include "engine/scheduler.h"

/* A run was given to the seat. */
void pool__deadline_note(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__job *job,
                         uint64_t now);

/* Looks where it is time to, and kills what has run for too long. By timer, at check_at. */
void pool__deadline_check(struct pool__scheduler *scheduler, uint64_t now);

/* The job has been withdrawn: workers that are at an item of it are killed, unless its result is there already. */
void pool__deadline_kill_job(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t now);

/* The same for one item of a group that has been claimed; its neighbours are left alone. */
void pool__deadline_kill_item(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t index, uint64_t now);

#endif
