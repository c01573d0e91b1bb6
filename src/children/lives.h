/*
 * lives - the zygote's table of the lives that it forks, kills, reaps and tells of. No heap, no system call.
 *
 * The table is made by the host before the zygote is forked, in pages that are shared: so a worker's copy of the
 * zygote's memory has no part in it, and what the zygote notes costs no page of each.
 */
#ifndef POOL__LIVES_H
#define POOL__LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "data/control.h"

/* What the zygote knows of one life. */
enum pool__life_state {
    POOL__LIFE_FREE,
    POOL__LIFE_WANTED, /* SPAWN came, not forked yet */
    POOL__LIFE_RUNS,
    POOL__LIFE_ENDED /* reaped, or never forked; to be told */
};

struct pool__life {
    struct pool__link untold; /* in the table's list of those that are to be told of */
    struct pool__life *next;  /* of those in the same place of the index by pid */
    enum pool__life_state state;
    uint32_t seat, life, board;
    pid_t pid;
    bool spawned_untold, failed;
    int ending; /* wait status, or errno where failed */
};

struct pool__lives {
    size_t count;              /* one for each board */
    struct pool__link untold;  /* in the order in which it happened */
    struct pool__life **index; /* by pid, `places` of them, a power of two */
    size_t places;
    struct pool__life lives[];
};

/* How large a table for so many boards is; zero bytes of that size become one. */
size_t pool__lives_size(size_t count);
void pool__lives_begin(struct pool__lives *table, size_t count);

/* SPAWN: the board's entry, now WANTED. NULL: the board has a life, or there is no such board. */
struct pool__life *pool__lives_want(struct pool__lives *table, const struct pool__message *message);
void pool__lives_forked(struct pool__lives *table, struct pool__life *life, pid_t pid);
void pool__lives_ended(struct pool__lives *table, struct pool__life *life, bool failed, int ending);

struct pool__life *pool__lives_of(struct pool__lives *table, uint32_t seat, uint32_t number);
struct pool__life *pool__lives_of_pid(struct pool__lives *table, pid_t pid); /* that RUNS */

/* How many forks are told of at once while others follow: half of what the host asks for ahead. */
#define POOL__FORKS_TOLD (POOL__SPAWNS_AHEAD / 2)

/* Is there something to tell, other than forks that may wait for `more`? */
bool pool__lives_must_tell(const struct pool__lives *table, bool more);

/*
 * The next notice: SPAWNED before EXITED. A life that has been told of to its end makes room for the next. False: there
 * is none.
 */
bool pool__lives_tell(struct pool__lives *table, struct pool__message *notice);

#endif
