/* One run of a task function, without a worker around it: where its result lies and how it grows, and when memory lacks. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <stdlib.h>

#include "children/task.h"

enum { ROOM = 100 };

static unsigned char staging[ROOM];

static struct pool__task fresh(void)
{
    struct pool__task task;

    memset(&task, 0, sizeof task);
    memset(staging, 0xee, sizeof staging);
    task.staging = staging;
    task.staging_room = sizeof staging;
    return task;
}

static void small_results_lie_in_staging(void **state)
{
    struct pool__task task = fresh();

    (void)state;
    assert_ptr_equal(pool_return_space(&task.given, ROOM), staging);
    assert_true(pool__task_has_left(&task, POOL__LEFT_RESULT));
    assert_int_equal(task.result_size, ROOM);
    assert_null(task.heap);
    assert_int_equal(pool_return(&task.given, "abc", 3), 0);
    assert_int_equal(task.result_size, 3);
    assert_memory_equal(pool__task_result(&task), "abc", 3);
    assert_int_equal(pool_return(&task.given, NULL, 0), 0);
    assert_true(pool__task_has_left(&task, POOL__LEFT_RESULT));
    assert_int_equal(task.result_size, 0);
}

static void a_result_may_grow_out_of_staging(void **state)
{
    struct pool__task task = fresh();
    char *space = pool_return_space(&task.given, 10);

    (void)state;
    memcpy(space, "0123456789", 10);
    space = pool_return_space(&task.given, ROOM + 1);
    assert_non_null(space);
    assert_true((unsigned char *)space != staging);
    assert_memory_equal(space, "0123456789", 10); /* what was there has come along */
    assert_int_equal(task.result_size, ROOM + 1);
    assert_int_equal(task.heap_room, 4096);
    assert_ptr_equal(pool__task_result(&task), space);
    assert_ptr_equal(pool_return_space(&task.given, 4096), space);
    assert_int_equal(task.heap_room, 4096);
    assert_ptr_equal(pool_return_space(&task.given, 5), space); /* and does not go back */
    assert_int_equal(task.result_size, 5);
    space = pool_return_space(&task.given, 4097);
    assert_int_equal(task.heap_room, 8192);
    assert_memory_equal(space, "0123456789", 10);
    assert_non_null(pool_return_space(&task.given, 100000));
    assert_int_equal(task.heap_room, 131072);
    free(task.heap);
}

static void part_of_the_result_may_be_the_result(void **state)
{
    struct pool__task task = fresh();
    char *space = pool_return_space(&task.given, 10);

    (void)state;
    memcpy(space, "0123456789", 10);
    assert_int_equal(pool_return(&task.given, space + 2, 8), 0);
    assert_memory_equal(pool__task_result(&task), "23456789", 8);
}

/* In the arena there is a place for a result of one size; of any other it lies where it did without. */
static void a_result_of_its_places_size_lies_there(void **state)
{
    unsigned char place[24];
    struct pool__task task = fresh();
    char *space;

    (void)state;
    memset(place, 0, sizeof place);
    task.place = place;
    task.place_size = 8;
    assert_ptr_equal(pool_return_space(&task.given, 8), place);
    assert_int_equal(task.left, POOL__LEFT_RESULT | POOL__LEFT_IN_PLACE);
    assert_ptr_equal(pool__task_result(&task), place);
    assert_int_equal(pool_return(&task.given, "abcdefgh", 8), 0);
    assert_memory_equal(place, "abcdefgh", 8);
    space = pool_return_space(&task.given, 3); /* trimmed: elsewhere, what is kept with it */
    assert_false(pool__task_has_left(&task, POOL__LEFT_IN_PLACE));
    assert_ptr_equal(space, staging);
    assert_int_equal(task.result_size, 3);
    assert_memory_equal(space, "abc", 3);
    memcpy(space, "xyz", 3);
    assert_ptr_equal(pool_return_space(&task.given, 8), place); /* and back */
    assert_memory_equal(place, "xyzdefgh", 8);
    space = pool_return_space(&task.given, 10);
    assert_memory_equal(space, "xyzdefgh", 8);
    assert_int_equal(task.result_size, 10);
    space = pool_return_space(&task.given, ROOM + 1); /* on the heap */
    assert_memory_equal(space, "xyzdefgh", 8);
    memcpy(space, "heapheap", 8);
    assert_ptr_equal(pool_return_space(&task.given, 8), place);
    assert_memory_equal(place, "heapheap", 8);
    memcpy(place, "placeplc", 8);
    space = pool_return_space(&task.given, ROOM + 1);
    assert_memory_equal(space, "placeplc", 8);
    assert_ptr_equal(space, task.heap);
    for (size_t i = 8; i < sizeof place; i++)
        assert_int_equal(place[i], 0);
    free(task.heap);
}

static void part_of_it_may_be_the_result_in_place(void **state)
{
    unsigned char place[8];
    struct pool__task task = fresh();
    char *space;

    (void)state;
    task.place = place;
    task.place_size = 8;
    space = pool_return_space(&task.given, 10);
    memcpy(space, "0123456789", 10);
    assert_int_equal(pool_return(&task.given, space + 2, 8), 0);
    assert_memory_equal(place, "23456789", 8);
    assert_int_equal(pool_return(&task.given, place + 4, 4), 0);
    assert_memory_equal(pool__task_result(&task), "6789", 4);
    assert_false(pool__task_has_left(&task, POOL__LEFT_IN_PLACE));
}

