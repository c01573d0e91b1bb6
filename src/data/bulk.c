#include "data/bulk.h"

#include <string.h>

static bool ring_is_clean(const struct pool__ring *ring)
{
    return atomic_load(&ring->put) == 0 && atomic_load(&ring->taken) == 0;
}

bool pool__bulk_is_clean(const struct pool__bulk *bulk)
{
    return ring_is_clean(&bulk->in) && ring_is_clean(&bulk->out);
}

static void ring_clear(struct pool__ring *ring)
{
    atomic_store(&ring->taken, 0);
    atomic_store(&ring->put, 0);
}

void pool__bulk_clear(struct pool__bulk *bulk)
{
    if (pool__bulk_is_clean(bulk)) /* then its pages need not even be there */
        return;
    ring_clear(&bulk->in);
    ring_clear(&bulk->out);
}

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

size_t pool__ring_put(struct pool__ring *ring, uint64_t *put, const void *bytes, uint64_t size)
{
    size_t at = (size_t)(*put % POOL__RING_ROOM), count = smaller(size, POOL__PIECE_MOST);
    uint64_t held;

    held = *put - atomic_load_explicit(&ring->taken, memory_order_acquire);
    if (held > POOL__RING_ROOM)
        return 0; /* not a number that a reader of ours writes */
    count = smaller(POOL__RING_ROOM - held, count);
    count = smaller(POOL__RING_ROOM - at, count);
    if (count == 0)
        return 0;
    atomic_store_explicit(&ring->put, *put + count, memory_order_relaxed);
    memcpy(ring->bytes + at, bytes, count);
    *put += count;
    atomic_thread_fence(memory_order_release); /* and the pipe tells of it */
    return count;
}

const unsigned char *pool__ring_piece(const struct pool__ring *ring, uint64_t taken, uint64_t size)
{
    size_t at = (size_t)(taken % POOL__RING_ROOM);

    if (size > POOL__PIECE_MOST || size > POOL__RING_ROOM - at)
        return NULL;
    atomic_thread_fence(memory_order_acquire);
    return ring->bytes + at;
}

void pool__ring_took(struct pool__ring *ring, uint64_t *taken, size_t size)
{
    *taken += size;
    atomic_store_explicit(&ring->taken, *taken, memory_order_release);
}

void pool__piece_encode(unsigned char bytes[POOL__PIECE_SIZE], const struct pool__piece *piece)
{
    uint64_t kind = (uint64_t)piece->kind;

    memcpy(bytes, &piece->size, sizeof piece->size);
    memcpy(bytes + 8, &kind, sizeof kind);
}

bool pool__piece_decode(const unsigned char bytes[POOL__PIECE_SIZE], uint64_t left, struct pool__piece *piece)
{
    uint64_t kind;

    memcpy(&piece->size, bytes, sizeof piece->size);
    memcpy(&kind, bytes + 8, sizeof kind);
    if (kind > POOL__PIECE_NEVER)
        return false;
    piece->kind = (enum pool__piece_kind)kind;
    return piece->kind == POOL__PIECE_NEVER ? piece->size == left : piece->size > 0 && piece->size <= left;
}
