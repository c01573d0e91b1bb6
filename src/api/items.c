/* items - an imap's items, as the engine asks for them and tells of their ends. */
#include <stdlib.h>
#include <string.h>

#include "api/iterator.h"
#include "api/result.h"
#include "engine/role.h"

static struct pool_iterator *iterator_of(struct pool__job *job)
{
    return (struct pool_iterator *)(void *)job;
}

/* ---- the engine's questions */

/* An array's items are where the program has them, side by side. */
static void argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    struct pool_iterator *iterator = iterator_of(job);
    const struct pool__item *item;

    if (pool__iterator_reads_array(iterator)) {
        pool__source_item(&iterator->source, (size_t)index, bytes, size);
        return;
    }
    item = pool__store_find(&iterator->store, index);
    *bytes = item->result.arg;
    *size = item->result.arg_size;
}

static void *place(struct pool__job *job, uint64_t index, uint64_t size, bool *keep)
{
    struct pool_iterator *iterator = iterator_of(job);

    *keep = !iterator->freed;
    if (iterator->freed || size > POOL__ITEM_ROOM)
        return NULL;
    return pool__store_find(&iterator->store, index)->room;
}

/* ---- its news */

static void dispose(struct pool__grave *grave)
{
    struct pool_iterator *iterator = pool__holder(grave, struct pool_iterator, grave);
    struct pool *pool = iterator->pool;

    pool__line_free(&iterator->line);
    free(iterator->source_words);
    pool__store_free(&iterator->store);
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
    if (item->result.size > iterator->largest_result)
        iterator->largest_result = item->result.size;
    if (iterator->ordered)
        return;
    *iterator->ready_end = item;
    iterator->ready_end = &item->next;
}

/*
 * Who waits does so since nothing was ready, and looks himself for what comes behind the first; and where workers would
 * be idle he is to read on.
 */
static void tell_waiters(struct pool_iterator *iterator, bool was_ready)
{
    if ((!was_ready && pool__iterator_ready(iterator) != NULL) || pool__iterator_wants_to_read(iterator, true))
        pool__notify(iterator->pool, iterator);
}

static void forget_item(struct pool_iterator *iterator, struct pool__item *item)
{
    pool__store_take_out(&iterator->store, item);
    pool__store_let_go(&iterator->store, item);
}

static void finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct pool_iterator *iterator = iterator_of(job);
    struct pool__item *item = pool__store_find(&iterator->store, index);
    bool was_ready = !iterator->freed && pool__iterator_ready(iterator) != NULL;

    iterator->unfinished--;
    if (iterator->freed) {
        pool__outcome_free(outcome);
        forget_item(iterator, item);
        pool__notify(iterator->pool, iterator); /* who frees it may wait for what runs */
    } else {
        if (outcome->status == POOL_OK && outcome->data == NULL && outcome->size > 0)
            outcome->data = item->room; /* where place() has had it put */
        pool__result_fill(&item->result, outcome, index, false, item->submitted);
        make_ready(iterator, item);
        pool__progress_add(&iterator->progress, 1);
        tell_waiters(iterator, was_ready);
    }
    pool__iterator_bury_if_over(iterator);
}

/* The result of item `which` of a row, for good. False: no memory. */
static bool keep_result(struct pool__item *item, const struct pool__row *row, uint32_t which)
{
    void *data = item->room;

    item->result.size = row->size;
    if (row->size == 0)
        return true;
    if (row->size > POOL__ITEM_ROOM)
        data = malloc(row->size);
    if (data == NULL)
        return false;
    if (row->bytes != NULL)
        memcpy(data, row->bytes + (size_t)which * row->stride, row->size);
    item->result.data = data;
    return true;
}

static void no_memory_for(struct pool__item *item)
{
    struct pool__outcome outcome;

    memset(&outcome, 0, sizeof outcome);
    outcome.status = POOL_NO_MEMORY;
    outcome.why = "no memory for the result in this process";
    pool__result_fill(&item->result, &outcome, item->result.index, false, 0);
}

/* One after the other in one worker: each began when those before it had ended. */
static void fill_row(struct pool_iterator *iterator, const struct pool__row *row)
{
    uint64_t start = row->start;
    uint32_t i;

    for (i = 0; i < row->count; i++) {
        struct pool__item *item = pool__store_find(&iterator->store, row->first + i);
        uint64_t run = pool__row_run(row, i);

        if (!keep_result(item, row, i))
            no_memory_for(item);
        item->result.worker = row->worker;
        item->result.attempts = row->attempts;
        item->result.run_ns = run;
        item->result.wait_ns = start > item->submitted ? start - item->submitted : 0;
        start += run;
        make_ready(iterator, item);
    }
}

static void finished_row(struct pool__job *job, const struct pool__row *row)
{
    struct pool_iterator *iterator = iterator_of(job);
    bool was_ready = !iterator->freed && pool__iterator_ready(iterator) != NULL;
    uint32_t i;

    iterator->unfinished -= row->count;
    if (iterator->freed) {
        for (i = 0; i < row->count; i++)
            forget_item(iterator, pool__store_find(&iterator->store, row->first + i));
        pool__notify(iterator->pool, iterator);
    } else {
        fill_row(iterator, row);
        pool__progress_add(&iterator->progress, row->count);
        tell_waiters(iterator, was_ready);
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
    struct pool__item *item = pool__store_find(&iterator->store, index);

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

const struct pool__owner pool__iterator_owner = {argument, place, finished, dropped, finished_row, NULL};
