#include "family.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gate.h"
#include "watchdog.h"

bool family_known(void)
{
    return access("/proc/self/stat", R_OK) == 0;
}

bool family_look(pid_t pid, struct family_member *member)
{
    char path[64], text[1024];
    long parent, group, session;
    unsigned long long user, system;
    char state;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    /* the second field is the program's name in parentheses, and may hold anything, parentheses too */
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %c %ld %ld %ld %*d %*d %*u %*u %*u %*u %*u %llu %llu", &state, &parent, &group,
                        &session, &user, &system) != 6)
        return false;
    *member = (struct family_member){ .pid = pid, .parent = (pid_t)parent, .group = (pid_t)group, .session = (pid_t)session,
                                      .state = state, .ticks = user + system };
    return true;
}

bool family_lives(pid_t pid)
{
    struct family_member member;

    return family_look(pid, &member) && member.state != 'Z' && member.state != 'X';
}

pid_t family_parent(pid_t pid)
{
    struct family_member member;

    return family_look(pid, &member) ? member.parent : 0;
}

bool family_gone(pid_t pid)
{
    return family_all_gone(&pid, 1);
}

bool family_all_gone(const pid_t *pids, size_t count)
{
    int64_t end = time_now_ms() + FAMILY_MS * time_scale();

    for (size_t i = 0; i < count; i++) {
        while (pids[i] > 0 && family_lives(pids[i])) {
            if (time_now_ms() >= end)
                return false;
            pause_briefly();
        }
    }
    return true;
}
