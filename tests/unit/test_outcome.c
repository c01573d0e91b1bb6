/* What becomes of items when their worker leaves, dies or talks nonsense (rules 2, 11, 12). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/claim_one.h"
#include "bench.h"

#define LONG_NS (2 * POOL__MS)
#define SHORT_NS 1000

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

/* One worker with a cheap map's batches 2, 3 and 4, of `chunk` items each, in flight. */
static void begin_with_three_batches(unsigned chunk)
{
    begin_with_batch(chunk, chunk);
    while (jobs[0].left > 0)
        bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(bench_left(&bench, 0, 1));
    jobs[0].job.end += 3 * chunk;
    jobs[0].left += 3 * chunk;
    pool__scheduler_submit(&bench.scheduler, &jobs[0].job);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 4);
}

static void put_range(uint32_t batch, uint64_t tag, uint64_t count, uint64_t next)
{
    atomic_store(&bench.boards[0].range[batch % POOL__FLIGHT], tag << 48 | count << 24 | next);
}

static void assert_send(unsigned which, uint64_t first, uint32_t count)
{
    assert_true(which < bench.send_count);
    assert_int_equal(bench.sends[which].first, first);
    assert_int_equal(bench.sends[which].count, count);
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

/* ------------------------------------------------------------------ outcomes */

static void a_failure_is_a_failure(void **state)
{
    (void)state;
    begin_with_batch(2, 2);
    bench_start(&bench, 0, 1);
    bench_result(&bench, 0, LONG_NS, POOL_FAILED);
    bench_do(&bench, 0, 1, LONG_NS);
    assert_int_equal(jobs[0].outcomes[0], POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[1], POOL_OK);
    assert_int_equal(bench.scheduler.finished, 2);
    assert_int_equal(bench.scheduler.failed, 1);
    assert_all_done();
}

static void batches_are_left_in_order_and_whole(void **state)
{
    (void)state;
    begin_with_three_batches(1);
    assert_false(bench_left(&bench, 0, 2)); /* it has an item without outcome */
    bench_do(&bench, 0, 2, SHORT_NS);
    assert_false(bench_left(&bench, 0, 3));
    assert_false(bench_left(&bench, 0, 1));
    assert_true(bench_left(&bench, 0, 2));
    assert_false(bench_left(&bench, 0, 2));
    assert_false(bench_left(&bench, 0, 5));
}

static void leaving_gives_back_the_rest(void **state)
{
    (void)state;
    begin_with_batch(5, 5);
    bench_do(&bench, 0, 1, LONG_NS);
    assert_true(pool__scheduler_leaving(&bench.scheduler, bench_seat(&bench, 0), bench.now));
    assert_int_equal(bench_seat(&bench, 0)->state, POOL__SEAT_LEAVING);
    assert_int_equal(bench.scheduler.owed, 0);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 4);
    bench_death(&bench, 0, 0, true);
    assert_int_equal(jobs[0].finished, 1);
    bench_replace(&bench, 0);
    assert_send(1, 1, 4);
}

static void only_ready_workers_leave(void **state)
{
    (void)state;
    bench_begin(&bench, 1, 1);
    assert_false(pool__scheduler_leaving(&bench.scheduler, bench_seat(&bench, 0), bench.now));
}

/* ------------------------------------------------------------------ deaths (rule 2) */

static void the_running_item_is_crashed_and_the_rest_given_out_again(void **state)
{
    (void)state;
    begin_with_batch(6, 6);
    bench_do(&bench, 0, 1, LONG_NS);
    bench_start(&bench, 0, 1);
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[1], POOL_CRASHED);
    assert_int_equal(jobs[0].code, SIGSEGV);
    assert_null(jobs[0].why);
    assert_int_equal(jobs[0].left, 4);
    assert_int_equal(bench.scheduler.owed, 0);
    bench_replace(&bench, 0);
    assert_send(1, 2, 4);
    assert_int_equal(bench.scheduler.crashed, 1);
}

static void an_exit_is_told_as_such(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    bench_death(&bench, 0, 3 << 8, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXITED);
    assert_int_equal(jobs[0].code, 3);
}

static void claimed_but_not_marked_is_given_out_again(void **state)
{
    uint32_t offset;

    (void)state;
    begin_with_batch(3, 3);
    assert_true(claim_one(&bench.boards[0], 1, &offset));
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 3);
    bench_replace(&bench, 0);
    assert_send(1, 0, 3);
}

static void batches_come_back_in_their_order(void **state)
{
    (void)state;
    begin_with_three_batches(2);
    bench_start(&bench, 0, 2);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[2], POOL_CRASHED);
    assert_int_equal(jobs[0].left, 5);
    bench_replace(&bench, 0);
    assert_send(4, 3, 1);
    assert_send(5, 4, 2);
    assert_send(6, 6, 2);
}

static void a_later_mark_loses_what_lies_before(void **state)
{
    (void)state;
    begin_with_three_batches(2);
    bench_start(&bench, 0, 2);
    bench_start(&bench, 0, 2);
    bench_start(&bench, 0, 3); /* no result of batch 2 ever came */
    bench_killed(&bench, 0);
    assert_int_equal(with_status(&jobs[0], POOL_CRASHED), 3);
    assert_int_equal(jobs[0].left, 3);
}

