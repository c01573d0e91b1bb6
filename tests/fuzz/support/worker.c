#include "../../support/open_row.h"
#include "../../support/claim_one.h"
#include "worker.h"

#include "input.h"

struct worker workers[LIVES_MOST];

void workers_begin(void)
{
    unsigned i;

    memset(workers, 0, sizeof workers);
    for (i = 0; i < LIVES_MOST; i++)
        workers[i].life = &lives[i];
}

void workers_end(void)
{
    unsigned i;

    for (i = 0; i < LIVES_MOST; i++) {
        free(workers[i].input);
        free(workers[i].outbox);
    }
}

/* ---- the result stream */

static void close_row(struct worker *worker)
{
    struct pool__board *page = worker->life->page;
    unsigned char *at = page->staging + (worker->staged - worker->base);

    if (worker->row.count == 0)
        return;
    worker->row.size = pool__padded(worker->row_bytes, POOL__RECORD_ALIGN);
    memset(at + POOL__RECORD_SIZE + worker->row_bytes, 0, (size_t)worker->row.size - worker->row_bytes);
    pool__record_encode(at, &worker->row);
    worker->staged += POOL__RECORD_SIZE + worker->row.size;
    worker->row.count = 0;
    worker->row_bytes = 0;
    atomic_store(&page->staged, worker->staged);
    pool__board_row_closed(page);
}

void worker_flush(struct worker *worker)
{
    struct pool__board *page = worker->life->page;
    size_t left, put = 0;

    if (page == NULL)
        return;
    close_row(worker);
    left = (size_t)(worker->staged - worker->written);
    if (left > 0)
        put = life_writes(worker->life, page->staging + (worker->written - worker->base), left);
    worker->written += put;
    if (worker->written == worker->staged) {
        worker->base = worker->staged;
        atomic_store(&page->base, worker->base);
    }
}

/* What does not fit in staging goes straight into the pipe; whatever that takes now, the rest in later steps. */
static bool push_outbox(struct worker *worker)
{
    size_t left = worker->outbox_to - worker->outbox_from;
    size_t put = left > 0 ? life_writes(worker->life, worker->outbox + worker->outbox_from, left) : 0;

    worker->outbox_from += put;
    if (worker->outbox_from < worker->outbox_to)
        return false;
    if (worker->outbox_to > 0) { /* only now is it counted on the board: the host may have more than that says */
        worker->outbox_from = worker->outbox_to = 0;
        atomic_store(&worker->life->page->base, worker->base);
        atomic_store(&worker->life->page->staged, worker->staged);
    }
    return true;
}

static void fill(unsigned char *to, const struct pool__record *record, unsigned char first)
{
    uint64_t i;

    pool__record_encode(to, record);
    to += POOL__RECORD_SIZE;
    for (i = 0; i < record->size; i++)
        to[i] = (unsigned char)(first + i);
    memset(to + record->size, 0, (size_t)(pool__padded(record->size, POOL__RECORD_ALIGN) - record->size));
}

/* A record larger than staging, its payload in pieces: into the ring what that takes, into `to` the rest. The length. */
static size_t fill_pieces(struct worker *worker, unsigned char *to, const struct pool__record *record,
                          unsigned char first)
{
    unsigned char *whole = malloc(POOL__RECORD_SIZE + (size_t)record->size + POOL__RECORD_ALIGN), *at = to;
    uint64_t sent, padding = pool__padded(record->size, POOL__RECORD_ALIGN) - record->size;

    MUST(whole != NULL);
    fill(whole, record, first);
    memcpy(at, whole, POOL__RECORD_SIZE);
    at += POOL__RECORD_SIZE;
    for (sent = 0; sent < record->size;) {
        const unsigned char *next = whole + POOL__RECORD_SIZE + sent;
        uint64_t left = record->size - sent;
        struct pool__piece piece = {POOL__PIECE_RING, 0};

        piece.size = pool__ring_put(&worker->life->bulk->out, &worker->put, next, left);
        if (piece.size == 0) {
            piece.kind = POOL__PIECE_PIPE;
            piece.size = left < POOL__PIECE_BETWEEN ? left : POOL__PIECE_BETWEEN;
        }
        pool__piece_encode(at, &piece);
        at += POOL__PIECE_SIZE;
        sent += piece.size;
        if (piece.kind == POOL__PIECE_RING)
            continue;
        memcpy(at, next, (size_t)piece.size);
        memset(at + piece.size, 0, POOL__PIECE_ALIGN);
        at += pool__padded(piece.size, POOL__PIECE_ALIGN);
    }
    memset(at, 0, (size_t)padding);
    free(whole);
    return (size_t)(at - to) + (size_t)padding;
}

