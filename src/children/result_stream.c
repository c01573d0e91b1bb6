#include "children/result_stream.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"

#ifndef PIPE_BUF
#define PIPE_BUF 512 /* what every system has at least */
#endif

static struct stream {
    struct pool__board *board;
    int tasks, results, doorbell;
    struct pool__identity tasks_identity, results_identity, doorbell_identity;
    bool tasks_unchecked; /* an item has run since it was last looked at */
    /* staging holds [base, staged), of which [written, staged) is still to be written */
    uint64_t base, staged, written;
    struct pool__bulk *bulk;
    uint64_t put; /* into its ring */
    uint64_t oldest;
    /* the open row: its results stand behind `staged` and room for its header */
    struct pool__record row; /* count 0: there is none */
    unsigned char *row_end;
} self;

struct pool__stream_room pool__stream_room;

static void room_is(unsigned char *from)
{
    pool__stream_room.from = from;
    pool__stream_room.to = self.board->staging + POOL__STAGING_SIZE;
}

void pool__stream_begin(const struct pool__worker_birth *birth)
{
    memset(&self, 0, sizeof self); /* a worker of a pool that was made in a worker has that one's here */
    self.board = birth->board;
    room_is(birth->board->staging);
    self.bulk = birth->bulk;
    self.tasks = birth->tasks;
    self.results = birth->results;
    self.doorbell = birth->doorbell;
    pool__identity_of(birth->tasks, &self.tasks_identity);
    pool__identity_of(birth->results, &self.results_identity);
    if (birth->doorbell >= 0)
        pool__identity_of(birth->doorbell, &self.doorbell_identity);
}

/*
 * The host may hear of nothing else than its doorbell. Where a task has closed that, this worker is of no use to it
 * any more.
 */
void pool__stream_ring(void)
{
    if (self.doorbell < 0)
        return;
    if (!pool__identity_is(self.doorbell, &self.doorbell_identity))
        _exit(0);
    pool__ring(self.doorbell);
}

/*
 * By the doorbell in pieces that a pipe takes whole or not at all: so a write that blocks has nothing in the pipe that
 * was not rung for.
 */
static void write_or_die(const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        size_t piece = self.doorbell >= 0 && size > PIPE_BUF ? PIPE_BUF : size;

        /* nobody reads any more: the host is gone, or a task has closed our descriptors */
        if (!pool__write_all(self.results, at, piece))
            _exit(0);
        pool__stream_ring();
        at += piece;
        size -= piece;
    }
}

/*
 * A task that closed our descriptors may have opened its own under the numbers: nothing is written there, and no task
 * is waited for there. What is staged, the host takes from the board. Every item leaves something to be flushed, so
 * after each flush that has written the task pipe is looked at again, when the host has its results already.
 */
static void check_results(void)
{
    if (!pool__identity_is(self.results, &self.results_identity))
        _exit(0);
    self.tasks_unchecked = true;
}

void pool__stream_check_tasks(void)
{
    if (self.tasks_unchecked && !pool__identity_is(self.tasks, &self.tasks_identity))
        _exit(0);
    self.tasks_unchecked = false;
}

static void close_row(void);

void pool__stream_flush(void)
{
    close_row();
    if (self.written < self.staged) {
        check_results();
        write_or_die(self.board->staging + (self.written - self.base), (size_t)(self.staged - self.written));
    }
    self.written = self.base = self.staged;
    self.oldest = 0;
    room_is(self.board->staging);
    /* after this store the bytes may be overwritten: a host that copies them looks at base again */
    atomic_store_explicit(&self.board->base, self.base, memory_order_release);
    atomic_thread_fence(memory_order_release);
}

static unsigned char *staged_end(void)
{
    return self.board->staging + (self.staged - self.base);
}

static uint64_t record_length(uint64_t payload)
{
    return POOL__RECORD_SIZE + pool__padded(payload, POOL__RECORD_ALIGN);
}

uint64_t pool__stream_oldest(void)
{
    return self.oldest;
}

/* Publishes bytes that lie ready behind what is staged. */
static void publish(uint64_t length)
{
    self.staged += length;
    room_is(staged_end());
    atomic_store_explicit(&self.board->staged, self.staged, memory_order_release);
}

/* ---- rows */

static void close_row(void)
{
    size_t payload, length;

    if (self.row.count == 0)
        return;
    payload = self.row.count * pool__row_stride(self.row.each, self.row.timed);
    self.row.size = pool__padded(payload, POOL__RECORD_ALIGN);
    length = POOL__RECORD_SIZE + (size_t)self.row.size;
    memset(self.row_end, 0, (size_t)self.row.size - payload);
    pool__record_encode(staged_end(), &self.row);
    self.row.count = 0;
    publish(length);
    pool__board_row_closed(self.board);
}

static void open_row(const struct pool__frame *frame, uint32_t offset, size_t each, bool there, uint64_t start)
{
    memset(&self.row, 0, sizeof self.row);
    self.row.kind = POOL__RECORD_ROW;
    self.row.timed = (frame->flags & POOL__FRAME_TIMED) != 0;
    self.row.batch = frame->batch;
    self.row.offset = offset;
    self.row.each = (uint32_t)each;
    self.row.there = there;
    self.row.start = start;
    self.row_end = staged_end() + POOL__RECORD_SIZE;
    pool__board_row_opened(self.board, &self.row);
    if (self.oldest == 0)
        self.oldest = start;
}

static bool follows(const struct pool__frame *frame, uint32_t offset, size_t each, bool there)
{
    return self.row.count > 0 && self.row.each == each && self.row.there == there &&
           self.row.offset + self.row.count == offset && self.row.batch == frame->batch;
}

