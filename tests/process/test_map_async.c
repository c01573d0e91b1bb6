/* pool_map_async(): the map's own result, its callback, a map that is cancelled, one whose future is freed early. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <stdio.h>

#define COUNT 200
static long values[COUNT], out[COUNT];
static enum pool_status statuses[COUNT];

static void prepare(void)
{
    for (long i = 0; i < COUNT; i++)
        values[i] = i;
    memset(out, 0xEE, sizeof out);
    memset(statuses, 0x55, sizeof statuses);
    ground_make();
}

struct heard {
    atomic_int calls;
    enum pool_status status;
    size_t index, size;
    const void *data, *arg;
    size_t arg_size;
};

static void hear(void *user, const struct pool_result *result)
{
    struct heard *heard = user;
    heard->status = result->status;
    heard->index = result->index;
    heard->data = result->data;
    heard->size = result->size;
    heard->arg = result->arg;
    heard->arg_size = result->arg_size;
    atomic_fetch_add(&heard->calls, 1);
}

static void close_and_join(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

static void the_result_is_the_map_itself(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct heard heard = {0};
    struct pool_job job = {.callback = hear, .user = &heard};
    prepare();
    struct pool_future *map = made(pool_map_async(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], &job));
    const struct pool_result *result;
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->index, COUNT);
    assert_ptr_equal(result->data, out);
    assert_int_equal(result->size, sizeof out);
    assert_string_equal(result->message, "");
    assert_ptr_equal(result->arg, values);
    assert_int_equal(result->arg_size, sizeof values);
    assert_true(pool_future_successful(map));
    long copy[COUNT];
    assert_status(pool_future_read(map, 0, copy, sizeof copy), POOL_OK);
    assert_memory_equal(copy, out, sizeof out);
    for (long i = 0; i < COUNT; i++)
        assert_int_equal(out[i], i * i);
    pool_future_free(map);
    close_and_join(pool);
    assert_int_equal(atomic_load(&heard.calls), 1);
    assert_status(heard.status, POOL_OK);
    assert_int_equal(heard.index, COUNT);
    assert_ptr_equal(heard.data, out);
    assert_int_equal(heard.size, sizeof out);
}

static void an_empty_map_is_done_and_calls_back(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct heard heard[4] = {0};
    char *none[1] = {NULL};
    struct pool_source sources[4] = {pool_items(values, 0, sizeof values[0]), pool_items(NULL, 0, 0),
                                     pool_items(NULL, 0, 8), pool_strings(none, 0)};
    for (size_t i = 0; i < 4; i++) {
        struct pool_job job = {.callback = hear, .user = &heard[i], .statuses = statuses};
        struct pool_future *map = made(pool_map_async(pool, task_square, sources[i], out, sizeof out[0], &job));
        const struct pool_result *result;
        assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, 0);
        assert_int_equal(result->size, 0);
        assert_true(pool_future_successful(map));
        pool_future_free(map);
        assert_status(pool_map(pool, task_square, sources[i], out, sizeof out[0], NULL), POOL_OK);
    }
    close_and_join(pool);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(atomic_load(&heard[i].calls), 1);
        assert_status(heard[i].status, POOL_OK);
    }
}

static void empty_maps_while_all_are_busy(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *busy;
    occupy(pool, 0, &busy, 1);
    assert_status(pool_map(pool, task_square, pool_items(NULL, 0, 8), NULL, 0, NULL), POOL_OK);
    gate_open(&ground->gate[0]);
    release(&busy, 1);
    pool_destroy(pool);
}

static int next_never(void *context, const void **item, size_t *size)
{
    (void)context;
    (void)item;
    (void)size;
    return 0;
}

static void wrong_calls_make_no_future(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    FILE *file = made(tmpfile());
    assert_null_errno(pool_map_async(NULL, task_square, POOL_ARRAY(values), out, sizeof out[0], NULL), EINVAL);
    assert_null_errno(pool_map_async(pool, NULL, POOL_ARRAY(values), out, sizeof out[0], NULL), EINVAL);
    assert_null_errno(pool_map_async(pool, task_square, POOL_ARRAY(values), NULL, sizeof out[0], NULL), EINVAL);
    assert_null_errno(pool_map_async(pool, task_square, pool_generate(next_never, NULL), NULL, 0, NULL), EINVAL);
    assert_null_errno(pool_map_async(pool, task_square, pool_lines(file), NULL, 0, NULL), EINVAL);
    struct pool_job reserved = {.reserved = {[2] = 1}};
    assert_null_errno(pool_map_async(pool, task_square, POOL_ARRAY(values), NULL, 0, &reserved), EINVAL);
    fclose(file);
    assert_status(pool_close(pool), POOL_OK);
    struct heard heard = {0};
    struct pool_job job = {.callback = hear, .user = &heard};
    assert_null_errno(pool_map_async(pool, task_square, POOL_ARRAY(values), NULL, 0, &job), EPIPE);
    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), NULL, 0, NULL), POOL_CLOSED);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&heard.calls), 0);
    pool_destroy(pool);
}

/* One worker stands at the gate with item 0; cancelled, all that has not begun never does. */
static void a_cancelled_map(void **state)
{
    (void)state;
    for (size_t chunk = 0; chunk < 3; chunk++) {
        prepare();
        struct pool *pool = made(pool_create(1, NULL));
        struct heard heard = {0};
        struct pool_job job = {.chunk = chunk * 500, .statuses = statuses, .callback = hear, .user = &heard};
        struct pool_future *map =
            made(pool_map_async(pool, task_square_behind_gate_0, POOL_ARRAY(values), out, sizeof out[0], &job));
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        assert_status(pool_future_cancel(map, false), POOL_OK);
        assert_status(pool_future_wait(map, 20), POOL_TIMEOUT); /* what runs is let finish */
        gate_open(&ground->gate[0]);
        assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
        const struct pool_result *result;
        assert_status(pool_future_get(map, 0, &result), POOL_CANCELLED);
        assert_status(statuses[0], POOL_OK);
        assert_int_equal(out[0], 0);
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(atomic_load(&ground->started[i]), i == 0);
            if (i > 0)
                assert_status(statuses[i], POOL_CANCELLED);
        }
        pool_future_free(map);
        close_and_join(pool);
        assert_int_equal(atomic_load(&heard.calls), 1);
        assert_status(heard.status, POOL_CANCELLED);
    }
}

