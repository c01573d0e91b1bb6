/*
 * Signals of a program with many handlers: they run on its own threads only, workers have none of them, and what a shell left ignored is no
 * hindrance.
 */
/* for sigaltstack; before the first header */
#define _XOPEN_SOURCE 700

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *own_path;

/* ---- on whose thread, and on whose stack */

static pthread_t             main_thread;
static volatile sig_atomic_t alarms, strays;

static void note_alarm(int number)
{
    (void)number;
    alarms++;
    if (!pthread_equal(pthread_self(), main_thread))
        strays++;
}

static void note_done(void *user, const struct pool_result *result)
{
    (void)user;
    atomic_fetch_add(&ground->count[0], result->status == POOL_OK);
    for (int i = 0; i < 3; i++)
        pause_briefly(); /* the callback thread is there for a while */
}

/* A signal of the whole process every 100 us goes to whichever thread takes it: none of ours does. */
static int host_with_a_fast_clock(void *context)
{
    struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
    struct pool_job job = {.callback = note_done};
    struct sigaction action;
    enum { TASKS = 60 };

    (void)context;
    main_thread = pthread_self();
    memset(&action, 0, sizeof action);
    action.sa_handler = note_alarm;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    setitimer(ITIMER_REAL, &often, NULL);
    for (long i = 0; i < TASKS; i++) {
        struct pool_future *future = pool_apply_async(pool, task_square, &i, sizeof i, &job);
        SIDE_CHECK(future);
        if (i % 2)
            SIDE_CHECK(pool_future_wait(future, POOL_FOREVER) == POOL_OK);
        pool_future_free(future);
    }
    SIDE_CHECK(counter_wait(&ground->count[0], TASKS));
    pool_destroy(pool);
    setitimer(ITIMER_REAL, &never, NULL);
    SIDE_CHECK(alarms > 0);
    SIDE_CHECK(strays == 0);
    return 0;
}

static void handlers_run_on_the_programs_threads(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_with_a_fast_clock, NULL), 0);
}

/* ---- what workers have */

struct look {
    int   handlers, ignored, blocked, pending; /* how many signals */
    void *stack;                               /* the alternate one */
};

static int task_looks(struct pool_task *task)
{
    struct look look = {0, 0, 0, 0, NULL};
    struct sigaction action;
    sigset_t blocked, pending;
    stack_t stack;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigpending(&pending);
    for (int number = 1; number < 32; number++) {
        bool crash = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGABRT ||
                     number == SIGSYS || number == SIGTRAP;
        if (sigaction(number, NULL, &action) != 0)
            continue;
        look.handlers += action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN && !crash;
        look.ignored += action.sa_handler == SIG_IGN;
        look.blocked += sigismember(&blocked, number) == 1;
        look.pending += sigismember(&pending, number) == 1;
    }
    if (sigaltstack(NULL, &stack) == 0 && !(stack.ss_flags & SS_DISABLE))
        look.stack = stack.ss_sp;
    return pool_return(task, &look, sizeof look);
}

static void never_run(int number)
{
    (void)number;
    _exit(98);
}

static char alternate_stack[65536];

static void take_all_signals(void)
{
    struct sigaction action;
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof alternate_stack};

    sigaltstack(&stack, NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = never_run;
    action.sa_flags = SA_ONSTACK;
    for (int number = 1; number < 32; number++)
        if (number != SIGALRM)
            sigaction(number, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
}

static void check_worker(struct pool *pool)
{
    struct look look;

    SIDE_CHECK(pool_apply(pool, task_looks, NULL, 0, &look, sizeof look, NULL) == POOL_OK);
    SIDE_CHECK(look.handlers == 0);
    SIDE_CHECK(look.ignored == 0);
    SIDE_CHECK(look.blocked == 0);
    SIDE_CHECK(look.pending == 0);
    SIDE_CHECK(look.stack != (void *)alternate_stack);
}

static int task_signals_itself(struct pool_task *task)
{
    int number;

    memcpy(&number, task->arg, sizeof number);
    raise(number);
    return 0;
}

/* Handlers from before the pool was made and from after it; those that came later cannot be in a worker, nor in its successors. */
static int host_with_handlers(void *context)
{
    const bool *later = context;
    static const int deadly[] = {SIGTERM, SIGUSR1, SIGHUP, SIGINT, SIGPIPE, SIGQUIT};

    if (!*later)
        take_all_signals();
    struct pool *pool = pool_create(1, NULL);
    SIDE_CHECK(pool);
    if (*later)
        take_all_signals();
    check_worker(pool);
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        const struct pool_result *result;
        struct pool_future *future = pool_apply_async(pool, task_signals_itself, &deadly[i], sizeof deadly[i], NULL);
        SIDE_CHECK(future);
        SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &result) == POOL_CRASHED);
        SIDE_CHECK(result->code == deadly[i]);
        pool_future_free(future);
        check_worker(pool);
    }
    pool_destroy(pool);
    return 0;
}

static void workers_have_none_of_them(void **state)
{
    bool later = false;

    (void)state;
    assert_int_equal(side_host_run(host_with_handlers, &later), 0);
    later = true;
    assert_int_equal(side_host_run(host_with_handlers, &later), 0);
}

/* ---- what a program that was exec'd finds ignored and blocked already, as under nohup or a careless parent */

static int be_the_program(void)
{
    const struct pool_result *result;
    struct look look;
    int code = 7;

    struct pool *pool = pool_create(2, NULL);
    if (!pool)
        return 1;
    struct pool_future *future = pool_apply_async(pool, task_killed, NULL, 0, NULL);
    if (pool_future_get(future, POOL_FOREVER, &result) != POOL_CRASHED || result->code != SIGKILL)
        return 2;
    pool_future_free(future);
    if (pool_apply(pool, task_fail, &code, sizeof code, NULL, 0, NULL) != POOL_FAILED)
        return 3;
    if (pool_apply(pool, task_looks, NULL, 0, &look, sizeof look, NULL) != POOL_OK || look.ignored || look.blocked)
        return 4;
    pool_destroy(pool);
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    struct sigaction action;
    sigaction(SIGCHLD, NULL, &action);
    return action.sa_handler == SIG_IGN && sigismember(&blocked, SIGTERM) == 1 ? 0 : 5;
}

static void inherited_from_a_parent(void **state)
{
    int status;

    (void)state;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t blocked;
        sigfillset(&blocked);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
        signal(SIGCHLD, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        execl(own_path, own_path, "--program", (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(handlers_run_on_the_programs_threads),
        PROCESS_TEST(workers_have_none_of_them),
        PROCESS_TEST(inherited_from_a_parent),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    ground_make();
    if (argc > 1 && strcmp(argv[1], "--program") == 0)
        return be_the_program();
    own_path = argv[0];
    if (UNDER_THREAD_SANITIZER) /* it handles signals later, and on a thread of its choice */
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
