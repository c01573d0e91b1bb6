/*
 * The program closes all descriptors that it does not know, as daemons do, and ours with them; then it opens files, which get their numbers.
 * The pool is broken and says so; no byte of ours gets into the files, none of them is closed, and nobody waits for ever.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 3, FILES = 60, FIRST = 3, HIGHEST = 256 };

/* ---- the program's own files */

struct files {
    char  path[64];
    int   numbers[FILES];
    ino_t inode;
};

static void close_all(void)
{
    for (int fd = FIRST; fd < HIGHEST; fd++)
        close(fd);
}

/* All of them are the same, empty file: a byte in any shows in all. */
static void open_files(struct files *files)
{
    struct stat state;

    snprintf(files->path, sizeof files->path, "/tmp/procpool-files-XXXXXX");
    for (int i = 0; i < FILES; i++) {
        files->numbers[i] = i == 0 ? mkstemp(files->path) : open(files->path, O_RDWR);
        SIDE_CHECK(files->numbers[i] >= 0);
    }
    SIDE_CHECK(fstat(files->numbers[0], &state) == 0);
    files->inode = state.st_ino;
    unlink(files->path);
}

static void check_files(const struct files *files)
{
    for (int i = 0; i < FILES; i++) {
        struct stat state;
        SIDE_CHECK(fstat(files->numbers[i], &state) == 0);
        SIDE_CHECK(state.st_ino == files->inode);
        SIDE_CHECK(state.st_size == 0);
        SIDE_CHECK((fcntl(files->numbers[i], F_GETFL) & O_NONBLOCK) == 0);
    }
}

/* ---- what is done with the pool then */

static void use_apply(struct pool *pool)
{
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_BROKEN);
    SIDE_CHECK(strstr(pool_error(), "descriptors"));
}

static void use_future(struct pool *pool)
{
    const struct pool_result *result = NULL;
    struct pool_future *future = pool_apply_async(pool, task_nothing, NULL, 0, NULL);

    if (future) {
        SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &result) == POOL_BROKEN);
        SIDE_CHECK(result && result->status == POOL_BROKEN);
    } else {
        SIDE_CHECK(errno == EPIPE);
    }
    pool_future_free(future);
}

static void use_map(struct pool *pool)
{
    static long items[1000], squares[1000];

    SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_BROKEN);
}

