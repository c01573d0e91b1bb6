/* What the header declares and this version does not do yet: refused with words, never ignored. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <unistd.h>

static struct pool *pool;

static int open_pool(void **state)
{
    int failed = audit_begin(state);
    pool = pool_create(1, NULL);
    return failed || !pool;
}

static int close_pool(void **state)
{
    pool_destroy(pool);
    pool = NULL;
    return audit_end(state);
}

#define POOL_TEST(function) {#function, function, open_pool, close_pool, #function}

static void the_arena(void **state)
{
    (void)state;
    struct pool_options options = {.arena_size = 4096};
    assert_null_errno(pool_create(1, &options), EINVAL);
    assert_error_has("arena");
    assert_null_errno(pool_arena_alloc(pool, 100), EINVAL);
    assert_error_has("arena");
    assert_null_errno(pool_arena_alloc(NULL, 100), EINVAL);
    errno = 4321;
    pool_arena_free(pool, NULL);
    pool_arena_free(NULL, NULL);
    assert_int_equal(errno, 4321);
}

static void traces(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/procpool-refused-%ld.json", (long)getpid());
    assert_refused(pool_trace(pool, path), "trace");
    assert_int_equal(access(path, F_OK), -1);
    assert_status(pool_trace(NULL, path), POOL_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(the_arena), POOL_TEST(traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