static void a_map_that_has_not_begun_is_cancelled_whole(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_future *busy;
    prepare();
    occupy(pool, 1, &busy, 1);
    struct pool_job job = {.statuses = statuses};
    struct pool_future *map = made(pool_map_async(pool, task_nothing, POOL_ARRAY(values), NULL, 0, &job));
    assert_status(pool_future_cancel(map, false), POOL_OK);
    assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK); /* the worker is still at its gate */
    for (size_t i = 0; i < COUNT; i++)
        assert_status(statuses[i], POOL_CANCELLED);
    gate_open(&ground->gate[1]);
    release(&busy, 1);
    release(&map, 1);
    close_and_join(pool);
    assert_int_equal(atomic_load(&ground->started[1]), 0);
}

static int fail_or_wait(struct pool_task *task)
{
    if (task->index == 0)
        return pool_fail(task, 4, "the first item fails");
    return task_square_behind_gate_0(task);
}

/* A cancel that has said POOL_OK stays POOL_CANCELLED, whatever had failed before. */
static void a_cancel_is_the_last_word(void **state)
{
    (void)state;
    prepare();
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct pool_future *map = made(pool_map_async(pool, fail_or_wait, POOL_ARRAY(values), out, sizeof out[0], &job));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_status(pool_future_cancel(map, false), POOL_OK);
    gate_open(&ground->gate[0]);
    const struct pool_result *result;
    assert_status(pool_future_get(map, POOL_FOREVER, &result), POOL_CANCELLED);
    assert_status(statuses[0], POOL_FAILED);
    assert_status(statuses[1], POOL_OK);
    for (size_t i = 2; i < COUNT; i++)
        assert_status(statuses[i], POOL_CANCELLED);
    pool_future_free(map);
    close_and_join(pool);
}

/*
 * Freed while one item stands at the gate and the rest waits: the arrays are overwritten at once, and must then stay as
 * they are, though the running item still ends.
 */
