#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/*
 * The thread's words. `cause` is where the first cause begins in them, should the next failure be a call on the NULL
 * that this one left.
 */
static _Thread_local char words[POOL__ERROR_ROOM];
static _Thread_local size_t cause;

const char *pool_error(void)
{
    return words;
}

/* How many bytes the character that starts with `lead` has; 1 for what is no start of a longer one. */
static size_t character_size(unsigned char lead)
{
    if (lead >= 0xf0)
        return 4;
    if (lead >= 0xe0)
        return 3;
    return lead >= 0xc0 ? 2 : 1;
}

/* The length of `text` without a last character of which only a part is there. What is no UTF-8 stays as it is. */
static size_t whole_characters(const char *text, size_t length)
{
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        unsigned char byte = (unsigned char)text[length - back];
        bool follows = (byte & 0xc0) == 0x80;

        if (!follows)
            return character_size(byte) > back ? length - back : length;
    }
    return length;
}

static void words_set(const char *text, size_t length, size_t cause_at)
{
    memcpy(words, text, length);
    words[length] = '\0';
    cause = cause_at;
}

/* Written beside the old words first, since those may be among the arguments. */
static size_t text_print(char text[POOL__ERROR_ROOM], const char *format, va_list arguments) POOL__PRINTF(2, 0);

static size_t text_print(char text[POOL__ERROR_ROOM], const char *format, va_list arguments)
{
    int length = vsnprintf(text, POOL__ERROR_ROOM, format, arguments);

    if (length < 0) { /* a wide string that the locale cannot write: the bare format says more than nothing */
        size_t size = strlen(format);

        size = size < POOL__ERROR_ROOM ? size : POOL__ERROR_ROOM - 1;
        memcpy(text, format, size);
        text[size] = '\0';
        return size;
    }
    if (length < POOL__ERROR_ROOM)
        return (size_t)length;
    return whole_characters(text, POOL__ERROR_ROOM - 1);
}

static void words_print(const char *format, va_list arguments) POOL__PRINTF(1, 0);

static void words_print(const char *format, va_list arguments)
{
    char text[POOL__ERROR_ROOM];
    size_t length = text_print(text, format, arguments);

    words_set(text, length, 0);
}

enum pool_status pool__fail(enum pool_status status, const char *format, ...)
{
    int saved = errno;
    va_list arguments;

    va_start(arguments, format);
    words_print(format, arguments);
    va_end(arguments);
    errno = saved;
    return status;
}

void *pool__null(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    words_print(format, arguments);
    va_end(arguments);
    errno = code;
    return NULL;
}

enum pool_status pool__no_object(const char *call, const char *object)
{
    static const char before[] = "; before that: ";
    char text[POOL__ERROR_ROOM];
    size_t room = sizeof text - sizeof before, length;
    int printed = snprintf(text, room, "%s: %s is NULL", call, object);

    length = printed < 0 ? 0 : (size_t)printed < room ? (size_t)printed : room - 1;
    if (words[cause] == '\0') {
        words_set(text, length, length);
    } else {
        /*
         * Only the cause goes with it: a chain of calls on one NULL names its last call and the first cause, however
         * long it is.
         */
        size_t cause_at = length + sizeof before - 1, cause_size = strlen(words + cause);

        memcpy(text + length, before, sizeof before - 1);
        if (cause_size > sizeof text - 1 - cause_at)
            cause_size = whole_characters(words + cause, sizeof text - 1 - cause_at);
        memcpy(text + cause_at, words + cause, cause_size);
        words_set(text, cause_at + cause_size, cause_at);
    }
    errno = EINVAL;
    return POOL_INVALID;
}

enum pool_status pool__system(const char *format, ...)
{
    int saved = errno;
    char text[POOL__ERROR_ROOM], meaning[128];
    size_t length, meaning_size;
    va_list arguments;

    va_start(arguments, format);
    length = text_print(text, format, arguments);
    va_end(arguments);
    if (strerror_r(saved, meaning, sizeof meaning) != 0)
        snprintf(meaning, sizeof meaning, "error %d", saved);
    meaning_size = strlen(meaning);
    if (length > sizeof text - 3 - meaning_size) /* what errno means is never what is cut */
        length = whole_characters(text, sizeof text - 3 - meaning_size);
    memcpy(text + length, ": ", 2);
    memcpy(text + length + 2, meaning, meaning_size);
    words_set(text, length + 2 + meaning_size, 0);
    errno = saved;
    return POOL_SYSTEM;
}
