#include "engine/role.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/callbacks.h"
#include "engine/loss.h"

#define EVENTS 64
/* how long a role that nobody holds is left to the next waiter: submit-then-get pays for no other wake-up */
#define PATIENCE POOL__MS
#define STACK    (256 * 1024)

void pool__condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
#ifndef __APPLE__
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

int pool__thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int code;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK > PTHREAD_STACK_MIN ? STACK : (size_t)PTHREAD_STACK_MIN);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return code;
}

/* ---- telling */

/* The waiter that has the role. One that is awake looks again under the lock before it sleeps. */
static void wake_sleeper(struct pool *pool)
{
    if (pool->holder_spins)
        atomic_store_explicit(&pool->poked, true, memory_order_release);
    else if (pool->holder_sleeps_until != 0)
        pool__poller_wake(pool->pipes);
}

static void wake_holder(struct pool *pool, const struct pool__waiter *holder)
{
    if (holder == pool->background)
        pool__poller_wake(pool->bell);
    else
        wake_sleeper(pool);
}

static void end_sleep(struct pool *pool, const struct pool__waiter *waiter)
{
    if (waiter->bed == &waiter->own)
        pthread_cond_signal(waiter->bed);
    else if (waiter->bed != NULL)
        pool->to_wake |= UINT32_C(1) << (waiter->bed - pool->beds);
}

static void wake_waiter(struct pool *pool, struct pool__waiter *waiter)
{
    if (pool->holder == waiter)
        wake_holder(pool, waiter);
    else
        end_sleep(pool, waiter);
}

void pool__notify(struct pool *pool, const void *object)
{
    struct pool__link *link;

    for (link = pool->waiters.next; link != &pool->waiters; link = link->next) {
        struct pool__waiter *waiter = pool__holder(link, struct pool__waiter, link);

        if (waiter->object == object || waiter->object == NULL)
            wake_waiter(pool, waiter);
    }
}

void pool__rouse(struct pool *pool)
{
    if (pool->holder_spins ? pool->gave != pool->gave_then : pool->holder_sleeps_until > pool__next_timer(pool, true))
        wake_sleeper(pool);
    if (pool->loop_sleeps_until > pool__next_timer(pool, true)) {
        pool->loop_sleeps_until = 0; /* another thread has given it something to keep time for */
        pool__poller_wake(pool->pipes);
    }
    if (!pool->thread_runs)
        return;
    if (pool->holder == NULL && pool__scheduler_expects(&pool->scheduler) && pool->take_role_at == POOL__NEVER) {
        pool->take_role_at = pool__now() + PATIENCE;
        pool__poller_wake(pool->bell);
    } else if (pool__next_timer(pool, pool->holder == pool->background) < pool->thread_sleeps_until) {
        pool__poller_wake(pool->bell);
    }
}

/* ---- the role */

/* To the waiter that has waited longest, or to nobody: then the background thread learns that there is work. */
static void pass_on(struct pool *pool)
{
    pool->holder = NULL;
    if (!pool__list_empty(&pool->waiters)) {
        pool->holder = pool__holder(pool->waiters.next, struct pool__waiter, link);
        end_sleep(pool, pool->holder);
    }
    pool__rouse(pool);
}

/* ---- looking for a moment before going to sleep: spin.h, and "sent" and "base" in board.h */

struct watch {
    const struct pool__board *board;
    uint64_t received;
};

/* The boards of the seats that something was sent to last, and that owe it. */
static size_t watch_boards(const struct pool *pool, struct watch *watches)
{
    size_t count = 0, i;

    for (i = 0; i < POOL__GIVEN; i++) {
        const struct pool__seat *seat = pool->given[i];

        if (seat == NULL || seat->board == NULL || seat->owed == 0)
            continue;
        watches[count].board = seat->board;
        watches[count++].received = pool->channels[seat->index].received;
    }
    return count;
}

/* The worker has written more into its pipe than was read: a read does not come in vain. */
static bool has_sent(const struct watch *watch)
{
    return atomic_load_explicit(&watch->board->base, memory_order_acquire) > watch->received;
}

/*
 * Without the lock: boards stay mapped as long as the pool's waiters. False: in vain, and so is what is seen too late:
 * another process had the processor meanwhile.
 */
static bool look_for_a_moment(struct pool *pool, const struct watch *watches, size_t count, uint64_t end)
{
    size_t i;

    do {
        for (i = 0; i < count; i++)
            if (has_sent(&watches[i]))
                return pool__now() < end;
        if (atomic_load_explicit(&pool->poked, memory_order_acquire))
            return true;
    } while (pool__now() < end);
    return false;
}

/* What was seen. False: nothing. */
static bool read_what_is_sent(struct pool *pool)
{
    bool any = false;
    size_t i;

    for (i = 0; i < POOL__GIVEN && !pool__has_lost(pool); i++) {
        struct pool__seat *seat = pool->given[i];
        struct pool__channel *channel = seat != NULL ? pool__channel_of(pool, seat) : NULL;
        uint64_t received = channel != NULL ? channel->received : 0;
        struct watch watch = {seat != NULL ? seat->board : NULL, received};

        if (watch.board == NULL || channel->at_end || !has_sent(&watch))
            continue;
        pool__channel_read(pool, seat, channel);
        any = any || channel->received != received;
    }
    return any;
}

