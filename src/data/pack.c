/*
 * pack - several values in one run of bytes, each with its type.
 *
 *   value    bytes
 *   int      'i', 8 bytes, low byte first
 *   double   'd', its 8 bytes as an integer of 64 bits, low byte first
 *   string   's', length (8 bytes, low byte first), that many characters, a NUL
 *   bytes    'b', size (8 bytes, low byte first), that many bytes
 *
 * Nothing is aligned. What is read may come from a process that is not trusted (inv. 8): every size is compared with
 * what is left before it is used, and no sum is made that could pass its type's end.
 */
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum type { TYPE_INT = 'i', TYPE_DOUBLE = 'd', TYPE_STRING = 's', TYPE_BYTES = 'b' };

#define WORD_SIZE  8              /* a number, or a length */
#define FIRST_ROOM 64             /* of a buffer, at its first put */
#define SIZE_LIMIT (SIZE_MAX / 2) /* no object is larger; sums of two sizes below it do not overflow */

_Static_assert(sizeof(double) == WORD_SIZE, "a double is packed as 64 bits");

static void word_write(unsigned char *to, uint64_t word)
{
    for (int i = 0; i < WORD_SIZE; i++)
        to[i] = (unsigned char)(word >> (8 * i));
}

static uint64_t word_read(const unsigned char *from)
{
    uint64_t word = 0;

    for (int i = 0; i < WORD_SIZE; i++)
        word |= (uint64_t)from[i] << (8 * i);
    return word;
}

/* ------------------------------------------------------------------ putting */

static void put_fail(struct pool_buffer *buffer, enum pool_status status, const char *call, const char *why)
{
    buffer->failed = true;
    pool__fail(status, "%s: %s", call, why);
}

/* Room for `more` bytes after those that are there. */
static bool buffer_reserve(struct pool_buffer *buffer, size_t more)
{
    size_t size, room;
    unsigned char *data;

    if (buffer->size > SIZE_LIMIT || more > SIZE_LIMIT - buffer->size)
        return false;
    size = buffer->size + more;
    if (size <= buffer->room)
        return true;
    room = buffer->room < FIRST_ROOM ? FIRST_ROOM : buffer->room;
    while (room < size)
        room = room > SIZE_LIMIT / 2 ? SIZE_LIMIT : room * 2;
    data = realloc(buffer->data, room);
    if (data == NULL && room > size) /* the doubled room is only a wish */
        data = realloc(buffer->data, room = size);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->room = room;
    return true;
}

/* The place of a value of `size` bytes behind its type, or NULL with the buffer failed. */
static unsigned char *value_begin(struct pool_buffer *buffer, enum type type, size_t size, const char *call)
{
    unsigned char *at;

    if (size > SIZE_LIMIT - 1 || !buffer_reserve(buffer, size + 1)) {
        put_fail(buffer, POOL_NO_MEMORY, call, "no memory for the value");
        return NULL;
    }
    at = buffer->data + buffer->size;
    buffer->size += size + 1;
    *at = (unsigned char)type;
    return at + 1;
}

static bool can_put(const struct pool_buffer *buffer, const char *call)
{
    if (buffer == NULL) {
        pool__no_object(call, "buffer");
        return false;
    }
    return !buffer->failed;
}

static void word_put(struct pool_buffer *buffer, enum type type, uint64_t word, const char *call)
{
    unsigned char *at;

    if (can_put(buffer, call) && (at = value_begin(buffer, type, WORD_SIZE, call)) != NULL)
        word_write(at, word);
}

void pool_put_int(struct pool_buffer *buffer, int64_t value)
{
    word_put(buffer, TYPE_INT, (uint64_t)value, "pool_put_int");
}

void pool_put_double(struct pool_buffer *buffer, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    word_put(buffer, TYPE_DOUBLE, bits, "pool_put_double");
}

/* `size` is what is told, `stored` what follows it: a string's NUL is stored and not counted. */
static void run_put(struct pool_buffer *buffer, enum type type, const void *data, size_t size, size_t stored,
                    const char *call)
{
    unsigned char *at = NULL;

    if (stored > SIZE_LIMIT - WORD_SIZE)
        put_fail(buffer, POOL_NO_MEMORY, call, "no memory holds so many bytes");
    else
        at = value_begin(buffer, type, WORD_SIZE + stored, call);
    if (at == NULL)
        return;
    word_write(at, size);
    if (stored > 0)
        memcpy(at + WORD_SIZE, data, stored);
}

void pool_put_string(struct pool_buffer *buffer, const char *string)
{
    size_t length;

    if (!can_put(buffer, "pool_put_string"))
        return;
    if (string == NULL) {
        put_fail(buffer, POOL_INVALID, "pool_put_string", "string is NULL");
        return;
    }
    length = strlen(string);
    run_put(buffer, TYPE_STRING, string, length, length + 1, "pool_put_string");
}

