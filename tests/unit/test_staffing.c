/* When workers are started, stopped and killed: resize, time limits, the ends. The brake is in test_brake.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "data/control.h"

#define EXIT_1 (1 << 8)

static struct bench bench;
static struct bench_job jobs[4];

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static unsigned spawns(void)
{
    unsigned i, count = 0;

    for (i = 0; i < BENCH_SEATS; i++)
        count += bench.spawns[i];
    return count;
}

static enum pool__seat_state state_of(unsigned index) { return bench_seat(&bench, index)->state; }

static void pass_ms(unsigned ms)
{
    bench.now += ms * POOL__MS;
    if (bench.now >= bench.scheduler.staff_at)
        bench_adjust(&bench);
}

/* ------------------------------------------------------------------ starting */

static void as_many_as_wanted_are_started(void **state)
{
    (void)state;
    bench_begin(&bench, 3, 4);
    assert_int_equal(spawns(), 3);
    assert_int_equal(bench.scheduler.alive, 3);
    assert_int_equal(bench.scheduler.starting, 3);
    assert_int_equal(state_of(0), POOL__SEAT_STARTING);
    assert_int_equal(state_of(3), POOL__SEAT_EMPTY);
    bench_ready(&bench, 0);
    assert_int_equal(bench.scheduler.starting, 2);
    bench_adjust(&bench);
    assert_int_equal(spawns(), 3);
}

/* A kill that is asked for then waits for no more forks than these. */
static void only_so_many_are_asked_for_ahead(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 0, 20);
    bench.untold = true;
    pool__staffing_resize(&bench.scheduler, 20, bench.now);
    assert_int_equal(spawns(), POOL__SPAWNS_AHEAD);
    assert_true(bench.scheduler.held_back);
    bench_adjust(&bench);
    assert_int_equal(spawns(), POOL__SPAWNS_AHEAD);
    for (i = 0; i < 3; i++)
        bench_seat(&bench, i)->spawned = true;
    bench_killed(&bench, 3); /* it was not told of at all */
    bench_adjust(&bench);
    assert_int_equal(spawns(), POOL__SPAWNS_AHEAD + 4);
    assert_true(bench.scheduler.held_back);
    for (i = 0; i < 20; i++)
        bench_seat(&bench, i)->spawned = true;
    bench_adjust(&bench);
    assert_int_equal(spawns(), 21);
    assert_false(bench.scheduler.held_back);
}

static void a_refused_start_is_tried_again(void **state)
{
    (void)state;
    bench_begin(&bench, 1, 1);
    bench_death(&bench, 0, EXIT_1, true);
    bench.refuses = true;
    bench_adjust(&bench);
    assert_int_equal(state_of(0), POOL__SEAT_EMPTY);
    assert_int_equal(bench.scheduler.alive, 0);
    assert_int_equal(bench.scheduler.starting, 0);
    assert_true(bench.scheduler.staff_at <= bench.now + 10 * POOL__MS);
    bench.refuses = false;
    pass_ms(10);
    assert_int_equal(state_of(0), POOL__SEAT_STARTING);
}

static void a_dead_worker_is_replaced(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 2, 2, false);
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    bench_adjust(&bench);
    assert_int_equal(spawns(), 2);
    assert_int_equal(bench.scheduler.lost, 1);
}

static void one_that_cannot_start_in_time_is_killed(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    bench.scheduler.start_timeout = 100 * POOL__MS;
    bench_adjust(&bench);
    bench_ready(&bench, 0);
    assert_true(bench.scheduler.staff_at == bench.now + 100 * POOL__MS);
    pass_ms(99);
    assert_int_equal(bench.kills[1], 0);
    pass_ms(1);
    assert_int_equal(bench.kills[0], 0);
    assert_int_equal(bench.kills[1], 1);
    assert_int_equal(state_of(1), POOL__SEAT_DYING);
    assert_int_equal(bench_seat(&bench, 1)->reason, POOL__KILL_START);
    pass_ms(1000);
    assert_int_equal(bench.kills[1], 1);
    bench_killed(&bench, 1);
    assert_int_equal(bench.scheduler.bad_starts, 1);
}

/* ------------------------------------------------------------------ resize */

