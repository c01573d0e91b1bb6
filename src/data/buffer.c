#include "data/buffer.h"

#include <stdlib.h>
#include <string.h>

bool pool__bytes_reserve(struct pool__bytes *bytes, size_t more)
{
    size_t held = pool__bytes_held(bytes), room = bytes->room > 0 ? bytes->room : more > 256 ? more : 256;
    unsigned char *data;

    if (bytes->room - bytes->to >= more)
        return true;
    if (held > 0 && bytes->from > 0)
        memmove(bytes->data, bytes->data + bytes->from, held);
    bytes->from = 0;
    bytes->to = held;
    if (bytes->room - held >= more)
        return true;
    while (room - held < more) {
        if (room > (size_t)-1 / 4)
            return false;
        room *= 2;
    }
    data = realloc(bytes->data, room);
    if (data == NULL)
        return false;
    bytes->data = data;
    bytes->room = room;
    return true;
}

void pool__bytes_append(struct pool__bytes *bytes, const void *data, size_t size)
{
    if (size > 0)
        memcpy(bytes->data + bytes->to, data, size);
    bytes->to += size;
}

void pool__bytes_append_zeros(struct pool__bytes *bytes, size_t size)
{
    if (size > 0)
        memset(bytes->data + bytes->to, 0, size);
    bytes->to += size;
}

void pool__bytes_take(struct pool__bytes *bytes, size_t size)
{
    bytes->from += size;
    if (bytes->from == bytes->to)
        bytes->from = bytes->to = 0;
}

void pool__bytes_free(struct pool__bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof *bytes);
}
