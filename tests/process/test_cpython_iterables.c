/* What Python's own test suite asks of Pool.map, imap and imap_unordered over iterables, asked of procpool in C. */
#include "../support/audit.h"
#include "../support/tasks.h"

static struct pool *pool;

static int open_pool(void **state)
{
    int failed = audit_begin(state);
    pool = pool_create(4, NULL);
    return failed || !pool;
}

static int close_pool(void **state)
{
    pool_destroy(pool);
    pool = NULL;
    return audit_end(state);
}

#define POOL_TEST(function) {#function, function, open_pool, close_pool, #function}

static long numbers[1000];

static struct pool_source range(size_t count)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = (long)i;
    return pool_items(numbers, count, sizeof numbers[0]);
}

/* An empty iterable, and a chunksize all the same: get() comes back. */
static void map_chunksize(void **state)
{
    (void)state;
    struct pool_job job = {.chunk = 1};
    struct pool_future *future =
        made(pool_map_async(pool, task_square, pool_items(numbers, 0, sizeof(long)), NULL, 0, &job));
    assert_status(pool_future_wait(future, 5000), POOL_OK);
    pool_future_free(future);
}

/* An iterable that raises at item `when`. */
struct raising {
    int place, next, total, when;
};

static int next_or_raise(void *context, const void **item, size_t *size)
{
    struct raising *raising = context;
    if (raising->next == raising->when)
        return -1;
    if (raising->next == raising->total)
        return 0;
    raising->place = raising->next++;
    *item = &raising->place;
    *size = sizeof raising->place;
    return 1;
}

static struct pool_source raise_at(struct raising *raising, int total, int when)
{
    *raising = (struct raising){.total = total, .when = when};
    return pool_generate(next_or_raise, raising);
}

static int square_of_int(struct pool_task *task)
{
    int value;
    memcpy(&value, task->arg, sizeof value);
    value *= value;
    return pool_return(task, &value, sizeof value);
}

static void map_of_an_iterable_that_raises(void **state)
{
    (void)state;
    struct raising raising;
    struct pool_job job = {.chunk = 1};
    assert_status(pool_map(pool, square_of_int, raise_at(&raising, 1, 0), NULL, 0, NULL), POOL_FAILED);
    assert_status(pool_map(pool, square_of_int, raise_at(&raising, 10, 3), NULL, 0, &job), POOL_FAILED);
    job.chunk = 2;
    assert_status(pool_map(pool, square_of_int, raise_at(&raising, 10, 5), NULL, 0, &job), POOL_FAILED);
    long out[10];
    assert_status(pool_map(pool, task_square, range(10), out, sizeof out[0], NULL), POOL_OK); /* the pool is unharmed */
}

/* imap and imap_unordered of ints up to the given number; returns how the iteration ended, and how many came. */
static enum pool_status drain(struct pool_iterator *iterator, bool ordered, int *came)
{
    const struct pool_result *result;
    enum pool_status status;
    bool seen[1000] = {false};
    *came = 0;
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
        int square, value;
        memcpy(&square, result->data, sizeof square);
        memcpy(&value, result->arg, sizeof value);
        assert_int_equal(square, value * value);
        assert_false(seen[value]);
        seen[value] = true;
        if (ordered)
            assert_int_equal(value, *came);
        ++*came;
    }
    pool_iterator_free(iterator);
    return status;
}

static void imap(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 2, 53, 100};
    struct raising ten, thousand;
    int came;
    for (size_t c = 0; c < 5; c++) {
        struct pool_job job = {.chunk = chunks[c]};
        assert_status(drain(made(pool_imap(pool, square_of_int, raise_at(&ten, 10, -1), &job)), true, &came), POOL_END);
        assert_int_equal(came, 10);
        assert_status(drain(made(pool_imap(pool, square_of_int, raise_at(&thousand, 1000, -1), &job)), true, &came),
                      POOL_END);
        assert_int_equal(came, 1000);
    }
}

static void imap_unordered(void **state)
{
    (void)state;
    static const size_t chunks[] = {0, 1, 100};
    struct raising thousand;
    int came;
    for (size_t c = 0; c < 3; c++) {
        struct pool_job job = {.chunk = chunks[c]};
        assert_status(
            drain(made(pool_imap_unordered(pool, square_of_int, raise_at(&thousand, 1000, -1), &job)), false, &came),
            POOL_END);
        assert_int_equal(came, 1000);
    }
}

static void imap_of_an_iterable_that_raises(void **state)
{
    (void)state;
    static const int whens[] = {0, 1, 3, 9, 10};
    static const size_t chunks[] = {0, 1, 2, 4};
    struct raising raising;
    int came;
    for (size_t c = 0; c < 4; c++)
        for (size_t w = 0; w < 5; w++) {
            struct pool_job job = {.chunk = chunks[c]};
            assert_status(
                drain(made(pool_imap(pool, square_of_int, raise_at(&raising, 20, whens[w]), &job)), true, &came),
                POOL_FAILED);
            assert_int_equal(came, whens[w]);
            assert_status(drain(made(pool_imap_unordered(pool, square_of_int, raise_at(&raising, 20, whens[w]), &job)),
                                false, &came),
                          POOL_FAILED);
            assert_int_equal(came, whens[w]);
        }
}

static void empty_iterable(void **state)
{
    (void)state;
    struct pool *one = made(pool_create(1, NULL));
    struct raising none;
    const struct pool_result *result;
    assert_status(pool_map(one, task_square, range(0), NULL, 0, NULL), POOL_OK);
    struct pool_iterator *iterator = made(pool_imap(one, task_square, raise_at(&none, 0, -1), NULL));
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    iterator = made(pool_imap_unordered(one, task_square, range(0), NULL));
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    struct pool_future *future = made(pool_map_async(one, task_square, range(0), NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    pool_future_free(future);
    assert_status(pool_close(one), POOL_OK);
    assert_status(pool_join(one, POOL_FOREVER), POOL_OK);
    pool_destroy(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(map_chunksize),
        POOL_TEST(map_of_an_iterable_that_raises),
        POOL_TEST(imap),
        POOL_TEST(imap_unordered),
        POOL_TEST(imap_of_an_iterable_that_raises),
        POOL_TEST(empty_iterable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
