#define _GNU_SOURCE /* MAP_ANONYMOUS, MADV_HUGEPAGE */
#include "base/large_page.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#if defined(__linux__) && defined(MADV_HUGEPAGE) && !defined(POOL__PORTABLE)

static unsigned char *map(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

/* Bytes from there to the next multiple. */
static size_t misplaced(const unsigned char *pages)
{
    return -(uintptr_t)pages % POOL__LARGE_PAGE;
}

void *pool__large_page_map(void)
{
    unsigned char *page = map(POOL__LARGE_PAGE);
    size_t before;
    int kept = errno;

    if (page != NULL && misplaced(page) != 0) {
        munmap(page, POOL__LARGE_PAGE);
        page = map(2 * POOL__LARGE_PAGE);
        if (page == NULL)
            return NULL;
        before = misplaced(page);
        if (before > 0)
            munmap(page, before);
        page += before;
        munmap(page + POOL__LARGE_PAGE, POOL__LARGE_PAGE - before);
    }
    if (page != NULL)
        madvise(page, POOL__LARGE_PAGE, MADV_HUGEPAGE); /* where it will not, small pages do as well */
    errno = kept;
    return page;
}

void pool__large_page_unmap(void *page)
{
    munmap(page, POOL__LARGE_PAGE);
}

bool pool__large_page_offer(void *page)
{
#ifdef MADV_FREE
    int kept = errno;
    bool offered = madvise(page, POOL__LARGE_PAGE, MADV_FREE) == 0;

    errno = kept;
    return offered;
#else
    (void)page;
    return false;
#endif
}

#else

void *pool__large_page_map(void)
{
    return NULL;
}

void pool__large_page_unmap(void *page)
{
    (void)page;
}

bool pool__large_page_offer(void *page)
{
    (void)page;
    return false;
}

#endif
