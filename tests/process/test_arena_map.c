/*
 * What lies in the arena is not moved: items, a map's results and a job's shared bytes are where the program put them.
 * And nobody is at them any more once the program was told the end (rule 16).
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static struct pool *pool;

static void make(unsigned workers, size_t size)
{
    pool = made(pool_create(workers, &(struct pool_options){.arena_size = size}));
}

static void *block(size_t size)
{
    return memset(made(pool_arena_alloc(pool, size)), 0xee, size);
}

static long *numbers(size_t count)
{
    long *row = made(pool_arena_alloc(pool, count * sizeof *row));

    for (size_t i = 0; i < count; i++)
        row[i] = (long)i;
    return row;
}

static struct pool_stats stats(void)
{
    struct pool_stats now;

    assert_status(pool_get_stats(pool, &now), POOL_OK);
    return now;
}

/* ------------------------------------------------------------------ nothing is moved */

static int task_plain_square(struct pool_task *task)
{
    long value;

    memcpy(&value, task->arg, sizeof value);
    value *= value;
    return pool_return(task, &value, sizeof value);
}

static void check_squares(const long *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(out[i], (long)i * (long)i);
}

static void arrays_there_and_here(void **state)
{
    enum { COUNT = 200000 };
    static const size_t chunks[] = {0, 1, 7, 100000};
    static long here[COUNT], out_here[COUNT];

    (void)state;
    make(2, 4 * MIB);
    long *there = numbers(COUNT), *out_there = block(COUNT * sizeof(long));
    memcpy(here, there, sizeof here);
    for (int way = 0; way < 4; way++) {
        for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
            struct pool_job job = {.chunk = chunks[i]};
            size_t count = chunks[i] == 1 ? 2000 : COUNT;
            long *out = way & 2 ? out_there : out_here;
            memset(out, 0xee, sizeof out_here);
            assert_status(pool_map(pool, task_plain_square, pool_items(way & 1 ? there : here, count, sizeof(long)), out,
                                   sizeof(long), &job),
                          POOL_OK);
            check_squares(out, count);
        }
    }
    pool_destroy(pool);
}

static void their_bytes_go_through_no_pipe(void **state)
{
    enum { COUNT = 250000 };
    struct pool_stats before, after;

    (void)state;
    make(2, 8 * MIB);
    long *in = numbers(COUNT), *out = block(COUNT * sizeof(long));
    assert_status(pool_map(pool, task_plain_square, pool_items(in, 100, sizeof(long)), out, sizeof(long), NULL), POOL_OK);
    struct pool_job job = {.chunk = 10000}; /* not as many messages as a loaded machine's times make */
    before = stats();
    assert_status(pool_map(pool, task_plain_square, pool_items(in, COUNT, sizeof(long)), out, sizeof(long), &job),
                  POOL_OK);
    after = stats();
    check_squares(out, COUNT);
    assert_in_range(after.bytes_sent - before.bytes_sent, 1, COUNT * sizeof(long) / 10);
    pool_destroy(pool);
}

/* The size of a result is its argument's, its bytes too. */
static int task_gives_it_back(struct pool_task *task)
{
    return pool_return(task, task->arg, task->size);
}

/* Bodies that come in pieces have no places: what goes on with a large argument outside comes with a record. */
static void large_items_here_and_there(void **state)
{
    static const size_t sizes[] = {60 * 1024 - 16, 60 * 1024, 60 * 1024 + 1, MIB + 5};

    (void)state;
    make(2, 32 * MIB);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t whole = 5 * sizes[i];
        unsigned char *here = made(malloc(whole)), *out_here = made(malloc(whole));
        unsigned char *there = block(whole), *out_there = block(whole);

        for (size_t at = 0; at < whole; at++)
            here[at] = there[at] = (unsigned char)(at * 7 + at / 251);
        for (int way = 0; way < 4; way++) {
            unsigned char *out = way & 2 ? out_there : out_here;

            memset(out, 0xee, whole);
            assert_status(pool_map(pool, task_gives_it_back, pool_items(way & 1 ? there : here, 5, sizes[i]), out, sizes[i],
                                   NULL),
                          POOL_OK);
            assert_memory_equal(out, here, whole);
        }
        pool_arena_free(pool, there);
        pool_arena_free(pool, out_there);
        free(here);
        free(out_here);
    }
    pool_destroy(pool);
}

