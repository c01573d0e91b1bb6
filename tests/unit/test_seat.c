/* The seat's states and table, and what is judged of a dead worker's items (rules 2 and 12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../support/claim_one.h"
#include "engine/seat.h"

static struct pool__board board;
static struct pool__seat seat;
static struct pool__job job;
static struct pool__run runs[3];

static int begin(void **state)
{
    (void)state;
    memset(&seat, 0, sizeof seat);
    memset(&job, 0, sizeof job);
    memset(runs, 0, sizeof runs);
    pool__board_clear(&board);
    pool__seat_enter(&seat, POOL__SEAT_STARTING, 100);
    pool__seat_begin(&seat, 0, 100);
    seat.board = &board;
    return 0;
}

static uint32_t add(unsigned which, uint64_t first, uint32_t count)
{
    runs[which].job = &job;
    runs[which].first = first;
    runs[which].count = count;
    return pool__seat_add(&seat, &runs[which], 200);
}

static void claim(uint32_t batch, uint32_t count)
{
    uint32_t offset;

    while (count-- > 0)
        assert_true(claim_one(&board, batch, &offset));
}

static void put_range(uint32_t batch, uint64_t tag, uint64_t end, uint64_t next)
{
    atomic_store(&board.range[batch % POOL__FLIGHT], tag << 48 | end << 24 | next);
}

/* ------------------------------------------------------------------ states */

static void every_pair_of_states(void **state)
{
    static const char allowed[5][6] = {
        /*              E S R L D */
        [POOL__SEAT_EMPTY] = "01000",
        [POOL__SEAT_STARTING] = "10111",
        [POOL__SEAT_READY] = "10011",
        [POOL__SEAT_LEAVING] = "10001",
        [POOL__SEAT_DYING] = "10000",
    };
    int from, to;

    (void)state;
    for (from = 0; from < 5; from++) {
        for (to = 0; to < 5; to++) {
            bool may = allowed[from][to] == '1';

            assert_int_equal(pool__seat_may_become((enum pool__seat_state)from, (enum pool__seat_state)to), may);
            seat.state = (enum pool__seat_state)from;
            seat.since = 1;
            pool__seat_enter(&seat, (enum pool__seat_state)to, 2);
            assert_int_equal(seat.state, may ? to : from);
            assert_int_equal(seat.since, may ? 2 : 1);
        }
    }
}

static void a_new_life_owes_nothing(void **state)
{
    (void)state;
    add(0, 0, 5);
    seat.reason = POOL__KILL_NONSENSE;
    seat.was_ready = seat.started_any = true;
    pool__seat_begin(&seat, 7, 300);
    assert_int_equal(seat.owed, 0);
    assert_int_equal(seat.budget, 7);
    assert_int_equal(seat.reason, POOL__KILL_NONE);
    assert_false(seat.was_ready || seat.started_any);
    assert_null(pool__seat_head(&seat));
    assert_int_equal(pool__seat_batches(&seat), 0);
    pool__seat_begin(&seat, 0, 300);
    assert_true(seat.budget == UINT64_MAX);
}

/* ------------------------------------------------------------------ the table */

static void batches_stand_in_order(void **state)
{
    (void)state;
    seat.budget = 10;
    assert_int_equal(add(0, 0, 2), 1);
    assert_int_equal(add(1, 2, 1), 2);
    assert_int_equal(add(2, 3, 3), 3);
    assert_int_equal(seat.owed, 6);
    assert_int_equal(seat.budget, 4);
    assert_int_equal(job.in_flight, 6);
    assert_int_equal(pool__seat_batches(&seat), 3);
    assert_ptr_equal(pool__seat_head(&seat), &runs[0]);
    pool__seat_release(&seat, 2);
    assert_ptr_equal(pool__seat_head(&seat), &runs[0]);
    pool__seat_release(&seat, 1);
    assert_ptr_equal(pool__seat_head(&seat), &runs[2]);
    pool__seat_release(&seat, 3);
    assert_null(pool__seat_head(&seat));
    assert_int_equal(pool__seat_batches(&seat), 0);
}

/* Rule 3: an entry is free again only when the worker has left the batch. */
static void entries_are_bounded(void **state)
{
    unsigned i;

    (void)state;
    for (i = 0; i < POOL__FLIGHT; i++) {
        assert_true(pool__seat_has_entry(&seat));
        add(0, 0, 1);
        pool__seat_release(&seat, seat.sent);
    }
    assert_false(pool__seat_has_entry(&seat));
    seat.left = 1;
    assert_true(pool__seat_has_entry(&seat));
}

