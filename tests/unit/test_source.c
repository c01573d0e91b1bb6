/* Where items come from: the four kinds, what is refused, and lines as files have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/source.h"

static void expect_refused(struct pool_source source, const char *argument)
{
    assert_int_equal(pool__source_check(&source, "pool_map"), POOL_INVALID);
    assert_int_equal(strncmp(pool_error(), "pool_map: ", 10), 0);
    assert_non_null(strstr(pool_error(), argument));
}

static void expect_good(struct pool_source source, enum pool__source_kind kind)
{
    assert_int_equal(pool__source_check(&source, "pool_map"), POOL_OK);
    assert_int_equal(pool__source_kind(&source), kind);
}

/* ------------------------------------------------------------------ arrays */

static void an_array_is_read_at_any_index(void **state)
{
    static const int numbers[] = {10, 11, 12};
    struct pool_source source = pool_items(numbers, 3, sizeof(int));
    const void *item;
    size_t size;

    (void)state;
    expect_good(source, POOL__SOURCE_ITEMS);
    assert_true(pool__source_is_array(&source));
    assert_int_equal(pool__source_count(&source), 3);
    for (size_t i = 3; i-- > 0;) {
        pool__source_item(&source, i, &item, &size);
        assert_ptr_equal(item, &numbers[i]);
        assert_int_equal(size, sizeof(int));
    }
}

static void items_without_bytes_need_no_array(void **state)
{
    struct pool_source source = pool_items(NULL, SIZE_MAX, 0);
    const void *item = "";
    size_t size = 1;

    (void)state;
    expect_good(source, POOL__SOURCE_ITEMS);
    assert_true(pool__source_count(&source) == SIZE_MAX);
    pool__source_item(&source, 12345, &item, &size);
    assert_null(item);
    assert_int_equal(size, 0);
}

static void arrays_that_cannot_be_are_refused(void **state)
{
    int number = 0;

    (void)state;
    expect_good(pool_items(NULL, 0, sizeof(int)), POOL__SOURCE_ITEMS);
    expect_refused(pool_items(NULL, 1, sizeof(int)), "items is NULL");
    expect_refused(pool_items(&number, SIZE_MAX, 2), "more than memory");
    expect_refused(pool_items(&number, SIZE_MAX / 4 + 2, 4), "more than memory"); /* the product is 4 */
    expect_refused(pool_items(&number, 2, SIZE_MAX), "more than memory");
}

static void strings_are_items_with_their_nul(void **state)
{
    char one[] = "one", empty[] = "", *strings[] = {one, empty};
    struct pool_source source = pool_strings(strings, 2);
    const void *item;
    size_t size;

    (void)state;
    expect_good(source, POOL__SOURCE_STRINGS);
    assert_true(pool__source_is_array(&source));
    assert_int_equal(pool__source_count(&source), 2);
    pool__source_item(&source, 0, &item, &size);
    assert_ptr_equal(item, one);
    assert_int_equal(size, 4);
    pool__source_item(&source, 1, &item, &size);
    assert_ptr_equal(item, empty);
    assert_int_equal(size, 1);
}

static void strings_that_are_not_there_are_refused(void **state)
{
    char one[] = "one", *strings[] = {one, one, NULL, one};

    (void)state;
    expect_good(pool_strings(NULL, 0), POOL__SOURCE_STRINGS);
    expect_good(pool_strings(strings, 2), POOL__SOURCE_STRINGS);
    expect_refused(pool_strings(NULL, 1), "strings is NULL");
    expect_refused(pool_strings(strings, 4), "string 2 of 4 is NULL");
    expect_refused(pool_strings(strings, SIZE_MAX), "more than memory");
}

/* ------------------------------------------------------------------ generators */

struct count_down {
    int left, last;
};

static int count_down_next(void *context, const void **item, size_t *size)
{
    struct count_down *count = context;

    if (count->left-- <= 0)
        return count->last;
    *item = &count->left;
    *size = sizeof count->left;
    return 1;
}

