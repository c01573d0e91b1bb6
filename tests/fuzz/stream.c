/*
 * stream - a whole pool and one worker that says anything: what becomes of each item is the same however its stream
 * is cut, and whichever part of it the pool finds in the pipe or staged on the board.
 *
 *   input   the map's items (1 byte); how many the worker has claimed, and marked (1 each); cuts (2 bytes); how much is
 *           staged only (2 bytes); how it ends (1 byte); the stream
 *
 * A record of kind 0 in it is replaced by a good RESULT, or ROW, of the items that are next, so that streams get
 * somewhere. Behind it there may be an open row.
 */
#include "../support/open_row.h"
#include "../support/claim_one.h"
#include "support/input.h"

#include <signal.h>

#include "procpool.h"
#include "support/system.h"

#define ITEMS_MOST 32u
#define NO_STATUS  ((enum pool_status)99)

struct scene {
    unsigned items;
    uint32_t claimed;
    uint8_t mark;
    bool open; /* there is an open row, */
    uint32_t open_first;
    int status;
    const unsigned char *stream;
    size_t size;
};

struct ending {
    enum pool_status statuses[ITEMS_MOST], all;
    uint64_t out[ITEMS_MOST];
    struct pool_stats stats;
    char message[200];
    int code;
    size_t index;
};

static int no_function(struct pool_task *task)
{
    (void)task;
    return 0;
}

static void mark_board(struct pool__board *page, const struct scene *scene)
{
    uint32_t i, offset = 0;

    for (i = 0; i < scene->claimed; i++)
        claim_one(page, 1, &offset);
    if (scene->mark % 4 != 0)
        pool__board_mark(page, 1, scene->mark / 4 % 8 == 0 ? offset : scene->mark / 4 % ITEMS_MOST,
                         (enum pool__mark)(scene->mark % 4));
}

/* What stands in the open row for an item. */
static uint64_t open_result(uint32_t item)
{
    return UINT64_C(0x5eed0000) + item;
}

static void stage_open_row(struct pool__board *page, const struct scene *scene)
{
    size_t at = (size_t)(atomic_load(&page->staged) - atomic_load(&page->base)) + POOL__RECORD_SIZE;
    uint32_t i;

    if (!scene->open)
        return;
    for (i = scene->open_first; i < ITEMS_MOST && at + 8 <= POOL__STAGING_SIZE; i++, at += 8) {
        uint64_t result = open_result(i);

        memcpy(page->staging + at, &result, sizeof result);
    }
    open_row_at(page, 1, scene->open_first, 8, false);
}

/*
 * All has been published: the stream's last bytes stand in staging, as many as it holds, or none are left there. READY
 * came before it all.
 */
static void stage_end(struct pool__board *page, const struct scene *scene, bool left_there)
{
    uint64_t end = POOL__RECORD_SIZE + scene->size;
    uint64_t base = scene->size > POOL__STAGING_SIZE ? end - POOL__STAGING_SIZE : POOL__RECORD_SIZE;

    if (!left_there)
        base = end;
    if (end > base)
        memcpy(page->staging, scene->stream + (base - POOL__RECORD_SIZE), (size_t)(end - base));
    atomic_store(&page->base, base);
    atomic_store(&page->staged, end);
}

static void write_pieces(struct pool *pool, struct life *life, const unsigned char *bytes, size_t size, size_t piece)
{
    size_t at, put;

    for (at = 0; at < size; at += put) {
        put = life_writes(life, bytes + at, piece < size - at ? piece : size - at);
        if (put == 0)
            return; /* nobody reads what this one says any more */
        pool_dispatch(pool);
    }
}

static void say_ready(struct life *life)
{
    struct pool__record record = {.kind = POOL__RECORD_READY};
    unsigned char ready[POOL__RECORD_SIZE];

    pool__record_encode(ready, &record);
    life_writes(life, ready, sizeof ready);
}

static struct pool *make_pool(void)
{
    struct pool_options options = {0};
    struct pool *pool;

    options.flags = POOL_NO_THREAD;
    options.max_workers = 1;
    pool = pool_create(1, &options);
    MUST(pool != NULL && life_count == 1);
    lives[0].held = true; /* it ends as the scene says, though it be killed before */
    say_ready(&lives[0]);
    return pool;
}

