/*
 * The program is a job of a shell: ^Z stops it alone, its workers work on, and after fg everything goes on where it stood; and where the shell
 * goes away meanwhile, everything goes.
 */
/* for pseudo-terminals and TIOCSCTTY; before the first header */
#define _XOPEN_SOURCE 700
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { WORKERS = 2, ITEMS = 40 };

/* Gates: the items wait at the first, the program has begun at the second, it is stopped at the third, and may be continued at the fourth. */
enum { WORK, BEGUN, STOPPED, CONTINUE };

static atomic_int *done_while_stopped(void)
{
    return &ground->count[0];
}

static int task_waits_and_squares(struct pool_task *task)
{
    if (!gate_pass(&ground->gate[WORK]))
        return pool_fail(task, 1, "the gate was not opened");
    atomic_fetch_add(done_while_stopped(), 1);
    return task_square(task);
}

/* The job itself, in a process group of its own in the foreground. */
static int program(unsigned flags)
{
    long items[ITEMS], squares[ITEMS];
    pid_t pids[WORKERS] = {0};
    struct pool *pool = pool_create(WORKERS, &(struct pool_options){.flags = flags});

    SIDE_CHECK(pool);
    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    struct pool_job job = {.chunk = ITEMS / WORKERS};
    struct pool_future *future =
        pool_map_async(pool, task_waits_and_squares, POOL_ARRAY(items), squares, sizeof squares[0], &job);
    SIDE_CHECK(future);
    SIDE_CHECK(pool_worker_pids(pool, pids, WORKERS) == WORKERS);
    for (int i = 0; i < WORKERS; i++)
        atomic_store(&ground->count[1 + i], (int)pids[i]);
    while (atomic_load(&ground->gate[WORK].arrived) < WORKERS) /* without threads it is these waits that hand them out */
        SIDE_CHECK(pool_future_wait(future, 1) == POOL_TIMEOUT);
    gate_open(&ground->gate[BEGUN]);
    SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}) == POOL_OK);
    for (long i = 0; i < ITEMS; i++)
        SIDE_CHECK(squares[i] == i * i);
    pool_future_free(future);
    SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL) == POOL_OK);
    pool_destroy(pool);
    return 0;
}

struct shell {
    int      master;
    unsigned flags;
};

/* The leader of a session with this terminal, which starts the program as a job, and waits until it is stopped. */
static pid_t start_job(const struct shell *shell)
{
    int status;

    setsid();
    int slave = open(ptsname(shell->master), O_RDWR);
    SIDE_CHECK(slave >= 0);
#ifdef TIOCSCTTY
    ioctl(slave, TIOCSCTTY, 0);
#endif
    signal(SIGTTOU, SIG_IGN);
    pid_t job = fork();
    SIDE_CHECK(job >= 0);
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(slave, getpgrp());
        signal(SIGTTOU, SIG_DFL);
        close(shell->master);
        exit(program(shell->flags));
    }
    setpgid(job, job);
    tcsetpgrp(slave, job);
    close(shell->master);
    SIDE_CHECK(waitpid(job, &status, WUNTRACED) == job);
    SIDE_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    gate_open(&ground->gate[STOPPED]);
    SIDE_CHECK(gate_pass(&ground->gate[CONTINUE]));
    return job;
}

static int shell_that_continues(void *context)
{
    int status;
    pid_t job = start_job(context);

    SIDE_CHECK(kill(-job, SIGCONT) == 0);
    SIDE_CHECK(waitpid(job, &status, 0) == job);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Its job is an orphaned group then, with a stopped process in it: the system sends that SIGHUP and SIGCONT. */
static int shell_that_goes(void *context)
{
    start_job(context);
    return 0;
}

static int open_master(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        skip();
    return master;
}

/* From the start of the job until ^Z has stopped it, with a worker in every one of its items. */
static pid_t begin(int (*shell)(void *context), struct shell *context)
{
    ground_make();
    context->master = open_master();
    pid_t pid = side_host_start(shell, context);
    assert_true(counter_wait(&ground->gate[BEGUN].opened, 1));
    assert_int_equal(write(context->master, "\032", 1), 1);
    assert_true(counter_wait(&ground->gate[STOPPED].opened, 1));
    return pid;
}

/* While the program stands still its workers finish all that they have. */
static void check_workers_work_on(void)
{
    struct family_member worker;

    for (int i = 0; i < WORKERS; i++)
        if (family_look((pid_t)atomic_load(&ground->count[1 + i]), &worker))
            assert_int_not_equal(worker.state, 'T');
    gate_open(&ground->gate[WORK]);
    assert_true(counter_wait(done_while_stopped(), ITEMS));
}

static void stopped_and_continued(void **state)
{
    struct shell shell = {.flags = 0};

    (void)state;
    for (int round = 0; round < 2; round++) {
        shell.flags = round == 0 ? 0 : POOL_NO_THREAD;
        pid_t pid = begin(shell_that_continues, &shell);
        check_workers_work_on();
        gate_open(&ground->gate[CONTINUE]);
        assert_int_equal(side_host_end(pid), 0);
        close(shell.master);
        assert_true(audit_wait_alone(FAMILY_MS));
    }
}

static void stopped_and_left(void **state)
{
    struct shell shell = {.flags = 0};

    (void)state;
    pid_t pid = begin(shell_that_goes, &shell);
    gate_open(&ground->gate[CONTINUE]);
    assert_int_equal(side_host_end(pid), 0);
    assert_true(audit_wait_alone(FAMILY_MS));
    close(shell.master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(stopped_and_continued),
        PROCESS_TEST(stopped_and_left),
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
