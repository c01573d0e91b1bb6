/* pool_map(): every kind of source, every chunk, results in their places, what each task is told. */
#include "../support/audit.h"
#include "../support/tasks.h"
#include "../support/well.h"

#include <stdio.h>

static const size_t chunks[] = {0, 1, 2, 7, 1000};
#define CHUNKS (sizeof chunks / sizeof chunks[0])

static void squares_with_any_chunk(void **state)
{
    (void)state;
    enum { MOST = 1001 };
    static const size_t counts[] = {0, 1, 2, 3, 6, 7, 8, 100, 999, MOST};
    struct pool *pool = made(pool_create(3, NULL));
    long values[MOST], out[MOST + 1];
    for (long i = 0; i < MOST; i++)
        values[i] = i - 500;
    for (size_t c = 0; c < CHUNKS; c++)
        for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
            size_t count = counts[n];
            struct pool_job job = {.chunk = chunks[c]};
            memset(out, 0xEE, sizeof out);
            long untouched = out[count];
            ground_make();
            assert_status(
                pool_map(pool, task_square, pool_items(values, count, sizeof values[0]), out, sizeof out[0], &job),
                POOL_OK);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(out[i], values[i] * values[i]);
                assert_int_equal(atomic_load(&ground->started[i]), 1);
            }
            assert_int_equal(out[count], untouched);
        }
    pool_destroy(pool);
}

static void an_array_by_its_name(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long values[] = {1, 2, 3, 4, 5}, out[5];
    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], NULL), POOL_OK);
    for (int i = 0; i < 5; i++)
        assert_int_equal(out[i], (i + 1) * (i + 1));
    pool_destroy(pool);
}

static long triple(long value)
{
    return 3 * value;
}
POOL_FUNCTION(triple_task, long, long, triple)

static void a_plain_function(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long values[] = {1, 2, 3}, out[3];
    assert_status(pool_map(pool, triple_task, POOL_ARRAY(values), out, sizeof out[0], NULL), POOL_OK);
    assert_int_equal(out[0], 3);
    assert_int_equal(out[2], 9);
    assert_status(pool_apply(pool, triple_task, values, 3, out, sizeof out[0], NULL), POOL_FAILED);
    assert_error_has("3");
    assert_error_has("8"); /* sizeof(long) here, and the size given */
    pool_destroy(pool);
}

static void items_that_are_only_an_index(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        size_t out[300];
        struct pool_job job = {.chunk = chunks[c]};
        assert_status(pool_map(pool, task_index, pool_items(NULL, 300, 0), out, sizeof out[0], &job), POOL_OK);
        for (size_t i = 0; i < 300; i++)
            assert_int_equal(out[i], i);
        size_t none = 77;
        assert_status(pool_map(pool, task_size, pool_items(NULL, 1, 0), &none, sizeof none, &job), POOL_OK);
        assert_int_equal(none, 0);
    }
    pool_destroy(pool);
}

static void results_of_no_size(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    long values[40];
    for (long i = 0; i < 40; i++)
        values[i] = i;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), NULL, 0, NULL), POOL_OK); /* none wanted */
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(atomic_load(&ground->started[i]), 1);
    pool_destroy(pool);
}

/* The item's first byte tells the size that the task sees there, its index and how its bytes lie. */
struct look {
    size_t size, index, lie;
    bool   null, same;
};

static int look_at_item(struct pool_task *task)
{
    const unsigned char *bytes = task->arg;
    struct look look;
    memset(&look, 0, sizeof look);
    look.size = task->size;
    look.index = task->index;
    look.lie = (uintptr_t)task->arg % _Alignof(max_align_t);
    look.null = !task->arg;
    look.same = true;
    for (size_t i = 0; bytes && i < task->size; i++)
        look.same = look.same && bytes[i] == (unsigned char)(task->index + i);
    return pool_return(task, &look, sizeof look);
}

static size_t power_of_two_in(size_t size)
{
    size_t power = 1;
    while (power < _Alignof(max_align_t) && size % (2 * power) == 0)
        power *= 2;
    return power;
}

