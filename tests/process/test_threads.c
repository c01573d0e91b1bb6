/*
 * Many threads, one pool: any call at the same time as any other. Threads assert nothing; they count what was not as it should be.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <sys/resource.h>

enum { THREADS = 8, ROUNDS = 40 };

struct helper {
    struct pool          *pool;
    struct pool_future   *future;
    struct pool_iterator *iterator;
    pthread_barrier_t    *barrier;
    pthread_t             thread;
    unsigned              number; /* 0, 1, ... */
    int                   wrong;
    int                   count;
    enum pool_status      status;
};

static void start(struct helper *helpers, void *(*work)(void *), const struct helper *model)
{
    for (unsigned i = 0; i < THREADS; i++) {
        helpers[i] = *model;
        helpers[i].number = i;
        assert_int_equal(pthread_create(&helpers[i].thread, NULL, work, &helpers[i]), 0);
    }
}

/* Returns the sum of their counts. */
static int finish(struct helper *helpers)
{
    int count = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(helpers[i].thread, NULL);
        assert_int_equal(helpers[i].wrong, 0);
        count += helpers[i].count;
    }
    return count;
}

static void use_apply(struct helper *helper, long value)
{
    long square = -1;

    helper->wrong +=
        pool_apply(helper->pool, task_square, &value, sizeof value, &square, sizeof square, NULL) != POOL_OK;
    helper->wrong += square != value * value;
}

static void use_futures(struct helper *helper, long value)
{
    struct pool_future *futures[4];
    long square = -1;
    size_t which = 99;

    for (long i = 0; i < 4; i++) {
        long argument = value + i;
        futures[i] = pool_apply_async(helper->pool, task_square, &argument, sizeof argument, NULL);
    }
    pool_future_cancel(futures[3], false); /* in time or not */
    helper->wrong += pool_wait_any(futures, 4, POOL_FOREVER, &which) != POOL_OK || which > 3;
    for (long i = 0; i < 3; i++) {
        helper->wrong += pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square) != POOL_OK;
        helper->wrong += square != (value + i) * (value + i);
    }
    helper->wrong += pool_wait_all(futures, 4, POOL_FOREVER) != POOL_OK;
    for (int i = 0; i < 4; i++)
        pool_future_free(futures[i]);
    struct pool_future *unheard = pool_apply_async(helper->pool, task_square, &value, sizeof value, NULL);
    pool_future_free(unheard);
}

static void use_map(struct helper *helper, long value)
{
    long items[30], squares[30];
    struct pool_job job = {.chunk = (size_t)value % 8};

    for (long i = 0; i < 30; i++)
        items[i] = value + i;
    helper->wrong +=
        pool_map(helper->pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job) != POOL_OK;
    for (long i = 0; i < 30; i++)
        helper->wrong += squares[i] != items[i] * items[i];
    struct pool_future *future =
        pool_map_async(helper->pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job);
    if (value % 2)
        pool_future_cancel(future, false);
    pool_future_free(future); /* from here on the arrays are this thread's own again */
    memset(items, 0, sizeof items);
    memset(squares, 0, sizeof squares);
}

static void use_imap(struct helper *helper, long value)
{
    long items[30];
    const struct pool_result *result;

    for (long i = 0; i < 30; i++)
        items[i] = value + i;
    struct pool_iterator *iterator = pool_imap(helper->pool, task_square, POOL_ARRAY(items), NULL);
    for (long i = 0; i < (value % 2 ? 30 : 7); i++) {
        long square = -1;
        helper->wrong += pool_iterator_next(iterator, POOL_FOREVER, &result) != POOL_OK;
        if (result && result->size == sizeof square)
            memcpy(&square, result->data, sizeof square);
        helper->wrong += square != items[i] * items[i];
    }
    pool_iterator_free(iterator);
}

