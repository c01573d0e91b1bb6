/*
 * Items that are claimed together (rule 7): the worker's side on the board; how many have started; and how the host takes back what is
 * claimed and has not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/claim_one.h"
#include "bench.h"

enum { BATCH = 1, ITEMS = 10 };

static struct bench bench;
static struct bench_job jobs[2];
static struct pool__claim claim;

static struct pool__board *board(void) { return &bench.boards[0]; }
static struct pool__seat *seat(void) { return bench_seat(&bench, 0); }

/* Seat 0 has all items in one batch, and may claim several at once. */
static int begin(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    bench.scheduler.blocks = true;
    bench_ready(&bench, 0);
    bench_submit(&bench, &jobs[0], ITEMS, ITEMS, false);
    bench_dispatch(&bench);
    assert_int_equal(bench.sends[0].count, ITEMS);
    memset(&claim, 0, sizeof claim);
    return 0;
}

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static void mark(uint32_t offset, enum pool__mark as) { pool__board_mark(board(), BATCH, offset, as); }

static void claim_up_to(uint32_t most) { assert_true(pool__board_claim(board(), BATCH, most, &claim)); }

/* The worker marks the next item of its claim and, where it may, starts it. */
static bool start_next(void)
{
    mark(claim.next, POOL__MARK_RUN);
    if (!pool__board_may_start(board(), &claim))
        return false;
    claim.next++;
    return true;
}

static void start(uint32_t count)
{
    while (count-- > 0)
        assert_true(start_next());
}

/* Until it has left the batch. */
static void run_the_rest(void)
{
    do {
        while (claim.next < claim.end && start_next())
            continue;
    } while (pool__board_claim(board(), BATCH, 64, &claim));
}

static void assert_claim(uint32_t next, uint32_t after)
{
    assert_int_equal(claim.batch, BATCH);
    assert_int_equal(claim.next, next);
    assert_int_equal(claim.end, after);
}

/* What the range word says: claimed items, of a batch that ends at `after`. */
static void assert_word(uint32_t claimed, uint32_t after)
{
    uint32_t is;

    assert_true(pool__board_claimed(board(), BATCH, after, &is));
    assert_int_equal(is, claimed);
}

/* ------------------------------------------------------------------ the worker's side */

static void several_are_claimed_at_once(void **state)
{
    (void)state;
    claim_up_to(4);
    assert_claim(0, 4);
    assert_word(4, ITEMS);
    start(4);
    claim_up_to(64); /* no more than there are */
    assert_claim(4, ITEMS);
    assert_word(ITEMS, ITEMS);
    start(ITEMS - 4);
    assert_false(pool__board_claim(board(), BATCH, 1, &claim));
}

static void a_claim_holds_while_nothing_changes(void **state)
{
    (void)state;
    claim_up_to(3);
    assert_true(pool__board_may_start(board(), &claim));
    assert_false(pool__board_claim_lost(board(), &claim));
    assert_claim(0, 3);
}

/* What is taken from behind the claim is no loss. */
static void a_lowered_end_takes_nothing_claimed(void **state)
{
    uint32_t after = ITEMS;
    bool sane;

    (void)state;
    claim_up_to(4);
    assert_int_equal(pool__board_take_back(board(), BATCH, &after, 0, &sane), ITEMS - 4);
    start(4);
    assert_claim(4, 4);
    assert_false(pool__board_claim(board(), BATCH, 1, &claim));
}

static void a_lowered_claim_is_shorter(void **state)
{
    (void)state;
    claim_up_to(6);
    start(2);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 4));
    start(1);
    assert_true(claim.word == atomic_load(&board()->range[BATCH])); /* seen once, not at each item */
    start(1);
    assert_claim(4, 4);
    claim_up_to(64);
    assert_claim(4, ITEMS);
}

/* The marked one is still there: it is claimed again, alone. */
static void a_lowered_item_is_claimed_alone(void **state)
{
    (void)state;
    claim_up_to(6);
    start(2);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 2));
    assert_true(start_next());
    assert_claim(3, 3);
    assert_word(3, ITEMS);
}

