/*
 * Rows on their way into the program (engine/channel_in.c, engine/delivery.c): cut anywhere, open and closed, with places and without, and
 * those that cannot be.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../support/open_row.h"
#include "fail_next.h"

#include "bench.h"
#include "engine/engine.h"

enum { ITEMS = 12, FIRST = 2, EACH = 8, STREAM = 8192 };
#define GUARD 0x77u

static struct bench bench; /* plays the system for pool.scheduler */
static struct pool pool;
static struct pool__channel channel;
static struct bench_job job;
static struct pool__owner owner;

/* What the owner was told. */
static struct told {
    unsigned char places[ITEMS + 2][EACH]; /* of a map: one after the other */
    unsigned char results[ITEMS][POOL__ROW_EACH];
    size_t sizes[ITEMS];
    unsigned times[ITEMS], rows;
    uint64_t runs[ITEMS];
    bool no_memory[ITEMS];
} told;

/* The stream that is to come. */
static unsigned char stream[STREAM];
static size_t length;

static struct pool__seat *seat(void) { return &pool.scheduler.seats[0]; }

/* ---- owners */

static void note(uint64_t index, const void *bytes, size_t size, uint64_t run)
{
    assert_true(index < ITEMS);
    told.times[index]++;
    told.sizes[index] = size;
    told.runs[index] = run;
    if (bytes != NULL && size > 0)
        memcpy(told.results[index], bytes, size);
    job.left--;
}

static void note_one(struct pool__job *its, uint64_t index, struct pool__outcome *outcome)
{
    (void)its;
    told.no_memory[index] = outcome->status == POOL_NO_MEMORY;
    assert_true(told.no_memory[index] || outcome->status == POOL_OK);
    note(index, outcome->data, outcome->size, outcome->run);
    free(outcome->data);
}

static void note_row(struct pool__job *its, const struct pool__row *row)
{
    uint32_t i;

    (void)its;
    told.rows++;
    for (i = 0; i < row->count; i++)
        note(row->first + i, row->bytes != NULL ? row->bytes + i * row->stride : told.places[row->first + i], row->size,
             pool__row_run(row, i));
}

static void *own_place(struct pool__job *its, uint64_t index, uint64_t size, bool *keep)
{
    (void)its;
    *keep = false;
    return size == EACH ? told.places[index] : NULL;
}

static void *no_place(struct pool__job *its, uint64_t index, uint64_t size, bool *keep)
{
    (void)its;
    (void)index;
    (void)size;
    *keep = true;
    return NULL;
}

static void as_map(void)
{
    owner.place = own_place;
    owner.finished_row = note_row;
}

/* ---- a pool of one seat, whose worker has FIRST results behind it */

static struct pool__board *board(void) { return seat()->board; }

static void begin(void)
{
    static unsigned char scratch[POOL__SCRATCH];
    static struct pool__bulk bulk;
    int theirs[2];
    unsigned i;

    memset(&pool, 0, sizeof pool);
    memset(&bench, 0, sizeof bench);
    memset(&told, GUARD, sizeof told.places);
    memset((unsigned char *)&told + sizeof told.places, 0, sizeof told - sizeof told.places);
    pool.scratch = scratch;
    pool__list_init(&pool.unwanted);
    pool.pipes = pool__poller_open();
    assert_non_null(pool.pipes);
    bench.boards = aligned_alloc(64, sizeof *bench.boards);
    assert_non_null(bench.boards);
    memset(bench.boards, 0, sizeof *bench.boards);
    assert_true(pool__scheduler_init(&pool.scheduler, &bench_actions, &bench, 1));
    pool.scheduler.size = 1;
    pool.scheduler.start_timeout = pool.scheduler.stop_timeout = 60000 * POOL__MS;
    pool__staffing_adjust(&pool.scheduler, pool__now());
    assert_int_equal(pool__channel_open(&pool, &channel, 0, &bulk, theirs), 0);
    seat()->was_ready = true;
    pool__staffing_ready(&pool.scheduler, seat(), pool__now());
    owner = bench_owner;
    owner.finished = note_one;
    owner.place = no_place;
    memset(&job, 0, sizeof job);
    pool__job_init(&job.job, &owner, NULL, 8);
    job.job.chunk = job.job.end = job.left = ITEMS;
    pool__scheduler_submit(&pool.scheduler, &job.job);
    pool__scheduler_dispatch(&pool.scheduler, pool__now());
    assert_int_equal(seat()->owed, ITEMS);
    for (i = 0; i < FIRST; i++) {
        struct pool__outcome outcome;
        uint32_t offset;

        memset(&outcome, 0, sizeof outcome);
        assert_true(claim_one(board(), 1, &offset));
        pool__scheduler_result(&pool.scheduler, seat(), &outcome, pool__now());
    }
    length = 0;
}

