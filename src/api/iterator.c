/* iterator - results one by one from a source that is read lazily: pool_imap(), pool_imap_unordered(). */
#include "api/iterator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/clock.h"
#include "base/error.h"
#include "engine/deadline.h"
#include "engine/role.h"

/* ---- making */

static void refer(struct pool__progress *progress, int more)
{
    struct pool_iterator *iterator = pool__holder(progress, struct pool_iterator, progress);

    if (more > 0)
        iterator->kept++;
    else {
        iterator->kept--;
        pool__iterator_bury_if_over(iterator);
    }
}

static struct pool_iterator *make(struct pool *pool, pool_function *fn, const struct pool_source *in,
                                  const struct pool_job *job, bool ordered)
{
    struct pool_iterator *iterator = calloc(1, sizeof *iterator);

    if (iterator == NULL)
        return NULL;
    iterator->kind = pool__source_kind(in);
    pool__job_init(&iterator->job, &pool__iterator_owner, fn,
                   iterator->kind == POOL__SOURCE_ITEMS ? in->item_size : SIZE_MAX);
    iterator->job.timed = true;
    iterator->job.items_there =
        iterator->kind == POOL__SOURCE_ITEMS && pool__arena_has(&pool->arena, in->items, in->count * in->item_size);
    iterator->pool = pool;
    iterator->source = *in;
    iterator->ordered = ordered;
    iterator->ready_end = &iterator->ready;
    iterator->reader.stop_reading = pool__iterator_stop_reading;
    pool__progress_init(&iterator->progress, pool, refer, job, pool__source_count(in));
    pool__job_options(&iterator->job, job);
    if (job != NULL) {
        pool__job_share(pool, &iterator->job, job->shared, job->shared_size);
        iterator->asked_window = job->window;
    }
    pool__iterator_choose_window(iterator);
    pool__hold(pool);
    pool__list_append(&pool->iterators, &iterator->reader.link);
    return iterator;
}

static struct pool_iterator *start(struct pool *pool, pool_function *fn, const struct pool_source *in,
                                   const struct pool_job *job, bool ordered, const char *call, int *code)
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
    while (pool__iterator_feed(iterator, false))
        if (pool__iterator_reads_array(iterator))
            break;
    pool__settle(pool);
    return iterator;
}

static struct pool_iterator *imap(struct pool *pool, pool_function *fn, struct pool_source *in,
                                  const struct pool_job *job, bool ordered, const char *call)
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

struct pool_iterator *pool_imap_unordered(struct pool *pool, pool_function *fn, struct pool_source in,
                                          const struct pool_job *job)
{
    return imap(pool, fn, &in, job, false, "pool_imap_unordered");
}

/* ---- delivering */

static void deliver(struct pool_iterator *iterator, struct pool__item *item, const struct pool_result **result)
{
    pool__store_take_out(&iterator->store, item);
    if (!iterator->ordered) {
        iterator->ready = item->next;
        if (item->next == NULL)
            iterator->ready_end = &iterator->ready;
    }
    iterator->delivered++;
    item->holder = pthread_self();
    item->next = iterator->held;
    iterator->held = item;
    *result = &item->result;
}

/* This thread's last result was good until now. */
static void release_held(struct pool_iterator *iterator)
{
    struct pool__item **at = &iterator->held, *item;

    while ((item = *at) != NULL && !pthread_equal(item->holder, pthread_self()))
        at = &item->next;
    if (item == NULL)
        return;
    *at = item->next;
    pool__store_let_go(&iterator->store, item);
}

static bool has_ended(const struct pool_iterator *iterator)
{
    if (iterator->reading)
        return false;
    if (iterator->aborted != POOL_OK)
        return iterator->unfinished == 0 || !pool__job_is_there(&iterator->job);
    return iterator->source_ended && iterator->delivered == iterator->read;
}

/* Is there anything to do for a thread that waits in next()? */
static bool something_to_do(const void *context)
{
    struct pool_iterator *iterator = (struct pool_iterator *)(uintptr_t)context;

    return pool__iterator_ready(iterator) != NULL || has_ended(iterator) ||
           pool__iterator_wants_to_read(iterator, true);
}

/* No progress call follows the end. */
static enum pool_status tell_end(struct pool_iterator *iterator)
{
    if (iterator->aborted != POOL_OK)
        return pool__fail(iterator->aborted, "pool_iterator_next: the pool %s",
                          iterator->aborted == POOL_BROKEN ? "cannot keep workers alive" : "was terminated");
    pool__progress_end(&iterator->progress, iterator->source_code == 0 && !pool__in_callback(iterator->pool));
    if (iterator->source_code != 0)
        return pool__fail(POOL_FAILED, "pool_iterator_next: %s",
                          iterator->source_words != NULL ? iterator->source_words : "the source failed");
    return POOL_END;
}

