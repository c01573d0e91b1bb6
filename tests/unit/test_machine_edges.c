/*
 * Edges of the machine that no worker reaches by itself: no memory, full boards, sizes at the limit, workers killed for
 * their pipes.
 */
#define _GNU_SOURCE
#include "fail_next.h"

#include "bench.h"
#include "engine/queue.h"

#define LONG_NS (2 * POOL__MS)

static struct bench bench;
static struct bench_job jobs[80];

static int end(void **state)
{
    (void)state;
    (void)fail_no_more(CALL_MEMORY);
    if (bench.boards != NULL) /* else skipped before it began */
        bench_end(&bench);
    return 0;
}

static void begin_with_batch(unsigned items, unsigned chunk)
{
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], items, chunk, false);
    bench_dispatch(&bench);
}

/* ---- batches */

/* A worker that leaves no batch has no board entry free, however little it owes. */
static void a_full_board_takes_no_more(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    for (uint32_t i = 0; i <= POOL__FLIGHT; i++) {
        bench_submit(&bench, &jobs[i], 1, 0, true);
        bench_dispatch(&bench);
        assert_int_equal(bench.send_count, i < POOL__FLIGHT ? i + 1 : i);
        if (i < POOL__FLIGHT)
            bench_do(&bench, 0, i + 1, 1000);
    }
    assert_int_equal(bench_seat(&bench, 0)->owed, 0);
    assert_true(bench_left(&bench, 0, 1));
    bench_dispatch(&bench);
    assert_int_equal(bench.send_count, POOL__FLIGHT + 1);
    bench_do(&bench, 0, POOL__FLIGHT + 1, 1000);
}

/* Bytes that just fit, and what alignment adds to them. */
static void padding_counts_too(void **state)
{
    const size_t first = 16;

    (void)state;
    bench_begin_ready(&bench, 1);
    for (size_t over = 0; over <= 1; over++) {
        size_t used = POOL__FRAME_SIZE + POOL__FRAME_ALIGN + 8 + first;
        unsigned sent = bench.send_count;

        bench_submit(&bench, &jobs[over], 2, 2, false);
        jobs[over].job.item_size = SIZE_MAX;
        jobs[over].sizes[0] = first;
        jobs[over].sizes[1] = POOL__FRAME_MAX - used - (over != 0 ? 0 : 16); /* its own 8 bytes come to it */
        bench_dispatch(&bench);
        assert_int_equal(bench.sends[sent].count, over != 0 ? 1 : 2);
        while (jobs[over].left > 0) {
            bench_do(&bench, 0, bench_seat(&bench, 0)->head, LONG_NS);
            bench_dispatch(&bench);
        }
    }
}

static uint64_t many_dropped;

static void drop_many(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                      const char *message)
{
    (void)job;
    (void)first;
    (void)status;
    (void)code;
    (void)message;
    many_dropped += count;
}

static const struct pool__owner owner_of_many = {bench_argument, NULL, bench_finished, drop_many, NULL, NULL};

static void a_batch_has_at_most_so_many_items(void **state)
{
    struct pool__job job;

    (void)state;
    many_dropped = 0;
    bench_begin_ready(&bench, 1);
    pool__job_init(&job, &owner_of_many, NULL, 0);
    job.chunk = SIZE_MAX;
    job.end = 3 * (uint64_t)POOL__BATCH_MAX;
    pool__scheduler_submit(&bench.scheduler, &job);
    bench_dispatch(&bench);
    assert_int_equal(bench.sends[0].count, POOL__BATCH_MAX);
    assert_int_equal(pool__scheduler_withdraw(&bench.scheduler, &job, POOL_CANCELLED, false), job.end);
    assert_int_equal(many_dropped, job.end);
    assert_int_equal(job.in_flight, 0);
}

