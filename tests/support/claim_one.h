/* claim_one - a worker's claim of the next item alone, for tests that play the worker. */
#ifndef TEST_CLAIM_ONE_H
#define TEST_CLAIM_ONE_H

#include "data/board.h"

/* False: the batch is left. */
static inline bool claim_one(struct pool__board *board, uint32_t batch, uint32_t *offset)
{
    struct pool__claim claim = {0};

    if (!pool__board_claim(board, batch, 1, &claim))
        return false;
    *offset = claim.next;
    return true;
}

#endif
