/* The arena's allocator against a plain model of it: what overlaps, what is lost, what it tells, and what it refuses. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <stdlib.h>

#include "data/arena.h"

enum { UNIT = 64, UNITS = 4096, SIZE = UNIT * UNITS, MOST = 1000 };

static struct pool__arena arena;
static struct pool__extent idle;
static unsigned char *base; /* cannot be read or written: the allocator has no business there */

static int reserve(void **state)
{
    (void)state;
    base = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return base == MAP_FAILED || !pool__arena_init(&arena, base, SIZE);
}

static int let_go(void **state)
{
    (void)state;
    pool__arena_free(&arena);
    return munmap(base, SIZE);
}

static void give(void *memory)
{
    assert_true(pool__arena_give(&arena, memory, &idle));
}

static void assert_all_is_free(void)
{
    void *whole = pool__arena_take(&arena, SIZE);

    assert_ptr_equal(whole, base);
    give(whole);
}

/* ------------------------------------------------------------------ the model: a byte for each unit, and the blocks */

static unsigned char owner_of[UNITS]; /* 1: in use */
static struct {
    size_t at, units;
} blocks[MOST];
static size_t count, in_use;
static uint64_t seed;

static size_t any(size_t limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(seed >> 33) % limit;
}

static void begin_model(uint64_t with)
{
    memset(owner_of, 0, sizeof owner_of);
    count = in_use = 0;
    seed = with;
}

static size_t longest_free_run(void)
{
    size_t longest = 0, here = 0;

    for (size_t i = 0; i < UNITS; i++) {
        here = owner_of[i] ? 0 : here + 1;
        if (here > longest)
            longest = here;
    }
    return longest;
}

static bool take_one(size_t bytes)
{
    size_t units = bytes == 0 ? 1 : (bytes + UNIT - 1) / UNIT, at;
    unsigned char *memory = pool__arena_take(&arena, bytes);

    if (memory == NULL) {
        assert_true(longest_free_run() < units); /* there was indeed no room */
        return false;
    }
    assert_int_equal((size_t)(memory - base) % UNIT, 0);
    at = (size_t)(memory - base) / UNIT;
    assert_true(at + units <= UNITS);
    for (size_t i = at; i < at + units; i++) {
        assert_int_equal(owner_of[i], 0);
        owner_of[i] = 1;
    }
    blocks[count].at = at;
    blocks[count++].units = units;
    in_use += units;
    return true;
}

static void give_one(size_t which)
{
    size_t at = blocks[which].at, units = blocks[which].units;

    give(base + at * UNIT);
    memset(owner_of + at, 0, units);
    in_use -= units;
    blocks[which] = blocks[--count];
    for (size_t i = 0; i < idle.size; i++) /* what is idle is nobody's */
        assert_int_equal(owner_of[(size_t)(idle.from + i - base) / UNIT], 0);
    assert_false(pool__arena_give(&arena, base + at * UNIT, &idle));
}

static void any_order_is_kept_apart(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 20; round++) {
        begin_model(round);
        for (int step = 0; step < 5000; step++) {
            if (count == 0 || (count < MOST && any(2) == 0))
                take_one(any(4) == 0 ? any(100 * UNIT) : any(4 * UNIT));
            else
                give_one(any(count));
        }
        while (count > 0)
            give_one(any(count));
        assert_all_is_free();
    }
}

/* Half full of blocks of 1 to 64 units that come and go at random, there is always room for another one. */
static void half_an_arena_is_always_enough(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 10; round++) {
        begin_model(round);
        for (int step = 0; step < 20000; step++) {
            size_t units = 1 + any(64);
            while (in_use + units > UNITS / 2)
                give_one(any(count));
            assert_true(take_one(units * UNIT));
        }
        while (count > 0)
            give_one(count - 1);
    }
    assert_all_is_free();
}

/* ------------------------------------------------------------------ room */

