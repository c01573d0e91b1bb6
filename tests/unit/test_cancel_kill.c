/* A cancel that kills: which workers, and what else they have (engine/deadline.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deadline_bench.h"

/* ------------------------------------------------------------------ a cancel that kills */

static void what_waits_needs_no_kill(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.full[0] = true;
    submit(0, 1, 0, true, 0);
    kill_job(0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
}

static void what_is_unclaimed_needs_no_kill(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 3, 3, false, 0);
    kill_job(0);
    assert_int_equal(jobs[0].left, 0);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
}

static void what_is_claimed_is_killed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 3, 3, false, 0);
    claims(1);
    kill_job(0);
    assert_int_equal(jobs[0].left, 1);
    assert_killed(POOL__KILL_CANCEL);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(jobs[0].dropped, 3); /* it never began */
}

static void what_runs_is_killed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 3, 3, false, 0);
    bench_start(&bench, 0, 1);
    kill_job(0);
    assert_killed(POOL__KILL_CANCEL);
    assert_int_equal(bench.reads[0], 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(jobs[0].finished, 1);
    assert_int_equal(bench.scheduler.crashed, 0);
    assert_int_equal(bench.scheduler.cancelled, 3);
}

static void what_fails_before_the_kill_is_cancelled(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    kill_job(0);
    bench_result(&bench, 0, 1000, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
}

static void what_crashes_before_the_kill_is_cancelled(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, LIMIT);
    starts_at(1, bench.now);
    kill_job(0);
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
}

static void a_deadline_before_the_cancel(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT);
    kill_job(0);
    assert_killed(POOL__KILL_DEADLINE);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(bench.scheduler.expired, 0);
}

static void a_result_that_can_be_read_wins(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    bench.on_read = its_result_is_here;
    kill_job(0);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_spared(POOL__NEVER);
    assert_true(jobs[0].job.kill_asked);
}

static void others_on_the_same_seat_go_elsewhere(void **state)
{
    (void)state;
    begin_with_two(0, 0);
    submit(2, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    kill_job(0);
    assert_killed(POOL__KILL_CANCEL);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_int_equal(jobs[1].left + jobs[2].left, 2);
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    assert_ptr_equal(bench.sends[3].job, &jobs[1].job);
    assert_ptr_equal(bench.sends[4].job, &jobs[2].job);
}

static void one_at_another_job_is_left_alone(void **state)
{
    (void)state;
    begin_with_two(0, 0);
    bench_start(&bench, 0, 1);
    kill_job(1);
    assert_int_equal(jobs[1].outcomes[0], POOL_CANCELLED);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
}

/* Every seat that is at an item of the job, and no other. */
static void all_that_run_it_are_killed(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 4);
    submit(0, 3, 1, false, 0);
    submit(1, 1, 0, true, 0);
    for (i = 0; i < 4; i++)
        bench_start(&bench, bench.sends[i].seat, 1);
    it_says_that_it_leaves(&bench, bench.sends[1].seat);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    pool__list_remove(&bench_seat(&bench, bench.sends[3].seat)->link); /* as one whose pipe is full */
    pool__deadline_kill_job(&bench.scheduler, &jobs[0].job, bench.now);
    assert_int_equal(bench.reads[bench.sends[3].seat], 0);
    assert_false(pool__is_linked(&bench_seat(&bench, bench.sends[3].seat)->link));
    for (i = 0; i < 4; i++)
        assert_int_equal(bench.kills[bench.sends[i].seat], i < 3);
}

static void nonsense_before_the_cancel(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    bench.on_read = it_talks_nonsense;
    kill_job(0);
    assert_killed(POOL__KILL_NONSENSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(what_waits_needs_no_kill),
        TEST(what_is_unclaimed_needs_no_kill),
        TEST(what_is_claimed_is_killed),
        TEST(what_runs_is_killed),
        TEST(what_fails_before_the_kill_is_cancelled),
        TEST(what_crashes_before_the_kill_is_cancelled),
        TEST(a_deadline_before_the_cancel),
        TEST(a_result_that_can_be_read_wins),
        TEST(others_on_the_same_seat_go_elsewhere),
        TEST(one_at_another_job_is_left_alone),
        TEST(all_that_run_it_are_killed),
        TEST(nonsense_before_the_cancel),
    };

    return cmocka_run_group_tests_name("cancel_kill", tests, NULL, NULL);
}
