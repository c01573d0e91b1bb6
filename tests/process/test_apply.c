/* pool_apply(): one task, waited for. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void returns_the_result(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    for (long value = -3; value <= 3; value++) {
        long square = -1;
        assert_status(pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL), POOL_OK);
        assert_int_equal(square, value * value);
    }
    pool_destroy(pool);
}

static void any_size_comes_back_as_it_went(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 7, 8, 63, 4095, 4096, 4097, 65535, 65536, 65537, 1000000, 9000001};
    struct pool *pool = made(pool_create(1, NULL));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        unsigned char *sent = made(malloc(size + 1)), *received = made(malloc(size + 1));
        for (size_t at = 0; at < size; at++)
            sent[at] = (unsigned char)(at * 31 + at / 251 + size);
        memset(received, 0xEE, size + 1);
        assert_status(pool_apply(pool, task_echo, sent, size, size ? received : NULL, size, NULL), POOL_OK);
        assert_memory_equal(sent, received, size);
        assert_int_equal(received[size], 0xEE);
        size_t told = 0;
        assert_status(pool_apply(pool, task_size, sent, size, &told, sizeof told, NULL), POOL_OK);
        assert_int_equal(told, size);
        free(sent);
        free(received);
    }
    pool_destroy(pool);
}

static void no_result_wanted(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long value = 3;
    assert_status(pool_apply(pool, task_square, &value, sizeof value, NULL, 0, NULL), POOL_OK);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, NULL, 0, NULL), POOL_OK);
    pool_destroy(pool);
}

static void a_result_of_another_size(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long value = 3;
    char small[3];
    long large[4];
    assert_status(pool_apply(pool, task_square, &value, sizeof value, small, sizeof small, NULL), POOL_BAD_SIZE);
    assert_error_has("3");
    assert_status(pool_apply(pool, task_square, &value, sizeof value, large, sizeof large, NULL), POOL_BAD_SIZE);
    assert_status(pool_apply(pool, task_nothing, NULL, 0, large, sizeof large, NULL), POOL_BAD_SIZE);
    assert_status(pool_apply(pool, task_square, &value, sizeof value, large, sizeof value, NULL), POOL_OK);
    assert_int_equal(large[0], 9);
    pool_destroy(pool);
}

static void a_failure_tells_its_words(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    int code = 42;
    long out;
    assert_status(pool_apply(pool, task_fail, &code, sizeof code, &out, sizeof out, NULL), POOL_FAILED);
    assert_error_has("code 42 it is");
    long value = 5;
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, NULL), POOL_OK);
    assert_int_equal(out, 25);
    assert_error_has("code 42 it is"); /* success does not clear it */
    pool_destroy(pool);
}

static void a_crash_is_a_status(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    assert_status(pool_apply(pool, task_killed, NULL, 0, NULL, 0, NULL), POOL_CRASHED);
    assert_true(*pool_error());
    long value = 5, out = 0;
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, NULL), POOL_OK);
    assert_int_equal(out, 25);
    pool_destroy(pool);
}

static int look_at_shared(struct pool_task *task)
{
    if (!task->shared)
        return task->shared_size ? 2 : pool_return(task, "none", 5);
    return pool_return(task, task->shared, task->shared_size);
}

static void shared_bytes_are_there(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(2, NULL));
    char out[5];
    char text[] = "four";
    struct pool_job job = {.shared = text, .shared_size = sizeof text};
    assert_status(pool_apply(pool, look_at_shared, NULL, 0, out, 5, &job), POOL_OK);
    assert_string_equal(out, "four");
    assert_status(pool_apply(pool, look_at_shared, NULL, 0, out, 5, NULL), POOL_OK);
    assert_string_equal(out, "none");
    size_t size = 3000000;
    char *large = made(malloc(size)), *back = made(calloc(1, size));
    for (size_t i = 0; i < size; i++)
        large[i] = (char)(i % 127);
    job = (struct pool_job){.shared = large, .shared_size = size};
    assert_status(pool_apply(pool, look_at_shared, NULL, 0, back, size, &job), POOL_OK);
    assert_memory_equal(large, back, size);
    free(large);
    free(back);
    pool_destroy(pool);
}