static void blocks_take_whole_units_and_no_more(void **state)
{
    static const size_t sizes[][2] = {{0, 1}, {1, 1}, {63, 1}, {64, 1}, {65, 2}, {128, 2}, {129, 3}};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *first = pool__arena_take(&arena, sizes[i][0]), *second = pool__arena_take(&arena, 1);
        assert_int_equal(second - first, (ptrdiff_t)(sizes[i][1] * UNIT));
        give(first);
        give(second);
    }
}

static void it_can_be_used_to_the_last_unit(void **state)
{
    static unsigned char *all[UNITS];

    (void)state;
    for (int i = 0; i < UNITS; i++) {
        all[i] = pool__arena_take(&arena, UNIT);
        assert_non_null(all[i]);
    }
    assert_null(pool__arena_take(&arena, 1));
    give(all[77]);
    assert_null(pool__arena_take(&arena, UNIT + 1));
    assert_ptr_equal(pool__arena_take(&arena, UNIT), all[77]);
    for (int i = 0; i < UNITS; i += 2)
        give(all[i]);
    assert_null(pool__arena_take(&arena, UNIT + 1)); /* half is free, nowhere two together */
    for (int i = 1; i < UNITS; i += 2)
        give(all[i]);
    assert_all_is_free();
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    assert_null(pool__arena_take(&arena, SIZE + 1));
    assert_null(pool__arena_take(&arena, SIZE_MAX));
    assert_null(pool__arena_take(&arena, SIZE_MAX - UNIT + 1));
    assert_null(pool__arena_take(&arena, SIZE_MAX / 2));
    assert_all_is_free();
}

/* Of the free blocks that would do, the smallest. */
static void the_best_fit_is_taken(void **state)
{
    unsigned char *block[6];

    (void)state;
    for (size_t i = 0; i < 6; i++)
        block[i] = pool__arena_take(&arena, (i == 1 ? 8 : i == 3 ? 4 : 1) * UNIT);
    give(block[1]);
    give(block[3]);
    assert_ptr_equal(pool__arena_take(&arena, 3 * UNIT), block[3]);
    assert_ptr_equal(pool__arena_take(&arena, 3 * UNIT), block[1]);
}

/* ------------------------------------------------------------------ what is not a block */

static void only_what_was_given_out_is_taken_back(void **state)
{
    unsigned char *block = pool__arena_take(&arena, 10 * UNIT), other[UNIT];

    (void)state;
    assert_false(pool__arena_give(&arena, NULL, &idle));
    assert_false(pool__arena_give(&arena, other, &idle));
    assert_false(pool__arena_give(&arena, base - UNIT, &idle));
    assert_false(pool__arena_give(&arena, base + SIZE, &idle));
    assert_false(pool__arena_give(&arena, block + 1, &idle));
    assert_false(pool__arena_give(&arena, block + UNIT, &idle));
    assert_false(pool__arena_give(&arena, block + 10 * UNIT, &idle)); /* free, and the beginning of a block */
    give(block);
    assert_false(pool__arena_give(&arena, block, &idle));
    assert_all_is_free();
}

static void its_bytes_are_told_from_others(void **state)
{
    (void)state;
    assert_true(pool__arena_has(&arena, base, SIZE));
    assert_true(pool__arena_has(&arena, base, 1));
    assert_true(pool__arena_has(&arena, base + SIZE - 1, 1));
    assert_false(pool__arena_has(&arena, base, 0));
    assert_false(pool__arena_has(&arena, base, SIZE + 1));
    assert_false(pool__arena_has(&arena, base + 1, SIZE));
    assert_false(pool__arena_has(&arena, base - 1, 2));
    assert_false(pool__arena_has(&arena, base + SIZE, 1));
    assert_false(pool__arena_has(&arena, base + 1, SIZE_MAX));
    assert_false(pool__arena_has(&arena, NULL, 1));
}

/* ------------------------------------------------------------------ memory for the system */

#define PIECE ((int)POOL__ARENA_PIECE)

