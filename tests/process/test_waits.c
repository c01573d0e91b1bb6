/* Every call that waits, with every kind of time limit: never early, never without end, and what is no time limit is refused. */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <limits.h>
#include <pthread.h>
#include <time.h>

/* What there is to wait for; nothing of it comes before gate 0 is opened. */
struct scene {
    struct pool          *pool; /* closed */
    struct pool_future   *future, *second;
    struct pool_iterator *iterator;
    struct pool_process  *process;
};

static enum pool_status wait_future(const struct scene *scene, int timeout_ms)
{
    return pool_future_wait(scene->future, timeout_ms);
}

static enum pool_status get_future(const struct scene *scene, int timeout_ms)
{
    const struct pool_result *result = (const void *)scene;
    enum pool_status status = pool_future_get(scene->future, timeout_ms, &result);

    if (status == POOL_TIMEOUT)
        assert_null(result);
    return status;
}

static enum pool_status read_future(const struct scene *scene, int timeout_ms)
{
    long value = -1;

    return pool_future_read(scene->future, timeout_ms, &value, sizeof value);
}

static enum pool_status wait_any(const struct scene *scene, int timeout_ms)
{
    struct pool_future *futures[] = {scene->second, NULL, scene->future};
    size_t which = 77;

    return pool_wait_any(futures, 3, timeout_ms, &which);
}

static enum pool_status wait_all(const struct scene *scene, int timeout_ms)
{
    struct pool_future *futures[] = {scene->second, NULL, scene->future};

    return pool_wait_all(futures, 3, timeout_ms);
}

static enum pool_status next_of_iterator(const struct scene *scene, int timeout_ms)
{
    const struct pool_result *result;

    return pool_iterator_next(scene->iterator, timeout_ms, &result);
}

static enum pool_status join_pool(const struct scene *scene, int timeout_ms)
{
    return pool_join(scene->pool, timeout_ms);
}

static enum pool_status join_process(const struct scene *scene, int timeout_ms)
{
    return pool_process_join(scene->process, timeout_ms);
}

static const struct call {
    const char *name;
    enum pool_status (*wait)(const struct scene *scene, int timeout_ms);
} calls[] = {
    {"pool_future_wait", wait_future},   {"pool_future_get", get_future},      {"pool_future_read", read_future},
    {"pool_wait_any", wait_any},         {"pool_wait_all", wait_all},          {"pool_iterator_next", next_of_iterator},
    {"pool_process_join", join_process}, {"pool_join", join_pool},
};
enum { CALLS = sizeof calls / sizeof calls[0] };

static int child_waits(void *argument)
{
    (void)argument;
    return gate_pass(&ground->gate[0]) ? 0 : 1;
}

static struct scene scene_make(unsigned flags)
{
    static const struct gated order = {.gate = 0, .value = 5};
    struct pool_options options = {.flags = flags};
    struct scene scene = {.process = made(pool_process_start(child_waits, NULL))};

    scene.pool = made(pool_create(2, &options));
    scene.future = start_gated(scene.pool, 0, 5, NULL);
    scene.second = start_gated(scene.pool, 0, 6, NULL);
    scene.iterator = made(pool_imap(scene.pool, task_gated, pool_items(&order, 1, sizeof order), NULL));
    assert_status(pool_close(scene.pool), POOL_OK);
    return scene;
}

