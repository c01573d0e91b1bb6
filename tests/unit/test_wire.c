/* Frames and records: every field there and back, nonsense refused, items found in their bodies; the decoder's news are the same however the stream is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "data/wire.h"

static uint64_t dice = 20261122;

static unsigned throw_dice(unsigned below)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice >> 33) % below;
}

/* ------------------------------------------------------------------ frames */

static const struct pool__frame a_batch = {POOL__FRAME_BATCH, 0x01020304, 0x050607, 0x11121314, 0x2122232425262720, 0x3132333435363738, 0x4142434445464748, 0x5152535455565758, 0x6162636465666768};

static void assert_frames_equal(const struct pool__frame *a, const struct pool__frame *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->batch, b->batch);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->attempt, b->attempt);
    assert_int_equal(a->body, b->body);
    assert_int_equal(a->function, b->function);
    assert_int_equal(a->shared, b->shared);
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->item_size, b->item_size);
}

static void every_field_of_a_frame_arrives(void **state)
{
    unsigned char bytes[POOL__FRAME_SIZE];
    struct pool__frame frame = a_batch, got;
    int kind;

    (void)state;
    for (kind = POOL__FRAME_BATCH; kind <= POOL__FRAME_STOP; kind++) {
        frame.kind = (enum pool__frame_kind)kind;
        frame.item_size = kind == POOL__FRAME_SHARED ? frame.body : a_batch.item_size;
        memset(bytes, 0xee, sizeof bytes);
        pool__frame_encode(bytes, &frame);
        assert_true(pool__frame_decode(bytes, &got));
        assert_frames_equal(&frame, &got);
    }
}

static bool decodes(const struct pool__frame *frame)
{
    unsigned char bytes[POOL__FRAME_SIZE];
    struct pool__frame got;

    pool__frame_encode(bytes, frame);
    return pool__frame_decode(bytes, &got);
}

static void frames_without_sense_are_refused(void **state)
{
    unsigned char bytes[POOL__FRAME_SIZE];
    struct pool__frame frame = a_batch, got;
    size_t i;

    (void)state;
    frame.kind = (enum pool__frame_kind)0;
    assert_false(decodes(&frame));
    frame.kind = (enum pool__frame_kind)(POOL__FRAME_STOP + 1);
    assert_false(decodes(&frame));
    frame = a_batch;
    frame.count = 0;
    assert_false(decodes(&frame));
    frame.count = POOL__BATCH_MAX;
    assert_true(decodes(&frame));
    frame.count = POOL__BATCH_MAX + 1;
    assert_false(decodes(&frame));
    frame = a_batch;
    frame.body += 8;
    assert_false(decodes(&frame));
    frame = a_batch;
    frame.kind = POOL__FRAME_SHARED;
    frame.item_size = frame.body;
    assert_true(decodes(&frame));
    frame.item_size = frame.body + 1;
    assert_false(decodes(&frame));
    pool__frame_encode(bytes, &a_batch);
    for (i = 56; i < POOL__FRAME_SIZE; i++) {
        bytes[i] = 1;
        assert_false(pool__frame_decode(bytes, &got));
        bytes[i] = 0;
    }
    memset(bytes, 0xff, sizeof bytes);
    assert_false(pool__frame_decode(bytes, &got));
}

/* ------------------------------------------------------------------ items in a body */

static struct pool__frame body_of(uint32_t count, uint64_t body, uint64_t item_size)
{
    struct pool__frame frame;

    memset(&frame, 0, sizeof frame);
    frame.kind = POOL__FRAME_BATCH;
    frame.count = count;
    frame.body = body;
    frame.item_size = item_size;
    return frame;
}

static void items_of_one_size_are_found(void **state)
{
    struct pool__frame frame = body_of(3, 32, 10);
    struct pool__cursor cursor = {0, 0};
    unsigned char body[32] = {0};
    const void *item;
    size_t size;
    uint32_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        assert_true(pool__frame_item(&frame, body, &cursor, i, &item, &size));
        assert_ptr_equal(item, body + (size_t)10 * i);
        assert_int_equal(size, 10);
    }
    assert_false(pool__frame_item(&frame, body, &cursor, 3, &item, &size));
}

