/*
 * What a program finds after it made, used and destroyed a pool: itself, as it was. And what workers take over from it, and what not.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define SIGNALS 65

/* A process as far as a library could change it. */
struct self {
    void (*handlers[SIGNALS])(int);
    int   flags[SIGNALS];
    bool  blocked[SIGNALS];
    bool  blocked_in_handler[SIGNALS];
    mode_t mask;
    char  directory[1024];
    pid_t pid, parent, group, session;
    int   niceness;
    rlim_t limits[4];
    char  locale[128];
};

static void look_at_self(struct self *self)
{
    static const int limits[] = {RLIMIT_NOFILE, RLIMIT_CORE, RLIMIT_STACK, RLIMIT_DATA};
    sigset_t blocked;

    memset(self, 0, sizeof *self);
    sigemptyset(&blocked);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < SIGNALS; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) != 0)
            continue;
        self->handlers[number] = action.sa_handler;
        self->flags[number] = action.sa_flags;
        self->blocked[number] = sigismember(&blocked, number) == 1;
        self->blocked_in_handler[number] = sigismember(&action.sa_mask, SIGUSR1) == 1;
    }
    self->mask = umask(0);
    umask(self->mask);
    if (!getcwd(self->directory, sizeof self->directory))
        self->directory[0] = '\0';
    self->pid = getpid();
    self->parent = getppid();
    self->group = getpgrp();
    self->session = getsid(0);
    self->niceness = getpriority(PRIO_PROCESS, 0);
    for (int i = 0; i < 4; i++) {
        struct rlimit limit = {0, 0};
        getrlimit(limits[i], &limit);
        self->limits[i] = limit.rlim_cur;
    }
    strncpy(self->locale, setlocale(LC_ALL, NULL), sizeof self->locale - 1);
}

static void handle_nothing(int number)
{
    (void)number;
}

/* Something of everything, so that a change would show. */
static void become_peculiar(void)
{
    sigset_t set;

    for (int number = 1; number < 32; number++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = number % 3 == 0 ? SIG_IGN : number % 3 == 1 ? handle_nothing : SIG_DFL;
        action.sa_flags = number % 2 ? SA_RESTART : 0;
        sigaddset(&action.sa_mask, number % 2 ? SIGUSR1 : SIGUSR2);
        if (number != SIGALRM)
            sigaction(number, &action, NULL);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    umask(0137);
    SIDE_CHECK(chdir("/") == 0);
}

static void ignore_result(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
}

static int host_compares_itself(void *context)
{
    struct self before, after;
    struct pool_job job = {.callback = ignore_result};
    unsigned *flags = context;
    struct pool_options options = {.flags = *flags};

    become_peculiar();
    look_at_self(&before);
    struct pool *pool = pool_create(2, &options);
    SIDE_CHECK(pool);
    look_at_self(&after);
    SIDE_CHECK(memcmp(&before, &after, sizeof after) == 0);
    SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    struct pool_future *future = pool_apply_async(pool, task_nothing, NULL, 0, &job);
    SIDE_CHECK(future);
    SIDE_CHECK(pool_future_wait(future, POOL_FOREVER) == POOL_OK);
    pool_future_free(future);
    look_at_self(&after);
    SIDE_CHECK(memcmp(&before, &after, sizeof after) == 0);
    pool_destroy(pool);
    look_at_self(&after);
    SIDE_CHECK(memcmp(&before, &after, sizeof after) == 0);
    return 0;
}

static void the_program_is_as_it_was(void **state)
{
    unsigned flags = 0;

    (void)state;
    assert_int_equal(side_host_run(host_compares_itself, &flags), 0);
    flags = POOL_NO_THREAD;
    assert_int_equal(side_host_run(host_compares_itself, &flags), 0);
}

/* ---- what workers have */

static int task_looks_at_itself(struct pool_task *task)
{
    struct self *self = pool_return_space(task, sizeof *self);

    if (!self)
        return 1;
    look_at_self(self);
    return 0;
}

/* Of these a worker has a handler of the library's own. */
static bool crash_is_kept(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGABRT || number == SIGSYS;
}

static int host_asks_a_worker(void *context)
{
    static struct self own, worker;

    (void)context;
    become_peculiar();
    look_at_self(&own);
    struct pool *pool = pool_create(1, NULL);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_apply(pool, task_looks_at_itself, NULL, 0, &worker, sizeof worker, NULL) == POOL_OK);
    for (int number = 1; number < SIGNALS; number++) {
        SIDE_CHECK(worker.handlers[number] == SIG_DFL || own.handlers[number] == SIG_DFL || crash_is_kept(number));
        if (number < 32)
            SIDE_CHECK(worker.handlers[number] != handle_nothing && worker.handlers[number] != SIG_IGN);
        SIDE_CHECK(!worker.blocked[number]);
    }
    SIDE_CHECK(worker.mask == own.mask);
    SIDE_CHECK(strcmp(worker.directory, own.directory) == 0);
    SIDE_CHECK(worker.group == worker.pid); /* leads a group of its own */
    SIDE_CHECK(worker.group != own.group);
    SIDE_CHECK(worker.pid != own.pid);
    SIDE_CHECK(worker.parent != own.pid);
    pool_destroy(pool);
    return 0;
}

