/*
 * seat - one place for a worker: its state, and the table of what is with it. The table is the host's truth about
 * items (rule 12).
 *
 * A worker takes the batches of its seat in order, and the items of a batch in order. So the items with an outcome
 * are always the first of what is in flight, and a result can only be that of the very next one.
 *
 *   state      meaning                                     left by
 *   EMPTY      no worker, none asked for                    spawn -> STARTING
 *   STARTING   asked for, or in its initializer             ready -> READY; stop -> LEAVING; kill -> DYING; gone -> EMPTY
 *   READY      takes items                                  stop, leaving -> LEAVING; kill -> DYING; gone -> EMPTY
 *   LEAVING    finishes what it runs, takes nothing more    kill -> DYING; gone -> EMPTY
 *   DYING      SIGKILL was asked for                        gone -> EMPTY
 */
#ifndef POOL__SEAT_H
#define POOL__SEAT_H

#include "data/board.h"
#include "engine/job.h"

enum pool__seat_state { POOL__SEAT_EMPTY, POOL__SEAT_STARTING, POOL__SEAT_READY, POOL__SEAT_LEAVING, POOL__SEAT_DYING };

/* Why a seat is DYING, so that its death is told in the right words, and whether what it left may be trusted. */
enum pool__kill_reason {
    POOL__KILL_NONE,
    POOL__KILL_NONSENSE, /* it sent or left what no worker of ours does (inv. 8) */
    POOL__KILL_PIPE,     /* its pipes cannot be read or written, in this process */
    POOL__KILL_START,    /* its initializer took too long */
    POOL__KILL_STOP,     /* it did not end in time after STOP */
    POOL__KILL_DEADLINE, /* what it runs has passed its deadline */
    POOL__KILL_CANCEL,   /* what it runs was cancelled */
    POOL__KILL_STUCK,    /* it has work, does not begin it, and gives no sign of life */
    POOL__KILL_TERMINATE
};

struct pool__seat {
    struct pool__link link; /* in the scheduler's idle or roomy list, or in none */
    unsigned index;
    enum pool__seat_state state;
    enum pool__kill_reason reason;
    uint32_t life;                          /* counts the workers that sat here */
    struct pool__board *board;              /* of this life; NULL where EMPTY */
    pid_t pid;                              /* for show */
    struct pool__run *flight[POOL__FLIGHT]; /* by batch number; NULL: every item of it has an outcome */
    uint32_t sent;                          /* number of the last batch sent; (left, sent] are in flight */
    uint32_t left;                          /* number of the last batch that the worker has left */
    uint32_t head;                          /* the first batch with an item without outcome, sent + 1 where none is */
    uint64_t owed;                          /* items without outcome */
    uint64_t budget;                        /* items that may still be sent in this life (tasks_per_worker) */
    bool spawned;                           /* the zygote has forked it */
    bool kill_unsent;                       /* the control socket was full */
    bool hung_up;                           /* the result pipe is at its end: it is dead, or has closed it */
    bool was_ready;
    bool started_any; /* an item of this life has an outcome, or was running when it ended */
    uint32_t reached; /* the last batch of which a result has come, 0: none yet; its mark cannot lie before that */
    uint64_t since;   /* when the state was entered */
    /* when it last gave a sign of life, or was sent something while it owed no more than one item */
    uint64_t heard;
    unsigned looks;      /* looks at it since then: two at its staging (rule 6), one for a steal (rule 10) */
    uint64_t prodded_at; /* when the zygote was last prodded for word of it, or what it owes word of began */
    unsigned prods;
    /* deadlines (deadline.c) */
    uint64_t check_at;          /* when what it runs is to be looked at; NEVER: nothing it has is limited */
    struct pool__place sighted; /* the item that was seen running, */
    uint64_t sighted_at;        /* and when first */
    struct pool__place excused; /* the item whose deadline passed while this process was stopped: only once */
    bool abandoned;             /* DYING for too long: its items have been told, its end has not */
};

bool pool__seat_may_become(enum pool__seat_state from, enum pool__seat_state to);
void pool__seat_enter(struct pool__seat *seat, enum pool__seat_state state, uint64_t now);

/* A new life, of a seat that is STARTING: the table is empty. board and pid are the caller's to set. */
void pool__seat_begin(struct pool__seat *seat, unsigned tasks_per_worker, uint64_t now);

bool pool__seat_has_entry(const struct pool__seat *seat);   /* is a board entry free for another batch? */
uint32_t pool__seat_batches(const struct pool__seat *seat); /* batches with items that have no outcome */
/* the run whose next item is the next to have an outcome; NULL: none */
struct pool__run *pool__seat_head(const struct pool__seat *seat);

/* Enters a run in the table; the number of its batch. The board entry is opened. */
uint32_t pool__seat_add(struct pool__seat *seat, struct pool__run *run, uint64_t now);

/* The batch is resolved, or taken back whole: the run is no longer the table's. */
void pool__seat_release(struct pool__seat *seat, uint32_t batch);

/*
 * Takes back unclaimed items of a batch, all but `keep`, and strikes them off the table: the number taken, they are
 * [*first, *first + taken). A run that is then without items is still in the table: see pool__seat_release(). *sane
 * false: the board's word is nonsense, nothing was taken.
 */
uint32_t pool__seat_take_back(struct pool__seat *seat, uint32_t batch, uint32_t keep, uint64_t *first, bool *sane);

/* Is the worker in a task function now, whose outcome is owed? By its board. */
bool pool__seat_is_running(const struct pool__seat *seat);

/* The item that it is in, and the run that holds it; NULL: none whose outcome is owed. */
struct pool__run *pool__seat_running(const struct pool__seat *seat, struct pool__place *place);

/*
 * Are mark and range words what host and worker can have made? Of what is in flight; where they are not, neither a
 * steal nor a deadline finds anything to act on.
 */
bool pool__seat_is_sane(const struct pool__seat *seat);

/*
 * May more of the record come that is under way? All that is published is sent; beyond that the worker only sends while
 * it is at the item that is the next to have an outcome, a result too large for staging. Not believed where its words
 * cannot be.
 */
bool pool__seat_may_send_more(const struct pool__seat *seat, uint64_t received);

/*
 * How many items of a batch, of which the worker has claimed `claimed`, it has started or may have: by mark and table,
 * where all its words fit together; all that it has claimed where they do not, or where it has gone on.
 */
uint32_t pool__seat_started(const struct pool__seat *seat, uint32_t batch, uint32_t claimed);

/* Is it in a task function, owed or not? */
bool pool__seat_is_marked(const struct pool__seat *seat);

#define POOL__STEAL_AFTER (10 * UINT64_C(1000000)) /* ns without progress, rule 10 */

/*
 * When items may be taken from a worker that runs nothing: it has made no progress for so long, be it in receiving
 * them.
 */
uint64_t pool__seat_patience_ends(const struct pool__seat *seat);

/*
 * What the table and the board together say of the unresolved items of a batch after a death: the first `lost` of
 * them are to blame (or cannot be trusted), the rest were never started.
 */
struct pool__verdict {
    uint32_t lost;
    bool running; /* the last of the lost was running when the worker ended */
};
struct pool__verdict pool__seat_judge(const struct pool__seat *seat, uint32_t batch);

#endif
