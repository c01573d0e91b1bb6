#include "audit.h"
#include "gate.h"
#include "watchdog.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTOR_ROOM 1024
#define PROCESS_ROOM 256
#define TARGET_ROOM 96

/* How long what is ending may take to be gone: a joined thread leaves /proc a moment after pthread_join(), an orphan
 * when init has reaped it. */
#define SETTLE_MS 1000

struct descriptor {
    int  number;
    char target[TARGET_ROOM];
};

struct inventory {
    struct descriptor descriptors[DESCRIPTOR_ROOM];
    int    descriptor_count;
    int    threads;
    pid_t  processes[PROCESS_ROOM];
    size_t process_count;
};

static struct inventory before, after;

/* The number that a directory's entry is named by, or -1. */
static long entry_number(const struct dirent *entry)
{
    char *end;
    long number = strtol(entry->d_name, &end, 10);
    return *end || end == entry->d_name ? -1 : number;
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry_number(entry) >= 0;
    closedir(directory);
    return count;
}

int audit_threads(void)
{
    return count_entries("/proc/self/task");
}

int audit_descriptors(void)
{
    int count = count_entries("/proc/self/fd");
    return count < 0 ? count : count - 1; /* the directory itself was open */
}

static void list_descriptors(struct inventory *inventory)
{
    inventory->descriptor_count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        long number = entry_number(entry);
        if (number < 0 || number == dirfd(directory) || inventory->descriptor_count == DESCRIPTOR_ROOM)
            continue;
        struct descriptor *one = &inventory->descriptors[inventory->descriptor_count++];
        one->number = (int)number;
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, one->target, sizeof one->target - 1);
        one->target[length < 0 ? 0 : length] = '\0';
    }
    closedir(directory);
}

/* Device and inode of the ground's mapping as /proc/PID/maps writes them: "00:01 12345 ". */
static bool ground_mark(char *mark, size_t size)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        char device[16], inode[32];
        if (sscanf(line, "%llx-%llx %*s %*s %15s %31s", &from, &to, device, inode) != 4)
            continue;
        unsigned long long at = (unsigned long long)(uintptr_t)ground;
        if (at >= from && at < to) {
            snprintf(mark, size, " %s %s ", device, inode);
            found = true;
        }
    }
    fclose(maps);
    return found;
}

static bool has_mark(long pid, const char *mark)
{
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof path, "/proc/%ld/exe", pid);
    if (stat("/proc/self/exe", &own) != 0 || stat(path, &other) != 0
        || own.st_ino != other.st_ino || own.st_dev != other.st_dev)
        return false;
    snprintf(path, sizeof path, "/proc/%ld/maps", pid);
    FILE *maps = fopen(path, "r");
    if (!maps)
        return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps))
        found = strstr(line, mark);
    fclose(maps);
    return found;
}

size_t audit_processes(pid_t *pids, size_t room)
{
    char mark[64];
    DIR *directory = opendir("/proc");
    if (!directory)
        return 0;
    size_t count = 0;
    if (ground && ground_mark(mark, sizeof mark)) {
        for (struct dirent *entry; (entry = readdir(directory));) {
            long pid = entry_number(entry);
            if (pid <= 0 || pid == (long)getpid() || !has_mark(pid, mark))
                continue;
            if (count < room)
                pids[count] = (pid_t)pid;
            count++;
        }
    }
    closedir(directory);
    return count;
}

bool audit_wait_alone(int limit_ms)
{
    int64_t end = time_now_ms() + (int64_t)limit_ms * time_scale();
    while (audit_processes(NULL, 0) > 0) {
        if (time_now_ms() > end)
            return false;
        pause_briefly();
    }
    return true;
}

static void take_inventory(struct inventory *inventory)
{
    list_descriptors(inventory);
    inventory->threads = audit_threads();
    inventory->process_count = audit_processes(inventory->processes, PROCESS_ROOM);
    if (inventory->process_count > PROCESS_ROOM)
        inventory->process_count = PROCESS_ROOM;
}

