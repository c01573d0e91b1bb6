/*
 * Descriptors: none of ours is seen by a program that is exec'd, by a worker that is not its own, or left over where making a pool fails;
 * and a program without stdin, or with thousands of files, has a pool like any other.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIST_ROOM 8192

static const char *own_path;

/* What this program does when it is run with "--list": its open descriptors, one number after the other. */
static int list_descriptors(void)
{
    for (int fd = 0; fd < 8192; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("%d ", fd);
    return 0;
}

/* The list as a program sees it that is run by fork and exec now. */
static void exec_lister(char *list)
{
    int ends[2], status;
    size_t length = 0;
    ssize_t got;

    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(own_path, own_path, "--list", (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    close(ends[1]);
    while ((got = read(ends[0], list + length, LIST_ROOM - 1 - length)) > 0)
        length += (size_t)got;
    list[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void none_is_inherited_over_exec(void **state)
{
    char before[LIST_ROOM], now[LIST_ROOM];
    long value = 5, square;

    (void)state;
    exec_lister(before);
    assert_string_not_equal(before, "");
    struct pool *pool = made(pool_create(4, NULL));
    struct pool *other = made(pool_create(2, &(struct pool_options){.flags = POOL_NO_THREAD}));
    exec_lister(now);
    assert_string_equal(now, before);
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(other, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
    exec_lister(now);
    assert_string_equal(now, before);
    pool_destroy(pool);
    pool_destroy(other);
}

struct crashing {
    struct pool *pool;
    atomic_bool  stop;
};

static void *crash_all_the_time(void *argument)
{
    struct crashing *crashing = argument;

    while (!atomic_load(&crashing->stop))
        pool_apply(crashing->pool, task_killed, NULL, 0, NULL, 0, NULL);
    return NULL;
}

/* The same while workers come and go, so that their pipes are made at the very moment of the fork. */
static void none_is_inherited_while_workers_are_replaced(void **state)
{
    char before[LIST_ROOM], now[LIST_ROOM];
    struct crashing crashing = {.pool = NULL};
    pthread_t threads[2];

    (void)state;
    exec_lister(before);
    crashing.pool = made(pool_create(2, NULL));
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, crash_all_the_time, &crashing), 0);
    for (int i = 0; i < 100; i++) {
        exec_lister(now);
        assert_string_equal(now, before);
    }
    atomic_store(&crashing.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pool_destroy(crashing.pool);
}

static int task_counts_descriptors(struct pool_task *task)
{
    int count = 0;

    for (int fd = 0; fd < 4096; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return pool_return(task, &count, sizeof count);
}

static int count_in_a_worker(struct pool *pool)
{
    int count = 0;

    assert_status(pool_apply(pool, task_counts_descriptors, NULL, 0, &count, sizeof count, NULL), POOL_OK);
    return count;
}

/* A worker has the program's descriptors and two or so of its own: not its neighbours', however many have come and gone. */
static void workers_do_not_collect_them(void **state)
{
    (void)state;
    int own = audit_descriptors();
    struct pool *single = made(pool_create(1, NULL));
    int alone = count_in_a_worker(single);
    assert_in_range(alone, own, own + 4);
    struct pool *pool = made(pool_create(8, NULL));
    for (int i = 0; i < 40; i++) {
        assert_in_range(count_in_a_worker(pool), alone, alone + 1);
        if (i % 2)
            assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    for (int i = 0; i < 20; i++)
        assert_status(pool_apply(single, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_int_equal(count_in_a_worker(single), alone);
    pool_destroy(single);
    pool_destroy(pool);
}

/* ---- a program without standard streams */

static unsigned closed_streams; /* the bit of each */

/* Writes to those streams that are closed: it may land nowhere, and least of all in what the library opened under the same number. */
static int task_prints_and_squares(struct pool_task *task)
{
    char byte;

    if (closed_streams & 1u << STDOUT_FILENO) {
        printf("this goes nowhere\n");
        fflush(stdout);
        if (write(STDOUT_FILENO, "rubbish", 7) == 7)
            return pool_fail(task, 1, "stdout is open");
    }
    if (closed_streams & 1u << STDERR_FILENO) {
        fprintf(stderr, "nor does this\n");
        if (write(STDERR_FILENO, "rubbish", 7) == 7)
            return pool_fail(task, 2, "stderr is open");
    }
    if (read(STDIN_FILENO, &byte, 1) > 0)
        return pool_fail(task, 3, "stdin is not at its end");
    return task_square(task);
}

/* 0, or what went wrong: the numbers are exit statuses, as there may be no stderr to say it. */
static int use_without_streams(struct pool *pool)
{
    long items[50], squares[50];

    for (long i = 0; i < 50; i++)
        items[i] = i;
    for (int round = 0; round < 2; round++) {
        if (pool_map(pool, task_prints_and_squares, POOL_ARRAY(items), squares, sizeof squares[0], NULL) != POOL_OK)
            return 2;
        for (long i = 0; i < 50; i++)
            if (squares[i] != i * i)
                return 3;
        if (pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) != POOL_CRASHED)
            return 4;
    }
    return 0;
}

static int host_without_streams(void *context)
{
    const unsigned *which = context;

    closed_streams = *which;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (closed_streams & 1u << fd)
            close(fd);
    struct pool *pool = pool_create(2, NULL);
    if (!pool)
        return 1;
    int status = use_without_streams(pool);
    /* what the program opens now takes the free numbers, and must not become a part of the pool */
    int file = open("/dev/null", O_WRONLY);
    if (file < 0 || write(file, "rubbish", 7) != 7)
        return 6;
    if (status == 0)
        status = use_without_streams(pool);
    pool_destroy(pool);
    return status;
}

static void without_standard_streams(void **state)
{
    (void)state;
    for (unsigned which = 1; which < 1u << 3; which++) {
        int status = side_host_run(host_without_streams, &which);
        if (status != 0)
            fail_msg("with the streams 0x%x closed: step %d", which, status);
    }
}

/* Standard streams closed after the pool was made: what takes their numbers is not ours. */
static int host_closes_streams_later(void *context)
{
    (void)context;
    struct pool *pool = pool_create(2, NULL);
    if (!pool)
        return 1;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    int status = use_without_streams(pool);
    pool_destroy(pool);
    return status;
}

static void streams_closed_later(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_closes_streams_later, NULL), 0);
}

/* ---- too few, and very many */

static int host_with_few_descriptors(void *context)
{
    struct rlimit limit;
    bool worked = false;

    (void)context;
    int used = audit_descriptors();
    SIDE_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (rlim_t room = 3; room < 120 && !worked; room++) {
        limit.rlim_cur = room;
        SIDE_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        struct pool *pool = pool_create(4, NULL);
        if (pool) {
            long value = 3, square = 0;
            worked = true;
            SIDE_CHECK(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL) == POOL_OK);
            SIDE_CHECK(square == 9);
        } else {
            SIDE_CHECK(errno == EMFILE);
            SIDE_CHECK(pool_error()[0] != '\0');
        }
        pool_destroy(pool);
        limit.rlim_cur = 200;
        SIDE_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        SIDE_CHECK(audit_descriptors() == used);
    }
    SIDE_CHECK(worked);
    return 0;
}

static void too_few_descriptors(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_with_few_descriptors, NULL), 0);
}

/* Descriptors run out while the pool is at work: no worker can be replaced until there is room again. */
static int host_runs_out(void *context)
{
    struct rlimit limit;
    int files[256];
    int count = 0;
    long value = 3, square = 0;

    (void)context;
    SIDE_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 128;
    SIDE_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    while (count < 256 && (files[count] = open("/dev/null", O_RDONLY)) >= 0)
        count++;
    SIDE_CHECK(errno == EMFILE);
    for (int i = 0; i < 4; i++)
        SIDE_CHECK(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL) == POOL_OK);
    struct pool_future *futures[4];
    for (int i = 0; i < 4; i++) {
        futures[i] = pool_apply_async(pool, i < 2 ? task_killed : task_square, &value, sizeof value, NULL);
        SIDE_CHECK(futures[i]);
    }
    for (int i = 0; i < 2; i++)
        SIDE_CHECK(pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL}) == POOL_CRASHED);
    while (count > 0)
        close(files[--count]);
    for (int i = 2; i < 4; i++)
        SIDE_CHECK(pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL}) == POOL_OK);
    for (int i = 0; i < 4; i++)
        pool_future_free(futures[i]);
    pool_destroy(pool);
    return 0;
}