bool worker_publish(struct worker *worker, const struct pool__record *record, unsigned char first)
{
    struct pool__board *page = worker->life->page;
    size_t size = POOL__RECORD_SIZE + (size_t)pool__padded(record->size, POOL__RECORD_ALIGN);

    if (page == NULL || !push_outbox(worker))
        return false;
    close_row(worker);
    if (size > POOL__STAGING_SIZE - (worker->staged - worker->base))
        worker_flush(worker);
    if (size <= POOL__STAGING_SIZE - (worker->staged - worker->base)) {
        fill(page->staging + (worker->staged - worker->base), record, first);
        worker->staged += size;
        atomic_store(&page->staged, worker->staged);
        return true;
    }
    if (worker->base != worker->staged)
        return false;
    free(worker->outbox);
    MUST((worker->outbox = malloc(size + size / 64 + 4096)) != NULL);
    size = fill_pieces(worker, worker->outbox, record, first);
    worker->outbox_from = 0;
    worker->outbox_to = size;
    worker->base = worker->written = worker->staged += size;
    push_outbox(worker);
    return true;
}

static bool publish_plain(struct worker *worker, enum pool__record_kind kind, uint32_t batch)
{
    struct pool__record record;

    memset(&record, 0, sizeof record);
    record.kind = kind;
    record.batch = batch;
    if (kind == POOL__RECORD_READY)
        record.code = (int32_t)worker->life->pid;
    return worker_publish(worker, &record, 0);
}

/* ---- frames */

static void read_input(struct worker *worker)
{
    unsigned char bytes[4096];
    size_t got;

    while ((got = life_reads(worker->life, bytes, sizeof bytes)) > 0) {
        if (worker->room - worker->to < got) {
            worker->room = 2 * (worker->to + got);
            worker->input = realloc(worker->input, worker->room);
            MUST(worker->input != NULL);
        }
        memcpy(worker->input + worker->to, bytes, got);
        worker->to += got;
    }
}

/* What the host sends must make sense, whatever its worker said before. */
static void check_batch(const struct pool__frame *frame, const unsigned char *body)
{
    struct pool__cursor cursor = {0, 0};
    const void *item;
    size_t size;
    uint32_t i;

    for (i = 0; i < frame->count; i++)
        MUST(pool__frame_item(frame, body, &cursor, i, &item, &size));
}

/* The next piece of a large body. False: not here yet. */
static bool next_piece(struct worker *worker)
{
    struct pool__piece piece;
    size_t have, size;

    read_input(worker);
    have = worker->to - worker->from;
    if (have < POOL__PIECE_SIZE)
        return false;
    MUST(pool__piece_decode(worker->input + worker->from, worker->missing, &piece));
    size = piece.kind == POOL__PIECE_PIPE ? (size_t)pool__padded(piece.size, POOL__PIECE_ALIGN) : 0;
    if (have - POOL__PIECE_SIZE < size)
        return false;
    if (piece.kind == POOL__PIECE_RING) {
        MUST(pool__ring_piece(&worker->life->bulk->in, worker->taken, piece.size) != NULL);
        pool__ring_took(&worker->life->bulk->in, &worker->taken, (size_t)piece.size);
    }
    worker->from += POOL__PIECE_SIZE + size;
    worker->missing -= piece.size;
    return true;
}

static bool next_frame(struct worker *worker)
{
    struct pool__frame frame;
    size_t have;

    read_input(worker);
    have = worker->to - worker->from;
    if (have < POOL__FRAME_SIZE)
        return false;
    MUST(pool__frame_decode(worker->input + worker->from, &frame));
    if ((frame.flags & POOL__FRAME_PIECES) != 0) {
        worker->missing = frame.item_size;
        frame.body = 0;
    }
    if (have - POOL__FRAME_SIZE < frame.body)
        return false;
    if (frame.kind == POOL__FRAME_BATCH) {
        if ((frame.flags & POOL__FRAME_PIECES) == 0)
            check_batch(&frame, worker->input + worker->from + POOL__FRAME_SIZE);
        worker->has_batch = true;
        worker->frame = frame;
    } else if (frame.kind == POOL__FRAME_STOP && publish_plain(worker, POOL__RECORD_LEAVING, 0)) {
        worker_flush(worker);
        life_ends(worker->life, 0);
    }
    worker->from += POOL__FRAME_SIZE + (size_t)frame.body;
    return true;
}

/* ---- items */

