/*
 * source - where the items of a map or an imap come from: an array, strings, a generator, the lines of a file.
 *
 * A pool_source is a plain struct that holds nothing. Its kind is found from the struct alone: reserved[0] names it
 * where one of our functions made it; a struct that a program zeroed or filled by hand is a generator where `next`
 * is set and an array otherwise.
 *
 * Arrays and strings know their number and are read at any index, without calling the program. Generators and lines
 * are read one after the other by pool__source_next(), and an item is good until the next call: copy it before.
 */
#ifndef POOL__SOURCE_H
#define POOL__SOURCE_H

#include "procpool.h"

enum pool__source_kind {
    POOL__SOURCE_ITEMS,
    POOL__SOURCE_STRINGS,
    POOL__SOURCE_GENERATOR,
    POOL__SOURCE_LINES,
    POOL__SOURCE_UNKNOWN /* reserved fields hold what none of our functions put there */
};

/*
 * The line that pool_lines() has read last. Zero-initialised, owned by whoever reads the source, freed by
 * pool__line_free().
 */
struct pool__line {
    char *text;
    size_t room;
};

enum pool__source_kind pool__source_kind(const struct pool_source *source);

/* POOL_OK, or POOL_INVALID with words that name `call` and the argument. Asked once, before anything else below. */
enum pool_status pool__source_check(const struct pool_source *source, const char *call);

/* Items or strings: the number is known, and no code of the program's is called. */
bool pool__source_is_array(const struct pool_source *source);
size_t pool__source_count(const struct pool_source *source); /* 0 for the others */

/* Item `index` of an array or of strings. *item is NULL where the items have no bytes. */
void pool__source_item(const struct pool_source *source, size_t index, const void **item, size_t *size);

/*
 * The next item of a generator or of lines: 1, 0 at the end, or below 0 where it failed (a generator's own code; of
 * lines -errno).
 */
int pool__source_next(struct pool_source *source, struct pool__line *line, const void **item, size_t *size);

void pool__line_free(struct pool__line *line);

#endif
