#include "engine/loss.h"

#include "base/clock.h"
#include "engine/engine.h"

void pool__note_loss(struct pool *pool)
{
    if (pool->lost)
        return;
    pool->loss_noted = true;
    pool->scheduler.staff_at = 0; /* a timer that has passed */
}

bool pool__has_lost(struct pool *pool)
{
    bool look = pool->seen_in != pool->calls_ever;

    pool->seen_in = pool->calls_ever;
    if (!pool->lost && ((look && !pool__zygote_is_ours(&pool->zygote)) || pool__poller_has_failed(pool->pipes) ||
                        pool__poller_has_failed(pool->bell)))
        pool__give_up(pool);
    return pool->lost;
}

void pool__look_for_loss(struct pool *pool)
{
    if (!pool__zygote_is_ours(&pool->zygote) || !pool__poller_is_ours(pool->pipes) || !pool__poller_is_ours(pool->bell))
        pool__give_up(pool);
}

/*
 * Where the socket is gone, the program may be in the middle of closing all it finds, by another thread: what it has
 * not closed yet is left to it. A number may be its own file's a moment after one has looked.
 */
void pool__give_up(struct pool *pool)
{
    bool all = !pool__zygote_is_ours(&pool->zygote);
    unsigned i;

    if (pool->lost)
        return;
    pool->lost = true;
    pool__poller_give_up(pool->pipes);
    pool__poller_give_up(pool->bell);
    for (i = 0; i < pool->scheduler.limit; i++)
        pool__channel_give_up(&pool->channels[i], all);
    if (all)
        pool->zygote.control = -1;
    pool__close(&pool->zygote.control);
    pool__break(pool, 0, "the program has closed the pool's descriptors");
    pool__zygote_gone(pool);
}
