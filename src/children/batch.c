/*
 * batch - the items of one frame: claimed by the board, alone or in blocks (rule 7), run, and their outcomes handed to the
 * result stream.
 */
#include "children/batch.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fork_child.h"
#include "base/process_self.h"
#include "children/result_stream.h"
#include "children/shared_bytes.h"
#include "children/task.h"

/* ns from the start of the oldest staged item: rule 5's 50 us, which keeps its millisecond too */
#define FLUSH_AFTER (50 * UINT64_C(1000))
/* the same of results that are in the arena: what is written of them only says so, and somebody who waits asks */
#define FLUSH_THERE (500 * UINT64_C(1000))
/* items claimed together (rule 7): so many as take no longer than this, ns, and no more than that */
#define BLOCK_TIME  (5 * UINT64_C(1000))
#define BLOCK_ITEMS 256u

/* One process, one worker. */
static struct runner {
    const struct pool__worker_setup *setup;
    struct pool__board *board;
    void *state;            /* what the initializer has left */
    uint64_t started_items; /* marks so far: tasks_per_worker counts these */
    bool leaving;
    uintptr_t known_function; /* checked already */
    struct pool__place done;  /* the last mark that said DONE */
    struct pool__task task;
    struct pool__places places; /* of the batch */
} self;

void pool__batch_begin(const struct pool__worker_birth *birth)
{
    memset(&self, 0, sizeof self); /* a worker of a pool that was made in a worker has that one's here */
    self.setup = birth->setup;
    self.board = birth->board;
    self.task.board = birth->board;
    pool__task_begin(NULL);
}

void pool__batch_state(void *state)
{
    self.state = state;
    pool__task_begin(&self.task);
}

/*
 * A child that a task forked and that came back into our code: it must touch nothing of ours (its descriptors and
 * results are its parent's).
 */
void pool__leave_if_stray(void)
{
    if (pool__is_stray_child())
        pool__worker_exit(0);
}

/* ---- one item */

/* NULL: such a function is not in this process. */
static pool_function *own_function(uintptr_t function)
{
    if (function != self.known_function && !pool__executable_map_has(&self.setup->code, function))
        return NULL;
    self.known_function = function;
    return (pool_function *)function;
}

/* The place of an item's result in the arena, or NULL. */
static unsigned char *results_there(uint32_t offset)
{
    if (self.task.place_size == 0)
        return NULL;
    return (unsigned char *)(uintptr_t)self.places.results + (size_t)offset * self.task.place_size;
}

/*
 * The result's room lies where its record will stand, so that a result that has one is never copied. All is set anew:
 * the last task may have written there.
 */
static void prepare_task(const struct pool__frame *frame, uint32_t offset)
{
    struct pool__task *task = &self.task;

    task->given.index = frame->first == POOL__EACH_ALONE ? 0 : (size_t)(frame->first + offset);
    task->given.state = self.state;
    task->given.attempt = frame->attempt;
    task->staging = pool__stream_room.from + POOL__RECORD_SIZE;
    task->staging_room =
        (size_t)(pool__stream_room.to - pool__stream_room.from) - POOL__RECORD_SIZE - POOL__RECORD_ALIGN;
    task->place = results_there(offset);
    task->left = 0;
}

size_t pool__batch_spare_most(void)
{
    size_t limit = self.setup->worker_memory / 16;

    return limit != 0 && limit < POOL__SPARE_MOST ? limit : POOL__SPARE_MOST;
}

static void forget_heap_result(void)
{
    pool__spare_give(&self.task.spare, self.task.heap, self.task.heap_room, pool__batch_spare_most());
    self.task.heap = NULL;
    self.task.heap_room = 0;
}

static void send_outcome(const struct pool__frame *frame, uint32_t offset, enum pool__how how, int code, uint64_t start,
                         uint64_t end)
{
    struct pool__record record;
    const void *payload = NULL;

    memset(&record, 0, sizeof record);
    record.kind = POOL__RECORD_RESULT;
    record.how = how;
    record.batch = frame->batch;
    record.offset = offset;
    record.code = code;
    record.start = start;
    record.run = end - start;
    if (how == POOL__HOW_OK && pool__task_has_left(&self.task, POOL__LEFT_IN_PLACE)) {
        record.there = true;
    } else if (how == POOL__HOW_OK && pool__task_has_left(&self.task, POOL__LEFT_RESULT)) {
        record.size = self.task.result_size;
        payload = pool__task_result(&self.task);
    } else if (how == POOL__HOW_FAILED) {
        record.size = strlen(pool__words());
        payload = pool__words();
    }
    pool__stream_send(&record, payload, start);
    forget_heap_result();
}

