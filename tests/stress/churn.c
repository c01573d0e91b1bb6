/*
 * Pools made, used and destroyed thousands of times, in every way and at every moment: nothing is left behind, every waiter wakes, and every
 * object has its outcome.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/scale.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { ITEMS = 20 };

static size_t resident_pages(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages;
}

static void use_briefly(struct pool *pool)
{
    long items[ITEMS], squares[ITEMS];

    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL), POOL_OK);
    for (long i = 0; i < ITEMS; i++)
        assert_int_equal(squares[i], i * i);
}

/* One life of a pool; `way` chooses among its courses and ends. */
static void live_once(unsigned way)
{
    struct pool_options options = {.flags = way % 2 ? POOL_NO_THREAD : 0, .tasks_per_worker = way % 3 == 0 ? 4 : 0};
    struct pool *pool = made(pool_create(1 + way % 4, &options));

    if (way % 5 != 0)
        use_briefly(pool);
    if (way % 7 == 0)
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    switch (way % 6) {
    case 0:
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        break;
    case 1:
        assert_status(pool_terminate(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        break;
    case 2:
        assert_status(pool_terminate(pool), POOL_OK);
        break;
    case 3:
        pool_stop(pool);
        break;
    case 4:
        assert_status(pool_close(pool), POOL_OK);
        break;
    default:
        break;
    }
    pool_destroy(pool);
}

static void lives(void **state)
{
    size_t rounds = scaled(2000), pages = 0;
    int descriptors = audit_descriptors(), threads = audit_threads();

    (void)state;
    stress_begin();
    for (size_t round = 0; round < rounds; round++) {
        live_once((unsigned)round);
        assert_int_equal(audit_descriptors(), descriptors);
        if (round == rounds / 2)
            pages = resident_pages();
    }
    assert_true(audit_wait_alone(2000));
    assert_true(audit_threads() <= threads + 1); /* one that has just been joined may still be listed */
    size_t more = resident_pages() - pages;
    print_message("    %zu pools, %ld pages more in the second half\n", rounds, (long)more);
    if (!UNDER_ADDRESS_SANITIZER && !UNDER_THREAD_SANITIZER)
        assert_true((long)more < 64 + (long)rounds / 100);
}

/* ---- destroyed while threads wait */

struct waiter {
    struct pool_future   *future;
    struct pool_iterator *iterator;
    int                   wrong;
    pthread_t             thread;
};

/* Waits for one thing after the other; each must have an outcome. */
static void *wait_for_all(void *argument)
{
    struct waiter *waiter = argument;
    const struct pool_result *result;
    enum pool_status status;

    if (waiter->future) {
        status = pool_future_get(waiter->future, POOL_FOREVER, &result);
        waiter->wrong += status != POOL_OK && status != POOL_TERMINATED;
        waiter->wrong += !result || result->status != status;
        waiter->wrong += !pool_future_ready(waiter->future);
    }
    if (waiter->iterator) {
        while ((status = pool_iterator_next(waiter->iterator, POOL_FOREVER, &result)) == POOL_OK)
            waiter->wrong += result->status != POOL_OK && result->status != POOL_TERMINATED;
        waiter->wrong += status != POOL_END && status != POOL_TERMINATED;
        waiter->wrong += pool_iterator_next(waiter->iterator, POOL_FOREVER, &result) != status;
    }
    return NULL;
}

static int task_takes_a_while(struct pool_task *task)
{
    volatile unsigned sink = 0;

    for (unsigned i = 0; i < 20000; i++)
        sink += i;
    (void)sink;
    return pool_return(task, &task->index, sizeof task->index);
}

/* Some of everything is under way when the pool is destroyed; objects are freed before and after, by whoever has them. */
static void destroy_once(struct dice *dice)
{
    enum { WAITERS = 6 };
    struct waiter waiters[WAITERS] = {{.future = NULL}};
    static size_t out[WAITERS][ITEMS];
    struct pool_options options = {.flags = dice_throw(dice, 2) ? POOL_NO_THREAD : 0};
    struct pool *pool = made(pool_create(2, &options));
    struct pool_source items = pool_items(NULL, ITEMS, 0);

    for (int i = 0; i < WAITERS; i++) {
        if (i % 3 == 0)
            waiters[i].future = made(pool_apply_async(pool, task_takes_a_while, NULL, 0, NULL));
        else if (i % 3 == 1)
            waiters[i].future = made(pool_map_async(pool, task_takes_a_while, items, out[i], sizeof out[i][0], NULL));
        else
            waiters[i].iterator = made(pool_imap(pool, task_takes_a_while, items, NULL));
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_all, &waiters[i]), 0);
    }
    for (uint32_t spins = dice_throw(dice, 100000); spins > 0; spins--)
        atomic_load(&ground->count[0]);
    pool_destroy(pool);
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].wrong, 0);
        pool_future_free(waiters[i].future);
        pool_iterator_free(waiters[i].iterator);
    }
}

