/*
 * What is printed: by tasks once and whole, by the program not twice, and exit() in a task is the task's affair alone.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/side_host.h"
#include "../support/system.h"
#include "../support/tasks.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* A host whose stdout and stderr are read here. */
struct listener {
    int (*program)(void *);
    void *context;
    int   to_stdout[2], to_stderr[2];
};

static int run_with_pipes(void *context)
{
    struct listener *listener = context;

    dup2(listener->to_stdout[1], STDOUT_FILENO);
    dup2(listener->to_stderr[1], STDERR_FILENO);
    for (int i = 0; i < 2; i++) {
        close(listener->to_stdout[i]);
        close(listener->to_stderr[i]);
    }
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
    return listener->program(listener->context);
}

/* Reads both pipes to their ends (the writers are the host and its workers, which all end). */
static char *read_all(int fd)
{
    size_t size = 0, room = 1 << 16;
    char *text = made(malloc(room + 1));
    ssize_t got;

    while ((got = read(fd, text + size, room - size)) > 0) {
        size += (size_t)got;
        if (size == room) {
            room *= 2;
            text = made(realloc(text, room + 1));
        }
    }
    text[size] = '\0';
    close(fd);
    return text;
}

/* Run the host; its output comes back as strings that the caller frees. stderr must be short. */
static int listen_to(int (*program)(void *), void *context, char **out, char **err)
{
    struct listener listener = {.program = program, .context = context};

    assert_int_equal(pipe(listener.to_stdout), 0);
    assert_int_equal(pipe(listener.to_stderr), 0);
    pid_t pid = side_host_start(run_with_pipes, &listener);
    close(listener.to_stdout[1]);
    close(listener.to_stderr[1]);
    *out = read_all(listener.to_stdout[0]);
    *err = read_all(listener.to_stderr[0]);
    return side_host_end(pid);
}

static int count_of(const char *text, const char *piece)
{
    int count = 0;

    for (const char *at = text; (at = strstr(at, piece)); at += strlen(piece))
        count++;
    return count;
}

/* ---- what tasks print */

enum { LINES = 500 };

static int task_prints_a_line(struct pool_task *task)
{
    printf("<line %zu of many, ", task->index);
    printf("and its end %zu>\n", task->index);
    return 0;
}

static int host_lets_print(void *context)
{
    const size_t *chunk = context;
    struct pool_job job = {.chunk = *chunk};

    printf("<unflushed before the pool>\n");
    struct pool *pool = pool_create(4, NULL);
    SIDE_CHECK(pool);
    printf("<unflushed after it>\n");
    SIDE_CHECK(pool_map(pool, task_prints_a_line, pool_items(NULL, LINES, 0), NULL, 0, &job) == POOL_OK);
    SIDE_CHECK(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL) == POOL_CRASHED);
    SIDE_CHECK(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL) == POOL_OK);
    pool_destroy(pool);
    return 0;
}

static void lines_once_and_whole(void **state)
{
    static const size_t chunks[] = {0, 1, LINES};
    char *out, *err, line[100];

    (void)state;
    for (int round = 0; round < 3; round++) {
        size_t chunk = chunks[round];
        assert_int_equal(listen_to(host_lets_print, &chunk, &out, &err), 0);
        for (int i = 0; i < LINES; i++) {
            snprintf(line, sizeof line, "<line %d of many, and its end %d>\n", i, i);
            assert_int_equal(count_of(out, line), 1);
        }
        assert_int_equal(count_of(out, "<"), LINES + 2);
        assert_int_equal(count_of(out, "<unflushed before the pool>\n"), 1);
        assert_int_equal(count_of(out, "<unflushed after it>\n"), 1);
        assert_string_equal(err, "");
        free(out);
        free(err);
    }
}

static int task_prints_much(struct pool_task *task)
{
    for (int i = 0; i < 10000; i++)
        printf("%c 123456789", 'A' + (int)task->index);
    fprintf(stderr, "<much from %zu>", task->index);
    return 0;
}

static int host_lets_print_much(void *context)
{
    struct pool *pool = pool_create(2, NULL);

    (void)context;
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_prints_much, pool_items(NULL, 4, 0), NULL, 0, NULL) == POOL_OK);
    pool_destroy(pool);
    return 0;
}

static void much_and_without_newline(void **state)
{
    char *out, *err;

    (void)state;
    assert_int_equal(listen_to(host_lets_print_much, NULL, &out, &err), 0);
    assert_int_equal(strlen(out), 4 * 10000 * 11);
    for (char letter = 'A'; letter < 'E'; letter++) {
        int count = 0;
        for (const char *at = out; *at; at++)
            count += *at == letter;
        assert_int_equal(count, 10000);
    }
    assert_int_equal(count_of(err, "<much from"), 4);
    free(out);
    free(err);
}

/* A task's text is there when its result is: the program prints after it and in order. */
static int host_prints_in_turn(void *context)
{
    struct pool *pool = pool_create(2, NULL);

    (void)context;
    SIDE_CHECK(pool);
    for (int i = 0; i < 50; i++) {
        printf("(host %d)", i);
        fflush(stdout);
        SIDE_CHECK(pool_apply(pool, task_prints_a_line, NULL, 0, NULL, 0, NULL) == POOL_OK);
    }
    pool_destroy(pool);
    return 0;
}

static void in_turn_with_the_program(void **state)
{
    char *out, *err, wanted[60 * 50] = "";
    size_t length = 0;

    (void)state;
    assert_int_equal(listen_to(host_prints_in_turn, NULL, &out, &err), 0);
    for (int i = 0; i < 50; i++)
        length +=
            (size_t)snprintf(wanted + length, sizeof wanted - length, "(host %d)<line 0 of many, and its end 0>\n", i);
    assert_string_equal(out, wanted);
    free(out);
    free(err);
}