/*
 * Only for single results: where many are under way, they come together. True: something has happened, and
 * the caller looks again before it sleeps.
 */
static bool spin_on_boards(struct pool *pool, uint64_t end)
{
    struct watch watches[POOL__GIVEN];
    bool seen, taken, poked;
    size_t count;

    if (end == 0 || pool->scheduler.owed == 0 || pool->scheduler.owed > POOL__FEW || pool->loss_noted ||
        !pool__has_thread(pool) || (count = watch_boards(pool, watches)) == 0 || !pool__spin_may(&pool->spin))
        return false;
    end = pool__earlier(end, pool__next_timer(pool, true));
    pool->holder_spins = true;
    pool->gave_then = pool->gave;
    atomic_store_explicit(&pool->poked, false, memory_order_relaxed);
    pool__unlock(pool);
    seen = look_for_a_moment(pool, watches, count, pool__earlier(end, pool__now() + pool->spin.budget));
    pool__lock(pool);
    pool->holder_spins = false;
    poked = atomic_load_explicit(&pool->poked, memory_order_relaxed);
    taken = read_what_is_sent(pool);
    if (seen && !poked)
        pool__spin_hit(&pool->spin);
    else if (!seen)
        pool__spin_vain(&pool->spin);
    if (taken)
        pool__settle(pool);
    return taken || poked;
}

static void sleep_on_pipes(struct pool *pool, bool (*is_so)(const void *context), const void *context, uint64_t end)
{
    struct pool__ready ready[EVENTS];
    size_t count;

    if (spin_on_boards(pool, end))
        return;
    if (pool__has_lost(pool)) {
        pool__settle(pool);
        return;
    }
    end = pool__earlier(end, pool__next_timer(pool, true));
    pool->holder_sleeps_until = end;
    pool__unlock(pool);
    count = pool__poller_wait(pool->pipes, NULL, end, ready, EVENTS);
    pool__lock(pool);
    pool->holder_sleeps_until = 0;
    pool__handle_ready(pool, ready, count);
    pool->leaves = pool->restaff && pool->thread_runs && is_so(context);
    pool__settle(pool);
    pool->leaves = false;
}

void pool__look_at_pipes(struct pool *pool)
{
    struct pool__ready ready[EVENTS];
    size_t count = 0;

    if (!pool__has_lost(pool))
        count =
            pool__poller_wait(pool->pipes, NULL, pool->holder_sleeps_until != 0 ? POOL__ONLY_LOOK : 0, ready, EVENTS);
    pool__handle_ready(pool, ready, count);
    pool__settle(pool);
    pool__poller_leave_rung(pool->pipes);
}

/* One of the pool's, so that it can be signalled when the lock is let go, whatever has become of its sleeper by then. */
static void make_bed(struct pool *pool, struct pool__waiter *self)
{
    size_t i = 0;

    while (i < POOL__BEDS && (pool->beds_taken >> i & 1) != 0)
        i++;
    if (i == POOL__BEDS) {
        pool__condition_init(&self->own);
        self->bed = &self->own;
    } else {
        pool->beds_taken |= UINT32_C(1) << i;
        self->bed = &pool->beds[i];
    }
}

static void leave_bed(struct pool *pool, struct pool__waiter *self)
{
    if (self->bed == &self->own)
        pthread_cond_destroy(&self->own);
    else if (self->bed != NULL)
        pool->beds_taken &= ~(UINT32_C(1) << (self->bed - pool->beds));
}

static void sleep_on_condition(struct pool *pool, struct pool__waiter *self, uint64_t end)
{
    if (self->bed == NULL)
        make_bed(pool, self);
    pool__sleep(pool, self->bed, end);
}

static bool may_hold(const struct pool *pool, const struct pool__waiter *self)
{
    return pool->holder == NULL || pool->holder == pool->background || pool->holder == self;
}

static bool wait_as(struct pool *pool, struct pool__waiter *self, bool (*ready)(const void *context),
                    const void *context, uint64_t end)
{
    bool looked = false;

    for (;;) {
        if (ready(context))
            return true;
        if (end == 0 ? looked : end != POOL__NEVER && pool__now() >= end)
            return false;
        looked = true;
        if (!pool__has_thread(pool) && pool__callbacks_run(pool))
            continue;
        if (may_hold(pool, self) && !pool->lost) {
            pool->holder = self;
            sleep_on_pipes(pool, ready, context, end);
        } else if (end != 0) {
            pool__rouse(pool); /* what this thread has submitted may have a deadline */
            sleep_on_condition(pool, self, end);
        }
    }
}

