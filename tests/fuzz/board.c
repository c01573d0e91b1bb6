/*
 * board - a board on which anything may stand: whatever the host asks of it, it looks at its own part only, gives
 * nothing where the words make no sense, and no more than it was told to otherwise.
 *
 *   input   steps: what (1 byte), and what that takes
 */
#include "../support/open_row.h"
#include "../support/claim_one.h"
#include "support/input.h"

#include "data/board.h"

#define WORDS (sizeof(struct pool__board) / 8)

struct range {
    uint16_t tag;
    uint32_t end, next;
};

static struct range range_at(const struct pool__board *board, uint32_t batch)
{
    uint64_t word = atomic_load(&board->range[batch % POOL__FLIGHT]);
    struct range range = {(uint16_t)(word >> 48), (uint32_t)(word >> 24) & POOL__BATCH_MAX,
                          (uint32_t)word & POOL__BATCH_MAX};

    return range;
}

static bool makes_sense(struct range range, uint32_t batch, uint32_t end)
{
    return range.tag == (uint16_t)batch && range.end == end && range.next <= end;
}

/* Numbers that are near each other, so that some of them fit together; now and then any. */
static uint32_t take_number(struct input *input)
{
    uint8_t small = take8(input);

    return small < 200 ? small % 8 : small < 240 ? small : take32(input);
}

static void write_word(struct pool__board *board, struct input *input)
{
    uint16_t which = take16(input);
    uint64_t word = take64(input);
    uint32_t batch, end, next;

    if (which % 4 == 0) {
        memcpy((unsigned char *)board + (size_t)(which / 4 % WORDS) * 8, &word, sizeof word);
    } else if (which % 4 == 1) {
        batch = take_number(input);
        end = take_number(input) & POOL__BATCH_MAX;
        next = take_number(input) & POOL__BATCH_MAX;
        atomic_store(&board->range[batch % POOL__FLIGHT], (uint64_t)(uint16_t)batch << 48 | (uint64_t)end << 24 | next);
    } else if (which % 4 == 2) {
        pool__board_mark(board, take_number(input), take_number(input), (enum pool__mark)(word % 4));
    } else {
        atomic_store(&board->base, word);
        atomic_store(&board->staged, word + take_number(input) * UINT64_C(300));
    }
}

/* That nothing but one word has changed. */
static void check_rest(const struct pool__board *board, const struct pool__board *before, const void *word)
{
    size_t at = word != NULL ? (size_t)((const unsigned char *)word - (const unsigned char *)board) : sizeof *board - 8;

    MUST(memcmp(board, before, at) == 0);
    MUST(memcmp((const unsigned char *)board + at + 8, (const unsigned char *)before + at + 8,
                sizeof *board - at - 8) == 0);
}

static void take_back(struct pool__board *board, struct pool__board *before, struct input *input)
{
    uint32_t batch = take_number(input), was = take_number(input) & POOL__BATCH_MAX, keep = take_number(input);
    uint32_t end = was, taken;
    struct range range = range_at(board, batch);
    bool sane = !makes_sense(range, batch, was);

    memcpy(before, board, sizeof *board);
    taken = pool__board_take_back(board, batch, &end, keep, &sane);
    MUST(sane == makes_sense(range, batch, was));
    MUST(end == was - taken && taken <= was);
    check_rest(board, before, &board->range[batch % POOL__FLIGHT]);
    if (!sane || was - range.next <= keep) {
        MUST(taken == 0);
        check_rest(board, before, NULL);
        return;
    }
    MUST(end == range.next + keep);
    range = range_at(board, batch);
    MUST(makes_sense(range, batch, end));
}

static void ask_claimed(struct pool__board *board, struct input *input)
{
    uint32_t batch = take_number(input), end = take_number(input) & POOL__BATCH_MAX, claimed = 0;
    bool sane = pool__board_claimed(board, batch, end, &claimed);

    MUST(sane == makes_sense(range_at(board, batch), batch, end));
    MUST(!sane || claimed <= end);
}

static void salvage(struct pool__board *board, struct pool__board *before, struct input *input)
{
    uint64_t base = atomic_load(&board->base), staged = atomic_load(&board->staged);
    uint64_t received = base + take_number(input) * UINT64_C(129);
    size_t room = take_number(input) * (size_t)131 % (2 * POOL__BOARD_SIZE), got;
    unsigned char *copy = malloc(room + 1);

    MUST(copy != NULL);
    if (take8(input) % 8 == 0)
        received = take64(input);
    memcpy(before, board, sizeof *board);
    got = pool__board_salvage(board, received, copy, room);
    MUST(got <= room && (got == 0 || staged - base <= POOL__STAGING_SIZE));
    MUST(got == 0 || (received >= base && received < staged && got <= staged - received));
    MUST(got == 0 || memcmp(copy, board->staging + (received - base), got) == 0);
    MUST(memcmp(board, before, sizeof *board) == 0);
    free(copy);
}

static void ask_running(struct pool__board *board, struct input *input)
{
    struct pool__place place = pool__board_running(board);

    MUST(place.offset <= POOL__BATCH_MAX && place.mark <= POOL__MARK_ALL);
    if (take8(input) % 2 == 0)
        place.batch = take_number(input);
    place.mark = (enum pool__mark)(take8(input) % 4);
    pool__board_ask_cancel(board, place);
    if (place.mark == POOL__MARK_ALL)
        MUST(pool__board_cancel_asked(board));
    if (place.mark == POOL__MARK_NONE)
        MUST(!pool__board_cancel_asked(board));
}

