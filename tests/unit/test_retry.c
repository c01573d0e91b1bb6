/*
 * Items that are run again after a death, because their job asked for it (engine/outcome.c). The queue's code is
 * compiled in here, so that its memory can be short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "engine/deadline.h"

#define SHORT_NS 1000
#define LIMIT (20 * POOL__MS)

static struct bench bench;
static struct bench_job jobs[4];
static bool no_memory;

static void *bounded_malloc(size_t size) { return no_memory ? NULL : malloc(size); }

#define malloc bounded_malloc
#include "engine/queue.c"
#undef malloc

static int end(void **state)
{
    (void)state;
    no_memory = false;
    bench_end(&bench);
    return 0;
}

static void submit(unsigned which, unsigned items, size_t chunk, bool lone, unsigned retries)
{
    bench_submit(&bench, &jobs[which], items, chunk, lone);
    jobs[which].job.retries = retries;
    bench_dispatch(&bench);
}

static void begin(unsigned items, size_t chunk, unsigned retries)
{
    bench_begin_ready(&bench, 1);
    submit(0, items, chunk, false, retries);
}

/* `count` applies at one worker, in a row. */
static void begin_with_applies(unsigned count, unsigned retries)
{
    unsigned i;

    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = SHORT_NS;
    for (i = 0; i < count; i++)
        submit(i, 1, 0, true, retries);
    assert_int_equal(bench.send_count, count);
}

static const struct bench_send *last_send(void) { return &bench.sends[bench.send_count - 1]; }

static void start_next(void) { bench_start(&bench, last_send()->seat, last_send()->batch); }

static unsigned attempt_sent(void)
{
    return bench_seat(&bench, last_send()->seat)->flight[last_send()->batch % POOL__FLIGHT]->attempt;
}

static void assert_send(unsigned which, uint64_t first, uint32_t count)
{
    assert_true(which < bench.send_count);
    assert_int_equal(bench.sends[which].first, first);
    assert_int_equal(bench.sends[which].count, count);
}

static void assert_nothing_left(unsigned which)
{
    assert_int_equal(jobs[which].left, 0);
    assert_int_equal(jobs[which].job.in_flight, 0);
    assert_int_equal(bench.scheduler.owed, 0);
    assert_false(pool__scheduler_waits(&bench.scheduler));
}

static void put_insane_range(uint32_t batch) { atomic_store(&bench.boards[0].range[batch % POOL__FLIGHT], 0); }

/* ------------------------------------------------------------------ as often as asked */

static void none_unless_asked(void **state)
{
    (void)state;
    begin_with_applies(1, 0);
    start_next();
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].attempts, 1);
    assert_int_equal(bench.scheduler.retried, 0);
    assert_nothing_left(0);
}

static void a_lone_item(void **state)
{
    (void)state;
    begin_with_applies(1, 2);
    assert_int_equal(attempt_sent(), 1);
    start_next();
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 1);
    assert_int_equal(jobs[0].job.in_flight, 0);
    assert_int_equal(bench.scheduler.owed, 0);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
    assert_int_equal(bench.scheduler.retried, 1);
    bench_replace(&bench, 0);
    assert_int_equal(bench.send_count, 2);
    assert_int_equal(attempt_sent(), 2);
    start_next();
    bench_death(&bench, 0, 3 << 8, false);
    bench_replace(&bench, 0);
    assert_int_equal(attempt_sent(), 3);
    start_next();
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].code, SIGSEGV); /* the last one's */
    assert_int_equal(jobs[0].attempts, 3);
    assert_int_equal(bench.scheduler.retried, 2);
    assert_int_equal(bench.scheduler.finished, 1);
    assert_int_equal(bench.scheduler.crashed, 1);
    assert_nothing_left(0);
}

static void the_second_time_it_works(void **state)
{
    (void)state;
    begin_with_applies(1, 1);
    start_next();
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(jobs[0].attempts, 2);
    assert_int_equal(bench.scheduler.crashed, 0);
    assert_nothing_left(0);
}

static void an_exit_counts_too(void **state)
{
    (void)state;
    begin_with_applies(1, 1);
    start_next();
    bench_death(&bench, 0, 0, false);
    bench_replace(&bench, 0);
    assert_int_equal(attempt_sent(), 2);
    start_next();
    bench_death(&bench, 0, 5 << 8, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXITED);
    assert_int_equal(jobs[0].code, 5);
}

