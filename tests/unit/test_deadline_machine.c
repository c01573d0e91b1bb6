/*
 * Workers that are killed for what they run (engine/deadline.c): when, when not, and what that does to all else that
 * they have. The board code is compiled in here, so that a mark can change between two looks at it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench.h"
#include "engine/deadline.h"

#define LIMIT (20 * POOL__MS)
#define SECOND (1000 * POOL__MS)
#define STALLED (100 * POOL__MS + 1)

static struct bench bench;
static struct bench_job jobs[4];
static void (*moment)(unsigned which); /* what a worker does just before the host looks at its mark */
static unsigned moments;

#define pool__board_running board_running_now
#include "data/board.c"
#undef pool__board_running

struct pool__place pool__board_running(const struct pool__board *board)
{
    void (*happens)(unsigned which) = moment;

    moment = NULL; /* it may look itself */
    if (happens != NULL)
        happens(moments++);
    moment = happens;
    return board_running_now(board);
}

static int end(void **state)
{
    (void)state;
    moment = NULL;
    moments = 0;
    bench_end(&bench);
    return 0;
}

/* ---- steps */

static void submit(unsigned which, unsigned items, size_t chunk, bool lone, uint64_t deadline)
{
    bench_submit(&bench, &jobs[which], items, chunk, lone);
    jobs[which].job.deadline = deadline;
    bench_dispatch(&bench);
}

static void begin(unsigned workers, unsigned items)
{
    bench_begin_ready(&bench, workers);
    submit(0, items, items, false, LIMIT);
}

/* Two applies at one worker, the first with one deadline, the second with another. */
static void begin_with_two(uint64_t first, uint64_t second)
{
    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = 1000;
    submit(0, 1, 0, true, first);
    submit(1, 1, 0, true, second);
    assert_int_equal(bench.send_count, 2);
}

static void starts_at(uint32_t batch, uint64_t when)
{
    atomic_store(&bench.boards[0].started, when);
    bench_start(&bench, 0, batch);
}

static void claims(uint32_t batch)
{
    uint32_t offset;

    assert_true(pool__board_claim(&bench.boards[0], batch, &offset));
}

static void mark(uint32_t batch, uint32_t offset, enum pool__mark how)
{
    pool__board_mark(&bench.boards[0], batch, offset, how);
}

static void check_at(uint64_t when)
{
    bench.now = when;
    pool__deadline_check(&bench.scheduler, when);
}

static void kill_job(unsigned which)
{
    pool__scheduler_withdraw(&bench.scheduler, &jobs[which].job, POOL_CANCELLED, true);
    pool__deadline_kill_job(&bench.scheduler, &jobs[which].job, bench.now);
}

static struct pool__seat *seat(void) { return bench_seat(&bench, 0); }

static void assert_killed(enum pool__kill_reason reason)
{
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(seat()->state, POOL__SEAT_DYING);
    assert_int_equal(seat()->reason, reason);
    assert_false(pool__is_linked(&seat()->link));
}

/* Nor asked for anything; the next look is then. */
static void assert_untouched(uint64_t next_look)
{
    assert_int_equal(bench.kills[0], 0);
    assert_int_equal(bench.reads[0], 0);
    assert_true(seat()->check_at == next_look);
    assert_true(bench.scheduler.check_at == next_look);
}

static void assert_spared(uint64_t next_look)
{
    assert_int_equal(bench.kills[0], 0);
    assert_int_equal(bench.reads[0], 1);
    assert_true(seat()->check_at == next_look);
    assert_true(pool__is_linked(&seat()->link));
}

/* ------------------------------------------------------------------ the time of one item */

static void no_deadline_no_timer(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    assert_untouched(POOL__NEVER);
    bench_start(&bench, 0, 1);
    pool__deadline_check(&bench.scheduler, POOL__NEVER);
    assert_untouched(POOL__NEVER);
}

static void a_timer_for_what_is_sent(void **state)
{
    uint64_t sent;

    (void)state;
    begin(1, 2);
    sent = bench.now;
    assert_untouched(sent + LIMIT);
    check_at(sent + LIMIT - 1);
    assert_untouched(sent + LIMIT);
}

