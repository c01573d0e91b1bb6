/*
 * The wall clock moves by ten years forth and back all the time: nothing of the pool looks at it.
 *
 * The functions below stand in for the C library's, in this program and so in the library that is linked into it, and in its workers.
 */
#define _GNU_SOURCE /* RTLD_NEXT; before the first header */

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#define TEN_YEARS (time_t)(10 * 365 * 86400)

static struct counts {
    atomic_int wall;    /* looks at the wall clock */
    atomic_int strange; /* timed waits on a condition whose end is not near the monotonic clock */
    atomic_int timed;   /* such waits at all: where the condition had another clock, each would end at once */
} *counts; /* of all processes */

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

/* ISO C has no conversion between the two kinds of pointer. */
#define REAL(pointer, name) \
    do { \
        void *found_ = dlsym(RTLD_NEXT, name); \
        memcpy(&(pointer), &found_, sizeof found_); \
    } while (0)

static time_t tens_of_years(void)
{
    int looks = counts ? atomic_fetch_add(&counts->wall, 1) : 0;

    return looks % 2 ? TEN_YEARS : -TEN_YEARS;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!real_clock_gettime)
        REAL(real_clock_gettime, "clock_gettime");
    int status = real_clock_gettime(clock, now);
    if (status == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += tens_of_years();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place)
{
    struct timespec exact;

    clock_gettime(CLOCK_REALTIME, &exact);
    if (place)
        *place = exact.tv_sec;
    return exact.tv_sec;
}

/* The end is a time of the monotonic clock, which is far from the wall clock's. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (counts)
        atomic_fetch_add(&counts->timed, 1);
    if (counts && (end->tv_sec < now.tv_sec - 1000 || end->tv_sec > now.tv_sec + 1000))
        atomic_fetch_add(&counts->strange, 1);
    return real_timedwait(condition, mutex, end);
}

/* ---- the pool's timed calls */

static int64_t now_us(void)
{
    struct timespec now;

    real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A wait by one who does not hold the I/O role: he sleeps on a condition. */
static void *wait_beside(void *future)
{
    int64_t start = now_us();
    bool right = pool_future_wait(future, 60) == POOL_TIMEOUT && now_us() - start >= 60000;

    return right ? future : NULL;
}

static void use_every_timer(unsigned flags)
{
    struct pool_options options = {.flags = flags, .tasks_per_worker = 5, .start_timeout_ms = 20000};
    struct pool *pool = made(pool_create(2, &options));
    long items[60], squares[60];
    pthread_t threads[3];
    int64_t start;

    for (long i = 0; i < 60; i++)
        items[i] = i;
    assert_status(pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], NULL), POOL_OK);
    for (long i = 0; i < 60; i++)
        assert_int_equal(squares[i], i * i);
    struct pool_future *future = start_gated(pool, 0, 7, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_beside, future), 0);
    start = now_us();
    assert_status(pool_future_wait(future, 80), POOL_TIMEOUT);
    assert_in_range(now_us() - start, 80000, 80000 + 3000000 * time_scale());
    for (int i = 0; i < 3; i++) {
        void *right;
        pthread_join(threads[i], &right);
        assert_ptr_equal(right, future);
    }
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    gate_open(&ground->gate[0]);
    release(&future, 1);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, 20000), POOL_OK);
    pool_destroy(pool);
}

static int child_sleeps(void *argument)
{
    (void)argument;
    gate_pass(&ground->gate[1]);
    return 3;
}

static void wall_clock_moved(void **state)
{
    (void)state;
    int before = atomic_load(&counts->wall); /* cmocka looks at it between tests */
    use_every_timer(0);
    ground_make();
    use_every_timer(POOL_NO_THREAD);
    struct pool_process *process = made(pool_process_start(child_sleeps, NULL));
    int64_t start = now_us();
    assert_status(pool_process_join(process, 50), POOL_TIMEOUT);
    assert_true(now_us() - start >= 50000);
    gate_open(&ground->gate[1]);
    assert_status(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 3);
    pool_process_free(process);
    assert_int_equal(atomic_load(&counts->strange), 0);
    assert_in_range(atomic_load(&counts->timed), 1, 200);
    assert_int_equal(atomic_load(&counts->wall), before);
}

/* The tools above work: what looks at the wall clock is seen. */
static void looks_are_seen(void **state)
{
    (void)state;
    int before = atomic_load(&counts->wall);
    time_t one = time(NULL), other = time(NULL);
    assert_int_equal(atomic_load(&counts->wall), before + 2);
    assert_true(one - other > TEN_YEARS || other - one > TEN_YEARS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(wall_clock_moved),
        PROCESS_TEST(looks_are_seen),
    };

    if (UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER) /* which stand in for the same functions */
        return 77;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    REAL(real_clock_gettime, "clock_gettime");
    REAL(real_timedwait, "pthread_cond_timedwait");
    counts = shared_memory(sizeof *counts);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
