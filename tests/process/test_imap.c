/* pool_imap() and pool_imap_unordered(): order, what comes with each item, endings, freeing early. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/well.h"
#include "../support/watchdog.h"

#include <limits.h>
#include <stdio.h>

typedef struct pool_iterator *imap_function(struct pool *, pool_function *, struct pool_source,
                                            const struct pool_job *);

static imap_function *const kinds[2] = {pool_imap, pool_imap_unordered};

static const size_t chunks[] = {0, 1, 2, 7, 1000};
#define CHUNKS (sizeof chunks / sizeof chunks[0])

static void close_and_join(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

/* All squares of 0..count-1, each once, in order where `ordered`; every result knows its argument and its place. */
static void take_squares(struct pool_iterator *iterator, size_t count, bool ordered)
{
    bool *seen = made(calloc(count + 1, sizeof *seen));
    const struct pool_result *result;
    for (size_t i = 0; i < count; i++) {
        long argument, square;
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(result->status, POOL_OK);
        assert_int_equal(result->size, sizeof square);
        assert_int_equal(result->arg_size, sizeof argument);
        assert_int_equal((uintptr_t)result->data % _Alignof(max_align_t), 0);
        memcpy(&argument, result->arg, sizeof argument);
        memcpy(&square, result->data, sizeof square);
        assert_int_equal(argument, (long)result->index);
        assert_int_equal(square, argument * argument);
        assert_in_range(result->index, 0, count - 1);
        if (ordered)
            assert_int_equal(result->index, i);
        assert_false(seen[result->index]);
        seen[result->index] = true;
        assert_true(result->worker > 0);
        assert_string_equal(result->message, "");
    }
    for (int again = 0; again < 3; again++) {
        result = (const struct pool_result *)ground;
        assert_status(pool_iterator_next(iterator, again == 1 ? 0 : POOL_FOREVER, &result), POOL_END);
        assert_null(result);
    }
    free(seen);
}

static void every_item_from_an_array(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 50, 1000};
    static long values[1000];
    struct pool *pool = made(pool_create(3, NULL));
    for (long i = 0; i < 1000; i++)
        values[i] = i;
    for (int kind = 0; kind < 2; kind++)
        for (size_t c = 0; c < CHUNKS; c++)
            for (size_t n = 0; n < 5; n++) {
                struct pool_job job = {.chunk = chunks[c]};
                struct pool_iterator *iterator =
                    made(kinds[kind](pool, task_square, pool_items(values, counts[n], sizeof values[0]), &job));
                take_squares(iterator, counts[n], kind == 0);
                pool_iterator_free(iterator);
            }
    close_and_join(pool);
}

static void every_item_from_a_generator(void **state)
{
    (void)state;
    static const size_t windows[] = {0, 1, 2, 5, 5000};
    struct pool *pool = made(pool_create(3, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t c = 0; c < CHUNKS; c++)
            for (size_t w = 0; w < 5; w++) {
                struct well well = well_new(600, 0);
                struct pool_job job = {.chunk = chunks[c], .window = windows[w]};
                struct pool_iterator *iterator =
                    made(kinds[kind](pool, task_square, well_source(&well), &job));
                take_squares(iterator, 600, kind == 0);
                pool_iterator_free(iterator);
            }
    close_and_join(pool);
}

static void strings_and_lines(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    char one[] = "one", empty[] = "", two[] = "two words";
    char *strings[] = {one, empty, two};
    FILE *file = made(tmpfile());
    fputs("one\n\ntwo words", file);
    rewind(file);
    for (int lines = 0; lines < 2; lines++) {
        struct pool_source source = lines ? pool_lines(file) : pool_strings(strings, 3);
        struct pool_iterator *iterator = made(pool_imap(pool, task_echo, source, NULL));
        const struct pool_result *result;
        for (size_t i = 0; i < 3; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_string_equal(result->data, strings[i]);
            assert_int_equal(result->size, strlen(strings[i]) + 1);
            assert_string_equal(result->arg, strings[i]);
            assert_int_equal(result->arg_size, strlen(strings[i]) + 1);
        }
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        pool_iterator_free(iterator);
    }
    fclose(file);
    close_and_join(pool);
}

static int fail_some(struct pool_task *task)
{
    if (task->index % 3 == 1)
        return pool_fail(task, (int)task->index, "item %zu will not", task->index);
    return task_echo(task);
}

static void failures_are_items_like_others(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++)
        for (size_t c = 0; c < CHUNKS; c++) {
            struct well well = well_new(90, 0);
            struct pool_job job = {.chunk = chunks[c]};
            struct pool_iterator *iterator = made(kinds[kind](pool, fail_some, well_source(&well), &job));
            const struct pool_result *result;
            size_t failed = 0;
            for (size_t i = 0; i < 90; i++) {
                assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                long argument;
                memcpy(&argument, result->arg, sizeof argument);
                assert_int_equal(argument, result->index);
                if (result->index % 3 != 1) {
                    assert_status(result->status, POOL_OK);
                    continue;
                }
                char words[40];
                failed++;
                assert_status(result->status, POOL_FAILED);
                assert_int_equal(result->code, result->index);
                snprintf(words, sizeof words, "item %zu will not", result->index);
                assert_non_null(strstr(result->message, words));
            }
            assert_int_equal(failed, 30);
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
            pool_iterator_free(iterator);
        }
    close_and_join(pool);
}

