/*
 * iterator - what the two halves of an imap share: the items that have been read and not been given to the program
 * (items.c reads the source and hears of outcomes, iterator.c delivers).
 */
#ifndef POOL__API_ITERATOR_H
#define POOL__API_ITERATOR_H

#include "api/progress.h"
#include "api/source.h"

/* One item from the time it is read until the program has let its result go. */
struct pool__item {
    struct pool__item *chain; /* in table */
    struct pool__link link;   /* in ready, or in held */
    pthread_t holder;         /* while held: whose next call frees it */
    uint64_t index;
    uint64_t submitted;
    bool done;
    struct pool_result result;
    const void *arg; /* the array's own bytes, or the copy behind this struct */
    size_t size;
};

struct pool_iterator {
    struct pool__job job; /* first */
    struct pool__grave grave;
    struct pool *pool;
    struct pool__reader reader; /* in pool->iterators while the source is not at its end */
    struct pool__progress progress;
    struct pool_source source;
    struct pool__line line;
    bool ordered;
    size_t window;
    /* guarded by the pool's lock */
    struct pool__item **table; /* by index; items read and not delivered */
    size_t buckets;            /* a power of two */
    struct pool__link ready;   /* unordered: done, as they finished */
    struct pool__link held;    /* delivered, still in the program's hands */
    uint64_t read, delivered, unfinished;
    uint64_t source_ns; /* measured time of a generator's call */
    bool source_ended, reading;
    pthread_t reading_thread;
    int source_code; /* below 0: the source failed */
    char *source_words;
    enum pool_status aborted; /* POOL_TERMINATED, POOL_BROKEN, or POOL_OK */
    bool freed;               /* by the program */
    unsigned kept;            /* by progress calls, and by calls in progress */
};

extern const struct pool__owner pool__iterator_owner;

/* An item that was read and not delivered; NULL: there is none of this index. */
struct pool__item *pool__iterator_find(struct pool_iterator *iterator, uint64_t index);
void pool__iterator_take_out(struct pool_iterator *iterator, struct pool__item *item);
void pool__item_free(struct pool__item *item);

/* May the source be asked for another item? It has one, the window has room, and nobody is asking it now. */
bool pool__iterator_may_read(const struct pool_iterator *iterator);

/*
 * Reads: all that the window takes of an array; one item of a generator where workers would else be idle, or, where
 * `ahead`, also where the source is quick. False: nothing was read. The lock is let go while the program's generator
 * runs.
 */
bool pool__iterator_feed(struct pool_iterator *iterator, bool ahead);
bool pool__iterator_is_quick(const struct pool_iterator *iterator);

/* The source is asked no more. */
void pool__iterator_end_source(struct pool_iterator *iterator);
void pool__iterator_stop_reading(struct pool__reader *reader, enum pool_status why);

/*
 * The struct goes when the program has freed it and neither the engine nor a progress call has anything of it any
 * more.
 */
void pool__iterator_bury_if_over(struct pool_iterator *iterator);

#endif
