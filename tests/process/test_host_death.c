/*
 * When the program that made a pool dies, by whatever cause, everything that belonged to the pool dies too: helper process, workers, what
 * tasks forked, busy or idle, and though somebody else still holds the program's descriptors.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WORKERS = 3, MARKS = 32 };

enum work { IDLE, WAITING, SPINNING, DEAF, STOPPED, FORKED, DAEMONS, NESTED };
enum leave { KILLED, ABORTED, RETURNED, EXITED, EXITED_AT_ONCE, QUICK_EXIT, EXECED };

/* What a side host does, and what it tells in shared memory. */
struct scene {
    enum work    work;
    enum leave   leave;
    unsigned     flags;
    bool         helper;           /* fork a process that holds all descriptors and outlives the host */
    atomic_int   count;            /* of pids in `pids`: who must be gone when the host is */
    atomic_int   pids[MARKS];
    atomic_int   helper_pid;
    struct gate  ready;
};

static struct scene *scene;

static void tell_pid(pid_t pid)
{
    int at = atomic_fetch_add(&scene->count, 1);

    if (at < MARKS)
        atomic_store(&scene->pids[at], (int)pid);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* A child of the task's that lives on, in a session of its own where `leave_session`. */
static void fork_sleeper(bool leave_session)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (leave_session) {
            setsid();
            if (fork() > 0)
                _exit(0);
        }
        tell_pid(getpid());
        atomic_fetch_add(&scene->ready.arrived, 1);
        wait_for_ever();
    }
}

static int task_works(struct pool_task *task)
{
    sigset_t all;
    struct pool *inner;

    (void)task;
    tell_pid(getpid());
    switch (scene->work) {
    case IDLE:
        atomic_fetch_add(&scene->ready.arrived, 1);
        return 0;
    case DEAF:
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        break;
    case FORKED:
    case DAEMONS:
        fork_sleeper(scene->work == DAEMONS);
        wait_for_ever();
        break;
    case NESTED:
        scene->work = WAITING;
        inner = pool_create(2, NULL);
        if (!inner)
            return 1;
        pool_map(inner, task_works, pool_items(NULL, 2, 0), NULL, 0, NULL);
        return 1;
    default:
        break;
    }
    atomic_fetch_add(&scene->ready.arrived, 1);
    if (scene->work == STOPPED)
        raise(SIGSTOP);
    while (scene->work == SPINNING || scene->work == DEAF)
        ;
    wait_for_ever();
    return 0;
}

static void make_helper(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        atomic_store(&scene->helper_pid, (int)getpid());
        wait_for_ever();
    }
    while (atomic_load(&scene->helper_pid) == 0)
        pause_briefly();
}

static void tell_pool(struct pool *pool)
{
    pid_t pids[WORKERS] = {0};
    size_t count = pool_worker_pids(pool, pids, WORKERS);

    for (size_t i = 0; i < count && i < WORKERS; i++)
        tell_pid(pids[i]);
    if (count > 0 && family_parent(pids[0]) > 1)
        tell_pid(family_parent(pids[0])); /* the process that forked the workers */
}

/* The program: a pool, its work under way, and then the end that the scene asks for. */
static int host(void *context)
{
    struct pool_options options = {.flags = scene->flags};
    struct pool *pool = pool_create(WORKERS, &options);
    int busy = scene->work == NESTED ? 2 : WORKERS;

    (void)context;
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    tell_pool(pool);
    if (scene->helper)
        make_helper();
    struct pool_future *future = NULL;
    if (scene->work == NESTED)
        future = pool_apply_async(pool, task_works, NULL, 0, NULL);
    else if (scene->work != IDLE)
        future = pool_map_async(pool, task_works, pool_items(NULL, WORKERS, 0), NULL, 0, NULL);
    SIDE_CHECK(scene->work == IDLE || future);
    while (future && scene->flags == POOL_NO_THREAD && atomic_load(&scene->ready.arrived) < busy)
        SIDE_CHECK(pool_future_wait(future, 1) == POOL_TIMEOUT);
    SIDE_CHECK(scene->work == IDLE || gate_wait_arrived(&scene->ready, busy));
    gate_open(&scene->ready);
    switch (scene->leave) {
    case KILLED:
        wait_for_ever();
        break;
    case ABORTED:
        signal(SIGABRT, SIG_DFL);
        abort();
    case RETURNED:
        return 0;
    case EXITED:
        exit(0);
    case EXITED_AT_ONCE:
        _exit(0);
    case QUICK_EXIT:
        quick_exit(0);
    case EXECED:
        execlp("sh", "sh", "-c", "kill -STOP $$; exit 0", (char *)NULL);
        _exit(127);
    }
    return 1;
}

/* All that was told of is gone; says who is not. */
static void check_all_gone(void)
{
    int count = atomic_load(&scene->count);
    pid_t pids[MARKS];

    assert_in_range(count, 0, MARKS);
    for (int i = 0; i < count; i++)
        pids[i] = (pid_t)atomic_load(&scene->pids[i]);
    assert_true(family_all_gone(pids, (size_t)count));
}

