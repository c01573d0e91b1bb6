/*
 * barrier - a memory barrier on every processor that runs one of the processes that have joined, at the price of a system
 * call for who asks for it and of nothing for the others (Linux: membarrier(2)). What such a process has done before it
 * is seen by the caller afterwards; what it does later sees what the caller has done before.
 */
#ifndef POOL__BARRIER_H
#define POOL__BARRIER_H

#include <stdbool.h>

/* Has the system such a thing? */
bool pool__barrier_is_there(void);

/* From now on this process passes it. False: it does not. */
bool pool__barrier_join(void);

/* False: nothing has happened. */
bool pool__barrier_all(void);

#endif
