/*
 * Workers that were killed and whose end is not told: the zygote is prodded, then nobody waits for them any more
 * (engine/staffing.c, engine/outcome.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../support/claim_one.h"
#include "bench.h"
#include "engine/deadline.h"

#define LIMIT (20 * POOL__MS)
#define SHORT_NS 1000
#define EXIT_1 (1 << 8)

static struct bench bench;
static struct bench_job jobs[4];

static int end(void **state)
{
    (void)state;
    bench_end(&bench);
    return 0;
}

static struct pool__seat *seat(void) { return bench_seat(&bench, 0); }

static void begin_with_batch(unsigned workers, unsigned items)
{
    bench_begin_ready(&bench, workers);
    bench_submit(&bench, &jobs[0], items, items, false);
    bench_dispatch(&bench);
    assert_int_equal(bench.sends[0].seat, workers - 1);
}

static void condemn(unsigned index, enum pool__kill_reason reason)
{
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, index), reason, bench.now);
}

/* As a timer does it. */
static void go_to(uint64_t when)
{
    while (bench.scheduler.staff_at <= when) {
        bench.now = bench.scheduler.staff_at > bench.now ? bench.scheduler.staff_at : bench.now;
        bench_adjust(&bench);
        if (bench.scheduler.staff_at <= bench.now)
            break; /* a timer that does not move: the test will see */
    }
    bench.now = when;
}

/* Later by so much, and the host looks then. */
static void pass(uint64_t ns)
{
    bench.now += ns;
    bench_adjust(&bench);
}

/* ------------------------------------------------------------------ the grace */

static void a_corpse_that_is_kept_holds_nobody(void **state)
{
    uint64_t killed;

    (void)state;
    begin_with_batch(1, 3);
    bench.spare_board = true;
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_CANCEL);
    killed = bench.now;
    pass(200 * POOL__MS - 1);
    assert_int_equal(jobs[0].left, 3);
    assert_int_equal(bench.abandons[0] + bench.reads[0], 0);
    assert_true(bench.scheduler.staff_at == killed + 200 * POOL__MS);
    pass(1);
    assert_int_equal(bench.reads[0], 1);
    assert_int_equal(bench.abandons[0], 1);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_string_equal(jobs[0].why, "its worker was killed, and is held by the system");
    assert_int_equal(jobs[0].code, 0);
    assert_int_equal(jobs[0].left, 2);
    assert_int_equal(jobs[0].job.in_flight, 0);
    assert_int_equal(bench.scheduler.owed, 0);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_int_equal(seat()->state, POOL__SEAT_EMPTY);
    assert_null(seat()->board);
    assert_int_equal(bench.scheduler.alive, 0);
    assert_int_equal(bench.scheduler.lost, 1);
    bench_adjust(&bench);
    assert_int_equal(seat()->state, POOL__SEAT_STARTING);
    assert_int_equal(bench.spawns[0], 2);
    assert_false(seat()->abandoned);
}

static void its_results_are_read_first(struct bench *its, unsigned index)
{
    bench_result(its, index, SHORT_NS, POOL_OK);
}

static void what_it_has_left_is_read(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_DEADLINE);
    bench.on_read = its_results_are_read_first;
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(jobs[0].left, 0);
}

/* Claimed and not begun: it may begin yet, so that nobody else may. */
static void what_it_has_claimed_is_given_to_nobody(void **state)
{
    uint32_t offset;

    (void)state;
    begin_with_batch(1, 3);
    assert_true(claim_one(&bench.boards[0], 1, &offset));
    condemn(0, POOL__KILL_STUCK);
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].left, 2);
    assert_false(claim_one(&bench.boards[0], 1, &offset)); /* and what others have now, it cannot have */
}

static void nor_is_it_run_again(void **state)
{
    (void)state;
    begin_with_batch(1, 2);
    jobs[0].job.retries = 3;
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_DEADLINE);
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(bench.scheduler.retried, 0);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
}

