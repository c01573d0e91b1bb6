/*
 * error - the words behind pool_error(): one text for each thread, that of its last failure.
 *
 * Every function below takes a printf format, keeps the words and cuts them at a whole character where they are
 * longer than POOL__ERROR_ROOM. Success never clears them.
 */
#ifndef POOL__ERROR_H
#define POOL__ERROR_H

#include "procpool.h"

#define POOL__ERROR_ROOM 4608 /* a task's message (4 KiB) and what we say around it */

#ifdef __GNUC__
#define POOL__PRINTF(at, from) __attribute__((format(printf, at, from)))
#else
#define POOL__PRINTF(at, from)
#endif

/* Keeps the words and returns `status`, so that a failure is one statement: return pool__fail(POOL_INVALID, "..."). */
enum pool_status pool__fail(enum pool_status status, const char *format, ...) POOL__PRINTF(2, 3);

/* The same for functions that make an object: keeps the words, sets errno to `code`, returns NULL. */
void *pool__null(int code, const char *format, ...) POOL__PRINTF(2, 3);

/*
 * POOL_INVALID (and EINVAL) for a call that was given NULL for its object: keeps the earlier words beside its own, so
 * that a chain of calls tells its first cause.
 */
enum pool_status pool__no_object(const char *call, const char *object);

/* POOL_SYSTEM: the words, then ": " and what errno means. errno stays as it was. */
enum pool_status pool__system(const char *format, ...) POOL__PRINTF(1, 2);

#endif
