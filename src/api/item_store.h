/*
 * item_store - where the items of an imap are from the time they are read until the program has let their results go.
 *
 * Items lie in slabs and are used again: an item that is let go is the next that is read. A table finds them by index:
 * slots of a ring, as many as there are items that have been read and not delivered, and so almost always one item a
 * slot; one that unordered results have left behind shares its slot with those that came a round later. Guarded by the
 * pool's lock.
 */
#ifndef POOL__API_ITEM_STORE_H
#define POOL__API_ITEM_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "procpool.h"

#define POOL__ITEM_ROOM 32u /* bytes of an argument's copy, and of a result, for which no memory of their own is made */

struct pool__item {
    struct pool_result result; /* index, arg, arg_size from the first; the rest when it is done */
    struct pool__item *chain;  /* in a slot of the table; of one that is free: the next free one */
    struct pool__item *next;   /* in ready, or in held */
    pthread_t holder;          /* while held: whose next call lets it go */
    uint64_t submitted;
    bool done;
    bool own_argument; /* result.arg is malloc'ed */
    _Alignas(max_align_t) unsigned char argument[POOL__ITEM_ROOM];
    unsigned char room[POOL__ITEM_ROOM];
};

struct pool__item_store {
    struct pool__item_slab *slabs;
    struct pool__item *free;
    struct pool__item **table;
    size_t slots; /* a power of two, or 0 */
    size_t count; /* items in the table */
};

/* A new item, in the table: not done, its result that of no item yet. NULL: no memory. */
struct pool__item *pool__store_add(struct pool__item_store *store, uint64_t index);

/* NULL: there is none of this index in the table. */
static inline struct pool__item *pool__store_find(const struct pool__item_store *store, uint64_t index)
{
    struct pool__item *item = store->slots > 0 ? store->table[index & (store->slots - 1)] : NULL;

    while (item != NULL && item->result.index != (size_t)index)
        item = item->chain;
    return item;
}

/* Out of the table. */
void pool__store_take_out(struct pool__item_store *store, struct pool__item *item);

/* Of one that is out of the table: what belongs to it is freed, and it is used again. */
void pool__store_let_go(struct pool__item_store *store, struct pool__item *item);

/* Takes out and lets go all that are done. */
void pool__store_let_done_go(struct pool__item_store *store);

/* All memory goes. What belongs to items must have been let go. */
void pool__store_free(struct pool__item_store *store);

#endif
