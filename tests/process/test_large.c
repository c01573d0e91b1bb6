/*
 * Arguments and results from nothing to 64 MiB, many at once and both ways at once: the bytes arrive, and nobody waits for ever on a full pipe.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <signal.h>
#include <sys/resource.h>

#define MEBIBYTE ((size_t)1 << 20)

/* Bytes that depend on their place and a seed, so that a piece put in the wrong place shows. Eight at a time. */
static uint64_t next_word(uint64_t word)
{
    return word * 6364136223846793005u + 1442695040888963407u;
}

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    uint64_t word = next_word(seed);

    for (; size >= sizeof word; size -= sizeof word, bytes += sizeof word, word = next_word(word))
        memcpy(bytes, &word, sizeof word);
    memcpy(bytes, &word, size);
}

static bool is_filled(const unsigned char *bytes, size_t size, unsigned seed)
{
    uint64_t word = next_word(seed);

    for (; size >= sizeof word; size -= sizeof word, bytes += sizeof word, word = next_word(word))
        if (memcmp(bytes, &word, sizeof word) != 0)
            return false;
    return memcmp(bytes, &word, size) == 0;
}

static unsigned char *filled(size_t size, unsigned seed)
{
    unsigned char *bytes = made(malloc(size + 1));

    fill(bytes, size, seed);
    return bytes;
}

/* The argument must be filled with the seed that its index is, the result is filled with seed + 1000. */
static int task_fills(struct pool_task *task)
{
    if (!is_filled(task->arg, task->size, (unsigned)task->index))
        return pool_fail(task, 1, "the argument has other bytes");
    unsigned char *space = pool_return_space(task, task->size);
    if (!space)
        return pool_fail(task, 2, "no memory");
    fill(space, task->size, (unsigned)task->index + 1000);
    return 0;
}

static void check_round_trip(struct pool *pool, size_t size)
{
    unsigned char *argument = filled(size, 0), *result = made(malloc(size + 1));

    result[size] = 0x5a;
    assert_status(pool_apply(pool, task_fills, argument, size, result, size, NULL), POOL_OK);
    assert_true(is_filled(result, size, 1000));
    assert_int_equal(result[size], 0x5a);
    free(argument);
    free(result);
}

static void sizes_around_every_buffer(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (size_t size = 0; size < 70; size++)
        check_round_trip(pool, size);
    for (size_t power = 256; power <= 4 * MEBIBYTE; power *= 2)
        for (size_t size = power - 33; size <= power + 33; size += 11)
            check_round_trip(pool, size);
    pool_destroy(pool);
}

static void sixty_four_mebibytes(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    check_round_trip(pool, 64 * MEBIBYTE);
    check_round_trip(pool, 64 * MEBIBYTE + 1);
    check_round_trip(pool, 3);
    pool_destroy(pool);
}

static int task_produces(struct pool_task *task)
{
    size_t size;

    memcpy(&size, task->arg, sizeof size);
    unsigned char *space = pool_return_space(task, size);
    if (!space && size > 0)
        return pool_fail(task, 2, "no memory");
    fill(space, size, 5);
    return 0;
}

static int task_consumes(struct pool_task *task)
{
    return is_filled(task->arg, task->size, 6) ? pool_return(task, &task->size, sizeof task->size)
                                               : pool_fail(task, 1, "other bytes");
}

/* One way large, the other small. */
static void one_way(void **state)
{
    const size_t size = 32 * MEBIBYTE;
    size_t consumed = 0;
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_produces, &size, sizeof size, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->size, size);
    assert_int_equal((uintptr_t)result->data % _Alignof(max_align_t), 0);
    assert_true(is_filled(result->data, size, 5));
    pool_future_free(future);
    unsigned char *argument = filled(size, 6);
    assert_status(pool_apply(pool, task_consumes, argument, size, &consumed, sizeof consumed, NULL), POOL_OK);
    assert_int_equal(consumed, size);
    free(argument);
    pool_destroy(pool);
}

