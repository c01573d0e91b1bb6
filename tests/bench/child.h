/*
 * child - processes and pipes for floors, made by hand: fork, die with the parent, read and write whole messages.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Nothing more can be measured in this process: says why and ends it, and with it (Linux) its children. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Forks; the child runs body(context) and ends. It does not outlive the parent (Linux; elsewhere: as long as it reads
 * from a pipe of the parent's). */
pid_t child_start(void (*body)(void *context), void *context);

/* Waits for its end; kills first. */
void child_wait(pid_t pid);
void child_kill(pid_t pid);

void pipe_make(int ends[2]);
void write_whole(int descriptor, const void *data, size_t size);
/* False: the other end is closed. */
bool read_whole(int descriptor, void *data, size_t size);

/* Memory that children share; goes with the process. */
void *shared_make(size_t size);
/* malloc, or the end. */
void *memory_make(size_t size);

/* This process and all that it makes from now on, on one processor only. */
void pin_to_one(void);

/* Wakes up n processes that do nothing but use a processor, and ends them. */
void neighbours_start(pid_t *pids, size_t count);
void neighbours_end(const pid_t *pids, size_t count);

#endif
