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
    size_t result_size; /* of a result, where there is one */
    unsigned left; /* by the function, POOL__LEFT_...: one word, so that all is cleared and compared at once */
};

#define POOL__LEFT_RESULT    1u
#define POOL__LEFT_IN_PLACE  2u /* the result is there */
#define POOL__LEFT_NO_MEMORY 4u
#define POOL__LEFT_WORDS     8u /* by pool_fail() */

static inline bool pool__task_has_left(const struct pool__task *task, unsigned what)
{
    return (task->left & what) != 0;
}

static inline unsigned char *pool__task_result(const struct pool__task *task)
{
    if (pool__task_has_left(task, POOL__LEFT_IN_PLACE))
        return task->place;
    return task->heap != NULL ? task->heap : task->staging;
}

static inline size_t pool__task_result_size(const struct pool__task *task)
{
    return pool__task_has_left(task, POOL__LEFT_RESULT) ? task->result_size : 0;
}

/* This is the one that runs from now on, and pool_fail() in it; NULL: the initializer. */
void pool__task_begin(struct pool__task *task);

/* What pool_fail() said last in this task or initializer, "" where nothing. */
const char *pool__words(void);

/* The seat that pool_worker_index() tells. */
void pool__worker_index_set(int seat);

#endif