static void an_ignored_callback(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
}

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    struct pool *pool = made(pool_create(1, NULL));
    long value = 3, out = 0;
    enum pool_status one;
    assert_status(pool_apply(NULL, task_square, &value, sizeof value, &out, sizeof out, NULL), POOL_INVALID);
    assert_status(pool_apply(pool, NULL, &value, sizeof value, &out, sizeof out, NULL), POOL_INVALID);
    assert_status(pool_apply(pool, task_square, NULL, sizeof value, &out, sizeof out, NULL), POOL_INVALID);
    assert_status(pool_apply(pool, task_square, &value, sizeof value, NULL, sizeof out, NULL), POOL_INVALID);
    struct pool_job callback = {.callback = an_ignored_callback};
    assert_refused(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, &callback), "callback");
    struct pool_job statuses = {.statuses = &one};
    assert_refused(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, &statuses), "statuses");
    struct pool_job going = {.keep_going = true};
    assert_refused(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, &going), "keep_going");
    struct pool_job shared = {.shared_size = 4};
    assert_refused(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, &shared), "shared");
    for (size_t i = 0; i < 8; i++) {
        struct pool_job reserved = {0};
        reserved.reserved[i] = 1;
        assert_refused(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, &reserved), "reserved");
    }
    struct pool_job ignored = {.chunk = 7, .window = 9}; /* they mean nothing here */
    assert_status(pool_apply(pool, task_square, &value, sizeof value, &out, sizeof out, &ignored), POOL_OK);
    assert_int_equal(out, 9);
    pool_destroy(pool);
}

struct caller {
    struct pool *pool;
    long     from;
    unsigned wrong;
    char     words[64];
};

static void *call_many_times(void *argument)
{
    struct caller *caller = argument;
    for (long value = caller->from; value < caller->from + 200; value++) {
        long square = 0;
        if (pool_apply(caller->pool, task_square, &value, sizeof value, &square, sizeof square, NULL) != POOL_OK
            || square != value * value)
            caller->wrong++;
    }
    int code = (int)caller->from;
    if (pool_apply(caller->pool, task_fail, &code, sizeof code, NULL, 0, NULL) != POOL_FAILED)
        caller->wrong++;
    strncpy(caller->words, pool_error(), sizeof caller->words - 1);
    return NULL;
}

static void many_threads_call_at_once(void **state)
{
    (void)state;
    enum { THREADS = 6 };
    struct pool *pool = made(pool_create(3, NULL));
    pthread_t threads[THREADS];
    struct caller callers[THREADS];
    assert_status(pool_close(NULL), POOL_INVALID);
    char words[256];
    strncpy(words, pool_error(), sizeof words - 1);
    words[sizeof words - 1] = '\0';
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.pool = pool, .from = 1000 * (i + 1)};
        assert_int_equal(pthread_create(&threads[i], NULL, call_many_times, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].wrong, 0);
        char expected[64];
        snprintf(expected, sizeof expected, "code %ld it is", callers[i].from);
        assert_non_null(strstr(callers[i].words, expected));
    }
    assert_true(strncmp(words, pool_error(), sizeof words - 1) == 0); /* this thread's own words stayed */
    pool_destroy(pool);
}

static volatile sig_atomic_t interruptions;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interruptions = interruptions + 1;
}

/* A task that interrupts its caller with signals all the time: the wait goes on to the end. */
static int disturb(struct pool_task *task)
{
    pid_t host;
    memcpy(&host, task->arg, sizeof host);
    for (int i = 0; i < 50; i++) {
        kill(host, SIGUSR2);
        pause_briefly();
    }
    return pool_return(task, "done", 5);
}

static void signals_do_not_end_the_wait(void **state)
{
    (void)state;
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt; /* without SA_RESTART */
    sigaction(SIGUSR2, &action, &old);
    struct pool *pool = made(pool_create(1, NULL));
    pid_t self = getpid();
    char out[5] = "";
    assert_status(pool_apply(pool, disturb, &self, sizeof self, out, sizeof out, NULL), POOL_OK);
    assert_string_equal(out, "done");
    assert_true(interruptions > 0);
    pool_destroy(pool);
    sigaction(SIGUSR2, &old, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(returns_the_result),       PROCESS_TEST(any_size_comes_back_as_it_went),
        PROCESS_TEST(no_result_wanted),         PROCESS_TEST(a_result_of_another_size),
        PROCESS_TEST(a_failure_tells_its_words), PROCESS_TEST(a_crash_is_a_status),
        PROCESS_TEST(shared_bytes_are_there),   PROCESS_TEST(wrong_calls_are_refused),
        PROCESS_TEST(many_threads_call_at_once), PROCESS_TEST(signals_do_not_end_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
