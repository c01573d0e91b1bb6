/*
 * The program is killed at random instants, busy and idle, with and without another process that holds its descriptors: nobody is left, and it
 * is measured how soon.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/scale.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 4, PROMISED_MS = 100 };

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * A pipe whose writing end every process of the pool has inherited, and nobody else: its reading end comes to the end of the file when the last
 * of them has gone. So the last death is seen at once, and without looking for anybody.
 */
static int life_line[2];

struct course {
    unsigned number;
    bool     helper;
};

static int task_plays(struct pool_task *task)
{
    volatile unsigned sink = 0;

    if (task->index % 64 == 63)
        raise(SIGKILL);
    for (unsigned i = 0; i < 20000; i++)
        sink += i;
    (void)sink;
    return pool_return(task, &task->index, sizeof task->index);
}

static int task_is_deaf(struct pool_task *task)
{
    sigset_t all;

    (void)task;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    while (true)
        ;
    return 0;
}

/* Holds whatever the program has open, save the life line. */
static void make_helper(void)
{
    pid_t pid = fork();

    SIDE_CHECK(pid >= 0);
    if (pid > 0) {
        atomic_store(&ground->count[0], (int)pid);
        return;
    }
    close(life_line[1]);
    alarm(120);
    for (;;)
        pause();
}

static int host(void *context)
{
    const struct course *course = context;
    struct pool_job job = {.keep_going = true};

    close(life_line[0]);
    for (unsigned round = 0;; round++) {
        struct pool *pool = pool_create(WORKERS, &(struct pool_options){.tasks_per_worker = course->number % 3 ? 0 : 7});
        SIDE_CHECK(pool);
        if (course->helper && round == 0)
            make_helper();
        gate_open(&ground->gate[0]);
        switch (course->number % 4) {
        case 0: /* it makes, uses and destroys pools all the time */
            pool_map(pool, task_plays, pool_items(NULL, 100, 0), NULL, 0, &job);
            break;
        case 1:
            pause();
            break;
        case 2:
            pool_map(pool, task_is_deaf, pool_items(NULL, WORKERS, 0), NULL, 0, NULL);
            break;
        default:
            pool_map(pool, task_plays, pool_items(NULL, 1000000, 0), NULL, 0, &job);
            break;
        }
        pool_destroy(pool);
    }
    return 0;
}

/* From the kill to the end of the last process: microseconds. */
static int64_t kill_once(const struct course *course, struct dice *dice)
{
    char byte;

    ground_make();
    assert_int_equal(pipe(life_line), 0);
    pid_t pid = side_host_start(host, (void *)(uintptr_t)course);
    close(life_line[1]);
    if (dice_throw(dice, 8) != 0)
        assert_true(counter_wait(&ground->gate[0].opened, 1));
    for (uint32_t i = dice_throw(dice, 100000); i > 0; i--)
        atomic_load(&ground->gate[1].opened);
    int64_t start = now_us();
    kill(pid, SIGKILL);
    assert_int_equal(read(life_line[0], &byte, 1), 0);
    int64_t took = now_us() - start;
    assert_int_equal(side_host_end(pid), 128 + SIGKILL);
    close(life_line[0]);
    if (atomic_load(&ground->count[0]) > 0)
        kill((pid_t)atomic_load(&ground->count[0]), SIGKILL);
    assert_true(audit_wait_alone(FAMILY_MS));
    return took;
}

static int compare_times(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;

    return (a > b) - (a < b);
}

static void nobody_is_left(void **state)
{
    size_t rounds = scaled(200), late = 0;
    int64_t *times = made(calloc(rounds, sizeof *times));
    struct dice dice = {.state = 1122};

    (void)state;
    stress_begin();
    for (size_t i = 0; i < rounds; i++) {
        struct course course = {.number = (unsigned)i, .helper = i / 4 % 2 == 1};
        times[i] = kill_once(&course, &dice);
        late += times[i] > PROMISED_MS * 1000;
    }
    qsort(times, rounds, sizeof *times, compare_times);
    print_message("    %zu hosts killed; the last process was gone after %ld us (median), %ld us (99 of 100), %ld us (all)\n",
                  rounds, (long)times[rounds / 2], (long)times[rounds * 99 / 100], (long)times[rounds - 1]);
    print_message("    later than %d ms: %zu\n", PROMISED_MS, late);
    assert_true(times[rounds / 2] < (int64_t)PROMISED_MS * 1000 * time_scale());
    assert_true(times[rounds - 1] < (int64_t)FAMILY_MS * 1000 * time_scale());
    free(times);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(nobody_is_left),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