static void room_behind(const unsigned char *end)
{
    pool__stream_room.from = (unsigned char *)pool__padded((uintptr_t)end, POOL__RECORD_ALIGN);
}

/* The payload lies behind the row, so what is written before it cannot reach it before it is copied. */
void pool__stream_add(const struct pool__frame *frame, uint32_t offset, const void *payload, size_t each,
                      uint64_t start, uint64_t run)
{
    bool there = payload == NULL;
    unsigned char *at;

    if (!follows(frame, offset, each, there)) {
        close_row();
        open_row(frame, offset, each, there, start);
    }
    at = self.row_end;
    if (self.row.timed) {
        if (each > 0)
            memmove(at + sizeof run, payload, each);
        memcpy(at, &run, sizeof run);
        at += sizeof run;
    } else if (each == sizeof(uint64_t)) { /* what most results are: a constant size is a few instructions */
        memcpy(at, payload, sizeof(uint64_t));
    } else if (each > 0) {
        memmove(at, payload, each);
    }
    self.row_end = at + each;
    self.row.run += run;
    self.row.count++;
    room_behind(self.row_end);
}

/* Results one after the other are each aligned for any type of their size only with these. */
static bool is_aligned(size_t each)
{
    return each == 1 || each == 2 || each == 4 || each == 8 || (each > 0 && each % POOL__RECORD_ALIGN == 0);
}

/* A result that is not of the row needs its room as ever. */
bool pool__stream_places(const struct pool__frame *frame, uint32_t offset, uint32_t most,
                         struct pool__row_places *places)
{
    size_t free = (size_t)(pool__stream_room.to - pool__stream_room.from);

    if (self.row.timed || !follows(frame, offset, self.row.each, self.row.there))
        return false;
    places->first = NULL;
    places->each = self.row.each;
    places->most = most;
    if (self.row.there)
        return true;
    if (!is_aligned(places->each) || free < POOL__RESULT_ROOM + places->each)
        return false;
    if (most > (free - POOL__RESULT_ROOM) / places->each)
        places->most = (uint32_t)((free - POOL__RESULT_ROOM) / places->each);
    places->first = self.row_end;
    room_behind(self.row_end + places->most * places->each);
    return true;
}

void pool__stream_stand(const struct pool__row_places *places, uint32_t count)
{
    self.row.count += count;
    if (places->first == NULL)
        return;
    self.row_end += count * places->each;
    room_behind(self.row_end);
}

void pool__stream_took(uint64_t run)
{
    self.row.run += run;
}

/* ---- records */

/* Bytes of the stream that are not staged. */
static void write_directly(const void *data, size_t size)
{
    write_or_die(data, size);
    self.written += size;
}

/* The next piece of a large payload. */
static size_t send_piece(const unsigned char *at, uint64_t left)
{
    unsigned char page[POOL__PIECE_SIZE + POOL__PIECE_BETWEEN];
    size_t count = pool__ring_put(&self.bulk->out, &self.put, at, left), padded = 0;
    struct pool__piece piece = {POOL__PIECE_RING, count};

    if (count == 0) {
        piece.kind = POOL__PIECE_PIPE;
        piece.size = count = left < POOL__PIECE_BETWEEN ? (size_t)left : POOL__PIECE_BETWEEN;
        padded = (size_t)pool__padded(count, POOL__PIECE_ALIGN);
        memcpy(page + POOL__PIECE_SIZE, at, count);
        memset(page + POOL__PIECE_SIZE + count, 0, padded - count);
    }
    pool__piece_encode(page, &piece);
    write_directly(page, POOL__PIECE_SIZE + padded);
    return count;
}

/* Too large for staging: in pieces (data/bulk.h), by the ring and the pipe. Published when whole. */
static void send_directly(const struct pool__record *record, const unsigned char *payload)
{
    static const unsigned char zeros[POOL__RECORD_ALIGN];
    unsigned char head[POOL__RECORD_SIZE];
    uint64_t sent = 0;

    pool__stream_flush();
    check_results();
    pool__record_encode(head, record);
    write_directly(head, sizeof head);
    while (sent < record->size)
        sent += send_piece(payload + sent, record->size - sent);
    write_directly(zeros, (size_t)(pool__padded(record->size, POOL__RECORD_ALIGN) - record->size));
    self.base = self.staged = self.written;
    atomic_store_explicit(&self.board->base, self.base, memory_order_release);
    atomic_store_explicit(&self.board->staged, self.staged, memory_order_release);
}

void pool__stream_send(const struct pool__record *record, const void *payload, uint64_t began)
{
    uint64_t length = record_length(record->size);
    unsigned char *at;

    close_row();
    if (pool__board_is_large(record)) {
        send_directly(record, payload);
        return;
    }
    if (length > (size_t)(pool__stream_room.to - pool__stream_room.from))
        pool__stream_flush();
    at = staged_end();
    /* a result that was built in place lies there already */
    if (payload != NULL && record->size > 0 && payload != at + POOL__RECORD_SIZE)
        memmove(at + POOL__RECORD_SIZE, payload, (size_t)record->size);
    memset(at + POOL__RECORD_SIZE + record->size, 0, (size_t)(length - POOL__RECORD_SIZE - record->size));
    pool__record_encode(at, record);
    publish(length);
    if (self.oldest == 0)
        self.oldest = began;
}

void pool__stream_send_plain(enum pool__record_kind kind, uint32_t batch)
{
    struct pool__record record;

    memset(&record, 0, sizeof record);
    record.kind = kind;
    record.batch = batch;
    pool__stream_send(&record, NULL, 0);
}
