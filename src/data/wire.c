#include "data/wire.h"

#include <string.h>

static void put32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}
static void put64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

void pool__frame_encode(unsigned char bytes[POOL__FRAME_SIZE], const struct pool__frame *frame)
{
    put32(bytes, (uint32_t)frame->kind);
    put32(bytes + 4, frame->batch);
    put32(bytes + 8, frame->count);
    put32(bytes + 12, frame->attempt);
    put64(bytes + 16, frame->body);
    put64(bytes + 24, frame->function);
    put64(bytes + 32, frame->shared);
    put64(bytes + 40, frame->first);
    put64(bytes + 48, frame->item_size);
    put32(bytes + 56, frame->flags);
    put32(bytes + 60, 0);
}

#define PLACES    (POOL__FRAME_BODY_THERE | POOL__FRAME_RESULTS_THERE)
#define ALL_FLAGS (POOL__FRAME_TIMED | POOL__FRAME_BLOCKS | PLACES | POOL__FRAME_PIECES)

static bool has_places(const struct pool__frame *frame)
{
    return (frame->flags & PLACES) != 0;
}

bool pool__frame_decode(const unsigned char bytes[POOL__FRAME_SIZE], struct pool__frame *frame)
{
    uint32_t kind = get32(bytes);

    if (kind < POOL__FRAME_BATCH || kind > POOL__FRAME_STOP)
        return false;
    frame->kind = (enum pool__frame_kind)kind;
    frame->batch = get32(bytes + 4);
    frame->count = get32(bytes + 8);
    frame->attempt = get32(bytes + 12);
    frame->body = get64(bytes + 16);
    frame->function = get64(bytes + 24);
    frame->shared = get64(bytes + 32);
    frame->first = get64(bytes + 40);
    frame->item_size = get64(bytes + 48);
    frame->flags = get32(bytes + 56);
    if (get32(bytes + 60) != 0 || (frame->flags & ~ALL_FLAGS) != 0 || frame->body % POOL__FRAME_ALIGN != 0)
        return false;
    if (has_places(frame) && frame->body < POOL__PLACES_SIZE)
        return false;
    if ((frame->flags & POOL__FRAME_PIECES) != 0 &&
        (has_places(frame) || frame->item_size > frame->body || frame->count > 1))
        return false;
    if (frame->kind == POOL__FRAME_SHARED)
        return has_places(frame) || frame->item_size <= frame->body;
    return frame->kind != POOL__FRAME_BATCH || (frame->count > 0 && frame->count <= POOL__BATCH_MAX);
}

void pool__places_encode(unsigned char bytes[POOL__PLACES_SIZE], const struct pool__places *places)
{
    put64(bytes, places->items);
    put64(bytes + 8, places->results);
    put64(bytes + 16, places->result_size);
    put64(bytes + 24, 0);
}

static void decode_places(const unsigned char bytes[POOL__PLACES_SIZE], struct pool__places *places)
{
    places->items = get64(bytes);
    places->results = get64(bytes + 8);
    places->result_size = get64(bytes + 16);
}

const unsigned char *pool__frame_body(struct pool__frame *frame, const unsigned char *body, struct pool__places *places)
{
    uint64_t count = frame->kind == POOL__FRAME_BATCH ? frame->count : 1;

    memset(places, 0, sizeof *places);
    if (!has_places(frame))
        return body;
    decode_places(body, places);
    frame->body -= POOL__PLACES_SIZE;
    if ((frame->flags & POOL__FRAME_BODY_THERE) == 0)
        return body + POOL__PLACES_SIZE;
    if (frame->body != 0 || frame->item_size > SIZE_MAX / 2 / count)
        return NULL;
    frame->body = frame->item_size * count;
    return (const unsigned char *)(uintptr_t)places->items;
}

/* Without a division where it can be: this is asked for each item. */
static bool lies_in(uint64_t size, uint32_t offset, uint64_t body)
{
    return size >> 32 == 0 ? (offset + UINT64_C(1)) * size <= body : offset < body / size;
}

static bool item_of_fixed_size(const struct pool__frame *frame, const unsigned char *body, uint32_t offset,
                               const void **item, size_t *size)
{
    if (!lies_in(frame->item_size, offset, frame->body))
        return false;
    *item = body + (size_t)offset * (size_t)frame->item_size;
    *size = (size_t)frame->item_size;
    return true;
}

/* The size of the item that the cursor stands at, and what it takes; false where it would not lie in the body. */
static bool size_at(const struct pool__frame *frame, const unsigned char *body, const struct pool__cursor *cursor,
                    uint64_t *size)
{
    uint64_t left = frame->body - pool__sizes_table(frame->count) - cursor->passed;

    *size = get64(body + (size_t)cursor->offset * 8);
    return *size <= left && pool__padded(*size, POOL__FRAME_ALIGN) <= left;
}

bool pool__frame_item_of_any_size(const struct pool__frame *frame, const unsigned char *body,
                                  struct pool__cursor *cursor, uint32_t offset, const void **item, size_t *size)
{
    uint64_t bytes;

