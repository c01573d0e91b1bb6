/*
 * tasks - what the pools here are asked to do, and small helps to ask.
 */
#ifndef BENCH_TASKS_H
#define BENCH_TASKS_H

#include <procpool.h>

int task_nothing(struct pool_task *task);
int task_square(struct pool_task *task); /* of a long: square() */
int task_echo(struct pool_task *task);   /* gives its argument back */

long square(long value);

/* The pool, or the end of this row. */
struct pool *pool_made(struct pool *pool);

/* The row ends unless it is POOL_OK. */
void must(enum pool_status status);

/* A pool, and how much to do with it: the context of most sides. */
struct pool_side {
    struct pool *pool;
    size_t count;
};

/* One pool_apply() of 8 bytes in and out at a time: microseconds a task; processor time of all processes a task. */
double apply_us(void *pool_side);
double apply_cpu_us(void *pool_side);

/* So many pool_apply_async() of an empty task, each future then read and freed: million tasks a second. */
struct async_side {
    struct pool *pool;
    const struct pool_job *job;
    size_t count;
    size_t batch; /* submitted before they are read; 0: all */
};
double async_rate(void *async_side);

/* An iterator over so many longs, read to its end: million items a second. */
struct imap_side {
    struct pool *pool;
    const long *in;
    size_t count;
    struct pool_iterator *(*start)(struct pool *pool, pool_function *fn, struct pool_source in,
                                   const struct pool_job *job);
};
double imap_rate(void *imap_side);

/* pool_map() of task_square: million items a second. */
struct map_side {
    struct pool *pool;
    const struct pool_job *job;
    const long *in;
    long *out;
    size_t count;
};
double map_rate(void *map_side);

/* 0, 1, 2, ...; and room for as many. */
long *numbers_make(size_t count);

#endif