static void workers_start_with_default_signals(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_asks_a_worker, NULL), 0);
}

/* What a task changes in its process, this one does not see; nor does the pool stumble over it. */
static int task_makes_a_mess(struct pool_task *task)
{
    sigset_t all;

    (void)task;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int number = 1; number < 32; number++)
        signal(number, number % 2 ? SIG_IGN : handle_nothing);
    umask(0777);
    return chdir("/proc") == 0 && setpriority(PRIO_PROCESS, 0, 5) == 0 ? 0 : 1;
}

static void a_mess_stays_in_the_worker(void **state)
{
    struct self before, after;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    look_at_self(&before);
    for (int i = 0; i < 3; i++) {
        assert_status(pool_apply(pool, task_makes_a_mess, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    assert_status(pool_apply(pool, task_makes_a_mess, NULL, 0, NULL, 0, NULL), POOL_OK);
    look_at_self(&after);
    assert_memory_equal(&before, &after, sizeof after);
    pool_destroy(pool);
}

/* ---- signals and the library's threads */

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
    (void)number;
    handled++;
}

/* A signal that the program's only thread blocks stays pending: no thread of ours takes it. */
static int host_blocks_a_signal(void *context)
{
    struct pool_job job = {.callback = ignore_result};
    struct sigaction action;
    sigset_t set;

    (void)context;
    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal;
    sigaction(SIGUSR1, &action, NULL);
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    struct pool_future *future = pool_apply_async(pool, task_nothing, NULL, 0, &job);
    SIDE_CHECK(future);
    SIDE_CHECK(pool_future_wait(future, POOL_FOREVER) == POOL_OK);
    pool_future_free(future);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 50; i++)
        SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(handled == 0);
    SIDE_CHECK(sigpending(&set) == 0 && sigismember(&set, SIGUSR1) == 1);
    pool_destroy(pool);
    SIDE_CHECK(handled == 0);
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    SIDE_CHECK(handled == 1);
    return 0;
}

static void our_threads_take_no_signals(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_blocks_a_signal, NULL), 0);
}

/* Workers die while their arguments are being written: SIGPIPE's default action would end this program. */
static int host_writes_to_the_dying(void *context)
{
    static char large[1 << 20];
    struct pool_future *futures[20];

    (void)context;
    signal(SIGPIPE, SIG_DFL);
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    for (int round = 0; round < 5; round++) {
        pid_t pids[2] = {0};
        for (int i = 0; i < 20; i++) {
            futures[i] = pool_apply_async(pool, i % 4 == 3 ? task_killed : task_size, large, sizeof large, NULL);
            SIDE_CHECK(futures[i]);
        }
        pool_worker_pids(pool, pids, 2);
        if (pids[0] > 0)
            kill(pids[0], SIGKILL);
        for (int i = 0; i < 20; i++) {
            SIDE_CHECK(pool_future_wait(futures[i], POOL_FOREVER) == POOL_OK);
            pool_future_free(futures[i]);
        }
    }
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    pool_destroy(pool);
    return 0;
}

static void no_sigpipe(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(host_writes_to_the_dying, NULL), 0);
}

