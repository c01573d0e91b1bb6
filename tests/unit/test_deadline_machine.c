/* Deadlines of one item (engine/deadline.c): when its worker is killed, and what the look before the kill may find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deadline_bench.h"

/* ------------------------------------------------------------------ the time of one item */

static void no_deadline_no_timer(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    assert_untouched(POOL__NEVER);
    bench_start(&bench, 0, 1);
    pool__deadline_check(&bench.scheduler, POOL__NEVER);
    assert_untouched(POOL__NEVER);
}

static void a_timer_for_what_is_sent(void **state)
{
    uint64_t sent;

    (void)state;
    begin(1, 2);
    sent = bench.now;
    assert_untouched(sent + LIMIT);
    check_at(sent + LIMIT - 1);
    assert_untouched(sent + LIMIT);
}

static void due_exactly_and_never_early(void **state)
{
    uint64_t start;

    (void)state;
    begin(1, 3);
    start = bench.now + 7 * POOL__MS;
    starts_at(1, start);
    check_at(bench.now + LIMIT);
    assert_untouched(start + LIMIT);
    check_at(start + LIMIT - 1);
    assert_untouched(start + LIMIT);
    bench.scheduler.check_at = 0; /* a look for no reason is not early either */
    check_at(start + LIMIT - 1);
    assert_untouched(start + LIMIT);
    check_at(start + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
    assert_int_equal(bench.reads[0], 1);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_true(seat()->check_at == POOL__NEVER);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXPIRED);
    assert_int_equal(jobs[0].left, 2);
    assert_true(jobs[0].start == start);
    assert_true(jobs[0].run == LIMIT);
    assert_int_equal(bench.scheduler.expired, 1);
    assert_int_equal(bench.scheduler.crashed, 0);
    assert_null(jobs[0].why);
    assert_int_equal(jobs[0].code, 0);
}

static void an_end_of_its_own_is_told_as_that(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].code, SIGSEGV);
}

static void an_exit_of_its_own_is_told_as_that(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT);
    bench_death(&bench, 0, SIGKILL << 8, false); /* exit(9) */
    assert_int_equal(jobs[0].outcomes[0], POOL_EXITED);
    assert_int_equal(jobs[0].code, SIGKILL);
}

static void a_start_to_come_counts_from_first_sight(void **state)
{
    uint64_t sight;

    (void)state;
    begin(1, 1);
    starts_at(1, UINT64_MAX);
    sight = bench.now + LIMIT;
    check_at(sight);
    assert_untouched(sight + LIMIT);
    check_at(sight + LIMIT - 1);
    assert_untouched(sight + LIMIT);
    check_at(sight + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
    bench_killed(&bench, 0);
    assert_true(jobs[0].start == bench.now); /* and no time is told that cannot be */
    assert_true(jobs[0].run == 0);
}

static void a_start_that_never_was_is_not_told(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, 0);
    bench_killed(&bench, 0);
    assert_true(jobs[0].start == bench.now);
    assert_true(jobs[0].run == 0);
}

/* Who puts his start back harms himself. */
static void a_start_of_long_ago_is_believed(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, 1);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

