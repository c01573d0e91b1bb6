#include "data/arena.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_RECORDS 64u
#define RECORDS_MOST  (UINT32_MAX / 2)

/* Places and sizes in units. */
struct pool__arena_block {
    uint64_t at, size;
    uint64_t dirty;         /* free: of its units, how many were in use since the system had them last */
    uint32_t before, after; /* neighbours by address */
    uint32_t left, right;   /* free: in the tree; in use: left is the next of its chain */
    bool used;
};

static struct pool__arena_block *block(const struct pool__arena *arena, uint32_t which)
{
    return &arena->blocks[which];
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- records */

/* One more record can be had without failing. False: no memory. */
static bool reserve_record(struct pool__arena *arena)
{
    struct pool__arena_block *blocks;
    uint32_t room = arena->room < FIRST_RECORDS ? FIRST_RECORDS : arena->room * 2;

    if (arena->spare != 0 || arena->known + 1 < arena->room)
        return true;
    if (room > RECORDS_MOST)
        return false;
    blocks = realloc(arena->blocks, room * sizeof *blocks);
    if (blocks == NULL)
        return false;
    arena->blocks = blocks;
    arena->room = room;
    return true;
}

static uint32_t make_record(struct pool__arena *arena)
{
    uint32_t which = arena->spare;

    if (which != 0)
        arena->spare = block(arena, which)->after;
    else
        which = ++arena->known;
    memset(block(arena, which), 0, sizeof *block(arena, which));
    return which;
}

static void drop_record(struct pool__arena *arena, uint32_t which)
{
    block(arena, which)->after = arena->spare;
    arena->spare = which;
}

/* ---- the tree of free blocks */

/* The heap order of the tree: as good as random, and the same for a record whenever it is asked. */
static uint32_t rank(uint32_t which)
{
    which *= 0x9e3779b1u;
    which ^= which >> 15;
    which *= 0x85ebca6bu;
    return which ^ which >> 13;
}

static bool comes_before(const struct pool__arena *arena, uint32_t a, uint32_t b)
{
    const struct pool__arena_block *one = block(arena, a), *other = block(arena, b);

    return one->size != other->size ? one->size < other->size : one->at < other->at;
}

static void insert(struct pool__arena *arena, uint32_t which)
{
    uint32_t *at = &arena->tree, *less, *more, rest;

    while (*at != 0 && rank(*at) >= rank(which))
        at = comes_before(arena, *at, which) ? &block(arena, *at)->right : &block(arena, *at)->left;
    /* what was here is cut in two, left and right of the new one */
    rest = *at;
    *at = which;
    less = &block(arena, which)->left;
    more = &block(arena, which)->right;
    while (rest != 0) {
        if (comes_before(arena, rest, which)) {
            *less = rest;
            less = &block(arena, rest)->right;
            rest = *less;
        } else {
            *more = rest;
            more = &block(arena, rest)->left;
            rest = *more;
        }
    }
    *less = *more = 0;
}

static void take_out(struct pool__arena *arena, uint32_t which)
{
    uint32_t *at = &arena->tree, left = block(arena, which)->left, right = block(arena, which)->right;

    while (*at != which)
        at = comes_before(arena, *at, which) ? &block(arena, *at)->right : &block(arena, *at)->left;
    while (left != 0 && right != 0) {
        if (rank(left) > rank(right)) {
            *at = left;
            at = &block(arena, left)->right;
            left = *at;
        } else {
            *at = right;
            at = &block(arena, right)->left;
            right = *at;
        }
    }
    *at = left != 0 ? left : right;
}

/* The smallest free block of at least so many units, the lowest of several; 0: none. */
static uint32_t find_fit(const struct pool__arena *arena, uint64_t units)
{
    uint32_t at = arena->tree, fit = 0;

    while (at != 0) {
        if (block(arena, at)->size >= units) {
            fit = at;
            at = block(arena, at)->left;
        } else {
            at = block(arena, at)->right;
        }
    }
    return fit;
}

/* ---- the table of blocks in use */

static uint32_t *chain(const struct pool__arena *arena, uint64_t at)
{
    return &arena->table[(uint32_t)((at * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (arena->heads - 1)];
}

static void enter(struct pool__arena *arena, uint32_t which)
{
    uint32_t *head = chain(arena, block(arena, which)->at);

    block(arena, which)->left = *head;
    *head = which;
}

/* As many heads as blocks, where memory is there for it: without, chains are longer. */
static void grow_table(struct pool__arena *arena)
{
    uint32_t *old = arena->table, old_heads = arena->heads, i, which, next;

    if (arena->used < arena->heads || arena->heads > RECORDS_MOST)
        return;
    arena->table = calloc((size_t)old_heads * 2, sizeof *arena->table);
    if (arena->table == NULL) {
        arena->table = old;
        return;
    }
    arena->heads = old_heads * 2;
    for (i = 0; i < old_heads; i++) {
        for (which = old[i]; which != 0; which = next) {
            next = block(arena, which)->left;
            enter(arena, which);
        }
    }
    free(old);
}

/* Takes the block that begins there off the table; 0: there is none. */
static uint32_t strike_off(struct pool__arena *arena, uint64_t at)
{
    uint32_t *link = chain(arena, at), which;

    while (*link != 0 && block(arena, *link)->at != at)
        link = &block(arena, *link)->left;
    which = *link;
    if (which != 0)
        *link = block(arena, which)->left;
    return which;
}

/* ---- life */

bool pool__arena_init(struct pool__arena *arena, void *base, size_t size)
{
    uint32_t whole;

    memset(arena, 0, sizeof *arena);
    arena->base = base;
    arena->size = size;
    arena->heads = FIRST_RECORDS;
    arena->table = calloc(arena->heads, sizeof *arena->table);
    if (arena->table == NULL || !reserve_record(arena)) {
        pool__arena_free(arena);
        return false;
    }
    whole = make_record(arena);
    block(arena, whole)->size = size / POOL__ARENA_UNIT;
    insert(arena, whole);
    return true;
}

void pool__arena_free(struct pool__arena *arena)
{
    free(arena->blocks);
    free(arena->table);
    memset(arena, 0, sizeof *arena);
}

/* ---- taking and giving */

/* What of a free block is more than was asked for stays free. */
static void cut(struct pool__arena *arena, uint32_t which, uint64_t units)
{
    uint32_t rest = make_record(arena);
    struct pool__arena_block *first = block(arena, which), *second = block(arena, rest);

    second->at = first->at + units;
    second->size = first->size - units;
    second->dirty = least(first->dirty, second->size);
    second->before = which;
    second->after = first->after;
    if (first->after != 0)
        block(arena, first->after)->before = rest;
    first->after = rest;
    first->size = units;
    insert(arena, rest);
}

void *pool__arena_take(struct pool__arena *arena, size_t size)
{
    uint64_t units = size / POOL__ARENA_UNIT + (size % POOL__ARENA_UNIT != 0 || size == 0);
    uint32_t which = find_fit(arena, units);

    if (which == 0 || !reserve_record(arena))
        return NULL;
    take_out(arena, which);
    if (block(arena, which)->size > units)
        cut(arena, which, units);
    block(arena, which)->used = true;
    arena->used++;
    grow_table(arena);
    enter(arena, which);
    return arena->base + (size_t)block(arena, which)->at * POOL__ARENA_UNIT;
}

/* The free block `next`, which follows `which`, becomes part of it. */
static void swallow(struct pool__arena *arena, uint32_t which, uint32_t next)
{
    struct pool__arena_block *first = block(arena, which), *second = block(arena, next);

    first->size += second->size;
    first->dirty += second->dirty;
    first->after = second->after;
    if (second->after != 0)
        block(arena, second->after)->before = which;
    drop_record(arena, next);
}

/* The block, free now, with the free ones on both sides of it: which it is then. */
static uint32_t merge(struct pool__arena *arena, uint32_t which)
{
    uint32_t before = block(arena, which)->before, after = block(arena, which)->after;

    if (after != 0 && !block(arena, after)->used) {
        take_out(arena, after);
        swallow(arena, which, after);
    }
    if (before == 0 || block(arena, before)->used)
        return which;
    take_out(arena, before);
    swallow(arena, before, which);
    return before;
}

bool pool__arena_give(struct pool__arena *arena, const void *memory, struct pool__extent *idle)
{
    uintptr_t at = (uintptr_t)memory - (uintptr_t)arena->base;
    uint32_t which = 0;

    memset(idle, 0, sizeof *idle);
    if (at < arena->size && at % POOL__ARENA_UNIT == 0)
        which = strike_off(arena, at / POOL__ARENA_UNIT);
    if (which == 0)
        return false;
    arena->used--;
    block(arena, which)->used = false;
    block(arena, which)->dirty = block(arena, which)->size;
    which = merge(arena, which);
    if (block(arena, which)->dirty >= POOL__ARENA_PIECE / POOL__ARENA_UNIT) {
        block(arena, which)->dirty = 0;
        idle->from = arena->base + (size_t)block(arena, which)->at * POOL__ARENA_UNIT;
        idle->size = (size_t)block(arena, which)->size * POOL__ARENA_UNIT;
    }
    insert(arena, which);
    return true;
}
