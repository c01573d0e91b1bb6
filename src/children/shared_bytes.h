/*
 * shared_bytes - what a worker keeps of pool_job.shared: a copy of each job's bytes, from its SHARED frame until its
 * DROP.
 */
#ifndef POOL__SHARED_BYTES_H
#define POOL__SHARED_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#include "procpool.h"

/* Those of a worker that this one was forked from are not its own. */
void pool__shared_bytes_forget(void);

/* False: no memory. */
bool pool__shared_bytes_keep(uint64_t id, const void *bytes, size_t size);

/* They lie in the arena, and stay there until the DROP. False: no memory. */
bool pool__shared_bytes_refer(uint64_t id, const void *bytes, size_t size);

/* Sets the task's shared and shared_size; NULL and 0 where there is none of this name. */
void pool__shared_bytes_find(uint64_t id, struct pool_task *task);

void pool__shared_bytes_drop(uint64_t id);

#endif