static void due_exactly_and_never_early(void **state)
{
    uint64_t start;

    (void)state;
    begin(1, 3);
    start = bench.now + 7 * POOL__MS;
    starts_at(1, start);
    check_at(bench.now + LIMIT);
    assert_untouched(start + LIMIT);
    check_at(start + LIMIT - 1);
    assert_untouched(start + LIMIT);
    bench.scheduler.check_at = 0; /* a look for no reason is not early either */
    check_at(start + LIMIT - 1);
    assert_untouched(start + LIMIT);
    check_at(start + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
    assert_int_equal(bench.reads[0], 1);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_true(seat()->check_at == POOL__NEVER);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_EXPIRED);
    assert_int_equal(jobs[0].left, 2);
    assert_true(jobs[0].start == start);
    assert_true(jobs[0].run == LIMIT);
    assert_int_equal(bench.scheduler.expired, 1);
    assert_int_equal(bench.scheduler.crashed, 0);
    assert_null(jobs[0].why);
    assert_int_equal(jobs[0].code, 0);
}

static void an_end_of_its_own_is_told_as_that(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_CRASHED);
    assert_int_equal(jobs[0].code, SIGSEGV);
}

static void an_exit_of_its_own_is_told_as_that(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT);
    bench_death(&bench, 0, SIGKILL << 8, false); /* exit(9) */
    assert_int_equal(jobs[0].outcomes[0], POOL_EXITED);
    assert_int_equal(jobs[0].code, SIGKILL);
}

static void a_start_to_come_counts_from_first_sight(void **state)
{
    uint64_t sight;

    (void)state;
    begin(1, 1);
    starts_at(1, UINT64_MAX);
    sight = bench.now + LIMIT;
    check_at(sight);
    assert_untouched(sight + LIMIT);
    check_at(sight + LIMIT - 1);
    assert_untouched(sight + LIMIT);
    check_at(sight + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
    bench_killed(&bench, 0);
    assert_true(jobs[0].start == bench.now); /* and no time is told that cannot be */
    assert_true(jobs[0].run == 0);
}

static void a_start_that_never_was_is_not_told(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, 0);
    bench_killed(&bench, 0);
    assert_true(jobs[0].start == bench.now);
    assert_true(jobs[0].run == 0);
}

/* Who puts his start back harms himself. */
static void a_start_of_long_ago_is_believed(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, 1);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

