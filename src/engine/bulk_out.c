#include "engine/bulk_out.h"

#include <string.h>

static const unsigned char zeros[POOL__PIECE_BETWEEN];

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

static void unpin(struct pool__bulk_out *out)
{
    if (out->job != NULL)
        out->job->pinned--;
    out->job = NULL;
}

void pool__bulk_out_begin(struct pool__bulk_out *out, const void *body, size_t size, struct pool__job *job,
                          uint32_t batch)
{
    out->body = body;
    out->left = size;
    out->piece = 0;
    out->padding = 0;
    out->job = job;
    out->batch = batch;
    if (job != NULL)
        job->pinned++;
}

static void append_head(struct pool__bytes *backlog, enum pool__piece_kind kind, uint64_t size)
{
    struct pool__piece piece = {kind, size};
    unsigned char head[POOL__PIECE_SIZE];

    pool__piece_encode(head, &piece);
    pool__bytes_append(backlog, head, sizeof head);
}

static void pass(struct pool__bulk_out *out, size_t size)
{
    out->left -= size;
    if (out->body != NULL)
        out->body += size;
    if (out->left == 0)
        unpin(out);
}

size_t pool__bulk_out_next(struct pool__bulk_out *out, struct pool__bytes *backlog)
{
    size_t count;

    if (out->piece > 0)
        return 0;
    pool__bytes_append_zeros(backlog, out->padding);
    out->padding = 0;
    if (out->left == 0)
        return 0;
    if (out->body == NULL) {
        append_head(backlog, POOL__PIECE_NEVER, out->left);
        out->left = 0;
        return 0;
    }
    count = pool__ring_put(out->ring, &out->put, out->body, out->left);
    if (count > 0) {
        append_head(backlog, POOL__PIECE_RING, count);
        pass(out, count);
        return count;
    }
    out->piece = smaller(out->left, POOL__PIECE_BETWEEN);
    out->padding = -out->piece & (POOL__PIECE_ALIGN - 1);
    append_head(backlog, POOL__PIECE_PIPE, out->piece);
    return 0;
}

struct iovec pool__bulk_out_part(const struct pool__bulk_out *out)
{
    struct iovec part = {(void *)(uintptr_t)(out->body != NULL ? out->body : zeros), out->piece};

    return part;
}

void pool__bulk_out_wrote(struct pool__bulk_out *out, size_t size)
{
    out->piece -= size;
    pass(out, size);
}

void pool__bulk_out_forget(struct pool__bulk_out *out)
{
    out->body = NULL;
    unpin(out);
}
