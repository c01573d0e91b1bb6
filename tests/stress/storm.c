/*
 * A random worker is killed every few milliseconds while thousands of items run. Each item has exactly one outcome and was started at most
 * once; no more items crash than workers were killed; results are right; and when the storm is over the pool works as before.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/scale.h"
#include "../support/storm.h"

#include <signal.h>

static void check_map(struct storm storm, size_t count, size_t chunk, const struct pool_options *options)
{
    size_t *places = places_of(count);
    uint64_t *answers = made(calloc(count, sizeof *answers));
    enum pool_status *statuses = made(calloc(count, sizeof *statuses));
    struct pool_job job = {.chunk = chunk, .keep_going = true, .statuses = statuses};
    struct tally tally = {0};

    storm.pool = made(pool_create(STORM_WORKERS, options));
    storm_begin(&storm);
    enum pool_status status = pool_map(storm.pool, task_does_its_deed, pool_items(places, count, sizeof *places),
                                       answers, sizeof *answers, &job);
    storm_end(&storm);
    assert_true(status == POOL_OK || status == POOL_CRASHED);
    for (size_t i = 0; i < count; i++)
        judge(&tally, i, statuses[i], &answers[i]);
    check_tally(&storm, &tally, count);
    check_calm(storm.pool);
    pool_destroy(storm.pool);
    free(places);
    free(answers);
    free(statuses);
}

static void over_a_map(void **state)
{
    static const size_t chunks[] = {0, 1, 64};

    (void)state;
    for (int i = 0; i < 3; i++)
        check_map((struct storm){.pause_us = 5000}, scaled(150000), chunks[i], NULL);
}

static void over_a_map_every_millisecond(void **state)
{
    (void)state;
    check_map((struct storm){.pause_us = 1000}, scaled(60000), 0, NULL);
    check_map((struct storm){.pause_us = 1000}, scaled(60000), 64, NULL);
}

static void all_workers_at_once(void **state)
{
    (void)state;
    check_map((struct storm){.pause_us = 30000, .all = true}, scaled(80000), 0, NULL);
    check_map((struct storm){.pause_us = 30000, .all = true}, scaled(80000), 1000, NULL);
}

static void while_workers_are_recycled(void **state)
{
    (void)state;
    check_map((struct storm){.pause_us = 5000}, scaled(20000), 0, &(struct pool_options){.tasks_per_worker = 20});
    check_map((struct storm){.pause_us = 5000}, scaled(8000), 50, &(struct pool_options){.tasks_per_worker = 7});
}

static void without_threads(void **state)
{
    (void)state;
    check_map((struct storm){.pause_us = 5000}, scaled(100000), 0, &(struct pool_options){.flags = POOL_NO_THREAD});
}

static void check_imap(bool ordered, size_t chunk)
{
    size_t count = scaled(60000);
    size_t *places = places_of(count);
    bool *seen = made(calloc(count, sizeof *seen));
    struct pool_job job = {.chunk = chunk, .window = 500};
    struct tally tally = {0};
    struct storm storm = {.pause_us = 5000, .pool = made(pool_create(STORM_WORKERS, NULL))};
    struct pool_source items = pool_items(places, count, sizeof *places);
    const struct pool_result *result;
    enum pool_status status;

    storm_begin(&storm);
    struct pool_iterator *iterator =
        made((ordered ? pool_imap : pool_imap_unordered)(storm.pool, task_does_its_deed, items, &job));
    for (size_t n = 0; (status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK; n++) {
        uint64_t answer = 0;
        if (ordered)
            assert_int_equal(result->index, n);
        assert_true(result->index < count);
        assert_false(seen[result->index]);
        seen[result->index] = true;
        if (result->status == POOL_OK) {
            assert_int_equal(result->size, sizeof answer);
            memcpy(&answer, result->data, sizeof answer);
        } else {
            assert_int_equal(result->code, SIGKILL);
        }
        judge(&tally, result->index, result->status, &answer);
    }
    storm_end(&storm);
    assert_status(status, POOL_END);
    check_tally(&storm, &tally, count);
    pool_iterator_free(iterator);
    check_calm(storm.pool);
    pool_destroy(storm.pool);
    free(places);
    free(seen);
}

static void over_an_imap(void **state)
{
    (void)state;
    check_imap(true, 0);
    check_imap(true, 16);
    check_imap(false, 0);
    check_imap(false, 16);
}

static void over_single_tasks(void **state)
{
    enum { AHEAD = 300 };
    size_t count = scaled(60000);
    struct pool_future *futures[AHEAD] = {NULL};
    struct tally tally = {0};
    struct storm storm = {.pause_us = 5000};

    (void)state;
    deeds_clear(count); /* the workers must have it in their memory */
    storm.pool = made(pool_create(STORM_WORKERS, NULL));
    storm_begin(&storm);
    for (size_t i = 0; i < count + AHEAD; i++) {
        struct pool_future **future = &futures[i % AHEAD];
        if (*future) {
            const struct pool_result *result;
            uint64_t answer = 0;
            enum pool_status status = pool_future_get(*future, POOL_FOREVER, &result);
            if (status == POOL_OK)
                memcpy(&answer, result->data, sizeof answer);
            judge(&tally, i - AHEAD, status, &answer);
            pool_future_free(*future);
            *future = NULL;
        }
        if (i < count)
            *future = made(pool_apply_async(storm.pool, task_does_its_deed, &i, sizeof i, NULL));
    }
    storm_end(&storm);
    check_tally(&storm, &tally, count);
    check_calm(storm.pool);
    pool_destroy(storm.pool);
}

