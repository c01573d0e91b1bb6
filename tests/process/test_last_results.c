/*
 * Results that a worker has published count, though the program has not read them when the pool ends (rule 8,
 * invariant 6): at pool_terminate(), at pool_destroy(), and where the helper process is killed. The pools have no thread,
 * so nobody reads before. They count, too, where a read of what is there says "not now" once more (the library's own
 * reads go by the linker's --wrap).
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/descriptor.h"

enum { ITEMS = 4 };

enum ending { TERMINATE, DESTROY, KILL_ZYGOTE, ENDINGS };

static pid_t stutters; /* of this process's reads every other one is in vain; 0: of nobody's */

ssize_t __real_pool__read_some(int fd, void *data, size_t size);
ssize_t __wrap_pool__read_some(int fd, void *data, size_t size);
ssize_t __wrap_pool__read_some(int fd, void *data, size_t size)
{
    static bool vain;

    if (stutters == getpid() && (vain = !vain))
        return POOL__NOT_NOW;
    return __real_pool__read_some(fd, data, size);
}

static struct pool *make_quiet(void)
{
    struct pool *pool = made(pool_create(1, &(struct pool_options){.flags = POOL_NO_THREAD}));

    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    return pool;
}

static bool readable(struct pool *pool, int timeout_ms)
{
    struct pollfd entry = {.fd = pool_fd(pool), .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1;
}

/* Returns what the items that were not done must have become. */
static enum pool_status end_pool(struct pool *pool, enum ending ending)
{
    pid_t worker;

    switch (ending) {
    case TERMINATE:
        assert_status(pool_terminate(pool), POOL_OK);
        return POOL_TERMINATED;
    case DESTROY:
        pool_destroy(pool);
        return POOL_TERMINATED;
    default:
        assert_int_equal(pool_worker_pids(pool, &worker, 1), 1);
        pid_t zygote = family_parent(worker);
        kill(zygote, SIGKILL);
        assert_true(family_gone(zygote));
        return POOL_BROKEN;
    }
}

/* Its result lies in the pipe, which pool_fd() tells, and no call has read it. */
static void end_unread(bool stutter)
{
    for (enum ending ending = TERMINATE; ending < ENDINGS; ending++) {
        long value = 0;
        struct pool *pool = make_quiet();
        if (pool_fd(pool) < 0) { /* the portable build */
            pool_destroy(pool);
            skip();
        }
        gate_shut(&ground->gate[0]);
        struct pool_future *future = start_gated(pool, 0, 77, NULL);
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        for (int turns = 0; readable(pool, 0); turns++) { /* what the worker said before it began */
            assert_true(turns < 100);
            assert_status(pool_dispatch(pool), POOL_OK);
        }
        gate_open(&ground->gate[0]);
        assert_true(readable(pool, 5000));
        assert_false(pool_future_ready(future));
        stutters = stutter ? getpid() : 0;
        end_pool(pool, ending);
        stutters = 0;
        assert_status(pool_future_read(future, POOL_FOREVER, &value, sizeof value), POOL_OK);
        assert_int_equal(value, 77);
        pool_future_free(future);
        if (ending != DESTROY)
            pool_destroy(pool);
    }
}

static void in_the_pipe(void **state)
{
    (void)state;
    end_unread(false);
}

static void in_a_pipe_that_stutters(void **state)
{
    (void)state;
    end_unread(true);
}

/* All but the last return at once; that one stands at the gate, and the results before it lie on the board. */
static int task_last_waits(struct pool_task *task)
{
    long value = (long)task->index + 7;

    if (task->index == ITEMS - 1 && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 99, "the gate was never opened");
    return pool_return(task, &value, sizeof value);
}

static void on_the_board(void **state)
{
    (void)state;
    for (enum ending ending = TERMINATE; ending < ENDINGS; ending++) {
        enum pool_status statuses[ITEMS];
        long out[ITEMS] = {0};
        struct pool_job job = {.chunk = ITEMS, .keep_going = true, .statuses = statuses};
        struct pool *pool = make_quiet();
        gate_shut(&ground->gate[0]);
        struct pool_source in = pool_items(NULL, ITEMS, 0);
        struct pool_future *map = made(pool_map_async(pool, task_last_waits, in, out, sizeof out[0], &job));
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        enum pool_status rest = end_pool(pool, ending);
        assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
        for (int i = 0; i < ITEMS - 1; i++) {
            assert_status(statuses[i], POOL_OK);
            assert_int_equal(out[i], i + 7);
        }
        assert_status(statuses[ITEMS - 1], rest);
        pool_future_free(map);
        if (ending != DESTROY)
            pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(in_the_pipe),
        PROCESS_TEST(in_a_pipe_that_stutters),
        PROCESS_TEST(on_the_board),
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
