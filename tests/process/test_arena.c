/* The arena: one memory at one address in the program and all workers, had and given back in blocks. */
#define _GNU_SOURCE /* mincore */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static struct pool *pool;

static struct pool *make(unsigned workers, size_t size)
{
    return pool = made(pool_create(workers, &(struct pool_options){.arena_size = size}));
}

/* ------------------------------------------------------------------ tasks: each is given where to look */

struct row {
    long *numbers;
    size_t count;
};

static int task_adds(struct pool_task *task)
{
    const struct row *row = task->arg;
    long sum = 0;

    for (size_t i = 0; i < row->count; i++)
        sum += row->numbers[i];
    return pool_return(task, &sum, sizeof sum);
}

static int task_counts_up(struct pool_task *task)
{
    const struct row *row = task->arg;

    for (size_t i = 0; i < row->count; i++)
        row->numbers[i] = (long)i;
    return 0;
}

static int task_counts_up_and_is_killed(struct pool_task *task)
{
    task_counts_up(task);
    return task_killed(task);
}

static long sum_of(const struct row *row)
{
    long sum;

    assert_status(pool_apply(pool, task_adds, row, sizeof *row, &sum, sizeof sum, NULL), POOL_OK);
    return sum;
}

static struct row row_of(size_t count)
{
    struct row row = {made(pool_arena_alloc(pool, count * sizeof(long))), count};

    assert_int_equal((uintptr_t)row.numbers % 64, 0);
    return row;
}

static void everybody_sees_what_anybody_writes(void **state)
{
    enum { COUNT = 10000 };
    const long all = (long)COUNT * (COUNT - 1) / 2;

    (void)state;
    make(2, MIB);
    struct row row = row_of(COUNT);
    for (size_t i = 0; i < COUNT; i++)
        row.numbers[i] = 1;
    assert_int_equal(sum_of(&row), COUNT); /* a worker, what the program wrote */
    assert_status(pool_apply(pool, task_counts_up, &row, sizeof row, NULL, 0, NULL), POOL_OK);
    assert_int_equal(row.numbers[COUNT - 1], COUNT - 1); /* the program, what a worker wrote */
    assert_int_equal(sum_of(&row), all);
    struct pool_future *busy[1]; /* one is at a gate, so that the other one answers */
    occupy(pool, 0, busy, 1);
    assert_int_equal(sum_of(&row), all);
    gate_open(&ground->gate[0]);
    release(busy, 1);
    pool_destroy(pool);
}

static void what_a_dead_worker_wrote_stays(void **state)
{
    enum { COUNT = 10000 };

    (void)state;
    make(1, MIB);
    struct row row = row_of(COUNT);
    for (int round = 0; round < 3; round++) { /* and its successor has the same memory */
        memset(row.numbers, 0, COUNT * sizeof(long));
        assert_status(pool_apply(pool, task_counts_up_and_is_killed, &row, sizeof row, NULL, 0, NULL), POOL_CRASHED);
        assert_int_equal(row.numbers[COUNT - 1], COUNT - 1);
        assert_int_equal(sum_of(&row), (long)COUNT * (COUNT - 1) / 2);
    }
    pool_destroy(pool);
}

static int task_sends_a_child(struct pool_task *task)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(task_counts_up(task));
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : 1;
}

/* It is the task's argument, and a child of the task is a part of the task. */
static void what_a_task_forks_has_it_too(void **state)
{
    (void)state;
    make(1, MIB);
    struct row row = row_of(100);
    assert_status(pool_apply(pool, task_sends_a_child, &row, sizeof row, NULL, 0, NULL), POOL_OK);
    assert_int_equal(row.numbers[99], 99);
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ who has it not */

static void the_programs_children_have_it_not(void **state)
{
    (void)state;
    make(1, MIB);
    struct row row = row_of(100);
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        row.numbers[0] = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(row.numbers[0], 0);
    pool_destroy(pool);
}

static void another_pools_workers_have_it_not(void **state)
{
    (void)state;
    make(1, MIB);
    struct row row = row_of(100);
    struct pool *first = pool, *second = make(1, MIB);
    assert_status(pool_apply(second, task_counts_up, &row, sizeof row, NULL, 0, NULL), POOL_CRASHED);
    assert_int_equal(row.numbers[99], 0);
    pool_destroy(second);
    pool = first;
    assert_status(pool_apply(first, task_counts_up, &row, sizeof row, NULL, 0, NULL), POOL_OK);
    pool_destroy(first);
}

static int task_allocates(struct pool_task *task)
{
    const struct row *row = task->arg;
    int refused = pool_arena_alloc(pool, 64) == NULL && errno == EINVAL;

    pool_arena_free(pool, row->numbers);
    return pool_return(task, &refused, sizeof refused);
}

static void only_the_programs_own_process_allocates(void **state)
{
    int refused = 0;

    (void)state;
    struct pool *first = make(1, MIB);
    struct row row = row_of(100);
    struct pool *second = made(pool_create(1, NULL)); /* its workers know the first */
    assert_status(pool_apply(second, task_allocates, &row, sizeof row, &refused, sizeof refused, NULL), POOL_OK);
    assert_true(refused);
    pool_destroy(second);
    assert_ptr_not_equal(pool_arena_alloc(first, 64), row.numbers);
    pool_destroy(first);
}

/* ------------------------------------------------------------------ its beginning and its end */

/* Has this process anything at these pages? */
static bool is_mapped(void *from, size_t size)
{
    unsigned char *pages = made(malloc(size / (size_t)sysconf(_SC_PAGESIZE) + 1));
    int failed = mincore(from, size, pages);

    free(pages);
    return failed == 0;
}

static void it_goes_with_its_pool(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        make(1, 16 * MIB);
        void *memory = made(pool_arena_alloc(pool, 16 * MIB));
        assert_true(is_mapped(memory, 16 * MIB));
        pool_destroy(pool);
        assert_false(is_mapped(memory, 16 * MIB));
    }
}

