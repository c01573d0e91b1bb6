/*
 * The window of an imap: its places are used again and again, by items and results of every size, and what the program
 * holds of them stays what it was.
 */
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

/*
 * Items of 0 to 299 bytes, small ones more often, each filled by its number. A line of an even length comes back as it
 * is, one of an odd length twice; every hundredth fails with words of its own.
 */
enum { LONGEST = 300 };

static size_t size_of(size_t index)
{
    return index % 7 == 0 ? index * 13 % LONGEST : index % 40;
}

static unsigned char byte_of(size_t index, size_t at)
{
    return (unsigned char)(index * 31 + at * 7 + 1);
}

struct mixture {
    size_t count, drawn;
    unsigned char bytes[LONGEST];
};

static int draw_mixture(void *context, const void **item, size_t *size)
{
    struct mixture *mixture = context;
    if (mixture->drawn == mixture->count)
        return 0;
    *size = size_of(mixture->drawn);
    memset(mixture->bytes, 0xEE, sizeof mixture->bytes); /* what was given before is not the library's any more */
    for (size_t i = 0; i < *size; i++)
        mixture->bytes[i] = byte_of(mixture->drawn, i);
    mixture->drawn++;
    *item = mixture->bytes;
    return 1;
}

static int task_mixture(struct pool_task *task)
{
    size_t times = 1 + task->size % 2;
    if (task->index % 100 == 99)
        return pool_fail(task, 1 + (int)task->index, "number %zu will not", task->index);
    unsigned char *room = pool_return_space(task, times * task->size);
    for (size_t i = 0; room != NULL && i < times && task->size > 0; i++)
        memcpy(room + i * task->size, task->arg, task->size);
    return 0;
}

/* Is it whole, argument, result and words? Not by assertions: other threads ask too. */
static bool is_right(const struct pool_result *result)
{
    size_t index = result->index, size = size_of(index), times = 1 + size % 2;
    char words[40];
    bool right = result->arg_size == size;
    for (size_t i = 0; right && i < size; i++)
        right = ((const unsigned char *)result->arg)[i] == byte_of(index, i);
    if (index % 100 == 99) {
        snprintf(words, sizeof words, "number %zu will not", index);
        return right && result->status == POOL_FAILED && result->code == 1 + (int)index && result->size == 0 &&
               strstr(result->message, words) != NULL;
    }
    right = right && result->status == POOL_OK && result->size == times * size && result->message[0] == '\0' &&
            result->worker > 0 && result->attempts == 1 && (uintptr_t)result->data % _Alignof(max_align_t) == 0;
    for (size_t i = 0; right && i < result->size; i++)
        right = ((const unsigned char *)result->data)[i] == byte_of(index, i % size);
    return right;
}

static void places_are_used_again(void **state)
{
    (void)state;
    static const size_t windows[] = {0, 1, 2, 3, 7, 64, 1000};
    enum { ITEMS = 3000 };
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
            struct mixture mixture = {.count = ITEMS};
            struct pool_job job = {.window = windows[w]};
            struct pool_iterator *iterator =
                made(kinds[kind](pool, task_mixture, pool_generate(draw_mixture, &mixture), &job));
            bool *seen = made(calloc(ITEMS, sizeof *seen));
            const struct pool_result *result;
            for (size_t i = 0; i < ITEMS; i++) {
                assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                assert_true(result->index < ITEMS && !seen[result->index]);
                assert_true(kind == 1 || result->index == i);
                assert_true(is_right(result));
                seen[result->index] = true;
            }
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
            free(seen);
            pool_iterator_free(iterator);
        }
    close_and_join(pool);
}

/* Many of one size, one after the other: results that come in rows, those that have room with their item and others. */
struct row_order {
    size_t size;
};

static int task_row(struct pool_task *task)
{
    struct row_order order;
    memcpy(&order, task->shared, sizeof order);
    unsigned char *room = pool_return_space(task, order.size);
    for (size_t i = 0; room != NULL && i < order.size; i++)
        room[i] = byte_of(task->index, i);
    return 0;
}

static void results_of_one_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 8, 31, 32, 33, 64, 65, 250};
    enum { ITEMS = 6000 };
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            struct row_order order = {sizes[s]};
            struct pool_job job = {.shared = &order, .shared_size = sizeof order};
            int64_t start = time_now_ms();
            struct pool_iterator *iterator = made(kinds[kind](pool, task_row, pool_items(NULL, ITEMS, 0), &job));
            bool *seen = made(calloc(ITEMS, sizeof *seen));
            const struct pool_result *result;
            for (size_t i = 0; i < ITEMS; i++) {
                assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                assert_status(result->status, POOL_OK);
                assert_int_equal(result->size, order.size);
                assert_true(result->index < ITEMS && !seen[result->index]);
                for (size_t at = 0; at < order.size; at++)
                    assert_int_equal(((const unsigned char *)result->data)[at], byte_of(result->index, at));
                assert_true(result->worker > 0 && result->attempts == 1);
                int64_t so_far = (time_now_ms() - start + 2) * 1000000;
                assert_true((int64_t)result->wait_ns <= so_far && (int64_t)result->run_ns <= so_far);
                seen[result->index] = true;
            }
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
            free(seen);
            pool_iterator_free(iterator);
        }
    close_and_join(pool);
}

