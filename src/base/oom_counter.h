/*
 * oom_counter - how often the kernel's out-of-memory killer has struck in the control group of this process.
 *
 * A counter, of the whole group: that it rose says that the killer was at work, not whom it killed.
 */
#ifndef POOL__OOM_COUNTER_H
#define POOL__OOM_COUNTER_H

#include <stdint.h>

/*
 * -1: the group has no such counter, or cannot be seen. `root` stands before every path ("" for the system's own;
 * tests make up a tree). Where `path` is not NULL, *path is the file that was read last, malloc'ed, or NULL: so the
 * group need not be looked for each time, and stays the same.
 */
int64_t pool__oom_kills(const char *root, char **path);

#endif
