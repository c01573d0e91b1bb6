/* open_row - a worker's row, for tests that play the worker. */
#ifndef TEST_OPEN_ROW_H
#define TEST_OPEN_ROW_H

#include "data/board.h"

static inline void open_row_at(struct pool__board *board, uint32_t batch, uint32_t first, uint32_t each, bool timed)
{
    struct pool__record row = {.kind = POOL__RECORD_ROW};

    row.batch = batch;
    row.offset = first;
    row.each = each;
    row.timed = timed;
    pool__board_row_opened(board, &row);
}

#endif
