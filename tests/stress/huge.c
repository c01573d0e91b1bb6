/*
 * Arguments and results around 2^31 bytes and beyond 4 GiB, each way and both ways at once. At PROCPOOL_SCALE=1 up to 64 MiB; 32 brings 2 GiB,
 * 80 brings 5 GiB, as far as there is memory. The bytes are pages of zeros with marks here and there, so that making and checking them takes
 * little time and, in who only reads them, little memory.
 */
/* for MAP_ANONYMOUS and MAP_NORESERVE; before the first header */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/scale.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#define MEBIBYTE ((uint64_t)1 << 20)
#define STEP     ((uint64_t)16 * MEBIBYTE + 4099) /* between two marks */

/* ---- bytes */

static uint64_t mark_at(uint64_t place, unsigned seed)
{
    return (place + seed + 1) * 0x9e3779b97f4a7c15u;
}

/* Marks at the beginning, every STEP, and over the last bytes. */
static void put_marks(unsigned char *bytes, uint64_t size, unsigned seed)
{
    for (uint64_t at = 0; at + 8 <= size; at += STEP) {
        uint64_t mark = mark_at(at, seed);
        memcpy(bytes + at, &mark, 8);
    }
    for (uint64_t at = size < 8 ? 0 : size - 8; at < size; at++)
        bytes[at] = (unsigned char)(at * 7 + seed);
}

/* The marks are there, and between them (here and there) is nothing. */
static bool has_marks(const unsigned char *bytes, uint64_t size, unsigned seed)
{
    for (uint64_t at = 0; at + 8 <= size; at += STEP) {
        uint64_t mark = mark_at(at, seed);
        if (at + 16 <= size && memcmp(bytes + at, &mark, 8) != 0)
            return false;
        if (at + STEP / 2 + 16 <= size && bytes[at + STEP / 2] != 0)
            return false;
    }
    for (uint64_t at = size < 8 ? 0 : size - 8; at < size; at++)
        if (bytes[at] != (unsigned char)(at * 7 + seed))
            return false;
    return true;
}

static unsigned char *sparse(uint64_t size)
{
    void *bytes =
        mmap(NULL, (size_t)size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bytes == MAP_FAILED)
        fail_msg("no address space for %llu bytes", (unsigned long long)size);
    return bytes;
}

/* ---- memory: of each large payload one copy is real, its receiver's */

