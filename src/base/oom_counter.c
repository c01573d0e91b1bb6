#include "base/oom_counter.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"

#define PATH_ROOM 1024 /* a longer path is not followed */

/* The number in the line "oom_kill 3" of a file; -1 where there is no such line. */
static int64_t read_counter(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[4096], *line = text;
    long long kills = -1;
    ssize_t got;

    if (fd < 0)
        return -1;
    got = read(fd, text, sizeof text - 1);
    pool__close(&fd);
    text[got > 0 ? got : 0] = '\0';
    while (line != NULL && sscanf(line, "oom_kill %lld", &kills) != 1) {
        kills = -1;
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return kills;
}

/*
 * The group's own directory, else the top of what can be seen: in a container that is the group, though it is named
 * as from outside.
 */
static int64_t counter_of(char path[PATH_ROOM], const char *root, const char *mount, const char *group,
                          const char *file)
{
    int64_t kills = -1;

    if (strstr(group, "/..") == NULL &&
        (size_t)snprintf(path, PATH_ROOM, "%s%s%s/%s", root, mount, group, file) < PATH_ROOM)
        kills = read_counter(path);
    if (kills < 0 && (size_t)snprintf(path, PATH_ROOM, "%s%s/%s", root, mount, file) < PATH_ROOM)
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
static int64_t counter_of_line(char path[PATH_ROOM], const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');

    if (group == NULL)
        return -1;
    line[strcspn(line, "\n")] = '\0';
    *controllers++ = '\0';
    *group++ = '\0';
    if (*controllers == '\0')
        return counter_of(path, root, "/sys/fs/cgroup", group, "memory.events");
    if (names_memory(controllers))
        return counter_of(path, root, "/sys/fs/cgroup/memory", group, "memory.oom_control");
    return -1;
}

static int64_t find_counter(char path[PATH_ROOM], const char *root)
{
    char *line = NULL;
    int64_t kills = -1;
    size_t room = 0;
    FILE *file = NULL;

    if ((size_t)snprintf(path, PATH_ROOM, "%s/proc/self/cgroup", root) < PATH_ROOM)
        file = fopen(path, "re");
    while (file != NULL && kills < 0 && getline(&line, &room, file) > 0)
        kills = counter_of_line(path, root, line);
    free(line);
    if (file != NULL)
        fclose(file);
    return kills;
}

int64_t pool__oom_kills(const char *root, char **path)
{
    char found[PATH_ROOM];
    int kept = errno;
    int64_t kills;

    if (path != NULL && *path != NULL) {
        kills = read_counter(*path);
    } else {
        kills = find_counter(found, root);
        if (path != NULL && kills >= 0)
            *path = strdup(found);
    }
    errno = kept;
    return kills;
}

#else

int64_t pool__oom_kills(const char *root, char **path)
{
    (void)root;
    (void)path;
    return -1;
}

#endif
