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

static uint64_t place_word(struct pool__place place)
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
    atomic_store(&board->cancel, 0);
    atomic_store(&board->hurry, 0);
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
    atomic_store_explicit(&board->cancel, place_word(place), memory_order_release);
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

bool pool__board_claim(struct pool__board *board, uint32_t batch, uint32_t *offset)
{
    _Atomic uint64_t *entry = &board->range[batch % POOL__FLIGHT];
    uint64_t word = atomic_load_explicit(entry, memory_order_acquire);

    for (;;) {
        struct range range = range_of(word);

        if (range.tag != (uint16_t)batch || range.next >= range.end)
            return false;
        *offset = range.next;
        range.next++;
        if (atomic_compare_exchange_weak_explicit(entry, &word, range_word(range), memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    }
}

void pool__board_mark(struct pool__board *board, uint32_t batch, uint32_t offset, enum pool__mark mark)
{
    struct pool__place place;

    place.batch = batch;
    place.offset = offset;
    place.mark = mark;
    atomic_store_explicit(&board->running, place_word(place), memory_order_release);
}

bool pool__board_cancel_asked(const struct pool__board *board)
{
    struct pool__place asked = place_of(atomic_load_explicit(&board->cancel, memory_order_relaxed));
    struct pool__place mine = place_of(atomic_load_explicit(&board->running, memory_order_relaxed));

    if (asked.mark == POOL__MARK_ALL)
        return true;
    return asked.mark == POOL__MARK_RUN && asked.batch == mine.batch && asked.offset == mine.offset;
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
