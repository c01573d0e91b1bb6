/*
 * channel - the two pipes of one worker's life, seen from the host: frames go out, records come in; never blocking
 * (inv. 3).
 *
 * Out: what the task pipe does not take at once waits in `backlog`, and behind it the rest of one large body, which
 * is not copied but referred to (bulk_out.h). Only then comes the next frame. So at most one frame refers to the memory
 * of a job, and pool__channel_forget() lets go of it: the rest of the body never comes (rule 14); no item of it is with
 * the worker any more.
 *
 * In: the result stream (wire.h) is read into scratch memory and decoded; a large payload comes in pieces (bulk_in.h).
 * `received` counts the bytes of the stream that were decoded, from the pipe or from the board's staging; `piped`
 * those that came by the pipe. What was taken from the board first is dropped when the pipe brings it too (rule 4).
 */
#ifndef POOL__CHANNEL_H
#define POOL__CHANNEL_H

#include "base/descriptor.h"
#include "data/buffer.h"
#include "data/wire.h"
#include "engine/bulk_in.h"
#include "engine/bulk_out.h"
#include "engine/job.h"
#include "engine/seat.h"

#define POOL__SCRATCH 65536u

/* Payload under way. */
struct pool__arrival {
    unsigned char *at;   /* where its next byte goes; NULL: it is dropped */
    unsigned char *heap; /* malloc'ed: grows with what was received, never with what was announced */
    size_t got, room;
    bool no_memory;
    /* of a row */
    bool placed;                /* its results go to their places */
    size_t known;               /* bytes of it, from the front, that are here already */
    const unsigned char *whole; /* all of it came in one piece: this, good until the next read */
};

struct pool__channel {
    int tasks;         /* to write */
    int tasks_read;    /* the other end, kept open: so a write to a dead worker's pipe raises no SIGPIPE */
    int results;       /* to read */
    int results_write; /* the worker's end, ours until SPAWNED (rule 22) */
    struct pool__identity task_pipe, result_pipe; /* which they are, should the program close them and open others: */
    uint64_t seen_in;                             /* looked at in this call (pool->calls_ever); see loss.h */
    uint64_t tag;                                 /* {seat, life}, as the poller tells it */
    bool want_write;                              /* the task pipe is in the poller's set for writing */
    bool short_of_memory;                         /* a job's shared bytes could not be noted */
    uint64_t failing_since;                       /* writing to it fails, since then; 0: it does not */
    bool at_end;                                  /* the result pipe has reached its end: not polled any more */
    bool announced;                               /* LEAVING came */
    bool start_failed;                            /* START_FAILED came */
    bool poisoned;                                /* nonsense came: nothing more is read */
    bool stop_pending;                            /* a STOP frame is to follow what waits */
    bool killer_looked_for, killer_at_work;       /* the out-of-memory killer, at this life's end: crash_words.c */

    struct pool__bytes backlog;
    struct pool__bulk_out large;

    struct pool__shared_copy {
        uint64_t id;
        bool unwanted; /* to be dropped when what waits is out */
    } * shared;        /* shared bytes that the worker has */
    size_t shared_count, shared_room;

    struct pool__decoder decoder;
    struct pool__bulk_in large_in;
    struct pool__arrival arrival;
    uint64_t received, piped;
    /* what was taken of a row that the worker had not closed: its record, when it comes, brings these again */
    uint32_t open_batch, open_first, open_taken; /* batch 0: nothing */
    uint64_t sent;                               /* bytes of frames written into the task pipe */
};

struct pool;

void pool__channel_clear(struct pool__channel *channel);

/*
 * Makes the pipes of a new life; descriptors for the worker in theirs[2]. `bulk` is what it shares with the worker
 * besides. 0, or an errno.
 */
int pool__channel_open(struct pool *pool, struct pool__channel *channel, uint64_t tag, struct pool__bulk *bulk,
                       int theirs[2]);

/* The worker has its ends: ours of them are closed, save tasks_read. */
void pool__channel_handed_over(struct pool__channel *channel);
void pool__channel_close(struct pool *pool, struct pool__channel *channel);

/* Nobody sleeps on its pipes any more. */
void pool__channel_leave_poller(struct pool *pool, struct pool__channel *channel);
void pool__channel_close_in_child(struct pool__channel *channel);

/* Some of the pool's descriptors are not ours any more, or all: closes what is left, and is out of every poller. */
void pool__channel_give_up(struct pool__channel *channel, bool all);

/* ---- out: channel_out.c */

/*
 * Is nothing waiting, and has the worker the job's shared bytes? Where it has not, they are sent now, if nothing
 * waits.
 */
bool pool__channel_ready_for(struct pool *pool, struct pool__channel *channel, const struct pool__job *job);
void pool__channel_send_batch(struct pool *pool, struct pool__channel *channel, uint32_t batch,
                              const struct pool__run *run);
void pool__channel_send_stop(struct pool *pool, struct pool__channel *channel);

/* Something waits, and no poller will tell when it can be sent: that is for pool__retry_soon() to see to. */
bool pool__channel_is_unwatched(const struct pool__channel *channel);

/* Writes what waits. True: all of it is out. */
bool pool__channel_flush(struct pool *pool, struct pool__channel *channel);

/* The batch is not with the worker any more: what is unsent of its frame goes out as zeros. */
void pool__channel_unsend(struct pool__channel *channel, uint32_t batch);

/* Nobody waits for what is under way: no memory of any job is referred to. */
void pool__channel_forget_all(struct pool__channel *channel);

/*
 * The job is over or unwanted: no frame, and no payload that is being read, refers to its memory from now on; the
 * worker forgets its shared bytes.
 */
void pool__channel_forget(struct pool *pool, struct pool__channel *channel, struct pool__job *job, bool reading_it);

/* ---- in: channel_in.c */

/* Reads what is there, a bounded amount, and delivers it. */
void pool__channel_read(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel);

/* Takes what the worker has staged and not sent, beside it (rule 6) or after its death (inv. 6). */
void pool__channel_salvage(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel);

/*
 * After the worker's death: all that the pipe holds, and no more (a stranger may hold its other end), then the board.
 */
void pool__channel_drain(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel);

/*
 * Is it a result of the item that is next to have its outcome at this seat, or a row that goes on there? Implemented in
 * delivery.c, as are:
 */
bool pool__deliver_is_next(const struct pool__seat *seat, const struct pool__channel *channel,
                           const struct pool__record *record);

/* The worker's open row, of which `bytes` are the results from the seat's next item on. False: nonsense. */
bool pool__deliver_open_row(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel,
                            const struct pool__record *record, const unsigned char *bytes);

/* Heap for `size` announced bytes, of which few are here yet; one more for a final NUL. */
void pool__arrive_on_heap(struct pool__arrival *arrival, uint64_t size);

/* What a record says, whole. False: nonsense. */
bool pool__deliver_start(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel);
bool pool__deliver_end(struct pool *pool, struct pool__seat *seat, struct pool__channel *channel);

#endif