/* The marked one is not its own any more: the word says so. */
static void a_claim_that_is_lost_is_given_up(void **state)
{
    uint32_t after = ITEMS;
    bool sane;

    (void)state;
    claim_up_to(6);
    start(2);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 2));
    assert_int_equal(pool__board_take_back(board(), BATCH, &after, 0, &sane), ITEMS - 2);
    assert_false(start_next());
    assert_claim(2, 2);
    assert_word(2, 2);
}

/* The host has not seen the last marks: it has lowered the claim too far, and the worker puts it right. */
static void what_has_started_stays_claimed(void **state)
{
    (void)state;
    claim_up_to(6);
    start(4);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 1));
    assert_true(start_next());
    assert_claim(5, 5);
    assert_word(5, ITEMS);
}

/* The same at the end of a claim, where no item is left to be refused: the next claim begins behind the last. */
static void what_has_started_is_not_claimed_again(void **state)
{
    (void)state;
    claim_up_to(4);
    start(4);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 4, 1));
    claim_up_to(2);
    assert_claim(4, 6);
    assert_word(6, ITEMS);
    start(2);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 5));
    claim_up_to(64);
    start(4);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, ITEMS, 7));
    assert_false(pool__board_claim(board(), BATCH, 64, &claim));
}

/* The claim of an earlier batch says nothing of this one. */
static void a_new_batch_is_claimed_from_its_first(void **state)
{
    (void)state;
    claim_up_to(4);
    start(4);
    pool__board_open(board(), BATCH + 1, ITEMS);
    assert_true(pool__board_claim(board(), BATCH + 1, 3, &claim));
    assert_int_equal(claim.next, 0);
    assert_int_equal(claim.end, 3);
}

static void a_claim_whose_entry_is_reused_is_lost(void **state)
{
    uint64_t word;

    (void)state;
    claim_up_to(4);
    pool__board_open(board(), BATCH + POOL__FLIGHT, ITEMS);
    word = atomic_load(&board()->range[BATCH]);
    assert_false(start_next());
    assert_claim(0, 0);
    assert_true(atomic_load(&board()->range[BATCH]) == word);
    claim.next = 0;
    claim.end = 4;
    assert_true(pool__board_move_claim(board(), BATCH + POOL__FLIGHT, ITEMS, 0, 3));
    word = atomic_load(&board()->range[BATCH]);
    assert_false(start_next()); /* though it says that some more are claimed */
    claim.next = 2;
    claim.end = 4;
    pool__board_give_back(board(), &claim);
    assert_true(atomic_load(&board()->range[BATCH]) == word);
}

/* The host has taken the end back to before what was started: not this worker's to mend (rule 12). */
static void an_end_before_the_claim_is_left_alone(void **state)
{
    (void)state;
    claim_up_to(6);
    claim.next = 5;
    atomic_store(&board()->range[BATCH], (uint64_t)BATCH << 48 | UINT64_C(3) << 24 | 2);
    assert_false(start_next());
    assert_claim(5, 5);
    assert_word(2, 3);
}

static void what_is_given_back_is_claimed_again(void **state)
{
    (void)state;
    claim_up_to(6);
    start(2);
    pool__board_give_back(board(), &claim);
    assert_claim(2, 2);
    assert_word(2, ITEMS);
    claim_up_to(3);
    assert_claim(2, 5);
    start(3);
    pool__board_give_back(board(), &claim); /* nothing is left of it */
    assert_word(5, ITEMS);
}

static void given_back_after_the_host_has_lowered_it(void **state)
{
    (void)state;
    claim_up_to(6);
    start(3);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 1));
    pool__board_give_back(board(), &claim);
    assert_word(3, ITEMS);
}

/* ------------------------------------------------------------------ the host's word */

