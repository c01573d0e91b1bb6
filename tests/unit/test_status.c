/* Names of statuses, and the version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "procpool.h"

static void each_status_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = POOL_OK; i <= POOL_SYSTEM; i++) {
        for (int j = POOL_OK; j < i; j++)
            assert_string_not_equal(pool_status_name((enum pool_status)i), pool_status_name((enum pool_status)j));
        assert_string_not_equal(pool_status_name((enum pool_status)i), "unknown status");
    }
    assert_string_equal(pool_status_name(POOL_OK), "ok");
    assert_string_equal(pool_status_name(POOL_CRASHED), "crashed");
    assert_string_equal(pool_status_name(POOL_BAD_SIZE), "bad size");
}

static void what_is_no_status_is_said_to_be_unknown(void **state)
{
    (void)state;
    assert_string_equal(pool_status_name((enum pool_status)15), "unknown status");
    assert_string_equal(pool_status_name((enum pool_status)1000), "unknown status");
}

static void the_version_is_the_headers(void **state)
{
    char version[64];

    (void)state;
    snprintf(version, sizeof version, "%d.%d.%d", POOL_VERSION_MAJOR, POOL_VERSION_MINOR, POOL_VERSION_PATCH);
    assert_string_equal(pool_version(), version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_status_has_a_name_of_its_own),
        cmocka_unit_test(what_is_no_status_is_said_to_be_unknown),
        cmocka_unit_test(the_version_is_the_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
