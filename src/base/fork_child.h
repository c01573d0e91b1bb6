/*
 * fork_child - the one place that calls fork() for the pool, and what must happen in every child, whoever forks it.
 *
 * Three forks have to be told apart:
 *   - the pool's own (pool__fork, pool__fork_twice): by a thread that holds the fork lock itself, or is alone in its process;
 *   - the program's fork() while pools are alive: a pthread_atfork handler closes the pools' descriptors in the child and marks it as another process;
 *   - a raw clone or _Fork(), which runs no handler: the generation lies in a page that the kernel wipes in every child (Linux).
 *
 * The fork lock is outermost in the lock order of engine/engine.h: the prepare handler takes it, so that a child
 * never sees descriptors that are made but not yet listed. The engine, which holds a pool's lock when it makes a
 * worker's pipes, only ever tries it (rule 25).
 */
#ifndef POOL__FORK_CHILD_H
#define POOL__FORK_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"

/* Called in a child that the program forked: close descriptors, nothing else. Links are guarded by the fork lock. */
struct pool__fork_guard {
    struct pool__link link;
    void (*in_child)(struct pool__fork_guard *guard);
};

/* Installs the fork handlers, once for the process. 0, or an errno. */
int pool__fork_handlers_install(void);

/*
 * The number of this process among its ancestors, never 0: what belongs to a process keeps it and asks
 * pool__process_is() later.
 */
uint64_t pool__process_generation(void);
bool pool__process_is(uint64_t generation);

void pool__fork_lock(void);
bool pool__fork_trylock(void);
void pool__fork_unlock(void);
void pool__fork_guard_add(struct pool__fork_guard *guard);    /* under the fork lock */
void pool__fork_guard_remove(struct pool__fork_guard *guard); /* under the fork lock */

/*
 * fork() with every signal blocked in parent and child; the child keeps them blocked. For the zygote. As fork()
 * returns.
 */
pid_t pool__fork(void);

/*
 * Runs `run(argument)`, which does not return, in a process that is no child of this one (forked twice). The calling
 * thread holds the fork lock. 0, or an errno. Of the short-lived process between, neither a zombie nor, in a program
 * of one thread, a SIGCHLD remains.
 */
int pool__fork_twice(void (*run)(void *argument), void *argument);

/* In a fresh child: every signal back to its default action, no alternate stack. The mask is left alone. */
void pool__signals_to_default(void);
void pool__signals_unblock_all(void);

/*
 * Blocks the signals that ask a program to end, and SIGPIPE: they do nothing here, and a child that unblocks all has
 * them at their defaults, without those that wait here.
 */
void pool__signals_block_requests(void);

/*
 * In a worker: has this process been forked by a task, out of the worker? A flag set by the fork handler, so that
 * asking after each task costs nothing. pool__settle_in() says: from here on, this process is itself.
 */
bool pool__is_stray_child(void);
void pool__settle_in(void);

#endif
