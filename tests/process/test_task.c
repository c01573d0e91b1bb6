/* What a task function can do: its result, its words, what struct pool_task tells it. */
#include "../support/audit.h"
#include "../support/tasks.h"

#include <stdio.h>
#include <unistd.h>

static struct pool *pool;

static int open_pool(void **state)
{
    int failed = audit_begin(state);
    pool = pool_create(2, NULL);
    return failed || !pool;
}

static int close_pool(void **state)
{
    pool_destroy(pool);
    pool = NULL;
    return audit_end(state);
}

#define POOL_TEST(function) {#function, function, open_pool, close_pool, #function}

/* Runs one task; its result's bytes are copied to `out`, at most `room`. Returns their number. */
static size_t run(pool_function *fn, const void *arg, size_t size, void *out, size_t room)
{
    const struct pool_result *result;
    struct pool_future *future = made(pool_apply_async(pool, fn, arg, size, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_OK);
    size_t length = result->size;
    if (length)
        memcpy(out, result->data, length < room ? length : room);
    pool_future_free(future);
    return length;
}

static int return_twice(struct pool_task *task)
{
    int failed = pool_return(task, "first and longer", 17);
    return failed || pool_return(task, "last", 5);
}

static int return_then_nothing(struct pool_task *task)
{
    int failed = pool_return(task, "first", 6);
    return failed || pool_return(task, NULL, 0);
}

static int return_from_own_memory(struct pool_task *task)
{
    char *text = malloc(20);
    if (!text)
        return 1;
    snprintf(text, 20, "gone");
    int failed = pool_return(task, text, 5);
    memset(text, 'x', 20); /* it was copied in */
    free(text);
    return failed;
}

static void the_last_result_counts(void **state)
{
    (void)state;
    char out[20] = "";
    assert_int_equal(run(return_twice, NULL, 0, out, sizeof out), 5);
    assert_string_equal(out, "last");
    assert_int_equal(run(return_then_nothing, NULL, 0, out, sizeof out), 0);
    assert_int_equal(run(return_from_own_memory, NULL, 0, out, sizeof out), 5);
    assert_string_equal(out, "gone");
}

/* Space of one size, grown, trimmed: the bytes are kept. */
static int grow_and_trim(struct pool_task *task)
{
    size_t sizes[3];
    memcpy(sizes, task->arg, sizeof sizes);
    unsigned char *space = NULL;
    size_t filled = 0;
    for (int i = 0; i < 3; i++) {
        space = pool_return_space(task, sizes[i]);
        if (!space)
            return pool_fail(task, 1, "no space of %zu", sizes[i]);
        if ((uintptr_t)space % _Alignof(max_align_t) != 0)
            return pool_fail(task, 1, "space of %zu is not aligned", sizes[i]);
        for (; filled < sizes[i]; filled++)
            space[filled] = (unsigned char)(filled * 7);
        filled = sizes[i];
    }
    return 0;
}

static void space_is_grown_and_trimmed(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{0, 0, 0},          {10, 5, 5},        {5, 10, 20},   {100, 1, 50},
                                      {1000, 100000, 10}, {0, 70000, 70001}, {70000, 0, 1}, {3000000, 2000000, 4000000},
                                      {1, 0, 0}};
    unsigned char *out = made(malloc(4000000));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t length = run(grow_and_trim, sizes[i], sizeof sizes[i], out, 4000000);
        assert_int_equal(length, sizes[i][2]);
        for (size_t at = 0; at < length; at++)
            if (out[at] != (unsigned char)(at * 7))
                assert_int_equal(out[at], (unsigned char)(at * 7));
    }
    free(out);
}

static int ask_for_too_much(struct pool_task *task)
{
    if (pool_return_space(task, SIZE_MAX) || pool_return_space(task, SIZE_MAX - 100))
        return pool_fail(task, 1, "there is no such memory");
    return pool_return(task, "still here", 11);
}

static int fail_with_a_result(struct pool_task *task)
{
    pool_return(task, "unwanted", 9);
    return 3;
}

static void too_much_is_refused(void **state)
{
    (void)state;
    char out[20] = "";
    assert_int_equal(run(ask_for_too_much, NULL, 0, out, sizeof out), 11);
    assert_string_equal(out, "still here");
    assert_status(pool_apply(pool, fail_with_a_result, NULL, 0, out, 9, NULL), POOL_FAILED);
}

/* How a task fails: the code given to pool_fail, what it returns itself, how often it speaks. */
struct failing {
    int code, returned, times;
};

