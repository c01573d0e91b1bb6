/*
 * storm - workers that are killed (or stopped) at random while items run that note what they do, and the judgement of what came of them.
 *
 * The items run task_does_its_deed(); the argument of each is its place, which numbers it for the whole test, a size_t. Its deeds lie in memory
 * that its worker's death does not take away: deeds_clear() or places_of() must come before the pool is made.
 */
#ifndef TEST_STORM_H
#define TEST_STORM_H

#include "check.h"
#include "scale.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STORM_WORKERS = 8 };

/* ---- the killer */

struct storm {
    struct pool *pool;
    long         pause_us; /* between two kills */
    bool         all;      /* every worker at once */
    atomic_bool  over;
    unsigned     kills;
    pthread_t    thread;
};

void storm_begin(struct storm *storm); /* the test has STRESS_SECONDS from here on */
void storm_end(struct storm *storm);

/* The same with workers that are stopped and continued a millisecond later. `kills` counts the stops. */
void storm_of_stops_begin(struct storm *storm);

/* ---- the items */

struct deed {
    atomic_int starts, ends;
};
extern struct deed *deeds;

void     deeds_clear(size_t count);
size_t  *places_of(size_t count); /* 0, 1, 2 ...; to be freed. Clears as many deeds */
uint64_t answer_of(size_t place); /* what the item returns */
int      task_does_its_deed(struct pool_task *task);

/* ---- what came of them */

struct tally {
    size_t ok, crashed, crashed_unstarted, crashed_done;
};

/* An item's outcome must fit its deeds. */
void judge(struct tally *tally, size_t place, enum pool_status status, const uint64_t *answer);

/* Each of `count` items had one, and the storm's kills explain what crashed. Prints the numbers. */
void check_tally(const struct storm *storm, const struct tally *tally, size_t count);

/* When the storm is over, the pool works as before. */
enum { CALM_ITEMS = 200 }; /* there are at least so many deeds */
void check_calm(struct pool *pool);

#endif
