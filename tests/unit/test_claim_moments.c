/*
 * Items claimed together (rule 7): the worker's claim and the host's taking it back, step by step in every order that
 * counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/board.h"

/* ------------------------------------------------------------------ the range word */

static struct pool__board board;
static struct pool__claim claim;

/* Batch 1 has `count` items, of which the worker has claimed the first `claimed` and marked the first. */
static void begin_claimed(uint32_t count, uint32_t claimed)
{
    pool__board_clear(&board);
    pool__board_open(&board, 1, count);
    memset(&claim, 0, sizeof claim);
    assert_true(pool__board_claim(&board, 1, claimed, &claim));
    assert_int_equal(claim.end - claim.next, claimed);
    pool__board_mark(&board, 1, 0, POOL__MARK_RUN);
}

static void assert_claimed(uint32_t end, uint32_t expected)
{
    uint32_t claimed;

    assert_true(pool__board_claimed(&board, 1, end, &claimed));
    assert_int_equal(claimed, expected);
}

static void assert_taken(uint32_t *end, uint32_t expected)
{
    bool sane;

    assert_int_equal(pool__board_take_back(&board, 1, end, 0, &sane), expected);
    assert_true(sane);
}

static void an_untouched_claim_holds(void **state)
{
    (void)state;
    begin_claimed(8, 4);
    assert_true(pool__board_may_start(&board, &claim));
    claim.next++;
    assert_true(pool__board_may_start(&board, &claim));
    assert_int_equal(claim.end, 4);
    pool__board_give_back(&board, &claim);
    assert_claimed(8, 1);
}

/* The host has not seen the mark, and takes all. */
static void what_is_taken_is_not_started(void **state)
{
    uint32_t end = 8;

    (void)state;
    begin_claimed(8, 4);
    assert_true(pool__board_move_claim(&board, 1, 8, 4, 0));
    assert_taken(&end, 8);
    assert_false(pool__board_may_start(&board, &claim));
    assert_false(pool__board_claim(&board, 1, 4, &claim));
}

/* The host has seen it, and raised the word before the worker looks. */
static void what_the_host_has_seen_is_started(void **state)
{
    uint32_t end = 8;

    (void)state;
    begin_claimed(8, 4);
    assert_true(pool__board_move_claim(&board, 1, 8, 4, 0));
    assert_true(pool__board_move_claim(&board, 1, 8, 0, 1));
    assert_taken(&end, 7);
    assert_true(pool__board_may_start(&board, &claim));
    assert_int_equal(claim.end, 1);
    claim.next++;
    assert_false(pool__board_claim(&board, 1, 4, &claim));
}

/*
 * The host has seen it, and the worker looks before the word is raised: the item is the worker's, and the host finds
 * the word changed. Else it would be passed over, by both.
 */
static void no_item_is_passed_over(void **state)
{
    uint32_t end = 8;

    (void)state;
    begin_claimed(8, 4);
    assert_true(pool__board_move_claim(&board, 1, 8, 4, 0));
    assert_true(pool__board_may_start(&board, &claim));
    assert_int_equal(claim.end, 1);
    assert_false(pool__board_move_claim(&board, 1, 8, 0, 1));
    assert_claimed(8, 1);
    claim.next++;
    assert_true(pool__board_claim(&board, 1, 4, &claim));
    assert_int_equal(claim.next, 1);
    assert_int_equal(claim.end, 5);
    assert_taken(&end, 3);
}

/* The host lowered it by a mark that was old. */
static void a_late_host_is_corrected(void **state)
{
    (void)state;
    begin_claimed(8, 8);
    claim.next = 5;
    pool__board_mark(&board, 1, 5, POOL__MARK_RUN);
    assert_true(pool__board_move_claim(&board, 1, 8, 8, 2));
    assert_true(pool__board_may_start(&board, &claim));
    assert_claimed(8, 6);
    assert_false(pool__board_move_claim(&board, 1, 8, 2, 6));
    assert_int_equal(claim.end, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_untouched_claim_holds),
        cmocka_unit_test(what_is_taken_is_not_started),
        cmocka_unit_test(what_the_host_has_seen_is_started),
        cmocka_unit_test(no_item_is_passed_over),
        cmocka_unit_test(a_late_host_is_corrected),
    };

    return cmocka_run_group_tests_name("claim_moments", tests, NULL, NULL);
}
