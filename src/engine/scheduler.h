/*
 * scheduler - which worker gets which items, when to take items back, and what becomes of the items of a worker that
 * died.
 *
 * A pure state machine: events and the time come in, actions go out through struct pool__actions; no system call, no
 * lock, no clock. It reads and writes boards, which are memory. So the code that ships runs under exhaustive search
 * and simulation (tests/unit). All calls are made under the pool's lock; `now` is the time of the event. One machine
 * in seven files:
 *
 *   scheduler.c      which seat gets how many items of which job; silent seats
 *   queue.c          jobs that wait, and the runs of items that they are given out in
 *   take_back.c      items come back from workers: stealing, withdrawing, the end
 *   withdraw_item.c  one item of a group is not wanted any more
 *   outcome.c        results, and what is judged after a death
 *   deadline.c       when a worker is killed for what it runs
 *   staffing.c       when workers are started and ended
 */
#ifndef POOL__SCHEDULER_H
#define POOL__SCHEDULER_H

#include "engine/seat.h"

#define POOL__LOOK_AFTER (2 * UINT64_C(1000000)) /* ns of silence, rule 6 */

/* What is asked for. None may call back into the scheduler, save `look` and `read`, which may deliver results. */
struct pool__actions {
    /* Is there room in the seat's channel for a batch of this job? */
    bool (*can_send)(void *host, const struct pool__seat *seat, const struct pool__job *job);
    /* Sends a batch that stands in the seat's table. */
    void (*send)(void *host, struct pool__seat *seat, uint32_t batch, const struct pool__run *run);
    /*
     * The batch is not with the seat any more: what is still unsent of its frame refers to memory that may go (rule
     * 14).
     */
    void (*unsend)(void *host, struct pool__seat *seat, uint32_t batch);
    void (*stop)(void *host, struct pool__seat *seat);
    void (*kill)(void *host, struct pool__seat *seat);
    /* Asks for a worker: the callee sets board and life. False: not possible now, asked again later. */
    bool (*spawn)(void *host, struct pool__seat *seat);
    /* Reads what the seat has staged and not sent, and tells it to hurry (rule 6). */
    void (*look)(void *host, struct pool__seat *seat);
    /* Reads all that the seat has sent and staged by now. */
    void (*read)(void *host, struct pool__seat *seat);
    /* The zygote owes word of a seat for long: it may be stopped. */
    void (*prod)(void *host);
    /*
     * The seat is DYING and its end is not told in time. Once its items are told: may another worker be started in its
     * place? Then its life is no longer the seat's. False: there is no room for one more.
     */
    bool (*abandon)(void *host, struct pool__seat *seat);
    /* Every processor that runs a worker passes a memory barrier (struct pool__claim). False: that cannot be had. */
    bool (*barrier)(void *host);
};

/* How a life ended. */
struct pool__death {
    bool known;        /* a wait status is there; false: it never came to be, or the zygote is gone */
    int status;        /* the wait status, where known */
    bool announced;    /* it had said LEAVING */
    bool abandoned;    /* it was killed, and the kernel keeps it: it is not known to be over */
    const char *words; /* what ended the item that was running, for a person; NULL: nothing but the status is known */
};

struct pool__scheduler {
    const struct pool__actions *actions;
    void *host;
    struct pool__seat *seats;
    unsigned limit;               /* seats there are: the most workers */
    unsigned span;                /* seats in use: all beyond are EMPTY and not wanted */
    bool blocks;                  /* workers may claim several items at once (rule 7) */
    struct pool__link lone, bulk; /* jobs with something to give out: applies; maps and imaps. The two take turns */
    bool bulk_turn;
    struct pool__link idle;  /* READY seats that owe nothing */
    struct pool__link roomy; /* READY seats that might take another batch behind what they have */
    uint64_t owed;           /* items with workers, without an outcome */
    unsigned latest;         /* the seat that was given something last */
    uint64_t lone_ns;        /* measured time of lone items, 0: not known yet */
    uint32_t lone_batch;     /* items of the last batch of a group */
    uint64_t look_at;        /* soft timer: when some seat may have to be looked at; not later than that */
    uint64_t check_at;       /* hard timer: when some seat's running item may have passed its deadline */
    uint64_t finished, failed, crashed, expired, cancelled, retried, stolen, run_ns; /* statistics, ever */

    /* staffing.c */
    unsigned size;      /* workers wanted, on seats [0, size) */
    unsigned unspawned; /* seats whose spawn was asked for, and of which the zygote has said nothing */
    bool held_back;     /* some seat's spawn waits for others to be told */
    unsigned alive;     /* seats not EMPTY */
    unsigned starting;  /* of these, STARTING */
    unsigned tasks_per_worker;
    uint64_t start_timeout, stop_timeout; /* ns */
    bool ending;                          /* no more work will come: idle workers are stopped */
    bool aborted;                         /* nor is any left: no worker is started */
    bool work_to_share;                   /* some seat has more than it can be running */
    unsigned pipe_deaths;   /* workers in a row that could not be reached, without an outcome in between */
    unsigned bad_starts;    /* lives in a row that ended before they had done anything */
    bool bad_before_ready;  /* the last of these had not even been READY */
    uint64_t last_ready;    /* when a worker last was */
    uint64_t next_spawn;    /* not before */
    uint64_t staff_at;      /* hard timer */
    uint64_t started, lost; /* statistics, ever */