static bool has_descriptor(const struct inventory *inventory, const struct descriptor *wanted)
{
    for (int i = 0; i < inventory->descriptor_count; i++) {
        const struct descriptor *one = &inventory->descriptors[i];
        if (one->number == wanted->number && strcmp(one->target, wanted->target) == 0)
            return true;
    }
    return false;
}

static bool has_process(const struct inventory *inventory, pid_t pid)
{
    for (size_t i = 0; i < inventory->process_count; i++)
        if (inventory->processes[i] == pid)
            return true;
    return false;
}

/* The descriptors that `one` has and `other` has not. */
static int compare_descriptors(const struct inventory *one, const struct inventory *other, const char *what, FILE *out)
{
    int count = 0;
    for (int i = 0; i < one->descriptor_count; i++) {
        if (has_descriptor(other, &one->descriptors[i]))
            continue;
        count++;
        if (out)
            fprintf(out, "audit: descriptor %d (%s) %s\n", one->descriptors[i].number, one->descriptors[i].target,
                    what);
    }
    return count;
}

/* A child of this process, ended or not: the library makes none, and a test reaps its own. */
static int check_children(FILE *out)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == ECHILD)
        return 0;
    if (out && pid > 0)
        fprintf(out, "audit: child %ld had ended and was not reaped\n", (long)pid);
    else if (out)
        fprintf(out, "audit: a child of this process still runs\n");
    return 1;
}

/* How many things are not as they were; says which where `out` is given. */
static int compare(FILE *out)
{
    int count = compare_descriptors(&after, &before, "was left open", out);
    count += compare_descriptors(&before, &after, "was closed", out);
    if (after.threads != before.threads) {
        count++;
        if (out)
            fprintf(out, "audit: %d threads, %d before\n", after.threads, before.threads);
    }
    for (size_t i = 0; i < after.process_count; i++) {
        if (has_process(&before, after.processes[i]))
            continue;
        count++;
        if (out)
            fprintf(out, "audit: process %ld was left behind\n", (long)after.processes[i]);
    }
    return count;
}

/* Where /proc has the calling thread: "/proc/PID/task/TID"; empty where it does not say. */
static void *find_own_entry(void *entry)
{
    static const char root[] = "/proc/";
    char *path = entry;
    ssize_t length = readlink("/proc/thread-self", path + sizeof root - 1, TARGET_ROOM - sizeof root);
    memcpy(path, root, sizeof root - 1);
    path[length < 0 ? 0 : sizeof root - 1 + (size_t)length] = '\0';
    return NULL;
}

/*
 * A sanitizer starts a thread of its own beside the program's first one: before anything is counted. That first one is
 * joined, and counted still until it has left /proc: it must not be part of what was there before the test.
 */
static void start_the_sanitizers_thread(void)
{
    static bool started;
    char entry[TARGET_ROOM] = "";
    pthread_t thread;
    if (started || pthread_create(&thread, NULL, find_own_entry, entry) != 0)
        return;
    started = true;
    pthread_join(thread, NULL);
    for (int64_t end = time_now_ms() + SETTLE_MS * time_scale(); time_now_ms() < end && access(entry, F_OK) == 0;)
        pause_briefly();
}

int audit_begin(void **state)
{
    const char *test = *state;
    start_the_sanitizers_thread();
    watchdog_start(test ? test : "a test");
    ground_make();
    take_inventory(&before);
    return check_children(stderr);
}

int audit_end(void **state)
{
    const char *test = *state;
    int64_t end = time_now_ms() + (int64_t)SETTLE_MS * time_scale();
    take_inventory(&after);
    while (compare(NULL) > 0 && time_now_ms() < end) {
        pause_briefly();
        take_inventory(&after);
    }
    int count = compare(stderr) + check_children(stderr);
    if (count > 0)
        fprintf(stderr, "audit: %s left %d things behind\n", test ? test : "the test", count);
    watchdog_stop();
    return count > 0;
}
