/* scenarios_of_jobs - many items: maps, imaps, their sources, progress, shared bytes. */
#define _GNU_SOURCE
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ITEMS = 12, LARGE_ITEM = 200000 };

static long items[ITEMS];

static struct pool_source numbers(void)
{
    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    return pool_items(items, ITEMS, sizeof items[0]);
}

/* ---- maps */

static const char *map(void)
{
    BEGIN(pool, 2, NULL);
    PASS_ON(map_squares(pool, NULL));
    PASS_ON(map_squares(pool, &(struct pool_job){.chunk = 5}));
    return finish(pool);
}

static int adds_shared(struct pool_task *task)
{
    long value = -1;

    if (task->shared_size < sizeof(long) || task->size != sizeof value)
        return pool_fail(task, 9, "%zu shared bytes", task->shared_size);
    memcpy(&value, task->arg, sizeof value);
    value += *(const long *)task->shared;
    return pool_return(task, &value, sizeof value);
}

static const char *map_adding(struct pool *pool, size_t shared_size)
{
    static long shared[LARGE_ITEM / sizeof(long)];
    long results[ITEMS];
    struct pool_job job = {.shared = shared, .shared_size = shared_size, .keep_going = true, .chunk = 2};

    shared[0] = 1000;
    enum pool_status status = pool_map(pool, adds_shared, numbers(), results, sizeof results[0], &job);
    PASS_ON(check_status("a map with shared bytes", status));
    for (long i = 0; status == POOL_OK && i < ITEMS; i++)
        NEED(results[i] == 1000 + i, "shared: %ld of %ld", results[i], i);
    return NULL;
}

static const char *map_shared(void)
{
    BEGIN(pool, 2, NULL);
    PASS_ON(map_adding(pool, sizeof(long)));
    PASS_ON(map_adding(pool, LARGE_ITEM));
    PASS_ON(apply_squares(pool, 1));
    return finish(pool);
}

static const char *apply_shared(void)
{
    BEGIN(pool, 1, NULL);
    long shared = 1000, value = 7;
    struct pool_job job = {.shared = &shared, .shared_size = sizeof shared};
    const struct pool_result *result;

    for (int i = 0; i < 3; i++) {
        struct pool_future *future = pool_apply_async(pool, adds_shared, &value, sizeof value, &job);
        if (!future) {
            PASS_ON(check_errno("pool_apply_async"));
            continue;
        }
        enum pool_status status = pool_future_get(future, wait_limit(), &result);
        PASS_ON(check_status("an apply with shared bytes", status));
        NEED(status != POOL_OK || *(const long *)result->data == 1007, "shared: another sum");
        pool_future_free(future);
    }
    return finish(pool);
}

static bool may_be_of_map(enum pool_status status)
{
    return status == POOL_FAILED || may_be(status);
}

/* Which items are left out depends on time; what is told is right. */
static const char *map_failing(void)
{
    BEGIN(pool, 2, NULL);
    long results[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.statuses = statuses, .chunk = 2};
    enum pool_status status = pool_map(pool, fails_at_3, numbers(), results, sizeof results[0], &job);

    NEED(may_be_of_map(status) && status != POOL_OK, "a failing map: %s", pool_status_name(status));
    for (long i = 0; status == POOL_FAILED && i < ITEMS; i++) {
        bool is_right = i == 3 ? statuses[i] == POOL_FAILED : statuses[i] == POOL_CANCELLED || may_be(statuses[i]);
        NEED(is_right, "item %ld of a failing map: %s", i, pool_status_name(statuses[i]));
        NEED(statuses[i] != POOL_OK || results[i] == i * i, "a failing map: %ld of %ld", results[i], i);
    }
    return finish(pool);
}

/* Its fourth item takes the worker with it. */
static const char *map_losing_workers(void)
{
    BEGIN(pool, 2, NULL);
    long results[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.statuses = statuses, .keep_going = true, .chunk = 4};
    enum pool_status status = pool_map(pool, gone_at_3, numbers(), results, sizeof results[0], &job);

    NEED(status == POOL_EXITED || (is_faulty() && may_be(status) && status != POOL_OK), "a map that loses a worker: %s",
         pool_status_name(status));
    for (long i = 0; status == POOL_EXITED && i < ITEMS; i++) {
        NEED(i == 3 ? statuses[i] != POOL_OK : may_be(statuses[i]), "item %ld: %s", i, pool_status_name(statuses[i]));
        NEED(statuses[i] != POOL_OK || results[i] == i * i, "a map that loses a worker: %ld of %ld", results[i], i);
    }
    return finish(pool);
}

static atomic_int progress_calls, progress_done, calls_made;

