/* Addresses of code, and what they are called: in this program, in a library, and where there is nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/symbol.h"
#include "procpool.h"

int a_global_function(int number); /* no other file calls it */

int a_global_function(int number)
{
    return number + 1;
}

static int a_static_function(int number)
{
    return number * 7;
}

static int a_variable;

static const char *printed(const struct pool__symbol *symbol, uintptr_t address)
{
    static char text[320];

    pool__symbol_print(symbol, address, text, sizeof text);
    return text;
}

static void printing(void **state)
{
    struct pool__symbol symbol = {"parse_page", 0x1c, "/usr/bin/reader"};

    (void)state;
    assert_string_equal(printed(&symbol, 0x5000), "parse_page+0x1c (/usr/bin/reader)");
    symbol.name[0] = '\0';
    assert_string_equal(printed(&symbol, 0x5000), "reader+0x1c (/usr/bin/reader)");
    strcpy(symbol.object, "[vdso]");
    assert_string_equal(printed(&symbol, 0x5000), "[vdso]+0x1c ([vdso])");
    symbol.object[0] = '\0';
    assert_string_equal(printed(&symbol, 0x5000), "0x5000");
}

static void printing_is_cut(void **state)
{
    struct pool__symbol symbol = {"parse_page", 0x1c, "/usr/bin/reader"};
    char text[8] = "1234567";

    (void)state;
    pool__symbol_print(&symbol, 0x5000, text, 6);
    assert_string_equal(text, "parse");
    assert_int_equal(text[7], '\0');
}

#if defined(__linux__) && !defined(POOL__PORTABLE)

static void functions_of_this_program(void **state)
{
    uintptr_t addresses[] = {(uintptr_t)a_static_function, (uintptr_t)a_global_function + 1, (uintptr_t)pool_create};
    struct pool__symbol symbols[3];

    (void)state;
    pool__symbols_find(addresses, 3, symbols);
    assert_string_equal(symbols[0].name, "a_static_function");
    assert_int_equal(symbols[0].offset, 0);
    assert_string_equal(symbols[1].name, "a_global_function");
    assert_int_equal(symbols[1].offset, 1);
    assert_string_equal(symbols[2].name, "pool_create");
    assert_non_null(strstr(symbols[1].object, "unit_symbol"));
}

/* A stripped library has its exported functions still. The function's address is the library's own, whoever asks. */
static void a_function_of_a_library(void **state)
{
    uintptr_t address = (uintptr_t)(void *(*)(size_t))malloc;
    struct pool__symbol symbol;

    (void)state;
    pool__symbols_find(&address, 1, &symbol);
    assert_true(symbol.object[0] == '/');
    assert_true(symbol.name[0] != '\0');
}

static void what_is_no_code_has_no_name(void **state)
{
    uintptr_t addresses[] = {0, 0x10, (uintptr_t)&a_variable, (uintptr_t)addresses, UINTPTR_MAX, UINTPTR_MAX / 2};
    struct pool__symbol symbols[6];
    size_t i;

    (void)state;
    memset(symbols, 'x', sizeof symbols);
    pool__symbols_find(addresses, 6, symbols);
    for (i = 0; i < 6; i++) {
        assert_string_equal(symbols[i].name, "");
        assert_string_equal(symbols[i].object, "");
    }
}

/* Between two functions, or in one that has no name: the file and the place in it. */
static void a_place_without_a_name(void **state)
{
    uintptr_t here = (uintptr_t)a_static_function, address;
    struct pool__symbol symbol;

    (void)state;
    for (address = here & ~(uintptr_t)15; address > here - 65536; address--) {
        pool__symbols_find(&address, 1, &symbol);
        if (symbol.name[0] == '\0')
            break;
    }
    if (symbol.object[0] == '\0')
        skip(); /* the whole mapping has names */
    assert_string_equal(symbol.name, "");
    assert_true(symbol.offset > 0);
}

static void nothing_asked_nothing_done(void **state)
{
    (void)state;
    pool__symbols_find(NULL, 0, NULL);
}

#else

static void nothing_has_a_name(void **state)
{
    uintptr_t addresses[] = {(uintptr_t)a_static_function, (uintptr_t)a_global_function, (uintptr_t)&a_variable};
    struct pool__symbol symbols[3];

    (void)state;
    pool__symbols_find(addresses, 3, symbols);
    assert_string_equal(symbols[0].name, "");
    assert_string_equal(symbols[0].object, "");
    assert_string_equal(symbols[2].object, "");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printing),
        cmocka_unit_test(printing_is_cut),
#if defined(__linux__) && !defined(POOL__PORTABLE)
        cmocka_unit_test(functions_of_this_program),
        cmocka_unit_test(a_function_of_a_library),
        cmocka_unit_test(what_is_no_code_has_no_name),
        cmocka_unit_test(a_place_without_a_name),
        cmocka_unit_test(nothing_asked_nothing_done),
#else
        cmocka_unit_test(nothing_has_a_name),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
