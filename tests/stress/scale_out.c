/*
 * Much of everything: a thousand workers in a program with thousands of files, millions of tasks that wait, many threads that submit against a
 * limit. At PROCPOOL_SCALE=1 a tenth of what is promised, so that small machines can do it; PROCPOOL_SCALE=10 is the whole.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/scale.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77 };

/* ---- many workers, large descriptor numbers */

/* Each item notes its worker's seat; all of them meet, so that every worker must have one. */
static int task_meets_all(struct pool_task *task)
{
    int seat = pool_worker_index();
    unsigned workers;

    memcpy(&workers, task->shared, sizeof workers);
    atomic_fetch_add(&ground->started[seat], 1);
    atomic_fetch_add(&ground->count[0], 1);
    while (atomic_load(&ground->count[0]) < (int)workers)
        pause_briefly();
    return pool_return(task, &task->index, sizeof task->index);
}

static void open_files(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        SIDE_CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static int host_with_many_workers(void *context)
{
    unsigned workers = *(const unsigned *)context, files = 5100;
    struct pool_options options = {.max_workers = workers};
    struct pool_job job = {.chunk = 1, .shared = &workers, .shared_size = sizeof workers};
    rlim_t wanted = files + 4 * workers + 200;
    struct rlimit limit;

    alarm(STRESS_SECONDS); /* instead of a side host's usual time */
    SIDE_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < wanted && getuid() == 0)
        limit.rlim_max = wanted;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return SKIPPED;
    open_files(files);
    int64_t start = time_now_ms();
    struct pool *pool = pool_create(workers, &options);
    if (!pool && errno == EAGAIN)
        return SKIPPED; /* so many processes may not be */
    SIDE_CHECK(pool);
    int64_t made_after = time_now_ms() - start;
    size_t *out = calloc(workers, sizeof *out);
    SIDE_CHECK(out);
    SIDE_CHECK(pool_map(pool, task_meets_all, pool_items(NULL, workers, 0), out, sizeof *out, &job) == POOL_OK);
    for (unsigned i = 0; i < workers; i++) {
        SIDE_CHECK(out[i] == i);
        SIDE_CHECK(atomic_load(&ground->started[i]) == 1);
    }
    int64_t met_after = time_now_ms() - start;
    for (int i = 0; i < 20; i++) /* and their successors have large numbers too */
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_map(pool, task_nothing, pool_items(NULL, 20000, 0), NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(pool_close(pool) == POOL_OK);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
    pool_destroy(pool);
    free(out);
    print_message("    %u workers: made after %ld ms, all had run after %ld ms, gone after %ld ms\n", workers,
                  (long)made_after, (long)met_after, (long)(time_now_ms() - start));
    return 0;
}

static int end_of_slow(pid_t pid)
{
    int64_t end = time_now_ms() + STRESS_SECONDS * 900;

    while (time_now_ms() < end) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == pid)
            break;
        pause_briefly();
    }
    return side_host_end(pid);
}

static void many_workers(void **state)
{
    size_t wanted = scaled(100);
    unsigned workers = wanted < 1000 ? (unsigned)wanted : 1000;

    (void)state;
    stress_begin();
    int status = end_of_slow(side_host_start(host_with_many_workers, &workers));
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
    assert_true(audit_wait_alone(10000));
}

/* ---- many tasks that wait */

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t available_bytes(void)
{
    unsigned long kilobytes = 0;
    char line[256];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lu", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* However long it takes until the gate is opened. */
static int task_rests(struct pool_task *task)
{
    (void)task;
    atomic_fetch_add(&ground->gate[0].arrived, 1);
    while (!atomic_load(&ground->gate[0].opened))
        pause_briefly();
    return 0;
}

static void occupy_for_long(struct pool *pool, struct pool_future **futures, int workers)
{
    gate_shut(&ground->gate[0]);
    for (int i = 0; i < workers; i++)
        futures[i] = made(pool_apply_async(pool, task_rests, NULL, 0, NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], workers));
}

enum { BYTES_OF_A_TASK = 1024 }; /* more than one with a small argument may take */

static void many_single_tasks(void **state)
{
    size_t count = scaled(1000000);
    struct pool_future **futures = made(calloc(count, sizeof *futures)), *busy[2];
    struct pool_stats stats;

    (void)state;
    stress_begin();
    if (available_bytes() > 0 && available_bytes() < count * BYTES_OF_A_TASK) {
        free(futures);
        skip();
    }
    struct pool *pool = made(pool_create(2, NULL));
    occupy_for_long(pool, busy, 2);
    size_t before = resident_bytes();
    int64_t start = time_now_ms();
    for (size_t i = 0; i < count; i++) {
        long value = (long)(i % 1000);
        futures[i] = pool_apply_async(pool, task_square, &value, sizeof value, NULL);
        if (!futures[i])
            fail_msg("task %zu: %s", i, pool_error());
    }
    int64_t submitted = time_now_ms() - start;
    size_t each = (resident_bytes() - before) / count;
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_in_range(stats.queued, count - 4096, count);
    gate_open(&ground->gate[0]);
    release(busy, 2);
    for (size_t i = 0; i < count; i++) {
        long value = (long)(i % 1000), square = -1;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square), POOL_OK);
        assert_int_equal(square, value * value);
        pool_future_free(futures[i]);
    }
    print_message("    %zu tasks waited, %zu bytes each; submitted in %ld ms, done after %ld ms\n", count, each,
                  (long)submitted, (long)(time_now_ms() - start));
    if (!UNDER_ADDRESS_SANITIZER && !UNDER_THREAD_SANITIZER)
        assert_in_range(each, 1, BYTES_OF_A_TASK);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.queued + stats.running, 0);
    pool_destroy(pool);
    free(futures);
}

