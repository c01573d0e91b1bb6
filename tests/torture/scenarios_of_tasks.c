/* scenarios_of_tasks - single tasks: applies, futures, callbacks, cancelling, packing, sizes. */
#define _GNU_SOURCE
#include "scenario.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOME = 6, LARGE = 1 << 20 };

static struct pool_future *start_square(struct pool *pool, long value, const struct pool_job *job)
{
    return pool_apply_async(pool, square, &value, sizeof value, job);
}

static const char *apply(void)
{
    BEGIN(pool, 1, NULL);
    PASS_ON(apply_squares(pool, 1));
    return finish(pool);
}

static const char *apply_often(void)
{
    BEGIN(pool, 2, NULL);
    PASS_ON(apply_squares(pool, 10));
    return finish(pool);
}

/* A task that says no, with words. */
static const char *apply_failing(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_job job = {0};
    const struct pool_result *result;
    long items[] = {0, 1, 2, 3};
    struct pool_iterator *iterator = pool_imap(pool, fails_at_3, POOL_ARRAY(items), &job);

    if (!iterator)
        PASS_ON(check_errno("pool_imap"));
    while (iterator && pool_iterator_next(iterator, wait_limit(), &result) == POOL_OK) {
        bool third = result->index == 3 && result->status == POOL_FAILED;
        NEED(third || may_be(result->status), "item %zu: %s", result->index, pool_status_name(result->status));
        NEED(!third || is_faulty() || strstr(result->message, "three is wrong"), "words: %s", result->message);
    }
    pool_iterator_free(iterator);
    return finish(pool);
}

static const char *async(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_future *future = start_square(pool, 7, NULL);

    PASS_ON(check_square(future, 7));
    pool_future_free(future);
    return finish(pool);
}

static const char *async_many(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_future *futures[SOME];

    for (long i = 0; i < SOME; i++)
        futures[i] = start_square(pool, i, NULL);
    NEED(pool_wait_all(futures, SOME, wait_limit()) == POOL_OK, "pool_wait_all");
    for (long i = 0; i < SOME; i++) {
        if (futures[i])
            PASS_ON(check_square(futures[i], i));
        pool_future_free(futures[i]);
    }
    return finish(pool);
}

static const char *wait_any(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_future *futures[SOME];
    enum pool_status status;
    size_t which;

    for (long i = 0; i < SOME; i++)
        futures[i] = start_square(pool, i, NULL);
    while ((status = pool_wait_any(futures, SOME, wait_limit(), &which)) == POOL_OK) {
        PASS_ON(check_square(futures[which], (long)which));
        pool_future_free(futures[which]);
        futures[which] = NULL;
    }
    NEED(status == POOL_END, "pool_wait_any: %s", pool_status_name(status));
    return finish(pool);
}

static const char *freed_early(void)
{
    BEGIN(pool, 2, NULL);
    for (long i = 0; i < SOME; i++)
        pool_future_free(start_square(pool, i, NULL));
    return finish(pool);
}

/* ---- callbacks */

static atomic_int calls_made;

static void count_call(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
    atomic_fetch_add(&calls_made, 1);
}

static const char *callbacks(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_job job = {.callback = count_call};
    int expected = 0;

    for (long i = 0; i < SOME; i++) {
        struct pool_future *future = start_square(pool, i, &job);
        if (!future)
            PASS_ON(check_errno("pool_apply_async"));
        expected += future != NULL;
        pool_future_free(future);
    }
    PASS_ON(finish(pool));
    NEED(atomic_load(&calls_made) == expected, "%d calls of %d", atomic_load(&calls_made), expected);
    return NULL;
}

static struct pool_future *from_callback;

static void submit_another(void *user, const struct pool_result *result)
{
    (void)result;
    from_callback = start_square(user, 5, NULL);
}

static const char *callback_submits(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_job job = {.callback = submit_another, .user = pool};
    struct pool_future *future = start_square(pool, 4, &job);

    PASS_ON(check_square(future, 4));
    pool_future_free(future);
    PASS_ON(finish(pool)); /* the callback has returned then */
    if (from_callback) {
        PASS_ON(check_square(from_callback, 5));
        pool_future_free(from_callback);
    }
    return NULL;
}

static void destroy_it(void *user, const struct pool_result *result)
{
    (void)result;
    pool_destroy(user);
    atomic_store(&calls_made, 1);
}

static const char *destroyed_in_callback(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_job job = {.callback = destroy_it, .user = pool};
    struct pool_future *future = start_square(pool, 4, &job);

    if (!future) {
        PASS_ON(check_errno("pool_apply_async"));
        pool_destroy(pool);
        return NULL;
    }
    PASS_ON(check_square(future, 4));
    pool_future_free(future);
    while (!atomic_load(&calls_made))
        sched_yield();
    return NULL;
}

/* ---- cancelling */

