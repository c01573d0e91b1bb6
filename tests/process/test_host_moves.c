/*
 * The program changes its place in the system after it made a pool: another root, another folder that is then removed, other namespaces,
 * another user; or it had a peculiar place from the start, as the first process of a container or a subreaper. The pool goes on.
 */
/* for chroot, unshare and prctl; before the first header */
#define _GNU_SOURCE

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/prctl.h>
#endif

enum { NOBODY = 65534, SKIPPED = 77, WORKERS = 2 };

/* Everything that needs something of the system: workers die and are replaced, more are asked for, all end. */
static void use_pool(struct pool *pool)
{
    long items[50], squares[50];

    for (long i = 0; i < 50; i++)
        items[i] = i;
    for (int round = 0; round < 3; round++) {
        SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
        for (long i = 0; i < 50; i++)
            SIDE_CHECK(squares[i] == i * i);
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    }
    SIDE_CHECK(pool_resize(pool, WORKERS + 2) == POOL_OK);
    SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
}

static void end_pool(struct pool *pool)
{
    pid_t pids[WORKERS + 2] = {0};
    size_t count = pool_worker_pids(pool, pids, WORKERS + 2);

    SIDE_CHECK(pool_close(pool) == POOL_OK);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
    pool_destroy(pool);
    SIDE_CHECK(count <= WORKERS + 2);
}

/* ---- moved after the pool was made */

static int become_another_user(void)
{
    return getuid() == 0 && setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? 0 : SKIPPED;
}

static char scratch[] = "/tmp/procpool-moves-XXXXXX";

static int move_to_removed_folder(void)
{
    if (!mkdtemp(scratch))
        return SKIPPED;
    SIDE_CHECK(chdir(scratch) == 0);
    SIDE_CHECK(rmdir(scratch) == 0);
    return 0;
}

static int move_to_another_root(void)
{
    if (!mkdtemp(scratch))
        return SKIPPED;
    int status = chroot(scratch) == 0 && chdir("/") == 0 ? 0 : SKIPPED;
    if (status == 0)
        SIDE_CHECK(access("/proc", F_OK) != 0); /* nothing is there */
    return status;
}

#ifdef __linux__
static int move_to_another_namespace(void)
{
    return unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) == 0 ? 0 : SKIPPED;
}

/* From then on this program's children are in a world of their own; the pool's processes are not its children. */
static int move_the_children(void)
{
    return unshare(CLONE_NEWPID) == 0 ? 0 : SKIPPED;
}
#endif

static int (*move)(void);

static int host_that_moves(void *context)
{
    const unsigned *flags = context;
    struct pool *pool = pool_create(WORKERS, &(struct pool_options){.flags = *flags});

    SIDE_CHECK(pool);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    if (move() != 0)
        return SKIPPED;
    use_pool(pool);
    end_pool(pool);
    return 0;
}

static void check_move(int (*how)(void))
{
    move = how;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        int status = side_host_run(host_that_moves, &flags);
        if (status == SKIPPED)
            skip();
        assert_int_equal(status, 0);
        assert_true(audit_wait_alone(FAMILY_MS));
    }
}

static void another_user(void **state)
{
    (void)state;
    check_move(become_another_user);
}

static void another_folder(void **state)
{
    (void)state;
    check_move(move_to_removed_folder);
}

static void another_root(void **state)
{
    (void)state;
    if (UNDER_ADDRESS_SANITIZER)
        skip(); /* at its end it looks for leaks, by /proc and a process of its own */
    check_move(move_to_another_root);
}

#ifdef __linux__
static void another_namespace(void **state)
{
    (void)state;
    check_move(move_to_another_namespace);
}

static void children_elsewhere(void **state)
{
    (void)state;
    if (UNDER_ADDRESS_SANITIZER)
        skip(); /* as above */
    check_move(move_the_children);
}

/* A program that dies as another user than its workers takes them with it all the same. */
static int host_that_dies_as_another_user(void *context)
{
    pid_t pids[WORKERS] = {0};
    struct pool *pool = pool_create(WORKERS, NULL);

    (void)context;
    SIDE_CHECK(pool);
    struct pool_future *future =
        pool_map_async(pool, task_square_behind_gate_0, pool_items(NULL, WORKERS, 0), NULL, 0, NULL);
    SIDE_CHECK(future);
    SIDE_CHECK(gate_wait_arrived(&ground->gate[0], WORKERS));
    SIDE_CHECK(pool_worker_pids(pool, pids, WORKERS) == WORKERS);
    for (int i = 0; i < WORKERS; i++)
        atomic_store(&ground->count[i], (int)pids[i]);
    if (become_another_user() != 0)
        return SKIPPED;
    gate_open(&ground->gate[1]);
    for (;;)
        pause();
}

