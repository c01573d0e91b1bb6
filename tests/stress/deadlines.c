/*
 * Deadlines in numbers: thousands that pass, of tasks that resist in every way, and it is measured how late they are kept; thousands that end at
 * the very moment; a hundred thousand that wait; a program that is stopped again and again.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/scale.h"
#include "../support/side_host.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, PROMISED_MS = 20, ROOM = 200000 };

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* When each task began, by its place; and how often. In memory that outlives its worker. */
static struct note {
    _Atomic int64_t began;
    atomic_int      starts, ends;
} *notes;

/* The argument of the tasks below. */
struct order {
    uint32_t place, manner, us;
};

enum manner { BUSY, DEAF, STOPPED, WAITING, WITH_CHILD, MANNERS };

static void resist(enum manner manner)
{
    sigset_t all;

    switch (manner) {
    case BUSY:
        for (volatile unsigned turns = 0;; turns++)
            continue;
    case DEAF:
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        break;
    case STOPPED:
        raise(SIGSTOP);
        break;
    case WITH_CHILD:
        fork(); /* and both stay */
        break;
    default:
        break;
    }
    for (;;)
        pause();
}

static int task_resists(struct pool_task *task)
{
    struct order order;

    memcpy(&order, task->arg, sizeof order);
    atomic_store(&notes[order.place].began, now_us());
    atomic_fetch_add(&notes[order.place].starts, 1);
    resist((enum manner)order.manner);
    return 0;
}

/* ---- how late */

struct lateness {
    int      deadline_ms;
    atomic_uint wrong, early, unbegun;
    int64_t *late; /* us, by place */
};

static struct lateness measured;

static void note_end(void *user, const struct pool_result *result)
{
    struct order order;
    int64_t now = now_us();

    (void)user;
    memcpy(&order, result->arg, sizeof order);
    int64_t began = atomic_load(&notes[order.place].began);
    int64_t late = began > 0 ? now - began - measured.deadline_ms * 1000 : 0;
    measured.late[order.place] = late;
    atomic_fetch_add(&measured.wrong, result->status != POOL_EXPIRED);
    /* held up by the system before its first step, for all of its time */
    atomic_fetch_add(&measured.unbegun, began == 0);
    /* the task noted its beginning a little after it began: by so much it may seem early */
    atomic_fetch_add(&measured.early, late < -1000 || result->run_ns < (uint64_t)measured.deadline_ms * 1000000);
}

static int compare_times(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;

    return (a > b) - (a < b);
}

static void how_late(void **state)
{
    enum { TASKS = 600 };
    size_t count = scaled(TASKS);
    struct pool *pool;
    struct pool_job job = {.callback = note_end, .deadline_ms = 10};

    (void)state;
    stress_begin();
    if (count > ROOM)
        count = ROOM;
    notes = shared_memory(ROOM * sizeof *notes);
    measured = (struct lateness){.deadline_ms = job.deadline_ms, .late = made(calloc(count, sizeof(int64_t)))};
    pool = made(pool_create(WORKERS, NULL));
    for (size_t i = 0; i < count; i++) {
        struct order order = {.place = (uint32_t)i, .manner = i % 16 == 0 ? BUSY : 1 + (uint32_t)i % (MANNERS - 1)};
        pool_future_free(made(pool_apply_async(pool, task_resists, &order, sizeof order, &job)));
    }
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
    for (size_t i = 0; i < count; i++)
        assert_in_range(atomic_load(&notes[i].starts), 0, 1);
    assert_true(measured.unbegun <= 5 + count / 20);
    qsort(measured.late, count, sizeof(int64_t), compare_times);
    print_message("    %zu deadlines of %d ms passed; told late by %ld us (least), %ld (median), %ld (99 of 100), %ld (most)\n",
                  count, job.deadline_ms, (long)measured.late[0], (long)measured.late[count / 2],
                  (long)measured.late[count * 99 / 100], (long)measured.late[count - 1]);
    assert_int_equal(measured.wrong, 0);
    assert_int_equal(measured.early, 0);
    assert_true(measured.late[count / 2] < (int64_t)PROMISED_MS * 1000 * time_scale());
    free(measured.late);
    shared_memory_free(notes, ROOM * sizeof *notes);
}