static void what_is_taken_back_is_owed_no_more(void **state)
{
    uint64_t first = 0;
    bool sane = false;

    (void)state;
    seat.budget = 10;
    add(0, 100, 10);
    claim(1, 2);
    assert_int_equal(pool__seat_take_back(&seat, 1, 5, &first, &sane), 3);
    assert_true(sane);
    assert_int_equal(first, 107);
    assert_int_equal(runs[0].count, 7);
    assert_int_equal(seat.owed, 7);
    assert_int_equal(seat.budget, 3);
    assert_int_equal(job.in_flight, 7);
    assert_int_equal(pool__seat_take_back(&seat, 1, 0, &first, &sane), 5);
    assert_int_equal(first, 102);
    assert_int_equal(pool__seat_take_back(&seat, 1, 0, &first, &sane), 0);
    assert_true(sane);
}

/* The worker has moved `next` back behind items that have their outcome. */
static void outcomes_are_not_taken_back(void **state)
{
    uint64_t first = 0, owed;
    bool sane = true;

    (void)state;
    add(0, 0, 10);
    claim(1, 4);
    runs[0].done = 3;
    owed = seat.owed;
    put_range(1, 1, 10, 1);
    assert_int_equal(pool__seat_take_back(&seat, 1, 0, &first, &sane), 0);
    assert_false(sane);
    assert_int_equal(runs[0].count, 10);
    assert_int_equal(seat.owed, owed);
}

static void what_runs_is_what_is_marked(void **state)
{
    (void)state;
    assert_false(pool__seat_is_running(&seat));
    add(0, 0, 2);
    assert_false(pool__seat_is_running(&seat));
    claim(1, 1);
    assert_false(pool__seat_is_running(&seat));
    pool__board_mark(&board, 1, 0, POOL__MARK_RUN);
    assert_true(pool__seat_is_running(&seat));
    pool__board_mark(&board, 1, 0, POOL__MARK_DONE);
    assert_false(pool__seat_is_running(&seat));
    pool__board_mark(&board, 2, 0, POOL__MARK_RUN); /* no such batch */
    assert_false(pool__seat_is_running(&seat));
}

/*
 * Its result was taken before the worker came to say DONE: it runs nothing. Else its last items would be stolen,
 * given to it and stolen again.
 */
static void an_item_with_an_outcome_does_not_run(void **state)
{
    (void)state;
    add(0, 0, 2);
    claim(1, 1);
    pool__board_mark(&board, 1, 0, POOL__MARK_RUN);
    runs[0].done = 1;
    seat.owed--;
    assert_false(pool__seat_is_running(&seat));
}

/* ------------------------------------------------------------------ the judgement */

static void assert_verdict(uint32_t batch, uint32_t lost, bool running)
{
    struct pool__verdict verdict = pool__seat_judge(&seat, batch);

    assert_int_equal(verdict.lost, lost);
    assert_int_equal(verdict.running, running);
}

static void what_never_started_is_not_lost(void **state)
{
    (void)state;
    add(0, 0, 5);
    assert_verdict(1, 0, false);
    claim(1, 3); /* claimed, and killed before the mark */
    assert_verdict(1, 0, false);
    runs[0].done = 2;
    pool__board_mark(&board, 1, 1, POOL__MARK_DONE);
    assert_verdict(1, 0, false);
    add(1, 5, 5);
    claim(1, 2);
    runs[0].done = 5;
    pool__seat_release(&seat, 1);
    claim(2, 1); /* the same at the first item of the next batch */
    pool__board_mark(&board, 1, 4, POOL__MARK_DONE);
    assert_verdict(2, 0, false);
    seat.left = 1;
    assert_verdict(2, 0, false);
}

/* It is at a later batch: all that it had claimed before has run, though the mark has been set back. */
static void a_batch_that_was_gone_past_is_not_run_again(void **state)
{
    (void)state;
    add(0, 0, 5);
    add(1, 5, 5);
    claim(1, 4);
    pool__board_mark(&board, 1, 1, POOL__MARK_DONE);
    assert_verdict(1, 2, false);
    claim(2, 1);
    assert_verdict(1, 4, false);
    assert_verdict(2, 0, false);
    pool__board_mark(&board, 1, 1, POOL__MARK_RUN);
    assert_verdict(1, 4, false);
    put_range(2, 7, 5, 0); /* nor where nobody can say whether it is */
    assert_verdict(1, 4, false);
    put_range(2, 2, 5, 0);
    assert_verdict(1, 2, true);
}