static int fail_as_told(struct pool_task *task)
{
    struct failing failing;
    memcpy(&failing, task->arg, sizeof failing);
    int told = 0;
    for (int i = 1; i <= failing.times; i++)
        told = pool_fail(task, failing.code, "word %d of %d", i, failing.times);
    if (failing.times > 0 && told != (failing.code ? failing.code : 1))
        return 77;
    return failing.returned ? failing.returned : told;
}

static void expect_failure(int code, int returned, int times, int expected, const char *words)
{
    struct failing failing = {code, returned, times};
    const struct pool_result *result;
    struct pool_future *future = made(pool_apply_async(pool, fail_as_told, &failing, sizeof failing, NULL));
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->code, expected);
    assert_non_null(strstr(result->message, words));
    pool_future_free(future);
}

static void failures_carry_code_and_words(void **state)
{
    (void)state;
    expect_failure(5, 0, 1, 5, "word 1 of 1");
    expect_failure(-5, 0, 1, -5, "word 1 of 1");
    expect_failure(0, 0, 1, 1, "word 1 of 1"); /* 0 would be success */
    expect_failure(5, 9, 1, 9, "word 1 of 1"); /* what the function returned counts */
    expect_failure(5, 0, 3, 5, "word 3 of 3");
    expect_failure(0, 1234567, 0, 1234567, "");
    expect_failure(0, -2147483647, 0, -2147483647, "");
}

static int speak_and_succeed(struct pool_task *task)
{
    pool_fail(task, 1, "only a warning");
    return pool_return(task, "fine", 5);
}

static int fail_without_words(struct pool_task *task)
{
    (void)task;
    return 6;
}

static void words_belong_to_one_task(void **state)
{
    (void)state;
    struct pool *one = made(pool_create(1, NULL));
    char out[5];
    assert_status(pool_apply(one, speak_and_succeed, NULL, 0, out, sizeof out, NULL), POOL_OK);
    assert_string_equal(out, "fine");
    struct pool_future *future = made(pool_apply_async(one, fail_without_words, NULL, 0, NULL));
    const struct pool_result *result;
    assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
    assert_int_equal(result->code, 6);
    assert_null(strstr(result->message, "warning"));
    pool_future_free(future);
    pool_destroy(one);
}

static int fail_at_length(struct pool_task *task)
{
    size_t length;
    memcpy(&length, task->arg, sizeof length);
    char *text = malloc(length + 1);
    if (!text)
        return 2;
    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + i % 26);
    text[length] = '\0';
    int code = pool_fail(task, 1, "%s", text);
    free(text);
    return code;
}

static void messages_of_every_length(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 100, 1000, 4000, 4090, 4095, 4096, 5000, 100000};
    char piece[4001];
    for (size_t i = 0; i < 4000; i++)
        piece[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const struct pool_result *result;
        struct pool_future *future = made(pool_apply_async(pool, fail_at_length, &lengths[i], sizeof lengths[i], NULL));
        assert_status(pool_future_get(future, POOL_FOREVER, &result), POOL_FAILED);
        size_t kept = lengths[i] < 4000 ? lengths[i] : 4000; /* up to 4 KiB; its last few bytes may be ours */
        piece[kept] = '\0';
        assert_non_null(strstr(result->message, piece));
        assert_error_has(piece);
        piece[kept] = (char)('a' + kept % 26);
        assert_true(strlen(result->message) < 4096 + 512);
        pool_future_free(future);
    }
}

static int tell_all(struct pool_task *task)
{
    struct told {
        size_t index, size, shared_size;
        unsigned attempt;
        int  aligned, state, shared, cancelled;
    } told;
    memset(&told, 0, sizeof told);
    told.index = task->index;
    told.size = task->size;
    told.shared_size = task->shared_size;
    told.attempt = task->attempt;
    told.aligned = task->arg && (uintptr_t)task->arg % _Alignof(max_align_t) == 0;
    told.state = task->state != NULL;
    told.shared = task->shared != NULL;
    told.cancelled = pool_cancelled(task);
    if (told.index || told.shared_size || told.attempt != 1 || !told.aligned || told.state || told.shared ||
        told.cancelled)
        return pool_fail(task, 1, "index %zu, attempt %u, aligned %d, state %d, shared %d of %zu, cancelled %d",
                         told.index, told.attempt, told.aligned, told.state, told.shared, told.shared_size,
                         told.cancelled);
    return pool_return(task, &told.size, sizeof told.size);
}