static void the_highest_retire(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 4);
    pool__staffing_resize(&bench.scheduler, 2, bench.now);
    assert_int_equal(bench.stops[0] + bench.stops[1], 0);
    assert_int_equal(bench.stops[2], 1);
    assert_int_equal(bench.stops[3], 1);
    assert_int_equal(state_of(3), POOL__SEAT_LEAVING);
    bench_adjust(&bench);
    assert_int_equal(bench.stops[3], 1);
    bench_death(&bench, 3, 0, true);
    bench_adjust(&bench);
    assert_int_equal(state_of(3), POOL__SEAT_EMPTY);
    assert_int_equal(spawns(), 4);
}

/* A busy one ends what it runs; what it has not begun goes to others. */
static void a_resize_loses_nothing(void **state)
{
    unsigned rich, other;

    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 10, 5, false);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    rich = 1;
    other = 0;
    bench_start(&bench, rich, 1);
    pool__staffing_resize(&bench.scheduler, 1, bench.now);
    assert_int_equal(state_of(rich), POOL__SEAT_LEAVING);
    assert_int_equal(bench_seat(&bench, rich)->owed, 1);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 4);
    bench_result(&bench, rich, 2 * POOL__MS, POOL_OK);
    bench_death(&bench, rich, 0, true);
    while (bench_seat(&bench, other)->owed > 0)
        bench_do(&bench, other, 1, 2 * POOL__MS);
    bench_left(&bench, other, 1);
    bench_dispatch(&bench);
    while (bench_seat(&bench, other)->owed > 0)
        bench_do(&bench, other, 2, 2 * POOL__MS);
    assert_int_equal(jobs[0].left, 0);
}

static void a_larger_pool_gets_more_workers(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_end(&bench);
    bench_begin(&bench, 1, 4);
    pool__staffing_resize(&bench.scheduler, 3, bench.now);
    assert_int_equal(spawns(), 3);
    assert_int_equal(bench.scheduler.alive, 3);
}

/* Smaller and larger again: the seat is taken when it is empty. */
static void a_leaving_seat_is_filled_when_empty(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    pool__staffing_resize(&bench.scheduler, 1, bench.now);
    pool__staffing_resize(&bench.scheduler, 2, bench.now);
    assert_int_equal(state_of(1), POOL__SEAT_LEAVING);
    assert_int_equal(spawns(), 2);
    bench_death(&bench, 1, 0, true);
    bench_adjust(&bench);
    assert_int_equal(state_of(1), POOL__SEAT_STARTING);
    assert_int_equal(spawns(), 3);
}

static void one_that_is_starting_is_stopped_too(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    pool__staffing_resize(&bench.scheduler, 1, bench.now);
    assert_int_equal(bench.stops[1], 1);
    assert_int_equal(bench.scheduler.starting, 1);
    bench_ready(&bench, 1); /* too late: it takes nothing */
    assert_int_equal(state_of(1), POOL__SEAT_LEAVING);
    assert_true(pool__list_empty(&bench.scheduler.idle));
}

/* ------------------------------------------------------------------ stopping */

static void one_that_does_not_stop_is_killed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench.scheduler.stop_timeout = 100 * POOL__MS;
    pool__staffing_resize(&bench.scheduler, 1, bench.now);
    assert_true(bench.scheduler.staff_at <= bench.now + 100 * POOL__MS);
    pass_ms(99);
    assert_int_equal(bench.kills[1], 0);
    pass_ms(1);
    assert_int_equal(bench.kills[1], 1);
    assert_int_equal(bench_seat(&bench, 1)->reason, POOL__KILL_STOP);
    bench_killed(&bench, 1);
    assert_int_equal(bench.scheduler.bad_starts, 0); /* our doing */
}

/* Its clock starts when its last outcome is here. */
static void a_task_may_take_its_time(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.scheduler.stop_timeout = 100 * POOL__MS;
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    pool__staffing_resize(&bench.scheduler, 0, bench.now);
    pass_ms(100000);
    bench_adjust(&bench);
    assert_int_equal(bench.kills[0], 0);
    bench_result(&bench, 0, POOL__MS, POOL_OK);
    bench_adjust(&bench);
    assert_int_equal(bench.kills[0], 0);
    pass_ms(99);
    bench_adjust(&bench);
    assert_int_equal(bench.kills[0], 0);
    pass_ms(1);
    assert_int_equal(bench.kills[0], 1);
}

static void nobody_is_condemned_twice(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_NONSENSE, bench.now);
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_STOP, bench.now);
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(bench_seat(&bench, 0)->reason, POOL__KILL_NONSENSE);
    bench_killed(&bench, 0);
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_STOP, bench.now);
    assert_int_equal(bench.kills[0], 1);
}

