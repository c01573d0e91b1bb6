/* Making a pool: how many workers, what is refused, what a worker has from its start. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void as_many_workers_as_asked(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct pool *pool = made(pool_create(workers, NULL));
        assert_int_equal(pool_size(pool), workers);
        pid_t pids[8] = {0};
        assert_int_equal(pool_worker_pids(pool, pids, 8), workers);
        for (unsigned i = 0; i < workers; i++) {
            assert_true(pids[i] > 0 && pids[i] != getpid());
            for (unsigned j = 0; j < i; j++)
                assert_int_not_equal(pids[i], pids[j]);
        }
        pool_destroy(pool);
    }
}

static void zero_means_one_for_each_processor(void **state)
{
    (void)state;
    assert_true(pool_cpu_count() >= 1);
    struct pool *pool = made(pool_create(0, NULL));
    assert_int_equal(pool_size(pool), pool_cpu_count());
    assert_status(pool_resize(pool, 1), POOL_OK);
    assert_int_equal(pool_size(pool), 1);
    assert_status(pool_resize(pool, 0), POOL_OK);
    assert_int_equal(pool_size(pool), pool_cpu_count());
    pool_destroy(pool);
}

static void pids_fill_only_the_room_given(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(3, NULL));
    pid_t pids[3] = {-5, -5, -5};
    assert_true(pool_worker_pids(pool, pids, 2) >= 2);
    assert_true(pids[0] > 0 && pids[1] > 0);
    assert_int_equal(pids[2], -5);
    pool_worker_pids(pool, NULL, 0);
    pool_destroy(pool);
}

static void unknown_options_are_refused(void **state)
{
    (void)state;
    struct pool_options flags = {.flags = 0x8000u};
    assert_null_errno(pool_create(1, &flags), EINVAL);
    for (size_t i = 0; i < 8; i++) {
        struct pool_options reserved = {0};
        reserved.reserved[i] = 1;
        assert_null_errno(pool_create(1, &reserved), EINVAL);
    }
}

static void max_workers_is_the_limit(void **state)
{
    (void)state;
    struct pool_options options = {.max_workers = 3};
    assert_null_errno(pool_create(4, &options), EINVAL);
    struct pool *pool = made(pool_create(2, &options));
    assert_status(pool_resize(pool, 3), POOL_OK);
    assert_status(pool_resize(pool, 4), POOL_INVALID);
    assert_int_equal(pool_size(pool), 3);
    pool_destroy(pool);

    pool = made(pool_create(1, NULL)); /* the larger of 64 and 4 times 1 */
    assert_status(pool_resize(pool, 65), POOL_INVALID);
    assert_int_equal(pool_size(pool), 1);
    pool_destroy(pool);
}

static void more_workers_than_sixty_four(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(66, NULL));
    assert_int_equal(pool_size(pool), 66);
    size_t indexes[200];
    assert_status(pool_map(pool, task_index, pool_items(NULL, 200, 0), indexes, sizeof indexes[0], NULL), POOL_OK);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(indexes[i], i);
    pool_destroy(pool);
}

static void read_file(const char *format, pid_t pid, char *text, size_t room)
{
    char path[64];
    snprintf(path, sizeof path, format, (long)pid);
    memset(text, 0, room);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    size_t size = fread(text, 1, room - 1, file);
    fclose(file);
    for (size_t i = 0; i < size; i++) /* a command line's words end with NUL */
        if (!text[i])
            text[i] = ' ';
}

/* ps shows a process by one of the two. */
static bool ps_shows(pid_t pid, const char *name)
{
    char text[512];
    read_file("/proc/%ld/comm", pid, text, sizeof text);
    if (strstr(text, name))
        return true;
    read_file("/proc/%ld/cmdline", pid, text, sizeof text);
    return strstr(text, name);
}

