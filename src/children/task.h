/*
 * task - one run of a task function: what it is given, the result it leaves, and the words it fails with.
 *
 * The result is built where it will be sent from: in the free part of the board's staging where it fits, otherwise on
 * the heap. Until the worker publishes it nobody else looks at those bytes. Where the map's out lies in the arena, a
 * result of its size is built in its place there.
 */
#ifndef POOL__TASK_H
#define POOL__TASK_H

#include "children/spare.h"
#include "data/board.h"
#include "procpool.h"

#define POOL__WORDS_ROOM 4096u /* what pool_fail() keeps, its final NUL included */

struct pool__task {
    struct pool_task given; /* what the function sees; first, so that its address is ours */
    struct pool__board *board;
    unsigned char *staging; /* free room for the result's bytes */
    size_t staging_room;
    unsigned char *heap; /* a result that outgrew the staging, or NULL */
    size_t heap_room;
    unsigned char *place; /* in the arena, for a result of just place_size bytes; NULL: none */
    size_t place_size;
    struct pool__spare spare; /* heap of earlier results, to be used again */
    size_t result_size;
    bool has_result, no_memory;
    bool in_place; /* the result is there */
};

static inline unsigned char *pool__task_result(const struct pool__task *task)
{
    return task->in_place ? task->place : task->heap != NULL ? task->heap : task->staging;
}

/* What pool_fail() said last in this worker, "" where nothing; forgotten before each task. */
extern char pool__words_room[POOL__WORDS_ROOM];
const char *pool__words(void);

static inline void pool__words_forget(void)
{
    if (pool__words_room[0] != '\0') /* else its page need not even be there */
        pool__words_room[0] = '\0';
}

/* The seat that pool_worker_index() tells. */
void pool__worker_index_set(int seat);

#endif