static int begin_test(void **state)
{
    (void)state;
    begin();
    return 0;
}

static void finish(void)
{
    pool__scheduler_drop_all(&pool.scheduler, POOL_TERMINATED, 0, NULL);
    pool__channel_close(&pool, &channel);
    pool__scheduler_free(&pool.scheduler);
    pool__poller_close(pool.pipes);
    free(bench.boards);
}

static int finish_test(void **state)
{
    (void)state;
    finish();
    return 0;
}

/* ---- streams */

static unsigned char byte_of(uint32_t item, size_t i) { return (unsigned char)(item * 29 + i * 3 + 1); }

/* The results of a row, of items from `first` on; returns their bytes. */
static size_t put_results(unsigned char *to, const struct pool__record *row)
{
    unsigned char *at = to;
    uint32_t i;
    size_t j;

    for (i = 0; i < row->count; i++) {
        uint64_t run = 100 + row->offset + i;

        if (row->timed) {
            memcpy(at, &run, sizeof run);
            at += sizeof run;
        }
        for (j = 0; j < row->each; j++)
            *at++ = byte_of(row->offset + i, j);
    }
    return (size_t)(at - to);
}

static struct pool__record row_of(uint32_t first, uint32_t count, uint32_t each, bool timed)
{
    struct pool__record row;

    memset(&row, 0, sizeof row);
    row.kind = POOL__RECORD_ROW;
    row.batch = 1;
    row.offset = first;
    row.count = count;
    row.each = each;
    row.timed = timed;
    row.run = count * UINT64_C(50);
    row.size = pool__padded(count * pool__row_stride(each, timed), POOL__RECORD_ALIGN);
    return row;
}

/* Its padding is no zeros: nobody may take it for results. */
static void add(const struct pool__record *row)
{
    size_t size;

    assert_true(length + POOL__RECORD_SIZE + row->size <= STREAM);
    pool__record_encode(stream + length, row);
    size = put_results(stream + length + POOL__RECORD_SIZE, row);
    memset(stream + length + POOL__RECORD_SIZE + size, 0xbb, (size_t)row->size - size);
    length += POOL__RECORD_SIZE + (size_t)row->size;
}

static void add_row(uint32_t first, uint32_t count, uint32_t each, bool timed)
{
    struct pool__record row = row_of(first, count, each, timed);

    add(&row);
}

static void put_bytes(size_t from, size_t to)
{
    if (from == to)
        return;
    atomic_store(&board()->base, channel.piped); /* all of it is published, and to come */
    atomic_store(&board()->staged, channel.piped + (length - from));
    assert_int_equal(write(channel.results_write, stream + from, to - from), to - from);
    pool__channel_read(&pool, seat(), &channel);
}

static void put_all(void) { put_bytes(0, length); }

/* Behind what was sent: results that only the mark publishes. */
static void open_row_here(uint32_t first, uint32_t count, uint32_t each, bool timed)
{
    struct pool__record row = row_of(first, count, each, timed);

    atomic_store(&board()->base, channel.received);
    atomic_store(&board()->staged, channel.received);
    put_results(board()->staging + POOL__RECORD_SIZE, &row);
    open_row_at(board(), 1, first, each, timed);
    pool__board_mark(board(), 1, first + count - 1, POOL__MARK_DONE);
}

/* ---- what must have come of it */

