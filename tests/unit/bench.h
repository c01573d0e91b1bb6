/* bench - a scheduler with boards and no workers: the tests play these, step by step. What it asks for is noted. */
#ifndef TEST_BENCH_H
#define TEST_BENCH_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../support/claim_one.h"
#include "base/clock.h"
#include "engine/scheduler.h"
#include "engine/staffing.h"

#define BENCH_SEATS 24u
#define BENCH_ITEMS 1024u
#define BENCH_SENDS 4096u

struct bench_send {
    unsigned seat;
    uint32_t batch, count;
    uint64_t first;
    const struct pool__job *job;
};

struct bench {
    struct pool__scheduler scheduler;
    struct pool__board *boards;
    struct bench_send sends[BENCH_SENDS];
    unsigned send_count;
    unsigned stops[BENCH_SEATS], kills[BENCH_SEATS], looks[BENCH_SEATS], spawns[BENCH_SEATS], unsends[BENCH_SEATS];
    unsigned reads[BENCH_SEATS], abandons[BENCH_SEATS], prods, barriers;
    void (*on_read)(struct bench *bench, unsigned seat); /* what a read finds */
    void (*on_barrier)(struct bench *bench);             /* what workers do meanwhile */
    bool full[BENCH_SEATS], refuses, spare_board, untold; /* untold: what is spawned is not told of */
    bool no_barrier;
    uint64_t now;
};

struct bench_job {
    struct pool__job job; /* first */
    enum pool_status outcomes[BENCH_ITEMS];
    bool has_outcome[BENCH_ITEMS];
    const char *why, *words;
    int code;
    unsigned attempts;
    uint64_t start, run, deadline;
    pid_t worker;
    unsigned left, finished, dropped;
    size_t sizes[BENCH_ITEMS];
};

/* ---- the owner */

static inline struct bench_job *bench_job_of(struct pool__job *job) { return (struct bench_job *)(void *)job; }

static inline void bench_argument(struct pool__job *job, uint64_t index, const void **bytes, size_t *size)
{
    *bytes = job;
    *size = bench_job_of(job)->sizes[index];
}

static inline void bench_outcome(struct pool__job *job, uint64_t index, enum pool_status status)
{
    struct bench_job *mine = bench_job_of(job);

    assert_true(index < BENCH_ITEMS);
    assert_false(mine->has_outcome[index]);
    mine->has_outcome[index] = true;
    mine->outcomes[index] = status;
    mine->left--;
}

static inline void bench_finished(struct pool__job *job, uint64_t index, struct pool__outcome *outcome)
{
    bench_outcome(job, index, outcome->status);
    bench_job_of(job)->why = outcome->why;
    bench_job_of(job)->words = outcome->words;
    bench_job_of(job)->code = outcome->code;
    bench_job_of(job)->attempts = outcome->attempts;
    bench_job_of(job)->start = outcome->start;
    bench_job_of(job)->run = outcome->run;
    bench_job_of(job)->deadline = outcome->deadline;
    bench_job_of(job)->worker = outcome->worker;
    bench_job_of(job)->finished++;
}

static inline void bench_dropped(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status,
                                 int code, const char *message)
{
    uint64_t i;

    (void)code;
    (void)message;
    for (i = first; i < first + count; i++)
        bench_outcome(job, i, status);
    bench_job_of(job)->dropped += (unsigned)count;
}

static const struct pool__owner bench_owner = {bench_argument, NULL, bench_finished, bench_dropped, NULL, NULL};

static inline void bench_submit(struct bench *bench, struct bench_job *job, unsigned items, size_t chunk, bool lone)
{
    memset(job, 0, sizeof *job);
    pool__job_init(&job->job, &bench_owner, NULL, 8);
    job->job.lone = lone;
    job->job.chunk = chunk;
    job->job.end = items;
    job->left = items;
    pool__scheduler_submit(&bench->scheduler, &job->job);
}

/* ---- the actions */

static inline bool bench_can_send(void *host, const struct pool__seat *seat, const struct pool__job *job)
{
    (void)job;
    return !((struct bench *)host)->full[seat->index];
}

static inline void bench_send(void *host, struct pool__seat *seat, uint32_t batch, const struct pool__run *run)
{
    struct bench *bench = host;
    struct bench_send send = {seat->index, batch, run->count, run->first, run->job};

    assert_true(bench->send_count < BENCH_SENDS);
    bench->sends[bench->send_count++] = send;
}

static inline void bench_stop(void *host, struct pool__seat *seat) { ((struct bench *)host)->stops[seat->index]++; }
static inline void bench_kill(void *host, struct pool__seat *seat) { ((struct bench *)host)->kills[seat->index]++; }
static inline void bench_look(void *host, struct pool__seat *seat) { ((struct bench *)host)->looks[seat->index]++; }

static inline void bench_read(void *host, struct pool__seat *seat)
{
    struct bench *bench = host;

    bench->reads[seat->index]++;
    if (bench->on_read != NULL)
        bench->on_read(bench, seat->index);
}

static inline bool bench_abandon(void *host, struct pool__seat *seat)
{
    struct bench *bench = host;

    bench->abandons[seat->index]++;
    return bench->spare_board;
}