/* One item stays while thousands pass it, in its place of the table and in every other. */
static int draw_orders(void *context, const void **item, size_t *size)
{
    static struct gated order;
    long *drawn = context;
    order = (struct gated){*drawn == 0 ? 0 : 1, *drawn};
    *drawn += 1;
    *item = &order;
    *size = sizeof order;
    return *drawn <= 5000;
}

static void one_is_left_behind(void **state)
{
    (void)state;
    static const size_t windows[] = {0, 2, 3, 64, 4096};
    gate_open(&ground->gate[1]);
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
        bool *seen = made(calloc(5000, sizeof *seen));
        long drawn = 0, value;
        struct pool_job job = {.window = windows[w], .chunk = 1};
        const struct pool_result *result;
        gate_shut(&ground->gate[0]);
        struct pool_iterator *iterator =
            made(pool_imap_unordered(pool, task_gated, pool_generate(draw_orders, &drawn), &job));
        for (long i = 1; i < 5000; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            memcpy(&value, result->data, sizeof value);
            assert_int_equal(value, (long)result->index);
            assert_true(value > 0 && value < 5000 && !seen[value]);
            seen[value] = true;
        }
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
        gate_open(&ground->gate[0]);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, 0);
        assert_int_equal(((const struct gated *)result->arg)->gate, 0);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        free(seen);
        pool_iterator_free(iterator);
    }
    close_and_join(pool);
}

struct taker {
    struct pool_iterator *iterator;
    size_t most, taken, wrong;
};

static void *take(void *argument)
{
    struct taker *taker = argument;
    const struct pool_result *result;
    for (; taker->taken < taker->most; taker->taken++) {
        if (pool_iterator_next(taker->iterator, POOL_FOREVER, &result) != POOL_OK)
            break;
        taker->wrong += !is_right(result);
    }
    return NULL;
}

/* A result stays its thread's, while every place of the window is used hundreds of times by two others. */
static void held_while_others_take(void **state)
{
    (void)state;
    enum { ITEMS = 12000, OTHERS = 2, EACH = 3900, HELD = 4 };
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct mixture mixture = {.count = ITEMS};
        struct pool_job job = {.window = 16};
        struct pool_iterator *iterator =
            made(kinds[kind](pool, task_mixture, pool_generate(draw_mixture, &mixture), &job));
        const struct pool_result *result;
        size_t taken = 0;
        for (int held = 0; held < HELD; held++) {
            struct taker takers[OTHERS];
            pthread_t threads[OTHERS];
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_true(is_right(result));
            size_t index = result->index;
            for (int i = 0; i < OTHERS; i++) {
                takers[i] = (struct taker){.iterator = iterator, .most = EACH / HELD};
                assert_int_equal(pthread_create(&threads[i], NULL, take, &takers[i]), 0);
            }
            for (int i = 0; i < OTHERS; i++) {
                assert_int_equal(pthread_join(threads[i], NULL), 0);
                assert_int_equal(takers[i].wrong, 0);
                taken += takers[i].taken;
            }
            taken++;
            assert_int_equal(result->index, index);
            assert_true(is_right(result));
        }
        assert_int_equal(taken, HELD + HELD * OTHERS * (EACH / HELD));
        struct taker rest = {.iterator = iterator, .most = ITEMS};
        take(&rest);
        assert_int_equal(rest.wrong, 0);
        assert_int_equal(taken + rest.taken, ITEMS);
        pool_iterator_free(iterator);
        close_and_join(pool);
    }
}

/*
 * Another thread, which waits for a task of its own, has the right to read results: who waits for an iterator's is told
 * of them, though he reads nothing himself.
 */
static void *wait_for_future(void *future)
{
    return pool_future_wait(future, POOL_FOREVER) == POOL_OK ? NULL : future;
}

static void *open_soon(void *gate)
{
    for (int i = 0; i < 20; i++)
        pause_briefly();
    gate_open(gate);
    return NULL;
}