/*
 * Items that were claimed together. Their times: each by the clock where the program is told of it, else all together.
 * A mark says DONE only of the last: until then the next RUN says as much.
 */
struct block {
    struct pool__claim claim;
    uint32_t count;          /* claimed at first */
    uint64_t began;          /* the first */
    uint64_t start, end;     /* of the last item, or of all, where times are not told */
    pool_function *function; /* NULL: not in this process */
    bool watched;            /* the host may take it back: the word is looked at before each item */
    bool timed;              /* one item, or the program is told of each */
    bool cut;                /* not all that were claimed have been run */
    bool broken;             /* the last one did not end well, or left a large result; or the claim is lost */
};

static void start_clock(struct block *block, uint64_t now)
{
    block->start = block->end = now;
    atomic_store_explicit(&self.board->started, now, memory_order_relaxed);
}

/* A write may take long: what follows has not begun before its end, and no item has had the time. */
static void flush(struct block *block)
{
    uint64_t begin = pool__now();

    pool__stream_flush();
    block->end = pool__now();
    block->began += block->end - begin;
    block->start += block->end - begin;
}

/* Rule 5, the part after an item; `hurry` is rule 6's: a finished result must not wait for the items behind it. */
static void flush_if_due(struct block *block, bool hurry)
{
    uint64_t after = self.task.place_size > 0 ? FLUSH_THERE : FLUSH_AFTER;

    if (hurry || (pool__stream_oldest() != 0 && block->end - pool__stream_oldest() >= after))
        flush(block);
}

/* Room for a result, whatever it may be, that is not to go on the heap. */
static void make_room_for_result(struct block *block)
{
    if (pool__stream_room.to - pool__stream_room.from < (ptrdiff_t)POOL__RESULT_ROOM)
        flush(block);
}

static void mark_done(const struct pool__frame *frame, uint32_t offset)
{
    self.done.batch = frame->batch;
    self.done.offset = offset;
    self.done.mark = POOL__MARK_DONE;
    pool__board_mark(self.board, frame->batch, offset, POOL__MARK_DONE);
}

/* The last thing before the call. False: the host has taken the item back. */
static bool may_start(const struct pool__frame *frame, struct block *block)
{
    uint32_t offset = block->claim.next;

    pool__board_mark(self.board, frame->batch, offset, POOL__MARK_RUN);
    if (!block->watched || pool__board_may_start(self.board, &block->claim))
        return true;
    if (offset > 0)
        mark_done(frame, offset - 1);
    else
        pool__board_mark(self.board, self.done.batch, self.done.offset, self.done.mark);
    return false;
}

/* The function has returned: its item's outcome into the stream. Apart where a row has no place for it. */
static void end_item(const struct pool__frame *frame, uint32_t offset, struct block *block, enum pool__how how,
                     int code)
{
    struct pool__task *task = &self.task;

    bool in_place = pool__task_has_left(task, POOL__LEFT_IN_PLACE);
    size_t size = in_place ? 0 : pool__task_result_size(task);
    bool broken = how != POOL__HOW_OK || task->heap != NULL || size > POOL__ROW_EACH;

    block->broken = broken; /* not read back here: a load that spans several flags would wait for this store */
    if (broken || block->timed)
        block->end = pool__now();
    if (broken || frame->count == 1)
        send_outcome(frame, offset, how, code, block->start, block->end);
    else
        pool__stream_add(frame, offset, in_place ? NULL : task->staging, size, block->start, block->end - block->start);
    if (how != POOL__HOW_OK) {
        mark_done(frame, offset);
        flush(block);
    }
}

/* What a task has printed is written after it: the next one may crash. */
static void after_call(void)
{
    pool__leave_if_stray();
    if (!pool__streams_are_clean(stdout, stderr))
        pool__stdio_flush();
}

static enum pool__how how_it_ended(int code)
{
    if (code != 0)
        return POOL__HOW_FAILED;
    return pool__task_has_left(&self.task, POOL__LEFT_NO_MEMORY) ? POOL__HOW_NO_MEMORY : POOL__HOW_OK;
}

