/*
 * Under the address sanitizer: a worker leaks nothing of its own, whatever it ran. Workers leave by _exit(), which looks for no
 * leaks; so this program's own _exit() looks first, in workers that leave in good order.
 */
#define _GNU_SOURCE /* syscall */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"

#include <unistd.h>

#if UNDER_ADDRESS_SANITIZER && defined(__linux__)
#include <sanitizer/lsan_interface.h>
#include <sys/syscall.h>

enum { LOOKED, LEAKED }; /* of ground->count */

_Noreturn void _exit(int status)
{
    if (pool_worker_index() >= 0) {
        if (__lsan_do_recoverable_leak_check() != 0)
            atomic_fetch_add(&ground->count[LEAKED], 1);
        atomic_fetch_add(&ground->count[LOOKED], 1);
    }
    for (;;)
        syscall(SYS_exit_group, status);
}

/* Its last words are the next one's: the stack keeps no way to the bytes. */
static int task_leaks(struct pool_task *task)
{
    char *volatile bytes = malloc(1000);

    (void)task;
    bytes[0] = 1;
    bytes = NULL;
    return 0;
}

static int task_large(struct pool_task *task)
{
    void *room = pool_return_space(task, 200000);

    if (room == NULL)
        return 1;
    memset(room, 1, 200000);
    return pool_return_space(task, 300000) == NULL;
}

static int task_packs(struct pool_task *task)
{
    struct pool_buffer buffer = {0};

    for (int i = 0; i < 100; i++)
        pool_put_string(&buffer, "some words, so that it grows");
    return pool_return_buffer(task, &buffer);
}

static void use_all(struct pool *pool)
{
    static unsigned char large[300000];
    int code = 3;
    long values[100] = {0}, out[100];
    struct pool_job shared = {.shared = large, .shared_size = sizeof large};

    assert_status(pool_map(pool, task_square, POOL_ARRAY(values), out, sizeof out[0], &shared), POOL_OK);
    assert_status(pool_apply(pool, task_echo, large, sizeof large, NULL, 0, NULL), POOL_OK);
    assert_status(pool_apply(pool, task_fail, &code, sizeof code, NULL, 0, NULL), POOL_FAILED);
    assert_status(pool_map(pool, task_large, pool_items(NULL, 10, 0), NULL, 0, NULL), POOL_OK);
    assert_status(pool_map(pool, task_packs, pool_items(NULL, 10, 0), NULL, 0, NULL), POOL_OK);
}

static void close_and_count(struct pool *pool, int workers, bool leaks)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    assert_int_equal(atomic_load(&ground->count[LOOKED]), workers);
    assert_int_equal(atomic_load(&ground->count[LEAKED]) > 0, leaks);
}

static void a_worker_leaks_nothing(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    use_all(pool);
    close_and_count(pool, 2, false);
}

static void nor_do_those_that_are_replaced(void **state)
{
    struct pool *pool = made(pool_create(1, &(struct pool_options){.tasks_per_worker = 10}));

    (void)state;
    for (int i = 0; i < 30; i++)
        assert_status(pool_apply(pool, i % 2 ? task_large : task_packs, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    assert_true(atomic_load(&ground->count[LOOKED]) >= 3);
    assert_int_equal(atomic_load(&ground->count[LEAKED]), 0);
}

/* Else the two above would say nothing. */
static void what_a_task_leaks_is_seen(void **state)
{
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (int i = 0; i < 20; i++)
        assert_status(pool_apply(pool, task_leaks, NULL, 0, NULL, 0, NULL), POOL_OK);
    close_and_count(pool, 1, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_worker_leaks_nothing),
        PROCESS_TEST(nor_do_those_that_are_replaced),
        PROCESS_TEST(what_a_task_leaks_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 77;
}
#endif
