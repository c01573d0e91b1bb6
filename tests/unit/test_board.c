/* The board's words: claim against take-back, tags, marks, cancel, salvage; and what a worker could scribble there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../support/claim_one.h"
#include "data/board.h"

static struct pool__board board;

static int clear(void **state)
{
    (void)state;
    memset(&board, 0xee, sizeof board);
    pool__board_clear(&board);
    return 0;
}

static _Atomic uint64_t *word_of(uint32_t batch) { return &board.range[batch % POOL__FLIGHT]; }

static void put_range(uint32_t batch, uint64_t tag, uint64_t end, uint64_t next)
{
    atomic_store(word_of(batch), tag << 48 | end << 24 | next);
}

static uint32_t claim_all(uint32_t batch)
{
    uint32_t offset, count = 0;

    while (claim_one(&board, batch, &offset))
        assert_int_equal(offset, count++);
    return count;
}

/* ------------------------------------------------------------------ claim and take back */

static void items_are_claimed_in_order(void **state)
{
    uint32_t claimed, offset;

    (void)state;
    assert_false(claim_one(&board, 1, &offset));
    pool__board_open(&board, 1, 5);
    assert_int_equal(claim_all(1), 5);
    assert_true(pool__board_claimed(&board, 1, 5, &claimed));
    assert_int_equal(claimed, 5);
    assert_false(claim_one(&board, 1, &offset));
}

static void what_is_taken_back_is_not_claimed(void **state)
{
    uint32_t end = 10, offset;
    bool sane = false;

    (void)state;
    pool__board_open(&board, 1, 10);
    assert_true(claim_one(&board, 1, &offset));
    assert_int_equal(pool__board_take_back(&board, 1, &end, 4, &sane), 5);
    assert_true(sane);
    assert_int_equal(end, 5);
    assert_int_equal(pool__board_take_back(&board, 1, &end, 4, &sane), 0); /* there are no more than four */
    assert_int_equal(pool__board_take_back(&board, 1, &end, 9, &sane), 0);
    assert_true(sane);
    assert_int_equal(end, 5);
    assert_true(claim_one(&board, 1, &offset));
    assert_int_equal(pool__board_take_back(&board, 1, &end, 0, &sane), 3);
    assert_int_equal(end, 2);
    assert_false(claim_one(&board, 1, &offset));
}

static void a_whole_batch_may_be_taken_back(void **state)
{
    uint32_t end = POOL__BATCH_MAX, offset, claimed;
    bool sane;

    (void)state;
    pool__board_open(&board, 3, POOL__BATCH_MAX);
    assert_int_equal(pool__board_take_back(&board, 3, &end, 0, &sane), POOL__BATCH_MAX);
    assert_int_equal(end, 0);
    assert_false(claim_one(&board, 3, &offset));
    assert_true(pool__board_claimed(&board, 3, 0, &claimed));
    assert_int_equal(claimed, 0);
}

static void batches_do_not_meet(void **state)
{
    uint32_t batch, end = 2;
    bool sane;

    (void)state;
    for (batch = 1; batch <= POOL__FLIGHT; batch++)
        pool__board_open(&board, batch, batch);
    assert_int_equal(pool__board_take_back(&board, 2, &end, 0, &sane), 2);
    for (batch = 1; batch <= POOL__FLIGHT; batch++)
        assert_int_equal(claim_all(batch), batch == 2 ? 0 : batch);
}

/*
 * Rule 3: a worker that still thinks of an old batch gets nothing of the new one that has its entry, though the
 * numbers in the word may be the same.
 */
static void a_reused_entry_is_another_one(void **state)
{
    uint32_t old = 5, new = 5 + POOL__FLIGHT, end = 10, offset, claimed;
    bool sane;

    (void)state;
    pool__board_open(&board, old, 10);
    assert_int_equal(pool__board_take_back(&board, old, &end, 0, &sane), 10);
    pool__board_open(&board, new, 10);
    assert_false(claim_one(&board, old, &offset));
    assert_false(pool__board_claimed(&board, old, 10, &claimed));
    end = 10;
    assert_int_equal(pool__board_take_back(&board, old, &end, 0, &sane), 0);
    assert_false(sane);
    assert_int_equal(claim_all(new), 10);
}

/* The compare-and-swap itself: the word that a worker has loaded before the reuse is not the one that it meets. */
static void words_of_different_batches_differ(void **state)
{
    uint64_t word;

    (void)state;
    pool__board_open(&board, 5, 10);
    word = atomic_load(word_of(5));
    pool__board_open(&board, 5 + POOL__FLIGHT, 10);
    assert_true(word != atomic_load(word_of(5)));
}

/* ------------------------------------------------------------------ insane words */

static void assert_insane(uint32_t batch, uint32_t host_end)
{
    uint64_t word = atomic_load(word_of(batch));
    uint32_t end = host_end, claimed;
    bool sane = true;

    assert_int_equal(pool__board_take_back(&board, batch, &end, 0, &sane), 0);
    assert_false(sane);
    assert_int_equal(end, host_end);
    assert_false(pool__board_claimed(&board, batch, host_end, &claimed));
    assert_true(atomic_load(word_of(batch)) == word);
}