static void large_pieces_are_told_once(void **state)
{
    /* nothing is there, and nothing looks */
    unsigned char *far = (unsigned char *)((uintptr_t)1 << 24), *block, *next;

    (void)state;
    pool__arena_free(&arena);
    assert_true(pool__arena_init(&arena, far, 16 * POOL__ARENA_PIECE));
    block = pool__arena_take(&arena, POOL__ARENA_PIECE - UNIT);
    next = pool__arena_take(&arena, 3 * POOL__ARENA_PIECE);
    give(block);
    assert_int_equal(idle.size, 0); /* too little */
    give(next);
    assert_ptr_equal(idle.from, far);
    assert_int_equal(idle.size, 16 * POOL__ARENA_PIECE); /* with all that is free around it */
    block = pool__arena_take(&arena, UNIT);
    give(block);
    assert_int_equal(idle.size, 0); /* the system has the rest already */
}

static void small_pieces_add_up(void **state)
{
    enum { BLOCKS = PIECE / 1024 };
    static void *all[BLOCKS];
    unsigned char *far = (unsigned char *)((uintptr_t)1 << 24);

    (void)state;
    pool__arena_free(&arena);
    assert_true(pool__arena_init(&arena, far, 4 * POOL__ARENA_PIECE));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BLOCKS; i++)
            all[i] = pool__arena_take(&arena, 1024);
        for (int i = 0; i < BLOCKS; i++) {
            give(all[(i * 7) % BLOCKS]);
            assert_int_equal(idle.size > 0, i == BLOCKS - 1);
        }
    }
}

/* ------------------------------------------------------------------ records */

static void many_blocks_are_as_quick_as_few(void **state)
{
    enum { BLOCKS = 300000 };
    unsigned char *far = (unsigned char *)((uintptr_t)1 << 24);
    void **all = calloc(BLOCKS, sizeof *all);

    (void)state;
    assert_non_null(all);
    pool__arena_free(&arena);
    assert_true(pool__arena_init(&arena, far, (size_t)BLOCKS * 4 * UNIT));
    seed = 1;
    for (int i = 0; i < BLOCKS; i++)
        all[i] = pool__arena_take(&arena, (1 + any(3)) * UNIT);
    for (int i = 0; i < BLOCKS; i += 2) /* every second one: as many free blocks as can be */
        give(all[i]);
    for (int i = 0; i < BLOCKS; i += 2)
        assert_non_null(all[i] = pool__arena_take(&arena, (1 + any(3)) * UNIT));
    for (int i = 0; i < BLOCKS; i++)
        give(all[i]);
    assert_ptr_equal(pool__arena_take(&arena, (size_t)BLOCKS * 4 * UNIT), far);
    free(all);
}

static void without_memory_for_records_nothing_is_lost(void **state)
{
    static void *all[UNITS];
    struct pool__arena other;
    int got = 0;

    (void)state;
    skip_unless_memory_can_fail();
    for (int failing = 1; failing <= 2; failing++) {
        fail_after(CALL_MEMORY, failing - 1, 1, ENOMEM);
        assert_false(pool__arena_init(&other, base, SIZE));
        assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    }
    fail_next(CALL_MEMORY, 10000, ENOMEM);
    while (got < UNITS && (all[got] = pool__arena_take(&arena, UNIT)) != NULL)
        got++;
    assert_in_range(got, 1, UNITS - 1);
    for (int i = 0; i < got; i++)
        give(all[i]); /* needs no memory */
    assert_true(fail_no_more(CALL_MEMORY) > 0);
    assert_all_is_free();
    for (got = 0; got < UNITS; got++) /* with memory again */
        assert_non_null(all[got] = pool__arena_take(&arena, UNIT));
    while (got > 0)
        give(all[--got]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, reserve, let_go)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_order_is_kept_apart),
        TEST(half_an_arena_is_always_enough),
        TEST(blocks_take_whole_units_and_no_more),
        TEST(it_can_be_used_to_the_last_unit),
        TEST(what_is_too_large_is_refused),
        TEST(the_best_fit_is_taken),
        TEST(only_what_was_given_out_is_taken_back),
        TEST(its_bytes_are_told_from_others),
        TEST(large_pieces_are_told_once),
        TEST(small_pieces_add_up),
        TEST(many_blocks_are_as_quick_as_few),
        TEST(without_memory_for_records_nothing_is_lost),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
