/*
 * job - what the engine knows of a submission: a number of items, in order, and an owner (an apply's future, a map,
 * an iterator) that it must not know.
 *
 * The one upward edge of the layers: the engine asks an owner for an item's bytes and tells it each item's outcome,
 * through struct pool__owner. All of it under the pool's lock; an owner may give the job's memory back only when the
 * lock is let go (pool__bury in engine.h), so that the engine can finish its step.
 */
#ifndef POOL__JOB_H
#define POOL__JOB_H

#include <string.h>

#include "base/list.h"
#include "procpool.h"

struct pool__job;

/* How an item ended. Heap memory in it is handed over: the owner frees it. */
struct pool__outcome {
    enum pool_status status;
    int code;
    void *data; /* the result's bytes: malloc'ed, or the place that the owner gave, or NULL */
    size_t size;
    char *message;     /* what pool_fail() said: malloc'ed, or NULL */
    const char *why;   /* what the engine knows besides status and code, or NULL; of static storage */
    const char *words; /* POOL_CRASHED: the whole message but for the item's number, or NULL; good until told */
    pid_t worker;
    unsigned attempts;
    uint64_t deadline; /* ns; the one that passed, with POOL_EXPIRED */
    uint64_t start;    /* ns; 0: never started */
    uint64_t run;
};

/*
 * A row of items of one run that ended well, with results of one size. The bytes are the engine's: an owner copies what
 * it keeps.
 */
struct pool__row {
    uint64_t first; /* index of the first item */
    uint32_t count;
    const unsigned char *bytes; /* of the first result; NULL: each was put to its place already */
    size_t size, stride;        /* bytes of a result, and from one to the next */
    pid_t worker;
    unsigned attempts;
    uint64_t start;             /* ns; of the first item */
    const unsigned char *times; /* 8 bytes, `stride` apart: ns that each item ran; NULL: only their mean is known, */
    uint64_t mean;              /* this */
};

static inline uint64_t pool__row_run(const struct pool__row *row, uint32_t which)
{
    uint64_t run = row->mean;

    if (row->times != NULL)
        memcpy(&run, row->times + (size_t)which * row->stride, sizeof run);
    return run;
}

/* What became of the cancel of one item of a group, which had begun. */
enum pool__asked { POOL__ASKED_NOTHING, POOL__ASKED_TO_STOP, POOL__ASKED_BY_KILL };

struct pool__owner {
    /* The bytes of an item's argument; good until its outcome. */
    void (*argument)(struct pool__job *job, uint64_t index, const void **bytes, size_t *size);
    /*
     * Where an OK result of `size` bytes is to be put: a place of exactly that size, or NULL: in malloc'ed memory
     * (keep true) or nowhere (keep false).
     */
    void *(*place)(struct pool__job *job, uint64_t index, uint64_t size, bool *keep);
    /* One item has ended. */
    void (*finished)(struct pool__job *job, uint64_t index, struct pool__outcome *outcome);
    /* Items [first, first + count) were never started and never will be. */
    void (*dropped)(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                    const char *message);
    /* A row of items has ended; NULL: they are told one by one, by place() and finished(). */
    void (*finished_row)(struct pool__job *job, const struct pool__row *row);
    /* Of a group: has this item's own cancel asked it to stop, or said that its worker is killed? NULL: no groups. */
    enum pool__asked (*asked)(const struct pool__job *job, uint64_t index);
};

/* A run of consecutive items of one job: given back and waiting, or with a worker. */
struct pool__run {
    struct pool__link link; /* in job->returned while waiting */
    struct pool__job *job;
    uint64_t first;
    uint32_t count;     /* items of it that are still its own: what was taken back is not */
    uint32_t done;      /* of these, from the front, have an outcome */
    unsigned attempt;   /* 1, or more where its first item is run again */
    unsigned suspicion; /* deaths of workers that had its first item first in line and nothing running (rule 11) */
    /* how often it was taken from a worker that did not begin: each time the next one is given twice the time */
    unsigned moves;
};

struct pool__job {
    struct pool__link link; /* in the scheduler's queue while it has something to give out */
    const struct pool__owner *owner;
    pool_function *function;
    size_t item_size;   /* bytes, where all items have the same; SIZE_MAX: they vary */
    size_t chunk;       /* items a batch, 0: as the scheduler finds best */
    const void *shared; /* pool_job.shared, or NULL */
    size_t shared_size;
    uint64_t shared_id; /* 0: none */
    uint64_t deadline;  /* ns that one item may run; 0: no end */
    unsigned retries;   /* how often an item is run again after a death */
    bool lone;          /* an apply: each item is one by itself, */
    bool grouped;       /* and there are several: alike, entered one by one, cancelled one by one; not in one piece */
    bool timed;         /* the program is told how long each item ran */
    bool cancel_asked;  /* what runs of it was asked to stop: a failure then is POOL_CANCELLED */
    bool kill_asked;    /* what runs of it is killed: what does not end with a result is POOL_CANCELLED */
    bool withdrawn;     /* nothing of it is given out any more: what comes back is dropped */
    enum pool_status withdrawn_as;
    uint64_t next, end; /* fresh items [next, end) */
    struct pool__link returned;
    struct pool__link unwanted; /* in pool->unwanted: to be withdrawn when the event at hand is done with */
    unsigned pinned;            /* frames under way that refer to memory of the job (rule 14) */
    uint64_t in_flight;         /* items with workers, without an outcome */
    uint32_t last_batch;        /* items of the last batch, so that batches grow step by step */
    uint64_t item_ns;           /* measured time of an item, 0: not known yet */
    struct pool__run own;       /* one run of a job of applies: it needs no memory */
    bool own_used;

    /* what lies in the arena is not sent, only where it lies */
    bool items_there; /* all items, of item_size bytes, one after the other */
    bool shared_there;
    unsigned char *results; /* a map's out, result_size bytes for each item; NULL: it does not */
    size_t result_size;
};

/*
 * What runs of it reads or writes memory that is the program's again once it is told the end: so that is told when no
 * worker can be at it any more, and not before (rule 16).
 */
static inline bool pool__job_is_there(const struct pool__job *job)
{
    return job->items_there || job->shared_there || job->results != NULL;
}

/* Has it one item, and so one run, for ever? */
static inline bool pool__job_is_single(const struct pool__job *job)
{
    return job->lone && !job->grouped;
}

static inline enum pool__asked pool__job_asked(const struct pool__job *job, uint64_t index)
{
    return job->grouped ? job->owner->asked(job, index) : POOL__ASKED_NOTHING;
}

static inline bool pool__job_waits(const struct pool__job *job)
{
    return job->next < job->end || !pool__list_empty(&job->returned);
}

#endif