/* Of the first item's time nothing is known to unordered results: what is done comes out. */
static void unordered_results_pass_a_slow_one(void **state)
{
    (void)state;
    struct gated orders[20];
    memset(orders, 0, sizeof orders);
    for (long i = 0; i < 20; i++) {
        orders[i].gate = i == 0 ? 0 : 1;
        orders[i].value = i;
    }
    for (size_t c = 0; c < CHUNKS; c++) {
        ground_make();
        gate_open(&ground->gate[1]);
        struct pool *pool = made(pool_create(2, NULL));
        struct pool_job job = {.chunk = chunks[c], .window = 20};
        struct pool_iterator *iterator = made(pool_imap_unordered(pool, task_gated, POOL_ARRAY(orders), &job));
        const struct pool_result *result;
        for (int i = 1; i < 20; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_status(result->status, POOL_OK);
            assert_int_not_equal(result->index, 0);
        }
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
        gate_open(&ground->gate[0]);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, 0);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        pool_iterator_free(iterator);
        close_and_join(pool);
    }
}

static void ordered_results_wait_for_a_slow_one(void **state)
{
    (void)state;
    struct gated orders[4] = {{0, 0}, {1, 1}, {1, 2}, {1, 3}};
    gate_open(&ground->gate[1]);
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_job job = {.chunk = 1};
    struct pool_iterator *iterator = made(pool_imap(pool, task_gated, POOL_ARRAY(orders), &job));
    const struct pool_result *result = (const struct pool_result *)ground;
    assert_true(gate_wait_arrived(&ground->gate[1], 3));
    assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
    assert_null(result);
    int64_t start = time_now_ms();
    assert_status(pool_iterator_next(iterator, 60, &result), POOL_TIMEOUT);
    assert_true(time_now_ms() - start >= 59);
    gate_open(&ground->gate[0]);
    for (size_t i = 0; i < 4; i++) { /* the timeouts lost nothing */
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, i);
        long value;
        memcpy(&value, result->data, sizeof value);
        assert_int_equal(value, (long)i);
    }
    assert_status(pool_iterator_next(iterator, 0, &result), POOL_END);
    pool_iterator_free(iterator);
    close_and_join(pool);
}

static void impatience_loses_no_item(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct well well = well_new(3000, 0);
        struct pool_iterator *iterator = made(kinds[kind](pool, task_echo, well_source(&well), NULL));
        bool seen[3000] = {false};
        size_t count = 0;
        const struct pool_result *result;
        for (enum pool_status status;
             (status = pool_iterator_next(iterator, count % 2 ? 0 : 1, &result)) != POOL_END;) {
            if (status == POOL_TIMEOUT) {
                assert_null(result);
                continue;
            }
            assert_status(status, POOL_OK);
            assert_in_range(result->index, 0, 2999);
            assert_false(seen[result->index]);
            seen[result->index] = true;
            count++;
        }
        assert_int_equal(count, 3000);
        pool_iterator_free(iterator);
        close_and_join(pool);
    }
}

