#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/descriptor.h"
#include "base/shared_pages.h"
#include "engine/callbacks.h"
#include "engine/crash_words.h"
#include "engine/deadline.h"
#include "engine/loss.h"
#include "engine/role.h"
#include "engine/staffing.h"
#include "engine/words.h"

#define RETRY   POOL__MS         /* after what could not be sent */
#define FAILING (100 * POOL__MS) /* how long writing to a worker may fail until it is given up */

/* ---- memory and lock */

void pool__lock(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
}

static void wake_beds(struct pool *pool, uint32_t which)
{
    size_t i;

    for (i = 0; which != 0; i++, which >>= 1)
        if ((which & 1) != 0)
            pthread_cond_signal(&pool->beds[i]);
}

/*
 * Who is woken wants the lock: so that he need not sleep again at once, he is woken when it is free. The pool's memory
 * is held meanwhile, since he may be the last who uses it.
 */
void pool__unlock(struct pool *pool)
{
    struct pool__grave *grave = pool->graves;
    uint32_t to_wake = pool->to_wake;

    pool->graves = NULL;
    pool->to_wake = 0;
    if (to_wake != 0)
        pool__hold(pool);
    pthread_mutex_unlock(&pool->lock);
    if (to_wake != 0) {
        wake_beds(pool, to_wake);
        pool__let_go(pool);
    }
    while (grave != NULL) {
        struct pool__grave *next = grave->next;

        grave->dispose(grave);
        grave = next;
    }
}

void pool__sleep(struct pool *pool, pthread_cond_t *condition, uint64_t end)
{
    struct timespec until = pool__timespec(end);

    wake_beds(pool, pool->to_wake);
    pool->to_wake = 0;
    if (end == POOL__NEVER)
        pthread_cond_wait(condition, &pool->lock);
    else
        pthread_cond_timedwait(condition, &pool->lock, &until);
}

void pool__bury(struct pool *pool, struct pool__grave *grave, void (*dispose)(struct pool__grave *grave))
{
    grave->dispose = dispose;
    grave->next = pool->graves;
    pool->graves = grave;
}

void pool__hold(struct pool *pool)
{
    pool->references++;
}

void pool__let_go(struct pool *pool)
{
    bool last;
    size_t i;

    pthread_mutex_lock(&pool->lock);
    last = --pool->references == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->arena_lock);
    pthread_cond_destroy(&pool->quiet);
    pthread_cond_destroy(&pool->call_done);
    for (i = 0; i < POOL__BEDS; i++)
        pthread_cond_destroy(&pool->beds[i]);
    free(pool->broken_words);
    free(pool->last_failure.words);
    pool__names_free(pool->names);
    free(pool->oom_file);
    free(pool);
}

/* ---- tags: {seat + 1, life} */

static uint64_t tag_of(const struct pool__seat *seat)
{
    return ((uint64_t)seat->index + 1) << 32 | seat->life;
}

struct pool__seat *pool__seat_of(struct pool *pool, uint64_t tag)
{
    uint64_t index = (tag >> 32) - 1;
    struct pool__seat *seat = index < pool->scheduler.limit ? &pool->scheduler.seats[index] : NULL;

    return seat != NULL && seat->life == (uint32_t)tag && seat->board != NULL ? seat : NULL;
}

/* ---- the scheduler's actions */

static bool can_send(void *host, const struct pool__seat *seat, const struct pool__job *job)
{
    return pool__channel_ready_for(host, pool__channel_of(host, seat), job);
}

static void send_batch(void *host, struct pool__seat *seat, uint32_t batch, const struct pool__run *run)
{
    struct pool *pool = host;

    pool->given[pool->gave++ % POOL__GIVEN] = seat;
    pool__channel_send_batch(pool, pool__channel_of(pool, seat), batch, run);
}

static void unsend_batch(void *host, struct pool__seat *seat, uint32_t batch)
{
    pool__channel_unsend(pool__channel_of(host, seat), batch);
}

static void send_stop(void *host, struct pool__seat *seat)
{
    pool__channel_send_stop(host, pool__channel_of(host, seat));
}

/* Not sent now: staffing sees to it that it is tried again. */
static void send_kill(void *host, struct pool__seat *seat)
{
    struct pool *pool = host;

    seat->kill_unsent = !pool__zygote_send(&pool->zygote, POOL__KILL, seat->index, seat->life, 0, NULL, 0);
    pool->restaff = pool->restaff || seat->kill_unsent;
}

