/*
 * The handler that keeps a crash, in a child of its own: the child ends as it would without, by wait status and core, and what it left stands on
 * its board, in whatever state the stack was.
 */
#define _GNU_SOURCE /* WCOREDUMP */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/crashes.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fork_child.h"
#include "base/process_self.h"
#include "children/crash_record.h"
#include "data/board.h"

static struct pool__board *board;

static int make_board(void **state)
{
    board = shared_memory(sizeof *board);
    pool__fault_prepare();
    return audit_begin(state);
}

static int free_board(void **state)
{
    int failed = audit_end(state);

    shared_memory_free(board, sizeof *board);
    return failed;
}

#define BOARD_TEST(function) {#function, function, make_board, free_board, #function}

/* The wait status of a child that does it, with the handler or without. */
static int status_of(void (*act)(enum crash), enum crash crash, bool handled, bool with_core)
{
    struct rlimit limit = {with_core ? RLIM_INFINITY : 0, RLIM_INFINITY};
    int   status = -1, here = 0;
    pid_t child = fork();

    if (child == 0) {
        pool__signals_to_default();
        setrlimit(RLIMIT_CORE, &limit);
        if (handled) {
            pool__crash_record_install();
            pool__crash_record_begin(board, (uintptr_t)&here);
        }
        act(crash);
        _exit(77);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* ------------------------------------------------------------------ the end */

static void it_ends_as_if_nobody_had_looked(void **state)
{
    (void)state;
    skip_under_thread_sanitizer();
    for (enum crash crash = 0; crash < CRASHES; crash++) {
        struct pool__crash told;
        int plain = status_of(crash_now, crash, false, false), handled;
        pool__board_clear(board);
        assert_false(pool__board_crash(board, &told));
        handled = status_of(crash_now, crash, true, false);
        assert_int_equal(handled, plain);
        if (!WIFSIGNALED(plain))
            continue; /* no such crash here */
        assert_true(pool__board_crash(board, &told));
        assert_int_equal(told.signal, WTERMSIG(plain));
        if (CRASH_CALLS_KNOWN)
            assert_true(told.counter != 0 || crash == CALL_NOTHING);
        if (CRASH_CALLS_KNOWN)
            assert_true(told.count > 1);
    }
}

/* A temporary folder as the working directory; and back. */
static char came_from[PATH_MAX], folder[PATH_MAX];

static void go_to_a_folder(void)
{
    const char *place = getenv("TMPDIR");

    assert_non_null(getcwd(came_from, sizeof came_from));
    snprintf(folder, sizeof folder, "%s/crash.XXXXXX", place ? place : "/tmp");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
}

static void go_back(void)
{
    remove("core");
    assert_int_equal(chdir(came_from), 0);
    rmdir(folder);
}

static void a_core_is_written_as_ever(void **state)
{
    static const enum crash crashes[] = {WRITE_TO_NOTHING, CALL_ABORT, RAISE_SEGV};
    struct rlimit limit;

    (void)state;
    skip_under_thread_sanitizer();
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != RLIM_INFINITY)
        skip();
    go_to_a_folder();
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        int plain = status_of(crash_now, crashes[i], false, true);
        int handled = status_of(crash_now, crashes[i], true, true);
        assert_int_equal(WCOREDUMP(handled) != 0, WCOREDUMP(plain) != 0);
        assert_int_equal(handled, plain);
    }
    go_back();
}

/* ------------------------------------------------------------------ a stack in ruins */

/* All that callers have put on the stack is gone, their return addresses with it. */
static UNWATCHED void overwrite(enum crash crash)
{
    volatile unsigned char here[16];
    volatile unsigned char *at = here;

    for (size_t i = 0; i < 600; i++)
        at[i] = 0x41;
    crash_now(crash);
}

static void a_stack_that_was_overwritten(void **state)
{
    static const enum crash crashes[] = {WRITE_TO_NOTHING, RAISE_ABORT};

    (void)state;
    skip_under_thread_sanitizer();
    for (size_t i = 0; i < 2; i++) {
        struct pool__crash told;
        int status;
        pool__board_clear(board);
        status = status_of(overwrite, crashes[i], true, false);
        assert_true(WIFSIGNALED(status));
        if (pool__board_crash(board, &told))
            assert_int_equal(told.signal, WTERMSIG(status));
    }
}

