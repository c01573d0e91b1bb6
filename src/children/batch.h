/* batch - a worker's running of the items of one frame. One a process. */
#ifndef POOL__BATCH_H
#define POOL__BATCH_H

#include "children/worker.h"
#include "data/wire.h"

void pool__batch_begin(const struct pool__worker_birth *birth);

/* What the initializer has left, for pool_task.state. */
void pool__batch_state(void *state);

/* All items of a whole frame that the board lets this worker have. False: it is its time to be replaced. */
bool pool__batch_run(const struct pool__frame *frame, const unsigned char *body, const struct pool__places *places);

/* How much memory may be kept for the next large item: what is kept must not be what has the worker replaced. */
size_t pool__batch_spare_most(void);

/* A child that a task forked and that came back into our code ends here. */
void pool__leave_if_stray(void);

#endif