/* A signal every millisecond, with and without SA_RESTART: nothing fails, and no wait ends early. */
static int host_is_interrupted(void *context)
{
    const int *flags = context;
    struct sigaction action;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct pool *pool = pool_create(2, NULL);
    long items[500];

    SIDE_CHECK(pool);
    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal;
    action.sa_flags = *flags;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (long i = 0; i < 500; i++)
        items[i] = i;
    for (int round = 0; round < 10; round++) {
        long squares[500];
        SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
        for (long i = 0; i < 500; i++)
            SIDE_CHECK(squares[i] == i * i);
        struct pool_future *future = pool_apply_async(pool, task_until_cancelled, &(int){0}, sizeof(int), NULL);
        SIDE_CHECK(future);
        int64_t start = time_now_ms();
        SIDE_CHECK(pool_future_wait(future, 50) == POOL_TIMEOUT);
        SIDE_CHECK(time_now_ms() - start >= 49); /* the clock above cuts milliseconds off */
        pool_future_cancel(future, false);
        SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}) == POOL_CANCELLED);
        pool_future_free(future);
        struct pool *other = pool_create(2, NULL);
        SIDE_CHECK(other);
        SIDE_CHECK(pool_apply(other, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
        pool_destroy(other);
    }
    pool_destroy(pool);
    setitimer(ITIMER_REAL, &never, NULL);
    SIDE_CHECK(handled > 0);
    return 0;
}

static void interrupted_calls_go_on(void **state)
{
    int flags = 0;

    (void)state;
    skip_under_thread_sanitizer();
    assert_int_equal(side_host_run(host_is_interrupted, &flags), 0);
    flags = SA_RESTART;
    assert_int_equal(side_host_run(host_is_interrupted, &flags), 0);
}

/* ---- threads that make pools */

static void *make_pool(void *argument)
{
    struct pool **pool = argument;

    *pool = pool_create(2, NULL);
    return NULL;
}

/* The thread that made the pool ends; the pool does not. */
static void made_in_a_thread_that_ends(void **state)
{
    struct pool *pool = NULL;
    pthread_t thread;
    pid_t first, later;

    (void)state;
    skip_under_thread_sanitizer();
    assert_int_equal(pthread_create(&thread, NULL, make_pool, &pool), 0);
    pthread_join(thread, NULL);
    assert_non_null(pool);
    assert_status(pool_apply(pool, task_pid, NULL, 0, &first, sizeof first, NULL), POOL_OK);
    for (int i = 0; i < 20; i++) {
        assert_status(pool_apply(pool, task_pid, NULL, 0, &later, sizeof later, NULL), POOL_OK);
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    pool_destroy(pool);
}

static void many_pools_made_at_once(void **state)
{
    enum { POOLS = 8 };
    struct pool *pools[POOLS] = {NULL};
    pthread_t threads[POOLS];

    (void)state;
    skip_under_thread_sanitizer();
    for (int i = 0; i < POOLS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_pool, &pools[i]), 0);
    for (int i = 0; i < POOLS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < POOLS; i++) {
        long value = i, square = 0;
        assert_non_null(pools[i]);
        assert_status(pool_apply(pools[i], task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
        assert_int_equal(square, value * value);
    }
    for (int i = 0; i < POOLS; i += 2)
        pool_destroy(pools[i]);
    for (int i = 1; i < POOLS; i += 2) {
        assert_status(pool_apply(pools[i], task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_status(pool_apply(pools[i], task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
        assert_status(pool_apply(pools[i], task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_status(pool_close(pools[i]), POOL_OK);
        assert_status(pool_join(pools[i], POOL_FOREVER), POOL_OK);
        pool_destroy(pools[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(the_program_is_as_it_was),
        PROCESS_TEST(workers_start_with_default_signals),
        PROCESS_TEST(a_mess_stays_in_the_worker),
        PROCESS_TEST(our_threads_take_no_signals),
        PROCESS_TEST(no_sigpipe),
        PROCESS_TEST(interrupted_calls_go_on),
        PROCESS_TEST(made_in_a_thread_that_ends),
        PROCESS_TEST(many_pools_made_at_once),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
