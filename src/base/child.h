/*
 * child - one child process as its parent holds it: by a pidfd where the system has such a thing, by its number
 * elsewhere.
 *
 * A number can be reaped by any thread of the program, and given to a stranger at once; a pidfd cannot. So, by
 * number, look first and signal then, with no wait of our own between the two: what remains open is a wait elsewhere
 * in the program that falls into just that instant.
 */
#ifndef POOL__CHILD_H
#define POOL__CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * A descriptor of the process (close-on-exec), readable once it has ended. -1 with errno: ENOSYS where there is no
 * such thing.
 */
int pool__pidfd_open(pid_t pid);

enum pool__child_state {
    POOL__CHILD_RUNS,
    POOL__CHILD_ENDED, /* and is reaped now */
    POOL__CHILD_TAKEN  /* it has ended, and somebody else has its status */
};

/*
 * Looks, without waiting; reaps. *code, of one that has ended: its exit status, or -N where signal N ended it. pidfd
 * may be -1.
 */
enum pool__child_state pool__child_look(int pidfd, pid_t pid, int *code);

/* 0, or -1 with errno; ESRCH: it has ended. */
int pool__child_signal(int pidfd, pid_t pid, int signal_number);

/*
 * `hook` is called by exit(), before what was registered earlier. One hook at a time: where a process registers
 * another (a forked child, most often), the last is called. The first kind tells the status and is not everywhere;
 * false: not here. The second is everywhere, by atexit() with a status of -1 where nothing better is.
 */
bool pool__on_exit(void (*hook)(int status));
bool pool__exit_hook(void (*hook)(int status));

#endif
