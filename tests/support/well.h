/*
 * well - a source of numbers, 0, 1, 2 and so on as long, which notes how it is used: the generator of all tests that
 * need one.
 *
 * Every number lies in the same place, which the next one overwrites.
 */
#ifndef TEST_WELL_H
#define TEST_WELL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "procpool.h"

struct well {
    long        count;        /* how many it has; below 0: no end */
    int         failure;      /* what it returns at its end: 0, or a failure's code */
    int64_t     slow_ms;      /* how long each call takes */
    atomic_long drawn;        /* how many were taken */
    atomic_int  inside, twice; /* twice: it was called while it was being called */
    pthread_t   thread;       /* that made it */
    bool        other_thread; /* it was called on another one */
    long        place;
};

struct well        well_new(long count, int failure);
struct pool_source well_source(struct well *well);

#endif