static void a_pool_of_no_size_shares_with_one(void **state)
{
    (void)state;
    begin_with_batch(40, 0);
    bench_do(&bench, 0, 1, 1000);
    bench.scheduler.size = 0; /* no pool has it: nothing is divided by it all the same */
    bench_dispatch(&bench);
    assert_true(bench.send_count > 1);
    bench.scheduler.size = 1;
}

/* ---- no memory */

static void what_cannot_be_cut_is_given_whole(void **state)
{
    (void)state;
    skip_unless_memory_can_fail();
    begin_with_batch(6, 6);
    bench_killed(&bench, 0); /* nothing had started: all six come back as one run */
    bench_replace(&bench, 0);
    assert_int_equal(bench.sends[1].count, 6);
    bench_killed(&bench, 0);
    jobs[0].job.chunk = 2;
    fail_next(CALL_MEMORY, 1, ENOMEM);
    bench_replace(&bench, 0);
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    assert_int_equal(bench.sends[2].first, 0);
    assert_int_equal(bench.sends[2].count, 6);
}

static void what_cannot_be_retried_has_its_outcome(void **state)
{
    (void)state;
    skip_unless_memory_can_fail();
    begin_with_batch(3, 3);
    jobs[0].job.retries = 5;
    bench_start(&bench, 0, 1);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    bench_killed(&bench, 0);
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    assert_true(jobs[0].has_outcome[0]);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].left, 2);
}

/* ---- retries */

static void an_exit_is_retried_as_a_crash_is(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    jobs[0].job.retries = 1;
    bench_start(&bench, 0, 1);
    bench_death(&bench, 0, 3 << 8, false);
    assert_int_equal(jobs[0].left, 1);
    bench_replace(&bench, 0);
    bench_start(&bench, 0, 1);
    bench_death(&bench, 0, 4 << 8, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXITED);
    assert_int_equal(jobs[0].code, 4);
    assert_int_equal(jobs[0].attempts, 2);
}

static void what_is_withdrawn_is_not_retried(void **state)
{
    (void)state;
    begin_with_batch(2, 2);
    jobs[0].job.retries = 5;
    bench_start(&bench, 0, 1);
    assert_int_equal(pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true), 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 0);
}

static void nothing_is_retried_at_the_end_of_all(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    jobs[0].job.retries = 5;
    bench_start(&bench, 0, 1);
    bench.scheduler.aborted = true;
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
}

static void an_empty_run_given_back_is_nothing(void **state)
{
    struct pool__run *run;

    (void)state;
    begin_with_batch(2, 2);
    run = pool__run_make(&jobs[0].job, 0, 1);
    assert_non_null(run);
    run->count = 0;
    pool__queue_give_back(&bench.scheduler, run);
    assert_int_equal(jobs[0].left, 2);
    assert_true(pool__list_empty(&jobs[0].job.returned));
}

/* ---- deaths */

static void a_worker_killed_for_its_pipes_says_so(void **state)
{
    (void)state;
    begin_with_batch(1, 1);
    bench_start(&bench, 0, 1);
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_PIPE, bench.now);
    assert_int_equal(bench.kills[0], 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_non_null(strstr(jobs[0].why, "pipes"));
}

/* One after the other, each for its pipes: none can be reached, unless the pool is at its end anyway. */
static void pipes_that_never_work_are_hopeless(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    for (int deaths = 0; deaths < 10; deaths++) {
        assert_false(pool__staffing_hopeless(&bench.scheduler));
        pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_PIPE, bench.now);
        bench_killed(&bench, 0);
        bench_replace(&bench, 0);
    }
    assert_true(pool__staffing_hopeless(&bench.scheduler));
    bench.scheduler.aborted = true;
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    bench.scheduler.aborted = false;
}

