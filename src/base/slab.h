/*
 * slab - memory for very many things of one size, out of large pages. Pages in which nothing is in use are kept for what
 * comes next, some of them, and are the system's to take meanwhile.
 *
 * The caller locks.
 */
#ifndef POOL__SLAB_H
#define POOL__SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define POOL__SLAB_MOST 64u /* slabs in a page */
#define POOL__SLAB_KEPT 64u /* pages, 128 MiB */

struct pool__slab_page {
    struct pool__link link; /* among the roomy ones, or the kept ones */
    unsigned char *memory;
    uint64_t used; /* a bit for each slab */
};

struct pool__slabs {
    struct pool__link roomy; /* pages in use that are not full */
    struct pool__link kept;  /* pages of which nothing is in use */
    unsigned kept_count;
    unsigned each; /* slabs a page */
    size_t size;   /* of a slab */
    bool ends;     /* nothing is kept any more */
};

/* Of at least 1/64 of a large page, and at most all of it. */
void pool__slabs_init(struct pool__slabs *slabs, size_t size);

/* Any bytes may stand in it. *page is what it is given back with. NULL: no memory. */
void *pool__slab_take(struct pool__slabs *slabs, struct pool__slab_page **page);
void pool__slab_give(struct pool__slabs *slabs, struct pool__slab_page *page, const void *slab);

/* From here on none is kept. */
void pool__slabs_end(struct pool__slabs *slabs);

#endif