static void insane_words_give_nothing(void **state)
{
    uint32_t claimed;

    (void)state;
    put_range(7, 7, 10, 3);
    assert_true(pool__board_claimed(&board, 7, 10, &claimed));
    put_range(7, 7, 11, 3); /* the worker raised end */
    assert_insane(7, 10);
    put_range(7, 7, 9, 3); /* or lowered it */
    assert_insane(7, 10);
    put_range(7, 7, 10, 11); /* next beyond end */
    assert_insane(7, 10);
    put_range(7, 8, 10, 3); /* another tag */
    assert_insane(7, 10);
    atomic_store(word_of(7), UINT64_MAX);
    assert_insane(7, 10);
    atomic_store(word_of(7), 0);
    assert_insane(7, 10);
}

static void a_claim_beyond_end_fails(void **state)
{
    uint32_t offset;

    (void)state;
    put_range(7, 7, 10, 11);
    assert_false(claim_one(&board, 7, &offset));
    put_range(7, 7, 10, POOL__BATCH_MAX);
    assert_false(claim_one(&board, 7, &offset));
}

/* ------------------------------------------------------------------ marks and cancel */

static void marks_are_read_as_written(void **state)
{
    static const struct pool__place places[] = {{1, 0, POOL__MARK_RUN},
                                                {0xffffffff, POOL__BATCH_MAX, POOL__MARK_DONE},
                                                {0x80000000, 1, POOL__MARK_RUN},
                                                {3, 0x800000, POOL__MARK_NONE}};
    struct pool__place place = pool__board_running(&board);
    size_t i;

    (void)state;
    assert_int_equal(place.mark, POOL__MARK_NONE);
    for (i = 0; i < sizeof places / sizeof *places; i++) {
        pool__board_mark(&board, places[i].batch, places[i].offset, places[i].mark);
        place = pool__board_running(&board);
        assert_int_equal(place.batch, places[i].batch);
        assert_int_equal(place.offset, places[i].offset);
        assert_int_equal(place.mark, places[i].mark);
    }
}

/* Rule 17: the item that was meant, not the one after it. */
static void only_the_item_meant_is_cancelled(void **state)
{
    struct pool__place meant = {4, 2, POOL__MARK_RUN};

    (void)state;
    pool__board_mark(&board, 4, 2, POOL__MARK_RUN);
    assert_false(pool__board_cancel_asked(&board));
    pool__board_ask_cancel(&board, meant);
    assert_true(pool__board_cancel_asked(&board));
    pool__board_mark(&board, 4, 3, POOL__MARK_RUN);
    assert_false(pool__board_cancel_asked(&board));
    pool__board_mark(&board, 5, 2, POOL__MARK_RUN);
    assert_false(pool__board_cancel_asked(&board));
}

static void all_means_all(void **state)
{
    struct pool__place all = {0, 0, POOL__MARK_ALL};

    (void)state;
    pool__board_mark(&board, 9, 9, POOL__MARK_RUN);
    pool__board_ask_cancel(&board, all);
    assert_true(pool__board_cancel_asked(&board));
    pool__board_mark(&board, 10, 0, POOL__MARK_RUN);
    assert_true(pool__board_cancel_asked(&board));
}

static void a_new_life_begins_clear(void **state)
{
    struct pool__place all = {0, 0, POOL__MARK_ALL};
    uint32_t offset;
    char byte;

    (void)state;
    pool__board_open(&board, 1, 5);
    pool__board_mark(&board, 1, 1, POOL__MARK_RUN);
    pool__board_ask_cancel(&board, all);
    atomic_store(&board.staged, 100);
    atomic_store(&board.hurry, 1);
    pool__board_clear(&board);
    assert_false(claim_one(&board, 1, &offset));
    assert_int_equal(pool__board_running(&board).mark, POOL__MARK_NONE);
    assert_false(pool__board_cancel_asked(&board));
    assert_int_equal(atomic_load(&board.hurry), 0);
    assert_int_equal(pool__board_salvage(&board, 0, &byte, 1), 0);
}

/* ------------------------------------------------------------------ salvage (rule 4) */

static unsigned char copied[POOL__STAGING_SIZE + 1];

static void stage(uint64_t base, uint64_t staged)
{
    uint64_t i;

    atomic_store(&board.base, base);
    atomic_store(&board.staged, staged);
    for (i = base; i < staged && i - base < POOL__STAGING_SIZE; i++)
        board.staging[i - base] = (unsigned char)(i * 7);
}

static size_t salvage(uint64_t received, size_t room)
{
    memset(copied, 0, sizeof copied);
    return pool__board_salvage(&board, received, copied, room);
}

static void what_was_not_received_is_salvaged(void **state)
{
    (void)state;
    stage(1000, 1100);
    assert_int_equal(salvage(1000, sizeof copied), 100);
    assert_int_equal(copied[0], (unsigned char)(1000 * 7));
    assert_int_equal(copied[99], (unsigned char)(1099 * 7));
    assert_int_equal(salvage(1060, sizeof copied), 40);
    assert_int_equal(copied[0], (unsigned char)(1060 * 7));
    assert_int_equal(copied[40], 0);
    assert_int_equal(salvage(1060, 16), 16); /* by pieces */
    assert_int_equal(copied[16], 0);
    assert_int_equal(salvage(1100, sizeof copied), 0);
}

