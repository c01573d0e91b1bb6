/*
 * gate - how the processes of a test wait for each other: latches and counters in memory that they all share.
 *
 * The memory is mapped before the pool is made, so every worker has it at the same address. Nothing here depends on how
 * long something takes: who waits, waits for an event, and gives up only after GATE_SECONDS (a lost event is a failure
 * of the test, not a hang).
 */
#ifndef TEST_GATE_H
#define TEST_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define GATE_SECONDS 10

/* Zero-filled memory, shared with every process that is forked from now on. Ends the program where there is none. */
void *shared_memory(size_t size);
void  shared_memory_free(void *memory, size_t size);

/* A gate is shut when zero-filled. It stays open once opened, until it is shut again. */
struct gate {
    atomic_int opened;
    atomic_int arrived; /* how often gate_pass() was entered */
};

void gate_open(struct gate *gate);
void gate_shut(struct gate *gate); /* shut, and nobody has arrived */
bool gate_pass(struct gate *gate); /* wait until it is open; false: it was not opened in time */
bool gate_wait_arrived(struct gate *gate,
                       int count); /* wait until at least `count` have come to it; false: they did not */

/* Wait until the counter has at least that value; false: it did not come to it in time. */
bool counter_wait(const atomic_int *counter, int value);

/* Let other processes run for about a millisecond: the step of every loop that waits for an event. */
void pause_briefly(void);

/*
 * What most tests need, made once in each test program and cleared before each test (see audit.h): some gates, some
 * counters, and a counter for each item, in which a task leaves how often the item was started.
 */
#define GROUND_GATES 16
#define GROUND_COUNTS 16
#define GROUND_ITEMS 20000
struct ground {
    struct gate gate[GROUND_GATES];
    atomic_int  count[GROUND_COUNTS];
    atomic_int  started[GROUND_ITEMS];
    atomic_int  most;  /* see ground_enter() */
    atomic_int  inside;
};
extern struct ground *ground;

void ground_make(void); /* or clear, where it is made */

/* Between the two a task counts as being inside; ground->most is the largest number that were inside at once. */
void ground_enter(void);
void ground_leave(void);

#endif
