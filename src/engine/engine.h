/*
 * engine - the host's side of a pool: one struct, one lock, and who may hold what.
 *
 * Lock order, outermost first (inv. 12); a thread that has one takes only those below it:
 *   fork lock     base/fork_child.h; inside a pool's lock it is only tried
 *   pool->lock    everything below that says so. Never held while user code runs, or while a thread sleeps in a poller
 *   poller        inside base/poller_poll.c
 * Apart from these: the lock of one process object (api/process.c), that of the progress bars (api/progress_bar.c) and
 * a pool's arena_lock, under which nothing else is taken.
 *
 * Processes: every public call asks pool__is_here() first. In another process nothing of a pool is touched but what
 * never changes after create.
 */
#ifndef POOL__ENGINE_H
#define POOL__ENGINE_H

#include <pthread.h>

#include "base/clock.h"
#include "base/fork_child.h"
#include "base/poller.h"
#include "base/slab.h"
#include "children/zygote.h"
#include "data/arena.h"
#include "data/buffer.h"
#include "data/spin.h"
#include "engine/channel.h"
#include "engine/scheduler.h"
#include "engine/zygote_link.h"

struct pool__group;
struct pool__waiter;
struct pool__call;

#define POOL__BEDS  32u /* conditions that threads may sleep on, besides what they bring themselves */
#define POOL__GIVEN 4u  /* seats whose boards a waiter looks at before it sleeps */
#define POOL__FEW   16u /* with more items with workers than these it does not */

/* Who has a board. */
struct pool__board_use {
    bool taken;
    bool abandoned; /* by a life that is no seat's any more, and whose end is not told: */
    uint32_t seat, life;
};

/* What is freed when the lock is let go: see pool__bury(). First member of its holder. */
struct pool__grave {
    struct pool__grave *next;
    void (*dispose)(struct pool__grave *grave);
};

struct pool {
    /* ---- set at create, never changed */
    uint64_t generation; /* the process that owns it */
    unsigned flags;
    size_t queue_limit;
    struct pool__zygote_setup *setup; /* the zygote's and the workers' too */
    size_t boards_size;
    struct pool__poller *pipes; /* result pipes, task pipes that are full; under POOL_NO_THREAD control and waker too */
    struct pool__poller *bell;  /* control, waker: the background thread's; NULL under POOL_NO_THREAD */
    struct pool__fork_guard guard;
    void (*destroy)(struct pool *pool); /* for one that a callback has destroyed: when it has returned */

    pthread_mutex_t
        arena_lock; /* which blocks of it are in use; where it lies is set at create: size 0, there is none */
    struct pool__arena arena;

    _Atomic bool stop_asked; /* pool_stop(), perhaps in a signal handler */

    pthread_mutex_t lock;
    /* ---- all below is guarded by it */
    struct pool__scheduler scheduler;
    struct pool__channel *channels; /* one a seat */
    struct pool__board_use *boards; /* one a board */
    struct pool__zygote_link zygote;
    unsigned char *scratch; /* where results are read to, POOL__SCRATCH bytes */
    uint64_t next_shared_id;
    uint64_t calls_ever; /* counts up with each public call */
    uint64_t seen_in;    /* in which the control socket was looked at: see loss.h */
    bool loss_noted;     /* a descriptor of ours is another's, */
    bool lost;           /* and all were given up */
    bool restaff;        /* staffing has something to do */
    bool leaves;         /* who settles has what he waited for: he leaves that to the background thread */
    uint64_t retry_at;   /* when what could not be sent is tried again: pool__retry_soon() */
    bool creating;       /* pool_create() has not returned: a spawn that fails ends it */
    int create_error;
    struct pool__link unwanted; /* jobs that an outcome has made pointless: withdrawn by the next settle */

    /* life of the pool */
    bool closed, stopped, terminated, broken;
    int broken_code;
    char *broken_words;
    struct pool__failure { /* of the last worker that could not start */
        int code;
        char *words;
    } last_failure;
    int64_t oom_kills;        /* the out-of-memory killer's counter when the pool was made */
    char *oom_file;           /* where that stands */
    struct pool__name *names; /* of functions in which workers have died: see crash_words.c */
    unsigned references;      /* the user's handle, futures, iterators */
    unsigned calls;           /* calls in progress that use the handle */
    pthread_cond_t quiet;     /* calls has become 0 */
    bool destroying;          /* no new wait begins */
    size_t lone_unfinished;   /* applies without an outcome, for queue_limit */
    size_t held_back;         /* applies since tasks were last given out: see pool__give_out_soon() */
    unsigned unlooked;        /* applies since results were last read in passing */
    uint64_t watched_done;    /* futures that are done and that a pool_wait_any() waits for, ever */
    struct pool__moment submitted_at;
    struct pool__group *group; /* that is being filled, or NULL (api/group.h) */
    uint32_t group_room;       /* places that the next one shall have; 0: there was none yet */
    struct pool__group *spare_group;
    unsigned spare_groups;
    unsigned full_groups;     /* of full size, in use */
    struct pool__slabs slabs; /* where those come from that are very many */
    bool groups_end;
    struct pool__link iterators; /* those whose source is not at its end */
    uint64_t submitted, bytes_sent, bytes_received;

