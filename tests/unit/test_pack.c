/* Packed values: what is put comes out again, and what was not put never does, whatever the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "procpool.h"

/* An exact copy on the heap, so that a sanitizer sees the first byte read behind it. */
static unsigned char *copy_of(const void *data, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static void values_come_out_in_order(void **state)
{
    struct pool_buffer buffer = {0};
    struct pool_reader reader;
    const void *bytes;
    size_t size;

    (void)state;
    pool_put_int(&buffer, -42);
    pool_put_string(&buffer, "hello");
    pool_put_double(&buffer, 2.5);
    pool_put_bytes(&buffer, "a\0b", 3);
    pool_put_string(&buffer, "");
    assert_false(buffer.failed);
    reader = pool_unpack(buffer.data, buffer.size);
    assert_true(pool_get_int(&reader) == -42);
    assert_string_equal(pool_get_string(&reader), "hello");
    assert_true(pool_get_double(&reader) == 2.5);
    bytes = pool_get_bytes(&reader, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "a\0b", 3);
    assert_true((const unsigned char *)bytes > buffer.data && (const unsigned char *)bytes < buffer.data + buffer.size);
    assert_string_equal(pool_get_string(&reader), "");
    assert_false(reader.failed);
    assert_int_equal(reader.left, 0);
    pool_buffer_free(&buffer);
}

static void numbers_keep_every_bit(void **state)
{
    static const int64_t ints[] = {0, 1, -1, 127, 128, 255, 256, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    static const double doubles[] = {0.0, -0.0, 1.0 / 3, DBL_MIN, DBL_MAX, DBL_TRUE_MIN, INFINITY, -INFINITY, NAN};
    struct pool_buffer buffer = {0};
    struct pool_reader reader;

    (void)state;
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        pool_put_int(&buffer, ints[i]);
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        pool_put_double(&buffer, doubles[i]);
    reader = pool_unpack(buffer.data, buffer.size);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        assert_true(pool_get_int(&reader) == ints[i]);
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        double value = pool_get_double(&reader);

        assert_memory_equal(&value, &doubles[i], sizeof value);
    }
    assert_false(reader.failed);
    pool_buffer_free(&buffer);
}

/* The layout is fixed: what one build of the library has packed, another can read. */
static void the_layout_is_fixed(void **state)
{
    static const unsigned char expected[] = {'i', 2,   1, 0, 0, 0, 0, 0, 0, 's', 2, 0,   0, 0, 0, 0, 0, 0, 'h',  'i',
                                             0,   'b', 1, 0, 0, 0, 0, 0, 0, 0,   7, 'd', 0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    struct pool_buffer buffer = {0};

    (void)state;
    pool_put_int(&buffer, 258);
    pool_put_string(&buffer, "hi");
    pool_put_bytes(&buffer, "\7", 1);
    pool_put_double(&buffer, 1.0);
    assert_int_equal(buffer.size, sizeof expected);
    assert_memory_equal(buffer.data, expected, sizeof expected);
    pool_buffer_free(&buffer);
}

static void large_values_make_the_buffer_grow(void **state)
{
    struct pool_buffer buffer = {0};
    struct pool_reader reader;
    char *large = malloc(1000003);
    size_t size;

    (void)state;
    assert_non_null(large);
    memset(large, 'L', 1000002);
    large[1000002] = '\0';
    for (size_t i = 0; i < 300; i++)
        pool_put_int(&buffer, (int64_t)i);
    pool_put_string(&buffer, large);
    pool_put_bytes(&buffer, large, 1000003);
    assert_false(buffer.failed);
    assert_true(buffer.room >= buffer.size);
    reader = pool_unpack(buffer.data, buffer.size);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(pool_get_int(&reader), i);
    assert_string_equal(pool_get_string(&reader), large);
    assert_memory_equal(pool_get_bytes(&reader, &size), large, 1000003);
    assert_int_equal(size, 1000003);
    assert_false(reader.failed);
    free(large);
    pool_buffer_free(&buffer);
}

static void no_bytes_are_a_value(void **state)
{
    struct pool_buffer buffer = {0};
    struct pool_reader reader;
    size_t size = 99;

    (void)state;
    pool_put_bytes(&buffer, NULL, 0);
    assert_false(buffer.failed);
    reader = pool_unpack(buffer.data, buffer.size);
    assert_non_null(pool_get_bytes(&reader, &size)); /* NULL is for failures */
    assert_int_equal(size, 0);
    assert_false(reader.failed);
    reader = pool_unpack(buffer.data, buffer.size);
    assert_non_null(pool_get_bytes(&reader, NULL));
    pool_buffer_free(&buffer);
}

/* ------------------------------------------------------------------ failing to put */

static void a_failed_put_lasts(void **state)
{
    struct pool_buffer buffer = {0};
    size_t size;

    (void)state;
    pool_put_int(&buffer, 1);
    size = buffer.size;
    pool_put_string(&buffer, NULL);
    assert_true(buffer.failed);
    assert_non_null(strstr(pool_error(), "pool_put_string"));
    pool_put_int(&buffer, 2);
    pool_put_double(&buffer, 2);
    pool_put_string(&buffer, "2");
    pool_put_bytes(&buffer, "2", 1);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, size);
    pool_buffer_free(&buffer);
    assert_false(buffer.failed);
    assert_null(buffer.data);
    pool_put_int(&buffer, 3); /* freed is as good as new */
    assert_false(buffer.failed);
    pool_buffer_free(&buffer);
}

static void impossible_sizes_are_refused(void **state)
{
    static const size_t sizes[] = {SIZE_MAX,         SIZE_MAX - 1, SIZE_MAX - 8,    SIZE_MAX - 9,
                                   SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 2 - 8};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pool_buffer buffer = {0};

        pool_put_int(&buffer, 1);
        pool_put_bytes(&buffer, "x", sizes[i]);
        assert_true(buffer.failed);
        assert_int_equal(buffer.size, 9);
        pool_buffer_free(&buffer);
    }
}