/* The first sight of one item is not that of the next. */
static void each_item_has_its_own_first_sight(void **state)
{
    uint64_t first;

    (void)state;
    begin(1, 2);
    starts_at(1, UINT64_MAX);
    first = bench.now + LIMIT;
    check_at(first);
    bench.now = first + 5 * POOL__MS;
    bench_result(&bench, 0, 1000, POOL_OK);
    starts_at(1, UINT64_MAX);
    check_at(first + LIMIT);
    assert_untouched(first + 2 * LIMIT);
    assert_true(seat()->sighted.offset == 1);
    check_at(first + 2 * LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void the_same_offset_of_another_batch_is_another_item(void **state)
{
    uint64_t first;

    (void)state;
    begin_with_two(LIMIT, LIMIT);
    starts_at(1, UINT64_MAX);
    first = bench.now + LIMIT;
    check_at(first);
    bench_result(&bench, 0, 1000, POOL_OK);
    starts_at(2, UINT64_MAX);
    check_at(first + LIMIT);
    assert_untouched(first + 2 * LIMIT);
}

static void a_finished_item_has_no_deadline(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    mark(1, 0, POOL__MARK_DONE);
    due = bench.now + LIMIT;
    check_at(due);
    assert_untouched(due + LIMIT);
}

/* ------------------------------------------------------------------ the look before the kill (rule 8) */

static void its_result_is_here(struct bench *its, unsigned index)
{
    bench_result(its, index, 1000, POOL_OK);
}

static void a_result_that_is_here_wins(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    bench.on_read = its_result_is_here;
    check_at(bench.now + LIMIT);
    assert_spared(POOL__NEVER);
    assert_true(bench.scheduler.idle.next == &seat()->link);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_int_equal(bench.scheduler.expired, 0);
}

/* It had claimed the next item before it was emptied, and is in it by now. */
static void it_goes_on(struct bench *its, unsigned index)
{
    bench_result(its, index, 1000, POOL_OK);
    mark(1, 1, POOL__MARK_RUN);
}

static void one_that_has_gone_on_is_spared(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 3);
    starts_at(1, bench.now);
    claims(1);
    bench.on_read = it_goes_on;
    due = bench.now + LIMIT;
    check_at(due);
    assert_spared(due + LIMIT);
    assert_true(bench.scheduler.check_at == due + LIMIT);
    assert_int_equal(jobs[0].left, 2);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
    bench.on_read = NULL;
    check_at(due + LIMIT); /* the old start was the other item's: this one began later, and says so */
    assert_int_equal(bench.kills[0], 1);
}

static void it_says_that_it_leaves(struct bench *its, unsigned index)
{
    assert_true(pool__scheduler_leaving(&its->scheduler, bench_seat(its, index), its->now));
}

static void one_that_leaves_is_killed_too(void **state)
{
    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    bench.on_read = it_says_that_it_leaves;
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void one_that_is_leaving_is_killed_too(void **state)
{
    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    it_says_that_it_leaves(&bench, 0);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void it_talks_nonsense(struct bench *its, unsigned index)
{
    pool__staffing_condemn(&its->scheduler, bench_seat(its, index), POOL__KILL_NONSENSE, its->now);
}

static void nonsense_comes_first(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    bench.on_read = it_talks_nonsense;
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_NONSENSE);
    assert_true(seat()->check_at == POOL__NEVER);
}

static void an_insane_board_comes_first(void **state)
{
    (void)state;
    begin(1, 3);
    starts_at(1, bench.now);
    atomic_store(&bench.boards[0].range[1], 0);
    check_at(bench.now + LIMIT);
    assert_killed(POOL__KILL_NONSENSE);
    assert_int_equal(bench.reads[0], 0);
}

/* ------------------------------------------------------------------ a mark that moves while it is looked at */

static void it_finishes_at_the_second_look(unsigned which)
{
    if (which == 1)
        mark(1, 0, POOL__MARK_DONE);
}

static void finished_between_two_looks(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    due = bench.now + LIMIT;
    moment = it_finishes_at_the_second_look;
    check_at(due);
    moment = NULL;
    assert_untouched(due + LIMIT);
}

static void it_is_at_the_next_item_at_the_second_look(unsigned which)
{
    if (which != 1)
        return;
    claims(1);
    mark(1, 1, POOL__MARK_RUN);
    atomic_store(&bench.boards[0].started, bench.now - POOL__MS);
}

static void gone_on_between_two_looks(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    due = bench.now + LIMIT;
    moment = it_is_at_the_next_item_at_the_second_look;
    check_at(due);
    moment = NULL;
    assert_untouched(due - POOL__MS + LIMIT);
}

/* Items 0 and 1 by turns, as nothing but mischief does. */
static void it_changes_at_every_look(unsigned which) { mark(1, which % 2, POOL__MARK_RUN); }

static void a_mark_that_never_stands_still_says_nothing(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    claims(1);
    due = bench.now + LIMIT;
    moment = it_changes_at_every_look;
    check_at(due);
    moment = NULL;
    assert_untouched(due + LIMIT);
    assert_true(moments == 8);
}

/* ------------------------------------------------------------------ several items, several seats */

static void behind_an_item_without_one(void **state)
{
    uint64_t due;

    (void)state;
    begin_with_two(0, LIMIT);
    starts_at(1, bench.now);
    due = bench.now + LIMIT;
    assert_true(seat()->check_at == due);
    check_at(due);
    assert_untouched(due + LIMIT);
    check_at(due + 2000 * POOL__MS); /* it may run as long as it likes */
    assert_untouched(bench.now + LIMIT);
}

static void not_too_often_behind_an_item_without_one(void **state)
{
    uint64_t due;

    (void)state;
    begin_with_two(0, 3 * POOL__MS);
    starts_at(1, bench.now);
    due = bench.now + 3 * POOL__MS;
    check_at(due);
    assert_untouched(due + 10 * POOL__MS);
}

static void the_shortest_of_what_waits(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(5 * LIMIT, LIMIT);
    sent = bench.now;
    assert_untouched(sent + LIMIT);
    check_at(sent + LIMIT);
    assert_untouched(sent + 2 * LIMIT);
    starts_at(1, sent + LIMIT);
    check_at(sent + 2 * LIMIT);
    assert_untouched(sent + 6 * LIMIT);
}

static void a_short_one_before_a_long_one(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(LIMIT, 5 * LIMIT);
    sent = bench.now;
    assert_untouched(sent + LIMIT);
    bench_do(&bench, 0, 1, 1000);
    check_at(sent + LIMIT);
    assert_untouched(sent + 6 * LIMIT);
}

static void what_has_its_outcome_counts_no_more(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(LIMIT, 0);
    sent = bench.now;
    bench_do(&bench, 0, 1, 1000);
    check_at(sent + LIMIT);
    assert_untouched(POOL__NEVER);
}

/* Batches 1 and 3 are taken back whole or done; the table has holes. */
static void holes_in_the_table(void **state)
{
    uint64_t sent;

    (void)state;
    begin_with_two(0, LIMIT);
    submit(2, 1, 0, true, LIMIT / 2);
    sent = bench.now;
    pool__scheduler_withdraw(&bench.scheduler, &jobs[1].job, POOL_CANCELLED, false);
    starts_at(1, sent);
    check_at(sent + LIMIT / 2);
    assert_untouched(sent + LIMIT);
    kill_job(2);
    kill_job(1);
    assert_int_equal(bench.kills[0], 0);
}

static void seats_that_are_not_due_are_left_alone(void **state)
{
    uint64_t sent;

    (void)state;
    bench_begin_ready(&bench, 4);
    submit(0, 1, 0, true, LIMIT);
    submit(1, 1, 0, true, 0);
    submit(2, 1, 0, true, 3 * LIMIT);
    sent = bench.now;
    assert_int_equal(bench.sends[0].seat + bench.sends[2].seat, 3 + 1);
    bench_start(&bench, bench.sends[0].seat, 1);
    atomic_store(&bench.boards[bench.sends[0].seat].started, sent);
    check_at(sent + LIMIT);
    assert_int_equal(bench.kills[bench.sends[0].seat], 1);
    assert_true(bench.scheduler.check_at == sent + 3 * LIMIT);
    check_at(sent + 3 * LIMIT - 1);
    assert_int_equal(bench.kills[0] + bench.kills[1] + bench.kills[2] + bench.kills[3], 1);
}

static void nothing_is_looked_at_where_nothing_is_owed(void **state)
{
    (void)state;
    begin(1, 1);
    bench_do(&bench, 0, 1, 1000);
    check_at(bench.now + LIMIT);
    assert_int_equal(bench.reads[0], 0);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
}

static void a_dying_seat_is_not_checked(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    pool__staffing_condemn(&bench.scheduler, seat(), POOL__KILL_STOP, bench.now);
    bench.scheduler.check_at = bench.now;
    check_at(bench.now);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
    bench.scheduler.check_at = bench.now + LIMIT;
    check_at(bench.now + LIMIT);
    assert_true(bench.scheduler.check_at == POOL__NEVER);
    assert_int_equal(bench.reads[0], 0);
    kill_job(0);
    assert_killed(POOL__KILL_STOP);
    assert_int_equal(bench.reads[0], 0);
}

/* ------------------------------------------------------------------ after this process was stopped */

static void excused_once_where_the_timer_was_late(void **state)
{
    uint64_t late;

    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    late = bench.now + LIMIT + STALLED;
    check_at(late);
    assert_untouched(late + LIMIT);
    bench.now = late + LIMIT + STALLED; /* and late again */
    check_at(bench.now);
    assert_killed(POOL__KILL_DEADLINE);
}

static void not_late_enough_for_an_excuse(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT + STALLED - 1);
    assert_killed(POOL__KILL_DEADLINE);
}

static void an_excuse_is_no_longer_than_it_must_be(void **state)
{
    uint64_t late;

    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 500 * POOL__MS);
    starts_at(1, bench.now);
    late = bench.now + 500 * POOL__MS + STALLED;
    check_at(late);
    assert_untouched(late + 100 * POOL__MS);
    check_at(late + 100 * POOL__MS);
    assert_killed(POOL__KILL_DEADLINE);
}

