/* Places in the arena, on the wire and on the board: where items lie, where results go, and what says that they are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/board.h"
#include "data/wire.h"

/* ------------------------------------------------------------------ frames */

/* Through bytes and back; then the body that the worker would look at. */
static const unsigned char *body_of(struct pool__frame *frame, const struct pool__places *places, unsigned char *bytes)
{
    bool any = frame->flags != 0;
    struct pool__places got;
    const unsigned char *body;

    pool__places_encode(bytes, places);
    body = pool__frame_body(frame, bytes, &got);
    assert_int_equal(got.items, any ? places->items : 0);
    assert_int_equal(got.results, any ? places->results : 0);
    assert_int_equal(got.result_size, any ? places->result_size : 0);
    return body;
}

static struct pool__frame placed(uint32_t count, uint64_t item_size, uint32_t flags, uint64_t body)
{
    struct pool__frame frame;

    memset(&frame, 0, sizeof frame);
    frame.kind = POOL__FRAME_BATCH;
    frame.count = count;
    frame.item_size = item_size;
    frame.flags = flags;
    frame.body = body;
    return frame;
}

static void places_say_where_things_lie(void **state)
{
    static long items[5];
    const struct pool__places places = {(uintptr_t)items, 0x123450, 24};
    struct pool__frame frame = placed(5, sizeof(long), POOL__FRAME_BODY_THERE | POOL__FRAME_RESULTS_THERE, 32);
    struct pool__cursor cursor = {0, 0};
    unsigned char bytes[96];
    const unsigned char *body = body_of(&frame, &places, bytes);
    const void *item;
    size_t size;

    (void)state;
    assert_ptr_equal(body, items);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(pool__frame_item(&frame, body, &cursor, i, &item, &size));
        assert_ptr_equal(item, &items[i]);
        assert_int_equal(size, sizeof(long));
    }
    assert_false(pool__frame_item(&frame, body, &cursor, 5, &item, &size));
    frame = placed(4, 16, POOL__FRAME_RESULTS_THERE, 96); /* the items follow the places */
    assert_ptr_equal(body_of(&frame, &places, bytes), bytes + POOL__PLACES_SIZE);
    assert_int_equal(frame.body, 64);
    frame = placed(4, 16, 0, 64); /* neither: the body is what it was */
    assert_ptr_equal(body_of(&frame, &places, bytes), bytes);
    assert_int_equal(frame.body, 64);
    frame = placed(0, 1000, POOL__FRAME_BODY_THERE, 32);
    frame.kind = POOL__FRAME_SHARED;
    assert_ptr_equal(body_of(&frame, &places, bytes), items);
    assert_int_equal(frame.body, 1000);
}

static void places_without_sense_are_refused(void **state)
{
    const struct pool__places places = {0x1000, 0x2000, 8};
    unsigned char bytes[POOL__FRAME_SIZE];
    struct pool__frame frame = placed(5, 8, POOL__FRAME_BODY_THERE, 48), got; /* bytes besides */

    (void)state;
    assert_null(body_of(&frame, &places, bytes));
    frame = placed(5, SIZE_MAX / 4, POOL__FRAME_BODY_THERE, 32);
    assert_null(body_of(&frame, &places, bytes));
    frame = placed(5, POOL__VARIES, POOL__FRAME_BODY_THERE, 32);
    assert_null(body_of(&frame, &places, bytes));
    frame = placed(5, 8, POOL__FRAME_RESULTS_THERE, 16); /* no room for them */
    pool__frame_encode(bytes, &frame);
    assert_false(pool__frame_decode(bytes, &got));
    frame.body = 32;
    pool__frame_encode(bytes, &frame);
    assert_true(pool__frame_decode(bytes, &got));
    assert_int_equal(got.flags, POOL__FRAME_RESULTS_THERE);
}

