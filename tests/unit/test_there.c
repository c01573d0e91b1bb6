/*
 * Jobs whose memory lies in the arena: frames without their bytes, and an end that is told only when no worker is at
 * them any more (rule 16).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "data/wire.h"

static struct bench bench;
static struct bench_job there, plain;

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static void submit(struct bench_job *job, unsigned items, size_t chunk)
{
    bench_submit(&bench, job, items, chunk, false);
}

static void what_is_not_sent_needs_no_room(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(&there, 1000, 1000);
    there.job.item_size = POOL__FRAME_MAX;
    there.job.items_there = true;
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 1);
    assert_int_equal(bench.sends[0].count, 1000);
    there.job.items_there = false; /* so that the test's end drops it with its worker still there */
}

static void begin_both(void)
{
    bench_begin_ready(&bench, 2);
    submit(&there, 20, 10);
    bench_dispatch(&bench);
    submit(&plain, 20, 10);
    bench_dispatch(&bench);
}

/* A seat's batches, the first of them of the job in the arena. */
static void run_first(unsigned seat)
{
    bench_start(&bench, seat, 1);
}

static void its_end_is_told_with_its_workers(void **state)
{
    static unsigned char results[20];
    unsigned dropped;

    (void)state;
    begin_both();
    there.job.results = results;
    run_first(0);
    run_first(1);
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 1));
    pool__scheduler_drop_all(&bench.scheduler, POOL_TERMINATED, 0, NULL);
    assert_int_equal(plain.left, 0);
    assert_int_equal(there.left, 2); /* those that run */
    assert_int_equal(bench.scheduler.owed, 2);
    pool__staffing_abort(&bench.scheduler, 1000 * POOL__MS, bench.now);
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(bench.kills[1], 1);
    dropped = there.dropped;
    bench_killed(&bench, 1);
    assert_int_equal(there.left, 1);
    bench_killed(&bench, 0);
    assert_int_equal(there.left, 0);
    assert_int_equal(there.dropped, dropped + 2); /* not as a crash, though they were killed */
    for (int i = 0; i < 20; i++)
        assert_int_equal(there.outcomes[i], POOL_TERMINATED);
    assert_int_equal(bench.scheduler.owed, 0);
}

/* A worker that is behind the mark may be at the next item: it is killed as one that runs. */
static void one_between_two_items_is_killed_too(void **state)
{
    static unsigned char results[20];

    (void)state;
    bench_begin_ready(&bench, 1);
    submit(&there, 20, 10);
    bench_dispatch(&bench);
    there.job.results = results;
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE);
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    pool__scheduler_drop_all(&bench.scheduler, POOL_BROKEN, 7, "so it is");
    assert_int_equal(there.left, 1);
    pool__staffing_abort(&bench.scheduler, 1000 * POOL__MS, bench.now);
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(bench.stops[0], 0);
    bench_killed(&bench, 0);
    assert_int_equal(there.left, 0);
    assert_int_equal(there.outcomes[0], POOL_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_not_sent_needs_no_room, end),
        cmocka_unit_test_teardown(its_end_is_told_with_its_workers, end),
        cmocka_unit_test_teardown(one_between_two_items_is_killed_too, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
