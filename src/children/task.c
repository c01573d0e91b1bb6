#include "children/task.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

char pool__words_room[POOL__WORDS_ROOM];
static int worker_index = -1;

const char *pool__words(void)
{
    return pool__words_room;
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
        task->no_memory = true;
        return NULL;
    }
    if (task->heap == NULL && task->has_result && !task->in_place)
        memcpy(heap, task->staging, task->result_size);
    task->heap = heap;
    task->heap_room = room;
    return heap;
}

/* A result that so far had another size moves to its place, or from there. */
static void move_result(const struct pool__task *task, unsigned char *to, size_t size)
{
    size_t kept = task->result_size < size ? task->result_size : size;

    if (task->has_result && kept > 0)
        memmove(to, pool__task_result(task), kept);
}

static void *place_space(struct pool__task *task)
{
    if (!task->in_place)
        move_result(task, task->place, task->place_size);
    task->in_place = task->has_result = true;
    task->no_memory = false;
    task->result_size = task->place_size;
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
        task->no_memory = true;
        return NULL;
    }
    if (task->in_place)
        move_result(task, space, size);
    task->no_memory = task->in_place = false;
    task->has_result = true;
    task->result_size = size;
    return space;
}

/* Most results have few bytes: a constant size makes a few instructions of it. */
static void copy_to_place(unsigned char *place, const void *data, size_t size)
{
    if (size == 8)
        memmove(place, data, 8);
    else if (size == 4)
        memmove(place, data, 4);
    else
        memmove(place, data, size);
}

int pool_return(struct pool_task *given, const void *data, size_t size)
{
    struct pool__task *task = task_of(given);
    void *space;

    if (data == NULL && size > 0)
        return POOL_INVALID;
    if (given != NULL && task->place != NULL && size == task->place_size && !task->has_result) {
        copy_to_place(task->place, data, size);
        task->in_place = task->has_result = true;
        task->no_memory = false;
        task->result_size = size;
        return 0;
    }
    space = pool_return_space(given, size);
    if (space == NULL)
        return POOL_NO_MEMORY;
    if (size > 0)
        memmove(space, data, size); /* the data may be part of the result so far */
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
        vsnprintf(pool__words_room, sizeof pool__words_room, format, arguments);
        va_end(arguments);
    }
    return code != 0 ? code : 1;
}

bool pool_cancelled(const struct pool_task *given)
{
    const struct pool__task *task = (const struct pool__task *)(const void *)given;

    return given != NULL && pool__board_cancel_asked(task->board);
}
