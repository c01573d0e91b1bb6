/* Slabs out of large pages: none overlap, what is given back comes again, and pages go where they are to go. */
#define _GNU_SOURCE /* mincore: before the first header */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/large_page.h"
#include "base/slab.h"

enum { SIZE = 33000, MANY = 1000 };

static struct pool__slabs slabs;
static struct taken {
    unsigned char *at;
    struct pool__slab_page *page;
} taken[MANY * 8];

static int begin(void **state)
{
    (void)state;
    pool__slabs_init(&slabs, SIZE);
    return 0;
}

static void take(size_t i)
{
    taken[i].at = pool__slab_take(&slabs, &taken[i].page);
    assert_non_null(taken[i].at);
    assert_int_equal((size_t)taken[i].at % 64, 0);
    memset(taken[i].at, (int)(i % 251), SIZE);
}

static void give(size_t i)
{
    for (size_t k = 0; k < SIZE; k++)
        assert_int_equal(taken[i].at[k], i % 251); /* nobody else has written there */
    pool__slab_give(&slabs, taken[i].page, taken[i].at);
}

/* Only its page's first bytes are asked for: the call fails where nothing is mapped. */
static bool is_mapped(void *memory)
{
    unsigned char there;

    return mincore((void *)((size_t)memory & ~(POOL__LARGE_PAGE - 1)), 1, &there) == 0;
}

static void skip_without_pages(void)
{
    void *page = pool__large_page_map();

    if (page == NULL)
        skip(); /* the portable build */
    assert_int_equal((size_t)page % POOL__LARGE_PAGE, 0);
    assert_true(is_mapped(page));
    pool__large_page_unmap(page);
    assert_false(is_mapped(page));
}

static void none_overlap(void **state)
{
    (void)state;
    skip_without_pages();
    for (size_t i = 0; i < MANY; i++)
        take(i);
    for (size_t i = 0; i < MANY; i += 3)
        give(i);
    for (size_t i = 0; i < MANY; i += 3)
        take(i);
    for (size_t i = 0; i < MANY; i++)
        give(i);
    pool__slabs_end(&slabs);
}

/* Emptied pages are used before new ones are made. */
static void they_come_again(void **state)
{
    (void)state;
    skip_without_pages();
    for (size_t i = 0; i < MANY; i++)
        take(i);
    void *first = taken[0].at, *last = taken[MANY - 1].at;
    for (size_t i = 0; i < MANY; i++)
        give(i);
    unsigned kept = slabs.kept_count;
    assert_int_equal(kept, (MANY + slabs.each - 1) / slabs.each);
    assert_true(is_mapped(first) && is_mapped(last));
    for (size_t i = 0; i < MANY; i++)
        take(i);
    assert_int_equal(slabs.kept_count, 0);
    for (size_t i = 0; i < MANY; i++)
        give(i);
    assert_int_equal(slabs.kept_count, kept);
    pool__slabs_end(&slabs);
    assert_false(is_mapped(first) || is_mapped(last));
}

/* Not all pages are kept, and none once there is an end to it. */
static void the_rest_goes(void **state)
{
    (void)state;
    skip_without_pages();
    size_t count = (size_t)(POOL__SLAB_KEPT + 2) * slabs.each;
    assert_true(count <= sizeof taken / sizeof taken[0]);
    for (size_t i = 0; i < count; i++)
        taken[i].at = pool__slab_take(&slabs, &taken[i].page);
    for (size_t i = 0; i < count - 1; i++)
        pool__slab_give(&slabs, taken[i].page, taken[i].at);
    assert_int_equal(slabs.kept_count, POOL__SLAB_KEPT);
    pool__slabs_end(&slabs);
    assert_int_equal(slabs.kept_count, 0);
    assert_false(is_mapped(taken[0].at));
    assert_true(is_mapped(taken[count - 1].at)); /* it is in use */
    pool__slab_give(&slabs, taken[count - 1].page, taken[count - 1].at);
    assert_false(is_mapped(taken[count - 1].at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(none_overlap, begin),
        cmocka_unit_test_setup(they_come_again, begin),
        cmocka_unit_test_setup(the_rest_goes, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
