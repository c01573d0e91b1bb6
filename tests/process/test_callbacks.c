/* Callbacks: when they come, on which thread, how often; progress calls alike. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <pthread.h>

static void close_and_join(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

/* What all callbacks of a test note. */
struct notes {
    atomic_int calls, inside, overlaps, on_caller, on_another;
    pthread_t  caller;
    pthread_t  first;
    atomic_int by_status[POOL_SYSTEM + 1];
    long       sum;
};

static struct notes notes;

static void begin_notes(void)
{
    memset(&notes, 0, sizeof notes);
    notes.caller = pthread_self();
}

static void note(void *user, const struct pool_result *result)
{
    (void)user;
    if (atomic_fetch_add(&notes.inside, 1) > 0)
        atomic_fetch_add(&notes.overlaps, 1);
    if (pthread_equal(pthread_self(), notes.caller))
        atomic_fetch_add(&notes.on_caller, 1);
    if (atomic_load(&notes.calls) == 0)
        notes.first = pthread_self();
    else if (!pthread_equal(pthread_self(), notes.first))
        atomic_fetch_add(&notes.on_another, 1);
    atomic_fetch_add(&notes.by_status[result->status], 1);
    if (result->status == POOL_OK && result->size == sizeof(long)) {
        long value;
        memcpy(&value, result->data, sizeof value);
        notes.sum += value; /* no lock: they run one at a time */
    }
    atomic_fetch_sub(&notes.inside, 1);
    atomic_fetch_add(&notes.calls, 1);
}

static void each_once_one_at_a_time_on_one_thread(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    struct pool_job job = {.callback = note};
    long expected = 0;
    begin_notes();
    for (long i = 0; i < 1000; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_square, &i, sizeof i, &job));
        expected += i * i;
        if (i % 3 == 0)
            assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        pool_future_free(future); /* done or not: it calls back */
    }
    close_and_join(pool);
    assert_int_equal(atomic_load(&notes.calls), 1000);
    assert_int_equal(atomic_load(&notes.by_status[POOL_OK]), 1000);
    assert_int_equal(notes.sum, expected);
    assert_int_equal(atomic_load(&notes.overlaps), 0);
    assert_int_equal(atomic_load(&notes.on_caller), 0); /* never inside a submission, a wait or a free */
    assert_int_equal(atomic_load(&notes.on_another), 0);
}

static void whatever_the_status(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct pool_job job = {.callback = note};
    int code = 4;
    begin_notes();
    pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, &job)));
    pool_future_free(made(pool_apply_async(pool, task_fail, &code, sizeof code, &job)));
    pool_future_free(made(pool_apply_async(pool, task_killed, NULL, 0, &job)));
    struct pool_future *busy, *waiting[3];
    occupy(pool, 0, &busy, 1);
    for (int i = 0; i < 3; i++)
        waiting[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    assert_status(pool_future_cancel(waiting[1], false), POOL_OK);
    pool_destroy(pool); /* when it returns, all have returned */
    assert_int_equal(atomic_load(&notes.calls), 6);
    assert_int_equal(atomic_load(&notes.by_status[POOL_OK]), 1);
    assert_int_equal(atomic_load(&notes.by_status[POOL_FAILED]), 1);
    assert_int_equal(atomic_load(&notes.by_status[POOL_CRASHED]), 1);
    assert_int_equal(atomic_load(&notes.by_status[POOL_CANCELLED]), 1);
    assert_int_equal(atomic_load(&notes.by_status[POOL_TERMINATED]), 2);
    assert_int_equal(atomic_load(&notes.overlaps), 0);
    release(&busy, 1);
    release(waiting, 3);
}