static void what_is_done_is_not_told_twice(void **state)
{
    (void)state;
    begin_with_batch(1, 4);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_CANCEL);
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].finished, 3);
    assert_int_equal(jobs[0].outcomes[2], POOL_CRASHED);
    assert_int_equal(jobs[0].left, 1);
}

/* All that was claimed, of every batch. */
static void claims_in_several_batches(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = SHORT_NS;
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_submit(&bench, &jobs[1], 1, 0, true);
    bench_submit(&bench, &jobs[2], 1, 0, true);
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    bench_start(&bench, 0, 2);
    condemn(0, POOL__KILL_DEADLINE);
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[1].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[2].left, 1);
}

static void its_deadline_has_passed(void **state)
{
    uint64_t start;

    (void)state;
    begin_with_batch(1, 1);
    start = bench.now;
    jobs[0].job.deadline = LIMIT;
    atomic_store(&bench.boards[0].started, start);
    bench_start(&bench, 0, 1);
    bench.scheduler.check_at = seat()->check_at = bench.now += LIMIT;
    pool__deadline_check(&bench.scheduler, bench.now);
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXPIRED);
    assert_true(jobs[0].run == 200 * POOL__MS + LIMIT);
    assert_int_equal(bench.scheduler.expired, 1);
}

/* ------------------------------------------------------------------ with no place for another */

static void the_seat_waits_for_a_board(void **state)
{
    (void)state;
    begin_with_batch(1, 2);
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_CANCEL);
    pass(200 * POOL__MS);
    assert_int_equal(jobs[0].left, 1); /* its items are told all the same */
    assert_int_equal(seat()->state, POOL__SEAT_DYING);
    assert_true(seat()->abandoned);
    assert_int_equal(bench.scheduler.alive, 1);
    pass(1);
    assert_int_equal(bench.abandons[0], 2); /* asked again each time that there is a reason to look */
    assert_int_equal(bench.reads[0], 1);
    bench.spare_board = true;
    bench_adjust(&bench);
    assert_int_equal(seat()->state, POOL__SEAT_EMPTY);
    assert_int_equal(bench.scheduler.alive, 0);
    assert_int_equal(bench.scheduler.lost, 1);
}

static void its_end_comes_late(void **state)
{
    (void)state;
    begin_with_batch(1, 2);
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_CANCEL);
    pass(200 * POOL__MS);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 1);
    assert_int_equal(jobs[0].finished, 1);
    assert_int_equal(seat()->state, POOL__SEAT_EMPTY);
    assert_int_equal(bench.scheduler.lost, 1);
    bench_replace(&bench, 0);
    assert_int_equal(bench.sends[1].first, 1);
}

static void a_pool_that_ends_waits_a_second(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    pool__staffing_abort(&bench.scheduler, 1000 * POOL__MS, bench.now);
    assert_int_equal(bench.kills[0], 1);
    bench.spare_board = true;
    pass(1000 * POOL__MS - 1);
    assert_int_equal(bench.abandons[0], 0);
    assert_true(bench.scheduler.staff_at == bench.now + 1);
    pass(1);
    assert_int_equal(bench.abandons[0], 1);
    assert_true(pool__staffing_over(&bench.scheduler));
}

/* ------------------------------------------------------------------ a zygote that says nothing (prods) */

static void it_is_prodded_for_a_death(void **state)
{
    uint64_t killed;

    (void)state;
    begin_with_batch(1, 1);
    condemn(0, POOL__KILL_CANCEL);
    killed = bench.now;
    assert_true(bench.scheduler.staff_at == killed + 50 * POOL__MS);
    pass(50 * POOL__MS - 1);
    assert_int_equal(bench.prods, 0);
    assert_true(bench.scheduler.staff_at == killed + 50 * POOL__MS);
    pass(1);
    assert_int_equal(bench.prods, 1);
    assert_true(bench.scheduler.staff_at == killed + 150 * POOL__MS);
    pass(100 * POOL__MS - 1);
    assert_int_equal(bench.prods, 1);
    pass(1);
    assert_int_equal(bench.prods, 2);
}

