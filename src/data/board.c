#include "data/board.h"

#include <string.h>

#define TRIES 64 /* of a compare-and-swap: a worker that scribbles cannot hold the host (rule 12) */

struct range {
    uint16_t tag;
    uint32_t end, next;
};

static uint64_t range_word(struct range range)
{
    return (uint64_t)range.tag << 48 | (uint64_t)range.end << 24 | range.next;
}

static struct range range_of(uint64_t word)
{
    struct range range = {(uint16_t)(word >> 48), (uint32_t)(word >> 24) & POOL__BATCH_MAX,
                          (uint32_t)word & POOL__BATCH_MAX};

    return range;
}

uint64_t pool__place_word(struct pool__place place)
{
    return (uint64_t)place.batch << 32 | (uint64_t)(place.offset & POOL__BATCH_MAX) << 8 | (uint64_t)place.mark;
}

static struct pool__place place_of(uint64_t word)
{
    struct pool__place place;

    place.batch = (uint32_t)(word >> 32);
    place.offset = (uint32_t)(word >> 8) & POOL__BATCH_MAX;
    place.mark = (enum pool__mark)(word & 3u);
    return place;
}

static bool is_sane(struct range range, uint32_t batch, uint32_t end)
{
    return range.tag == (uint16_t)batch && range.end == end && range.next <= end;
}

void pool__board_clear(struct pool__board *board)
{
    bool used = atomic_load(&board->running) != 0 || atomic_load(&board->staged) != 0;
    unsigned entry;

    if (used) /* else its pages need not even be there */
        memset(board->staging, 0, sizeof board->staging);
    atomic_store(&board->running, 0);
    atomic_store(&board->started, 0);
    atomic_store(&board->base, 0);
    atomic_store(&board->staged, 0);
    atomic_store(&board->row, 0);
    atomic_store(&board->row_shape, 0);
    atomic_store(&board->cancel, 0);
    atomic_store(&board->hurry, 0);
    atomic_store(&board->sent, 0);
    atomic_store(&board->crashed, POOL__CRASH_NONE);
    for (entry = 0; entry < POOL__FLIGHT; entry++)
        atomic_store(&board->range[entry], 0);
}

void pool__board_open(struct pool__board *board, uint32_t batch, uint32_t count)
{
    struct range range = {(uint16_t)batch, count, 0};

    atomic_store_explicit(&board->range[batch % POOL__FLIGHT], range_word(range), memory_order_release);
}

uint32_t pool__board_take_back(struct pool__board *board, uint32_t batch, uint32_t *end, uint32_t keep, bool *sane)
{
    _Atomic uint64_t *entry = &board->range[batch % POOL__FLIGHT];
    uint64_t word = atomic_load_explicit(entry, memory_order_acquire);
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        struct range range = range_of(word);
        uint32_t taken;

        *sane = is_sane(range, batch, *end);
        if (!*sane || range.end - range.next <= keep)
            return 0;
        taken = range.end - range.next - keep;
        range.end -= taken;
        if (atomic_compare_exchange_weak_explicit(entry, &word, range_word(range), memory_order_acq_rel,
                                                  memory_order_acquire)) {
            *end = range.end;
            return taken;
        }
    }
    return 0;
}

bool pool__board_move_claim(struct pool__board *board, uint32_t batch, uint32_t end, uint32_t from, uint32_t to)
{
    struct range range = {(uint16_t)batch, end, from};
    uint64_t word = range_word(range);

    range.next = to;
    return atomic_compare_exchange_strong_explicit(&board->range[batch % POOL__FLIGHT], &word, range_word(range),
                                                   memory_order_acq_rel, memory_order_acquire);
}

bool pool__board_claimed(const struct pool__board *board, uint32_t batch, uint32_t end, uint32_t *claimed)
{
    struct range range = range_of(atomic_load_explicit(&board->range[batch % POOL__FLIGHT], memory_order_acquire));

    *claimed = range.next;
    return is_sane(range, batch, end);
}

struct pool__place pool__board_running(const struct pool__board *board)
{
    return place_of(atomic_load_explicit(&board->running, memory_order_acquire));
}

void pool__board_ask_cancel(struct pool__board *board, struct pool__place place)
{
    atomic_store_explicit(&board->cancel, pool__place_word(place), memory_order_release);
}