static void assert_items(uint32_t from, uint32_t to, uint32_t each)
{
    uint32_t i;
    size_t j;

    for (i = 0; i < ITEMS; i++) {
        bool there = i >= from && i < to;

        if (i >= FIRST)
            assert_int_equal(told.times[i], there);
        if (!there)
            continue;
        assert_int_equal(told.sizes[i], each);
        for (j = 0; j < each; j++)
            assert_int_equal(told.results[i][j], byte_of(i, j));
    }
    assert_int_equal(job.left, ITEMS - to);
}

/* Places of items without an outcome, and what lies around the array. */
static void assert_places_untouched(uint32_t from, uint32_t to)
{
    uint32_t i, j;

    for (i = 0; i < ITEMS + 2; i++)
        for (j = 0; j < EACH && (i < from || i >= to); j++)
            assert_int_equal(told.places[i][j], GUARD);
}

static void assert_condemned(uint32_t with)
{
    assert_true(channel.poisoned);
    assert_int_equal(seat()->state, POOL__SEAT_DYING);
    assert_int_equal(seat()->reason, POOL__KILL_NONSENSE);
    assert_int_equal(bench.kills[0], 1);
    assert_items(FIRST, with, EACH);
}

/* ------------------------------------------------------------------ closed ones */

static void a_row_is_told_as_one(void **state)
{
    (void)state;
    as_map();
    add_row(FIRST, 5, EACH, false);
    put_all();
    assert_int_equal(told.rows, 1);
    assert_items(FIRST, FIRST + 5, EACH);
    assert_places_untouched(FIRST, FIRST + 5);
    assert_int_equal(told.runs[FIRST], 50); /* the mean */
}

static void one_by_one_to_who_takes_no_rows(void **state)
{
    (void)state;
    add_row(FIRST, 5, 7, false);
    add_row(FIRST + 5, 2, 0, false);
    put_all();
    assert_int_equal(told.rows, 0);
    assert_int_equal(told.times[FIRST + 5] + told.times[FIRST + 6], 2);
    assert_int_equal(told.sizes[FIRST + 5] + told.sizes[FIRST + 6], 0);
    memset(told.times + FIRST + 5, 0, 2 * sizeof told.times[0]);
    job.left += 2;
    assert_items(FIRST, FIRST + 5, 7);
    assert_int_equal(seat()->owed, ITEMS - FIRST - 7);
}

static void a_timed_row_tells_each_time(void **state)
{
    (void)state;
    as_map();
    job.job.timed = true;
    add_row(FIRST, 3, EACH, true);
    put_all();
    assert_items(FIRST, FIRST + 3, EACH);
    assert_int_equal(told.runs[FIRST], 100 + FIRST);
    assert_int_equal(told.runs[FIRST + 2], 100 + FIRST + 2);
    assert_places_untouched(0, 0); /* the owner copies */
}

/* Every cut in two; then byte by byte. */
static void cut_anywhere_of(uint32_t each, bool timed, bool map)
{
    size_t cut, whole = 2 * POOL__RECORD_SIZE, i;
    uint32_t counts[] = {4, 3};

    for (i = 0; i < 2; i++)
        whole += (size_t)pool__padded(counts[i] * pool__row_stride(each, timed), POOL__RECORD_ALIGN);
    for (cut = 0; cut <= whole; cut++) {
        begin();
        if (map)
            as_map();
        job.job.timed = timed;
        add_row(FIRST, 4, each, timed);
        add_row(FIRST + 4, 3, each, timed);
        assert_int_equal(length, whole);
        for (i = 0; cut == whole && i < whole; i++)
            put_bytes(i, i + 1);
        if (cut < whole) {
            put_bytes(0, cut);
            put_bytes(cut, whole);
        }
        assert_items(FIRST, FIRST + 7, each);
        assert_int_equal(told.runs[FIRST + 6], timed ? 100 + FIRST + 6 : 50);
        if (map)
            assert_places_untouched(FIRST, FIRST + 7);
        assert_false(channel.poisoned);
        finish();
    }
}