/* 50 ms, then each time twice as long, up to 12.8 s. */
static void less_and_less_often(void **state)
{
    static const unsigned pauses[] = {50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 12800, 12800};
    uint64_t when;
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    seat()->spawned = false;
    when = bench.now;
    for (i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        when += pauses[i] * POOL__MS;
        go_to(when - 1);
        assert_int_equal(bench.prods, i);
        go_to(when);
        assert_int_equal(bench.prods, i + 1);
    }
}

static void a_new_question_is_a_new_count(void **state)
{
    (void)state;
    bench_begin(&bench, 1, 1);
    seat()->spawned = false;
    go_to(bench.now + 400 * POOL__MS);
    assert_int_equal(bench.prods, 3);
    condemn(0, POOL__KILL_START);
    assert_true(bench.scheduler.staff_at <= bench.now + 50 * POOL__MS);
    go_to(bench.now + 50 * POOL__MS);
    assert_int_equal(bench.prods, 4);
}

static void not_for_a_worker_that_is_there(void **state)
{
    (void)state;
    begin_with_batch(2, 1);
    condemn(1, POOL__KILL_CANCEL);
    bench_killed(&bench, 1);
    bench_adjust(&bench); /* it is STARTING now, and forked */
    pass(10000 * POOL__MS);
    assert_int_equal(bench.prods, 0);
}

static void for_a_pipe_that_has_hung_up(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    seat()->hung_up = true;
    seat()->prodded_at = bench.now;
    bench_adjust(&bench);
    assert_true(bench.scheduler.staff_at == bench.now + 50 * POOL__MS);
    pass(50 * POOL__MS);
    assert_int_equal(bench.prods, 1);
    bench_killed(&bench, 0);
    bench.refuses = true;
    pass(10000 * POOL__MS);
    assert_int_equal(bench.prods, 1);
}

static void a_kill_that_was_not_sent(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    condemn(0, POOL__KILL_CANCEL);
    seat()->kill_unsent = true;
    bench_adjust(&bench);
    assert_true(bench.scheduler.staff_at == bench.now + POOL__MS);
    bench_killed(&bench, 0);
    assert_false(seat()->kill_unsent);
}

/* ------------------------------------------------------------------ what the deaths say of the pool */

static void starts_that_cannot_be_asked_for(void **state)
{
    unsigned i;

    (void)state;
    bench_begin(&bench, 1, 1);
    bench_death(&bench, 0, 0, true);
    for (i = 1; i <= 10; i++) {
        assert_false(pool__staffing_hopeless(&bench.scheduler));
        pool__staffing_no_start(&bench.scheduler, bench.now);
        assert_int_equal(bench.scheduler.bad_starts, i);
        assert_true(bench.scheduler.next_spawn - bench.now ==
                    (i < 2 ? 0 : i < 9 ? (10 * POOL__MS) << (i - 2) : 1000 * POOL__MS));
    }
    assert_true(bench.scheduler.bad_before_ready);
    assert_true(pool__staffing_hopeless(&bench.scheduler));
    pool__staffing_abort(&bench.scheduler, POOL__MS, bench.now);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
}

/* READY and out of reach, one after another. */
static void workers_that_cannot_be_reached(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 2);
    for (i = 0; i < 10; i++) {
        assert_false(pool__staffing_hopeless(&bench.scheduler));
        condemn(0, POOL__KILL_PIPE);
        bench_killed(&bench, 0);
        bench_replace(&bench, 0);
    }
    assert_true(pool__staffing_hopeless(&bench.scheduler)); /* though one is READY */
    assert_int_equal(bench.scheduler.bad_starts, 0);
    pool__staffing_abort(&bench.scheduler, POOL__MS, bench.now);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
}

