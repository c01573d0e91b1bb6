/* Row 17: several threads in pool_apply at once. */
#include <procpool.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "tasks.h"

enum { THREADS = 8 };

struct threads_side {
    struct pool *pool;
    size_t threads;
    double seconds;
};

struct caller {
    struct pool *pool;
    atomic_bool *enough;
    size_t calls;
};

static void *call_on(void *context)
{
    struct caller *caller = context;

    while (!atomic_load_explicit(caller->enough, memory_order_relaxed)) {
        long value = (long)(caller->calls % 1000), result;
        must(pool_apply(caller->pool, task_square, &value, sizeof value, &result, sizeof result, NULL));
        if (result != value * value)
            give_up("a thread got another's answer");
        caller->calls++;
    }
    return NULL;
}

/* Calls of all threads in some time; *slowest is the least of one, as a part of the mean. */
static double run_threads(const struct threads_side *side, double *slowest)
{
    struct timespec pause = {(time_t)side->seconds, (long)((side->seconds - (double)(time_t)side->seconds) * 1e9)};
    struct caller callers[THREADS];
    pthread_t threads[THREADS];
    atomic_bool enough = false;
    double start = seconds_now(), seconds;
    size_t sum = 0, least = (size_t)-1;

    for (size_t i = 0; i < side->threads; i++) {
        callers[i] = (struct caller){side->pool, &enough, 0};
        if (pthread_create(&threads[i], NULL, call_on, &callers[i]) != 0)
            give_up("no thread");
    }
    nanosleep(&pause, NULL);
    atomic_store(&enough, true);
    for (size_t i = 0; i < side->threads; i++) {
        pthread_join(threads[i], NULL);
        sum += callers[i].calls;
        least = callers[i].calls < least ? callers[i].calls : least;
    }
    seconds = seconds_now() - start;
    *slowest = sum > 0 ? (double)least * (double)side->threads / (double)sum : 0;
    return (double)sum / seconds / 1e3;
}

static double threads_rate(void *context)
{
    double slowest;

    return run_threads(context, &slowest);
}

void row_threads(struct bench *bench)
{
    double seconds = bench->quick ? 0.05 : 0.5, shares[32];
    struct pool *pool = pool_made(pool_create(0, NULL));
    struct threads_side many = {pool, THREADS, seconds}, one = {pool, 1, seconds};
    unsigned rounds = bench->rounds < 32 ? bench->rounds : 32;

    contest(bench, "8 threads in pool_apply", "k/s",
            (struct side[]){{"pool", threads_rate, &many, false}, {"one thread", threads_rate, &one, false}}, 2,
            GOAL_AT_LEAST(1.0));
    for (unsigned i = 0; i < rounds; i++)
        run_threads(&many, &shares[i]);
    report_figure(bench->report, "the slowest thread's share of the mean", "", median(shares, rounds),
                  GOAL_AT_LEAST(0.5));
    pool_destroy(pool);
}
