/*
 * bulk_in - the large result that a channel is receiving: in pieces (data/bulk.h), whose heads, and what does not come
 * by the ring, are bytes of the result stream, cut anywhere.
 */
#ifndef POOL__BULK_IN_H
#define POOL__BULK_IN_H

#include "data/bulk.h"

struct pool__bulk_in {
    struct pool__ring *ring;
    uint64_t taken, most;                 /* from the ring, and what may be taken: see pool__bulk_in_read() */
    uint64_t left;                        /* of the body, with */
    size_t piece;                         /* these of the piece that is being read, */
    size_t padding;                       /* and what follows that */
    unsigned char head[POOL__PIECE_SIZE]; /* of the next piece, as far as it is here */
    size_t have;
};

static inline bool pool__bulk_in_waits(const struct pool__bulk_in *in)
{
    return in->left > 0 || in->padding > 0;
}

enum pool__bulk_step {
    POOL__BULK_NOTHING,   /* all bytes consumed, more are needed */
    POOL__BULK_PASSED,    /* on to the next step */
    POOL__BULK_PAYLOAD,   /* *piece, *piece_size: the next bytes of the body */
    POOL__BULK_FROM_RING, /* the same, until pool__bulk_in_took() */
    POOL__BULK_NONSENSE
};

/*
 * The pipe is about to be read: what its bytes announce was in the ring before, so it had room there. More is nonsense;
 * so what a few bytes of heads make the host copy is bounded too.
 */
static inline void pool__bulk_in_read(struct pool__bulk_in *in)
{
    in->most = in->taken + POOL__RING_ROOM;
}

/* One step; *bytes and *size move past what was consumed of the stream. */
enum pool__bulk_step pool__bulk_in_step(struct pool__bulk_in *in, const unsigned char **bytes, size_t *size,
                                        const unsigned char **piece, size_t *piece_size);

void pool__bulk_in_took(struct pool__bulk_in *in, size_t size);

#endif