static void none_where_there_is_no_future(void **state)
{
    (void)state;
    struct pool_options options = {.queue_limit = 1};
    struct pool *pool = made(pool_create(1, &options));
    struct pool_job job = {.callback = note, .try_submit = true}, wrong = {.callback = note, .keep_going = true};
    struct pool_future *busy;
    begin_notes();
    occupy(pool, 0, &busy, 1);
    assert_null(pool_apply_async(pool, task_nothing, NULL, 0, &wrong));
    pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, &job)));
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, &job), EAGAIN);
    gate_open(&ground->gate[0]);
    release(&busy, 1);
    assert_status(pool_close(pool), POOL_OK);
    assert_null_errno(pool_apply_async(pool, task_nothing, NULL, 0, &job), EPIPE);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&notes.calls), 1);
    pool_destroy(pool);
}

struct own {
    struct pool_future *future;
    atomic_int ready, calls;
    long       value;
    enum pool_status status;
};

static void free_own_future(void *user, const struct pool_result *result)
{
    struct own *own = user;
    counter_wait(&own->ready, 1);
    pool_future_free(own->future);
    own->status = result->status; /* good until the callback returns, whoever frees the future */
    memcpy(&own->value, result->data, sizeof own->value);
    atomic_fetch_add(&own->calls, 1);
}

static void a_future_freed_in_its_own_callback(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct own own = {.future = NULL};
    struct pool_job job = {.callback = free_own_future, .user = &own};
    long value = 13;
    own.future = made(pool_apply_async(pool, task_square, &value, sizeof value, &job));
    atomic_store(&own.ready, 1);
    close_and_join(pool);
    assert_int_equal(atomic_load(&own.calls), 1);
    assert_status(own.status, POOL_OK);
    assert_int_equal(own.value, 169);
}

static void hold_the_callback(void *user, const struct pool_result *result)
{
    struct own *own = user;
    gate_pass(&ground->gate[1]); /* the host frees the future meanwhile */
    own->status = result->status;
    memcpy(&own->value, result->data, sizeof own->value);
    atomic_fetch_add(&own->calls, 1);
}

static void a_future_freed_by_another_during_the_callback(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct own own = {.future = NULL};
    struct pool_job job = {.callback = hold_the_callback, .user = &own};
    long value = 13;
    struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, &job));
    assert_true(gate_wait_arrived(&ground->gate[1], 1));
    pool_future_free(future);
    assert_int_equal(atomic_load(&own.calls), 0); /* free does not wait for it */
    long other = 0; /* and a slow callback holds up no result */
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &other, sizeof other, NULL), POOL_OK);
    gate_open(&ground->gate[1]);
    close_and_join(pool);
    assert_int_equal(atomic_load(&own.calls), 1);
    assert_int_equal(own.value, 169);
}

static void close_waits_for_slow_callbacks(void **state)
{
    (void)state;
    for (int destroy = 0; destroy < 2; destroy++) {
        ground_make();
        struct pool *pool = made(pool_create(1, NULL));
        struct own own = {.future = NULL};
        struct pool_job job = {.callback = hold_the_callback, .user = &own};
        long value = 2;
        pool_future_free(made(pool_apply_async(pool, task_square, &value, sizeof value, &job)));
        assert_true(gate_wait_arrived(&ground->gate[1], 1));
        if (destroy) {
            struct pool_future *opener = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
            release(&opener, 1);
        } else {
            assert_status(pool_close(pool), POOL_OK);
            assert_status(pool_join(pool, 30), POOL_TIMEOUT); /* the callback has not returned */
        }
        gate_open(&ground->gate[1]);
        pool_destroy(pool);
        assert_int_equal(atomic_load(&own.calls), 1);
    }
}

struct shown {
    struct pool *pool;
    atomic_int   calls, after, ended, inside, overlaps;
    atomic_int   wait_refused;
};