bool pool__wait(struct pool *pool, const void *object, bool (*ready)(const void *context), const void *context,
                uint64_t end)
{
    struct pool__waiter self;
    bool is_so;

    if (ready(context))
        return true;
    if (pool->held_back > 0)
        pool__settle(pool);
    self.bed = NULL;
    self.object = object;
    pool__list_append(&pool->waiters, &self.link);
    is_so = wait_as(pool, &self, ready, context, end);
    pool__list_remove(&self.link);
    if (pool->holder == &self)
        pass_on(pool);
    pool__poller_leave_rung(pool->pipes);
    leave_bed(pool, &self);
    return is_so;
}

/* ---- in passing */

#define LOOK_EVERY 128u /* applies between two looks at results in passing */

/* Who submits reads too; the background thread need not, for as long as that goes on. */
static void look_in_passing(struct pool *pool)
{
    if (pool->holder != NULL && pool->holder != pool->background)
        return;
    pool->holder = NULL;
    pool__look_at_pipes(pool);
    if (pool->take_role_at != POOL__NEVER)
        pool->take_role_at = pool__now() + PATIENCE;
}

/* Under the lock; not more is held back than a worker has already. */
static bool may_hold_back(const struct pool *pool)
{
    const struct pool__scheduler *scheduler = &pool->scheduler;

    if (!pool__list_empty(&scheduler->idle))
        return false;
    return pool__list_empty(&scheduler->roomy) || pool->held_back * scheduler->size <= scheduler->owed;
}

void pool__give_out_soon(struct pool *pool)
{
    pool->held_back++;
    if (++pool->unlooked >= LOOK_EVERY && pool__has_thread(pool)) {
        pool->unlooked = 0;
        look_in_passing(pool);
    } else if (!may_hold_back(pool)) {
        pool->held_back = 0;
        pool__scheduler_dispatch(&pool->scheduler, pool__now());
        pool__rouse(pool);
    } else if (pool->holder == NULL && pool->take_role_at == POOL__NEVER) {
        pool__rouse(pool);
    }
}

/* ---- the background thread */

/* Decides whether it has the role, and how long it may sleep. */
static uint64_t prepare_to_sleep(struct pool *pool, struct pool__waiter *self)
{
    bool work = pool__scheduler_expects(&pool->scheduler);

    if (pool->holder == self && !work)
        pool->holder = NULL;
    if (pool->holder == NULL && work && pool->take_role_at != POOL__NEVER && pool__now() >= pool->take_role_at)
        pool->holder = self;
    if (pool->holder != NULL || !work)
        pool->take_role_at = POOL__NEVER;
    else if (pool->take_role_at == POOL__NEVER)
        pool->take_role_at = pool__now() + PATIENCE;
    return pool__earlier(pool->take_role_at, pool__next_timer(pool, pool->holder == self));
}

/* In its sleep only, and only where that can be ended by nothing else: see pool__background_end(). */
static void may_be_cancelled(bool may)
{
#ifdef PTHREAD_CANCEL_DISABLE
    int before;

    pthread_setcancelstate(may ? PTHREAD_CANCEL_ENABLE : PTHREAD_CANCEL_DISABLE, &before);
#else
    (void)may;
#endif
}

static void leave(struct pool *pool)
{
    if (pool->holder == pool->background)
        pool->holder = NULL;
    pool->background = NULL;
    pool->thread_runs = false;
}

static void *background(void *argument)
{
    struct pool *pool = argument;
    struct pool__waiter self;
    struct pool__ready ready[EVENTS];

    memset(&self, 0, sizeof self);
    pool__lock(pool);
    pool->background = &self;
    may_be_cancelled(false);
    while (!pool->thread_ends && !pool->lost) {
        bool has_role;
        size_t count;

        pool->thread_sleeps_until = prepare_to_sleep(pool, &self);
        has_role = pool->holder == &self;
        pool__unlock(pool);
        may_be_cancelled(true);
        count = pool__poller_wait(pool->bell, has_role ? pool->pipes : NULL, pool->thread_sleeps_until, ready, EVENTS);
        may_be_cancelled(false);
        pool__lock(pool);
        pool->seen_in = 0; /* the program had its turn meanwhile */
        if (pool__has_lost(pool))
            count = 0;
        /* a waiter took the role meanwhile and sleeps there too: its wake may have ended our sleep instead */
        if (has_role && pool->holder != NULL && pool->holder != &self)
            pool__poller_wake(pool->pipes);
        pool__handle_ready(pool, ready, count);
        pool__settle(pool);
    }
    leave(pool);
    pool__unlock(pool);
    return NULL;
}

int pool__background_start(struct pool *pool)
{
    int code = pool__thread_start(&pool->thread, background, pool);

    pool->thread_runs = code == 0;
    return code;
}

void pool__background_end(struct pool *pool)
{
    bool cancel;

    pool__lock(pool);
    if (!pool__has_thread(pool)) {
        pool__unlock(pool);
        return;
    }
    pool->thread_ends = true;
    pool__poller_wake(pool->bell);
    cancel = pool->lost && pool->thread_runs;
    pool__unlock(pool);
#ifdef PTHREAD_CANCEL_DISABLE
    if (cancel) /* it sleeps on what the program has closed, and nothing wakes it */
        pthread_cancel(pool->thread);
#endif
    pthread_join(pool->thread, NULL);
    if (cancel)
        leave(pool);
}
