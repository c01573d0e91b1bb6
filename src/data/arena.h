/*
 * arena - which bytes of a stretch of memory are in use: the allocator behind pool_arena_alloc().
 *
 * The memory itself is never looked at, so that nothing that a worker writes there can lead the host astray (rule 12):
 * what is known of it stands in memory of the host's own, a record for each block, in use or free.
 *
 *   - Blocks know their neighbours, so that free ones that meet become one.
 *   - Free blocks are in a tree ordered by size and then by address (a treap): the smallest that is large enough is
 *     taken, of several the lowest, and its low end, so that the high end of the memory stays whole.
 *   - Blocks in use are in a hash table by address: what is not there was not given out, or was given back already.
 *
 * Each call takes logarithmic time in the number of blocks; giving back needs no memory. The caller has a lock.
 */
#ifndef POOL__ARENA_H
#define POOL__ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL__ARENA_UNIT  ((size_t)64)      /* blocks begin at, and have, whole units */
#define POOL__ARENA_PIECE ((size_t)1 << 20) /* so much that was used and is free goes back to the system */

struct pool__arena_block;

struct pool__arena {
    unsigned char *base;
    size_t size;
    struct pool__arena_block *blocks; /* records by number; number 0 means none */
    uint32_t room, known;             /* records: room for, ever used */
    uint32_t spare;                   /* records that are free again, linked by `after` */
    uint32_t tree;                    /* the free blocks */
    uint32_t *table;                  /* the blocks in use: heads of chains */
    uint32_t heads, used;             /* heads is a power of two; used: blocks */
};

/* Bytes [from, from + size). */
struct pool__extent {
    unsigned char *from;
    size_t size;
};

/* `base` aligned to a unit, size a multiple of it and not 0. False: no memory for records. */
bool pool__arena_init(struct pool__arena *arena, void *base, size_t size);
void pool__arena_free(struct pool__arena *arena);

/* A block of at least `size` bytes, whole units, at least one. NULL: no room, or no memory for a record. */
void *pool__arena_take(struct pool__arena *arena, size_t size);

/*
 * Gives a block back. False: `memory` is not the beginning of a block in use. *idle is free memory of which much has
 * been used since it was last told: for the system to have. Its size is 0 where there is none worth telling.
 */
bool pool__arena_give(struct pool__arena *arena, const void *memory, struct pool__extent *idle);

/* Do these bytes lie in the arena, all of them? Never where there are none. */
static inline bool pool__arena_has(const struct pool__arena *arena, const void *memory, size_t size)
{
    uintptr_t at = (uintptr_t)memory - (uintptr_t)arena->base;

    return size > 0 && at < arena->size && size <= arena->size - at;
}

#endif
