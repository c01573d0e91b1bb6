/*
 * POOL_NO_THREAD, driven by nothing but pool_fd(): every change that a loop must hear of makes it readable, though the system may have no
 * descriptor for a set of descriptors. Then it is a bell that the helper process and the workers ring (rule 31), and a task may do to the
 * bell what it likes.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/system.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEAF_MS 10000 /* so long a loop sleeps that nobody wakes; times time_scale() */

static struct pool *open_quiet(unsigned workers)
{
    struct pool *pool = made(pool_create(workers, &(struct pool_options){.flags = POOL_NO_THREAD}));

    assert_true(pool_fd(pool) >= 0);
    return pool;
}

static int by_bell, by_timer; /* what ended the loop's sleeps */

/* Is rung for, or is woken by a timer of its own; never by the mere looking now and then. */
static void turn(struct pool *pool)
{
    struct pollfd entry = {.fd = pool_fd(pool), .events = POLLIN};
    int timeout = pool_next_timeout(pool);
    int count = poll(&entry, 1, timeout == IDLE_TIMEOUT ? DEAF_MS * time_scale() : timeout);

    assert_true(count == 1 || timeout != IDLE_TIMEOUT);
    by_bell += count == 1;
    by_timer += count == 0;
    assert_status(pool_dispatch(pool), POOL_OK);
}

static void drive_until(struct pool *pool, struct pool_future *future)
{
    while (!pool_future_ready(future))
        turn(pool);
}

static void settle(struct pool *pool)
{
    struct pollfd entry = {.fd = pool_fd(pool), .events = POLLIN};

    while (pool_next_timeout(pool) != IDLE_TIMEOUT || poll(&entry, 1, 20) == 1)
        assert_status(pool_dispatch(pool), POOL_OK);
}

/* ---- what is rung for */

/* Larger than any pipe: the worker stands in the middle of a read, and of a write, until the loop has heard of the last one. */
static void large_arguments_and_results(void **state)
{
    static const size_t sizes[] = {1, 4096, 65535, 65536, 65537, 1u << 20, 5u << 20};
    struct pool *pool = open_quiet(2);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *bytes = made(malloc(sizes[i])), *copy = made(calloc(1, sizes[i]));
        for (size_t at = 0; at < sizes[i]; at++)
            bytes[at] = (unsigned char)(at * 7 + i);
        settle(pool);
        struct pool_future *future = made(pool_apply_async(pool, task_echo, bytes, sizes[i], NULL));
        drive_until(pool, future);
        assert_status(pool_future_read(future, 0, copy, sizes[i]), POOL_OK);
        assert_memory_equal(copy, bytes, sizes[i]);
        pool_future_free(future);
        free(bytes);
        free(copy);
    }
    pool_destroy(pool);
}

/* Frames wait for room in the only worker's pipe while it stands at a gate: what it then reads makes room. */
static void room_in_a_full_pipe(void **state)
{
    enum { TASKS = 40, SIZE = 30000 };
    static unsigned char bytes[SIZE];
    struct pool_future *futures[TASKS];
    struct pool *pool = open_quiet(1);

    (void)state;
    struct pool_future *busy = start_gated(pool, 0, 1, NULL);
    while (atomic_load(&ground->gate[0].arrived) == 0)
        turn(pool);
    for (int i = 0; i < TASKS; i++)
        futures[i] = made(pool_apply_async(pool, task_size, bytes, sizeof bytes, NULL));
    settle(pool);
    gate_open(&ground->gate[0]);
    for (int i = 0; i < TASKS; i++) {
        size_t size = 0;
        drive_until(pool, futures[i]);
        assert_status(pool_future_read(futures[i], 0, &size, sizeof size), POOL_OK);
        assert_int_equal(size, SIZE);
    }
    release(futures, TASKS);
    release(&busy, 1);
    pool_destroy(pool);
}

