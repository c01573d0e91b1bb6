/*
 * What a task leaves behind in a session of its own, its parent ended too, belongs to the worker (rule 19): that one
 * inherits it, and it is not taken for a dead neighbour's. Where the system has no subreapers it is nobody's, and outlives the pool: the
 * header says so.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* In ground->count: the orphan's number; who has inherited it, as the orphan saw it. */
enum { ORPHAN, HEIR };

static _Noreturn void live_as_orphan(pid_t parent)
{
    setsid();
    while (getppid() == parent)
        pause_briefly();
    atomic_store(&ground->count[HEIR], (int)getppid());
    atomic_store(&ground->count[ORPHAN], (int)getpid());
    for (;;)
        pause();
}

/* The process between the two is reaped here, so the orphan is nobody's that lives but its heir's. */
static int task_leaves_an_orphan(struct pool_task *task)
{
    int status;
    pid_t between = fork(), own = getpid();

    if (between == 0) {
        setsid();
        own = getpid();
        pid_t pid = fork();
        if (pid == 0)
            live_as_orphan(own);
        _exit(pid > 0 ? 0 : 1);
    }
    if (between < 0 || waitpid(between, &status, 0) != between || status != 0)
        return pool_fail(task, 1, "no process between");
    if (!counter_wait(&ground->count[ORPHAN], 1))
        return pool_fail(task, 2, "no orphan");
    return pool_return(task, &own, sizeof own);
}

static pid_t orphan(void)
{
    return (pid_t)atomic_load(&ground->count[ORPHAN]);
}

/* Its own worker stands at the gate, and the tasks between go to the other one. */
static void it_outlives_its_neighbours(void **state)
{
    pid_t heir;
    struct pool_future *busy;

    (void)state;
    if (!FAMILY_FOLLOWS_SESSIONS)
        skip();
    struct pool *pool = made(pool_create(2, NULL));
    assert_status(pool_apply(pool, task_leaves_an_orphan, NULL, 0, &heir, sizeof heir, NULL), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[HEIR]), (int)heir);
    assert_int_equal(family_parent(orphan()), heir);
    for (int deaths = 0; deaths < 6; deaths++) {
        pid_t victim = 0;
        gate_shut(&ground->gate[0]);
        busy = start_gated(pool, 0, 1, NULL); /* at one of the two, so that the next is at the other */
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        assert_status(pool_apply(pool, task_pid, NULL, 0, &victim, sizeof victim, NULL), POOL_OK);
        if (victim != heir) {
            assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
            assert_true(family_gone(victim)); /* reaped, and what is taken for its own has been killed before */
        }
        gate_open(&ground->gate[0]);
        release(&busy, 1);
        assert_true(family_lives(orphan()));
        assert_int_equal(family_parent(orphan()), heir);
    }
    pool_destroy(pool);
    assert_true(family_gone(orphan()));
}

static void it_goes_with_its_worker(void **state)
{
    pid_t heir;

    (void)state;
    if (!FAMILY_FOLLOWS_SESSIONS)
        skip();
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_leaves_an_orphan, NULL, 0, &heir, sizeof heir, NULL), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[HEIR]), (int)heir);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_true(family_gone(orphan()));
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

/* Elsewhere it is left to itself, and does no harm: the worker's death and the pool's end are told though it has their descriptors. */
static void it_is_nobodys(void **state)
{
    pid_t heir;

    (void)state;
    if (FAMILY_FOLLOWS_SESSIONS)
        skip();
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_leaves_an_orphan, NULL, 0, &heir, sizeof heir, NULL), POOL_OK);
    assert_int_not_equal(atomic_load(&ground->count[HEIR]), (int)heir);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
    assert_true(family_lives(orphan()));
    assert_int_equal(kill(orphan(), SIGKILL), 0);
    assert_true(family_gone(orphan()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(it_outlives_its_neighbours),
        PROCESS_TEST(it_goes_with_its_worker),
        PROCESS_TEST(it_is_nobodys),
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
