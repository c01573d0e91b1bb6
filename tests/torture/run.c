#define _GNU_SOURCE /* prctl's subreaper */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 64 };

long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void nap(long microseconds)
{
    nanosleep(&(struct timespec){0, microseconds * 1000}, NULL);
}

/* ---- the host */

static unsigned long long open_descriptors(void)
{
    unsigned long long open = 0;

    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            open |= 1ull << fd;
    return open;
}

/* Each is a folder in there. */
static int count_threads(void)
{
    struct stat found;

    return stat("/proc/self/task", &found) == 0 ? (int)found.st_nlink - 2 : 1;
}

static bool has_faulted(enum call_number call)
{
    return plan->faults[0].call == (int)call || plan->faults[1].call == (int)call;
}

/* A thread that was joined is listed a moment longer; one that destroys a pool after its callback is let finish. */
static void wait_for_threads(void)
{
    long end = now_ms() + wait_limit() / 2;

    while (count_threads() > 1 && now_ms() < end)
        nap(200);
}

/* What is the host's must be as it was. */
static const char *audit(unsigned long long descriptors, const sigset_t *mask)
{
    sigset_t now;

    NEED(count_threads() == 1, "%d threads are left", count_threads());
    NEED(open_descriptors() == descriptors, "descriptors: %llx, before %llx", open_descriptors(), descriptors);
    NEED(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "a child is left");
    sigprocmask(SIG_SETMASK, NULL, &now);
    for (int number = 1; number < 32; number++)
        NEED(sigismember(&now, number) == sigismember(mask, number), "the signal mask");
    NEED(calls_live_blocks() == 0, "%zu blocks of memory are left", calls_live_blocks());
    /* one page for the process's life: see base/fork_child.c */
    NEED(calls_live_pages() <= (size_t)sysconf(_SC_PAGESIZE) || has_faulted(CALL_munmap), "%zu bytes are left mapped",
         calls_live_pages());
    return NULL;
}

/* When nothing fails any more, all is well. */
static const char *use_anew(void)
{
    struct plan kept = {.faults = {plan->faults[0], plan->faults[1]}};
    const char *words = NULL, *wrong_words = NULL;

    plan->faults[0].call = plan->faults[1].call = -1;
    struct pool *pool = pool_with(1, NULL, &wrong_words);
    if (pool) {
        words = apply_squares(pool, 1);
        pool_destroy(pool);
    } else {
        words = wrong("no new pool afterwards");
    }
    plan->faults[0] = kept.faults[0];
    plan->faults[1] = kept.faults[1];
    return words;
}

static _Noreturn void be_host(const struct scenario *scenario)
{
    unsigned long long descriptors = open_descriptors();
    sigset_t mask;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    calls_arm();
    const char *words = scenario->run();
    wait_for_threads();
    calls_disarm();
    if (!words)
        words = audit(descriptors, &mask);
    if (!words)
        words = use_anew();
    _exit(words != NULL);
}

/* ---- the warden */

static void kill_children(void)
{
    char text[1024];
    FILE *file = fopen("/proc/thread-self/children", "r");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file)
        fclose(file);
    text[got] = '\0';
    for (char *at = text, *end; *at; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (pid > 1) {
            kill((pid_t)-pid, SIGKILL);
            kill((pid_t)pid, SIGKILL);
        }
    }
}

/* Reaps whoever has ended. True: nobody is left. */
static bool all_gone(void)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        continue;
    return pid < 0 && errno == ECHILD;
}

static bool wait_until_gone(long limit_ms)
{
    long end = now_ms() + limit_ms;

    for (long pause = 50; !all_gone(); pause = pause < 2000 ? pause * 2 : pause) {
        if (now_ms() >= end)
            return false;
        nap(pause);
    }
    return true;
}

/* The host's wait status, or -1 where it has not ended in time. */
static int wait_for_host(pid_t host, long limit_ms)
{
    long end = now_ms() + limit_ms;
    int status;

    for (long pause = 50;; pause = pause < 2000 ? pause * 2 : pause) {
        if (waitpid(host, &status, WNOHANG) == host)
            return status;
        if (now_ms() >= end)
            return -1;
        nap(pause);
    }
}

static void turn_output_off(void)
{
    int nowhere = open("/dev/null", O_RDWR);

    if (nowhere < 0)
        return;
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    if (nowhere > STDERR_FILENO)
        close(nowhere);
}

static _Noreturn void be_warden(const struct scenario *scenario, bool quiet)
{
    int scale = wait_limit() / WAIT_MS;

    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (quiet)
        turn_output_off();
    pid_t host = fork();
    if (host == 0)
        be_host(scenario);
    int status = host > 0 ? wait_for_host(host, (long)RUN_MS * scale) : 0;
    bool late = status == -1;
    if (late)
        wrong("not finished after %d ms", RUN_MS * scale);
    else if (WIFSIGNALED(status))
        wrong("signal %d in the host", WTERMSIG(status));
    else if (WEXITSTATUS(status) > 1)
        wrong("the host has left with %d", WEXITSTATUS(status));
    /* a zygote that may not kill leaves what does not end by itself */
    bool left = !late && !wait_until_gone((long)LEFT_MS * scale) && !has_faulted(CALL_kill);
    if (left && status == 0)
        wrong("processes are left behind");
    while (!wait_until_gone(1))
        kill_children();
    _exit(late || left || status != 0);
}

pid_t run_start(struct plan *with, const struct scenario *scenario, bool quiet)
{
    plan = with;
    pid_t pid = fork();
    if (pid == 0)
        be_warden(scenario, quiet);
    return pid;
}