/*
 * The handler itself is struck, with half of what it has to say said. The fault is told all the same, and is the child's end though the later one
 * has another signal.
 */
#if defined(__x86_64__) && CRASH_CALLS_KNOWN
static volatile int used;

static UNWATCHED void lose_frame(enum crash crash)
{
    volatile char room[crash + 16]; /* of a size that only the frame pointer knows the end of */

    room[0] = 1;
    if (crash == DIVIDE_BY_ZERO)
        __asm__ volatile("movq $8, %%rbp\n\txorl %%ecx, %%ecx\n\tmovl $1, %%eax\n\tcltd\n\tidivl %%ecx" ::: "rax", "rcx", "rdx", "memory");
    else
        __asm__ volatile("movq $8, %%rbp\n\tmovq %%rbp, 16" ::: "memory");
    used = room[0];
}

static void struck_while_the_calls_are_looked_for(void **state)
{
    static const enum crash crashes[] = {WRITE_TO_NOTHING, DIVIDE_BY_ZERO};
    static const int        signals[] = {SIGSEGV, SIGFPE};

    (void)state;
    skip_under_thread_sanitizer();
    for (size_t i = 0; i < 2; i++) {
        struct pool__crash told;
        int status;
        pool__board_clear(board);
        status = status_of(lose_frame, crashes[i], true, false);
        assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : -status, signals[i]);
        assert_true(pool__board_crash(board, &told));
        assert_int_equal(told.signal, signals[i]);
        assert_true(told.counter != 0);
        assert_int_equal(atomic_load(&board->crashed), POOL__CRASH_BEGUN);
    }
}
#endif

/* ------------------------------------------------------------------ memory */

#if defined(__linux__) && !defined(POOL__PORTABLE)

static int score_of(const char *path)
{
    FILE *file = fopen(path, "r");
    int   score = INT_MIN;

    if (file != NULL && fscanf(file, "%d", &score) != 1)
        score = INT_MIN;
    if (file != NULL)
        fclose(file);
    return score;
}

static int task_score(struct pool_task *task)
{
    int score = score_of("/proc/self/oom_score_adj");

    return pool_return(task, &score, sizeof score);
}

/* Where memory runs out, the workers are a better choice than their host, whose own score stays as it is. */
static void workers_go_before_their_host(void **state)
{
    int before = score_of("/proc/self/oom_score_adj"), score = 0;
    struct pool *pool;

    (void)state;
    if (before == INT_MIN)
        skip();
    pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_score, NULL, 0, &score, sizeof score, NULL), POOL_OK);
    assert_int_equal(score, before < 900 ? before + 100 : 1000);
    assert_int_equal(score_of("/proc/self/oom_score_adj"), before);
    pool_destroy(pool);
}

/* From below zero, to just the most, and not beyond it. */
static void a_score_goes_up_to_its_end(void **state)
{
    static const int scores[][2] = {{-50, 50}, {0, 100}, {850, 950}, {950, 1000}, {1000, 1000}};

    (void)state;
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        int   status = -1;
        pid_t child = fork();
        if (child == 0) {
            FILE *file = fopen("/proc/self/oom_score_adj", "w");
            if (file == NULL || fprintf(file, "%d", scores[i][0]) < 0 || fclose(file) != 0)
                _exit(2); /* below what it was: only for the privileged */
            pool__go_first();
            _exit(score_of("/proc/self/oom_score_adj") == scores[i][1] ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOARD_TEST(it_ends_as_if_nobody_had_looked),
        BOARD_TEST(a_core_is_written_as_ever),
        BOARD_TEST(a_stack_that_was_overwritten),
#if defined(__x86_64__) && CRASH_CALLS_KNOWN
        BOARD_TEST(struck_while_the_calls_are_looked_for),
#endif
#if defined(__linux__) && !defined(POOL__PORTABLE)
        PROCESS_TEST(workers_go_before_their_host),
        PROCESS_TEST(a_score_goes_up_to_its_end),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
