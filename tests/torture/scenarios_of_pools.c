/* scenarios_of_pools - how pools begin and end, their workers, and single processes. */
#define _GNU_SOURCE
#include "scenario.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOME = 6 };

static struct pool_future *start_square(struct pool *pool, long value)
{
    return pool_apply_async(pool, square, &value, sizeof value, NULL);
}

static const char *created(void)
{
    BEGIN(pool, 2, NULL);
    pool_destroy(pool);
    return NULL;
}

static const char *created_for_all_processors(void)
{
    struct pool_options options = {.name = "torture", .max_workers = 64};
    BEGIN(pool, pool_cpu_count() > 4 ? 4 : 0, &options);
    PASS_ON(apply_squares(pool, 1));
    return finish(pool);
}

static const char *closed(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_future *futures[SOME];

    for (long i = 0; i < SOME; i++)
        futures[i] = start_square(pool, i);
    PASS_ON(finish(pool)); /* what was submitted is done */
    for (long i = 0; i < SOME; i++) {
        if (futures[i])
            PASS_ON(check_square(futures[i], i));
        pool_future_free(futures[i]);
    }
    return NULL;
}

/* Waits until a worker runs waits_for_cancel(), or that has come to an end. */
static void wait_until_it_runs(struct pool_future *future)
{
    while (future && !atomic_load(&plan->gates[0]) && pool_future_wait(future, 1) == POOL_TIMEOUT)
        continue;
}

static const char *ends_as(struct pool_future *future, const char *what, enum pool_status expected)
{
    const struct pool_result *result;

    if (!future)
        return is_faulty() ? NULL : wrong("%s: was not taken", what);
    enum pool_status status = pool_future_get(future, wait_limit(), &result);
    NEED(status == expected || may_be(status), "%s: %s", what, pool_status_name(status));
    pool_future_free(future);
    return NULL;
}

static const char *terminated(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_future *runs = pool_apply_async(pool, waits_for_cancel, NULL, 0, NULL), *waits = start_square(pool, 3);

    wait_until_it_runs(runs);
    enum pool_status status = pool_terminate(pool);
    PASS_ON(check_status("pool_terminate", status));
    PASS_ON(ends_as(runs, "what ran", POOL_TERMINATED));
    PASS_ON(ends_as(waits, "what waited", POOL_TERMINATED));
    NEED(pool_join(pool, wait_limit()) == POOL_OK, "pool_join");
    pool_destroy(pool);
    return NULL;
}

static const char *stopped(void)
{
    BEGIN(pool, 1, NULL);
    struct pool_future *runs = pool_apply_async(pool, waits_for_cancel, NULL, 0, NULL), *waits = start_square(pool, 3);

    wait_until_it_runs(runs);
    pool_stop(pool);
    PASS_ON(ends_as(runs, "what ran", POOL_CANCELLED));
    PASS_ON(ends_as(waits, "what waited", POOL_CANCELLED));
    NEED(pool_join(pool, wait_limit()) == POOL_OK, "pool_join");
    pool_destroy(pool);
    return NULL;
}

static const char *destroyed_at_work(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_future *runs = pool_apply_async(pool, waits_for_cancel, NULL, 0, NULL), *waits = start_square(pool, 3);

    wait_until_it_runs(runs);
    pool_destroy(pool);
    PASS_ON(ends_as(runs, "what ran", POOL_TERMINATED));
    return ends_as(waits, "what waited", POOL_TERMINATED);
}

static const char *two_pools(void)
{
    BEGIN(first, 1, NULL);
    const char *words = NULL;
    struct pool *second = pool_with(1, NULL, &words);

    PASS_ON(words);
    PASS_ON(apply_squares(first, 2));
    if (second) {
        PASS_ON(apply_squares(second, 2));
        PASS_ON(finish(second));
    }
    PASS_ON(apply_squares(first, 1));
    return finish(first);
}

static int adds_up(struct pool_task *task)
{
    long *numbers, sum = 0;

    memcpy(&numbers, task->arg, sizeof numbers);
    for (int i = 0; i < 1000; i++)
        sum += numbers[i];
    return pool_return(task, &sum, sizeof sum);
}

/* Blocks of it, and pieces that are large enough to go back to the system. */
static const char *with_arena(void)
{
    struct pool_options options = {.arena_size = 4 << 20};
    BEGIN(pool, 1, &options);
    long sum = 0, *block = NULL;
    void *all[8] = {NULL};

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) {
            errno = 0;
            all[i] = pool_arena_alloc(pool, 200000);
            if (!all[i])
                PASS_ON(check_errno("pool_arena_alloc"));
            else
                block = memset(all[i], 0, 200000);
        }
        if (block) {
            enum pool_status status;
            block[999] = 7;
            status = pool_apply(pool, adds_up, &block, sizeof block, &sum, sizeof sum, NULL);
            NEED(status != POOL_OK || sum == 7, "a sum of %ld", sum);
            PASS_ON(check_status("a look into the arena", status));
        }
        for (int i = 0; i < 8; i++)
            pool_arena_free(pool, all[i]);
        block = NULL;
    }
    return finish(pool);
}

