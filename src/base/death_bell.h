/*
 * death_bell - a descriptor that becomes readable when a child of this process has died: a signalfd on Linux,
 * elsewhere a pipe that a SIGCHLD handler writes to.
 *
 * Made by the host, where a failure can be told; armed and read by the zygote.
 */
#ifndef POOL__DEATH_BELL_H
#define POOL__DEATH_BELL_H

#include <stdbool.h>

struct pool__death_bell {
    int listen, ring; /* descriptors, -1 where there is none */
};

/* 0, or -1 with errno; on failure nothing is open. */
int pool__death_bell_open(struct pool__death_bell *bell);
void pool__death_bell_close(struct pool__death_bell *bell);

/* From here on every signal is let in, save what the bell itself listens to. One bell a process. False: it is deaf. */
bool pool__death_bell_arm(const struct pool__death_bell *bell);

/* In a child of a process that has armed it: the child has none. */
void pool__death_bell_leave(const struct pool__death_bell *bell);

/* Forgets what has rung. */
void pool__death_bell_quiet(const struct pool__death_bell *bell);

#endif
