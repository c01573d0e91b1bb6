/* Frames and records: every field there and back, nonsense refused, items found in their bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/wire.h"

/* ------------------------------------------------------------------ frames */

static const struct pool__frame a_batch = {POOL__FRAME_BATCH,  0x01020304,         0x050607,
                                           0x11121314,         POOL__FRAME_TIMED,  0x2122232425262720, 0x3132333435363738,
                                           0x4142434445464748, 0x5152535455565758, 0x6162636465666768};

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
    frame.flags = POOL__FRAME_PIECES; /* more bytes that count than there are */
    assert_false(decodes(&frame));
    frame.item_size = frame.body;
    frame.count = 1;
    assert_true(decodes(&frame));
    frame.flags |= POOL__FRAME_RESULTS_THERE; /* they would have places before them */
    assert_false(decodes(&frame));
    frame.flags = POOL__FRAME_PIECES | POOL__FRAME_BODY_THERE;
    assert_false(decodes(&frame));
    frame.flags = POOL__FRAME_PIECES;
    frame.kind = POOL__FRAME_BATCH;
    assert_true(decodes(&frame));
    frame.count = 2;
    assert_false(decodes(&frame));
    frame.count = 1;
    frame.item_size = POOL__VARIES;
    assert_false(decodes(&frame));
    pool__frame_encode(bytes, &a_batch);
    for (i = 56; i < POOL__FRAME_SIZE; i++) {
        unsigned char before = bytes[i];

        bytes[i] = i == 56 ? 32 : 1; /* no such flag */
        assert_false(pool__frame_decode(bytes, &got));
        bytes[i] = before;
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

/* No frame that decodes has such a body: that the padding would lie outside is seen even so. */
static void padding_outside_of_the_body_is_refused(void **state)
{
    struct pool__frame frame = body_of(1, 40, POOL__VARIES);
    struct pool__cursor cursor = {0, 0};
    unsigned char body[40] = {24};
    const void *item;
    size_t size;

    (void)state;
    assert_false(pool__frame_item(&frame, body, &cursor, 0, &item, &size));
    frame.body = 48;
    assert_true(pool__frame_item(&frame, body, &cursor, 0, &item, &size));
    assert_int_equal(size, 24);
}

/* ------------------------------------------------------------------ records */

static const struct pool__record a_result = {POOL__RECORD_RESULT, POOL__HOW_FAILED,   false, 0x01020304,        0x05060708, -7,
                                             0x1112131415161718,  0x2122232425262728, 0x3132333435363738, 0, 0, false};

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
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->each, b->each);
    assert_int_equal(a->timed, b->timed);
}

/* A row has no `how`: all its items ended well. */
static void shape_row(struct pool__record *record, uint32_t count, uint32_t each, bool timed)
{
    record->how = POOL__HOW_OK;
    record->count = count;
    record->each = each;
    record->timed = timed;
    record->size = pool__padded((uint64_t)count * pool__row_stride(each, timed), POOL__RECORD_ALIGN);
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
            record.count = record.each = 0;
            record.timed = false;
            if (kind == POOL__RECORD_ROW)
                shape_row(&record, 3 + (uint32_t)how, 5, how % 2 == 1);
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
        cmocka_unit_test(padding_outside_of_the_body_is_refused),
        cmocka_unit_test(every_field_of_a_record_arrives),
        cmocka_unit_test(records_without_sense_are_refused),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