static void what_cannot_be_is_refused(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2 + 1, PTRDIFF_MAX, PTRDIFF_MAX / 2};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct pool_options options = {.arena_size = sizes[i]};
        assert_null_errno(pool_create(1, &options), ENOMEM);
        assert_error_has("arena");
    }
}

/* More than the machine has: only what is touched is there. */
static void it_is_reserved_and_not_committed(void **state)
{
    (void)state;
    if (sizeof(size_t) < 8)
        skip();
    make(2, 64 * GIB);
    struct row low = row_of(1000), all = row_of((64 * GIB - 64 * 1000) / sizeof(long) / 2);
    long *high = all.numbers + all.count - 1000;
    high[0] = 1000;
    assert_int_equal(sum_of(&(struct row){high, 1000}), 1000);
    assert_int_equal(sum_of(&low), 0);
    pool_destroy(pool);
}

static void it_is_used_to_the_last_byte(void **state)
{
    (void)state;
    make(1, 100); /* two blocks of 64 bytes: sizes are rounded up */
    char *first = made(pool_arena_alloc(pool, 64)), *second = made(pool_arena_alloc(pool, 1));
    assert_null_errno(pool_arena_alloc(pool, 1), ENOMEM);
    assert_error_has("no room");
    first[0] = second[63] = 1;
    pool_arena_free(pool, first);
    assert_ptr_equal(pool_arena_alloc(pool, 0), first); /* nothing takes a block too */
    pool_destroy(pool);
    make(1, 10 * MIB);
    assert_non_null(pool_arena_alloc(pool, 10 * MIB));
    assert_null_errno(pool_arena_alloc(pool, SIZE_MAX), ENOMEM);
    pool_destroy(pool);
}

static void without_one_nothing_is_had(void **state)
{
    (void)state;
    pool = made(pool_create(1, NULL));
    assert_null_errno(pool_arena_alloc(pool, 100), EINVAL);
    assert_error_has("arena_size");
    assert_null_errno(pool_arena_alloc(NULL, 100), EINVAL);
    pool_arena_free(pool, &pool);
    pool_destroy(pool);
}

/* A limit of the size of files is for files. */
static void the_limit_of_a_files_size_is_not_its_own(void **state)
{
    struct rlimit before, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    pool = pool_create(1, &(struct pool_options){.arena_size = 16 * MIB});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(pool);
    struct row row = row_of(MIB);
    row.numbers[MIB - 1] = 1;
    assert_int_equal(sum_of(&row), 1);
    pool_destroy(pool);
}

/* ------------------------------------------------------------------ giving back */

static void wrong_frees_do_nothing(void **state)
{
    char own[64];

    (void)state;
    make(1, 64 * 10);
    char *block = made(pool_arena_alloc(pool, 640));
    errno = 4321;
    pool_arena_free(pool, NULL);
    pool_arena_free(NULL, block);
    pool_arena_free(pool, own);
    pool_arena_free(pool, block + 1);
    pool_arena_free(pool, block + 64);
    pool_arena_free(pool, block - 64);
    pool_arena_free(pool, block + 640);
    assert_int_equal(errno, 4321);
    assert_null_errno(pool_arena_alloc(pool, 1), ENOMEM);
    errno = 4321;
    pool_arena_free(pool, block);
    pool_arena_free(pool, block); /* twice: the second is none */
    assert_int_equal(errno, 4321);
    assert_ptr_equal(pool_arena_alloc(pool, 320), block);
    assert_ptr_equal(pool_arena_alloc(pool, 320), block + 320);
    pool_destroy(pool);
}