/* The first sight of one item is not that of the next. */
static void each_item_has_its_own_first_sight(void **state)
{
    uint64_t first;

    (void)state;
    begin(1, 2);
    starts_at(1, UINT64_MAX);
    first = bench.now + LIMIT;
    check_at(first);
    bench.now = first + 5 * POOL__MS;
    bench_result(&bench, 0, 1000, POOL_OK);
    starts_at(1, UINT64_MAX);
    check_at(first + LIMIT);
    assert_untouched(first + 2 * LIMIT);
    assert_true(seat()->sighted.offset == 1);
    check_at(first + 2 * LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void the_same_offset_of_another_batch_is_another_item(void **state)
{
    uint64_t first;

    (void)state;
    begin_with_two(LIMIT, LIMIT);
    starts_at(1, UINT64_MAX);
    first = bench.now + LIMIT;
    check_at(first);
    bench_result(&bench, 0, 1000, POOL_OK);
    starts_at(2, UINT64_MAX);
    check_at(first + LIMIT);
    assert_untouched(first + 2 * LIMIT);
}

static void a_finished_item_has_no_deadline(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    mark(1, 0, POOL__MARK_DONE);
    due = bench.now + LIMIT;
    check_at(due);
    assert_untouched(due + LIMIT);
}

/* ------------------------------------------------------------------ the look before the kill (rule 8) */

static void a_result_that_is_here_wins(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    bench.on_read = its_result_is_here;
    check_at(bench.now + LIMIT);
    assert_spared(POOL__NEVER);
    assert_true(bench.scheduler.idle.next == &seat()->link);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(bench.scheduler.expired, 0);
}

/* It had claimed the next item before it was emptied, and is in it by now. */
static void it_goes_on(struct bench *its, unsigned index)
{
    bench_result(its, index, 1000, POOL_OK);
    mark(1, 1, POOL__MARK_RUN);
}

static void one_that_has_gone_on_is_spared(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 3);
    starts_at(1, bench.now);
    claims(1);
    bench.on_read = it_goes_on;
    due = bench.now + LIMIT;
    check_at(due);
    assert_spared(due + LIMIT);
    assert_true(bench.scheduler.check_at == due + LIMIT);
    assert_int_equal(jobs[0].left, 2);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
    bench.on_read = NULL;
    check_at(due + LIMIT); /* the old start was the other item's: this one began later, and says so */
    assert_int_equal(bench.kills[0], 1);
}

static void one_that_leaves_is_killed_too(void **state)
{
    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    bench.on_read = it_says_that_it_leaves;
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void one_that_is_leaving_is_killed_too(void **state)
{
    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    it_says_that_it_leaves(&bench, 0);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void nonsense_comes_first(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    bench.on_read = it_talks_nonsense;
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_NONSENSE);
    assert_true(seat()->check_at == POOL__NEVER);
}

static void an_insane_board_comes_first(void **state)
{
    (void)state;
    begin(1, 3);
    starts_at(1, bench.now);
    atomic_store(&bench.boards[0].range[1], 0);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_NONSENSE);
    assert_int_equal(bench.reads[0], 0);
}

/* ------------------------------------------------------------------ a mark that moves while it is looked at */

static void it_finishes_at_the_second_look(unsigned which)
{
    if (which == 1)
        mark(1, 0, POOL__MARK_DONE);
}

static void finished_between_two_looks(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    due = bench.now + LIMIT;
    moment = it_finishes_at_the_second_look;
    check_at(due);
    moment = NULL;
    assert_untouched(due + LIMIT);
}

static void it_is_at_the_next_item_at_the_second_look(unsigned which)
{
    if (which != 1)
        return;
    claims(1);
    mark(1, 1, POOL__MARK_RUN);
    atomic_store(&bench.boards[0].started, bench.now - POOL__MS);
}

static void gone_on_between_two_looks(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    due = bench.now + LIMIT;
    moment = it_is_at_the_next_item_at_the_second_look;
    check_at(due);
    moment = NULL;
    assert_untouched(due - POOL__MS + LIMIT);
}

/* Items 0 and 1 by turns, as nothing but mischief does. */
static void it_changes_at_every_look(unsigned which) { mark(1, which % 2, POOL__MARK_RUN); }

static void a_mark_that_never_stands_still_says_nothing(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    claims(1);
    due = bench.now + LIMIT;
    moment = it_changes_at_every_look;
    check_at(due);
    moment = NULL;
    assert_untouched(due + LIMIT);
    assert_true(moments == 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(no_deadline_no_timer),
        TEST(a_timer_for_what_is_sent),
        TEST(due_exactly_and_never_early),
        TEST(an_end_of_its_own_is_told_as_that),
        TEST(an_exit_of_its_own_is_told_as_that),
        TEST(a_start_to_come_counts_from_first_sight),
        TEST(a_start_that_never_was_is_not_told),
        TEST(a_start_of_long_ago_is_believed),
        TEST(each_item_has_its_own_first_sight),
        TEST(the_same_offset_of_another_batch_is_another_item),
        TEST(a_finished_item_has_no_deadline),
        TEST(a_result_that_is_here_wins),
        TEST(one_that_has_gone_on_is_spared),
        TEST(one_that_leaves_is_killed_too),
        TEST(one_that_is_leaving_is_killed_too),
        TEST(nonsense_comes_first),
        TEST(an_insane_board_comes_first),
        TEST(finished_between_two_looks),
        TEST(gone_on_between_two_looks),
        TEST(a_mark_that_never_stands_still_says_nothing),
    };

    return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
