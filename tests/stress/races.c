/*
 * Races by the thousand: a cancel, with or without kill, against the result, the deadline and the pool's end; and thirty-two threads that use
 * one pool for all it offers. Each task has one outcome, and all who tell it agree.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/scale.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

enum { WORKERS = 4, RACERS = 8, THREADS = 32, AT_ONCE = 16 };

/* ---- who tells what of one task */

struct course {
    atomic_int starts;     /* in the worker */
    atomic_int told;       /* callbacks */
    atomic_int told_status;
};

static struct course *courses; /* in memory shared with the workers */

struct order {
    uint32_t place, us;
};

static int task_runs(struct pool_task *task)
{
    struct order order;
    struct timespec start, now;

    memcpy(&order, task->arg, sizeof order);
    atomic_fetch_add(&courses[order.place].starts, 1);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        if (order.us % 3 == 0 && pool_cancelled(task))
            return 1;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 < (long)order.us);
    return pool_return(task, &order.place, sizeof order.place);
}

static void note_end(void *user, const struct pool_result *result)
{
    struct course *course = user;

    atomic_store(&course->told_status, (int)result->status);
    atomic_fetch_add(&course->told, 1);
}

struct racer {
    struct pool *pool;
    pthread_t    thread;
    struct dice  dice;
    uint32_t     first, count; /* its places */
    unsigned     ok, expired, cancelled, wrong;
};

/* The statuses that there can be, and what must be so in each. */
static bool is_right(struct racer *racer, uint32_t place, enum pool_status cancel, enum pool_status status,
                     const struct pool_result *result)
{
    int starts = atomic_load(&courses[place].starts);

    if (!result || result->status != status || starts > 1 || (cancel == POOL_OK && status != POOL_CANCELLED))
        return false;
    switch (status) {
    case POOL_OK:
        racer->ok++;
        return starts == 1 && result->size == sizeof place && memcmp(result->data, &place, sizeof place) == 0;
    case POOL_EXPIRED:
        racer->expired++;
        return true;
    case POOL_CANCELLED: /* without having been told so: it heard the question, and gave up */
        racer->cancelled++;
        return true;
    default:
        return false;
    }
}

static void race_once(struct racer *racer, uint32_t place)
{
    struct pool_future *futures[AT_ONCE];
    enum pool_status cancels[AT_ONCE];
    uint32_t count = 1 + dice_throw(&racer->dice, AT_ONCE);

    if (place + count > racer->first + racer->count)
        count = racer->first + racer->count - place;
    for (uint32_t i = 0; i < count; i++) {
        struct order order = {.place = place + i, .us = dice_throw(&racer->dice, 1500)};
        struct pool_job job = {.callback = note_end, .user = &courses[place + i]};
        job.deadline_ms = dice_throw(&racer->dice, 2) ? 1 : 0;
        futures[i] = pool_apply_async(racer->pool, task_runs, &order, sizeof order, &job);
        cancels[i] = POOL_TIMEOUT; /* none was tried */
    }
    for (uint32_t spin = dice_throw(&racer->dice, 50000); spin > 0; spin--)
        atomic_load(&courses[place].told);
    for (uint32_t i = 0; i < count; i++)
        if (dice_throw(&racer->dice, 4))
            cancels[i] = pool_future_cancel(futures[i], dice_throw(&racer->dice, 2));
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_result *result = NULL;
        enum pool_status status = pool_future_get(futures[i], POOL_FOREVER, &result);
        racer->wrong += !is_right(racer, place + i, cancels[i], status, result);
        racer->wrong += pool_future_cancel(futures[i], true) != POOL_INVALID; /* too late */
        pool_future_free(futures[i]);
    }
}

static void *race(void *argument)
{
    struct racer *racer = argument;
    uint32_t done = 0;

    while (done < racer->count) {
        uint32_t left = racer->count - done, step = left < AT_ONCE ? left : AT_ONCE;
        race_once(racer, racer->first + done);
        done += step; /* some places stay unused: a race may take fewer */
    }
    return NULL;
}

