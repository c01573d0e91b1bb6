/*
 * Who has which board in its memory (rule 13): a worker its own alone, what a task forks none, another pool's processes
 * none of ours. A board is 64 KiB, with a megabyte for large arguments and results, and the boards of one pool are one
 * file in memory, which /proc/PID/maps names.
 *
 * With nothing beyond POSIX they are shared memory without a name of its own.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOARD_BYTES (65536 + (1 << 20))

/* The boards that a process has: how many bytes, of how many pools. */
struct boards {
    unsigned long bytes;
    unsigned      pools;
};

enum { POOLS = 8 };

#if FAMILY_FOLLOWS_SESSIONS /* the systems that have memfds, too */
#define NAME "memfd:procpool"
#else
#define NAME "/dev/zero"
#endif

static unsigned long long others[POOLS]; /* shared memory of the same name that is no pool's */

static bool is_other(unsigned long long file)
{
    for (int i = 0; i < POOLS; i++)
        if (others[i] == file)
            return true;
    return false;
}

static void note_other(unsigned long long file)
{
    int i = 0;

    while (i < POOLS && others[i] != 0)
        i++;
    assert_in_range(i, 0, POOLS - 1);
    others[i] = file;
}

/* `note`: what is found is no pool's, now or later. */
static struct boards look(pid_t pid, bool note)
{
    struct boards found = {0, 0};
    unsigned long long files[POOLS] = {0};
    char line[512];

    snprintf(line, sizeof line, "/proc/%ld/maps", (long)pid);
    FILE *maps = fopen(line, "r");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        unsigned long long file;
        unsigned known = 0;
        if (!strstr(line, NAME) || sscanf(line, "%lx-%lx %*s %*s %*s %llu", &from, &to, &file) != 3 || is_other(file))
            continue;
        if (note)
            note_other(file);
        found.bytes += to - from;
        while (known < found.pools && files[known] != file)
            known++;
        if (known == found.pools && known < POOLS)
            files[found.pools++] = file;
    }
    if (maps)
        fclose(maps);
    return found;
}

static struct boards boards_of(pid_t pid)
{
    return look(pid, false);
}

static int task_boards(struct pool_task *task)
{
    struct boards own = boards_of(getpid());
    return pool_return(task, &own, sizeof own);
}

static void a_worker_has_its_own_alone(void **state)
{
    enum { WORKERS = 3 };
    pid_t pids[WORKERS];

    (void)state;
    look(getpid(), true);
    struct pool *pool = made(pool_create(WORKERS, NULL));
    assert_status(pool_map(pool, task_nothing, pool_items(NULL, WORKERS, 0), NULL, 0, NULL), POOL_OK);
    for (int round = 0; round < 3; round++) { /* the first workers, and those that follow them */
        struct boards boards;
        assert_status(pool_apply(pool, task_boards, NULL, 0, &boards, sizeof boards, NULL), POOL_OK);
        assert_int_equal(boards.bytes, BOARD_BYTES);
        assert_int_equal(boards.pools, 1);
        assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    }
    struct pool_future *busy[WORKERS];
    occupy(pool, 0, busy, WORKERS); /* all of them are there, and past their beginning */
    assert_int_equal(pool_worker_pids(pool, pids, WORKERS), WORKERS);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(boards_of(pids[i]).bytes, BOARD_BYTES);
    gate_open(&ground->gate[0]);
    release(busy, WORKERS);
    pool_destroy(pool);
}

/* What a task forks, and what that forks in turn. */
static int task_forks_and_looks(struct pool_task *task)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        atomic_store(&ground->count[0], (int)boards_of(getpid()).bytes);
        pid = fork();
        if (pid == 0) {
            atomic_store(&ground->count[1], (int)boards_of(getpid()).bytes);
            _exit(0);
        }
        _exit(pid > 0 && waitpid(pid, &status, 0) == pid ? status : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return pool_fail(task, 1, "no child that looked");
    return task_boards(task);
}

static void what_a_task_forks_has_none(void **state)
{
    (void)state;
    struct boards boards;
    struct pool *pool = made(pool_create(2, NULL));

    atomic_store(&ground->count[0], -1);
    atomic_store(&ground->count[1], -1);
    assert_status(pool_apply(pool, task_forks_and_looks, NULL, 0, &boards, sizeof boards, NULL), POOL_OK);
    assert_int_equal(boards.bytes, BOARD_BYTES);
    assert_int_equal(atomic_load(&ground->count[0]), 0);
    assert_int_equal(atomic_load(&ground->count[1]), 0);
    pool_destroy(pool);
}

static void check_pool_has_its_own_alone(struct pool *pool)
{
    struct boards boards;
    pid_t worker;

    assert_status(pool_apply(pool, task_pid, NULL, 0, &worker, sizeof worker, NULL), POOL_OK);
    assert_int_equal(boards_of(family_parent(worker)).pools, 1); /* the helper process, which forks the workers */
    assert_status(pool_apply(pool, task_boards, NULL, 0, &boards, sizeof boards, NULL), POOL_OK);
    assert_int_equal(boards.bytes, BOARD_BYTES);
}

static void another_pool_has_none_of_ours(void **state)
{
    (void)state;
    struct pool *pools[3];

    for (int i = 0; i < 3; i++)
        pools[i] = made(pool_create(2, i == 1 ? &(struct pool_options){.flags = POOL_NO_THREAD} : NULL));
    assert_int_equal(boards_of(getpid()).pools, 3);
    for (int i = 0; i < 3; i++)
        check_pool_has_its_own_alone(pools[i]);
    for (int i = 0; i < 3; i++)
        pool_destroy(pools[i]);
    assert_int_equal(boards_of(getpid()).bytes, 0);
}

/* A child that the program forks itself has none either. */
static void the_programs_children_have_none(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    int status;

    pid_t pid = fork();
    if (pid == 0)
        _exit(boards_of(getpid()).bytes == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(a_worker_has_its_own_alone),
        PROCESS_TEST(what_a_task_forks_has_none),
        PROCESS_TEST(another_pool_has_none_of_ours),
        PROCESS_TEST(the_programs_children_have_none),
    };

    if (!family_known())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
