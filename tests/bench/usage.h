/*
 * usage - what processes use, as the system counts it: processor time, memory, wake-ups. Linux: from /proc.
 */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stddef.h>
#include <sys/types.h>

/* Processor time of this process and those, with all their threads. */
double usage_cpu_seconds(const pid_t *pids, size_t count);

/* Bytes in memory of this process. */
double usage_resident(void);

/* Bytes of memory that is the process' own, shared with no other. */
double usage_private(pid_t pid);

/* Bytes of memory that the system can still give. */
double usage_available(void);

/* Of all threads of a process but the calling one: how often they were put aside and woken, and their time. */
struct usage_threads {
    double switches, cpu_ns;
};
struct usage_threads usage_threads(pid_t pid);

pid_t usage_parent(pid_t pid);

#endif
