/*
 * records - the host's end of a result stream, any bytes, cut anywhere: the same news for every cut, all of it within
 * what was given, and each record's payload as long as was announced.
 *
 *   input   how many cuts (1 byte), their lengths (1 byte each), the stream
 */
#include "support/input.h"

#include "data/wire.h"

/* What the decoder told, as one string of bytes: each record's fields, its payload, its end. */
struct news {
    unsigned char *bytes;
    size_t size, room, steps, payload;
    bool nonsense;
};

static void add_news(struct news *news, const void *bytes, size_t size)
{
    MUST(size <= news->room - news->size);
    if (size > 0)
        memcpy(news->bytes + news->size, bytes, size);
    news->size += size;
}

/* A record says all that its bytes do. */
static void add_record(struct news *news, const struct pool__decoder *decoder)
{
    const struct pool__record *record = &decoder->record;
    unsigned char again[POOL__RECORD_SIZE];

    MUST(record->kind >= POOL__RECORD_READY && record->kind <= POOL__RECORD_LEAVING && record->how < POOL__HOW_COUNT);
    MUST(record->size == 0 || record->kind == POOL__RECORD_RESULT || record->kind == POOL__RECORD_START_FAILED ||
         record->kind == POOL__RECORD_ROW);
    if (record->kind == POOL__RECORD_ROW) {
        size_t stride = record->each + (record->timed ? 8u : 0u);

        MUST(record->how == POOL__HOW_OK && record->count > 0 && record->count <= POOL__BATCH_MAX);
        MUST(record->each <= POOL__ROW_EACH && stride == pool__row_stride(record->each, record->timed));
        MUST(record->size >= record->count * stride && record->size < record->count * stride + POOL__RECORD_ALIGN);
    }
    MUST(pool__padded(record->size, POOL__RECORD_ALIGN) >= record->size);
    pool__record_encode(again, record);
    MUST(memcmp(again, decoder->head, sizeof again) == 0);
    MUST(decoder->payload_left == record->size);
    add_news(news, "r", 1);
    add_news(news, again, sizeof again);
    news->payload = 0;
}

static void feed(struct pool__decoder *decoder, struct news *news, const unsigned char *stream, size_t size)
{
    unsigned char *copy = exact_copy(stream, size);
    const unsigned char *at = copy, *piece = NULL;
    size_t left = size, piece_size = 0;
    bool more = true;

    while (more && !news->nonsense) {
        MUST(news->steps++ <= 8 * news->room);
        switch (pool__decoder_step(decoder, &at, &left, &piece, &piece_size)) {
        case POOL__DECODED_NOTHING:
            MUST(left == 0);
            more = false;
            break;
        case POOL__DECODED_RECORD:
            add_record(news, decoder);
            break;
        case POOL__DECODED_PAYLOAD:
            MUST(piece_size > 0 && piece >= copy && piece + piece_size <= copy + size);
            news->payload += piece_size;
            add_news(news, piece, piece_size);
            break;
        case POOL__DECODED_END:
            MUST(news->payload == decoder->record.size);
            add_news(news, "e", 1);
            break;
        case POOL__DECODED_NONSENSE:
            news->nonsense = true;
            break;
        }
        MUST(at + left == copy + size);
    }
    free(copy);
}

static void begin(struct news *news, struct pool__decoder *decoder, size_t size)
{
    memset(decoder, 0, sizeof *decoder);
    memset(news, 0, sizeof *news);
    news->room = 2 * size + 64;
    MUST((news->bytes = malloc(news->room)) != NULL);
}

static void whole(struct news *news, const unsigned char *stream, size_t size)
{
    struct pool__decoder decoder;

    begin(news, &decoder, size);
    feed(&decoder, news, stream, size);
}

/* Pieces of the lengths that the cuts say, over and over; a cut of 0 bytes is one too. */
static void in_pieces(struct news *news, const unsigned char *stream, size_t size, const unsigned char *cuts,
                      size_t cut_count)
{
    struct pool__decoder decoder;
    size_t at = 0, step, i;

    begin(news, &decoder, size);
    for (i = 0; at < size; at += step, i++) {
        step = i % (cut_count + 1) == cut_count ? 1 : cuts[i % (cut_count + 1)];
        step = step > size - at ? size - at : step;
        feed(&decoder, news, stream + at, step);
    }
}

/* Payload read by others, as large payloads are: the rest of the stream means what it did. */
static void payload_elsewhere(struct news *news, const unsigned char *stream, size_t size)
{
    const unsigned char *at = stream, *piece = NULL;
    size_t left = size, piece_size = 0;
    struct pool__decoder decoder;
    enum pool__decoded told;

    begin(news, &decoder, size);
    while ((told = pool__decoder_step(&decoder, &at, &left, &piece, &piece_size)) != POOL__DECODED_NOTHING) {
        uint64_t skip = decoder.payload_left < left ? decoder.payload_left : left;

        MUST(told != POOL__DECODED_PAYLOAD);
        if (told == POOL__DECODED_NONSENSE) {
            news->nonsense = true;
            break;
        }
        if (told == POOL__DECODED_END) {
            add_news(news, "e", 1);
            continue;
        }
        add_record(news, &decoder);
        add_news(news, at, (size_t)skip);
        pool__decoder_skip(&decoder, skip);
        at += skip;
        left -= (size_t)skip;
    }
}

static void compare(struct news *news, const struct news *expected)
{
    MUST(news->nonsense == expected->nonsense && news->size == expected->size);
    MUST(memcmp(news->bytes, expected->bytes, expected->size) == 0);
    free(news->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    size_t cut_count = take8(&input) % 16;
    unsigned char cuts[16];
    struct news expected, news;

    take(&input, cuts, cut_count);
    whole(&expected, input.at, input.left);
    in_pieces(&news, input.at, input.left, cuts, cut_count);
    compare(&news, &expected);
    in_pieces(&news, input.at, input.left, cuts, 0);
    compare(&news, &expected);
    payload_elsewhere(&news, input.at, input.left);
    compare(&news, &expected);
    free(expected.bytes);
    return 0;
}
