/*
 * Where test_claims leaves off: host and worker at the same claim at the same moment, step by step in every order that
 * counts; and marks that do not fit the worker's other words, by which nothing is stolen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bench.h"

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

/* ------------------------------------------------------------------ stealing */

static struct bench bench;
static struct bench_job job;

/* Seat 0 has two batches of eight, of which it has claimed so many; seat 1 has just begun. */
static void begin_with_one_rich(uint32_t first, uint32_t second)
{
    struct pool__claim claims = {0};

    bench_begin(&bench, 2, 2);
    bench.scheduler.blocks = true;
    bench_ready(&bench, 0);
    bench_submit(&bench, &job, 16, 8, false);
    job.job.item_ns = 100;
    bench_dispatch(&bench);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    if (first > 0)
        assert_true(pool__board_claim(&bench.boards[0], 1, first, &claims));
    if (second > 0)
        assert_true(pool__board_claim(&bench.boards[0], 2, second, &claims));
    bench_ready(&bench, 1);
}

static void mark(uint32_t batch, uint32_t offset, enum pool__mark as)
{
    pool__board_mark(&bench.boards[0], batch, offset, as);
}

static uint32_t count_at(uint32_t batch)
{
    const struct pool__run *run = bench_seat(&bench, 0)->flight[batch % POOL__FLIGHT];

    return run == NULL ? 0 : run->count;
}

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static void claimed_items_are_stolen(void **state)
{
    (void)state;
    begin_with_one_rich(8, 8);
    mark(2, 1, POOL__MARK_RUN);
    bench_dispatch(&bench);
    assert_int_equal(bench.barriers, 1);
    assert_int_equal(count_at(1), 8);
    assert_int_equal(count_at(2), 5);
    assert_int_equal(bench.sends[2].seat, 1);
    assert_int_equal(bench.sends[2].first, 13);
    assert_int_equal(bench.sends[2].count, 3);
}

/* It has claimed of batch 2, so it has left batch 1, whose results are on their way: the mark lies. */
static void a_mark_that_goes_back_gives_nothing(void **state)
{
    (void)state;
    begin_with_one_rich(8, 8);
    mark(1, 0, POOL__MARK_RUN);
    bench_dispatch(&bench);
    assert_int_equal(count_at(1), 8);
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    assert_int_equal(count_at(1), 8);
}

static void go_on(struct bench *host)
{
    (void)host;
    mark(2, 4, POOL__MARK_RUN);
}

static void what_was_started_meanwhile_stays(void **state)
{
    (void)state;
    begin_with_one_rich(8, 8);
    mark(2, 1, POOL__MARK_RUN);
    bench.on_barrier = go_on;
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    assert_int_equal(count_at(2), 5);
}

static void talk_nonsense(struct bench *host)
{
    (void)host;
    mark(9, 4, POOL__MARK_RUN);
}

static void a_mark_that_cannot_be_any_more_gives_nothing(void **state)
{
    (void)state;
    begin_with_one_rich(8, 6);
    mark(2, 1, POOL__MARK_RUN);
    bench.on_barrier = talk_nonsense;
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    assert_int_equal(count_at(2), 6);
}

/* Of one that talked nonsense, nothing that it has claimed is given to another. */
static void a_condemned_liar_keeps_its_claim(void **state)
{
    struct pool__seat *seat;

    (void)state;
    begin_with_one_rich(8, 6);
    seat = bench_seat(&bench, 0);
    mark(2, 1, POOL__MARK_RUN);
    pool__staffing_condemn(&bench.scheduler, seat, POOL__KILL_NONSENSE, bench.now);
    pool__scheduler_empty_seat(&bench.scheduler, seat);
    assert_int_equal(count_at(2), 6);
}

/* A cancel ends what is not started at once, and no more than that. */
static void a_cancel_keeps_what_may_run(void **state)
{
    (void)state;
    begin_with_one_rich(8, 8);
    mark(1, 0, POOL__MARK_RUN);
    pool__scheduler_withdraw(&bench.scheduler, &job.job, POOL_CANCELLED, false);
    assert_int_equal(count_at(1), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_untouched_claim_holds),
        cmocka_unit_test(what_is_taken_is_not_started),
        cmocka_unit_test(what_the_host_has_seen_is_started),
        cmocka_unit_test(no_item_is_passed_over),
        cmocka_unit_test(a_late_host_is_corrected),
        cmocka_unit_test_teardown(claimed_items_are_stolen, end),
        cmocka_unit_test_teardown(a_mark_that_goes_back_gives_nothing, end),
        cmocka_unit_test_teardown(what_was_started_meanwhile_stays, end),
        cmocka_unit_test_teardown(a_mark_that_cannot_be_any_more_gives_nothing, end),
        cmocka_unit_test_teardown(a_condemned_liar_keeps_its_claim, end),
        cmocka_unit_test_teardown(a_cancel_keeps_what_may_run, end),
    };

    return cmocka_run_group_tests_name("claim_moments", tests, NULL, NULL);
}