/* Where it found its argument, and where its result goes. */
struct found {
    const void *arg, *space;
};

static int task_tells_where(struct pool_task *task)
{
    struct found *found = pool_return_space(task, sizeof *found);

    found->arg = task->arg;
    found->space = found;
    return 0;
}

static void the_places_are_the_programs_own(void **state)
{
    enum { COUNT = 1000 };

    (void)state;
    make(2, MIB);
    long *in = numbers(COUNT);
    struct found *out = block(COUNT * sizeof *out);
    assert_status(pool_map(pool, task_tells_where, pool_items(in, COUNT, sizeof(long)), out, sizeof *out, NULL), POOL_OK);
    for (int i = 0; i < COUNT; i++) {
        assert_ptr_equal(out[i].arg, &in[i]);
        assert_ptr_equal(out[i].space, &out[i]);
    }
    /* strings lie about, their results do not */
    char *words[] = {"one", "three", "", "seven"};
    assert_status(pool_map(pool, task_tells_where, pool_strings(words, 4), out, sizeof *out, &(struct pool_job){.chunk = 4}),
                  POOL_OK);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(out[i].space, &out[i]);
    pool_destroy(pool);
}

static void an_imap_refers_to_its_items(void **state)
{
    enum { COUNT = 500 };
    const struct pool_result *result;
    struct found found;

    (void)state;
    make(2, MIB);
    long *in = numbers(COUNT);
    for (int ordered = 0; ordered < 2; ordered++) {
        struct pool_source source = pool_items(in, COUNT, sizeof(long));
        struct pool_iterator *iterator = made(ordered ? pool_imap(pool, task_tells_where, source, NULL)
                                                      : pool_imap_unordered(pool, task_tells_where, source, NULL));
        for (int i = 0; i < COUNT; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_status(result->status, POOL_OK);
            memcpy(&found, result->data, sizeof found);
            assert_ptr_equal(found.arg, &in[result->index]);
        }
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
        pool_iterator_free(iterator);
    }
    pool_destroy(pool);
}

static int task_tells_shared(struct pool_task *task)
{
    const char *shared = task->shared;
    struct found found = {shared, NULL};

    if (task->shared_size != 32 * MIB || shared[0] != 1 || shared[32 * MIB - 1] != 2)
        return pool_fail(task, 1, "not these shared bytes");
    return pool_return(task, &found, sizeof found);
}

static void shared_bytes_are_not_copied(void **state)
{
    struct found found[4];
    struct pool_stats before, after;

    (void)state;
    make(2, 64 * MIB);
    char *shared = made(pool_arena_alloc(pool, 32 * MIB));
    struct pool_job job = {.shared = shared, .shared_size = 32 * MIB};
    shared[0] = 1;
    shared[32 * MIB - 1] = 2;
    before = stats();
    for (int round = 0; round < 3; round++) {
        assert_status(pool_map(pool, task_tells_shared, pool_items(NULL, 4, 0), found, sizeof found[0], &job), POOL_OK);
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(found[i].arg, shared);
        assert_status(pool_apply(pool, task_tells_shared, NULL, 0, &found[0], sizeof found[0], &job), POOL_OK);
        assert_ptr_equal(found[0].arg, shared);
    }
    after = stats();
    assert_in_range(after.bytes_sent - before.bytes_sent, 1, MIB);
    pool_destroy(pool);
}