    if (offset >= frame->count)
        return false;
    if (frame->item_size != POOL__VARIES)
        return item_of_fixed_size(frame, body, offset, item, size);
    if (pool__sizes_table(frame->count) > frame->body || offset < cursor->offset)
        return false;
    for (; cursor->offset < offset; cursor->offset++) {
        if (!size_at(frame, body, cursor, &bytes))
            return false;
        cursor->passed += pool__padded(bytes, POOL__FRAME_ALIGN);
    }
    if (!size_at(frame, body, cursor, &bytes))
        return false;
    *item = body + pool__sizes_table(frame->count) + cursor->passed;
    *size = (size_t)bytes;
    return true;
}

void pool__record_encode(unsigned char bytes[POOL__RECORD_SIZE], const struct pool__record *record)
{
    bytes[0] = (unsigned char)record->kind;
    bytes[1] = record->kind == POOL__RECORD_ROW ? record->timed : (unsigned char)record->how;
    bytes[2] = record->there;
    bytes[3] = 0;
    put32(bytes + 4, record->batch);
    put32(bytes + 8, record->offset);
    put32(bytes + 12, (uint32_t)record->code);
    put64(bytes + 16, record->size);
    put64(bytes + 24, record->start);
    put64(bytes + 32, record->run);
    put32(bytes + 40, record->count);
    put32(bytes + 44, record->each);
}

/* The payload of a row is as long as its shape says, and not longer than what can be staged. */
static bool is_row(const struct pool__record *record)
{
    return record->count > 0 && record->count <= POOL__BATCH_MAX && record->each <= POOL__ROW_EACH &&
           record->size == pool__padded((uint64_t)record->count * pool__row_stride(record->each, record->timed),
                                        POOL__RECORD_ALIGN);
}

static bool may_be_there(const struct pool__record *record)
{
    if (record->kind == POOL__RECORD_ROW)
        return record->each == 0;
    return record->kind == POOL__RECORD_RESULT && record->how == POOL__HOW_OK && record->size == 0;
}

bool pool__record_decode(const unsigned char bytes[POOL__RECORD_SIZE], struct pool__record *record)
{
    if (bytes[0] < POOL__RECORD_READY || bytes[0] > POOL__RECORD_LEAVING || bytes[1] >= POOL__HOW_COUNT ||
        bytes[2] > 1 || bytes[3] != 0)
        return false;
    record->kind = (enum pool__record_kind)bytes[0];
    record->timed = record->kind == POOL__RECORD_ROW && bytes[1] == 1;
    record->how = record->kind == POOL__RECORD_ROW ? POOL__HOW_OK : (enum pool__how)bytes[1];
    record->there = bytes[2] == 1;
    record->count = get32(bytes + 40);
    record->each = get32(bytes + 44);
    record->batch = get32(bytes + 4);
    record->offset = get32(bytes + 8);
    record->code = (int32_t)get32(bytes + 12);
    record->size = get64(bytes + 16);
    record->start = get64(bytes + 24);
    record->run = get64(bytes + 32);
    if (record->there && !may_be_there(record))
        return false;
    if (record->kind == POOL__RECORD_ROW)
        return bytes[1] <= 1 && is_row(record);
    if (record->size > UINT64_MAX / 2 || record->count != 0 || record->each != 0)
        return false;
    return record->size == 0 || record->kind == POOL__RECORD_RESULT || record->kind == POOL__RECORD_START_FAILED;
}

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

static void consume(const unsigned char **bytes, size_t *size, size_t count)
{
    *bytes += count;
    *size -= count;
}

/* The record is over when nothing of it is left to come: `have` back at 0 makes way for the next. */
static enum pool__decoded finish(struct pool__decoder *decoder)
{
    decoder->have = 0;
    return POOL__DECODED_END;
}

enum pool__decoded pool__decoder_step(struct pool__decoder *decoder, const unsigned char **bytes, size_t *size,
                                      const unsigned char **piece, size_t *piece_size)
{
    size_t count;

    if (decoder->have < POOL__RECORD_SIZE) {
        count = least(POOL__RECORD_SIZE - decoder->have, *size);
        memcpy(decoder->head + decoder->have, *bytes, count);
        decoder->have += count;
        consume(bytes, size, count);
        if (decoder->have < POOL__RECORD_SIZE)
            return POOL__DECODED_NOTHING;
        if (!pool__record_decode(decoder->head, &decoder->record))
            return POOL__DECODED_NONSENSE;
        decoder->payload_left = decoder->record.size;
        decoder->padding_left = pool__padded(decoder->record.size, POOL__RECORD_ALIGN) - decoder->record.size;
        return POOL__DECODED_RECORD;
    }
    if (decoder->payload_left > 0) {
        if (*size == 0)
            return POOL__DECODED_NOTHING;
        count = least(decoder->payload_left, *size);
        *piece = *bytes;
        *piece_size = count;
        decoder->payload_left -= count;
        consume(bytes, size, count);
        return POOL__DECODED_PAYLOAD;
    }
    count = least(decoder->padding_left, *size);
    decoder->padding_left -= count;
    consume(bytes, size, count);
    return decoder->padding_left == 0 ? finish(decoder) : POOL__DECODED_NOTHING;
}

void pool__decoder_skip(struct pool__decoder *decoder, uint64_t size)
{
    decoder->payload_left -= size;
}
