/* How an iteration ends early: freed, closed, cancelled, terminated half-way. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/well.h"

typedef struct pool_iterator *imap_function(struct pool *, pool_function *, struct pool_source,
                                            const struct pool_job *);

static imap_function *const kinds[2] = {pool_imap, pool_imap_unordered};

static void close_and_join(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

/* Given up after any number of items, with the pool closed before or after, or only destroyed. */
static void given_up_half_way(void **state)
{
    (void)state;
    static const size_t reads[] = {0, 1, 2, 17, 100};
    for (int kind = 0; kind < 2; kind++)
        for (size_t r = 0; r < 5; r++)
            for (int end = 0; end < 3; end++) {
                struct pool *pool = made(pool_create(2, NULL));
                struct well well = well_new(100, 0);
                struct pool_iterator *iterator = made(kinds[kind](pool, task_square, well_source(&well), NULL));
                const struct pool_result *result;
                for (size_t i = 0; i < reads[r]; i++)
                    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                if (end == 0)
                    assert_status(pool_close(pool), POOL_OK);
                pool_iterator_free(iterator);
                if (end == 1)
                    assert_status(pool_close(pool), POOL_OK);
                if (end < 2)
                    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
                pool_destroy(pool);
                assert_false(well.other_thread);
            }
}

static void freed_while_items_run(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct gated orders[50];
    memset(orders, 0, sizeof orders);
    struct pool_iterator *iterator = made(pool_imap(pool, task_gated, POOL_ARRAY(orders), NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], 2));
    pool_iterator_free(iterator);
    memset(orders, 0xFF, sizeof orders); /* the caller's again */
    gate_open(&ground->gate[0]);
    close_and_join(pool);
    for (size_t i = 2; i < 50; i++)
        assert_int_equal(atomic_load(&ground->started[i]), 0); /* what had not started was cancelled */
}

/* Those submitted are finished, and join waits for who reads them. */
static void closed_half_way_it_is_read_to_its_end(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct well well = well_new(500, 0);
        struct pool_job job = {.window = 10};
        struct pool_iterator *iterator = made(kinds[kind](pool, task_square, well_source(&well), &job));
        const struct pool_result *result;
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, 0), POOL_TIMEOUT);
        assert_status(pool_join(pool, 50), POOL_TIMEOUT);
        for (size_t i = 1; i < 500; i++)
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK); /* read to its end, not yet freed */
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_END);
        pool_destroy(pool);
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_END);
        pool_iterator_free(iterator);
    }
}

/* A source that says that it has ended when all its results are here, and the workers are at rest. */
struct late {
    struct pool *pool;
    unsigned given;
};

static int give_five(void *context, const void **item, size_t *size)
{
    struct late *late = context;
    struct pool_stats stats = {0};

    *item = NULL;
    *size = 0;
    if (late->given++ < 5)
        return 1;
    for (int tries = 0; tries < 10000 && (stats.finished < 5 || stats.busy > 0); tries++) {
        pool_get_stats(late->pool, &stats);
        pause_briefly();
    }
    return 0;
}

static void closed_before_the_source_has_ended(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct late late = {.pool = pool};
        struct pool_job job = {.window = 10};
        const struct pool_result *result;
        struct pool_iterator *iterator = made(kinds[kind](pool, task_nothing, pool_generate(give_five, &late), &job));
        assert_status(pool_close(pool), POOL_OK);
        for (size_t i = 0; i < 5; i++)
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        pool_iterator_free(iterator);
        pool_destroy(pool);
    }
}

static void a_cancelled_iterator(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        ground_make();
        struct pool *pool = made(pool_create(1, NULL));
        struct gated orders[10];
        memset(orders, 0, sizeof orders);
        struct pool_job job = {.window = 10};
        struct pool_iterator *iterator = made(kinds[kind](pool, task_gated, POOL_ARRAY(orders), &job));
        const struct pool_result *result;
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        assert_status(pool_iterator_cancel(iterator, false), POOL_OK);
        gate_open(&ground->gate[0]);
        size_t ran = 0, cancelled = 0;
        enum pool_status status;
        while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
            if (kind == 0)
                assert_int_equal(result->index, ran + cancelled);
            if (result->index == 0)
                assert_status(result->status, POOL_OK); /* what runs, as it ends */
            else
                assert_status(result->status, POOL_CANCELLED);
            ran += result->status == POOL_OK;
            cancelled += result->status == POOL_CANCELLED;
        }
        assert_status(status, POOL_END);
        assert_int_equal(ran, 1);
        assert_true(ran + cancelled <= 10);
        for (size_t i = 1; i < 10; i++)
            assert_int_equal(atomic_load(&ground->started[i]), 0);
        assert_status(pool_close(pool), POOL_OK);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        pool_iterator_free(iterator);
        pool_destroy(pool);
    }
}

static void cancelled_the_source_is_read_no_more(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct well well = well_new(-1, 0);
    struct pool_iterator *iterator = made(pool_imap_unordered(pool, task_square, well_source(&well), NULL));
    const struct pool_result *result;
    for (int i = 0; i < 10; i++)
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
    assert_status(pool_iterator_cancel(iterator, false), POOL_OK);
    long drawn = atomic_load(&well.drawn);
    enum pool_status status;
    long came = 10;
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
        assert_true(result->status == POOL_OK || result->status == POOL_CANCELLED);
        came++;
    }
    assert_status(status, POOL_END);
    assert_int_equal(came, drawn); /* all that had been read came out */
    assert_int_equal(atomic_load(&well.drawn), drawn);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    close_and_join(pool);
}

/* Cancelled, and not read any further: close and join end all the same. */
static void cancelled_and_left_alone(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct well well = well_new(-1, 0);
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, well_source(&well), NULL));
    const struct pool_result *result;
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_iterator_cancel(iterator, false), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    pool_iterator_free(iterator);
}

static void terminated_half_way(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        ground_make();
        struct pool *pool = made(pool_create(2, NULL));
        struct gated orders[40];
        memset(orders, 0, sizeof orders);
        struct pool_iterator *iterator = made(kinds[kind](pool, task_gated, POOL_ARRAY(orders), NULL));
        const struct pool_result *result;
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
        assert_true(gate_wait_arrived(&ground->gate[0], 2));
        assert_status(pool_terminate(pool), POOL_OK);
        enum pool_status status;
        while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK)
            assert_status(result->status, POOL_TERMINATED);
        assert_status(status, POOL_TERMINATED);
        assert_null(result);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        pool_destroy(pool);
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_TERMINATED);
        pool_iterator_free(iterator);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(given_up_half_way),
        PROCESS_TEST(freed_while_items_run),
        PROCESS_TEST(closed_half_way_it_is_read_to_its_end),
        PROCESS_TEST(closed_before_the_source_has_ended),
        PROCESS_TEST(a_cancelled_iterator),
        PROCESS_TEST(cancelled_the_source_is_read_no_more),
        PROCESS_TEST(cancelled_and_left_alone),
        PROCESS_TEST(terminated_half_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
