/* items - an imap's items: read from the source, given to the engine, and their outcomes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/iterator.h"
#include "api/result.h"
#include "base/clock.h"
#include "engine/role.h"

/* a generator that takes longer is asked for more only when workers would else be idle (rule 35) */
#define QUICK_SOURCE (5 * POOL__MS)

static struct pool_iterator *iterator_of(struct pool__job *job)
{
    return (struct pool_iterator *)(void *)job;
}

/* ---- items */

static struct pool__item **slot(struct pool_iterator *iterator, uint64_t index)
{
    struct pool__item **at = &iterator->table[index & (iterator->buckets - 1)];

    while (*at != NULL && (*at)->index != index)
        at = &(*at)->chain;
    return at;
}

struct pool__item *pool__iterator_find(struct pool_iterator *iterator, uint64_t index)
{
    return *slot(iterator, index);
}

void pool__iterator_take_out(struct pool_iterator *iterator, struct pool__item *item)
{
    struct pool__item **at = slot(iterator, item->index);

    *at = item->chain;
    pool__list_remove(&item->link);
}

void pool__item_free(struct pool__item *item)
{
    if (item->done)
        pool__result_clear(&item->result, true);
    free(item);
}

/* ---- the engine's questions and news */

static void argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    struct pool__item *item = pool__iterator_find(iterator_of(job), index);

    *bytes = item->arg;
    *size = item->size;
}

static void *place(struct pool__job *job, uint64_t index, uint64_t size, bool *keep)
{
    (void)index;
    (void)size;
    *keep = !iterator_of(job)->freed;
    return NULL;
}

static void dispose(struct pool__grave *grave)
{
    struct pool_iterator *iterator = pool__holder(grave, struct pool_iterator, grave);
    struct pool *pool = iterator->pool;

    pool__line_free(&iterator->line);
    free(iterator->source_words);
    free(iterator->table);
    free(iterator);
    pool__let_go(pool);
}

void pool__iterator_bury_if_over(struct pool_iterator *iterator)
{
    if (!iterator->freed || iterator->unfinished > 0 || iterator->kept > 0)
        return;
    pool__release_job(iterator->pool, &iterator->job);
    pool__bury(iterator->pool, &iterator->grave, dispose);
}

static void make_ready(struct pool_iterator *iterator, struct pool__item *item)
{
    item->done = true;
    item->result.arg = item->arg;
    item->result.arg_size = item->size;
    if (!iterator->ordered)
        pool__list_append(&iterator->ready, &item->link);
}

static void forget_item(struct pool_iterator *iterator, struct pool__item *item)
{
    pool__iterator_take_out(iterator, item);
    pool__item_free(item);
}

static void finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct pool_iterator *iterator = iterator_of(job);
    struct pool__item *item = pool__iterator_find(iterator, index);

    iterator->unfinished--;
    pool__result_fill(&item->result, outcome, index, false, item->submitted);
    make_ready(iterator, item);
    if (iterator->freed) {
        forget_item(iterator, item);
    } else {
        pool__progress_add(&iterator->progress, 1);
        pool__notify(iterator->pool, iterator);
    }
    pool__iterator_bury_if_over(iterator);
}

/* Does the iteration end with it? Else it is the item's own outcome. */
static bool is_end(enum pool_status status)
{
    return status == POOL_TERMINATED || status == POOL_BROKEN;
}

static void drop_one(struct pool_iterator *iterator, uint64_t index, enum pool_status status, int code,
                     const char *message)
{
    struct pool__item *item = pool__iterator_find(iterator, index);

    iterator->unfinished--;
    if (iterator->freed || is_end(status)) {
        forget_item(iterator, item);
        return;
    }
    pool__result_fill_dropped(&item->result, status, code, message, index, false);
    make_ready(iterator, item);
    pool__progress_add(&iterator->progress, 1);
}

static void dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                    const char *message)
{
    struct pool_iterator *iterator = iterator_of(job);
    uint64_t i;

    for (i = first; i < first + count; i++)
        drop_one(iterator, i, status, code, message);
    if (is_end(status))
        iterator->aborted = status;
    pool__notify(iterator->pool, iterator);
    pool__iterator_bury_if_over(iterator);
}

const struct pool__owner pool__iterator_owner = {argument, place, finished, dropped, NULL};

/* ---- reading the source */

