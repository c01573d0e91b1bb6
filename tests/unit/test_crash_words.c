/*
 * What a worker left of its crash: how it is kept on the board, and how it is told. The board is a worker's to write,
 * so all that can stand there is tried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "data/board.h"
#include "engine/crash_words.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#define NAMES_KNOWN 1
#else
#define NAMES_KNOWN 0
#endif

static struct pool__board board;

/* Two functions, of which nothing but the addresses is used. */
static int parse_page(int number)
{
    return number * 3 + (int)board.room;
}
static int next_tag(int number)
{
    return number * 5 - (int)board.room;
}

static uintptr_t within(int (*function)(int), unsigned offset)
{
    return (uintptr_t)function + offset;
}

static struct pool__crash crash_of(int number, enum pool__fault_kind kind, uint64_t value)
{
    struct pool__crash crash;

    memset(&crash, 0, sizeof crash);
    crash.signal = number;
    crash.kind = (uint32_t)kind;
    crash.value = value;
    crash.counter = within(next_tag, 1);
    return crash;
}

static struct pool__crash_scene scene_of(int status, const struct pool__crash *crash)
{
    struct pool__crash_scene scene;

    memset(&scene, 0, sizeof scene);
    scene.status = status;
    scene.worker = 4242;
    scene.crash = crash;
    scene.what = "task function";
    return scene;
}

/* The words of a scene, which are cut off again with the next. */
static const char *words_of(const struct pool__crash_scene *scene)
{
    static char kept[POOL__CRASH_ROOM];
    char *words = pool__crash_words(scene);

    assert_non_null(words);
    assert_true(strlen(words) < POOL__CRASH_ROOM);
    strcpy(kept, words);
    free(words);
    return kept;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("\"%s\" is in \"%s\"", part, text);
}

/* ------------------------------------------------------------------ on the board */

static void a_new_life_has_no_crash(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 16), copy;

    (void)state;
    pool__board_clear(&board);
    assert_false(pool__board_crash(&board, &copy));
    pool__board_tell_crash(&board, &crash);
    assert_true(pool__board_crash(&board, &copy));
    pool__board_clear(&board);
    assert_false(pool__board_crash(&board, &copy));
}

static void a_crash_is_told_in_two_steps(void **state)
{
    struct pool__crash crash = crash_of(SIGBUS, POOL__FAULT_AT, 0x1234), copy;
    uintptr_t calls[] = {11, 12, 13};

    (void)state;
    pool__board_clear(&board);
    board.crash.count = 3; /* of an earlier life */
    crash.stack = 99;
    pool__board_tell_crash(&board, &crash);
    assert_true(pool__board_crash(&board, &copy));
    assert_int_equal(copy.signal, SIGBUS);
    assert_int_equal(copy.kind, POOL__FAULT_AT);
    assert_int_equal(copy.value, 0x1234);
    assert_int_equal(copy.counter, crash.counter);
    assert_int_equal(copy.stack, 99);
    assert_int_equal(copy.count, 0);
    pool__board_tell_calls(&board, calls, 3);
    assert_true(pool__board_crash(&board, &copy));
    assert_int_equal(copy.count, 3);
    assert_int_equal(copy.calls[0], 11);
    assert_int_equal(copy.calls[2], 13);
}

static void no_more_calls_than_there_is_room_for(void **state)
{
    struct pool__crash crash = crash_of(SIGFPE, POOL__FAULT_AT, 1), copy;
    uintptr_t calls[POOL__CRASH_CALLS + 8];
    size_t i;

    (void)state;
    for (i = 0; i < POOL__CRASH_CALLS + 8; i++)
        calls[i] = i;
    pool__board_clear(&board);
    memset(board.staging, 0x5a, 64);
    pool__board_tell_crash(&board, &crash);
    pool__board_tell_calls(&board, calls, POOL__CRASH_CALLS + 8);
    assert_true(pool__board_crash(&board, &copy));
    assert_int_equal(copy.count, POOL__CRASH_CALLS);
    assert_int_equal(copy.calls[POOL__CRASH_CALLS - 1], POOL__CRASH_CALLS - 1);
    assert_int_equal(board.staging[0], 0x5a);
}

static void a_scribbled_crash_is_none(void **state)
{
    static const uint32_t stages[] = {3, 0x100, 0xffffffffu, 0x5a5a5a5au};
    struct pool__crash copy;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        pool__board_clear(&board);
        atomic_store(&board.crashed, stages[i]);
        assert_false(pool__board_crash(&board, &copy));
    }
    pool__board_clear(&board);
    board.crash.count = POOL__CRASH_CALLS + 1;
    atomic_store(&board.crashed, POOL__CRASH_WHOLE);
    assert_false(pool__board_crash(&board, &copy));
    board.crash.count = UINT64_MAX;
    assert_false(pool__board_crash(&board, &copy));
    atomic_store(&board.crashed, POOL__CRASH_BEGUN);
    assert_true(pool__board_crash(&board, &copy));
    assert_int_equal(copy.count, 0);
}

