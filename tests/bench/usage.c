#define _GNU_SOURCE /* gettid */
#include "usage.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

static double seconds_of(clockid_t clock)
{
    struct timespec time;

    if (clock_gettime(clock, &time) != 0)
        give_up("no processor time of a process: %s", strerror(errno));
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double usage_cpu_seconds(const pid_t *pids, size_t count)
{
    double sum = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    clockid_t clock;

    for (size_t i = 0; i < count; i++) {
        if (clock_getcpuclockid(pids[i], &clock) != 0)
            give_up("no processor time of process %ld", (long)pids[i]);
        sum += seconds_of(clock);
    }
    return sum;
}

/* The sum of the numbers after `name` at the beginnings of lines; below 0 where there is none. */
static double sum_lines(const char *path, const char *name)
{
    char line[256];
    double sum = 0, number;
    bool found = false;
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), " %lf", &number) == 1) {
            sum += number;
            found = true;
        }
    if (file != NULL)
        fclose(file);
    return found ? sum : -1;
}

double usage_resident(void)
{
    double kib = sum_lines("/proc/self/status", "VmRSS:");

    if (kib < 0)
        give_up("/proc/self/status does not tell VmRSS");
    return kib * 1024;
}

double usage_private(pid_t pid)
{
    char path[64];
    double clean, dirty;

    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)pid);
    clean = sum_lines(path, "Private_Clean:");
    dirty = sum_lines(path, "Private_Dirty:");
    if (clean < 0 || dirty < 0)
        give_up("%s does not tell private memory", path);
    return (clean + dirty) * 1024;
}

double usage_available(void)
{
    double kib = sum_lines("/proc/meminfo", "MemAvailable:");

    return kib < 0 ? 0 : kib * 1024;
}

pid_t usage_parent(pid_t pid)
{
    char path[64];
    double parent;

    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    parent = sum_lines(path, "PPid:");
    return parent < 0 ? 0 : (pid_t)parent;
}

static void add_thread(struct usage_threads *sum, const char *folder, const char *thread)
{
    char path[600];
    double voluntary, other, time = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s/status", folder, thread);
    voluntary = sum_lines(path, "voluntary_ctxt_switches:");
    other = sum_lines(path, "nonvoluntary_ctxt_switches:");
    if (voluntary < 0 || other < 0)
        give_up("%s does not tell context switches", path);
    sum->switches += voluntary + other;
    snprintf(path, sizeof path, "%s/%s/schedstat", folder, thread);
    file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%lf", &time) != 1)
        give_up("%s does not tell processor time", path);
    fclose(file);
    sum->cpu_ns += time;
}

struct usage_threads usage_threads(pid_t pid)
{
    struct usage_threads sum = {0, 0};
    char folder[64], own[32];
    struct dirent *entry;
    DIR *directory;

    snprintf(folder, sizeof folder, "/proc/%ld/task", (long)pid);
    snprintf(own, sizeof own, "%ld", (long)gettid());
    directory = opendir(folder);
    if (directory == NULL)
        give_up("%s: %s", folder, strerror(errno));
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0)
            add_thread(&sum, folder, entry->d_name);
    closedir(directory);
    return sum;
}
