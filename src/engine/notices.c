/* notices - what the zygote tells of workers, and what follows for their seats; its own end too. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "engine/crash_words.h"
#include "engine/engine.h"
#include "engine/role.h"
#include "engine/staffing.h"
#include "engine/words.h"

static void life_over(struct pool *pool, struct pool__seat *seat, const struct pool__death *death)
{
    struct pool__channel *channel = pool__channel_of(pool, seat);
    struct pool__death end = *death;
    uint64_t now = pool__now();
    size_t board = (size_t)(seat->board - pool->setup->boards);

    end.announced = channel->announced;
    pool__scheduler_gone(&pool->scheduler, seat, &end, now);
    pool__channel_close(pool, channel);
    pool__staffing_left(&pool->scheduler, seat, &end, now);
    pool->boards[board].taken = false;
    pool->restaff = true;
}

/* The end of a life that nobody waited for any more: its board is free. */
static void abandoned_life_over(struct pool *pool, uint32_t seat, uint32_t life)
{
    size_t i;

    for (i = 0; i < pool->setup->board_count; i++) {
        struct pool__board_use *use = &pool->boards[i];

        if (!use->abandoned || use->seat != seat || use->life != life)
            continue;
        use->taken = use->abandoned = false;
        pool->restaff = true;
    }
}

void pool__set_last_failure(struct pool *pool, int code, const char *words)
{
    free(pool->last_failure.words);
    pool->last_failure.code = code;
    pool->last_failure.words = strdup(words);
}

static bool is_bad_start(struct pool *pool, const struct pool__seat *seat)
{
    return !seat->was_ready && seat->state != POOL__SEAT_LEAVING && !pool__channel_of(pool, seat)->start_failed;
}

/* It has not said itself why it could not start: then its end does. */
static void note_bad_start(struct pool *pool, const struct pool__seat *seat, int status, const char *crash)
{
    char words[POOL__ENDING_ROOM];

    if (!is_bad_start(pool, seat))
        return;
    if (seat->reason == POOL__KILL_START)
        snprintf(words, sizeof words, "the initializer took longer than start_timeout_ms");
    else
        pool__ending_words(status, words);
    pool__set_last_failure(pool, pool__ending_code(status),
                           crash != NULL && seat->reason != POOL__KILL_START ? crash : words);
}

static void exited(struct pool *pool, struct pool__seat *seat, int status)
{
    struct pool__death death = {.known = true, .status = status};
    char *words;

    /* a drained result wins over whatever else is said of the item */
    pool__channel_drain(pool, seat, pool__channel_of(pool, seat));
    death.words = words = pool__death_words(pool, seat, status, is_bad_start(pool, seat));
    note_bad_start(pool, seat, status, words);
    life_over(pool, seat, &death);
    free(words);
}

static void spawn_failed(struct pool *pool, struct pool__seat *seat, int code)
{
    struct pool__death death = {.known = false};

    pool__set_last_failure(pool, code, strerror(code));
    if (pool->creating)
        pool->create_error = code;
    life_over(pool, seat, &death);
}

static void handle_notice(struct pool *pool, const struct pool__message *notice)
{
    struct pool__seat *seat = pool__seat_of(pool, ((uint64_t)notice->seat + 1) << 32 | notice->life);

    if (seat == NULL) {
        if (notice->kind == POOL__EXITED || notice->kind == POOL__SPAWN_FAILED)
            abandoned_life_over(pool, notice->seat, notice->life);
        return;
    }
    switch (notice->kind) {
    case POOL__SPAWNED:
        seat->pid = (pid_t)notice->value;
        seat->spawned = true;
        pool->restaff = pool->restaff || pool->scheduler.held_back;
        pool__channel_handed_over(pool__channel_of(pool, seat));
        break;
    case POOL__EXITED:
        exited(pool, seat, (int)(uint32_t)notice->value);
        break;
    case POOL__SPAWN_FAILED:
        spawn_failed(pool, seat, (int)(uint32_t)notice->value);
        break;
    default:
        break;
    }
}

/*
 * Of a worker that was READY before the zygote could tell of it the number is its own word: it counts where the process
 * is of the zygote's session, which only our workers and what they have forked are, and leads its group.
 */
static bool is_worker(const struct pool *pool, const struct pool__seat *seat)
{
    if (seat->pid <= 1)
        return false;
    return seat->spawned || (getsid(seat->pid) == pool->zygote.pid && getpgid(seat->pid) == seat->pid);
}

/* Workers die with their zygote where the system sees to it; one that is held does not answer, and may never. */
void pool__kill_orphan(struct pool *pool, const struct pool__seat *seat)
{
    int results = pool__channel_of(pool, seat)->results;

    if (results >= 0 && !pool__has_hung_up(results) && is_worker(pool, seat))
        kill(-seat->pid, SIGKILL);
}

static void kill_orphans(struct pool *pool)
{
    unsigned i;

    for (i = 0; i < pool->scheduler.span; i++)
        if (pool->scheduler.seats[i].board != NULL)
            pool__kill_orphan(pool, &pool->scheduler.seats[i]);
}

/*
 * Both sets have the control socket: a waiter that has the role hears of a death itself, without the background thread,
 * which hears of it all the same (rule 28). The set that joined last is woken first.
 */
bool pool__listen(struct pool *pool)
{
    if (pool->bell != NULL && !pool__poller_add(pool->bell, pool->zygote.control, POOL__CONTROL_TAG, POOL__POLL_READ))
        return false;
    return pool__poller_add(pool->pipes, pool->zygote.control, POOL__CONTROL_TAG, POOL__POLL_READ);
}

static void stop_listening(struct pool *pool)
{
    pool__poller_remove(pool->pipes, pool->zygote.control);
    if (pool->bell != NULL)
        pool__poller_remove(pool->bell, pool->zygote.control);
}

void pool__zygote_gone(struct pool *pool)
{
    struct pool__death death = {.known = false};
    bool expected = pool->zygote.quitting;
    unsigned i;

    stop_listening(pool);
    if (!expected)
        kill_orphans(pool);
    pool__zygote_bury(&pool->zygote);
    if (!expected)
        pool__break(pool, 0, "the pool's helper process is gone");
    for (i = 0; i < pool->scheduler.span; i++)
        if (pool->scheduler.seats[i].board != NULL)
            life_over(pool, &pool->scheduler.seats[i], &death);
}

void pool__read_notices(struct pool *pool)
{
    struct pool__message notice;
    int got;

    while ((got = pool__zygote_next_notice(&pool->zygote, &notice)) > 0)
        handle_notice(pool, &notice);
    if (pool->creating)
        pool__notify(pool, pool);
    if (got < 0 && pool->zygote.control >= 0)
        pool__zygote_gone(pool);
}
