/* Intrusive lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct thing {
    int name;
    struct pool__link link;
};

static void assert_order(const struct pool__link *list, const char *names)
{
    const struct pool__link *link;

    for (link = list->next; link != list; link = link->next, names++) {
        assert_int_equal(pool__holder(link, struct thing, link)->name, *names);
        assert_ptr_equal(link->next->previous, link);
    }
    assert_int_equal(*names, '\0');
    assert_ptr_equal(list->next->previous, list);
}

static void links_stand_where_they_were_put(void **state)
{
    struct thing a = {'a', {NULL, NULL}}, b = {'b', {NULL, NULL}}, c = {'c', {NULL, NULL}}, d = {'d', {NULL, NULL}};
    struct pool__link list;

    (void)state;
    pool__list_init(&list);
    assert_true(pool__list_empty(&list));
    pool__list_append(&list, &b.link);
    pool__list_append(&list, &d.link);
    pool__list_push(&list, &a.link);
    pool__list_insert_after(&b.link, &c.link);
    assert_false(pool__list_empty(&list));
    assert_order(&list, "abcd");
    pool__list_remove(&c.link);
    assert_order(&list, "abd");
    pool__list_remove(&a.link);
    pool__list_remove(&d.link);
    assert_order(&list, "b");
    assert_ptr_equal(pool__list_pop(&list), &b.link);
    assert_null(pool__list_pop(&list));
    assert_true(pool__list_empty(&list));
}

static void a_link_in_no_list_may_be_removed(void **state)
{
    struct thing a = {'a', {NULL, NULL}};
    struct pool__link list;

    (void)state;
    assert_false(pool__is_linked(&a.link));
    pool__list_remove(&a.link);
    pool__list_init(&a.link);
    assert_false(pool__is_linked(&a.link));
    pool__list_remove(&a.link);
    pool__list_init(&list);
    pool__list_push(&list, &a.link);
    assert_true(pool__is_linked(&a.link));
    pool__list_remove(&a.link);
    assert_false(pool__is_linked(&a.link));
    pool__list_remove(&a.link);
    assert_true(pool__list_empty(&list));
}

static void popped_in_order(void **state)
{
    struct thing things[5];
    struct pool__link list;
    int i;

    (void)state;
    pool__list_init(&list);
    for (i = 0; i < 5; i++) {
        things[i].name = i;
        pool__list_append(&list, &things[i].link);
    }
    for (i = 0; i < 5; i++) {
        struct pool__link *link = pool__list_pop(&list);

        assert_int_equal(pool__holder(link, struct thing, link)->name, i);
        assert_false(pool__is_linked(link));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_stand_where_they_were_put),
        cmocka_unit_test(a_link_in_no_list_may_be_removed),
        cmocka_unit_test(popped_in_order),
    };

    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