static void each_item_is_excused(void **state)
{
    uint64_t late;

    (void)state;
    begin(1, 2);
    starts_at(1, bench.now);
    late = bench.now + LIMIT + STALLED;
    check_at(late);
    bench_result(&bench, 0, 1000, POOL_OK);
    starts_at(1, late);
    check_at(late + LIMIT + STALLED);
    assert_untouched(bench.now + LIMIT);
}

static void no_timer_is_never_late(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, 1);
    bench.scheduler.check_at = POOL__NEVER;
    check_at(POOL__NEVER);
    assert_killed(POOL__KILL_DEADLINE);
}

/* ------------------------------------------------------------------ what does not begin */

/* On and on, as the timer says, until just before `until`. */
static void wait_until(uint64_t until)
{
    while (bench.scheduler.check_at < until) {
        assert_true(bench.scheduler.check_at > bench.now);
        check_at(bench.scheduler.check_at);
    }
}

static void a_silent_worker_with_work_is_killed(void **state)
{
    uint64_t sent;

    (void)state;
    begin(1, 2);
    sent = bench.now;
    wait_until(sent + SECOND);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
    check_at(sent + SECOND);
    assert_killed(POOL__KILL_STUCK);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_true(seat()->check_at == POOL__NEVER);
}

static void one_that_has_claimed_and_not_begun_is_killed(void **state)
{
    (void)state;
    begin(1, 2);
    claims(1);
    wait_until(bench.now + SECOND);
    check_at(bench.scheduler.check_at);
    assert_killed(POOL__KILL_STUCK);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].left, 2); /* it had not begun: no outcome */
}

