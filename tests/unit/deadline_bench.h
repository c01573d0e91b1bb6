/*
 * deadline_bench - a bench (bench.h) for deadlines and kills. The board code is compiled in here, so that a mark can
 * change between two looks at it.
 */
#ifndef TEST_DEADLINE_BENCH_H
#define TEST_DEADLINE_BENCH_H

#include "../support/claim_one.h"
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

static inline int end(void **state)
{
    (void)state;
    moment = NULL;
    moments = 0;
    bench_end(&bench);
    return 0;
}

/* ---- steps */

static inline void submit(unsigned which, unsigned items, size_t chunk, bool lone, uint64_t deadline)
{
    bench_submit(&bench, &jobs[which], items, chunk, lone);
    jobs[which].job.deadline = deadline;
    bench_dispatch(&bench);
}

static inline void begin(unsigned workers, unsigned items)
{
    bench_begin_ready(&bench, workers);
    submit(0, items, items, false, LIMIT);
}

/* Two applies at one worker, the first with one deadline, the second with another. */
static inline void begin_with_two(uint64_t first, uint64_t second)
{
    bench_begin_ready(&bench, 1);
    bench.scheduler.lone_ns = 1000;
    submit(0, 1, 0, true, first);
    submit(1, 1, 0, true, second);
    assert_int_equal(bench.send_count, 2);
}

static inline void starts_at(uint32_t batch, uint64_t when)
{
    atomic_store(&bench.boards[0].started, when);
    bench_start(&bench, 0, batch);
}

static inline void claims(uint32_t batch)
{
    uint32_t offset;

    assert_true(claim_one(&bench.boards[0], batch, &offset));
}

static inline void mark(uint32_t batch, uint32_t offset, enum pool__mark how)
{
    pool__board_mark(&bench.boards[0], batch, offset, how);
}

static inline void check_at(uint64_t when)
{
    bench.now = when;
    pool__deadline_check(&bench.scheduler, when);
}

static inline void kill_job(unsigned which)
{
    pool__scheduler_withdraw(&bench.scheduler, &jobs[which].job, POOL_CANCELLED, true);
    pool__deadline_kill_job(&bench.scheduler, &jobs[which].job, bench.now);
}

static inline struct pool__seat *seat(void) { return bench_seat(&bench, 0); }

static inline void assert_killed(enum pool__kill_reason reason)
{
    assert_int_equal(bench.kills[0], 1);
    assert_int_equal(seat()->state, POOL__SEAT_DYING);
    assert_int_equal(seat()->reason, reason);
    assert_false(pool__is_linked(&seat()->link));
}

/* Nor asked for anything; the next look is then. */
static inline void assert_untouched(uint64_t next_look)
{
    assert_int_equal(bench.kills[0], 0);
    assert_int_equal(bench.reads[0], 0);
    assert_true(seat()->check_at == next_look);
    assert_true(bench.scheduler.check_at == next_look);
}

static inline void assert_spared(uint64_t next_look)
{
    assert_int_equal(bench.kills[0], 0);
    assert_int_equal(bench.reads[0], 1);
    assert_true(seat()->check_at == next_look);
    assert_true(pool__is_linked(&seat()->link));
}

/* ---- what a read finds */

static inline void its_result_is_here(struct bench *its, unsigned index)
{
    bench_result(its, index, 1000, POOL_OK);
}

static inline void it_says_that_it_leaves(struct bench *its, unsigned index)
{
    assert_true(pool__scheduler_leaving(&its->scheduler, bench_seat(its, index), its->now));
}

static inline void it_talks_nonsense(struct bench *its, unsigned index)
{
    pool__staffing_condemn(&its->scheduler, bench_seat(its, index), POOL__KILL_NONSENSE, its->now);
}

#endif