/* ------------------------------------------------------------------ the ends */

static void idle_workers_are_stopped_at_the_end(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    pool__staffing_end(&bench.scheduler, bench.now);
    assert_int_equal(bench.stops[1 - bench.sends[0].seat], 0); /* the item has not begun: it may be stolen yet */
    bench_start(&bench, bench.sends[0].seat, 1);
    bench_adjust(&bench);
    assert_int_equal(bench.stops[bench.sends[0].seat], 0);
    assert_int_equal(bench.stops[1 - bench.sends[0].seat], 1);
    bench_result(&bench, bench.sends[0].seat, 1000, POOL_OK);
    bench_adjust(&bench);
    assert_int_equal(bench.stops[bench.sends[0].seat], 1);
    bench_death(&bench, 0, 0, true);
    assert_false(pool__staffing_over(&bench.scheduler));
    bench_death(&bench, 1, 0, true);
    bench_adjust(&bench);
    assert_true(pool__staffing_over(&bench.scheduler));
    assert_int_equal(spawns(), 2);
}

/* The last worker dies with work unstarted: another one does it. */
static void the_end_waits_for_what_comes_back(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 3, 3, false);
    bench_dispatch(&bench);
    pool__staffing_end(&bench.scheduler, bench.now);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    assert_false(pool__staffing_over(&bench.scheduler));
    bench_replace(&bench, 0);
    assert_int_equal(spawns(), 2);
    bench_do(&bench, 0, 1, 1000);
    bench_do(&bench, 0, 1, 1000);
    bench_adjust(&bench);
    assert_int_equal(bench.stops[0], 1);
    bench_death(&bench, 0, 0, true);
    bench_adjust(&bench);
    assert_true(pool__staffing_over(&bench.scheduler));
}

static void abort_kills_the_busy_and_stops_the_idle(void **state)
{
    unsigned busy, idle;

    (void)state;
    bench_begin(&bench, 3, 3);
    bench_ready(&bench, 0);
    bench_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    busy = bench.sends[0].seat;
    idle = 1 - busy;
    bench_start(&bench, busy, 1);
    pool__scheduler_drop_all(&bench.scheduler, POOL_TERMINATED, 0, NULL);
    pool__staffing_abort(&bench.scheduler, 1000 * POOL__MS, bench.now);
    assert_int_equal(bench.kills[busy], 1);
    assert_int_equal(bench.kills[2], 1); /* it was starting */
    assert_int_equal(bench.kills[idle], 0);
    assert_int_equal(bench.stops[idle], 1);
    pass_ms(999);
    assert_int_equal(bench.kills[idle], 0);
    pass_ms(1);
    assert_int_equal(bench.kills[idle], 1);
    assert_false(pool__staffing_over(&bench.scheduler));
    bench_killed(&bench, 0);
    bench_killed(&bench, 1);
    bench_killed(&bench, 2);
    bench_adjust(&bench);
    assert_int_equal(spawns(), 3);
    assert_true(pool__staffing_over(&bench.scheduler));
    assert_false(pool__staffing_hopeless(&bench.scheduler));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(as_many_as_wanted_are_started, end),
        cmocka_unit_test_teardown(only_so_many_are_asked_for_ahead, end),
        cmocka_unit_test_teardown(a_refused_start_is_tried_again, end),
        cmocka_unit_test_teardown(a_dead_worker_is_replaced, end),
        cmocka_unit_test_teardown(one_that_cannot_start_in_time_is_killed, end),
        cmocka_unit_test_teardown(the_highest_retire, end),
        cmocka_unit_test_teardown(a_resize_loses_nothing, end),
        cmocka_unit_test_teardown(a_larger_pool_gets_more_workers, end),
        cmocka_unit_test_teardown(a_leaving_seat_is_filled_when_empty, end),
        cmocka_unit_test_teardown(one_that_is_starting_is_stopped_too, end),
        cmocka_unit_test_teardown(one_that_does_not_stop_is_killed, end),
        cmocka_unit_test_teardown(a_task_may_take_its_time, end),
        cmocka_unit_test_teardown(nobody_is_condemned_twice, end),
        cmocka_unit_test_teardown(idle_workers_are_stopped_at_the_end, end),
        cmocka_unit_test_teardown(the_end_waits_for_what_comes_back, end),
        cmocka_unit_test_teardown(abort_kills_the_busy_and_stops_the_idle, end),
    };

    return cmocka_run_group_tests_name("staffing", tests, NULL, NULL);
}