static void never_called(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
}

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct well well = well_new(10, 0);
    struct pool_source source = well_source(&well);
    enum pool_status one;
    const struct pool_result *result = (const struct pool_result *)ground;
    for (int kind = 0; kind < 2; kind++) {
        assert_null_errno(kinds[kind](NULL, task_echo, source, NULL), EINVAL);
        assert_null_errno(kinds[kind](pool, NULL, source, NULL), EINVAL);
        assert_null_errno(kinds[kind](pool, task_echo, pool_generate(NULL, NULL), NULL), EINVAL);
        assert_null_errno(kinds[kind](pool, task_echo, pool_lines(NULL), NULL), EINVAL);
        assert_null_errno(kinds[kind](pool, task_echo, pool_items(NULL, 3, 8), NULL), EINVAL);
        struct pool_job callback = {.callback = never_called};
        assert_null_errno(kinds[kind](pool, task_echo, source, &callback), EINVAL);
        struct pool_job statuses = {.statuses = &one};
        assert_null_errno(kinds[kind](pool, task_echo, source, &statuses), EINVAL);
        struct pool_job going = {.keep_going = true};
        assert_null_errno(kinds[kind](pool, task_echo, source, &going), EINVAL);
        struct pool_job reserved = {.reserved = {[5] = 1}};
        assert_null_errno(kinds[kind](pool, task_echo, source, &reserved), EINVAL);
    }
    assert_int_equal(atomic_load(&well.drawn), 0);
    struct pool_iterator *iterator = made(pool_imap(pool, task_echo, source, NULL));
    assert_status(pool_iterator_next(NULL, 0, &result), POOL_INVALID);
    result = (const struct pool_result *)ground;
    assert_status(pool_iterator_next(iterator, -2, &result), POOL_INVALID);
    assert_null(result);
    assert_status(pool_iterator_next(iterator, INT_MIN, &result), POOL_INVALID);
    assert_status(pool_iterator_cancel(NULL, false), POOL_INVALID);
    errno = 4321;
    pool_iterator_free(NULL);
    pool_iterator_free(iterator);
    assert_int_equal(errno, 4321);
    assert_status(pool_close(pool), POOL_OK);
    assert_null_errno(pool_imap(pool, task_echo, source, NULL), EPIPE);
    assert_null_errno(pool_imap_unordered(pool, task_echo, source, NULL), EPIPE);
    pool_destroy(pool);
}

static void large_items_and_results(void **state)
{
    (void)state;
    enum { SIZE = 400000, ITEMS = 30 };
    unsigned char *items = made(malloc((size_t)ITEMS * SIZE));
    for (size_t i = 0; i < ITEMS; i++)
        memset(items + i * SIZE, (int)i + 1, SIZE);
    struct pool *pool = made(pool_create(2, NULL));
    for (int kind = 0; kind < 2; kind++) {
        struct pool_iterator *iterator = made(kinds[kind](pool, task_echo, pool_items(items, ITEMS, SIZE), NULL));
        const struct pool_result *result;
        for (size_t i = 0; i < ITEMS; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_int_equal(result->size, SIZE);
            assert_memory_equal(result->data, items + result->index * SIZE, SIZE);
            assert_memory_equal(result->arg, items + result->index * SIZE, SIZE);
        }
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        pool_iterator_free(iterator);
    }
    free(items);
    close_and_join(pool);
}

static void shared_bytes_and_progress(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct well well = well_new(50, 0);
    char text[] = "for all";
    struct pool_job job = {.shared = text, .shared_size = sizeof text, .progress = pool_progress_bar};
    struct pool_iterator *iterator = made(pool_imap(pool, task_square, well_source(&well), &job));
    take_squares(iterator, 50, true);
    pool_iterator_free(iterator);
    close_and_join(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(every_item_from_an_array),
        PROCESS_TEST(every_item_from_a_generator),
        PROCESS_TEST(strings_and_lines),
        PROCESS_TEST(failures_are_items_like_others),
        PROCESS_TEST(unordered_results_pass_a_slow_one),
        PROCESS_TEST(ordered_results_wait_for_a_slow_one),
        PROCESS_TEST(impatience_loses_no_item),
        PROCESS_TEST(wrong_calls_are_refused),
        PROCESS_TEST(large_items_and_results),
        PROCESS_TEST(shared_bytes_and_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
