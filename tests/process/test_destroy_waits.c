/* pool_destroy() returns when no other thread is in a call on the pool any more (rule 33). */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <pthread.h>

#define LOOK_MS 50 /* how long a destroy that should not return is watched after all else has ended */

/* One thread is in a call whose source does not return; another destroys the pool. */
struct stage {
    struct pool          *pool;
    struct pool_iterator *iterator;
    enum pool_status      status;      /* of that call */
    bool                  has_item;    /* the source gives one before it waits */
    atomic_int            source_left; /* the source has returned for good */
    atomic_int            destroyed;   /* pool_destroy() has */
    bool                  too_early;   /* and that before the source */
};

static int wait_at_gate_0(void *context, const void **item, size_t *size)
{
    static const int nothing;
    struct stage *stage = context;

    if (stage->has_item) {
        stage->has_item = false;
        *item = &nothing;
        *size = sizeof nothing;
        return 1;
    }
    gate_pass(&ground->gate[0]);
    atomic_store(&stage->source_left, 1);
    return 0;
}

static void *call_next(void *argument)
{
    struct stage *stage = argument;
    const struct pool_result *result;

    stage->status = pool_iterator_next(stage->iterator, POOL_FOREVER, &result);
    return NULL;
}

static void *call_map(void *argument)
{
    struct stage *stage = argument;

    stage->status = pool_map(stage->pool, task_nothing, pool_generate(wait_at_gate_0, stage), NULL, 0, NULL);
    return NULL;
}

static void *destroy(void *argument)
{
    struct stage *stage = argument;

    pool_destroy(stage->pool);
    stage->too_early = !atomic_load(&stage->source_left);
    atomic_store(&stage->destroyed, 1);
    return NULL;
}

/* The pool's processes have gone, and the destroy still waits for the call; that ends, and so does the destroy. */
static void check_destroy_waits(struct stage *stage, void *(*call)(void *))
{
    pthread_t caller, destroyer;

    assert_int_equal(pthread_create(&caller, NULL, call, stage), 0);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_int_equal(pthread_create(&destroyer, NULL, destroy, stage), 0);
    assert_true(audit_wait_alone(5000));
    int64_t end = time_now_ms() + LOOK_MS;
    while (time_now_ms() < end && !atomic_load(&stage->destroyed))
        pause_briefly();
    assert_false(atomic_load(&stage->destroyed));
    gate_open(&ground->gate[0]);
    assert_int_equal(pthread_join(caller, NULL), 0);
    assert_int_equal(pthread_join(destroyer, NULL), 0);
    assert_false(stage->too_early);
}

static void for_a_thread_in_next(void **state)
{
    static const unsigned flags[] = {0, POOL_NO_THREAD};

    (void)state;
    for (int round = 0; round < 2; round++) {
        struct stage stage = {.status = POOL_OK};
        struct pool_job job = {.window = 1};
        const struct pool_result *result;
        stage.pool = made(pool_create(1, &(struct pool_options){.flags = flags[round]}));
        gate_shut(&ground->gate[0]);
        stage.has_item = true; /* for pool_imap(), which asks too */
        stage.iterator = made(pool_imap(stage.pool, task_nothing, pool_generate(wait_at_gate_0, &stage), &job));
        assert_status(pool_iterator_next(stage.iterator, POOL_FOREVER, &result), POOL_OK);
        check_destroy_waits(&stage, call_next);
        assert_status(stage.status, POOL_TERMINATED);
        pool_iterator_free(stage.iterator);
    }
}

static void for_a_thread_in_map(void **state)
{
    struct stage stage = {.status = POOL_INVALID};

    (void)state;
    stage.pool = made(pool_create(2, NULL));
    check_destroy_waits(&stage, call_map);
    assert_true(stage.status == POOL_TERMINATED || stage.status == POOL_OK); /* an empty map, or one cut off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(for_a_thread_in_next),
        PROCESS_TEST(for_a_thread_in_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
