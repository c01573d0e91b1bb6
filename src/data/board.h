/*
 * board - the pages that a host and one worker share: which items the worker may claim, which it is running, and the
 * results that it has finished.
 *
 * Pure: memory in, memory out, no system call. The host trusts nothing it reads here (rule 12): a value only chooses
 * among items that its own table says are with this worker.
 *
 * Words (64 bits, each one atomic store or compare-and-swap)
 *
 *   range[batch % POOL__FLIGHT]   tag:16 | end:24 | next:24     tag: low bits of the batch number, so that an entry's reuse is seen (rule 3)
 *       worker  next + 1, by compare-and-swap: claims item `next`
 *       host    end lowered, by compare-and-swap: takes the items from the new end on back; next lowered: takes the worker's
 *               claim to what it has not started away (see below)
 *   running                       batch:32 | offset:24 | state:8   written by the worker only
 *   cancel                        batch:32 | offset:24 | state:8   written by the host only: which running item is asked to stop (rule 17);
 *                                                                  UP_TO: that one and those of its batch before it
 *   row                           batch:32 | first:24 | state:8    written by the worker only: the open row, 0: none
 *   row_shape                     each:32 | there:1 | timed:1      of the open row; written before `row`
 *
 * Results are one byte stream (wire.h), numbered from the life's first byte. `staging` holds its bytes [base,
 * staged); the pipe has carried some prefix of them. Published bytes never change; base moves, to `staged`, only when
 * all of them are in the pipe. A record too large for staging goes straight to the pipe, its payload in pieces
 * (bulk.h): then the host has received more than `staged` says.
 *
 * The worker's order for each item (rule 1): claim; started; running = RUN (release), the last thing before the call;
 * the call; payload into staging; staged (release); running = DONE; the next claim.
 *
 * Results of one size are staged as a row (wire.h) that grows: while it is open, its results stand behind `staged` and
 * room for its record's header, and the mark alone publishes them: {first + n, RUN} or {first + n - 1, DONE} says that
 * n of them stand. So an item of a row costs no store but its mark, which is DONE only where no other item follows at
 * once. The row is closed by its header and `staged`, then row = 0.
 */
#ifndef POOL__BOARD_H
#define POOL__BOARD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/wire.h" /* POOL__BATCH_MAX */

#define POOL__FLIGHT       64u    /* batches that may be with one worker at a time; a power of two */
#define POOL__BOARD_SIZE   65536u /* a multiple of every page size in use */
#define POOL__STAGING_SIZE (POOL__BOARD_SIZE - 1024u)

static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2,
              "boards need lock-free 64-bit atomics: a lock would belong to one process");

enum pool__mark { POOL__MARK_NONE = 0, POOL__MARK_RUN = 1, POOL__MARK_DONE = 2, POOL__MARK_ALL = 3 };

#define POOL__CANCEL_UP_TO POOL__MARK_DONE /* in a cancel word */

struct pool__place { /* an item, as running and cancel name it */
    uint32_t batch, offset;
    enum pool__mark mark;
};

/*
 * What a worker's signal handler leaves of its crash (children/crash_record.h). As little to be trusted as all else
 * that stands on a board: the wait status says which signal it was.
 */
#define POOL__CRASH_CALLS 42u

enum pool__crash_stage { POOL__CRASH_NONE, POOL__CRASH_BEGUN, POOL__CRASH_WHOLE };

struct pool__crash {
    int32_t signal;
    uint32_t kind; /* enum pool__fault_kind, which says what `value` is; base/fault.h */
    uint64_t value;
    uint64_t counter, stack; /* program counter and stack pointer, 0: unknown */
    uint64_t count;          /* of the calls that led there, the innermost first */
    uint64_t calls[POOL__CRASH_CALLS];
};

struct pool__board {
    /* the worker's */
    _Alignas(64) _Atomic uint64_t running;
    _Atomic uint64_t started;      /* when the running item began, ns */
    _Atomic uint64_t base, staged; /* stream offsets of staging's first byte, and of its published end */
    _Atomic uint64_t row, row_shape;
    /* the host's */
    _Alignas(64) _Atomic uint64_t cancel;
    _Atomic uint32_t hurry; /* somebody waits: flush after this item */
    _Atomic uint64_t
        sent; /* bytes that were written into the task pipe: a read of what is not read yet does not block */
    /* both */
    _Alignas(64) _Atomic uint64_t range[POOL__FLIGHT];
    /* the worker's: a crash, told when `crashed` says so; WHOLE: with its calls */
    struct pool__crash crash;
    _Atomic uint32_t crashed;
    uint32_t room;
    unsigned char staging[POOL__STAGING_SIZE];
};

static_assert(sizeof(struct pool__board) == POOL__BOARD_SIZE, "a board is a whole number of pages");
static_assert(offsetof(struct pool__board, staging) == POOL__BOARD_SIZE - POOL__STAGING_SIZE, "nothing is lost");

/* Is it a result whose record has no place in staging? Its payload comes in pieces (bulk.h), then its padding. */
static inline bool pool__board_is_large(const struct pool__record *record)
{
    return record->kind == POOL__RECORD_RESULT && record->how == POOL__HOW_OK &&
           record->size > POOL__STAGING_SIZE - POOL__RECORD_SIZE;
}