static void show(void *user, size_t done, size_t total)
{
    struct shown *shown = user;
    (void)done;
    (void)total;
    if (atomic_fetch_add(&shown->inside, 1) > 0)
        atomic_fetch_add(&shown->overlaps, 1);
    if (atomic_load(&shown->ended))
        atomic_fetch_add(&shown->after, 1);
    if (pool_apply(shown->pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_INVALID)
        atomic_fetch_add(&shown->wait_refused, 1);
    atomic_fetch_add(&shown->calls, 1);
    atomic_fetch_sub(&shown->inside, 1);
}

static void end_of_show(void *user, const struct pool_result *result)
{
    struct shown *shown = user;
    (void)result;
    if (atomic_fetch_add(&shown->inside, 1) > 0)
        atomic_fetch_add(&shown->overlaps, 1);
    atomic_store(&shown->ended, 1);
    atomic_fetch_sub(&shown->inside, 1);
}

static void progress_keeps_the_same_rules(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (int round = 0; round < 20; round++) {
        struct shown shown = {.pool = pool};
        struct pool_job job = {.progress = show, .progress_user = &shown, .callback = end_of_show, .user = &shown};
        struct pool_future *map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 300, 0), NULL, 0, &job));
        assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
        assert_true(counter_wait(&shown.ended, 1));
        pool_future_free(map);
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        assert_true(atomic_load(&shown.calls) >= 1); /* at the end at least */
        assert_int_equal(atomic_load(&shown.after), 0);
        assert_int_equal(atomic_load(&shown.overlaps), 0);
        assert_int_equal(atomic_load(&shown.wait_refused), atomic_load(&shown.calls));

        struct shown other = {.pool = pool};
        struct pool_job lazy = {.progress = show, .progress_user = &other};
        struct pool_iterator *iterator = made(pool_imap_unordered(pool, task_nothing, pool_items(NULL, 100, 0), &lazy));
        const struct pool_result *result;
        int reads = round % 2 ? 50 : 1000;
        while (reads-- > 0 && pool_iterator_next(iterator, POOL_FOREVER, &result) == POOL_OK)
            ;
        if (round % 2)
            pool_iterator_free(iterator);
        atomic_store(&other.ended, 1); /* after POOL_END, or after free, none comes */
        assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        for (int i = 0; i < 3; i++)
            pause_briefly();
        assert_int_equal(atomic_load(&other.after), 0);
        if (round % 2 == 0)
            pool_iterator_free(iterator);
    }
    close_and_join(pool);
}

/* The last progress call of a blocking map comes on the thread that waits: still not while a callback runs. */
static atomic_int together, overlapping, callbacks_seen, shows_seen;

static void dwell(void)
{
    if (atomic_fetch_add(&together, 1) > 0)
        atomic_fetch_add(&overlapping, 1);
    pause_briefly();
    atomic_fetch_sub(&together, 1);
}

static void dwell_in_callback(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
    dwell();
    atomic_fetch_add(&callbacks_seen, 1);
}

static void dwell_in_progress(void *user, size_t done, size_t total)
{
    (void)user;
    (void)done;
    (void)total;
    dwell();
    atomic_fetch_add(&shows_seen, 1);
}

static void progress_and_callbacks_take_turns(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct pool_job with_callback = {.callback = dwell_in_callback}, with_progress = {.progress = dwell_in_progress};
    atomic_store(&overlapping, 0);
    atomic_store(&callbacks_seen, 0);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 3; i++)
            pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, &with_callback)));
        assert_status(pool_map(pool, task_nothing, pool_items(NULL, 20, 0), NULL, 0, &with_progress), POOL_OK);
    }
    close_and_join(pool);
    assert_int_equal(atomic_load(&callbacks_seen), 120);
    assert_true(atomic_load(&shows_seen) >= 40);
    assert_int_equal(atomic_load(&overlapping), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(each_once_one_at_a_time_on_one_thread),
        PROCESS_TEST(whatever_the_status),
        PROCESS_TEST(none_where_there_is_no_future),
        PROCESS_TEST(a_future_freed_in_its_own_callback),
        PROCESS_TEST(a_future_freed_by_another_during_the_callback),
        PROCESS_TEST(close_waits_for_slow_callbacks),
        PROCESS_TEST(progress_keeps_the_same_rules),
        PROCESS_TEST(progress_and_callbacks_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