static void one_outcome_each(void **state)
{
    struct racer racers[RACERS];
    uint32_t each = (uint32_t)scaled(1500), all = RACERS * each;
    unsigned ok = 0, expired = 0, cancelled = 0;

    (void)state;
    stress_begin();
    courses = shared_memory(all * sizeof *courses);
    struct pool *pool = made(pool_create(WORKERS, NULL));
    for (uint32_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.pool = pool, .first = i * each, .count = each, .dice = {.state = 77 + i}};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[i].wrong, 0);
        ok += racers[i].ok;
        expired += racers[i].expired;
        cancelled += racers[i].cancelled;
    }
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK); /* all callbacks have returned */
    unsigned told = 0;
    for (uint32_t i = 0; i < all; i++) {
        assert_in_range(atomic_load(&courses[i].told), 0, 1);
        assert_in_range(atomic_load(&courses[i].starts), 0, 1);
        told += (unsigned)atomic_load(&courses[i].told);
    }
    assert_int_equal(told, ok + expired + cancelled);
    print_message("    %u races: %u ok, %u expired, %u cancelled\n", told, ok, expired, cancelled);
    pool_destroy(pool);
    shared_memory_free((void *)courses, all * sizeof *courses);
}

/* ---- many threads */

struct user {
    struct pool *pool;
    pthread_t    thread;
    struct dice  dice;
    size_t       rounds;
    unsigned     wrong, deaths;
};

static void use_map(struct user *user)
{
    enum { ITEMS = 40 };
    long items[ITEMS], squares[ITEMS];
    struct pool_job job = {.chunk = dice_throw(&user->dice, 9), .deadline_ms = 20000};

    for (long i = 0; i < ITEMS; i++)
        items[i] = i + (long)dice_throw(&user->dice, 1000);
    user->wrong += pool_map(user->pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job) != POOL_OK;
    for (long i = 0; i < ITEMS; i++)
        user->wrong += squares[i] != items[i] * items[i];
}

static void use_iterator(struct user *user)
{
    const struct pool_result *result;
    size_t count = 1 + dice_throw(&user->dice, 40), stop = dice_throw(&user->dice, 60), got = 0;
    struct pool_iterator *iterator = pool_imap_unordered(user->pool, task_index, pool_items(NULL, count, 0), NULL);

    user->wrong += !iterator;
    while (got < stop && pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK)
        user->wrong += result->status != POOL_OK || ++got > count;
    user->wrong += stop > count && got != count;
    pool_iterator_free(iterator);
}

static void use_futures(struct user *user)
{
    enum { FUTURES = 6 };
    struct pool_future *futures[FUTURES];
    long square;

    for (long i = 0; i < FUTURES; i++)
        futures[i] = pool_apply_async(user->pool, task_square, &i, sizeof i, NULL);
    if (dice_throw(&user->dice, 2))
        pool_future_cancel(futures[FUTURES - 1], false);
    user->wrong += pool_wait_all(futures, FUTURES, POOL_FOREVER) != POOL_OK;
    for (long i = 0; i < FUTURES - 1; i++)
        user->wrong += pool_future_read(futures[i], 0, &square, sizeof square) != POOL_OK || square != i * i;
    for (long i = 0; i < FUTURES; i++)
        pool_future_free(futures[i]);
}

static void use_death(struct user *user)
{
    struct pool_job job = {.retries = dice_throw(&user->dice, 3)};
    const struct pool_result *result;
    struct pool_future *future = pool_apply_async(user->pool, task_killed, NULL, 0, &job);

    user->wrong += pool_future_get(future, POOL_FOREVER, &result) != POOL_CRASHED || result->attempts != job.retries + 1;
    user->deaths += job.retries + 1;
    pool_future_free(future);
}

static void *use_all(void *argument)
{
    struct user *user = argument;

    for (size_t i = 0; i < user->rounds; i++) {
        switch (dice_throw(&user->dice, 8)) {
        case 0:
        case 1:
            use_map(user);
            break;
        case 2:
        case 3:
            use_iterator(user);
            break;
        case 4:
            if (i % 8 == 0)
                use_death(user);
            break;
        default:
            use_futures(user);
            break;
        }
    }
    return NULL;
}

static void many_threads(void **state)
{
    static struct user users[THREADS];
    struct pool_stats stats;
    unsigned deaths = 0;

    (void)state;
    stress_begin();
    struct pool *pool = made(pool_create(WORKERS, NULL));
    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (struct user){.pool = pool, .rounds = scaled(150), .dice = {.state = 1000 + i}};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use_all, &users[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
        assert_int_equal(users[i].wrong, 0);
        deaths += users[i].deaths;
    }
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_status(pool_get_stats(pool, &stats), POOL_OK);
    print_message("    %d threads, %llu tasks and items, %u deaths\n", THREADS, (unsigned long long)stats.finished, deaths);
    assert_int_equal(stats.queued + stats.running, 0);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(one_outcome_each),
        PROCESS_TEST(many_threads),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