static void items_lie_as_in_an_array(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 4, 5, 8, 12, 16, 24, 40, 48, 100, 1000, 4096, 70000};
    enum { COUNT = 37 };
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t c = 0; c < CHUNKS; c++) {
            size_t size = sizes[s];
            unsigned char *items = made(malloc(COUNT * size));
            struct look looks[COUNT];
            struct pool_job job = {.chunk = chunks[c]};
            for (size_t i = 0; i < COUNT; i++)
                for (size_t at = 0; at < size; at++)
                    items[i * size + at] = (unsigned char)(i + at);
            assert_status(pool_map(pool, look_at_item, pool_items(items, COUNT, size), looks, sizeof looks[0], &job),
                          POOL_OK);
            for (size_t i = 0; i < COUNT; i++) {
                assert_int_equal(looks[i].size, size);
                assert_int_equal(looks[i].index, i);
                assert_false(looks[i].null);
                assert_true(looks[i].same);
                assert_int_equal(looks[i].lie % power_of_two_in(size), 0);
            }
            free(items);
        }
    pool_destroy(pool);
}

static int length_of(struct pool_task *task)
{
    size_t length = strlen(task->arg);
    if (length + 1 != task->size || (uintptr_t)task->arg % _Alignof(max_align_t) != 0)
        return pool_fail(task, 1, "item %zu: %zu bytes for a length of %zu", task->index, task->size, length);
    return pool_return(task, &length, sizeof length);
}