/*
 * For a new life; no process may have it mapped but the host and those to be forked. What the last worker had staged
 * is not left to the next.
 */
void pool__board_clear(struct pool__board *board);

/* ---- the host's side */

void pool__board_open(struct pool__board *board, uint32_t batch, uint32_t count);

/*
 * Takes items back so that at most `keep` unclaimed ones stay with the worker. `end` is the host's own end of the
 * batch: it is lowered by what was taken. Returns the number of items taken: [*end, *end + taken). False in *sane
 * where the word is not one that host and worker could have made (then nothing is taken).
 */
uint32_t pool__board_take_back(struct pool__board *board, uint32_t batch, uint32_t *end, uint32_t keep, bool *sane);

/*
 * Moves `next` of a batch that ends at `end` from one place to another. False: it was not there. See struct pool__claim
 * for when that is allowed.
 */
bool pool__board_move_claim(struct pool__board *board, uint32_t batch, uint32_t end, uint32_t from, uint32_t to);

/*
 * How far the worker has claimed in a batch, at most `end`. False where the word is not one that host and worker
 * could have made.
 */
bool pool__board_claimed(const struct pool__board *board, uint32_t batch, uint32_t end, uint32_t *claimed);

struct pool__place pool__board_running(const struct pool__board *board);
void pool__board_ask_cancel(struct pool__board *board, struct pool__place place);

/*
 * Copies published bytes that the host has not received: the stream from `received` on, at most `room` bytes. Safe
 * beside a living worker (the copy is used only where base did not move meanwhile). 0: nothing, or not now.
 */
size_t pool__board_salvage(const struct pool__board *board, uint64_t received, void *copy, size_t room);

/*
 * Of the open row, where it is of the batch: a record as if it had been closed now, and a copy of its results from
 * offset `done` on, of which all before are known. False: there is none, nothing of it is new, or what comes before it
 * in the stream has not been received. Safe beside a living worker.
 */
bool pool__board_open_row(const struct pool__board *board, uint64_t received, uint32_t batch, uint32_t done,
                          struct pool__record *record, void *copy, size_t room);

/*
 * Has the worker published more than the host has received? *sane false: its words cannot be, unless it is moving them
 * just now, which it does within an item.
 */
bool pool__board_has_more(const struct pool__board *board, uint64_t received, bool *sane);

/* Copies what the worker told of its crash. False: nothing, or nothing that can be. */
bool pool__board_crash(const struct pool__board *board, struct pool__crash *copy);

/* ---- the worker's side */

/*
 * Several items may be claimed together (rule 7). The worker looks at the range word after each mark and before the call:
 * where the host has lowered `next` meanwhile, it claims the marked item alone, if it is still there, and gives up the
 * others. The host lowers `next` to behind the mark, has all processors that run workers pass a barrier (base/barrier.h),
 * reads the mark again, and raises `next` to behind it, if it is still where it was put: then either the host has seen
 * the mark of an item, or its worker sees the lowered word before it starts it. So a claim costs one compare-and-swap for
 * many items, and yet all that is not started can be taken back at any time. (Both may be: then one of the two raises the
 * word past the item, and the other sees that. A worker that gave the item up would have it passed over.)
 */
struct pool__claim {
    uint32_t batch, next, end; /* claimed and not started: [next, end) */
    uint64_t word;             /* the range word that says so */
};

/* Claims up to `most` items behind the last claim, which is zero before the first; false: the batch is left. */
bool pool__board_claim(struct pool__board *board, uint32_t batch, uint32_t most, struct pool__claim *claim);

/* The item claim->next is marked: may it be started? False: not any more, the host has taken it and those behind it. */
bool pool__board_claim_lost(struct pool__board *board, struct pool__claim *claim);

static inline bool pool__board_may_start(struct pool__board *board, struct pool__claim *claim)
{
    atomic_signal_fence(memory_order_seq_cst); /* the mark comes first; the host's barrier does the rest */
    return atomic_load_explicit(&board->range[claim->batch % POOL__FLIGHT], memory_order_relaxed) == claim->word ||
           !pool__board_claim_lost(board, claim);
}

/* What is claimed and not started is left to be claimed again. */
void pool__board_give_back(struct pool__board *board, struct pool__claim *claim);
void pool__board_row_opened(struct pool__board *board, const struct pool__record *row);
void pool__board_row_closed(struct pool__board *board);

/* A place as a word; the next item's is POOL__NEXT_ITEM more. */
#define POOL__NEXT_ITEM (UINT64_C(1) << 8)
uint64_t pool__place_word(struct pool__place place);
void pool__board_mark_word(struct pool__board *board, uint64_t word);

static inline void pool__board_mark(struct pool__board *board, uint32_t batch, uint32_t offset, enum pool__mark mark)
{
    pool__board_mark_word(board, pool__place_word((struct pool__place){batch, offset, mark}));
}

bool pool__board_cancel_asked(const struct pool__board *board);

/*
 * A crash is told in two steps, so that what is known at once is not lost with the calls, should they not be found.
 * Both are async-signal-safe.
 */
void pool__board_tell_crash(struct pool__board *board, const struct pool__crash *crash);
void pool__board_tell_calls(struct pool__board *board, const uintptr_t *calls, size_t count);

#endif