static void a_result_shows_that_they_can(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 2);
    for (i = 0; i < 9; i++) {
        condemn(0, POOL__KILL_PIPE);
        bench_killed(&bench, 0);
        bench_replace(&bench, 0);
    }
    bench_submit(&bench, &jobs[0], 1, 0, true);
    bench_dispatch(&bench);
    bench_do(&bench, bench.sends[0].seat, bench.sends[0].batch, SHORT_NS);
    condemn(0, POOL__KILL_PIPE);
    bench_killed(&bench, 0);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    assert_int_equal(bench.scheduler.pipe_deaths, 1);
}

static void words_for_a_pipe(void **state)
{
    struct pool__death death = {.known = true, .status = SIGKILL, .words = "what the tests say"};

    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    condemn(0, POOL__KILL_PIPE);
    pool__scheduler_gone(&bench.scheduler, seat(), &death, bench.now);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_string_equal(jobs[0].why, "its worker was killed: its pipes cannot be read or written");
    assert_string_equal(jobs[0].words, "what the tests say");
}

/* They are of the item that was running, of no other. */
static void words_for_an_item_that_did_not_run(void **state)
{
    struct pool__death death = {.known = true, .status = EXIT_1, .words = "what the tests say"};

    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE); /* its result is nowhere */
    pool__scheduler_gone(&bench.scheduler, seat(), &death, bench.now);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXITED);
    assert_string_equal(jobs[0].why, "its worker ended without leaving the result");
    assert_null(jobs[0].words);
    assert_true(jobs[0].start == 0);
}

static void a_reason_that_is_known_is_kept(void **state)
{
    struct pool__death death = {.known = false};

    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    pool__board_mark(&bench.boards[0], 1, 0, POOL__MARK_DONE);
    pool__scheduler_gone(&bench.scheduler, seat(), &death, bench.now);
    assert_string_equal(jobs[0].why, "its worker is gone, with the helper process that knew how it ended");
}

/* One that is stuck time after time with the same item first in line (rule 11). */
static void stuck_five_times_with_the_same_item(void **state)
{
    uint32_t offset;
    unsigned i;

    (void)state;
    begin_with_batch(1, 2);
    for (i = 0; i < 5; i++) {
        assert_int_equal(jobs[0].left, 2);
        assert_true(claim_one(&bench.boards[0], 1, &offset));
        condemn(0, POOL__KILL_STUCK);
        bench_killed(&bench, 0);
        bench_replace(&bench, 0);
    }
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_string_equal(jobs[0].why, "its workers died before it could start");
    assert_int_equal(jobs[0].left, 1);
}

/* What a lie on the board has cost an item shows that the worker did begin. */
static void a_lost_item_is_a_start(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    atomic_store(&bench.boards[0].range[1], 0);
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(bench.scheduler.bad_starts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(a_corpse_that_is_kept_holds_nobody),
        TEST(what_it_has_left_is_read),
        TEST(what_it_has_claimed_is_given_to_nobody),
        TEST(nor_is_it_run_again),
        TEST(what_is_done_is_not_told_twice),
        TEST(claims_in_several_batches),
        TEST(its_deadline_has_passed),
        TEST(the_seat_waits_for_a_board),
        TEST(its_end_comes_late),
        TEST(a_pool_that_ends_waits_a_second),
        TEST(it_is_prodded_for_a_death),
        TEST(less_and_less_often),
        TEST(a_new_question_is_a_new_count),
        TEST(not_for_a_worker_that_is_there),
        TEST(for_a_pipe_that_has_hung_up),
        TEST(a_kill_that_was_not_sent),
        TEST(starts_that_cannot_be_asked_for),
        TEST(workers_that_cannot_be_reached),
        TEST(a_result_shows_that_they_can),
        TEST(words_for_a_pipe),
        TEST(words_for_an_item_that_did_not_run),
        TEST(a_reason_that_is_known_is_kept),
        TEST(stuck_five_times_with_the_same_item),
        TEST(a_lost_item_is_a_start),
    };

    return cmocka_run_group_tests_name("abandon", tests, NULL, NULL);
}
