/* Corners of outcomes, seats and staffing that the tests of these parts pass by: counts, limits, holes in tables. */
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

/* ------------------------------------------------------------------ outcomes */

static void what_is_counted(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(20, 20);
    for (i = 0; i < 2; i++) {
        bench_start(&bench, 0, last_batch());
        bench_result(&bench, 0, 300 + i, POOL_FAILED);
        assert_int_equal(bench.scheduler.failed, 1 + i);
    }
    assert_int_equal(bench.scheduler.run_ns, 601);
    for (i = 0; i < 2; i++) {
        bench_start(&bench, 0, last_batch());
        bench_death(&bench, 0, i == 0 ? EXIT_1 : SIGSEGV, false);
        assert_int_equal(bench.scheduler.crashed, 1 + i);
        bench_replace(&bench, 0);
    }
    for (i = 0; i < 2; i++) {
        bench_start(&bench, 0, last_batch());
        seat()->sighted = pool__board_running(seat()->board);
        pool__staffing_condemn(&bench.scheduler, seat(), POOL__KILL_DEADLINE, bench.now);
        bench_killed(&bench, 0);
        assert_int_equal(bench.scheduler.expired, 1 + i);
        bench_replace(&bench, 0);
    }
    assert_int_equal(bench.scheduler.failed, 2);
    assert_int_equal(bench.scheduler.crashed, 2);
    assert_int_equal(bench.scheduler.finished, 6);
}

static void an_outcome_tells_worker_and_deadline(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    seat()->pid = 77;
    jobs[0].job.deadline = 5;
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_int_equal(jobs[0].worker, 77);
    assert_int_equal(jobs[0].deadline, 5);
}

static void times_below_an_items_cost(void **state)
{
    (void)state;
    begin_with_applies(1);
    bench.scheduler.lone_ns = 0;
    bench_do(&bench, 0, 1, 0);
    assert_int_equal(bench.scheduler.lone_ns, 10);
}

static void suspicion_is_of_one_item(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(9, 9);
    for (i = 0; i < 4; i++) {
        bench_killed(&bench, 0);
        bench_replace(&bench, 0);
    }
    bench_do(&bench, 0, last_batch(), SHORT_NS);
    for (i = 0; i < 4; i++) {
        bench_killed(&bench, 0);
        assert_int_equal(jobs[0].left, 8);
        bench_replace(&bench, 0);
    }
}

/* A result proves that workers can: the next one need not wait. */
static void a_result_lets_go_of_the_brake(void **state)
{
    (void)state;
    begin_with_batch(2, 1);
    bench.scheduler.bad_starts = 8;
    bench.scheduler.next_spawn = bench.now + 500 * POOL__MS;
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_int_equal(bench.scheduler.bad_starts, 0);
    assert_int_equal(bench.scheduler.next_spawn, 0);
}

static void a_result_puts_its_seat_back_in_line(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    pool__list_remove(&seat()->link);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(bench.scheduler.idle.next == &seat()->link);
    pool__list_remove(&seat()->link);
    assert_true(bench_left(&bench, 0, 1));
    assert_true(bench.scheduler.idle.next == &seat()->link);
    assert_false(bench_left(&bench, 0, 2)); /* nothing is in flight */
}

static void leaving_may_be_said_by_one_that_was_stopped(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    pool__staffing_end(&bench.scheduler, bench.now);
    assert_int_equal(seat()->state, POOL__SEAT_LEAVING);
    assert_true(pool__scheduler_leaving(&bench.scheduler, seat(), bench.now));
    pool__staffing_condemn(&bench.scheduler, seat(), POOL__KILL_STOP, bench.now);
    assert_false(pool__scheduler_leaving(&bench.scheduler, seat(), bench.now));
}

static void one_that_was_never_ready_makes_nothing_suspect(void **state)
{
    unsigned i;

    (void)state;
    begin_with_batch(2, 2);
    for (i = 0; i < 6; i++) {
        seat()->was_ready = false;
        bench_killed(&bench, 0);
        assert_int_equal(jobs[0].left, 2);
        bench_replace(&bench, 0);
    }
}

