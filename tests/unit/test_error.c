/* The words behind pool_error(): whose they are, how long they may be, and what a call on NULL adds to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/error.h"

static void *words_of_a_fresh_thread(void *arg)
{
    (void)arg;
    return pool_error()[0] == '\0' ? "empty" : "not empty";
}

static void there_are_no_words_before_a_failure(void **state)
{
    pthread_t thread;
    void *told;

    (void)state;
    pool__fail(POOL_FAILED, "this thread's");
    assert_int_equal(pthread_create(&thread, NULL, words_of_a_fresh_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &told), 0);
    assert_string_equal(told, "empty");
    assert_string_equal(pool_error(), "this thread's");
}

static void fail_keeps_words_and_errno(void **state)
{
    (void)state;
    errno = ERANGE;
    assert_int_equal(pool__fail(POOL_CLOSED, "pool %d of %s", 3, "four"), POOL_CLOSED);
    assert_int_equal(errno, ERANGE);
    assert_string_equal(pool_error(), "pool 3 of four");
}

static void null_sets_errno(void **state)
{
    (void)state;
    errno = 0;
    assert_null(pool__null(EMFILE, "no more of %c", 'x'));
    assert_int_equal(errno, EMFILE);
    assert_string_equal(pool_error(), "no more of x");
}

static void words_may_contain_the_earlier_words(void **state)
{
    (void)state;
    pool__fail(POOL_FAILED, "inner");
    pool__fail(POOL_FAILED, "outer (%s)", pool_error());
    assert_string_equal(pool_error(), "outer (inner)");
}

static void system_says_what_errno_means(void **state)
{
    char expected[128];

    (void)state;
    snprintf(expected, sizeof expected, "opening x: %s", strerror(ENOENT));
    errno = ENOENT;
    assert_int_equal(pool__system("opening %s", "x"), POOL_SYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(pool_error(), expected);
    errno = 123456;
    pool__system("odd");
    assert_int_equal(strncmp(pool_error(), "odd: ", 5), 0);
    assert_true(strlen(pool_error()) > 5); /* what it says of an unknown one is the system's choice */
}

static void system_cuts_the_words_and_not_the_meaning(void **state)
{
    char long_text[2 * POOL__ERROR_ROOM];

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    errno = ENOENT;
    pool__system("%s", long_text);
    assert_int_equal(strlen(pool_error()), POOL__ERROR_ROOM - 1);
    assert_non_null(strstr(pool_error(), strerror(ENOENT)));
}

/* At each distance from the end, so that the cut falls on every byte of the character. */
static void long_words_are_cut_at_a_whole_character(void **state)
{
    static const char *const characters[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8c\x8d"};

    (void)state;
    for (size_t c = 0; c < 4; c++) {
        size_t size = strlen(characters[c]);

        for (size_t before = 0; before < 8; before++) {
            char text[2 * POOL__ERROR_ROOM];
            size_t at, length;

            memset(text, 'a', before);
            for (at = before; at + size < sizeof text; at += size)
                memcpy(text + at, characters[c], size);
            text[at] = '\0';
            pool__fail(POOL_FAILED, "%s", text);
            length = strlen(pool_error());
            assert_true(length < POOL__ERROR_ROOM && length > POOL__ERROR_ROOM - 1 - size);
            assert_int_equal((length - before) % size, 0);
        }
    }
}

static void words_that_just_fit_are_not_cut(void **state)
{
    char text[POOL__ERROR_ROOM];

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof text - 3, "\xc3\xa4", 3);
    pool__fail(POOL_FAILED, "%s", text);
    assert_string_equal(pool_error(), text);
}

static void bytes_that_are_no_utf8_are_left_alone(void **state)
{
    char text[2 * POOL__ERROR_ROOM];

    (void)state;
    memset(text, 0x80, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pool__fail(POOL_FAILED, "%s", text);
    assert_int_equal(strlen(pool_error()), POOL__ERROR_ROOM - 1);
}

static void a_call_on_null_keeps_the_first_cause(void **state)
{
    (void)state;
    pool__null(EAGAIN, "pool_create: no process more");
    errno = 0;
    assert_int_equal(pool__no_object("pool_apply_async", "pool"), POOL_INVALID);
    assert_int_equal(errno, EINVAL);
    assert_string_equal(pool_error(), "pool_apply_async: pool is NULL; before that: pool_create: no process more");
    for (int i = 0; i < 1000; i++)
        pool__no_object("pool_future_get", "future");
    assert_string_equal(pool_error(), "pool_future_get: future is NULL; before that: pool_create: no process more");
    pool__fail(POOL_FAILED, "another");
    pool__no_object("pool_map", "pool");
    assert_string_equal(pool_error(), "pool_map: pool is NULL; before that: another");
}

static void a_long_first_cause_is_cut(void **state)
{
    char text[POOL__ERROR_ROOM];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pool__fail(POOL_FAILED, "%s", text);
    for (int i = 0; i < 3; i++) {
        pool__no_object("pool_map", "pool");
        assert_int_equal(strlen(pool_error()), POOL__ERROR_ROOM - 1);
        assert_int_equal(strncmp(pool_error(), "pool_map: pool is NULL; before that: xxx", 40), 0);
    }
}

static void *call_on_null(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        pool__no_object("pool_map", "pool");
    return strcmp(pool_error(), "pool_map: pool is NULL") == 0 ? "alone" : "not alone";
}

static void a_call_on_null_without_a_cause_stands_alone(void **state)
{
    pthread_t thread;
    void *told;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, call_on_null, NULL), 0);
    assert_int_equal(pthread_join(thread, &told), 0);
    assert_string_equal(told, "alone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_no_words_before_a_failure),
        cmocka_unit_test(fail_keeps_words_and_errno),
        cmocka_unit_test(null_sets_errno),
        cmocka_unit_test(words_may_contain_the_earlier_words),
        cmocka_unit_test(system_says_what_errno_means),
        cmocka_unit_test(system_cuts_the_words_and_not_the_meaning),
        cmocka_unit_test(long_words_are_cut_at_a_whole_character),
        cmocka_unit_test(words_that_just_fit_are_not_cut),
        cmocka_unit_test(bytes_that_are_no_utf8_are_left_alone),
        cmocka_unit_test(a_call_on_null_keeps_the_first_cause),
        cmocka_unit_test(a_long_first_cause_is_cut),
        cmocka_unit_test(a_call_on_null_without_a_cause_stands_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
