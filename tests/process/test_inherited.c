/*
 * What pools take over from a program in full swing: locks that its threads hold at pool_create(), fork handlers of other libraries, memory.
 * And that what the helper process has does not grow: descriptors, zombies.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- B11: threads that allocate and print while the pool is made */

static atomic_bool busy_threads;
static FILE *nowhere;

static void *allocate_and_print(void *unused)
{
    unsigned number = 1;

    while (atomic_load(&busy_threads)) {
        number = number * 1103515245u + 12345u;
        void *memory = malloc(1 + number % 200000);
        fprintf(nowhere, "%u %p\n", number, memory);
        free(memory);
    }
    return unused;
}

/* Allocates too, prints, and leaves a result that needs memory. */
static int task_allocates(struct pool_task *task)
{
    size_t size = 1000 + task->index * 5000;
    char *memory = malloc(size);

    if (memory == NULL)
        return 1;
    memset(memory, 'm', size);
    fprintf(nowhere, "%p\n", (void *)memory);
    int status = pool_return(task, memory, size);
    free(memory);
    return status;
}

static void made_while_threads_hold_locks(void **state)
{
    enum { THREADS = 3, POOLS = 60 };
    pthread_t threads[THREADS];

    (void)state;
    if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER)
        skip(); /* their own allocator's locks may be held at the fork, and nobody sees to those */
    nowhere = fopen("/dev/null", "w");
    assert_non_null(nowhere);
    atomic_store(&busy_threads, true);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_print, NULL), 0);
    for (int i = 0; i < POOLS; i++) {
        struct pool *pool = made(pool_create(2, NULL));
        /* the stream's lock may be held for ever in the workers: that is the program's own; malloc and stdout work */
        struct pool_iterator *items = made(pool_imap(pool, i % 2 ? task_echo : task_size, pool_items("abc", 3, 1), NULL));
        const struct pool_result *result;
        for (int n = 0; n < 3; n++) {
            assert_status(pool_iterator_next(items, 10000 * time_scale(), &result), POOL_OK);
            assert_status(result->status, POOL_OK);
        }
        pool_iterator_free(items);
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        pool_destroy(pool);
    }
    atomic_store(&busy_threads, false);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct pool *pool = made(pool_create(2, NULL));
    assert_status(pool_map(pool, task_allocates, pool_items(NULL, 20, 0), NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
    fclose(nowhere);
}

/* ---- B12: fork handlers of the program's that use the pool */

static struct pool *handled_pool;
static atomic_int    handler_calls;

static void use_in_handler(void)
{
    struct pool_stats stats;

    if (handled_pool == NULL)
        return;
    atomic_fetch_add(&handler_calls, 1);
    pool_get_stats(handled_pool, &stats);
    pool_worker_pids(handled_pool, NULL, 0);
    pool_future_free(pool_apply_async(handled_pool, task_nothing, NULL, 0, NULL));
}

static void handlers_that_use_the_pool(void **state)
{
    static bool registered;

    (void)state;
    skip_under_thread_sanitizer();
    if (!registered)
        assert_int_equal(pthread_atfork(use_in_handler, use_in_handler, use_in_handler), 0);
    registered = true;
    handled_pool = made(pool_create(2, NULL));
    for (int i = 0; i < 5; i++) {
        struct pool *other = made(pool_create(1, NULL)); /* forks, here and in its helper process */
        assert_status(pool_apply(other, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
        assert_status(pool_apply(other, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_status(pool_apply(handled_pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
        assert_status(pool_apply(handled_pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        pool_destroy(other);
    }
    assert_true(atomic_load(&handler_calls) >= 10);
    struct pool *pool = handled_pool;
    handled_pool = NULL;
    pool_destroy(pool);
}

/* ---- D3, D4: what the helper process keeps */

static int count_descriptors(pid_t pid)
{
    char path[64];
    int count = 0;

    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    if (directory)
        closedir(directory);
    return count;
}

/* Children of `parent`, and how many of them are zombies. */
static int count_children(pid_t parent, int *zombies)
{
    DIR *directory = opendir("/proc");
    int count = 0;

    *zombies = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct family_member member;
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || !family_look((pid_t)pid, &member) || member.parent != parent)
            continue;
        count++;
        *zombies += member.state == 'Z';
    }
    if (directory)
        closedir(directory);
    return count;
}

static void the_helper_process_does_not_fill_up(void **state)
{
    enum { DEATHS = 1000, WORKERS = 3 };
    struct pool *pool = made(pool_create(WORKERS, NULL));
    pid_t worker;
    int zombies, children;

    (void)state;
    assert_status(pool_apply(pool, task_pid, NULL, 0, &worker, sizeof worker, NULL), POOL_OK);
    pid_t zygote = family_parent(worker);
    int before = count_descriptors(zygote);
    for (int i = 0; i < DEATHS; i++)
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    int64_t end = time_now_ms() + FAMILY_MS * time_scale();
    do {
        children = count_children(zygote, &zombies);
        pause_briefly();
    } while ((zombies > 0 || children > WORKERS || count_descriptors(zygote) > before) && time_now_ms() < end);
    assert_int_equal(zombies, 0);
    assert_true(children <= WORKERS);
    assert_int_equal(count_descriptors(zygote), before);
    pool_destroy(pool);
}

/* ---- D10: many deaths, one signal */

static void many_deaths_while_it_is_stopped(void **state)
{
    enum { WORKERS = 60 };
    struct pool_future *futures[WORKERS];
    pid_t pids[WORKERS] = {0};
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    occupy(pool, 0, futures, WORKERS);
    assert_int_equal(pool_worker_pids(pool, pids, WORKERS), WORKERS);
    pid_t zygote = family_parent(pids[0]);
    kill(zygote, SIGSTOP);
    for (int i = 0; i < WORKERS; i++)
        kill(pids[i], SIGKILL);
    assert_true(family_all_gone(pids, WORKERS));
    kill(zygote, SIGCONT);
    for (int i = 0; i < WORKERS; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_CRASHED);
        pool_future_free(futures[i]);
    }
    gate_open(&ground->gate[0]);
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 200, 0), NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

/* ---- D7: killed as soon as they are there */

static void killed_at_birth(void **state)
{
    (void)state;
    for (int round = 0; round < 150; round++) {
        struct pool *pool = made(pool_create(1 + (unsigned)round % 4, NULL));
        if (round % 2)
            assert_status(pool_terminate(pool), POOL_OK);
        pool_destroy(pool);
    }
    assert_true(audit_wait_alone(FAMILY_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(made_while_threads_hold_locks),
        PROCESS_TEST(the_helper_process_does_not_fill_up),
        PROCESS_TEST(many_deaths_while_it_is_stopped),
        PROCESS_TEST(killed_at_birth),
        PROCESS_TEST(handlers_that_use_the_pool),
    };

    if (!family_known())
        return 77;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
