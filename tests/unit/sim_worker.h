/*
 * sim_worker - a worker as a step machine, for the simulated world of world.h: it does to its board what
 * children/worker.c does, in the order of rule 1, one store or one system call a step.
 *
 * The task pipe is a ring of frames: [from, fetched) are in the worker's input buffer, [fetched, to) in the pipe. The
 * result stream is a ring of records, counted from the life's first: those below `staged` are published on the board,
 * those below `piped` were written to the pipe, those below `read` were read from it, those below `received` the host
 * knows, from the pipe or from the board.
 */
#ifndef TEST_SIM_WORKER_H
#define TEST_SIM_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "data/board.h"

#define SIM_FRAMES 128u /* more than POOL__FLIGHT and a STOP */
#define SIM_STREAM 64u  /* records that fit in pipe and staging together */
#define SIM_FLUSH_AFTER (50 * UINT64_C(1000))

struct sim_item {
    uint8_t starts, published; /* by workers that are no liars */
    uint8_t inside;            /* workers that are in its function now */
    uint8_t marked;            /* by a worker that has not entered it yet: as good as started, should it die there */
    uint8_t tainted;           /* was with a liar */
    uint8_t asked;             /* enum pool__asked: a cancel of this item alone has said so */
    uint8_t outcome; /* 0: none yet, else 1 + enum pool_status */
    uint8_t seat;    /* where it was sent last, from 1 */
    uint32_t life;
};

/* What an item does when it is run. */
enum sim_function { SIM_RETURNS, SIM_FAILS, SIM_HANGS };

struct sim_frame {
    bool stop, blocks;
    uint32_t batch, count;
    unsigned attempt;
    const void *job;
    uint64_t deadline;
    struct sim_item *items;
    const uint8_t *functions; /* enum sim_function of each item, or NULL: all return */
};

enum sim_pc {
    SIM_BORN,   /* in the initializer */
    SIM_READ,   /* wants the next frame */
    SIM_CLAIM,  /* wants the next item of its batch */
    SIM_MARK,   /* has claimed it, and perhaps some behind it */
    SIM_CHECK,  /* has marked it, and looks whether the claim still holds */
    SIM_RUN,    /* is in its function */
    SIM_STAGED, /* has published the result */
    SIM_BYE,    /* is about to say LEAVING */
    SIM_EXIT
};

struct sim_worker {
    bool forked, dead, kill_sent;
    int status; /* wait status, where dead */
    bool fails_to_start;
    bool liar; /* its board was scribbled on, or it sent nonsense */
    bool stuck; /* takes no more steps */
    struct pool__board *board;
    unsigned tasks_per_worker, started_items;
    enum sim_pc pc;
    struct sim_frame frames[SIM_FRAMES], frame;
    unsigned from, fetched, to;
    uint32_t offset;
    uint32_t most;            /* items claimed at a time, 0: one */
    struct pool__claim claim; /* of them, [offset, claim.end) are not started */
    struct pool__place done;  /* what its mark said last besides RUN */
    bool lost;                /* a claim of this batch: it claims one by one then */
    uint64_t began, oldest;
    uint64_t item_ns; /* what it says of each item; 0: what the clock says */
    struct pool__record stream[SIM_STREAM];
    unsigned staged, piped, read, received;
    const char *complaint;

    /* the host's */
    bool announced, poisoned, wants_room;
    uint64_t frozen_at;            /* when the host looked whether to kill it, and did not */
    const struct sim_item *struck; /* what it was killed for, where that was a deadline */
};

static inline void sim_worker_fork(struct sim_worker *worker, struct pool__board *board, unsigned tasks_per_worker,
                                   uint64_t item_ns)
{
    memset(worker, 0, sizeof *worker);
    worker->forked = true;
    worker->board = board;
    worker->tasks_per_worker = tasks_per_worker;
    worker->item_ns = item_ns;
}

