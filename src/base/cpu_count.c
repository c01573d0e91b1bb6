#define _GNU_SOURCE /* sched_getaffinity, CPU_ALLOC; sysconf(_SC_NPROCESSORS_ONLN) everywhere */
#include "base/cpu_count.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__) && !defined(POOL__PORTABLE)
#define HAVE_AFFINITY 1
#else
#define HAVE_AFFINITY 0
#endif

#define PATH_ROOM (2 * PATH_MAX)

/* ------------------------------------------------------------------ the mask */

#if HAVE_AFFINITY
/*
 * 0: the mask cannot be read. The kernel refuses a mask that is smaller than its own, so it grows until it is taken.
 */
static unsigned mask_count(void)
{
    for (size_t cpus = 1024; cpus <= 1024 * 1024; cpus *= 2) {
        size_t size = CPU_ALLOC_SIZE(cpus);
        cpu_set_t *set = CPU_ALLOC(cpus);
        int got, count;

        if (set == NULL)
            return 0;
        CPU_ZERO_S(size, set);
        got = sched_getaffinity(0, size, set);
        count = got == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (got == 0)
            return (unsigned)count;
        if (errno != EINVAL)
            return 0;
    }
    return 0;
}
#else
static unsigned mask_count(void)
{
    return 0;
}
#endif

unsigned pool__cpu_affinity(void)
{
    unsigned count = mask_count();
    long online;

    if (count > 0)
        return count;
    online = sysconf(_SC_NPROCESSORS_ONLN);
    if (online < 1)
        return 1;
    return online > INT_MAX ? INT_MAX : (unsigned)online;
}

/* ------------------------------------------------------------------ quotas, as text */

/* A whole number at *text, which then points behind it. False: there is none, or it is none that counts. */
static bool number_read(const char **text, long long *number)
{
    char *end;

    errno = 0;
    *number = strtoll(*text, &end, 10);
    if (end == *text || errno == ERANGE)
        return false;
    *text = end;
    return true;
}

static unsigned processors(long long quota, long long period)
{
    long long whole;

    if (quota <= 0 || period <= 0)
        return 0;
    whole = quota / period + (quota % period != 0);
    return whole > INT_MAX ? INT_MAX : (unsigned)whole;
}

unsigned pool__quota_from_cpu_max(const char *text)
{
    long long quota, period;

    if (!number_read(&text, &quota)) /* "max" */
        return 0;
    if (!number_read(&text, &period))
        return 0;
    return processors(quota, period);
}

unsigned pool__quota_from_cfs(const char *quota, const char *period)
{
    long long quota_us, period_us;

    if (!number_read(&quota, &quota_us) || !number_read(&period, &period_us))
        return 0;
    return processors(quota_us, period_us);
}

/* ------------------------------------------------------------------ control groups */

struct group {
    char path[PATH_ROOM]; /* of its directory */
    size_t top;           /* the length of the hierarchy's mount point within it: the walk up ends there */
};

static unsigned smaller(unsigned a, unsigned b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static FILE *file_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (file == NULL && fd >= 0)
        close(fd);
    return file;
}

/* The first line of a small file of the group; "" where there is no such file. */
static void group_read(const struct group *group, const char *name, char *text, size_t room)
{
    char path[PATH_ROOM + 32];
    FILE *file;

    text[0] = '\0';
    snprintf(path, sizeof path, "%s/%s", group->path, name);
    file = file_open(path);
    if (file == NULL)
        return;
    if (fgets(text, (int)room, file) == NULL)
        text[0] = '\0';
    fclose(file);
}

static unsigned group_quota_v2(const struct group *group)
{
    char text[64];

    group_read(group, "cpu.max", text, sizeof text);
    return pool__quota_from_cpu_max(text);
}

static unsigned group_quota_v1(const struct group *group)
{
    char quota[64], period[64];

    group_read(group, "cpu.cfs_quota_us", quota, sizeof quota);
    group_read(group, "cpu.cfs_period_us", period, sizeof period);
    return pool__quota_from_cfs(quota, period);
}

/*
 * From the group up to the top of its hierarchy. Directories that are not there (a container sees the tree from its
 * own place) say nothing.
 */
static unsigned group_walk(struct group *group, unsigned (*quota)(const struct group *group))
{
    unsigned least = 0;

    for (;;) {
        char *slash;

        least = smaller(least, quota(group));
        slash = strrchr(group->path, '/');
        if (slash == NULL || (size_t)(slash - group->path) < group->top)
            return least;
        *slash = '\0';
    }
}

/*
 * False: the names are too long to be real. A path with "..", of a process outside its own namespace's top, cannot
 * be followed: the top alone is asked.
 */
static bool group_at(struct group *group, const char *root, const char *mount, const char *path)
{
    int top = snprintf(group->path, sizeof group->path, "%s/sys/fs/cgroup%s", root, mount);
    int more;

    if (top < 0 || (size_t)top >= sizeof group->path)
        return false;
    group->top = (size_t)top;
    if (path[0] != '/' || path[1] == '\0' || strstr(path, "/..") != NULL)
        return true;
    more = snprintf(group->path + top, sizeof group->path - (size_t)top, "%s", path);
    return more >= 0 && (size_t)more < sizeof group->path - (size_t)top;
}

static unsigned group_quota(const char *root, const char *mount, const char *path,
                            unsigned (*quota)(const struct group *group))
{
    struct group group;

    return group_at(&group, root, mount, path) ? group_walk(&group, quota) : 0;
}

/* Whether "cpu" is one of the names in a list with commas. */
static bool names_cpu(const char *controllers)
{
    for (const char *name = controllers; name != NULL; name = strchr(name, ',')) {
        name += *name == ',';
        if (strncmp(name, "cpu", 3) == 0 && (name[3] == '\0' || name[3] == ','))
            return true;
    }
    return false;
}

/*
 * One line of /proc/self/cgroup: "number:controllers:path". Version 2 has no controllers; of version 1's lines only
 * that with "cpu" counts.
 */
static unsigned line_quota(const char *root, char *line)
{
    char *controllers = strchr(line, ':'), *path;
    char mount[256];
    unsigned joined, alone;

    line[strcspn(line, "\n")] = '\0';
    path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL)
        return 0;
    *controllers++ = '\0';
    *path++ = '\0';
    if (*controllers == '\0')
        return group_quota(root, "", path, group_quota_v2);
    if (!names_cpu(controllers))
        return 0;
    /*
     * The controllers that share a hierarchy name its directory ("/cpu,cpuacct"); "/cpu" is most often a link to it.
     */
    snprintf(mount, sizeof mount, "/%s", controllers);
    joined = group_quota(root, mount, path, group_quota_v1);
    alone = group_quota(root, "/cpu", path, group_quota_v1);
    return smaller(joined, alone);
}

unsigned pool__cpu_quota(const char *root)
{
    char path[PATH_ROOM], *line = NULL;
    size_t room = 0;
    unsigned least = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    file = file_open(path);
    if (file == NULL)
        return 0;
    while (getline(&line, &room, file) > 0)
        least = smaller(least, line_quota(root, line));
    free(line);
    fclose(file);
    return least;
}

unsigned pool__cpu_count(void)
{
    int saved = errno;
    unsigned mask = pool__cpu_affinity(), quota = pool__cpu_quota("");

    errno = saved;
    return quota > 0 && quota < mask ? quota : mask;
}