static void freed_early_its_arrays_are_left_alone(void **state)
{
    (void)state;
    for (size_t chunk = 0; chunk < 3; chunk++) {
        prepare();
        struct pool *pool = made(pool_create(2, NULL));
        struct heard heard = {0};
        char *shared = made(malloc(100000));
        memset(shared, 's', 100000);
        struct pool_job job = {.chunk = chunk * 500, .statuses = statuses, .callback = hear, .user = &heard,
                               .shared = shared, .shared_size = 100000};
        struct pool_future *map =
            made(pool_map_async(pool, task_square_behind_gate_0, POOL_ARRAY(values), out, sizeof out[0], &job));
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        pool_future_free(map);
        memset(shared, 0, 100000);
        free(shared);
        memset(values, 0x11, sizeof values);
        memset(out, 0x22, sizeof out);
        memset(statuses, 0x33, sizeof statuses);
        int begun = atomic_load(&ground->gate[0].arrived);
        gate_open(&ground->gate[0]);
        close_and_join(pool);
        assert_in_range(atomic_load(&ground->gate[0].arrived), begun, 2); /* no more than both workers had in hand */
        for (size_t i = 0; i < sizeof out; i++)
            assert_int_equal(((unsigned char *)out)[i], 0x22);
        for (size_t i = 0; i < sizeof statuses; i++)
            assert_int_equal(((unsigned char *)statuses)[i], 0x33);
        assert_int_equal(atomic_load(&heard.calls), 1);
        assert_status(heard.status, POOL_CANCELLED);
    }
}

/* Large items and results, half of which are on their way when the future goes: memory that is really given back. */
static void freed_early_with_bytes_on_their_way(void **state)
{
    (void)state;
    enum { ITEMS = 12, SIZE = 700000 };
    struct pool *pool = made(pool_create(2, NULL));
    for (int round = 0; round < 30; round++) {
        unsigned char *in = made(malloc((size_t)ITEMS * SIZE)), *results = made(malloc((size_t)ITEMS * SIZE));
        memset(in, round, (size_t)ITEMS * SIZE);
        struct pool_future *map =
            made(pool_map_async(pool, task_echo, pool_items(in, ITEMS, SIZE), results, SIZE, NULL));
        pool_future_wait(map, round % 6);
        pool_future_free(map);
        free(in);
        free(results);
        long value = 9, square = 0;
        assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
        assert_int_equal(square, 81);
    }
    close_and_join(pool);
}

static void several_maps_at_once(void **state)
{
    (void)state;
    enum { MAPS = 12 };
    static long results[MAPS][COUNT];
    struct pool *pool = made(pool_create(3, NULL));
    struct pool_future *maps[MAPS];
    prepare();
    for (size_t m = 0; m < MAPS; m++) {
        struct pool_job job = {.chunk = m};
        maps[m] = made(pool_map_async(pool, task_square, POOL_ARRAY(values), results[m], sizeof results[m][0], &job));
    }
    assert_status(pool_wait_all(maps, MAPS, POOL_FOREVER), POOL_OK);
    for (size_t m = 0; m < MAPS; m++)
        for (long i = 0; i < COUNT; i++)
            assert_int_equal(results[m][i], i * i);
    release(maps, MAPS);
    close_and_join(pool);
}

static void terminated_in_the_middle(void **state)
{
    (void)state;
    prepare();
    struct pool *pool = made(pool_create(2, NULL));
    struct heard heard = {0};
    struct pool_job job = {.statuses = statuses, .callback = hear, .user = &heard};
    struct pool_future *map =
        made(pool_map_async(pool, task_square_behind_gate_0, POOL_ARRAY(values), out, sizeof out[0], &job));
    assert_true(gate_wait_arrived(&ground->gate[0], 2));
    pool_destroy(pool);
    const struct pool_result *result;
    assert_status(pool_future_get(map, 0, &result), POOL_TERMINATED);
    for (size_t i = 0; i < COUNT; i++)
        assert_status(statuses[i], POOL_TERMINATED);
    assert_int_equal(atomic_load(&heard.calls), 1);
    assert_status(heard.status, POOL_TERMINATED);
    pool_future_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(the_result_is_the_map_itself),
        PROCESS_TEST(an_empty_map_is_done_and_calls_back),
        PROCESS_TEST(empty_maps_while_all_are_busy),
        PROCESS_TEST(wrong_calls_make_no_future),
        PROCESS_TEST(a_cancelled_map),
        PROCESS_TEST(a_map_that_has_not_begun_is_cancelled_whole),
        PROCESS_TEST(a_cancel_is_the_last_word),
        PROCESS_TEST(freed_early_its_arrays_are_left_alone),
        PROCESS_TEST(freed_early_with_bytes_on_their_way),
        PROCESS_TEST(several_maps_at_once),
        PROCESS_TEST(terminated_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