/* An argument is copied before apply_async returns, however large. */
static void arguments_are_copied(void **state)
{
    enum { TASKS = 6 };
    const size_t size = 3 * MEBIBYTE;
    struct pool_future *futures[TASKS], *busy[2];
    unsigned char *argument = made(malloc(size));
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    occupy(pool, 0, busy, 2);
    for (int i = 0; i < TASKS; i++) {
        fill(argument, size, 6);
        futures[i] = made(pool_apply_async(pool, task_consumes, argument, size, NULL));
        memset(argument, 0, size);
    }
    free(argument);
    gate_open(&ground->gate[0]);
    for (int i = 0; i < TASKS; i++) {
        const struct pool_result *result;
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->arg_size, size);
        assert_true(is_filled(result->arg, size, 6));
        pool_future_free(futures[i]);
    }
    release(busy, 2);
    pool_destroy(pool);
}

/* All workers have a large argument to read and a large result to write, at the same time. */
static void both_ways_at_once(void **state)
{
    enum { ITEMS = 12 };
    const size_t size = 2 * MEBIBYTE;
    static const size_t chunks[] = {0, 1, 4, ITEMS};
    unsigned char *items = made(malloc(ITEMS * size)), *out = made(malloc(ITEMS * size));
    struct pool *pool = made(pool_create(4, NULL));

    (void)state;
    for (unsigned i = 0; i < ITEMS; i++)
        fill(items + i * size, size, i);
    for (size_t c = 0; c < 4; c++) {
        struct pool_job job = {.chunk = chunks[c]};
        memset(out, 0, ITEMS * size);
        assert_status(pool_map(pool, task_fills, pool_items(items, ITEMS, size), out, size, &job), POOL_OK);
        for (unsigned i = 0; i < ITEMS; i++)
            assert_true(is_filled(out + i * size, size, i + 1000));
    }
    pool_destroy(pool);
    free(items);
    free(out);
}

static void both_ways_by_futures(void **state)
{
    enum { TASKS = 8 };
    const size_t size = 5 * MEBIBYTE + 7;
    struct pool_future *futures[TASKS];
    unsigned char *argument = filled(size, 0);

    (void)state;
    for (int round = 0; round < 2; round++) {
        struct pool *pool = made(pool_create(4, &(struct pool_options){.flags = round ? POOL_NO_THREAD : 0}));
        for (int i = 0; i < TASKS; i++)
            futures[i] = made(pool_apply_async(pool, task_fills, argument, size, NULL));
        assert_status(pool_wait_all(futures, TASKS, POOL_FOREVER), POOL_OK);
        for (int i = 0; i < TASKS; i++) {
            const struct pool_result *result;
            assert_status(pool_future_get(futures[i], 0, &result), POOL_OK);
            assert_int_equal(result->size, size);
            assert_true(is_filled(result->data, size, 1000));
            pool_future_free(futures[i]);
        }
        pool_destroy(pool);
    }
    free(argument);
}

struct made_items {
    unsigned       next, count;
    size_t         size;
    unsigned char *bytes;
};

static int make_item(void *context, const void **item, size_t *size)
{
    struct made_items *items = context;

    if (items->next == items->count)
        return 0;
    *size = items->size - items->next; /* no two alike */
    fill(items->bytes, *size, items->next++);
    *item = items->bytes;
    return 1;
}

static void large_items_of_an_imap(void **state)
{
    struct made_items items = {.count = 30, .size = MEBIBYTE};
    const struct pool_result *result;
    struct pool *pool = made(pool_create(3, NULL));
    unsigned count = 0;

    (void)state;
    items.bytes = made(malloc(items.size));
    struct pool_iterator *iterator = made(pool_imap(pool, task_fills, pool_generate(make_item, &items), NULL));
    while (pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK) {
        assert_status(result->status, POOL_OK);
        assert_int_equal(result->index, count);
        assert_int_equal(result->size, items.size - count);
        assert_true(is_filled(result->data, result->size, count + 1000));
        assert_int_equal(result->arg_size, items.size - count);
        assert_true(is_filled(result->arg, result->arg_size, count));
        count++;
    }
    assert_int_equal(count, items.count);
    pool_iterator_free(iterator);
    pool_destroy(pool);
    free(items.bytes);
}

