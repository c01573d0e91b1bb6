/*
 * SIGKILL from elsewhere and the brake (rule 11): where a worker was READY not long ago, such a death slows the pool down,
 * but is never the tenth in a row, which breaks it; where none was, it is like any other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"

static struct bench bench;
static struct bench_job job;

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

/* The worker ends so, and the next one sits down as soon as the brake lets it. */
static void die(int status)
{
    bench_death(&bench, 0, status, false);
    if (bench.now < bench.scheduler.next_spawn)
        bench.now = bench.scheduler.next_spawn;
    bench_adjust(&bench);
}

static void begin_with_work_waiting(void)
{
    bench_begin(&bench, 1, 1);
    bench_submit(&bench, &job, 1, 0, true);
}

static void never_the_tenth_after_a_ready(void **state)
{
    unsigned i;

    (void)state;
    begin_with_work_waiting();
    for (i = 1; i <= 50; i++) {
        bench_ready(&bench, 0); /* and killed before it is given anything */
        die(SIGKILL);
        assert_int_equal(bench.scheduler.bad_starts, i < 9 ? i : 9);
        assert_false(pool__staffing_hopeless(&bench.scheduler));
    }
}

/* One READY worker speaks for those after it that do not come so far. */
static void nor_before_its_own_ready(void **state)
{
    unsigned i;

    (void)state;
    begin_with_work_waiting();
    for (i = 1; i <= 50; i++) {
        if (i % 4 == 1)
            bench_ready(&bench, 0);
        die(SIGKILL);
        assert_false(pool__staffing_hopeless(&bench.scheduler));
    }
}

/* It goes on as slowly as after nine. */
static void it_slows_the_pool_down(void **state)
{
    unsigned i;
    uint64_t before;

    (void)state;
    begin_with_work_waiting();
    for (i = 0; i < 20; i++) {
        bench_ready(&bench, 0);
        die(SIGKILL);
    }
    bench_ready(&bench, 0);
    before = bench.now;
    die(SIGKILL);
    assert_true(bench.now - before >= 640 * POOL__MS);
}

static void the_tenth_where_none_was_ready(void **state)
{
    unsigned i;

    (void)state;
    begin_with_work_waiting();
    for (i = 1; i <= 10; i++) {
        assert_false(pool__staffing_hopeless(&bench.scheduler));
        die(SIGKILL);
        assert_int_equal(bench.scheduler.bad_starts, i);
    }
    assert_true(pool__staffing_hopeless(&bench.scheduler));
}

static void the_tenth_where_none_was_for_ten_seconds(void **state)
{
    unsigned i;

    (void)state;
    begin_with_work_waiting();
    bench_ready(&bench, 0);
    for (i = 1; i <= 9; i++)
        die(SIGKILL);
    bench.now = bench.scheduler.last_ready + 9999 * POOL__MS;
    bench_death(&bench, 0, SIGKILL, false);
    assert_int_equal(bench.scheduler.bad_starts, 9);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    bench.now = bench.scheduler.next_spawn;
    bench_adjust(&bench);
    assert_true(bench.now - bench.scheduler.last_ready >= 10000 * POOL__MS);
    bench_death(&bench, 0, SIGKILL, false);
    assert_int_equal(bench.scheduler.bad_starts, 10);
    assert_true(pool__staffing_hopeless(&bench.scheduler));
}

/* Other ends are the workers' own. */
static void other_ends_are_the_tenth(void **state)
{
    static const int statuses[] = {0, 1 << 8, SIGSEGV, SIGTERM};
    unsigned i, s;

    for (s = 0; s < sizeof statuses / sizeof *statuses; s++) {
        begin_with_work_waiting();
        for (i = 0; i < 9; i++) {
            bench_ready(&bench, 0);
            die(SIGKILL);
        }
        assert_false(pool__staffing_hopeless(&bench.scheduler));
        bench_ready(&bench, 0);
        die(statuses[s]);
        assert_int_equal(bench.scheduler.bad_starts, 10);
        assert_true(pool__staffing_hopeless(&bench.scheduler));
        if (s + 1 < sizeof statuses / sizeof *statuses)
            end(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(never_the_tenth_after_a_ready, end),
        cmocka_unit_test_teardown(nor_before_its_own_ready, end),
        cmocka_unit_test_teardown(it_slows_the_pool_down, end),
        cmocka_unit_test_teardown(the_tenth_where_none_was_ready, end),
        cmocka_unit_test_teardown(the_tenth_where_none_was_for_ten_seconds, end),
        cmocka_unit_test_teardown(other_ends_are_the_tenth, end),
    };

    return cmocka_run_group_tests_name("brake_killed", tests, NULL, NULL);
}
