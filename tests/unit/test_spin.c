/* When to look for a moment before going to sleep: try, back off, forgive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "data/spin.h"

static struct pool__spin spin_of(uint64_t budget)
{
    struct pool__spin spin;

    memset(&spin, 0, sizeof spin);
    spin.budget = budget;
    return spin;
}

/* How many waits go by without a spin. */
static uint32_t left_out(struct pool__spin *spin)
{
    uint32_t count = 0;

    while (!pool__spin_may(spin) && count < 1000000)
        count++;
    return count;
}

static void without_a_budget_never(void **state)
{
    struct pool__spin spin = spin_of(0);

    (void)state;
    for (unsigned i = 0; i < 5000; i++)
        assert_false(pool__spin_may(&spin));
}

static void while_it_pays_always(void **state)
{
    struct pool__spin spin = spin_of(20000);

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        assert_true(pool__spin_may(&spin));
        pool__spin_hit(&spin);
    }
}

static void each_in_vain_leaves_out_twice_as_many(void **state)
{
    static const uint32_t expected[] = {2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024};
    struct pool__spin spin = spin_of(20000);

    (void)state;
    assert_int_equal(left_out(&spin), 0);
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        pool__spin_vain(&spin);
        assert_int_equal(left_out(&spin), expected[i]);
    }
}

static void one_that_pays_forgives_half(void **state)
{
    struct pool__spin spin = spin_of(20000);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        left_out(&spin);
        pool__spin_vain(&spin);
    }
    assert_int_equal(left_out(&spin), 1024);
    pool__spin_hit(&spin);
    assert_int_equal(left_out(&spin), 0);
    pool__spin_vain(&spin);
    assert_int_equal(left_out(&spin), 1024);
    for (unsigned i = 0; i < 3; i++) {
        pool__spin_hit(&spin);
        assert_int_equal(left_out(&spin), 0);
    }
    pool__spin_vain(&spin);
    assert_int_equal(left_out(&spin), 256);
    for (unsigned i = 0; i < 20; i++)
        pool__spin_hit(&spin);
    pool__spin_vain(&spin);
    assert_int_equal(left_out(&spin), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_budget_never),
        cmocka_unit_test(while_it_pays_always),
        cmocka_unit_test(each_in_vain_leaves_out_twice_as_many),
        cmocka_unit_test(one_that_pays_forgives_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
