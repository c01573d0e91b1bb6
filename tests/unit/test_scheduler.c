/* Which worker gets how many items of which job: batches, turns, frames, budgets (rules 14, 34). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"

#define LONG_NS (2 * POOL__MS)
#define SHORT_NS 1000
#define WHOLE_NS 10000

static struct bench bench;
static struct bench_job jobs[32];

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

/* ------------------------------------------------------------------ giving out */

static void items_go_to_idle_workers(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 2);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    bench_submit(&bench, &jobs[1], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2);
    assert_int_not_equal(bench.sends[0].seat, bench.sends[1].seat);
    bench_submit(&bench, &jobs[2], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 2); /* behind items of unknown length nothing is sent */
    finish_batch(1, 1, LONG_NS);
    assert_sent(2, 1, 0, 1);
    finish_batch(1, 2, LONG_NS);
    assert_int_equal(jobs[2].outcomes[0], POOL_OK);
}

static void nobody_gets_items_before_ready(void **state)
{
    (void)state;
    bench_begin(&bench, 1, 1);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 0);
    assert_true(pool__scheduler_waits(&bench.scheduler));
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
    bench_ready(&bench, 0);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 1);
    assert_false(pool__scheduler_waits(&bench.scheduler));
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 0);
}

static void a_chunk_is_a_batch(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 10, 4, false);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 1);
    finish_batch(0, 1, LONG_NS);
    finish_batch(0, 2, LONG_NS);
    finish_batch(0, 3, LONG_NS);
    assert_int_equal(bench.send_count, 3);
    assert_sent(0, 0, 0, 4);
    assert_sent(1, 0, 4, 4);
    assert_sent(2, 0, 8, 2);
    assert_int_equal(jobs[0].left, 0);
}

/*
 * In steps, for the first measurements are rough; and towards the end something is left for every worker, down to 10 us
 * of work, which is not worth parting.
 */
static void automatic_batches_grow(void **state)
{
    unsigned which, waiting = 1000;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1000, 0, false);
    bench_dispatch(&bench);
    for (which = 0; which < bench.send_count; which++) {
        uint32_t count = bench.sends[which].count, before = which > 0 ? bench.sends[which - 1].count : 0;

        assert_true(count == 1 || count <= 8 * before);
        assert_true(count <= WHOLE_NS / SHORT_NS || count <= waiting / 2);
        waiting -= count;
        finish_batch(0, bench.sends[which].batch, SHORT_NS);
    }
    assert_int_equal(jobs[0].left, 0);
    assert_true(bench.send_count < 60);
    assert_sent(0, 0, 0, 1);
}

static void long_items_go_one_by_one(void **state)
{
    unsigned which;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 20, 0, false);
    bench_dispatch(&bench);
    for (which = 0; which < 20; which++) {
        assert_int_equal(bench.send_count, which + 1);
        assert_sent(which, 0, which, 1);
        finish_batch(0, which + 1, LONG_NS);
    }
}

/* Cheap ones are sent ahead, a bounded number, so that no worker waits for the pipe. */
static void short_items_are_sent_ahead(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    finish_batch(0, 1, SHORT_NS);
    for (i = 1; i < 32; i++)
        bench_submit(&bench, &jobs[i], 1, 0, true);
    bench_dispatch(&bench);
    assert_in_range(bench.send_count, 3, 1 + POOL__FLIGHT / 2);
}

static void applies_and_maps_take_turns(void **state)
{
    unsigned i, of_the_map = 0;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 20, 1, false);
    for (i = 1; i <= 20; i++)
        bench_submit(&bench, &jobs[i], 1, 0, true);
    bench_dispatch(&bench);
    for (i = 0; i < 20; i++) {
        of_the_map += bench.sends[i].job == &jobs[0].job;
        if (bench.sends[i].job != &jobs[0].job)
            assert_ptr_equal(bench.sends[i].job, &jobs[1 + i - of_the_map].job); /* in their order */
        finish_batch(0, i + 1, LONG_NS);
    }
    assert_int_equal(of_the_map, 10);
}

static void maps_take_turns(void **state)
{
    unsigned i, of_the_first = 0;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 20, 2, false);
    bench_submit(&bench, &jobs[1], 20, 2, false);
    bench_dispatch(&bench);
    for (i = 0; i < 10; i++) {
        of_the_first += bench.sends[i].job == &jobs[0].job;
        finish_batch(0, i + 1, LONG_NS);
    }
    assert_int_equal(of_the_first, 5);
}

static void a_full_pipe_is_left_alone(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.full[0] = true;
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 0);
    bench.full[0] = false;
    pool__scheduler_has_room(&bench.scheduler, bench_seat(&bench, 0));
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 1);
}

