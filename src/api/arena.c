#include "api/arena.h"

#include <errno.h>

#include "api/call.h"
#include "base/error.h"
#include "base/shared_pages.h"

/* ---- the mapping */

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static size_t mapped_size(const struct pool *pool)
{
    return round_up(pool->arena.size, pool__page_size());
}

bool pool__arena_make(struct pool *pool, size_t size)
{
    size_t page = pool__page_size(), room;
    void *memory;

    if (size > PTRDIFF_MAX - page)
        return false;
    room = round_up(size, POOL__ARENA_UNIT);
    memory = pool__shared_pages_map(round_up(room, page));
    if (memory == NULL)
        return false;
    if (pool__arena_init(&pool->arena, memory, room))
        return true;
    pool__shared_pages_unmap(memory, round_up(room, page));
    return false;
}

void pool__arena_keep_from_children(struct pool *pool)
{
    if (pool->arena.size > 0)
        pool__shared_pages_keep_from_children(pool->arena.base, mapped_size(pool));
}

void pool__arena_unmap(struct pool *pool)
{
    if (pool->arena.size > 0)
        pool__shared_pages_unmap(pool->arena.base, mapped_size(pool));
}

/* ---- blocks of it */

/* The pool's lock is let go: to hand memory back takes the system its time, and results are not to wait for it. */
static void lock_arena(struct pool *pool)
{
    pool__unlock(pool);
    pthread_mutex_lock(&pool->arena_lock);
}

static void unlock_arena(struct pool *pool)
{
    pthread_mutex_unlock(&pool->arena_lock);
    pool__lock(pool);
}

void *pool_arena_alloc(struct pool *pool, size_t size)
{
    void *memory = NULL;
    int code = EINVAL;

    if (pool__enter(pool, "pool_arena_alloc", "pool") != POOL_OK) {
        errno = EINVAL;
        return NULL;
    }
    if (pool->arena.size == 0) {
        pool__fail(POOL_INVALID, "pool_arena_alloc: the pool has no arena: pool_options.arena_size is 0");
    } else {
        lock_arena(pool);
        memory = pool__arena_take(&pool->arena, size);
        unlock_arena(pool);
        if (memory == NULL) {
            code = ENOMEM;
            pool__fail(POOL_NO_MEMORY, "pool_arena_alloc: no room for %zu bytes in an arena of %zu", size,
                       pool->arena.size);
        }
    }
    pool__leave(pool);
    if (memory == NULL)
        errno = code;
    return memory;
}

static void give(struct pool *pool, const void *memory)
{
    struct pool__extent idle;

    lock_arena(pool);
    if (pool__arena_give(&pool->arena, memory, &idle) && idle.size > 0)
        pool__shared_pages_give_back(idle.from, idle.size);
    unlock_arena(pool);
}

void pool_arena_free(struct pool *pool, void *memory)
{
    int kept = errno;

    if (memory == NULL || pool == NULL || !pool__is_here(pool))
        return;
    if (pool__enter(pool, "pool_arena_free", "pool") == POOL_OK) {
        if (pool->arena.size > 0)
            give(pool, memory);
        pool__leave(pool);
    }
    errno = kept;
}
