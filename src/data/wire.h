/*
 * wire - the two byte streams between the host and one worker. Pure codecs; each encoder stands beside its decoder.
 *
 * Numbers are in the machine's own byte order: both ends are one program. Offsets in bytes.
 *
 * Task pipe, host to worker: frames of 64 bytes and a body, in total a multiple of 16, so that bodies lie aligned in
 * the worker's buffer
 *
 *   at size field
 *    0   4  kind       BATCH, SHARED, DROP, STOP
 *    4   4  batch      BATCH: its number in this life, from 1
 *    8   4  count      BATCH: items
 *   12   4  attempt    BATCH: 1, or more for an item that is run again
 *   16   8  body       bytes that follow, a multiple of 16
 *   24   8  function   BATCH: the task function's address
 *   32   8  shared     BATCH: which shared bytes, or 0; SHARED, DROP: which
 *   40   8  first      BATCH: index of the first item in its job, or all ones: each is one by itself, and has 0
 *   48   8  item_size  BATCH: bytes of each item, or VARIES; SHARED: bytes of the body that count
 *   56   4  flags      BATCH: TIMED, BLOCKS, RESULTS_THERE; BATCH, SHARED: BODY_THERE, or PIECES: the body, of item_size
 *                      bytes that count, comes in pieces (bulk.h), and there are no places
 *   60   4  zero
 *
 *   kind    body                                                                     the worker then
 *   BATCH   the items one after another, padded to 16 at the end; or, where          claims items by its board, runs them, sends RESULTs and LEFT
 *           sizes vary, `count` sizes of 8 bytes, padded to 16, then each item padded to 16
 *   SHARED  pool_job.shared                                                          keeps them until DROP
 *           BODY_THERE or RESULTS_THERE: 32 bytes of places before all this; with BODY_THERE nothing else
 *   DROP    -                                                                        frees them
 *   STOP    -                                                                        finishes, says LEAVING, runs the finalizer, exits with 0
 *
 * Places are addresses in the arena, the same in both processes: `items` where the body lies (items of one size, or
 * shared bytes), `results` where the results of the batch are to be, `result_size` bytes each, 8 bytes of nothing.
 *
 * Result pipe, worker to host: records of 48 bytes and a payload, in total a multiple of 16, so that a
 * result is built in place, aligned for any type
 *
 *    0   1  kind       READY, START_FAILED, RESULT, ROW, LEFT, LEAVING
 *    1   1  how        RESULT: enum pool__how; ROW: 1 where it is timed
 *    2   1  there      RESULT, ROW: 1 where the results are at the places that came with the frame: they are not in the payload
 *    3   1  zero
 *    4   4  batch      RESULT, ROW, LEFT: which
 *    8   4  offset     RESULT, ROW: (first) item within the batch
 *   12   4  code       RESULT: what the function returned; START_FAILED: what the initializer returned; READY: the worker's pid
 *   16   8  size       bytes of payload
 *   24   8  start      RESULT, ROW: when it (its first) began (monotonic, ns)
 *   32   8  run        RESULT: time in the function, ns; ROW: of all together
 *   40   4  count      ROW: items
 *   44   4  each       ROW: bytes of each result
 *
 *   kind          payload                       the host then
 *   READY         -                             gives the worker items
 *   START_FAILED  what pool_fail() said         counts a failed start; the worker exits
 *   RESULT        OK: the result's bytes;       resolves that item
 *                 else words
 *   ROW           `count` results, one after    resolves those items, all OK
 *                 another, padded to 16 at
 *                 the end; where it is timed,
 *                 8 bytes before each: how
 *                 long it ran, ns
 *   LEFT          -                             may use the batch's board entry again; an item of it without outcome is nonsense
 *   LEAVING       -                             takes back what is unstarted; the worker's exit is a planned one
 */
#ifndef POOL__WIRE_H
#define POOL__WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL__FRAME_SIZE   64u
#define POOL__FRAME_ALIGN  16u
#define POOL__RECORD_SIZE  48u
#define POOL__RECORD_ALIGN 16u
#define POOL__VARIES       UINT64_MAX
#define POOL__EACH_ALONE   UINT64_MAX
#define POOL__BATCH_MAX    0xffffffu /* items in one batch: 24 bits on the board */

/*
 * The most that a body in one piece may have: a pipe's default size, less a page that its header would take. Frames of
 * several items have no more.
 */
#define POOL__FRAME_MAX (65536u - 4096u)

enum pool__frame_kind { POOL__FRAME_BATCH = 1, POOL__FRAME_SHARED, POOL__FRAME_DROP, POOL__FRAME_STOP };

struct pool__frame {
    enum pool__frame_kind kind;
    uint32_t batch, count, attempt;
    uint32_t flags;
    uint64_t body, function, shared, first, item_size;
};

#define POOL__FRAME_TIMED         0x1u  /* the program is told how long each item ran */
#define POOL__FRAME_BLOCKS        0x2u  /* several items may be claimed at once (rule 7) */
#define POOL__FRAME_BODY_THERE    0x4u  /* items or shared bytes lie in the arena */
#define POOL__FRAME_RESULTS_THERE 0x8u  /* results are put there */
#define POOL__FRAME_PIECES        0x10u /* of one item, or shared bytes, with no places: see data/bulk.h */