/* Results much larger than any staging: the worker is often killed while it writes one. */
static int task_returns_much(struct pool_task *task)
{
    size_t place, size;

    memcpy(&place, task->arg, sizeof place);
    atomic_fetch_add(&deeds[place].starts, 1);
    size = 8 * (1 + answer_of(place) % 40000);
    uint64_t *words = pool_return_space(task, size);
    for (size_t i = 0; words && i < size / 8; i++)
        words[i] = answer_of(place + i);
    atomic_fetch_add(&deeds[place].ends, 1);
    return words ? 0 : 1;
}

static void over_large_results(void **state)
{
    size_t count = scaled(8000);
    size_t *places = places_of(count);
    struct storm storm = {.pause_us = 5000, .pool = made(pool_create(STORM_WORKERS, NULL))};
    struct pool_job job = {.chunk = 4, .window = 40};
    const struct pool_result *result;
    size_t crashed = 0, index = 0;

    (void)state;
    storm_begin(&storm);
    struct pool_iterator *iterator =
        made(pool_imap(storm.pool, task_returns_much, pool_items(places, count, sizeof *places), &job));
    for (; pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK; index++) {
        assert_in_range(atomic_load(&deeds[index].starts), 0, 1);
        if (result->status == POOL_CRASHED) {
            crashed++;
            continue;
        }
        assert_status(result->status, POOL_OK);
        assert_int_equal(result->size, 8 * (1 + answer_of(index) % 40000));
        for (size_t i = 0; i < result->size / 8; i++) {
            uint64_t word;
            memcpy(&word, (const char *)result->data + 8 * i, sizeof word);
            if (word != answer_of(index + i))
                fail_msg("word %zu of item %zu is wrong", i, index);
        }
    }
    storm_end(&storm);
    print_message("    %zu items, %u kills: %zu crashed\n", count, storm.kills, crashed);
    assert_int_equal(index, count);
    assert_true(crashed <= storm.kills);
    pool_iterator_free(iterator);
    check_calm(storm.pool);
    pool_destroy(storm.pool);
    free(places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(over_a_map),
        PROCESS_TEST(over_a_map_every_millisecond),
        PROCESS_TEST(all_workers_at_once),
        PROCESS_TEST(while_workers_are_recycled),
        PROCESS_TEST(without_threads),
        PROCESS_TEST(over_an_imap),
        PROCESS_TEST(over_single_tasks),
        PROCESS_TEST(over_large_results),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
