/* The bytes that a job's tasks share are in a worker's memory for as long as the job, and no longer (rule 15). */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <unistd.h>

#define SHARED_BYTES ((size_t)1 << 20)
#define MIB 1024l /* in KiB */

/* KiB of memory that a process has, as the system counts it. */
static long resident(pid_t pid)
{
    char line[256];
    long size = -1;

    snprintf(line, sizeof line, "/proc/%ld/status", (long)pid);
    FILE *file = fopen(line, "r");
    while (file && size < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &size) != 1)
            size = -1;
    if (file)
        fclose(file);
    return size;
}

static int task_sums_ends(struct pool_task *task)
{
    const unsigned char *shared = task->shared;
    int sum = shared[0] + shared[task->shared_size - 1];

    return pool_return(task, &sum, sizeof sum);
}

static void run_one(struct pool *pool, unsigned char *shared, int kind, int round)
{
    struct pool_job job = {.shared = shared, .shared_size = SHARED_BYTES};
    int sums[2] = {0, 0};
    const struct pool_result *result;
    struct pool_iterator *iterator;

    memset(shared, round % 100, SHARED_BYTES); /* the caller's own, which each job may change before it */
    switch (kind) {
    case 0:
        assert_status(pool_map(pool, task_sums_ends, pool_items(NULL, 2, 0), sums, sizeof sums[0], &job), POOL_OK);
        break;
    case 1:
        assert_status(pool_apply(pool, task_sums_ends, NULL, 0, &sums[0], sizeof sums[0], &job), POOL_OK);
        sums[1] = sums[0];
        break;
    default:
        iterator = made(pool_imap(pool, task_sums_ends, pool_items(NULL, 2, 0), &job));
        for (int i = 0; i < 2; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            memcpy(&sums[i], result->data, sizeof sums[i]);
        }
        pool_iterator_free(iterator);
    }
    assert_int_equal(sums[0], 2 * (round % 100));
    assert_int_equal(sums[1], 2 * (round % 100));
}

static void a_worker_does_not_grow_with_its_jobs(void **state)
{
    enum { FIRST = 6, JOBS = 60 };
    pid_t worker, again;

    (void)state;
    if (UNDER_ADDRESS_SANITIZER || UNDER_THREAD_SANITIZER)
        skip(); /* they keep what is freed, or bookkeep each byte */
    unsigned char *shared = made(malloc(SHARED_BYTES));
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_pid, NULL, 0, &worker, sizeof worker, NULL), POOL_OK);
    for (int kind = 0; kind < 3; kind++) {
        long first = 0;
        for (int round = 0; round < JOBS; round++) {
            if (round == FIRST)
                first = resident(worker);
            run_one(pool, shared, kind, round);
        }
        assert_true(first > 0);
        /* valgrind keeps 20 MB of what was freed; jobs whose bytes stay would make 54 MiB */
        assert_in_range(resident(worker), 1, first + 32 * MIB);
    }
    assert_status(pool_apply(pool, task_pid, NULL, 0, &again, sizeof again, NULL), POOL_OK);
    assert_int_equal(again, worker);
    pool_destroy(pool);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {PROCESS_TEST(a_worker_does_not_grow_with_its_jobs)};

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
