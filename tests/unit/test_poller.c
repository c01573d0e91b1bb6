/* Sets of descriptors to sleep on, with a waker: the same by epoll and by poll. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <sys/resource.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/poller.h"

static struct pool__poller *poller;
static int ends[2], others[2];

static int begin(void **state)
{
    (void)state;
    poller = pool__poller_open();
    return poller != NULL && pool__pipe(ends) == 0 && pool__pipe(others) == 0 ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    pool__poller_close(poller);
    for (int i = 0; i < 2; i++) {
        pool__close(&ends[i]);
        pool__close(&others[i]);
    }
    return 0;
}

static size_t look(struct pool__ready *ready, size_t room)
{
    memset(ready, 0x55, room * sizeof *ready);
    return pool__poller_wait(poller, NULL, 0, ready, room);
}

static void what_is_ready_is_told_by_its_tag(void **state)
{
    struct pool__ready ready[4];

    (void)state;
    assert_true(pool__poller_add(poller, ends[0], 7, POOL__POLL_READ));
    assert_true(pool__poller_add(poller, others[1], 8, POOL__POLL_WRITE));
    assert_int_equal(look(ready, 4), 1);
    assert_int_equal(ready[0].tag, 8);
    assert_true(ready[0].writable && !ready[0].readable);
    assert_true(pool__write_all(ends[1], "x", 1));
    assert_int_equal(look(ready, 4), 2);
    assert_int_equal(ready[0].tag + ready[1].tag, 15);
    assert_int_equal(look(ready, 1), 1); /* no more than there is room for */
    pool__poller_remove(poller, others[1]);
    pool__poller_remove(poller, -1);
    assert_int_equal(look(ready, 4), 1);
    assert_int_equal(ready[0].tag, 7);
    assert_true(ready[0].readable && !ready[0].writable);
}

static void ends_that_are_gone_are_ready(void **state)
{
    struct pool__ready ready[4];

    (void)state;
    assert_true(pool__poller_add(poller, ends[0], 1, POOL__POLL_READ));
    pool__close(&ends[1]);
    assert_int_equal(look(ready, 4), 1);
    assert_true(ready[0].readable);
    pool__poller_remove(poller, ends[0]);
    assert_true(pool__poller_add(poller, others[1], 2, POOL__POLL_WRITE));
    pool__close(&others[0]);
    assert_int_equal(look(ready, 4), 1);
    assert_true(ready[0].writable);
}

static void a_wake_ends_a_wait_and_is_none_of_the_ready(void **state)
{
    struct pool__ready ready[4];
    uint64_t before = pool__now();

    (void)state;
    for (int i = 0; i < 3; i++)
        pool__poller_wake(poller);
    assert_int_equal(pool__poller_wait(poller, NULL, before + 60000 * POOL__MS, ready, 4), 0);
    assert_true(pool__now() - before < 30000 * POOL__MS);
    before = pool__now(); /* the wakes are used up */
    assert_int_equal(pool__poller_wait(poller, NULL, before + 30 * POOL__MS, ready, 4), 0);
    assert_true(pool__now() - before >= 30 * POOL__MS);
}

static void a_wait_for_two_sets_tells_of_both(void **state)
{
    struct pool__poller *also = pool__poller_open();
    struct pool__ready ready[4];
    uint64_t before;

    (void)state;
    assert_non_null(also);
    assert_true(pool__poller_add(poller, ends[0], 1, POOL__POLL_READ));
    assert_true(pool__poller_add(also, others[0], 2, POOL__POLL_READ));
    before = pool__now();
    assert_int_equal(pool__poller_wait(poller, also, before + 20 * POOL__MS, ready, 4), 0);
    assert_true(pool__now() - before >= 20 * POOL__MS);
    assert_true(pool__write_all(ends[1], "x", 1));
    assert_int_equal(pool__poller_wait(poller, also, POOL__NEVER, ready, 4), 1);
    assert_int_equal(ready[0].tag, 1);
    assert_true(pool__write_all(others[1], "x", 1));
    assert_int_equal(pool__poller_wait(poller, also, POOL__NEVER, ready, 4), 2);
    assert_int_equal(ready[0].tag + ready[1].tag, 3);
    assert_int_equal(pool__poller_wait(poller, also, POOL__NEVER, ready, 1), 1);
    pool__poller_remove(poller, ends[0]);
    assert_int_equal(pool__poller_wait(poller, also, POOL__NEVER, ready, 4), 1);
    assert_int_equal(ready[0].tag, 2);
    pool__poller_close(also);
}

static void one_that_cannot_be_made_leaves_nothing(void **state)
{
    int next = dup(0);
    struct rlimit before, low;

    (void)state;
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t room = 0; room < 2; room++) {
        struct pool__poller *none;

        low = before;
        low.rlim_cur = (rlim_t)next + room;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        none = pool__poller_open();
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_null(none);
        assert_int_equal(errno, EMFILE);
        assert_int_equal(dup(0), next);
        close(next);
    }
    if (!CAN_FAIL_MEMORY)
        return;
    fail_next(CALL_MEMORY, 1, ENOMEM);
    assert_null(pool__poller_open());
    assert_int_equal(fail_no_more(CALL_MEMORY), 1);
}

static void what_cannot_be_watched_is_told(void **state)
{
    (void)state;
    assert_true(pool__poller_add(poller, ends[0], 1, POOL__POLL_READ));
#if defined(__linux__) && !defined(POOL__PORTABLE)
    int gone = dup(0);
    close(gone);
    assert_false(pool__poller_add(poller, gone, 2, POOL__POLL_READ));
#endif
    pool__poller_close_in_child(NULL);
    pool__poller_leave_rung(NULL);
}

#define WITH_POLLER(test) cmocka_unit_test_setup_teardown(test, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_POLLER(what_is_ready_is_told_by_its_tag),
        WITH_POLLER(ends_that_are_gone_are_ready),
        WITH_POLLER(a_wake_ends_a_wait_and_is_none_of_the_ready),
        WITH_POLLER(a_wait_for_two_sets_tells_of_both),
        WITH_POLLER(one_that_cannot_be_made_leaves_nothing),
        WITH_POLLER(what_cannot_be_watched_is_told),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
