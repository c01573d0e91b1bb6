/*
 * Who waits for something small looks for a moment before it sleeps, host and worker alike; where that is not wanted or does not pay it
 * does not, and nobody else is held up by it. And who is awake is not woken.
 *
 * The library's own decisions are counted where one of its files calls another (the linker's --wrap): workers count in the ground, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity: before the first header */
#endif

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/poller.h"
#include "data/spin.h"

enum { WAKES, HOST_SPINS, WORKER_SPINS }; /* of ground->count */
enum { WORKERS = 2, CALLS = 300 };

void __real_pool__poller_wake(struct pool__poller *poller);
void __wrap_pool__poller_wake(struct pool__poller *poller);
void __real_pool__spin_hit(struct pool__spin *spin);
void __wrap_pool__spin_hit(struct pool__spin *spin);
void __real_pool__spin_vain(struct pool__spin *spin);
bool __real_pool__spin_may(struct pool__spin *spin);
bool __wrap_pool__spin_may(struct pool__spin *spin);
uint64_t __real_pool__now(void);
uint64_t __wrap_pool__now(void);
void __wrap_pool__spin_vain(struct pool__spin *spin);

void __wrap_pool__poller_wake(struct pool__poller *poller)
{
    if (ground)
        atomic_fetch_add(&ground->count[WAKES], 1);
    __real_pool__poller_wake(poller);
}

static void count_spin(void)
{
    if (ground)
        atomic_fetch_add(&ground->count[pool_worker_index() < 0 ? HOST_SPINS : WORKER_SPINS], 1);
}

void __wrap_pool__spin_hit(struct pool__spin *spin)
{
    count_spin();
    __real_pool__spin_hit(spin);
}

void __wrap_pool__spin_vain(struct pool__spin *spin)
{
    count_spin();
    __real_pool__spin_vain(spin);
}

static int count_of(int which)
{
    return atomic_load(&ground->count[which]);
}

static struct pool *pool_that_spins(const char *spin)
{
    struct pool *pool;

    if (spin)
        setenv("PROCPOOL_SPIN", spin, 1);
    else
        unsetenv("PROCPOOL_SPIN");
    pool = pool_create(WORKERS, NULL);
    unsetenv("PROCPOOL_SPIN");
    return pool;
}

static bool square_many(struct pool *pool, long count)
{
    for (long i = 0; i < count; i++) {
        long square = 0;
        if (pool_apply(pool, task_square, &i, sizeof i, &square, sizeof square, NULL) != POOL_OK || square != i * i)
            return false;
    }
    return true;
}

/* ---- waking */

enum { ATTEMPTS = 40 }; /* at what a busy machine may spoil */

static int wakes_of_many_calls(struct pool *pool)
{
    int before = count_of(WAKES);

    assert_true(square_many(pool, CALLS));
    return count_of(WAKES) - before;
}

/*
 * Who completes his own task is awake: nothing is rung for him, or it would be at each call. On a busy machine it is
 * rung for the thread in the background, which is not what is looked for.
 */
static void nobody_wakes_himself(void **state)
{
    struct pool *pool = made(pool_that_spins("0"));
    int wakes = CALLS;

    (void)state;
    for (int i = 0; i < ATTEMPTS && wakes > CALLS / 2; i++)
        wakes = wakes_of_many_calls(pool);
    assert_in_range(wakes, 0, CALLS / 2);
    pool_destroy(pool);
}

struct caller {
    struct pool     *pool;
    pthread_t        thread;
    enum pool_status status;
};

static void *waits_at_gate(void *argument)
{
    struct caller *caller = argument;
    struct gated gated = {.gate = 0, .value = 5};

    caller->status = pool_apply(caller->pool, task_gated, &gated, sizeof gated, NULL, 0, NULL);
    return NULL;
}

static void start_caller(struct caller *caller, struct pool *pool)
{
    *caller = (struct caller){.pool = pool};
    assert_int_equal(pthread_create(&caller->thread, NULL, waits_at_gate, caller), 0);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
}

static void end_caller(struct caller *caller)
{
    gate_open(&ground->gate[0]);
    assert_int_equal(pthread_join(caller->thread, NULL), 0);
    assert_status(caller->status, POOL_OK);
}