static void *do_everything(void *argument)
{
    struct helper *helper = argument;
    struct pool_stats stats;
    pid_t pids[8];

    for (long round = 0; round < ROUNDS; round++) {
        long value = round * THREADS + helper->number;
        use_apply(helper, value);
        use_futures(helper, value);
        use_map(helper, value);
        use_imap(helper, value);
        helper->wrong += pool_get_stats(helper->pool, &stats) != POOL_OK;
        pool_worker_pids(helper->pool, pids, 8);
        if (helper->number == 0)
            helper->wrong += pool_resize(helper->pool, 1 + (unsigned)round % 4) != POOL_OK;
        if (helper->number == 1 && round % 10 == 0)
            helper->wrong += pool_apply(helper->pool, task_killed, NULL, 0, NULL, 0, NULL) != POOL_CRASHED;
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    struct helper helpers[THREADS];
    struct helper model = {.pool = made(pool_create(3, NULL))};

    (void)state;
    start(helpers, do_everything, &model);
    finish(helpers);
    assert_status(pool_close(model.pool), POOL_OK);
    assert_status(pool_join(model.pool, POOL_FOREVER), POOL_OK);
    pool_destroy(model.pool);
}

/* ---- one object, many threads */

static void *wait_for_it(void *argument)
{
    struct helper *helper = argument;
    const struct pool_result *result;
    long value = 0;

    switch (helper->number % 4) {
    case 0:
        helper->wrong += pool_future_wait(helper->future, POOL_FOREVER) != POOL_OK;
        break;
    case 1:
        helper->wrong +=
            pool_future_get(helper->future, POOL_FOREVER, &result) != POOL_OK || result->size != sizeof value;
        break;
    case 2:
        helper->wrong += pool_future_read(helper->future, POOL_FOREVER, &value, sizeof value) != POOL_OK || value != 77;
        break;
    default:
        while (pool_future_wait(helper->future, 1) == POOL_TIMEOUT)
            ;
    }
    helper->wrong += !pool_future_ready(helper->future) || !pool_future_successful(helper->future);
    return NULL;
}

static void all_wait_for_one_future(void **state)
{
    struct helper helpers[THREADS];

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct helper model = {
            .pool = made(pool_create(1, &(struct pool_options){.flags = round % 2 ? POOL_NO_THREAD : 0}))};
        gate_shut(&ground->gate[0]);
        model.future = start_gated(model.pool, 0, 77, NULL);
        start(helpers, wait_for_it, &model);
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        gate_open(&ground->gate[0]);
        finish(helpers);
        pool_future_free(model.future);
        pool_destroy(model.pool);
    }
}

enum { PULLED = 2000 };

static void *pull(void *argument)
{
    struct helper *helper = argument;
    const struct pool_result *result;
    enum pool_status status;

    while ((status = pool_iterator_next(helper->iterator, helper->number % 2 ? 1 : POOL_FOREVER, &result)) !=
           POOL_END) {
        if (status == POOL_TIMEOUT)
            continue;
        helper->count++;
        helper->wrong += status != POOL_OK || result->status != POOL_OK || result->index >= PULLED;
        atomic_fetch_add(&ground->started[PULLED + result->index], 1); /* here: how often it was handed out */
    }
    return NULL;
}

static void all_pull_from_one_iterator(void **state)
{
    struct helper helpers[THREADS];
    struct pool *pool = made(pool_create(3, NULL));

    (void)state;
    for (int round = 0; round < 4; round++) {
        struct pool_job job = {.chunk = round < 2 ? 0 : 5};
        struct pool_source items = pool_items(NULL, PULLED, 0);
        struct helper model = {.pool = pool};
        ground_make();
        model.iterator = made(round % 2 ? pool_imap(pool, task_index, items, &job)
                                        : pool_imap_unordered(pool, task_index, items, &job));
        start(helpers, pull, &model);
        assert_int_equal(finish(helpers), PULLED);
        for (int i = 0; i < PULLED; i++) {
            assert_int_equal(atomic_load(&ground->started[i]), 1);
            assert_int_equal(atomic_load(&ground->started[PULLED + i]), 1);
        }
        pool_iterator_free(model.iterator);
    }
    pool_destroy(pool);
}

static void *wait_and_be_cancelled(void *argument)
{
    struct helper *helper = argument;

    atomic_fetch_add(&ground->count[0], 1);
    helper->status = pool_future_wait(helper->future, POOL_FOREVER);
    helper->count = 1; /* it came back: only now may it be cancelled */
    for (;;)
        pause_briefly();
    return NULL;
}