static void items_beyond_the_body_are_refused(void **state)
{
    struct pool__frame frame = body_of(4, 32, 10);
    struct pool__cursor cursor = {0, 0};
    unsigned char body[32] = {0};
    const void *item;
    size_t size;

    (void)state;
    assert_true(pool__frame_item(&frame, body, &cursor, 2, &item, &size));
    assert_false(pool__frame_item(&frame, body, &cursor, 3, &item, &size));
    frame.item_size = UINT64_MAX - 1; /* larger than any memory, and not VARIES */
    assert_false(pool__frame_item(&frame, body, &cursor, 0, &item, &size));
}

static void items_of_no_size_are_found(void **state)
{
    struct pool__frame frame = body_of(1000, 0, 0);
    struct pool__cursor cursor = {0, 0};
    unsigned char body[1] = {0};
    const void *item;
    size_t size = 1;

    (void)state;
    assert_true(pool__frame_item(&frame, body, &cursor, 999, &item, &size));
    assert_int_equal(size, 0);
    assert_false(pool__frame_item(&frame, body, &cursor, 1000, &item, &size));
}

/* Sizes 5, 0, 16, 17: table 32, then 16 + 0 + 16 + 32. */
static const uint64_t sizes[] = {5, 0, 16, 17};
#define VARYING_BODY 96

static struct pool__frame varying(unsigned char body[VARYING_BODY])
{
    memset(body, 0, VARYING_BODY);
    memcpy(body, sizes, sizeof sizes);
    return body_of(4, VARYING_BODY, POOL__VARIES);
}

static void items_of_varying_sizes_are_found(void **state)
{
    static const size_t places[] = {32, 48, 48, 64};
    unsigned char body[VARYING_BODY];
    struct pool__frame frame = varying(body);
    struct pool__cursor cursor = {0, 0};
    const void *item;
    size_t size;
    uint32_t i;

    (void)state;
    assert_int_equal(pool__sizes_table(4), 32);
    assert_int_equal(pool__sizes_table(5), 48);
    for (i = 0; i < 4; i++) {
        assert_true(pool__frame_item(&frame, body, &cursor, i, &item, &size));
        assert_ptr_equal(item, body + places[i]);
        assert_int_equal(size, sizes[i]);
    }
    assert_false(pool__frame_item(&frame, body, &cursor, 1, &item, &size)); /* in order only */
}

static void items_may_be_left_out(void **state)
{
    unsigned char body[VARYING_BODY];
    struct pool__frame frame = varying(body);
    struct pool__cursor cursor = {0, 0};
    const void *item;
    size_t size;

    (void)state;
    assert_true(pool__frame_item(&frame, body, &cursor, 3, &item, &size));
    assert_ptr_equal(item, body + 64);
    assert_true(pool__frame_item(&frame, body, &cursor, 3, &item, &size));
}

/* One item's size is wrong: neither it nor any behind it is found; nothing outside of the body is looked at. */
static void wrong_sizes_are_refused(void **state)
{
    static const uint64_t wrong[] = {65, 1000, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63};
    unsigned char body[VARYING_BODY];
    struct pool__frame frame = varying(body);
    const void *item;
    size_t size, i;

    (void)state;
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pool__cursor cursor = {0, 0};

        memcpy(body, &wrong[i], 8);
        assert_false(pool__frame_item(&frame, body, &cursor, 0, &item, &size));
        assert_false(pool__frame_item(&frame, body, &cursor, 2, &item, &size));
    }
    frame.count = 13; /* the table itself is longer than the body */
    {
        struct pool__cursor cursor = {0, 0};

        assert_false(pool__frame_item(&frame, body, &cursor, 0, &item, &size));
    }
}

/* ------------------------------------------------------------------ records */

static const struct pool__record a_result = {POOL__RECORD_RESULT, POOL__HOW_FAILED, 0x01020304, 0x05060708, -7, 0x1112131415161718, 0x2122232425262728, 0x3132333435363738};

static void assert_records_equal(const struct pool__record *a, const struct pool__record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->how, b->how);
    assert_int_equal(a->batch, b->batch);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->start, b->start);
    assert_int_equal(a->run, b->run);
}

static void every_field_of_a_record_arrives(void **state)
{
    unsigned char bytes[POOL__RECORD_SIZE];
    struct pool__record record = a_result, got;
    int kind, how;

    (void)state;
    for (kind = POOL__RECORD_READY; kind <= POOL__RECORD_LEAVING; kind++) {
        for (how = POOL__HOW_OK; how < POOL__HOW_COUNT; how++) {
            record.kind = (enum pool__record_kind)kind;
            record.how = (enum pool__how)how;
            record.size = kind == POOL__RECORD_RESULT || kind == POOL__RECORD_START_FAILED ? a_result.size : 0;
            memset(bytes, 0xee, sizeof bytes);
            pool__record_encode(bytes, &record);
            assert_true(pool__record_decode(bytes, &got));
            assert_records_equal(&record, &got);
        }
    }
}

