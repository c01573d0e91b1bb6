/*
 * bulk - large bodies on their way between the host and one worker: in pieces, through a region of memory that the two
 * share, and through the pipe where the region has no room.
 *
 * Pure: memory in, memory out, no system call. Two pipe writes and reads of a piece cost three times what its copying
 * into the region and out of it does.
 *
 * A body goes as a row of pieces, which together have its size. Each has a head of 16 bytes in the pipe:
 *
 *   at size field
 *    0   8  size     bytes of the piece
 *    8   8  kind     PIPE: they follow, padded to 16; RING: they lie in the ring, behind those of the RING piece before;
 *                    NEVER: they do not come, nor any other of this body
 *
 * A ring has one writer and one reader. Each counts for himself the bytes that it ever held, from the life's first; the
 * reader publishes his count in `taken`, and the pipe tells him of what he may read. So nobody ever waits for the ring:
 * where it is full the writer takes the pipe, and waits for that as for any pipe. A piece does not wrap.
 *
 * Of what a worker writes, the host believes nothing (rule 12): a `taken` that cannot be means no room, a size that
 * cannot be is nonsense, and the positions are the host's own.
 */
#ifndef POOL__BULK_H
#define POOL__BULK_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one ring, with its head; two of them are a multiple of every page size in use. */
#ifndef POOL__RING_SIZE
#define POOL__RING_SIZE 524288u
#endif
#define POOL__RING_ROOM (POOL__RING_SIZE - 64u)

#define POOL__PIECE_SIZE  16u     /* of a head */
#define POOL__PIECE_ALIGN 16u     /* of what follows it */
#define POOL__PIECE_MOST  131072u /* bytes of a RING piece, so that the reader begins early */

/* The most of a PIPE piece, since the ring may soon have room again: with its head a page. */
#define POOL__PIECE_BETWEEN (4096u - POOL__PIECE_SIZE)

struct pool__ring {
    _Alignas(64) _Atomic uint64_t taken; /* the reader's: what has been read, and may be written over */
    _Atomic uint64_t put;                /* the writer's: for who wipes it */
    unsigned char room[48];
    unsigned char bytes[POOL__RING_ROOM];
};

struct pool__bulk {
    struct pool__ring in, out; /* arguments, to the worker; results, from it */
};

static_assert(sizeof(struct pool__ring) == POOL__RING_SIZE, "nothing is lost");

/* Nobody has used it, or it was wiped since. */
bool pool__bulk_is_clean(const struct pool__bulk *bulk);

/* For a new life; the bytes are somebody else's to wipe. */
void pool__bulk_clear(struct pool__bulk *bulk);

/* The writer's: copies what is next of a body, as much as one piece may be; *put is his count. 0: no room now. */
size_t pool__ring_put(struct pool__ring *ring, uint64_t *put, const void *bytes, uint64_t size);

/* The reader's: where a piece lies that is announced at his count. NULL: no writer makes such a piece. */
const unsigned char *pool__ring_piece(const struct pool__ring *ring, uint64_t taken, uint64_t size);

/* The reader's: the piece is not looked at any more. */
void pool__ring_took(struct pool__ring *ring, uint64_t *taken, size_t size);

enum pool__piece_kind { POOL__PIECE_PIPE, POOL__PIECE_RING, POOL__PIECE_NEVER };

struct pool__piece {
    enum pool__piece_kind kind;
    uint64_t size;
};

void pool__piece_encode(unsigned char bytes[POOL__PIECE_SIZE], const struct pool__piece *piece);

/* False: not a piece of a body of which `left` bytes are still to come. */
bool pool__piece_decode(const unsigned char bytes[POOL__PIECE_SIZE], uint64_t left, struct pool__piece *piece);

#endif
