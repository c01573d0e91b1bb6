#include "engine/bulk_in.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t consume(const unsigned char **bytes, size_t *size, size_t most)
{
    size_t count = smaller(most, *size);

    *bytes += count;
    *size -= count;
    return count;
}

/* A head is here. A worker that lives says of no result that it does not come. */
static enum pool__bulk_step begin_piece(struct pool__bulk_in *in, const unsigned char **at, size_t *at_size)
{
    struct pool__piece piece;

    in->have = 0;
    if (!pool__piece_decode(in->head, in->left, &piece) || piece.kind == POOL__PIECE_NEVER)
        return POOL__BULK_NONSENSE;
    if (piece.kind == POOL__PIECE_RING) {
        *at = pool__ring_piece(in->ring, in->taken, piece.size);
        *at_size = (size_t)piece.size;
        return *at != NULL && piece.size <= in->most - in->taken ? POOL__BULK_FROM_RING : POOL__BULK_NONSENSE;
    }
    if (piece.size > POOL__PIECE_BETWEEN)
        return POOL__BULK_NONSENSE;
    in->piece = (size_t)piece.size;
    in->padding = -in->piece & (POOL__PIECE_ALIGN - 1);
    return POOL__BULK_PASSED;
}

enum pool__bulk_step pool__bulk_in_step(struct pool__bulk_in *in, const unsigned char **bytes, size_t *size,
                                        const unsigned char **piece, size_t *piece_size)
{
    const unsigned char *from = *bytes;
    size_t count;

    if (*size == 0)
        return POOL__BULK_NOTHING;
    if (in->piece > 0) {
        *piece = from;
        *piece_size = count = consume(bytes, size, in->piece);
        in->piece -= count;
        in->left -= count;
        return POOL__BULK_PAYLOAD;
    }
    if (in->padding > 0) {
        in->padding -= consume(bytes, size, in->padding);
        return POOL__BULK_PASSED;
    }
    count = consume(bytes, size, POOL__PIECE_SIZE - in->have);
    memcpy(in->head + in->have, from, count);
    in->have += count;
    return in->have < POOL__PIECE_SIZE ? POOL__BULK_NOTHING : begin_piece(in, piece, piece_size);
}

void pool__bulk_in_took(struct pool__bulk_in *in, size_t size)
{
    in->left -= size;
    pool__ring_took(in->ring, &in->taken, size);
}