static int task_sums_shared(struct pool_task *task)
{
    if (task->shared_size != 16 * MEBIBYTE || !is_filled(task->shared, task->shared_size, 9))
        return pool_fail(task, 1, "another shared memory");
    return pool_return(task, &task->index, sizeof task->index);
}

static void large_shared(void **state)
{
    enum { ITEMS = 10 };
    const size_t size = 16 * MEBIBYTE;
    unsigned char *shared = filled(size, 9);
    size_t out[ITEMS];
    struct pool_job job = {.shared = shared, .shared_size = size, .chunk = 1};
    struct pool *pool = made(pool_create(3, NULL));

    (void)state;
    assert_status(pool_map(pool, task_sums_shared, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job), POOL_OK);
    struct pool_future *future = made(pool_apply_async(pool, task_sums_shared, NULL, 0, &job));
    free(shared); /* apply_async has copied it */
    assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
    pool_future_free(future);
    pool_destroy(pool);
}

static void message_and_nothing_else(void **state)
{
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_echo, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->size, 0);
    assert_int_equal(result->arg_size, 0);
    assert_string_equal(result->message, "");
    pool_future_free(future);
    assert_status(pool_apply(pool, task_echo, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

/* Workers die in the middle of large arguments and results: the others' bytes are right all the same. */
static void killed_in_the_middle(void **state)
{
    enum { TASKS = 8, WORKERS = 3 };
    const size_t size = 4 * MEBIBYTE;
    unsigned char *argument = filled(size, 0);
    struct pool *pool = made(pool_create(WORKERS, NULL));
    int crashed = 0, ok = 0;

    (void)state;
    for (int round = 0; round < 12; round++) {
        struct pool_future *futures[TASKS];
        pid_t pids[WORKERS] = {0};
        for (int i = 0; i < TASKS; i++)
            futures[i] = made(pool_apply_async(pool, task_fills, argument, size, NULL));
        pool_worker_pids(pool, pids, WORKERS);
        pool_future_wait(futures[0], round);
        if (pids[round % WORKERS] > 0)
            kill(pids[round % WORKERS], SIGKILL);
        for (int i = 0; i < TASKS; i++) {
            const struct pool_result *result;
            enum pool_status status = pool_future_get(futures[i], POOL_FOREVER, &result);
            if (status == POOL_OK) {
                assert_int_equal(result->size, size);
                assert_true(is_filled(result->data, size, 1000));
                ok++;
            } else {
                assert_status(status, POOL_CRASHED);
                crashed++;
            }
            pool_future_free(futures[i]);
        }
    }
    assert_true(crashed <= 12);
    assert_int_equal(ok + crashed, 12 * TASKS);
    pool_destroy(pool);
    free(argument);
}

/* A pool is terminated while megabytes are under way. */
static void terminated_in_the_middle(void **state)
{
    enum { TASKS = 6 };
    const size_t size = 4 * MEBIBYTE;
    unsigned char *argument = filled(size, 0);

    (void)state;
    for (int round = 0; round < 10; round++) {
        struct pool_future *futures[TASKS];
        struct pool *pool = made(pool_create(2, NULL));
        for (int i = 0; i < TASKS; i++)
            futures[i] = made(pool_apply_async(pool, task_fills, argument, size, NULL));
        pool_future_wait(futures[0], round);
        assert_status(pool_terminate(pool), POOL_OK);
        for (int i = 0; i < TASKS; i++) {
            enum pool_status status = pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL});
            assert_true(status == POOL_OK || status == POOL_TERMINATED);
        }
        pool_destroy(pool);
        for (int i = 0; i < TASKS; i++)
            pool_future_free(futures[i]);
    }
    free(argument);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(sizes_around_every_buffer),
        PROCESS_TEST(sixty_four_mebibytes),
        PROCESS_TEST(one_way),
        PROCESS_TEST(arguments_are_copied),
        PROCESS_TEST(both_ways_at_once),
        PROCESS_TEST(both_ways_by_futures),
        PROCESS_TEST(large_items_of_an_imap),
        PROCESS_TEST(large_shared),
        PROCESS_TEST(message_and_nothing_else),
        PROCESS_TEST(killed_in_the_middle),
        PROCESS_TEST(terminated_in_the_middle),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
