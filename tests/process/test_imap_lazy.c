/* The source of an imap: read lazily, on the right thread, endless, failing, slow; several threads that pull. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"
#include "../support/well.h"

#include <pthread.h>
#include <stdio.h>

typedef struct pool_iterator *imap_function(struct pool *, pool_function *, struct pool_source,
                                            const struct pool_job *);

static imap_function *const kinds[2] = {pool_imap, pool_imap_unordered};

static void close_and_join(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

static void never_further_ahead_than_the_window(void **state)
{
    (void)state;
    static const size_t windows[] = {1, 2, 3, 10, 64};
    static const size_t chunks[] = {0, 1, 50};
    struct pool *pool = made(pool_create(3, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t w = 0; w < 5; w++)
            for (size_t c = 0; c < 3; c++) {
                struct well well = well_new(300, 0);
                struct pool_job job = {.window = windows[w], .chunk = chunks[c]};
                struct pool_iterator *iterator = made(kinds[kind](pool, task_square, well_source(&well), &job));
                const struct pool_result *result;
                assert_true((size_t)atomic_load(&well.drawn) <= windows[w]);
                for (size_t taken = 1; taken <= 300; taken++) {
                    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                    assert_true((size_t)atomic_load(&well.drawn) <= taken + windows[w]);
                }
                assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
                pool_iterator_free(iterator);
                assert_false(well.other_thread);
                assert_int_equal(atomic_load(&well.twice), 0);
            }
    close_and_join(pool);
}

static void an_endless_source(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct well well = well_new(-1, 0);
        struct pool_iterator *iterator = made(kinds[kind](pool, task_square, well_source(&well), NULL));
        const struct pool_result *result;
        for (size_t i = 0; i < 2000; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            if (kind == 0)
                assert_int_equal(result->index, i);
        }
        assert_in_range(atomic_load(&well.drawn), 2000, 2000 + 8192); /* the widest window */
        pool_iterator_free(iterator);
        long drawn = atomic_load(&well.drawn);
        close_and_join(pool); /* they end although the source would not */
        assert_int_equal(atomic_load(&well.drawn), drawn);
        assert_false(well.other_thread);
    }
}

static void a_failing_source(void **state)
{
    (void)state;
    static const long counts[] = {0, 1, 50, 99};
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t c = 0; c < 4; c++) {
            struct well well = well_new(counts[c], -58);
            struct pool_iterator *iterator = made(kinds[kind](pool, task_square, well_source(&well), NULL));
            const struct pool_result *result;
            for (long i = 0; i < counts[c]; i++) { /* after the items before it */
                assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                assert_status(result->status, POOL_OK);
            }
            for (int again = 0; again < 3; again++) { /* told again by every later call */
                result = (const struct pool_result *)ground;
                assert_status(pool_iterator_next(iterator, again ? 0 : POOL_FOREVER, &result), POOL_FAILED);
                assert_null(result);
                assert_error_has("-58");
            }
            pool_iterator_free(iterator);
        }
    close_and_join(pool);
}

/* The time in the source is not covered by the wait's timeout: a wait of 1 ms makes progress, item by item. */
static void a_slow_source_and_short_waits(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct well well = well_new(6, 0);
    well.slow_ms = 30;
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, well_source(&well), NULL));
    const struct pool_result *result;
    int items = 0;
    for (enum pool_status status; (status = pool_iterator_next(iterator, 1, &result)) != POOL_END;) {
        items += status == POOL_OK;
        assert_true(status == POOL_OK || status == POOL_TIMEOUT);
    }
    assert_int_equal(items, 6);
    pool_iterator_free(iterator);
    close_and_join(pool);
}

struct puller {
    struct pool_iterator *iterator;
    size_t taken, wrong;
    bool   backwards;
    enum pool_status last;
    unsigned char *seen;
};

static void *pull(void *argument)
{
    struct puller *puller = argument;
    const struct pool_result *result;
    size_t last = 0;
    while ((puller->last = pool_iterator_next(puller->iterator, POOL_FOREVER, &result)) == POOL_OK) {
        long value, square;
        memcpy(&value, result->arg, sizeof value);
        memcpy(&square, result->data, sizeof square);
        puller->wrong += square != value * value || (size_t)value != result->index;
        puller->backwards = puller->backwards || (puller->taken > 0 && result->index <= last);
        last = result->index;
        puller->seen[result->index]++;
        puller->taken++;
    }
    return NULL;
}