/* Whatever ended its workers, it is CRASHED; a hole in the table is no sign of work. */
static void a_suspected_item_tells_the_last_death(void **state)
{
    unsigned i;

    (void)state;
    begin_with_applies(3);
    for (i = 0; i < 5; i++) {
        if (i == 4)
            pool__scheduler_withdraw(&bench.scheduler, &jobs[1].job, POOL_CANCELLED, false);
        bench_death(&bench, 0, EXIT_1, false);
        assert_int_equal(jobs[0].left, i < 4);
        bench_replace(&bench, 0);
    }
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].code, 1);
    assert_int_equal(jobs[0].start, 0);
    assert_int_equal(jobs[2].left, 1);
}

static void one_that_leaves_is_in_no_list(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 3);
    assert_true(pool__scheduler_leaving(&bench.scheduler, seat(), bench.now));
    assert_false(pool__is_linked(&seat()->link));
    bench.scheduler.stop_timeout = 70 * POOL__MS;
    pool__staffing_resize(&bench.scheduler, 2, bench.now);
    assert_int_equal(bench.stops[2], 1);
    assert_false(pool__is_linked(&bench_seat(&bench, 2)->link));
    assert_true(bench.scheduler.staff_at == bench.now + 70 * POOL__MS);
    bench_death(&bench, 2, 0, true);
    assert_int_equal(bench.scheduler.span, 3);
    bench_adjust(&bench);
    assert_int_equal(bench.scheduler.span, 2);
}

/* ------------------------------------------------------------------ seats */

static bool may_send_more(uint32_t batch, uint32_t offset, enum pool__mark mark)
{
    pool__board_mark(seat()->board, batch, offset, mark);
    return pool__seat_may_send_more(seat(), 1000);
}

static void put_stream(uint64_t base, uint64_t staged)
{
    atomic_store(&seat()->board->base, base);
    atomic_store(&seat()->board->staged, staged);
}

/* All that is published is here: more comes only from within the item that is next. */
static void when_a_worker_may_send_more(void **state)
{
    (void)state;
    begin_with_applies(3);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(bench_left(&bench, 0, 1));
    put_stream(900, 1000);
    assert_true(may_send_more(2, 0, POOL__MARK_RUN));
    assert_false(may_send_more(0, 0, POOL__MARK_NONE));
    assert_false(may_send_more(1, 0, POOL__MARK_DONE));
    assert_false(may_send_more(2, 0, POOL__MARK_DONE));
    assert_false(may_send_more(2, 1, POOL__MARK_RUN));
    assert_false(may_send_more(3, 0, POOL__MARK_RUN));
    assert_false(may_send_more(4, 0, POOL__MARK_RUN));
    put_stream(900, 1001);
    assert_true(may_send_more(2, 0, POOL__MARK_DONE));
    assert_true(may_send_more(3, 0, POOL__MARK_RUN));
    bench_result(&bench, 0, SHORT_NS, POOL_OK);
    put_stream(900, 1000);
    assert_false(may_send_more(2, 0, POOL__MARK_RUN));
    pool__board_mark(seat()->board, 3, 0, POOL__MARK_RUN);
    bench_result(&bench, 0, SHORT_NS, POOL_OK);
    assert_true(may_send_more(3, 0, POOL__MARK_DONE)); /* nobody waits for anything */
}

/* What says that more is published, and cannot be. Within an item the words move, one after the other. */
static void impossible_words_promise_nothing(void **state)
{
    (void)state;
    begin_with_applies(3);
    put_stream(900, 900 + POOL__STAGING_SIZE);
    assert_true(may_send_more(1, 0, POOL__MARK_DONE));
    put_stream(900, 901 + POOL__STAGING_SIZE);
    assert_false(may_send_more(1, 0, POOL__MARK_DONE));
    assert_true(may_send_more(2, 0, POOL__MARK_RUN));
    put_stream(1002, 1001);
    assert_false(may_send_more(1, 0, POOL__MARK_DONE));
    assert_true(may_send_more(2, 0, POOL__MARK_RUN));
    put_stream(3, UINT64_MAX);
    assert_false(may_send_more(9, 0, POOL__MARK_RUN));
}

static void patience_has_an_end(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    pool__seat_head(seat())->moves = 9;
    assert_true(pool__seat_patience_ends(seat()) == seat()->heard + (10 * POOL__MS << 9));
    pool__seat_head(seat())->moves = 99;
    assert_true(pool__seat_patience_ends(seat()) == seat()->heard + (10 * POOL__MS << 10));
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(pool__seat_patience_ends(seat()) == seat()->heard + 10 * POOL__MS);
}

