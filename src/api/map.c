/* map - one function over many items, results in an array: pool_map(), pool_map_async(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/future.h"
#include "api/progress.h"
#include "api/result.h"
#include "api/source.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/role.h"

struct map {
    struct pool__promise promise; /* first */
    struct pool_source source;    /* an array: a generator's map goes by an iterator */
    size_t count, left;           /* items, and those without an outcome */
    unsigned char *out;
    size_t out_size;
    enum pool_status *statuses;
    bool keep_going;
    bool blocking; /* pool_map: the waiting thread makes the last progress call */
    bool failed;   /* future.result is that of the lowest failed item so far */
    bool some_cancelled;
    uint64_t first_cancelled;
    struct pool__progress progress;
};

static struct map *map_of(struct pool__job *job)
{
    return (struct map *)(void *)job;
}

/* ---- the engine's questions */

static void argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    pool__source_item(&map_of(job)->source, (size_t)index, bytes, size);
}

static void *place(struct pool__job *job, uint64_t index, uint64_t size, bool *keep)
{
    struct map *map = map_of(job);

    *keep = false;
    if (map->promise.future.detached || map->out == NULL || size != map->out_size)
        return NULL;
    return map->out + (size_t)index * map->out_size;
}

/* ---- the result of the whole */

static void tell_whole(struct map *map)
{
    struct pool_result *result = &map->promise.future.result;

    if (map->promise.future.detached)
        return;
    if (map->promise.future.cancelled && result->status != POOL_CANCELLED) {
        pool__result_clear(result, false);
        map->failed = false;
    }
    if (!map->failed && map->some_cancelled) {
        pool__result_fill_dropped(result, POOL_CANCELLED, 0, NULL, map->first_cancelled, false);
        map->failed = true;
    }
    if (map->failed) {
        if (pool__source_is_array(&map->source) && result->index < map->count)
            pool__source_item(&map->source, result->index, &result->arg, &result->arg_size);
        return;
    }
    result->index = map->count;
    result->data = map->out;
    result->size = map->out != NULL ? map->count * map->out_size : 0;
    result->arg = map->source.items;
    result->arg_size = map->count * map->source.item_size;
}

static void over_if_complete(struct map *map)
{
    if (map->left > 0)
        return;
    tell_whole(map);
    if (!map->blocking && !map->promise.future.detached && map->count > 0)
        pool__progress_queue_last(&map->progress);
    if (!pool__future_is_done(&map->promise.future))
        pool__promise_done(&map->promise);
    pool__promise_over(&map->promise);
}

/* ---- the engine's news */

static bool counts_as_failure(enum pool_status status)
{
    return status != POOL_OK && status != POOL_CANCELLED;
}

static void note_cancelled(struct map *map, uint64_t index)
{
    if (!map->some_cancelled || index < map->first_cancelled)
        map->first_cancelled = index;
    map->some_cancelled = true;
}

/* What has not started need not: told to the engine when it is done with the event at hand. */
static void stop_the_others(struct map *map)
{
    if (!map->keep_going && !map->promise.job.withdrawn && !pool__is_linked(&map->promise.job.unwanted))
        pool__list_append(&map->promise.future.pool->unwanted, &map->promise.job.unwanted);
}

static void note_failure(struct map *map, uint64_t index, struct pool__outcome *outcome)
{
    struct pool_result *result = &map->promise.future.result;

    if (map->failed && index > result->index)
        return;
    if (map->failed)
        pool__result_clear(result, false);
    pool__result_fill(result, outcome, index, false, map->promise.submitted);
    map->failed = true;
}

static void check_size(const struct map *map, struct pool__outcome *outcome)
{
    if (outcome->status != POOL_OK || map->out == NULL || outcome->size == map->out_size)
        return;
    outcome->status = POOL_BAD_SIZE;
    outcome->why =
        outcome->size < map->out_size ? "its result is smaller than out_size" : "its result is larger than out_size";
}

static void finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct map *map = map_of(job);

    check_size(map, outcome);
    if (!map->promise.future.detached) {
        if (map->statuses != NULL)
            map->statuses[index] = outcome->status;
        if (outcome->status == POOL_CANCELLED)
            note_cancelled(map, index);
        if (counts_as_failure(outcome->status)) {
            note_failure(map, index, outcome);
            stop_the_others(map);
        }
        pool__progress_add(&map->progress, 1);
    }
    pool__outcome_free(outcome);
    map->left--;
    over_if_complete(map);
}

static void dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                    const char *message)
{
    struct map *map = map_of(job);
    uint64_t i;

    if (!map->promise.future.detached) {
        for (i = first; map->statuses != NULL && i < first + count; i++)
            map->statuses[i] = status;
        if (status == POOL_CANCELLED)
            note_cancelled(map, first);
        else if (!map->failed || first < map->promise.future.result.index) {
            if (map->failed)
                pool__result_clear(&map->promise.future.result, false);
            pool__result_fill_dropped(&map->promise.future.result, status, code, message, first, false);
            map->failed = true;
        }
        pool__progress_add(&map->progress, (size_t)count);
    }
    map->left -= (size_t)count;
    over_if_complete(map);
}