static void a_generator_is_called_for_each_item(void **state)
{
    struct count_down count = {2, 0};
    struct pool_source source = pool_generate(count_down_next, &count);
    struct pool__line line = {0};
    const void *item;
    size_t size;

    (void)state;
    expect_good(source, POOL__SOURCE_GENERATOR);
    assert_false(pool__source_is_array(&source));
    assert_int_equal(pool__source_count(&source), 0);
    for (int i = 1; i >= 0; i--) {
        assert_int_equal(pool__source_next(&source, &line, &item, &size), 1);
        assert_int_equal(size, sizeof(int));
        assert_int_equal(*(const int *)item, i);
    }
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 0);
    expect_refused(pool_generate(NULL, &count), "next");
}

static void a_generator_fails_with_its_own_code(void **state)
{
    struct count_down count = {0, -77};
    struct pool_source source = pool_generate(count_down_next, &count);
    struct pool__line line = {0};
    const void *item;
    size_t size;

    (void)state;
    assert_int_equal(pool__source_next(&source, &line, &item, &size), -77);
}

static int lazy_next(void *context, const void **item, size_t *size)
{
    if (*(size_t *)context > 0)
        *size = *(size_t *)context;
    (void)item;
    return 5;
}

/* An item that sets neither is one without bytes; bytes at NULL are a mistake that must not reach a memcpy. */
static void an_item_at_null_has_no_bytes(void **state)
{
    size_t told = 0;
    struct pool_source source = pool_generate(lazy_next, &told);
    struct pool__line line = {0};
    const void *item = "";
    size_t size = 9;

    (void)state;
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 1);
    assert_null(item);
    assert_int_equal(size, 0);
    told = 3;
    assert_int_equal(pool__source_next(&source, &line, &item, &size), -EINVAL);
    assert_non_null(strstr(pool_error(), "generator"));
}

static void a_struct_made_by_hand_is_items_or_a_generator(void **state)
{
    static const int numbers[] = {1, 2};
    struct count_down count = {1, 0};
    struct pool_source source = {0};
    const void *item;
    size_t size;

    (void)state;
    expect_good(source, POOL__SOURCE_ITEMS);
    assert_int_equal(pool__source_count(&source), 0);
    source.items = numbers;
    source.count = 2;
    source.item_size = sizeof *numbers;
    expect_good(source, POOL__SOURCE_ITEMS);
    pool__source_item(&source, 1, &item, &size);
    assert_ptr_equal(item, &numbers[1]);
    source = (struct pool_source){.next = count_down_next, .context = &count};
    expect_good(source, POOL__SOURCE_GENERATOR);
    source.reserved[2] = &count;
    expect_refused(source, "reserved");
    source = (struct pool_source){.reserved = {numbers}};
    expect_refused(source, "reserved");
}

/* ------------------------------------------------------------------ lines */

static FILE *file_of(const void *text, size_t size)
{
    FILE *file = tmpfile();

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    rewind(file);
    return file;
}

static void expect_line(struct pool_source *source, struct pool__line *line, const char *text, size_t size)
{
    const void *item;
    size_t got;

    assert_int_equal(pool__source_next(source, line, &item, &got), 1);
    assert_int_equal(got, size);
    assert_memory_equal(item, text, size);
}

static void lines_come_without_newline_and_with_nul(void **state)
{
    static const char text[] = "first\n\nthi\0rd\r\nlast";
    FILE *file = file_of(text, sizeof text - 1);
    struct pool_source source = pool_lines(file);
    struct pool__line line = {0};
    const void *item;
    size_t size;

    (void)state;
    expect_good(source, POOL__SOURCE_LINES);
    assert_false(pool__source_is_array(&source));
    assert_int_equal(pool__source_count(&source), 0);
    expect_line(&source, &line, "first", 6);
    expect_line(&source, &line, "", 1);
    expect_line(&source, &line, "thi\0rd\r", 8);
    expect_line(&source, &line, "last", 5);
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 0);
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 0);
    pool__line_free(&line);
    assert_null(line.text);
    fclose(file);
    expect_refused(pool_lines(NULL), "file");
}

