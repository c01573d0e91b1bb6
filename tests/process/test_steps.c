/*
 * The helper process, or the program, is ended at its n-th step, for every n: a step is a call by which it talks with the other one, with a
 * worker or with the system about a worker. The functions that make them are wrapped (see CMakeLists.txt).
 *
 * Without the helper process the pool is POOL_BROKEN from somewhere on, everything has its outcome, nothing has started twice; where the
 * program is gone, so is everybody else.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include "base/death_bell.h"
#include "base/descriptor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum victim { NOBODY, ZYGOTE, HOST };
enum moment { BEFORE, AFTER, LATE }; /* LATE: before it, when everybody else has got on, as on a busy machine */
enum { FOR_EVER = 20 };              /* the item that stays for ever, of ground->started */

/* Shared by all processes. */
static struct plan {
    enum victim victim;
    int         signal;
    enum moment moment;
    atomic_int  at;     /* at this step; from 1 */
    atomic_int  steps;  /* made by the victim so far */
    atomic_int  pid;    /* of the one that it struck; 0: so many steps there are not */
    atomic_int  reaped; /* by the helper process */
    atomic_int  early;  /* of these, before they had been looked at and their group killed */
} *plan;

static pid_t zygote, host; /* set in the one and in the other: the program that is killed is a child of this one */
static bool  has_spoken;   /* what stops before that, pool_create() waits for in vain, and fails */

static bool is_victim(void)
{
    pid_t own = getpid();

    return plan != NULL && ((plan->victim == ZYGOTE && own == zygote) || (plan->victim == HOST && own == host));
}

/* Those that it has forked and not told of, too: into the task that stays for ever, or for as long as most things take. */
static void let_others_get_on(void)
{
    for (int i = 0; i < 30 && atomic_load(&ground->started[FOR_EVER]) == 0; i++)
        pause_briefly();
}

/* True where this is the step. */
static bool count_step(void)
{
    if (!is_victim() || (plan->signal == SIGSTOP && !has_spoken))
        return false;
    if (atomic_fetch_add(&plan->steps, 1) + 1 != atomic_load(&plan->at))
        return false;
    atomic_store(&plan->pid, (int)getpid());
    if (plan->moment == LATE)
        let_others_get_on();
    if (plan->moment != AFTER)
        kill(getpid(), plan->signal);
    return true;
}

static void end_step(bool struck)
{
    if (struck && plan->moment == AFTER)
        kill(getpid(), plan->signal);
}

#define STEP(type, name, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters \
    { \
        bool struck = count_step(); \
        type made_ = __real_##name arguments; \
        end_step(struck); \
        return made_; \
    }

STEP(ssize_t, pool__receive_record, (int fd, void *record, size_t size, int *fds, size_t *fd_count, bool *cut),
     (fd, record, size, fds, fd_count, cut))
STEP(ssize_t, pool__read_some, (int fd, void *data, size_t size), (fd, data, size))
STEP(ssize_t, pool__write_some, (int fd, const struct iovec *parts, int count), (fd, parts, count))
STEP(pid_t, pool__fork, (void), ())
STEP(int, setpgid, (pid_t pid, pid_t group), (pid, group))
STEP(int, pool__pipe, (int ends[2]), (ends))
STEP(bool, pool__death_bell_arm, (const struct pool__death_bell *bell), (bell))

/* Rule 23, D9: a death is looked at, then its group is killed, and only then the number is given back. */
static pid_t looked_at, killed;

int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    bool struck = count_step();
    int made_ = __real_waitid(type, id, info, options);

    if (made_ == 0 && (options & WNOWAIT) != 0)
        looked_at = info->si_pid;
    end_step(struck);
    return made_;
}

int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number)
{
    if (pid < 0 && number == SIGKILL)
        killed = -pid;
    return __real_kill(pid, number);
}

pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    bool struck = count_step();

    if (plan != NULL && getpid() == zygote) {
        atomic_fetch_add(&plan->reaped, 1);
        atomic_fetch_add(&plan->early, pid != looked_at || pid != killed);
    }
    pid_t made_ = __real_waitpid(pid, status, options);
    end_step(struck);
    return made_;
}

