/*
 * worker - a worker in good order, played a step at a time over a life of system.h: it says READY, reads frames,
 * claims and marks on its board, publishes each result there, alone or in a row, writes it into its pipe, leaves when
 * it is told to.
 *
 * A target may do otherwise in between, to board and pipe: the player keeps to its own counts and stays within memory.
 */
#ifndef FUZZ_WORKER_H
#define FUZZ_WORKER_H

#include "data/wire.h"
#include "system.h"

struct worker {
    struct life *life;
    unsigned char *input; /* what was read from the task pipe: [from, to) is left */
    size_t from, to, room;
    struct pool__frame frame; /* the batch at hand */
    uint64_t missing; /* of its body, which comes in pieces */
    bool has_batch, in_item, has_answered, ready;
    uint32_t offset;
    uint64_t base, staged, written; /* of the result stream */
    struct pool__record row;        /* the open one; count 0: none */
    size_t row_bytes;               /* of its results */
    bool undone;                    /* the last item's mark is RUN still */
    uint64_t taken, put;            /* out of and into the rings of large bodies */
    unsigned char *outbox;          /* of records larger than staging: what is left to write */
    size_t outbox_from, outbox_to;
};

extern struct worker workers[LIVES_MOST]; /* one for each of lives */

void workers_begin(void);
void workers_end(void);

/*
 * What the item's result is to be: `size` bytes, made of its index. `fails`: the function returns 7. `quick`: the mark
 * of the next item says that this one is done.
 */
struct answer {
    size_t size;
    bool fails, quick;
};

/* One step. False: it has nothing to do. */
bool worker_step(struct worker *worker, struct answer answer);

/* Publishes a record and its payload, of which the byte at i is first + i. False: no room now. */
bool worker_publish(struct worker *worker, const struct pool__record *record, unsigned char first);

/* Writes what is published and not yet in the pipe, as far as the pipe takes it. */
void worker_flush(struct worker *worker);

/* Byte i of the result of item `index`. */
static inline unsigned char answer_byte(uint64_t index, uint64_t i)
{
    return (unsigned char)(index * 31 + i);
}

#endif