/* ---- never early */

static int task_takes_us(struct pool_task *task)
{
    struct order order;
    int64_t begin = now_us();

    memcpy(&order, task->arg, sizeof order);
    atomic_fetch_add(&notes[order.place].starts, 1);
    while (now_us() - begin < order.us)
        continue;
    atomic_fetch_add(&notes[order.place].ends, 1);
    return pool_return(task, &order.place, sizeof order.place);
}

/*
 * Items that take about their deadline, in chunks: some end in time, some do not, many at the very moment. One outcome each, started once, and
 * who is told to have run too long has.
 */
static void at_the_very_moment(void **state)
{
    enum { ITEMS = 4000, DEADLINE_MS = 3 };
    size_t count = scaled(ITEMS), expired = 0, ended = 0, unbegun = 0;
    struct order *orders;
    struct dice dice = {.state = 5};

    (void)state;
    stress_begin();
    if (count > ROOM)
        count = ROOM;
    notes = shared_memory(ROOM * sizeof *notes);
    orders = made(calloc(count, sizeof *orders));
    struct pool *pool = made(pool_create(WORKERS, NULL));
    for (size_t i = 0; i < count; i++) {
        orders[i].place = (uint32_t)i;
        orders[i].us = i % 3 ? dice_throw(&dice, 200) : DEADLINE_MS * 1000 - 300 + dice_throw(&dice, 400);
    }
    struct pool_job job = {.deadline_ms = DEADLINE_MS, .chunk = 10};
    struct pool_iterator *iterator =
        made(pool_imap(pool, task_takes_us, pool_items(orders, count, sizeof *orders), &job));
    for (size_t i = 0; i < count; i++) {
        const struct pool_result *result;
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_int_equal(result->index, i);
        assert_in_range(atomic_load(&notes[i].starts), 0, 1); /* 0: held up by the system before its first step */
        if (result->status == POOL_OK) {
            assert_int_equal(atomic_load(&notes[i].starts), 1);
            assert_int_equal(atomic_load(&notes[i].ends), 1);
            assert_memory_equal(result->data, &orders[i].place, sizeof orders[i].place);
            continue;
        }
        assert_status(result->status, POOL_EXPIRED);
        assert_true(result->run_ns >= DEADLINE_MS * UINT64_C(1000000));
        expired++;
        unbegun += atomic_load(&notes[i].starts) == 0;
        ended += atomic_load(&notes[i].ends) == 1; /* between its last step and the publication */
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_END);
    print_message("    %zu items, %zu of them expired, %zu before their first step, %zu at their end\n", count, expired,
                  unbegun, ended);
    pool_iterator_free(iterator);
    pool_destroy(pool);
    free(orders);
    shared_memory_free(notes, ROOM * sizeof *notes);
}

/* ---- in numbers */

/* What waits is not under way: a hundred thousand deadlines, longer in the queue than they are long, and nobody is killed. */
static void many_that_wait(void **state)
{
    size_t count = scaled(100000);
    struct pool_job job = {.deadline_ms = 400};
    struct pool_future **futures = made(calloc(count, sizeof *futures)), *busy[2];
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_stats stats;

    (void)state;
    stress_begin();
    occupy(pool, 0, busy, 2);
    for (size_t i = 0; i < count; i++)
        futures[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    assert_status(pool_future_wait(futures[0], 3 * job.deadline_ms), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    release(busy, 2);
    int64_t start = time_now_ms();
    for (size_t i = 0; i < count; i++) {
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_OK);
        pool_future_free(futures[i]);
    }
    print_message("    %zu tasks with a deadline in %ld ms\n", count, (long)(time_now_ms() - start));
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.expired, 0);
    assert_int_equal(stats.workers_lost, 0);
    pool_destroy(pool);
    free(futures);
}