static void note_ending(struct pool *pool, struct pool_future *future, struct ending *ending)
{
    const struct pool_result *result = NULL;

    pool_get_stats(pool, &ending->stats);
    pool_terminate(pool);
    ending->all = pool_future_get(future, 0, &result);
    MUST(result != NULL);
    ending->code = result->code;
    ending->index = result->index;
    snprintf(ending->message, sizeof ending->message, "%s", result->message);
}

/* piece: the bytes that are written before the pool looks; read: those that one read gives; staged: bytes at the end. */
static void play(const struct scene *scene, size_t piece, size_t read, size_t staged, struct ending *ending)
{
    uint64_t in[ITEMS_MOST] = {0};
    struct pool_job job = {0};
    struct pool_future *future;
    struct pool *pool;
    unsigned i;

    memset(ending, 0, sizeof *ending);
    for (i = 0; i < ITEMS_MOST; i++)
        ending->statuses[i] = NO_STATUS;
    system_begin();
    pool = make_pool();
    job.chunk = ITEMS_MOST;
    job.keep_going = true;
    job.statuses = ending->statuses;
    future = pool_map_async(pool, no_function, pool_items(in, scene->items, sizeof in[0]), ending->out,
                            sizeof ending->out[0], &job);
    MUST(future != NULL);
    pool_dispatch(pool);
    mark_board(lives[0].page, scene);
    system_read_most = read;
    staged = staged < scene->size ? staged : scene->size;
    staged = staged < POOL__STAGING_SIZE ? staged : POOL__STAGING_SIZE;
    stage_end(lives[0].page, scene, staged > 0);
    stage_open_row(lives[0].page, scene);
    write_pieces(pool, &lives[0], scene->stream, scene->size - staged, piece);
    life_ends(&lives[0], scene->status);
    zygote_turn();
    system_refuses_spawn = true; /* nobody runs what comes back */
    pool_dispatch(pool);
    note_ending(pool, future, ending);
    for (i = 0; i < scene->items; i++)
        MUST(ending->statuses[i] != NO_STATUS);
    pool_destroy(pool);
    pool_future_free(future);
    system_end();
}

static void compare(const struct ending *a, const struct ending *b, unsigned items)
{
    unsigned i;

    for (i = 0; i < items; i++) {
        MUST(a->statuses[i] == b->statuses[i]);
        MUST(a->statuses[i] != POOL_OK || a->out[i] == b->out[i]);
    }
    MUST(a->all == b->all && a->code == b->code && a->index == b->index);
    MUST(strcmp(a->message, b->message) == 0);
    MUST(a->stats.finished == b->stats.finished && a->stats.crashed == b->stats.crashed);
    MUST(a->stats.failed == b->stats.failed && a->stats.run_ns == b->stats.run_ns);
}

static void become_row(struct pool__record *good, uint8_t shape)
{
    good->kind = POOL__RECORD_ROW;
    good->how = POOL__HOW_OK;
    good->code = 0;
    good->count = 1 + shape % 8u;
    good->timed = shape / 8 % 2 != 0;
    good->each = shape / 16 < 6 ? 8 : (uint32_t)good->size % 20u;
    good->size = pool__padded(good->count * pool__row_stride(good->each, good->timed), POOL__RECORD_ALIGN);
}

/* The heads of kind 0 become good results. */
static void mend(unsigned char *stream, size_t size)
{
    struct pool__record record, good;
    size_t at = 0;
    uint32_t next = 0;

    while (size - at >= POOL__RECORD_SIZE) {
        if (stream[at] == 0) {
            memset(&good, 0, sizeof good);
            good.kind = POOL__RECORD_RESULT;
            good.how = stream[at + 1] < 192 ? POOL__HOW_OK : (enum pool__how)(stream[at + 1] % POOL__HOW_COUNT);
            good.code = good.how == POOL__HOW_FAILED ? stream[at + 2] : 0;
            good.batch = 1;
            good.offset = next;
            good.size = stream[at + 3] < 192 ? 8 : stream[at + 3] - 192u;
            good.run = stream[at + 4];
            if (stream[at + 5] % 2 != 0)
                become_row(&good, stream[at + 5] / 2);
            pool__record_encode(stream + at, &good);
        }
        if (!pool__record_decode(stream + at, &record))
            return;
        next += record.kind == POOL__RECORD_RESULT ? 1 : record.kind == POOL__RECORD_ROW ? record.count : 0;
        at += POOL__RECORD_SIZE;
        if (pool__padded(record.size, POOL__RECORD_ALIGN) > size - at)
            return;
        at += (size_t)pool__padded(record.size, POOL__RECORD_ALIGN);
    }
}

