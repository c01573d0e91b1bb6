/* What may be called inside a callback, and what is refused there. */
#include "../support/audit.h"
#include "../support/tasks.h"

static void close_and_join(struct pool *pool)
{
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_destroy(pool);
}

/* What a callback was told when it made each call, for the host to judge. */
struct inside {
    struct pool *pool;
    struct pool_future *own, *other;
    struct pool_iterator *iterator;
    enum pool_status wait, get, read, any, all, apply, map, next, join, other_join, cancel;
    const struct pool_result *got;
    struct pool_future *submitted;
    int submit_errno;
    atomic_int ready, calls;
};

static void try_every_wait(void *user, const struct pool_result *result)
{
    struct inside *inside = user;
    (void)result;
    counter_wait(&inside->ready, 1); /* the host has filled in the futures */
    size_t which;
    const struct pool_result *item;
    inside->wait = pool_future_wait(inside->other, 0);
    inside->get = pool_future_get(inside->other, 0, &inside->got);
    inside->read = pool_future_read(inside->other, 10, NULL, 0);
    inside->any = pool_wait_any(&inside->other, 1, 0, &which);
    inside->all = pool_wait_all(&inside->other, 1, POOL_FOREVER);
    inside->apply = pool_apply(inside->pool, task_nothing, NULL, 0, NULL, 0, NULL);
    inside->map = pool_map(inside->pool, task_nothing, pool_items(NULL, 3, 0), NULL, 0, NULL);
    inside->next = pool_iterator_next(inside->iterator, 0, &item);
    inside->join = pool_join(inside->pool, 0);
    inside->submitted = pool_apply_async(inside->pool, task_nothing, NULL, 0, NULL);
    inside->cancel = pool_future_cancel(inside->submitted, false);
    pool_future_free(inside->own);
    pool_close(inside->pool);
    inside->other_join = pool_join(inside->pool, 0); /* closed by now: refused because of where it is called */
    atomic_fetch_add(&inside->calls, 1);
}

static void a_wait_inside_is_refused_and_the_rest_is_not(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    struct inside inside = {.pool = pool, .got = (const struct pool_result *)ground};
    struct pool_job job = {.callback = try_every_wait, .user = &inside};
    struct pool_iterator *iterator = made(pool_imap(pool, task_nothing, pool_items(NULL, 5, 0), NULL));
    inside.iterator = iterator;
    inside.own = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    inside.other = start_gated(pool, 0, 1, NULL);
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    atomic_store(&inside.ready, 1);
    assert_true(counter_wait(&inside.calls, 1));
    gate_open(&ground->gate[0]);
    assert_status(inside.wait, POOL_INVALID);
    assert_status(inside.get, POOL_INVALID);
    assert_null(inside.got);
    assert_status(inside.read, POOL_INVALID);
    assert_status(inside.any, POOL_INVALID);
    assert_status(inside.all, POOL_INVALID);
    assert_status(inside.apply, POOL_INVALID);
    assert_status(inside.map, POOL_INVALID);
    assert_status(inside.next, POOL_INVALID);
    assert_status(inside.join, POOL_INVALID);
    assert_status(inside.other_join, POOL_INVALID);
    assert_non_null(inside.submitted);
    assert_status(inside.cancel, POOL_OK); /* the one worker stands at the gate */
    pool_iterator_free(iterator);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK); /* it was closed in there */
    assert_status(pool_future_wait(inside.submitted, 0), POOL_OK);
    pool_future_free(inside.submitted);
    release(&inside.other, 1);
    pool_destroy(pool);
    assert_int_equal(atomic_load(&inside.calls), 1);
}

/* Each callback submits the next task. */
struct chain {
    struct pool *pool;
    atomic_int   left, refused;
};

static void submit_the_next(void *user, const struct pool_result *result)
{
    struct chain *chain = user;
    struct pool_job job = {.callback = submit_the_next, .user = chain};
    if (result->status != POOL_OK)
        atomic_fetch_add(&chain->refused, 1);
    if (atomic_fetch_sub(&chain->left, 1) <= 1)
        return;
    struct pool_future *future = pool_apply_async(chain->pool, task_nothing, NULL, 0, &job);
    if (future)
        pool_future_free(future);
    else
        atomic_fetch_add(&chain->refused, 1);
}

static void callbacks_may_submit(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct chain chain = {.pool = pool, .left = 500};
    struct pool_job job = {.callback = submit_the_next, .user = &chain};
    pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, &job)));
    for (int steps = 0; steps < GATE_SECONDS * 1000 && atomic_load(&chain.left) > 0; steps++)
        pause_briefly();
    close_and_join(pool);
    assert_int_equal(atomic_load(&chain.left), 0);
    assert_int_equal(atomic_load(&chain.refused), 0);
    assert_int_equal(atomic_load(&ground->started[0]), 500);
}

