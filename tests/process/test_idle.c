/*
 * Idle is idle: where nothing happens, no process and no thread of a pool wakes up.
 *
 * Seen by the context switches that the system counts for each thread: over some time there must be none. Time itself is what is measured here.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 3, WINDOW_MS = 300, TRIES = 12 };

static unsigned long long switches_of_thread(const char *process, const char *thread)
{
    char path[600], line[256];
    unsigned long long sum = 0, number;

    snprintf(path, sizeof path, "/proc/%s/task/%s/status", process, thread);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &number) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %llu", &number) == 1)
            sum += number;
    if (file)
        fclose(file);
    return sum;
}

/* Of all threads of a process; of this one all but the calling thread, which sleeps and wakes to look. */
static unsigned long long switches_of(pid_t pid)
{
    char process[32], path[64], own[32];
    unsigned long long sum = 0;
    struct dirent *entry;

    snprintf(process, sizeof process, "%ld", (long)pid);
    snprintf(own, sizeof own, "%ld", (long)getpid()); /* the first thread has the process' number */
    snprintf(path, sizeof path, "/proc/%s/task", process);
    DIR *directory = opendir(path);
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0)
            sum += switches_of_thread(process, entry->d_name);
    if (directory)
        closedir(directory);
    return sum;
}

static unsigned long long switches_of_all(const pid_t *pids, size_t count)
{
    unsigned long long sum = switches_of(getpid());

    for (size_t i = 0; i < count; i++)
        sum += switches_of(pids[i]);
    return sum;
}

/* There comes a time in which nothing at all happens. */
static void check_rests(struct pool *pool)
{
    pid_t pids[WORKERS + 1] = {0};
    size_t count = pool_worker_pids(pool, pids, WORKERS);
    unsigned long long before, after = 0;
    struct timespec window = {0, WINDOW_MS * 1000000L};

    if (count > 0 && family_parent(pids[0]) > 1)
        pids[count++] = family_parent(pids[0]); /* who forked them */
    for (int i = 0; i < TRIES; i++) {
        before = switches_of_all(pids, count);
        nanosleep(&window, NULL);
        after = switches_of_all(pids, count);
        if (before == after)
            return;
    }
    for (size_t i = 0; i < count; i++)
        print_error("process %ld: %llu switches so far\n", (long)pids[i], switches_of(pids[i]));
    print_error("the program's other threads: %llu\n", switches_of(getpid()));
    fail_msg("something wakes up all the time");
}

static struct pool *pool_of(unsigned flags)
{
    struct pool *pool = made(pool_create(WORKERS, &(struct pool_options){.flags = flags}));

    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 50, 0), NULL, 0, NULL), POOL_OK);
    return pool;
}

static void never_used(void **state)
{
    struct pool *pool = made(pool_create(WORKERS, NULL));

    (void)state;
    check_rests(pool);
    pool_destroy(pool);
}

static void after_use(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        struct pool *pool = pool_of(flags);
        check_rests(pool);
        pool_destroy(pool);
    }
}

static void after_a_crash(void **state)
{
    struct pool *pool = pool_of(0);

    (void)state;
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    check_rests(pool);
    pool_destroy(pool);
}

static int task_rests(struct pool_task *task)
{
    (void)task;
    atomic_fetch_add(&ground->gate[1].arrived, 1);
    while (true)
        pause();
    return 0;
}

/* Every worker sleeps in its task, more items wait behind them, nobody waits here. */
static void while_tasks_sleep(void **state)
{
    struct pool_job job = {.chunk = 10};
    struct pool *pool = pool_of(0);

    (void)state;
    struct pool_future *map = made(pool_map_async(pool, task_rests, pool_items(NULL, 100, 0), NULL, 0, &job));
    struct pool_future *single = made(pool_apply_async(pool, task_rests, NULL, 0, NULL));
    assert_true(gate_wait_arrived(&ground->gate[1], WORKERS));
    check_rests(pool);
    pool_future_free(map);
    pool_future_free(single);
    pool_destroy(pool);
}

/* One worker sleeps in its task with results finished before it; the others have nothing to do. */
static int task_sixth_rests(struct pool_task *task)
{
    return task->index == 5 ? task_rests(task) : 0;
}

static void while_one_task_sleeps(void **state)
{
    struct pool_job job = {.chunk = 20};
    struct pool *pool = pool_of(0);

    (void)state;
    struct pool_future *map = made(pool_map_async(pool, task_sixth_rests, pool_items(NULL, 20, 0), NULL, 0, &job));
    assert_true(gate_wait_arrived(&ground->gate[1], 1));
    check_rests(pool);
    pool_future_free(map);
    pool_destroy(pool);
}

static void while_an_iterator_is_half_read(void **state)
{
    const struct pool_result *result;
    struct pool *pool = pool_of(0);

    (void)state;
    struct pool_iterator *iterator = made(pool_imap(pool, task_nothing, pool_items(NULL, 1000, 0), NULL));
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
    check_rests(pool);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

static void after_the_end(void **state)
{
    struct pool *closed = pool_of(0), *terminated = pool_of(0);

    (void)state;
    assert_status(pool_close(closed), POOL_OK);
    assert_status(pool_terminate(terminated), POOL_OK);
    check_rests(closed);
    assert_status(pool_join(closed, POOL_FOREVER), POOL_OK);
    assert_status(pool_join(terminated, POOL_FOREVER), POOL_OK);
    check_rests(terminated);
    pool_destroy(closed);
    pool_destroy(terminated);
}

/* A task's child holds its worker's descriptors, and other workers have died: nobody spins over what is hung up. */
static int task_leaves_a_daemon(struct pool_task *task)
{
    pid_t pid = fork();

    if (pid == 0) {
        gate_pass(&ground->gate[2]);
        _exit(0);
    }
    return gate_wait_arrived(&ground->gate[2], 1) ? 0 : pool_fail(task, 1, "the child did not start");
}

static void while_a_tasks_child_lives(void **state)
{
    struct pool *pool = pool_of(0);

    (void)state;
    assert_status(pool_apply(pool, task_leaves_a_daemon, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    check_rests(pool);
    gate_open(&ground->gate[2]);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(never_used),
        PROCESS_TEST(after_use),
        PROCESS_TEST(after_a_crash),
        PROCESS_TEST(while_tasks_sleep),
        PROCESS_TEST(while_one_task_sleeps),
        PROCESS_TEST(while_an_iterator_is_half_read),
        PROCESS_TEST(after_the_end),
        PROCESS_TEST(while_a_tasks_child_lives),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known() || UNDER_THREAD_SANITIZER) /* whose own thread wakes up all the time */
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
