/*
 * control - what comes by the control socket, any bytes, cut anywhere: a message says all that its bytes do, and the
 * host's end hands on the same notices for every cut, until the first that makes no sense.
 *
 *   input   how many cuts (1 byte), their lengths (1 byte each), the stream
 */
#include "support/input.h"

#include "base/descriptor.h"
#include "engine/zygote_link.h"
#include "support/system.h"

#define NOTICES_MOST 256u

struct heard {
    struct pool__message notices[NOTICES_MOST];
    size_t count;
    bool gone;
};

static void check_message(const unsigned char *bytes)
{
    unsigned char again[POOL__MESSAGE_SIZE];
    struct pool__message message;

    if (!pool__message_decode(bytes, &message))
        return;
    MUST(message.kind <= POOL__SPAWN_FAILED);
    pool__message_encode(again, &message);
    MUST(memcmp(again, bytes, sizeof again) == 0);
}

static void hear(struct pool__zygote_link *link, struct heard *heard)
{
    struct pool__message notice;
    int got;

    while (!heard->gone && (got = pool__zygote_next_notice(link, &notice)) != 0) {
        heard->gone = got < 0;
        MUST(heard->gone || heard->count < NOTICES_MOST);
        if (!heard->gone)
            heard->notices[heard->count++] = notice;
    }
}

/* In pieces of the lengths that the cuts say, over and over. */
static void listen_to(const unsigned char *stream, size_t size, const unsigned char *cuts, size_t cut_count,
                      struct heard *heard)
{
    struct pool__zygote_link link;
    size_t at, step, i = 0;
    struct iovec part;
    int ends[2];

    memset(heard, 0, sizeof *heard);
    memset(&link, 0, sizeof link);
    system_begin();
    pool__socket_pair(ends);
    link.control = ends[0];
    pool__identity_of(link.control, &link.identity);
    for (at = 0; at < size && !heard->gone; at += step) {
        step = cut_count == 0 ? size : cuts[i++ % cut_count] + 1u;
        step = step < size - at ? step : size - at;
        part.iov_base = exact_copy(stream + at, step);
        part.iov_len = step;
        MUST(pool__write_some(ends[1], &part, 1) == (ssize_t)step);
        free(part.iov_base);
        hear(&link, heard);
    }
    pool__close(&ends[1]);
    hear(&link, heard);
    MUST(heard->gone);
    pool__zygote_bury(&link);
    MUST(link.control < 0);
    system_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct heard whole, cut;
    struct input input = {data, size};
    size_t cut_count = take8(&input) % 16, at;
    unsigned char cuts[16];

    take(&input, cuts, cut_count);
    if (input.left > NOTICES_MOST * POOL__MESSAGE_SIZE)
        input.left = NOTICES_MOST * POOL__MESSAGE_SIZE;
    for (at = 0; input.left - at >= POOL__MESSAGE_SIZE; at += POOL__MESSAGE_SIZE)
        check_message(input.at + at);
    listen_to(input.at, input.left, cuts, 0, &whole);
    listen_to(input.at, input.left, cuts, cut_count, &cut);
    MUST(cut.count == whole.count);
    for (at = 0; at < whole.count; at++)
        MUST(memcmp(&cut.notices[at], &whole.notices[at], sizeof cut.notices[at]) == 0);
    return 0;
}