static inline enum sim_function sim_function_of(const struct sim_worker *worker)
{
    return worker->frame.functions == NULL ? SIM_RETURNS : (enum sim_function)worker->frame.functions[worker->offset];
}

/* Its function is left, by its end or by the worker's. */
static inline void sim_leave_item(struct sim_worker *worker)
{
    if (!worker->liar && worker->pc == SIM_RUN)
        worker->frame.items[worker->offset].inside = 0;
}

static inline void sim_worker_die(struct sim_worker *worker, int status)
{
    sim_leave_item(worker);
    worker->dead = true;
    worker->status = status;
}

/* Then it flushes, and waits until the host has read. */
static inline bool sim_stream_full(const struct sim_worker *worker)
{
    return worker->staged - worker->received >= SIM_STREAM - 1;
}

/* For good: only a kill ends it. */
static inline bool sim_worker_hangs(const struct sim_worker *worker)
{
    return worker->stuck || (worker->pc == SIM_RUN && sim_function_of(worker) == SIM_HANGS);
}

static inline bool sim_worker_can_step(const struct sim_worker *worker)
{
    if (!worker->forked || worker->dead || sim_worker_hangs(worker))
        return false;
    if (sim_stream_full(worker))
        return worker->piped != worker->staged;
    return worker->pc != SIM_READ || worker->from != worker->to || worker->piped != worker->staged;
}

static inline void sim_send_frame(struct sim_worker *worker, struct sim_frame frame)
{
    worker->frames[worker->to++ % SIM_FRAMES] = frame;
}

static inline void sim_publish(struct sim_worker *worker, enum pool__record_kind kind, uint32_t batch, uint32_t offset,
                               int32_t code, uint64_t run)
{
    struct pool__record *record = &worker->stream[worker->staged++ % SIM_STREAM];

    memset(record, 0, sizeof *record);
    record->kind = kind;
    record->batch = batch;
    record->offset = offset;
    record->code = code;
    record->how = code != 0 ? POOL__HOW_FAILED : POOL__HOW_OK;
    record->run = run;
}

static inline void sim_flush(struct sim_worker *worker)
{
    worker->piped = worker->staged;
    worker->oldest = 0;
}

static inline void sim_read(struct sim_worker *worker)
{
    if (worker->from == worker->fetched && worker->piped != worker->staged) {
        sim_flush(worker);
        return;
    }
    if (worker->from == worker->fetched)
        worker->fetched = worker->to;
    worker->frame = worker->frames[worker->from++ % SIM_FRAMES];
    worker->lost = false;
    worker->pc = worker->frame.stop ? SIM_BYE : SIM_CLAIM;
}

static inline void sim_claim(struct sim_worker *worker)
{
    bool alone = worker->most == 0 || !worker->frame.blocks || worker->lost;

    if (!pool__board_claim(worker->board, worker->frame.batch, alone ? 1 : worker->most, &worker->claim)) {
        sim_publish(worker, POOL__RECORD_LEFT, worker->frame.batch, 0, 0, 0);
        worker->pc = SIM_READ;
    } else if (worker->claim.next >= worker->frame.count) {
        sim_worker_die(worker, 0); /* no such item in the frame */
    } else {
        worker->offset = worker->claim.next;
        worker->pc = SIM_MARK;
    }
}

/* Its function is entered. */
static inline void sim_start(struct sim_worker *worker)
{
    struct sim_item *item = &worker->frame.items[worker->offset];

    worker->claim.next++;
    worker->started_items++;
    worker->pc = SIM_RUN;
    if (worker->liar)
        return; /* it may run what is not its own */
    if (item->inside > 0 && !item->tainted)
        worker->complaint = "two workers are in one item";
    if (item->published && !item->tainted)
        worker->complaint = "an item that has its result is run again";
    if (item->starts + 1u != worker->frame.attempt && item->starts + item->marked + 1u != worker->frame.attempt &&
        !item->tainted)
        worker->complaint = "an item was started twice";
    item->inside = 1;
    if (item->starts < UINT8_MAX)
        item->starts++;
}