/* ------------------------------------------------------------------ in words */

static void a_fault_is_told_with_its_address(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);

    (void)state;
    crash.stack = UINT64_C(0x7fff00000000);
    scene.function = (uintptr_t)parse_page;
    assert_has(words_of(&scene), "segmentation fault (signal 11) at address 0x10 in worker 4242, task function ");
    assert_has_not(words_of(&scene), "stack");
    scene.what = "initializer";
    assert_has(words_of(&scene), " in worker 4242, initializer ");
    scene.function = 0;
    assert_has_not(words_of(&scene), "initializer");
    crash.kind = POOL__FAULT_NOWHERE;
    assert_has(words_of(&scene), "segmentation fault (signal 11) in worker 4242");
}

static void a_full_stack_is_told(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x7fff0000);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);

    (void)state;
    crash.stack = 0x7fff0040;
    assert_has(words_of(&scene), " at address 0x7fff0000 (the stack has no room left) in");
    crash.stack = 0x7ffeff00;
    assert_has(words_of(&scene), "(the stack has no room left)");
    crash.stack = crash.value + 65536;
    assert_has_not(words_of(&scene), "stack");
    crash.stack = 0; /* unknown */
    crash.value = 8;
    assert_has_not(words_of(&scene), "stack");
    crash = crash_of(SIGBUS, POOL__FAULT_AT, 0x7fff0000);
    crash.stack = 0x7fff0040;
    scene.status = SIGBUS;
    assert_has_not(words_of(&scene), "stack");
}

static void who_sent_it_is_told(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_SENT, 77);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);

    (void)state;
    assert_has(words_of(&scene), "segmentation fault (signal 11), sent by process 77, in worker 4242");
    crash.value = 4242;
    assert_has(words_of(&scene), "segmentation fault (signal 11), sent by itself, in worker 4242");
    crash = crash_of(SIGABRT, POOL__FAULT_SENT, 4242);
    scene.status = SIGABRT;
    assert_has(words_of(&scene), "aborted (signal 6) in worker 4242");
    crash = crash_of(SIGSYS, POOL__FAULT_CALL, 41);
    scene.status = SIGSYS;
    assert_has(words_of(&scene), "bad system call (signal 31) by system call 41 in worker 4242");
}

static void a_crash_that_is_not_the_one_is_ignored(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGTERM, &crash);

    (void)state;
    crash.count = 1;
    crash.calls[0] = within(next_tag, 1);
    assert_string_equal(words_of(&scene), "terminated (signal 15) in worker 4242");
    scene.status = SIGSEGV;
    crash.count = POOL__CRASH_CALLS + 1;
    assert_string_equal(words_of(&scene), "segmentation fault (signal 11) in worker 4242");
    scene.status = 3 << 8; /* exited */
    assert_null(pool__crash_words(&scene));
}

/* The core flag is part of a wait status, not of the signal. */
static void a_core_changes_nothing(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV | 0x80, &crash);

    (void)state;
    assert_has(words_of(&scene), "segmentation fault (signal 11) at address 0x10 in worker 4242");
}

static void who_killed_it_is_told(void **state)
{
    static const struct {
        enum pool__kill_reason reason;
        const char *words;
    } ours[] = {
        {POOL__KILL_NONSENSE, "it sent what no worker sends"},
        {POOL__KILL_PIPE, "pipes"},
        {POOL__KILL_START, "start_timeout_ms"},
        {POOL__KILL_STOP, "it did not end in time"},
        {POOL__KILL_DEADLINE, "deadline"},
        {POOL__KILL_CANCEL, "cancelled"},
        {POOL__KILL_STUCK, "did not begin"},
        {POOL__KILL_TERMINATE, "terminated"},
        {(enum pool__kill_reason)99, "it had to go"},
    };
    struct pool__crash_scene scene = scene_of(SIGKILL, NULL);
    size_t i;

    (void)state;
    assert_has(words_of(&scene), "killed by signal 9 from outside the pool, in worker 4242");
    assert_has_not(words_of(&scene), "memory");
    scene.out_of_memory = true;
    assert_has(words_of(&scene), "; the out-of-memory killer has been at work in this cgroup");
    for (i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        scene.reason = ours[i].reason;
        assert_has(words_of(&scene), "killed by the pool (signal 9): ");
        assert_has(words_of(&scene), ours[i].words);
        assert_has_not(words_of(&scene), "outside");
        assert_has_not(words_of(&scene), "memory");
    }
}

/* ------------------------------------------------------------------ calls */

static void calls_are_named(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);
    const char *words;

    (void)state;
    if (!NAMES_KNOWN)
        skip();
    scene.function = (uintptr_t)parse_page;
    crash.count = 4;
    crash.calls[0] = within(next_tag, 1);
    crash.calls[1] = 0x10; /* nobody's */
    crash.calls[2] = within(parse_page, 2);
    crash.calls[3] = (uintptr_t)malloc; /* beyond the task function: the worker's own */
    words = words_of(&scene);
    assert_has(words, ", task function parse_page\n  next_tag+0x1 (/");
    assert_has(words, "unit_crash_words)\n  0x10\n  parse_page+0x2 (/");
    assert_has_not(words, "malloc");
}