#if defined(MADV_REMOVE) && !defined(POOL__PORTABLE)
/* Pages of these that take memory, in whatever process they were touched. */
static size_t present(void *from, size_t size)
{
    size_t pages = size / (size_t)sysconf(_SC_PAGESIZE), count = 0;
    unsigned char *flags = made(malloc(pages));

    assert_int_equal(mincore(from, size, flags), 0);
    for (size_t i = 0; i < pages; i++)
        count += flags[i] & 1;
    free(flags);
    return count;
}

static void freed_memory_goes_back_to_the_system(void **state)
{
    enum { SMALL = 512 };
    void *small[SMALL];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    make(1, 64 * MIB);
    struct row row = row_of(32 * MIB / sizeof(long));
    assert_status(pool_apply(pool, task_counts_up, &row, sizeof row, NULL, 0, NULL), POOL_OK);
    assert_int_equal(present(row.numbers, 32 * MIB), 32 * MIB / page);
    pool_arena_free(pool, row.numbers);
    assert_int_equal(present(row.numbers, 32 * MIB), 0);
    row = row_of(32 * MIB / sizeof(long)); /* and comes again */
    assert_int_equal(sum_of(&row), 0);
    pool_arena_free(pool, row.numbers);
    for (int i = 0; i < SMALL; i++) /* in small pieces too, when they are together a large one */
        memset(small[i] = made(pool_arena_alloc(pool, 16384)), 1, 16384);
    for (int i = 0; i < SMALL; i++)
        pool_arena_free(pool, small[i]);
    assert_true(present(small[0], SMALL * 16384) < MIB / page);
    pool_destroy(pool);
}
#endif

enum { THREADS = 4, TURNS = 30000, HELD = 16 };

static void *churn(void *context)
{
    unsigned char *held[HELD] = {NULL};
    size_t sizes[HELD] = {0};
    unsigned number = *(unsigned *)context, random = number;
    bool whole = true;

    for (int turn = 0; turn < TURNS; turn++) {
        unsigned which = (random = random * 1664525u + 1013904223u) >> 8 & (HELD - 1);
        for (size_t i = 0; held[which] != NULL && i < sizes[which]; i += 64)
            whole = whole && held[which][i] == number;
        pool_arena_free(pool, held[which]);
        sizes[which] = (random >> 12) % 2000;
        held[which] = pool_arena_alloc(pool, sizes[which]);
        if (held[which] != NULL)
            memset(held[which], (int)number, sizes[which]);
    }
    for (int i = 0; i < HELD; i++)
        pool_arena_free(pool, held[i]);
    return whole ? context : NULL;
}

static void threads_have_blocks_of_their_own(void **state)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];

    (void)state;
    make(1, MIB / 8);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *whole;
        assert_int_equal(pthread_join(threads[i], &whole), 0);
        assert_non_null(whole);
    }
    assert_non_null(pool_arena_alloc(pool, MIB / 8));
    pool_destroy(pool);
}

static void frees_in_callback(void *user, const struct pool_result *result)
{
    long **block = user;

    (void)result;
    pool_arena_free(pool, *block);
    *block = pool_arena_alloc(pool, MIB);
}

/* As long as the pool is there, whatever its state. */
static void blocks_are_had_at_any_time(void **state)
{
    (void)state;
    make(1, MIB);
    long *block = made(pool_arena_alloc(pool, MIB));
    struct pool_job job = {.callback = frees_in_callback, .user = &block};
    struct pool_future *future = made(pool_apply_async(pool, task_nothing, NULL, 0, &job));
    pool_close(pool);
    assert_status(pool_join(pool, POOL_FOREVER), POOL_OK);
    pool_future_free(future);
    assert_non_null(block);
    pool_arena_free(pool, block);
    assert_ptr_equal(pool_arena_alloc(pool, MIB), block);
    block[0] = 1;
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(everybody_sees_what_anybody_writes),
        PROCESS_TEST(what_a_dead_worker_wrote_stays),
        PROCESS_TEST(what_a_task_forks_has_it_too),
        PROCESS_TEST(the_programs_children_have_it_not),
        PROCESS_TEST(another_pools_workers_have_it_not),
        PROCESS_TEST(only_the_programs_own_process_allocates),
        PROCESS_TEST(it_goes_with_its_pool),
        PROCESS_TEST(what_cannot_be_is_refused),
        PROCESS_TEST(it_is_reserved_and_not_committed),
        PROCESS_TEST(it_is_used_to_the_last_byte),
        PROCESS_TEST(without_one_nothing_is_had),
        PROCESS_TEST(the_limit_of_a_files_size_is_not_its_own),
        PROCESS_TEST(wrong_frees_do_nothing),
#if defined(MADV_REMOVE) && !defined(POOL__PORTABLE)
        PROCESS_TEST(freed_memory_goes_back_to_the_system),
#endif
        PROCESS_TEST(threads_have_blocks_of_their_own),
        PROCESS_TEST(blocks_are_had_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
