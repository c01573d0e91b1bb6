/*
 * A large body from one end to the other: what bulk_out puts into ring and pipe, bulk_in gives back, wherever the pipe
 * is cut, and whatever the ring has room for; a body that is let go in the middle; a stream that no worker sends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/bulk_in.h"
#include "engine/bulk_out.h"

enum { MOST = 3 << 20, PIPE = 65536 };

static struct pool__bulk bulk;
static struct pool__bulk_out out;
static struct pool__bulk_in in;
static struct pool__bytes backlog;
static struct pool__job job;
static unsigned char body[MOST], got[MOST], pipe_bytes[2 * PIPE];
static size_t got_size, pipe_from, pipe_to;
static unsigned number;

static unsigned below(unsigned most)
{
    number = number * 1103515245u + 12345u;
    return (number >> 8) % most;
}

static int begin(void **state)
{
    size_t i;

    (void)state;
    memset(&bulk, 0, sizeof bulk);
    memset(&out, 0, sizeof out);
    memset(&in, 0, sizeof in);
    memset(&job, 0, sizeof job);
    out.ring = in.ring = &bulk.in;
    for (i = 0; i < MOST; i++)
        body[i] = (unsigned char)(i * 31 + (i >> 7));
    got_size = pipe_from = pipe_to = 0;
    assert_true(pool__bytes_reserve(&backlog, 4096));
    return 0;
}

static int end(void **state)
{
    (void)state;
    pool__bytes_free(&backlog);
    return 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t into_pipe(const void *bytes, size_t size, size_t most)
{
    size_t room = PIPE - (pipe_to - pipe_from);

    size = smaller(smaller(size, most), room);
    if (sizeof pipe_bytes - pipe_to < size) {
        memmove(pipe_bytes, pipe_bytes + pipe_from, pipe_to - pipe_from);
        pipe_to -= pipe_from;
        pipe_from = 0;
    }
    if (size > 0)
        memcpy(pipe_bytes + pipe_to, bytes, size);
    pipe_to += size;
    return size;
}

/* One write of at most `most` bytes, as channel.c makes them. */
static void send_some(size_t most)
{
    struct iovec part;
    size_t held, put;

    if (pool__bytes_held(&backlog) == 0)
        (void)pool__bulk_out_next(&out, &backlog);
    held = pool__bytes_held(&backlog);
    put = into_pipe(backlog.data + backlog.from, held, most);
    pool__bytes_take(&backlog, put);
    part = pool__bulk_out_part(&out);
    if (put == held)
        pool__bulk_out_wrote(&out, into_pipe(part.iov_base, part.iov_len, most - put));
}

static bool is_sending(void)
{
    return pool__bulk_out_waits(&out) || pool__bytes_held(&backlog) > 0;
}

/* One read of at most `most` bytes. False: nonsense. */
static bool receive_some(size_t most)
{
    size_t size = smaller(pipe_to - pipe_from, most), piece_size;
    const unsigned char *bytes = pipe_bytes + pipe_from, *piece;

    pipe_from += size;
    pool__bulk_in_read(&in);
    while (pool__bulk_in_waits(&in)) {
        enum pool__bulk_step step = pool__bulk_in_step(&in, &bytes, &size, &piece, &piece_size);

        if (step == POOL__BULK_NOTHING)
            break;
        if (step == POOL__BULK_NONSENSE)
            return false;
        if (step == POOL__BULK_PASSED)
            continue;
        assert_true(piece_size > 0 && got_size + piece_size <= MOST);
        memcpy(got + got_size, piece, piece_size);
        got_size += piece_size;
        if (step == POOL__BULK_FROM_RING)
            pool__bulk_in_took(&in, piece_size);
    }
    assert_int_equal(size, 0);
    return true;
}

static void check_body(size_t size, unsigned cut)
{
    got_size = 0;
    in.left = size;
    pool__bulk_out_begin(&out, body, size, &job, 1);
    assert_int_equal(job.pinned, 1);
    while (is_sending() || pool__bulk_in_waits(&in)) {
        unsigned turns;

        for (turns = below(12); turns > 0 && is_sending(); turns--)
            send_some(cut > 0 ? 1 + below(cut) : PIPE);
        assert_true(receive_some(cut > 0 ? 1 + below(cut) : PIPE));
    }
    assert_int_equal(got_size, size);
    assert_memory_equal(got, body, size);
    assert_int_equal(job.pinned, 0);
    assert_int_equal(pipe_from, pipe_to);
}

