/* How often the out-of-memory killer has struck: trees of control groups made up in a temporary folder. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/oom_counter.h"

static char root[256];

#if defined(__linux__) && !defined(POOL__PORTABLE)

static void tree_put(const char *path, const char *text)
{
    char whole[512];
    FILE *file;

    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int tree_begin(void **state)
{
    const char *folder = getenv("TMPDIR");

    (void)state;
    snprintf(root, sizeof root, "%s/oom_counter.XXXXXX", folder != NULL ? folder : "/tmp");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static int tree_end(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void no_groups_no_counter(void **state)
{
    (void)state;
    assert_int_equal(pool__oom_kills(root, NULL), -1);
    tree_put("/proc/self/cgroup", "");
    assert_int_equal(pool__oom_kills(root, NULL), -1);
    tree_put("/proc/self/cgroup", "no line of that file\n0:\n");
    assert_int_equal(pool__oom_kills(root, NULL), -1);
    tree_put("/proc/self/cgroup", "0::/a/b\n");
    errno = 77;
    assert_int_equal(pool__oom_kills(root, NULL), -1);
    assert_int_equal(errno, 77);
}

static void version_2(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/a/b\n");
    tree_put("/sys/fs/cgroup/a/b/memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
    tree_put("/sys/fs/cgroup/memory.events", "oom_kill 99\n");
    assert_int_equal(pool__oom_kills(root, NULL), 5);
    tree_put("/sys/fs/cgroup/a/b/memory.events", "oom_kill 0\n");
    assert_int_equal(pool__oom_kills(root, NULL), 0);
}

static void version_2_in_a_container(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/\n");
    tree_put("/sys/fs/cgroup/memory.events", "oom_kill 7\n");
    assert_int_equal(pool__oom_kills(root, NULL), 7);
    tree_put("/proc/self/cgroup", "0::/as/seen/outside\n");
    assert_int_equal(pool__oom_kills(root, NULL), 7);
    tree_put("/proc/self/cgroup", "0::/../../elsewhere\n");
    assert_int_equal(pool__oom_kills(root, NULL), 7);
}

static void version_1(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "9:name=systemd:/x\n4:memory:/jobs/17\n3:cpuset:/\n0::/\n");
    tree_put("/sys/fs/cgroup/memory/jobs/17/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    assert_int_equal(pool__oom_kills(root, NULL), 3);
    tree_put("/proc/self/cgroup", "4:cpu,memory:/jobs/17\n");
    assert_int_equal(pool__oom_kills(root, NULL), 3);
    tree_put("/proc/self/cgroup", "4:memorysticks,cpu:/jobs/17\n");
    assert_int_equal(pool__oom_kills(root, NULL), -1);
}

static void a_file_without_sense(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/\n");
    tree_put("/sys/fs/cgroup/memory.events", "oom_kill\noom_kill x\noom 3\n");
    assert_int_equal(pool__oom_kills(root, NULL), -1);
}

static void a_path_too_long(void **state)
{
    char line[4096];

    (void)state;
    memset(line, 'a', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    memcpy(line, "0::/", 4);
    tree_put("/proc/self/cgroup", line);
    tree_put("/sys/fs/cgroup/memory.events", "oom_kill 8\n");
    assert_int_equal(pool__oom_kills(root, NULL), 8);
}

static void the_system_itself(void **state)
{
    (void)state;
    assert_true(pool__oom_kills("", NULL) >= -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_groups_no_counter, tree_begin, tree_end),
        cmocka_unit_test_setup_teardown(version_2, tree_begin, tree_end),
        cmocka_unit_test_setup_teardown(version_2_in_a_container, tree_begin, tree_end),
        cmocka_unit_test_setup_teardown(version_1, tree_begin, tree_end),
        cmocka_unit_test_setup_teardown(a_file_without_sense, tree_begin, tree_end),
        cmocka_unit_test_setup_teardown(a_path_too_long, tree_begin, tree_end),
        cmocka_unit_test(the_system_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void there_is_no_counter(void **state)
{
    (void)state;
    assert_int_equal(pool__oom_kills(root, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_is_no_counter)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