static void an_apply_refers_to_its_argument(void **state)
{
    struct found found;

    (void)state;
    make(1, 64 * MIB);
    char *large = made(pool_arena_alloc(pool, 32 * MIB));
    assert_status(pool_apply(pool, task_tells_where, large, 32 * MIB, &found, sizeof found, NULL), POOL_OK);
    assert_ptr_equal(found.arg, large);
    assert_in_range(stats().bytes_sent, 1, MIB);
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ results of all kinds */

enum { SIZE = 16 };

/* By index: as wanted, none, too large, too small, as wanted after all, appended, far too large. */
static int task_returns_sizes(struct pool_task *task)
{
    static char bytes[200000];

    memset(bytes, 'a' + (int)(task->index % 26), sizeof bytes);
    switch (task->index % 7) {
    case 0:
        return pool_return(task, bytes, SIZE);
    case 1:
        return 0;
    case 2:
        return pool_return(task, bytes, SIZE + 1);
    case 3:
        return pool_return(task, bytes, SIZE - 1);
    case 4:
        pool_return(task, bytes, sizeof bytes);
        pool_return(task, bytes, 3);
        return pool_return(task, bytes, SIZE);
    case 5:
        memcpy(pool_return_space(task, SIZE / 2), bytes, SIZE / 2);
        memcpy((char *)pool_return_space(task, SIZE) + SIZE / 2, bytes, SIZE / 2);
        return 0;
    default:
        return pool_return(task, bytes, sizeof bytes);
    }
}

static void results_of_another_size_are_told(void **state)
{
    enum { COUNT = 700 };
    static enum pool_status statuses[COUNT];
    char expected[SIZE];

    (void)state;
    make(2, MIB);
    char *out = block(COUNT * SIZE);
    struct pool_job job = {.statuses = statuses, .keep_going = true};
    assert_status(pool_map(pool, task_returns_sizes, pool_items(NULL, COUNT, 0), out, SIZE, &job), POOL_BAD_SIZE);
    assert_error_has("item 1:");
    for (int i = 0; i < COUNT; i++) {
        bool good = i % 7 == 0 || i % 7 == 4 || i % 7 == 5;
        assert_int_equal(statuses[i], good ? POOL_OK : POOL_BAD_SIZE);
        memset(expected, 'a' + i % 26, SIZE);
        if (good)
            assert_memory_equal(out + (size_t)i * SIZE, expected, SIZE);
    }
    pool_destroy(pool);
}

static int task_square_of_places(struct pool_task *task)
{
    long *space = pool_return_space(task, sizeof *space), value;

    memcpy(&value, task->arg, sizeof value);
    if (value % 100 == 37) {
        *space = -1;
        raise(SIGKILL); /* in the middle of writing */
    }
    if (value % 100 == 51) {
        *space = -1;
        return pool_fail(task, 51, "no");
    }
    *space = value * value;
    return 0;
}

static void a_death_costs_its_own_item(void **state)
{
    enum { COUNT = 1000 };
    static enum pool_status statuses[COUNT];

    (void)state;
    make(2, MIB);
    long *in = numbers(COUNT), *out = block(COUNT * sizeof(long));
    struct pool_job job = {.statuses = statuses, .keep_going = true, .chunk = 50};
    assert_status(pool_map(pool, task_square_of_places, pool_items(in, COUNT, sizeof(long)), out, sizeof(long), &job),
                  POOL_CRASHED);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(statuses[i], i % 100 == 37 ? POOL_CRASHED : i % 100 == 51 ? POOL_FAILED : POOL_OK);
        if (statuses[i] == POOL_OK)
            assert_int_equal(out[i], (long)i * i);
    }
    pool_destroy(pool);
}

static int task_square_at_second_try(struct pool_task *task)
{
    if (task->attempt == 1 && task->index % 10 == 3)
        raise(SIGKILL);
    return task_plain_square(task);
}

