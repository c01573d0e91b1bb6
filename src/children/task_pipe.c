/* task_pipe - the worker's end of its task pipe: whole frames, in one piece or, where they are large, put together. */
#include "children/task_pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "children/result_stream.h"
#include "children/spare.h"
#include "data/bulk.h"
#include "data/spin.h"

#define INPUT_ROOM 65536u

/* Its pages are there only when something was read into them; those of the heap are not disturbed. */
static _Alignas(64) unsigned char small_input[INPUT_ROOM];

/* One process, one worker. */
static struct task_pipe {
    struct pool__worker_birth birth;
    struct pool__board *board;
    /* bytes [from, to) of `input` are unread; `from` is a multiple of 16 */
    unsigned char *input; /* of INPUT_ROOM bytes */
    size_t from, to;
    uint64_t taken;            /* bytes read so far */
    uint64_t ring_taken;       /* from the ring of large bodies */
    struct pool__spare bodies; /* memory of an earlier large one */
    unsigned char *body;       /* of the frame at hand, where that is large; NULL: it is not */
    size_t body_room;
    struct pool__spin spin;
} self;

void pool__tasks_begin(const struct pool__worker_birth *birth)
{
    memset(&self, 0, sizeof self); /* a worker of a pool that was made in a worker has that one's here */
    self.birth = *birth;
    self.board = birth->board;
    self.input = small_input;
    self.spin.budget = birth->setup->spin;
}

/* Only the host's word is looked at, no system call is made; what it says about the pipe is true, or is no worry. */
static void look_for_a_moment(void)
{
    bool seen, late;
    uint64_t end;

    if (atomic_load_explicit(&self.board->sent, memory_order_acquire) > self.taken || !pool__spin_may(&self.spin))
        return;
    end = pool__now() + self.spin.budget;
    do {
        seen = atomic_load_explicit(&self.board->sent, memory_order_acquire) > self.taken;
        late = pool__now() >= end; /* what is seen too late came while another process had the processor */
    } while (!seen && !late);
    if (late)
        pool__spin_vain(&self.spin);
    else
        pool__spin_hit(&self.spin);
}

/* Waits for bytes; everything finished is flushed before a read that may block. */
static size_t read_tasks(unsigned char *to, size_t room)
{
    ssize_t got;

    pool__stream_flush();
    pool__stream_check_tasks();
    look_for_a_moment();
    got = pool__read_some(self.birth.tasks, to, room);
    if (got <= 0)
        _exit(0);        /* the host is gone */
    pool__stream_ring(); /* there is room now */
    self.taken += (uint64_t)got;
    return (size_t)got;
}

/*
 * Waits until `need` unread bytes are here, at most INPUT_ROOM. What is unread moves to the start where there is no
 * room behind it, and keeps its alignment.
 */
static void fill_input(size_t need)
{
    if (self.from == self.to)
        self.from = self.to = 0;
    if (INPUT_ROOM - self.from < need) {
        memmove(self.input, self.input + self.from, self.to - self.from);
        self.to -= self.from;
        self.from = 0;
    }
    while (self.to - self.from < need)
        self.to += read_tasks(self.input + self.to, INPUT_ROOM - self.to);
}

static bool in_pieces(const struct pool__frame *frame)
{
    return (frame->flags & POOL__FRAME_PIECES) != 0;
}

static void next_frame(struct pool__frame *frame)
{
    fill_input(POOL__FRAME_SIZE);
    if (!pool__frame_decode(self.input + self.from, frame) ||
        (!in_pieces(frame) && frame->body > POOL__PLACES_SIZE + POOL__FRAME_MAX))
        _exit(0); /* not a frame that a host of this version makes */
    if (!in_pieces(frame))
        fill_input(POOL__FRAME_SIZE + (size_t)frame->body);
}

/* ---- large bodies: data/bulk.h */

/* Bytes of the task pipe, of which some may have been read already. */
static void receive_piped(unsigned char *to, size_t size)
{
    size_t here = self.to - self.from < size ? self.to - self.from : size;

    memcpy(to, self.input + self.from, here);
    self.from += here;
    while (here < size)
        here += read_tasks(to + here, size - here);
}

static void receive_from_ring(unsigned char *to, size_t size)
{
    const unsigned char *piece = pool__ring_piece(&self.birth.bulk->in, self.ring_taken, size);

    if (piece == NULL)
        _exit(0);
    memcpy(to, piece, size);
    pool__ring_took(&self.birth.bulk->in, &self.ring_taken, size);
}

/* The next piece of a body, of which `left` bytes are missing. 0: they never come, no item of it is ours any more. */
static size_t receive_piece(unsigned char *to, size_t left)
{
    struct pool__piece piece;

    fill_input(POOL__PIECE_SIZE);
    if (!pool__piece_decode(self.input + self.from, left, &piece))
        _exit(0);
    self.from += POOL__PIECE_SIZE;
    if (piece.kind == POOL__PIECE_NEVER)
        return 0;
    if (piece.kind == POOL__PIECE_RING)
        receive_from_ring(to, (size_t)piece.size);
    else
        receive_piped(to, (size_t)pool__padded(piece.size, POOL__PIECE_ALIGN));
    return (size_t)piece.size;
}

/* Into memory that is then the caller's, of *room bytes: the last piece's padding has room there too. */
static unsigned char *receive_body(size_t size, size_t *room)
{
    size_t have = 0, got = 1;
    unsigned char *body;

    if (size > SIZE_MAX / 2)
        _exit(0);
    body = pool__spare_take(&self.bodies, size + POOL__PIECE_ALIGN, room);
    if (body == NULL)
        body = malloc(*room = size + POOL__PIECE_ALIGN);
    if (body == NULL)
        pool__worker_exit(ENOMEM);
    while (have < size && got > 0) {
        got = receive_piece(body + have, size - have);
        have += got;
    }
    return body;
}

/* ---- frames */

const unsigned char *pool__tasks_next(struct pool__frame *frame)
{
    const unsigned char *body;

    next_frame(frame);
    body = self.input + self.from + POOL__FRAME_SIZE;
    if (!in_pieces(frame))
        return body;
    self.from += POOL__FRAME_SIZE;
    return self.body = receive_body((size_t)frame->item_size, &self.body_room);
}

void pool__tasks_done(const struct pool__frame *frame, size_t keep_most)
{
    if (in_pieces(frame))
        pool__spare_give(&self.bodies, self.body, self.body_room, keep_most);
    else
        self.from += POOL__FRAME_SIZE + (size_t)frame->body;
    pool__spare_turn(&self.bodies);
}