static inline void sim_mark(struct sim_worker *worker, uint64_t now)
{
    worker->began = now;
    atomic_store(&worker->board->started, now);
    pool__board_mark(worker->board, worker->frame.batch, worker->offset, POOL__MARK_RUN);
    if (!worker->frame.blocks) {
        sim_start(worker);
        return;
    }
    worker->pc = SIM_CHECK;
    if (!worker->liar)
        worker->frame.items[worker->offset].marked++;
}

static inline void sim_check(struct sim_worker *worker)
{
    uint32_t claimed = worker->claim.end;

    if (!worker->liar)
        worker->frame.items[worker->offset].marked--;
    if (pool__board_may_start(worker->board, &worker->claim)) {
        worker->lost = worker->lost || worker->claim.end < claimed;
        sim_start(worker);
        return;
    }
    worker->lost = true;
    pool__board_mark(worker->board, worker->done.batch, worker->done.offset, worker->done.mark);
    worker->pc = SIM_CLAIM;
}

static inline void sim_run(struct sim_worker *worker, uint64_t now)
{
    bool fails = sim_function_of(worker) == SIM_FAILS;

    if (worker->oldest == 0)
        worker->oldest = worker->began;
    sim_publish(worker, POOL__RECORD_RESULT, worker->frame.batch, worker->offset, fails ? 7 : 0,
                worker->item_ns != 0 ? worker->item_ns : now - worker->began);
    if (!worker->liar)
        worker->frame.items[worker->offset].published = 1;
    sim_leave_item(worker);
    worker->pc = SIM_STAGED;
}

static inline void sim_after_item(struct sim_worker *worker, uint64_t now)
{
    bool hurry = atomic_exchange(&worker->board->hurry, 0) != 0;
    bool failed = worker->stream[(worker->staged - 1) % SIM_STREAM].how != POOL__HOW_OK;

    pool__board_mark(worker->board, worker->frame.batch, worker->offset, POOL__MARK_DONE);
    worker->done.batch = worker->frame.batch;
    worker->done.offset = worker->offset;
    worker->done.mark = POOL__MARK_DONE;
    if (hurry || failed || now - worker->oldest >= SIM_FLUSH_AFTER)
        sim_flush(worker);
    if (worker->tasks_per_worker != 0 && worker->started_items >= worker->tasks_per_worker) {
        worker->pc = SIM_BYE;
    } else if (hurry || failed || worker->claim.next == worker->claim.end) {
        pool__board_give_back(worker->board, &worker->claim);
        worker->pc = SIM_CLAIM;
    } else {
        worker->offset = worker->claim.next;
        worker->pc = SIM_MARK;
    }
}

static inline void sim_worker_step(struct sim_worker *worker, uint64_t now)
{
    if (sim_stream_full(worker)) {
        sim_flush(worker);
        return;
    }
    switch (worker->pc) {
    case SIM_BORN:
        if (worker->fails_to_start) {
            sim_worker_die(worker, 1 << 8);
            return;
        }
        sim_publish(worker, POOL__RECORD_READY, 0, 0, 0, 0);
        sim_flush(worker);
        worker->pc = SIM_READ;
        break;
    case SIM_READ:
        sim_read(worker);
        break;
    case SIM_CLAIM:
        sim_claim(worker);
        break;
    case SIM_MARK:
        sim_mark(worker, now);
        break;
    case SIM_CHECK:
        sim_check(worker);
        break;
    case SIM_RUN:
        sim_run(worker, now);
        break;
    case SIM_STAGED:
        sim_after_item(worker, now);
        break;
    case SIM_BYE:
        sim_publish(worker, POOL__RECORD_LEAVING, 0, 0, 0, 0);
        sim_flush(worker);
        worker->pc = SIM_EXIT;
        break;
    case SIM_EXIT:
        sim_worker_die(worker, 0);
        break;
    }
}

#endif