static void what_is_run_again_is_there_too(void **state)
{
    enum { COUNT = 100 };

    (void)state;
    make(2, MIB);
    long *in = numbers(COUNT), *out = block(COUNT * sizeof(long));
    struct pool_job job = {.retries = 1};
    assert_status(
        pool_map(pool, task_square_at_second_try, pool_items(in, COUNT, sizeof(long)), out, sizeof(long), &job), POOL_OK);
    check_squares(out, COUNT);
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ the end (rule 16) */

static pid_t *writers; /* in memory that all share */

/* Writes into its place for ever, deaf to requests. */
static int task_writes_on(struct pool_task *task)
{
    volatile long *space = pool_return_space(task, sizeof *space);

    writers[task->index] = getpid();
    gate_pass(&ground->gate[0]); /* which is open: it counts */
    while (writers[task->index] > 0)
        ++*space;
    return 0;
}

/* The same, of what it was given. */
static int task_reads_on(struct pool_task *task)
{
    const volatile long *arg = task->arg;

    writers[task->index] = getpid();
    gate_pass(&ground->gate[0]);
    while (writers[task->index] > 0)
        (void)*arg;
    return 0;
}

enum { WRITERS = 2 };

static void begin_writers(void)
{
    writers = shared_memory(WRITERS * sizeof *writers);
    gate_open(&ground->gate[0]);
    make(WRITERS, MIB);
}

/* At once, without a wait. */
static void assert_writers_are_gone(void)
{
    for (int i = 0; i < WRITERS; i++) {
        assert_true(writers[i] > 0);
        assert_false(family_lives(writers[i]));
    }
}

static void end_writers(void)
{
    pool_destroy(pool);
    shared_memory_free(writers, WRITERS * sizeof *writers);
}

static struct pool_future *start_writers(long *in, long *out, pool_function *function)
{
    struct pool_future *future =
        made(pool_map_async(pool, function, pool_items(in, WRITERS, sizeof(long)), out, out ? sizeof(long) : 0, NULL));

    while (atomic_load(&ground->gate[0].arrived) < WRITERS) /* a pool without a thread sends and reads in waits */
        assert_status(pool_future_wait(future, 1), POOL_TIMEOUT);
    return future;
}

static void a_freed_map_has_ended(void **state)
{
    long here[WRITERS] = {0};

    (void)state;
    begin_writers();
    long *in = numbers(WRITERS), *out = numbers(WRITERS);
    pool_future_free(start_writers(here, out, task_writes_on));
    assert_writers_are_gone();
    gate_shut(&ground->gate[0]);
    gate_open(&ground->gate[0]);
    pool_future_free(start_writers(in, NULL, task_reads_on)); /* only its items are there */
    assert_writers_are_gone();
    assert_status(pool_map(pool, task_plain_square, pool_items(in, WRITERS, sizeof(long)), out, sizeof(long), NULL),
                  POOL_OK);
    check_squares(out, WRITERS);
    end_writers();
}

static void a_freed_imap_has_ended(void **state)
{
    (void)state;
    begin_writers();
    struct pool_iterator *iterator =
        made(pool_imap(pool, task_reads_on, pool_items(numbers(WRITERS), WRITERS, sizeof(long)), NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], WRITERS));
    pool_iterator_free(iterator);
    assert_writers_are_gone();
    end_writers();
}

static void a_cancelled_map_has_ended(void **state)
{
    (void)state;
    begin_writers();
    struct pool_future *future = start_writers(numbers(WRITERS), numbers(WRITERS), task_writes_on);
    assert_status(pool_future_cancel(future, true), POOL_OK);
    assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_CANCELLED);
    assert_writers_are_gone();
    pool_future_free(future);
    end_writers();
}

static void a_map_past_its_deadline_has_ended(void **state)
{
    (void)state;
    begin_writers();
    long *in = numbers(WRITERS), *out = numbers(WRITERS);
    struct pool_job job = {.deadline_ms = 20, .keep_going = true};
    assert_status(pool_map(pool, task_writes_on, pool_items(in, WRITERS, sizeof(long)), out, sizeof(long), &job),
                  POOL_EXPIRED);
    assert_writers_are_gone();
    end_writers();
}

static void a_terminated_map_has_ended(void **state)
{
    const struct pool_result *result;

    (void)state;
    begin_writers();
    long *in = numbers(WRITERS), *out = numbers(WRITERS);
    struct pool_future *future = start_writers(in, out, task_writes_on);
    assert_status(pool_terminate(pool), POOL_OK);
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_TERMINATED);
    assert_writers_are_gone();
    assert_int_equal(result->index, 0);
    pool_future_free(future);
    end_writers();
}

