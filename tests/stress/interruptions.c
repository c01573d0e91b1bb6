/*
 * Signals by the ten thousand, with and without SA_RESTART, to every thread of the program and to its workers, while workers are killed: each
 * item has its one outcome, and no wait is shorter than asked.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/storm.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

enum { PAUSE_US = 100, VICTIMS = 3, MAPPED = 8000, ITERATED = 3000 };

/* ---- who interrupts */

static volatile sig_atomic_t interruptions;

static void note_interruption(int number)
{
    (void)number;
    interruptions++;
}

struct pest {
    pthread_t   victims[VICTIMS];
    int         count;
    atomic_bool over;
    pthread_t   thread;
};

static void *interrupt_all(void *argument)
{
    struct pest *pest = argument;
    struct timespec pause = {.tv_nsec = PAUSE_US * 1000};

    while (!atomic_load(&pest->over)) {
        for (int i = 0; i < pest->count; i++)
            pthread_kill(pest->victims[i], SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void pest_begin(struct pest *pest)
{
    atomic_store(&pest->over, false);
    assert_int_equal(pthread_create(&pest->thread, NULL, interrupt_all, pest), 0);
}

static void pest_end(struct pest *pest)
{
    atomic_store(&pest->over, true);
    pthread_join(pest->thread, NULL);
}

static void take_interruptions(int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = note_interruption;
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, NULL);
}

/* A worker's own clock interrupts its reads and writes, and its tasks. */
static int interrupt_this_worker(void **unused, void *flags)
{
    struct itimerval often = {{0, 5 * PAUSE_US}, {0, 5 * PAUSE_US}};
    struct sigaction action;

    (void)unused;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_interruption;
    action.sa_flags = *(int *)flags;
    sigaction(SIGALRM, &action, NULL);
    return setitimer(ITIMER_REAL, &often, NULL);
}

/* ---- waits */

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct waiter {
    struct pool_future *future;
    pthread_t           thread;
    atomic_bool         over;
    unsigned            waits, short_ones;
};

static void *wait_again_and_again(void *argument)
{
    struct waiter *waiter = argument;

    for (int limit = 1; !atomic_load(&waiter->over); limit = limit % 30 + 1) {
        int64_t start = now_us();
        enum pool_status status = pool_future_wait(waiter->future, limit);
        waiter->waits++;
        waiter->short_ones += status != POOL_TIMEOUT || now_us() - start < (int64_t)limit * 1000;
    }
    return NULL;
}

static void waiter_begin(struct waiter *waiter, struct pool_future *future)
{
    *waiter = (struct waiter){.future = future};
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_again_and_again, waiter), 0);
}

static unsigned waiter_end(struct waiter *waiter)
{
    atomic_store(&waiter->over, true);
    pthread_join(waiter->thread, NULL);
    assert_int_equal(waiter->short_ones, 0);
    return waiter->waits;
}

/* ---- a storm in which everybody is interrupted */

static void map_all(struct storm *storm, size_t count)
{
    size_t *places = places_of(count);
    uint64_t *answers = made(calloc(count, sizeof *answers));
    enum pool_status *statuses = made(calloc(count, sizeof *statuses));
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct tally tally = {0};
    unsigned before = storm->kills;

    pool_map(storm->pool, task_does_its_deed, pool_items(places, count, sizeof *places), answers, sizeof *answers, &job);
    for (size_t i = 0; i < count; i++)
        judge(&tally, i, statuses[i], &answers[i]);
    assert_int_equal(tally.ok + tally.crashed, count);
    assert_true(tally.crashed <= storm->kills - before + 1);
    free(places);
    free(answers);
    free(statuses);
}

static void iterate_all(struct storm *storm, size_t count)
{
    size_t *places = places_of(count), seen = 0;
    const struct pool_result *result;
    struct pool_source items = pool_items(places, count, sizeof *places);
    struct tally tally = {0};

    struct pool_iterator *iterator = made(pool_imap(storm->pool, task_does_its_deed, items, NULL));
    for (enum pool_status status; (status = pool_iterator_next(iterator, 5, &result)) != POOL_END;) {
        if (status == POOL_TIMEOUT)
            continue;
        assert_status(status, POOL_OK);
        assert_int_equal(result->index, seen);
        judge(&tally, seen++, result->status, result->status == POOL_OK ? result->data : NULL);
    }
    assert_int_equal(seen, count);
    pool_iterator_free(iterator);
    free(places);
}

static void other_pools(void)
{
    static unsigned char large[3 << 20], back[3 << 20];
    struct pool *pool = made(pool_create(2, NULL));

    memset(large, 0x5c, sizeof large);
    memset(back, 0, sizeof back);
    assert_status(pool_apply(pool, task_echo, large, sizeof large, back, sizeof back, NULL), POOL_OK);
    assert_memory_equal(large, back, sizeof large);
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

static int task_rests(struct pool_task *task)
{
    (void)task;
    while (!atomic_load(&ground->gate[0].opened))
        pause_briefly();
    return 0;
}

static void interrupted(int flags, unsigned pool_flags)
{
    struct pool_options options = {
        .initializer = interrupt_this_worker, .initializer_arg = &flags, .flags = pool_flags};
    deeds_clear(MAPPED);
    struct storm storm = {.pause_us = 5000, .pool = made(pool_create(STORM_WORKERS, &options))};
    /* a pool of its own for those who only wait: the storm must not meet their task */
    struct pool *quiet = made(pool_create(1, NULL));
    struct pool_future *future = made(pool_apply_async(quiet, task_rests, NULL, 0, NULL));
    struct waiter waiters[VICTIMS - 1];
    struct pest pest = {.count = VICTIMS, .victims = {pthread_self()}};
    unsigned waits = 0;

    interruptions = 0;
    take_interruptions(flags);
    for (int i = 0; i < VICTIMS - 1; i++) {
        waiter_begin(&waiters[i], future);
        pest.victims[i + 1] = waiters[i].thread;
    }
    storm_begin(&storm);
    pest_begin(&pest);
    for (size_t round = 0; round < scaled(3); round++) {
        map_all(&storm, MAPPED);
        iterate_all(&storm, ITERATED);
        other_pools();
    }
    pest_end(&pest);
    storm_end(&storm);
    for (int i = 0; i < VICTIMS - 1; i++)
        waits += waiter_end(&waiters[i]);
    gate_open(&ground->gate[0]);
    print_message("    %d interruptions, %u kills, %u waits\n", (int)interruptions, storm.kills, waits);
    assert_true(interruptions > 100);
    check_calm(storm.pool);
    release(&future, 1);
    pool_destroy(quiet);
    pool_destroy(storm.pool);
    signal(SIGUSR1, SIG_DFL);
}

static void without_restart(void **state)
{
    (void)state;
    interrupted(0, 0);
}

static void with_restart(void **state)
{
    (void)state;
    interrupted(SA_RESTART, 0);
}

static void without_threads(void **state)
{
    (void)state;
    interrupted(0, POOL_NO_THREAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(without_restart),
        PROCESS_TEST(with_restart),
        PROCESS_TEST(without_threads),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (UNDER_THREAD_SANITIZER) /* which delivers signals when it likes */
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