/* Rule 12, for every batch: nothing of one whose word is insane is run again. */
static void insane_batches_are_crashed(void **state)
{
    (void)state;
    begin_with_three_batches(2);
    put_range(3, 3, 2, 3);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[4], POOL_CRASHED);
    assert_int_equal(jobs[0].outcomes[5], POOL_CRASHED);
    assert_false(jobs[0].has_outcome[2] || jobs[0].has_outcome[3] || jobs[0].has_outcome[6] || jobs[0].has_outcome[7]);
    bench_replace(&bench, 0);
    assert_send(4, 2, 2);
    assert_send(5, 6, 2);
    assert_int_equal(bench.scheduler.owed, 4);
}

static void what_a_liar_claimed_is_crashed(void **state)
{
    uint32_t offset;

    (void)state;
    begin_with_three_batches(2);
    assert_true(claim_one(&bench.boards[0], 3, &offset));
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_NONSENSE, bench.now);
    assert_int_equal(bench.kills[0], 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[4], POOL_CRASHED);
    assert_non_null(jobs[0].why);
    assert_int_equal(with_status(&jobs[0], POOL_CRASHED), 1);
    assert_int_equal(jobs[0].left, 5);
}

/* A take-back meets a word that makes no sense: the worker is killed. */
static void an_insane_word_is_found_by_a_take_back(void **state)
{
    (void)state;
    begin_with_batch(5, 5);
    put_range(1, 1, 6, 0);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(bench_seat(&bench, 0)->state, POOL__SEAT_DYING);
    assert_int_equal(bench_seat(&bench, 0)->reason, POOL__KILL_NONSENSE);
    assert_int_equal(jobs[0].left, 5);
    bench_killed(&bench, 0);
    assert_int_equal(with_status(&jobs[0], POOL_CRASHED), 5);
    assert_all_done();
}

static void nobody_knows_how_it_ended(void **state)
{
    struct pool__death death = {.known = false};

    (void)state;
    begin_with_batch(2, 2);
    bench_start(&bench, 0, 1);
    pool__scheduler_gone(&bench.scheduler, bench_seat(&bench, 0), &death, bench.now);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].code, 0);
    assert_non_null(jobs[0].why);
}

/* ------------------------------------------------------------------ suspicion (rule 11) */

static void five_deaths_first_in_line_are_too_many(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(3, 3);
    for (i = 1; i < 5; i++) {
        bench_killed(&bench, 0);
        assert_int_equal(jobs[0].left, 3);
        bench_replace(&bench, 0);
    }
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_string_equal(jobs[0].why, "its workers died before it could start");
    assert_int_equal(jobs[0].left, 2);
    bench_replace(&bench, 0);
    assert_send(5, 1, 2);
}

static void a_lone_item_is_suspected_too(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    for (i = 1; i < 5; i++) {
        bench_killed(&bench, 0);
        assert_int_equal(jobs[0].left, 1);
        bench_replace(&bench, 0);
    }
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_all_done();
}

/* The first of the five may have come after results of the same batch. */
static void five_deaths_behind_a_result(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(3, 3);
    bench_do(&bench, 0, 1, LONG_NS);
    for (i = 1; i < 5; i++) {
        bench_killed(&bench, 0);
        assert_int_equal(jobs[0].left, 2);
        bench_replace(&bench, 0);
    }
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[1], POOL_CRASHED);
    assert_int_equal(jobs[0].left, 1);
}

static void other_ends_are_no_reason_for_suspicion(void **state)
{
    uint32_t offset;
    unsigned i;

    (void)state;
    begin_with_batch(30, 30);
    for (i = 0; i < 10; i++) {
        assert_true(claim_one(&bench.boards[0], bench.sends[bench.send_count - 1].batch, &offset));
        if (i % 2 == 0)
            bench_death(&bench, 0, 0, true); /* it had said so */
        else {
            pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_STOP, bench.now);
            bench_killed(&bench, 0);
        }
        bench_replace(&bench, 0);
    }
    assert_int_equal(jobs[0].left, 30);
}

static void a_running_item_takes_the_blame_alone(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(20, 20);
    for (i = 0; i < 10; i++) {
        bench_start(&bench, 0, bench.sends[bench.send_count - 1].batch);
        bench_killed(&bench, 0);
        assert_int_equal(jobs[0].left, 19 - i);
        bench_replace(&bench, 0);
    }
    assert_int_equal(with_status(&jobs[0], POOL_CRASHED), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_failure_is_a_failure, end),
        cmocka_unit_test_teardown(batches_are_left_in_order_and_whole, end),
        cmocka_unit_test_teardown(leaving_gives_back_the_rest, end),
        cmocka_unit_test_teardown(only_ready_workers_leave, end),
        cmocka_unit_test_teardown(the_running_item_is_crashed_and_the_rest_given_out_again, end),
        cmocka_unit_test_teardown(an_exit_is_told_as_such, end),
        cmocka_unit_test_teardown(claimed_but_not_marked_is_given_out_again, end),
        cmocka_unit_test_teardown(batches_come_back_in_their_order, end),
        cmocka_unit_test_teardown(a_later_mark_loses_what_lies_before, end),
        cmocka_unit_test_teardown(insane_batches_are_crashed, end),
        cmocka_unit_test_teardown(what_a_liar_claimed_is_crashed, end),
        cmocka_unit_test_teardown(an_insane_word_is_found_by_a_take_back, end),
        cmocka_unit_test_teardown(nobody_knows_how_it_ended, end),
        cmocka_unit_test_teardown(five_deaths_first_in_line_are_too_many, end),
        cmocka_unit_test_teardown(a_lone_item_is_suspected_too, end),
        cmocka_unit_test_teardown(five_deaths_behind_a_result, end),
        cmocka_unit_test_teardown(other_ends_are_no_reason_for_suspicion, end),
        cmocka_unit_test_teardown(a_running_item_takes_the_blame_alone, end),
    };

    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