/* A result that went past staging: more was received than is staged. */
static void more_received_than_staged_is_legal(void **state)
{
    (void)state;
    stage(1000, 1100);
    assert_int_equal(salvage(1101, sizeof copied), 0);
    assert_int_equal(salvage(1000000, sizeof copied), 0);
}

/* base has moved on: the bytes between are in the pipe. */
static void bytes_before_base_are_in_the_pipe(void **state)
{
    (void)state;
    stage(1000, 1100);
    assert_int_equal(salvage(999, sizeof copied), 0);
    assert_int_equal(salvage(0, sizeof copied), 0);
}

static void insane_counts_give_nothing(void **state)
{
    (void)state;
    stage(0, POOL__STAGING_SIZE);
    assert_int_equal(salvage(0, sizeof copied), POOL__STAGING_SIZE);
    stage(0, POOL__STAGING_SIZE + 1);
    assert_int_equal(salvage(0, sizeof copied), 0);
    assert_int_equal(salvage(POOL__STAGING_SIZE, sizeof copied), 0);
    stage(1000, 999);
    assert_int_equal(salvage(1000, sizeof copied), 0);
    stage(0, UINT64_MAX);
    assert_int_equal(salvage(0, sizeof copied), 0);
    stage(UINT64_MAX, 10);
    assert_int_equal(salvage(UINT64_MAX, sizeof copied), 0);
    assert_int_equal(salvage(5, sizeof copied), 0);
}

/* ------------------------------------------------------------------ a race */

#define ROUNDS 300u
#define RACERS_ITEMS 400u

static struct race {
    pthread_barrier_t gate;
    unsigned char claimed[RACERS_ITEMS];
} race;

static uint32_t batch_of(unsigned round) { return 1 + round; }

static void *claim_as_worker(void *unused)
{
    unsigned round;
    uint32_t offset;

    for (round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&race.gate);
        while (claim_one(&board, batch_of(round), &offset))
            race.claimed[offset]++;
        pthread_barrier_wait(&race.gate);
    }
    return unused;
}

/* Host and worker draw from one batch at the same time: each item goes to just one of them. */
static void each_item_goes_to_one_side(void **state)
{
    static unsigned char taken[RACERS_ITEMS];
    pthread_t worker;
    unsigned round, i;

    (void)state;
    assert_int_equal(pthread_barrier_init(&race.gate, NULL, 2), 0);
    assert_int_equal(pthread_create(&worker, NULL, claim_as_worker, NULL), 0);
    for (round = 0; round < ROUNDS; round++) {
        uint32_t end = RACERS_ITEMS, keep = RACERS_ITEMS;
        bool sane = true;

        memset(race.claimed, 0, sizeof race.claimed);
        memset(taken, 0, sizeof taken);
        pool__board_open(&board, batch_of(round), RACERS_ITEMS);
        pthread_barrier_wait(&race.gate);
        for (; keep > 0 && sane; keep -= keep > 3 ? 3 : keep) {
            uint32_t count = pool__board_take_back(&board, batch_of(round), &end, keep - 1, &sane);

            for (i = end; i < end + count; i++)
                taken[i]++;
        }
        pthread_barrier_wait(&race.gate);
        if (!sane)
            break;
        for (i = 0; i < RACERS_ITEMS && race.claimed[i] + taken[i] == 1; i++)
            continue;
        assert_int_equal(i, RACERS_ITEMS);
    }
    assert_int_equal(round, ROUNDS);
    pthread_join(worker, NULL);
    pthread_barrier_destroy(&race.gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(items_are_claimed_in_order, clear),
        cmocka_unit_test_setup(what_is_taken_back_is_not_claimed, clear),
        cmocka_unit_test_setup(a_whole_batch_may_be_taken_back, clear),
        cmocka_unit_test_setup(batches_do_not_meet, clear),
        cmocka_unit_test_setup(a_reused_entry_is_another_one, clear),
        cmocka_unit_test_setup(words_of_different_batches_differ, clear),
        cmocka_unit_test_setup(insane_words_give_nothing, clear),
        cmocka_unit_test_setup(a_claim_beyond_end_fails, clear),
        cmocka_unit_test_setup(marks_are_read_as_written, clear),
        cmocka_unit_test_setup(only_the_item_meant_is_cancelled, clear),
        cmocka_unit_test_setup(all_means_all, clear),
        cmocka_unit_test_setup(a_new_life_begins_clear, clear),
        cmocka_unit_test_setup(what_was_not_received_is_salvaged, clear),
        cmocka_unit_test_setup(more_received_than_staged_is_legal, clear),
        cmocka_unit_test_setup(bytes_before_base_are_in_the_pipe, clear),
        cmocka_unit_test_setup(insane_counts_give_nothing, clear),
        cmocka_unit_test_setup(each_item_goes_to_one_side, clear),
    };

    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