/* While one worker still serves, others that do not start are no end. */
static void a_worker_that_leaves_is_hope(void **state)
{
    struct pool__seat *seat;

    (void)state;
    bench_begin(&bench, 2, 2);
    bench_ready(&bench, 0);
    bench.scheduler.bad_starts = 100;
    bench.scheduler.bad_before_ready = true;
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    seat = bench_seat(&bench, 0);
    pool__seat_enter(seat, POOL__SEAT_LEAVING, bench.now);
    assert_false(pool__staffing_hopeless(&bench.scheduler));
    pool__seat_enter(seat, POOL__SEAT_DYING, bench.now);
    assert_true(pool__staffing_hopeless(&bench.scheduler));
    bench.scheduler.bad_before_ready = false; /* then only where something waits for a worker */
    assert_false(pool__staffing_hopeless(&bench.scheduler));
}

/* ---- stealing */

/* What the dying have is not stolen: it is judged when they are dead. */
static void the_dying_are_not_robbed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench_submit(&bench, &jobs[0], 20, 20, false);
    bench_dispatch(&bench);
    bench_start(&bench, 0, 1);
    pool__staffing_condemn(&bench.scheduler, bench_seat(&bench, 0), POOL__KILL_NONSENSE, bench.now);
    bench.now += 1000 * POOL__MS;
    assert_false(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(jobs[0].left, 20);
    assert_int_equal(bench.scheduler.stolen, 0);
}

/* The last that a leaving worker has not begun may be stolen; it is then not listed as one that waits for work. */
static void the_leaving_may_be_robbed_of_all(void **state)
{
    struct pool__seat *seat;

    (void)state;
    begin_with_batch(1, 1);
    seat = bench_seat(&bench, 0);
    pool__seat_enter(seat, POOL__SEAT_LEAVING, bench.now);
    pool__list_remove(&seat->link);
    bench.now += 1000 * POOL__MS;
    assert_true(pool__scheduler_steal(&bench.scheduler, bench.now));
    assert_int_equal(seat->owed, 0);
    assert_true(pool__list_empty(&bench.scheduler.idle));
    assert_int_equal(bench.scheduler.stolen, 1);
}

/* Nor one whose number of tasks is used up. */
static void one_without_budget_is_not_listed(void **state)
{
    struct pool__seat *seat;

    (void)state;
    begin_with_batch(1, 1);
    seat = bench_seat(&bench, 0);
    seat->budget = 0;
    pool__scheduler_has_room(&bench.scheduler, seat);
    assert_false(pool__is_linked(&seat->link));
    bench.now += 1000 * POOL__MS;
    (void)pool__scheduler_steal(&bench.scheduler, bench.now);
    assert_int_equal(bench.scheduler.stolen + (seat->owed == 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_full_board_takes_no_more, end),
        cmocka_unit_test_teardown(padding_counts_too, end),
        cmocka_unit_test_teardown(a_batch_has_at_most_so_many_items, end),
        cmocka_unit_test_teardown(a_pool_of_no_size_shares_with_one, end),
        cmocka_unit_test_teardown(what_cannot_be_cut_is_given_whole, end),
        cmocka_unit_test_teardown(what_cannot_be_retried_has_its_outcome, end),
        cmocka_unit_test_teardown(an_exit_is_retried_as_a_crash_is, end),
        cmocka_unit_test_teardown(what_is_withdrawn_is_not_retried, end),
        cmocka_unit_test_teardown(nothing_is_retried_at_the_end_of_all, end),
        cmocka_unit_test_teardown(an_empty_run_given_back_is_nothing, end),
        cmocka_unit_test_teardown(a_worker_killed_for_its_pipes_says_so, end),
        cmocka_unit_test_teardown(pipes_that_never_work_are_hopeless, end),
        cmocka_unit_test_teardown(a_worker_that_leaves_is_hope, end),
        cmocka_unit_test_teardown(the_dying_are_not_robbed, end),
        cmocka_unit_test_teardown(the_leaving_may_be_robbed_of_all, end),
        cmocka_unit_test_teardown(one_without_budget_is_not_listed, end),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