static enum pool_status next(struct pool_iterator *iterator, uint64_t end, const struct pool_result **result)
{
    release_held(iterator);
    for (;;) {
        struct pool__item *item;

        /* a ready result comes before the source is asked again, unless workers would be idle (rule 35) */
        while (pool__iterator_feed(iterator, false))
            if (pool__iterator_reads_array(iterator) || pool__iterator_ready(iterator) != NULL)
                break;
        item = pool__iterator_ready(iterator);
        if (item != NULL) {
            deliver(iterator, item, result);
            return POOL_OK;
        }
        if (has_ended(iterator))
            return tell_end(iterator);
        if (pool__iterator_feed(iterator, true))
            continue;
        if (!pool__wait(iterator->pool, iterator, something_to_do, iterator, end))
            return pool__fail(POOL_TIMEOUT, "pool_iterator_next: no result in time");
    }
}

static struct pool *pool_of(const struct pool_iterator *iterator)
{
    return iterator != NULL ? iterator->pool : NULL;
}

/* The program's generator must not read what it feeds. */
static enum pool_status check_reader(const struct pool_iterator *iterator, const char *call)
{
    if (!iterator->reading || !pthread_equal(iterator->reading_thread, pthread_self()))
        return POOL_OK;
    errno = EINVAL;
    return pool__fail(POOL_INVALID, "%s: called from the iterator's own source", call);
}

/*
 * Most often a result is here, and nothing else is to be done: no code of the program's is called, no descriptor is
 * touched and nothing can block, so that much of what calls begin and end with is not needed.
 */
static bool next_at_once(struct pool_iterator *iterator, const struct pool_result **result)
{
    struct pool *pool = iterator->pool;
    struct pool__item *item;

    pool__lock(pool);
    item = pool__iterator_ready(iterator);
    if (item == NULL || iterator->reading || pool__iterator_wants_to_read(iterator, false) ||
        atomic_load_explicit(&pool->stop_asked, memory_order_relaxed)) {
        pool__unlock(pool);
        return false;
    }
    release_held(iterator);
    deliver(iterator, item, result);
    pool__unlock(pool);
    return true;
}

enum pool_status pool_iterator_next(struct pool_iterator *iterator, int timeout_ms, const struct pool_result **result)
{
    const struct pool_result *unused;
    enum pool_status status;

    if (iterator != NULL && pool__is_wait(timeout_ms) && pool__is_here(iterator->pool) &&
        !pool__in_callback(iterator->pool) && next_at_once(iterator, result != NULL ? result : &unused))
        return POOL_OK;
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

    status = pool__enter(pool_of(iterator), "pool_iterator_cancel", "iterator");
    if (status != POOL_OK)
        return status;
    pool__iterator_end_source(iterator);
    pool__scheduler_withdraw(&iterator->pool->scheduler, &iterator->job, POOL_CANCELLED, true);
    if (kill)
        pool__deadline_kill_job(&iterator->pool->scheduler, &iterator->job, pool__now());
    pool__notify(iterator->pool, iterator);
    pool__settle(iterator->pool);
    pool__leave(iterator->pool);
    return POOL_OK;
}

static bool nobody_reads(const void *iterator)
{
    return !((const struct pool_iterator *)iterator)->reading;
}

static bool nothing_runs(const void *iterator)
{
    return ((const struct pool_iterator *)iterator)->unfinished == 0;
}

/* What reads the program's own memory in the arena must have come to its end first (rule 16). */
static void end_what_is_there(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;

    if (!pool__job_is_there(&iterator->job) || iterator->unfinished == 0)
        return;
    pool__deadline_kill_job(&pool->scheduler, &iterator->job, pool__now());
    pool__settle(pool);
    pool__wait(pool, iterator, nothing_runs, iterator, POOL__NEVER);
}

static void free_entered(struct pool_iterator *iterator)
{
    struct pool *pool = iterator->pool;
    struct pool__item *held;

    pool__iterator_end_source(iterator);
    /* the generator is not called after the free has returned */
    pool__wait(pool, iterator, nobody_reads, iterator, POOL__NEVER);
    iterator->kept++; /* stays while progress and engine let go */
    pool__progress_end(&iterator->progress, false);
    iterator->freed = true;
    pool__scheduler_withdraw(&pool->scheduler, &iterator->job, POOL_CANCELLED, true);
    end_what_is_there(iterator);
    pool__release_job(pool, &iterator->job);
    pool__store_let_done_go(&iterator->store); /* what runs goes with its outcome */
    while ((held = iterator->held) != NULL) {
        iterator->held = held->next;
        pool__store_let_go(&iterator->store, held);
    }
    iterator->kept--;
    pool__iterator_bury_if_over(iterator);
    pool__settle(pool);
}

void pool_iterator_free(struct pool_iterator *iterator)
{
    int kept = errno;

    if (iterator != NULL && pool__is_here(iterator->pool) &&
        pool__enter(iterator->pool, "pool_iterator_free", "iterator") == POOL_OK) {
        struct pool *pool = iterator->pool;

        pool__hold(pool);
        if (check_reader(iterator, "pool_iterator_free") == POOL_OK)
            free_entered(iterator);
        pool__leave(pool);
        pool__let_go(pool);
    }
    errno = kept;
}
