/* ending - how a pool comes to its end: closed and done, stopped, terminated, or broken. All under the pool's lock. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/role.h"
#include "engine/staffing.h"

#define PATIENCE (1000 * POOL__MS) /* for idle workers that were told to stop */

static void stop_readers(struct pool *pool, enum pool_status why)
{
    struct pool__link *link;

    while ((link = pool__list_pop(&pool->iterators)) != NULL) {
        struct pool__reader *reader = pool__holder(link, struct pool__reader, link);

        reader->stop_reading(reader, why);
    }
}

void pool__end_if_idle(struct pool *pool)
{
    if (pool->closed && !pool->scheduler.ending && pool__list_empty(&pool->iterators))
        pool__staffing_end(&pool->scheduler, pool__now());
}

/*
 * What runs is asked to stop, whatever it is. Each seat has its own word: one that all could read, all could write
 * (rule 17).
 */
static void ask_all_to_stop(struct pool *pool)
{
    struct pool__place all = {0, 0, POOL__MARK_ALL};
    unsigned i;

    for (i = 0; i < pool->scheduler.span; i++)
        if (pool->scheduler.seats[i].board != NULL)
            pool__board_ask_cancel(pool->scheduler.seats[i].board, all);
}

void pool__end_by_stop(struct pool *pool)
{
    pool->closed = pool->stopped = true;
    stop_readers(pool, POOL_CANCELLED);
    pool__scheduler_withdraw_all(&pool->scheduler, POOL_CANCELLED);
    ask_all_to_stop(pool);
    pool__end_if_idle(pool);
    pool__notify(pool, pool); /* submitters that wait for room */
}

/* What is told as never run must not start any more. */
static void empty_seats(struct pool *pool)
{
    unsigned i;

    for (i = 0; i < pool->scheduler.span; i++)
        pool__scheduler_empty_seat(&pool->scheduler, &pool->scheduler.seats[i]);
}

static void abandon(struct pool *pool, enum pool_status status, int code, const char *words)
{
    unsigned i;

    pool->closed = true;
    stop_readers(pool, status);
    for (i = 0; i < pool->scheduler.span; i++)
        pool__channel_forget_all(&pool->channels[i]);
    ask_all_to_stop(pool);
    pool__scheduler_drop_all(&pool->scheduler, status, code, words);
    pool__staffing_abort(&pool->scheduler, PATIENCE, pool__now());
    pool__notify(pool, pool);
}

/* Results that are here already count (a drained result wins). */
static void read_what_is_here(struct pool *pool)
{
    unsigned i;

    for (i = 0; i < pool->scheduler.span; i++) {
        struct pool__seat *seat = &pool->scheduler.seats[i];

        if (seat->board == NULL || seat->owed == 0)
            continue;
        pool__channel_drain(pool, seat, &pool->channels[i]);
    }
}

void pool__end_by_terminate(struct pool *pool)
{
    if (pool->terminated || pool->broken)
        return;
    empty_seats(pool);
    read_what_is_here(pool);
    pool->terminated = true;
    abandon(pool, POOL_TERMINATED, 0, NULL);
}

void pool__break(struct pool *pool, int code, const char *words)
{
    if (pool->broken || pool->terminated)
        return;
    empty_seats(pool);
    read_what_is_here(pool);
    pool->broken = true;
    pool->broken_code = code;
    pool->broken_words = words != NULL ? strdup(words) : NULL;
    abandon(pool, POOL_BROKEN, code, pool->broken_words);
}

bool pool__is_over(const struct pool *pool)
{
    return pool->scheduler.ending && pool->scheduler.alive == 0 && pool->zygote.control < 0;
}