static int init_prints(void **state, void *arg)
{
    (void)state;
    (void)arg;
    printf("<initializer>\n");
    return 0;
}

static void final_prints(void *state, void *arg)
{
    (void)state;
    (void)arg;
    printf("<finalizer>\n");
}

static int host_with_printing_initializer(void *context)
{
    struct pool_options options = {.initializer = init_prints, .finalizer = final_prints};

    (void)context;
    printf("<host>\n");
    struct pool *pool = pool_create(3, &options);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_nothing, pool_items(NULL, 10, 0), NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(pool_close(pool) == POOL_OK);
    SIDE_CHECK(pool_join(pool, POOL_FOREVER) == POOL_OK);
    pool_destroy(pool);
    return 0;
}

static void initializers_and_finalizers_print(void **state)
{
    char *out, *err;

    (void)state;
    assert_int_equal(listen_to(host_with_printing_initializer, NULL, &out, &err), 0);
    assert_int_equal(count_of(out, "<initializer>\n"), 3);
    assert_int_equal(count_of(out, "<finalizer>\n"), 3);
    assert_int_equal(count_of(out, "<host>\n"), 1);
    assert_int_equal(strlen(out), 3 * strlen("<initializer>\n<finalizer>\n") + strlen("<host>\n"));
    assert_string_equal(err, "");
    free(out);
    free(err);
}

/* ---- exit() in a task */

static void at_exit(void)
{
    atomic_fetch_add(&ground->count[0], 1);
}

static int task_prints_and_exits(struct pool_task *task)
{
    int code;

    memcpy(&code, task->arg, sizeof code);
    printf("<last words %d>\n", code);
    exit(code);
}

struct own_file {
    int number;
};

static int host_with_exit_handlers(void *context)
{
    struct own_file *own = context;
    FILE *file = fdopen(own->number, "w");

    SIDE_CHECK(file);
    for (int i = 0; i < 3; i++)
        SIDE_CHECK(atexit(at_exit) == 0);
    fprintf(file, "written once\n");
    printf("<host's own>\n");
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    for (int code = 0; code < 10; code++) {
        struct pool_future *future = pool_apply_async(pool, task_prints_and_exits, &code, sizeof code, NULL);
        const struct pool_result *result;
        SIDE_CHECK(future);
        SIDE_CHECK(pool_future_get(future, POOL_FOREVER, &result) == POOL_EXITED);
        SIDE_CHECK(result->code == exit_code_told(code));
        pool_future_free(future);
    }
    pool_destroy(pool);
    SIDE_CHECK(atomic_load(&ground->count[0]) == 0); /* no handler of this program ran in a worker */
    SIDE_CHECK(fclose(file) == 0);
    return 0;
}

static void exit_in_a_task(void **state)
{
    char *out, *err, words[40], text[100] = "";
    char name[] = "/tmp/procpool-test-XXXXXX";
    struct own_file own = {.number = mkstemp(name)};

    (void)state;
    assert_true(own.number >= 0);
    unlink(name);
    assert_int_equal(listen_to(host_with_exit_handlers, &own, &out, &err), 0);
    assert_int_equal(atomic_load(&ground->count[0]), 3); /* the host's own exit */
    for (int code = 0; code < 10; code++) {
        snprintf(words, sizeof words, "<last words %d>\n", code);
        assert_int_equal(count_of(out, words), 1);
    }
    assert_int_equal(count_of(out, "<host's own>\n"), 1);
    assert_int_equal(count_of(out, "<"), 11);
    assert_string_equal(err, "");
    /* what the program had not yet written to a file of its own was not written by the workers' exits as well */
    assert_true(pread(own.number, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "written once\n");
    close(own.number);
    free(out);
    free(err);
}

/* ---- stdin */

static int task_reads_stdin(struct pool_task *task)
{
    char bytes[16];

    if (getchar() != EOF)
        return pool_fail(task, 1, "a character came");
    if (read(STDIN_FILENO, bytes, sizeof bytes) != 0)
        return pool_fail(task, 2, "bytes came");
    return 0;
}

static int host_with_input(void *context)
{
    int *ends = context;
    char line[100];

    SIDE_CHECK(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    close(ends[1]);
    SIDE_CHECK(fgets(line, sizeof line, stdin) && strcmp(line, "first line\n") == 0);
    struct pool *pool = pool_create(2, NULL);
    SIDE_CHECK(pool);
    SIDE_CHECK(pool_map(pool, task_reads_stdin, pool_items(NULL, 20, 0), NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(fgets(line, sizeof line, stdin) && strcmp(line, "second line\n") == 0);
    SIDE_CHECK(pool_map(pool, task_reads_stdin, pool_items(NULL, 20, 0), NULL, 0, NULL) == POOL_OK);
    SIDE_CHECK(fgets(line, sizeof line, stdin) && strcmp(line, "third line\n") == 0);
    SIDE_CHECK(fgets(line, sizeof line, stdin) == NULL);
    pool_destroy(pool);
    return 0;
}

static void workers_read_end_of_file(void **state)
{
    static const char input[] = "first line\nsecond line\nthird line\n";
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], input, sizeof input - 1), sizeof input - 1);
    pid_t pid = side_host_start(host_with_input, ends);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(side_host_end(pid), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(lines_once_and_whole),
        PROCESS_TEST(much_and_without_newline),
        PROCESS_TEST(in_turn_with_the_program),
        PROCESS_TEST(initializers_and_finalizers_print),
        PROCESS_TEST(exit_in_a_task),
        PROCESS_TEST(workers_read_end_of_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
