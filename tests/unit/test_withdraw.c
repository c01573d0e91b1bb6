/*
 * Items that are not wanted any more: what has not started is dropped, what runs is asked to stop. And the end of
 * everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/claim_one.h"
#include "bench.h"

#define LONG_NS (2 * POOL__MS)

static struct bench bench;
static struct bench_job jobs[4];

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static void begin_with_batch(unsigned items, unsigned chunk)
{
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], items, chunk, false);
    bench_dispatch(&bench);
}

static unsigned with_status(const struct bench_job *job, enum pool_status status)
{
    unsigned i, count = 0;

    for (i = 0; i < job->job.end; i++)
        count += job->has_outcome[i] && job->outcomes[i] == status;
    return count;
}

static void assert_all_done(void)
{
    assert_int_equal(jobs[0].left, 0);
    assert_int_equal(jobs[0].job.in_flight, 0);
    assert_int_equal(bench.scheduler.owed, 0);
}

static void all_that_has_not_started_is_withdrawn(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 20, 5, false);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    bench_start(&bench, 0, 1);
    assert_int_equal(pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true), 19);
    assert_int_equal(with_status(&jobs[0], POOL_CANCELLED), 19);
    assert_int_equal(jobs[0].left, 1);
    assert_true(pool__board_cancel_asked(&bench.boards[0]));
    assert_false(pool__board_cancel_asked(&bench.boards[1]));
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    bench_result(&bench, 0, LONG_NS, POOL_OK);
    assert_int_equal(jobs[0].outcomes[0] + jobs[0].outcomes[5], POOL_OK + POOL_CANCELLED);
    assert_int_equal(bench.scheduler.cancelled, 19);
    assert_all_done();
}

/* Rule 14: no frame refers to the memory of a batch that is not with the worker any more. */
static void what_is_withdrawn_whole_is_unsent(void **state)
{
    (void)state;
    begin_with_batch(3, 3);
    bench_start(&bench, 0, 1);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    assert_int_equal(bench.unsends[0], 0);
    bench_result(&bench, 0, LONG_NS, POOL_OK);
    assert_int_equal(bench.unsends[0], 1);
    bench_submit(&bench, &jobs[1], 3, 3, false);
    bench_dispatch(&bench);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[1].job, POOL_CANCELLED, true);
    assert_int_equal(jobs[1].left, 0);
    assert_int_equal(bench.unsends[0], 2);
}

/* It was asked to stop, and did so by failing. */
static void a_failure_after_the_asking_is_cancelled(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    bench_result(&bench, 0, LONG_NS, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
}

static void without_asking_a_failure_stays_one(void **state)
{
    (void)state;
    begin_with_batch(2, 2);
    bench_start(&bench, 0, 1);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, false);
    assert_false(pool__board_cancel_asked(&bench.boards[0]));
    bench_result(&bench, 0, LONG_NS, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[1], POOL_CANCELLED);
}

/* Claimed when it was withdrawn, and the worker died before it began. */
static void what_comes_back_of_a_withdrawn_job_is_dropped(void **state)
{
    uint32_t offset;

    (void)state;
    begin_with_batch(3, 3);
    assert_true(claim_one(&bench.boards[0], 1, &offset));
    assert_int_equal(pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true), 2);
    assert_int_equal(jobs[0].left, 1);
    bench_killed(&bench, 0);
    assert_int_equal(with_status(&jobs[0], POOL_CANCELLED), 3);
    assert_false(pool__scheduler_waits(&bench.scheduler));
    assert_all_done();
}

static void other_jobs_are_not_touched(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 3, 3, false);
    bench_submit(&bench, &jobs[1], 3, 3, false);
    bench_submit(&bench, &jobs[2], 1, 0, true);
    bench_dispatch(&bench);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[1].job, POOL_CANCELLED, true);
    assert_int_equal(with_status(&jobs[1], POOL_CANCELLED), 3);
    assert_int_equal(jobs[0].left, 3);
    assert_int_equal(jobs[2].left, 1);
}

static void every_job_can_be_withdrawn(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 3, 3, false);
    bench_dispatch(&bench);
    bench_submit(&bench, &jobs[1], 3, 3, false);
    bench_submit(&bench, &jobs[2], 1, 0, true);
    bench_start(&bench, 0, 1);
    pool__scheduler_withdraw_all(&bench.scheduler, POOL_CANCELLED);
    assert_int_equal(jobs[0].left, 1);
    assert_int_equal(jobs[1].left, 0);
    assert_int_equal(jobs[2].left, 0);
    bench_result(&bench, 0, LONG_NS, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_all_done();
}

/* ------------------------------------------------------------------ the end */

static void everything_can_be_dropped_at_once(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 20, 5, false);
    bench_submit(&bench, &jobs[1], 1, 0, true);
    bench_submit(&bench, &jobs[2], 1, 0, true);
    bench_dispatch(&bench);
    bench_start(&bench, bench.sends[0].seat, 1);
    pool__scheduler_drop_all(&bench.scheduler, POOL_TERMINATED, 0, NULL);
    assert_int_equal(with_status(&jobs[0], POOL_TERMINATED), 20);
    assert_int_equal(with_status(&jobs[1], POOL_TERMINATED), 1);
    assert_int_equal(with_status(&jobs[2], POOL_TERMINATED), 1);
    assert_false(pool__scheduler_waits(&bench.scheduler));
    bench_killed(&bench, 0);
    bench_killed(&bench, 1);
    assert_all_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(all_that_has_not_started_is_withdrawn, end),
        cmocka_unit_test_teardown(what_is_withdrawn_whole_is_unsent, end),
        cmocka_unit_test_teardown(a_failure_after_the_asking_is_cancelled, end),
        cmocka_unit_test_teardown(without_asking_a_failure_stays_one, end),
        cmocka_unit_test_teardown(what_comes_back_of_a_withdrawn_job_is_dropped, end),
        cmocka_unit_test_teardown(other_jobs_are_not_touched, end),
        cmocka_unit_test_teardown(every_job_can_be_withdrawn, end),
        cmocka_unit_test_teardown(everything_can_be_dropped_at_once, end),
    };

    return cmocka_run_group_tests_name("withdraw", tests, NULL, NULL);
}