static void read_all(void *host, struct pool__seat *seat)
{
    pool__channel_drain(host, seat, pool__channel_of(host, seat));
}

static void look_at_staging(void *host, struct pool__seat *seat)
{
    struct pool *pool = host;

    pool__channel_salvage(pool, seat, pool__channel_of(pool, seat));
    if (seat->board != NULL)
        atomic_store_explicit(&seat->board->hurry, 1, memory_order_relaxed);
}

static uint32_t free_board(struct pool *pool)
{
    uint32_t which = 0;

    while (which < pool->setup->board_count && pool->boards[which].taken)
        which++;
    return which;
}

/* Not for want of a moment's patience, but by an error of the system: as good as a worker that ends at once. */
static bool no_start(struct pool *pool, int code)
{
    pool__set_last_failure(pool, code, strerror(code));
    if (pool->creating)
        pool->create_error = code;
    pool__staffing_no_start(&pool->scheduler, pool__now());
    return false;
}

/* What the last worker was given and returned is not left to the next, nor are its pages kept. */
static void wipe_bulk(struct pool__bulk *bulk)
{
    if (!pool__bulk_is_clean(bulk))
        pool__shared_pages_wipe(bulk, sizeof *bulk);
    pool__bulk_clear(bulk);
}

/* The fork lock is only tried: it is outside the pool's lock (rule 25). */
static bool spawn(void *host, struct pool__seat *seat)
{
    struct pool *pool = host;
    struct pool__channel *channel = pool__channel_of(pool, seat);
    uint32_t board = free_board(pool);
    int theirs[2], code;
    bool sent;

    if (board == pool->setup->board_count || !pool__fork_trylock())
        return false;
    seat->life++;
    code = pool__channel_open(pool, channel, tag_of(seat), &pool->setup->bulks[board], theirs);
    pool__fork_unlock();
    if (code != 0)
        return no_start(pool, code);
    pool__board_clear(&pool->setup->boards[board]);
    wipe_bulk(&pool->setup->bulks[board]);
    errno = EAGAIN;
    sent = pool__zygote_send(&pool->zygote, POOL__SPAWN, seat->index, seat->life, board, theirs, 2);
    if (!sent) {
        code = errno;
        pool__channel_close(pool, channel);
        return code == EAGAIN || code == EWOULDBLOCK ? false : no_start(pool, code);
    }
    seat->board = &pool->setup->boards[board];
    pool->boards[board].taken = true;
    return true;
}

static void prod_zygote(void *host)
{
    pool__zygote_continue(&((struct pool *)host)->zygote);
}

/* A pool at its end needs no board for another worker. */
static bool abandon(void *host, struct pool__seat *seat)
{
    struct pool *pool = host;
    struct pool__board_use *use = &pool->boards[seat->board - pool->setup->boards];

    pool__kill_orphan(pool,
                      seat); /* its items have been told: should the zygote be the one that is held, it is killed */
    if (free_board(pool) == pool->setup->board_count && !pool->scheduler.aborted &&
        !(pool->scheduler.ending && !pool__scheduler_waits(&pool->scheduler)))
        return false;
    use->abandoned = true;
    use->seat = seat->index;
    use->life = seat->life;
    pool__channel_close(pool, pool__channel_of(pool, seat));
    pool->restaff = true;
    return true;
}

static bool barrier(void *host)
{
    (void)host;
    return pool__barrier_all();
}

static const struct pool__actions actions = {can_send,        send_batch, unsend_batch, send_stop, send_kill, spawn,
                                             look_at_staging, read_all,   prod_zygote,  abandon,   barrier};
const struct pool__actions *const pool__engine_actions = &actions;

/* ---- events */

void pool__handle_ready(struct pool *pool, const struct pool__ready *ready, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        struct pool__seat *seat;

        if (ready[i].tag == POOL__CONTROL_TAG) {
            pool__read_notices(pool);
            continue;
        }
        seat = pool__seat_of(pool, ready[i].tag);
        if (seat == NULL)
            continue; /* told before its life was over */
        if (ready[i].readable)
            pool__channel_read(pool, seat, pool__channel_of(pool, seat));
        if (!ready[i].writable)
            continue;
        pool__scheduler_heard(&pool->scheduler, seat, pool__now()); /* it reads what it is sent */
        if (pool__channel_flush(pool, pool__channel_of(pool, seat)))
            pool__scheduler_has_room(&pool->scheduler, seat);
    }
}