static void workers_bear_the_pools_name(void **state)
{
    (void)state;
#ifdef POOL__PORTABLE
    skip(); /* POSIX knows no way to rename a process */
#endif
    char name[] = "crunch";
    struct pool_options options = {.name = name};
    struct pool *pool = made(pool_create(1, &options));
    memset(name, 'x', sizeof name - 1); /* it was copied */
    pid_t pid;
    assert_status(pool_apply(pool, task_pid, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
    assert_true(ps_shows(pid, "crunch"));
    pool_destroy(pool);

    pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_pid, NULL, 0, &pid, sizeof pid, NULL), POOL_OK);
    assert_true(ps_shows(pid, "pool"));
    pool_destroy(pool);
}

static int report_seat_behind_gate(struct pool_task *task)
{
    if (!gate_pass(&ground->gate[0]))
        return 1;
    return task_seat(task);
}

static void each_worker_has_a_seat_of_its_own(void **state)
{
    (void)state;
    enum { WORKERS = 4 };
    struct pool *pool = made(pool_create(WORKERS, NULL));
    struct pool_future *futures[WORKERS];
    for (size_t i = 0; i < WORKERS; i++)
        futures[i] = made(pool_apply_async(pool, report_seat_behind_gate, NULL, 0, NULL));
    assert_true(gate_wait_arrived(&ground->gate[0], WORKERS));
    gate_open(&ground->gate[0]);
    int seen[WORKERS] = {0};
    for (size_t i = 0; i < WORKERS; i++) {
        int seat = -1;
        assert_status(pool_future_read(futures[i], POOL_FOREVER, &seat, sizeof seat), POOL_OK);
        assert_in_range(seat, 0, WORKERS - 1);
        seen[seat]++;
        pool_future_free(futures[i]);
    }
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(pool_worker_index(), -1);
    pool_destroy(pool);
}

static int global_value = 1;

static int read_what_was_there(struct pool_task *task)
{
    const int *pointer;
    memcpy(&pointer, task->arg, sizeof pointer);
    int found[2] = {global_value, *pointer};
    global_value = 77; /* stays in this worker */
    return pool_return(task, found, sizeof found);
}

static void workers_see_memory_as_it_was(void **state)
{
    (void)state;
    int *heap = made(malloc(sizeof *heap));
    *heap = 10;
    global_value = 5;
    struct pool *pool = made(pool_create(1, NULL));
    *heap = 20;
    global_value = 6;
    int found[2];
    assert_status(pool_apply(pool, read_what_was_there, &heap, sizeof heap, found, sizeof found, NULL), POOL_OK);
    assert_int_equal(found[0], 5);
    assert_int_equal(found[1], 10);
    assert_int_equal(global_value, 6);
    pool_destroy(pool);
    free(heap);
}

static int make_state(void **state, void *arg)
{
    static int kept;
    kept = *(int *)arg + pool_worker_index();
    *state = &kept;
    atomic_fetch_add(&ground->count[0], 1);
    atomic_fetch_or(&ground->count[1], 1 << pool_worker_index());
    return 0;
}

static void drop_state(void *state, void *arg)
{
    if (*(int *)state == *(int *)arg + pool_worker_index())
        atomic_fetch_add(&ground->count[2], 1);
}

static int return_state(struct pool_task *task)
{
    return pool_return(task, task->state, sizeof(int));
}

static void initializer_and_finalizer_run_in_each_worker(void **state)
{
    (void)state;
    int base = 100;
    struct pool_options options = {.initializer = make_state, .finalizer = drop_state, .initializer_arg = &base};
    struct pool *pool = made(pool_create(3, &options));
    base = 200; /* too late for the workers, and the finalizer compares with what the initializer had */
    int found[60];
    assert_status(pool_map(pool, return_state, pool_items(NULL, 60, 0), found, sizeof(int), NULL), POOL_OK);
    for (size_t i = 0; i < 60; i++)
        assert_in_range(found[i], 100, 102);
    assert_status(pool_close(pool), POOL_OK);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    assert_int_equal(atomic_load(&ground->count[0]), 3);
    assert_int_equal(atomic_load(&ground->count[1]), 7);
    assert_int_equal(atomic_load(&ground->count[2]), 3);
    pool_destroy(pool);
}