static int never_starts(void **unused, void *argument)
{
    (void)unused;
    (void)argument;
    atomic_fetch_add(&ground->count[0], 1);
    for (;;)
        pause();
    return 0;
}

/* While no worker starts nothing runs, and no deadline begins: the pool's own limit ends it. */
static void while_no_worker_starts(void **state)
{
    struct pool_options options = {.initializer = never_starts, .start_timeout_ms = 60};
    struct pool_job job = {.deadline_ms = 5};
    struct pool *pool = made(pool_create(2, &options));
    struct pool_stats stats;

    (void)state;
    stress_begin();
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, &job), POOL_BROKEN);
    assert_true(atomic_load(&ground->count[0]) > 0);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.expired, 0);
    pool_destroy(pool);
}

/* ---- a program that is stopped */

static int task_sleeps_us(struct pool_task *task)
{
    struct order order;

    memcpy(&order, task->arg, sizeof order);
    struct timespec time = {0, order.us * 1000L};
    atomic_fetch_add(&notes[order.place].starts, 1);
    nanosleep(&time, NULL);
    return pool_return(task, &order.place, sizeof order.place);
}

/* Tasks that take a small part of their deadline, and some that never end. */
static int host_that_is_stopped(void *context)
{
    const unsigned *flags = context;
    enum { TASKS = 60, DEADLINE_MS = 1000 };
    struct pool_job job = {.deadline_ms = DEADLINE_MS * time_scale()};
    struct pool_future *futures[TASKS];
    struct pool *pool = pool_create(4, &(struct pool_options){.flags = *flags});
    int ok = 0, expired = 0;

    SIDE_CHECK(pool);
    for (uint32_t i = 0; i < TASKS; i++) {
        struct order order = {.place = i, .us = 150000, .manner = WAITING};
        futures[i] = pool_apply_async(pool, i % 20 == 19 ? task_resists : task_sleeps_us, &order, sizeof order, &job);
        SIDE_CHECK(futures[i]);
    }
    gate_open(&ground->gate[0]);
    for (int i = 0; i < TASKS; i++) {
        enum pool_status status = pool_future_get(futures[i], POOL_FOREVER, &(const struct pool_result *){NULL});
        SIDE_CHECK(status == (i % 20 == 19 ? POOL_EXPIRED : POOL_OK));
        SIDE_CHECK(atomic_load(&notes[i].starts) == 1);
        ok += status == POOL_OK;
        expired += status == POOL_EXPIRED;
        pool_future_free(futures[i]);
    }
    pool_destroy(pool);
    SIDE_CHECK(ok == TASKS - TASKS / 20 && expired == TASKS / 20);
    return 0;
}

/* For longer than the deadlines, again and again: nobody pays for that. */
static void the_program_is_stopped(void **state)
{
    (void)state;
    stress_begin();
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        struct dice dice = {.state = flags + 3};
        int status;
        ground_make();
        notes = shared_memory(ROOM * sizeof *notes);
        pid_t pid = side_host_start(host_that_is_stopped, &flags);
        assert_true(counter_wait(&ground->gate[0].opened, 1));
        while (waitpid(pid, &status, WNOHANG) == 0) {
            for (uint32_t ms = 1 + dice_throw(&dice, 150); ms > 0; ms--)
                pause_briefly();
            kill(pid, SIGSTOP);
            for (uint32_t ms = 1 + dice_throw(&dice, 2000); ms > 0; ms--)
                pause_briefly();
            kill(pid, SIGCONT);
        }
        assert_int_equal(status, 0);
        shared_memory_free(notes, ROOM * sizeof *notes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(how_late),       PROCESS_TEST(at_the_very_moment),
        PROCESS_TEST(many_that_wait), PROCESS_TEST(while_no_worker_starts),
        PROCESS_TEST(the_program_is_stopped),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
