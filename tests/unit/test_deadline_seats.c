/* Deadlines of several items and seats, and after this process was stopped (engine/deadline.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deadline_bench.h"

/* ------------------------------------------------------------------ several items, several seats */

static void behind_an_item_without_one(void **state)
{
    uint64_t due;

    (void)state;
    begin_with_two(0, LIMIT);
    starts_at(1, bench.now);
    due = bench.now + LIMIT;
    assert_true(seat()->check_at == due);
    check_at(due);
    assert_untouched(due + LIMIT);
    check_at(due + 2000 * POOL__MS); /* it may run as long as it likes */
    assert_untouched(bench.now + LIMIT);
}

static void not_too_often_behind_an_item_without_one(void **state)
{
    uint64_t due;

    (void)state;
    begin_with_two(0, 3 * POOL__MS);
    starts_at(1, bench.now);
    due = bench.now + 3 * POOL__MS;
    check_at(due);
    assert_untouched(due + 10 * POOL__MS);
}

static void the_shortest_of_what_waits(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(5 * LIMIT, LIMIT);
    sent = bench.now;
    assert_untouched(sent + LIMIT);
    check_at(sent + LIMIT);
    assert_untouched(sent + 2 * LIMIT);
    starts_at(1, sent + LIMIT);
    check_at(sent + 2 * LIMIT);
    assert_untouched(sent + 6 * LIMIT);
}

static void a_short_one_before_a_long_one(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(LIMIT, 5 * LIMIT);
    sent = bench.now;
    assert_untouched(sent + LIMIT);
    bench_do(&bench, 0, 1, 1000);
    check_at(sent + LIMIT);
    assert_untouched(sent + 6 * LIMIT);
}

static void what_has_its_outcome_counts_no_more(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(LIMIT, 0);
    sent = bench.now;
    bench_do(&bench, 0, 1, 1000);
    check_at(sent + LIMIT);
    assert_untouched(POOL__NEVER);
}

/* Batches 1 and 3 are taken back whole or done; the table has holes. */
static void holes_in_the_table(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(0, LIMIT);
    submit(2, 1, 0, true, LIMIT / 2);
    sent = bench.now;
    pool__scheduler_withdraw(&bench.scheduler, &jobs[1].job, POOL_CANCELLED, false);
    starts_at(1, sent);
    check_at(sent + LIMIT / 2);
    assert_untouched(sent + LIMIT);
    kill_job(2);
    kill_job(1);
    assert_int_equal(bench.kills[0], 0);
}

static void seats_that_are_not_due_are_left_alone(void **state)
{
    uint64_t sent;

    (void)state;
    bench_begin_ready(&bench, 4);
    submit(0, 1, 0, true, LIMIT);
    submit(1, 1, 0, true, 0);
    submit(2, 1, 0, true, 3 * LIMIT);
    sent = bench.now;
    assert_int_equal(bench.sends[0].seat + bench.sends[2].seat, 3 + 1);
    bench_start(&bench, bench.sends[0].seat, 1);
    atomic_store(&bench.boards[bench.sends[0].seat].started, sent);
    check_at(sent + LIMIT);
    assert_int_equal(bench.kills[bench.sends[0].seat], 1);
    assert_true(bench.scheduler.check_at == sent + 3 * LIMIT);
    check_at(sent + 3 * LIMIT - 1);
    assert_int_equal(bench.kills[0] + bench.kills[1] + bench.kills[2] + bench.kills[3], 1);
}

static void nothing_is_looked_at_where_nothing_is_owed(void **state)
{
    (void)state;
    begin(1, 1);
    bench_do(&bench, 0, 1, 1000);
    check_at(bench.now + LIMIT);
    assert_int_equal(bench.reads[0], 0);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
}

static void a_dying_seat_is_not_checked(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    pool__staffing_condemn(&bench.scheduler, seat(), POOL__KILL_STOP, bench.now);
    bench.scheduler.check_at = bench.now;
    check_at(bench.now);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
    bench.scheduler.check_at = bench.now + LIMIT;
    check_at(bench.now + LIMIT);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
    assert_int_equal(bench.reads[0], 0);
    kill_job(0);
    assert_killed(POOL__KILL_STOP);
    assert_int_equal(bench.reads[0], 0);
}

/* ------------------------------------------------------------------ after this process was stopped */

static void excused_once_where_the_timer_was_late(void **state)
{
    uint64_t late;

    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    late = bench.now + LIMIT + STALLED;
    check_at(late);
    assert_untouched(late + LIMIT);
    bench.now = late + LIMIT + STALLED; /* and late again */
    check_at(bench.now);
    assert_killed(POOL__KILL_DEADLINE);
}

static void not_late_enough_for_an_excuse(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT + STALLED - 1);
    assert_killed(POOL__KILL_DEADLINE);
}

static void an_excuse_is_no_longer_than_it_must_be(void **state)
{
    uint64_t late;

    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 500 * POOL__MS);
    starts_at(1, bench.now);
    late = bench.now + 500 * POOL__MS + STALLED;
    check_at(late);
    assert_untouched(late + 100 * POOL__MS);
    check_at(late + 100 * POOL__MS);
    assert_killed(POOL__KILL_DEADLINE);
}

static void each_item_is_excused(void **state)
{
    uint64_t late;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    late = bench.now + LIMIT + STALLED;
    check_at(late);
    bench_result(&bench, 0, 1000, POOL_OK);
    starts_at(1, late);
    check_at(late + LIMIT + STALLED);
    assert_untouched(bench.now + LIMIT);
}

static void no_timer_is_never_late(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, 1);
    bench.scheduler.check_at = POOL__NEVER;
    check_at(POOL__NEVER);
    assert_killed(POOL__KILL_DEADLINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(behind_an_item_without_one),
        TEST(not_too_often_behind_an_item_without_one),
        TEST(the_shortest_of_what_waits),
        TEST(a_short_one_before_a_long_one),
        TEST(what_has_its_outcome_counts_no_more),
        TEST(holes_in_the_table),
        TEST(seats_that_are_not_due_are_left_alone),
        TEST(nothing_is_looked_at_where_nothing_is_owed),
        TEST(a_dying_seat_is_not_checked),
        TEST(excused_once_where_the_timer_was_late),
        TEST(not_late_enough_for_an_excuse),
        TEST(an_excuse_is_no_longer_than_it_must_be),
        TEST(each_item_is_excused),
        TEST(no_timer_is_never_late),
    };

    return cmocka_run_group_tests_name("deadline_seats", tests, NULL, NULL);
}