static void an_expired_one_too(void **state)
{
    unsigned i;

    (void)state;
    begin_with_applies(1, 0);
    jobs[0].job.retries = 1;
    jobs[0].job.deadline = LIMIT;
    for (i = 0; i < 2; i++) {
        assert_int_equal(attempt_sent(), 1 + i);
        atomic_store(&bench.boards[0].started, bench.now);
        start_next();
        bench.now += LIMIT;
        bench_seat(&bench, 0)->check_at = bench.scheduler.check_at = bench.now;
        pool__deadline_check(&bench.scheduler, bench.now);
        assert_int_equal(bench.kills[0], 1 + i);
        bench_killed(&bench, 0);
        if (i == 0)
            bench_replace(&bench, 0);
    }
    assert_int_equal(jobs[0].outcomes[0], POOL_EXPIRED);
    assert_int_equal(jobs[0].attempts, 2);
    assert_int_equal(bench.scheduler.expired, 1);
    assert_nothing_left(0);
}

static void a_failure_is_not_run_again(void **state)
{
    (void)state;
    begin_with_applies(1, 5);
    start_next();
    bench_result(&bench, 0, SHORT_NS, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_FAILED);
    assert_int_equal(jobs[0].attempts, 1);
    assert_int_equal(bench.scheduler.retried, 0);
}

/* ------------------------------------------------------------------ in a run of items */

static void one_item_of_a_run_comes_first_again(void **state)
{
    (void)state;
    begin(6, 6, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 5);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 5);
    bench_replace(&bench, 0);
    assert_send(1, 1, 1);
    assert_send(2, 2, 4);
    assert_int_equal(bench_seat(&bench, 0)->flight[1]->attempt, 2);
    assert_int_equal(bench_seat(&bench, 0)->flight[2]->attempt, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_int_equal(jobs[0].attempts, 2);
    bench_do(&bench, 0, 2, SHORT_NS);
    assert_int_equal(jobs[0].attempts, 1);
}

static void the_last_item_of_a_run(void **state)
{
    (void)state;
    begin(2, 2, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    assert_int_equal(bench.unsends[0], 1);
    bench_replace(&bench, 0);
    assert_send(1, 1, 1);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_nothing_left(0);
}

static void applies_keep_their_order(void **state)
{
    (void)state;
    begin_with_applies(3, 1);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    assert_int_equal(bench.send_count, 6);
    assert_ptr_equal(bench.sends[3].job, &jobs[0].job);
    assert_ptr_equal(bench.sends[4].job, &jobs[1].job);
    assert_ptr_equal(bench.sends[5].job, &jobs[2].job);
}

/* A board that talks nonsense loses all that is with it; each of these is run again, in order. */
static void several_keep_their_order(void **state)
{
    unsigned i;

    (void)state;
    begin(3, 3, 1);
    put_insane_range(1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 3);
    assert_int_equal(bench.scheduler.retried, 3);
    for (i = 0; i < 3; i++) {
        bench_replace(&bench, 0);
        assert_send(1 + i, i, 1);
        start_next();
        bench_death(&bench, 0, SIGSEGV, false);
        assert_int_equal(jobs[0].outcomes[i], POOL_CRASHED);
        assert_int_equal(jobs[0].attempts, 2);
    }
    assert_nothing_left(0);
}

/* Taken back from one worker and given to another, it is what it was. */
static void a_stolen_one_is_still_the_second_attempt(void **state)
{
    (void)state;
    begin(1, 1, 1);
    start_next();
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    pool__scheduler_relist(&bench.scheduler, bench_seat(&bench, 0));
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, 3);
    assert_int_equal(attempt_sent(), 2);
    start_next();
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].attempts, 2);
}

static void a_death_before_it_starts_is_no_attempt(void **state)
{
    (void)state;
    begin(1, 1, 1);
    start_next();
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 1);
    assert_int_equal(bench.scheduler.retried, 1);
    bench_replace(&bench, 0);
    assert_int_equal(attempt_sent(), 2);
}

/* ------------------------------------------------------------------ where it is not wanted any more */

static void not_after_a_withdrawal(void **state)
{
    (void)state;
    begin(2, 2, 5);
    bench_start(&bench, 0, 1);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, false);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].outcomes[1], POOL_CANCELLED);
    assert_int_equal(bench.scheduler.retried, 0);
    assert_nothing_left(0);
}

static void not_after_a_cancel_that_kills(void **state)
{
    (void)state;
    begin_with_applies(1, 5);
    start_next();
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    pool__deadline_kill_job(&bench.scheduler, &jobs[0].job, bench.now);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(jobs[0].attempts, 1);
}

static void not_in_a_pool_that_is_aborted(void **state)
{
    (void)state;
    begin_with_applies(1, 5);
    start_next();
    pool__staffing_abort(&bench.scheduler, POOL__MS, bench.now);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_nothing_left(0);
}

