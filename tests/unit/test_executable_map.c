/* Which addresses hold code: made-up maps, then this process' own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/executable_map.h"

static int a_datum;

static void addresses_are_looked_up(void **state)
{
    struct pool__code_range ranges[] = {{100, 200}, {300, 301}, {400, UINTPTR_MAX}};
    struct pool__executable_map map = {ranges, 3};

    (void)state;
    assert_false(pool__executable_map_has(&map, 0));
    assert_false(pool__executable_map_has(&map, 99));
    assert_true(pool__executable_map_has(&map, 100));
    assert_true(pool__executable_map_has(&map, 199));
    assert_false(pool__executable_map_has(&map, 200));
    assert_false(pool__executable_map_has(&map, 299));
    assert_true(pool__executable_map_has(&map, 300));
    assert_false(pool__executable_map_has(&map, 301));
    assert_true(pool__executable_map_has(&map, 400));
    assert_true(pool__executable_map_has(&map, UINTPTR_MAX - 1));
}

static void an_unknown_map_has_every_address(void **state)
{
    struct pool__executable_map map = {NULL, 0};

    (void)state;
    assert_true(pool__executable_map_has(&map, 0));
    assert_true(pool__executable_map_has(&map, UINTPTR_MAX));
}

static void code_of_this_process_is_found(void **state)
{
    struct pool__executable_map map;
    size_t i;

    (void)state;
    pool__executable_map_read(&map);
    assert_true(pool__executable_map_has(&map, (uintptr_t)code_of_this_process_is_found));
    assert_true(pool__executable_map_has(&map, (uintptr_t)printf));
    for (i = 0; i < map.count; i++) {
        assert_true(map.ranges[i].from < map.ranges[i].to);
        assert_true(i == 0 || map.ranges[i - 1].to < map.ranges[i].from);
    }
    pool__executable_map_free(&map);
    assert_int_equal(map.count, 0);
}

static void data_of_this_process_is_not(void **state)
{
    struct pool__executable_map map;
    int on_the_stack = 0, *on_the_heap = malloc(sizeof *on_the_heap);

    (void)state;
    assert_non_null(on_the_heap);
    pool__executable_map_read(&map);
    if (map.count == 0) {
        free(on_the_heap);
        skip(); /* the system does not tell */
    }
    assert_false(pool__executable_map_has(&map, (uintptr_t)&a_datum));
    assert_false(pool__executable_map_has(&map, (uintptr_t)&on_the_stack));
    assert_false(pool__executable_map_has(&map, (uintptr_t)on_the_heap));
    assert_false(pool__executable_map_has(&map, 0));
    assert_false(pool__executable_map_has(&map, 1));
    pool__executable_map_free(&map);
    free(on_the_heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_looked_up),
        cmocka_unit_test(an_unknown_map_has_every_address),
        cmocka_unit_test(code_of_this_process_is_found),
        cmocka_unit_test(data_of_this_process_is_not),
    };

    return cmocka_run_group_tests_name("executable_map", tests, NULL, NULL);
}
