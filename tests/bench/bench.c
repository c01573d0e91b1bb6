/*
 * bench - the library against floors written by hand, and against peers that are installed: one table.
 *
 *     bench [--quick] [--rounds N] [--row N]... [--svg FILE] [--no-python]
 *     bench --work NAME COUNT    apply, async or map, nothing measured: for profilers
 *
 * Ends with 0 where all could be measured, whether goals are met or not. README.md tells what the rows are.
 */
#define _GNU_SOURCE /* getloadavg */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chart.h"
#include "child.h"
#include "work.h"

static const struct row {
    bench_row *run;
    int seconds; /* the most that it may take */
} rows[] = {
    {row_apply, 120},        {row_apply_blocking, 120}, {row_apply_crowded, 300}, {row_apply_async, 300},
    {row_imap, 300},         {row_map, 300},            {row_map_in_arena, 120},  {row_uneven, 300},
    {row_large, 120},        {row_arena_pointer, 120},  {row_life, 300},          {row_large_host, 300},
    {row_death, 120},        {row_memory, 300},         {row_many_workers, 300},  {row_idle, 60},
    {row_threads, 120},      {row_linear, 600},         {row_features, 300},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct options {
    struct bench bench;
    bool chosen[ROWS], any_chosen;
    const char *svg;
};

_Noreturn static void refuse(void)
{
    fprintf(stderr, "usage: bench [--quick] [--rounds N] [--row N]... [--svg FILE] [--no-python]\n"
                    "       bench --work apply|async|map COUNT\n");
    exit(2);
}

static unsigned read_number(const char *text, unsigned most)
{
    char *end;
    unsigned long number;

    if (text == NULL || *text < '0' || *text > '9')
        refuse();
    number = strtoul(text, &end, 10);
    if (*end != '\0' || number == 0 || number > most)
        refuse();
    return (unsigned)number;
}

static struct options read_options(char **argument)
{
    struct options options = {.bench = {.rounds = 5, .python = true}};
    bool rounds_given = false;

    while (*++argument != NULL) {
        if (strcmp(*argument, "--quick") == 0) {
            options.bench.quick = true;
            options.bench.python = false; /* takes a second to start alone */
        } else if (strcmp(*argument, "--no-python") == 0) {
            options.bench.python = false;
        } else if (strcmp(*argument, "--rounds") == 0) {
            options.bench.rounds = read_number(*++argument, 100);
            rounds_given = true;
        } else if (strcmp(*argument, "--row") == 0) {
            options.chosen[read_number(*++argument, ROWS) - 1] = true;
            options.any_chosen = true;
        } else if (strcmp(*argument, "--svg") == 0 && argument[1] != NULL) {
            options.svg = *++argument;
        } else {
            refuse();
        }
    }
    if (options.bench.quick && !rounds_given)
        options.bench.rounds = 2;
    options.bench.sweep = options.svg != NULL;
    return options;
}

/* ------------------------------------------------------------------ a row in its process */

static const int awaited[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};

static sigset_t awaited_set(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof awaited / sizeof awaited[0]; i++)
        sigaddset(&set, awaited[i]);
    return set;
}

/* Waits for the row's end, or a signal to end ourselves, or the time's end. 0: the row has ended. */
static int wait_for_row(pid_t pid, int seconds)
{
    sigset_t set = awaited_set();
    double end;
    struct timespec now, left;
    siginfo_t info;

    clock_gettime(CLOCK_MONOTONIC, &now);
    end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
    while (true) {
        double rest;
        int got;
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        rest = end - (double)now.tv_sec - (double)now.tv_nsec / 1e9;
        if (rest <= 0)
            return SIGALRM;
        left = (struct timespec){(time_t)rest, (long)((rest - (double)(time_t)rest) * 1e9)};
        got = sigtimedwait(&set, NULL, &left);
        if (got > 0 && got != SIGCHLD)
            return got;
    }
}

static void be_row(const struct row *row, const struct bench *bench, pid_t driver)
{
    sigset_t set = awaited_set();
    struct bench own = *bench;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != driver)
        _exit(1);
    setpgid(0, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    row->run(&own);
    fflush(stdout);
    _exit(0);
}

/* The row's group has the floors' processes; the pools' own follow their program. */
static bool run_row(const struct row *row, const struct bench *bench)
{
    pid_t driver = getpid(), pid = fork();
    int status, why;

    if (pid < 0)
        give_up("fork: %s", strerror(errno));
    if (pid == 0)
        be_row(row, bench, driver);
    setpgid(pid, pid);
    why = wait_for_row(pid, row->seconds);
    kill(pid, SIGKILL);
    kill(-pid, SIGKILL); /* before its number is free for others */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (why == SIGALRM)
        fprintf(stderr, "bench: a row takes more than %d s\n", row->seconds);
    else if (why != 0)
        exit(128 + why);
    return why == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ------------------------------------------------------------------ the table */

static void print_machine(const struct bench *bench)
{
    struct utsname system;
    double load[1];

    if (uname(&system) != 0 || getloadavg(load, 1) != 1)
        give_up("the system does not tell its name and load");
    printf("%s %s, %ld processors, load %.1f; medians of %u rounds%s\n\n", system.sysname, system.release,
           sysconf(_SC_NPROCESSORS_ONLN), load[0], bench->rounds, bench->quick ? ", quick: figures mean nothing" : "");
}

static bool draw(const char *path, struct report *const *reports)
{
    const struct chart_panel panels[] = {
        {"Row 4: futures", "submitted before they are read", "million/s", true, reports[3]},
        {"Row 6: pool_map", "items a chunk", "million/s", true, reports[5]},
        {"Row 15: pool_apply", "workers", "microseconds", false, reports[14]},
    };

    if (!chart_write(path, panels, sizeof panels / sizeof panels[0])) {
        fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

/* A thousand workers need more descriptors than programs mostly have. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int only_work(char **argument)
{
    return work_run(argument[0], read_number(argument[1], 1000000000)) ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--work") == 0)
        return only_work(argv + 2);

    struct options options = read_options(argv);
    sigset_t set = awaited_set();
    struct report *reports[ROWS];
    bool all_measured = true;

    sigprocmask(SIG_BLOCK, &set, NULL);
    raise_limit();
    print_machine(&options.bench);
    report_print_head(stdout);
    for (size_t i = 0; i < ROWS; i++) {
        reports[i] = options.bench.report = report_make();
        if (options.any_chosen && !options.chosen[i])
            continue;
        fflush(stdout);
        if (!run_row(&rows[i], &options.bench)) {
            report_note(reports[i], "", "could not be measured");
            all_measured = false;
        }
        report_print(reports[i], (unsigned)i + 1, stdout);
    }
    if (options.svg != NULL && !draw(options.svg, reports))
        all_measured = false;
    return all_measured ? 0 : 1;
}