static void bytes_at_null_are_refused(void **state)
{
    struct pool_buffer buffer = {0};

    (void)state;
    pool_put_bytes(&buffer, NULL, 1);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 0);
    pool_buffer_free(&buffer);
}

static void null_objects_do_no_harm(void **state)
{
    size_t size = 99;

    (void)state;
    pool_put_int(NULL, 1);
    assert_non_null(strstr(pool_error(), "buffer is NULL"));
    pool_put_double(NULL, 1);
    pool_put_string(NULL, "1");
    pool_put_bytes(NULL, "1", 1);
    errno = EILSEQ;
    pool_buffer_free(NULL);
    assert_int_equal(errno, EILSEQ);
    assert_true(pool_get_int(NULL) == 0);
    assert_non_null(strstr(pool_error(), "reader is NULL"));
    assert_true(pool_get_double(NULL) == 0);
    assert_string_equal(pool_get_string(NULL), "");
    assert_null(pool_get_bytes(NULL, &size));
    assert_int_equal(size, 0);
}

/* ------------------------------------------------------------------ failing to get */

static void expect_all_gets_fail(struct pool_reader *reader)
{
    size_t size = 99;

    assert_true(reader->failed);
    assert_true(pool_get_int(reader) == 0);
    assert_true(pool_get_double(reader) == 0);
    assert_string_equal(pool_get_string(reader), "");
    assert_null(pool_get_bytes(reader, &size));
    assert_int_equal(size, 0);
    assert_true(reader->failed);
}

static void get_one(struct pool_reader *reader, int type)
{
    switch (type) {
    case 0:
        pool_get_int(reader);
        break;
    case 1:
        pool_get_double(reader);
        break;
    case 2:
        pool_get_string(reader);
        break;
    default:
        pool_get_bytes(reader, NULL);
        break;
    }
}

static void put_one(struct pool_buffer *buffer, int type)
{
    switch (type) {
    case 0:
        pool_put_int(buffer, 1);
        break;
    case 1:
        pool_put_double(buffer, 1);
        break;
    case 2:
        pool_put_string(buffer, "eight ch");
        break;
    default:
        pool_put_bytes(buffer, "eight ch", 9);
        break;
    }
}

static void another_get_than_the_put_fails(void **state)
{
    (void)state;
    for (int put = 0; put < 4; put++) {
        for (int get = 0; get < 4; get++) {
            struct pool_buffer buffer = {0};
            struct pool_reader reader;

            put_one(&buffer, put);
            put_one(&buffer, put);
            reader = pool_unpack(buffer.data, buffer.size);
            get_one(&reader, get);
            assert_int_equal(reader.failed, put != get);
            if (put != get)
                expect_all_gets_fail(&reader);
            pool_buffer_free(&buffer);
        }
    }
}

static void a_get_past_the_end_fails(void **state)
{
    struct pool_buffer buffer = {0};
    struct pool_reader reader = pool_unpack(NULL, 0);

    (void)state;
    assert_false(reader.failed);
    pool_get_int(&reader);
    expect_all_gets_fail(&reader);
    pool_put_int(&buffer, 5);
    reader = pool_unpack(buffer.data, buffer.size);
    assert_true(pool_get_int(&reader) == 5);
    assert_true(pool_get_int(&reader) == 0);
    assert_non_null(strstr(pool_error(), "nothing is left"));
    expect_all_gets_fail(&reader);
    pool_buffer_free(&buffer);
}