static void a_long_deadline_is_long_patience(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 3 * SECOND);
    check_at(bench.now + 3 * SECOND - 1);
    assert_int_equal(bench.kills[0], 0);
    check_at(bench.now + 1);
    assert_killed(POOL__KILL_STUCK);
}

static void one_that_was_heard_of_is_not_silent(void **state)
{
    uint64_t sent;

    (void)state;
    begin(1, 2);
    sent = bench.now;
    wait_until(sent + 500 * POOL__MS);
    pool__scheduler_heard(&bench.scheduler, seat(), sent + 500 * POOL__MS);
    wait_until(sent + 500 * POOL__MS + SECOND);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
    check_at(sent + 500 * POOL__MS + SECOND);
    assert_int_equal(bench.kills[0], 1);
}

/* The time of a look is a little older than that of the bytes that the same round has brought. */
static void one_that_was_heard_of_just_now_is_not_silent(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    due = bench.now + LIMIT;
    pool__scheduler_heard(&bench.scheduler, seat(), due + 1);
    check_at(due);
    assert_untouched(due + LIMIT);
}

static void not_where_this_process_was_stopped(void **state)
{
    uint64_t late;

    (void)state;
    begin(1, 2);
    late = bench.now + 5 * SECOND;
    check_at(late);
    assert_untouched(late + LIMIT);
    check_at(late + LIMIT);
    assert_killed(POOL__KILL_STUCK);
}

static void it_begins(struct bench *its, unsigned index)
{
    (void)index;
    atomic_store(&its->boards[0].started, its->now);
    mark(1, 0, POOL__MARK_RUN);
}

static void one_that_begins_at_the_last_moment_is_spared(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    claims(1);
    wait_until(bench.now + SECOND);
    bench.on_read = it_begins;
    due = bench.scheduler.check_at;
    check_at(due);
    assert_spared(due + LIMIT);
    check_at(due + LIMIT);
    assert_killed(POOL__KILL_DEADLINE);
}

static void it_says_something(struct bench *its, unsigned index)
{
    pool__scheduler_heard(&its->scheduler, bench_seat(its, index), its->now);
}

static void one_that_speaks_at_the_last_moment_is_spared(void **state)
{
    uint64_t due;

    (void)state;
    begin(1, 2);
    claims(1);
    wait_until(bench.now + SECOND);
    bench.on_read = it_says_something;
    due = bench.scheduler.check_at;
    check_at(due);
    assert_spared(due + LIMIT);
}