static void strings_with_their_end(void **state)
{
    (void)state;
    char long_one[5000];
    memset(long_one, 'l', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    char one[] = "one", empty[] = "", three[] = "three words here";
    char *strings[] = {one, empty, three, long_one, empty, one};
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        size_t out[6];
        struct pool_job job = {.chunk = chunks[c]};
        assert_status(pool_map(pool, length_of, pool_strings(strings, 6), out, sizeof out[0], &job), POOL_OK);
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(out[i], strlen(strings[i]));
    }
    assert_status(pool_map(pool, length_of, pool_strings(NULL, 0), NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

static int count_own_value(struct pool_task *task)
{
    long value;
    memcpy(&value, task->arg, sizeof value);
    if ((size_t)value != task->index)
        return pool_fail(task, 1, "item %zu has the value %ld", task->index, value);
    atomic_fetch_add(&ground->started[value], 1);
    return 0;
}

static void a_generator_without_results(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (size_t c = 0; c < CHUNKS; c++) {
        struct well well = well_new(2500, 0);
        struct pool_job job = {.chunk = chunks[c]};
        ground_make();
        assert_status(pool_map(pool, count_own_value, well_source(&well), NULL, 0, &job), POOL_OK);
        for (size_t i = 0; i < 2500; i++)
            assert_int_equal(atomic_load(&ground->started[i]), 1);
        assert_int_equal(atomic_load(&well.drawn), 2500);
        assert_false(well.other_thread); /* read by the thread that is in pool_map(), and by no other */
        assert_int_equal(atomic_load(&well.twice), 0);
    }
    struct well none = well_new(0, 0);
    assert_status(pool_map(pool, count_own_value, well_source(&none), NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

static void a_generator_that_fails(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    static const long counts[] = {0, 1, 20};
    for (size_t i = 0; i < 3; i++) {
        struct well well = well_new(counts[i], -713);
        ground_make();
        assert_status(pool_map(pool, count_own_value, well_source(&well), NULL, 0, NULL), POOL_FAILED);
        assert_error_has("-713");
        for (long item = 0; item < counts[i]; item++) /* after the items before it */
            assert_int_equal(atomic_load(&ground->started[item]), 1);
    }
    pool_destroy(pool);
}

static int add_line_length(struct pool_task *task)
{
    const char *line = task->arg;
    if (task->size == 0 || line[task->size - 1] != '\0' || memchr(line, '\n', task->size))
        return pool_fail(task, 1, "no line");
    atomic_fetch_add(&ground->count[0], (int)task->size - 1);
    atomic_fetch_add(&ground->count[1], 1);
    return 0;
}

static void lines_of_a_file(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    FILE *file = made(tmpfile());
    int total = 0;
    for (int i = 0; i < 500; i++)
        total += fprintf(file, "%*s\n", i % 100, i % 3 ? "x" : "") - 1;
    total += fprintf(file, "the last one ends without a newline");
    rewind(file);
    assert_status(pool_map(pool, add_line_length, pool_lines(file), NULL, 0, NULL), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[0]), total);
    assert_int_equal(atomic_load(&ground->count[1]), 501);
    assert_true(feof(file));
    fclose(file);
    pool_destroy(pool);
}

static void lines_that_cannot_be_read(void **state)
{
    (void)state;
    FILE *directory = fopen("/", "r");
    if (!directory)
        skip(); /* some systems do not even open one */
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_map(pool, add_line_length, pool_lines(directory), NULL, 0, NULL), POOL_FAILED);
    assert_true(*pool_error());
    fclose(directory);
    pool_destroy(pool);
}

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long values[3] = {1, 2, 3}, out[3];
    struct well well = well_new(3, 0);
    enum pool_status statuses[3];
    struct pool_source source = POOL_ARRAY(values);
    assert_status(pool_map(NULL, task_square, source, out, sizeof out[0], NULL), POOL_INVALID);
    assert_status(pool_map(pool, NULL, source, out, sizeof out[0], NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, source, NULL, sizeof out[0], NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, pool_items(NULL, 3, 8), out, sizeof out[0], NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, pool_items(values, SIZE_MAX / 4, 8), NULL, 0, NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, pool_items(NULL, SIZE_MAX / 4, 0), out, 8, NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, pool_strings(NULL, 1), NULL, 0, NULL), POOL_INVALID);
    char *strings[] = {NULL};
    assert_status(pool_map(pool, task_square, pool_strings(strings, 1), NULL, 0, NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, pool_lines(NULL), NULL, 0, NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, pool_generate(NULL, NULL), NULL, 0, NULL), POOL_INVALID);
    assert_status(pool_map(pool, task_square, well_source(&well), out, sizeof out[0], NULL), POOL_INVALID);
    struct pool_job with_statuses = {.statuses = statuses};
    assert_status(pool_map(pool, task_square, well_source(&well), NULL, 0, &with_statuses), POOL_INVALID);
    assert_int_equal(atomic_load(&well.drawn), 0); /* it was not even asked */
    struct pool_job reserved = {.reserved = {1}};
    assert_refused(pool_map(pool, task_square, source, out, sizeof out[0], &reserved), "reserved");
    assert_status(pool_map(pool, task_square, source, out, sizeof out[0], NULL), POOL_OK);
    pool_destroy(pool);
}

static int sum_with_shared(struct pool_task *task)
{
    long value, sum = 0;
    memcpy(&value, task->arg, sizeof value);
    const long *table = task->shared;
    for (size_t i = 0; i < task->shared_size / sizeof *table; i++)
        sum += table[i];
    sum += value;
    return pool_return(task, &sum, sizeof sum);
}

static void every_item_sees_the_shared_bytes(void **state)
{
    (void)state;
    enum { TABLE = 20000, COUNT = 200 };
    struct pool *pool = made(pool_create(3, NULL));
    long *table = made(malloc(TABLE * sizeof *table)), values[COUNT], out[COUNT], sum = 0;
    for (long i = 0; i < TABLE; i++)
        sum += table[i] = i * 7;
    for (long i = 0; i < COUNT; i++)
        values[i] = i;
    for (size_t c = 0; c < CHUNKS; c++) {
        struct pool_job job = {.chunk = chunks[c], .shared = table, .shared_size = TABLE * sizeof *table};
        assert_status(pool_map(pool, sum_with_shared, POOL_ARRAY(values), out, sizeof out[0], &job), POOL_OK);
        for (long i = 0; i < COUNT; i++)
            assert_int_equal(out[i], sum + i);
    }
    struct pool_stats stats;
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    /* sent once to each worker of each job, not with each item */
    assert_true(stats.bytes_sent < (uint64_t)(CHUNKS * 4) * TABLE * sizeof *table);
    free(table);
    pool_destroy(pool);
}

static int fill_kilobytes(struct pool_task *task)
{
    size_t size = 100000;
    unsigned char *space = pool_return_space(task, size);
    if (!space)
        return 1;
    memset(space, (int)task->index, size);
    return 0;
}

static void large_results_each_in_its_place(void **state)
{
    (void)state;
    enum { COUNT = 60, SIZE = 100000 };
    struct pool *pool = made(pool_create(3, NULL));
    unsigned char *out = made(malloc((size_t)COUNT * SIZE));
    for (size_t c = 0; c < CHUNKS; c++) {
        struct pool_job job = {.chunk = chunks[c]};
        memset(out, 0xEE, (size_t)COUNT * SIZE);
        assert_status(pool_map(pool, fill_kilobytes, pool_items(NULL, COUNT, 0), out, SIZE, &job), POOL_OK);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(out[i * SIZE] == i && memcmp(out + i * SIZE, out + i * SIZE + 1, SIZE - 1) == 0);
    }
    free(out);
    pool_destroy(pool);
}

struct shown {
    size_t calls, last, total;
    bool   backwards;
};

static void show(void *user, size_t done, size_t total)
{
    struct shown *shown = user;
    shown->calls++;
    shown->backwards = shown->backwards || done < shown->last;
    shown->last = done;
    shown->total = total;
}

static void progress_comes_to_its_end(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int round = 0; round < 20; round++) {
        struct shown shown = {0};
        struct pool_job job = {.progress = show, .progress_user = &shown};
        assert_status(pool_map(pool, task_nothing, pool_items(NULL, 500, 0), NULL, 0, &job), POOL_OK);
        struct shown at_return = shown;
        assert_true(at_return.calls >= 1);
        assert_int_equal(at_return.last, 500);
        assert_int_equal(at_return.total, 500);
        assert_false(at_return.backwards);
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_int_equal(shown.calls, at_return.calls); /* none after the return */
    }
    struct well well = well_new(30, 0);
    struct shown shown = {0};
    struct pool_job job = {.progress = show, .progress_user = &shown};
    assert_status(pool_map(pool, count_own_value, well_source(&well), NULL, 0, &job), POOL_OK);
    assert_int_equal(shown.last, 30);
    pool_destroy(pool);
}

static void all_workers_take_part(void **state)
{
    (void)state;
    enum { WORKERS = 4 };
    struct pool *pool = made(pool_create(WORKERS, NULL));
    for (size_t c = 0; c < 2; c++) { /* chosen as it runs, and 1: four items for four workers run at once */
        struct pool_job job = {.chunk = chunks[c]};
        struct gated orders[WORKERS];
        memset(orders, 0, sizeof orders);
        long out[WORKERS];
        struct pool_future *map = made(pool_map_async(pool, task_gated, POOL_ARRAY(orders), out, sizeof out[0], &job));
        assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
        gate_open(&ground->gate[0]);
        release(&map, 1);
        gate_shut(&ground->gate[0]);
    }
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(squares_with_any_chunk),
        PROCESS_TEST(an_array_by_its_name),
        PROCESS_TEST(a_plain_function),
        PROCESS_TEST(items_that_are_only_an_index),
        PROCESS_TEST(results_of_no_size),
        PROCESS_TEST(items_lie_as_in_an_array),
        PROCESS_TEST(strings_with_their_end),
        PROCESS_TEST(a_generator_without_results),
        PROCESS_TEST(a_generator_that_fails),
        PROCESS_TEST(lines_of_a_file),
        PROCESS_TEST(lines_that_cannot_be_read),
        PROCESS_TEST(wrong_calls_are_refused),
        PROCESS_TEST(every_item_sees_the_shared_bytes),
        PROCESS_TEST(large_results_each_in_its_place),
        PROCESS_TEST(progress_comes_to_its_end),
        PROCESS_TEST(all_workers_take_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
