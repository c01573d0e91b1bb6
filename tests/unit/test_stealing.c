/* Stealing (inv. 7, rule 10), and looking at workers that are silent (rule 6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/claim_one.h"
#include "bench.h"

#define SHORT_NS 1000

static struct bench bench;
static struct bench_job jobs[4];

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static void assert_sent(unsigned which, unsigned seat, uint64_t first, uint32_t count)
{
    assert_true(which < bench.send_count);
    assert_int_equal(bench.sends[which].seat, seat);
    assert_int_equal(bench.sends[which].first, first);
    assert_int_equal(bench.sends[which].count, count);
}

static void finish_batch(unsigned seat, uint32_t batch, uint64_t run_ns)
{
    while (bench_seat(&bench, seat)->flight[batch % POOL__FLIGHT] != NULL)
        bench_do(&bench, seat, batch, run_ns);
    assert_true(bench_left(&bench, seat, batch));
    bench_dispatch(&bench);
}

/* ------------------------------------------------------------------ stealing (inv. 7, rule 10) */

/* Seat 0 has one batch of ten; seat 1 comes later. */
static void begin_with_one_rich(void)
{
    bench_begin(&bench, 2, 2);
    bench_ready(&bench, 0);
    bench_submit(&bench, &jobs[0], 10, 10, false);
    bench_dispatch(&bench);
    assert_sent(0, 0, 0, 10);
}

static void half_is_stolen_from_one_that_runs(void **state)
{
    (void)state;
    begin_with_one_rich();
    bench_start(&bench, 0, 1);
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    assert_sent(1, 1, 5, 5);
    assert_int_equal(bench.scheduler.stolen, 5);
    assert_int_equal(bench_seat(&bench, 0)->owed, 5);
}

/* Else idle workers would pass one item round for ever. */
static void nothing_is_stolen_from_one_that_has_not_begun(void **state)
{
    (void)state;
    begin_with_one_rich();
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
    bench.now += POOL__STEAL_AFTER - 1;
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 1);
    bench.now += 1;
    bench_dispatch(&bench);
    assert_sent(1, 1, 5, 5);
}

static void claimed_items_are_not_stolen(void **state)
{
    uint32_t offset;

    (void)state;
    begin_with_one_rich();
    while (claim_one(&bench.boards[0], 1, &offset) && offset < 8)
        continue;
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_RUN);
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
    assert_sent(1, 1, 9, 1);
}

static void the_last_batches_are_stolen_first(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    bench_ready(&bench, 0);
    bench_submit(&bench, &jobs[0], 1, 1, false);
    bench_dispatch(&bench);
    finish_batch(0, 1, SHORT_NS);
    jobs[0].job.end += 4;
    jobs[0].left += 4;
    pool__scheduler_submit(&bench.scheduler, &jobs[0].job);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 5); /* four batches ahead */
    bench_start(&bench, 0, 2);
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
    assert_sent(5, 1, 3, 1);
    assert_sent(6, 1, 4, 1);
    assert_int_equal(bench.send_count, 7);
}

/* The result is here before the mark is gone: the thief must be the other one. */
static void the_one_stolen_from_is_not_the_thief(void **state)
{
    struct pool__outcome outcome;

    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 2, 2, false);
    bench_dispatch(&bench);
    bench_start(&bench, bench.sends[0].seat, 1);
    memset(&outcome, 0, sizeof outcome);
    outcome.run = SHORT_NS;
    pool__scheduler_result(&bench.scheduler, bench_seat(&bench, bench.sends[0].seat), &outcome, bench.now);
    bench_dispatch(&bench);
    bench.now += POOL__STEAL_AFTER;
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    assert_sent(1, 1 - bench.sends[0].seat, 1, 1);
}