static void a_terminated_imap_has_ended(void **state)
{
    const struct pool_result *result;

    (void)state;
    begin_writers();
    struct pool_iterator *iterator =
        made(pool_imap(pool, task_reads_on, pool_items(numbers(WRITERS), WRITERS, sizeof(long)), NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], WRITERS));
    assert_status(pool_terminate(pool), POOL_OK);
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_TERMINATED);
    assert_writers_are_gone();
    pool_iterator_free(iterator);
    end_writers();
}

static void a_map_freed_after_terminate_has_ended(void **state)
{
    (void)state;
    begin_writers();
    struct pool_future *future = start_writers(numbers(WRITERS), numbers(WRITERS), task_writes_on);
    assert_status(pool_terminate(pool), POOL_OK);
    pool_future_free(future);
    assert_writers_are_gone();
    end_writers();
}

static void a_destroyed_pool_tells_its_map(void **state)
{
    (void)state;
    begin_writers();
    struct pool_future *future = start_writers(numbers(WRITERS), numbers(WRITERS), task_writes_on);
    pool_destroy(pool);
    assert_status(pool_future_get(future, 0, NULL), POOL_TERMINATED);
    assert_writers_are_gone();
    pool_future_free(future);
    shared_memory_free(writers, WRITERS * sizeof *writers);
}

static void a_broken_pool_tells_its_map(void **state)
{
    (void)state;
    begin_writers();
    struct pool_future *future = start_writers(numbers(WRITERS), numbers(WRITERS), task_writes_on);
    kill(family_parent(writers[0]), SIGKILL); /* the helper process */
    assert_status(pool_future_get(future, POOL_FOREVER, NULL), POOL_BROKEN);
    assert_true(family_all_gone(writers, WRITERS));
    pool_future_free(future);
    end_writers();
}

static void frees_in_callback(void *user, const struct pool_result *result)
{
    struct pool_future **future = user;

    (void)result;
    pool_future_free(*future);
    *future = NULL;
}

static void a_callback_may_free_it(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= POOL_NO_THREAD; flags += POOL_NO_THREAD) {
        writers = shared_memory(WRITERS * sizeof *writers);
        gate_shut(&ground->gate[0]);
        gate_open(&ground->gate[0]);
        pool = made(pool_create(WRITERS + 1, &(struct pool_options){.arena_size = MIB, .flags = flags}));
        struct pool_future *map = start_writers(numbers(WRITERS), numbers(WRITERS), task_writes_on);
        struct pool_job job = {.callback = frees_in_callback, .user = &map};
        struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
        assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
        pool_future_free(future);
        pool_close(pool);
        assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
        assert_null(map);
        assert_writers_are_gone();
        end_writers();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(arrays_there_and_here),
        PROCESS_TEST(their_bytes_go_through_no_pipe),
        PROCESS_TEST(large_items_here_and_there),
        PROCESS_TEST(the_places_are_the_programs_own),
        PROCESS_TEST(an_imap_refers_to_its_items),
        PROCESS_TEST(shared_bytes_are_not_copied),
        PROCESS_TEST(an_apply_refers_to_its_argument),
        PROCESS_TEST(results_of_another_size_are_told),
        PROCESS_TEST(a_death_costs_its_own_item),
        PROCESS_TEST(what_is_run_again_is_there_too),
        PROCESS_TEST(a_freed_map_has_ended),
        PROCESS_TEST(a_freed_imap_has_ended),
        PROCESS_TEST(a_cancelled_map_has_ended),
        PROCESS_TEST(a_map_past_its_deadline_has_ended),
        PROCESS_TEST(a_terminated_map_has_ended),
        PROCESS_TEST(a_terminated_imap_has_ended),
        PROCESS_TEST(a_map_freed_after_terminate_has_ended),
        PROCESS_TEST(a_destroyed_pool_tells_its_map),
        PROCESS_TEST(a_broken_pool_tells_its_map),
        PROCESS_TEST(a_callback_may_free_it),
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
