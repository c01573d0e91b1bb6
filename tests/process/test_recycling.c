/*
 * Workers that are replaced: after so many tasks exactly, or once they have grown too large. Nobody notices but by the process numbers.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <unistd.h>

struct visit {
    pid_t    pid;
    unsigned nth;   /* which task of its worker this was, from 1 */
    int      seat;
    size_t   index;
};

static int task_visit(struct pool_task *task)
{
    static unsigned tasks;
    struct visit visit = {.pid = getpid(), .nth = ++tasks, .seat = pool_worker_index(), .index = task->index};

    if (task->index < GROUND_ITEMS)
        atomic_fetch_add(&ground->started[task->index], 1);
    return pool_return(task, &visit, sizeof visit);
}

/* Every item was started once, no worker had more than `limit` tasks, and only those of the last generation had fewer. */
static void check_visits(const struct visit *visits, size_t count, unsigned limit, unsigned workers)
{
    unsigned unfinished = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned tasks = 0, last = 0;
        assert_int_equal(visits[i].index, i);
        assert_int_equal(atomic_load(&ground->started[i]), 1);
        assert_in_range(visits[i].nth, 1, limit);
        assert_in_range(visits[i].seat, 0, workers - 1);
        for (size_t j = 0; j < count; j++) {
            if (visits[j].pid != visits[i].pid)
                continue;
            tasks++;
            last = visits[j].nth > last ? visits[j].nth : last;
        }
        assert_int_equal(tasks, last);
        if (tasks < limit && visits[i].nth == last)
            unfinished++;
    }
    assert_true(unfinished <= workers);
}

static void check_map(unsigned workers, unsigned limit, size_t chunk)
{
    enum { ITEMS = 50 };
    struct visit visits[ITEMS];
    struct pool_stats stats;
    struct pool_options options = {.tasks_per_worker = limit};
    struct pool_job job = {.chunk = chunk};
    struct pool *pool = made(pool_create(workers, &options));

    ground_make();
    assert_status(pool_map(pool, task_visit, pool_items(NULL, ITEMS, 0), visits, sizeof visits[0], &job), POOL_OK);
    check_visits(visits, ITEMS, limit, workers);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.finished, ITEMS);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.failed, 0);
    assert_true(stats.workers_started >= (ITEMS + limit - 1) / limit);
    pool_destroy(pool);
}

static void map_counts_items(void **state)
{
    static const size_t chunks[] = {0, 1, 7, 50};

    (void)state;
    for (unsigned limit = 1; limit <= 3; limit++)
        for (size_t i = 0; i < 4; i++)
            for (unsigned workers = 1; workers <= 2; workers++)
                check_map(workers, limit, chunks[i]);
}

/* With one worker the order is known: each run of `limit` items has a process of its own. */
static void one_worker_is_replaced_exactly(void **state)
{
    enum { ITEMS = 23 };
    struct visit visits[ITEMS];

    (void)state;
    for (unsigned limit = 1; limit <= 3; limit++) {
        struct pool_options options = {.tasks_per_worker = limit};
        struct pool *pool = made(pool_create(1, &options));
        ground_make();
        for (size_t i = 0; i < ITEMS; i++)
            assert_status(pool_apply(pool, task_visit, NULL, 0, &visits[i], sizeof visits[i], NULL), POOL_OK);
        for (size_t i = 0; i < ITEMS; i++) {
            assert_int_equal(visits[i].nth, i % limit + 1);
            if (i > 0)
                assert_int_equal(visits[i].pid == visits[i - 1].pid, i % limit != 0);
        }
        pool_destroy(pool);
    }
}

static void apply_async(void **state)
{
    enum { TASKS = 60 };
    struct pool_future *futures[TASKS];
    unsigned per_worker[TASKS] = {0};
    pid_t pids[TASKS] = {0};
    struct pool_options options = {.tasks_per_worker = 3};
    struct pool *pool = made(pool_create(3, &options));

    (void)state;
    for (int i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, task_visit, NULL, 0, NULL));
    for (int i = 0; i < TASKS; i++) {
        struct visit visit;
        int seen = 0;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &visit, sizeof visit), POOL_OK);
        assert_in_range(visit.nth, 1, 3);
        while (pids[seen] != 0 && pids[seen] != visit.pid)
            seen++;
        pids[seen] = visit.pid;
        assert_true(++per_worker[seen] <= 3);
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
}

static void imap(void **state)
{
    enum { ITEMS = 40 };
    static const size_t chunks[] = {0, 1, 7};

    (void)state;
    for (unsigned limit = 1; limit <= 3; limit++) {
        for (size_t c = 0; c < 3; c++) {
            struct visit visits[ITEMS];
            const struct pool_result *result;
            struct pool_options options = {.tasks_per_worker = limit};
            struct pool_job job = {.chunk = chunks[c]};
            struct pool *pool = made(pool_create(2, &options));
            ground_make();
            struct pool_iterator *iterator = made(pool_imap(pool, task_visit, pool_items(NULL, ITEMS, 0), &job));
            for (size_t i = 0; i < ITEMS; i++) {
                assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
                assert_status(result->status, POOL_OK);
                assert_int_equal(result->size, sizeof visits[i]);
                memcpy(&visits[i], result->data, sizeof visits[i]);
            }
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
            pool_iterator_free(iterator);
            check_visits(visits, ITEMS, limit, 2);
            pool_destroy(pool);
        }
    }
}