static void a_claim_is_moved_only_from_where_it_is(void **state)
{
    uint32_t after = ITEMS;
    bool sane;

    (void)state;
    claim_up_to(6);
    assert_false(pool__board_move_claim(board(), BATCH, ITEMS, 5, 2));
    assert_false(pool__board_move_claim(board(), BATCH, ITEMS - 1, 6, 2));
    assert_false(pool__board_move_claim(board(), BATCH + POOL__FLIGHT, ITEMS, 6, 2));
    assert_word(6, ITEMS);
    assert_true(pool__board_move_claim(board(), BATCH, ITEMS, 6, 2));
    assert_int_equal(pool__board_take_back(board(), BATCH, &after, 0, &sane), ITEMS - 2);
    assert_true(sane);
    start(2);
    assert_claim(2, 2);
    assert_false(pool__board_claim(board(), BATCH, 1, &claim));
}

/* ------------------------------------------------------------------ how many have started */

static uint32_t started(uint32_t batch, uint32_t claimed) { return pool__seat_started(seat(), batch, claimed); }

static void started_by_the_mark(void **state)
{
    (void)state;
    assert_int_equal(started(BATCH, 0), 0);
    claim_up_to(6); /* a claim alone starts nothing */
    assert_int_equal(started(BATCH, 6), 0);
    mark(0, POOL__MARK_RUN);
    assert_int_equal(started(BATCH, 6), 1);
    mark(3, POOL__MARK_RUN);
    assert_int_equal(started(BATCH, 6), 4);
    mark(3, POOL__MARK_DONE);
    assert_int_equal(started(BATCH, 6), 4);
    mark(3, POOL__MARK_NONE); /* no worker's: it may have started all */
    assert_int_equal(started(BATCH, 6), 6);
}

static void started_by_the_table(void **state)
{
    (void)state;
    bench_do(&bench, 0, BATCH, 1000);
    bench_do(&bench, 0, BATCH, 1000);
    assert_int_equal(started(BATCH, 2), 2);
    mark(0, POOL__MARK_RUN); /* a mark that lies */
    assert_int_equal(started(BATCH, 2), 2);
    assert_int_equal(started(BATCH, 5), 5);
    pool__board_mark(board(), 99, 7, POOL__MARK_RUN); /* of a batch that is not here */
    assert_int_equal(started(BATCH, 2), 2);
    assert_int_equal(started(BATCH, 5), 5);
    pool__board_mark(board(), 0, 7, POOL__MARK_DONE);
    assert_int_equal(started(BATCH, 5), 5);
}

static void all_of_a_batch_that_it_has_passed(void **state)
{
    (void)state;
    bench_do(&bench, 0, BATCH, 10);
    bench_submit(&bench, &jobs[1], 4, 4, false);
    jobs[1].job.item_ns = 10; /* short ones are sent ahead */
    jobs[1].job.last_batch = 1;
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    assert_int_equal(bench.sends[1].seat, 0);
    assert_int_equal(started(BATCH, ITEMS), 1);
    assert_int_equal(started(BATCH + 1, 0), 0);
    pool__board_mark(board(), BATCH + 1, 1, POOL__MARK_RUN);
    assert_int_equal(started(BATCH, ITEMS), ITEMS);
    assert_int_equal(started(BATCH + 1, 4), 2);
    pool__board_mark(board(), BATCH + 1, 1, POOL__MARK_NONE);
    assert_int_equal(started(BATCH, ITEMS), ITEMS);
}

/* ------------------------------------------------------------------ taken back */

/* Seat 1 comes and wants work. */
static void let_it_be_robbed(void)
{
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
}

static void assert_stolen(uint64_t first, uint32_t count)
{
    assert_int_equal(bench.send_count, 2);
    assert_int_equal(bench.sends[1].seat, 1);
    assert_int_equal(bench.sends[1].first, first);
    assert_int_equal(bench.sends[1].count, count);
}

static void claimed_ones_are_stolen(void **state)
{
    (void)state;
    claim_up_to(64);
    start(2);
    let_it_be_robbed();
    assert_int_equal(bench.barriers, 1);
    assert_stolen(6, 4);
    assert_word(2, 6);
    start(1); /* alone */
    claim_up_to(64);
    assert_claim(3, 6);
    start(3);
}

