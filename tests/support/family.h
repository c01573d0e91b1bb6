/*
 * family - what the system says of other processes: who their parent is, whether they still live, how much processor time they used.
 *
 * Read from /proc, so only where it is mounted as on Linux: family_known() tells, and tests that need it skip elsewhere.
 * A zombie counts as gone: it holds nothing but its number.
 */
#ifndef TEST_FAMILY_H
#define TEST_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FAMILY_MS 2000 /* the most that processes may take to be gone after what should end them; times time_scale() */

/*
 * Does the library find the descendants of tasks that have left their session? On Linux it does, by a subreaper; not where it is built with nothing
 * beyond POSIX.
 */
#if defined(__linux__) && !defined(POOL__PORTABLE)
#define FAMILY_FOLLOWS_SESSIONS 1
#else
#define FAMILY_FOLLOWS_SESSIONS 0
#endif

struct family_member {
    pid_t pid, parent, group, session;
    char  state;              /* as ps shows it: R, S, D, T, Z ... */
    unsigned long long ticks; /* processor time used so far, in clock ticks */
};

bool  family_known(void);
bool  family_look(pid_t pid, struct family_member *member); /* false: no such process */
bool  family_lives(pid_t pid);                              /* it is there and no zombie */
pid_t family_parent(pid_t pid);                             /* 0: no such process */

/* Wait until the processes are gone; false: after FAMILY_MS at least one still lives. Numbers of 0 and below are passed over. */
bool family_gone(pid_t pid);
bool family_all_gone(const pid_t *pids, size_t count);

#endif
