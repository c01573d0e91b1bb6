/* Workers that have items with deadlines and do not begin them (engine/deadline.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deadline_bench.h"

/* ------------------------------------------------------------------ what does not begin */

/* On and on, as the timer says, until just before `until`. */
static void wait_until(uint64_t until)
{
    while (bench.scheduler.check_at < until) {
        assert_true(bench.scheduler.check_at > bench.now);
        check_at(bench.scheduler.check_at);
    }
}

static void a_silent_worker_with_work_is_killed(void **state)
{
    uint64_t sent;

    (void)state;
    begin(1, 2);
    sent = bench.now;
    wait_until(sent + SECOND);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
    check_at(sent + SECOND);
    assert_killed(POOL__KILL_STUCK);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_true(seat()->check_at == POOL__NEVER);
}

static void one_that_has_claimed_and_not_begun_is_killed(void **state)
{
    (void)state;
    begin(1, 2);
    claims(1);
    wait_until(bench.now + SECOND);
    check_at(bench.scheduler.check_at);
    assert_killed(POOL__KILL_STUCK);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 2); /* it had not begun: no outcome */
}

static void a_long_deadline_is_long_patience(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 3 * SECOND);
    check_at(bench.now + 3 * SECOND - 1);
    assert_int_equal(bench.kills[0], 0);
    check_at(bench.now + 1);
    assert_killed(POOL__KILL_STUCK);
}

static void one_that_was_heard_of_is_not_silent(void **state)
{
    uint64_t sent;

    (void)state;
    begin(1, 2);
    sent = bench.now;
    wait_until(sent + 500 * POOL__MS);
    pool__scheduler_heard(&bench.scheduler, seat(), sent + 500 * POOL__MS);
    wait_until(sent + 500 * POOL__MS + SECOND);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
    check_at(sent + 500 * POOL__MS + SECOND);
    assert_int_equal(bench.kills[0], 1);
}

/* The time of a look is a little older than that of the bytes that the same round has brought. */
static void one_that_was_heard_of_just_now_is_not_silent(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    due = bench.now + LIMIT;
    pool__scheduler_heard(&bench.scheduler, seat(), due + 1);
    check_at(due);
    assert_untouched(due + LIMIT);
}

static void not_where_this_process_was_stopped(void **state)
{
    uint64_t late;

    (void)state;
    begin(1, 2);
    late = bench.now + 5 * SECOND;
    check_at(late);
    assert_untouched(late + LIMIT);
    check_at(late + LIMIT);
    assert_killed(POOL__KILL_STUCK);
}

static void it_begins(struct bench *its, unsigned index)
{
    (void)index;
    atomic_store(&its->boards[0].started, its->now);
    mark(1, 0, POOL__MARK_RUN);
}

static void one_that_begins_at_the_last_moment_is_spared(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    claims(1);
    wait_until(bench.now + SECOND);
    bench.on_read = it_begins;
    due = bench.scheduler.check_at;
    check_at(due);
    assert_spared(due + LIMIT);
    check_at(due + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void it_says_something(struct bench *its, unsigned index)
{
    pool__scheduler_heard(&its->scheduler, bench_seat(its, index), its->now);
}

static void one_that_speaks_at_the_last_moment_is_spared(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    claims(1);
    wait_until(bench.now + SECOND);
    bench.on_read = it_says_something;
    due = bench.scheduler.check_at;
    check_at(due);
    assert_spared(due + LIMIT);
}

/* All that it had was unclaimed, and is given to others: it owes nothing, and still is stuck. */
static void nothing_is_read_from_one_that_owes_nothing(void **state)
{
    (void)state;
    begin(1, 2);
    wait_until(bench.now + SECOND);
    check_at(bench.scheduler.check_at);
    assert_int_equal(bench.reads[0], 0);
    assert_killed(POOL__KILL_STUCK);
}

static void an_insane_board_that_does_not_begin(void **state)
{
    (void)state;
    begin(1, 2);
    atomic_store(&bench.boards[0].range[1], 0);
    wait_until(bench.now + SECOND);
    check_at(bench.scheduler.check_at);
    assert_killed(POOL__KILL_NONSENSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(a_silent_worker_with_work_is_killed),
        TEST(one_that_has_claimed_and_not_begun_is_killed),
        TEST(a_long_deadline_is_long_patience),
        TEST(one_that_was_heard_of_is_not_silent),
        TEST(one_that_was_heard_of_just_now_is_not_silent),
        TEST(not_where_this_process_was_stopped),
        TEST(one_that_begins_at_the_last_moment_is_spared),
        TEST(one_that_speaks_at_the_last_moment_is_spared),
        TEST(nothing_is_read_from_one_that_owes_nothing),
        TEST(an_insane_board_that_does_not_begin),
    };

    return cmocka_run_group_tests_name("deadline_stuck", tests, NULL, NULL);
}
