/*
 * The pool's main promises in a program that needs nothing but libc, for systems and C libraries that have no test framework: every item
 * has one outcome and is started at most once while workers are killed at random, ends are told as they were, a loop and callbacks
 * hear of everything, and nothing is left behind.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS; before the first header */
#endif

#include "procpool.h"
#include "../support/sanitizer.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: not so: %s (pool_error: \"%s\")\n", __FILE__, __LINE__, #condition, pool_error()); \
            abort(); \
        } \
    } while (0)

enum { WORKERS = 4, ITEMS = 20000, SECONDS = 100 };

static atomic_int *starts; /* of each item, in memory that no death takes away */

static int task_counts(struct pool_task *task)
{
    long answer = (long)task->index * 3;

    atomic_fetch_add(&starts[task->index], 1);
    for (volatile int i = 0; i < 5000; i = i + 1) /* so that kills meet items that run */
        continue;
    return pool_return(task, &answer, sizeof answer);
}

static int task_ends(struct pool_task *task)
{
    int how;

    memcpy(&how, task->arg, sizeof how);
    if (how >= 2000)
        exit(how - 2000);
    if (how >= 1000)
        _exit(how - 1000);
    raise(how);
    return 0;
}

static int task_echo(struct pool_task *task)
{
    return pool_return(task, task->arg, task->size);
}

/* ---- a storm of kills */

struct storm {
    struct pool *pool;
    atomic_bool over;
    int kills;
};

static void *kill_workers(void *argument)
{
    struct storm *storm = argument;
    /* under that sanitizer a worker takes longer to start, and a pool whose workers never do is rightly POOL_BROKEN */
    const struct timespec pause = {.tv_nsec = UNDER_THREAD_SANITIZER ? 60000000 : 3000000};

    for (int i = 0; !atomic_load(&storm->over); i++) {
        pid_t pids[WORKERS] = {0};
        pool_worker_pids(storm->pool, pids, WORKERS);
        pid_t victim = pids[i % WORKERS];
        if (victim > 0 && kill(victim, SIGKILL) == 0)
            storm->kills++;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void check_storm(size_t chunk)
{
    static long answers[ITEMS];
    static enum pool_status statuses[ITEMS];
    struct pool_job job = {.chunk = chunk, .keep_going = true, .statuses = statuses};
    struct storm storm = {.pool = pool_create(WORKERS, NULL)};
    pthread_t killer;
    int crashed = 0;

    CHECK(storm.pool);
    memset((void *)starts, 0, ITEMS * sizeof *starts);
    CHECK(pthread_create(&killer, NULL, kill_workers, &storm) == 0);
    enum pool_status status =
        pool_map(storm.pool, task_counts, pool_items(NULL, ITEMS, 0), answers, sizeof answers[0], &job);
    atomic_store(&storm.over, true);
    pthread_join(killer, NULL);
    CHECK(status == POOL_OK || status == POOL_CRASHED);
    for (long i = 0; i < ITEMS; i++) {
        CHECK(statuses[i] == POOL_OK || statuses[i] == POOL_CRASHED);
        CHECK(atomic_load(&starts[i]) <= 1);
        CHECK(statuses[i] != POOL_OK || (atomic_load(&starts[i]) == 1 && answers[i] == i * 3));
        crashed += statuses[i] == POOL_CRASHED;
    }
    CHECK(crashed <= storm.kills);
    printf("    chunk %zu: %d kills, %d items crashed\n", chunk, storm.kills, crashed);
    pool_destroy(storm.pool);
}

/* ---- ends */

static void check_end(struct pool *pool, int how, enum pool_status status, int code)
{
    const struct pool_result *result;
    struct pool_future *future = pool_apply_async(pool, task_ends, &how, sizeof how, NULL);

    CHECK(future);
    CHECK(pool_future_get(future, POOL_FOREVER, &result) == status);
    CHECK(result->code == code);
    pool_future_free(future);
}

static void check_ends(void)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGABRT, SIGTERM, SIGINT};
    struct pool *pool = pool_create(2, NULL);

    CHECK(pool);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        check_end(pool, signals[i], POOL_CRASHED, signals[i]);
    for (int code = 0; code < 256; code += 51) {
        check_end(pool, 1000 + code, POOL_EXITED, code);
        check_end(pool, 2000 + code, POOL_EXITED, exit_code_told(code));
    }
    CHECK(pool_close(pool) == POOL_OK);
    CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
    pool_destroy(pool);
}

/* ---- a loop, callbacks, large payloads, imap */

static int calls;

static void count_call(void *user, const struct pool_result *result)
{
    (void)user;
    calls += result->status == POOL_OK;
}

static void check_loop(void)
{
    enum { SIZE = 3000000 };
    static char bytes[SIZE], copy[SIZE];
    struct pool_job job = {.callback = count_call};
    struct pool *pool = pool_create(2, &(struct pool_options){.flags = POOL_NO_THREAD});
    struct pollfd entry = {.fd = pool_fd(pool), .events = POLLIN};

    CHECK(pool && entry.fd >= 0);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i % 127);
    for (int round = 0; round < 5; round++) {
        struct pool_future *future = pool_apply_async(pool, task_echo, bytes, SIZE, &job);
        CHECK(future);
        while (!pool_future_ready(future)) {
            poll(&entry, 1, pool_next_timeout(pool));
            CHECK(pool_dispatch(pool) == POOL_OK);
        }
        CHECK(pool_future_read(future, 0, copy, SIZE) == POOL_OK);
        CHECK(memcmp(bytes, copy, SIZE) == 0);
        pool_future_free(future);
    }
    CHECK(calls == 5);
    pool_destroy(pool);
}

static void check_imap(void)
{
    const struct pool_result *result;
    struct pool *pool = pool_create(3, NULL);
    struct pool_iterator *iterator = pool ? pool_imap(pool, task_counts, pool_items(NULL, 5000, 0), NULL) : NULL;

    CHECK(iterator);
    for (size_t i = 0; i < 5000; i++) {
        CHECK(pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK);
        CHECK(result->status == POOL_OK && result->index == i);
    }
    CHECK(pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_END);
    pool_iterator_free(iterator);
    pool_destroy(pool);
}

/* ---- nothing is left behind */

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* The program dies while its workers hold this pipe: its end comes when all of them have gone. */
static void check_death_of_the_program(void)
{
    struct pollfd end;
    int ends[2], status;

    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct pool *pool = pool_create(3, NULL);
        CHECK(pool && pool_apply(pool, task_echo, "", 1, NULL, 0, NULL) == POOL_OK);
        raise(SIGKILL);
    }
    close(ends[1]);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    end.fd = ends[0];
    end.events = POLLIN;
    CHECK(poll(&end, 1, 20000) == 1 && (end.revents & POLLHUP) != 0);
    close(ends[0]);
}

int main(void)
{
    int descriptors = open_descriptors();

    alarm(SECONDS); /* a hang fails */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    starts = mmap(NULL, ITEMS * sizeof *starts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(starts != MAP_FAILED);
    check_storm(0);
    check_storm(1);
    check_storm(64);
    check_ends();
    check_loop();
    check_imap();
    for (int i = 0; i < 10; i++)
        check_death_of_the_program();
    CHECK(open_descriptors() == descriptors);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    return 0;
}