static void a_mark_of_a_batch_that_was_left_is_old(void **state)
{
    (void)state;
    begin_with_applies(2);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(bench_left(&bench, 0, 1));
    pool__board_mark(seat()->board, 1, 0, POOL__MARK_RUN);
    assert_false(pool__seat_is_marked(seat()));
    assert_false(pool__seat_is_running(seat()));
    bench_killed(&bench, 0);
    assert_int_equal(jobs[1].left, 1); /* it had not begun */
}

/* ------------------------------------------------------------------ staffing */

/* Its number of items is done; it is to say LEAVING, and does not. */
static void one_that_should_leave_by_itself(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    seat()->budget = 1;
    bench.scheduler.stop_timeout = 100 * POOL__MS;
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench.now += 100 * POOL__MS - 1;
    bench_adjust(&bench);
    assert_int_equal(bench.kills[0], 0);
    assert_true(bench.scheduler.staff_at == bench.now + 1);
    bench.now += 1;
    bench_adjust(&bench);
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(seat()->reason, POOL__KILL_STOP);
}

static void one_that_leaves_may_yet_be_good(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench.scheduler.bad_starts = 10;
    bench.scheduler.bad_before_ready = true;
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    pool__seat_enter(bench_seat(&bench, 0), POOL__SEAT_LEAVING, bench.now);
    pool__seat_enter(bench_seat(&bench, 1), POOL__SEAT_DYING, bench.now);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    pool__seat_enter(bench_seat(&bench, 0), POOL__SEAT_DYING, bench.now);
    assert_true(pool__staffing_hopeless(&bench.scheduler));
}

/* The tenth, by a SIGKILL: from elsewhere, soon after a READY worker; or not so. */
static unsigned bad_starts_after(uint64_t since_ready, enum pool__kill_reason reason, int status)
{
    unsigned count;

    bench_begin(&bench, 1, 1);
    bench.scheduler.bad_starts = 9;
    bench.scheduler.last_ready = since_ready == 0 ? 0 : bench.now;
    bench.now += since_ready;
    if (reason != POOL__KILL_NONE)
        pool__staffing_condemn(&bench.scheduler, seat(), reason, bench.now);
    bench_death(&bench, 0, status, false);
    count = bench.scheduler.bad_starts;
    bench_end(&bench);
    return count;
}

static void the_tenth_bad_start(void **state)
{
    (void)state;
    assert_int_equal(bad_starts_after(POOL__MS, POOL__KILL_NONE, SIGKILL), 9);
    assert_int_equal(bad_starts_after(10000 * POOL__MS - 1, POOL__KILL_NONE, SIGKILL), 9);
    assert_int_equal(bad_starts_after(10000 * POOL__MS, POOL__KILL_NONE, SIGKILL), 10);
    assert_int_equal(bad_starts_after(0, POOL__KILL_NONE, SIGKILL), 10);
    assert_int_equal(bad_starts_after(POOL__MS, POOL__KILL_START, SIGKILL), 10);
    assert_int_equal(bad_starts_after(POOL__MS, POOL__KILL_NONE, SIGSEGV), 10);
    assert_int_equal(bad_starts_after(POOL__MS, POOL__KILL_NONE, EXIT_1), 10);
    assert_int_equal(bad_starts_after(POOL__MS, POOL__KILL_STOP, SIGKILL), 9); /* ours */
    bench_begin(&bench, 1, 1);
}

static void starts_are_counted(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 3);
    assert_int_equal(bench.scheduler.started, 3);
    seat()->pid = 7;
    bench_killed(&bench, 0);
    assert_int_equal(seat()->pid, 0);
    bench.refuses = true;
    bench_adjust(&bench);
    assert_int_equal(bench.scheduler.started, 3);
    assert_true(bench.scheduler.staff_at == bench.now + POOL__MS);
}

static void ready_is_a_sign_of_life(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    bench.now += 5 * POOL__MS;
    bench_ready(&bench, 0);
    assert_true(seat()->heard == bench.now);
    assert_true(bench.scheduler.last_ready == bench.now);
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 1), POOL__KILL_START, bench.now);
    bench.now += POOL__MS;
    bench_ready(&bench, 1); /* too late */
    assert_true(bench.scheduler.last_ready == bench.now - POOL__MS);
    assert_int_equal(bench_seat(&bench, 1)->state, POOL__SEAT_DYING);
}