/* Cancelled from the middle outwards, and destroyed with the rest: none of them takes longer than the others. */
static void many_single_tasks_dropped(void **state)
{
    size_t count = scaled(200000);
    struct pool_future **futures = made(calloc(count, sizeof *futures)), *busy[2];

    (void)state;
    stress_begin();
    struct pool *pool = made(pool_create(2, NULL));
    occupy_for_long(pool, busy, 2);
    for (size_t i = 0; i < count; i++)
        futures[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    for (size_t i = 0; i < count / 4; i++) {
        if (count / 2 + i < count - 100) /* the last may be with a worker already */
            assert_status(pool_future_cancel(futures[count / 2 + i], false), POOL_OK);
        pool_future_free(futures[count / 2 - 1 - i]);
        futures[count / 2 - 1 - i] = NULL;
    }
    pool_destroy(pool);
    for (size_t i = 0; i < count; i++) {
        if (futures[i])
            assert_true(pool_future_ready(futures[i]));
        pool_future_free(futures[i]);
    }
    release(busy, 2);
    free(futures);
}

/* An array of items takes nothing for each until it is handed out. */
static void many_items_of_a_map(void **state)
{
    size_t count = scaled(1000000), before;
    struct pool *pool = made(pool_create(2, NULL));
    int64_t start = time_now_ms();

    (void)state;
    stress_begin();
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, 1000, 0), NULL, 0, NULL), POOL_OK);
    before = resident_bytes();
    struct pool_future *future = made(pool_map_async(pool, task_nothing, pool_items(NULL, count, 0), NULL, 0, NULL));
    assert_true(resident_bytes() < before + (1 << 20) + (UNDER_ADDRESS_SANITIZER || UNDER_THREAD_SANITIZER) * (64 << 20));
    assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
    pool_future_free(future);
    print_message("    %zu items in %ld ms\n", count, (long)(time_now_ms() - start));
    pool_destroy(pool);
}

/* ---- a queue with a limit, and many who fill it */

enum { PRODUCERS = 32, LIMIT = 1000 };

struct producer {
    struct pool *pool;
    pthread_t    thread;
    size_t       count, refused, wrong;
    bool         tries;
};

static void note_done(void *user, const struct pool_result *result)
{
    struct producer *producer = user;

    (void)producer;
    atomic_fetch_add(&ground->count[1], result->status == POOL_OK);
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    struct pool_job job = {.try_submit = producer->tries, .callback = note_done, .user = producer};

    for (size_t i = 0; i < producer->count;) {
        struct pool_future *future = pool_apply_async(producer->pool, task_nothing, NULL, 0, &job);
        if (!future && errno == EAGAIN && producer->tries) {
            producer->refused++;
            pause_briefly();
            continue;
        }
        producer->wrong += !future;
        pool_future_free(future);
        i++;
    }
    return NULL;
}

static atomic_bool watching;

static void *watch_queue(void *pool)
{
    struct pool_stats stats;
    size_t most = 0;

    while (atomic_load(&watching)) {
        if (pool_get_stats(pool, &stats) == POOL_OK && stats.queued > most)
            most = stats.queued;
        pause_briefly();
    }
    return (void *)most;
}

static void many_producers_and_a_limit(void **state)
{
    static struct producer producers[PRODUCERS];
    struct pool_options options = {.queue_limit = LIMIT};
    size_t each = scaled(3000), refused = 0;
    struct pool_future *busy[2];
    pthread_t watcher;
    void *most;

    (void)state;
    stress_begin();
    struct pool *pool = made(pool_create(2, &options));
    occupy_for_long(pool, busy, 2);
    atomic_store(&watching, true);
    assert_int_equal(pthread_create(&watcher, NULL, watch_queue, pool), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.pool = pool, .count = each, .tries = i % 4 == 3};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    struct pool_stats stats = {.queued = 0};
    while (stats.queued < LIMIT) /* it fills up while nobody takes anything */
        assert_status(pool_get_stats(pool, &stats), POOL_OK);
    gate_open(&ground->gate[0]);
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        assert_int_equal(producers[i].wrong, 0);
        refused += producers[i].refused;
    }
    atomic_store(&watching, false);
    pthread_join(watcher, &most);
    release(busy, 2);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[1]), PRODUCERS * each);
    print_message("    %d producers of %zu tasks: at most %zu waited; %zu refusals\n", PRODUCERS, each, (size_t)most,
                  refused);
    assert_in_range((size_t)most, 1, LIMIT);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(many_workers),
        PROCESS_TEST(many_single_tasks),
        PROCESS_TEST(many_single_tasks_dropped),
        PROCESS_TEST(many_items_of_a_map),
        PROCESS_TEST(many_producers_and_a_limit),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