/* ---- workers */

static const char *resized(void)
{
    BEGIN(pool, 1, NULL);
    PASS_ON(apply_squares(pool, 1));
    PASS_ON(check_status("pool_resize", pool_resize(pool, 3)));
    PASS_ON(map_squares(pool, NULL));
    PASS_ON(check_status("pool_resize", pool_resize(pool, 1)));
    PASS_ON(map_squares(pool, NULL));
    return finish(pool);
}

static const char *recycled(void)
{
    struct pool_options options = {.tasks_per_worker = 2};
    BEGIN(pool, 1, &options);
    PASS_ON(apply_squares(pool, 5));
    return finish(pool);
}

static const char *recycled_for_memory(void)
{
    struct pool_options options = {.worker_memory = 1}; /* after each task */
    BEGIN(pool, 1, &options);
    PASS_ON(apply_squares(pool, 3));
    return finish(pool);
}

static const char *crashing(void)
{
    BEGIN(pool, 1, NULL);
    enum pool_status status = pool_apply(pool, killed, NULL, 0, NULL, 0, NULL);

    NEED(status == POOL_CRASHED || (is_faulty() && may_be(status) && status != POOL_OK), "a crash: %s",
         pool_status_name(status));
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

static int leaves(struct pool_task *task)
{
    (void)task;
    _exit(9);
}

static const char *leaving(void)
{
    BEGIN(pool, 2, NULL);
    enum pool_status status = pool_apply(pool, leaves, NULL, 0, NULL, 0, NULL);

    NEED(status == POOL_EXITED || (is_faulty() && may_be(status) && status != POOL_OK), "an exit: %s",
         pool_status_name(status));
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

/* All its workers are killed while they have nothing to do, and some later. */
static const char *killed_from_outside(void)
{
    BEGIN(pool, 2, NULL);
    pid_t pids[4];

    PASS_ON(apply_squares(pool, 1));
    size_t count = pool_worker_pids(pool, pids, 4);
    for (size_t i = 0; i < count && i < 4; i++)
        if (pids[i] > 1 && getpgid(pids[i]) != getpgrp())
            sigqueue(pids[i], SIGKILL, (union sigval){.sival_int = 0});
    struct pool_future *future = start_square(pool, 3);
    const struct pool_result *result;
    enum pool_status status = future ? pool_future_get(future, wait_limit(), &result) : POOL_OK;
    /* it may hit the task too */
    NEED(status == POOL_CRASHED || may_be(status), "under a killer: %s", pool_status_name(status));
    pool_future_free(future);
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

static int begin(void **state, void *argument)
{
    *state = argument;
    atomic_fetch_add(&plan->marks[1], 1);
    return 0;
}

static void end(void *state, void *argument)
{
    if (state == argument)
        atomic_fetch_add(&plan->marks[2], 1);
}

static const char *initialized(void)
{
    static int something;
    struct pool_options options = {.initializer = begin, .finalizer = end, .initializer_arg = &something};
    BEGIN(pool, 2, &options);
    PASS_ON(apply_squares(pool, 2));
    PASS_ON(finish(pool));
    NEED(is_faulty() || atomic_load(&plan->marks[1]) == atomic_load(&plan->marks[2]), "%ld began, %ld ended",
         atomic_load(&plan->marks[1]), atomic_load(&plan->marks[2]));
    return NULL;
}

static int begin_at_second_try(void **state, void *argument)
{
    (void)state;
    (void)argument;
    return atomic_fetch_add(&plan->marks[1], 1) == 0 ? pool_fail(NULL, 5, "not yet") : 0;
}

static const char *initialized_late(void)
{
    struct pool_options options = {.initializer = begin_at_second_try};
    BEGIN(pool, 1, &options);
    PASS_ON(apply_squares(pool, 2));
    return finish(pool);
}

/* ---- children of tasks, pools in tasks, and the helper process */

static int has_a_child(struct pool_task *task)
{
    if (fork() == 0) {
        for (;;)
            pause();
    }
    return square(task);
}

static const char *grandchildren(void)
{
    BEGIN(pool, 1, NULL);
    long value = 4, result = -1;
    enum pool_status status = pool_apply(pool, has_a_child, &value, sizeof value, &result, sizeof result, NULL);

    PASS_ON(check_status("a task with a child", status));
    NEED(status != POOL_OK || result == 16, "a task with a child: %ld", result);
    return finish(pool);
}

/* 0: its own pool worked; 1: a fault came in between; 2: something was wrong, which the plan tells. */
static int has_a_pool(struct pool_task *task)
{
    const char *words = NULL;
    struct pool *pool = pool_with(1, NULL, &words);
    int verdict = 1;

    if (pool) {
        words = apply_squares(pool, 2);
        if (!words)
            words = finish(pool);
        verdict = 0;
    }
    if (words)
        verdict = 2;
    return pool_return(task, &verdict, sizeof verdict);
}

static const char *pool_in_worker(void)
{
    BEGIN(pool, 1, NULL);
    int verdict = 0;
    enum pool_status status = pool_apply(pool, has_a_pool, NULL, 0, &verdict, sizeof verdict, NULL);

    PASS_ON(check_status("a task with a pool", status));
    if (status == POOL_OK && verdict == 2)
        return plan->words;
    NEED(status != POOL_OK || verdict == 0 || is_faulty(), "a task got no pool");
    return finish(pool);
}

static const char *zygote_killed(void)
{
    BEGIN(pool, 2, NULL);
    enum pool_status status = pool_apply(pool, pid_of_zygote, NULL, 0, NULL, 0, NULL);

    PASS_ON(check_status("pool_apply", status));
    struct pool_future *runs = pool_apply_async(pool, waits_for_cancel, NULL, 0, NULL);
    wait_until_it_runs(runs);
    if (runs && atomic_load(&plan->zygote) > 1) {
        sigqueue((pid_t)atomic_load(&plan->zygote), SIGKILL, (union sigval){.sival_int = 0});
        PASS_ON(ends_as(runs, "what ran", POOL_BROKEN));
        NEED(pool_join(pool, wait_limit()) == POOL_OK, "pool_join");
    } else {
        pool_future_free(runs);
    }
    pool_destroy(pool);
    return NULL;
}

static const char *host_forks(void)
{
    BEGIN(pool, 1, NULL);
    int told = 0;
    pid_t child = fork();

    if (child == 0) {
        enum pool_status status = pool_apply(pool, square, NULL, 0, NULL, 0, NULL);
        pool_destroy(pool);
        _exit(status == POOL_INVALID ? 0 : 1);
    }
    PASS_ON(apply_squares(pool, 2));
    calls_disarm();
    if (child > 0)
        waitpid(child, &told, 0);
    calls_arm();
    NEED(told == 0, "in a forked child a call was not refused");
    return finish(pool);
}

static const char *watched(void)
{
    BEGIN(pool, 2, NULL);
    struct pool_stats stats;
    pid_t pids[4];

    PASS_ON(apply_squares(pool, 3));
    NEED(pool_get_stats(pool, &stats) == POOL_OK && (stats.submitted == 3 || is_faulty()), "pool_get_stats");
    NEED(pool_worker_pids(pool, pids, 4) <= 4, "pool_worker_pids");
    return finish(pool);
}

/* ---- single processes */

static int returns_5(void *argument)
{
    (void)argument;
    return 5;
}

static int waits(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return 0;
}

static const char *process(void)
{
    struct pool_process *process = pool_process_start(returns_5, NULL);

    if (!process)
        return check_errno("pool_process_start");
    enum pool_status status = pool_process_join(process, wait_limit());
    PASS_ON(check_status("pool_process_join", status));
    int code = pool_process_exit_code(process);
    NEED(code == 5 || (is_faulty() && code == INT_MAX), "an exit code of %d", code);
    pool_process_free(process);
    return NULL;
}

/* One that may not be signalled (EPERM) is left alone, as documented: here it is ended by other means. */
static const char *process_killed(void)
{
    struct pool_process *process = pool_process_start(waits, NULL);

    if (!process)
        return check_errno("pool_process_start");
    pid_t pid = pool_process_pid(process);
    struct pollfd fd = {pool_process_fd(process), POLLIN, 0};
    NEED(pool_process_alive(process) || is_faulty(), "a process is not alive");
    enum pool_status status = pool_process_kill(process);
    PASS_ON(check_status("pool_process_kill", status));
    if (status == POOL_OK) {
        calls_disarm();
        int readable = poll(&fd, 1, wait_limit());
        calls_arm();
        NEED(readable == 1, "a dead process's descriptor is not readable");
        NEED(pool_process_join(process, wait_limit()) == POOL_OK, "pool_process_join");
    }
    pool_process_free(process);
    if (status != POOL_OK) {
        sigqueue(pid, SIGKILL, (union sigval){.sival_int = 0});
        calls_disarm();
        waitpid(pid, NULL, 0);
        calls_arm();
    }
    return NULL;
}

const struct scenario scenarios_of_pools[] = {
    {"created", created},
    {"created_for_all_processors", created_for_all_processors},
    {"closed", closed},
    {"terminated", terminated},
    {"stopped", stopped},
    {"destroyed_at_work", destroyed_at_work},
    {"two_pools", two_pools},
    {"with_arena", with_arena},
    {"resized", resized},
    {"recycled", recycled},
    {"recycled_for_memory", recycled_for_memory},
    {"crashing", crashing},
    {"leaving", leaving},
    {"killed_from_outside", killed_from_outside},
    {"initialized", initialized},
    {"initialized_late", initialized_late},
    {"grandchildren", grandchildren},
    {"pool_in_worker", pool_in_worker},
    {"zygote_killed", zygote_killed},
    {"host_forks", host_forks},
    {"watched", watched},
    {"process", process},
    {"process_killed", process_killed},
    {NULL, NULL},
};
