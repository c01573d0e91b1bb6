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
    /* staging holds [base, staged), of which [written, staged) is still to be written */
    uint64_t base, staged, written;
    uint64_t oldest;
} self;

void pool__stream_begin(const struct pool__worker_birth *birth)
{
    memset(&self, 0, sizeof self); /* a worker of a pool that was made in a worker has that one's here */
    self.board = birth->board;
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
 * this comes before each read that follows one.
 */
static void check_pipes(void)
{
    if (!pool__identity_is(self.results, &self.results_identity) ||
        !pool__identity_is(self.tasks, &self.tasks_identity))
        _exit(0);
}

void pool__stream_flush(void)
{
    if (self.written < self.staged) {
        check_pipes();
        write_or_die(self.board->staging + (self.written - self.base), (size_t)(self.staged - self.written));
    }
    self.written = self.base = self.staged;
    self.oldest = 0;
    /* after this store the bytes may be overwritten: a host that copies them looks at base again */
    atomic_store_explicit(&self.board->base, self.base, memory_order_release);
    atomic_thread_fence(memory_order_release);
}

static size_t staging_used(void)
{
    return (size_t)(self.staged - self.base);
}
static size_t staging_free(void)
{
    return POOL__STAGING_SIZE - staging_used();
}

static uint64_t record_length(uint64_t payload)
{
    return POOL__RECORD_SIZE + pool__padded(payload, POOL__RECORD_ALIGN);
}

void pool__stream_room(size_t least, unsigned char **room, size_t *size)
{
    if (staging_free() < least)
        pool__stream_flush();
    *room = self.board->staging + staging_used();
    *size = staging_free();
}

uint64_t pool__stream_oldest(void)
{
    return self.oldest;
}

/* Publishes bytes that lie ready behind what is staged. */
static void publish(uint64_t length)
{
    self.staged += length;
    atomic_store_explicit(&self.board->staged, self.staged, memory_order_release);
}

/* Too large for staging: straight into the pipe. Published when whole. */
static void send_directly(const struct pool__record *record, const void *payload)
{
    static const unsigned char zeros[POOL__RECORD_ALIGN];
    unsigned char head[POOL__RECORD_SIZE];

    pool__stream_flush();
    check_pipes();
    pool__record_encode(head, record);
    write_or_die(head, sizeof head);
    if (payload != NULL)
        write_or_die(payload, (size_t)record->size);
    write_or_die(zeros, (size_t)(pool__padded(record->size, POOL__RECORD_ALIGN) - record->size));
    self.base = self.written = self.staged += record_length(record->size);
    atomic_store_explicit(&self.board->base, self.base, memory_order_release);
    atomic_store_explicit(&self.board->staged, self.staged, memory_order_release);
}

void pool__stream_send(const struct pool__record *record, const void *payload, uint64_t began)
{
    uint64_t length = record_length(record->size);
    unsigned char *at;

    if (length > POOL__STAGING_SIZE) {
        send_directly(record, payload);
        return;
    }
    if (length > staging_free())
        pool__stream_flush();
    at = self.board->staging + staging_used();
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