static void use_iterator(struct pool *pool)
{
    const struct pool_result *result;
    struct pool_iterator *iterator = pool_imap(pool, task_nothing, pool_items(NULL, 100, 0), NULL);
    enum pool_status status = POOL_BROKEN;

    while (iterator && (status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK)
        SIDE_CHECK(result->status == POOL_BROKEN);
    SIDE_CHECK(status == POOL_BROKEN || status == POOL_END);
    pool_iterator_free(iterator);
}

static void use_close_and_join(struct pool *pool)
{
    pool_close(pool);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
}

static void use_terminate(struct pool *pool)
{
    SIDE_CHECK(pool_terminate(pool) == POOL_OK);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
}

static void use_stop_and_resize(struct pool *pool)
{
    pool_resize(pool, WORKERS + 2);
    pool_stop(pool);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
}

static void use_nothing(struct pool *pool)
{
    (void)pool;
}

/* A child has handlers of ours run in it, which close what they take for the pool's. */
static void use_fork(struct pool *pool)
{
    int status;
    struct files files;

    (void)pool;
    open_files(&files);
    pid_t pid = fork();
    if (pid == 0) {
        check_files(&files);
        _exit(0);
    }
    SIDE_CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    SIDE_CHECK(status == 0);
    check_files(&files);
    for (int i = 0; i < FILES; i++)
        close(files.numbers[i]);
}

static void use_another_pool(struct pool *pool)
{
    long items[50], squares[50];
    struct pool *other = pool_create(WORKERS, NULL);

    SIDE_CHECK(other);
    for (long i = 0; i < 50; i++)
        items[i] = i;
    SIDE_CHECK(pool_map(other, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
    use_future(pool);
    SIDE_CHECK(pool_map(other, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
    for (long i = 0; i < 50; i++)
        SIDE_CHECK(squares[i] == i * i);
    pool_destroy(pool);
    SIDE_CHECK(pool_map(other, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
    SIDE_CHECK(pool_apply(other, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_apply(other, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    pool_destroy(other);
}

static void (*const uses[])(struct pool *pool) = {
    use_apply,          use_future,    use_map,             use_iterator, use_nothing,
    use_close_and_join, use_terminate, use_stop_and_resize, use_fork,
};
enum { USES = sizeof uses / sizeof uses[0] };

/* ---- the program */

struct scene {
    void (*use)(struct pool *pool);
    unsigned flags;
    bool     busy;  /* workers are in tasks, and more wait */
    bool     files; /* opened afterwards */
    bool     ends;  /* `use` has destroyed the pool */
};

static int host(void *context)
{
    const struct scene *scene = context;
    struct files files;
    struct pool_future *future = NULL;
    pid_t pids[WORKERS] = {0};
    struct pool *pool = pool_create(WORKERS, &(struct pool_options){.flags = scene->flags});

    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_nothing, pool_items(NULL, 100, 0), NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(pool_worker_pids(pool, pids, WORKERS) == WORKERS);
    if (scene->busy) {
        future = pool_map_async(pool, task_square_behind_gate_0, pool_items(NULL, 20, 0), NULL, 0, NULL);
        SIDE_CHECK(future);
        while (atomic_load(&ground->gate[0].arrived) < WORKERS)
            SIDE_CHECK(pool_future_wait(future, 1) == POOL_TIMEOUT);
    }
    close_all();
    if (scene->files)
        open_files(&files);
    scene->use(pool);
    if (future && !scene->ends) {
        enum pool_status status = pool_future_wait(future, POOL_FOREVER);
        SIDE_CHECK(status == POOL_OK);
    }
    if (!scene->ends)
        pool_destroy(pool);
    pool_future_free(future);
    if (scene->files)
        check_files(&files);
    SIDE_CHECK(family_all_gone(pids, WORKERS));
    return 0;
}

static void play(const struct scene *scene, size_t number)
{
    ground_make();
    int status = side_host_run(host, (void *)(uintptr_t)scene);
    if (status != 0)
        fail_msg("use %zu, flags %u, %s, %s: %d", number, scene->flags, scene->busy ? "busy" : "idle",
                 scene->files ? "with files" : "without", status);
    assert_true(audit_wait_alone(FAMILY_MS));
}

static void play_all(bool files)
{
    for (size_t i = 0; i < USES; i++)
        for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD)
            for (int busy = 0; busy < 2; busy++)
                play(&(struct scene){.use = uses[i], .flags = flags, .busy = busy, .files = files}, i);
}

static void closed(void **state)
{
    (void)state;
    play_all(false);
}

static void closed_and_taken_by_files(void **state)
{
    (void)state;
    play_all(true);
}

static void closed_and_taken_by_another_pool(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD)
        for (int busy = 0; busy < 2; busy++)
            play(&(struct scene){.use = use_another_pool, .flags = flags, .busy = busy, .ends = true}, 99);
}

/* ---- one of them only, by mistake */

struct mistake {
    int      number;
    unsigned flags;
};

static int host_that_closes_one(void *context)
{
    const struct mistake *mistake = context;
    char path[] = "/tmp/procpool-files-XXXXXX";
    struct stat state;
    struct pool *pool = pool_create(WORKERS, &(struct pool_options){.flags = mistake->flags});

    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_nothing, pool_items(NULL, 100, 0), NULL, 0, NULL) == POOL_OK);
    int file = mkstemp(path);
    SIDE_CHECK(file >= 0);
    unlink(path);
    if (fcntl(mistake->number, F_GETFD) < 0 || mistake->number == file)
        return 0; /* none of the pool's */
    SIDE_CHECK(dup2(file, mistake->number) == mistake->number);
    for (int i = 0; i < 4; i++) {
        struct pool_future *futures[WORKERS];
        for (int j = 0; j < WORKERS; j++)
            futures[j] = pool_apply_async(pool, task_pid, NULL, 0, NULL);
        for (int j = 0; j < WORKERS; j++) {
            /* a worker whose results are not heard any more may be at work for all that one knows */
            if (futures[j])
                pool_future_wait(futures[j], 5);
            pool_future_free(futures[j]);
        }
    }
    pool_destroy(pool);
    SIDE_CHECK(fstat(file, &state) == 0);
    SIDE_CHECK(state.st_size == 0);
    return 0;
}

static void one_closed_and_taken_by_a_file(void **state)
{
    (void)state;
    for (int number = FIRST; number < FIRST + 6 + 5 * WORKERS; number++) {
        for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
            struct mistake mistake = {.number = number, .flags = flags};
            int status = side_host_run(host_that_closes_one, &mistake);
            if (status != 0)
                fail_msg("descriptor %d, flags %u: %d", number, flags, status);
            assert_true(audit_wait_alone(FAMILY_MS));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(closed),
        PROCESS_TEST(closed_and_taken_by_files),
        PROCESS_TEST(closed_and_taken_by_another_pool),
        PROCESS_TEST(one_closed_and_taken_by_a_file),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known() || UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER) /* which have descriptors of their own */
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
