/*
 * The program has no child of ours: its waits for any child and its SIGCHLD are its own, whatever it does with them.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/system.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t sigchld_count;

static void count_sigchld(int number)
{
    (void)number;
    sigchld_count++;
}

static void catch_sigchld(int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = count_sigchld;
    action.sa_flags = flags;
    sigaction(SIGCHLD, &action, NULL);
}

static void check_no_child(void)
{
    siginfo_t info;
    int status;

    errno = 0;
    SIDE_CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
    errno = 0;
    SIDE_CHECK(waitpid(0, &status, WNOHANG | WUNTRACED | WCONTINUED) == -1 && errno == ECHILD);
    errno = 0;
    SIDE_CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD);
}

/* Some of everything that starts and ends workers. */
static void use_pool(struct pool *pool)
{
    int exit_code = 3;
    long items[20], squares[20];

    for (int i = 0; i < 20; i++)
        items[i] = i;
    SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
    for (int i = 0; i < 20; i++)
        SIDE_CHECK(squares[i] == (long)i * i);
    SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_apply(pool, task_fail, &exit_code, sizeof exit_code, NULL, 0, NULL) == POOL_FAILED);
    SIDE_CHECK(pool_resize(pool, 4) == POOL_OK);
    SIDE_CHECK(pool_resize(pool, 1) == POOL_OK);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
}

static int host_looks_for_children(void *context)
{
    const unsigned *flags = context;
    struct pool_options options = {.flags = *flags};

    catch_sigchld(0);
    check_no_child();
    struct pool *pool = pool_create(2, &options);
    SIDE_CHECK(pool);
    SIDE_CHECK(sigchld_count == 0);
    check_no_child();
    use_pool(pool);
    check_no_child();
    SIDE_CHECK(pool_close(pool) == POOL_OK);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
    check_no_child();
    pool_destroy(pool);
    check_no_child();
    SIDE_CHECK(sigchld_count == 0);
    return 0;
}

static void no_child_and_no_sigchld(void **state)
{
    unsigned flags = 0;

    (void)state;
    assert_int_equal(side_host_run(host_looks_for_children, &flags), 0);
    flags = POOL_NO_THREAD;
    assert_int_equal(side_host_run(host_looks_for_children, &flags), 0);
}

/* A blocked SIGCHLD would stay pending: none is. */
static int host_blocks_sigchld(void *context)
{
    sigset_t set;

    (void)context;
    catch_sigchld(SA_RESTART);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++) {
        struct pool *pool = pool_create(2, NULL);
        SIDE_CHECK(pool);
        use_pool(pool);
        pool_destroy(pool);
        SIDE_CHECK(sigpending(&set) == 0);
        SIDE_CHECK(sigismember(&set, SIGCHLD) == 0);
    }
    return 0;
}

static void no_sigchld_is_pending(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_blocks_sigchld, NULL), 0);
}

static atomic_bool stop_waiting;
static atomic_int  creations; /* odd while pool_create() is at work: it has a child then, for a moment */
static atomic_int  strangers;

static void *wait_for_any_child(void *argument)
{
    int status;

    (void)argument;
    while (!atomic_load(&stop_waiting)) {
        int before = atomic_load(&creations);
        if (waitpid(-1, &status, WNOHANG) > 0 && before % 2 == 0 && atomic_load(&creations) == before)
            atomic_fetch_add(&strangers, 1);
    }
    return NULL;
}

/* A thread that takes every child's status gets none of ours once the pool stands, and whatever it takes before does no harm. */
static int host_waits_all_the_time(void *context)
{
    pthread_t thread;

    (void)context;
    SIDE_CHECK(pthread_create(&thread, NULL, wait_for_any_child, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        atomic_fetch_add(&creations, 1);
        struct pool *pool = pool_create(2, NULL);
        atomic_fetch_add(&creations, 1);
        SIDE_CHECK(pool);
        use_pool(pool);
        pool_destroy(pool);
    }
    atomic_store(&stop_waiting, true);
    pthread_join(thread, NULL);
    SIDE_CHECK(atomic_load(&strangers) == 0);
    return 0;
}

static void a_thread_that_waits_for_any_child(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    assert_int_equal(side_host_run(host_waits_all_the_time, NULL), 0);
}

static int task_exits_with_its_argument(struct pool_task *task)
{
    int code;

    memcpy(&code, task->arg, sizeof code);
    exit(code);
}

/* Signals and exit statuses are told exactly, though the kernel keeps no statuses of this process' children. */
static void check_statuses(struct pool *pool)
{
    const struct pool_result *result;

    for (int code = 0; code < 200; code += 50) {
        struct pool_future *future = pool_apply_async(pool, task_exits_with_its_argument, &code, sizeof code, NULL);
        SIDE_CHECK(future);
        SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &result) == POOL_EXITED);
        SIDE_CHECK(result->code == exit_code_told(code));
        pool_future_free(future);
        future = pool_apply_async(pool, task_killed, NULL, 0, NULL);
        SIDE_CHECK(future);
        SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &result) == POOL_CRASHED);
        SIDE_CHECK(result->code == SIGKILL);
        pool_future_free(future);
    }
}

static int task_runs_a_command(struct pool_task *task)
{
    int status = system("exit 7");

    return pool_return(task, &status, sizeof status);
}

static int host_with_statuses(void *context)
{
    int status;
    struct pool *pool = pool_create(2, NULL);

    (void)context;
    SIDE_CHECK(pool);
    check_statuses(pool);
    use_pool(pool);
    /* workers have the default action: their own children's statuses are there */
    SIDE_CHECK(pool_apply(pool, task_runs_a_command, NULL, 0, &status, sizeof status, NULL) == POOL_OK);
    SIDE_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    pool_destroy(pool);
    return 0;
}

static int host_ignores_sigchld(void *context)
{
    signal(SIGCHLD, SIG_IGN);
    return host_with_statuses(context);
}

static int host_wants_no_zombies(void *context)
{
    catch_sigchld(SA_NOCLDWAIT);
    return host_with_statuses(context) || sigchld_count != 0;
}

static int host_ignores_sigchld_later(void *context)
{
    struct pool *pool = pool_create(2, NULL);

    (void)context;
    SIDE_CHECK(pool);
    signal(SIGCHLD, SIG_IGN);
    check_statuses(pool);
    use_pool(pool);
    pool_destroy(pool);
    return 0;
}

static void sigchld_ignored(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_ignores_sigchld, NULL), 0);
    assert_int_equal(side_host_run(host_ignores_sigchld_later, NULL), 0);
}

static void sigchld_without_zombies(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_wants_no_zombies, NULL), 0);
}

/* The program's own children come and go as if there were no pool. */
static int host_with_children(void *context)
{
    int status;

    (void)context;
    catch_sigchld(SA_RESTART);
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(i);
        SIDE_CHECK(child > 0);
        SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
        SIDE_CHECK(waitpid(-1, &status, 0) == child);
        SIDE_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == i);
        SIDE_CHECK(sigchld_count == i + 1);
        check_no_child();
    }
    pool_destroy(pool);
    return 0;
}

static void children_of_the_program(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_with_children, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(no_child_and_no_sigchld),
        PROCESS_TEST(no_sigchld_is_pending),
        PROCESS_TEST(a_thread_that_waits_for_any_child),
        PROCESS_TEST(sigchld_ignored),
        PROCESS_TEST(sigchld_without_zombies),
        PROCESS_TEST(children_of_the_program),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
