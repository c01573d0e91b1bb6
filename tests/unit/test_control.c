/* Messages between host and zygote: every field there and back, nonsense refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/control.h"

static const struct pool__message a_message = {POOL__HELLO, 0x01020304, 0x05060708, 0x090a0b0c, 0x1112131415161718};

static void every_field_arrives(void **state)
{
    unsigned char bytes[POOL__MESSAGE_SIZE];
    struct pool__message message = a_message, got;
    int kind;

    (void)state;
    for (kind = POOL__HELLO; kind <= POOL__SPAWN_FAILED; kind++) {
        message.kind = (enum pool__message_kind)kind;
        memset(bytes, 0xee, sizeof bytes);
        pool__message_encode(bytes, &message);
        memset(&got, 0xdd, sizeof got);
        assert_true(pool__message_decode(bytes, &got));
        assert_int_equal(got.kind, message.kind);
        assert_int_equal(got.seat, message.seat);
        assert_int_equal(got.life, message.life);
        assert_int_equal(got.board, message.board);
        assert_int_equal(got.value, message.value);
    }
}

/* A stray message is known by its number alone. */
static void requests_are_even_and_notices_odd(void **state)
{
    (void)state;
    assert_int_equal(POOL__HELLO % 2 + POOL__SPAWN % 2 + POOL__KILL % 2 + POOL__QUIT % 2, 0);
    assert_int_equal(POOL__ALIVE % 2 + POOL__SPAWNED % 2 + POOL__EXITED % 2 + POOL__SPAWN_FAILED % 2, 4);
}

static void messages_without_sense_are_refused(void **state)
{
    unsigned char bytes[POOL__MESSAGE_SIZE];
    struct pool__message message = a_message, got;
    size_t i;

    (void)state;
    message.kind = (enum pool__message_kind)(POOL__SPAWN_FAILED + 1);
    pool__message_encode(bytes, &message);
    assert_false(pool__message_decode(bytes, &got));
    pool__message_encode(bytes, &a_message);
    for (i = 24; i < POOL__MESSAGE_SIZE; i++) {
        bytes[i] = 1;
        assert_false(pool__message_decode(bytes, &got));
        bytes[i] = 0;
    }
    assert_true(pool__message_decode(bytes, &got));
    memset(bytes, 0xff, sizeof bytes);
    assert_false(pool__message_decode(bytes, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_arrives),
        cmocka_unit_test(requests_are_even_and_notices_odd),
        cmocka_unit_test(messages_without_sense_are_refused),
    };

    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