size_t pool__board_salvage(const struct pool__board *board, uint64_t received, void *copy, size_t room)
{
    uint64_t base = atomic_load_explicit(&board->base, memory_order_acquire);
    uint64_t staged = atomic_load_explicit(&board->staged, memory_order_acquire);
    size_t size;

    if (staged < base || staged - base > POOL__STAGING_SIZE || received < base || received >= staged)
        return 0;
    size = (size_t)(staged - received);
    if (size > room)
        size = room;
    memcpy(copy, board->staging + (received - base), size);
    /* as in a sequence lock: bytes are overwritten only after base has moved */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&board->base, memory_order_relaxed) == base ? size : 0;
}

/* in row_shape */
#define ROW_TIMED 1u
#define ROW_THERE 2u

/* How many results of the open row stand, by the mark; 0: the mark is not of this row. */
static uint32_t row_count(struct pool__place row, struct pool__place mark)
{
    uint32_t end = mark.offset + (mark.mark == POOL__MARK_DONE);

    return mark.batch == row.batch && end > row.offset ? end - row.offset : 0;
}

/*
 * The results follow the room for the row's header, which stands where the stream's published part ends. As with
 * salvage, all is read first, then looked at again: while none of the words has moved, the bytes have not either.
 */
bool pool__board_open_row(const struct pool__board *board, uint64_t received, uint32_t batch, uint32_t done,
                          struct pool__record *record, void *copy, size_t room)
{
    uint64_t word = atomic_load_explicit(&board->row, memory_order_acquire);
    uint64_t shape = atomic_load_explicit(&board->row_shape, memory_order_acquire);
    uint64_t staged = atomic_load_explicit(&board->staged, memory_order_acquire);
    uint64_t base = atomic_load_explicit(&board->base, memory_order_acquire), stride, from, size;
    struct pool__place row = place_of(word);
    uint32_t count = row_count(row, pool__board_running(board)), known = done - row.offset;

    if (row.mark != POOL__MARK_RUN || row.batch != batch || received != staged || staged < base || done < row.offset ||
        count <= known || shape >> 32 > POOL__ROW_EACH || (uint32_t)shape > (ROW_TIMED | ROW_THERE) ||
        ((shape & ROW_THERE) != 0 && shape >> 32 != 0))
        return false;
    memset(record, 0, sizeof *record);
    record->kind = POOL__RECORD_ROW;
    record->batch = row.batch;
    record->offset = row.offset;
    record->count = count;
    record->each = (uint32_t)(shape >> 32);
    record->timed = (shape & ROW_TIMED) != 0;
    record->there = (shape & ROW_THERE) != 0;
    record->start = atomic_load_explicit(&board->started, memory_order_relaxed);
    stride = pool__row_stride(record->each, record->timed);
    record->size = count * stride;
    from = staged - base + POOL__RECORD_SIZE + known * stride;
    size = (count - known) * stride;
    if (from > POOL__STAGING_SIZE || size > POOL__STAGING_SIZE - from || size > room)
        return false;
    memcpy(copy, board->staging + from, (size_t)size);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&board->row, memory_order_relaxed) == word &&
           atomic_load_explicit(&board->staged, memory_order_relaxed) == staged &&
           atomic_load_explicit(&board->base, memory_order_relaxed) == base;
}

bool pool__board_has_more(const struct pool__board *board, uint64_t received, bool *sane)
{
    uint64_t base = atomic_load_explicit(&board->base, memory_order_acquire);
    uint64_t staged = atomic_load_explicit(&board->staged, memory_order_acquire);

    *sane = staged >= base && staged - base <= POOL__STAGING_SIZE;
    return staged > received;
}