ssize_t __real_pool__send_record(int fd, const void *record, size_t size, const int *fds, size_t fd_count);
ssize_t __wrap_pool__send_record(int fd, const void *record, size_t size, const int *fds, size_t fd_count);
ssize_t __wrap_pool__send_record(int fd, const void *record, size_t size, const int *fds, size_t fd_count)
{
    bool struck = count_step();
    ssize_t put = __real_pool__send_record(fd, record, size, fds, fd_count);

    has_spoken = true;
    end_step(struck);
    return put;
}

pid_t __real_setsid(void);
pid_t __wrap_setsid(void);
pid_t __wrap_setsid(void)
{
    zygote = getpid();
    bool struck = count_step();
    pid_t session = __real_setsid();
    end_step(struck);
    return session;
}

static void arm(enum victim victim, int signal_number, enum moment moment, int at)
{
    memset((void *)ground->started, 0, 64 * sizeof ground->started[0]);
    has_spoken = false;
    plan->victim = victim;
    plan->signal = signal_number;
    plan->moment = moment;
    atomic_store(&plan->pid, 0);
    atomic_store(&plan->steps, 0);
    atomic_store(&plan->at, at);
}

/* ---- something of everything */

enum { ITEMS = 8, DEAD = 3 };

static int task_some_die(struct pool_task *task)
{
    size_t value = task->index * 7;

    atomic_fetch_add(&ground->started[task->index], 1);
    if (task->index == DEAD)
        raise(SIGKILL);
    return pool_return(task, &value, sizeof value);
}

static int task_for_ever(struct pool_task *task)
{
    atomic_fetch_add(&ground->started[FOR_EVER], 1);
    (void)task;
    for (;;)
        pause();
    return 0;
}

struct outcomes {
    bool             made, future;
    enum pool_status statuses[ITEMS], cancelled;
    size_t           out[ITEMS];
};

/* Workers start, die in a task, are replaced in turn, are killed by a cancel; the pool shrinks, grows and ends. */
static int use_a_pool(void *context)
{
    struct outcomes *outcomes = context;
    struct pool_options options = {.tasks_per_worker = 3};
    struct pool_job job = {.keep_going = true, .statuses = outcomes->statuses, .chunk = 2};
    struct pool *pool = pool_create(2, &options);

    outcomes->made = pool != NULL;
    outcomes->future = false;
    if (pool == NULL)
        return 0;
    for (int i = 0; i < ITEMS; i++)
        outcomes->statuses[i] = POOL_BROKEN;
    pool_map(pool, task_some_die, pool_items(NULL, ITEMS, 0), outcomes->out, sizeof outcomes->out[0], &job);
    struct pool_future *future = pool_apply_async(pool, task_for_ever, NULL, 0, NULL);
    if (future != NULL) {
        outcomes->future = true;
        for (int i = 0; i < 2000 && atomic_load(&ground->started[FOR_EVER]) == 0 && !pool_future_ready(future); i++)
            pool_future_wait(future, 1);
        pool_future_cancel(future, true);
        outcomes->cancelled = pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL});
        pool_future_free(future);
    }
    pool_resize(pool, 1);
    pool_resize(pool, 2);
    pool_close(pool);
    pool_join(pool, 3000);
    pool_destroy(pool);
    return 0;
}

static void check_outcomes(const struct outcomes *outcomes)
{
    for (size_t i = 0; outcomes->made && i < ITEMS; i++) {
        enum pool_status status = outcomes->statuses[i];
        assert_in_range(atomic_load(&ground->started[i]), 0, 1);
        assert_true(status == POOL_OK || status == POOL_BROKEN || (status == POOL_CRASHED && (i == DEAD || plan->signal != 0)));
        assert_true(i != DEAD || status != POOL_OK);
        if (status == POOL_OK)
            assert_int_equal(outcomes->out[i], i * 7);
    }
    if (outcomes->made && outcomes->future)
        assert_true(outcomes->cancelled == POOL_CANCELLED || outcomes->cancelled == POOL_BROKEN
                    || outcomes->cancelled == POOL_CRASHED);
}

