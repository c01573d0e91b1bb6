/*
 * Initializers that lock their worker up: another user, another root, lower limits, and a filter that lets only those system calls through
 * that a worker needs between its tasks. That list stands in README.md; here it is tried.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall numbers, setresuid: before the first header */
#endif

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#if defined(__linux__) && defined(__x86_64__)
#define HAVE_FILTER 1
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#else
#define HAVE_FILTER 0
#endif

enum { WORKERS = 2, NOBODY = 65534 };

/* Maps, failures and results too large for the board; workers that come and go. */
static void check_work(struct pool *pool)
{
    static char large[300000];
    static char back[300000];
    long items[300], squares[300];
    int code = 9;

    for (long i = 0; i < 300; i++)
        items[i] = i;
    for (int round = 0; round < 3; round++) {
        assert_status(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL), POOL_OK);
        for (long i = 0; i < 300; i++)
            assert_int_equal(squares[i], i * i);
        memset(large, 'a' + round, sizeof large);
        assert_status(pool_apply(pool, task_echo, large, sizeof large, back, sizeof back, NULL), POOL_OK);
        assert_memory_equal(large, back, sizeof back);
        assert_status(pool_apply(pool, task_fail, &code, sizeof code, NULL, 0, NULL), POOL_FAILED);
        struct pool_job job = {.shared = large, .shared_size = sizeof large};
        assert_status(pool_map(pool, task_nothing, pool_items(NULL, 10, 0), NULL, 0, &job), POOL_OK);
    }
}

static void check_ending(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

#if HAVE_FILTER

/* The list. What is not on it kills the process. */
static const int needed[] = {
    SYS_read, SYS_write, SYS_fstat, SYS_newfstatat, SYS_exit_group,       /* its pipes, its end */
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise, SYS_futex,    /* what malloc() uses */
    SYS_prctl, SYS_getppid,                                               /* once, after the initializer */
    SYS_clock_gettime, SYS_restart_syscall,                               /* where the system asks for them */
    SYS_getpid, SYS_gettid, SYS_tgkill, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, /* to tell of a crash */
};

static bool filter_calls(const int *calls, size_t count)
{
    struct sock_filter program[64];
    unsigned short length = 0;

    program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog filter = {length, program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int lock_up(void **state, void *argument)
{
    (void)state;
    (void)argument;
    return filter_calls(needed, sizeof needed / sizeof needed[0]) ? 0 : pool_fail(NULL, 77, "no filters here");
}

static bool have_filters(void)
{
    struct pool *pool = made(pool_create(1, &(struct pool_options){.initializer = lock_up}));
    bool have = pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK || !strstr(pool_error(), "no filters");

    pool_destroy(pool);
    return have;
}

static void count_end(void *state, void *argument)
{
    (void)state;
    (void)argument;
    atomic_fetch_add(&ground->count[0], 1);
}

/* With that list alone, a worker does all that workers do: start, run, fail, take shared bytes, leave. */
static void the_list_is_enough(void **state)
{
    struct pool_options options = {.initializer = lock_up, .finalizer = count_end};

    (void)state;
    if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER || !have_filters())
        skip();
    struct pool *pool = made(pool_create(WORKERS, &options));
    check_work(pool);
    check_ending(pool);
    assert_int_equal(atomic_load(&ground->count[0]), WORKERS);
    options.tasks_per_worker = 5;
    pool = made(pool_create(WORKERS, &options));
    check_work(pool);
    check_ending(pool);
}

static int task_opens(struct pool_task *task)
{
    FILE *file = fopen("/dev/null", "r");

    if (file)
        fclose(file);
    return pool_return(task, &file, sizeof file);
}

/* What a task does beyond it is its crash: SIGSYS, and the pool goes on. */
static void what_is_not_on_it_is_a_crash(void **state)
{
    const struct pool_result *result;
    struct pool_options options = {.initializer = lock_up};

    (void)state;
    if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER || !have_filters())
        skip();
    struct pool *pool = made(pool_create(WORKERS, &options));
    for (int i = 0; i < 5; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_opens, NULL, 0, NULL));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CRASHED);
        assert_int_equal(result->code, SIGSYS);
        pool_future_free(future);
    }
    check_work(pool);
    pool_destroy(pool);
}

