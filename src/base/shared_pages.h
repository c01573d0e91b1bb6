/*
 * shared_pages - memory that this process and those it forks see at one address, for boards and the arena.
 *
 * On Linux a sealed memfd: nobody, not even a privileged worker through /proc, can shrink it under the host's feet
 * (that would be SIGBUS there).
 */
#ifndef POOL__SHARED_PAGES_H
#define POOL__SHARED_PAGES_H

#include <stddef.h>

/* Zeroed, reserved only and committed page by page as it is touched. NULL with errno. */
void *pool__shared_pages_map(size_t size);
void pool__shared_pages_unmap(void *pages, size_t size);

/* Children forked from here on do not have these pages (where the system can do that: MADV_DONTFORK). */
void pool__shared_pages_keep_from_children(void *pages, size_t size);

/*
 * The whole pages among these bytes go back to the system, and are zeros when they are touched next, in every process
 * (where the system can do that: MADV_REMOVE).
 */
void pool__shared_pages_give_back(void *memory, size_t size);

/* Zeroes whole pages, and gives them back until they are touched again where the system can do that. */
void pool__shared_pages_wipe(void *pages, size_t size);

size_t pool__page_size(void);

#endif