/* True while there are steps left. */
static bool strike_zygote(int signal_number, enum moment moment, int at)
{
    struct outcomes outcomes;
    char name[64];

    snprintf(name, sizeof name, "helper process, signal %d at step %d", signal_number, at);
    watchdog_start(name);
    if (getenv("PROCPOOL_CELLS"))
        fprintf(stderr, "%s\n", name);
    arm(ZYGOTE, signal_number, moment, at);
    int64_t start = time_now_ms();
    use_a_pool(&outcomes);
    assert_true(time_now_ms() - start < 10000 * time_scale());
    check_outcomes(&outcomes);
    pid_t struck = (pid_t)atomic_load(&plan->pid);
    if (struck != 0 && signal_number == SIGSTOP && family_lives(struck))
        kill(struck, SIGCONT);
    assert_true(audit_wait_alone(FAMILY_MS));
    return struck != 0;
}

static void helper_killed(void **state)
{
    int at = 1;

    (void)state;
    skip_under_thread_sanitizer();
    while (strike_zygote(SIGKILL, BEFORE, at) && at < 1000)
        at++;
    printf("the helper process was killed before each of %d steps\n", at - 1);
    assert_in_range(at, 30, 1000);
    for (at = 1; strike_zygote(SIGKILL, AFTER, at) && at < 1000; at++)
        continue;
}

/* Between the fork of a worker and the word of it: that one has begun a task, and the program knows it by its own word alone. */
static void helper_killed_late(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    for (int at = 1; strike_zygote(SIGKILL, LATE, at) && at < 1000; at++)
        continue;
}

static void helper_stopped(void **state)
{
    int at = 1;

    (void)state;
    skip_under_thread_sanitizer();
    while (strike_zygote(SIGSTOP, at % 2 == 0 ? AFTER : BEFORE, at) && at < 1000)
        at += 3;
    printf("the helper process was stopped at each third of %d steps\n", at);
    assert_in_range(at, 20, 1000);
}

static void reaped_in_order(void **state)
{
    struct outcomes outcomes;

    (void)state;
    arm(NOBODY, 0, BEFORE, 0);
    atomic_store(&plan->reaped, 0);
    atomic_store(&plan->early, 0);
    use_a_pool(&outcomes);
    check_outcomes(&outcomes);
    assert_true(atomic_load(&plan->reaped) >= 4); /* two workers at the end, one that dies, one that is cancelled */
    assert_int_equal(atomic_load(&plan->early), 0);
}

/* ---- the program */

static bool strike_host(enum moment moment, int at, int64_t *longest)
{
    static struct outcomes outcomes;
    char name[64];

    snprintf(name, sizeof name, "the program, killed at step %d", at);
    watchdog_start(name);
    arm(HOST, SIGKILL, moment, at);
    pid_t pid = fork();
    if (pid == 0) {
        host = getpid();
        use_a_pool(&outcomes);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    int64_t start = time_now_ms();
    assert_true(audit_wait_alone(FAMILY_MS));
    if (time_now_ms() - start > *longest)
        *longest = time_now_ms() - start;
    for (size_t i = 0; i < ITEMS; i++)
        assert_in_range(atomic_load(&ground->started[i]), 0, 1);
    return WIFSIGNALED(status);
}

static void program_killed(void **state)
{
    int64_t longest = 0;
    int at;

    (void)state;
    skip_under_thread_sanitizer();
    for (at = 1; strike_host(at % 2 == 0 ? AFTER : BEFORE, at, &longest) && at < 1000; at++)
        continue;
    printf("the program was killed at each of %d steps; the last process had gone %lld ms later\n", at - 1,
           (long long)longest);
    assert_in_range(at, 20, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(reaped_in_order),
        PROCESS_TEST(helper_killed),
        PROCESS_TEST(helper_killed_late),
        PROCESS_TEST(helper_stopped),
        PROCESS_TEST(program_killed),
    };

    if (!family_known())
        return 77;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    plan = shared_memory(sizeof *plan);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