static void run_item(const struct pool__frame *frame, struct block *block)
{
    uint32_t offset = block->claim.next;
    enum pool__how how = POOL__HOW_REFUSED;
    int code = 0;

    make_room_for_result(block);
    prepare_task(frame, offset);
    if (block->timed)
        start_clock(block, block->end);
    block->broken = !may_start(frame, block);
    if (block->broken)
        return;
    block->claim.next = offset + 1;
    if (block->function != NULL) {
        code = block->function(&self.task.given);
        after_call();
        how = how_it_ended(code);
    }
    end_item(frame, offset, block, how, code);
}

/* Is it this worker's time to be replaced? Looked at between items only. */
static void look_for_end(void)
{
    if (self.setup->tasks_per_worker != 0 && self.started_items >= self.setup->tasks_per_worker)
        self.leaving = true;
    else if (self.setup->worker_memory != 0 && pool__resident_size() > self.setup->worker_memory)
        self.leaving = true;
}

static bool somebody_waits(void)
{
    return atomic_load_explicit(&self.board->hurry, memory_order_relaxed) != 0;
}

/* Does the next item's result follow on others of a row? Then little is to be prepared. */
static bool may_run_on(const struct pool__frame *frame, const struct block *block, struct pool__row_places *places)
{
    return block->function != NULL && !block->timed && frame->item_size != POOL__VARIES && frame->count > 1 &&
           pool__stream_places(frame, block->claim.next, block->claim.end - block->claim.next, places);
}

/* How a row went on: items that were run, and of the last one its code, and whether its result stands in its place. */
struct went_on {
    uint32_t count;
    int code;
    bool well;
    bool hurry; /* somebody waits */
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The range word has changed since the marked item was claimed. False: it is not to be started. */
static bool look_at_claim(const struct pool__frame *frame, struct block *block, uint32_t marked)
{
    block->claim.next = marked;
    if (!block->watched || !pool__board_claim_lost(self.board, &block->claim))
        return true;
    mark_done(frame, marked - 1); /* others of the row were before it */
    block->broken = true;
    return false;
}

/* Of a task that has returned 0: its result stands in its place, nothing is printed, no child of its own came back. */
static bool is_plain(const FILE *out, const FILE *err)
{
    return self.task.left == (POOL__LEFT_RESULT | POOL__LEFT_IN_PLACE) && !pool__is_stray_child() &&
           pool__streams_are_clean(out, err);
}

static bool stands_in_place(void)
{
    return (self.task.left & (POOL__LEFT_IN_PLACE | POOL__LEFT_NO_MEMORY)) == POOL__LEFT_IN_PLACE;
}

/*
 * Up to `most`: for each a mark, a look at the range word as in pool__board_may_start(), the call, and a look at what it
 * has left. This is most of what a cheap item costs, so what stays the same is looked up once. But what the task is given
 * is written for each: the last one may have written there.
 */
POOL__APART static struct went_on go_on(const struct pool__frame *frame, const unsigned char *arg, struct block *block,
                                        uint32_t most)
{
    struct pool__task *task = &self.task;
    struct pool__board *board = self.board;
    const _Atomic uint64_t *range = &board->range[frame->batch % POOL__FLIGHT];
    const FILE *out = stdout, *err = stderr;
    const uint32_t first = block->claim.next;
    const size_t start = (size_t)(frame->first + first);
    uint64_t mark = pool__place_word((struct pool__place){frame->batch, first, POOL__MARK_RUN});
    unsigned char *place = task->place;
    size_t index = start, end = start + smaller(block->claim.end - first, most);
    struct went_on went = {0, 0, true, false};

    while (index < end) {
        task->given.arg = arg;
        task->given.size = (size_t)frame->item_size;
        task->given.index = index;
        task->given.state = self.state;
        task->given.attempt = frame->attempt;
        task->place = place;
        task->left = 0;
        pool__board_mark_word(board, mark);
        atomic_signal_fence(memory_order_seq_cst); /* the mark comes first; the host's barrier does the rest */
        if (atomic_load_explicit(range, memory_order_relaxed) != block->claim.word) {
            if (!look_at_claim(frame, block, first + (uint32_t)(index - start)))
                break;
            end = start + smaller(block->claim.end - first, most);
        }
        went.code = block->function(&task->given);
        index++;
        if (went.code != 0 || !is_plain(out, err)) {
            after_call();
            went.well = went.code == 0 && stands_in_place();
            if (!went.well)
                break;
        }
        if (somebody_waits()) {
            went.hurry = true;
            break;
        }
        mark += POOL__NEXT_ITEM;
        arg += frame->item_size;
        place += task->place_size;
    }
    went.count = (uint32_t)(index - start);
    block->claim.next = first + went.count;
    return went;
}

/* What is left of cheap items when a row is open. The marks publish each; they are counted at the end. True: somebody waits. */
static bool run_on(const struct pool__frame *frame, const unsigned char *body, struct block *block,
                   const struct pool__row_places *places)
{
    struct pool__task *task = &self.task;
    size_t place_size = task->place_size;
    uint32_t first = block->claim.next;
    struct went_on went;

    prepare_task(frame, first); /* the room behind the places */
    if (places->first != NULL) {
        task->place = places->first;
        task->place_size = places->each;
    }
    went = go_on(frame, body + (size_t)first * (size_t)frame->item_size, block, places->most);
    task->place_size = place_size;
    task->place = NULL;
    if (pool__task_has_left(task, POOL__LEFT_IN_PLACE))
        forget_heap_result(); /* it was larger, for a moment */
    pool__stream_stand(places, went.count - !went.well);
    if (!went.well)
        end_item(frame, first + went.count - 1, block, how_it_ended(went.code), went.code);
    return went.hurry;
}

static void find_item(const struct pool__frame *frame, const unsigned char *body, struct pool__cursor *cursor,
                      uint32_t offset)
{
    struct pool_task *given = &self.task.given;

    if (!pool__frame_item(frame, body, cursor, offset, &given->arg, &given->size))
        _exit(0); /* not a frame that a host of this version makes */
}

/* Up to its end, or until somebody waits for what is finished. */
static void run_block(const struct pool__frame *frame, const unsigned char *body, struct pool__cursor *cursor,
                      struct block *block)
{
    uint32_t first = block->claim.next;
    struct pool__row_places places;
    bool hurry = false;