/* Enough lies unclaimed: nobody's processor is asked to pass a barrier. */
static void no_barrier_where_enough_is_unclaimed(void **state)
{
    (void)state;
    claim_up_to(5);
    start(2);
    let_it_be_robbed();
    assert_int_equal(bench.barriers, 0);
    assert_stolen(6, 4);
    start(3);
    assert_claim(5, 5);
}

static void some_claimed_and_some_not(void **state)
{
    (void)state;
    claim_up_to(8);
    start(2);
    let_it_be_robbed();
    assert_stolen(6, 4);
    assert_int_equal(bench_seat(&bench, 0)->owed, 6);
}

static void the_worker_goes_on(struct bench *its)
{
    (void)its;
    /* it has marked these before it saw the lowered word */
    mark(3, POOL__MARK_RUN);
    claim.next = 4;
}

/* Between the first look and the barrier it has started two more: they are its own, and the word says so. */
static void what_starts_meanwhile_is_not_taken(void **state)
{
    (void)state;
    claim_up_to(64);
    start(2);
    bench.on_barrier = the_worker_goes_on;
    let_it_be_robbed();
    assert_int_equal(bench.barriers, 1);
    assert_stolen(6, 4);
    assert_word(4, 6); /* two of the four to be kept have started */
    bench.on_barrier = NULL;
    start(1); /* claimed again */
    claim_up_to(64);
    assert_claim(5, 6);
}

static void it_goes_on_nearly_to_the_end(struct bench *its)
{
    (void)its;
    mark(8, POOL__MARK_RUN);
    claim.next = 9;
}

static void more_starts_meanwhile_than_was_to_be_kept(void **state)
{
    (void)state;
    claim_up_to(64);
    start(2);
    bench.on_barrier = it_goes_on_nearly_to_the_end;
    let_it_be_robbed();
    assert_stolen(9, 1);
    assert_word(9, 9);
}

/* It has corrected the word or claims again, before the host looks again: the host sees its new claim. */
static void it_claims_again(struct bench *its)
{
    (void)its;
    if (claim.next == claim.end)
        claim_up_to(1);
    else
        start(1);
}

static void a_claim_made_meanwhile_is_lowered_too(void **state)
{
    (void)state;
    claim_up_to(64);
    start(2);
    bench.on_barrier = it_claims_again;
    let_it_be_robbed();
    assert_true(bench.barriers <= 8);
    assert_int_equal(bench.sends[1].first + bench.sends[1].count, ITEMS);
    assert_true(bench.sends[1].first >= claim.next);
    run_the_rest();
    assert_int_equal(claim.next, bench.sends[1].first);
}

/* Then nothing claimed can be taken, but all that is not; and the claim is what it was. */
static void a_barrier_refused(void **state)
{
    (void)state;
    claim_up_to(7);
    start(2);
    bench.no_barrier = true;
    let_it_be_robbed();
    assert_stolen(7, 3);
    assert_word(7, 7);
    start(5);
    assert_claim(7, 7);
}

static void without_blocks_what_is_claimed_stays(void **state)
{
    (void)state;
    bench.scheduler.blocks = false;
    claim_up_to(8);
    start(1);
    let_it_be_robbed();
    assert_int_equal(bench.barriers, 0);
    assert_stolen(9, 1);
}

/* A deadline is counted for each: such items are claimed one by one, and none that is claimed is taken. */
static void nor_is_it_under_a_deadline(void **state)
{
    (void)state;
    jobs[0].job.deadline = 1000 * POOL__MS;
    claim_up_to(8);
    start(1);
    let_it_be_robbed();
    assert_int_equal(bench.barriers, 0);
    assert_stolen(9, 1);
}