static const char *cancelled(void)
{
    BEGIN(pool, 1, NULL);
    const struct pool_result *result;
    struct pool_future *runs = pool_apply_async(pool, waits_for_cancel, NULL, 0, NULL);
    struct pool_future *waits = start_square(pool, 3, NULL);

    while (runs && !atomic_load(&plan->gates[0]) && pool_future_wait(runs, 1) == POOL_TIMEOUT)
        continue;
    if (waits) {
        enum pool_status told = pool_future_cancel(waits, false);
        enum pool_status status = pool_future_get(waits, wait_limit(), &result);
        NEED(told == POOL_OK ? status == POOL_CANCELLED : may_be(status), "cancel: %s, but %s", pool_status_name(told),
             pool_status_name(status));
    }
    if (runs) {
        pool_future_cancel(runs, false);
        enum pool_status status = pool_future_get(runs, wait_limit(), &result);
        NEED(status == POOL_CANCELLED || may_be(status), "what ran: %s", pool_status_name(status));
    }
    pool_future_free(waits);
    pool_future_free(runs);
    return finish(pool);
}

/* ---- killing: by a deadline, by a cancel; and running again */

/* As the pool ends it, or as a fault does: without a word from the zygote it is POOL_CRASHED, as documented. */
static const char *ends_by_kill(struct pool_future *future, enum pool_status expected)
{
    const struct pool_result *result;

    if (!future)
        return check_errno("pool_apply_async");
    enum pool_status status = pool_future_get(future, wait_limit(), &result);
    NEED(status == expected || (is_faulty() && (status == POOL_CRASHED || (may_be(status) && status != POOL_OK))),
         "what is to be %s: %s", pool_status_name(expected), pool_status_name(status));
    pool_future_free(future);
    return NULL;
}