static void a_lone_item_can_be_stolen(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    bench_ready(&bench, 0);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    finish_batch(0, 1, SHORT_NS);
    bench_submit(&bench, &jobs[1], 1, 0, true);
    bench_submit(&bench, &jobs[2], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 3);
    bench_start(&bench, 0, 2);
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 4);
    assert_int_equal(bench.sends[3].seat, 1);
    assert_ptr_equal(bench.sends[3].job, &jobs[2].job);
    bench_do(&bench, 1, 1, SHORT_NS);
    assert_int_equal(jobs[2].outcomes[0], POOL_OK);
}

/* ------------------------------------------------------------------ silence (rule 6) */

static void look_at_ms(unsigned ms, unsigned expected)
{
    bench.now = 5000 * POOL__MS + ms * POOL__MS;
    pool__scheduler_look(&bench.scheduler, bench.now);
    assert_int_equal(bench.looks[0], expected);
}

static void a_silent_worker_is_looked_at_twice(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 3, 3, false);
    bench_dispatch(&bench);
    assert_true(bench.scheduler.look_at == bench.now + POOL__LOOK_AFTER);
    look_at_ms(1, 0);
    look_at_ms(2, 1);
    look_at_ms(3, 1);
    look_at_ms(4, 2);
    look_at_ms(5, 2);
    look_at_ms(1000, 2);
    assert_true(bench.scheduler.look_at == POOL__NEVER); /* inv. 14 */
    bench_do(&bench, 0, 1, SHORT_NS); /* it speaks */
    look_at_ms(1001, 2);
    look_at_ms(1002, 3);
    look_at_ms(1004, 4);
    look_at_ms(2000, 4);
}

static void one_that_owes_one_is_not_looked_at(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    look_at_ms(2, 0);
    look_at_ms(20, 0);
    look_at_ms(1000, 0);
    assert_true(bench.scheduler.look_at == POOL__NEVER);
}

/* Something is sent behind an item that was silent for long: its result must not wait behind what is new. */
static void a_second_item_is_reason_to_look(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    look_at_ms(20, 0);
    bench.scheduler.lone_ns = SHORT_NS;
    pool__scheduler_relist(&bench.scheduler, bench_seat(&bench, 0));
    bench_submit(&bench, &jobs[1], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    look_at_ms(22, 1);
    look_at_ms(24, 2);
}

/* A timer for an idle worker, so that it gets what the other one does not begin. */
static void there_is_a_timer_while_anything_is_owed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 2, 2, false);
    bench_dispatch(&bench);
    look_at_ms(2, 1);
    look_at_ms(4, 2);
    look_at_ms(10, 2);
    assert_true(bench.scheduler.look_at == POOL__NEVER);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(bench.scheduler.look_at <= bench.now + POOL__STEAL_AFTER);
    look_at_ms(30, 2);
    assert_true(bench.scheduler.look_at == POOL__NEVER);
    bench.now += POOL__MS;
    pool__scheduler_heard(&bench.scheduler, bench_seat(&bench, 0), bench.now);
    assert_true(bench.scheduler.look_at <= bench.now + POOL__STEAL_AFTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(half_is_stolen_from_one_that_runs, end),
        cmocka_unit_test_teardown(nothing_is_stolen_from_one_that_has_not_begun, end),
        cmocka_unit_test_teardown(claimed_items_are_not_stolen, end),
        cmocka_unit_test_teardown(the_last_batches_are_stolen_first, end),
        cmocka_unit_test_teardown(the_one_stolen_from_is_not_the_thief, end),
        cmocka_unit_test_teardown(a_lone_item_can_be_stolen, end),
        cmocka_unit_test_teardown(a_silent_worker_is_looked_at_twice, end),
        cmocka_unit_test_teardown(one_that_owes_one_is_not_looked_at, end),
        cmocka_unit_test_teardown(a_second_item_is_reason_to_look, end),
        cmocka_unit_test_teardown(there_is_a_timer_while_anything_is_owed, end),
    };

    return cmocka_run_group_tests_name("stealing", tests, NULL, NULL);
}
