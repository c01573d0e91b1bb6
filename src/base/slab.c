#include "base/slab.h"

#include <stdlib.h>

#include "base/large_page.h"

void pool__slabs_init(struct pool__slabs *slabs, size_t size)
{
    pool__list_init(&slabs->roomy);
    pool__list_init(&slabs->kept);
    slabs->kept_count = 0;
    slabs->size = (size + 63) & ~(size_t)63;
    slabs->each = (unsigned)(POOL__LARGE_PAGE / slabs->size);
    slabs->ends = false;
}

static struct pool__slab_page *first(const struct pool__link *list)
{
    return pool__holder(list->next, struct pool__slab_page, link);
}

static uint64_t all_of(const struct pool__slabs *slabs)
{
    return slabs->each < POOL__SLAB_MOST ? (UINT64_C(1) << slabs->each) - 1 : UINT64_MAX;
}

static void close_page(struct pool__slab_page *page)
{
    pool__large_page_unmap(page->memory);
    free(page);
}

static struct pool__slab_page *open_page(void)
{
    struct pool__slab_page *page = calloc(1, sizeof *page);

    if (page == NULL)
        return NULL;
    page->memory = pool__large_page_map();
    if (page->memory == NULL) {
        free(page);
        return NULL;
    }
    return page;
}

/* One with room, from among those in use, those that are kept, or the system's. */
static struct pool__slab_page *roomy_page(struct pool__slabs *slabs)
{
    struct pool__slab_page *page;

    if (!pool__list_empty(&slabs->roomy))
        return first(&slabs->roomy);
    if (!pool__list_empty(&slabs->kept)) {
        page = first(&slabs->kept);
        pool__list_remove(&page->link);
        slabs->kept_count--;
    } else {
        page = open_page();
    }
    if (page != NULL)
        pool__list_push(&slabs->roomy, &page->link);
    return page;
}

void *pool__slab_take(struct pool__slabs *slabs, struct pool__slab_page **from)
{
    struct pool__slab_page *page = roomy_page(slabs);
    unsigned which = 0;

    *from = page;
    if (page == NULL)
        return NULL;
    while ((page->used >> which & 1) != 0)
        which++;
    page->used |= UINT64_C(1) << which;
    if (page->used == all_of(slabs))
        pool__list_remove(&page->link);
    return page->memory + which * slabs->size;
}

/* Nothing of it is in use any more. */
static void put_by(struct pool__slabs *slabs, struct pool__slab_page *page)
{
    pool__list_remove(&page->link);
    if (slabs->ends || slabs->kept_count == POOL__SLAB_KEPT || !pool__large_page_offer(page->memory)) {
        close_page(page);
        return;
    }
    pool__list_push(&slabs->kept, &page->link);
    slabs->kept_count++;
}

void pool__slab_give(struct pool__slabs *slabs, struct pool__slab_page *page, const void *slab)
{
    size_t which = (size_t)((const unsigned char *)slab - page->memory) / slabs->size;

    if (page->used == all_of(slabs))
        pool__list_push(&slabs->roomy, &page->link);
    page->used &= ~(UINT64_C(1) << which);
    if (page->used == 0)
        put_by(slabs, page);
}

void pool__slabs_end(struct pool__slabs *slabs)
{
    slabs->ends = true;
    while (!pool__list_empty(&slabs->kept)) {
        struct pool__slab_page *page = first(&slabs->kept);

        pool__list_remove(&page->link);
        close_page(page);
    }
    slabs->kept_count = 0;
}
