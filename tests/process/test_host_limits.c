/*
 * No more processes: pool_create() is all or nothing, and a pool that cannot replace its workers for a while goes on when it can.
 *
 * The limit on processes does not hold for root, so the side hosts become nobody first.
 */
/* for prlimit and setgroups; before the first header */
#define _GNU_SOURCE

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534, SKIPPED = 77, WORKERS = 3 };

/* A user of few processes. Leaves with SKIPPED where that cannot be, or where the limit does not bind all the same. */
static void become_nobody(void)
{
    if (getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(SKIPPED);
    struct rlimit limit;
    SIDE_CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    rlim_t usual = limit.rlim_cur;
    limit.rlim_cur = 0;
    SIDE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid > 0) {
        waitpid(pid, NULL, 0);
        _exit(SKIPPED);
    }
    limit.rlim_cur = usual;
    SIDE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

static int host_that_may_not_fork(void *context)
{
    struct rlimit limit;

    (void)context;
    become_nobody();
    SIDE_CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    rlim_t usual = limit.rlim_cur;
    limit.rlim_cur = 0;
    SIDE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    for (int i = 0; i < 3; i++) {
        int descriptors = audit_descriptors();
        errno = 0;
        SIDE_CHECK(pool_create(WORKERS, NULL) == NULL);
        SIDE_CHECK(errno == EAGAIN);
        SIDE_CHECK(pool_error()[0] != '\0');
        SIDE_CHECK(audit_descriptors() == descriptors);
        SIDE_CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    }
    limit.rlim_cur = usual;
    SIDE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    struct pool *pool = pool_create(WORKERS, NULL);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    pool_destroy(pool);
    return 0;
}

static void none_at_all(void **state)
{
    (void)state;
    int status = side_host_run(host_that_may_not_fork, NULL);
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

/* More and more processes until there are enough: made whole, or not made. Each that fails may leave a corpse for init, hence the steps of three. */
static int host_that_may_fork_a_little(void *context)
{
    struct rlimit limit;
    bool made_one = false, refused_one = false;

    (void)context;
    become_nobody();
    for (rlim_t most = 1; most < 200 && !made_one; most += 3) {
        SIDE_CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
        limit.rlim_cur = most;
        SIDE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
        errno = 0;
        struct pool *pool = pool_create(8, &(struct pool_options){.flags = POOL_NO_THREAD});
        made_one = pool != NULL;
        refused_one = refused_one || !pool;
        SIDE_CHECK(pool || errno == EAGAIN);
        if (pool)
            SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
        pool_destroy(pool);
    }
    return made_one && refused_one ? 0 : SKIPPED;
}

static void some_but_too_few(void **state)
{
    (void)state;
    int status = side_host_run(host_that_may_fork_a_little, NULL);
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
    assert_true(audit_wait_alone(FAMILY_MS));
}

#ifdef __linux__
/* The limit of the process that forks the workers. */
static void limit_processes_of(pid_t pid, rlim_t most, rlim_t *before)
{
    struct rlimit limit, old;

    SIDE_CHECK(prlimit(pid, RLIMIT_NPROC, NULL, &old) == 0);
    limit = old;
    limit.rlim_cur = most;
    SIDE_CHECK(prlimit(pid, RLIMIT_NPROC, &limit, NULL) == 0);
    if (before)
        *before = old.rlim_cur;
}

/* For a while no worker can be replaced: tasks wait, nothing is lost; when it can be done again, all go on. */
static int host_whose_workers_cannot_be_replaced(void *context)
{
    pid_t pids[WORKERS] = {0};
    struct pool_future *futures[20];
    rlim_t usual;

    (void)context;
    become_nobody();
    struct pool *pool = pool_create(WORKERS, NULL);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(pool_worker_pids(pool, pids, WORKERS) == WORKERS);
    pid_t zygote = family_parent(pids[0]);
    limit_processes_of(zygote, 0, &usual);
    for (int i = 0; i < WORKERS; i++)
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(family_all_gone(pids, WORKERS));
    for (long i = 0; i < 20; i++) {
        futures[i] = pool_apply_async(pool, task_square, &i, sizeof i, NULL);
        SIDE_CHECK(futures[i]);
    }
    SIDE_CHECK(pool_future_wait(futures[0], 100) == POOL_TIMEOUT);
    limit_processes_of(zygote, usual, NULL);
    for (long i = 0; i < 20; i++) {
        long square = 0;
        SIDE_CHECK(pool_future_read(futures[i], POOL_FOREVER, &square, sizeof square) == POOL_OK);
        SIDE_CHECK(square == i * i);
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
    return 0;
}

/* And when it never can be: that is told. */
static int host_whose_workers_can_never_be_replaced(void *context)
{
    pid_t pids[WORKERS] = {0};

    (void)context;
    become_nobody();
    struct pool *pool = pool_create(WORKERS, NULL);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(pool_worker_pids(pool, pids, WORKERS) == WORKERS);
    limit_processes_of(family_parent(pids[0]), 0, NULL);
    for (int i = 0; i < WORKERS; i++)
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_BROKEN);
    SIDE_CHECK(pool_error()[0] != '\0');
    pool_destroy(pool);
    return 0;
}

static void later_for_a_while(void **state)
{
    (void)state;
    int status = side_host_run(host_whose_workers_cannot_be_replaced, NULL);
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

static void later_and_for_good(void **state)
{
    (void)state;
    int status = side_host_run(host_whose_workers_can_never_be_replaced, NULL);
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(none_at_all),
        PROCESS_TEST(some_but_too_few),
#ifdef __linux__
        PROCESS_TEST(later_for_a_while),
        PROCESS_TEST(later_and_for_good),
#endif
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known() || UNDER_THREAD_SANITIZER) /* which needs threads, and those count as processes */
        return SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