static void destroyed_at_any_instant(void **state)
{
    struct dice dice = {.state = 4};
    size_t rounds = scaled(700);

    (void)state;
    stress_begin();
    for (size_t round = 0; round < rounds; round++)
        destroy_once(&dice);
}

struct destroyer {
    struct pool *pool;
    uint32_t     spins;
};

static void *destroy_later(void *argument)
{
    struct destroyer *destroyer = argument;

    for (uint32_t spins = destroyer->spins; spins > 0; spins--)
        atomic_load(&ground->count[0]);
    pool_destroy(destroyer->pool);
    return NULL;
}

/* The other way round: another thread destroys the pool while this one is in a call that blocks. */
static void destroyed_during_a_call(void **state)
{
    struct dice dice = {.state = 5};
    size_t rounds = scaled(300);

    (void)state;
    stress_begin();
    for (size_t round = 0; round < rounds; round++) {
        struct destroyer destroyer = {.pool = made(pool_create(2, NULL)), .spins = dice_throw(&dice, 60000)};
        struct pool_future *future =
            made(pool_map_async(destroyer.pool, task_takes_a_while, pool_items(NULL, 200, 0), NULL, 0, NULL));
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, destroy_later, &destroyer), 0);
        assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        enum pool_status status = pool_future_get(future, 0, &(const struct pool_result *){NULL});
        assert_true(status == POOL_OK || status == POOL_TERMINATED);
        pool_future_free(future);
        pthread_join(thread, NULL);
    }
}

/* Futures and iterators freed before, during and after, in any order. */
static void freed_in_any_order(void **state)
{
    enum { OBJECTS = 12 };
    struct dice dice = {.state = 6};
    size_t rounds = scaled(500);

    (void)state;
    stress_begin();
    for (size_t round = 0; round < rounds; round++) {
        struct pool_future *futures[OBJECTS];
        struct pool_iterator *iterators[OBJECTS];
        size_t out[ITEMS];
        struct pool *pool = made(pool_create(2, NULL));
        for (int i = 0; i < OBJECTS; i++) {
            futures[i] = made(i % 2 ? pool_apply_async(pool, task_index, NULL, 0, NULL)
                                    : pool_map_async(pool, task_index, pool_items(NULL, ITEMS, 0), i == 0 ? out : NULL,
                                                     i == 0 ? sizeof out[0] : 0, NULL));
            iterators[i] = made(pool_imap_unordered(pool, task_index, pool_items(NULL, ITEMS, 0), NULL));
        }
        for (int i = 0; i < 2 * OBJECTS; i++) {
            uint32_t at = dice_throw(&dice, OBJECTS);
            if (i % 2) {
                pool_future_free(futures[at]);
                futures[at] = NULL;
            } else {
                pool_iterator_free(iterators[at]);
                iterators[at] = NULL;
            }
        }
        pool_destroy(pool);
        for (int i = 0; i < OBJECTS; i++) {
            if (futures[i])
                assert_true(pool_future_ready(futures[i]));
            pool_future_free(futures[i]);
            pool_iterator_free(iterators[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(lives),
        PROCESS_TEST(destroyed_at_any_instant),
        PROCESS_TEST(destroyed_during_a_call),
        PROCESS_TEST(freed_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