static void scene_end(struct scene *scene)
{
    gate_open(&ground->gate[0]);
    pool_iterator_free(scene->iterator);
    release(&scene->future, 1);
    release(&scene->second, 1);
    assert_status(pool_join(scene->pool, POOL_FOREVER), POOL_OK);
    pool_destroy(scene->pool);
    assert_status(pool_process_join(scene->process, POOL_FOREVER), POOL_OK);
    pool_process_free(scene->process);
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void never_early(void **state)
{
    static const int limits[] = {0, 1, 2, 17, 100};

    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        struct scene scene = scene_make(flags);
        for (size_t i = 0; i < CALLS; i++) {
            for (size_t j = 0; j < sizeof limits / sizeof limits[0]; j++) {
                int64_t start = now_us();
                enum pool_status status = calls[i].wait(&scene, limits[j]);
                int64_t took = now_us() - start;
                if (status != POOL_TIMEOUT || took < (int64_t)limits[j] * 1000 || took > 5000000 * time_scale())
                    fail_msg("%s(%d ms) returned %s after %ld us", calls[i].name, limits[j], pool_status_name(status),
                             (long)took);
            }
        }
        scene_end(&scene);
        ground_make();
    }
}

static void what_is_no_time_limit(void **state)
{
    static const int limits[] = {-2, -1000, INT_MIN, INT_MIN + 1};

    (void)state;
    struct scene scene = scene_make(0);
    for (size_t i = 0; i < CALLS; i++)
        for (size_t j = 0; j < sizeof limits / sizeof limits[0]; j++)
            assert_refused(calls[i].wait(&scene, limits[j]), "timeout");
    scene_end(&scene);
}

/* The gate opens when all the waits stand, which the longest limits do not end before. */
struct waiter {
    const struct scene *scene;
    const struct call  *call;
    int                 limit;
    enum pool_status    status;
    pthread_t           thread;
};

static void *wait_long(void *argument)
{
    struct waiter *waiter = argument;

    atomic_fetch_add(&ground->count[1], 1);
    waiter->status = waiter->call->wait(waiter->scene, waiter->limit);
    atomic_fetch_add(&ground->count[2], 1);
    return NULL;
}

static void the_longest(void **state)
{
    static const int limits[] = {POOL_FOREVER, INT_MAX, INT_MAX - 1, INT_MAX / 1000, 86400000};
    enum { LIMITS = sizeof limits / sizeof limits[0] };
    static struct waiter waiters[CALLS * LIMITS];

    (void)state;
    struct scene scene = scene_make(0);
    for (size_t i = 0; i < CALLS * LIMITS; i++) {
        waiters[i] = (struct waiter){.scene = &scene, .call = &calls[i % CALLS], .limit = limits[i / CALLS]};
        if (calls[i % CALLS].wait == next_of_iterator && i >= CALLS)
            waiters[i].limit = POOL_FOREVER; /* there is one item, and the end */
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_long, &waiters[i]), 0);
    }
    assert_true(counter_wait(&ground->count[1], CALLS * LIMITS));
    for (int i = 0; i < 100; i++)
        pause_briefly();
    assert_int_equal(atomic_load(&ground->count[2]), 0);
    gate_open(&ground->gate[0]);
    for (size_t i = 0; i < CALLS * LIMITS; i++) {
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
        if (waiters[i].call->wait == next_of_iterator && waiters[i].status == POOL_END)
            continue;
        if (waiters[i].status != POOL_OK)
            fail_msg("%s(%d ms) returned %s", waiters[i].call->name, waiters[i].limit,
                     pool_status_name(waiters[i].status));
    }
    scene_end(&scene);
}

/* In the end every limit is right, those that only look too. */
static void afterwards(void **state)
{
    static const int limits[] = {0, 1, POOL_FOREVER, INT_MAX};

    (void)state;
    struct scene scene = scene_make(0);
    gate_open(&ground->gate[0]);
    for (size_t i = 0; i < CALLS; i++) {
        enum pool_status told = calls[i].wait == next_of_iterator ? POOL_END : POOL_OK;
        assert_status(calls[i].wait(&scene, POOL_FOREVER), POOL_OK);
        for (size_t j = 0; j < sizeof limits / sizeof limits[0]; j++)
            assert_status(calls[i].wait(&scene, limits[j]), told);
    }
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(never_early),
        PROCESS_TEST(what_is_no_time_limit),
        PROCESS_TEST(the_longest),
        PROCESS_TEST(afterwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
