/*
 * processes - child processes without a pool, and what memory they share with their parent: none.
 *
 *     cc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -o processes processes.c -lprocpool -pthread
 *
 * Usage: processes
 *
 * Shows: pool_process_start, pool_process_join and pool_process_exit_code; then one counter, raised by four threads and
 * by four processes.
 * What it prints is described at the end of this file. Next: mandelbrot.c.
 */
#include <procpool.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CREW 4

/* Atomic, since four threads raise it at the same time. In a process it is a copy, with nobody else to raise it. */
static atomic_int counter;

static void give_up(const char *what, const char *why)
{
    fflush(stdout);
    fprintf(stderr, "processes: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* Runs in a child. What it returns is the child's exit status; what it has printed is flushed first. */
static int print_number(void *arg)
{
    const int *number = arg;

    printf("process %d of %d is running\n", *number, CREW);
    return 0;
}

static int raise_in_process(void *arg)
{
    (void)arg;
    atomic_fetch_add(&counter, 1);
    return atomic_load(&counter);
}

static void *raise_in_thread(void *arg)
{
    (void)arg;
    atomic_fetch_add(&counter, 1);
    return NULL;
}

/* Start CREW processes, which run side by side, then wait for each. A child has all memory as it was at its start, so
 * that its argument can be a pointer to anything. */
static void run_processes(int (*fn)(void *arg), int exit_codes[CREW])
{
    struct pool_process *crew[CREW];
    int numbers[CREW];

    for (int i = 0; i < CREW; i++) {
        numbers[i] = i + 1;
        crew[i] = pool_process_start(fn, &numbers[i]);
        if (crew[i] == NULL)
            give_up("cannot start a process", pool_error());
    }
    for (int i = 0; i < CREW; i++) {
        if (pool_process_join(crew[i], POOL_FOREVER) != POOL_OK)
            give_up("cannot join a process", pool_error());
        exit_codes[i] = pool_process_exit_code(crew[i]);
        pool_process_free(crew[i]);
    }
}

static void run_threads(void)
{
    pthread_t crew[CREW];

    for (int i = 0; i < CREW; i++)
        if (pthread_create(&crew[i], NULL, raise_in_thread, NULL) != 0)
            give_up("cannot start a thread", "pthread_create failed");
    for (int i = 0; i < CREW; i++)
        pthread_join(crew[i], NULL);
}

int main(void)
{
    int codes[CREW];

    run_processes(print_number, codes);
    printf("all %d have ended, exit codes %d %d %d %d\n", CREW, codes[0], codes[1], codes[2], codes[3]);

    run_threads();
    printf("%d threads raised the counter: it is %d\n", CREW, atomic_load(&counter));

    atomic_store(&counter, 0);
    run_processes(raise_in_process, codes);
    printf("%d processes raised the counter: here it is %d; each raised a copy of its own, to %d %d %d %d\n", CREW,
           atomic_load(&counter), codes[0], codes[1], codes[2], codes[3]);
    return 0;
}

/*
 * Expected output; the first four lines stand in any order:
 *
 *     process 1 of 4 is running
 *     process 2 of 4 is running
 *     process 3 of 4 is running
 *     process 4 of 4 is running
 *     all 4 have ended, exit codes 0 0 0 0
 *     4 threads raised the counter: it is 4
 *     4 processes raised the counter: here it is 0; each raised a copy of its own, to 1 1 1 1
 */