static void bodies_arrive_however_they_are_cut(void **state)
{
    static const unsigned cuts[] = {0, 1, 3, 17, 100, 5000};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        check_body(1, cuts[i]);
        check_body(15, cuts[i]);
        check_body(16, cuts[i]);
        check_body(POOL__PIECE_MOST, cuts[i]);
        check_body(POOL__PIECE_MOST + 1, cuts[i]);
        check_body(POOL__RING_ROOM - 1, cuts[i]);
        check_body(POOL__RING_ROOM, cuts[i]);
        check_body(POOL__RING_ROOM + 1, cuts[i]);
        check_body(cuts[i] == 0 || cuts[i] > 10 ? MOST - 5 : 2 * POOL__RING_ROOM, cuts[i]);
    }
}

/* With a count that cannot be there is no room in the ring: the pipe does it alone. */
static void bodies_arrive_without_a_ring(void **state)
{
    size_t size;

    (void)state;
    atomic_store(&bulk.in.taken, UINT64_MAX / 2);
    for (size = POOL__PIECE_BETWEEN - 1; size <= POOL__PIECE_BETWEEN + 1; size++)
        check_body(size, 100);
    check_body(MOST, 0);
    assert_int_equal(in.taken, 0);
}

static void one_that_is_let_go_never_comes(void **state)
{
    unsigned steps;

    (void)state;
    for (steps = 0; steps < 40; steps++) {
        bool ended = false;

        begin(state);
        pool__bulk_out_begin(&out, body, MOST, &job, 1);
        for (unsigned i = 0; i < steps; i++)
            send_some(2000);
        pool__bulk_out_forget(&out);
        assert_int_equal(job.pinned, 0);
        while (is_sending()) {
            send_some(2000);
            assert_true(pipe_to - pipe_from < PIPE);
        }
        in.left = MOST;
        ended = !receive_some(PIPE); /* the reader in a host takes no such word: it is the last */
        assert_true(ended && in.left > 0);
        assert_memory_equal(got, body, smaller(got_size, 1000));
        end(state);
    }
    begin(state);
}

static bool is_nonsense(uint64_t size, enum pool__piece_kind kind)
{
    struct pool__piece piece = {kind, size};

    in.have = 0;
    in.piece = in.padding = 0;
    in.left = 1000000;
    pipe_from = 0;
    pipe_to = POOL__PIECE_SIZE;
    pool__piece_encode(pipe_bytes, &piece);
    return !receive_some(PIPE);
}

static void what_no_worker_sends_is_nonsense(void **state)
{
    (void)state;
    assert_true(is_nonsense(0, POOL__PIECE_PIPE));
    assert_true(is_nonsense(POOL__PIECE_BETWEEN + 1, POOL__PIECE_PIPE));
    assert_true(is_nonsense(POOL__PIECE_MOST + 1, POOL__PIECE_RING));
    assert_true(is_nonsense(1000001, POOL__PIECE_RING));
    assert_true(is_nonsense(1000000, POOL__PIECE_NEVER));
    assert_false(is_nonsense(POOL__PIECE_BETWEEN, POOL__PIECE_PIPE));
    assert_false(is_nonsense(POOL__PIECE_MOST, POOL__PIECE_RING));
}

/* More of them than the ring holds cannot have been there when the pipe was read. */
static void a_flood_of_heads_is_nonsense(void **state)
{
    struct pool__piece piece = {POOL__PIECE_RING, POOL__RING_ROOM / 4}; /* none of them wraps */
    unsigned i;

    (void)state;
    in.left = (uint64_t)1 << 40;
    for (i = 0; i < 5; i++)
        pool__piece_encode(pipe_bytes + i * POOL__PIECE_SIZE, &piece);
    pipe_to = 5 * POOL__PIECE_SIZE;
    assert_true(receive_some(4 * POOL__PIECE_SIZE));
    assert_true(receive_some(POOL__PIECE_SIZE)); /* the next read: there may be as much again */
    pipe_from = 0;
    pipe_to = 5 * POOL__PIECE_SIZE;
    assert_false(receive_some(PIPE));
    assert_int_equal(got_size, 9 * (POOL__RING_ROOM / 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bodies_arrive_however_they_are_cut, begin, end),
        cmocka_unit_test_setup_teardown(bodies_arrive_without_a_ring, begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_let_go_never_comes, begin, end),
        cmocka_unit_test_setup_teardown(what_no_worker_sends_is_nonsense, begin, end),
        cmocka_unit_test_setup_teardown(a_flood_of_heads_is_nonsense, begin, end),
    };

    return cmocka_run_group_tests_name("bulk_body", tests, NULL, NULL);
}