static int wait_at_gate(void **state, void *arg)
{
    (void)state;
    (void)arg;
    return gate_pass(&ground->gate[0]) ? 0 : 1;
}

static void create_does_not_wait_for_initializers(void **state)
{
    (void)state;
    struct pool_options options = {.initializer = wait_at_gate};
    struct pool *pool = made(pool_create(2, &options));
    long value = 4, square = 0;
    struct pool_future *future = made(pool_apply_async(pool, task_square, &value, sizeof value, NULL));
    assert_status(pool_future_wait(future, 30), POOL_TIMEOUT);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_read(future, POOL_FOREVER, &square, sizeof square), POOL_OK);
    assert_int_equal(square, 16);
    pool_future_free(future);
    pool_destroy(pool);
}

/* With every limit on descriptors from none to enough: all or nothing, and nothing left behind (the audit sees to
 * that). */
static void too_few_descriptors_make_no_pool(void **state)
{
    (void)state;
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int used = audit_descriptors();
    struct pool *pool = NULL;
    unsigned failures = 0;
    for (int room = 0; room < 200 && !pool; room++) {
        low = old;
        low.rlim_cur = (rlim_t)(used + room);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        errno = 0;
        pool = pool_create(2, NULL);
        int code = errno;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        if (pool)
            break;
        failures++;
        if (code != EMFILE)
            print_error("with room for %d descriptors: errno %d, \"%s\"\n", room, code, pool_error());
        assert_int_equal(code, EMFILE);
        assert_int_equal(audit_descriptors(), used);
    }
    assert_true(pool && failures > 0);
    long value = 3, square = 0;
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
    assert_int_equal(square, 9);
    pool_destroy(pool);
}

static void pools_live_side_by_side(void **state)
{
    (void)state;
    struct pool *pools[5];
    long squares[5];
    for (size_t i = 0; i < 5; i++)
        pools[i] = made(pool_create(1 + (unsigned)i % 2, NULL));
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < 5; i++) {
            long value = (long)(10 * round + i);
            assert_status(pool_apply(pools[i], task_square, &value, sizeof value, &squares[i], sizeof(long), NULL),
                          POOL_OK);
            assert_int_equal(squares[i], value * value);
        }
    for (size_t i = 0; i < 5; i++) {
        pool_destroy(pools[i]);
        if (i < 4) {
            long value = 7;
            assert_status(pool_apply(pools[4], task_square, &value, sizeof value, squares, sizeof(long), NULL),
                          POOL_OK);
        }
    }
}

static void made_and_destroyed_again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pool *pool = made(pool_create(2, NULL));
        if (i % 2)
            assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
        pool_destroy(pool);
    }
}

static void names_and_versions(void **state)
{
    (void)state;
    assert_string_equal(pool_version(), "1.0.0");
    assert_string_equal(pool_status_name(POOL_CRASHED), "crashed");
    for (int status = -1; status < 40; status++)
        assert_non_null(pool_status_name((enum pool_status)status));
    for (int one = POOL_OK; one <= POOL_SYSTEM; one++)
        for (int other = POOL_OK; other < one; other++)
            assert_string_not_equal(pool_status_name((enum pool_status)one), pool_status_name((enum pool_status)other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(as_many_workers_as_asked),
        PROCESS_TEST(zero_means_one_for_each_processor),
        PROCESS_TEST(pids_fill_only_the_room_given),
        PROCESS_TEST(unknown_options_are_refused),
        PROCESS_TEST(max_workers_is_the_limit),
        PROCESS_TEST(more_workers_than_sixty_four),
        PROCESS_TEST(workers_bear_the_pools_name),
        PROCESS_TEST(each_worker_has_a_seat_of_its_own),
        PROCESS_TEST(workers_see_memory_as_it_was),
        PROCESS_TEST(initializer_and_finalizer_run_in_each_worker),
        PROCESS_TEST(create_does_not_wait_for_initializers),
        PROCESS_TEST(too_few_descriptors_make_no_pool),
        PROCESS_TEST(pools_live_side_by_side),
        PROCESS_TEST(made_and_destroyed_again_and_again),
        PROCESS_TEST(names_and_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