static void cut_at_every_byte(void **state)
{
    (void)state;
    cut_anywhere_of(EACH, false, true);
    cut_anywhere_of(EACH, true, true);
    cut_anywhere_of(5, false, true); /* BAD_SIZE, for a map */
    cut_anywhere_of(5, true, false);
    cut_anywhere_of(EACH, false, false);
    cut_anywhere_of(0, true, false);
}

/* ------------------------------------------------------------------ open ones */

static void an_open_row_is_taken(void **state)
{
    (void)state;
    as_map();
    open_row_here(FIRST, 3, EACH, false);
    pool__channel_salvage(&pool, seat(), &channel);
    assert_items(FIRST, FIRST + 3, EACH);
    assert_places_untouched(FIRST, FIRST + 3);
    pool__channel_salvage(&pool, seat(), &channel); /* nothing new */
    assert_int_equal(told.rows, 1);
    open_row_here(FIRST, 5, EACH, false);
    pool__channel_salvage(&pool, seat(), &channel);
    assert_items(FIRST, FIRST + 5, EACH);
    assert_int_equal(told.rows, 2);
}

/* What was taken comes again with the closed row, and is no news. */
static void it_comes_again_closed_of(uint32_t each, bool timed, bool map, uint32_t closed)
{
    size_t cut, whole = POOL__RECORD_SIZE + (size_t)pool__padded(closed * pool__row_stride(each, timed), POOL__RECORD_ALIGN);

    for (cut = 0; cut <= whole; cut++) {
        begin();
        if (map)
            as_map();
        job.job.timed = timed;
        open_row_here(FIRST, 3, each, timed);
        pool__channel_salvage(&pool, seat(), &channel);
        assert_items(FIRST, FIRST + 3, each);
        if (each == EACH && map && !timed)
            memset(told.places[FIRST], GUARD, 3 * EACH); /* the program's own by now: not written again */
        add_row(FIRST, closed, each, timed);
        add_row(FIRST + closed, 1, each, timed);
        put_bytes(0, cut);
        put_bytes(cut, length);
        assert_false(channel.poisoned);
        assert_items(FIRST, FIRST + closed + 1, each);
        if (map && each == EACH)
            assert_places_untouched(FIRST + 3, FIRST + closed + 1);
        finish();
    }
}

static void an_open_row_comes_again_closed(void **state)
{
    uint32_t closed;

    (void)state;
    for (closed = 3; closed <= 6; closed += 3) {
        it_comes_again_closed_of(EACH, false, true, closed);
        it_comes_again_closed_of(EACH, true, true, closed);
        it_comes_again_closed_of(5, false, true, closed);
        it_comes_again_closed_of(5, true, false, closed);
        it_comes_again_closed_of(0, false, false, closed);
    }
}

/* In the middle of a record the open row is behind bytes that are not here. */
static void not_in_the_middle_of_a_record(void **state)
{
    (void)state;
    add_row(FIRST, 2, EACH, false);
    put_bytes(0, length - 1);
    open_row_here(FIRST + 2, 1, EACH, false);
    pool__channel_salvage(&pool, seat(), &channel);
    assert_items(FIRST, FIRST, EACH);
}

static void an_open_row_of_more_than_the_batch(void **state)
{
    (void)state;
    open_row_here(FIRST, ITEMS - FIRST + 1, EACH, false);
    pool__channel_salvage(&pool, seat(), &channel);
    assert_condemned(FIRST);
}

/* ------------------------------------------------------------------ those that cannot be */

static void assert_refused(const struct pool__record *row)
{
    add(row);
    put_all();
    assert_condemned(FIRST);
    assert_places_untouched(0, 0);
    finish();
    begin();
    as_map();
}

