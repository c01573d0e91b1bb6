/*
 * The ring of large bodies and the heads of their pieces: what goes in comes out, in every order of turns that there
 * is; and what a worker may have written in its place is either no room or nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "data/bulk.h"

static struct pool__bulk bulk;
static unsigned char source[POOL__RING_ROOM + 1];

static unsigned char byte_at(uint64_t i)
{
    return (unsigned char)(i * 167 + (i >> 8) + (i >> 16));
}

static void fill(uint64_t from, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++)
        source[i] = byte_at(from + i);
}

static int begin(void **state)
{
    (void)state;
    memset(&bulk, 0, sizeof bulk);
    return 0;
}

static void put_all(struct pool__ring *ring, uint64_t *put, size_t size)
{
    uint64_t end = *put + size;

    while (*put < end) {
        fill(*put, (size_t)(end - *put));
        assert_int_not_equal(pool__ring_put(ring, put, source, end - *put), 0);
    }
}

static void take(struct pool__ring *ring, uint64_t *taken, size_t size)
{
    const unsigned char *piece = pool__ring_piece(ring, *taken, size);
    size_t i;

    assert_non_null(piece);
    for (i = 0; i < size; i++)
        assert_int_equal(piece[i], byte_at(*taken + i));
    pool__ring_took(ring, taken, size);
}

static void what_goes_in_comes_out(void **state)
{
    uint64_t put = 0, taken = 0;
    size_t size, round;

    (void)state;
    for (round = 0; round < 400; round++) {
        size_t left = (round * 7919) % POOL__PIECE_MOST + 1;

        for (; left > 0; left -= size) { /* cut where the ring ends */
            uint64_t before = put;

            fill(put, left);
            size = pool__ring_put(&bulk.in, &put, source, left);
            assert_true(size > 0 && size <= left && put == before + size);
            take(&bulk.in, &taken, size);
        }
    }
    assert_true(put > POOL__RING_ROOM);
    assert_int_equal(put, taken);
}

static void it_holds_no_more_than_its_room(void **state)
{
    uint64_t put = 0, taken = 0;

    (void)state;
    put_all(&bulk.in, &put, POOL__RING_ROOM);
    assert_int_equal(pool__ring_put(&bulk.in, &put, source, 1), 0);
    take(&bulk.in, &taken, 1);
    fill(put, 2);
    assert_int_equal(pool__ring_put(&bulk.in, &put, source, 2), 1);
    assert_int_equal(pool__ring_put(&bulk.in, &put, source, 1), 0);
    while (taken < put) {
        size_t end = POOL__RING_ROOM - (size_t)(taken % POOL__RING_ROOM);
        size_t left = (size_t)(put - taken) < end ? (size_t)(put - taken) : end;

        take(&bulk.in, &taken, left < POOL__PIECE_MOST ? left : POOL__PIECE_MOST);
    }
}

static void a_piece_has_a_bound(void **state)
{
    uint64_t put = 0;

    (void)state;
    assert_int_equal(pool__ring_put(&bulk.out, &put, source, sizeof source), POOL__PIECE_MOST);
    assert_non_null(pool__ring_piece(&bulk.out, 0, POOL__PIECE_MOST));
    assert_null(pool__ring_piece(&bulk.out, 0, POOL__PIECE_MOST + 1));
    assert_null(pool__ring_piece(&bulk.out, 0, UINT64_MAX));
    assert_non_null(pool__ring_piece(&bulk.out, POOL__RING_ROOM - 1, 1));
    assert_null(pool__ring_piece(&bulk.out, POOL__RING_ROOM - 1, 2)); /* it would wrap */
}

/* What a reader publishes that cannot be leaves no room: nothing outside the ring is written, ever. */
static void counts_that_cannot_be_are_no_room(void **state)
{
    static const uint64_t lies[] = {
        101, 102, 1000, POOL__RING_ROOM + 101, UINT64_MAX - POOL__RING_ROOM, (uint64_t)1 << 63};
    uint64_t put = 0;
    size_t i;

    (void)state;
    put_all(&bulk.in, &put, 100);
    for (i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        atomic_store(&bulk.in.taken, lies[i]);
        assert_int_equal(pool__ring_put(&bulk.in, &put, source, 10), 0);
    }
    atomic_store(&bulk.in.taken, 100);
    assert_int_equal(pool__ring_put(&bulk.in, &put, source, 10), 10);
    put = POOL__RING_ROOM * UINT64_C(5) + 7;
    atomic_store(&bulk.in.taken, put - POOL__RING_ROOM - 1);
    assert_int_equal(pool__ring_put(&bulk.in, &put, source, 10), 0);
    assert_true(atomic_load(&bulk.out.taken) == 0 && bulk.out.bytes[0] == 0);
}