/* ------------------------------------------------------------------ frames */

static void frames_are_bounded(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 1000, 1000, false);
    jobs[0].job.item_size = 1000;
    bench_dispatch(&bench);
    assert_in_range(bench.sends[0].count, 50, POOL__FRAME_MAX / 1000);
}

static void one_item_goes_however_large(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 10, 10, false);
    jobs[0].job.item_size = 10 * POOL__FRAME_MAX;
    bench_dispatch(&bench);
    assert_sent(0, 0, 0, 1);
}

static void items_of_varying_sizes_fill_frames(void **state)
{
    unsigned i, sent = 0;

    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 12, 12, false);
    jobs[0].job.item_size = SIZE_MAX;
    for (i = 0; i < 12; i++)
        jobs[0].sizes[i] = i == 3 ? SIZE_MAX / 4 : i == 4 ? POOL__FRAME_MAX : 10000;
    bench_dispatch(&bench);
    for (i = 0; i < bench.send_count; i++) {
        uint64_t bytes = POOL__FRAME_SIZE + pool__sizes_table(bench.sends[i].count), k;

        for (k = 0; k < bench.sends[i].count; k++)
            bytes += pool__padded(jobs[0].sizes[sent + k], POOL__FRAME_ALIGN);
        assert_true(bench.sends[i].count == 1 || bytes <= POOL__FRAME_MAX);
        assert_int_equal(bench.sends[i].first, sent);
        sent += bench.sends[i].count;
        finish_batch(0, i + 1, LONG_NS);
    }
    assert_int_equal(sent, 12);
    assert_sent(0, 0, 0, 3);
    assert_sent(1, 0, 3, 1);
    assert_sent(2, 0, 4, 1);
    assert_sent(3, 0, 5, 6);
}

/* ------------------------------------------------------------------ tasks_per_worker (rule 34) */

static void a_worker_gets_its_number_of_items(void **state)
{
    (void)state;
    bench_begin(&bench, 1, 1);
    bench_death(&bench, 0, 0, true); /* seats are given their budget when a life begins */
    bench.scheduler.tasks_per_worker = 5;
    bench_replace(&bench, 0);
    bench_submit(&bench, &jobs[0], 12, 3, false);
    bench_dispatch(&bench);
    finish_batch(0, 1, LONG_NS);
    finish_batch(0, 2, LONG_NS);
    assert_sent(0, 0, 0, 3);
    assert_sent(1, 0, 3, 2);
    assert_int_equal(bench.send_count, 2);
    assert_true(pool__scheduler_leaving(&bench.scheduler, bench_seat(&bench, 0), bench.now));
    bench_death(&bench, 0, 0, true);
    bench_replace(&bench, 0);
    assert_sent(2, 0, 5, 3);
}

/* What was taken back from it was not one of its items. */
static void stolen_items_do_not_count(void **state)
{
    (void)state;
    bench_begin(&bench, 2, 2);
    bench_death(&bench, 0, 0, true);
    bench_death(&bench, 1, 0, true);
    bench.scheduler.tasks_per_worker = 5;
    bench_adjust(&bench);
    bench_ready(&bench, 0);
    bench_submit(&bench, &jobs[0], 5, 5, false);
    bench_dispatch(&bench);
    assert_sent(0, 0, 0, 5);
    bench_start(&bench, 0, 1);
    bench_ready(&bench, 1);
    bench_dispatch(&bench);
    assert_sent(1, 1, 3, 2);
    assert_int_equal(bench_seat(&bench, 0)->budget, 2);
    assert_int_equal(bench_seat(&bench, 1)->budget, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(items_go_to_idle_workers, end),
        cmocka_unit_test_teardown(nobody_gets_items_before_ready, end),
        cmocka_unit_test_teardown(a_chunk_is_a_batch, end),
        cmocka_unit_test_teardown(automatic_batches_grow, end),
        cmocka_unit_test_teardown(long_items_go_one_by_one, end),
        cmocka_unit_test_teardown(short_items_are_sent_ahead, end),
        cmocka_unit_test_teardown(applies_and_maps_take_turns, end),
        cmocka_unit_test_teardown(maps_take_turns, end),
        cmocka_unit_test_teardown(a_full_pipe_is_left_alone, end),
        cmocka_unit_test_teardown(frames_are_bounded, end),
        cmocka_unit_test_teardown(one_item_goes_however_large, end),
        cmocka_unit_test_teardown(items_of_varying_sizes_fill_frames, end),
        cmocka_unit_test_teardown(a_worker_gets_its_number_of_items, end),
        cmocka_unit_test_teardown(stolen_items_do_not_count, end),
    };

    return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
