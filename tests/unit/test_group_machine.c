/*
 * Items of a group, one by one: each is cancelled, killed for and retried by itself, wherever it is, and what is taken
 * back with it keeps its order.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "engine/deadline.h"
#include "fail_next.h"

#define SHORT_NS 1000

static struct bench bench;
static struct bench_job jobs[3];
static enum pool__asked asked_of[BENCH_ITEMS];

static enum pool__asked asked(const struct pool__job *job, uint64_t index)
{
    return job == &jobs[0].job ? asked_of[index] : POOL__ASKED_NOTHING;
}

static const struct pool__owner owner = {bench_argument, NULL, bench_finished, bench_dropped, NULL, asked};

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static void submit_group(unsigned which, unsigned items, size_t chunk)
{
    struct bench_job *job = &jobs[which];

    memset(job, 0, sizeof *job);
    memset(asked_of, 0, sizeof asked_of);
    pool__job_init(&job->job, &owner, NULL, 8);
    job->job.lone = job->job.grouped = true;
    job->job.chunk = chunk;
    job->job.end = items;
    job->left = items;
    pool__scheduler_submit(&bench.scheduler, &job->job);
}

/* One worker that has a batch of these items. */
static void begin_with_batch(unsigned items)
{
    bench_begin_ready(&bench, 1);
    submit_group(0, items, items);
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 1);
}

static bool withdraw(uint64_t index)
{
    return pool__scheduler_withdraw_item(&bench.scheduler, &jobs[0].job, index);
}

static void assert_sent(unsigned which, uint64_t first, uint32_t count)
{
    assert_true(bench.send_count > which);
    assert_int_equal(bench.sends[which].first, first);
    assert_int_equal(bench.sends[which].count, count);
}

/* Each item that is given out is done; what was sent, in order. */
static void work_off(unsigned seat)
{
    unsigned at;

    for (at = 0; at < bench.send_count; at++)
        while (bench_seat(&bench, seat)->flight[bench.sends[at].batch % POOL__FLIGHT] != NULL &&
               bench.sends[at].batch > bench_seat(&bench, seat)->left) {
            bench_do(&bench, seat, bench.sends[at].batch, SHORT_NS);
            if (bench_seat(&bench, seat)->head > bench.sends[at].batch)
                assert_true(bench_left(&bench, seat, bench.sends[at].batch));
            bench_dispatch(&bench);
        }
}

static void assert_outcomes(unsigned items, uint64_t cancelled)
{
    unsigned i;

    assert_int_equal(jobs[0].left, 0);
    assert_int_equal(jobs[0].job.in_flight, 0);
    assert_false(pool__job_waits(&jobs[0].job));
    assert_false(pool__is_linked(&jobs[0].job.link));
    for (i = 0; i < items; i++)
        assert_int_equal(jobs[0].outcomes[i], (cancelled >> i & 1) != 0 ? POOL_CANCELLED : POOL_OK);
}

/* ---- what waits */

static void fresh_items_go_one_by_one(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit_group(0, 6, 6);
    assert_true(withdraw(3));
    assert_true(withdraw(0));
    assert_true(withdraw(5));
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 3);
    bench_dispatch(&bench);
    assert_sent(0, 1, 2);
    work_off(0);
    assert_sent(1, 4, 1);
    assert_outcomes(6, 0x29);
    assert_int_equal(bench.scheduler.cancelled, 3);
}

static void the_last_to_go_leaves_nothing_in_the_queue(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit_group(0, 3, 3);
    assert_true(withdraw(1));
    assert_true(withdraw(0));
    assert_true(withdraw(2));
    assert_false(pool__scheduler_waits(&bench.scheduler));
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 0);
    assert_outcomes(3, 7);
}

/* It may be filled further when it has nothing that waits. */
static void what_comes_later_is_given_out(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit_group(0, 2, 4);
    assert_true(withdraw(0));
    assert_true(withdraw(1));
    jobs[0].job.end = 3;
    jobs[0].left++;
    pool__scheduler_submit(&bench.scheduler, &jobs[0].job);
    bench_dispatch(&bench);
    assert_sent(0, 2, 1);
    work_off(0);
    assert_outcomes(3, 3);
}

static void one_goes_out_of_a_run_that_came_back(void **state)
{
    (void)state;
    begin_with_batch(6);
    bench_killed(&bench, 0);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 6);
    assert_true(withdraw(2));
    assert_true(withdraw(5));
    assert_true(withdraw(0));
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 3);
    bench_replace(&bench, 0);
    assert_sent(1, 1, 1);
    bench.send_count = 1;
    bench.sends[0] = bench.sends[1];
    work_off(0);
    assert_sent(1, 3, 2);
    assert_outcomes(6, 0x25);
}