/* One thread sleeps on the pipes for ever; what another submits has a deadline, and is held to it. */
static void a_deadline_reaches_who_sleeps(void **state)
{
    static const char *const spins[] = {"0", "20"};
    struct pool_job job = {.deadline_ms = 50};
    struct caller caller;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pool *pool = made(pool_that_spins(spins[i]));
        ground_make();
        start_caller(&caller, pool);
        nanosleep(&(struct timespec){0, 100000000}, NULL); /* until it has no timer of its own any more */
        assert_status(pool_apply(pool, task_stays_deaf, NULL, 0, NULL, 0, &job), POOL_EXPIRED);
        end_caller(&caller);
        pool_destroy(pool);
    }
}

enum { SLEEPERS = 40 }; /* more than the pool has conditions for */

static void *waits_for_future(void *future)
{
    return pool_future_wait(future, POOL_FOREVER) == POOL_OK ? future : NULL;
}

static void everybody_is_woken(void **state)
{
    struct pool *pool = made(pool_that_spins("20"));
    pthread_t threads[SLEEPERS];

    (void)state;
    for (int round = 0; round < 5; round++) {
        ground_make();
        struct pool_future *future = start_gated(pool, 0, 1, NULL);
        for (int i = 0; i < SLEEPERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, waits_for_future, future), 0);
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        gate_open(&ground->gate[0]);
        for (int i = 0; i < SLEEPERS; i++) {
            void *waited = NULL;
            assert_int_equal(pthread_join(threads[i], &waited), 0);
            assert_ptr_equal(waited, future);
        }
        pool_future_free(future);
    }
    pool_destroy(pool);
}

/* ---- spinning */

static bool have_processors(void)
{
    return pool_cpu_count() > 1;
}

static void both_sides_spin(void **state)
{
    static const char *const asked[] = {NULL, "20", "nonsense", "-3", "20us"};

    (void)state;
    if (!have_processors())
        skip();
    for (int i = 0; i < 5; i++) {
        struct pool *pool = made(pool_that_spins(asked[i]));
        ground_make();
        /* on a busy machine what they would look for is there already, call after call */
        for (int k = 0; k < ATTEMPTS && (count_of(HOST_SPINS) == 0 || count_of(WORKER_SPINS) == 0); k++)
            assert_true(square_many(pool, CALLS));
        assert_true(count_of(HOST_SPINS) > 0);
        assert_true(count_of(WORKER_SPINS) > 0);
        pool_destroy(pool);
    }
}

static void it_may_be_forbidden(void **state)
{
    struct pool *pool = made(pool_that_spins("0"));

    (void)state;
    assert_true(square_many(pool, CALLS));
    pool_destroy(pool);
    assert_int_equal(count_of(HOST_SPINS), 0);
    assert_int_equal(count_of(WORKER_SPINS), 0);
}

#if defined(__linux__) && !defined(POOL__PORTABLE)
static int on_one_processor(void *context)
{
    cpu_set_t all, one;
    struct pool *pool;

    (void)context;
    CPU_ZERO(&one);
    SIDE_CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    SIDE_CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    pool = pool_that_spins("20");
    SIDE_CHECK(pool);
    SIDE_CHECK(square_many(pool, CALLS));
    pool_destroy(pool);
    return 0;
}

static void never_with_one_processor(void **state)
{
    (void)state;
    assert_int_equal(side_host_run(on_one_processor, NULL), 0);
    assert_int_equal(count_of(HOST_SPINS), 0);
    assert_int_equal(count_of(WORKER_SPINS), 0);
}
#endif

/* In vain it is left out more and more often: a thousand waits for slow tasks, and a few spins. */
static int task_takes_a_while(struct pool_task *task)
{
    struct timespec while_ = {0, 200000};

    (void)task;
    nanosleep(&while_, NULL);
    return 0;
}

