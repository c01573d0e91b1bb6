#include "check.h"

void check_status(enum pool_status status, enum pool_status expected, const char *what, const char *file, int line)
{
    if (status == expected)
        return;
    print_error("%s is %s, not %s; pool_error(): \"%s\"\n", what, pool_status_name(status), pool_status_name(expected),
                pool_error());
    _fail(file, line);
}

void check_error(const char *words, const char *file, int line)
{
    if (strstr(pool_error(), words))
        return;
    print_error("pool_error() does not say \"%s\": \"%s\"\n", words, pool_error());
    _fail(file, line);
}

void check_refused(enum pool_status status, const char *words, const char *what, const char *file, int line)
{
    check_status(status, POOL_INVALID, what, file, line);
    check_error(words, file, line);
}

void check_null(const void *made, int got, int expected, const char *what, const char *file, int line)
{
    if (made)
        print_error("%s is not NULL\n", what);
    else if (got != expected)
        print_error("%s: errno is %d (%s), not %d (%s); pool_error(): \"%s\"\n", what, got, strerror(got), expected,
                    strerror(expected), pool_error());
    else if (!*pool_error())
        print_error("%s: no words in pool_error()\n", what);
    else
        return;
    _fail(file, line);
}

void *check_made(void *object, const char *what, const char *file, int line)
{
    if (object)
        return object;
    print_error("%s is NULL: errno %d (%s); pool_error(): \"%s\"\n", what, errno, strerror(errno), pool_error());
    _fail(file, line);
    return NULL;
}
