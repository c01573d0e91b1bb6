#include "base/oom_counter.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_ROOM 1024 /* a longer path is not followed */

/* The number in the line "oom_kill 3" of a file; -1 where there is no such line. */
static int64_t read_counter(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[128];
    long long kills = -1;

    if (file == NULL)
        return -1;
    while (kills < 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "oom_kill %lld", &kills) != 1)
            kills = -1;
    fclose(file);
    return kills;
}

/*
 * The group's own directory, else the top of what can be seen: in a container that is the group, though it is named
 * as from outside.
 */
static int64_t counter_of(const char *root, const char *mount, const char *group, const char *file)
{
    char path[PATH_ROOM];
    int64_t kills = -1;

    if (strstr(group, "/..") == NULL &&
        (size_t)snprintf(path, sizeof path, "%s%s%s/%s", root, mount, group, file) < sizeof path)
        kills = read_counter(path);
    if (kills < 0 && (size_t)snprintf(path, sizeof path, "%s%s/%s", root, mount, file) < sizeof path)
        kills = read_counter(path);
    return kills;
}

/* Whether "memory" is one of the names in a list with commas. */
static bool names_memory(const char *controllers)
{
    size_t length = strcspn(controllers, ",");

    while (length != 6 || strncmp(controllers, "memory", 6) != 0) {
        if (controllers[length] == '\0')
            return false;
        controllers += length + 1;
        length = strcspn(controllers, ",");
    }
    return true;
}

/* One line of /proc/self/cgroup: "number:controllers:path". Version 2 has no controllers. */
static int64_t counter_of_line(const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');

    if (group == NULL)
        return -1;
    line[strcspn(line, "\n")] = '\0';
    *controllers++ = '\0';
    *group++ = '\0';
    if (*controllers == '\0')
        return counter_of(root, "/sys/fs/cgroup", group, "memory.events");
    if (names_memory(controllers))
        return counter_of(root, "/sys/fs/cgroup/memory", group, "memory.oom_control");
    return -1;
}

int64_t pool__oom_kills(const char *root)
{
    char path[PATH_ROOM], *line = NULL;
    int64_t kills = -1;
    int kept = errno;
    size_t room = 0;
    FILE *file = NULL;

    if ((size_t)snprintf(path, sizeof path, "%s/proc/self/cgroup", root) < sizeof path)
        file = fopen(path, "re");
    while (file != NULL && kills < 0 && getline(&line, &room, file) > 0)
        kills = counter_of_line(root, line);
    free(line);
    if (file != NULL)
        fclose(file);
    errno = kept;
    return kills;
}

#else

int64_t pool__oom_kills(const char *root)
{
    (void)root;
    return -1;
}

#endif