/* An item is looked for by its end: sizes at which that would be past all numbers. */
static void huge_items_are_found_where_they_lie(void **state)
{
    const struct pool__places places = {0x1000, 0, 0};
    struct pool__frame frame = placed(3, UINT64_C(1) << 40, POOL__FRAME_BODY_THERE, 32);
    struct pool__cursor cursor = {0, 0};
    unsigned char bytes[POOL__PLACES_SIZE];
    const unsigned char *body = body_of(&frame, &places, bytes);
    const void *item;
    size_t size;

    (void)state;
    assert_true(pool__frame_item(&frame, body, &cursor, 2, &item, &size));
    assert_int_equal((uintptr_t)item, 0x1000 + (UINT64_C(2) << 40));
    frame.body--;
    assert_false(pool__frame_item(&frame, body, &cursor, 2, &item, &size));
    frame = placed(2, UINT64_C(1) << 62, 0, UINT64_C(1) << 62);
    assert_true(pool__frame_item(&frame, body, &cursor, 0, &item, &size));
    assert_false(pool__frame_item(&frame, body, &cursor, 1, &item, &size));
}

/* ------------------------------------------------------------------ records */

static bool decodes(const struct pool__record *record)
{
    unsigned char bytes[POOL__RECORD_SIZE];
    struct pool__record got;

    pool__record_encode(bytes, record);
    return pool__record_decode(bytes, &got) && got.there == record->there;
}

/* Only what ended well is there, and then nothing of it is in the payload. */
static void what_is_there_has_no_payload(void **state)
{
    struct pool__record record, got;
    unsigned char bytes[POOL__RECORD_SIZE];

    (void)state;
    memset(&record, 0, sizeof record);
    record.kind = POOL__RECORD_RESULT;
    record.there = true;
    assert_true(decodes(&record));
    record.size = 8;
    assert_false(decodes(&record));
    record.size = 0;
    record.how = POOL__HOW_FAILED;
    assert_false(decodes(&record));
    record.how = POOL__HOW_OK;
    record.kind = POOL__RECORD_LEFT;
    assert_false(decodes(&record));
    record.kind = POOL__RECORD_ROW;
    record.count = 3;
    assert_true(decodes(&record));
    record.timed = true; /* times only */
    record.size = 32;
    assert_true(decodes(&record));
    record.each = 8;
    record.size = 48;
    assert_false(decodes(&record));
    record.there = false;
    assert_true(decodes(&record));
    pool__record_encode(bytes, &record);
    bytes[2] = 2;
    assert_false(pool__record_decode(bytes, &got));
}

/* ------------------------------------------------------------------ the board */

static struct pool__board board;

static void an_open_row_may_be_there(void **state)
{
    struct pool__record row, got;
    unsigned char copy[64];

    (void)state;
    pool__board_clear(&board);
    memset(&row, 0, sizeof row);
    row.batch = 1;
    row.offset = 2;
    row.there = true;
    pool__board_row_opened(&board, &row);
    pool__board_mark(&board, 1, 4, POOL__MARK_DONE);
    assert_true(pool__board_open_row(&board, 0, 1, 2, &got, copy, sizeof copy));
    assert_true(got.there);
    assert_false(got.timed);
    assert_int_equal(got.count, 3);
    assert_int_equal(got.each, 0);
    assert_int_equal(got.size, 0);
    row.there = false;
    row.timed = true;
    pool__board_row_opened(&board, &row);
    assert_true(pool__board_open_row(&board, 0, 1, 2, &got, copy, sizeof copy));
    assert_true(got.timed && !got.there);
    atomic_store(&board.row_shape, UINT64_C(8) << 32 | 2); /* there, and in the payload */
    assert_false(pool__board_open_row(&board, 0, 1, 2, &got, copy, sizeof copy));
    atomic_store(&board.row_shape, 4);
    assert_false(pool__board_open_row(&board, 0, 1, 2, &got, copy, sizeof copy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_say_where_things_lie),
        cmocka_unit_test(places_without_sense_are_refused),
        cmocka_unit_test(huge_items_are_found_where_they_lie),
        cmocka_unit_test(what_is_there_has_no_payload),
        cmocka_unit_test(an_open_row_may_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
