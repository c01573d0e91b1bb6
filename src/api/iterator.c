/* iterator - results one by one from a source that is read lazily: pool_imap(), pool_imap_unordered(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/progress.h"
#include "api/result.h"
#include "api/source.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/role.h"

#define WINDOW_FLOOR 64u
#define WINDOW_PER_WORKER 64u
#define QUICK_SOURCE (5 * POOL__MS) /* a generator that takes longer is asked for more only when workers would else be idle (rule 35) */

/* One item from the time it is read until the program has let its result go. */
struct item {
    struct item *chain;      /* in table */
    struct pool__link link;  /* in ready, or in held */
    pthread_t holder;        /* while held: whose next call frees it */
    uint64_t index;
    uint64_t submitted;
    bool done;
    struct pool_result result;
    const void *arg;         /* the array's own bytes, or the copy behind this struct */
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
    struct item **table; /* by index; items read and not delivered */
    size_t buckets;      /* a power of two */
    struct pool__link ready; /* unordered: done, as they finished */
    struct pool__link held;  /* delivered, still in the program's hands */
    uint64_t read, delivered, unfinished;
    uint64_t source_ns;  /* measured time of a generator's call */
    bool source_ended, reading;
    pthread_t reading_thread;
    int source_code;     /* below 0: the source failed */
    char *source_words;
    enum pool_status aborted; /* POOL_TERMINATED, POOL_BROKEN, or POOL_OK */
    bool freed;          /* by the program */
};

static struct pool_iterator *iterator_of(struct pool__job *job) { return (struct pool_iterator *)(void *)job; }

/* ---- items */

static struct item **slot(struct pool_iterator *iterator, uint64_t index)
{
    struct item **at = &iterator->table[index & (iterator->buckets - 1)];

    while (*at != NULL && (*at)->index != index)
        at = &(*at)->chain;
    return at;
}

static struct item *find(struct pool_iterator *iterator, uint64_t index) { return *slot(iterator, index); }

static void take_out(struct pool_iterator *iterator, struct item *item)
{
    struct item **at = slot(iterator, item->index);

    *at = item->chain;
    pool__list_remove(&item->link);
}

static void item_free(struct item *item)
{
    if (item->done)
        pool__result_clear(&item->result, true);
    free(item);
}

/* ---- the engine's questions and news */

static void argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    struct item *item = find(iterator_of(job), index);

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

/* The struct goes when the program has freed it and the engine has nothing of it any more. */
static void bury_if_over(struct pool_iterator *iterator)
{
    if (!iterator->freed || iterator->unfinished > 0)
        return;
    pool__release_job(iterator->pool, &iterator->job);
    pool__bury(iterator->pool, &iterator->grave, dispose);
}

static void make_ready(struct pool_iterator *iterator, struct item *item)
{
    item->done = true;
    item->result.arg = item->arg;
    item->result.arg_size = item->size;
    if (!iterator->ordered)
        pool__list_append(&iterator->ready, &item->link);
}

static void forget_item(struct pool_iterator *iterator, struct item *item)
{
    take_out(iterator, item);
    item_free(item);
}

static void finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    struct pool_iterator *iterator = iterator_of(job);
    struct item *item = find(iterator, index);

    iterator->unfinished--;
    pool__result_fill(&item->result, outcome, index, false, item->submitted);
    make_ready(iterator, item);
    if (iterator->freed) {
        forget_item(iterator, item);
    } else {
        pool__progress_add(&iterator->progress, 1);
        pool__notify(iterator->pool, iterator);
    }
    bury_if_over(iterator);
}

static void drop_one(struct pool_iterator *iterator, uint64_t index, enum pool_status status, int code, const char *message)
{
    struct item *item = find(iterator, index);

    iterator->unfinished--;
    if (iterator->freed || status != POOL_CANCELLED) {
        forget_item(iterator, item);
        return;
    }
    pool__result_fill_dropped(&item->result, status, code, message, index, false);
    make_ready(iterator, item);
    pool__progress_add(&iterator->progress, 1);
}

static void dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code, const char *message)
{
    struct pool_iterator *iterator = iterator_of(job);
    uint64_t i;

    for (i = first; i < first + count; i++)
        drop_one(iterator, i, status, code, message);
    if (status != POOL_CANCELLED)
        iterator->aborted = status;
    pool__notify(iterator->pool, iterator);
    bury_if_over(iterator);
}

