/* What a fresh process does to itself and can learn of itself, and that it does without what the system refuses. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/process_self.h"
#include "base/shared_pages.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#define ON_LINUX 1
#else
#define ON_LINUX 0
#endif

/* ---- children */

enum { MANY = 150 }; /* their numbers fill more than one piece of the list */

struct seen {
    pid_t pids[MANY + 1];
    size_t count;
};

static void note(void *context, pid_t child)
{
    struct seen *seen = context;

    if (seen->count <= MANY)
        seen->pids[seen->count] = child;
    seen->count++;
}

static void children_are_found_each_once(void **state)
{
    static pid_t pids[MANY];
    struct seen seen = {.count = 0};
    int gate[2];

    (void)state;
    pool__for_each_child(note, &seen);
    assert_int_equal(seen.count, 0);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < MANY; i++) {
        char end;

        pids[i] = fork();
        if (pids[i] == 0) {
            close(gate[1]);
            _exit(read(gate[0], &end, 1) == 0 ? 0 : 1);
        }
        assert_true(pids[i] > 0);
    }
    fail_next(CALL_READ, 2, EINTR);
    pool__for_each_child(note, &seen);
    assert_int_equal(fail_no_more(CALL_READ), ON_LINUX ? 2 : 0);
    close(gate[1]);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    close(gate[0]);
    if (!ON_LINUX)
        return;
    assert_int_equal(seen.count, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(seen.pids[i], pids[i]);
}

