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
        POOL_TEST(traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