    enum pool_status dropped_as; /* after drop_all(): how that ends which is with workers yet, and why; else POOL_OK */
    int dropped_code;
    const char *dropped_words;
};

bool pool__scheduler_init(struct pool__scheduler *scheduler, const struct pool__actions *actions, void *host,
                          unsigned limit);
void pool__scheduler_free(struct pool__scheduler *scheduler);

void pool__job_init(struct pool__job *job, const struct pool__owner *owner, pool_function *function, size_t item_size);

/* A job has come, or has more items than before. */
void pool__scheduler_submit(struct pool__scheduler *scheduler, struct pool__job *job);

/*
 * The next item of the seat has an outcome; there must be one (pool__seat_head). What is in the outcome is handed
 * over.
 */
void pool__scheduler_result(struct pool__scheduler *scheduler, struct pool__seat *seat, struct pool__outcome *outcome,
                            uint64_t now);

/* The next items of the seat, as many as the row has, ended well; their owner takes rows. */
void pool__scheduler_row(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__row *row,
                         uint64_t now);

/*
 * A sign of life: something came from the worker, though it was known already, or it has read some of what it is
 * being sent.
 */
void pool__scheduler_heard(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now);

/* The worker has left a batch, or the whole pool. False: nonsense, to be condemned. */
bool pool__scheduler_left(struct pool__scheduler *scheduler, struct pool__seat *seat, uint32_t batch, uint64_t now);
bool pool__scheduler_leaving(struct pool__scheduler *scheduler, struct pool__seat *seat, uint64_t now);

/* Its channel has room again, or it has become READY. */
void pool__scheduler_has_room(struct pool__scheduler *scheduler, struct pool__seat *seat);

/* The life is over, its stream read and salvaged to the end: each of its items is judged (rule 2). */
void pool__scheduler_gone(struct pool__scheduler *scheduler, struct pool__seat *seat, const struct pool__death *death,
                          uint64_t now);

/*
 * Takes back all of the job that has not started, wherever it is; the owner hears of it as dropped. From now on
 * nothing of it is given out. Returns how many items were taken back. `ask`: what runs of it is asked to stop
 * (pool_cancelled), after all has been taken back, so that no worker that obeys at once goes on to the next.
 */
uint64_t pool__scheduler_withdraw(struct pool__scheduler *scheduler, struct pool__job *job, enum pool_status status,
                                  bool ask);

/*
 * One item of a group, likewise. True: it had not been claimed, and has been dropped as cancelled. Where it runs, it is
 * asked to stop. False with nothing asked where memory is too short to take it out from between others.
 */
bool pool__scheduler_withdraw_item(struct pool__scheduler *scheduler, struct pool__job *job, uint64_t index);

/* Who has this item, without an outcome, and in which batch; NULL: nobody. */
struct pool__seat *pool__scheduler_seat_with(struct pool__scheduler *scheduler, const struct pool__job *job,
                                             uint64_t index, uint32_t *batch);

/* The same for every job that there is, without asking. What fails of them from now on is cancelled. */
void pool__scheduler_withdraw_all(struct pool__scheduler *scheduler, enum pool_status status);

/* Every item of every job ends with `status` at once. The message is copied. */
void pool__scheduler_drop_all(struct pool__scheduler *scheduler, enum pool_status status, int code,
                              const char *message);

/* Takes back half of what the richest seat has not begun. False: there is nothing that may be taken. */
bool pool__scheduler_steal(struct pool__scheduler *scheduler, uint64_t now);

/* Takes back what the seat has not started, to be given to others. */
void pool__scheduler_empty_seat(struct pool__scheduler *scheduler, struct pool__seat *seat);

/* The worker is gone, in a pool that was ended by pool__scheduler_drop_all(): what it left to this moment ends too. */
void pool__scheduler_drop_rest(struct pool__scheduler *scheduler, struct pool__seat *seat);

/* Gives out what can be given out, and steals for those that have nothing. After each group of events. */
void pool__scheduler_dispatch(struct pool__scheduler *scheduler, uint64_t now);

/* Looks at silent seats (rules 6 and 10), when the time in look_at has come. */
void pool__scheduler_look(struct pool__scheduler *scheduler, uint64_t now);

/* Rule 7: a deadline must not count the time of those that were claimed with it. A single item needs no block. */
static inline bool pool__scheduler_claims_blocks(const struct pool__scheduler *scheduler, const struct pool__job *job)
{
    return scheduler->blocks && !pool__job_is_single(job) && job->deadline == 0;
}

bool pool__scheduler_waits(const struct pool__scheduler *scheduler); /* is any item not yet given out? */

uint64_t pool__scheduler_waiting(const struct pool__scheduler *scheduler); /* how many; walks the queue */

/* Will something come through a worker's pipes that somebody waits for: a result, READY, room for what waits? */
bool pool__scheduler_expects(const struct pool__scheduler *scheduler);

/* After any change of a seat: puts it in the list where it belongs. */
void pool__scheduler_relist(struct pool__scheduler *scheduler, struct pool__seat *seat);

#endif
