/* for MAP_ANONYMOUS; before the first header */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "gate.h"
#include "watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct ground *ground;

void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    return memory;
}

void shared_memory_free(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

void pause_briefly(void)
{
    struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, NULL);
}

bool counter_wait(const atomic_int *counter, int value)
{
    int64_t end = time_now_ms() + (int64_t)GATE_SECONDS * 1000 * time_scale();
    while (atomic_load(counter) < value) {
        if (time_now_ms() > end)
            return false;
        pause_briefly();
    }
    return true;
}

void gate_open(struct gate *gate)
{
    atomic_store(&gate->opened, 1);
}

void gate_shut(struct gate *gate)
{
    atomic_store(&gate->opened, 0);
    atomic_store(&gate->arrived, 0);
}

bool gate_pass(struct gate *gate)
{
    atomic_fetch_add(&gate->arrived, 1);
    return counter_wait(&gate->opened, 1);
}

bool gate_wait_arrived(struct gate *gate, int count)
{
    return counter_wait(&gate->arrived, count);
}

void ground_make(void)
{
    if (!ground)
        ground = shared_memory(sizeof *ground);
    memset((void *)ground, 0, sizeof *ground);
}

void ground_enter(void)
{
    int inside = atomic_fetch_add(&ground->inside, 1) + 1;
    int most = atomic_load(&ground->most);
    while (most < inside && !atomic_compare_exchange_weak(&ground->most, &most, inside))
        ;
}

void ground_leave(void)
{
    atomic_fetch_sub(&ground->inside, 1);
}
