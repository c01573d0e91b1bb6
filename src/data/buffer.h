/*
 * buffer - bytes that grow at their end and are taken from their front. Pure; allocation failures are told.
 */
#ifndef POOL__BUFFER_H
#define POOL__BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct pool__bytes {
    unsigned char *data;
    size_t from, to, room; /* [from, to) are held */
};

static inline size_t pool__bytes_held(const struct pool__bytes *bytes)
{
    return bytes->to - bytes->from;
}

/* Room for `more` bytes at the end. False: no memory, nothing changed. */
bool pool__bytes_reserve(struct pool__bytes *bytes, size_t more);

/* Into room that was reserved before. */
void pool__bytes_append(struct pool__bytes *bytes, const void *data, size_t size);
void pool__bytes_append_zeros(struct pool__bytes *bytes, size_t size);
void pool__bytes_take(struct pool__bytes *bytes, size_t size);
void pool__bytes_free(struct pool__bytes *bytes);

#endif