/* All that it had was unclaimed, and is given to others: it owes nothing, and still is stuck. */
static void nothing_is_read_from_one_that_owes_nothing(void **state)
{
    (void)state;
    begin(1, 2);
    wait_until(bench.now + SECOND);
    check_at(bench.scheduler.check_at);
    assert_int_equal(bench.reads[0], 0);
    assert_killed(POOL__KILL_STUCK);
}

static void an_insane_board_that_does_not_begin(void **state)
{
    (void)state;
    begin(1, 2);
    atomic_store(&bench.boards[0].range[1], 0);
    wait_until(bench.now + SECOND);
    check_at(bench.scheduler.check_at);
    assert_killed(POOL__KILL_NONSENSE);
}

/* ------------------------------------------------------------------ a cancel that kills */

static void what_waits_needs_no_kill(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    bench.full[0] = true;
    submit(0, 1, 0, true, 0);
    kill_job(0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
}

static void what_is_unclaimed_needs_no_kill(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 3, 3, false, 0);
    kill_job(0);
    assert_int_equal(jobs[0].left, 0);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
}

static void what_is_claimed_is_killed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 3, 3, false, 0);
    claims(1);
    kill_job(0);
    assert_int_equal(jobs[0].left, 1);
    assert_killed(POOL__KILL_CANCEL);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(jobs[0].dropped, 3); /* it never began */
}

static void what_runs_is_killed(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 3, 3, false, 0);
    bench_start(&bench, 0, 1);
    kill_job(0);
    assert_killed(POOL__KILL_CANCEL);
    assert_int_equal(bench.reads[0], 1);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(jobs[0].finished, 1);
    assert_int_equal(bench.scheduler.crashed, 0);
    assert_int_equal(bench.scheduler.cancelled, 3);
}

static void what_fails_before_the_kill_is_cancelled(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    kill_job(0);
    bench_result(&bench, 0, 1000, POOL_FAILED);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
}

static void what_crashes_before_the_kill_is_cancelled(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, LIMIT);
    starts_at(1, bench.now);
    kill_job(0);
    bench_death(&bench, 0, SIGSEGV, false);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
}

static void a_deadline_before_the_cancel(void **state)
{
    (void)state;
    begin(1, 1);
    starts_at(1, bench.now);
    check_at(bench.now + LIMIT);
    kill_job(0);
    assert_killed(POOL__KILL_DEADLINE);
    bench_killed(&bench, 0);
    assert_int_equal(jobs[0].outcomes[0], POOL_CANCELLED);
    assert_int_equal(bench.scheduler.expired, 0);
}

static void a_result_that_can_be_read_wins(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    bench.on_read = its_result_is_here;
    kill_job(0);
    assert_int_equal(jobs[0].outcomes[0], POOL_OK);
    assert_spared(POOL__NEVER);
    assert_true(jobs[0].job.kill_asked);
}