static const char *expired(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_job job = {.deadline_ms = 5};

    PASS_ON(ends_by_kill(pool_apply_async(pool, waits_for_cancel, NULL, 0, &job), POOL_EXPIRED));
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

static const char *cancelled_by_kill(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_future *runs = pool_apply_async(pool, waits_for_cancel, NULL, 0, NULL);

    while (runs && !atomic_load(&plan->gates[0]) && pool_future_wait(runs, 1) == POOL_TIMEOUT)
        continue;
    enum pool_status told = runs ? pool_future_cancel(runs, true) : POOL_OK;
    if (told != POOL_OK && !is_faulty()) {
        const struct pool_result *result;
        enum pool_status status = pool_future_get(runs, 0, &result);
        return wrong("pool_future_cancel: %s, of one that ended %s: %.150s", pool_status_name(told),
                     pool_status_name(status), result ? result->message : "");
    }
    PASS_ON(ends_by_kill(runs, POOL_CANCELLED));
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

static const char *retried(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_job job = {.retries = 2};
    long value = 9;
    struct pool_future *future = pool_apply_async(pool, killed_once, &value, sizeof value, &job);

    PASS_ON(check_square(future, 9));
    pool_future_free(future);
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

/* ---- sizes */

static const char *large(void)
{
    BEGIN(pool, 1, NULL);
    static unsigned char sent[LARGE], back[LARGE];

    memset(sent, 0x5a, sizeof sent);
    sent[LARGE - 1] = 1;
    enum pool_status status = pool_apply(pool, echo, sent, sizeof sent, back, sizeof back, NULL);
    NEED(may_be(status) || (is_faulty() && status == POOL_FAILED), "a large apply: %s", pool_status_name(status));
    NEED(status != POOL_OK || memcmp(sent, back, sizeof sent) == 0, "a large apply: other bytes came back");
    return finish(pool);
}

static const char *large_async(void)
{
    BEGIN(pool, 2, NULL);
    static unsigned char sent[LARGE];
    const struct pool_result *result;
    struct pool_future *futures[3];

    memset(sent, 0xa5, sizeof sent);
    for (int i = 0; i < 3; i++) {
        futures[i] = pool_apply_async(pool, echo, sent, sizeof sent, NULL);
        if (!futures[i])
            PASS_ON(check_errno("pool_apply_async"));
    }
    for (int i = 0; i < 3; i++) {
        if (!futures[i])
            continue;
        enum pool_status status = pool_future_get(futures[i], wait_limit(), &result);
        NEED(may_be(status) || (is_faulty() && status == POOL_FAILED), "a large one: %s", pool_status_name(status));
        NEED(status != POOL_OK || (result->size == LARGE && memcmp(sent, result->data, LARGE) == 0),
             "a large one: other bytes came back");
        pool_future_free(futures[i]);
    }
    return finish(pool);
}

static int sum_packed(struct pool_task *task)
{
    struct pool_reader reader = pool_unpack(task->arg, task->size);
    struct pool_buffer buffer = {0};
    int64_t number = pool_get_int(&reader);
    const char *text = pool_get_string(&reader);

    pool_put_int(&buffer, number + (int64_t)strlen(text));
    return pool_return_buffer(task, &buffer);
}

static const char *packed(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_buffer buffer = {0};
    const struct pool_result *result;
    struct pool_future *future = NULL;

    pool_put_int(&buffer, 40);
    pool_put_string(&buffer, "ab");
    NEED(!buffer.failed || is_faulty(), "packing");
    if (!buffer.failed)
        future = pool_apply_async(pool, sum_packed, buffer.data, buffer.size, NULL);
    pool_buffer_free(&buffer);
    if (future) {
        enum pool_status status = pool_future_get(future, wait_limit(), &result);
        NEED(may_be(status) || (is_faulty() && status == POOL_FAILED), "packed: %s", pool_status_name(status));
        if (status == POOL_OK) {
            struct pool_reader reader = pool_unpack(result->data, result->size);
            NEED(pool_get_int(&reader) == 42, "packed: another sum");
        }
        pool_future_free(future);
    }
    return finish(pool);
}

/* ---- how many may wait */

static const char *queue_limit(void)
{
    struct pool_options options = {.queue_limit = 1};
    BEGIN(pool, 1, &options);
    struct pool_job job = {.try_submit = true};

    for (long i = 0; i < SOME; i++)
        pool_future_free(start_square(pool, i, NULL));
    for (long i = 0; i < SOME; i++) {
        struct pool_future *future = start_square(pool, i, &job);
        NEED(future || errno == EAGAIN || may_be_errno(), "try_submit: NULL");
        pool_future_free(future);
    }
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

static void *apply_in_thread(void *pool)
{
    return (void *)(uintptr_t)apply_squares(pool, 4);
}

static const char *threads(void)
{
    BEGIN(pool, 2, NULL);
    pthread_t thread;
    void *found = NULL;

    calls_disarm(); /* this thread is not the library's */
    int code = pthread_create(&thread, NULL, apply_in_thread, pool);
    calls_arm();
    const char *here = apply_squares(pool, 4);
    if (code == 0)
        pthread_join(thread, &found);
    PASS_ON(here);
    PASS_ON(found);
    return finish(pool);
}

/* ---- without a thread */

static const char *no_thread(void)
{
    struct pool_options options = {.flags = POOL_NO_THREAD};
    BEGIN(pool, 2, &options);
    struct pool_job job = {.callback = count_call};
    struct pool_future *futures[SOME];
    int expected = 0;

    for (long i = 0; i < SOME; i++) {
        futures[i] = start_square(pool, i, &job);
        expected += futures[i] != NULL;
    }
    while (atomic_load(&calls_made) < expected) {
        struct pollfd fd = {pool_fd(pool), POLLIN, 0};
        int ms = pool_next_timeout(pool);
        calls_disarm();
        poll(&fd, 1, fd.fd < 0 ? 1 : ms);
        calls_arm();
        enum pool_status status = pool_dispatch(pool);
        PASS_ON(check_status("pool_dispatch", status));
    }
    for (long i = 0; i < SOME; i++) {
        if (futures[i])
            PASS_ON(check_square(futures[i], i));
        pool_future_free(futures[i]);
    }
    return finish(pool);
}

static const char *no_thread_waits(void)
{
    struct pool_options options = {.flags = POOL_NO_THREAD};
    BEGIN(pool, 2, &options);
    PASS_ON(apply_squares(pool, 2));
    PASS_ON(map_squares(pool, NULL));
    return finish(pool);
}

static const char *futures_outlive(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_future *first = start_square(pool, 2, NULL), *second = start_square(pool, 3, NULL);
    const struct pool_result *result;

    if (first)
        PASS_ON(check_square(first, 2));
    pool_destroy(pool);
    if (second) {
        enum pool_status status = pool_future_get(second, 0, &result);
        NEED(status == POOL_TERMINATED || may_be(status), "after destroy: %s", pool_status_name(status));
    }
    pool_future_free(second);
    pool_future_free(first);
    return NULL;
}

const struct scenario scenarios_of_tasks[] = {
    {"apply", apply},
    {"apply_often", apply_often},
    {"apply_failing", apply_failing},
    {"async", async},
    {"async_many", async_many},
    {"wait_any", wait_any},
    {"freed_early", freed_early},
    {"callbacks", callbacks},
    {"callback_submits", callback_submits},
    {"destroyed_in_callback", destroyed_in_callback},
    {"cancelled", cancelled},
    {"expired", expired},
    {"cancelled_by_kill", cancelled_by_kill},
    {"retried", retried},
    {"large", large},
    {"large_async", large_async},
    {"packed", packed},
    {"queue_limit", queue_limit},
    {"threads", threads},
    {"no_thread", no_thread},
    {"no_thread_waits", no_thread_waits},
    {"futures_outlive", futures_outlive},
    {NULL, NULL},
};
