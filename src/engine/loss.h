/*
 * loss - the program has closed descriptors of ours, as daemons do that close all they do not know, and may have
 * opened files by the same numbers.
 *
 * Nothing is then written to, read from or closed by such a number: each pipe and the control socket are known by
 * device and inode (descriptor.h), which are compared before each close, and once in each public call before the first
 * write and the first sleep: in the middle of a call the program has no turn to close anything, unless by another
 * thread. What is noticed is noted; at the next settle all is given up, and the pool is broken. The zygote finds its
 * socket's other end closed and ends everything. Pollers look all alike to fstat(): theirs are given up with the rest.
 */
#ifndef POOL__LOSS_H
#define POOL__LOSS_H

#include <stdbool.h>

struct pool;

/* A number that was ours is another's. The next settle, which comes at once, gives all up. */
void pool__note_loss(struct pool *pool);

/* Looks at the control socket, whose number is a sample of all. True: all is given up, nothing is left to sleep on. */
bool pool__has_lost(struct pool *pool);

/* Before the end: looks at what is slept on too, lest nobody wakes up. */
void pool__look_for_loss(struct pool *pool);

void pool__give_up(struct pool *pool);

#endif
