/*
 * spare - memory that a worker keeps from one large argument or result to the next: a page that is touched for the
 * first time costs more than the bytes that come to lie in it.
 *
 * What is kept is bounded, and given back when the items become small again.
 */
#ifndef POOL__SPARE_H
#define POOL__SPARE_H

#include <stdbool.h>
#include <stddef.h>

#define POOL__SPARE_MOST ((size_t)64 << 20) /* larger memory is not kept */

struct pool__spare {
    void *memory; /* malloc'ed, or NULL */
    size_t room;
    unsigned idle; /* turns without use */
};

/* Takes what is kept where it has `least` bytes: the caller's to free, *room is its size. NULL: it has not. */
void *pool__spare_take(struct pool__spare *spare, size_t least, size_t *room);

/* Keeps or frees malloc'ed memory; of two pieces the larger is kept. Takes NULL. */
void pool__spare_give(struct pool__spare *spare, void *memory, size_t room, size_t most);

/* A frame has been handled: after many without use for it what is kept is freed. */
void pool__spare_turn(struct pool__spare *spare);

#endif
