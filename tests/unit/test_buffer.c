/* Bytes that grow at their end and go from their front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/buffer.h"

static void bytes_come_out_as_they_went_in(void **state)
{
    struct pool__bytes bytes = {NULL, 0, 0, 0};

    (void)state;
    assert_true(pool__bytes_reserve(&bytes, 10));
    pool__bytes_append(&bytes, "hello", 5);
    pool__bytes_append_zeros(&bytes, 3);
    pool__bytes_append(&bytes, NULL, 0);
    assert_int_equal(pool__bytes_held(&bytes), 8);
    assert_memory_equal(bytes.data + bytes.from, "hello\0\0\0", 8);
    pool__bytes_take(&bytes, 2);
    assert_int_equal(pool__bytes_held(&bytes), 6);
    assert_memory_equal(bytes.data + bytes.from, "llo\0\0\0", 6);
    pool__bytes_take(&bytes, 6);
    assert_int_equal(pool__bytes_held(&bytes), 0);
    assert_int_equal(bytes.from, 0);
    pool__bytes_free(&bytes);
    assert_null(bytes.data);
    pool__bytes_free(&bytes);
}

/* Room in front is used again before there is more. */
static void room_is_used_again(void **state)
{
    struct pool__bytes bytes = {NULL, 0, 0, 0};
    unsigned char block[100];
    size_t room;
    unsigned i;

    (void)state;
    memset(block, 1, sizeof block);
    assert_true(pool__bytes_reserve(&bytes, sizeof block));
    room = bytes.room;
    for (i = 0; i < 1000; i++) {
        assert_true(pool__bytes_reserve(&bytes, sizeof block));
        pool__bytes_append(&bytes, block, sizeof block);
        if (i > 0)
            pool__bytes_take(&bytes, sizeof block);
    }
    assert_int_equal(pool__bytes_held(&bytes), sizeof block);
    assert_int_equal(bytes.room, room);
    pool__bytes_free(&bytes);
}

static void what_is_reserved_is_there(void **state)
{
    struct pool__bytes bytes = {NULL, 0, 0, 0};
    unsigned char byte = 0;
    size_t i, k;

    (void)state;
    for (i = 1; i < 5000; i += 37) {
        assert_true(pool__bytes_reserve(&bytes, i));
        assert_true(bytes.room - bytes.to >= i);
        for (k = 0; k < i; k++, byte++)
            pool__bytes_append(&bytes, &byte, 1);
        pool__bytes_take(&bytes, i / 2);
    }
    for (i = 1; i <= pool__bytes_held(&bytes); i++)
        assert_int_equal(bytes.data[bytes.to - i], (unsigned char)(byte - i));
    pool__bytes_free(&bytes);
}

static void too_much_changes_nothing(void **state)
{
    struct pool__bytes bytes = {NULL, 0, 0, 0};

    (void)state;
    assert_true(pool__bytes_reserve(&bytes, 4));
    pool__bytes_append(&bytes, "abcd", 4);
    assert_false(pool__bytes_reserve(&bytes, SIZE_MAX));
    assert_false(pool__bytes_reserve(&bytes, SIZE_MAX - 4));
    assert_false(pool__bytes_reserve(&bytes, SIZE_MAX / 2));
    assert_int_equal(pool__bytes_held(&bytes), 4);
    assert_memory_equal(bytes.data + bytes.from, "abcd", 4);
    pool__bytes_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(room_is_used_again),
        cmocka_unit_test(what_is_reserved_is_there),
        cmocka_unit_test(too_much_changes_nothing),
    };

    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
