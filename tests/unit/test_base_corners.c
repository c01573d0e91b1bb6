/* What systems seldom do to the lowest layer: odd masks, empty files, names without end, characters that cannot be written. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <wchar.h>

#include "base/cpu_count.h"
#include "base/death_bell.h"
#include "base/error.h"
#include "base/list.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
static int masks_refused, mask_error;

/* Stands in for the C library's. The mask has three processors, if it is large enough. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid;
    if (masks_refused > 0) {
        masks_refused--;
        errno = mask_error;
        return -1;
    }
    CPU_ZERO_S(size, set);
    CPU_SET_S(0, size, set);
    CPU_SET_S(5, size, set);
    CPU_SET_S(size * 8 - 1, size, set);
    return 0;
}

static void the_mask_grows_until_it_is_taken(void **state)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    (void)state;
    assert_int_equal(pool__cpu_affinity(), 3);
    masks_refused = 4;
    mask_error = EINVAL;
    assert_int_equal(pool__cpu_affinity(), 3);
    masks_refused = 1000;
    assert_int_equal(pool__cpu_affinity(), online);
    assert_true(masks_refused > 900); /* there is an end to it */
    masks_refused = 1;
    mask_error = EPERM;
    assert_int_equal(pool__cpu_affinity(), online);
    assert_int_equal(masks_refused, 0);
}
#endif

static char root[64];

static void put(const char *path, const char *text)
{
    char full[256];
    FILE *file;

    snprintf(full, sizeof full, "%s%s", root, path);
    file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void folder(const char *path)
{
    char full[256];

    snprintf(full, sizeof full, "%s%s", root, path);
    assert_int_equal(mkdir(full, 0700), 0);
}

/* A file that is there and says nothing is no limit; and none that cannot be read. */
static void quotas_that_cannot_be_read_are_none(void **state)
{
    static char endless[3 * PATH_MAX];
    char command[128];

    (void)state;
    strcpy(root, "/tmp/procpool-corners.XXXXXX");
    assert_non_null(mkdtemp(root));
    folder("/proc");
    folder("/proc/self");
    folder("/sys");
    folder("/sys/fs");
    folder("/sys/fs/cgroup");
    folder("/sys/fs/cgroup/a");
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/cpu.max", "");
    assert_int_equal(pool__cpu_quota(root), 0);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n"); /* of the whole tree */
    assert_int_equal(pool__cpu_quota(root), 2);
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 1);
    if (CAN_FAIL_MEMORY) {
        int next = dup(0);

        close(next);
        fail_next(CALL_MEMORY, 1, ENOMEM); /* a stream wants memory */
        assert_int_equal(pool__cpu_quota(root), 0);
        assert_int_equal(fail_no_more(CALL_MEMORY), 1);
        assert_int_equal(dup(0), next);
        close(next);
    }
    memset(endless, 'x', sizeof endless - 1);
    put("/proc/self/cgroup", "0::/");
    {
        char path[128];
        FILE *file;

        snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
        file = fopen(path, "a");
        assert_non_null(file);
        fputs(endless, file);
        fclose(file);
    }
    assert_int_equal(pool__cpu_quota(root), 0); /* no path is so long */
    assert_int_equal(pool__cpu_quota(endless), 0);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static void words_that_cannot_be_written_are_the_bare_ones(void **state)
{
    static const wchar_t odd[] = {0x20ac, 0}; /* no character of the C locale */
    static char endless[2 * POOL__ERROR_ROOM];

    (void)state;
    assert_int_equal(pool__fail(POOL_INVALID, "a name: %ls", odd), POOL_INVALID);
    assert_string_equal(pool_error(), "a name: %ls");
    memset(endless, 'n', sizeof endless - 1);
    pool__fail(POOL_INVALID, "%s", "");
    assert_int_equal(pool__no_object("a_call", endless), POOL_INVALID);
    assert_true(strlen(pool_error()) < POOL__ERROR_ROOM);
    assert_int_equal(strncmp(pool_error(), "a_call: nnn", 11), 0);
    memset(endless, 0x80, sizeof endless - 1); /* parts of characters that nowhere begin */
    pool__fail(POOL_INVALID, "%s", endless);
    assert_int_equal(strlen(pool_error()), POOL__ERROR_ROOM - 1);
}

static void without_descriptors_there_is_no_bell(void **state)
{
    struct pool__death_bell bell;
    struct rlimit before, low;
    int next = dup(0);

    (void)state;
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(pool__death_bell_open(&bell), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(pool__death_bell_open(&bell), 0);
    pool__death_bell_quiet(&bell); /* never blocks */
    pool__death_bell_close(&bell);
    assert_int_equal(bell.listen, -1);
    assert_int_equal(dup(0), next);
    close(next);
}

static void a_link_in_no_list_says_so(void **state)
{
    struct pool__link list, link = {NULL, NULL};

    (void)state;
    pool__list_init(&list);
    assert_false(pool__is_linked(&link));
    assert_false(pool__is_linked(&list)); /* alone with itself */
    pool__list_push(&list, &link);
    assert_true(pool__is_linked(&link) && pool__is_linked(&list));
    pool__list_remove(&link);
    pool__list_remove(&link);
    pool__list_remove(&list);
    assert_true(pool__list_empty(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(__linux__) && !defined(POOL__PORTABLE)
        cmocka_unit_test(the_mask_grows_until_it_is_taken),
#endif
        cmocka_unit_test(quotas_that_cannot_be_read_are_none),
        cmocka_unit_test(words_that_cannot_be_written_are_the_bare_ones),
        cmocka_unit_test(without_descriptors_there_is_no_bell),
        cmocka_unit_test(a_link_in_no_list_says_so),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