/* What a worker does not leave behind does not tell what it has begun. */
static void a_mark_that_cannot_be_proves_nothing(void **state)
{
    static const struct pool__place marks[] = {
        {0, 0, POOL__MARK_NONE}, /* as at first: but it has brought a result */
        {0, 0, POOL__MARK_DONE}, {0, 0, POOL__MARK_RUN},  {0, 1, POOL__MARK_NONE}, {2, 0, POOL__MARK_NONE},
        {1, 0, POOL__MARK_RUN},  {9, 0, POOL__MARK_RUN},  {9, 0, POOL__MARK_DONE}, {9, 0, POOL__MARK_NONE},
        {1, 0, POOL__MARK_ALL},  {0, 0, POOL__MARK_ALL},
    };
    unsigned i;

    (void)state;
    add(0, 0, 1);
    claim(1, 1);
    runs[0].done = 1;
    seat.reached = 1;
    pool__seat_release(&seat, 1);
    seat.left = 1;
    add(1, 1, 3);
    claim(2, 1);
    for (i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        pool__board_mark(&board, marks[i].batch, marks[i].offset, marks[i].mark);
        assert_verdict(2, 1, false);
    }
    pool__board_mark(&board, 1, 0, POOL__MARK_DONE);
    assert_verdict(2, 0, false);
    claim(2, 2);
    runs[1].done = 2; /* the mark is never behind the outcomes */
    seat.reached = 2;
    assert_verdict(2, 1, false);
    pool__board_mark(&board, 2, 0, POOL__MARK_DONE);
    assert_verdict(2, 1, false);
    pool__board_mark(&board, 0, 0, POOL__MARK_NONE);
    assert_verdict(2, 1, false);
    pool__board_mark(&board, 2, 1, POOL__MARK_RUN); /* the very last one that has an outcome: this much it may */
    assert_verdict(2, 0, false);
}

/* It is at batch 3, and has brought results of batch 2: the end of batch 1 is not where it was last. */
static void a_mark_does_not_go_back(void **state)
{
    (void)state;
    add(0, 0, 1);
    add(1, 1, 1);
    add(2, 2, 3);
    claim(1, 1);
    claim(2, 1);
    claim(3, 2);
    runs[0].done = runs[1].done = 1;
    pool__seat_release(&seat, 1);
    pool__seat_release(&seat, 2);
    seat.reached = 2;
    pool__board_mark(&board, 2, 0, POOL__MARK_DONE);
    assert_verdict(3, 0, false);
    pool__board_mark(&board, 1, 0, POOL__MARK_DONE);
    assert_verdict(3, 2, false);
}

/* By the mark, where the words fit together; else, and where the worker has gone on, all that was claimed. */
static void what_has_been_started(void **state)
{
    (void)state;
    add(0, 0, 5);
    add(1, 5, 1);
    claim(1, 5);
    assert_int_equal(pool__seat_started(&seat, 1, 5), 0); /* claimed, and not marked yet */
    pool__board_mark(&board, 1, 2, POOL__MARK_RUN);
    assert_int_equal(pool__seat_started(&seat, 1, 5), 3);
    assert_int_equal(pool__seat_started(&seat, 1, 2), 3); /* it has claimed more meanwhile */
    runs[0].done = 4;
    assert_int_equal(pool__seat_started(&seat, 1, 5), 5); /* results of what is not marked */
    runs[0].done = 1;
    pool__board_mark(&board, 1, 2, POOL__MARK_ALL);
    assert_int_equal(pool__seat_started(&seat, 1, 5), 5);
    pool__board_mark(&board, 1, 2, POOL__MARK_DONE);
    assert_int_equal(pool__seat_started(&seat, 1, 5), 3);
    claim(2, 1); /* so it has left batch 1, whatever the mark says */
    assert_int_equal(pool__seat_started(&seat, 1, 5), 5);
    pool__board_mark(&board, 2, 0, POOL__MARK_RUN);
    assert_int_equal(pool__seat_started(&seat, 1, 5), 5);
    seat.reason = POOL__KILL_NONSENSE;
    assert_int_equal(pool__seat_started(&seat, 2, 1), 1);
}

static void the_marked_item_is_to_blame(void **state)
{
    (void)state;
    add(0, 0, 5);
    claim(1, 1);
    pool__board_mark(&board, 1, 0, POOL__MARK_RUN);
    assert_verdict(1, 1, true);
    runs[0].done = 2;
    claim(1, 2);
    pool__board_mark(&board, 1, 2, POOL__MARK_RUN);
    assert_verdict(1, 1, true);
}

/* Killed between the publishing and DONE: it has its result. */
static void a_marked_item_with_a_result_is_not(void **state)
{
    (void)state;
    add(0, 0, 5);
    claim(1, 2);
    runs[0].done = 2;
    pool__board_mark(&board, 1, 1, POOL__MARK_RUN);
    assert_verdict(1, 0, false);
}

