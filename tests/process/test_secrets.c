/*
 * What one worker is given no other has: neither its neighbours, nor those that come after it on its seat, nor another pool's. Each looks
 * through all of its own memory.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SECRET = 48, VEIL = 0x5a };

/* A worker is told what to look for with every byte changed, so that it does not find the question. */
struct veiled {
    unsigned char bytes[SECRET];
};

static bool is_secret(const unsigned char *at, const struct veiled *veiled)
{
    for (size_t i = 0; i < SECRET; i++)
        if ((at[i] ^ VEIL) != veiled->bytes[i])
            return false;
    return true;
}

/* How often it lies in one piece of memory, which is read by way of the system: what cannot be read is passed over. */
static int count_in_range(int memory, unsigned long from, unsigned long to, const struct veiled *veiled)
{
    static unsigned char window[65536 + SECRET]; /* searched by its first part only, so that nothing counts twice */
    int count = 0;

    for (unsigned long at = from; at < to; at += 65536) {
        ssize_t got = pread(memory, window, sizeof window, (off_t)at);
        for (ssize_t i = 0; i + SECRET <= got && i < 65536 && at + (unsigned long)i < to; i++)
            count += window[i] == (veiled->bytes[0] ^ VEIL) && is_secret(window + i, veiled);
    }
    memset(window, 0, sizeof window);
    return count;
}

static int count_in_memory(const struct veiled *veiled)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), count = 0;
    char line[512], access[5];
    unsigned long from, to;

    if (!maps || memory < 0)
        return -1;
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &from, &to, access) == 3 && access[0] == 'r')
            count += count_in_range(memory, from, to, veiled);
    fclose(maps);
    close(memory);
    return count;
}

/* An int: how often this worker has it. */
static int task_looks(struct pool_task *task)
{
    struct veiled veiled;

    memcpy(&veiled, task->arg, sizeof veiled);
    int count = count_in_memory(&veiled);
    return count < 0 ? pool_fail(task, 1, "its own memory cannot be read") : pool_return(task, &count, sizeof count);
}

/* Is given the secret, returns it, and says in between whether it finds it: else nobody's not finding it would mean anything. */
static int task_is_told(struct pool_task *task)
{
    struct veiled veiled;

    for (size_t i = 0; i < SECRET; i++)
        veiled.bytes[i] = ((const unsigned char *)task->arg)[i] ^ VEIL;
    atomic_store(&ground->count[0], count_in_memory(&veiled));
    gate_pass(&ground->gate[0]);
    return pool_return(task, task->arg, task->size);
}

/* Made when the pools stand, so that no worker has it from its birth. */
static void make_secret(unsigned char *secret, struct veiled *veiled)
{
    static uint64_t number; /* another one each time */
    struct veiled made_up = {{0}};
    uint64_t word = (uint64_t)getpid() * 6364136223846793005u + ++number;

    for (size_t i = 0; i < SECRET; i++) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        secret[i] = (unsigned char)(word >> 40);
        made_up.bytes[i] = secret[i] ^ VEIL;
    }
    *veiled = made_up;
}

static int looked_for(struct pool *pool, const struct veiled *veiled)
{
    int count = -1;

    assert_status(pool_apply(pool, task_looks, veiled, sizeof *veiled, &count, sizeof count, NULL), POOL_OK);
    return count;
}

static void neighbours_have_it_not(void **state)
{
    unsigned char secret[SECRET], told[SECRET];
    struct veiled veiled;
    struct pool *pool = made(pool_create(2, NULL)), *other = made(pool_create(1, NULL));

    (void)state;
    make_secret(secret, &veiled);
    struct pool_job job = {.shared = secret, .shared_size = sizeof secret};
    struct pool_future *future = made(pool_apply_async(pool, task_is_told, secret, sizeof secret, &job));
    assert_true(gate_wait_arrived(&ground->gate[0], 1));
    assert_true(atomic_load(&ground->count[0]) > 0);
    assert_int_equal(looked_for(pool, &veiled), 0); /* the first one is busy */
    assert_int_equal(looked_for(other, &veiled), 0);
    gate_open(&ground->gate[0]);
    assert_status(pool_future_read(future, POOL_FOREVER, told, sizeof told), POOL_OK);
    assert_memory_equal(told, secret, sizeof secret);
    pool_future_free(future);
    struct pool *later = made(pool_create(1, NULL));
    assert_int_equal(looked_for(other, &veiled), 0);
    /* but who is made later has what the program has: that is how workers come by everything */
    assert_true(looked_for(later, &veiled) > 0);
    pool_destroy(later);
    pool_destroy(pool);
    pool_destroy(other);
}

static void successors_have_it_not(void **state)
{
    enum manner { KILLED, RECYCLED, MANNERS };
    unsigned char secret[SECRET], told[SECRET];
    struct veiled veiled;

    (void)state;
    for (enum manner manner = KILLED; manner < MANNERS; manner++) {
        struct pool *pool = made(pool_create(1, &(struct pool_options){.tasks_per_worker = manner == RECYCLED}));
        ground_make();
        gate_open(&ground->gate[0]);
        make_secret(secret, &veiled);
        for (int round = 0; round < 3; round++) {
            assert_status(pool_apply(pool, task_is_told, secret, sizeof secret, told, sizeof told, NULL), POOL_OK);
            assert_true(atomic_load(&ground->count[0]) > 0);
            if (manner == KILLED)
                assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
            assert_int_equal(looked_for(pool, &veiled), 0);
        }
        pool_destroy(pool);
    }
}

/* The same with a secret at the end of what is too large for a frame: it goes through the memory that they share. */
static void large_ones_are_wiped(void **state)
{
    enum { SIZE = 300000 };
    unsigned char *large = made(calloc(1, SIZE)), *told = made(malloc(SIZE));
    struct veiled veiled;
    struct pool *pool = made(pool_create(1, NULL));

    (void)state;
    gate_open(&ground->gate[0]);
    for (int round = 0; round < 3; round++) {
        make_secret(large, &veiled); /* at its beginning, for task_is_told() */
        memcpy(large + SIZE - SECRET, large, SECRET);
        assert_status(pool_apply(pool, task_is_told, large, SIZE, told, SIZE, NULL), POOL_OK);
        assert_memory_equal(told, large, SIZE);
        assert_true(atomic_load(&ground->count[0]) > 0);
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
        assert_int_equal(looked_for(pool, &veiled), 0);
    }
    pool_destroy(pool);
    free(large);
    free(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(neighbours_have_it_not),
        PROCESS_TEST(successors_have_it_not),
        PROCESS_TEST(large_ones_are_wiped),
    };

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (access("/proc/self/mem", R_OK) != 0 || UNDER_THREAD_SANITIZER || UNDER_ADDRESS_SANITIZER)
        return 77; /* the sanitizers' own memory is too much to look through */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