    /* the I/O role (role.h) */
    struct pool__link waiters;
    struct pool__waiter *holder;  /* who has the role: a waiter, pool->background, or NULL */
    uint64_t holder_sleeps_until; /* a waiter that has it, and sleeps; 0: it is awake */
    bool holder_spins;            /* a waiter that has it looks at boards, without the lock, */
    _Atomic bool poked;           /* until this says that it is to look at all else again; set under the lock */
    struct pool__spin spin;
    struct pool__seat *given[POOL__GIVEN]; /* those that were sent a batch last, in turns */
    unsigned gave, gave_then;              /* how often; and when the holder began to look */
    struct pool__waiter *background;
    pthread_cond_t beds[POOL__BEDS]; /* for threads that wait and have not the role: see role.h */
    uint32_t beds_taken;             /* a bit for each, */
    uint32_t to_wake;                /* and for each whose sleeper is to wake when the lock is let go */
    bool listening, thread_started;  /* set at create */
    bool thread_runs, thread_ends;
    pthread_t thread;
    uint64_t thread_sleeps_until;
    uint64_t loop_sleeps_until; /* POOL_NO_THREAD: what pool_next_timeout() has said; 0: the loop is awake */
    uint64_t take_role_at; /* when the background thread takes a role that nobody has; NEVER: it was not told of work */

    /* callbacks (callbacks.h) */
    struct pool__link calls_queued;
    bool calling;                     /* one runs now */
    const struct pool__call *current; /* which; NULL: a thread's own */
    const struct pool *called_within; /* the pool in whose callback that thread is besides, or NULL */
    pthread_cond_t call_done;         /* for the callback thread and those who wait for their turn */
    bool caller_runs, caller_ends;
    pthread_t caller;
    bool destroy_when_returned; /* pool_destroy() was called in a callback, */
    pthread_t destroyer;        /* by this thread, which does it when the callback has returned */

    struct pool__grave *graves;
};

static inline bool pool__has_thread(const struct pool *pool)
{
    return (pool->flags & POOL_NO_THREAD) == 0;
}
static inline struct pool__channel *pool__channel_of(struct pool *pool, const struct pool__seat *seat)
{
    return &pool->channels[seat->index];
}
static inline bool pool__is_here(const struct pool *pool)
{
    return pool__process_is(pool->generation);
}

void pool__lock(struct pool *pool);

/* Lets the lock go, then wakes who is to be woken, and frees what was buried. */
void pool__unlock(struct pool *pool);

/* Sleeps on a condition until `end` at the most, the lock let go meanwhile. */
void pool__sleep(struct pool *pool, pthread_cond_t *condition, uint64_t end);

/* To be freed by `dispose` once the lock is let go, so that whoever is in the middle of a step may still look at it. */
void pool__bury(struct pool *pool, struct pool__grave *grave, void (*dispose)(struct pool__grave *grave));

/* The pool's own memory goes with the last of its handle, futures and iterators. Under the lock / without it. */
void pool__hold(struct pool *pool);
void pool__let_go(struct pool *pool);

/* What the scheduler asks the engine for. */
extern const struct pool__actions *const pool__engine_actions;

/* ---- events, all under the lock */

/* Handles what a poller told, then whatever follows from it. */
void pool__handle_ready(struct pool *pool, const struct pool__ready *ready, size_t count);

/* After any change: timers, staffing, giving out, the end of the pool. */
void pool__settle(struct pool *pool);

/*
 * The next moment at which pool__settle() has something to do: hard timers (staffing, deadlines), and where `all` the
 * soft ones of rules 6 and 10 too.
 */
uint64_t pool__next_timer(const struct pool *pool, bool all);

/*
 * A job is over, or nobody wants it: no frame, no result in the middle of its reading, refers to its memory any more;
 * workers forget its shared bytes.
 */
void pool__release_job(struct pool *pool, struct pool__job *job);

/* Something waits to be sent and nothing will tell when it can be: tried again in a millisecond. */
void pool__retry_soon(struct pool *pool);

/* ---- ends */

void pool__end_by_stop(struct pool *pool); /* what pool_stop() asked for */
void pool__end_by_terminate(struct pool *pool);
void pool__end_if_idle(struct pool *pool); /* after close: is everything done that can come? */
void pool__break(struct pool *pool, int code, const char *words);
void pool__zygote_gone(struct pool *pool); /* and every life with it */

/* The control socket joins the pollers. False with errno. */
#define POOL__CONTROL_TAG UINT64_C(0) /* all others are a seat's */
bool pool__listen(struct pool *pool);

/* ---- the zygote's word (notices.c) */

void pool__read_notices(struct pool *pool);

/*
 * Kills the group of a worker whose end the zygote will not or cannot tell, by the host: the one exception to inv. 1
 * (rule 24). Only where the worker still holds its result pipe open, so that its number is its own.
 */
void pool__kill_orphan(struct pool *pool, const struct pool__seat *seat);

/* Why the last worker that could not start did not; the words are copied. */
void pool__set_last_failure(struct pool *pool, int code, const char *words);

/* The seat by its tag, {seat + 1, life}; NULL: that life is over. */
struct pool__seat *pool__seat_of(struct pool *pool, uint64_t tag);
bool pool__is_over(const struct pool *pool); /* no worker and no zygote is left */

/*
 * Something is to be done for iterators when a pool ends: told to each whose source is still being read. Set by the
 * api layer.
 */
struct pool__reader {
    struct pool__link link; /* in pool->iterators */
    void (*stop_reading)(struct pool__reader *reader, enum pool_status why);
};

#endif