static void assert_byte_refused(size_t at, unsigned char value)
{
    unsigned char bytes[POOL__RECORD_SIZE];
    struct pool__record got;

    pool__record_encode(bytes, &a_result);
    assert_true(pool__record_decode(bytes, &got));
    bytes[at] = value;
    assert_false(pool__record_decode(bytes, &got));
}

static void records_without_sense_are_refused(void **state)
{
    struct pool__record record = a_result, got;
    unsigned char bytes[POOL__RECORD_SIZE];
    size_t i;

    (void)state;
    assert_byte_refused(0, 0);
    assert_byte_refused(0, POOL__RECORD_LEAVING + 1);
    assert_byte_refused(0, 255);
    assert_byte_refused(1, POOL__HOW_COUNT);
    assert_byte_refused(2, 1);
    assert_byte_refused(3, 1);
    for (i = 40; i < POOL__RECORD_SIZE; i++)
        assert_byte_refused(i, 1);
    record.size = UINT64_MAX;
    pool__record_encode(bytes, &record);
    assert_false(pool__record_decode(bytes, &got));
    record.size = 1;
    record.kind = POOL__RECORD_LEFT; /* has no payload */
    pool__record_encode(bytes, &record);
    assert_false(pool__record_decode(bytes, &got));
}

/* ------------------------------------------------------------------ the decoder */

#define STREAM_MAX 4096

/* What the decoder told, as one string of bytes: each record's offset, its payload, its end. */
struct news {
    unsigned char bytes[2 * STREAM_MAX];
    size_t size;
    bool nonsense;
};

static void add_news(struct news *news, const void *bytes, size_t size)
{
    assert_true(news->size + size <= sizeof news->bytes);
    memcpy(news->bytes + news->size, bytes, size);
    news->size += size;
}

static void feed(struct pool__decoder *decoder, struct news *news, const unsigned char *bytes, size_t size)
{
    const unsigned char *piece;
    size_t piece_size;

    while (!news->nonsense) {
        switch (pool__decoder_step(decoder, &bytes, &size, &piece, &piece_size)) {
        case POOL__DECODED_NOTHING:
            assert_int_equal(size, 0);
            return;
        case POOL__DECODED_RECORD:
            add_news(news, "record", 6);
            add_news(news, &decoder->record.offset, sizeof decoder->record.offset);
            break;
        case POOL__DECODED_PAYLOAD:
            assert_true(piece_size > 0);
            add_news(news, piece, piece_size);
            break;
        case POOL__DECODED_END:
            add_news(news, "end", 3);
            break;
        case POOL__DECODED_NONSENSE:
            news->nonsense = true;
            break;
        }
    }
}

static size_t put_record(unsigned char *at, uint32_t number, uint64_t size)
{
    struct pool__record record;
    uint64_t i;

    memset(&record, 0, sizeof record);
    record.kind = size > 0 || number % 2 == 0 ? POOL__RECORD_RESULT : POOL__RECORD_LEFT;
    record.offset = number;
    record.size = size;
    pool__record_encode(at, &record);
    memset(at + POOL__RECORD_SIZE, 0xdd, (size_t)pool__padded(size, POOL__RECORD_ALIGN));
    for (i = 0; i < size; i++)
        at[POOL__RECORD_SIZE + i] = (unsigned char)(number * 16 + i);
    return POOL__RECORD_SIZE + (size_t)pool__padded(size, POOL__RECORD_ALIGN);
}

static size_t make_stream(unsigned char *stream)
{
    static const uint64_t payloads[] = {0, 1, 15, 16, 17, 0, 31, 32, 100, 0};
    size_t size = 0;
    uint32_t i;

    for (i = 0; i < sizeof payloads / sizeof *payloads; i++)
        size += put_record(stream + size, i, payloads[i]);
    return size;
}

static void whole(const unsigned char *stream, size_t size, struct news *news)
{
    struct pool__decoder decoder;

    memset(&decoder, 0, sizeof decoder);
    memset(news, 0, sizeof *news);
    feed(&decoder, news, stream, size);
}

