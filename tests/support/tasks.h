/*
 * tasks - the task functions that many tests share. Each that is told an index counts its start in
 * ground->started[index].
 */
#ifndef TEST_TASKS_H
#define TEST_TASKS_H

#include "check.h"
#include "gate.h"

int task_nothing(struct pool_task *task); /* returns no result */
int task_square(struct pool_task *task);  /* long to long; counts */
int task_echo(struct pool_task *task);    /* the argument's bytes are the result */
int task_size(struct pool_task *task);    /* the argument's size, as size_t */
int task_index(struct pool_task *task);   /* task->index, as size_t; counts */
int task_pid(struct pool_task *task);     /* the worker's pid_t */
int task_seat(struct pool_task *task);    /* pool_worker_index(), as int */
int task_stays_deaf(struct pool_task *task);   /* for ever, deaf to every signal; counts, in ground->count[0] too */
int task_killed(struct pool_task *task);  /* SIGKILL to itself */
int task_fail(struct pool_task *task);    /* an int: POOL_FAILED with that code, "code N it is" */

/* A long: odd ones fail with their own value as code and "N is odd", even ones return their half as long. Counts. */
int task_half(struct pool_task *task);

/* Waits at a gate, then returns `value` as long. Counts by index. */
struct gated {
    int  gate;
    long value;
};
int task_gated(struct pool_task *task);

/* An int, the number of a gate: arrives there, waits until pool_cancelled(), then returns 1. */
int task_until_cancelled(struct pool_task *task);

/* Waits at a gate of the ground, then returns the long that it was given: struct gated without the struct, for arrays
 * of long. Counts. */
int task_square_behind_gate_0(struct pool_task *task);

/* One apply_async of task_gated at that gate; the future is never NULL. */
struct pool_future *start_gated(struct pool *pool, int gate, long value, const struct pool_job *job);

/* Keeps `workers` workers busy at the gate, and returns when all of them stand there. The futures are written to
 * `futures`. */
void occupy(struct pool *pool, int gate, struct pool_future **futures, size_t workers);

/* Wait for the end of each and free it. */
void release(struct pool_future **futures, size_t count);

#endif