struct full {
    struct pool *pool;
    atomic_int   submitted, refused, other, done, calls;
};

static void fill_the_queue(void *user, const struct pool_result *result)
{
    struct full *full = user;
    (void)result;
    for (int i = 0; i < 10; i++) { /* without try_submit */
        errno = 0;
        struct pool_future *future = pool_apply_async(full->pool, task_nothing, NULL, 0, NULL);
        if (future)
            atomic_fetch_add(&full->submitted, 1);
        else if (errno == EAGAIN)
            atomic_fetch_add(&full->refused, 1);
        else
            atomic_fetch_add(&full->other, 1);
        pool_future_free(future);
    }
    atomic_store(&full->done, 1);
}

static void in_callbacks_a_full_queue_refuses(void **state)
{
    (void)state;
    struct pool_options options = {.queue_limit = 2};
    struct pool *pool = made(pool_create(1, &options));
    struct full full = {.pool = pool};
    struct pool_job job = {.callback = fill_the_queue, .user = &full};
    struct pool_future *busy, *cancelled;
    occupy(pool, 0, &busy, 1);
    cancelled = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    assert_status(pool_future_cancel(cancelled, false),
                  POOL_OK); /* the worker stays at its gate while the callback runs */
    assert_true(counter_wait(&full.done, 1));
    assert_int_equal(atomic_load(&full.submitted), 2);
    assert_int_equal(atomic_load(&full.refused), 8);
    assert_int_equal(atomic_load(&full.other), 0);
    gate_open(&ground->gate[0]);
    release(&busy, 1);
    release(&cancelled, 1);
    close_and_join(pool);
}

struct ender {
    struct pool *pool;
    int how;
    atomic_int ready, calls, terminated;
    enum pool_status said;
};

static void end_the_pool(void *user, const struct pool_result *result)
{
    struct ender *ender = user;
    if (result->status == POOL_TERMINATED || result->status == POOL_CANCELLED)
        atomic_fetch_add(&ender->terminated, 1);
    if (atomic_fetch_add(&ender->calls, 1) > 0)
        return;
    if (ender->how == 0)
        ender->said = pool_terminate(ender->pool);
    else if (ender->how == 1)
        pool_stop(ender->pool);
    else
        ender->said = pool_close(ender->pool);
}

static void callbacks_may_end_the_pool(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        ground_make();
        struct pool *pool = made(pool_create(1, NULL));
        struct ender ender = {.pool = pool, .how = how};
        struct pool_job job = {.callback = end_the_pool, .user = &ender};
        pool_future_free(start_gated(pool, 0, 1, &job));
        for (int i = 0; i < 20; i++)
            pool_future_free(start_gated(pool, i < 10 ? 1 : 0, 1, &job));
        gate_open(&ground->gate[0]); /* the first ends, the second stays at its gate */
        assert_true(counter_wait(&ender.calls, 1));
        for (int steps = 0; steps < GATE_SECONDS * 1000 && pool_join(pool, 0) == POOL_INVALID; steps++)
            pause_briefly();
        gate_open(&ground->gate[1]);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        assert_int_equal(atomic_load(&ender.calls), 21);
        assert_status(ender.said, POOL_OK);
        if (how == 2)
            assert_int_equal(atomic_load(&ender.terminated), 0);
        else
            assert_in_range(atomic_load(&ender.terminated), 19, 20);
        pool_destroy(pool);
    }
}

static void destroy_here(void *user, const struct pool_result *result)
{
    struct ender *ender = user;
    counter_wait(&ender->ready, 1); /* the host is in no call of its own */
    pool_destroy(ender->pool); /* takes effect when this has returned */
    ender->said = result->status;
    atomic_fetch_add(&ender->calls, 1);
}

static void destroyed_in_a_callback(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    struct ender ender = {.pool = pool};
    struct pool_job job = {.callback = destroy_here, .user = &ender};
    struct pool_future *busy = start_gated(pool, 0, 1, NULL);
    struct pool_future *last = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    atomic_store(&ender.ready, 1);
    assert_status(pool_future_wait(busy, POOL_FOREVER), POOL_OK);
    assert_status(pool_future_read(busy, 0, NULL, 0), POOL_TERMINATED);
    assert_true(counter_wait(&ender.calls, 1));
    assert_status(ender.said, POOL_OK);
    pool_future_free(busy);
    pool_future_free(last);
    assert_true(audit_wait_alone(5000));
}

/* Waits on another pool are allowed; whatever callbacks run in there, waits on the callback's own pool stay refused. */
struct neighbours {
    struct pool *own, *quiet;
    struct pool_future *pending;
    atomic_int ready, inner, calls;
    enum pool_status applied, waited;
};