bool pool__board_claim(struct pool__board *board, uint32_t batch, uint32_t most, struct pool__claim *claim)
{
    _Atomic uint64_t *entry = &board->range[batch % POOL__FLIGHT];
    uint64_t word = atomic_load_explicit(entry, memory_order_acquire);
    uint32_t started = claim->batch == batch ? claim->next : 0;

    for (;;) {
        struct range range = range_of(word);

        if (range.next < started) /* the host is about to see that these have been */
            range.next = started;
        if (range.tag != (uint16_t)batch || range.next >= range.end)
            return false;
        claim->batch = batch;
        claim->next = range.next;
        range.next += range.end - range.next < most ? range.end - range.next : most;
        claim->end = range.next;
        claim->word = range_word(range);
        if (atomic_compare_exchange_weak_explicit(entry, &word, claim->word, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    }
}

/* The word's `next` becomes the claim's, wherever the host has put it meanwhile: the claim is over. */
static void correct_next(_Atomic uint64_t *entry, uint64_t word, struct pool__claim *claim)
{
    struct range range = range_of(word);

    while (range.tag == (uint16_t)claim->batch && range.next != claim->next && range.end >= claim->next) {
        range.next = claim->next;
        if (atomic_compare_exchange_weak_explicit(entry, &word, range_word(range), memory_order_acq_rel,
                                                  memory_order_acquire))
            break;
        range = range_of(word);
    }
    claim->end = claim->next;
}

/* A lowered `end` alone takes nothing that is claimed. */
bool pool__board_claim_lost(struct pool__board *board, struct pool__claim *claim)
{
    _Atomic uint64_t *entry = &board->range[claim->batch % POOL__FLIGHT];
    uint64_t word = atomic_load_explicit(entry, memory_order_acquire);
    struct range range = range_of(word);

    while (range.tag == (uint16_t)claim->batch && range.end > claim->next) {
        if (range.next > claim->next) {
            claim->word = word;
            claim->end = range.next < claim->end ? range.next : claim->end;
            return false;
        }
        range.next = claim->next + 1;
        if (atomic_compare_exchange_weak_explicit(entry, &word, range_word(range), memory_order_acq_rel,
                                                  memory_order_acquire))
            word = range_word(range);
        range = range_of(word);
    }
    claim->end = claim->next;
    return true;
}

void pool__board_give_back(struct pool__board *board, struct pool__claim *claim)
{
    _Atomic uint64_t *entry = &board->range[claim->batch % POOL__FLIGHT];

    if (claim->next < claim->end)
        correct_next(entry, atomic_load_explicit(entry, memory_order_acquire), claim);
}

/* Before the mark that publishes its first result. */
void pool__board_row_opened(struct pool__board *board, const struct pool__record *row)
{
    struct pool__place place;
    uint64_t shape = (uint64_t)row->each << 32 | (row->timed ? ROW_TIMED : 0) | (row->there ? ROW_THERE : 0);

    place.batch = row->batch;
    place.offset = row->offset;
    place.mark = POOL__MARK_RUN;
    atomic_store_explicit(&board->row_shape, shape, memory_order_release);
    atomic_store_explicit(&board->row, pool__place_word(place), memory_order_release);
}

/* After `staged`: until here the host may see the row twice, and knows it. */
void pool__board_row_closed(struct pool__board *board)
{
    atomic_store_explicit(&board->row, 0, memory_order_release);
}

void pool__board_mark_word(struct pool__board *board, uint64_t word)
{
    atomic_store_explicit(&board->running, word, memory_order_release);
}

bool pool__board_cancel_asked(const struct pool__board *board)
{
    struct pool__place asked = place_of(atomic_load_explicit(&board->cancel, memory_order_relaxed));
    struct pool__place mine = place_of(atomic_load_explicit(&board->running, memory_order_relaxed));

    if (asked.mark == POOL__MARK_ALL)
        return true;
    if (asked.batch != mine.batch)
        return false;
    return asked.mark == POOL__MARK_RUN ? asked.offset == mine.offset
                                        : asked.mark == POOL__CANCEL_UP_TO && mine.offset <= asked.offset;
}

bool pool__board_crash(const struct pool__board *board, struct pool__crash *copy)
{
    uint32_t stage = atomic_load_explicit(&board->crashed, memory_order_acquire);

    if (stage != POOL__CRASH_BEGUN && stage != POOL__CRASH_WHOLE)
        return false;
    memcpy(copy, &board->crash, sizeof *copy);
    if (stage == POOL__CRASH_BEGUN)
        copy->count = 0;
    return copy->count <= POOL__CRASH_CALLS;
}

void pool__board_tell_crash(struct pool__board *board, const struct pool__crash *crash)
{
    board->crash.signal = crash->signal;
    board->crash.kind = crash->kind;
    board->crash.value = crash->value;
    board->crash.counter = crash->counter;
    board->crash.stack = crash->stack;
    atomic_store_explicit(&board->crashed, POOL__CRASH_BEGUN, memory_order_release);
}

void pool__board_tell_calls(struct pool__board *board, const uintptr_t *calls, size_t count)
{
    size_t i;

    if (count > POOL__CRASH_CALLS)
        count = POOL__CRASH_CALLS;
    for (i = 0; i < count; i++)
        board->crash.calls[i] = calls[i];
    board->crash.count = count;
    atomic_store_explicit(&board->crashed, POOL__CRASH_WHOLE, memory_order_release);
}
