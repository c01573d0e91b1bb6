/*
 * squares - a first session with a pool: what Python's multiprocessing documentation shows on its first page, in C.
 *
 *     cc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -o squares squares.c -lprocpool -pthread
 *
 * Usage: squares
 *
 * Shows: pool_map, pool_imap_unordered, pool_apply_async with pool_future_read and its time limit, and the pool's end.
 * What it prints is described at the end of this file. Next: processes.c.
 */
#include <procpool.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What is to be done: plain functions of one value, and the task functions that a pool makes of them. */
static long square(long x)
{
    return x * x;
}

POOL_FUNCTION(square_task, long, long, square)
POOL_FUNCTION(sleep_task, unsigned, unsigned, sleep)

/* A task function written by hand: it needs no argument, and hands back its result with pool_return(). */
static int pid_task(struct pool_task *task)
{
    pid_t pid = getpid();

    return pool_return(task, &pid, sizeof pid);
}

/* End the program, and with it the workers; pool_error() says in words what the library's last failure was. */
static void give_up(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "squares: %s: %s\n", what, pool_error());
    exit(EXIT_FAILURE);
}

/* All results at once, in the order of the items, in an array of our own. */
static void show_map(struct pool *pool)
{
    long in[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    long out[sizeof in / sizeof in[0]];

    if (pool_map(pool, square_task, POOL_ARRAY(in), out, sizeof out[0], NULL) != POOL_OK)
        give_up("map");
    printf("in order:");
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        printf(" %ld", out[i]);
    printf("\n");
}

/* Results one by one, as they are ready: no two runs need agree. result->index tells which item each belongs to. */
static void show_imap_unordered(struct pool *pool)
{
    long in[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct pool_iterator *iterator = pool_imap_unordered(pool, square_task, POOL_ARRAY(in), NULL);
    const struct pool_result *result;
    enum pool_status status;

    if (iterator == NULL)
        give_up("imap_unordered");
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK) {
        if (result->status != POOL_OK)
            give_up("imap_unordered's item");
        printf("as they come: %zu squared is %ld\n", result->index, *(const long *)result->data);
    }
    if (status != POOL_END)
        give_up("imap_unordered");
    pool_iterator_free(iterator);
}

/* One call whose result is fetched later; the wait for it has a limit, in milliseconds. */
static void show_apply_async(struct pool *pool)
{
    long x = 20, y;
    struct pool_future *future = pool_apply_async(pool, square_task, &x, sizeof x, NULL);

    if (pool_future_read(future, 1000, &y, sizeof y) != POOL_OK)
        give_up("apply_async");
    printf("%ld squared is %ld\n", x, y);
    pool_future_free(future);
}

/* Four calls at once: handed to whichever workers are free, so that a quick worker may answer twice. */
static void show_pids(struct pool *pool)
{
    struct pool_future *futures[4];
    pid_t pid;

    for (int i = 0; i < 4; i++)
        futures[i] = pool_apply_async(pool, pid_task, NULL, 0, NULL);
    printf("four tasks ran in processes");
    for (int i = 0; i < 4; i++) {
        if (pool_future_read(futures[i], 1000, &pid, sizeof pid) != POOL_OK)
            give_up("a pid");
        printf(" %ld", (long)pid);
        pool_future_free(futures[i]);
    }
    printf("; this one is %ld\n", (long)getpid());
}

/* A wait that runs out takes nothing away: the task goes on, and its future may be asked again. */
static struct pool_future *show_timeout(struct pool *pool)
{
    unsigned seconds = 10;
    struct pool_future *future = pool_apply_async(pool, sleep_task, &seconds, sizeof seconds, NULL);
    enum pool_status status = pool_future_wait(future, 1000);

    if (status != POOL_TIMEOUT)
        give_up("the sleeper was expected to time out");
    printf("a task sleeps for %u seconds; after one we lacked patience: %s\n", seconds, pool_status_name(status));
    return future;
}

/* End at once, the sleeper too. To have all work finished first: pool_close(), then pool_join(). */
static void show_end(struct pool *pool, struct pool_future *sleeper)
{
    const struct pool_result *result;
    long x = 8, y;

    if (pool_terminate(pool) != POOL_OK)
        give_up("terminate");
    printf("the pool is closed; the sleeper's end: %s\n", pool_status_name(pool_future_get(sleeper, 1000, &result)));
    printf("one more task: %s\n", pool_status_name(pool_apply(pool, square_task, &x, sizeof x, &y, sizeof y, NULL)));
}

int main(void)
{
    struct pool *pool = pool_create(4, NULL);
    struct pool_future *sleeper;
    long x = 7, y;

    if (pool == NULL)
        give_up("cannot make a pool");
    show_map(pool);
    show_imap_unordered(pool);
    show_apply_async(pool);
    show_pids(pool);
    sleeper = show_timeout(pool);
    if (pool_apply(pool, square_task, &x, sizeof x, &y, sizeof y, NULL) != POOL_OK)
        give_up("apply");
    printf("meanwhile the pool remains usable: %ld squared is %ld\n", x, y);
    show_end(pool, sleeper);
    pool_future_free(sleeper);
    pool_destroy(pool);
    return 0;
}

/*
 * Expected output, in little more than a second. The "as they come" lines stand in any order, the ids are others:
 *
 *     in order: 0 1 4 9 16 25 36 49 64 81
 *     as they come: 0 squared is 0
 *     as they come: 2 squared is 4
 *     ...
 *     20 squared is 400
 *     four tasks ran in processes 4712 4713 4715 4714; this one is 4710
 *     a task sleeps for 10 seconds; after one we lacked patience: timeout
 *     meanwhile the pool remains usable: 7 squared is 49
 *     the pool is closed; the sleeper's end: terminated
 *     one more task: closed
 */
