/* What a worker leaves of its crash on the board, what is believed of it, and what the next life finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/board.h"

static struct pool__board board;
static const struct pool__crash a_crash = {.signal = 11, .kind = 2, .value = 0x10, .counter = 0x1234, .stack = 0x7ff0};

static int clear(void **state)
{
    (void)state;
    memset(&board, 0xee, sizeof board);
    pool__board_clear(&board);
    return 0;
}

static void assert_crash_is_ours(const struct pool__crash *crash)
{
    assert_int_equal(crash->signal, a_crash.signal);
    assert_int_equal(crash->kind, a_crash.kind);
    assert_int_equal(crash->value, a_crash.value);
    assert_int_equal(crash->counter, a_crash.counter);
    assert_int_equal(crash->stack, a_crash.stack);
}

static void nothing_was_told(void **state)
{
    struct pool__crash crash;

    (void)state;
    assert_false(pool__board_crash(&board, &crash));
}

static void what_is_known_at_once_is_told_at_once(void **state)
{
    struct pool__crash crash;

    (void)state;
    pool__board_tell_crash(&board, &a_crash);
    memset(&crash, 0x5a, sizeof crash);
    assert_true(pool__board_crash(&board, &crash));
    assert_crash_is_ours(&crash);
    assert_int_equal(crash.count, 0); /* whatever stands there: the calls are not told yet */
}

static void calls_follow(void **state)
{
    static const uintptr_t calls[] = {0x100, 0x200, 0x300};
    struct pool__crash crash;

    (void)state;
    pool__board_tell_crash(&board, &a_crash);
    pool__board_tell_calls(&board, calls, 3);
    assert_true(pool__board_crash(&board, &crash));
    assert_crash_is_ours(&crash);
    assert_int_equal(crash.count, 3);
    assert_int_equal(crash.calls[0], 0x100);
    assert_int_equal(crash.calls[2], 0x300);
}

static void there_is_room_for_so_many_calls(void **state)
{
    uintptr_t calls[POOL__CRASH_CALLS + 5];
    struct pool__crash crash;
    size_t i;

    (void)state;
    for (i = 0; i < POOL__CRASH_CALLS + 5; i++)
        calls[i] = i + 1;
    pool__board_tell_crash(&board, &a_crash);
    memset(board.staging, 0x77, 16);
    pool__board_tell_calls(&board, calls, POOL__CRASH_CALLS + 5);
    assert_true(pool__board_crash(&board, &crash));
    assert_int_equal(crash.count, POOL__CRASH_CALLS);
    assert_int_equal(crash.calls[POOL__CRASH_CALLS - 1], POOL__CRASH_CALLS);
    assert_int_equal(board.staging[0], 0x77);
}

static void scribbles_are_not_believed(void **state)
{
    struct pool__crash crash;
    uint32_t stage;

    (void)state;
    pool__board_tell_crash(&board, &a_crash);
    pool__board_tell_calls(&board, NULL, 0);
    board.crash.count = POOL__CRASH_CALLS + 1;
    assert_false(pool__board_crash(&board, &crash));
    board.crash.count = UINT64_MAX;
    assert_false(pool__board_crash(&board, &crash));
    board.crash.count = POOL__CRASH_CALLS;
    assert_true(pool__board_crash(&board, &crash));
    for (stage = POOL__CRASH_WHOLE + 1; stage != 0; stage = stage * 2 + 1) {
        atomic_store(&board.crashed, stage);
        assert_false(pool__board_crash(&board, &crash));
        if (stage == UINT32_MAX)
            break;
    }
}

static bool staging_is_clear(void)
{
    size_t i = 0;

    while (i < sizeof board.staging && board.staging[i] == 0)
        i++;
    return i == sizeof board.staging;
}

static void dirty(void)
{
    pool__board_clear(&board);
    memset(board.staging, 0x33, sizeof board.staging);
}

static void the_next_life_finds_nothing(void **state)
{
    struct pool__crash crash;

    (void)state;
    pool__board_tell_crash(&board, &a_crash);
    dirty();
    assert_false(pool__board_crash(&board, &crash));
    pool__board_mark(&board, 1, 0, POOL__MARK_DONE);
    pool__board_clear(&board);
    assert_true(staging_is_clear());
    dirty();
    atomic_store(&board.staged, 48); /* READY, and never an item */
    pool__board_clear(&board);
    assert_true(staging_is_clear());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_was_told, clear),
        cmocka_unit_test_setup(what_is_known_at_once_is_told_at_once, clear),
        cmocka_unit_test_setup(calls_follow, clear),
        cmocka_unit_test_setup(there_is_room_for_so_many_calls, clear),
        cmocka_unit_test_setup(scribbles_are_not_believed, clear),
        cmocka_unit_test_setup(the_next_life_finds_nothing, clear),
    };

    return cmocka_run_group_tests_name("board_crash", tests, NULL, NULL);
}