static void note_inner(void *user, const struct pool_result *result)
{
    struct neighbours *neighbours = user;
    (void)result;
    atomic_fetch_add(&neighbours->inner, 1);
}

static void use_the_neighbour(void *user, const struct pool_result *result)
{
    struct neighbours *neighbours = user;
    struct pool_job job = {.callback = note_inner, .user = neighbours};
    (void)result;
    counter_wait(&neighbours->ready, 1);
    struct pool_future *future = pool_apply_async(neighbours->quiet, task_nothing, NULL, 0, &job);
    neighbours->applied = pool_future_wait(future, 10000);
    pool_dispatch(neighbours->quiet);
    pool_future_free(future);
    neighbours->waited = pool_future_wait(neighbours->pending, 0);
    atomic_fetch_add(&neighbours->calls, 1);
}

static void another_pool_may_be_waited_for(void **state)
{
    (void)state;
    struct pool_options options = {.flags = POOL_NO_THREAD};
    struct neighbours neighbours = {.quiet = made(pool_create(1, &options)), .own = made(pool_create(1, NULL))};
    struct pool_job job = {.callback = use_the_neighbour, .user = &neighbours};
    pool_future_free(made(pool_apply_async(neighbours.own, task_nothing, NULL, 0, &job)));
    neighbours.pending = start_gated(neighbours.own, 0, 1, NULL);
    atomic_store(&neighbours.ready, 1);
    assert_true(counter_wait(&neighbours.calls, 1));
    assert_status(neighbours.applied, POOL_OK);
    assert_int_equal(atomic_load(&neighbours.inner), 1);
    assert_status(neighbours.waited, POOL_INVALID);
    gate_open(&ground->gate[0]);
    release(&neighbours.pending, 1);
    pool_destroy(neighbours.own);
    pool_destroy(neighbours.quiet);
}

/* What a progress call belongs to may be freed in it: it is the last one. */
struct given_up {
    struct pool_iterator *iterator;
    struct pool_future *map;
    atomic_int ready, calls;
};

static void give_up(void *user, size_t done, size_t total)
{
    struct given_up *given_up = user;
    (void)done;
    (void)total;
    counter_wait(&given_up->ready, 1);
    if (atomic_fetch_add(&given_up->calls, 1) > 0)
        return;
    pool_iterator_free(given_up->iterator);
    pool_future_free(given_up->map);
}

static void freed_in_a_progress_call(void **state)
{
    (void)state;
    for (int iterate = 0; iterate < 2; iterate++) {
        struct pool *pool = made(pool_create(2, NULL));
        struct given_up given_up = {.iterator = NULL};
        struct pool_job job = {.progress = give_up, .progress_user = &given_up};
        if (iterate)
            given_up.iterator = made(pool_imap(pool, task_nothing, pool_items(NULL, 1000, 0), &job));
        else
            given_up.map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 1000, 0), NULL, 0, &job));
        if (given_up.map) /* the last call waits behind the one that frees it */
            assert_status(pool_future_wait(given_up.map, POOL_FOREVER), POOL_OK);
        atomic_store(&given_up.ready, 1);
        assert_true(counter_wait(&given_up.calls, 1));
        close_and_join(pool);
        assert_int_equal(atomic_load(&given_up.calls), 1);
    }
}

/* Of a map that is done the last call comes, though its future is freed before there was time for it. */
struct told {
    atomic_int ready, last;
};

static void hold_up(void *user, const struct pool_result *result)
{
    (void)result;
    counter_wait(&((struct told *)user)->ready, 1);
}

static void note_last(void *user, size_t done, size_t total)
{
    if (done == total)
        atomic_fetch_add(&((struct told *)user)->last, 1);
}

static void the_last_progress_call_outlives_the_future(void **state)
{
    (void)state;
    struct told told = {0};
    struct pool_job held = {.callback = hold_up, .user = &told}, job = {.progress = note_last, .progress_user = &told};
    struct pool *pool = made(pool_create(1, NULL));
    pool_future_free(made(pool_apply_async(pool, task_nothing, NULL, 0, &held)));
    struct pool_future *map = made(pool_map_async(pool, task_nothing, pool_items(NULL, 10, 0), NULL, 0, &job));
    assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
    pool_future_free(map);
    atomic_store(&told.ready, 1);
    close_and_join(pool);
    assert_int_equal(atomic_load(&told.last), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_wait_inside_is_refused_and_the_rest_is_not),
        PROCESS_TEST(callbacks_may_submit),
        PROCESS_TEST(in_callbacks_a_full_queue_refuses),
        PROCESS_TEST(callbacks_may_end_the_pool),
        PROCESS_TEST(destroyed_in_a_callback),
        PROCESS_TEST(another_pool_may_be_waited_for),
        PROCESS_TEST(freed_in_a_progress_call),
        PROCESS_TEST(the_last_progress_call_outlives_the_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
