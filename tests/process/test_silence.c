/* The library says nothing by itself: not a byte on stdout or stderr, whatever happens, and nothing is written into the folder. */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int fails_to_start(void **unused, void *argument)
{
    (void)unused;
    return atomic_load((atomic_int *)argument) ? pool_fail(NULL, 3, "words for the program, not for the terminal") : 0;
}

static int task_ends_in_some_way(struct pool_task *task)
{
    static const int signals[] = {SIGSEGV, SIGABRT, SIGKILL, SIGTERM, SIGFPE};

    if (task->index % 7 == 6)
        return pool_fail(task, 4, "item %zu", task->index);
    if (task->index % 7 == 5)
        exit(9);
    raise(signals[task->index % 5]);
    return 0;
}

/* Runs in a folder of its own, with both streams in files there. */
static int silent_host(void *context)
{
    enum pool_status statuses[100];
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    atomic_int *broken = &ground->count[0];

    SIDE_CHECK(chdir(context) == 0);
    int streams = open("streams", O_CREAT | O_RDWR | O_APPEND, 0600), kept = dup(STDERR_FILENO);
    SIDE_CHECK(streams >= 0 && dup2(streams, STDOUT_FILENO) >= 0 && dup2(streams, STDERR_FILENO) >= 0);
    struct pool_options options = {.initializer = fails_to_start, .initializer_arg = broken};
    struct pool *pool = pool_create(2, &options);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_ends_in_some_way, pool_items(NULL, 100, 0), NULL, 0, &job) != POOL_OK);
    SIDE_CHECK(!pool_apply_async(pool, NULL, NULL, 0, NULL));
    SIDE_CHECK(pool_create(1, &(struct pool_options){.flags = 0x80}) == NULL);
    atomic_store(broken, 1);
    SIDE_CHECK(pool_apply(pool, task_ends_in_some_way, NULL, 0, NULL, 0, NULL) != POOL_OK);
    SIDE_CHECK(pool_map(pool, task_ends_in_some_way, pool_items(NULL, 100, 0), NULL, 0, NULL) != POOL_OK);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_BROKEN);
    pool_destroy(pool);
    struct stat state;
    SIDE_CHECK(fstat(streams, &state) == 0);
    dup2(kept, STDERR_FILENO);
    SIDE_CHECK(state.st_size == 0);
    return 0;
}

static void whatever_happens(void **state)
{
    char folder[] = "/tmp/procpool-silence-XXXXXX", path[64];
    struct dirent *entry;
    int files = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    int status = side_host_run(silent_host, folder);
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        files += entry->d_name[0] != '.';
    closedir(directory);
    snprintf(path, sizeof path, "%s/streams", folder);
    unlink(path);
    rmdir(folder);
    assert_int_equal(status, 0);
    assert_int_equal(files, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(whatever_happens),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