/* What may be taken for the batch's results, by a reading of the stream that knows no pool. */
static unsigned read_results(const struct scene *scene, uint64_t *out, bool *is_good)
{
    struct pool__record record;
    unsigned count = 0;
    bool left = false;
    size_t at = 0;
    uint32_t i;

    while (scene->size - at >= POOL__RECORD_SIZE && pool__record_decode(scene->stream + at, &record)) {
        at += POOL__RECORD_SIZE;
        if (record.kind == POOL__RECORD_READY || record.kind == POOL__RECORD_START_FAILED)
            break; /* it was READY before */
        if (record.kind == POOL__RECORD_LEFT && (left || record.batch != 1 || count < scene->items))
            break;
        left = left || record.kind == POOL__RECORD_LEFT;
        if (record.kind == POOL__RECORD_ROW) {
            if (record.batch != 1 || record.offset != count || record.count > scene->items - count ||
                record.timed || scene->size - at < record.size)
                break;
            for (i = 0; i < record.count; i++) {
                size_t stride = pool__row_stride(record.each, record.timed);

                is_good[count + i] = record.each == sizeof *out;
                if (is_good[count + i])
                    memcpy(&out[count + i], scene->stream + at + (i + 1) * stride - 8, sizeof *out);
            }
            count += record.count;
            at += (size_t)record.size;
        }
        if (record.kind != POOL__RECORD_RESULT)
            continue;
        if (record.batch != 1 || record.offset != count || count == scene->items ||
            scene->size - at < pool__padded(record.size, POOL__RECORD_ALIGN))
            break;
        is_good[count] = record.how == POOL__HOW_OK && record.size == sizeof *out;
        if (is_good[count])
            memcpy(&out[count], scene->stream + at, sizeof *out);
        count++;
        at += (size_t)pool__padded(record.size, POOL__RECORD_ALIGN);
    }
    return count;
}

/* No item has a result that the stream has not, nor another one. */
static void compare_with_reading(const struct scene *scene, const struct ending *ending)
{
    uint64_t out[ITEMS_MOST];
    bool is_good[ITEMS_MOST] = {false};
    unsigned count = read_results(scene, out, is_good), i;

    for (i = 0; i < scene->items; i++) {
        MUST((ending->statuses[i] != POOL_FAILED && ending->statuses[i] != POOL_BAD_SIZE) || i < count);
        if (ending->statuses[i] == POOL_OK && scene->open && i >= scene->open_first && i >= count)
            MUST(ending->out[i] == open_result(i));
        else
            MUST(ending->statuses[i] != POOL_OK || (i < count && is_good[i] && ending->out[i] == out[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int ends[] = {SIGKILL, SIGSEGV, 0, 3 << 8};
    struct input input = {data, size};
    struct scene scene;
    struct ending expected, other;
    bool is_good[ITEMS_MOST] = {false};
    uint64_t out[ITEMS_MOST];
    unsigned char *stream;
    size_t piece, read, staged;
    uint8_t end;

    scene.items = 1 + take8(&input) % ITEMS_MOST;
    scene.claimed = take8(&input) % (scene.items + 1);
    scene.mark = take8(&input);
    piece = 1 + take8(&input);
    read = 1 + take8(&input);
    staged = take16(&input);
    end = take8(&input);
    scene.status = ends[end % 4];
    stream = exact_copy(input.at, input.left);
    mend(stream, input.left);
    scene.stream = stream;
    scene.size = input.left;
    scene.open = false;
    scene.open_first = end / 4 == 1 ? read_results(&scene, out, is_good) : end / 4u % ITEMS_MOST;
    scene.open = scene.mark >= 128;
    play(&scene, SIZE_MAX / 2, SIZE_MAX / 2, 0, &expected);
    compare_with_reading(&scene, &expected);
    play(&scene, piece, SIZE_MAX / 2, 0, &other);
    compare(&expected, &other, scene.items);
    play(&scene, SIZE_MAX / 2, read, 0, &other);
    compare(&expected, &other, scene.items);
    play(&scene, piece, read, staged, &other);
    compare(&expected, &other, scene.items);
    free(stream);
    return 0;
}