static inline bool bench_spawn(void *host, struct pool__seat *seat)
{
    struct bench *bench = host;

    if (bench->refuses)
        return false;
    bench->spawns[seat->index]++;
    seat->spawned = !bench->untold;
    seat->life++;
    seat->board = &bench->boards[seat->index];
    pool__board_clear(seat->board);
    return true;
}

static inline void bench_unsend(void *host, struct pool__seat *seat, uint32_t batch)
{
    assert_non_null(seat->flight[batch % POOL__FLIGHT]); /* told while it still is in the table */
    ((struct bench *)host)->unsends[seat->index]++;
}

static inline void bench_prod(void *host) { ((struct bench *)host)->prods++; }

static inline bool bench_barrier(void *host)
{
    struct bench *bench = host;

    bench->barriers++;
    if (bench->on_barrier != NULL)
        bench->on_barrier(bench);
    return !bench->no_barrier;
}

static const struct pool__actions bench_actions = {bench_can_send, bench_send, bench_unsend, bench_stop,   bench_kill,
                                                   bench_spawn,    bench_look, bench_read,   bench_prod,   bench_abandon,
                                                   bench_barrier};

/* ---- events */

static inline struct pool__seat *bench_seat(struct bench *bench, unsigned index) { return &bench->scheduler.seats[index]; }

static inline void bench_dispatch(struct bench *bench) { pool__scheduler_dispatch(&bench->scheduler, bench->now); }

static inline void bench_adjust(struct bench *bench) { pool__staffing_adjust(&bench->scheduler, bench->now); }

static inline void bench_ready(struct bench *bench, unsigned index)
{
    bench_seat(bench, index)->was_ready = true;
    pool__staffing_ready(&bench->scheduler, bench_seat(bench, index), bench->now);
}

/* `limit` seats, `workers` of them with a worker that is starting. */
static inline void bench_begin(struct bench *bench, unsigned workers, unsigned limit)
{
    memset(bench, 0, sizeof *bench);
    bench->boards = aligned_alloc(64, limit * sizeof *bench->boards);
    assert_non_null(bench->boards);
    memset(bench->boards, 0, limit * sizeof *bench->boards); /* as fresh pages are */
    assert_true(pool__scheduler_init(&bench->scheduler, &bench_actions, bench, limit));
    bench->now = 5000 * POOL__MS;
    bench->scheduler.size = workers;
    bench->scheduler.start_timeout = 60000 * POOL__MS;
    bench->scheduler.stop_timeout = 60000 * POOL__MS;
    bench_adjust(bench);
}

static inline void bench_begin_ready(struct bench *bench, unsigned workers)
{
    unsigned i;

    bench_begin(bench, workers, workers);
    for (i = 0; i < workers; i++)
        bench_ready(bench, i);
}

static inline void bench_end(struct bench *bench)
{
    pool__scheduler_drop_all(&bench->scheduler, POOL_TERMINATED, 0, NULL);
    pool__scheduler_free(&bench->scheduler);
    free(bench->boards);
    bench->boards = NULL;
}

/* The worker claims the next item of a batch and begins to run it. */
static inline uint32_t bench_start(struct bench *bench, unsigned index, uint32_t batch)
{
    uint32_t offset = 0;

    assert_true(claim_one(&bench->boards[index], batch, &offset));
    pool__board_mark(&bench->boards[index], batch, offset, POOL__MARK_RUN);
    return offset;
}

/* Its result arrives; the worker is behind it. */
static inline void bench_result(struct bench *bench, unsigned index, uint64_t run_ns, enum pool_status status)
{
    struct pool__place place = pool__board_running(&bench->boards[index]);
    struct pool__outcome outcome;

    pool__board_mark(&bench->boards[index], place.batch, place.offset, POOL__MARK_DONE);
    memset(&outcome, 0, sizeof outcome);
    outcome.status = status;
    outcome.run = run_ns;
    assert_non_null(pool__seat_head(bench_seat(bench, index)));
    pool__scheduler_result(&bench->scheduler, bench_seat(bench, index), &outcome, bench->now);
}

/* One item, from the claim to the result. */
static inline void bench_do(struct bench *bench, unsigned index, uint32_t batch, uint64_t run_ns)
{
    bench_start(bench, index, batch);
    bench_result(bench, index, run_ns, POOL_OK);
}

static inline bool bench_left(struct bench *bench, unsigned index, uint32_t batch)
{
    return pool__scheduler_left(&bench->scheduler, bench_seat(bench, index), batch, bench->now);
}

static inline void bench_death(struct bench *bench, unsigned index, int status, bool announced)
{
    struct pool__death death = {.known = true, .status = status, .announced = announced};

    pool__scheduler_gone(&bench->scheduler, bench_seat(bench, index), &death, bench->now);
    pool__staffing_left(&bench->scheduler, bench_seat(bench, index), &death, bench->now);
}

static inline void bench_killed(struct bench *bench, unsigned index) { bench_death(bench, index, SIGKILL, false); }

/* A new worker sits down and is ready, whatever the brake says. */
static inline void bench_replace(struct bench *bench, unsigned index)
{
    if (bench->now < bench->scheduler.next_spawn)
        bench->now = bench->scheduler.next_spawn;
    bench_adjust(bench);
    bench_ready(bench, index);
    bench_dispatch(bench);
}

#endif
