/* Corners of giving out and taking back that the tests of these parts pass by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"

#define SHORT_NS 1000
#define EXIT_1 (1 << 8)

static struct bench bench;
static struct bench_job jobs[8];

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static struct pool__seat *seat(void) { return bench_seat(&bench, 0); }

static void begin_with_batch(unsigned items, unsigned chunk)
{
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], items, chunk, false);
    bench_dispatch(&bench);
}

/* `count` applies at one worker, in a row. */
static void begin_with_applies(unsigned count)
{
    unsigned i;

    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = SHORT_NS;
    for (i = 0; i < count; i++)
        bench_submit(&bench, &jobs[i], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, count);
}

static uint32_t last_batch(void) { return bench.sends[bench.send_count - 1].batch; }

static void assert_send(unsigned which, uint64_t first, uint32_t count)
{
    assert_true(which < bench.send_count);
    assert_int_equal(bench.sends[which].first, first);
    assert_int_equal(bench.sends[which].count, count);
}

/* ------------------------------------------------------------------ giving out */

static void something_is_expected(void **state)
{
    (void)state;
    bench_begin(&bench, 1, 1);
    assert_true(pool__scheduler_expects(&bench.scheduler)); /* READY */
    bench_ready(&bench, 0);
    assert_false(pool__scheduler_expects(&bench.scheduler));
    bench_submit(&bench, &jobs[0], 1, 0, true);
    assert_true(pool__scheduler_expects(&bench.scheduler)); /* room */
    bench_dispatch(&bench);
    assert_false(pool__scheduler_waits(&bench.scheduler));
    assert_true(pool__scheduler_expects(&bench.scheduler)); /* a result */
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_false(pool__scheduler_expects(&bench.scheduler));
}

static void what_came_back_is_cut(void **state)
{
    (void)state;
    begin_with_batch(7, 7);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    jobs[0].job.chunk = 4;
    bench_replace(&bench, 0);
    assert_send(1, 1, 4);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    while (jobs[0].left > 2)
        bench_do(&bench, 0, last_batch(), SHORT_NS);
    bench_dispatch(&bench);
    assert_send(2, 5, 2);
}

/* Suspicion goes with the item that is first. */
static void what_is_cut_off_keeps_its_past(void **state)
{
    (void)state;
    begin_with_batch(4, 4);
    bench_killed(&bench, 0);
    jobs[0].job.chunk = 1;
    bench_replace(&bench, 0);
    assert_send(1, 0, 1);
    assert_int_equal(pool__seat_head(seat())->suspicion, 1);
    assert_int_equal(pool__seat_head(seat())->attempt, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench_dispatch(&bench);
    assert_send(2, 1, 1);
    assert_int_equal(pool__seat_head(seat())->suspicion, 0);
}

static void items_of_no_size(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1000, 1000, false);
    jobs[0].job.item_size = 0;
    bench_dispatch(&bench);
    assert_send(0, 0, 1000);
}

static void items_of_many_sizes(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = SHORT_NS;
    bench_submit(&bench, &jobs[0], 8, 8, false);
    jobs[0].job.item_size = SIZE_MAX;
    jobs[0].sizes[0] = 30000; /* with the next one too large: */
    jobs[0].sizes[1] = 31400;
    jobs[0].sizes[2] = 10;
    jobs[0].sizes[3] = SIZE_MAX / 2; /* by itself too large */
    jobs[0].sizes[4] = 61400;        /* almost */
    for (i = 5; i < 8; i++)
        jobs[0].sizes[i] = 10;
    for (i = 0; i < 4; i++) {
        bench_dispatch(&bench);
        while (pool__seat_head(seat()) != NULL)
            bench_do(&bench, 0, last_batch(), 3 * POOL__MS);
    }
    assert_send(0, 0, 1);
    assert_send(1, 1, 2);
    assert_send(2, 3, 1);
    assert_send(3, 4, 1);
    bench_dispatch(&bench);
    assert_send(4, 5, 3);
}

