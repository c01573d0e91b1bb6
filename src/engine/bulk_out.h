/*
 * bulk_out - the large body that a channel is sending: in pieces (data/bulk.h), into the ring while that has room, else
 * into the pipe, behind their heads in the channel's backlog.
 *
 * The body is not copied but referred to, and its job is pinned meanwhile. Once that is forgotten, the piece in the
 * middle of which the pipe stands goes on as zeros, and the rest never comes (rule 14).
 */
#ifndef POOL__BULK_OUT_H
#define POOL__BULK_OUT_H

#include <sys/uio.h>

#include "data/buffer.h"
#include "data/bulk.h"
#include "engine/job.h"

struct pool__bulk_out {
    struct pool__ring *ring;
    uint64_t put;
    const unsigned char *body; /* what is next of it; NULL while something is left: forgotten */
    uint64_t left;             /* of the body, */
    size_t piece;              /* of these in the piece that the pipe is at, */
    size_t padding;            /* and what follows that */
    struct pool__job *job;
    uint32_t batch; /* whose body it is; 0: shared bytes */
};

static inline bool pool__bulk_out_waits(const struct pool__bulk_out *out)
{
    return out->left > 0 || out->padding > 0;
}

/* `job` may be NULL. */
void pool__bulk_out_begin(struct pool__bulk_out *out, const void *body, size_t size, struct pool__job *job,
                          uint32_t batch);

/* What is to follow an empty backlog goes there. The number of bytes that went into the ring. */
size_t pool__bulk_out_next(struct pool__bulk_out *out, struct pool__bytes *backlog);

/* What is to be written behind the backlog, perhaps nothing; and so much of it was. */
struct iovec pool__bulk_out_part(const struct pool__bulk_out *out);
void pool__bulk_out_wrote(struct pool__bulk_out *out, size_t size);

/* No memory of the job is referred to any more. */
void pool__bulk_out_forget(struct pool__bulk_out *out);

#endif