/* Ends that follow from what happened: a pool that cannot keep workers, one whose work is done. */
static void draw_conclusions(struct pool *pool)
{
    if (pool__staffing_hopeless(&pool->scheduler))
        pool__break(pool, pool->last_failure.code, pool->last_failure.words);
    pool__end_if_idle(pool);
    if (pool__staffing_over(&pool->scheduler) && pool->zygote.control >= 0 && !pool__zygote_quit(&pool->zygote))
        pool__retry_soon(pool);
    if (pool__is_over(pool))
        pool__notify(pool, pool);
}

static void resend_kills(struct pool *pool)
{
    unsigned i;

    for (i = 0; i < pool->scheduler.span; i++)
        if (pool->scheduler.seats[i].kill_unsent)
            send_kill(pool, &pool->scheduler.seats[i]);
}

void pool__retry_soon(struct pool *pool)
{
    pool->retry_at = pool__earlier(pool->retry_at, pool__now() + RETRY);
}

/* Task pipes that something waits for, and that no poller watches: no memory for that, or writing itself fails. */
static void retry_channels(struct pool *pool, uint64_t now)
{
    unsigned i;

    pool->retry_at = POOL__NEVER;
    for (i = 0; i < pool->scheduler.span; i++) {
        struct pool__seat *seat = &pool->scheduler.seats[i];
        struct pool__channel *channel = &pool->channels[i];

        if (seat->board == NULL || seat->state == POOL__SEAT_DYING || !pool__channel_is_unwatched(channel))
            continue;
        if (channel->failing_since != 0 && now > channel->failing_since + FAILING) {
            pool__set_last_failure(pool, 0, "what is written to a worker does not reach it");
            pool__staffing_condemn(&pool->scheduler, seat, POOL__KILL_PIPE, now);
        } else if (pool__channel_flush(pool, channel)) {
            pool__scheduler_has_room(&pool->scheduler, seat);
        }
    }
}

static void withdraw_unwanted(struct pool *pool)
{
    struct pool__link *link;

    while ((link = pool__list_pop(&pool->unwanted)) != NULL)
        pool__scheduler_withdraw(&pool->scheduler, pool__holder(link, struct pool__job, unwanted), POOL_CANCELLED,
                                 false);
}

/* To start a worker takes longer than to tell of a death: a timer that has passed has the background thread do it. */
static bool must_staff(struct pool *pool, uint64_t now)
{
    if (pool->scheduler.ending || now >= pool->scheduler.staff_at)
        return true;
    if (pool->restaff && pool->leaves)
        pool->scheduler.staff_at = 0;
    return pool->restaff && !pool->leaves;
}

void pool__settle(struct pool *pool)
{
    uint64_t now = pool__now();

    if (pool->pipes == NULL)
        return; /* destroyed: a future or an iterator has outlived it */
    if (pool->loss_noted && !pool->lost)
        pool__give_up(pool);
    withdraw_unwanted(pool);
    if (atomic_load(&pool->stop_asked) && !pool->stopped)
        pool__end_by_stop(pool);
    pool->held_back = 0;
    pool__scheduler_look(&pool->scheduler, now);
    pool__deadline_check(&pool->scheduler, now);
    pool__scheduler_dispatch(&pool->scheduler, now);
    if (must_staff(pool, now)) {
        pool->restaff = false;
        resend_kills(pool);
        pool__staffing_adjust(&pool->scheduler, now);
        pool__scheduler_dispatch(&pool->scheduler, now);
    }
    if (now >= pool->retry_at) {
        retry_channels(pool, now);
        pool__scheduler_dispatch(&pool->scheduler, now);
    }
    draw_conclusions(pool);
    pool__rouse(pool);
}

uint64_t pool__next_timer(const struct pool *pool, bool all)
{
    const struct pool__scheduler *scheduler = &pool->scheduler;
    uint64_t next = pool__earlier(scheduler->staff_at, pool->retry_at);

    if (scheduler->owed == 0)
        return next;
    return pool__earlier(pool__earlier(next, scheduler->check_at), all ? scheduler->look_at : POOL__NEVER);
}

void pool__release_job(struct pool *pool, struct pool__job *job)
{
    unsigned i;

    for (i = 0; i < pool->scheduler.span; i++) {
        struct pool__seat *seat = &pool->scheduler.seats[i];
        struct pool__run *head;

        if (seat->board == NULL)
            continue;
        head = pool__seat_head(seat);
        pool__channel_forget(pool, pool__channel_of(pool, seat), job, head != NULL && head->job == job);
    }
}