/* They were run, and their results are nowhere: not to be run again. */
static void items_before_the_marked_one_are_lost_too(void **state)
{
    (void)state;
    add(0, 0, 5);
    add(1, 5, 5);
    claim(1, 4);
    runs[0].done = 1;
    pool__board_mark(&board, 1, 3, POOL__MARK_RUN);
    assert_verdict(1, 3, true);
    pool__board_mark(&board, 1, 3, POOL__MARK_DONE);
    assert_verdict(1, 3, false);
    pool__board_mark(&board, 2, 0, POOL__MARK_RUN);
    assert_verdict(1, 4, false);
}

static void a_mark_of_a_batch_that_was_left_is_old(void **state)
{
    (void)state;
    add(0, 0, 1);
    claim(1, 1);
    pool__board_mark(&board, 1, 0, POOL__MARK_RUN);
    pool__seat_release(&seat, 1);
    seat.left = 1;
    add(1, 1, 3);
    assert_verdict(2, 0, false);
    pool__board_mark(&board, 9, 0, POOL__MARK_RUN); /* and one of a batch that never was is none */
    assert_verdict(2, 0, false);
}

static void an_insane_word_loses_the_batch(void **state)
{
    (void)state;
    add(0, 0, 5);
    runs[0].done = 2;
    put_range(1, 1, 5, 2);
    assert_verdict(1, 0, false);
    put_range(1, 1, 6, 2);
    assert_verdict(1, 3, false);
    put_range(1, 1, 4, 2);
    assert_verdict(1, 3, false);
    put_range(1, 2, 5, 2);
    assert_verdict(1, 3, false);
    put_range(1, 1, 5, 6);
    assert_verdict(1, 3, false);
    put_range(1, 1, 5, 1); /* fewer claimed than have an outcome */
    assert_verdict(1, 3, false);
    put_range(1, 1, 5, 2);
    pool__board_mark(&board, 1, 5, POOL__MARK_RUN); /* an item that was never here */
    assert_verdict(1, 3, false);
    pool__board_mark(&board, 1, POOL__BATCH_MAX, POOL__MARK_RUN);
    assert_verdict(1, 3, false);
}

/* A board value only chooses among what the table holds as unresolved. */
static void nothing_with_an_outcome_is_lost(void **state)
{
    uint32_t mark, next;

    (void)state;
    add(0, 0, 4);
    runs[0].done = 3;
    for (mark = 0; mark < 8; mark++) {
        for (next = 0; next < 8; next++) {
            pool__board_mark(&board, 1, mark, POOL__MARK_RUN);
            put_range(1, 1, 4, next);
            assert_true(pool__seat_judge(&seat, 1).lost <= 1);
        }
    }
}

static void a_liar_may_have_run_all_that_it_claimed(void **state)
{
    (void)state;
    add(0, 0, 5);
    claim(1, 3);
    runs[0].done = 1;
    pool__board_mark(&board, 1, 1, POOL__MARK_RUN);
    assert_verdict(1, 1, true);
    seat.reason = POOL__KILL_NONSENSE;
    assert_verdict(1, 2, false);
    put_range(1, 1, 5, 5);
    assert_int_equal(pool__seat_judge(&seat, 1).lost, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_pair_of_states, begin),
        cmocka_unit_test_setup(a_new_life_owes_nothing, begin),
        cmocka_unit_test_setup(batches_stand_in_order, begin),
        cmocka_unit_test_setup(entries_are_bounded, begin),
        cmocka_unit_test_setup(what_is_taken_back_is_owed_no_more, begin),
        cmocka_unit_test_setup(outcomes_are_not_taken_back, begin),
        cmocka_unit_test_setup(what_runs_is_what_is_marked, begin),
        cmocka_unit_test_setup(an_item_with_an_outcome_does_not_run, begin),
        cmocka_unit_test_setup(what_never_started_is_not_lost, begin),
        cmocka_unit_test_setup(a_batch_that_was_gone_past_is_not_run_again, begin),
        cmocka_unit_test_setup(a_mark_that_cannot_be_proves_nothing, begin),
        cmocka_unit_test_setup(a_mark_does_not_go_back, begin),
        cmocka_unit_test_setup(what_has_been_started, begin),
        cmocka_unit_test_setup(the_marked_item_is_to_blame, begin),
        cmocka_unit_test_setup(a_marked_item_with_a_result_is_not, begin),
        cmocka_unit_test_setup(items_before_the_marked_one_are_lost_too, begin),
        cmocka_unit_test_setup(a_mark_of_a_batch_that_was_left_is_old, begin),
        cmocka_unit_test_setup(an_insane_word_loses_the_batch, begin),
        cmocka_unit_test_setup(nothing_with_an_outcome_is_lost, begin),
        cmocka_unit_test_setup(a_liar_may_have_run_all_that_it_claimed, begin),
    };

    return cmocka_run_group_tests_name("seat", tests, NULL, NULL);
}
