#include "children/spare.h"

#include <stdlib.h>

#define TURNS 64u /* without use, then it is given back */

void *pool__spare_take(struct pool__spare *spare, size_t least, size_t *room)
{
    void *memory = spare->memory;

    if (memory == NULL || spare->room < least)
        return NULL;
    *room = spare->room;
    spare->memory = NULL;
    return memory;
}

void pool__spare_give(struct pool__spare *spare, void *memory, size_t room, size_t most)
{
    if (memory == NULL)
        return;
    if (room > most || (spare->memory != NULL && spare->room >= room)) {
        free(memory);
        return;
    }
    free(spare->memory);
    spare->memory = memory;
    spare->room = room;
    spare->idle = 0;
}

void pool__spare_turn(struct pool__spare *spare)
{
    if (spare->memory == NULL || ++spare->idle < TURNS)
        return;
    free(spare->memory);
    spare->memory = NULL;
}