static void others_on_the_same_seat_go_elsewhere(void **state)
{
    (void)state;
    begin_with_two(0, 0);
    submit(2, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    kill_job(0);
    assert_killed(POOL__KILL_CANCEL);
    assert_int_equal(pool__scheduler_waiting(&bench.scheduler), 2);
    assert_int_equal(jobs[1].left + jobs[2].left, 2);
    bench_killed(&bench, 0);
    bench_replace(&bench, 0);
    assert_ptr_equal(bench.sends[3].job, &jobs[1].job);
    assert_ptr_equal(bench.sends[4].job, &jobs[2].job);
}

static void one_at_another_job_is_left_alone(void **state)
{
    (void)state;
    begin_with_two(0, 0);
    bench_start(&bench, 0, 1);
    kill_job(1);
    assert_int_equal(jobs[1].outcomes[0], POOL_CANCELLED);
    assert_int_equal(bench.kills[0] + bench.reads[0], 0);
}

/* Every seat that is at an item of the job, and no other. */
static void all_that_run_it_are_killed(void **state)
{
    unsigned i;

    (void)state;
    bench_begin_ready(&bench, 4);
    submit(0, 3, 1, false, 0);
    submit(1, 1, 0, true, 0);
    for (i = 0; i < 4; i++)
        bench_start(&bench, bench.sends[i].seat, 1);
    it_says_that_it_leaves(&bench, bench.sends[1].seat);
    pool__scheduler_withdraw(&bench.scheduler, &jobs[0].job, POOL_CANCELLED, true);
    pool__list_remove(&bench_seat(&bench, bench.sends[3].seat)->link); /* as one whose pipe is full */
    pool__deadline_kill_job(&bench.scheduler, &jobs[0].job, bench.now);
    assert_int_equal(bench.reads[bench.sends[3].seat], 0);
    assert_false(pool__is_linked(&bench_seat(&bench, bench.sends[3].seat)->link));
    for (i = 0; i < 4; i++)
        assert_int_equal(bench.kills[bench.sends[i].seat], i < 3);
}

static void nonsense_before_the_cancel(void **state)
{
    (void)state;
    bench_begin_ready(&bench, 1);
    submit(0, 1, 0, true, 0);
    bench_start(&bench, 0, 1);
    bench.on_read = it_talks_nonsense;
    kill_job(0);
    assert_killed(POOL__KILL_NONSENSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, end)
        TEST(no_deadline_no_timer),
        TEST(a_timer_for_what_is_sent),
        TEST(due_exactly_and_never_early),
        TEST(an_end_of_its_own_is_told_as_that),
        TEST(an_exit_of_its_own_is_told_as_that),
        TEST(a_start_to_come_counts_from_first_sight),
        TEST(a_start_that_never_was_is_not_told),
        TEST(a_start_of_long_ago_is_believed),
        TEST(each_item_has_its_own_first_sight),
        TEST(the_same_offset_of_another_batch_is_another_item),
        TEST(a_finished_item_has_no_deadline),
        TEST(a_result_that_is_here_wins),
        TEST(one_that_has_gone_on_is_spared),
        TEST(one_that_leaves_is_killed_too),
        TEST(one_that_is_leaving_is_killed_too),
        TEST(nonsense_comes_first),
        TEST(an_insane_board_comes_first),
        TEST(finished_between_two_looks),
        TEST(gone_on_between_two_looks),
        TEST(a_mark_that_never_stands_still_says_nothing),
        TEST(behind_an_item_without_one),
        TEST(not_too_often_behind_an_item_without_one),
        TEST(the_shortest_of_what_waits),
        TEST(a_short_one_before_a_long_one),
        TEST(what_has_its_outcome_counts_no_more),
        TEST(holes_in_the_table),
        TEST(seats_that_are_not_due_are_left_alone),
        TEST(nothing_is_looked_at_where_nothing_is_owed),
        TEST(a_dying_seat_is_not_checked),
        TEST(excused_once_where_the_timer_was_late),
        TEST(not_late_enough_for_an_excuse),
        TEST(an_excuse_is_no_longer_than_it_must_be),
        TEST(each_item_is_excused),
        TEST(no_timer_is_never_late),
        TEST(a_silent_worker_with_work_is_killed),
        TEST(one_that_has_claimed_and_not_begun_is_killed),
        TEST(a_long_deadline_is_long_patience),
        TEST(one_that_was_heard_of_is_not_silent),
        TEST(one_that_was_heard_of_just_now_is_not_silent),
        TEST(not_where_this_process_was_stopped),
        TEST(one_that_begins_at_the_last_moment_is_spared),
        TEST(one_that_speaks_at_the_last_moment_is_spared),
        TEST(nothing_is_read_from_one_that_owes_nothing),
        TEST(an_insane_board_that_does_not_begin),
        TEST(what_waits_needs_no_kill),
        TEST(what_is_unclaimed_needs_no_kill),
        TEST(what_is_claimed_is_killed),
        TEST(what_runs_is_killed),
        TEST(what_fails_before_the_kill_is_cancelled),
        TEST(what_crashes_before_the_kill_is_cancelled),
        TEST(a_deadline_before_the_cancel),
        TEST(a_result_that_can_be_read_wins),
        TEST(others_on_the_same_seat_go_elsewhere),
        TEST(one_at_another_job_is_left_alone),
        TEST(all_that_run_it_are_killed),
        TEST(nonsense_before_the_cancel),
    };

    return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