static void the_first_failure_keeps_its_words(void **state)
{
    struct pool_buffer buffer = {0};
    struct pool_reader reader;

    (void)state;
    pool_put_string(&buffer, "x");
    reader = pool_unpack(buffer.data, buffer.size);
    pool_get_int(&reader);
    assert_string_equal(pool_error(), "pool_get_int: what comes next is a string");
    pool_get_double(&reader);
    assert_string_equal(pool_error(), "pool_get_int: what comes next is a string");
    pool_buffer_free(&buffer);
}

static void impossible_data_fails_at_once(void **state)
{
    struct pool_reader reader = pool_unpack(NULL, 1);

    (void)state;
    expect_all_gets_fail(&reader);
    reader = pool_unpack("x", SIZE_MAX / 2 + 1);
    expect_all_gets_fail(&reader);
}

static void values_cut_anywhere_fail(void **state)
{
    (void)state;
    for (int type = 0; type < 4; type++) {
        struct pool_buffer buffer = {0};

        put_one(&buffer, type);
        for (size_t size = 0; size < buffer.size; size++) {
            unsigned char *cut = copy_of(buffer.data, size);
            struct pool_reader reader = pool_unpack(cut, size);

            get_one(&reader, type);
            expect_all_gets_fail(&reader);
            free(cut);
        }
        pool_buffer_free(&buffer);
    }
}

static void lengths_that_lie_fail(void **state)
{
    static const uint64_t lies[] = {10,        11, 18, 19, 255, UINT32_MAX, INT64_MAX, UINT64_MAX - 9, UINT64_MAX - 1,
                                    UINT64_MAX};

    (void)state;
    for (int type = 2; type < 4; type++) {
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
            struct pool_buffer buffer = {0};
            struct pool_reader reader;
            unsigned char *copy;

            put_one(&buffer, type);
            for (int byte = 0; byte < 8; byte++)
                buffer.data[1 + byte] = (unsigned char)(lies[i] >> (8 * byte));
            copy = copy_of(buffer.data, buffer.size);
            reader = pool_unpack(copy, buffer.size);
            get_one(&reader, type);
            expect_all_gets_fail(&reader);
            free(copy);
            pool_buffer_free(&buffer);
        }
    }
}

static void a_string_ends_where_its_length_says(void **state)
{
    struct pool_buffer buffer = {0};
    struct pool_reader reader;

    (void)state;
    pool_put_string(&buffer, "string");
    buffer.data[buffer.size - 1] = '!';
    reader = pool_unpack(buffer.data, buffer.size);
    pool_get_string(&reader);
    expect_all_gets_fail(&reader);
    buffer.data[buffer.size - 1] = '\0';
    buffer.data[buffer.size - 3] = '\0';
    reader = pool_unpack(buffer.data, buffer.size);
    pool_get_string(&reader);
    expect_all_gets_fail(&reader);
    pool_buffer_free(&buffer);
}

/* Rubbish of every length, most of it beginning like a value; the seed is fixed. */
static void rubbish_is_never_read_beyond(void **state)
{
    uint64_t seed = 12345;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        unsigned char bytes[40];
        unsigned char *copy;
        size_t size;
        struct pool_reader reader;

        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            bytes[i] = (unsigned char)(seed >> 56) < 160 ? 0 : (unsigned char)(seed >> 48);
        }
        size = (size_t)(seed >> 33) % sizeof bytes;
        bytes[0] = (unsigned char)"idsb"[(seed >> 40) % 4];
        bytes[9] = (unsigned char)"idsb"[(seed >> 42) % 4];
        copy = copy_of(bytes, size);
        reader = pool_unpack(copy, size);
        for (int get = 0; get < 4; get++) {
            if ((seed >> (50 + get)) % 2 == 0)
                get_one(&reader, (int)((seed >> (44 + 2 * get)) % 4));
            assert_true(reader.left <= size);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_out_in_order),      cmocka_unit_test(numbers_keep_every_bit),
        cmocka_unit_test(the_layout_is_fixed),           cmocka_unit_test(large_values_make_the_buffer_grow),
        cmocka_unit_test(no_bytes_are_a_value),          cmocka_unit_test(a_failed_put_lasts),
        cmocka_unit_test(impossible_sizes_are_refused),  cmocka_unit_test(bytes_at_null_are_refused),
        cmocka_unit_test(null_objects_do_no_harm),       cmocka_unit_test(another_get_than_the_put_fails),
        cmocka_unit_test(a_get_past_the_end_fails),      cmocka_unit_test(the_first_failure_keeps_its_words),
        cmocka_unit_test(impossible_data_fails_at_once), cmocka_unit_test(values_cut_anywhere_fail),
        cmocka_unit_test(lengths_that_lie_fail),         cmocka_unit_test(a_string_ends_where_its_length_says),
        cmocka_unit_test(rubbish_is_never_read_beyond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
