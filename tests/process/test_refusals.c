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

/* Every call that takes a job, with this one; none may run anything. */
static void expect_job_refused(const struct pool_job *job, const char *words)
{
    long values[3] = {1, 2, 3}, out[3];
    assert_refused(pool_apply(pool, task_square, values, sizeof values[0], out, sizeof out[0], job), words);
    assert_null_errno(pool_apply_async(pool, task_square, values, sizeof values[0], job), EINVAL);
    assert_error_has(words);
    assert_refused(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], job), words);
    assert_null_errno(pool_map_async(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], job), EINVAL);
    assert_error_has(words);
    assert_null_errno(pool_imap(pool, task_square, POOL_ARRAY(values), job), EINVAL);
    assert_error_has(words);
    assert_null_errno(pool_imap_unordered(pool, task_square, POOL_ARRAY(values), job), EINVAL);
    assert_error_has(words);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(atomic_load(&ground->started[i]), 0);
}

static void deadlines(void **state)
{
    (void)state;
    struct pool_job job = {.deadline_ms = 1000}, wrong = {.deadline_ms = -1};
    expect_job_refused(&job, "deadline");
    expect_job_refused(&wrong, "deadline");
}

static void retries(void **state)
{
    (void)state;
    struct pool_job job = {.retries = 1};
    expect_job_refused(&job, "retries");
}

static void a_cancel_that_kills(void **state)
{
    (void)state;
    struct pool_future *busy, *waiting;
    occupy(pool, 0, &busy, 1);
    waiting = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    assert_refused(pool_future_cancel(busy, true), "kill");
    assert_refused(pool_future_cancel(waiting, true), "kill");
    struct pool_iterator *iterator = made(pool_imap(pool, task_nothing, pool_items(NULL, 3, 0), NULL));
    assert_refused(pool_iterator_cancel(iterator, true), "kill");
    gate_open(&ground->gate[0]);
    const struct pool_result *result;
    for (int i = 0; i < 3; i++) { /* nothing was cancelled */
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(result->status, POOL_OK);
    }
    assert_status(pool_future_wait(busy, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(busy));
    assert_status(pool_future_wait(waiting, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_successful(waiting));
    pool_iterator_free(iterator);
    pool_future_free(busy);
    pool_future_free(waiting);
}

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
        POOL_TEST(deadlines), POOL_TEST(retries), POOL_TEST(a_cancel_that_kills),
        POOL_TEST(the_arena), POOL_TEST(traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