static int task_faults(struct pool_task *task)
{
    volatile int *volatile nothing = NULL;

    (void)task;
    return *nothing;
}

static int task_aborts(struct pool_task *task)
{
    (void)task;
    abort();
}

/* A crash is told as what it is. */
static void crashes_behind_the_filter(void **state)
{
    pool_function *const functions[] = {task_faults, task_aborts};
    struct pool_options options = {.initializer = lock_up};

    (void)state;
    if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER || !have_filters())
        skip();
    struct pool *pool = made(pool_create(WORKERS, &options));
    for (int i = 0; i < 2; i++) {
        const struct pool_result *result;
        struct pool_future *future = made(pool_apply_async(pool, functions[i], NULL, 0, NULL));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CRASHED);
        assert_int_equal(result->code, i == 0 ? SIGSEGV : SIGABRT);
        pool_future_free(future);
    }
    check_work(pool);
    pool_destroy(pool);
}

static int lock_up_too_far(void **state, void *argument)
{
    static const int few[] = {SYS_exit_group, SYS_futex};

    (void)state;
    (void)argument;
    return filter_calls(few, 2) ? 0 : 1;
}

/* A worker that cannot even say that it is there: told as what it is, in bounded time. */
static void too_short_a_list_breaks_the_pool(void **state)
{
    struct pool_options options = {.initializer = lock_up_too_far};
    const struct pool_result *result;

    (void)state;
    if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER || !have_filters())
        skip();
    struct pool *pool = made(pool_create(1, &options));
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    assert_status(pool_future_get(future, 20000 * time_scale(), &result), POOL_BROKEN);
    if (FAMILY_FOLLOWS_SESSIONS) /* elsewhere it gets as far as to stage that it is ready */
        assert_int_equal(result->code, SIGSYS);
    pool_future_free(future);
    pool_destroy(pool);
}
#endif

/* ---- another user */

static int become_nobody(void **state, void *argument)
{
    (void)state;
    (void)argument;
    return setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? 0 : pool_fail(NULL, 5, "cannot");
}

static int task_user(struct pool_task *task)
{
    uid_t user = getuid();

    return pool_return(task, &user, sizeof user);
}

static int task_stays(struct pool_task *task)
{
    (void)task;
    atomic_fetch_add(&ground->count[1], 1);
    for (;;)
        pause();
    return 0;
}

static void another_user(void **state)
{
    struct pool_options options = {.initializer = become_nobody};
    uid_t user = 0;

    (void)state;
    if (getuid() != 0)
        skip();
    struct pool *pool = made(pool_create(WORKERS, &options));
    assert_status(pool_apply(pool, task_user, NULL, 0, &user, sizeof user, NULL), POOL_OK);
    assert_int_equal(user, NOBODY);
    check_work(pool);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    check_work(pool);
    struct pool_job job = {.deadline_ms = 50};
    assert_status(pool_apply(pool, task_stays, NULL, 0, NULL, 0, &job), POOL_EXPIRED);
    check_ending(pool);
}