static void in_a_pool_that_is_closed(void **state)
{
    (void)state;
    begin_with_applies(1, 1);
    start_next();
    pool__staffing_end(&bench.scheduler, bench.now);
    bench_killed(&bench, 0);
    assert_false(pool__staffing_over(&bench.scheduler));
    bench_replace(&bench, 0);
    bench_do(&bench, 0, 1, SHORT_NS);
    assert_nothing_left(0);
}

/* Rule 11: what has never run is not run again either. */
static void not_what_is_suspected(void **state)
{
    unsigned i;

    (void)state;
    begin(1, 1, 5);
    for (i = 1; i < 5; i++) {
        bench_killed(&bench, 0);
        bench_replace(&bench, 0);
    }
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].attempts, 1);
    assert_int_equal(bench.scheduler.retried, 0);
}

static void not_without_memory(void **state)
{
    (void)state;
    begin(2, 2, 1);
    bench_start(&bench, 0, 1);
    no_memory = true;
    bench_killed(&bench, 0);
    no_memory = false;
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].attempts, 1);
    assert_int_equal(bench.scheduler.retried, 0);
    assert_int_equal(jobs[0].left, 1);
    bench_replace(&bench, 0);
    assert_send(1, 1, 1);
}

static void a_lone_one_needs_no_memory(void **state)
{
    (void)state;
    begin_with_applies(1, 1);
    start_next();
    no_memory = true;
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    assert_int_equal(attempt_sent(), 2);
}

/* ------------------------------------------------------------------ memory that is short elsewhere */

/*
 * What a worker has not begun cannot be taken back: it may go on to that when the one that is killed for has ended.
 * Then it is not the deadline of the second that has passed.
 */
static void only_what_was_condemned_has_expired(void **state)
{
    uint64_t due;

    (void)state;
    begin(2, 2, 0);
    jobs[0].job.deadline = LIMIT;
    atomic_store(&bench.boards[0].started, bench.now);
    bench_start(&bench, 0, 1);
    due = bench.now + LIMIT;
    bench.now = bench.scheduler.check_at = bench_seat(&bench, 0)->check_at = due;
    no_memory = true;
    pool__deadline_check(&bench.scheduler, due);
    assert_int_equal(bench.kills[0], 1);
    bench_result(&bench, 0, SHORT_NS, POOL_OK);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(jobs[0].outcomes[1], POOL_CRASHED);
    assert_int_equal(jobs[0].code, SIGKILL);
}

static void no_memory_to_hand_out(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    no_memory = true;
    submit(0, 7, 3, false, 0);
    assert_int_equal(jobs[0].dropped, 7);
    assert_int_equal(jobs[0].outcomes[0], POOL_NO_MEMORY);
    assert_int_equal(bench.send_count, 0);
    assert_nothing_left(0);
}

static void no_memory_to_cut_a_run_that_came_back(void **state)
{
    (void)state;
    begin(6, 6, 0);
    bench_start(&bench, 0, 1);
    bench_killed(&bench, 0);
    jobs[0].job.chunk = 2;
    no_memory = true;
    bench_replace(&bench, 0);
    assert_send(1, 1, 5); /* then whole */
}

static void no_memory_to_steal(void **state)
{
    (void)state;
    begin(6, 6, 0);
    bench_start(&bench, 0, 1);
    no_memory = true;
    assert_false(pool__scheduler_steal(&bench.scheduler, bench.now));
    pool__scheduler_empty_seat(&bench.scheduler, bench_seat(&bench, 0));
    assert_int_equal(bench.scheduler.owed, 6);
    no_memory = false;
    assert_true(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(bench.scheduler.owed, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(none_unless_asked),
        TEST(a_lone_item),
        TEST(the_second_time_it_works),
        TEST(an_exit_counts_too),
        TEST(an_expired_one_too),
        TEST(a_failure_is_not_run_again),
        TEST(one_item_of_a_run_comes_first_again),
        TEST(the_last_item_of_a_run),
        TEST(applies_keep_their_order),
        TEST(several_keep_their_order),
        TEST(a_stolen_one_is_still_the_second_attempt),
        TEST(a_death_before_it_starts_is_no_attempt),
        TEST(not_after_a_withdrawal),
        TEST(not_after_a_cancel_that_kills),
        TEST(not_in_a_pool_that_is_aborted),
        TEST(in_a_pool_that_is_closed),
        TEST(not_what_is_suspected),
        TEST(not_without_memory),
        TEST(a_lone_one_needs_no_memory),
        TEST(only_what_was_condemned_has_expired),
        TEST(no_memory_to_hand_out),
        TEST(no_memory_to_cut_a_run_that_came_back),
        TEST(no_memory_to_steal),
    };

    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