/* One argument that the worker reads piece by piece. There are timers while it does, but it is the room that is to wake. */
static void room_is_rung_for(void **state)
{
    enum { SIZE = 8 << 20 };
    size_t size = 0;
    unsigned char *bytes = made(calloc(1, SIZE));
    struct pool *pool = open_quiet(1);

    (void)state;
    settle(pool);
    by_bell = by_timer = 0;
    struct pool_future *future = made(pool_apply_async(pool, task_size, bytes, SIZE, NULL));
    drive_until(pool, future);
    assert_status(pool_future_read(future, 0, &size, sizeof size), POOL_OK);
    assert_int_equal(size, SIZE);
    assert_true(by_timer * 4 < by_bell); /* each timer lets the loop look twice, or more often */
    release(&future, 1);
    pool_destroy(pool);
    free(bytes);
}

/* More workers than a sleeper has room for without asking for memory. */
static void many_workers(void **state)
{
    enum { WORKERS = 70, ITEMS = 2000 };
    static long items[ITEMS], squares[ITEMS];
    struct pool *pool = open_quiet(WORKERS);

    (void)state;
    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    for (int round = 0; round < 3; round++) {
        settle(pool);
        struct pool_job job = {.chunk = 1};
        struct pool_future *map =
            made(pool_map_async(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job));
        drive_until(pool, map);
        assert_true(pool_future_successful(map));
        for (long i = 0; i < ITEMS; i++)
            assert_int_equal(squares[i], i * i);
        pool_future_free(map);
    }
    pool_destroy(pool);
}

/* A wait in between takes what is there, and the bell with it: what it leaves is still announced. */
static void waits_between_turns(void **state)
{
    enum { ROUNDS = 300 };
    struct pool *pool = open_quiet(3);

    (void)state;
    for (long round = 0; round < ROUNDS; round++) {
        struct pool_future *futures[3];
        for (long i = 0; i < 3; i++)
            futures[i] = made(pool_apply_async(pool, task_square, &i, sizeof i, NULL));
        assert_status(pool_future_wait(futures[round % 3], POOL_FOREVER), POOL_OK);
        for (int i = 0; i < 3; i++)
            drive_until(pool, futures[i]);
        release(futures, 3);
    }
    pool_destroy(pool);
}

/* The end of the last worker, and of the helper process, which closes its socket before it rings. */
static void the_end(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct pool *pool = open_quiet(2);
        assert_status(pool_close(pool), POOL_OK);
        while (pool_join(pool, 0) == POOL_TIMEOUT)
            turn(pool);
        assert_status(pool_join(pool, 0), POOL_OK);
        assert_int_equal(pool_next_timeout(pool), -1);
        pool_destroy(pool);
    }
}

/* ---- what tasks do to it */

enum { HIGHEST = 256 };
static bool known[HIGHEST]; /* descriptors that were there before the pool */