static void it_is_clean_until_it_is_used(void **state)
{
    uint64_t put = 0;

    (void)state;
    assert_true(pool__bulk_is_clean(&bulk));
    put_all(&bulk.out, &put, 1);
    assert_false(pool__bulk_is_clean(&bulk));
    pool__bulk_clear(&bulk);
    assert_true(pool__bulk_is_clean(&bulk));
    put = 0;
    put_all(&bulk.in, &put, 1);
    assert_false(pool__bulk_is_clean(&bulk));
}

static bool decodes(uint64_t size, uint64_t kind, uint64_t left)
{
    unsigned char head[POOL__PIECE_SIZE];
    struct pool__piece piece;

    memcpy(head, &size, 8);
    memcpy(head + 8, &kind, 8);
    return pool__piece_decode(head, left, &piece) && piece.size == size && piece.kind == (enum pool__piece_kind)kind;
}

static void heads_are_checked(void **state)
{
    static const enum pool__piece_kind kinds[] = {POOL__PIECE_PIPE, POOL__PIECE_RING, POOL__PIECE_NEVER};
    unsigned char head[POOL__PIECE_SIZE];
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        struct pool__piece piece = {kinds[i], 0x0102030405060708}, got;

        pool__piece_encode(head, &piece);
        assert_true(pool__piece_decode(head, piece.size, &got));
        assert_true(got.kind == kinds[i] && got.size == piece.size);
        assert_false(decodes(100, i, 99));
    }
    assert_true(decodes(1, POOL__PIECE_PIPE, 100));
    assert_false(decodes(0, POOL__PIECE_PIPE, 100)); /* it would never end */
    assert_false(decodes(0, POOL__PIECE_RING, 100));
    assert_false(decodes(99, POOL__PIECE_NEVER, 100)); /* all of it, or none */
    assert_false(decodes(1, 3, 100));
    assert_false(decodes(1, UINT64_MAX, 100));
    assert_false(decodes(1, (uint64_t)1 << 32, 100));
}

/* ---- two threads, as the two processes are: the pipe is a queue of sizes */

enum { PASSES = 2000 };

static _Atomic uint64_t told; /* bytes that the reader has been told of */

static void *write_pieces(void *unused)
{
    static unsigned char bytes[POOL__PIECE_MOST];
    uint64_t put = 0, pass;

    for (pass = 0; pass < PASSES; pass++) {
        size_t size = (size_t)(pass * 6151 % 40000) + 1, i, count;

        for (i = 0; i < size; i++)
            bytes[i] = byte_at(put + i);
        for (i = 0; i < size; i += count) {
            while ((count = pool__ring_put(&bulk.in, &put, bytes + i, size - i)) == 0)
                sched_yield();
            atomic_store(&told, put);
        }
    }
    return unused;
}

static void one_writes_while_the_other_reads(void **state)
{
    uint64_t taken = 0, end = 0, pass, i;
    pthread_t writer;
    bool equal = true;

    (void)state;
    for (pass = 0; pass < PASSES; pass++)
        end += pass * 6151 % 40000 + 1;
    atomic_store(&told, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_pieces, NULL), 0);
    while (taken < end) {
        uint64_t here = atomic_load(&told) - taken, room = POOL__RING_ROOM - taken % POOL__RING_ROOM;
        const unsigned char *piece;

        here = here < room ? here : room;
        here = here < 5000 ? here : 5000;
        if (here == 0)
            sched_yield();
        piece = pool__ring_piece(&bulk.in, taken, here);
        for (i = 0; i < here; i++)
            equal = equal && piece[i] == byte_at(taken + i);
        pool__ring_took(&bulk.in, &taken, (size_t)here);
    }
    pthread_join(writer, NULL);
    assert_true(equal);
    assert_int_equal(taken, atomic_load(&told));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_goes_in_comes_out, begin),
        cmocka_unit_test_setup(it_holds_no_more_than_its_room, begin),
        cmocka_unit_test_setup(a_piece_has_a_bound, begin),
        cmocka_unit_test_setup(counts_that_cannot_be_are_no_room, begin),
        cmocka_unit_test_setup(it_is_clean_until_it_is_used, begin),
        cmocka_unit_test_setup(heads_are_checked, begin),
        cmocka_unit_test_setup(one_writes_while_the_other_reads, begin),
    };

    return cmocka_run_group_tests_name("bulk", tests, NULL, NULL);
}
