/*
 * input - the bytes that a fuzz target is given, taken from the front; what is missing at the end is zero. And what a
 * target says when a promise is broken.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

static inline _Noreturn void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: it must be so, and is not: %s\n", file, line, condition);
    abort();
}

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next `size` bytes, or what there is of them, zeros behind. */
static inline void take(struct input *input, void *to, size_t size)
{
    size_t here = size < input->left ? size : input->left;

    memset(to, 0, size);
    if (here > 0)
        memcpy(to, input->at, here);
    input->at += here;
    input->left -= here;
}

static inline uint8_t take8(struct input *input)
{
    uint8_t value;

    take(input, &value, sizeof value);
    return value;
}

static inline uint16_t take16(struct input *input)
{
    uint16_t value;

    take(input, &value, sizeof value);
    return value;
}

static inline uint32_t take32(struct input *input)
{
    uint32_t value;

    take(input, &value, sizeof value);
    return value;
}

static inline uint64_t take64(struct input *input)
{
    uint64_t value;

    take(input, &value, sizeof value);
    return value;
}

/*
 * A copy of its own size, so that a sanitizer sees each step beyond it. free() it; never NULL, of 0 bytes neither.
 */
static inline unsigned char *exact_copy(const void *bytes, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);

    MUST(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

#endif