/* All of them ended well; their results stand in `out`, or have another size than is wanted. */
static void finished_row(struct pool__job *job, const struct pool__row *row)
{
    struct map *map = map_of(job);
    uint32_t i;

    if (map->out != NULL && row->size != map->out_size) {
        for (i = 0; i < row->count; i++) {
            struct pool__outcome outcome;

            memset(&outcome, 0, sizeof outcome);
            outcome.size = row->size;
            outcome.worker = row->worker;
            outcome.attempts = row->attempts;
            outcome.start = row->start;
            outcome.run = pool__row_run(row, i);
            finished(job, row->first + i, &outcome);
        }
        return;
    }
    if (!map->promise.future.detached) {
        for (i = 0; map->statuses != NULL && i < row->count; i++)
            map->statuses[row->first + i] = POOL_OK;
        pool__progress_add(&map->progress, row->count);
    }
    map->left -= row->count;
    over_if_complete(map);
}

static const struct pool__owner owner = {argument, place, finished, dropped, finished_row, NULL};

/* ---- submitting */

static void refer(struct pool__progress *progress, int more)
{
    struct map *map = pool__holder(progress, struct map, progress);

    if (more > 0)
        map->promise.references++;
    else
        pool__promise_drop(&map->promise);
}

static struct map *make(struct pool *pool, pool_function *fn, const struct pool_source *in, void *out, size_t out_size,
                        const struct pool_job *job)
{
    struct map *map = (struct map *)(void *)pool__promise_make(pool, sizeof *map, job);
    bool even = pool__source_kind(in) == POOL__SOURCE_ITEMS;

    if (map == NULL)
        return NULL;
    pool__job_init(&map->promise.job, &owner, fn, even ? in->item_size : SIZE_MAX);
    map->source = *in;
    map->count = map->left = pool__source_count(in);
    map->out = out_size > 0 ? out : NULL;
    map->out_size = out_size;
    map->promise.job.items_there = even && pool__arena_has(&pool->arena, in->items, map->count * in->item_size);
    if (pool__arena_has(&pool->arena, map->out, map->count * out_size)) {
        map->promise.job.results = map->out;
        map->promise.job.result_size = out_size;
    }
    pool__job_options(&map->promise.job, job);
    pool__progress_init(&map->progress, pool, refer, job, map->count);
    map->promise.progress = &map->progress;
    if (job != NULL) {
        map->statuses = job->statuses;
        map->keep_going = job->keep_going;
        pool__job_share(pool, &map->promise.job, job->shared, job->shared_size);
    }
    return map;
}

static void submit(struct pool *pool, struct map *map)
{
    map->promise.submitted = pool__now();
    pool->submitted += map->count;
    map->promise.job.end = map->count;
    if (map->count == 0) {
        over_if_complete(map);
        return;
    }
    pool__scheduler_submit(&pool->scheduler, &map->promise.job);
    pool__scheduler_dispatch(&pool->scheduler, map->promise.submitted);
}

static enum pool_status check(pool_function *fn, const struct pool_source *in, const void *out, size_t out_size,
                              const struct pool_job *job, const char *call, unsigned meaning)
{
    enum pool_status status;

    errno = EINVAL;
    if (fn == NULL)
        return pool__fail(POOL_INVALID, "%s: fn is NULL", call);
    if (out == NULL && out_size > 0)
        return pool__fail(POOL_INVALID, "%s: out is NULL, and out_size is %zu", call, out_size);
    status = pool__source_check(in, call);
    if (status == POOL_OK && out_size > 0 && pool__source_count(in) > PTRDIFF_MAX / out_size)
        status = pool__fail(POOL_INVALID, "%s: out cannot hold %zu results of %zu bytes", call, pool__source_count(in),
                            out_size);
    if (status == POOL_OK)
        status = pool__check_job(job, call, meaning);
    errno = EINVAL;
    if (status != POOL_OK || pool__source_is_array(in))
        return status;
    if ((out != NULL && out_size > 0) || (job != NULL && job->statuses != NULL))
        return pool__fail(POOL_INVALID,
                          "%s: a generator's items are not counted, so that out and statuses have no size: pool_imap",
                          call);
    return POOL_OK;
}

/* Threads for callbacks, then the future. NULL with *code. */
static struct map *start(struct pool *pool, struct map *map, const struct pool_job *job, const char *call, int *code)
{
    if (map == NULL) {
        pool__fail(POOL_NO_MEMORY, "%s: no memory for a map", call);
        *code = ENOMEM;
        return NULL;
    }
    *code = job != NULL && (job->callback != NULL || job->progress != NULL) ? pool__callbacks_start(pool) : 0;
    if (*code != 0) {
        pool__fail(POOL_SYSTEM, "%s: no thread for callbacks: %s", call, strerror(*code));
        map->promise.references = 1;
        pool__promise_drop(&map->promise);
        return NULL;
    }
    submit(pool, map);
    return map;
}

