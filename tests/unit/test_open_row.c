/*
 * The open row: results that the worker's mark alone has published (data/board.h), as the host reads them beside a living worker and after
 * a dead one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../support/open_row.h"
#include "data/board.h"

#define BASE  UINT64_C(1000)
#define BATCH 7u
#define FIRST 3u /* the row's first item */

static struct pool__board board;
static struct pool__record record;
static unsigned char copied[POOL__STAGING_SIZE + 1];

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 7 + 1); }

/* All of staging has its own bytes; `staged` bytes of it are published; the row lies behind them. */
static void open_row(uint64_t staged, uint32_t each, bool timed)
{
    size_t i;

    memset(&board, 0xee, sizeof board);
    pool__board_clear(&board);
    for (i = 0; i < POOL__STAGING_SIZE; i++)
        board.staging[i] = byte_at(i);
    atomic_store(&board.base, BASE);
    atomic_store(&board.staged, BASE + staged);
    atomic_store(&board.started, 77);
    open_row_at(&board, BATCH, FIRST, each, timed);
}

static int open_usual_row(void **state)
{
    (void)state;
    open_row(96, 8, false);
    return 0;
}

static void mark(uint32_t offset, enum pool__mark as) { pool__board_mark(&board, BATCH, offset, as); }

static bool read_all(uint32_t done, size_t room)
{
    memset(&record, 0xaa, sizeof record);
    memset(copied, 0, sizeof copied);
    return pool__board_open_row(&board, atomic_load(&board.staged), BATCH, done, &record, copied, room);
}

static bool read_row(uint32_t done) { return read_all(done, sizeof copied); }

/* That `size` bytes were copied, which lie `at` behind the row's beginning, and nothing behind them. */
static void assert_copied(size_t at, size_t size)
{
    size_t from = (size_t)(atomic_load(&board.staged) - BASE) + POOL__RECORD_SIZE + at;

    assert_memory_equal(copied, board.staging + from, size);
    assert_int_equal(copied[size], 0);
}

static void assert_row(uint32_t count, uint32_t each)
{
    assert_int_equal(record.kind, POOL__RECORD_ROW);
    assert_int_equal(record.how, POOL__HOW_OK);
    assert_int_equal(record.batch, BATCH);
    assert_int_equal(record.offset, FIRST);
    assert_int_equal(record.count, count);
    assert_int_equal(record.each, each);
    assert_int_equal(record.start, 77);
    assert_int_equal(record.code, 0);
}

/* ------------------------------------------------------------------ what the mark says */

static void run_says_that_those_before_it_stand(void **state)
{
    (void)state;
    mark(FIRST, POOL__MARK_RUN);
    assert_false(read_row(FIRST));
    mark(FIRST + 2, POOL__MARK_RUN);
    assert_true(read_row(FIRST));
    assert_row(2, 8);
    assert_copied(0, 16);
}

static void done_says_that_it_stands_too(void **state)
{
    (void)state;
    mark(FIRST, POOL__MARK_DONE);
    assert_true(read_row(FIRST));
    assert_row(1, 8);
    assert_copied(0, 8);
    mark(FIRST + 2, POOL__MARK_DONE);
    assert_true(read_row(FIRST));
    assert_row(3, 8);
    assert_copied(0, 24);
}

/* Opened while the mark still names what came before it. */
static void an_earlier_mark_publishes_nothing(void **state)
{
    (void)state;
    assert_false(read_row(FIRST)); /* there is none at all */
    mark(FIRST - 1, POOL__MARK_RUN);
    assert_false(read_row(FIRST - 1));
    mark(FIRST - 1, POOL__MARK_DONE);
    assert_false(read_row(FIRST));
    pool__board_mark(&board, BATCH + 1, FIRST + 5, POOL__MARK_RUN);
    assert_false(read_row(FIRST));
    pool__board_mark(&board, BATCH - 1, FIRST + 5, POOL__MARK_DONE);
    assert_false(read_row(FIRST));
    open_row(0, 0, false); /* nor where results have no bytes, of which any number has room */
    mark(FIRST - 1, POOL__MARK_RUN);
    assert_false(read_row(FIRST));
}

static void what_is_known_is_not_copied_again(void **state)
{
    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    assert_true(read_row(FIRST + 1));
    assert_row(4, 8);
    assert_copied(8, 24);
    assert_true(read_row(FIRST + 3));
    assert_row(4, 8);
    assert_copied(24, 8);
    assert_false(read_row(FIRST + 4));
    assert_false(read_row(FIRST + 5)); /* the table is ahead: the closed row was there already */
    assert_false(read_row(UINT32_MAX));
}

/* What comes before the row in the batch must be known. */
static void items_before_it_come_first(void **state)
{
    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    assert_false(read_row(FIRST - 1));
    assert_false(read_row(0));
}

static void each_has_its_time_where_it_is_timed(void **state)
{
    (void)state;
    open_row(0, 8, true);
    mark(FIRST + 3, POOL__MARK_RUN);
    assert_true(read_row(FIRST + 1));
    assert_row(3, 8);
    assert_true(record.timed);
    assert_copied(16, 32);
    open_row(0, 0, true);
    mark(FIRST + 3, POOL__MARK_RUN);
    assert_true(read_row(FIRST));
    assert_copied(0, 24);
    open_row(0, 8, false);
    mark(FIRST, POOL__MARK_DONE);
    assert_true(read_row(FIRST));
    assert_false(record.timed);
}

static void results_of_no_bytes_are_results(void **state)
{
    (void)state;
    open_row(0, 0, false);
    mark(FIRST + 1000000, POOL__MARK_DONE);
    assert_true(read_all(FIRST, 0));
    assert_row(1000001, 0);
    assert_int_equal(record.size, 0);
}

