/* The progress bar by a clock of the test's own, line by line; and on terminals of all widths. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/terminal.h"
#include "procpool.h"

/* Stands in for the C library's: this time goes by when a test says so. */
static int64_t now_ms = 1000000;

#if !UNDER_THREAD_SANITIZER
int clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    time->tv_sec = (time_t)(now_ms / 1000);
    time->tv_nsec = (long)(now_ms % 1000 * 1000000);
    return 0;
}
#endif

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

static void width_set(unsigned short columns)
{
    struct winsize size = {.ws_col = columns};

    assert_int_equal(ioctl(STDERR_FILENO, TIOCSWINSZ, &size), 0);
}

/* Exactly this has been shown since the last look. */
static void check_shown(const char *expected)
{
    size_t size = 0;

    assert_int_equal(write(STDERR_FILENO, "#", 1), 1);
    do {
        ssize_t got = read(keeper, shown + size, sizeof shown - 1 - size);

        assert_true(got > 0);
        size += (size_t)got;
    } while (shown[size - 1] != '#');
    shown[size - 1] = '\0';
    if (strcmp(shown, expected) != 0)
        dprintf(real_stderr, "shown: \"%s\"\nnot:   \"%s\"\n", shown, expected); /* cmocka's words go to the terminal */
    assert_string_equal(shown, expected);
}

static void lines_tell_rate_and_time_left(void **state)
{
    static char label[] = "rows";

    (void)state;
    width_set(100);
    pool_progress_bar(label, 0, 200);
    check_shown("\rrows [>                                                 ]   0%  0/200\033[K");
    now_ms += 50;
    pool_progress_bar(label, 3, 200); /* too soon after the last */
    check_shown("");
    now_ms += 50;
    pool_progress_bar(label, 10, 200);
    check_shown("\rrows [==>                                               ]   5%  10/200  100/s  0:02 left\033[K");
    now_ms += 900;
    pool_progress_bar(label, 50, 200);
    check_shown("\rrows [============>                                     ]  25%  50/200  50.0/s  0:03 left\033[K");
    now_ms += 99000;
    pool_progress_bar(label, 100, 200);
    check_shown("\rrows [=========================>                        ]  50%  100/200  1.0/s  1:40 left\033[K");
    now_ms += 7400000;
    pool_progress_bar(label, 101, 200);
    check_shown("\rrows [=========================>                        ]  50%  101/200  0.0/s  2:02:31 left\033[K");
    pool_progress_bar(label, 200, 200); /* the end is shown at once */
    check_shown("\rrows [==================================================] 100%  200/200  0.0/s  2:05:00\033[K\r\n");
}

static void a_bar_that_began_late_counts_from_there(void **state)
{
    static char label[] = "";

    (void)state;
    width_set(100);
    pool_progress_bar(label, 100, 200);
    check_shown("\r[=========================>                        ]  50%  100/200\033[K");
    now_ms += 10000;
    pool_progress_bar(label, 110, 200); /* ten in ten seconds, no more */
    check_shown("\r[===========================>                      ]  55%  110/200  1.0/s  1:30 left\033[K");
    now_ms += 10000;
    pool_progress_bar(label, 200, 200);
    check_shown("\r[==================================================] 100%  200/200  5.0/s  0:20\033[K\r\n");
}

static void an_unknown_end_has_time_gone(void **state)
{
    static char label[] = "files";

    (void)state;
    pool_progress_bar(label, 1, 0);
    check_shown("\rfiles 1  0:00\033[K");
    now_ms += 3600000;
    pool_progress_bar(label, 7201, 0);
    check_shown("\rfiles 7201  2.0/s  1:00:00\033[K");
    now_ms += 10000000000000; /* a clock that has gone mad */
    pool_progress_bar(label, 7202, 0);
    check_shown("\rfiles 7202  0.0/s  277777:46:40\033[K");
}

static void narrow_terminals_have_narrow_bars_or_none(void **state)
{
    static char label[] = "ab\xc3\xa9"; /* three characters in four bytes */

    (void)state;
    width_set(28); /* label, blank, brackets, blank, tail and last column leave ten */
    pool_progress_bar(label, 5, 10);
    check_shown("\rab\xc3\xa9 [=====>    ]  50%  5/10\033[K");
    width_set(35); /* the end has a time */
    pool_progress_bar(label, 10, 10);
    check_shown("\rab\xc3\xa9 [==========] 100%  10/10  0:00\033[K\r\n");
    width_set(27);
    pool_progress_bar(label, 5, 10);
    check_shown("\rab\xc3\xa9  50%  5/10\033[K");
    pool_progress_bar(label, 10, 10);
    check_shown("\rab\xc3\xa9 100%  10/10  0:00\033[K\r\n");
}

static void the_one_that_rested_longest_gives_way(void **state)
{
    static char labels[9][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    char line[64];

    (void)state;
    width_set(20);
    now_ms += 1000;
    for (size_t i = 0; i < 8; i++) {
        now_ms += 1000;
        pool_progress_bar(labels[i], 1, 0);
        snprintf(line, sizeof line, "\r%s 1  0:00\033[K", labels[i]);
        check_shown(line);
    }
    now_ms += 1000;
    pool_progress_bar(labels[0], 2, 0);
    check_shown("\ra 2  0.1/s  0:08\033[K");
    pool_progress_bar(labels[8], 1, 0); /* in the place of b */
    check_shown("\ri 1  0:00\033[K");
    now_ms += 1000;
    pool_progress_bar(labels[0], 3, 0);
    check_shown("\ra 3  0.2/s  0:09\033[K");
    pool_progress_bar(labels[1], 2, 0);
    check_shown("\rb 2  0:00\033[K");
}

static void a_terminal_that_does_not_tell_has_the_usual_width(void **state)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)state;
    width_set(0);
    errno = ERANGE;
    assert_int_equal(pool__terminal_width(STDERR_FILENO), 80);
    width_set(33);
    assert_int_equal(pool__terminal_width(STDERR_FILENO), 33);
    assert_int_equal(pool__terminal_width(fd), 0);
    close(fd);
    assert_int_equal(errno, ERANGE);
    fail_after(CALL_IOCTL, 0, 1, ENOTTY);
    assert_int_equal(pool__terminal_width(STDERR_FILENO), 80);
    assert_int_equal(fail_no_more(CALL_IOCTL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_tell_rate_and_time_left),
        cmocka_unit_test(a_bar_that_began_late_counts_from_there),
        cmocka_unit_test(an_unknown_end_has_time_gone),
        cmocka_unit_test(narrow_terminals_have_narrow_bars_or_none),
        cmocka_unit_test(the_one_that_rested_longest_gives_way),
        cmocka_unit_test(a_terminal_that_does_not_tell_has_the_usual_width),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, terminal_begin, terminal_end);
}