static void a_cut_anywhere_changes_nothing(void **state)
{
    unsigned char stream[STREAM_MAX];
    size_t size = make_stream(stream), cut;
    struct news expected, news;

    (void)state;
    whole(stream, size, &expected);
    assert_false(expected.nonsense);
    assert_true(expected.size > 10 * (6 + 4 + 3));
    for (cut = 0; cut <= size; cut++) {
        struct pool__decoder decoder;

        memset(&decoder, 0, sizeof decoder);
        memset(&news, 0, sizeof news);
        feed(&decoder, &news, stream, cut);
        feed(&decoder, &news, stream + cut, size - cut);
        assert_int_equal(news.size, expected.size);
        assert_memory_equal(news.bytes, expected.bytes, expected.size);
    }
}

static void many_cuts_change_nothing(void **state)
{
    unsigned char stream[STREAM_MAX];
    size_t size = make_stream(stream), at, step;
    struct news expected, news;
    unsigned round;

    (void)state;
    whole(stream, size, &expected);
    for (round = 0; round < 2000; round++) {
        unsigned most = 1 + throw_dice(round % 2 == 0 ? 4 : 90);
        struct pool__decoder decoder;

        memset(&decoder, 0, sizeof decoder);
        memset(&news, 0, sizeof news);
        for (at = 0; at < size; at += step) {
            step = throw_dice(most + 1);
            step = step > size - at ? size - at : step;
            feed(&decoder, &news, stream + at, step);
        }
        assert_int_equal(news.size, expected.size);
        assert_memory_equal(news.bytes, expected.bytes, expected.size);
    }
}

/* A record that is not complete has no end yet. */
static void nothing_ends_early(void **state)
{
    unsigned char stream[STREAM_MAX];
    size_t size = put_record(stream, 3, 17), cut;
    struct news news;

    (void)state;
    for (cut = 0; cut < size; cut++) {
        whole(stream, cut, &news);
        assert_true(news.size < 3 || memcmp(news.bytes + news.size - 3, "end", 3) != 0);
    }
    whole(stream, size, &news);
    assert_memory_equal(news.bytes + news.size - 3, "end", 3);
}

static void payload_may_be_read_by_others(void **state)
{
    unsigned char stream[STREAM_MAX];
    size_t size = put_record(stream, 1, 40), left, piece_size;
    const unsigned char *at = stream, *piece;
    struct pool__decoder decoder;

    (void)state;
    put_record(stream + size, 2, 0);
    memset(&decoder, 0, sizeof decoder);
    left = POOL__RECORD_SIZE + 5;
    assert_int_equal(pool__decoder_step(&decoder, &at, &left, &piece, &piece_size), POOL__DECODED_RECORD);
    assert_int_equal(pool__decoder_step(&decoder, &at, &left, &piece, &piece_size), POOL__DECODED_PAYLOAD);
    assert_int_equal(piece_size, 5);
    pool__decoder_skip(&decoder, 35);
    at += 35;
    left = 8 + POOL__RECORD_SIZE;
    assert_int_equal(pool__decoder_step(&decoder, &at, &left, &piece, &piece_size), POOL__DECODED_END);
    assert_int_equal(pool__decoder_step(&decoder, &at, &left, &piece, &piece_size), POOL__DECODED_RECORD);
    assert_int_equal(decoder.record.offset, 2);
}

static void nonsense_in_a_stream_is_told(void **state)
{
    unsigned char stream[STREAM_MAX];
    size_t size = make_stream(stream);
    struct news news;

    (void)state;
    memset(stream + size, 0xff, POOL__RECORD_SIZE);
    whole(stream, size + POOL__RECORD_SIZE - 1, &news);
    assert_false(news.nonsense);
    whole(stream, size + POOL__RECORD_SIZE, &news);
    assert_true(news.nonsense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_a_frame_arrives),
        cmocka_unit_test(frames_without_sense_are_refused),
        cmocka_unit_test(items_of_one_size_are_found),
        cmocka_unit_test(items_beyond_the_body_are_refused),
        cmocka_unit_test(items_of_no_size_are_found),
        cmocka_unit_test(items_of_varying_sizes_are_found),
        cmocka_unit_test(items_may_be_left_out),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(every_field_of_a_record_arrives),
        cmocka_unit_test(records_without_sense_are_refused),
        cmocka_unit_test(a_cut_anywhere_changes_nothing),
        cmocka_unit_test(many_cuts_change_nothing),
        cmocka_unit_test(nothing_ends_early),
        cmocka_unit_test(payload_may_be_read_by_others),
        cmocka_unit_test(nonsense_in_a_stream_is_told),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