static const struct pool__owner owner = {argument, place, finished, dropped};

/* ---- reading the source */

static void end_source(struct pool_iterator *iterator)
{
    iterator->source_ended = true;
    pool__list_remove(&iterator->reader.link);
}

static void stop_reading(struct pool__reader *reader, enum pool_status why)
{
    struct pool_iterator *iterator = pool__holder(reader, struct pool_iterator, reader);

    end_source(iterator);
    if (why != POOL_CANCELLED)
        iterator->aborted = why;
    pool__notify(iterator->pool, iterator);
}

static bool may_read(const struct pool_iterator *iterator)
{
    return !iterator->source_ended && !iterator->reading && iterator->read - iterator->delivered < iterator->window;
}

/* Enters an item; `copy` its bytes, or refer to them. False: no memory. */
static bool enter_item(struct pool_iterator *iterator, const void *arg, size_t size, bool copy)
{
    struct item *item = size <= PTRDIFF_MAX - sizeof *item - 16 ? malloc(sizeof *item + (copy ? size + 16 : 0)) : NULL;

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
    end_source(iterator);
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
        end_source(iterator);
    else if (!iterator->source_ended && !enter_item(iterator, arg, size, true))
        source_failed(iterator, -ENOMEM, "no memory for an item");
    pool__notify(pool, iterator);
}

/* All that the window takes: this calls no code of the program's. */
static void read_array(struct pool_iterator *iterator)
{
    size_t count = pool__source_count(&iterator->source);

    while (may_read(iterator) && iterator->read < count) {
        const void *arg;
        size_t size;

        pool__source_item(&iterator->source, (size_t)iterator->read, &arg, &size);
        if (!enter_item(iterator, arg, size, false))
            source_failed(iterator, -ENOMEM, "no memory for an item");
    }
    if (!iterator->source_ended && iterator->read == count)
        end_source(iterator);
}

static void give_out(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;

    pool__scheduler_submit(&pool->scheduler, &iterator->job);
    pool__settle(pool);
}

/* Reads while workers would be idle; `ahead`: and further, where the source is quick. False: nothing was read. */
static bool feed(struct pool_iterator *iterator, bool ahead)
{
    uint64_t before = iterator->read;

    if (!may_read(iterator))
        return false;
    if (pool__source_is_array(&iterator->source)) {
        read_array(iterator);
    } else {
        bool hungry = iterator->unfinished < iterator->pool->scheduler.size;

        if (!hungry && !(ahead && iterator->source_ns < QUICK_SOURCE))
            return false;
        read_generator(iterator);
    }
    if (iterator->read == before)
        return iterator->source_ended;
    give_out(iterator);
    return true;
}

/* ---- making */

static size_t choose_window(const struct pool *pool, const struct pool_job *job)
{
    size_t window = (size_t)pool->scheduler.size * WINDOW_PER_WORKER;

    if (job != NULL && job->window != 0)
        return job->window;
    return window < WINDOW_FLOOR ? WINDOW_FLOOR : window;
}

static struct pool_iterator *make(struct pool *pool, pool_function *fn, const struct pool_source *in, const struct pool_job *job, bool ordered)
{
    struct pool_iterator *iterator = calloc(1, sizeof *iterator);
    bool array = pool__source_is_array(in);
    size_t buckets = 16;

    if (iterator == NULL)
        return NULL;
    iterator->window = choose_window(pool, job);
    while (buckets < iterator->window && buckets < (1u << 20))
        buckets *= 2;
    iterator->table = calloc(buckets, sizeof *iterator->table);
    if (iterator->table == NULL) {
        free(iterator);
        return NULL;
    }
    pool__job_init(&iterator->job, &owner, fn, pool__source_kind(in) == POOL__SOURCE_ITEMS ? in->item_size : SIZE_MAX);
    iterator->buckets = buckets;
    iterator->pool = pool;
    iterator->source = *in;
    iterator->ordered = ordered;
    iterator->reader.stop_reading = stop_reading;
    pool__list_init(&iterator->ready);
    pool__list_init(&iterator->held);
    pool__progress_init(&iterator->progress, pool, NULL, job, array ? pool__source_count(in) : 0);
    if (job != NULL) {
        iterator->job.chunk = job->chunk;
        pool__job_share(pool, &iterator->job, job->shared, job->shared_size);
    }
    pool__hold(pool);
    pool__list_append(&pool->iterators, &iterator->reader.link);
    return iterator;
}

