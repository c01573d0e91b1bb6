/* How many processors: quotas as text, and trees of control groups made up in a temporary folder. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu_count.h"
#include "procpool.h"

/* ------------------------------------------------------------------ text */

static void cpu_max_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(pool__quota_from_cpu_max("max 100000\n"), 0);
    assert_int_equal(pool__quota_from_cpu_max("100000 100000\n"), 1);
    assert_int_equal(pool__quota_from_cpu_max("1000 100000"), 1);
    assert_int_equal(pool__quota_from_cpu_max("100001 100000\n"), 2);
    assert_int_equal(pool__quota_from_cpu_max("150000 100000\n"), 2);
    assert_int_equal(pool__quota_from_cpu_max("400000 100000\n"), 4);
    assert_int_equal(pool__quota_from_cpu_max("9223372036854775807 1\n"), INT_MAX);
    assert_int_equal(pool__quota_from_cpu_max("9223372036854775807 9223372036854775806\n"), 2);
}

static void cpu_max_without_sense_is_no_limit(void **state)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "max",
                                        "x",
                                        "100000",
                                        "100000 ",
                                        "100000 x",
                                        "0 100000",
                                        "-1 100000",
                                        "100000 0",
                                        "100000 -5",
                                        "99999999999999999999 100000",
                                        "100000 99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(pool__quota_from_cpu_max(texts[i]), 0);
}

static void cfs_quota_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(pool__quota_from_cfs("-1\n", "100000\n"), 0);
    assert_int_equal(pool__quota_from_cfs("250000\n", "100000\n"), 3);
    assert_int_equal(pool__quota_from_cfs("50000\n", "100000\n"), 1);
    assert_int_equal(pool__quota_from_cfs("", "100000\n"), 0);
    assert_int_equal(pool__quota_from_cfs("100000\n", ""), 0);
    assert_int_equal(pool__quota_from_cfs("100000\n", "0\n"), 0);
}

/* ------------------------------------------------------------------ trees */

static char root[PATH_MAX];

/* Writes a file of the made-up tree, with the folders above it. */
static void tree_put(const char *path, const char *text)
{
    char full[2 * PATH_MAX];
    FILE *file;

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        assert_true(mkdir(full, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int tree_begin(void **state)
{
    const char *folder = getenv("TMPDIR");

    (void)state;
    snprintf(root, sizeof root, "%s/cpu_count.XXXXXX", folder != NULL ? folder : "/tmp");
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

static void no_groups_are_no_limit(void **state)
{
    (void)state;
    assert_int_equal(pool__cpu_quota(root), 0);
    tree_put("/proc/self/cgroup", "0::/a/b\n");
    assert_int_equal(pool__cpu_quota(root), 0);
}

static void version_2_own_group(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/user.slice/job.scope\n");
    tree_put("/sys/fs/cgroup/user.slice/job.scope/cpu.max", "250000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 3);
}

static void version_2_smallest_of_its_parents(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/a/b/c\n");
    tree_put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    tree_put("/sys/fs/cgroup/a/b/cpu.max", "700000 100000\n");
    tree_put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 2);
    tree_put("/sys/fs/cgroup/a/b/c/cpu.max", "50000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 1);
}

/*
 * In a container the path is "/", and the tree's top is the container's own group; or the path is the machine's, and
 * not to be found.
 */
static void version_2_in_a_container(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/\n");
    tree_put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 3);
    tree_put("/proc/self/cgroup", "0::/docker/0123456789abcdef\n");
    assert_int_equal(pool__cpu_quota(root), 3);
    tree_put("/proc/self/cgroup", "0::/../../elsewhere\n");
    assert_int_equal(pool__cpu_quota(root), 3);
}

static void the_walk_ends_at_the_mount_point(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "0::/a\n");
    tree_put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    tree_put("/sys/fs/cpu.max", "100000 100000\n");
    tree_put("/cpu.max", "100000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 3);
}

static void version_1_of_one_controller(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "4:memory:/m\n3:cpuset:/job\n2:cpuacct:/job\n1:cpu:/job/step\n");
    tree_put("/sys/fs/cgroup/cpu/job/step/cpu.cfs_quota_us", "-1\n");
    tree_put("/sys/fs/cgroup/cpu/job/step/cpu.cfs_period_us", "100000\n");
    assert_int_equal(pool__cpu_quota(root), 0);
    tree_put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "150000\n");
    tree_put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "50000\n");
    assert_int_equal(pool__cpu_quota(root), 3);
    tree_put("/sys/fs/cgroup/cpuset/job/cpu.cfs_quota_us", "50000\n");
    tree_put("/sys/fs/cgroup/cpuset/job/cpu.cfs_period_us", "50000\n");
    assert_int_equal(pool__cpu_quota(root), 3);
}

static void version_1_of_joined_controllers(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "5:cpu,cpuacct:/docker/0123\n1:name=systemd:/x\n");
    tree_put("/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_quota_us", "420000\n");
    tree_put("/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_period_us", "100000\n");
    assert_int_equal(pool__cpu_quota(root), 5);
    tree_put("/proc/self/cgroup", "5:cpuacct,cpu:/docker/not-seen-in-here\n");
    tree_put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    tree_put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(pool__cpu_quota(root), 1);
}

static void both_versions_at_once(void **state)
{
    (void)state;
    tree_put("/proc/self/cgroup", "2:cpu:/v1\n0::/v2\n");
    tree_put("/sys/fs/cgroup/cpu/v1/cpu.cfs_quota_us", "400000\n");
    tree_put("/sys/fs/cgroup/cpu/v1/cpu.cfs_period_us", "100000\n");
    tree_put("/sys/fs/cgroup/v2/cpu.max", "300000 100000\n");
    assert_int_equal(pool__cpu_quota(root), 3);
}

static void lines_without_sense_are_passed_over(void **state)
{
    char text[6000];
    int at;

    (void)state;
    at = snprintf(text, sizeof text, "\n:\nx\n1:cpu\n::\n0::relative\n0::");
    memset(text + at, '/', 5000);
    strcpy(text + at + 5000, "\n0::/good\n");
    tree_put("/proc/self/cgroup", text);
    tree_put("/sys/fs/cgroup/good/cpu.max", "300000 100000");
    assert_int_equal(pool__cpu_quota(root), 3);
}

/* ------------------------------------------------------------------ this machine */

static void the_count_is_the_smaller_of_both(void **state)
{
    unsigned mask = pool__cpu_affinity(), quota = pool__cpu_quota("");

    (void)state;
    assert_true(mask >= 1);
    errno = EILSEQ;
    assert_int_equal(pool_cpu_count(), quota > 0 && quota < mask ? quota : mask);
    assert_int_equal(errno, EILSEQ);
}

#define IN_A_TREE(test) cmocka_unit_test_setup_teardown(test, tree_begin, tree_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_max_is_rounded_up),
        cmocka_unit_test(cpu_max_without_sense_is_no_limit),
        cmocka_unit_test(cfs_quota_is_rounded_up),
        IN_A_TREE(no_groups_are_no_limit),
        IN_A_TREE(version_2_own_group),
        IN_A_TREE(version_2_smallest_of_its_parents),
        IN_A_TREE(version_2_in_a_container),
        IN_A_TREE(the_walk_ends_at_the_mount_point),
        IN_A_TREE(version_1_of_one_controller),
        IN_A_TREE(version_1_of_joined_controllers),
        IN_A_TREE(both_versions_at_once),
        IN_A_TREE(lines_without_sense_are_passed_over),
        cmocka_unit_test(the_count_is_the_smaller_of_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