static void what_does_not_pay_is_left(void **state)
{
    struct pool *pool = made(pool_that_spins("20"));

    (void)state;
    for (int i = 0; i < CALLS; i++)
        assert_status(pool_apply(pool, task_takes_a_while, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_in_range(count_of(HOST_SPINS), 0, CALLS / 4);
    pool_destroy(pool);
}

static unsigned long long ticks_of(const pid_t *pids, size_t count)
{
    struct family_member member;
    unsigned long long sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += family_look(pids[i], &member) ? member.ticks : 0;
    return sum;
}

/* A pool at rest uses no time. */
static void after_work_it_rests(void **state)
{
    struct timespec window = {0, 300000000};
    struct pool *pool = made(pool_that_spins("20"));
    pid_t pids[WORKERS] = {0};

    (void)state;
    if (!family_known())
        skip();
    assert_true(square_many(pool, CALLS));
    assert_int_equal(pool_worker_pids(pool, pids, WORKERS), WORKERS);
    nanosleep(&(struct timespec){0, 50000000}, NULL); /* time is what is measured here */
    int spins = count_of(WORKER_SPINS) + count_of(HOST_SPINS);
    unsigned long long before = ticks_of(pids, WORKERS);
    nanosleep(&window, NULL);
    assert_int_equal(count_of(WORKER_SPINS) + count_of(HOST_SPINS), spins);
    assert_in_range(ticks_of(pids, WORKERS) - before, 0, 2);
    pool_destroy(pool);
}

/* ---- what goes on meanwhile */

/* The thread that is told so stays in its spin, at its next look at the clock. */
static _Thread_local bool spins, stays;

bool __wrap_pool__spin_may(struct pool__spin *spin)
{
    spins = __real_pool__spin_may(spin);
    return spins;
}

uint64_t __wrap_pool__now(void)
{
    if (spins && stays) {
        stays = false;
        gate_pass(&ground->gate[1]);
    }
    return __real_pool__now();
}

static void *spins_on(void *argument)
{
    stays = true;
    return waits_at_gate(argument);
}

/* In the middle of its spin a thread holds no lock: others submit, and look. */
static void who_spins_holds_nobody_up(void **state)
{
    struct caller caller = {.pool = made(pool_that_spins("20"))};
    struct pool_stats stats;
    long two = 2;

    (void)state;
    if (!have_processors())
        skip();
    assert_int_equal(pthread_create(&caller.thread, NULL, spins_on, &caller), 0);
    assert_true(gate_wait_arrived(&ground->gate[1], 1));
    struct pool_future *future = made(pool_apply_async(caller.pool, task_square, &two, sizeof two, NULL));
    assert_status(pool_get_stats(caller.pool, &stats), POOL_OK);
    assert_int_equal(stats.submitted, 2);
    gate_open(&ground->gate[1]);
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    end_caller(&caller);
    pool_future_free(future);
    pool_destroy(caller.pool);
}

/* On the board and in the pipe, or too large for both: each result is whole. */
static void results_of_all_sizes(void **state)
{
    static unsigned char sent[100000], got[100000];
    struct pool *pool = made(pool_that_spins("1000"));
    unsigned number = 1;

    (void)state;
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (unsigned char)((number = number * 1103515245 + 12345) >> 16);
    for (int i = 0; i < 3000; i++) {
        number = number * 1103515245 + 12345;
        size_t size = (number >> 8) % (i % 50 == 0 ? sizeof sent : i % 5 == 0 ? 5000 : 300);
        size_t from = (sizeof sent - size) / 2;
        assert_status(pool_apply(pool, task_echo, sent + from, size, got, size, NULL), POOL_OK);
        assert_memory_equal(got, sent + from, size);
    }
    pool_destroy(pool);
}

/* A worker that is killed while it looks at its board for the next task, and one that is killed while the host looks for its result. */
static void deaths_meanwhile(void **state)
{
    struct pool *pool = made(pool_that_spins("1000"));
    struct pool_stats stats;

    (void)state;
    for (int i = 0; i < 30; i++) {
        pid_t pid = 0;
        assert_status(pool_apply(pool, task_pid, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_true(square_many(pool, 3));
        if (i % 10 == 0)
            assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    assert_int_equal(stats.crashed, 3);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(nobody_wakes_himself),
        PROCESS_TEST(a_deadline_reaches_who_sleeps),
        PROCESS_TEST(everybody_is_woken),
        PROCESS_TEST(both_sides_spin),
        PROCESS_TEST(it_may_be_forbidden),
#if defined(__linux__) && !defined(POOL__PORTABLE)
        PROCESS_TEST(never_with_one_processor),
#endif
        PROCESS_TEST(what_does_not_pay_is_left),
        PROCESS_TEST(after_work_it_rests),
        PROCESS_TEST(who_spins_holds_nobody_up),
        PROCESS_TEST(results_of_all_sizes),
        PROCESS_TEST(deaths_meanwhile),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
