/* Ends of waits (inv. 13). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "base/clock.h"

static void time_does_not_go_back(void **state)
{
    uint64_t before = pool__now(), now;
    unsigned i;

    (void)state;
    for (i = 0; i < 10000; i++, before = now) {
        now = pool__now();
        assert_true(now >= before);
    }
}

static void ends_of_waits(void **state)
{
    uint64_t before = pool__now(), end = pool__end_of_wait(100), after = pool__now();

    (void)state;
    assert_true(end >= before + 100 * POOL__MS && end <= after + 100 * POOL__MS);
    assert_true(pool__end_of_wait(-1) == POOL__NEVER);
    assert_true(pool__end_of_wait(0) == 0);
    end = pool__end_of_wait(INT_MAX);
    assert_true(end != POOL__NEVER && end > after + (uint64_t)INT_MAX * POOL__MS - POOL__MS);
}

static void waits_are_forever_or_not_negative(void **state)
{
    (void)state;
    assert_true(pool__is_wait(-1));
    assert_true(pool__is_wait(0));
    assert_true(pool__is_wait(INT_MAX));
    assert_false(pool__is_wait(-2));
    assert_false(pool__is_wait(INT_MIN));
}

static void what_is_left_is_rounded_up(void **state)
{
    uint64_t now = pool__now();
    int ms;

    (void)state;
    assert_int_equal(pool__ms_until(POOL__NEVER), -1);
    assert_int_equal(pool__ms_until(0), 0);
    assert_int_equal(pool__ms_until(1), 0);
    assert_int_equal(pool__ms_until(now), 0);
    ms = pool__ms_until(pool__now() + 3600 * 1000 * POOL__MS);
    assert_in_range(ms, 3590 * 1000, 3600 * 1000);
    /* a poll of 0 ms before the end would be a busy loop */
    for (now = 0; now < 1000; now++)
        assert_in_range(pool__ms_until(pool__now() + 60000 * POOL__MS + 1), 1, 60001);
    assert_int_equal(pool__ms_until(POOL__NEVER - 1), INT_MAX);
}

static void a_time_in_parts(void **state)
{
    struct timespec time = pool__timespec(UINT64_C(3000000007));

    (void)state;
    assert_int_equal(time.tv_sec, 3);
    assert_int_equal(time.tv_nsec, 7);
    time = pool__timespec(0);
    assert_int_equal(time.tv_sec, 0);
    assert_int_equal(time.tv_nsec, 0);
    time = pool__timespec(POOL__NEVER);
    assert_int_equal(time.tv_sec, INT_MAX);
    assert_in_range(time.tv_nsec, 0, 999999999);
}

static void the_earlier_of_two(void **state)
{
    (void)state;
    assert_true(pool__earlier(1, 2) == 1);
    assert_true(pool__earlier(POOL__NEVER, 2) == 2);
    assert_true(pool__earlier(POOL__NEVER, POOL__NEVER) == POOL__NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_does_not_go_back),
        cmocka_unit_test(ends_of_waits),
        cmocka_unit_test(waits_are_forever_or_not_negative),
        cmocka_unit_test(what_is_left_is_rounded_up),
        cmocka_unit_test(a_time_in_parts),
        cmocka_unit_test(the_earlier_of_two),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