static void open_row(struct worker *worker, uint32_t each)
{
    memset(&worker->row, 0, sizeof worker->row);
    worker->row.kind = POOL__RECORD_ROW;
    worker->row.timed = (worker->frame.flags & POOL__FRAME_TIMED) != 0;
    worker->row.batch = worker->frame.batch;
    worker->row.offset = worker->offset;
    worker->row.each = each;
    worker->row.start = system_now;
    open_row_at(worker->life->page, worker->row.batch, worker->row.offset, each, worker->row.timed);
}

/* The result into the open row, or a new one. False: no room now. */
static bool add_to_row(struct worker *worker, uint32_t each)
{
    const struct pool__record *row = &worker->row;
    uint64_t index = worker->frame.first + worker->offset, run = 1000, i;
    unsigned char *at;

    if (row->count > 0 && (row->each != each || row->batch != worker->frame.batch || row->offset + row->count != worker->offset))
        close_row(worker);
    if (worker->staged - worker->base + 2 * POOL__RECORD_SIZE + worker->row_bytes + 8 + each > POOL__STAGING_SIZE) {
        worker_flush(worker);
        if (worker->base != worker->staged)
            return false;
    }
    if (row->count == 0)
        open_row(worker, each);
    at = worker->life->page->staging + (worker->staged - worker->base) + POOL__RECORD_SIZE + worker->row_bytes;
    if (row->timed) {
        memcpy(at, &run, sizeof run);
        at += sizeof run;
    }
    for (i = 0; i < each; i++)
        at[i] = answer_byte(index, i);
    worker->row.run += run;
    worker->row.count++;
    worker->row_bytes += pool__row_stride(each, row->timed);
    return true;
}

static void mark_done(struct worker *worker)
{
    if (worker->undone)
        pool__board_mark(worker->life->page, worker->frame.batch, worker->offset, POOL__MARK_DONE);
    worker->undone = false;
}

static bool end_in_row(struct worker *worker, struct answer answer)
{
    if (!push_outbox(worker) || !add_to_row(worker, (uint32_t)answer.size))
        return false;
    worker->undone = true;
    if (!answer.quick)
        mark_done(worker);
    worker->in_item = false;
    return true;
}

static bool end_item(struct worker *worker, struct answer answer)
{
    uint64_t index = worker->frame.first == POOL__EACH_ALONE ? 0 : worker->frame.first + worker->offset;
    struct pool__record record;

    if (worker->frame.count > 1 && !answer.fails && answer.size <= POOL__ROW_EACH && !worker->has_answered)
        return end_in_row(worker, answer);
    memset(&record, 0, sizeof record);
    record.kind = POOL__RECORD_RESULT;
    record.batch = worker->frame.batch;
    record.offset = worker->offset;
    record.how = answer.fails ? POOL__HOW_FAILED : POOL__HOW_OK;
    record.code = answer.fails ? 7 : 0;
    record.size = answer.size;
    record.start = system_now;
    record.run = 1000;
    if (!worker->has_answered && !worker_publish(worker, &record, answer_byte(index, 0)))
        return false;
    worker->has_answered = true;
    if (!push_outbox(worker))
        return false;
    worker->has_answered = false;
    pool__board_mark(worker->life->page, worker->frame.batch, worker->offset, POOL__MARK_DONE);
    worker->in_item = false;
    return true;
}

static bool next_item(struct worker *worker)
{
    struct pool__board *page = worker->life->page;

    if (claim_one(page, worker->frame.batch, &worker->offset)) {
        if (worker->offset >= worker->frame.count) {
            life_ends(worker->life, 0); /* its board is scribbled on: no such item */
            return true;
        }
        atomic_store(&page->started, system_now);
        pool__board_mark(page, worker->frame.batch, worker->offset, POOL__MARK_RUN);
        worker->in_item = true;
        worker->undone = false;
        return true;
    }
    mark_done(worker);
    if (!publish_plain(worker, POOL__RECORD_LEFT, worker->frame.batch))
        return false;
    worker->has_batch = false;
    return true;
}

bool worker_step(struct worker *worker, struct answer answer)
{
    if (!worker->life->alive)
        return false;
    if (!push_outbox(worker))
        return false;
    if (!worker->ready) {
        worker->ready = publish_plain(worker, POOL__RECORD_READY, 0);
        worker_flush(worker);
        return worker->ready;
    }
    if (worker->missing > 0)
        return next_piece(worker);
    if (worker->in_item)
        return end_item(worker, answer);
    if (worker->has_batch)
        return next_item(worker);
    worker_flush(worker);
    return next_frame(worker);
}