/* What comes first in a body that has either. */
#define POOL__PLACES_SIZE 32u
struct pool__places {
    uint64_t items, results, result_size;
};

void pool__places_encode(unsigned char bytes[POOL__PLACES_SIZE], const struct pool__places *places);

/*
 * Of a frame with its whole body: where items or shared bytes are, and in the frame how many bytes of them, as if they
 * had all been sent. *places is zeros where it has none. NULL: nonsense.
 */
const unsigned char *pool__frame_body(struct pool__frame *frame, const unsigned char *body,
                                      struct pool__places *places);

void pool__frame_encode(unsigned char bytes[POOL__FRAME_SIZE], const struct pool__frame *frame);
bool pool__frame_decode(const unsigned char bytes[POOL__FRAME_SIZE], struct pool__frame *frame); /* false: nonsense */

/*
 * Where in a body of varying sizes the search for an item has come to; zero at the start of a batch. Items are asked
 * for in order.
 */
struct pool__cursor {
    uint32_t offset;
    uint64_t passed; /* padded bytes of the items before `offset` */
};

bool pool__frame_item_of_any_size(const struct pool__frame *frame, const unsigned char *body,
                                  struct pool__cursor *cursor, uint32_t offset, const void **item, size_t *size);

/* The item at `offset` in a whole body. False where it does not lie in it. */
static inline bool pool__frame_item(const struct pool__frame *frame, const unsigned char *body,
                                    struct pool__cursor *cursor, uint32_t offset, const void **item, size_t *size)
{
    uint64_t end = (uint64_t)offset + 1;

    if (frame->item_size > UINT32_MAX) /* so large, or it varies */
        return pool__frame_item_of_any_size(frame, body, cursor, offset, item, size);
    if (offset >= frame->count || end * frame->item_size > frame->body)
        return false;
    *item = body + (size_t)offset * (size_t)frame->item_size;
    *size = (size_t)frame->item_size;
    return true;
}

static inline uint64_t pool__padded(uint64_t size, uint64_t align)
{
    return (size + align - 1) & ~(align - 1);
}

/* Where the first item of a body of varying sizes begins: behind the table of sizes. */
static inline uint64_t pool__sizes_table(uint32_t count)
{
    return pool__padded((uint64_t)count * 8, POOL__FRAME_ALIGN);
}

enum pool__record_kind {
    POOL__RECORD_READY = 1,
    POOL__RECORD_START_FAILED,
    POOL__RECORD_RESULT,
    POOL__RECORD_ROW,
    POOL__RECORD_LEFT,
    POOL__RECORD_LEAVING
};

enum pool__how {
    POOL__HOW_OK,
    POOL__HOW_FAILED,    /* the function returned non-zero */
    POOL__HOW_REFUSED,   /* the function is not in the worker's memory */
    POOL__HOW_NO_MEMORY, /* no memory in the worker for the result, or the argument */
    POOL__HOW_COUNT
};

struct pool__record {
    enum pool__record_kind kind;
    enum pool__how how;
    bool timed; /* ROW */
    uint32_t batch, offset;
    int32_t code;
    uint64_t size, start, run;
    uint32_t count, each; /* ROW */
    bool there;           /* RESULT, ROW */
};

#define POOL__ROW_EACH 1024u /* bytes; larger results have a record each */

/* From one result of a row to the next; a result's bytes are the last of it. */
static inline size_t pool__row_stride(uint32_t each, bool timed)
{
    return (size_t)each + (timed ? 8 : 0);
}

void pool__record_encode(unsigned char bytes[POOL__RECORD_SIZE], const struct pool__record *record);
/* false: nonsense */
bool pool__record_decode(const unsigned char bytes[POOL__RECORD_SIZE], struct pool__record *record);

/*
 * The host's end of the result stream, cut anywhere: bytes go in, records and pieces of payload come out. The same
 * for every cut.
 */
struct pool__decoder {
    unsigned char head[POOL__RECORD_SIZE];
    size_t have; /* bytes of head */
    uint64_t payload_left, padding_left;
    struct pool__record record;
};

enum pool__decoded {
    POOL__DECODED_NOTHING, /* all bytes consumed, more are needed */
    POOL__DECODED_RECORD,  /* decoder->record is new; its payload follows */
    POOL__DECODED_PAYLOAD, /* *piece, *piece_size: the next bytes of it */
    POOL__DECODED_END,     /* the record is complete */
    POOL__DECODED_NONSENSE
};

/*
 * Takes one step; *bytes and *size move past what was consumed. Payload can be had elsewhere instead: see
 * pool__decoder_skip.
 */
enum pool__decoded pool__decoder_step(struct pool__decoder *decoder, const unsigned char **bytes, size_t *size,
                                      const unsigned char **piece, size_t *piece_size);

/* `size` bytes of payload (at most payload_left) were read by somebody else. */
void pool__decoder_skip(struct pool__decoder *decoder, uint64_t size);

#endif