static uint64_t available_bytes(void)
{
    unsigned long long kilobytes = 0;
    char line[256];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static bool is_affordable(uint64_t size, unsigned copies)
{
    uint64_t available = available_bytes();

    return size <= scaled(64) * MEBIBYTE && size < SIZE_MAX / 4 &&
           (available == 0 || size * copies + (available >> 2) < available);
}

/* ---- tasks */

struct order {
    uint64_t size;
    uint32_t seed;
};

static int task_checks(struct pool_task *task)
{
    uint64_t size = task->size;

    if (!has_marks(task->arg, size, 1))
        return pool_fail(task, 1, "other bytes than were sent");
    return pool_return(task, &size, sizeof size);
}

static int task_makes(struct pool_task *task)
{
    struct order order;

    memcpy(&order, task->arg, sizeof order);
    unsigned char *space = pool_return_space(task, (size_t)order.size);
    if (!space && order.size > 0)
        return pool_fail(task, 2, "no memory for %llu bytes", (unsigned long long)order.size);
    if (order.size < 64 * MEBIBYTE) /* larger ones come from the system as zeros */
        memset(space, 0, (size_t)order.size);
    put_marks(space, order.size, order.seed);
    return 0;
}

static int task_changes(struct pool_task *task)
{
    if (!has_marks(task->arg, task->size, 1))
        return pool_fail(task, 1, "other bytes than were sent");
    unsigned char *space = pool_return_space(task, task->size);
    if (!space)
        return pool_fail(task, 2, "no memory");
    if (task->size < 64 * MEBIBYTE)
        memset(space, 0, task->size);
    put_marks(space, task->size, 2);
    return 0;
}

/* ---- one payload */

static void there(uint64_t size)
{
    struct pool *pool = made(pool_create(1, NULL));
    unsigned char *bytes = sparse(size);
    uint64_t told = 0;

    put_marks(bytes, size, 1);
    assert_status(pool_apply(pool, task_checks, bytes, (size_t)size, &told, sizeof told, NULL), POOL_OK);
    assert_true(told == size);
    munmap(bytes, (size_t)size + 1);
    pool_destroy(pool);
}

static void back(uint64_t size)
{
    struct pool *pool = made(pool_create(1, NULL));
    struct order order = {.size = size, .seed = 3};
    unsigned char *out = sparse(size);

    out[size] = 0x77;
    assert_status(pool_apply(pool, task_makes, &order, sizeof order, out, (size_t)size, NULL), POOL_OK);
    assert_true(has_marks(out, size, 3));
    assert_int_equal(out[size], 0x77);
    munmap(out, (size_t)size + 1);
    pool_destroy(pool);
}

/* By a future, whose result is memory of the library. */
static void back_by_future(uint64_t size)
{
    struct pool *pool = made(pool_create(1, NULL));
    struct order order = {.size = size, .seed = 4};
    const struct pool_result *result;

    struct pool_future *future = made(pool_apply_async(pool, task_makes, &order, sizeof order, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    assert_true(result->size == size);
    assert_true(has_marks(result->data, size, 4));
    pool_future_free(future);
    pool_destroy(pool);
}

static void there_and_back(uint64_t size)
{
    struct pool *pool = made(pool_create(1, NULL));
    unsigned char *bytes = sparse(size), *out = sparse(size);

    put_marks(bytes, size, 1);
    assert_status(pool_apply(pool, task_changes, bytes, (size_t)size, out, (size_t)size, NULL), POOL_OK);
    assert_true(has_marks(out, size, 2));
    munmap(bytes, (size_t)size + 1);
    munmap(out, (size_t)size + 1);
    pool_destroy(pool);
}

static void of_every_size(void (*way)(uint64_t size), unsigned copies)
{
    static const uint64_t sizes[] = {
        0,          1,         4095,           4096,          4097,           65535,          65536,
        65537,      1 << 20,   64 * MEBIBYTE,  2147479551,    2147479552,     2147479553, /* most of one write() */
        2147483647, 2147483648, 2147483649,    4294967295,    4294967296,     4294967297,     5 * 1024 * MEBIBYTE,
    };
    uint64_t largest = 0;

    stress_begin();
    int64_t start = time_now_ms();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (!is_affordable(sizes[i], copies))
            continue;
        way(sizes[i]);
        largest = sizes[i];
    }
    print_message("    up to %llu bytes, in %ld ms\n", (unsigned long long)largest, (long)(time_now_ms() - start));
}

static void arguments(void **state)
{
    (void)state;
    of_every_size(there, 1);
}

static void results(void **state)
{
    (void)state;
    of_every_size(back, 1);
}

static void results_of_futures(void **state)
{
    (void)state;
    of_every_size(back_by_future, 1);
}

static void both(void **state)
{
    (void)state;
    of_every_size(there_and_back, 2);
}

/* ---- many at once */

/* Every worker has a large argument to read and a large result to write, at the same moment. */
static void both_ways_at_once(void **state)
{
    enum { WORKERS = 8 };
    uint64_t size = scaled(8) * MEBIBYTE;
    struct pool_future *futures[WORKERS];

    (void)state;
    stress_begin();
    if (size > 64 * MEBIBYTE)
        size = 64 * MEBIBYTE;
    unsigned char *bytes = sparse(size);
    struct pool *pool = made(pool_create(WORKERS, NULL));
    put_marks(bytes, size, 1);
    for (int i = 0; i < WORKERS; i++)
        futures[i] = made(pool_apply_async(pool, task_changes, bytes, (size_t)size, NULL));
    for (int i = 0; i < WORKERS; i++) {
        const struct pool_result *result;
        assert_status(pool_future_get(futures[i], POOL_FOREVER, &result), POOL_OK);
        assert_true(result->size == size && has_marks(result->data, size, 2));
        pool_future_free(futures[i]);
    }
    munmap(bytes, (size_t)size + 1);
    pool_destroy(pool);
}

/* ---- larger than there can be */

static void sizes_beyond_memory(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 63, SIZE_MAX / 2 + 1};
    char byte = 0;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct pool_job shared = {.shared = &byte, .shared_size = sizes[i]};
        assert_status(pool_apply(pool, task_size, &byte, sizes[i], NULL, 0, NULL), POOL_INVALID);
        assert_null_errno(pool_apply_async(pool, task_size, &byte, sizes[i], NULL), EINVAL);
        assert_status(pool_map(pool, task_size, pool_items(&byte, 2, sizes[i]), NULL, 0, NULL), POOL_INVALID);
        assert_status(pool_map(pool, task_size, pool_items(&byte, sizes[i], 8), NULL, 0, NULL), POOL_INVALID);
        assert_null_errno(pool_imap(pool, task_size, pool_items(&byte, sizes[i], sizes[i]), NULL), EINVAL);
        struct pool_future *future = pool_apply_async(pool, task_nothing, NULL, 0, &shared);
        assert_null(future);
        assert_true(errno == EINVAL || errno == ENOMEM);
    }
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(arguments),          PROCESS_TEST(results),
        PROCESS_TEST(results_of_futures), PROCESS_TEST(both),
        PROCESS_TEST(both_ways_at_once),  PROCESS_TEST(sizes_beyond_memory),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