static void a_task_knows_its_argument(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 3, 8, 13, 100, 4097, 65537, 1000001};
    unsigned char *bytes = made(calloc(1, 1000001));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = 0;
        assert_int_equal(run(tell_all, bytes, sizes[i], &size, sizeof size), sizeof size);
        assert_int_equal(size, sizes[i]);
    }
    free(bytes);
    size_t size = 1;
    assert_int_equal(run(tell_all, NULL, 0, &size, sizeof size), sizeof size);
    assert_int_equal(size, 0);
}

/* Odd sizes of items from a generator: each is aligned for any type. */
static int next_odd(void *context, const void **item, size_t *size)
{
    static unsigned char bytes[200];
    size_t *left = context;
    if (*left == 0)
        return 0;
    *size = --*left;
    *item = bytes;
    return 1;
}

static int check_alignment(struct pool_task *task)
{
    if ((uintptr_t)task->arg % _Alignof(max_align_t) != 0)
        return pool_fail(task, 1, "item %zu of %zu bytes is not aligned", task->index, task->size);
    return pool_return(task, task->arg, task->size);
}

static void generated_items_are_aligned(void **state)
{
    (void)state;
    size_t left = 200;
    assert_status(pool_map(pool, check_alignment, pool_generate(next_odd, &left), NULL, 0, NULL), POOL_OK);
    left = 200;
    struct pool_iterator *iterator = made(pool_imap(pool, check_alignment, pool_generate(next_odd, &left), NULL));
    const struct pool_result *result;
    for (size_t i = 0; i < 200; i++) {
        assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
        assert_status(result->status, POOL_OK);
        assert_int_equal(result->size, 199 - i);
        assert_int_equal(result->arg_size, 199 - i);
        assert_int_equal((uintptr_t)result->data % _Alignof(max_align_t), 0);
    }
    assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(iterator);
}

/* What a task leaves in memory is there for the worker's next one, and for nobody else. */
static int count_in_static_memory(struct pool_task *task)
{
    static int count;
    count++;
    return pool_return(task, &count, sizeof count);
}

static void a_workers_memory_stays_its_own(void **state)
{
    (void)state;
    struct pool *one = made(pool_create(1, NULL));
    for (int i = 1; i <= 5; i++) {
        int count = 0;
        assert_status(pool_apply(one, count_in_static_memory, NULL, 0, &count, sizeof count, NULL), POOL_OK);
        assert_int_equal(count, i);
    }
    pool_destroy(one);
}

static int set_state(void **task_state, void *arg)
{
    (void)arg;
    long *counter = malloc(sizeof *counter);
    if (!counter)
        return 1;
    *counter = 1000 * (pool_worker_index() + 1);
    *task_state = counter;
    return 0;
}

static void free_state(void *task_state, void *arg)
{
    (void)arg;
    free(task_state);
}

static int count_in_state(struct pool_task *task)
{
    long *counter = task->state;
    ++*counter;
    if (*counter / 1000 != pool_worker_index() + 1)
        return pool_fail(task, 1, "another worker's state");
    return pool_return(task, counter, sizeof *counter);
}

static void the_state_is_the_initializers(void **state)
{
    (void)state;
    struct pool_options options = {.initializer = set_state, .finalizer = free_state};
    struct pool *other = made(pool_create(2, &options));
    long out[100], most[2] = {0, 0};
    assert_status(pool_map(other, count_in_state, pool_items(NULL, 100, 0), out, sizeof out[0], NULL), POOL_OK);
    for (size_t i = 0; i < 100; i++) {
        size_t seat = (size_t)(out[i] / 1000 - 1);
        assert_in_range(seat, 0, 1);
        if (out[i] % 1000 > most[seat])
            most[seat] = out[i] % 1000;
    }
    assert_int_equal(most[0] + most[1], 100);
    assert_status(pool_close(other), POOL_OK);
    assert_status(pool_join(other, POOL_FOREVER), POOL_OK);
    pool_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(the_last_result_counts),
        POOL_TEST(space_is_grown_and_trimmed),
        POOL_TEST(too_much_is_refused),
        POOL_TEST(failures_carry_code_and_words),
        POOL_TEST(words_belong_to_one_task),
        POOL_TEST(messages_of_every_length),
        POOL_TEST(a_task_knows_its_argument),
        POOL_TEST(generated_items_are_aligned),
        POOL_TEST(a_workers_memory_stays_its_own),
        POOL_TEST(the_state_is_the_initializers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