/* ---- what is with a worker */

static void one_between_others_comes_back_alone(void **state)
{
    (void)state;
    begin_with_batch(5);
    bench_start(&bench, 0, 1);
    assert_true(withdraw(2));
    assert_false(pool__board_cancel_asked(&bench.boards[0]));
    assert_int_equal(bench_seat(&bench, 0)->owed, 1);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 3);
    bench_result(&bench, 0, SHORT_NS, POOL_OK);
    assert_true(bench_left(&bench, 0, 1));
    bench_dispatch(&bench);
    assert_sent(1, 1, 1);
    work_off(0);
    assert_sent(2, 3, 2);
    assert_outcomes(5, 4);
}

static void a_batch_that_is_taken_whole_is_unsent(void **state)
{
    (void)state;
    begin_with_batch(2);
    assert_true(withdraw(0));
    assert_int_equal(bench.unsends[0], 1);
    assert_int_equal(bench_seat(&bench, 0)->owed, 0);
    assert_true(bench_left(&bench, 0, 1));
    bench_dispatch(&bench);
    assert_sent(1, 1, 1);
    work_off(0);
    assert_outcomes(2, 1);
}

static void what_runs_is_asked_and_its_neighbours_stay(void **state)
{
    (void)state;
    begin_with_batch(3);
    bench_start(&bench, 0, 1);
    assert_false(withdraw(0));
    asked_of[0] = POOL__ASKED_TO_STOP;
    assert_true(pool__board_cancel_asked(&bench.boards[0]));
    assert_int_equal(bench_seat(&bench, 0)->owed, 3);
    bench_result(&bench, 0, SHORT_NS, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    bench_start(&bench, 0, 1);
    assert_false(pool__board_cancel_asked(&bench.boards[0]));
    bench_result(&bench, 0, SHORT_NS, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[1], POOL_FAILED); /* nobody asked that one */
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_int_equal(jobs[0].outcomes[2], POOL_OK);
}

static void what_has_ended_is_not_asked_in_place_of_another(void **state)
{
    (void)state;
    begin_with_batch(3);
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE); /* its result is on its way */
    bench_start(&bench, 0, 1);
    assert_false(withdraw(1));
    assert_true(pool__board_cancel_asked(&bench.boards[0]));
    assert_false(withdraw(0));
    assert_true(pool__board_cancel_asked(&bench.boards[0])); /* the word is the second's still */
}

static void one_that_was_asked_and_not_begun_ends_with_its_worker(void **state)
{
    struct pool__claim claim = {0};

    (void)state;
    begin_with_batch(3);
    assert_true(pool__board_claim(&bench.boards[0], 1, 1, &claim));
    assert_false(withdraw(0));
    asked_of[0] = POOL__ASKED_TO_STOP;
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    bench_replace(&bench, 0);
    assert_sent(1, 1, 2);
}

/* ---- kills */

static void kill_item(uint64_t index)
{
    assert_false(withdraw(index));
    asked_of[index] = POOL__ASKED_BY_KILL;
    pool__deadline_kill_item(&bench.scheduler, &jobs[0].job, index, bench.now);
}

static void a_kill_takes_the_neighbours_back_first(void **state)
{
    (void)state;
    begin_with_batch(4);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench_start(&bench, 0, 1);
    kill_item(1);
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(bench_seat(&bench, 0)->reason, POOL__KILL_CANCEL);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[1], POOL_CANCELLED);
    bench_replace(&bench, 0);
    assert_sent(1, 2, 2);
    assert_int_equal(bench.scheduler.crashed, 0);
}

static void its_result_comes(struct bench *at, unsigned index)
{
    if (at->reads[index] > 1)
        return;
    memset(&jobs[1], 0, sizeof jobs[1]);
    struct pool__outcome outcome = {.status = POOL_OK, .run = SHORT_NS};
    pool__scheduler_result(&at->scheduler, bench_seat(at, index), &outcome, at->now);
}

/* The worker has gone on to the next one while the kill was decided. */
static void a_kill_does_not_hit_the_next_one(void **state)
{
    (void)state;
    begin_with_batch(3);
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE);
    bench_start(&bench, 0, 1);
    bench.on_read = its_result_comes;
    kill_item(0);
    assert_int_equal(bench.reads[0], 1);
    assert_int_equal(bench.kills[0], 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(bench_seat(&bench, 0)->owed, 1);
}

/* Nor where its result is not to be had yet. */
static void a_kill_waits_for_a_result_on_its_way(void **state)
{
    (void)state;
    begin_with_batch(3);
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE);
    bench_start(&bench, 0, 1);
    kill_item(0);
    assert_int_equal(bench.kills[0], 0);
    kill_item(1);
    assert_int_equal(bench.kills[0], 1);
}