static void note_progress(void *user, size_t done, size_t total)
{
    (void)user;
    (void)total;
    atomic_store(&progress_done, (int)done);
    atomic_fetch_add(&progress_calls, 1);
}

static void count_call(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
    atomic_fetch_add(&calls_made, 1);
}

static const char *map_progress(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_job job = {.progress = note_progress};

    PASS_ON(map_squares(pool, &job));
    NEED(is_faulty() || atomic_load(&progress_done) == ITEMS, "progress came to %d", atomic_load(&progress_done));
    return finish(pool);
}

static const char *map_progress_bar(void)
{
    BEGIN(pool, 1, NULL);
    static char label[] = "torture";
    struct pool_job job = {.progress = pool_progress_bar, .progress_user = label};

    PASS_ON(map_squares(pool, &job));
    return finish(pool);
}

static const char *map_async(void)
{
    BEGIN(pool, 2, NULL);
    long results[ITEMS];
    const struct pool_result *result;
    struct pool_job job = {.progress = note_progress, .callback = count_call};
    struct pool_future *future = pool_map_async(pool, square, numbers(), results, sizeof results[0], &job);

    if (!future)
        PASS_ON(check_errno("pool_map_async"));
    if (future) {
        enum pool_status status = pool_future_get(future, wait_limit(), &result);
        PASS_ON(check_status("pool_map_async", status));
        for (long i = 0; status == POOL_OK && i < ITEMS; i++)
            NEED(results[i] == i * i, "pool_map_async: %ld of %ld", results[i], i);
    }
    PASS_ON(finish(pool));
    NEED(atomic_load(&calls_made) == (future != NULL), "%d calls", atomic_load(&calls_made));
    pool_future_free(future);
    return NULL;
}

static const char *map_async_freed(void)
{
    BEGIN(pool, 2, NULL);
    static long results[ITEMS];

    pool_future_free(pool_map_async(pool, square, numbers(), results, sizeof results[0], NULL));
    PASS_ON(apply_squares(pool, 1));
    return finish(pool);
}

/* Each item longer than a pipe holds, both ways. */
static const char *map_large(void)
{
    BEGIN(pool, 2, NULL);
    static unsigned char sent[3][LARGE_ITEM], back[3][LARGE_ITEM];

    for (int i = 0; i < 3; i++)
        memset(sent[i], 'a' + i, LARGE_ITEM);
    enum pool_status status = pool_map(pool, echo, POOL_ARRAY(sent), back, LARGE_ITEM, NULL);
    NEED(may_be_of_map(status) && (is_faulty() || status == POOL_OK), "a map of large items: %s",
         pool_status_name(status));
    NEED(status != POOL_OK || memcmp(sent, back, sizeof sent) == 0, "a map of large items: other bytes came back");
    return finish(pool);
}

/* ---- sources */

static int counter_next(void *context, const void **item, size_t *size)
{
    static long number;
    long *next = context;

    number = *next;
    if (number == ITEMS)
        return 0;
    ++*next;
    *item = &number;
    *size = sizeof number;
    return 1;
}

static bool is_end(enum pool_status status)
{
    return status == POOL_END || (is_faulty() && (status == POOL_FAILED || may_be(status)));
}

static const char *map_generator(void)
{
    BEGIN(pool, 2, NULL);
    long next = 0;
    enum pool_status status = pool_map(pool, square, pool_generate(counter_next, &next), NULL, 0, NULL);

    NEED(may_be(status) || (is_faulty() && is_end(status)), "a map over a generator: %s", pool_status_name(status));
    NEED(status != POOL_OK || next == ITEMS, "a map over a generator: only %ld items", next);
    return finish(pool);
}

/* Reads them all; each outcome is of its own item, once. */
static const char *read_all(struct pool_iterator *iterator, bool ordered)
{
    const struct pool_result *result;
    enum pool_status status;
    bool seen[ITEMS] = {false};
    size_t count = 0;

    if (!iterator)
        return check_errno("pool_imap");
    while ((status = pool_iterator_next(iterator, wait_limit(), &result)) == POOL_OK) {
        NEED(result->index < ITEMS && !seen[result->index], "item %zu comes twice", result->index);
        NEED(!ordered || result->index == count, "item %zu comes at place %zu", result->index, count);
        seen[result->index] = true;
        count++;
        PASS_ON(check_status("an item of an imap", result->status));
        if (result->status == POOL_OK)
            NEED(result->size == sizeof(long) && *(const long *)result->data == (long)(result->index * result->index),
                 "an imap: another result of item %zu", result->index);
    }
    NEED(is_end(status), "an imap's end: %s", pool_status_name(status));
    NEED(status != POOL_END || count == ITEMS, "an imap of %zu items", count);
    pool_iterator_free(iterator);
    return NULL;
}