void pool__iterator_end_source(struct pool_iterator *iterator)
{
    iterator->source_ended = true;
    pool__list_remove(&iterator->reader.link);
}

void pool__iterator_stop_reading(struct pool__reader *reader, enum pool_status why)
{
    struct pool_iterator *iterator = pool__holder(reader, struct pool_iterator, reader);

    pool__iterator_end_source(iterator);
    if (why != POOL_CANCELLED)
        iterator->aborted = why;
    pool__notify(iterator->pool, iterator);
}

bool pool__iterator_may_read(const struct pool_iterator *iterator)
{
    return !iterator->source_ended && !iterator->reading && iterator->read - iterator->delivered < iterator->window;
}

/* Enters an item; `copy` its bytes, or refer to them. False: no memory. */
static bool enter_item(struct pool_iterator *iterator, const void *arg, size_t size, bool copy)
{
    struct pool__item *item =
        size <= PTRDIFF_MAX - sizeof *item - 16 ? malloc(sizeof *item + (copy ? size + 16 : 0)) : NULL;

    if (item == NULL)
        return false;
    memset(item, 0, sizeof *item);
    item->index = iterator->read++;
    item->submitted = pool__now();
    item->arg = arg;
    item->size = size;
    pool__result_init(&item->result);
    if (copy) {
        unsigned char *bytes = (unsigned char *)item + ((sizeof *item + 15) & ~(size_t)15);

        if (size > 0)
            memcpy(bytes, arg, size);
        item->arg = bytes;
    }
    *slot(iterator, item->index) = item;
    iterator->unfinished++;
    iterator->pool->submitted++;
    iterator->job.end = iterator->read;
    return true;
}

static void source_failed(struct pool_iterator *iterator, int code, const char *words)
{
    char text[128];

    snprintf(text, sizeof text, "the source failed with code %d", code);
    iterator->source_code = code;
    iterator->source_words = strdup(words != NULL ? words : text);
    pool__iterator_end_source(iterator);
}

/* One item of a generator; the lock is let go while the program's function runs. */
static void read_generator(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;
    uint64_t start = pool__now(), took;
    const void *arg = NULL;
    size_t size = 0;
    int got;

    iterator->reading = true;
    iterator->reading_thread = pthread_self();
    pool__unlock(pool);
    got = pool__source_next(&iterator->source, &iterator->line, &arg, &size);
    pool__lock(pool);
    iterator->reading = false;
    took = pool__now() - start;
    iterator->source_ns = iterator->source_ns == 0 ? took : (iterator->source_ns + took) / 2;
    if (got < 0)
        source_failed(iterator, got, NULL);
    else if (got == 0)
        pool__iterator_end_source(iterator);
    else if (!iterator->source_ended && !enter_item(iterator, arg, size, true))
        source_failed(iterator, -ENOMEM, "no memory for an item");
    pool__notify(pool, iterator);
}

/* All that the window takes: this calls no code of the program's. */
static void read_array(struct pool_iterator *iterator)
{
    size_t count = pool__source_count(&iterator->source);

    while (pool__iterator_may_read(iterator) && iterator->read < count) {
        const void *arg;
        size_t size;

        pool__source_item(&iterator->source, (size_t)iterator->read, &arg, &size);
        if (!enter_item(iterator, arg, size, false))
            source_failed(iterator, -ENOMEM, "no memory for an item");
    }
    if (!iterator->source_ended && iterator->read == count)
        pool__iterator_end_source(iterator);
}

static void give_out(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;

    pool__scheduler_submit(&pool->scheduler, &iterator->job);
    pool__settle(pool);
}

bool pool__iterator_is_quick(const struct pool_iterator *iterator)
{
    return iterator->source_ns < QUICK_SOURCE;
}

bool pool__iterator_feed(struct pool_iterator *iterator, bool ahead)
{
    uint64_t before = iterator->read;

    if (!pool__iterator_may_read(iterator))
        return false;
    if (pool__source_is_array(&iterator->source)) {
        read_array(iterator);
    } else {
        bool hungry = iterator->unfinished < iterator->pool->scheduler.size;

        if (!hungry && !(ahead && pool__iterator_is_quick(iterator)))
            return false;
        read_generator(iterator);
    }
    if (iterator->read == before)
        return iterator->source_ended;
    give_out(iterator);
    return true;
}
