#include "children/task.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static char words[POOL__WORDS_ROOM]; /* a page that is not there until somebody fails */
static unsigned initializer_left;
static unsigned *left = &initializer_left; /* of the task that runs, or the initializer */
static int worker_index = -1;

void pool__task_begin(struct pool__task *task)
{
    left = task != NULL ? &task->left : &initializer_left;
    *left = 0;
}

const char *pool__words(void)
{
    return (*left & POOL__LEFT_WORDS) != 0 ? words : "";
}
void pool__worker_index_set(int seat)
{
    worker_index = seat;
}
int pool_worker_index(void)
{
    return worker_index;
}

static struct pool__task *task_of(struct pool_task *given)
{
    return (struct pool__task *)(void *)given;
}

/*
 * Grows to the next power of two, so that a result that is appended to piece by piece is not copied each time. The
 * first room is what an earlier result has left, where it is enough.
 */
static void *larger_heap(struct pool__task *task, size_t size, size_t *room)
{
    void *heap = task->heap == NULL ? pool__spare_take(&task->spare, size, room) : NULL;

    if (heap != NULL)
        return heap;
    *room = 4096;
    while (*room < size && *room <= SIZE_MAX / 4)
        *room *= 2;
    if (*room < size)
        *room = size;
    heap = realloc(task->heap, *room);
    return heap != NULL ? heap : realloc(task->heap, *room = size);
}

static void *heap_space(struct pool__task *task, size_t size)
{
    size_t room;
    unsigned char *heap;

    if (task->heap != NULL && size <= task->heap_room)
        return task->heap;
    heap = larger_heap(task, size, &room);
    if (heap == NULL) {
        task->left |= POOL__LEFT_NO_MEMORY;
        return NULL;
    }
    if (task->heap == NULL && (task->left & (POOL__LEFT_RESULT | POOL__LEFT_IN_PLACE)) == POOL__LEFT_RESULT)
        memcpy(heap, task->staging, task->result_size);
    task->heap = heap;
    task->heap_room = room;
    return heap;
}

/* A result that so far had another size moves to its place, or from there. */
static void move_result(const struct pool__task *task, unsigned char *to, size_t size)
{
    size_t kept = task->result_size < size ? task->result_size : size;

    if (pool__task_has_left(task, POOL__LEFT_RESULT) && kept > 0)
        memmove(to, pool__task_result(task), kept);
}

static void leave_result(struct pool__task *task, size_t size, unsigned where)
{
    task->left = (task->left & POOL__LEFT_WORDS) | POOL__LEFT_RESULT | where;
    task->result_size = size;
}

static void *place_space(struct pool__task *task)
{
    if (!pool__task_has_left(task, POOL__LEFT_IN_PLACE))
        move_result(task, task->place, task->place_size);
    leave_result(task, task->place_size, POOL__LEFT_IN_PLACE);
    return task->place;
}

void *pool_return_space(struct pool_task *given, size_t size)
{
    struct pool__task *task = task_of(given);
    unsigned char *space;

    if (given == NULL)
        return NULL;
    if (task->place != NULL && size == task->place_size)
        return place_space(task);
    if (task->heap == NULL && size <= task->staging_room)
        space = task->staging;
    else if (size > PTRDIFF_MAX)
        space = NULL;
    else
        space = heap_space(task, size);
    if (space == NULL) {
        task->left |= POOL__LEFT_NO_MEMORY;
        return NULL;
    }
    if (pool__task_has_left(task, POOL__LEFT_IN_PLACE))
        move_result(task, space, size);
    leave_result(task, size, 0);
    return space;
}

/* Not part of the quick way, which would then have registers to save. */
POOL__APART static int return_anywhere(struct pool_task *given, const void *data, size_t size)
{
    void *space;

    if (data == NULL && size > 0)
        return POOL_INVALID;
    space = pool_return_space(given, size);
    if (space == NULL)
        return POOL_NO_MEMORY;
    if (size > 0)
        memmove(space, data, size); /* the data may be part of the result so far */
    return 0;
}

/*
 * A cheap task's time is mostly what is around it: so a first result goes straight to its place, where it has the size that
 * most have.
 */
int pool_return(struct pool_task *given, const void *data, size_t size)
{
    struct pool__task *task = task_of(given);

    if (given == NULL || data == NULL || size != sizeof(uint64_t) || task->place_size != size || task->left != 0)
        return return_anywhere(given, data, size);
    memmove(task->place, data, sizeof(uint64_t));
    task->result_size = sizeof(uint64_t);
    task->left = POOL__LEFT_RESULT | POOL__LEFT_IN_PLACE;
    return 0;
}

int pool_return_buffer(struct pool_task *given, struct pool_buffer *buffer)
{
    int status = buffer->failed ? POOL_NO_MEMORY : pool_return(given, buffer->data, buffer->size);

    pool_buffer_free(buffer);
    return status;
}

int pool_fail(struct pool_task *given, int code, const char *format, ...)
{
    va_list arguments;

    (void)given; /* one task runs at a time, and in an initializer there is none */
    if (format != NULL) {
        va_start(arguments, format);
        vsnprintf(words, sizeof words, format, arguments);
        va_end(arguments);
        *left |= POOL__LEFT_WORDS;
    }
    return code != 0 ? code : 1;
}

bool pool_cancelled(const struct pool_task *given)
{
    const struct pool__task *task = (const struct pool__task *)(const void *)given;

    return given != NULL && pool__board_cancel_asked(task->board);
}