static int task_fails_and_visits(struct pool_task *task)
{
    static int tasks;

    tasks++;
    return pool_fail(task, tasks, "task %d of %ld", tasks, (long)getpid());
}

/* A task that fails counts like any other. */
static void failures_count(void **state)
{
    const struct pool_result *result;
    struct pool_options options = {.tasks_per_worker = 2};
    struct pool *pool = made(pool_create(1, &options));

    (void)state;
    for (int i = 0; i < 8; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_fails_and_visits, NULL, 0, NULL));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
        assert_int_equal(result->code, i % 2 + 1);
        pool_future_free(future);
    }
    pool_destroy(pool);
}

/* Replaced workers keep their seat. */
static void seats_are_kept(void **state)
{
    enum { ITEMS = 40 };
    struct visit visits[ITEMS];
    struct pool_options options = {.tasks_per_worker = 1};
    struct pool *pool = made(pool_create(4, &options));

    (void)state;
    assert_status(pool_map(pool, task_visit, pool_items(NULL, ITEMS, 0), visits, sizeof visits[0], NULL), POOL_OK);
    for (size_t i = 0; i < ITEMS; i++)
        assert_in_range(visits[i].seat, 0, 3);
    assert_int_equal(pool_size(pool), 4);
    pool_destroy(pool);
}

/* ---- memory */

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int task_resident(struct pool_task *task)
{
    size_t bytes = resident_bytes();

    return pool_return(task, &bytes, sizeof bytes);
}

/* Keeps as many bytes as the argument says, or gives them back before it returns where `give_back` is set. */
struct appetite {
    size_t bytes;
    bool   give_back;
};

static int task_eat(struct pool_task *task)
{
    static char *volatile kept;
    const struct appetite *appetite = task->arg;
    pid_t pid = getpid();
    char *memory = malloc(appetite->bytes);

    if (!memory)
        return pool_fail(task, 1, "no memory");
    memset(memory, 1, appetite->bytes);
    if (appetite->give_back)
        free(memory);
    else
        kept = memory;
    (void)kept;
    return pool_return(task, &pid, sizeof pid);
}

static void large_workers_are_replaced(void **state)
{
    enum { MEBIBYTE = 1 << 20 };
    struct appetite modest = {.bytes = 4096, .give_back = true}, greedy = {.bytes = 64 * MEBIBYTE};
    size_t usual;
    pid_t first, pid, last;

    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_resident, NULL, 0, &usual, sizeof usual, NULL), POOL_OK);
    pool_destroy(pool);
    if (usual == 0)
        skip();

    struct pool_options options = {.worker_memory = usual + 32 * MEBIBYTE};
    pool = made(pool_create(1, &options));
    assert_status(pool_apply(pool, task_eat, &modest, sizeof modest, &first, sizeof first, NULL), POOL_OK);
    for (int i = 0; i < 10; i++) {
        assert_status(pool_apply(pool, task_eat, &modest, sizeof modest, &pid, sizeof pid, NULL), POOL_OK);
        assert_int_equal(pid, first);
    }
    assert_status(pool_apply(pool, task_eat, &greedy, sizeof greedy, &pid, sizeof pid, NULL), POOL_OK);
    assert_int_equal(pid, first);
    last = pid;
    for (int i = 0; i < 5; i++) {
        assert_status(pool_apply(pool, task_eat, &greedy, sizeof greedy, &pid, sizeof pid, NULL), POOL_OK);
        assert_int_not_equal(pid, last);
        last = pid;
    }
    pool_destroy(pool);
}

static void large_workers_lose_nothing_of_a_map(void **state)
{
    enum { ITEMS = 12, MEBIBYTE = 1 << 20 };
    struct appetite items[ITEMS];
    pid_t pids[ITEMS];
    size_t usual;
    struct pool_job job = {.chunk = ITEMS};

    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_resident, NULL, 0, &usual, sizeof usual, NULL), POOL_OK);
    pool_destroy(pool);
    if (usual == 0)
        skip();
    for (int i = 0; i < ITEMS; i++)
        items[i] = (struct appetite){.bytes = 48 * MEBIBYTE};
    struct pool_options options = {.worker_memory = usual + 24 * MEBIBYTE};
    pool = made(pool_create(1, &options));
    assert_status(pool_map(pool, task_eat, POOL_ARRAY(items), pids, sizeof pids[0], &job), POOL_OK);
    for (int i = 1; i < ITEMS; i++)
        assert_int_not_equal(pids[i], pids[i - 1]);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(map_counts_items),
        PROCESS_TEST(one_worker_is_replaced_exactly),
        PROCESS_TEST(apply_async),
        PROCESS_TEST(imap),
        PROCESS_TEST(failures_count),
        PROCESS_TEST(seats_are_kept),
        PROCESS_TEST(large_workers_are_replaced),
        PROCESS_TEST(large_workers_lose_nothing_of_a_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
