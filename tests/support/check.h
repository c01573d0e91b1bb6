/*
 * check - what the tests say again and again: assertions that print names rather than numbers, and things made that
 * must not fail.
 *
 * In the host only: an assertion that fails in a worker would go on there with the remaining tests.
 */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

/* cmocka wants these four before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "procpool.h"

/* The status is the expected one; prints both by name, with the words of pool_error(). */
#define assert_status(expression, expected) \
    check_status((expression), (expected), #expression, __FILE__, __LINE__)
void check_status(enum pool_status status, enum pool_status expected, const char *what, const char *file, int line);

/* The same, and the words of pool_error() contain `words`. */
#define assert_refused(expression, words) \
    check_refused((expression), (words), #expression, __FILE__, __LINE__)
void check_refused(enum pool_status status, const char *words, const char *what, const char *file, int line);

/* NULL with that errno. `call` is evaluated once, errno cleared before it. */
#define assert_null_errno(call, code) \
    do { \
        errno = 0; \
        const void *made_ = (call); \
        int code_ = errno; \
        check_null(made_, code_, (code), #call, __FILE__, __LINE__); \
    } while (0)
void check_null(const void *made, int got, int expected, const char *what, const char *file, int line);

/* pool_error() contains the words. */
#define assert_error_has(words) check_error((words), __FILE__, __LINE__)
void check_error(const char *words, const char *file, int line);

/* The object of a call that must succeed. */
#define made(call) check_made((call), #call, __FILE__, __LINE__)
void *check_made(void *object, const char *what, const char *file, int line);

#endif
