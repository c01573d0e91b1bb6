#include "children/lives.h"

#include <string.h>

static size_t places_for(size_t count)
{
    size_t places = 16;

    while (places < count)
        places *= 2;
    return places;
}

/* The index lies behind the lives. */
static size_t index_at(size_t count)
{
    return sizeof(struct pool__lives) + count * sizeof(struct pool__life);
}

size_t pool__lives_size(size_t count)
{
    return index_at(count) + places_for(count) * sizeof(struct pool__life *);
}

void pool__lives_begin(struct pool__lives *table, size_t count)
{
    table->count = count;
    pool__list_init(&table->untold);
    table->index = (struct pool__life **)(void *)((char *)table + index_at(count));
    table->places = places_for(count);
}

/* ---- by pid */

static struct pool__life **place_of(struct pool__lives *table, pid_t pid)
{
    return &table->index[(size_t)pid & (table->places - 1)];
}

struct pool__life *pool__lives_of_pid(struct pool__lives *table, pid_t pid)
{
    struct pool__life *life = *place_of(table, pid);

    while (life != NULL && life->pid != pid)
        life = life->next;
    return life;
}

static void drop_from_index(struct pool__lives *table, const struct pool__life *life)
{
    struct pool__life **at = place_of(table, life->pid);

    while (*at != life)
        at = &(*at)->next;
    *at = life->next;
}

/* ---- what becomes of a life */

static void note_untold(struct pool__lives *table, struct pool__life *life)
{
    if (!pool__is_linked(&life->untold))
        pool__list_append(&table->untold, &life->untold);
}

struct pool__life *pool__lives_want(struct pool__lives *table, const struct pool__message *message)
{
    struct pool__life *life = message->board < table->count ? &table->lives[message->board] : NULL;

    if (life == NULL || life->state != POOL__LIFE_FREE)
        return NULL; /* a board has one life at a time; the host knows that */
    memset(life, 0, sizeof *life);
    life->seat = message->seat;
    life->life = message->life;
    life->board = message->board;
    life->state = POOL__LIFE_WANTED;
    return life;
}

void pool__lives_forked(struct pool__lives *table, struct pool__life *life, pid_t pid)
{
    struct pool__life **at = place_of(table, pid);

    life->pid = pid;
    life->state = POOL__LIFE_RUNS;
    life->next = *at;
    *at = life;
    life->spawned_untold = true;
    note_untold(table, life);
}

void pool__lives_ended(struct pool__lives *table, struct pool__life *life, bool failed, int ending)
{
    if (life->state == POOL__LIFE_RUNS)
        drop_from_index(table, life);
    life->state = POOL__LIFE_ENDED;
    life->failed = failed;
    life->ending = ending;
    note_untold(table, life);
}

/* ---- looking */

struct pool__life *pool__lives_of(struct pool__lives *table, uint32_t seat, uint32_t number)
{
    size_t i;

    for (i = 0; i < table->count; i++) {
        struct pool__life *life = &table->lives[i];

        if (life->state != POOL__LIFE_FREE && life->seat == seat && life->life == number)
            return life;
    }
    return NULL;
}

/* ---- telling */

static bool has_ended(const struct pool__link *link)
{
    return pool__holder(link, const struct pool__life, untold)->state == POOL__LIFE_ENDED;
}

bool pool__lives_must_tell(const struct pool__lives *table, bool more)
{
    const struct pool__link *link = table->untold.next;
    unsigned forks = 0;

    while (link != &table->untold && !has_ended(link) && forks < POOL__FORKS_TOLD) {
        link = link->next;
        forks++;
    }
    return link != &table->untold || forks == POOL__FORKS_TOLD || (forks > 0 && !more);
}

bool pool__lives_tell(struct pool__lives *table, struct pool__message *notice)
{
    struct pool__life *life;

    if (pool__list_empty(&table->untold))
        return false;
    life = pool__holder(table->untold.next, struct pool__life, untold);
    memset(notice, 0, sizeof *notice);
    notice->seat = life->seat;
    notice->life = life->life;
    notice->board = life->board;
    if (life->spawned_untold) {
        notice->kind = POOL__SPAWNED;
        notice->value = (uint64_t)life->pid;
        life->spawned_untold = false;
        if (life->state == POOL__LIFE_RUNS)
            pool__list_remove(&life->untold);
        return true;
    }
    notice->kind = life->failed ? POOL__SPAWN_FAILED : POOL__EXITED;
    notice->value = (uint64_t)(uint32_t)life->ending;
    pool__list_remove(&life->untold);
    life->state = POOL__LIFE_FREE;
    return true;
}