static void cancelled_ones_do_not_start(void **state)
{
    (void)state;
    claim_up_to(64);
    start(2);
    assert_int_equal(pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true), ITEMS - 2);
    assert_int_equal(bench.barriers, 1);
    assert_int_equal(jobs[0].left, 2);
    assert_true(pool__board_cancel_asked(board())); /* the running one */
    assert_false(start_next());
    assert_false(pool__board_claim(board(), BATCH, 64, &claim));
    mark(0, POOL__MARK_RUN);
    assert_true(pool__board_cancel_asked(board())); /* and any other that stays */
    pool__board_mark(board(), BATCH + 1, 0, POOL__MARK_RUN);
    assert_false(pool__board_cancel_asked(board()));
}

static void one_that_is_emptied_starts_nothing_more(void **state)
{
    (void)state;
    claim_up_to(64);
    start(3);
    assert_true(start_next());
    pool__scheduler_empty_seat(&bench.scheduler, seat());
    assert_false(start_next());
    assert_false(pool__board_claim(board(), BATCH, 64, &claim));
    assert_int_equal(seat()->owed, 4);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), ITEMS - 4);
}

/* Dead with a claim: what it has not marked is given to another. */
static void a_dead_workers_claim_is_given_out_again(void **state)
{
    (void)state;
    claim_up_to(64);
    start(3);
    bench_result(&bench, 0, 10, POOL_OK);
    mark(2, POOL__MARK_RUN);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), ITEMS - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(several_are_claimed_at_once, begin, end),
        cmocka_unit_test_setup_teardown(a_claim_holds_while_nothing_changes, begin, end),
        cmocka_unit_test_setup_teardown(a_lowered_end_takes_nothing_claimed, begin, end),
        cmocka_unit_test_setup_teardown(a_lowered_claim_is_shorter, begin, end),
        cmocka_unit_test_setup_teardown(a_lowered_item_is_claimed_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_claim_that_is_lost_is_given_up, begin, end),
        cmocka_unit_test_setup_teardown(what_has_started_stays_claimed, begin, end),
        cmocka_unit_test_setup_teardown(what_has_started_is_not_claimed_again, begin, end),
        cmocka_unit_test_setup_teardown(a_new_batch_is_claimed_from_its_first, begin, end),
        cmocka_unit_test_setup_teardown(a_claim_whose_entry_is_reused_is_lost, begin, end),
        cmocka_unit_test_setup_teardown(an_end_before_the_claim_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(what_is_given_back_is_claimed_again, begin, end),
        cmocka_unit_test_setup_teardown(given_back_after_the_host_has_lowered_it, begin, end),
        cmocka_unit_test_setup_teardown(a_claim_is_moved_only_from_where_it_is, begin, end),
        cmocka_unit_test_setup_teardown(started_by_the_mark, begin, end),
        cmocka_unit_test_setup_teardown(started_by_the_table, begin, end),
        cmocka_unit_test_setup_teardown(all_of_a_batch_that_it_has_passed, begin, end),
        cmocka_unit_test_setup_teardown(claimed_ones_are_stolen, begin, end),
        cmocka_unit_test_setup_teardown(no_barrier_where_enough_is_unclaimed, begin, end),
        cmocka_unit_test_setup_teardown(some_claimed_and_some_not, begin, end),
        cmocka_unit_test_setup_teardown(what_starts_meanwhile_is_not_taken, begin, end),
        cmocka_unit_test_setup_teardown(more_starts_meanwhile_than_was_to_be_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_claim_made_meanwhile_is_lowered_too, begin, end),
        cmocka_unit_test_setup_teardown(a_barrier_refused, begin, end),
        cmocka_unit_test_setup_teardown(without_blocks_what_is_claimed_stays, begin, end),
        cmocka_unit_test_setup_teardown(nor_is_it_under_a_deadline, begin, end),
        cmocka_unit_test_setup_teardown(cancelled_ones_do_not_start, begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_emptied_starts_nothing_more, begin, end),
        cmocka_unit_test_setup_teardown(a_dead_workers_claim_is_given_out_again, begin, end),
    };

    return cmocka_run_group_tests_name("claims", tests, NULL, NULL);
}