struct pool_future *pool_map_async(struct pool *pool, pool_function *fn, struct pool_source in, void *out,
                                   size_t out_size, const struct pool_job *job)
{
    struct map *map = NULL;
    int code;

    if (pool != NULL &&
        check(fn, &in, out, out_size, job, "pool_map_async", POOL__JOB_CALLBACK | POOL__JOB_MAP) != POOL_OK)
        return NULL;
    if (pool != NULL && !pool__source_is_array(&in))
        return pool__null(
            EINVAL, "pool_map_async: in is a generator, which only a waiting call can read: pool_map or pool_imap");
    if (pool__enter(pool, "pool_map_async", "pool") != POOL_OK)
        return NULL;
    code = EPIPE;
    if (pool__check_open(pool, "pool_map_async") == POOL_OK)
        map = start(pool, make(pool, fn, &in, out, out_size, job), job, "pool_map_async", &code);
    pool__rouse(pool);
    pool__leave(pool);
    if (map == NULL) {
        errno = code;
        return NULL;
    }
    return &map->promise.future;
}

/* ---- and waiting */

static enum pool_status result_of(const struct map *map)
{
    const struct pool_result *result = &map->promise.future.result;

    if (result->status == POOL_OK)
        return POOL_OK;
    if (strncmp(result->message, "item ", 5) == 0)
        return pool__fail(result->status, "%s", result->message);
    return pool__fail(result->status, "item %zu: %s", result->index,
                      result->message[0] != '\0' ? result->message : pool_status_name(result->status));
}

static enum pool_status wait_for(struct map *map)
{
    enum pool_status status;

    pool__future_await(&map->promise.future, POOL__NEVER);
    pool__progress_end(&map->progress, map->count > 0);
    status = result_of(map);
    pool__promise_drop(&map->promise);
    return status;
}

/* ---- over a generator: an iterator that is read here */

static void keep_lowest(struct pool_result *lowest, char *words, size_t room, const struct pool_result *result)
{
    if (lowest->status != POOL_OK && lowest->status != POOL_CANCELLED &&
        (result->status == POOL_CANCELLED || result->index > lowest->index))
        return;
    if (lowest->status == POOL_CANCELLED && result->status == POOL_CANCELLED && result->index > lowest->index)
        return;
    *lowest = *result;
    snprintf(words, room, "%s", result->message);
}

static enum pool_status map_generator(struct pool *pool, pool_function *fn, struct pool_source in,
                                      const struct pool_job *job)
{
    struct pool_job options;
    struct pool_iterator *iterator;
    const struct pool_result *result;
    struct pool_result lowest;
    char words[POOL__ERROR_ROOM];
    enum pool_status status;
    bool keep_going = job != NULL && job->keep_going;

    memset(&options, 0, sizeof options);
    memset(&lowest, 0, sizeof lowest);
    if (job != NULL)
        options = *job;
    options.keep_going = false;
    iterator = pool_imap_unordered(pool, fn, in, &options);
    if (iterator == NULL)
        return errno == ENOMEM  ? POOL_NO_MEMORY
               : errno == EPIPE ? (pool->broken ? POOL_BROKEN : POOL_CLOSED)
                                : POOL_SYSTEM;
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
        if (result->status == POOL_OK)
            continue;
        keep_lowest(&lowest, words, sizeof words, result);
        if (!keep_going && result->status != POOL_CANCELLED)
            pool_iterator_cancel(iterator, false);
    }
    pool_iterator_free(iterator);
    if (lowest.status != POOL_OK)
        return strncmp(words, "item ", 5) == 0 ? pool__fail(lowest.status, "%s", words)
                                               : pool__fail(lowest.status, "item %zu: %s", lowest.index, words);
    return status == POOL_END
               ? (atomic_load(&pool->stop_asked) ? pool__fail(POOL_CANCELLED, "pool_map: the pool was stopped")
                                                 : POOL_OK)
               : status;
}

enum pool_status pool_map(struct pool *pool, pool_function *fn, struct pool_source in, void *out, size_t out_size,
                          const struct pool_job *job)
{
    enum pool_status status;
    struct map *map = NULL;
    int code;

    if (pool != NULL && (status = check(fn, &in, out, out_size, job, "pool_map", POOL__JOB_MAP)) != POOL_OK)
        return status;
    status = pool__enter_to_wait(pool, "pool_map", "pool", POOL_FOREVER);
    if (status != POOL_OK)
        return status;
    status = pool__check_open(pool, "pool_map");
    if (status == POOL_OK && !pool__source_is_array(&in)) {
        pool__leave(pool);
        return map_generator(pool, fn, in, job);
    }
    if (status == POOL_OK) {
        map = make(pool, fn, &in, out, out_size, job);
        if (map != NULL)
            map->blocking = true;
        map = start(pool, map, job, "pool_map", &code);
        status = map != NULL ? wait_for(map) : code == ENOMEM ? POOL_NO_MEMORY : POOL_SYSTEM;
    }
    pool__leave(pool);
    return status;
}