static void nothing_is_done_for_nobody(void **state)
{
    struct pool__task task = fresh();

    (void)state;
    assert_null(pool_return_space(NULL, 1));
    assert_int_equal(pool_return(NULL, "a", 1), POOL_NO_MEMORY);
    assert_int_equal(pool_return(&task.given, NULL, 1), POOL_INVALID);
    assert_false(pool__task_has_left(&task, POOL__LEFT_RESULT));
    assert_false(pool__task_has_left(&task, POOL__LEFT_NO_MEMORY));
    assert_false(pool_cancelled(NULL));
}

static void impossible_sizes_are_no_memory(void **state)
{
    struct pool__task task = fresh();

    (void)state;
    assert_null(pool_return_space(&task.given, SIZE_MAX));
    assert_true(pool__task_has_left(&task, POOL__LEFT_NO_MEMORY));
    assert_null(pool_return_space(&task.given, (size_t)PTRDIFF_MAX + 1));
    if (!UNDER_ADDRESS_SANITIZER) /* which ends the program over it */
        assert_null(pool_return_space(&task.given, (size_t)PTRDIFF_MAX)); /* asked for, and not to be had */
    assert_true(pool__task_has_left(&task, POOL__LEFT_NO_MEMORY));
    assert_non_null(pool_return_space(&task.given, 10)); /* a smaller result after all */
    assert_false(pool__task_has_left(&task, POOL__LEFT_NO_MEMORY));
    assert_true(pool__task_has_left(&task, POOL__LEFT_RESULT));
}

static void less_than_wished_will_do(void **state)
{
    struct pool__task task = fresh();

    (void)state;
    skip_unless_memory_can_fail();
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_non_null(pool_return_space(&task.given, 5000));
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
    assert_int_equal(task.heap_room, 5000); /* exactly, where twice the room was not to be had */
    assert_false(pool__task_has_left(&task, POOL__LEFT_NO_MEMORY));
    fail_next(CALL_MEMORY, 2, ENOMEM);
    assert_null(pool_return_space(&task.given, 5001));
    assert_int_equal(fail_no_more(CALL_MEMORY), 2);
    assert_true(pool__task_has_left(&task, POOL__LEFT_NO_MEMORY));
    free(task.heap);
}

static void a_buffer_that_failed_is_no_result(void **state)
{
    struct pool__task task = fresh();
    struct pool_buffer buffer = {0};

    (void)state;
    pool_put_int(&buffer, 7);
    assert_int_equal(pool_return_buffer(&task.given, &buffer), 0);
    assert_int_equal(task.result_size, 9);
    assert_null(buffer.data);
    task = fresh();
    pool_put_int(&buffer, 7);
    pool_put_string(&buffer, NULL);
    assert_int_equal(pool_return_buffer(&task.given, &buffer), POOL_NO_MEMORY);
    assert_false(pool__task_has_left(&task, POOL__LEFT_RESULT));
    assert_null(buffer.data);
}

static void failures_have_a_code_and_words(void **state)
{
    struct pool__task task = fresh();
    unsigned char place[8];

    (void)state;
    pool__task_begin(&task);
    assert_string_equal(pool__words(), "");
    assert_int_equal(pool_fail(&task.given, 7, "%s %d", "number", 7), 7);
    assert_string_equal(pool__words(), "number 7");
    assert_int_equal(pool_fail(&task.given, 0, NULL), 1); /* 0 would be no failure; the words stay */
    assert_string_equal(pool__words(), "number 7");
    task.place = place;
    task.place_size = sizeof place;
    assert_int_equal(pool_return(&task.given, "abcdefgh", 8), 0); /* they stay with a result, too */
    assert_string_equal(pool__words(), "number 7");
    task.left = 0; /* as before each item */
    assert_string_equal(pool__words(), "");
    pool__task_begin(NULL);
    assert_string_equal(pool__words(), "");
    assert_int_equal(pool_fail(NULL, -3, "in an initializer"), -3);
    assert_string_equal(pool__words(), "in an initializer");
    pool__task_begin(&task);
    assert_string_equal(pool__words(), "");
    pool__task_begin(NULL);
}

static void memory_of_an_earlier_result_is_used_again(void **state)
{
    struct pool__task task = fresh();
    void *memory = malloc(8192);

    (void)state;
    pool__spare_give(&task.spare, memory, 8192, 8192);
    assert_int_equal(pool_return(&task.given, "abc", 3), 0);
    assert_ptr_equal(pool_return_space(&task.given, 5000), memory);
    assert_int_equal(task.heap_room, 8192);
    assert_memory_equal(memory, "abc", 3);
    assert_ptr_equal(pool_return_space(&task.given, 8192), memory);
    assert_null(task.spare.memory);
    free(task.heap);
}

static void workers_know_their_seat(void **state)
{
    (void)state;
    assert_int_equal(pool_worker_index(), -1); /* in a program */
    pool__worker_index_set(3);
    assert_int_equal(pool_worker_index(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_results_lie_in_staging),
        cmocka_unit_test(a_result_may_grow_out_of_staging),
        cmocka_unit_test(part_of_the_result_may_be_the_result),
        cmocka_unit_test(a_result_of_its_places_size_lies_there),
        cmocka_unit_test(part_of_it_may_be_the_result_in_place),
        cmocka_unit_test(nothing_is_done_for_nobody),
        cmocka_unit_test(impossible_sizes_are_no_memory),
        cmocka_unit_test(less_than_wished_will_do),
        cmocka_unit_test(a_buffer_that_failed_is_no_result),
        cmocka_unit_test(failures_have_a_code_and_words),
        cmocka_unit_test(memory_of_an_earlier_result_is_used_again),
        cmocka_unit_test(workers_know_their_seat),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