static struct pool_iterator *start(struct pool *pool, pool_function *fn, const struct pool_source *in, const struct pool_job *job, bool ordered, const char *call, int *code)
{
    struct pool_iterator *iterator;

    *code = job != NULL && job->progress != NULL ? pool__callbacks_start(pool) : 0;
    if (*code != 0) {
        pool__fail(POOL_SYSTEM, "%s: no thread for callbacks: %s", call, strerror(*code));
        return NULL;
    }
    iterator = make(pool, fn, in, job, ordered);
    if (iterator == NULL) {
        *code = ENOMEM;
        pool__fail(POOL_NO_MEMORY, "%s: no memory for an iterator", call);
        return NULL;
    }
    while (feed(iterator, false))
        if (pool__source_is_array(&iterator->source))
            break;
    pool__settle(pool);
    return iterator;
}

static struct pool_iterator *imap(struct pool *pool, pool_function *fn, struct pool_source *in, const struct pool_job *job, bool ordered, const char *call)
{
    struct pool_iterator *iterator = NULL;
    int code = EPIPE;

    if (pool != NULL && fn == NULL)
        return pool__null(EINVAL, "%s: fn is NULL", call);
    if (pool != NULL && (pool__source_check(in, call) != POOL_OK || pool__check_job(job, call, 0) != POOL_OK)) {
        errno = EINVAL;
        return NULL;
    }
    if (pool__enter(pool, call, "pool") != POOL_OK)
        return NULL;
    if (pool__check_open(pool, call) == POOL_OK)
        iterator = start(pool, fn, in, job, ordered, call, &code);
    pool__leave(pool);
    if (iterator == NULL)
        errno = code;
    return iterator;
}

struct pool_iterator *pool_imap(struct pool *pool, pool_function *fn, struct pool_source in, const struct pool_job *job)
{
    return imap(pool, fn, &in, job, true, "pool_imap");
}

struct pool_iterator *pool_imap_unordered(struct pool *pool, pool_function *fn, struct pool_source in, const struct pool_job *job)
{
    return imap(pool, fn, &in, job, false, "pool_imap_unordered");
}

/* ---- delivering */

static struct item *ready_item(struct pool_iterator *iterator)
{
    struct item *item;

    if (!iterator->ordered)
        return pool__list_empty(&iterator->ready) ? NULL : pool__holder(iterator->ready.next, struct item, link);
    item = find(iterator, iterator->delivered);
    return item != NULL && item->done ? item : NULL;
}

static void deliver(struct pool_iterator *iterator, struct item *item, const struct pool_result **result)
{
    take_out(iterator, item);
    iterator->delivered++;
    item->holder = pthread_self();
    pool__list_append(&iterator->held, &item->link);
    *result = &item->result;
}

/* This thread's last result was good until now. */
static void release_held(struct pool_iterator *iterator)
{
    struct pool__link *link = iterator->held.next;

    while (link != &iterator->held) {
        struct item *item = pool__holder(link, struct item, link);

        link = link->next;
        if (pthread_equal(item->holder, pthread_self())) {
            pool__list_remove(&item->link);
            item_free(item);
        }
    }
}

static bool has_ended(const struct pool_iterator *iterator)
{
    if (iterator->reading)
        return false;
    return iterator->aborted != POOL_OK || (iterator->source_ended && iterator->delivered == iterator->read);
}

/* Is there anything to do for a thread that waits in next()? */
static bool something_to_do(const void *context)
{
    struct pool_iterator *iterator = (struct pool_iterator *)(uintptr_t)context;

    if (ready_item(iterator) != NULL || has_ended(iterator))
        return true;
    return may_read(iterator) && (iterator->unfinished < iterator->pool->scheduler.size || iterator->source_ns < QUICK_SOURCE);
}

/* No progress call follows the end. */
static enum pool_status tell_end(struct pool_iterator *iterator)
{
    if (iterator->aborted != POOL_OK)
        return pool__fail(iterator->aborted, "pool_iterator_next: the pool %s",
                          iterator->aborted == POOL_BROKEN ? "cannot keep workers alive" : "was terminated");
    pool__progress_end(&iterator->progress, iterator->source_code == 0 && !pool__in_callback(iterator->pool));
    if (iterator->source_code != 0)
        return pool__fail(POOL_FAILED, "pool_iterator_next: %s", iterator->source_words != NULL ? iterator->source_words : "the source failed");
    return POOL_END;
}

