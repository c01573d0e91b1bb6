/* No memory for what lies below the pool: it is told, nothing is lost, and it goes on when there is some again. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/source.h"
#include "base/cpu_count.h"
#include "base/executable_map.h"
#include "data/buffer.h"
#include "procpool.h"

static void a_put_makes_do_with_just_enough(void **state)
{
    struct pool_buffer buffer = {0};
    char bytes[40] = "forty";

    (void)state;
    pool_put_bytes(&buffer, bytes, sizeof bytes);
    assert_int_equal(buffer.room, 64);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    pool_put_bytes(&buffer, bytes, sizeof bytes); /* twice the room is not to be had: exactly enough is */
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, 98);
    assert_int_equal(buffer.room, 98);
    fail_next(CALL_MEMORY, 2, ENOMEM);
    pool_put_int(&buffer, 1);
    assert_int_equal(fail_no_more(CALL_MEMORY), 2);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 98);
    assert_non_null(strstr(pool_error(), "pool_put_int: no memory"));
    pool_put_int(&buffer, 1); /* it stays failed */
    assert_int_equal(buffer.size, 98);
    pool_buffer_free(&buffer);
    assert_null(buffer.data);
}

static void bytes_stay_when_they_cannot_grow(void **state)
{
    struct pool__bytes bytes = {0};

    (void)state;
    assert_true(pool__bytes_reserve(&bytes, 256));
    assert_int_equal(bytes.room, 256);
    pool__bytes_append(&bytes, "abcdefgh", 8);
    pool__bytes_take(&bytes, 3);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_false(pool__bytes_reserve(&bytes, 1000));
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    assert_int_equal(pool__bytes_held(&bytes), 5);
    assert_memory_equal(bytes.data + bytes.from, "defgh", 5);
    assert_true(pool__bytes_reserve(&bytes, 1000));
    assert_memory_equal(bytes.data + bytes.from, "defgh", 5);
    free(bytes.data);
}

static void zeros_are_zeros(void **state)
{
    struct pool__bytes bytes = {0};
    static const unsigned char zeros[16];
    unsigned char marks[64];

    (void)state;
    memset(marks, 0xee, sizeof marks);
    for (size_t count = 0; count <= sizeof zeros; count++) {
        assert_true(pool__bytes_reserve(&bytes, sizeof marks));
        pool__bytes_append(&bytes, marks, sizeof marks); /* what lies there from before */
        pool__bytes_take(&bytes, sizeof marks);
        assert_int_equal(bytes.from, 0);
        pool__bytes_append_zeros(&bytes, count);
        assert_int_equal(pool__bytes_held(&bytes), count);
        if (count > 0)
            assert_memory_equal(bytes.data, zeros, count);
        pool__bytes_take(&bytes, count);
    }
    assert_true(pool__bytes_reserve(&bytes, 1));
    pool__bytes_append(&bytes, "q", 1); /* a single one is copied too */
    assert_int_equal(bytes.data[0], 'q');
    free(bytes.data);
}

#if defined(__linux__) && !defined(POOL__PORTABLE)
/* A map that is not whole would refuse good functions: without one all are taken. */
static void half_a_map_is_none(void **state)
{
    struct pool__executable_map map;

    (void)state;
    for (int spared = 0; spared < 100; spared++) {
        fail_after(CALL_MEMORY, spared, 1000, ENOMEM);
        pool__executable_map_read(&map);
        if (fail_no_more(CALL_MEMORY) == 0)
            break;
        assert_int_equal(map.count, 0);
        assert_null(map.ranges);
        assert_true(pool__executable_map_has(&map, 1));
    }
    assert_true(map.count > 0);
    assert_false(pool__executable_map_has(&map, 1));
    pool__executable_map_free(&map);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    pool__executable_map_read(&map);
    assert_int_equal(map.count, 0);
}
#endif

static void lines_without_memory_are_an_error(void **state)
{
    FILE *file = tmpfile();
    struct pool_source source = pool_lines(file);
    struct pool__line line = {0};
    const void *item;
    size_t size;
    char text[65];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[64] = '\0';
    assert_non_null(file);
    assert_true(fprintf(file, "\n%s\n%5000s\nlast", text, text) > 0);
    rewind(file);
    assert_int_equal(getc(file), '\n'); /* the stream has its own memory by now */
    rewind(file);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_int_equal(pool__source_next(&source, &line, &item, &size), -ENOMEM);
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    assert_non_null(strstr(pool_error(), "reading the next line"));
    assert_int_equal(pool__source_next(&source, &line, &item, &size), 1);
    assert_int_equal(size, 65);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_int_equal(pool__source_next(&source, &line, &item, &size), -ENOMEM);
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    pool__line_free(&line);
    assert_null(line.text);
    fclose(file);
}

static int returns_3(void *arg)
{
    (void)arg;
    return 3;
}

static void a_process_without_memory_is_not_started(void **state)
{
    struct pool_process *process;

    (void)state;
    fail_next(CALL_MEMORY, 1, ENOMEM);
    errno = 0;
    assert_null(pool_process_start(returns_3, NULL));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    fail_next(CALL_FORK, 1, EAGAIN);
    assert_null(pool_process_start(returns_3, NULL));
    assert_int_equal(errno, EAGAIN);
    assert_non_null(strstr(pool_error(), "fork"));
    process = pool_process_start(returns_3, NULL);
    assert_int_equal(pool_process_join(process, POOL_FOREVER), POOL_OK);
    assert_int_equal(pool_process_exit_code(process), 3);
    pool_process_free(process);
}

#if defined(__linux__) && !defined(POOL__PORTABLE)
static void processors_are_counted_all_the_same(void **state)
{
    unsigned mask = pool__cpu_affinity();

    (void)state;
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_int_equal(pool__cpu_affinity(), sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    fail_next(CALL_MEMORY, 1, ENOMEM);
    fail_next(CALL_SYSCONF, 1, EINVAL);
    assert_int_equal(pool__cpu_affinity(), 1); /* there is this one */
    (void)fail_no_more(CALL_SYSCONF);
    assert_int_equal(pool__cpu_affinity(), mask);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_makes_do_with_just_enough),
        cmocka_unit_test(bytes_stay_when_they_cannot_grow),
        cmocka_unit_test(zeros_are_zeros),
#if defined(__linux__) && !defined(POOL__PORTABLE)
        cmocka_unit_test(half_a_map_is_none),
        cmocka_unit_test(processors_are_counted_all_the_same),
#endif
        cmocka_unit_test(lines_without_memory_are_an_error),
        cmocka_unit_test(a_process_without_memory_is_not_started),
    };

    if (!CAN_FAIL_MEMORY)
        return 77;
    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
