/* Results that come back in rows: every size, mixed sizes and failures in one chunk; and finished ones while the next item runs on. */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/watchdog.h"

#include <string.h>

static const size_t sizes[] = {8, 8, 8, 0, 0, 7, 7, 1024, 1024, 1025, 1, 8, 70000, 8, 8, 1024, 1025, 1025, 0, 8};
enum { SIZES = sizeof sizes / sizeof sizes[0], ITEMS = 10 * SIZES, FAILING = 7, WAITING = 5, CHUNK = 8 };

static unsigned char byte_of(size_t index, size_t i) { return (unsigned char)(index * 31 + i * 7 + 1); }

static int task_any_size(struct pool_task *task)
{
    size_t size = sizes[task->index % SIZES];

    if (task->index % (SIZES + 1) == FAILING)
        return pool_fail(task, 5, "item %zu", task->index);
    unsigned char *bytes = pool_return_space(task, size);
    if (bytes == NULL)
        return 1;
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_of(task->index, i);
    return 0;
}

static void check_result(const struct pool_result *result, size_t index)
{
    assert_int_equal(result->index, index);
    if (index % (SIZES + 1) == FAILING) {
        assert_status(result->status, POOL_FAILED);
        return;
    }
    assert_status(result->status, POOL_OK);
    assert_int_equal(result->size, sizes[index % SIZES]);
    for (size_t i = 0; i < result->size; i++)
        if (((const unsigned char *)result->data)[i] != byte_of(index, i))
            fail_msg("item %zu: byte %zu is wrong", index, i);
}

static void mixed_sizes_in_one_chunk(void **state)
{
    static const size_t chunks[] = {0, 1, 3, SIZES, ITEMS};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        const struct pool_result *result;
        struct pool_job job = {.chunk = chunks[c], .window = ITEMS};
        struct pool_iterator *items = made(pool_imap(pool, task_any_size, pool_items(NULL, ITEMS, 0), &job));

        for (size_t i = 0; i < ITEMS; i++) {
            assert_status(pool_iterator_next(items, POOL_FOREVER, &result), POOL_OK);
            check_result(result, i);
        }
        assert_status(pool_iterator_next(items, POOL_FOREVER, &result), POOL_END);
        pool_iterator_free(items);
    }
    pool_destroy(pool);
}

static int task_waits_at_one(struct pool_task *task)
{
    size_t value = 3 * task->index;

    if (task->index == WAITING && !gate_pass(&ground->gate[0]))
        return 1;
    return pool_return(task, &value, sizeof value);
}

/* No finished result waits behind a running function: those of the open row are read from the board. */
static void finished_ones_do_not_wait(void **state)
{
    const struct pool_result *result;
    struct pool_job job = {.chunk = CHUNK, .window = CHUNK};

    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_iterator *items = made(pool_imap(pool, task_waits_at_one, pool_items(NULL, CHUNK, 0), &job));
    for (size_t i = 0; i < CHUNK; i++) {
        if (i == WAITING)
            gate_open(&ground->gate[0]);
        assert_status(pool_iterator_next(items, 5000 * time_scale(), &result), POOL_OK);
        assert_int_equal(result->index, i);
        assert_int_equal(*(const size_t *)result->data, 3 * i);
    }
    pool_iterator_free(items);
    pool_destroy(pool);
}

/* As many as a worker takes together have more bytes than there is room to stage: each row ends where the room does. */
static int task_same_bytes(struct pool_task *task)
{
    size_t size = *(const size_t *)task->shared;
    unsigned char *bytes = pool_return_space(task, size);

    if (!bytes)
        return 1;
    memset(bytes, byte_of(task->index, 0), size);
    return 0;
}

static void rows_end_where_the_room_does(void **state)
{
    static const size_t each[] = {16, 64, 256, 512, 1024};
    enum { MANY = 20000 };
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (size_t s = 0; s < sizeof each / sizeof each[0]; s++) {
        struct pool_job job = {.shared = &each[s], .shared_size = sizeof each[s]};
        unsigned char *out = made(malloc(MANY * each[s])), wanted[1024];
        assert_status(pool_map(pool, task_same_bytes, pool_items(NULL, MANY, 0), out, each[s], &job), POOL_OK);
        for (size_t i = 0; i < MANY; i++) {
            memset(wanted, byte_of(i, 0), each[s]);
            assert_memory_equal(out + i * each[s], wanted, each[s]);
        }
        free(out);
    }
    pool_destroy(pool);
}

/* What the item before has left is not taken for this one's. */
static int task_now_and_then(struct pool_task *task)
{
    size_t value = 3 * task->index;

    return task->index % 50 == 49 ? 0 : pool_return(task, &value, sizeof value);
}

static void what_returns_nothing_has_none(void **state)
{
    enum { MANY = 20000 };
    static enum pool_status statuses[MANY];
    static size_t out[MANY];
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    assert_status(pool_map(pool, task_now_and_then, pool_items(NULL, MANY, 0), out, sizeof out[0], &job), POOL_BAD_SIZE);
    for (size_t i = 0; i < MANY; i++) {
        assert_status(statuses[i], i % 50 == 49 ? POOL_BAD_SIZE : POOL_OK);
        if (i % 50 != 49)
            assert_int_equal(out[i], 3 * i);
    }
    pool_destroy(pool);
}

static char the_state;

static int init_state(void **state, void *arg)
{
    (void)arg;
    *state = &the_state;
    return 0;
}

/* What a task does to what it was given is its own affair; and a result too large for any memory is one item's. */
static int task_clumsy(struct pool_task *task)
{
    size_t index = task->index, value = 3 * index, item;

    if (task->size != sizeof item || task->state != &the_state || task->attempt != 1)
        return pool_fail(task, 2, "size %zu, attempt %u", task->size, task->attempt);
    memcpy(&item, task->arg, sizeof item);
    if (item != 7 * index)
        return pool_fail(task, 3, "item %zu", item);
    pool_return(task, &value, sizeof value);
    if (index % 50 == 49)
        pool_return_space(task, SIZE_MAX / 2 + 2);
    memset(task, 0, sizeof *task);
    return 0;
}

static void each_is_given_its_own(void **state)
{
    enum { MANY = 20000 };
    static enum pool_status statuses[MANY];
    static size_t in[MANY], out[MANY];
    struct pool_options options = {.initializer = init_state};
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct pool *pool = made(pool_create(2, &options));

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        in[i] = 7 * i;
    assert_status(pool_map(pool, task_clumsy, POOL_ARRAY(in), out, sizeof out[0], &job), POOL_NO_MEMORY);
    for (size_t i = 0; i < MANY; i++) {
        assert_status(statuses[i], i % 50 == 49 ? POOL_NO_MEMORY : POOL_OK);
        if (i % 50 != 49)
            assert_int_equal(out[i], 3 * i);
    }
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(mixed_sizes_in_one_chunk),
        PROCESS_TEST(rows_end_where_the_room_does),
        PROCESS_TEST(what_returns_nothing_has_none),
        PROCESS_TEST(each_is_given_its_own),
        PROCESS_TEST(finished_ones_do_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