static void every_entry_of_the_board_in_use(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(100, 1);
    for (i = 1; i <= POOL__FLIGHT; i++) {
        bench_do(&bench, 0, i, 3 * POOL__MS);
        bench_dispatch(&bench);
    }
    assert_int_equal(bench.send_count, POOL__FLIGHT);
    assert_true(bench_left(&bench, 0, 1));
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, POOL__FLIGHT + 1);
}

static void a_pool_of_no_workers_has_one_still(void **state)
{
    (void)state;
    begin_with_batch(100, 0);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench.scheduler.size = 0;
    bench_dispatch(&bench);
    assert_send(1, 1, 8);
}

/* ------------------------------------------------------------------ taking back */

static void a_thief_passes_over_what_is_claimed(void **state)
{
    (void)state;
    begin_with_applies(4);
    bench_start(&bench, 0, 1);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[2].job, POOL_CANCELLED, false); /* a hole */
    assert_true(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(bench.scheduler.stolen, 1);
    assert_int_equal(jobs[3].job.in_flight, 0);
    assert_true(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(jobs[1].job.in_flight, 0);
    assert_false(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(jobs[0].job.in_flight, 1);
}

static void the_dying_are_not_robbed(void **state)
{
    (void)state;
    begin_with_applies(2);
    bench_start(&bench, 0, 1);
    pool__staffing_condemn(&bench.scheduler, seat(), POOL__KILL_STOP, bench.now);
    assert_false(pool__scheduler_steal(&bench.scheduler, bench.now));
}

static void one_that_leaves_is_robbed(void **state)
{
    (void)state;
    begin_with_applies(3);
    bench_start(&bench, 0, 1);
    pool__seat_enter(seat(), POOL__SEAT_LEAVING, bench.now);
    assert_true(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(bench.scheduler.stolen, 1);
}

/* What ended before the running batch keeps its peace, and the word is the running one's. */
static void asked_is_what_runs(void **state)
{
    (void)state;
    begin_with_applies(2);
    bench_start(&bench, 0, 1);
    pool__board_mark(seat()->board, 1, 0, POOL__MARK_DONE);
    bench_start(&bench, 0, 2);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[1].job, POOL_CANCELLED, true);
    assert_true(pool__board_cancel_asked(seat()->board));
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    assert_true(pool__board_cancel_asked(seat()->board));
}

static void all_is_withdrawn_once(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench.scheduler.lone_ns = SHORT_NS;
    bench_submit(&bench, &jobs[0], 2, 1, false);
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    bench_start(&bench, 1, 1);
    bench_submit(&bench, &jobs[1], 1, 0, true);
    bench_submit(&bench, &jobs[2], 4, 2, false);
    pool__scheduler_withdraw_all(&bench.scheduler, POOL_CANCELLED);
    assert_true(jobs[0].job.withdrawn && jobs[1].job.withdrawn && jobs[2].job.withdrawn);
    assert_int_equal(jobs[0].left, 2);
    assert_int_equal(jobs[1].left + jobs[2].left, 0);
    assert_int_equal(bench.scheduler.cancelled, 5);
    pool__scheduler_withdraw_all(&bench.scheduler, POOL_TERMINATED);
    assert_int_equal(jobs[0].job.withdrawn_as, POOL_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(something_is_expected),
        TEST(what_came_back_is_cut),
        TEST(what_is_cut_off_keeps_its_past),
        TEST(items_of_no_size),
        TEST(items_of_many_sizes),
        TEST(every_entry_of_the_board_in_use),
        TEST(a_pool_of_no_workers_has_one_still),
        TEST(a_thief_passes_over_what_is_claimed),
        TEST(the_dying_are_not_robbed),
        TEST(one_that_leaves_is_robbed),
        TEST(asked_is_what_runs),
        TEST(all_is_withdrawn_once),
    };

    return cmocka_run_group_tests_name("giving_corners", tests, NULL, NULL);
}
