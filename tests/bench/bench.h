/*
 * bench - what every row is given: how much to measure, and where the figures go.
 *
 * The program runs each row in a process of its own (bench.c), so that a row starts with little memory, no thread and
 * no child, may end by give_up() at any place, and leaves nothing to the next one. Figures come back by shared pages.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "report.h"

struct bench {
    unsigned rounds; /* of each contest */
    bool quick;      /* only see whether all can be measured */
    bool sweep;      /* the series of the chart too */
    bool python;     /* Python's Pool too, where it is installed */
    struct report *report;
};

/* How often to do something: `full`, or `quick` where the figures do not count. */
static inline size_t bench_count(const struct bench *bench, size_t full, size_t quick)
{
    return bench->quick ? quick : full;
}

typedef void bench_row(struct bench *bench);

bench_row row_apply;           /* 1 */
bench_row row_apply_blocking;  /* 2 */
bench_row row_apply_crowded;   /* 3 */
bench_row row_apply_async;     /* 4 */
bench_row row_imap;            /* 5 */
bench_row row_map;             /* 6 */
bench_row row_map_in_arena;    /* 7 */
bench_row row_uneven;          /* 8 */
bench_row row_large;           /* 9 */
bench_row row_arena_pointer;   /* 10 */
bench_row row_life;            /* 11 */
bench_row row_large_host;      /* 12 */
bench_row row_death;           /* 13 */
bench_row row_memory;          /* 14 */
bench_row row_many_workers;    /* 15 */
bench_row row_idle;            /* 16 */
bench_row row_threads;         /* 17 */
bench_row row_linear;          /* 18 */
bench_row row_features;        /* 19 */

#endif
