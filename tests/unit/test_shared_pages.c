/* Memory for boards and arena: shared, of a size that nobody can change, and had by other means where the first do not work. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <sys/resource.h>

#include "base/shared_pages.h"

enum { SIZE = 8192 };

static void child_writes(unsigned char *pages)
{
    pid_t pid = fork();

    if (pid == 0) {
        pages[0] = 'a';
        pages[SIZE - 1] = 'z';
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void check_shared(unsigned char *pages)
{
    assert_non_null(pages);
    assert_int_equal(pages[0], 0);
    child_writes(pages);
    assert_int_equal(pages[0], 'a');
    assert_int_equal(pages[SIZE - 1], 'z');
    pool__shared_pages_unmap(pages, SIZE);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD, 0L) >= 0;
    return count;
}

static void pages_are_shared_with_children(void **state)
{
    int before = open_descriptors();

    (void)state;
    check_shared(pool__shared_pages_map(SIZE));
    assert_int_equal(open_descriptors(), before);
}

/* Without a sealed file anonymous memory does. */
static void pages_can_be_had_without_a_file(void **state)
{
    int before = open_descriptors();

    (void)state;
    fail_next(CALL_FTRUNCATE, 1, ENOSPC);
    check_shared(pool__shared_pages_map(SIZE));
    (void)fail_no_more(CALL_FTRUNCATE);
    fail_next(CALL_FCNTL, 1, EPERM);
    check_shared(pool__shared_pages_map(SIZE));
    (void)fail_no_more(CALL_FCNTL);
    assert_int_equal(open_descriptors(), before);
}

static void the_limit_of_a_files_size_is_kept_away_from(void **state)
{
    struct rlimit before, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = SIZE / 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    check_shared(pool__shared_pages_map(SIZE)); /* and no SIGXFSZ */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

#if defined(MADV_REMOVE) && !defined(POOL__PORTABLE)
/* Whole pages only: what lies beside them stays. */
static void what_is_given_back_is_zeros(void **state)
{
    size_t page = pool__page_size(), size = 4 * page;
    unsigned char *pages = pool__shared_pages_map(size);

    (void)state;
    assert_non_null(pages);
    memset(pages, 7, size);
    errno = 4321;
    pool__shared_pages_give_back(pages + page - 1, page);      /* no page whole */
    pool__shared_pages_give_back(pages + page + 1, 1);
    pool__shared_pages_give_back(pages + page, 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(pages[i], 7);
    pool__shared_pages_give_back(pages + 1, 3 * page); /* the second, the third */
    for (size_t i = 0; i < size; i++)
        assert_int_equal(pages[i], i < page || i >= 3 * page ? 7 : 0);
    assert_int_equal(errno, 4321);
    pool__shared_pages_unmap(pages, size);
}
#endif

static void no_memory_is_told(void **state)
{
    int before = open_descriptors();

    (void)state;
    fail_next(CALL_MMAP, 1, ENOMEM);
    assert_null(pool__shared_pages_map(SIZE));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fail_no_more(CALL_MMAP), 1);
    assert_int_equal(open_descriptors(), before);
    pool__shared_pages_unmap(NULL, SIZE);
}

static void unmapped_pages_are_gone(void **state)
{
    unsigned char *pages = pool__shared_pages_map(SIZE), *again;

    (void)state;
    assert_non_null(pages);
    pool__shared_pages_unmap(pages, 0); /* nothing of it */
    pages[0] = 1;
    pool__shared_pages_unmap(pages, SIZE);
    /* the system would have moved it, were anything there */
    again = mmap(pages, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_equal(again, pages);
    assert_int_equal(again[0], 0);
    munmap(again, SIZE);
}

static void wiped_pages_are_zero(void **state)
{
    size_t page = pool__page_size(), size = 4 * page, i;
    unsigned char *pages = pool__shared_pages_map(size);

    (void)state;
    assert_non_null(pages);
    memset(pages, 1, size);
    pool__shared_pages_wipe(pages + page, 2 * page);
    for (i = 0; i < size; i++)
        assert_int_equal(pages[i], i < page || i >= 3 * page);
    pages[page] = 2; /* they are there again */
    assert_int_equal(pages[page], 2);
    pool__shared_pages_unmap(pages, size);
}

#if defined(MADV_DONTFORK) && !defined(POOL__PORTABLE)
static void what_is_kept_from_children_kills_them(void **state)
{
    unsigned char *pages = pool__shared_pages_map(SIZE);
    int status = 0;
    pid_t pid;

    (void)state;
    pool__shared_pages_keep_from_children(pages, SIZE);
    pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        pages[0] = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(pages[0], 0);
    pool__shared_pages_unmap(pages, SIZE);
}
#endif

static void a_page_has_a_size(void **state)
{
    (void)state;
    assert_int_equal(pool__page_size(), sysconf(_SC_PAGESIZE));
    fail_next(CALL_SYSCONF, 1, EINVAL);
    assert_int_equal(pool__page_size(), 4096);
    assert_int_equal(fail_no_more(CALL_SYSCONF), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_shared_with_children),
        cmocka_unit_test(pages_can_be_had_without_a_file),
        cmocka_unit_test(the_limit_of_a_files_size_is_kept_away_from),
#if defined(MADV_REMOVE) && !defined(POOL__PORTABLE)
        cmocka_unit_test(what_is_given_back_is_zeros),
#endif
        cmocka_unit_test(no_memory_is_told),
        cmocka_unit_test(unmapped_pages_are_gone),
        cmocka_unit_test(wiped_pages_are_zero),
#if defined(MADV_DONTFORK) && !defined(POOL__PORTABLE)
        cmocka_unit_test(what_is_kept_from_children_kills_them),
#endif
        cmocka_unit_test(a_page_has_a_size),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