/* ------------------------------------------------------------------ when it is not there */

static void only_of_the_batch_that_is_asked_for(void **state)
{
    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    assert_false(pool__board_open_row(&board, BASE + 96, BATCH + 1, FIRST, &record, copied, sizeof copied));
    assert_false(pool__board_open_row(&board, BASE + 96, BATCH - 1, FIRST, &record, copied, sizeof copied));
    assert_true(pool__board_open_row(&board, BASE + 96, BATCH, FIRST, &record, copied, sizeof copied));
}

static void a_closed_one_is_in_the_stream(void **state)
{
    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    pool__board_row_closed(&board);
    assert_false(read_row(FIRST));
}

static void a_new_life_has_none(void **state)
{
    (void)state;
    pool__board_clear(&board);
    mark(FIRST + 4, POOL__MARK_RUN);
    assert_false(read_row(FIRST));
    assert_int_equal(atomic_load(&board.row_shape), 0);
}

/* Its bytes are counted from the end of what is published: until that is here, other bytes may lie there soon. */
static void what_is_published_comes_first(void **state)
{
    uint64_t received;

    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    for (received = BASE - 1; received <= BASE + 97; received++) {
        bool there = pool__board_open_row(&board, received, BATCH, FIRST, &record, copied, sizeof copied);

        assert_int_equal(there, received == BASE + 96);
    }
    atomic_store(&board.base, BASE + 97); /* beyond what is staged */
    assert_false(read_row(FIRST));
}

/* ------------------------------------------------------------------ what cannot be */

static void insane_shapes_give_nothing(void **state)
{
    static const uint64_t shapes[] = {(uint64_t)(POOL__ROW_EACH + 1) << 32, UINT64_MAX, UINT64_C(8) << 32 | 2, UINT64_C(1) << 63,
                                      UINT64_C(8) << 32 | UINT32_MAX};
    size_t i;

    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    for (i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        atomic_store(&board.row_shape, shapes[i]);
        assert_false(read_row(FIRST));
    }
    atomic_store(&board.row_shape, (uint64_t)POOL__ROW_EACH << 32);
    assert_true(read_row(FIRST));
    assert_copied(0, 4 * POOL__ROW_EACH);
}

static void insane_row_words_give_nothing(void **state)
{
    uint64_t word = atomic_load(&board.row), i;

    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    for (i = POOL__MARK_NONE; i <= POOL__MARK_ALL; i++) {
        atomic_store(&board.row, (word & ~UINT64_C(0xff)) | i);
        assert_int_equal(read_row(FIRST), i == POOL__MARK_RUN);
    }
    atomic_store(&board.row, UINT64_MAX);
    assert_false(read_row(FIRST));
}

/* More results than can stand there: none of them is believed. */
static void results_beyond_staging_give_nothing(void **state)
{
    uint32_t most = (POOL__STAGING_SIZE - 96 - POOL__RECORD_SIZE) / 8;

    (void)state;
    mark(FIRST + most, POOL__MARK_RUN);
    assert_true(read_row(FIRST));
    assert_copied(0, (size_t)most * 8);
    mark(FIRST + most, POOL__MARK_DONE);
    assert_false(read_row(FIRST));
    assert_false(read_row(FIRST + most)); /* nor is its last one alone */
    mark(POOL__BATCH_MAX, POOL__MARK_DONE);
    assert_false(read_row(FIRST));
    open_row(POOL__STAGING_SIZE - POOL__RECORD_SIZE + 1, 8, false);
    mark(FIRST + 1, POOL__MARK_RUN);
    assert_false(read_row(FIRST));
    open_row(UINT64_MAX - BASE, 8, false);
    mark(FIRST + 1, POOL__MARK_RUN);
    assert_false(read_row(FIRST));
}

static void no_more_than_there_is_room_for(void **state)
{
    (void)state;
    mark(FIRST + 4, POOL__MARK_RUN);
    assert_false(read_all(FIRST, 31));
    assert_true(read_all(FIRST, 32));
    assert_true(read_all(FIRST + 2, 16));
    assert_false(read_all(FIRST + 2, 15));
    assert_int_equal(copied[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(run_says_that_those_before_it_stand, open_usual_row),
        cmocka_unit_test_setup(done_says_that_it_stands_too, open_usual_row),
        cmocka_unit_test_setup(an_earlier_mark_publishes_nothing, open_usual_row),
        cmocka_unit_test_setup(what_is_known_is_not_copied_again, open_usual_row),
        cmocka_unit_test_setup(items_before_it_come_first, open_usual_row),
        cmocka_unit_test_setup(each_has_its_time_where_it_is_timed, open_usual_row),
        cmocka_unit_test_setup(results_of_no_bytes_are_results, open_usual_row),
        cmocka_unit_test_setup(only_of_the_batch_that_is_asked_for, open_usual_row),
        cmocka_unit_test_setup(a_closed_one_is_in_the_stream, open_usual_row),
        cmocka_unit_test_setup(a_new_life_has_none, open_usual_row),
        cmocka_unit_test_setup(what_is_published_comes_first, open_usual_row),
        cmocka_unit_test_setup(insane_shapes_give_nothing, open_usual_row),
        cmocka_unit_test_setup(insane_row_words_give_nothing, open_usual_row),
        cmocka_unit_test_setup(results_beyond_staging_give_nothing, open_usual_row),
        cmocka_unit_test_setup(no_more_than_there_is_room_for, open_usual_row),
    };

    return cmocka_run_group_tests_name("open row", tests, NULL, NULL);
}