static void rows_that_cannot_be(void **state)
{
    struct pool__record row = row_of(FIRST, ITEMS - FIRST + 1, EACH, false);

    (void)state;
    as_map();
    assert_refused(&row); /* more than the batch has */
    row = row_of(FIRST, ITEMS, EACH, false);
    assert_refused(&row);
    row = row_of(FIRST, 2, EACH, false);
    row.batch = 2;
    assert_refused(&row);
    row = row_of(FIRST + 1, 2, EACH, false); /* leaves one out */
    assert_refused(&row);
    row = row_of(FIRST - 1, 2, EACH, false); /* has one again */
    assert_refused(&row);
    row = row_of(POOL__BATCH_MAX, 2, EACH, false);
    assert_refused(&row);
    row = row_of(FIRST, 2, EACH, true); /* its job asks for no times: the places have no room for them */
    assert_refused(&row);
    row = row_of(FIRST, 2, EACH, false);
    row.size += POOL__RECORD_ALIGN;
    assert_refused(&row);
    row = row_of(FIRST, 2, EACH, false);
    row.count = 0;
    assert_refused(&row);
}

/* Fewer than were taken of it: one or the other was a lie. */
static void a_row_that_has_shrunk(void **state)
{
    (void)state;
    as_map();
    open_row_here(FIRST, 3, EACH, false);
    pool__channel_salvage(&pool, seat(), &channel);
    add_row(FIRST, 2, EACH, false);
    put_all();
    assert_condemned(FIRST + 3);
}

static void a_row_that_has_moved(void **state)
{
    (void)state;
    open_row_here(FIRST, 3, EACH, false);
    pool__channel_salvage(&pool, seat(), &channel);
    add_row(FIRST + 1, 3, EACH, false);
    put_all();
    assert_condemned(FIRST + 3);
}

/* Its results have other sizes now: what it brings again is cut off by what it says now, and stays within its bytes. */
static void a_row_of_another_shape(void **state)
{
    (void)state;
    as_map();
    open_row_here(FIRST, 3, 1024, false);
    pool__channel_salvage(&pool, seat(), &channel);
    add_row(FIRST, 4, EACH, false);
    put_all();
    assert_int_equal(seat()->owed, ITEMS - FIRST - 4);
    assert_places_untouched(FIRST + 3, FIRST + 4);
}

/* ------------------------------------------------------------------ no memory */

static void no_memory_for_a_row_that_is_cut(void **state)
{
    uint32_t i;

    (void)state;
    skip_unless_memory_can_fail();
    add_row(FIRST, 3, EACH, false);
    put_bytes(0, POOL__RECORD_SIZE);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    put_bytes(POOL__RECORD_SIZE, length - 1);
    put_bytes(length - 1, length);
    for (i = FIRST; i < FIRST + 3; i++)
        assert_true(told.times[i] == 1 && told.no_memory[i]);
    assert_int_equal(seat()->owed, ITEMS - FIRST - 3);
    assert_false(channel.poisoned);
}

static void no_memory_for_one_of_a_row(void **state)
{
    (void)state;
    skip_unless_memory_can_fail();
    add_row(FIRST, 3, EACH, false);
    assert_int_equal(write(channel.results_write, stream, length), length);
    fail_after(CALL_MEMORY, 1, 1, ENOMEM);
    pool__channel_read(&pool, seat(), &channel);
    assert_false(told.no_memory[FIRST]);
    assert_true(told.no_memory[FIRST + 1]);
    assert_false(told.no_memory[FIRST + 2]);
    assert_memory_equal(told.results[FIRST + 2], stream + POOL__RECORD_SIZE + 2 * EACH, EACH);
    assert_int_equal(seat()->owed, ITEMS - FIRST - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_row_is_told_as_one, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(one_by_one_to_who_takes_no_rows, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(a_timed_row_tells_each_time, begin_test, finish_test),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test_setup_teardown(an_open_row_is_taken, begin_test, finish_test),
        cmocka_unit_test(an_open_row_comes_again_closed),
        cmocka_unit_test_setup_teardown(not_in_the_middle_of_a_record, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(an_open_row_of_more_than_the_batch, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(rows_that_cannot_be, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(a_row_that_has_shrunk, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(a_row_that_has_moved, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(a_row_of_another_shape, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(no_memory_for_a_row_that_is_cut, begin_test, finish_test),
        cmocka_unit_test_setup_teardown(no_memory_for_one_of_a_row, begin_test, finish_test),
    };

    return cmocka_run_group_tests_name("row delivery", tests, NULL, NULL);
}