static void play(enum work work, enum leave leave, bool helper, unsigned flags)
{
    memset((void *)scene, 0, sizeof *scene);
    scene->work = work;
    scene->leave = leave;
    scene->helper = helper;
    scene->flags = flags;
    pid_t pid = side_host_start(host, NULL);
    assert_true(counter_wait(&scene->ready.opened, 1));
    if (leave == KILLED)
        kill(pid, SIGKILL);
    if (leave == EXECED) { /* the host lives on as another program, which has no pool */
        check_all_gone();
        kill(pid, SIGKILL);
    }
    int end = side_host_end(pid);
    assert_int_equal(end, leave == KILLED || leave == EXECED ? 128 + SIGKILL : leave == ABORTED ? 128 + SIGABRT : 0);
    check_all_gone();
    if (helper) {
        assert_true(family_lives(
            (pid_t)atomic_load(&scene->helper_pid))); /* it was forked by the program, and is none of ours */
        kill((pid_t)atomic_load(&scene->helper_pid), SIGKILL);
    }
    assert_true(audit_wait_alone(FAMILY_MS));
}

static int scene_make(void **state)
{
    (void)state;
    if (!scene)
        scene = shared_memory(sizeof *scene);
    return family_known() ? 0 : 1;
}

static void killed(void **state)
{
    (void)state;
    play(IDLE, KILLED, false, 0);
    play(WAITING, KILLED, false, 0);
    play(SPINNING, KILLED, false, 0);
    play(DEAF, KILLED, false, 0);
    play(STOPPED, KILLED, false, 0);
}

static void killed_without_threads(void **state)
{
    (void)state;
    play(IDLE, KILLED, false, POOL_NO_THREAD);
    play(SPINNING, KILLED, false, POOL_NO_THREAD);
    play(DEAF, RETURNED, false, POOL_NO_THREAD);
}

static void killed_with_a_helper(void **state)
{
    (void)state;
    play(IDLE, KILLED, true, 0);
    play(WAITING, KILLED, true, 0);
    play(DEAF, KILLED, true, 0);
    play(STOPPED, KILLED, true, POOL_NO_THREAD);
}

static void leaving_main(void **state)
{
    (void)state;
    for (enum work work = IDLE; work <= DEAF; work++) {
        play(work, RETURNED, false, 0);
        play(work, EXITED, true, 0);
        play(work, EXITED_AT_ONCE, false, 0);
    }
    play(SPINNING, QUICK_EXIT, false, 0);
    play(SPINNING, ABORTED, true, 0);
}

static void becoming_another_program(void **state)
{
    (void)state;
    play(IDLE, EXECED, false, 0);
    play(SPINNING, EXECED, false, 0);
}

static void what_tasks_forked(void **state)
{
    (void)state;
    play(FORKED, KILLED, false, 0);
    play(FORKED, RETURNED, true, 0);
    play(FORKED, EXITED_AT_ONCE, false, 0);
}

static void what_left_the_session(void **state)
{
    (void)state;
    if (!FAMILY_FOLLOWS_SESSIONS)
        skip();
    play(DAEMONS, KILLED, false, 0);
    play(DAEMONS, RETURNED, true, 0);
}

static void pools_in_workers(void **state)
{
    (void)state;
    play(NESTED, KILLED, false, 0);
    play(NESTED, EXITED, true, 0);
}

/* ---- at any instant */

static int host_makes_and_uses(void *context)
{
    (void)context;
    for (;;) {
        long items[20] = {0}, squares[20];
        struct pool *pool = pool_create(2, NULL);
        SIDE_CHECK(pool);
        gate_open(&scene->ready);
        SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
        pool_destroy(pool);
    }
    return 0;
}

/* The host dies while it makes, uses or destroys a pool. The instants come from a fixed sequence. */
static void killed_at_any_instant(void **state)
{
    unsigned number = 1;

    (void)state;
    for (int round = 0; round < 60; round++) {
        memset((void *)scene, 0, sizeof *scene);
        pid_t pid = side_host_start(host_makes_and_uses, NULL);
        if (round % 2)
            assert_true(counter_wait(&scene->ready.opened, 1));
        number = number * 1103515245u + 12345u;
        for (unsigned spins = (number >> 16) % 200000; spins > 0; spins--)
            atomic_load(&scene->ready.opened);
        kill(pid, SIGKILL);
        assert_int_equal(side_host_end(pid), 128 + SIGKILL);
        assert_true(audit_wait_alone(FAMILY_MS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(killed),
        PROCESS_TEST(killed_without_threads),
        PROCESS_TEST(killed_with_a_helper),
        PROCESS_TEST(leaving_main),
        PROCESS_TEST(becoming_another_program),
        PROCESS_TEST(what_tasks_forked),
        PROCESS_TEST(what_left_the_session),
        PROCESS_TEST(pools_in_workers),
        PROCESS_TEST(killed_at_any_instant),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, scene_make, NULL);
}