    while (block->claim.next < block->claim.end && !block->broken && !hurry) {
        if (may_run_on(frame, block, &places)) {
            hurry = run_on(frame, body, block, &places);
            continue;
        }
        find_item(frame, body, cursor, block->claim.next);
        run_item(frame, block);
        hurry = somebody_waits();
    }
    self.started_items += block->claim.next - first;
    if (!block->timed && !block->broken) {
        block->end = pool__now();
        pool__stream_took(block->end - block->start);
    }
    block->cut = block->claim.next - first < block->count;
    if (block->claim.next > first)
        mark_done(frame, block->claim.next - 1);
    pool__board_give_back(self.board, &block->claim);
    if (hurry)
        atomic_store_explicit(&self.board->hurry, 0, memory_order_relaxed);
    flush_if_due(block, hurry);
}

/* Twice as many as the last time while they are short, one by one as soon as they are not, or the host wants them back. */
static uint32_t next_block(const struct block *block)
{
    uint64_t took = block->end - block->began;

    if (block->broken || block->cut || took > BLOCK_TIME)
        return 1;
    return took < BLOCK_TIME / 2 && block->count < BLOCK_ITEMS ? block->count * 2 : block->count;
}

/* What counts its items, or looks at its memory after each, claims them one by one. */
static bool may_claim_blocks(const struct pool__frame *frame)
{
    return (frame->flags & POOL__FRAME_BLOCKS) != 0 && self.setup->tasks_per_worker == 0 &&
           self.setup->worker_memory == 0;
}

bool pool__batch_run(const struct pool__frame *frame, const unsigned char *body, const struct pool__places *places)
{
    bool blocks = may_claim_blocks(frame), timed = (frame->flags & POOL__FRAME_TIMED) != 0;
    struct pool__cursor cursor = {0, 0};
    struct block block;
    uint32_t most = 1;

    self.places = *places;
    self.task.place_size = (size_t)places->result_size;
    pool__shared_bytes_find(frame->shared, &self.task.given);
    memset(&block, 0, sizeof block);
    block.function = own_function((uintptr_t)frame->function);
    block.watched = (frame->flags & POOL__FRAME_BLOCKS) != 0;
    block.end = blocks ? pool__now() : 0;
    while (!self.leaving && pool__board_claim(self.board, frame->batch, most, &block.claim)) {
        block.count = block.claim.end - block.claim.next;
        block.broken = false;
        block.timed = timed || block.count == 1;
        /* the end of one is the beginning of the next, save where a deadline is counted from it */
        block.began = blocks ? block.end : pool__now();
        start_clock(&block, block.began);
        run_block(frame, body, &cursor, &block);
        most = blocks ? next_block(&block) : 1;
        look_for_end();
    }
    if (!self.leaving)
        pool__stream_send_plain(POOL__RECORD_LEFT, frame->batch);
    pool__spare_turn(&self.task.spare);
    return !self.leaving;
}