static void an_empty_file_has_no_lines(void **state)
{
    FILE *file = file_of("", 0);
    struct pool_source source = pool_lines(file);
    struct pool__line line = {0};
    const void *item;
    size_t size;

    (void)state;
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 0);
    pool__line_free(&line);
    fclose(file);
}

/* Lengths around those at which the room doubles. */
static void long_lines_are_whole(void **state)
{
    static const size_t lengths[] = {254, 255, 256, 257, 511, 512, 513, 1000000};
    char *text = malloc(1000001);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t length = lengths[i];
        struct pool__line line = {0};
        struct pool_source source;
        FILE *file;

        memset(text, 'x', length);
        text[length] = '\n';
        file = file_of(text, length + 1);
        source = pool_lines(file);
        text[length] = '\0';
        expect_line(&source, &line, text, length + 1);
        pool__line_free(&line);
        fclose(file);
    }
    free(text);
}

static void a_read_error_is_told_as_errno(void **state)
{
    FILE *file = fopen("/", "r"); /* a directory opens, and cannot be read */
    struct pool_source source = pool_lines(file);
    struct pool__line line = {0};
    const void *item;
    size_t size;

    (void)state;
    if (file == NULL)
        skip();
    errno = ERANGE;
    assert_int_equal(pool__source_next(&source, &line, &item, &size), -EISDIR);
    assert_int_equal(errno, ERANGE);
    assert_non_null(strstr(pool_error(), strerror(EISDIR)));
    pool__line_free(&line);
    fclose(file);
}

/*
 * A pipe holds the first half of a line; the reader blocks behind it, a signal whose handler does not restart the
 * read interrupts it, and the handler itself writes the second half. getline() would give the first half as a line.
 */
static int late_pipe = -1;

static void second_half_write(int signal_number)
{
    int saved = errno;

    (void)signal_number;
    if (late_pipe >= 0) {
        ssize_t wrote = write(late_pipe, "second\n", 7);

        (void)wrote;
        close(late_pipe);
        late_pipe = -1;
    }
    errno = saved;
}

static void a_signal_does_not_cut_a_line(void **state)
{
    struct sigaction action = {.sa_handler = second_half_write}, before;
    struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    struct pool__line line = {0};
    struct pool_source source;
    int ends[2];
    FILE *file;
    const void *item;
    size_t size;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    file = fdopen(ends[0], "r");
    assert_non_null(file);
    assert_int_equal(write(ends[1], "first", 5), 5);
    late_pipe = ends[1];
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    source = pool_lines(file);
    expect_line(&source, &line, "firstsecond", 12);
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 0);
    sigaction(SIGALRM, &before, NULL);
    pool__line_free(&line);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_is_read_at_any_index),
        cmocka_unit_test(items_without_bytes_need_no_array),
        cmocka_unit_test(arrays_that_cannot_be_are_refused),
        cmocka_unit_test(strings_are_items_with_their_nul),
        cmocka_unit_test(strings_that_are_not_there_are_refused),
        cmocka_unit_test(a_generator_is_called_for_each_item),
        cmocka_unit_test(a_generator_fails_with_its_own_code),
        cmocka_unit_test(an_item_at_null_has_no_bytes),
        cmocka_unit_test(a_struct_made_by_hand_is_items_or_a_generator),
        cmocka_unit_test(lines_come_without_newline_and_with_nul),
        cmocka_unit_test(an_empty_file_has_no_lines),
        cmocka_unit_test(long_lines_are_whole),
        cmocka_unit_test(a_read_error_is_told_as_errno),
        cmocka_unit_test(a_signal_does_not_cut_a_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
