/*
 * Processes that tasks fork: they hold up no result, do not outlive their worker, and one that returns from the task function in the child
 * does not become a second worker.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum manner { IN_GROUP, OWN_GROUP, OWN_SESSION, DAEMON };

struct order {
    enum manner manner;
    int         slot;   /* in ground->count: where the child leaves its process number */
    int         signal; /* what the task does to itself after the fork; 0: nothing */
    bool        stays;  /* the task then waits at gate 0 */
};

static void sleep_for_ever(int slot)
{
    atomic_store(&ground->count[slot], (int)getpid());
    for (;;)
        pause();
}

static int task_forks(struct pool_task *task)
{
    struct order order;
    pid_t own = getpid();

    memcpy(&order, task->arg, sizeof order);
    pid_t pid = fork();
    if (pid < 0)
        return pool_fail(task, 1, "fork failed");
    if (pid == 0) {
        if (order.manner == OWN_GROUP)
            setpgid(0, 0);
        if (order.manner >= OWN_SESSION)
            setsid();
        if (order.manner == DAEMON && fork() > 0)
            _exit(0);
        sleep_for_ever(order.slot);
    }
    if (!counter_wait(&ground->count[order.slot], 1))
        return pool_fail(task, 2, "the child did not start");
    if (order.signal)
        raise(order.signal);
    if (order.stays && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 3, "the gate was not opened");
    return pool_return(task, &own, sizeof own);
}

static pid_t sleeper(int slot)
{
    return (pid_t)atomic_load(&ground->count[slot]);
}

static struct order order_of(enum manner manner, int slot, int signal)
{
    struct order order;

    memset(&order, 0, sizeof order);
    order.manner = manner;
    order.slot = slot;
    order.signal = signal;
    return order;
}

/* Those who leave their worker's group are followed on some systems only. */
static enum manner last_manner(void)
{
    return FAMILY_FOLLOWS_SESSIONS ? DAEMON : IN_GROUP;
}

/* The result comes though the child holds all that it inherited, the worker works on, and the child goes when the worker does. */
static void task_leaves_a_child(void **state)
{
    (void)state;
    for (enum manner manner = IN_GROUP; manner <= last_manner(); manner++) {
        struct order order = order_of(manner, (int)manner, 0);
        struct pool *pool = made(pool_create(1, NULL));
        pid_t worker, next;
        assert_status(pool_apply(pool, task_forks, &order, sizeof order, &worker, sizeof worker, NULL), POOL_OK);
        assert_status(pool_apply(pool, task_pid, NULL, 0, &next, sizeof next, NULL), POOL_OK);
        assert_int_equal(next, worker);
        assert_true(family_lives(sleeper(order.slot)));
        if (manner % 2) {
            assert_status(pool_close(pool), POOL_OK);
            assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
            assert_true(family_gone(sleeper(order.slot)));
        }
        pool_destroy(pool);
        assert_true(family_gone(sleeper(order.slot)));
    }
}

/* The worker's death is told though the child keeps its pipes open, and the child goes with it while the pool lives on. */
static void task_dies_and_leaves_a_child(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (enum manner manner = IN_GROUP; manner <= last_manner(); manner++) {
        struct order order = order_of(manner, (int)manner, SIGKILL);
        assert_status(pool_apply(pool, task_forks, &order, sizeof order, NULL, 0, NULL), POOL_CRASHED);
        assert_true(family_gone(sleeper(order.slot)));
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    }
    pool_destroy(pool);
}

