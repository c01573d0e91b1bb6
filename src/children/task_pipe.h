/*
 * task_pipe - the worker's end of its task pipe. One a process. Whoever finds that the host is gone, or that it sends what
 * no host of this version does, ends the worker.
 */
#ifndef POOL__TASK_PIPE_H
#define POOL__TASK_PIPE_H

#include "children/worker.h"
#include "data/wire.h"

void pool__tasks_begin(const struct pool__worker_birth *birth);

/*
 * The next frame, whole, and its body as it came. All that is finished is flushed before a read that may block. Good
 * until pool__tasks_done(), which comes before the next one: of a large body at most so much memory is kept.
 */
const unsigned char *pool__tasks_next(struct pool__frame *frame);
void pool__tasks_done(const struct pool__frame *frame, size_t keep_most);

#endif