static void several_threads_pull_from_one(void **state)
{
    (void)state;
    enum { THREADS = 3, ITEMS = 6000 };
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct well well = well_new(ITEMS, 0);
        struct pool_iterator *iterator = made(kinds[kind](pool, task_square, well_source(&well), NULL));
        pthread_t threads[THREADS];
        struct puller pullers[THREADS];
        size_t taken = 0;
        for (int i = 0; i < THREADS; i++) {
            pullers[i] = (struct puller){.iterator = iterator, .seen = made(calloc(ITEMS, 1))};
            assert_int_equal(pthread_create(&threads[i], NULL, pull, &pullers[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_status(pullers[i].last, POOL_END);
            assert_int_equal(pullers[i].wrong, 0);
            assert_false(kind == 0 && pullers[i].backwards); /* each thread's share is in order too */
            taken += pullers[i].taken;
        }
        assert_int_equal(taken, ITEMS);
        for (size_t item = 0; item < ITEMS; item++)
            assert_int_equal(pullers[0].seen[item] + pullers[1].seen[item] + pullers[2].seen[item], 1);
        assert_int_equal(atomic_load(&well.twice), 0); /* never two calls of the source at a time */
        for (int i = 0; i < THREADS; i++)
            free(pullers[i].seen);
        pool_iterator_free(iterator);
        close_and_join(pool);
    }
}

/* *result is good until this thread's next call, whatever the other threads do. */
static void *pull_and_look_again(void *argument)
{
    struct puller *puller = argument;
    const struct pool_result *result;
    while ((puller->last = pool_iterator_next(puller->iterator, POOL_FOREVER, &result)) == POOL_OK) {
        for (int i = 0; i < 20; i++) {
            long value, square;
            memcpy(&value, result->arg, sizeof value);
            memcpy(&square, result->data, sizeof square);
            puller->wrong += square != value * value;
            for (volatile int spin = 0; spin < 200; spin++)
                ;
        }
        puller->taken++;
    }
    return NULL;
}

static void a_result_is_its_threads_own(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct well well = well_new(2000, 0);
    struct pool_iterator *iterator = made(pool_imap_unordered(pool, task_square, well_source(&well), NULL));
    pthread_t threads[2];
    struct puller pullers[2];
    for (int i = 0; i < 2; i++) {
        pullers[i] = (struct puller){.iterator = iterator};
        assert_int_equal(pthread_create(&threads[i], NULL, pull_and_look_again, &pullers[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(pullers[i].wrong, 0);
    }
    assert_int_equal(pullers[0].taken + pullers[1].taken, 2000);
    pool_iterator_free(iterator);
    close_and_join(pool);
}

/* The iterator's lock is not held while the source runs: it may use the pool, but not its own iterator. */
struct recursive {
    struct pool *pool;
    struct pool_iterator *iterator;
    enum pool_status nested, own;
    long place;
    int  left;
};

static int draw_with_the_pool(void *context, const void **item, size_t *size)
{
    struct recursive *recursive = context;
    long value = 3, square = 0;
    const struct pool_result *result;
    if (recursive->left-- == 0)
        return 0;
    enum pool_status status =
        pool_apply(recursive->pool, task_square, &value, sizeof value, &square, sizeof square, NULL);
    if (status != POOL_OK)
        recursive->nested = status;
    if (recursive->iterator)
        recursive->own = pool_iterator_next(recursive->iterator, 0, &result);
    recursive->place = square;
    *item = &recursive->place;
    *size = sizeof recursive->place;
    return 1;
}

static void a_source_may_use_the_pool(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct recursive recursive = {.pool = pool, .left = 200, .own = POOL_INVALID};
    struct pool_job job = {.window = 3};
    recursive.iterator = made(pool_imap(pool, task_square, pool_generate(draw_with_the_pool, &recursive), &job));
    const struct pool_result *result;
    for (int i = 0; i < 200; i++) {
        assert_status(pool_iterator_next(recursive.iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(*(const long *)result->data, 81);
    }
    assert_status(pool_iterator_next(recursive.iterator, POOL_FOREVER, &result), POOL_END);
    assert_status(recursive.nested, POOL_OK);
    assert_status(recursive.own, POOL_INVALID);
    pool_iterator_free(recursive.iterator);
    close_and_join(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(never_further_ahead_than_the_window),
        PROCESS_TEST(an_endless_source),
        PROCESS_TEST(a_failing_source),
        PROCESS_TEST(a_slow_source_and_short_waits),
        PROCESS_TEST(several_threads_pull_from_one),
        PROCESS_TEST(a_result_is_its_threads_own),
        PROCESS_TEST(a_source_may_use_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
