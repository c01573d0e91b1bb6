#define _GNU_SOURCE /* memfd_create, MADV_DONTFORK, MADV_REMOVE */
#include "base/shared_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/descriptor.h"

#if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#if defined(__linux__) && defined(MFD_ALLOW_SEALING) && !defined(POOL__PORTABLE)
/* Past the limit of a file's size the system would not only refuse, but send SIGXFSZ. */
static bool may_be_a_file(size_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

static int open_memory(size_t size)
{
    int fd = may_be_a_file(size) ? memfd_create("procpool", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;

    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        pool__close(&fd);
    return fd;
}
#else
static int open_memory(size_t size)
{
    (void)size;
    return -1;
}
#endif

void *pool__shared_pages_map(size_t size)
{
    int fd = open_memory(size);
    void *pages;

    if (fd >= 0)
        pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    else
        pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pool__close(&fd);
    return pages == MAP_FAILED ? NULL : pages;
}

void pool__shared_pages_unmap(void *pages, size_t size)
{
    if (pages != NULL && size > 0)
        munmap(pages, size);
}

void pool__shared_pages_keep_from_children(void *pages, size_t size)
{
#if defined(MADV_DONTFORK) && !defined(POOL__PORTABLE)
    madvise(pages, size, MADV_DONTFORK);
#else
    (void)pages;
    (void)size;
#endif
}

void pool__shared_pages_give_back(void *memory, size_t size)
{
#if defined(MADV_REMOVE) && !defined(POOL__PORTABLE)
    size_t page = pool__page_size(), before = (page - (uintptr_t)memory % page) % page;
    int kept = errno;

    if (size > before && size - before >= page)
        madvise((unsigned char *)memory + before, (size - before) / page * page, MADV_REMOVE);
    errno = kept;
#else
    (void)memory;
    (void)size;
#endif
}

void pool__shared_pages_wipe(void *pages, size_t size)
{
#if defined(MADV_REMOVE) && !defined(POOL__PORTABLE)
    if (madvise(pages, size, MADV_REMOVE) == 0)
        return;
#endif
    memset(pages, 0, size);
}

size_t pool__page_size(void)
{
    long size = sysconf(_SC_PAGESIZE);

    return size > 0 ? (size_t)size : 4096;
}