static void what_is_done_is_not_killed_for(void **state)
{
    (void)state;
    begin_with_batch(1);
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE);
    kill_item(0);
    assert_int_equal(bench.kills[0], 0);
}

static void one_that_is_about_to_begin_is_killed_for(void **state)
{
    struct pool__claim claim = {0};

    (void)state;
    begin_with_batch(2);
    assert_true(pool__board_claim(&bench.boards[0], 1, 1, &claim));
    kill_item(0);
    assert_int_equal(bench.kills[0], 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(jobs[0].dropped, 1);
    bench_replace(&bench, 0);
    assert_sent(1, 1, 1);
}

/* ---- retries */

static void each_is_retried_by_itself(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit_group(0, 3, 3);
    jobs[0].job.retries = 1;
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    assert_int_equal(bench.scheduler.retried, 1);
    bench_replace(&bench, 0);
    assert_sent(1, 0, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_int_equal(jobs[0].attempts, 2);
    assert_true(bench_left(&bench, 0, 1));
    bench_dispatch(&bench);
    assert_sent(2, 1, 2);
}

static void one_that_was_asked_is_not_retried(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit_group(0, 2, 2);
    jobs[0].job.retries = 1;
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    assert_false(withdraw(0));
    asked_of[0] = POOL__ASKED_TO_STOP;
    bench_killed(&bench, 0);
    assert_int_equal(bench.scheduler.retried, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
}

/* ---- how many go out at a time */

static void until_it_is_known_they_go_one_by_one(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit_group(0, 100, 0);
    bench_dispatch(&bench);
    assert_sent(0, 0, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_true(bench_left(&bench, 0, 1));
    bench_dispatch(&bench);
    assert_sent(1, 1, 8); /* short; in steps */
    assert_sent(2, 9, 45); /* half of what is left */
}

static void a_whole_group_goes_out_where_more_wait(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = SHORT_NS;
    bench.scheduler.lone_batch = 100;
    submit_group(0, 64, 0);
    submit_group(1, 64, 0);
    bench_dispatch(&bench);
    assert_sent(0, 0, 64);
    assert_sent(1, 0, 32);
}

static void long_ones_go_alone(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = 400 * 1000;
    submit_group(0, 64, 0);
    submit_group(1, 64, 0);
    bench_dispatch(&bench);
    assert_sent(0, 0, 1);
    assert_sent(1, 1, 1);
    assert_int_equal(bench.send_count, 2);
}

/* ---- no memory */

static void where_memory_is_short_nothing_is_cancelled(void **state)
{
    (void)state;
    skip_unless_memory_can_fail();
    begin_with_batch(3);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_false(withdraw(1));
    assert_int_equal(jobs[0].left, 3);
    submit_group(1, 3, 3);
    work_off(0);
    assert_int_equal(jobs[0].left, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(fresh_items_go_one_by_one, end),
        cmocka_unit_test_teardown(the_last_to_go_leaves_nothing_in_the_queue, end),
        cmocka_unit_test_teardown(what_comes_later_is_given_out, end),
        cmocka_unit_test_teardown(one_goes_out_of_a_run_that_came_back, end),
        cmocka_unit_test_teardown(one_between_others_comes_back_alone, end),
        cmocka_unit_test_teardown(a_batch_that_is_taken_whole_is_unsent, end),
        cmocka_unit_test_teardown(what_runs_is_asked_and_its_neighbours_stay, end),
        cmocka_unit_test_teardown(what_has_ended_is_not_asked_in_place_of_another, end),
        cmocka_unit_test_teardown(one_that_was_asked_and_not_begun_ends_with_its_worker, end),
        cmocka_unit_test_teardown(a_kill_takes_the_neighbours_back_first, end),
        cmocka_unit_test_teardown(a_kill_does_not_hit_the_next_one, end),
        cmocka_unit_test_teardown(a_kill_waits_for_a_result_on_its_way, end),
        cmocka_unit_test_teardown(what_is_done_is_not_killed_for, end),
        cmocka_unit_test_teardown(one_that_is_about_to_begin_is_killed_for, end),
        cmocka_unit_test_teardown(each_is_retried_by_itself, end),
        cmocka_unit_test_teardown(one_that_was_asked_is_not_retried, end),
        cmocka_unit_test_teardown(until_it_is_known_they_go_one_by_one, end),
        cmocka_unit_test_teardown(a_whole_group_goes_out_where_more_wait, end),
        cmocka_unit_test_teardown(long_ones_go_alone, end),
        cmocka_unit_test_teardown(where_memory_is_short_nothing_is_cancelled, end),
    };
    return cmocka_run_group_tests_name("group machine", tests, NULL, NULL);
}