/* A closed pool keeps an idle worker as long as there may be something for it. */
static void idle_workers_are_kept_for_what_can_be_shared(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 3, 3, false);
    bench_dispatch(&bench);
    assert_int_equal(bench.sends[0].seat, 1);
    pool__staffing_end(&bench.scheduler, bench.now);
    assert_true(bench.scheduler.work_to_share);
    assert_int_equal(bench.stops[0], 0);
    bench_do(&bench, 1, 1, SHORT_NS);
    bench_adjust(&bench);
    assert_int_equal(bench.stops[0], 0);
    bench_do(&bench, 1, 1, SHORT_NS);
    bench_adjust(&bench);
    assert_int_equal(bench.stops[0], 0); /* the last one may be stolen yet */
    bench_start(&bench, 1, 1);
    bench_adjust(&bench);
    assert_false(bench.scheduler.work_to_share);
    assert_int_equal(bench.stops[0], 1);
    assert_int_equal(bench.stops[1], 0);
}

static void two_busy_workers_share_nothing(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 3);
    bench_submit(&bench, &jobs[0], 2, 1, false);
    bench_dispatch(&bench);
    bench_start(&bench, 1, 1);
    bench_start(&bench, 2, 1);
    pool__staffing_end(&bench.scheduler, bench.now);
    assert_false(bench.scheduler.work_to_share);
    assert_int_equal(bench.stops[0], 1);
}

static void an_abort_stops_each_once(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 3);
    bench_submit(&bench, &jobs[0], 1, 1, false);
    bench_dispatch(&bench);
    bench_start(&bench, 2, 1);
    pool__staffing_resize(&bench.scheduler, 2, bench.now);
    assert_int_equal(bench.stops[2], 1);
    pool__board_mark(bench_seat(&bench, 2)->board, 1, 0, POOL__MARK_DONE);
    pool__staffing_abort(&bench.scheduler, 30 * POOL__MS, bench.now);
    assert_int_equal(bench.stops[0] + bench.stops[1] + bench.stops[2], 3);
    assert_true(bench.scheduler.staff_at == bench.now + 30 * POOL__MS);
    assert_int_equal(bench.kills[0] + bench.kills[1] + bench.kills[2], 0);
}

static void when_it_is_over(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    assert_false(pool__staffing_over(&bench.scheduler));
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench.refuses = true;
    pool__staffing_end(&bench.scheduler, bench.now);
    assert_false(pool__staffing_over(&bench.scheduler));
    bench_killed(&bench, 0);
    assert_false(pool__staffing_over(&bench.scheduler)); /* an item waits */
    pool__staffing_abort(&bench.scheduler, POOL__MS, bench.now);
    assert_true(pool__staffing_over(&bench.scheduler));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(what_is_counted),
        TEST(an_outcome_tells_worker_and_deadline),
        TEST(times_below_an_items_cost),
        TEST(suspicion_is_of_one_item),
        TEST(a_result_lets_go_of_the_brake),
        TEST(a_result_puts_its_seat_back_in_line),
        TEST(leaving_may_be_said_by_one_that_was_stopped),
        TEST(one_that_was_never_ready_makes_nothing_suspect),
        TEST(a_suspected_item_tells_the_last_death),
        TEST(one_that_leaves_is_in_no_list),
        TEST(when_a_worker_may_send_more),
        TEST(impossible_words_promise_nothing),
        TEST(patience_has_an_end),
        TEST(a_mark_of_a_batch_that_was_left_is_old),
        TEST(one_that_should_leave_by_itself),
        TEST(one_that_leaves_may_yet_be_good),
        TEST(the_tenth_bad_start),
        TEST(starts_are_counted),
        TEST(ready_is_a_sign_of_life),
        TEST(idle_workers_are_kept_for_what_can_be_shared),
        TEST(two_busy_workers_share_nothing),
        TEST(an_abort_stops_each_once),
        TEST(when_it_is_over),
    };

    return cmocka_run_group_tests_name("corners", tests, NULL, NULL);
}
