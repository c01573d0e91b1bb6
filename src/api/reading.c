/* reading - how an imap reads its source: how far ahead, when, and how much at a time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/iterator.h"
#include "base/clock.h"
#include "engine/role.h"

#define WINDOW_FLOOR      64u
#define WINDOW_PER_WORKER 64u
/* where no window was asked for, short items are read further ahead: until they are so much work for each worker, */
#define AHEAD_TIME  (200 * UINT64_C(1000))
#define AHEAD_ITEMS 8192u                 /* or are so many in all, */
#define AHEAD_BYTES (1024 * (size_t)1024) /* or their copies and results could take so much memory */
#define WORTH_TIME  (20 * UINT64_C(1000)) /* ns of work that is worth a message of its own */
/* a generator that takes longer is asked for more only when workers would else be idle (rule 35) */
#define QUICK_SOURCE (5 * POOL__MS)

/* ---- how far ahead */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void pool__iterator_choose_window(struct pool_iterator *iterator)
{
    size_t workers = larger(iterator->pool->scheduler.size, 1), least, most, bytes;
    uint64_t each = iterator->job.item_ns, ahead;

    if (iterator->asked_window != 0) {
        iterator->window = iterator->asked_window;
        return;
    }
    least = larger(workers * WINDOW_PER_WORKER, WINDOW_FLOOR);
    bytes = larger(iterator->largest_item + iterator->largest_result, 1);
    most = AHEAD_BYTES / bytes < AHEAD_ITEMS ? AHEAD_BYTES / bytes : AHEAD_ITEMS;
    if (each < iterator->source_ns)
        each = iterator->source_ns;
    ahead = each == 0 ? 0 : AHEAD_TIME / each * workers;
    iterator->window = larger(least, ahead < most ? (size_t)ahead : most);
}

/* ---- when */

static bool is_worth_a_message(const struct pool_iterator *iterator, uint64_t room)
{
    uint64_t each = iterator->job.item_ns;

    return each == 0 || room >= WORTH_TIME || room * each >= WORTH_TIME;
}

bool pool__iterator_wants_to_read(const struct pool_iterator *iterator, bool nothing_else)
{
    uint64_t ahead = iterator->read - iterator->delivered;
    bool hungry = iterator->unfinished < iterator->pool->scheduler.size;

    if (!pool__iterator_may_read(iterator))
        return false;
    if (!pool__iterator_reads_array(iterator))
        return hungry || (nothing_else && iterator->source_ns < QUICK_SOURCE);
    if (ahead <= iterator->window / 2 || (hungry && nothing_else))
        return true;
    return (hungry || nothing_else) && is_worth_a_message(iterator, iterator->window - ahead);
}

/* ---- reading */

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

static void source_failed(struct pool_iterator *iterator, int code, const char *words)
{
    char text[128];

    snprintf(text, sizeof text, "the source failed with code %d", code);
    iterator->source_code = code;
    iterator->source_words = strdup(words != NULL ? words : text);
    pool__iterator_end_source(iterator);
}

/* The next item; NULL: no memory, and the source has failed. */
static struct pool__item *enter_item(struct pool_iterator *iterator, uint64_t now)
{
    struct pool__item *item = pool__store_add(&iterator->store, iterator->read);

    if (item == NULL) {
        source_failed(iterator, -ENOMEM, "no memory for an item");
        return NULL;
    }
    item->submitted = now;
    iterator->read++;
    iterator->unfinished++;
    return item;
}

/* Copies the bytes of an argument, which are the program's only until its generator is called again. */
static bool copy_argument(struct pool__item *item, const void *bytes, size_t size)
{
    void *copy = item->argument;

    if (size > POOL__ITEM_ROOM) {
        copy = malloc(size);
        if (copy == NULL)
            return false;
        item->own_argument = true;
    }
    if (size > 0)
        memcpy(copy, bytes, size);
    item->result.arg = copy;
    item->result.arg_size = size;
    return true;
}

static void enter_copy(struct pool_iterator *iterator, const void *bytes, size_t size, uint64_t now)
{
    struct pool__item *item = enter_item(iterator, now);

    if (item == NULL)
        return;
    if (size > iterator->largest_item)
        iterator->largest_item = size;
    if (copy_argument(item, bytes, size))
        return;
    iterator->read--;
    iterator->unfinished--;
    pool__store_take_out(&iterator->store, item);
    pool__store_let_go(&iterator->store, item);
    source_failed(iterator, -ENOMEM, "no memory for an item");
}

/* One item of a generator; the lock is let go while the program's function runs. */
static void read_generator(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;
    uint64_t start = pool__now(), end;
    const void *arg = NULL;
    size_t size = 0;
    int got;

    iterator->reading = true;
    iterator->reading_thread = pthread_self();
    pool__unlock(pool);
    got = pool__source_next(&iterator->source, &iterator->line, &arg, &size);
    pool__lock(pool);
    iterator->reading = false;
    end = pool__now();
    iterator->source_ns = iterator->source_ns == 0 ? end - start : (iterator->source_ns + end - start) / 2;
    if (got < 0)
        source_failed(iterator, got, NULL);
    else if (got == 0)
        pool__iterator_end_source(iterator);
    else if (!iterator->source_ended)
        enter_copy(iterator, arg, size, end);
    pool__notify(pool, iterator);
}

/* All that the window takes: this calls no code of the program's. */
static void read_array(struct pool_iterator *iterator)
{
    size_t count = pool__source_count(&iterator->source);
    uint64_t now = pool__now();

    while (pool__iterator_may_read(iterator) && iterator->read < count) {
        size_t index = (size_t)iterator->read;
        struct pool__item *item = enter_item(iterator, now);

        if (item == NULL)
            return;
        pool__source_item(&iterator->source, index, &item->result.arg, &item->result.arg_size);
    }
    if (!iterator->source_ended && iterator->read == count)
        pool__iterator_end_source(iterator);
}

static void give_out(struct pool_iterator *iterator, uint64_t count)
{
    struct pool *pool = iterator->pool;

    pool->submitted += count;
    iterator->job.end = iterator->read;
    pool__scheduler_submit(&pool->scheduler, &iterator->job);
    pool__settle(pool);
}

bool pool__iterator_feed(struct pool_iterator *iterator, bool nothing_else)
{
    uint64_t before = iterator->read;

    if (!pool__iterator_wants_to_read(iterator, nothing_else))
        return false;
    pool__iterator_choose_window(iterator);
    if (pool__iterator_reads_array(iterator))
        read_array(iterator);
    else
        read_generator(iterator);
    if (iterator->read == before) {
        if (iterator->source_ended)
            pool__settle(iterator->pool); /* a closed one may be over by that */
        return iterator->source_ended;
    }
    give_out(iterator, iterator->read - before);
    return true;
}