static void told_by_who_reads(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (int round = 0; round < 5; round++) {
            struct gated orders[3] = {{1, 0}, {1, 1}, {1, 2}};
            pthread_t reader, opener;
            void *failed;
            ground_make();
            struct pool_future *other = start_gated(pool, 0, 1, NULL);
            assert_true(gate_wait_arrived(&ground->gate[0], 1));
            assert_int_equal(pthread_create(&reader, NULL, wait_for_future, other), 0);
            for (int i = 0; i < 20; i++)
                pause_briefly();
            struct pool_iterator *iterator = made(kinds[kind](pool, task_gated, POOL_ARRAY(orders), NULL));
            assert_int_equal(pthread_create(&opener, NULL, open_soon, &ground->gate[1]), 0);
            const struct pool_result *result;
            for (int i = 0; i < 3; i++)
                assert_status(pool_iterator_next(iterator, GATE_SECONDS * 500, &result), POOL_OK);
            assert_status(pool_iterator_next(iterator, 0, &result), POOL_END);
            gate_open(&ground->gate[0]);
            assert_int_equal(pthread_join(opener, NULL), 0);
            assert_int_equal(pthread_join(reader, &failed), 0);
            assert_null(failed);
            pool_iterator_free(iterator);
            pool_future_free(other);
        }
    close_and_join(pool);
}

/* Cancelled with the window full: all that was read comes out, once, with its argument. */
static void cancelled_in_the_middle(void **state)
{
    (void)state;
    static const size_t windows[] = {0, 1, 5, 300};
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++)
            for (size_t before = 0; before < 600; before += 150) {
                struct mixture mixture = {.count = 5000};
                struct pool_job job = {.window = windows[w]};
                struct pool_iterator *iterator =
                    made(kinds[kind](pool, task_mixture, pool_generate(draw_mixture, &mixture), &job));
                struct taker taker = {.iterator = iterator, .most = before};
                const struct pool_result *result;
                take(&taker);
                assert_int_equal(taker.taken, before);
                assert_status(pool_iterator_cancel(iterator, false), POOL_OK);
                size_t drawn = mixture.drawn, came = before;
                enum pool_status status;
                while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
                    assert_true(kind == 1 || result->index == came);
                    assert_int_equal(result->arg_size, size_of(result->index));
                    assert_true(result->status == POOL_CANCELLED || is_right(result));
                    came++;
                }
                assert_status(status, POOL_END);
                assert_int_equal(came, drawn);
                assert_int_equal(mixture.drawn, drawn);
                pool_iterator_free(iterator);
            }
    close_and_join(pool);
}

/* What is freed with it: results that came and were not asked for, one in hand, items that still run. */
static void freed_with_results_outstanding(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t before = 0; before < 500; before += 83)
            for (int wait = 0; wait < 2; wait++) {
                struct mixture mixture = {.count = 5000};
                struct pool_iterator *iterator =
                    made(kinds[kind](pool, task_mixture, pool_generate(draw_mixture, &mixture), NULL));
                struct taker taker = {.iterator = iterator, .most = before};
                struct pool_stats now = {0};
                take(&taker);
                assert_int_equal(taker.taken, before);
                assert_int_equal(taker.wrong, 0);
                do
                    assert_status(pool_get_stats(pool, &now), POOL_OK);
                while (wait && now.queued + now.running > 0 && (pause_briefly(), true));
                pool_iterator_free(iterator);
            }
    close_and_join(pool);
}

/* However short they are: what is read ahead and not delivered stays within a mebibyte, or 64 items a worker. */
static int draw_large(void *context, const void **item, size_t *size)
{
    static unsigned char large[100000];
    *(long *)context += 1;
    *item = large;
    *size = sizeof large;
    return 1;
}

static void large_items_are_not_read_far_ahead(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    for (int kind = 0; kind < 2; kind++) {
        long drawn = 0;
        const struct pool_result *result;
        struct pool_iterator *iterator = made(kinds[kind](pool, task_nothing, pool_generate(draw_large, &drawn), NULL));
        for (long taken = 1; taken <= 500; taken++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_true(drawn <= taken + 64);
        }
        pool_iterator_free(iterator);
    }
    close_and_join(pool);
}

/* Nor are short ones without end. */
static void short_items_are_read_so_far_ahead_at_most(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++) {
        struct well well = well_new(-1, 0);
        const struct pool_result *result;
        struct pool_iterator *iterator = made(kinds[kind](pool, task_nothing, well_source(&well), NULL));
        for (long taken = 1; taken <= 30000; taken++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_true(atomic_load(&well.drawn) <= taken + 8192);
        }
        pool_iterator_free(iterator);
    }
    close_and_join(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(places_are_used_again),
        PROCESS_TEST(results_of_one_size),
        PROCESS_TEST(one_is_left_behind),
        PROCESS_TEST(held_while_others_take),
        PROCESS_TEST(told_by_who_reads),
        PROCESS_TEST(cancelled_in_the_middle),
        PROCESS_TEST(freed_with_results_outstanding),
        PROCESS_TEST(large_items_are_not_read_far_ahead),
        PROCESS_TEST(short_items_are_read_so_far_ahead_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