/* A worker's death takes its own grandchildren alone: those of its neighbour stay. */
static void a_neighbours_children_stay(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (enum manner manner = IN_GROUP; manner <= last_manner(); manner++) {
        struct order stays = order_of(manner, (int)manner, 0), dies = order_of(manner, (int)manner + 8, SIGSEGV);
        stays.stays = true;
        gate_shut(&ground->gate[0]);
        struct pool_future *neighbour = made(pool_apply_async(pool, task_forks, &stays, sizeof stays, NULL));
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        assert_status(pool_apply(pool, task_forks, &dies, sizeof dies, NULL, 0, NULL), POOL_CRASHED);
        assert_true(family_gone(sleeper(dies.slot)));
        assert_true(family_lives(sleeper(stays.slot)));
        gate_open(&ground->gate[0]);
        assert_status(pool_future_get(neighbour, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
        assert_true(family_lives(sleeper(stays.slot)));
        pool_future_free(neighbour);
    }
    pool_destroy(pool);
}

/* Terminate takes them too. */
static void terminated_with_children(void **state)
{
    enum { TASKS = 4 };
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    for (int i = 0; i < TASKS; i++) {
        struct order order = order_of(i % 2 ? last_manner() : IN_GROUP, i, 0);
        assert_status(pool_apply(pool, task_forks, &order, sizeof order, NULL, 0, NULL), POOL_OK);
    }
    assert_status(pool_terminate(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    for (int i = 0; i < TASKS; i++)
        assert_true(family_gone(sleeper(i)));
    pool_destroy(pool);
}

/* ---- the child returns */

static int task_returns_twice(struct pool_task *task)
{
    int status, value = 1;
    pid_t pid = fork();

    atomic_fetch_add(&ground->started[task->index], 1);
    if (pid < 0)
        return pool_fail(task, 1, "fork failed");
    if (pid == 0) {
        value = 666;
        return pool_return(task, &value, sizeof value);
    }
    /* the stranger ends, or this never comes back */
    if (waitpid(pid, &status, 0) != pid)
        return pool_fail(task, 2, "no child to wait for");
    return pool_return(task, &value, sizeof value);
}

static void the_child_returns_too(void **state)
{
    enum { ITEMS = 60 };
    int out[ITEMS];
    struct pool_stats stats;
    struct pool_job job = {.chunk = 20};
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    assert_status(pool_map(pool, task_returns_twice, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job), POOL_OK);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(out[i], 1);
        assert_int_equal(atomic_load(&ground->started[i]), 2); /* counted after the fork: by the task and its child */
    }
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.finished, ITEMS);
    assert_int_equal(stats.crashed, 0);
    assert_int_equal(stats.workers_lost, 0);
    pool_destroy(pool);
}

/* The same where the parent does not wait, and where the child fails or exits instead. */
static int task_child_fails(struct pool_task *task)
{
    pid_t pid = fork();
    long value = (long)task->index;

    if (pid == 0) {
        if (task->index % 3 == 0)
            exit(5);
        if (task->index % 3 == 1)
            return pool_fail(task, 7, "from the child");
        raise(SIGKILL);
    }
    return pid < 0 ? 1 : pool_return(task, &value, sizeof value);
}

static void the_child_fails_and_the_task_does_not(void **state)
{
    enum { ITEMS = 60 };
    long out[ITEMS];
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    assert_status(pool_map(pool, task_child_fails, pool_items(NULL, ITEMS, 0), out, sizeof out[0], NULL), POOL_OK);
    for (long i = 0; i < ITEMS; i++)
        assert_int_equal(out[i], i);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

/* ---- signals to groups, commands */

static int task_signals_its_group(struct pool_task *task)
{
    int number;

    memcpy(&number, task->arg, sizeof number);
    kill(0, number);
    pause();
    return 0;
}

/* kill(0, ...) reaches the worker's own group: not its neighbour, not this program, not the helper process. */
static void kill_0_stays_in_the_group(void **state)
{
    static const int numbers[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct pool_future *busy[2];
    struct pool *pool = made(pool_create(3, NULL));

    (void)state;
    occupy(pool, 0, busy, 2);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct pool_result *result;
        struct pool_future *future =
            made(pool_apply_async(pool, task_signals_its_group, &numbers[i], sizeof numbers[i], NULL));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CRASHED);
        assert_int_equal(result->code, numbers[i]);
        pool_future_free(future);
    }
    gate_open(&ground->gate[0]);
    for (int i = 0; i < 2; i++)
        assert_status(pool_future_get(busy[i], POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
    release(busy, 2);
    pool_destroy(pool);
}

static int task_runs_commands(struct pool_task *task)
{
    char line[100] = "";
    int status = system("exit 3");

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
        return pool_fail(task, 1, "system() gave %d", status);
    FILE *pipe = popen("echo hello", "r");
    if (!pipe || !fgets(line, sizeof line, pipe) || strcmp(line, "hello\n") != 0)
        return pool_fail(task, 2, "popen() gave \"%s\"", line);
    return pclose(pipe) == 0 ? 0 : pool_fail(task, 3, "pclose() failed");
}

static void commands_work(void **state)
{
    struct pool *pool = made(pool_create(2, NULL));

    (void)state;
    assert_status(pool_map(pool, task_runs_commands, pool_items(NULL, 10, 0), NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

static int task_becomes_a_command(struct pool_task *task)
{
    execlp("sh", "sh", "-c", "exit 9", (char *)NULL);
    return pool_fail(task, 1, "exec failed");
}

static void a_worker_becomes_a_command(void **state)
{
    const struct pool_result *result;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_becomes_a_command, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_EXITED);
    assert_int_equal(result->code, 9);
    pool_future_free(future);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(task_leaves_a_child),
        PROCESS_TEST(task_dies_and_leaves_a_child),
        PROCESS_TEST(a_neighbours_children_stay),
        PROCESS_TEST(terminated_with_children),
        PROCESS_TEST(the_child_returns_too),
        PROCESS_TEST(the_child_fails_and_the_task_does_not),
        PROCESS_TEST(kill_0_stays_in_the_group),
        PROCESS_TEST(commands_work),
        PROCESS_TEST(a_worker_becomes_a_command),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