static void killed_as_another_user(void **state)
{
    pid_t pids[WORKERS];

    (void)state;
    if (getuid() != 0)
        skip();
    pid_t pid = side_host_start(host_that_dies_as_another_user, NULL);
    assert_true(counter_wait(&ground->gate[1].opened, 1));
    for (int i = 0; i < WORKERS; i++)
        pids[i] = (pid_t)atomic_load(&ground->count[i]);
    kill(pid, SIGKILL);
    assert_int_equal(side_host_end(pid), 128 + SIGKILL);
    assert_true(family_all_gone(pids, WORKERS));
    assert_true(audit_wait_alone(FAMILY_MS));
}

/* ---- a peculiar place from the start */

/*
 * Orphans come to a subreaper, and to the first process of a namespace; the pool's helper process is one of them, and such a program has it for
 * a child. Its own children and what it waits for by number are its own all the same.
 */
static int use_pools_beside_children(void)
{
    int status;

    for (int round = 0; round < 3; round++) {
        struct pool *pool = pool_create(WORKERS, &(struct pool_options){.flags = round == 1 ? POOL_NO_THREAD : 0});
        SIDE_CHECK(pool);
        pid_t child = fork();
        SIDE_CHECK(child >= 0);
        if (child == 0)
            _exit(40 + round);
        use_pool(pool);
        SIDE_CHECK(waitpid(child, &status, 0) == child);
        SIDE_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 40 + round);
        if (round == 2)
            pool_destroy(pool);
        else
            end_pool(pool);
        /* whatever of ours was this program's child, we have taken its status */
        SIDE_CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
    }
    return 0;
}

static int host_that_is_a_subreaper(void *context)
{
    (void)context;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return SKIPPED;
    return use_pools_beside_children();
}

static void a_subreaper(void **state)
{
    (void)state;
    int status = side_host_run(host_that_is_a_subreaper, NULL);
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

/* The child of one that has unshared its children is process 1 of a new namespace, with the old one's /proc. */
static int host_of_a_first_process(void *context)
{
    const bool *killed = context;
    int status;

    if (unshare(CLONE_NEWPID) != 0)
        return SKIPPED;
    pid_t first = fork();
    SIDE_CHECK(first >= 0);
    if (first == 0) {
        SIDE_CHECK(getpid() == 1);
        int end = use_pools_beside_children();
        if (!*killed)
            _exit(end);
        struct pool *pool = pool_create(WORKERS, NULL);
        SIDE_CHECK(pool);
        struct pool_future *future =
            pool_map_async(pool, task_square_behind_gate_0, pool_items(NULL, WORKERS, 0), NULL, 0, NULL);
        SIDE_CHECK(future && gate_wait_arrived(&ground->gate[0], WORKERS));
        gate_open(&ground->gate[1]);
        for (;;)
            pause();
    }
    if (*killed) {
        SIDE_CHECK(gate_pass(&ground->gate[1]));
        kill(first, SIGKILL);
    }
    SIDE_CHECK(waitpid(first, &status, 0) == first);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void the_first_process(void **state)
{
    (void)state;
    if (UNDER_ADDRESS_SANITIZER)
        skip(); /* as above */
    for (int killed = 0; killed < 2; killed++) {
        bool is_killed = killed;
        int status = side_host_run(host_of_a_first_process, &is_killed);
        if (status == SKIPPED)
            skip();
        assert_int_equal(status, killed ? 128 + SIGKILL : 0);
        assert_true(audit_wait_alone(FAMILY_MS));
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(another_user),
        PROCESS_TEST(another_folder),
        PROCESS_TEST(another_root),
#ifdef __linux__
        PROCESS_TEST(another_namespace),
        PROCESS_TEST(children_elsewhere),
        PROCESS_TEST(killed_as_another_user),
        PROCESS_TEST(a_subreaper),
        PROCESS_TEST(the_first_process),
#endif
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known() || UNDER_THREAD_SANITIZER) /* which forks badly, and more so in other places */
        return SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
