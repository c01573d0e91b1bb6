// A task that lets an exception out. The program's main would catch it, and each worker has a copy of that main on its stack.
#include <procpool.h>

#include <cstdio>
#include <stdexcept>
#include <unistd.h>

static int task_throws(pool_task *task)
{
    if (task->index % 2 == 0)
        throw std::runtime_error("out of the task");
    return pool_return(task, &task->index, sizeof task->index);
}

static int task_catches(pool_task *task)
{
    try {
        throw std::runtime_error("inside");
    } catch (const std::exception &exception) {
        return pool_fail(task, 7, "caught %s", exception.what());
    }
}

static int throw_at_the_start(void **, void *)
{
    throw std::runtime_error("out of the initializer");
}

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            std::fprintf(stderr, "%s:%d: %s; pool_error(): %s\n", __FILE__, __LINE__, #condition, pool_error()); \
            return 1; \
        } \
    } while (0)

static int run()
{
    enum { ITEMS = 10 };
    std::size_t out[ITEMS] = {};
    pool_status statuses[ITEMS];
    pool_job job = {};
    pool_options options = {};
    const pool_result *result;

    pool *workers = pool_create(2, NULL);
    CHECK(workers != NULL);
    job.keep_going = true;
    job.statuses = statuses;
    CHECK(pool_map(workers, task_throws, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job) == POOL_CRASHED);
    for (std::size_t i = 0; i < ITEMS; i++)
        CHECK(i % 2 == 0 ? statuses[i] == POOL_CRASHED : statuses[i] == POOL_OK && out[i] == i);
    CHECK(pool_apply(workers, task_catches, NULL, 0, NULL, 0, NULL) == POOL_FAILED);
    pool_destroy(workers);

    options.initializer = throw_at_the_start;
    workers = pool_create(1, &options);
    CHECK(workers != NULL);
    pool_future *future = pool_apply_async(workers, task_catches, NULL, 0, NULL);
    CHECK(future != NULL && pool_future_get(future, 20000, &result) == POOL_BROKEN);
    pool_future_free(future);
    pool_destroy(workers);
    return 0;
}

int main()
{
    try {
        return run();
    } catch (...) {
        std::fprintf(stderr, "caught in main\n");
        for (;;)
            pause();
    }
}
