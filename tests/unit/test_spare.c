/* Memory that a worker keeps from one large item to the next: taken where it is enough, bounded, given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "children/spare.h"

static void what_was_given_is_taken_again(void **state)
{
    struct pool__spare spare = {0};
    void *memory = malloc(1000);
    size_t room = 0;

    (void)state;
    assert_null(pool__spare_take(&spare, 1, &room));
    pool__spare_give(&spare, memory, 1000, 4096);
    assert_null(pool__spare_take(&spare, 1001, &room));
    assert_ptr_equal(pool__spare_take(&spare, 1000, &room), memory);
    assert_int_equal(room, 1000);
    assert_null(pool__spare_take(&spare, 1, &room)); /* it is not there twice */
    free(memory);
}

static void the_larger_is_kept(void **state)
{
    struct pool__spare spare = {0};
    void *small = malloc(100), *large = malloc(200);
    size_t room;

    (void)state;
    pool__spare_give(&spare, small, 100, 4096);
    pool__spare_give(&spare, large, 200, 4096);
    pool__spare_give(&spare, malloc(150), 150, 4096);
    pool__spare_give(&spare, NULL, 1000, 4096);
    assert_ptr_equal(pool__spare_take(&spare, 1, &room), large);
    assert_int_equal(room, 200);
    free(large);
}

static void too_much_is_not_kept(void **state)
{
    struct pool__spare spare = {0};
    size_t room;

    (void)state;
    pool__spare_give(&spare, malloc(101), 101, 100);
    assert_null(pool__spare_take(&spare, 1, &room));
}

static void what_nobody_takes_goes(void **state)
{
    struct pool__spare spare = {0};
    size_t room;
    int turns;

    (void)state;
    for (turns = 0; turns < 1000; turns++)
        pool__spare_turn(&spare);
    pool__spare_give(&spare, malloc(100), 100, 4096);
    pool__spare_turn(&spare);
    assert_non_null(spare.memory);
    for (turns = 0; turns < 1000; turns++)
        pool__spare_turn(&spare);
    assert_null(pool__spare_take(&spare, 1, &room));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_is_taken_again),
        cmocka_unit_test(the_larger_is_kept),
        cmocka_unit_test(too_much_is_not_kept),
        cmocka_unit_test(what_nobody_takes_goes),
    };

    return cmocka_run_group_tests_name("spare", tests, NULL, NULL);
}
