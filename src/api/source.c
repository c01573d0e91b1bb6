#include "api/source.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 256            /* of a line */
#define SIZE_LIMIT (SIZE_MAX / 2) /* no array is larger */

/* reserved[0] of what our functions made points to one of these; only the addresses count. */
static const char kinds[] = {POOL__SOURCE_ITEMS, POOL__SOURCE_STRINGS, POOL__SOURCE_GENERATOR, POOL__SOURCE_LINES};

struct pool_source pool_items(const void *items, size_t count, size_t item_size)
{
    return (struct pool_source){
        .items = items, .count = count, .item_size = item_size, .reserved = {&kinds[POOL__SOURCE_ITEMS]}};
}

struct pool_source pool_strings(char *const *strings, size_t count)
{
    return (struct pool_source){.items = strings, .count = count, .reserved = {&kinds[POOL__SOURCE_STRINGS]}};
}

struct pool_source pool_generate(int (*next)(void *context, const void **item, size_t *size), void *context)
{
    return (struct pool_source){.next = next, .context = context, .reserved = {&kinds[POOL__SOURCE_GENERATOR]}};
}

struct pool_source pool_lines(FILE *file)
{
    return (struct pool_source){.context = file, .reserved = {&kinds[POOL__SOURCE_LINES]}};
}

enum pool__source_kind pool__source_kind(const struct pool_source *source)
{
    const void *tag = source->reserved[0];

    if (source->reserved[1] != NULL || source->reserved[2] != NULL)
        return POOL__SOURCE_UNKNOWN;
    if (tag == NULL)
        return source->next != NULL ? POOL__SOURCE_GENERATOR : POOL__SOURCE_ITEMS;
    for (size_t i = 0; i < sizeof kinds; i++) {
        if (tag == &kinds[i])
            return (enum pool__source_kind)kinds[i];
    }
    return POOL__SOURCE_UNKNOWN;
}

/* ------------------------------------------------------------------ is it one that can be read? */

static enum pool_status items_check(const struct pool_source *source, const char *call)
{
    if (source->item_size == 0)
        return POOL_OK;
    if (source->items == NULL && source->count > 0)
        return pool__fail(POOL_INVALID, "%s: items is NULL, with %zu items of %zu bytes", call, source->count,
                          source->item_size);
    if (source->count > SIZE_LIMIT / source->item_size)
        return pool__fail(POOL_INVALID, "%s: %zu items of %zu bytes are more than memory can hold", call, source->count,
                          source->item_size);
    return POOL_OK;
}

static enum pool_status strings_check(const struct pool_source *source, const char *call)
{
    char *const *strings = source->items;

    if (strings == NULL && source->count > 0)
        return pool__fail(POOL_INVALID, "%s: strings is NULL, with a count of %zu", call, source->count);
    if (source->count > SIZE_LIMIT / sizeof *strings)
        return pool__fail(POOL_INVALID, "%s: %zu strings are more than memory can hold", call, source->count);
    for (size_t i = 0; i < source->count; i++) {
        if (strings[i] == NULL)
            return pool__fail(POOL_INVALID, "%s: string %zu of %zu is NULL", call, i, source->count);
    }
    return POOL_OK;
}

enum pool_status pool__source_check(const struct pool_source *source, const char *call)
{
    switch (pool__source_kind(source)) {
    case POOL__SOURCE_ITEMS:
        return items_check(source, call);
    case POOL__SOURCE_STRINGS:
        return strings_check(source, call);
    case POOL__SOURCE_GENERATOR:
        return source->next != NULL ? POOL_OK
                                    : pool__fail(POOL_INVALID, "%s: next, the generator's function, is NULL", call);
    case POOL__SOURCE_LINES:
        return source->context != NULL ? POOL_OK
                                       : pool__fail(POOL_INVALID, "%s: file, whose lines are the items, is NULL", call);
    case POOL__SOURCE_UNKNOWN:
        break;
    }
    return pool__fail(POOL_INVALID, "%s: the source's reserved fields are not zero", call);
}

/* ------------------------------------------------------------------ arrays */

bool pool__source_is_array(const struct pool_source *source)
{
    enum pool__source_kind kind = pool__source_kind(source);

    return kind == POOL__SOURCE_ITEMS || kind == POOL__SOURCE_STRINGS;
}

size_t pool__source_count(const struct pool_source *source)
{
    return pool__source_is_array(source) ? source->count : 0;
}

void pool__source_item(const struct pool_source *source, size_t index, const void **item, size_t *size)
{
    if (pool__source_kind(source) == POOL__SOURCE_STRINGS) {
        const char *string = ((char *const *)source->items)[index];

        *item = string;
        *size = strlen(string) + 1;
    } else if (source->item_size > 0) {
        *item = (const char *)source->items + index * source->item_size;
        *size = source->item_size;
    } else {
        *item = NULL;
        *size = 0;
    }
}

/* ------------------------------------------------------------------ generators and lines */

static int generator_next(struct pool_source *source, const void **item, size_t *size)
{
    int given = source->next(source->context, item, size);

    if (given > 0 && *item == NULL && *size > 0) {
        pool__fail(POOL_INVALID, "the generator gave an item of %zu bytes at NULL", *size);
        return -EINVAL;
    }
    return given > 0 ? 1 : given;
}

static bool line_append(struct pool__line *line, size_t at, char character)
{
    if (at >= line->room) {
        size_t room = line->room < FIRST_ROOM ? FIRST_ROOM : line->room * 2;
        char *text = line->room > SIZE_LIMIT / 2 ? NULL : realloc(line->text, room);

        if (text == NULL)
            return false;
        line->text = text;
        line->room = room;
    }
    line->text[at] = character;
    return true;
}

/*
 * Character by character and not by getline(), which gives a half line as if it were whole where a signal interrupts
 * the read behind it (in a program whose handlers do not restart calls), and which says nothing of an error in the
 * middle of a line.
 */
static int line_read(FILE *file, struct pool__line *line, size_t *length)
{
    size_t at = 0;
    int character;

    for (;;) {
        errno = 0;
        character = getc_unlocked(file);
        if (character == EOF && !feof(file) && errno == EINTR) {
            clearerr(file);
            continue;
        }
        if (character == EOF && !feof(file))
            return errno != 0 ? -errno : -EIO;
        if (character == EOF && at == 0)
            return 0;
        if (character == EOF || character == '\n')
            break;
        if (!line_append(line, at++, (char)character))
            return -ENOMEM;
    }
    if (!line_append(line, at, '\0'))
        return -ENOMEM;
    *length = at;
    return 1;
}

static int lines_next(struct pool_source *source, struct pool__line *line, const void **item, size_t *size)
{
    FILE *file = source->context;
    size_t length = 0;
    int saved = errno, given;

    flockfile(file);
    given = line_read(file, line, &length);
    funlockfile(file);
    errno = saved;
    if (given == 1) {
        *item = line->text;
        *size = length + 1;
    } else if (given < 0) {
        errno = -given;
        pool__system("reading the next line");
        errno = saved;
    }
    return given;
}

int pool__source_next(struct pool_source *source, struct pool__line *line, const void **item, size_t *size)
{
    *item = NULL;
    *size = 0;
    if (pool__source_kind(source) == POOL__SOURCE_LINES)
        return lines_next(source, line, item, size);
    return generator_next(source, item, size);
}

void pool__line_free(struct pool__line *line)
{
    int saved = errno;

    free(line->text);
    *line = (struct pool__line){0};
    errno = saved;
}