static void running_out_of_descriptors(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_runs_out, NULL), 0);
}

static int host_with_many_files(void *context)
{
    struct rlimit limit;

    (void)context;
    SIDE_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 3000 < limit.rlim_max ? 3000 : limit.rlim_max;
    if (limit.rlim_cur < 3000 || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 77;
    for (int i = 0; i < 2000; i++)
        SIDE_CHECK(open("/dev/null", O_RDONLY) >= 0);
    struct pool *pool = pool_create(4, NULL);
    SIDE_CHECK(pool);
    for (long i = 0; i < 20; i++) {
        long square = 0;
        SIDE_CHECK(pool_apply(pool, task_square, &i, sizeof i, &square, sizeof square, NULL) == POOL_OK);
        SIDE_CHECK(square == i * i);
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    }
    pool_destroy(pool);
    return 0;
}

static void thousands_of_files(void **state)
{
    (void)state;
    int status = side_host_run(host_with_many_files, NULL);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(none_is_inherited_over_exec),
        PROCESS_TEST(none_is_inherited_while_workers_are_replaced),
        PROCESS_TEST(workers_do_not_collect_them),
        PROCESS_TEST(without_standard_streams),
        PROCESS_TEST(streams_closed_later),
        PROCESS_TEST(too_few_descriptors),
        PROCESS_TEST(running_out_of_descriptors),
        PROCESS_TEST(thousands_of_files),
    };

    if (argc > 1 && strcmp(argv[1], "--list") == 0)
        return list_descriptors();
    own_path = argv[0];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
