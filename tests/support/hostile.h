/*
 * hostile - tasks that do to their worker whatever a task can do: write what no worker writes, scribble on the board, close, replace and
 * block descriptors, leave children and threads behind, never come back. Each act says which outcomes its own item may have; nothing else may
 * suffer from any of them.
 *
 * The acts know the library's own tables (data/wire.h, data/board.h): they tell lies that are as near to the truth as can be.
 */
#ifndef TEST_HOSTILE_H
#define TEST_HOSTILE_H

#include "check.h"

struct pool__board;
struct pool__record;

struct hostile_act {
    const char *name;
    void      (*act)(struct pool_task *task);
    unsigned    outcomes; /* a bit for each status that its own item may have */
};
extern const struct hostile_act hostile_acts[];
extern const size_t hostile_act_count;

struct hostile_order {
    unsigned act;  /* of hostile_acts */
    unsigned seed; /* of its random numbers */
};

/* Does it, and if that leaves the worker able to, returns a result of 8 bytes. The argument is a struct hostile_order. */
int task_hostile(struct pool_task *task);

/* The order of one act, as an argument. */
struct hostile_order hostile_order(const char *name, unsigned seed);

/* Before the pool is made: the pipes that are open now are none of a worker's. */
void hostile_begin(void);

/* ---- in a worker: its own end of things */

int  hostile_results(void); /* the descriptor that it writes results to; -1: none */
int  hostile_tasks(void);   /* that it reads tasks from */
struct pool__board *hostile_board(struct pool_task *task);

/* A RESULT record of the item that runs, whose payload has `size` bytes. */
void hostile_own_result(struct pool_task *task, struct pool__record *record, uint64_t size);
void hostile_send(const struct pool__record *record); /* its head alone */
bool hostile_write(const void *data, size_t size);    /* false: nobody takes it */

#endif
