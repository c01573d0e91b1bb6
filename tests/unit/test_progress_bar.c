/* The progress bar, on a pseudo-terminal in the place of standard error. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procpool.h"

static int keeper = -1, real_stderr = -1;
static char shown[65536];

static int terminal_begin(void **state)
{
    int slave;

    (void)state;
    keeper = posix_openpt(O_RDWR | O_NOCTTY);
    if (keeper < 0 || grantpt(keeper) < 0 || unlockpt(keeper) < 0)
        return -1;
    slave = open(ptsname(keeper), O_RDWR | O_NOCTTY);
    real_stderr = dup(STDERR_FILENO);
    if (slave < 0 || real_stderr < 0 || dup2(slave, STDERR_FILENO) < 0)
        return -1;
    close(slave);
    return 0;
}

static int terminal_end(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(keeper);
    return 0;
}

/* What has been shown until now. A mark is written behind it, and read up to. */
static void shown_read(void)
{
    size_t size = 0;

    assert_int_equal(write(STDERR_FILENO, "#", 1), 1);
    do {
        ssize_t got = read(keeper, shown + size, sizeof shown - 1 - size);

        assert_true(got > 0);
        size += (size_t)got;
    } while (shown[size - 1] != '#');
    shown[size - 1] = '\0';
}

static size_t drawings(void)
{
    size_t count = 0;

    for (const char *at = shown; (at = strstr(at, "\033[K")) != NULL; at++)
        count++;
    return count;
}

static void the_first_and_the_last_are_drawn(void **state)
{
    static char label[] = "rows";

    (void)state;
    for (size_t i = 0; i <= 20000; i++)
        pool_progress_bar(label, i, 20000);
    shown_read();
    assert_int_equal(strncmp(shown, "\rrows [>", 8), 0);
    assert_non_null(strstr(shown, "  0%  0/20000"));
    assert_non_null(strstr(shown, "=] 100%  20000/20000"));
    assert_true(shown[strlen(shown) - 1] == '\n');
    assert_in_range(drawings(), 2, 50); /* at most ten a second: 20,000 calls take well below five */
}

static void each_job_of_one_label_begins_anew(void **state)
{
    static char label[] = "again";

    (void)state;
    pool_progress_bar(label, 5, 10);
    pool_progress_bar(label, 1, 10); /* the first was left unfinished: this one is drawn at once */
    pool_progress_bar(label, 10, 10);
    pool_progress_bar(label, 10, 10);
    shown_read();
    assert_int_equal(drawings(), 4);
    assert_non_null(strstr(shown, "5/10"));
    assert_non_null(strstr(shown, "1/10"));
}

static void an_unknown_total_has_no_bar(void **state)
{
    (void)state;
    pool_progress_bar(NULL, 0, 0); /* an empty job: nothing to say */
    pool_progress_bar(NULL, 17, 0);
    shown_read();
    assert_int_equal(drawings(), 1);
    assert_int_equal(strncmp(shown, "\r17  0:00", 9), 0);
    assert_null(strstr(shown, "[="));
    assert_null(strstr(shown, "[>"));
    assert_null(strchr(shown, '\n'));
}

static void bars_do_not_disturb_each_other(void **state)
{
    static char labels[20][8];

    (void)state;
    for (size_t i = 0; i < 20; i++)
        snprintf(labels[i], sizeof labels[i], "bar%zu", i);
    for (size_t done = 1; done <= 3; done++) {
        pool_progress_bar(labels[0], done, 3);
        pool_progress_bar(labels[1], done, 3);
    }
    for (size_t i = 2; i < 20; i++) /* more than are remembered */
        pool_progress_bar(labels[i], 1, 3);
    for (size_t i = 2; i < 20; i++)
        pool_progress_bar(labels[i], 3, 3);
    shown_read();
    for (size_t i = 0; i < 20; i++) {
        char full[sizeof labels + 8], *first;

        snprintf(full, sizeof full, "\r%s [", labels[i]);
        first = strstr(shown, full);
        assert_non_null(first);
        assert_non_null(strstr(first + 1, full));
    }
    assert_in_range(drawings(), 40, 42); /* the two 2/3 only where the machine is very slow */
}

static void odd_numbers_and_labels_fit(void **state)
{
    static char label[2000], umlauts[] = "\xc3\xa4\xc3\xb6\xc3\xbc";

    (void)state;
    memset(label, 'x', sizeof label - 1);
    pool_progress_bar(label, 1, 2);
    pool_progress_bar(label, 3, 2);
    pool_progress_bar(umlauts, SIZE_MAX - 1, SIZE_MAX);
    pool_progress_bar(umlauts, SIZE_MAX, SIZE_MAX);
    pool_progress_bar(umlauts, SIZE_MAX, 1);
    shown_read();
    assert_non_null(strstr(shown, umlauts));
}

static void *count_to_a_thousand(void *label)
{
    for (size_t i = 0; i <= 1000; i++)
        pool_progress_bar(label, i, 1000);
    return NULL;
}

static void threads_may_call_at_once(void **state)
{
    static char labels[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_to_a_thousand, labels[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    shown_read();
    for (size_t i = 0; i < 4; i++) {
        char start[16];

        snprintf(start, sizeof start, "\r%s [", labels[i]);
        assert_non_null(strstr(shown, start));
    }
}

static void nothing_is_shown_where_stderr_is_no_terminal(void **state)
{
    int ends[2], kept = dup(STDERR_FILENO), flags;
    char byte;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    flags = fcntl(ends[0], F_GETFL);
    fcntl(ends[0], F_SETFL, flags | O_NONBLOCK);
    dup2(ends[1], STDERR_FILENO);
    pool_progress_bar(NULL, 1, 2);
    pool_progress_bar(NULL, 2, 2);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(read(ends[0], &byte, 1), -1);
    close(ends[0]);
    close(ends[1]);
}

#define ON_A_TERMINAL(test) cmocka_unit_test_setup_teardown(test, terminal_begin, terminal_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_TERMINAL(the_first_and_the_last_are_drawn),
        ON_A_TERMINAL(each_job_of_one_label_begins_anew),
        ON_A_TERMINAL(an_unknown_total_has_no_bar),
        ON_A_TERMINAL(bars_do_not_disturb_each_other),
        ON_A_TERMINAL(odd_numbers_and_labels_fit),
        ON_A_TERMINAL(threads_may_call_at_once),
        cmocka_unit_test(nothing_is_shown_where_stderr_is_no_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
