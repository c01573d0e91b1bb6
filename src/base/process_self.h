/*
 * process_self - what a freshly forked process of ours does to itself, and what it can learn of itself; each a small
 * function over a system difference.
 */
#ifndef POOL__PROCESS_SELF_H
#define POOL__PROCESS_SELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Shown by ps; cut at what the system takes. Async-signal-safe. */
void pool__process_name(const char *name);

/*
 * SIGKILL for this process when `parent` dies; dies at once if it is dead already. Where the system has no such
 * thing: nothing.
 */
void pool__die_with_parent(pid_t parent);

/* Descendants that lose their parent become children of this process (Linux). */
void pool__adopt_orphans(void);

/*
 * From now on what comes through the socket, and its hang-up, continues this process where it is stopped (Linux): the
 * kernel sends SIGCONT, which does nothing to one that runs.
 */
void pool__continue_by(int socket);

/*
 * Where memory runs out, the system is to choose this process rather than those that it has it from. Its children
 * have that from it. Best effort, async-signal-safe.
 */
void pool__go_first(void);

/*
 * Calls `each` for every child of this process that the kernel lists; for none where it cannot. Async-signal-safe, no
 * heap.
 */
void pool__for_each_child(void (*each)(void *context, pid_t child), void *context);

/* Standard streams of a worker: input at its end, nothing buffered that the host had written or read ahead. */
void pool__stdio_settle(void);

/*
 * Writes out what a task has printed to stdout and stderr, where something is pending and no other thread holds the
 * stream.
 */
void pool__stdio_flush(void);

/*
 * Is nothing pending there? Asked after each item: so by the streams' own pointers where they can be seen. False: who
 * knows.
 */
#if defined(__GLIBC__) && !defined(POOL__PORTABLE)
static inline bool pool__streams_are_clean(const FILE *out, const FILE *err)
{
    /* the mode is above zero of a stream of wide characters, whose pointers are elsewhere */
    return ((out->_IO_write_ptr - out->_IO_write_base) | (err->_IO_write_ptr - err->_IO_write_base)) == 0 &&
           (-out->_mode | -err->_mode) >= 0;
}
#else
static inline bool pool__streams_are_clean(const FILE *out, const FILE *err)
{
    (void)out, (void)err;
    return false;
}
#endif

/* Bytes of memory that this process has resident, 0 where unknown. */
size_t pool__resident_size(void);

#endif
