/* Packed values on their way through workers: what starmap's tuples are in Python. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <stdio.h>

/* (name, times, factor, bytes) comes back as (name repeated, times * factor, bytes reversed). */
static int work_on_a_record(struct pool_task *task)
{
    struct pool_reader reader = pool_unpack(task->arg, task->size);
    const char *name = pool_get_string(&reader);
    int64_t times = pool_get_int(&reader);
    double factor = pool_get_double(&reader);
    size_t size;
    const unsigned char *bytes = pool_get_bytes(&reader, &size);
    if (reader.failed || reader.left)
        return pool_fail(task, 1, "a record of another kind");

    char text[256] = "";
    for (int64_t i = 0; i < times; i++)
        strncat(text, name, sizeof text - strlen(text) - 1);
    unsigned char *reversed = malloc(size + 1);
    if (!reversed)
        return 2;
    for (size_t i = 0; i < size; i++)
        reversed[i] = bytes[size - 1 - i];
    struct pool_buffer buffer = {0};
    pool_put_string(&buffer, text);
    pool_put_double(&buffer, (double)times * factor);
    pool_put_bytes(&buffer, reversed, size);
    free(reversed);
    return pool_return_buffer(task, &buffer);
}

static void pack(struct pool_buffer *buffer, const char *name, int64_t times, double factor, const void *bytes,
                 size_t size)
{
    pool_put_string(buffer, name);
    pool_put_int(buffer, times);
    pool_put_double(buffer, factor);
    pool_put_bytes(buffer, bytes, size);
    assert_false(buffer->failed);
}

static void a_record_there_and_another_back(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int round = 0; round < 5; round++) {
        struct pool_buffer buffer = {0};
        unsigned char bytes[100];
        size_t size = (size_t)round * 25;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)i;
        pack(&buffer, "ab", round, 2.5, bytes, size);
        struct pool_future *future = made(pool_apply_async(pool, work_on_a_record, buffer.data, buffer.size, NULL));
        pool_buffer_free(&buffer);
        const struct pool_result *result;
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
        struct pool_reader reader = pool_unpack(result->data, result->size);
        const char *text = pool_get_string(&reader);
        assert_int_equal(strlen(text), 2 * round);
        assert_true(pool_get_double(&reader) == round * 2.5); /* exact in binary */
        size_t got;
        const unsigned char *reversed = pool_get_bytes(&reader, &got);
        assert_int_equal(got, size);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(reversed[i], size - 1 - i);
        assert_false(reader.failed);
        assert_int_equal(reader.left, 0);
        pool_get_int(&reader); /* there is no more */
        assert_true(reader.failed);
        pool_future_free(future);
    }
    pool_destroy(pool);
}

static void the_wrong_record_is_noticed(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_buffer buffer = {0};
    pool_put_int(&buffer, 3); /* a number where a name should be */
    pool_put_string(&buffer, "ab");
    assert_status(pool_apply(pool, work_on_a_record, buffer.data, buffer.size, NULL, 0, NULL), POOL_FAILED);
    assert_error_has("another kind");
    for (size_t size = 0; size < buffer.size; size++) /* cut anywhere */
        assert_status(pool_apply(pool, work_on_a_record, buffer.data, size, NULL, 0, NULL), POOL_FAILED);
    pool_buffer_free(&buffer);
    pool_destroy(pool);
}

/* Records of different lengths, made one at a time. */
struct records {
    int next, count;
    struct pool_buffer buffer;
};

static int next_record(void *context, const void **item, size_t *size)
{
    struct records *records = context;
    pool_buffer_free(&records->buffer);
    memset(&records->buffer, 0, sizeof records->buffer);
    if (records->next == records->count)
        return 0;
    char name[64];
    snprintf(name, sizeof name, "%0*d", 1 + records->next % 40, records->next);
    pack(&records->buffer, name, 1, records->next, name, strlen(name));
    records->next++;
    *item = records->buffer.data;
    *size = records->buffer.size;
    return 1;
}

static void a_stream_of_records(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct records records = {.count = 300};
    struct pool_iterator *iterator =
        made(pool_imap(pool, work_on_a_record, pool_generate(next_record, &records), NULL));
    const struct pool_result *result;
    for (int i = 0; i < 300; i++) {
        char name[64];
        snprintf(name, sizeof name, "%0*d", 1 + i % 40, i);
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(result->status, POOL_OK);
        struct pool_reader reader = pool_unpack(result->data, result->size);
        assert_string_equal(pool_get_string(&reader), name);
        assert_true(pool_get_double(&reader) == i);
        struct pool_reader argument = pool_unpack(result->arg, result->arg_size);
        assert_string_equal(pool_get_string(&argument), name);
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
    pool_buffer_free(&records.buffer);
    pool_destroy(pool);
}

static int return_a_failed_buffer(struct pool_task *task)
{
    struct pool_buffer buffer = {0};
    pool_put_string(&buffer, NULL);
    if (!buffer.failed)
        return 7;
    return pool_return_buffer(task, &buffer) ? 5 : 0;
}

static int return_an_empty_buffer(struct pool_task *task)
{
    struct pool_buffer buffer = {0};
    return pool_return_buffer(task, &buffer);
}

static void a_put_that_failed_fails_the_return(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    const struct pool_result *result;
    struct pool_future *future = made(pool_apply_async(pool, return_a_failed_buffer, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->code, 5);
    pool_future_free(future);
    future = made(pool_apply_async(pool, return_an_empty_buffer, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_int_equal(result->size, 0);
    pool_future_free(future);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_record_there_and_another_back),
        PROCESS_TEST(the_wrong_record_is_noticed),
        PROCESS_TEST(a_stream_of_records),
        PROCESS_TEST(a_put_that_failed_fails_the_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
