/* The host's end of a result stream: its news are the same however the stream is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/wire.h"

static uint64_t dice = 20261122;

static unsigned throw_dice(unsigned below)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice >> 33) % below;
}

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
        cmocka_unit_test(a_cut_anywhere_changes_nothing),
        cmocka_unit_test(many_cuts_change_nothing),
        cmocka_unit_test(nothing_ends_early),
        cmocka_unit_test(payload_may_be_read_by_others),
        cmocka_unit_test(nonsense_in_a_stream_is_told),
    };

    return cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
}