/* D11: the system forgets the parent-death signal of one that becomes another user. It goes with the zygote all the same, and so does a busy one. */
static void another_user_goes_with_the_zygote(void **state)
{
    struct pool_options options = {.initializer = become_nobody};
    pid_t pids[WORKERS] = {0};

    (void)state;
    if (getuid() != 0 || !family_known())
        skip();
    struct pool *pool = made(pool_create(WORKERS, &options));
    struct pool_future *busy[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        busy[i] = made(pool_apply_async(pool, task_stays, NULL, 0, NULL));
    assert_true(counter_wait(&ground->count[1], WORKERS));
    assert_int_equal(pool_worker_pids(pool, pids, WORKERS), WORKERS);
    kill(family_parent(pids[0]), SIGKILL);
    assert_true(family_all_gone(pids, WORKERS));
    for (int i = 0; i < WORKERS; i++) {
        assert_status(pool_future_get(busy[i], POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_BROKEN);
        pool_future_free(busy[i]);
    }
    pool_destroy(pool);
}

#ifdef __linux__
/* By itself, without help from the host: as when both are killed at once. */
static int task_death_signal(struct pool_task *task)
{
    int number = 0;

    prctl(PR_GET_PDEATHSIG, &number, 0, 0, 0);
    return pool_return(task, &number, sizeof number);
}

static void another_user_has_its_death_signal(void **state)
{
    struct pool_options options = {.initializer = become_nobody};
    int number = 0;

    (void)state;
    if (getuid() != 0 || !FAMILY_FOLLOWS_SESSIONS)
        skip();
    struct pool *pool = made(pool_create(1, &options));
    assert_status(pool_apply(pool, task_death_signal, NULL, 0, &number, sizeof number, NULL), POOL_OK);
    assert_int_equal(number, SIGKILL);
    pool_destroy(pool);
}
#endif

/* ---- another root, lower limits */

static int change_root(void **state, void *argument)
{
    (void)state;
    (void)argument;
    return chroot("/proc/self/fdinfo") == 0 && chdir("/") == 0 ? 0 : pool_fail(NULL, 5, "cannot");
}

static void another_root(void **state)
{
    struct pool_options options = {.initializer = change_root};

    (void)state;
    if (getuid() != 0)
        skip();
    struct pool *pool = made(pool_create(WORKERS, &options));
    check_work(pool);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    check_work(pool);
    check_ending(pool);
}

static int lower_limits(void **state, void *argument)
{
    const struct rlimit none = {0, 0}, few = {3, 3};

    (void)state;
    (void)argument;
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
    setrlimit(RLIMIT_NPROC, &none);
    setrlimit(RLIMIT_NOFILE, &few);
    return 0;
}

static void lower_limits_are_fine(void **state)
{
    struct pool_options options = {.initializer = lower_limits};
    struct rlimit before, after;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct pool *pool = made(pool_create(WORKERS, &options));
    check_work(pool);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    check_work(pool);
    check_ending(pool);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, before.rlim_cur);
}

static int bound_time(void **state, void *argument)
{
    const struct rlimit second = {1, 1};

    (void)state;
    (void)argument;
    return setrlimit(RLIMIT_CPU, &second);
}

static int task_spins(struct pool_task *task)
{
    (void)task;
    for (;;)
        atomic_load(&ground->count[2]);
    return 0;
}

static void out_of_processor_time(void **state)
{
    const struct pool_result *result;
    struct pool_options options = {.initializer = bound_time};
    struct pool *pool = made(pool_create(1, &options));

    (void)state;
    struct pool_future *future = made(pool_apply_async(pool, task_spins, NULL, 0, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_CRASHED);
    assert_true(result->code == SIGKILL || result->code == SIGXCPU);
    pool_future_free(future);
    check_work(pool);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if HAVE_FILTER
        PROCESS_TEST(the_list_is_enough),
        PROCESS_TEST(what_is_not_on_it_is_a_crash),
        PROCESS_TEST(crashes_behind_the_filter),
        PROCESS_TEST(too_short_a_list_breaks_the_pool),
#endif
        PROCESS_TEST(another_user),
        PROCESS_TEST(another_user_goes_with_the_zygote),
#ifdef __linux__
        PROCESS_TEST(another_user_has_its_death_signal),
#endif
        PROCESS_TEST(another_root),
        PROCESS_TEST(lower_limits_are_fine),
        PROCESS_TEST(out_of_processor_time),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