static void note_descriptors(void)
{
    for (int fd = 0; fd < HIGHEST; fd++)
        known[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* The pipe that a worker writes and that never blocks; -1: the pool has no bell. */
static int find_bell(void)
{
    struct stat found;

    for (int fd = 3; fd < HIGHEST; fd++)
        if (!known[fd] && fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode) &&
            (fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_WRONLY | O_NONBLOCK))
            return fd;
    return -1;
}

static bool has_bell(void)
{
    return IDLE_TIMEOUT >= 0;
}

static int task_closes_it(struct pool_task *task)
{
    int bell = find_bell();

    if ((bell >= 0) != has_bell())
        return pool_fail(task, 1, "the bell is %d", bell);
    close(bell);
    return 0;
}

static int task_puts_a_file_in_its_place(struct pool_task *task)
{
    int bell = find_bell(), file;

    memcpy(&file, task->arg, sizeof file);
    if (bell >= 0)
        dup2(file, bell);
    return 0;
}

/* Its worker is of no use any more, and is replaced. The result counts: it was there before. */
static void closed_or_replaced(void **state)
{
    char name[] = "/tmp/procpool-test-XXXXXX";
    int file = mkstemp(name);
    struct stat found;

    (void)state;
    assert_true(file >= 0);
    unlink(name);
    note_descriptors();
    struct pool *pool = open_quiet(2);
    for (int round = 0; round < 20; round++) {
        struct pool_future *future =
            made(round % 2 ? pool_apply_async(pool, task_closes_it, NULL, 0, NULL)
                           : pool_apply_async(pool, task_puts_a_file_in_its_place, &file, sizeof file, NULL));
        drive_until(pool, future);
        assert_true(pool_future_successful(future));
        pool_future_free(future);
    }
    assert_int_equal(fstat(file, &found), 0);
    assert_int_equal(found.st_size, 0);
    close(file);
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    drive_until(pool, future);
    release(&future, 1);
    pool_destroy(pool);
}

/* The bell then blocks whoever writes to it when it is full. */
static int blocking_bell(void)
{
    int bell = find_bell();

    if (bell >= 0)
        fcntl(bell, F_SETFL, fcntl(bell, F_GETFL) & ~O_NONBLOCK);
    return bell;
}

static int task_stuffs_it(struct pool_task *task)
{
    struct pollfd entry = {.fd = blocking_bell(), .events = POLLOUT};

    (void)task;
    if (!gate_pass(&ground->gate[0]))
        return 1;
    while (entry.fd >= 0 && poll(&entry, 1, 0) == 1 && write(entry.fd, "", 1) == 1)
        continue;
    atomic_fetch_add(&ground->count[0], 1);
    return gate_pass(&ground->gate[1]) ? 0 : 1;
}

/* Full, and this process is the one that would empty it: it must not wait for itself. */
static void stuffed(void **state)
{
    struct pool_future *late[20];

    (void)state;
    note_descriptors();
    struct pool *pool = open_quiet(2);
    struct pool_future *hostile = made(pool_apply_async(pool, task_stuffs_it, NULL, 0, NULL));
    while (atomic_load(&ground->gate[0].arrived) == 0)
        turn(pool);
    for (int i = 0; i < 20; i++)
        late[i] = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
    gate_open(&ground->gate[0]);
    assert_true(counter_wait(&ground->count[0], 1));
    assert_status(pool_future_cancel(late[19], false), POOL_OK);
    pool_stop(pool);
    for (int i = 0; i < 20; i++)
        drive_until(pool, late[i]);
    gate_open(&ground->gate[1]);
    drive_until(pool, hostile);
    assert_true(pool_future_successful(hostile));
    release(&hostile, 1);
    release(late, 20);
    pool_destroy(pool);
}

static int task_rings_on(struct pool_task *task)
{
    int bell = blocking_bell();
    static const char rings[4096];

    (void)task;
    atomic_fetch_add(&ground->count[0], 1);
    while (!atomic_load(&ground->gate[1].opened))
        if (bell < 0 || write(bell, rings, sizeof rings) < 0)
            pause_briefly();
    return 0;
}

/* For nothing, all the time: the loop is busy with it, and goes on. */
static void rung_without_end(void **state)
{
    (void)state;
    note_descriptors();
    struct pool *pool = open_quiet(2);
    struct pool_future *hostile = made(pool_apply_async(pool, task_rings_on, NULL, 0, NULL));
    while (atomic_load(&ground->count[0]) == 0)
        turn(pool);
    for (int i = 0; i < 100; i++) {
        struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, NULL));
        drive_until(pool, future);
        assert_true(pool_future_successful(future));
        pool_future_free(future);
    }
    gate_open(&ground->gate[1]);
    drive_until(pool, hostile);
    release(&hostile, 1);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(large_arguments_and_results),
        PROCESS_TEST(room_in_a_full_pipe),
        PROCESS_TEST(room_is_rung_for),
        PROCESS_TEST(many_workers),
        PROCESS_TEST(waits_between_turns),
        PROCESS_TEST(the_end),
        PROCESS_TEST(closed_or_replaced),
        PROCESS_TEST(stuffed),
        PROCESS_TEST(rung_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
