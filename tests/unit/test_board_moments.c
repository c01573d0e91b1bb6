/*
 * What the other side of a board may do in the middle of a look: just before a compare-and-swap, just after a copy. The
 * shipped code is compiled in here, with its atomic operations opened up for that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/claim_one.h"
#include "data/board.h"

/* What happens at the next compare-and-swaps, or at the copy's end; counts itself. */
static void (*moment)(struct pool__board *its);
static unsigned moments;
static bool fails_for_nothing; /* the next swap fails though nothing has changed, as weak ones may */

static _Alignas(64) struct pool__board page;

static void come_to_moment(void)
{
    moments++;
    if (moment != NULL)
        moment(&page);
}

static bool swap(_Atomic uint64_t *word, uint64_t *expected, uint64_t desired)
{
    come_to_moment();
    if (fails_for_nothing) {
        fails_for_nothing = false;
        *expected = atomic_load(word);
        return false;
    }
    return atomic_compare_exchange_strong(word, expected, desired);
}

#undef atomic_compare_exchange_weak_explicit
#define atomic_compare_exchange_weak_explicit(word, expected, desired, success, failure) \
    swap((word), (expected), (desired))
#undef atomic_thread_fence
#define atomic_thread_fence(order) come_to_moment()

#include "data/board.c"

static int begin(void **state)
{
    (void)state;
    moment = NULL;
    moments = 0;
    fails_for_nothing = false;
    atomic_store(&page.staged, 1);
    pool__board_clear(&page);
    pool__board_open(&page, 1, 10);
    return 0;
}

/* ---- what the worker does */

static void worker_claims(struct pool__board *its)
{
    uint32_t offset;

    moment = NULL;
    assert_true(claim_one(its, 1, &offset));
}

static void worker_claims_the_last(struct pool__board *its)
{
    uint32_t offset;

    moment = NULL;
    while (claim_one(its, 1, &offset))
        continue;
}

/* Sense, but another one each time. */
static void worker_scribbles(struct pool__board *its)
{
    struct range range = {1, 10, moments % 2};

    atomic_store(&its->range[1], range_word(range));
}

static void worker_writes_nonsense(struct pool__board *its)
{
    atomic_store(&its->range[1], UINT64_MAX);
}

static void worker_has_flushed(struct pool__board *its)
{
    atomic_store(&its->base, atomic_load(&its->staged));
}

static void host_takes_all(struct pool__board *its)
{
    uint32_t end = 10;
    bool sane;

    moment = NULL;
    pool__board_take_back(its, 1, &end, 0, &sane);
}

/* ---- tests */

static void a_claim_in_between_is_not_taken_back(void **state)
{
    uint32_t end = 10;
    bool sane = false;

    (void)state;
    moment = worker_claims;
    assert_int_equal(pool__board_take_back(&page, 1, &end, 0, &sane), 9);
    assert_true(sane);
    assert_int_equal(end, 1);
}

static void all_claimed_in_between_leaves_nothing(void **state)
{
    uint32_t end = 10;
    bool sane = false;

    (void)state;
    moment = worker_claims_the_last;
    assert_int_equal(pool__board_take_back(&page, 1, &end, 0, &sane), 0);
    assert_true(sane);
    assert_int_equal(end, 10);
}

static void nonsense_in_between_is_seen(void **state)
{
    uint32_t end = 10;
    bool sane = true;

    (void)state;
    moment = worker_writes_nonsense;
    assert_int_equal(pool__board_take_back(&page, 1, &end, 0, &sane), 0);
    assert_false(sane);
    assert_int_equal(end, 10);
}

/* Rule 12: one that writes faster than the host can look does not hold it. */
static void one_that_scribbles_does_not_hold_the_host(void **state)
{
    uint32_t end = 10;
    bool sane = false;

    (void)state;
    moment = worker_scribbles;
    assert_int_equal(pool__board_take_back(&page, 1, &end, 0, &sane), 0);
    assert_true(sane);
    assert_int_equal(end, 10);
    assert_int_equal(moments, 64);
}

static void a_swap_may_fail_for_nothing(void **state)
{
    uint32_t end = 10, offset = 99;
    bool sane = false;

    (void)state;
    fails_for_nothing = true;
    assert_int_equal(pool__board_take_back(&page, 1, &end, 4, &sane), 6);
    assert_true(sane);
    fails_for_nothing = true;
    assert_true(claim_one(&page, 1, &offset));
    assert_int_equal(offset, 0);
    assert_true(claim_one(&page, 1, &offset));
    assert_int_equal(offset, 1);
}

static void what_is_taken_in_between_is_not_claimed(void **state)
{
    uint32_t offset = 99;

    (void)state;
    moment = host_takes_all;
    assert_false(claim_one(&page, 1, &offset));
    assert_int_equal(moments, 2); /* the claim's and the host's own */
}

/* Bytes of staging may be overwritten once base has moved: such a copy is nobody's result. */
static void a_copy_is_dropped_where_base_has_moved(void **state)
{
    unsigned char copy[100];

    (void)state;
    atomic_store(&page.staged, 80);
    assert_int_equal(pool__board_salvage(&page, 0, copy, sizeof copy), 80);
    moment = worker_has_flushed;
    assert_int_equal(pool__board_salvage(&page, 0, copy, sizeof copy), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_claim_in_between_is_not_taken_back, begin),
        cmocka_unit_test_setup(all_claimed_in_between_leaves_nothing, begin),
        cmocka_unit_test_setup(nonsense_in_between_is_seen, begin),
        cmocka_unit_test_setup(one_that_scribbles_does_not_hold_the_host, begin),
        cmocka_unit_test_setup(a_swap_may_fail_for_nothing, begin),
        cmocka_unit_test_setup(what_is_taken_in_between_is_not_claimed, begin),
        cmocka_unit_test_setup(a_copy_is_dropped_where_base_has_moved, begin),
    };

    return cmocka_run_group_tests_name("board_moments", tests, NULL, NULL);
}