static const char *imap(void)
{
    BEGIN(pool, 2, NULL);
    PASS_ON(read_all(pool_imap(pool, square, numbers(), NULL), true));
    return finish(pool);
}

static const char *imap_unordered(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_job job = {.window = 3, .progress = note_progress};

    PASS_ON(read_all(pool_imap_unordered(pool, square, numbers(), &job), false));
    return finish(pool);
}

static const char *imap_generator(void)
{
    BEGIN(pool, 2, NULL);
    long next = 0;

    PASS_ON(read_all(pool_imap(pool, square, pool_generate(counter_next, &next), NULL), true));
    return finish(pool);
}

static const char *imap_half_read(void)
{
    BEGIN(pool, 2, NULL);
    const struct pool_result *result;
    struct pool_iterator *iterator = pool_imap(pool, square, numbers(), &(struct pool_job){.window = 4});

    if (!iterator)
        PASS_ON(check_errno("pool_imap"));
    for (int i = 0; iterator && i < ITEMS / 2; i++) {
        enum pool_status status = pool_iterator_next(iterator, wait_limit(), &result);
        NEED(status == POOL_OK || (is_faulty() && is_end(status)), "half an imap: %s", pool_status_name(status));
    }
    pool_iterator_free(iterator);
    PASS_ON(apply_squares(pool, 1));
    return finish(pool);
}

static const char *imap_cancelled(void)
{
    BEGIN(pool, 1, NULL);
    const struct pool_result *result;
    struct pool_iterator *iterator = pool_imap(pool, square, numbers(), NULL);
    enum pool_status status;

    if (!iterator)
        PASS_ON(check_errno("pool_imap"));
    if (iterator) {
        status = pool_iterator_cancel(iterator, false);
        PASS_ON(check_status("pool_iterator_cancel", status));
        while ((status = pool_iterator_next(iterator, wait_limit(), &result)) == POOL_OK)
            NEED(result->status == POOL_CANCELLED || may_be(result->status), "an item of a cancelled imap: %s",
                 pool_status_name(result->status));
        NEED(is_end(status), "a cancelled imap's end: %s", pool_status_name(status));
    }
    pool_iterator_free(iterator);
    return finish(pool);
}

static const char *echo_strings(struct pool *pool, struct pool_source source, char *const *strings, size_t count)
{
    const struct pool_result *result;
    enum pool_status status;
    size_t place = 0;
    struct pool_iterator *iterator = pool_imap(pool, echo, source, NULL);

    if (!iterator)
        return check_errno("pool_imap");
    while ((status = pool_iterator_next(iterator, wait_limit(), &result)) == POOL_OK) {
        PASS_ON(check_status("a string", result->status));
        NEED(place < count && (result->status != POOL_OK || strcmp(result->data, strings[place]) == 0),
             "string %zu came back as another", place);
        place++;
    }
    NEED(is_end(status) && (status != POOL_END || place == count), "strings: %s", pool_status_name(status));
    pool_iterator_free(iterator);
    return NULL;
}

static char *const words[] = {"a", "list", "", "of words of lengths that differ", "x"};
enum { WORDS = sizeof words / sizeof words[0] };

/* The items of one message then have several lengths. */
static const char *strings(void)
{
    BEGIN(pool, 1, NULL);
    enum pool_status status = pool_map(pool, echo, pool_strings(words, WORDS), NULL, 0, &(struct pool_job){.chunk = 3});

    PASS_ON(check_status("a map of strings", status));
    PASS_ON(echo_strings(pool, pool_strings(words, WORDS), words, WORDS));
    return finish(pool);
}

static const char *lines(void)
{
    BEGIN(pool, 1, NULL);
    static char text[] = "a\nlist\n\nof words of lengths that differ\nx";
    FILE *file = fmemopen(text, sizeof text - 1, "r");

    if (file) {
        PASS_ON(echo_strings(pool, pool_lines(file), words, WORDS));
        fclose(file);
    }
    return finish(pool);
}

const struct scenario scenarios_of_jobs[] = {
    {"map", map},
    {"map_shared", map_shared},
    {"apply_shared", apply_shared},
    {"map_failing", map_failing},
    {"map_losing_workers", map_losing_workers},
    {"map_progress", map_progress},
    {"map_progress_bar", map_progress_bar},
    {"map_async", map_async},
    {"map_async_freed", map_async_freed},
    {"map_large", map_large},
    {"map_generator", map_generator},
    {"imap", imap},
    {"imap_unordered", imap_unordered},
    {"imap_generator", imap_generator},
    {"imap_half_read", imap_half_read},
    {"imap_cancelled", imap_cancelled},
    {"strings", strings},
    {"lines", lines},
    {NULL, NULL},
};
