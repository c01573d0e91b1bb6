/*
 * large_page - private memory in pieces that the system can back by one large page each: where very much is touched for
 * the first time, that costs a quarter of what it does in small pages.
 */
#ifndef POOL__LARGE_PAGE_H
#define POOL__LARGE_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#define POOL__LARGE_PAGE ((size_t)2 << 20)

/* So many bytes, zeroed, at a multiple of their number. NULL: there are none, or the system knows no such pages. */
void *pool__large_page_map(void);
void pool__large_page_unmap(void *page);

/*
 * What is in it is not needed any more: the system may take its memory whenever it has use for that, and it is here at
 * no cost where it had none. False: the system knows nothing of that kind.
 */
bool pool__large_page_offer(void *page);

#endif
