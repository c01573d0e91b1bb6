/* Callbacks and progress functions have some stack of their own: the same on every system, however small its threads' usual one. */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <sys/resource.h>

enum { USED = 128 * 1024, STEP = 1024 };

/* Uses so many bytes of stack, page after page. */
static unsigned use_stack(size_t size)
{
    volatile unsigned char bytes[STEP];

    for (size_t i = 0; i < STEP; i += 64)
        bytes[i] = (unsigned char)(size + i);
    unsigned below = size > STEP ? use_stack(size - STEP) : 0;
    return below + bytes[64];
}

static void deep_callback(void *user, const struct pool_result *result)
{
    char words[256];

    (void)user;
    atomic_fetch_add(&ground->count[0], (int)(use_stack(USED) > 0));
    snprintf(words, sizeof words, "%s %zu %f", result->message, result->size, 1.5);
    atomic_fetch_add(&ground->count[1], 1);
}

static void deep_progress(void *user, size_t done, size_t total)
{
    (void)user;
    atomic_fetch_add(&ground->count[2], done <= total && use_stack(USED) > 0);
}

static void deep_callbacks(void **state)
{
    struct pool_job job = {.callback = deep_callback, .progress = deep_progress};
    struct pool *pool = made(pool_create(2, NULL));
    long items[20] = {0}, squares[20];

    (void)state;
    for (int i = 0; i < 10; i++)
        pool_future_free(made(pool_map_async(pool, task_square, POOL_ARRAY(items), NULL, 0, &job)));
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    struct pool_future *future = made(pool_map_async(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job));
    release(&future, 1);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[1]), 11);
    assert_true(atomic_load(&ground->count[2]) > 0);
    pool_destroy(pool);
}

/* The usual stack of this program's threads is as small as it can be, as on some systems it is. */
static void small_threads(void **state)
{
    struct rlimit usual, small;

    getrlimit(RLIMIT_STACK, &usual);
    small = usual;
    small.rlim_cur = 64 * 1024;
    setrlimit(RLIMIT_STACK, &small);
    deep_callbacks(state);
    setrlimit(RLIMIT_STACK, &usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(deep_callbacks),
        PROCESS_TEST(small_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