/* A worker's claims, on a word that the host may be lowering. */
static void claim(struct pool__board *board, struct pool__board *before, struct input *input)
{
    uint32_t batch = take_number(input), offset = 0;
    struct range range = range_at(board, batch);
    bool there = range.tag == (uint16_t)batch && range.next < range.end;

    memcpy(before, board, sizeof *board);
    MUST(claim_one(board, batch, &offset) == there);
    check_rest(board, before, &board->range[batch % POOL__FLIGHT]);
    if (!there)
        return;
    MUST(offset == range.next);
    range = range_at(board, batch);
    MUST(range.next == offset + 1 && range.tag == (uint16_t)batch);
}

/* The open row: within staging, of what the mark has published, and nothing where the words make no sense. */
static void ask_open_row(struct pool__board *board, struct pool__board *before, struct input *input)
{
    uint64_t base = atomic_load(&board->base), staged = atomic_load(&board->staged), from;
    uint32_t batch = take_number(input), done = take_number(input);
    size_t room = take_number(input) * (size_t)131 % (2 * POOL__BOARD_SIZE), stride, size;
    unsigned char *copy = malloc(room + 1);
    struct pool__place mark = pool__board_running(board);
    struct pool__record record;

    MUST(copy != NULL);
    memcpy(before, board, sizeof *board);
    if (pool__board_open_row(board, take8(input) % 8 != 0 ? staged : take64(input), batch, done, &record, copy, room)) {
        stride = pool__row_stride(record.each, record.timed);
        MUST(record.kind == POOL__RECORD_ROW && record.batch == batch && mark.batch == batch);
        MUST(record.offset <= done && done - record.offset < record.count && record.each <= POOL__ROW_EACH);
        MUST(record.offset + record.count == mark.offset + (mark.mark == POOL__MARK_DONE));
        MUST((uint32_t)(atomic_load(&board->row) >> 8 & POOL__BATCH_MAX) == record.offset);
        from = staged - base + POOL__RECORD_SIZE + (done - record.offset) * stride;
        size = (record.offset + record.count - done) * stride;
        MUST(staged >= base && from <= POOL__STAGING_SIZE && size <= POOL__STAGING_SIZE - from && size <= room);
        MUST(memcmp(copy, board->staging + from, size) == 0);
    }
    MUST(memcmp(board, before, sizeof *board) == 0);
    free(copy);
}

static void write_row(struct pool__board *board, struct input *input)
{
    uint32_t batch = take_number(input), first = take_number(input), each = take_number(input);

    open_row_at(board, batch, first, each, take8(input) % 2 != 0);
    if (take8(input) % 8 == 0)
        atomic_store(&board->row_shape, take64(input));
    if (take8(input) % 8 == 0)
        pool__board_row_closed(board);
}

static struct pool__claim several;

/* Claims of several, while the host, or anybody, moves the word. */
static void claim_several(struct pool__board *board, struct pool__board *before, struct input *input)
{
    uint32_t batch = take_number(input), most = 1 + take_number(input) % 70, was_next, was_end, end;
    uint8_t what = take8(input);

    memcpy(before, board, sizeof *board);
    if (what % 4 == 0) {
        memset(&several, 0, sizeof several);
        batch = pool__board_claim(board, batch, most, &several) ? batch : 0;
        MUST(batch == 0 || (several.end > several.next && several.end - several.next <= most && several.batch == batch));
        MUST(batch == 0 || several.end <= range_at(board, batch).end);
    } else if (what % 4 == 1) {
        was_next = several.next;
        was_end = several.end;
        if (pool__board_may_start(board, &several))
            MUST(several.next == was_next && several.end <= was_end);
        else
            MUST(several.next == was_next && several.end == was_next);
        if (several.next < several.end)
            several.next++;
    } else if (what % 4 == 2) {
        pool__board_give_back(board, &several);
        MUST(several.next >= several.end);
    } else {
        end = take_number(input) & POOL__BATCH_MAX;
        batch = what / 4 % 2 != 0 ? several.batch : batch;
        was_next = range_at(board, batch).next;
        if (pool__board_move_claim(board, batch, end, was_next, most))
            MUST(range_at(board, batch).next == most && makes_sense(range_at(board, batch), batch, end) == (most <= end));
        check_rest(board, before, &board->range[batch % POOL__FLIGHT]);
        return;
    }
    check_rest(board, before, &board->range[several.batch % POOL__FLIGHT]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pool__board *board, *before;
    struct input input = {data, size};
    unsigned steps;

    if (board == NULL) {
        board = aligned_alloc(64, sizeof *board);
        before = aligned_alloc(64, sizeof *before);
        MUST(board != NULL && before != NULL);
        memset(board, 0, sizeof *board);
    }
    memset(board, 0x5a, sizeof *board - sizeof board->staging);
    pool__board_clear(board);
    memset(&several, 0, sizeof several);
    for (steps = 0; steps < 64 && input.left > 0; steps++) {
        switch (take8(&input) % 11) {
        case 0:
        case 1:
            write_word(board, &input);
            break;
        case 2:
            take_back(board, before, &input);
            break;
        case 3:
            ask_claimed(board, &input);
            break;
        case 4:
            salvage(board, before, &input);
            break;
        case 5:
            ask_running(board, &input);
            break;
        case 6:
            claim(board, before, &input);
            break;
        case 7:
            ask_open_row(board, before, &input);
            break;
        case 8:
            write_row(board, &input);
            break;
        case 9:
            claim_several(board, before, &input);
            break;
        default:
            pool__board_open(board, take_number(&input), 1 + take_number(&input) % POOL__BATCH_MAX);
        }
    }
    return 0;
}
