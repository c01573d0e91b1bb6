/*
 * result_stream - the worker's end of its result stream: records are staged on the board and flushed into the pipe, so
 * that what was published and not yet written outlives the worker (data/board.h). One a process.
 *
 * Whoever finds that the host is gone, or that a task has taken the pipe away, ends the worker.
 */
#ifndef POOL__RESULT_STREAM_H
#define POOL__RESULT_STREAM_H

#include "children/worker.h"
#include "data/wire.h"

#define POOL__RESULT_ROOM (POOL__RECORD_SIZE + 4096u) /* bytes that staging has at least for an item's result */

void pool__stream_begin(const struct pool__worker_birth *birth);

/* The free part of staging, aligned for a record. Changed by each call below. */
extern struct pool__stream_room {
    unsigned char *from, *to;
} pool__stream_room;

/*
 * Publishes a record. Its payload may lie in the room already, behind where the record will stand. `began` is when its
 * item did, 0 where it has none.
 */
void pool__stream_send(const struct pool__record *record, const void *payload, uint64_t began);
/*
 * The result of an item that ended well, of `each` bytes, at most POOL__ROW_EACH: into the open row where it follows
 * there, else into a new one. Published by the mark (data/board.h). `run` counts where the frame is timed. Payload NULL:
 * the result is at its place in the arena already.
 */
void pool__stream_add(const struct pool__frame *frame, uint32_t offset, const void *payload, size_t each,
                      uint64_t start, uint64_t run);

/*
 * Does the item's result follow in the open row? Then the places of it and of up to `most` - 1 behind it, `each` bytes
 * apart; NULL where they are in the arena. The room moves behind them all, for results that are not of this row.
 */
struct pool__row_places {
    unsigned char *first;
    size_t each;
    uint32_t most;
};
bool pool__stream_places(const struct pool__frame *frame, uint32_t offset, uint32_t most,
                         struct pool__row_places *places);

/* So many of them stand there now. */
void pool__stream_stand(const struct pool__row_places *places, uint32_t count);

/* The items of a row that is not timed took `run` ns more. */
void pool__stream_took(uint64_t run);
void pool__stream_send_plain(enum pool__record_kind kind, uint32_t batch);

/* All that is published into the pipe. */
void pool__stream_flush(void);

/* To be called before a read of the task pipe, after a flush: is it still ours? */
void pool__stream_check_tasks(void);

/* When the first item of what is staged began; 0: nothing is. */
uint64_t pool__stream_oldest(void);

/* Rings the host's doorbell, where it has one: after each write, and each read of the task pipe. */
void pool__stream_ring(void);

#endif