static void no_list_is_no_children(void **state)
{
    struct seen seen = {.count = 0};
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        for (;;)
            pause();
    fail_next(CALL_OPEN, 1, ENOENT);
    pool__for_each_child(note, &seen);
    (void)fail_no_more(CALL_OPEN);
    fail_next(CALL_READ, 1, EIO);
    pool__for_each_child(note, &seen);
    (void)fail_no_more(CALL_READ);
    assert_int_equal(seen.count, 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- memory */

static void memory_in_use_is_counted(void **state)
{
    enum { MORE = 32 << 20 };
    size_t before = pool__resident_size(), after;
    unsigned char *memory = mmap(NULL, MORE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(memory != MAP_FAILED);
    for (size_t i = 0; i < MORE; i += 4096)
        memory[i] = 1;
    after = pool__resident_size();
    munmap(memory, MORE);
    assert_true(before > 0 && after >= before + MORE / 2 && after < before + 2 * (size_t)MORE);
    if (ON_LINUX)
        assert_true(pool__resident_size() < after - MORE / 2);
}

#if ON_LINUX
static void unknown_memory_is_none(void **state)
{
    (void)state;
    fail_next(CALL_OPEN, 1, EMFILE);
    assert_int_equal(pool__resident_size(), 0);
    assert_int_equal(fail_no_more(CALL_OPEN), 1);
    fail_next(CALL_READ, 1, EIO);
    assert_int_equal(pool__resident_size(), 0);
    assert_int_equal(fail_no_more(CALL_READ), 1);
}

/* ---- who goes first where memory runs out */

static int score_now(void)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "re");
    int score = INT_MIN;

    if (file == NULL || fscanf(file, "%d", &score) != 1)
        score = INT_MIN;
    if (file != NULL)
        fclose(file);
    return score;
}

/* What becomes of a process with that score; INT_MIN: it may not have it. */
static int score_after(int score, bool unreadable)
{
    int told[2], after = INT_MIN;
    pid_t pid;

    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        FILE *file = fopen("/proc/self/oom_score_adj", "we");

        if (file == NULL || fprintf(file, "%d", score) < 0 || fclose(file) != 0)
            _exit(1);
        if (unreadable)
            fail_next(CALL_OPEN, 1, EACCES);
        pool__go_first();
        (void)fail_no_more(CALL_OPEN);
        after = score_now();
        _exit(write(told[1], &after, sizeof after) == (ssize_t)sizeof after ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(told[1]);
    if (read(told[0], &after, sizeof after) != (ssize_t)sizeof after)
        after = INT_MIN;
    close(told[0]);
    return after;
}

static void check_score(int before, int after)
{
    int found = score_after(before, false);

    assert_true(found == INT_MIN || found == after);
}

static void a_worker_goes_before_its_host(void **state)
{
    int ours = score_now();

    (void)state;
    if (ours == INT_MIN)
        skip();
    check_score(ours, ours + 100 < 1000 ? ours + 100 : 1000);
    check_score(899, 999);
    check_score(900, 1000);
    check_score(950, 1000);
    check_score(1000, 1000);
    check_score(0, 100);
    check_score(7, 107);
    check_score(-500, -400);
    check_score(-93, 7);
    check_score(-1000, -900);
    assert_int_equal(score_after(ours, true), ours);
    assert_int_equal(score_now(), ours);
}

/* ---- parents */

/* One whose parent is gone already does not wait to be told. */
static void an_orphan_dies_at_once(void **state)
{
    int status = 0;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pool__die_with_parent(getppid() + 1);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    pid = fork();
    if (pid == 0) {
        pool__die_with_parent(getppid());
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 9);
}
#endif

/* ---- standard streams */

enum { GOOD, INPUT_IS_WRONG, STREAM_IS_WRONG };

/* What a worker of a program that has text to be read and text to be written finds. */
static int settled(bool input_closed, bool null_fails)
{
    char byte;

    if (input_closed)
        close(0);
    printf("the program's");
    if (null_fails)
        fail_next(CALL_OPEN, 1, EMFILE);
    pool__stdio_settle();
    if (null_fails ? fcntl(0, F_GETFD, 0L) >= 0 : read(0, &byte, 1) != 0 || fcntl(0, F_GETFD, 0L) != 0)
        return INPUT_IS_WRONG;
    printf("ours");
    pool__stdio_flush();
    return ferror(stdout) || getchar() != EOF ? STREAM_IS_WRONG : GOOD;
}

static void check_settled(bool input_closed, bool null_fails)
{
    char text[64] = "";
    int ends[2], input[2], status = 0;
    ssize_t size;
    pid_t pid;

    fflush(stdout);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(write(input[1], "text of the program", 19), 19);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        dup2(input[0], 0);
        _exit(settled(input_closed, null_fails));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ends[1]);
    size = read(ends[0], text, sizeof text - 1);
    assert_true(size >= 4);
    if (ON_LINUX)
        assert_string_equal(text, "ours");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), GOOD);
    close(ends[0]);
    close(input[0]);
    close(input[1]);
}

static void a_worker_has_streams_of_its_own(void **state)
{
    (void)state;
    check_settled(false, false);
    check_settled(true, false);
    check_settled(false, true);
}

static void *hold_stdout(void *gate)
{
    int *ends = gate;
    char byte;

    flockfile(stdout);
    if (write(ends[1], "", 1) == 1 && read(ends[0], &byte, 1) < 0)
        abort();
    funlockfile(stdout);
    return NULL;
}

/* A stream that another thread holds is left to that thread. */
static void held_streams_are_not_waited_for(void **state)
{
    int ends[2];
    pthread_t holder;
    char byte;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    printf("    text that is pending\n");
    assert_int_equal(pthread_create(&holder, NULL, hold_stdout, (int[2]){ends[1], ends[1]}), 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    pool__stdio_flush();
    assert_int_equal(write(ends[0], "", 1), 1);
    assert_int_equal(pthread_join(holder, NULL), 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_found_each_once),
        cmocka_unit_test(no_list_is_no_children),
        cmocka_unit_test(memory_in_use_is_counted),
#if ON_LINUX
        cmocka_unit_test(unknown_memory_is_none),
        cmocka_unit_test(a_worker_goes_before_its_host),
        cmocka_unit_test(an_orphan_dies_at_once),
#endif
        cmocka_unit_test(a_worker_has_streams_of_its_own),
        cmocka_unit_test(held_streams_are_not_waited_for),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
