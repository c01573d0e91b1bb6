/* Pools made and destroyed one after the other: none of the calls ever waits for news that has come already. */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#define LONGEST_MS 5000 /* one that has lost a notice waits for its own time limit, which is longer */

static void none_takes_long(void **state)
{
    enum { POOLS = 300 };

    (void)state;
    for (int i = 0; i < POOLS; i++) {
        struct pool_options options = {.flags = i % 5 == 4 ? POOL_NO_THREAD : 0};
        int64_t start = time_now_ms();
        struct pool *pool = made(pool_create(1 + (unsigned)i % 3, &options));
        int64_t between = time_now_ms();
        assert_true(between - start < LONGEST_MS * time_scale());
        if (i % 4 == 1)
            assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        between = time_now_ms();
        pool_destroy(pool);
        assert_true(time_now_ms() - between < LONGEST_MS * time_scale());
        if (i % 50 == 49)
            watchdog_start("none_takes_long"); /* the limit is for each pool, not for all of them on a slow machine */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {PROCESS_TEST(none_takes_long)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