/* A thread that is cancelled while it waits in a call leaves that call first, with everything in order. */
static void cancelled_while_waiting(void **state)
{
    struct helper helpers[THREADS];
    struct helper model = {.status = POOL_INVALID};

    (void)state;
    if (UNDER_ADDRESS_SANITIZER)
        skip(); /* it takes the stack of a cancelled thread, as unwound, for a damaged one */
    model.pool = made(pool_create(2, NULL));
    model.future = start_gated(model.pool, 0, 77, NULL);
    start(helpers, wait_and_be_cancelled, &model);
    assert_true(counter_wait(&ground->count[0], THREADS));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_cancel(helpers[i].thread), 0);
    assert_status(pool_apply(model.pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    gate_open(&ground->gate[0]);
    for (int i = 0; i < THREADS; i++) {
        void *end;
        pthread_join(helpers[i].thread, &end);
        assert_ptr_equal(end, PTHREAD_CANCELED);
        assert_true(helpers[i].count == 0 || helpers[i].status == POOL_OK);
    }
    assert_status(pool_apply(model.pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_future_free(model.future);
    pool_destroy(model.pool);
}

/* ---- endings under way */

/* Submits until it is told that there is no more; counts what was accepted and ended well. */
static void *submit_until_closed(void *argument)
{
    struct helper *helper = argument;
    enum pool_status status = POOL_OK;

    pthread_barrier_wait(helper->barrier);
    for (long i = 0; status == POOL_OK; i++) {
        if (i % 2) {
            status = pool_apply(helper->pool, task_square, &i, sizeof i, NULL, 0, NULL);
            helper->count += status == POOL_OK;
        } else {
            struct pool_future *future = pool_apply_async(helper->pool, task_square, &i, sizeof i, NULL);
            if (!future) {
                helper->wrong += errno != EPIPE;
                status = POOL_CLOSED;
                break;
            }
            status = pool_future_wait(future, POOL_FOREVER);
            if (status == POOL_OK && pool_future_successful(future))
                helper->count++;
            else if (helper->status == POOL_CLOSED) /* what was accepted before a close is finished */
                helper->wrong++;
            pool_future_free(future);
        }
    }
    helper->wrong += status != POOL_CLOSED && status != helper->status;
    return NULL;
}

static void check_ending(enum pool_status (*end)(struct pool *), enum pool_status told)
{
    struct helper helpers[THREADS];
    struct pool_stats stats;
    pthread_barrier_t barrier;
    struct helper model = {.pool = made(pool_create(2, NULL)), .barrier = &barrier, .status = told};

    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
    start(helpers, submit_until_closed, &model);
    pthread_barrier_wait(&barrier);
    do
        assert_status(pool_get_stats(model.pool, &stats), POOL_OK);
    while (stats.finished < 50);
    assert_status(end(model.pool), POOL_OK);
    assert_status(pool_join(model.pool, POOL_FOREVER), POOL_OK);
    int count = finish(helpers);
    assert_status(pool_get_stats(model.pool, &stats), POOL_OK);
    if (told == POOL_CLOSED)
        assert_int_equal(stats.finished, count);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.running, 0);
    pool_destroy(model.pool);
    pthread_barrier_destroy(&barrier);
}

static enum pool_status stop(struct pool *pool)
{
    pool_stop(pool);
    return POOL_OK;
}

static void closed_while_all_submit(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++)
        check_ending(pool_close, POOL_CLOSED);
}

static void terminated_while_all_submit(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++)
        check_ending(pool_terminate, POOL_TERMINATED);
}

static void stopped_while_all_submit(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++)
        check_ending(stop, POOL_CANCELLED);
}

static void *end_it(void *argument)
{
    struct helper *helper = argument;

    pthread_barrier_wait(helper->barrier);
    if (helper->number % 3 == 0)
        helper->wrong += pool_close(helper->pool) != POOL_OK;
    else if (helper->number % 3 == 1)
        helper->wrong += pool_terminate(helper->pool) != POOL_OK;
    else
        pool_stop(helper->pool);
    helper->wrong += pool_join(helper->pool, POOL_FOREVER) != POOL_OK;
    return NULL;
}

/* All end it at once, each in its own way; all waits end. */
static void ended_by_all(void **state)
{
    struct helper helpers[THREADS];
    pthread_barrier_t barrier;

    (void)state;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int round = 0; round < 20; round++) {
        struct helper model = {.pool = made(pool_create(2, NULL)), .barrier = &barrier};
        struct pool_future *futures[20];
        for (long i = 0; i < 20; i++)
            futures[i] = made(pool_apply_async(model.pool, task_square, &i, sizeof i, NULL));
        start(helpers, end_it, &model);
        for (int i = 0; i < 20; i++) {
            assert_status(pool_future_wait(futures[i], POOL_FOREVER), POOL_OK);
            pool_future_free(futures[i]);
        }
        finish(helpers);
        pool_destroy(model.pool);
    }
    pthread_barrier_destroy(&barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(everything_at_once),
        PROCESS_TEST(all_wait_for_one_future),
        PROCESS_TEST(all_pull_from_one_iterator),
        PROCESS_TEST(cancelled_while_waiting),
        PROCESS_TEST(closed_while_all_submit),
        PROCESS_TEST(terminated_while_all_submit),
        PROCESS_TEST(stopped_while_all_submit),
        PROCESS_TEST(ended_by_all),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
