/*
 * arena - the memory of a pool's arena: mapped before the zygote is forked, so that every worker has it at the same
 * address; which blocks of it are in use only the host knows (data/arena.h).
 */
#ifndef POOL__API_ARENA_H
#define POOL__API_ARENA_H

#include "engine/engine.h"

/* `size` bytes, rounded up to what a block takes. False: no room. */
bool pool__arena_make(struct pool *pool, size_t size);

/* What the program forks from here on, another pool's workers too, does not have it. */
void pool__arena_keep_from_children(struct pool *pool);

void pool__arena_unmap(struct pool *pool);

#endif