void pool_put_bytes(struct pool_buffer *buffer, const void *data, size_t size)
{
    if (!can_put(buffer, "pool_put_bytes"))
        return;
    if (data == NULL && size > 0) {
        put_fail(buffer, POOL_INVALID, "pool_put_bytes", "data is NULL and size is not 0");
        return;
    }
    run_put(buffer, TYPE_BYTES, data, size, size, "pool_put_bytes");
}

void pool_buffer_free(struct pool_buffer *buffer)
{
    int saved = errno;

    if (buffer == NULL)
        return;
    free(buffer->data);
    *buffer = (struct pool_buffer){0};
    errno = saved;
}

/* ------------------------------------------------------------------ getting */

static const char *type_name(unsigned char type)
{
    switch (type) {
    case TYPE_INT:
        return "an int";
    case TYPE_DOUBLE:
        return "a double";
    case TYPE_STRING:
        return "a string";
    case TYPE_BYTES:
        return "bytes";
    default:
        return "no value that was put";
    }
}

struct pool_reader pool_unpack(const void *data, size_t size)
{
    struct pool_reader reader = {data, size, false};

    if ((data == NULL && size > 0) || size > SIZE_LIMIT) {
        pool__fail(POOL_INVALID, data == NULL ? "pool_unpack: data is NULL and size is not 0"
                                              : "pool_unpack: no memory holds so many bytes");
        reader = (struct pool_reader){NULL, 0, true};
    }
    return reader;
}

static void get_fail(struct pool_reader *reader, const char *call, const char *why)
{
    reader->failed = true;
    pool__fail(POOL_INVALID, "%s: %s", call, why);
}

/* Steps over `size` bytes and returns where they begin, or NULL with the reader failed. */
static const unsigned char *bytes_take(struct pool_reader *reader, size_t size, const char *call)
{
    const unsigned char *at = reader->at;

    if (size > reader->left) {
        get_fail(reader, call, "the data ends before the value does");
        return NULL;
    }
    reader->at += size;
    reader->left -= size;
    return at;
}

/* Whether a value of `type` comes next; its type is stepped over. */
static bool type_take(struct pool_reader *reader, enum type type, const char *call)
{
    if (reader == NULL) {
        pool__no_object(call, "reader");
        return false;
    }
    if (reader->failed)
        return false;
    if (reader->left == 0) {
        get_fail(reader, call, "nothing is left to get");
        return false;
    }
    if (*reader->at != type) {
        reader->failed = true;
        pool__fail(POOL_INVALID, "%s: what comes next is %s", call, type_name(*reader->at));
        return false;
    }
    reader->at++;
    reader->left--;
    return true;
}

/* The word of a value of `type`; false, and 0, where there is none. */
static bool word_get(struct pool_reader *reader, enum type type, uint64_t *word, const char *call)
{
    const unsigned char *at = NULL;

    if (type_take(reader, type, call))
        at = bytes_take(reader, WORD_SIZE, call);
    *word = at != NULL ? word_read(at) : 0;
    return at != NULL;
}

int64_t pool_get_int(struct pool_reader *reader)
{
    uint64_t word;
    int64_t value;

    word_get(reader, TYPE_INT, &word, "pool_get_int");
    memcpy(&value, &word, sizeof value);
    return value;
}

double pool_get_double(struct pool_reader *reader)
{
    uint64_t word;
    double value;

    word_get(reader, TYPE_DOUBLE, &word, "pool_get_double");
    memcpy(&value, &word, sizeof value);
    return value;
}

/* The bytes behind a length, and `extra` more; NULL where they are not all there. */
static const unsigned char *run_get(struct pool_reader *reader, enum type type, size_t extra, size_t *size,
                                    const char *call)
{
    uint64_t told;

    if (!word_get(reader, type, &told, call))
        return NULL;
    if (told > reader->left || extra > reader->left - told) {
        get_fail(reader, call, "the data ends before the value does");
        return NULL;
    }
    *size = (size_t)told;
    return bytes_take(reader, *size + extra, call);
}

const char *pool_get_string(struct pool_reader *reader)
{
    size_t length = 0;
    const unsigned char *at = run_get(reader, TYPE_STRING, 1, &length, "pool_get_string");

    if (at == NULL)
        return "";
    if (memchr(at, '\0', length + 1) != at + length) {
        get_fail(reader, "pool_get_string", "the string's NUL is not where its length says");
        return "";
    }
    return (const char *)at;
}

const void *pool_get_bytes(struct pool_reader *reader, size_t *size)
{
    size_t told = 0;
    const unsigned char *at = run_get(reader, TYPE_BYTES, 0, &told, "pool_get_bytes");

    if (size != NULL)
        *size = at != NULL ? told : 0;
    return at;
}
