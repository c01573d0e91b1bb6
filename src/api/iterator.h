/*
 * iterator - what the parts of an imap share: the items that have been read and not been given to the program
 * (reading.c reads the source, items.c hears of outcomes, iterator.c delivers).
 */
#ifndef POOL__API_ITERATOR_H
#define POOL__API_ITERATOR_H

#include "api/item_store.h"
#include "api/progress.h"
#include "api/source.h"

struct pool_iterator {
    struct pool__job job; /* first */
    struct pool__grave grave;
    struct pool *pool;
    struct pool__reader reader; /* in pool->iterators while the source is not at its end */
    struct pool__progress progress;
    struct pool_source source;
    enum pool__source_kind kind; /* of it */
    struct pool__line line;
    bool ordered;
    size_t asked_window; /* pool_job.window */
    /* guarded by the pool's lock */
    size_t window;                 /* how far the source is read ahead, now */
    struct pool__item_store store; /* its table: items read and not delivered */
    struct pool__item *ready;      /* unordered: done, as they finished, */
    struct pool__item **ready_end; /* and where the next one joins */
    struct pool__item *held;       /* delivered, still in the program's hands */
    uint64_t read, delivered, unfinished;
    uint64_t source_ns;  /* measured time of a generator's call */
    size_t largest_item; /* of a generator; bytes */
    size_t largest_result;
    bool source_ended, reading;
    pthread_t reading_thread;
    int source_code; /* below 0: the source failed */
    char *source_words;
    enum pool_status aborted; /* POOL_TERMINATED, POOL_BROKEN, or POOL_OK */
    bool freed;               /* by the program */
    unsigned kept;            /* by progress calls, and by calls in progress */
};

extern const struct pool__owner pool__iterator_owner;

static inline bool pool__iterator_reads_array(const struct pool_iterator *iterator)
{
    return iterator->kind == POOL__SOURCE_ITEMS || iterator->kind == POOL__SOURCE_STRINGS;
}

/* ---- reading.c */

/* May the source be asked for another item? It has one, the window has room, and nobody is asking it now. */
static inline bool pool__iterator_may_read(const struct pool_iterator *iterator)
{
    return !iterator->source_ended && !iterator->reading && iterator->read - iterator->delivered < iterator->window;
}

/*
 * Is it time to read? An array is read in steps, so that its items go out many at a time: when half of the window is
 * free, or, with workers that would be idle, when there is room for what is worth a message. A generator is asked for
 * what keeps workers from being idle. Where a thread has nothing `else` to do than to wait, workers get what there is,
 * and a generator is asked ahead, if it is quick.
 */
bool pool__iterator_wants_to_read(const struct pool_iterator *iterator, bool nothing_else);

/*
 * Reads, if it is time: all that the window takes of an array, one item of a generator. False: nothing was read. The
 * lock is let go while the program's generator runs.
 */
bool pool__iterator_feed(struct pool_iterator *iterator, bool nothing_else);

/* From pool_job.window, the pool's size, and how short the items have proved to be. */
void pool__iterator_choose_window(struct pool_iterator *iterator);

/* The source is asked no more. */
void pool__iterator_end_source(struct pool_iterator *iterator);
void pool__iterator_stop_reading(struct pool__reader *reader, enum pool_status why);

/* ---- items.c */

/* The next to be delivered; NULL: it is not done. */
static inline struct pool__item *pool__iterator_ready(const struct pool_iterator *iterator)
{
    struct pool__item *item;

    if (!iterator->ordered)
        return iterator->ready;
    item = pool__store_find(&iterator->store, iterator->delivered);
    return item != NULL && item->done ? item : NULL;
}

/*
 * The struct goes when the program has freed it and neither the engine nor a progress call has anything of it any
 * more.
 */
void pool__iterator_bury_if_over(struct pool_iterator *iterator);

#endif