static enum pool_status next(struct pool_iterator *iterator, uint64_t end, const struct pool_result **result)
{
    release_held(iterator);
    for (;;) {
        struct item *item;

        /* a ready result comes before the source is asked again, unless workers would be idle (rule 35) */
        while (feed(iterator, false))
            if (pool__source_is_array(&iterator->source) || ready_item(iterator) != NULL)
                break;
        item = ready_item(iterator);
        if (item != NULL) {
            deliver(iterator, item, result);
            return POOL_OK;
        }
        if (has_ended(iterator))
            return tell_end(iterator);
        if (feed(iterator, true))
            continue;
        if (!pool__wait(iterator->pool, iterator, something_to_do, iterator, end))
            return pool__fail(POOL_TIMEOUT, "pool_iterator_next: no result in time");
    }
}

static struct pool *pool_of(const struct pool_iterator *iterator) { return iterator != NULL ? iterator->pool : NULL; }

/* The program's generator must not read what it feeds. */
static enum pool_status check_reader(const struct pool_iterator *iterator, const char *call)
{
    if (!iterator->reading || !pthread_equal(iterator->reading_thread, pthread_self()))
        return POOL_OK;
    errno = EINVAL;
    return pool__fail(POOL_INVALID, "%s: called from the iterator's own source", call);
}

enum pool_status pool_iterator_next(struct pool_iterator *iterator, int timeout_ms, const struct pool_result **result)
{
    const struct pool_result *unused;
    enum pool_status status;

    if (result != NULL)
        *result = NULL;
    status = pool__enter_to_wait(pool_of(iterator), "pool_iterator_next", "iterator", timeout_ms);
    if (status != POOL_OK)
        return status;
    status = check_reader(iterator, "pool_iterator_next");
    if (status == POOL_OK)
        status = next(iterator, pool__end_of_wait(timeout_ms), result != NULL ? result : &unused);
    pool__leave(iterator->pool);
    return status;
}

enum pool_status pool_iterator_cancel(struct pool_iterator *iterator, bool kill)
{
    enum pool_status status;

    if (iterator != NULL && kill)
        return pool__refuse("pool_iterator_cancel", "kill");
    status = pool__enter(pool_of(iterator), "pool_iterator_cancel", "iterator");
    if (status != POOL_OK)
        return status;
    end_source(iterator);
    pool__scheduler_withdraw(&iterator->pool->scheduler, &iterator->job, POOL_CANCELLED, true);
    pool__notify(iterator->pool, iterator);
    pool__settle(iterator->pool);
    pool__leave(iterator->pool);
    return POOL_OK;
}

static void free_items(struct pool_iterator *iterator)
{
    size_t i;

    for (i = 0; i < iterator->buckets; i++) {
        struct item **at = &iterator->table[i];

        while (*at != NULL) {
            struct item *item = *at;

            if (!item->done) {
                at = &item->chain; /* it runs: its outcome frees it */
                continue;
            }
            *at = item->chain;
            pool__list_remove(&item->link);
            item_free(item);
        }
    }
    while (!pool__list_empty(&iterator->held))
        item_free(pool__holder(pool__list_pop(&iterator->held), struct item, link));
}

static bool nobody_reads(const void *iterator) { return !((const struct pool_iterator *)iterator)->reading; }

static void free_entered(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;

    end_source(iterator);
    pool__wait(pool, iterator, nobody_reads, iterator, POOL__NEVER); /* the generator is not called after the free has returned */
    pool__progress_end(&iterator->progress, false);
    iterator->unfinished++; /* stays while the engine lets go */
    iterator->freed = true;
    pool__scheduler_withdraw(&pool->scheduler, &iterator->job, POOL_CANCELLED, true);
    pool__release_job(pool, &iterator->job);
    free_items(iterator);
    iterator->unfinished--;
    bury_if_over(iterator);
    pool__settle(pool);
}

void pool_iterator_free(struct pool_iterator *iterator)
{
    int kept = errno;

    if (iterator != NULL && pool__is_here(iterator->pool) && pool__enter(iterator->pool, "pool_iterator_free", "iterator") == POOL_OK) {
        struct pool *pool = iterator->pool;

        pool__hold(pool);
        if (check_reader(iterator, "pool_iterator_free") == POOL_OK)
            free_entered(iterator);
        pool__leave(pool);
        pool__let_go(pool);
    }
    errno = kept;
}
