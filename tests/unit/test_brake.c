/* The brake on workers that end before they have done anything (design: failing, ending; rule 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"

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

static void pass_ms(unsigned ms)
{
    bench.now += ms * POOL__MS;
    if (bench.now >= bench.scheduler.staff_at)
        bench_adjust(&bench);
}

static uint64_t pause_ms(void)
{
    return bench.scheduler.next_spawn > bench.now ? (bench.scheduler.next_spawn - bench.now) / POOL__MS : 0;
}

/* It ends at once; the next one sits down as soon as it may. */
static void start_badly(void)
{
    bench_death(&bench, 0, EXIT_1, false);
    bench.now += pause_ms() * POOL__MS;
    bench_adjust(&bench);
}

static void pauses_double_to_a_second(void **state)
{
    static const unsigned pauses[] = {0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000};
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    for (i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        unsigned before;

        bench_death(&bench, 0, EXIT_1, false);
        before = spawns();
        assert_int_equal(pause_ms(), pauses[i]);
        bench_adjust(&bench);
        assert_int_equal(spawns(), before + (pauses[i] == 0));
        if (pauses[i] == 0)
            continue;
        assert_true(bench.scheduler.staff_at <= bench.scheduler.next_spawn);
        pass_ms(pauses[i] - 1);
        assert_int_equal(spawns(), before);
        pass_ms(1);
        assert_int_equal(spawns(), before + 1);
    }
}

/* No storm from many seats either. */
static void after_bad_starts_workers_come_one_by_one(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 4, 4);
    for (i = 0; i < 4; i++)
        bench_death(&bench, i, EXIT_1, false);
    assert_int_equal(pause_ms(), 40);
    pass_ms(40);
    bench_adjust(&bench);
    assert_int_equal(spawns(), 5);
    pass_ms(39);
    bench_adjust(&bench);
    assert_int_equal(spawns(), 5);
    pass_ms(1);
    assert_int_equal(spawns(), 6);
}

static void ten_bad_starts_are_hopeless(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    for (i = 1; i <= 10; i++) {
        assert_false(pool__staffing_hopeless(&bench.scheduler));
        start_badly();
    }
    assert_true(pool__staffing_hopeless(&bench.scheduler));
}

static void not_while_another_worker_is_ready(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 2, 2);
    bench_ready(&bench, 1);
    for (i = 0; i < 20; i++)
        start_badly();
    assert_false(pool__staffing_hopeless(&bench.scheduler));
}

static void a_result_makes_up_for_all(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    for (i = 0; i < 9; i++)
        start_badly();
    bench_ready(&bench, 0);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    bench_do(&bench, 0, 1, 1000);
    assert_int_equal(bench.scheduler.bad_starts, 0);
    bench_killed(&bench, 0);
    assert_int_equal(bench.scheduler.bad_starts, 0);
}

/* Somebody kills idle workers: the pool slows down, but has no reason to give up (rule 11). */
static void deaths_after_ready_are_hopeless_only_with_work_waiting(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    for (i = 0; i < 15; i++) {
        bench_ready(&bench, 0);
        start_badly();
    }
    assert_int_equal(bench.scheduler.bad_starts, 15);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    assert_true(pool__staffing_hopeless(&bench.scheduler));
}

static void crashing_tasks_never_count(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 50, 50, false);
    bench_dispatch(&bench);
    for (i = 0; i < 50; i++) {
        bench_start(&bench, 0, bench.sends[bench.send_count - 1].batch);
        bench_death(&bench, 0, SIGSEGV, false);
        assert_int_equal(bench.scheduler.bad_starts, 0);
        bench_replace(&bench, 0);
    }
    assert_int_equal(jobs[0].left, 0);
    assert_int_equal(bench.scheduler.lost, 50);
}

static void planned_ends_never_count(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 1);
    for (i = 0; i < 20; i++) {
        bench_death(&bench, 0, 0, true);
        assert_int_equal(bench.scheduler.bad_starts, 0);
        bench_replace(&bench, 0);
    }
    assert_int_equal(bench.scheduler.lost, 0);
}

static void a_long_life_ends_the_row(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    for (i = 0; i < 5; i++)
        start_badly();
    bench_ready(&bench, 0);
    pass_ms(1000);
    bench_killed(&bench, 0);
    assert_int_equal(bench.scheduler.bad_starts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(pauses_double_to_a_second, end),
        cmocka_unit_test_teardown(after_bad_starts_workers_come_one_by_one, end),
        cmocka_unit_test_teardown(ten_bad_starts_are_hopeless, end),
        cmocka_unit_test_teardown(not_while_another_worker_is_ready, end),
        cmocka_unit_test_teardown(a_result_makes_up_for_all, end),
        cmocka_unit_test_teardown(deaths_after_ready_are_hopeless_only_with_work_waiting, end),
        cmocka_unit_test_teardown(crashing_tasks_never_count, end),
        cmocka_unit_test_teardown(planned_ends_never_count, end),
        cmocka_unit_test_teardown(a_long_life_ends_the_row, end),
    };

    return cmocka_run_group_tests_name("brake", tests, NULL, NULL);
}
