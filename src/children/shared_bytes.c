#include "children/shared_bytes.h"

#include <stdlib.h>
#include <string.h>

struct shared_bytes {
    struct shared_bytes *next;
    uint64_t id;
    size_t size;
    const void *bytes;
    void *copy; /* the same, or NULL: not ours */
};

static struct shared_bytes *kept; /* one process, one worker */

void pool__shared_bytes_forget(void)
{
    kept = NULL;
}

bool pool__shared_bytes_keep(uint64_t id, const void *bytes, size_t size)
{
    void *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL)
        return false;
    memcpy(copy, bytes, size);
    if (!pool__shared_bytes_refer(id, copy, size)) {
        free(copy);
        return false;
    }
    kept->copy = copy;
    return true;
}

bool pool__shared_bytes_refer(uint64_t id, const void *bytes, size_t size)
{
    struct shared_bytes *shared = malloc(sizeof *shared);

    if (shared == NULL)
        return false;
    shared->bytes = bytes;
    shared->copy = NULL;
    shared->id = id;
    shared->size = size;
    shared->next = kept;
    kept = shared;
    return true;
}

void pool__shared_bytes_find(uint64_t id, struct pool_task *task)
{
    const struct shared_bytes *shared = kept;

    while (shared != NULL && shared->id != id)
        shared = shared->next;
    task->shared = shared != NULL ? shared->bytes : NULL;
    task->shared_size = shared != NULL ? shared->size : 0;
}

void pool__shared_bytes_drop(uint64_t id)
{
    struct shared_bytes **at = &kept;

    while (*at != NULL) {
        struct shared_bytes *shared = *at;

        if (shared->id == id) {
            *at = shared->next;
            free(shared->copy);
            free(shared);
        } else {
            at = &shared->next;
        }
    }
}
