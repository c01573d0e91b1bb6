/*
 * frames - what a worker reads from its task pipe, any bytes: a frame says all that its header does, and each item
 * that is found lies in the body, in order, apart from the others, wherever else the search has been.
 *
 *   input   how many items to pass over between two that are asked for (1 byte), then frames
 */
#include "support/input.h"

#include "data/wire.h"

#define ITEMS_MOST 2000u /* that are looked at in one frame */

/* Item by item, with none of the sums of the shipped search. False: not in the body. */
static bool find_slowly(const struct pool__frame *frame, const unsigned char *body, uint32_t offset, uint64_t *at,
                        uint64_t *size)
{
    uint64_t table = ((uint64_t)frame->count * 8 + 15) / 16 * 16, end = frame->body;
    uint32_t i;

    if (frame->item_size != POOL__VARIES) {
        *at = (uint64_t)offset * frame->item_size;
        *size = frame->item_size;
        return frame->item_size == 0 || (frame->item_size <= end && offset < end / frame->item_size);
    }
    if (table > end)
        return false;
    for (i = 0, *at = table;; i++) {
        memcpy(size, body + (size_t)i * 8, sizeof *size);
        if (*size > end - *at || (*size + 15) / 16 * 16 > end - *at)
            return false;
        if (i == offset)
            return true;
        *at += (*size + 15) / 16 * 16;
    }
}

static void look_at_item(const struct pool__frame *frame, const unsigned char *body, struct pool__cursor *cursor,
                         uint32_t offset)
{
    struct pool__cursor fresh = {0, 0};
    const void *item = NULL, *again = NULL;
    size_t size = 0, again_size = 0;
    uint64_t at = 0, expected = 0;
    bool found = pool__frame_item(frame, body, cursor, offset, &item, &size);

    MUST(found == find_slowly(frame, body, offset, &at, &expected));
    MUST(found == pool__frame_item(frame, body, &fresh, offset, &again, &again_size));
    if (!found)
        return;
    MUST((const unsigned char *)item == body + at && size == expected && at + size <= frame->body);
    MUST(again == item && again_size == size);
}

static void look_at_items(const struct pool__frame *frame, const unsigned char *body, uint32_t step)
{
    struct pool__cursor cursor = {0, 0};
    const void *item;
    uint32_t offset, looks = 0;
    size_t size;

    for (offset = 0; offset < frame->count && looks < ITEMS_MOST / 10; offset += step, looks++)
        look_at_item(frame, body, &cursor, offset);
    if (frame->count > ITEMS_MOST)
        look_at_item(frame, body, &cursor, frame->count - 1);
    MUST(!pool__frame_item(frame, body, &cursor, frame->count, &item, &size));
    if (cursor.offset > 0)
        MUST(!pool__frame_item(frame, body, &cursor, cursor.offset - 1, &item, &size)); /* in order only */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint32_t step = take8(&input) % 16 + 1u;
    struct pool__frame frame;

    while (input.left >= POOL__FRAME_SIZE) {
        unsigned char head[POOL__FRAME_SIZE], again[POOL__FRAME_SIZE], *body;

        take(&input, head, sizeof head);
        if (!pool__frame_decode(head, &frame))
            return 0;
        pool__frame_encode(again, &frame);
        MUST(memcmp(head, again, sizeof head) == 0);
        MUST(frame.body % POOL__FRAME_ALIGN == 0);
        if (frame.body > input.left)
            return 0; /* a worker would wait for more */
        body = exact_copy(input.at, (size_t)frame.body);
        if (frame.kind == POOL__FRAME_BATCH) {
            MUST(frame.count > 0 && frame.count <= POOL__BATCH_MAX);
            look_at_items(&frame, body, step);
        } else if (frame.kind == POOL__FRAME_SHARED) {
            MUST(frame.item_size <= frame.body);
        }
        free(body);
        input.at += frame.body;
        input.left -= (size_t)frame.body;
    }
    return 0;
}