/* Where the task function is not among them, all are told. */
static void calls_of_another_thread(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);

    (void)state;
    if (!NAMES_KNOWN)
        skip();
    scene.function = (uintptr_t)parse_page;
    crash.count = 2;
    crash.calls[0] = within(next_tag, 1);
    crash.calls[1] = 0x20;
    assert_has(words_of(&scene), "\n  next_tag+0x1 (");
    assert_has(words_of(&scene), "\n  0x20");
}

static void the_counter_alone(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);

    (void)state;
    crash.counter = 0x30;
    assert_has(words_of(&scene), "in worker 4242\n  0x30");
    crash.counter = 0;
    assert_has_not(words_of(&scene), "\n");
}

static void the_same_call_many_times_is_told_once(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);
    size_t i;

    (void)state;
    crash.count = POOL__CRASH_CALLS;
    crash.calls[0] = 0x40;
    for (i = 1; i < POOL__CRASH_CALLS; i++)
        crash.calls[i] = 0x50;
    assert_has(words_of(&scene), "\n  0x40\n  0x50, 41 times\n  ...");
    crash.count = 3;
    assert_has(words_of(&scene), "\n  0x40\n  0x50, 2 times");
    assert_has_not(words_of(&scene), "...");
}

/* Whatever the calls are, the words have an end. */
static void words_have_an_end(void **state)
{
    struct pool__crash crash = crash_of(SIGSEGV, POOL__FAULT_AT, 0x10);
    struct pool__crash_scene scene = scene_of(SIGSEGV, &crash);
    uint64_t random = 88172645463325252u;
    size_t round, i;

    (void)state;
    scene.function = (uintptr_t)parse_page;
    crash.count = POOL__CRASH_CALLS;
    for (round = 0; round < 200; round++) {
        for (i = 0; i < POOL__CRASH_CALLS; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            crash.calls[i] = round % 2 == 0 ? random : (uintptr_t)printf + random % 65536;
        }
        crash.kind = (uint32_t)random;
        crash.value = random << 1;
        crash.stack = random >> 1;
        assert_has(words_of(&scene), "segmentation fault (signal 11)");
    }
}

/* What has a name keeps it, though the files were not asked again; each function has its own. */
static void names_are_kept(void **state)
{
    uintptr_t functions[] = {(uintptr_t)names_are_kept, (uintptr_t)words_have_an_end};
    struct pool__crash_scene scene = scene_of(SIGKILL, NULL);
    struct pool__name *names = NULL;
    char first[POOL__CRASH_ROOM];
    size_t i;

    (void)state;
    if (!NAMES_KNOWN)
        skip();
    scene.names = &names;
    for (i = 0; i < 4; i++) {
        scene.function = functions[i % 2];
        assert_has(words_of(&scene), i % 2 == 0 ? "task function names_are_kept" : "task function words_have_an_end");
        if (i == 0)
            strcpy(first, words_of(&scene));
    }
    scene.function = functions[0];
    assert_string_equal(words_of(&scene), first);
    assert_non_null(names);
    pool__names_free(names);
}

/* Only so many are kept; the others are looked for each time. */
static void names_have_an_end(void **state)
{
    struct pool__crash_scene scene = scene_of(SIGKILL, NULL);
    struct pool__name *names = NULL;
    uintptr_t i;

    (void)state;
    if (!NAMES_KNOWN)
        skip();
    scene.names = &names;
    for (i = 1; i <= 40; i++) {
        scene.function = i; /* nowhere */
        words_of(&scene);
    }
    scene.function = (uintptr_t)names_have_an_end;
    assert_has(words_of(&scene), "task function names_have_an_end");
    pool__names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_life_has_no_crash),
        cmocka_unit_test(a_crash_is_told_in_two_steps),
        cmocka_unit_test(no_more_calls_than_there_is_room_for),
        cmocka_unit_test(a_scribbled_crash_is_none),
        cmocka_unit_test(a_fault_is_told_with_its_address),
        cmocka_unit_test(a_full_stack_is_told),
        cmocka_unit_test(who_sent_it_is_told),
        cmocka_unit_test(a_crash_that_is_not_the_one_is_ignored),
        cmocka_unit_test(a_core_changes_nothing),
        cmocka_unit_test(who_killed_it_is_told),
        cmocka_unit_test(calls_are_named),
        cmocka_unit_test(calls_of_another_thread),
        cmocka_unit_test(the_counter_alone),
        cmocka_unit_test(the_same_call_many_times_is_told_once),
        cmocka_unit_test(words_have_an_end),
        cmocka_unit_test(names_are_kept),
        cmocka_unit_test(names_have_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
