/*
 * torture - every call of the system that can fail does, once and for ever, at each of its turns, in each scenario.
 *
 *     torture                 a sample: chosen by a seed, the date or PROCPOOL_SEED, for 40 s times PROCPOOL_SCALE
 *     torture all [PART OF]   all of it, or every OF-th run from the PART-th on; PROCPOOL_JOBS runs at a time (6)
 *     torture only CALL       all runs in which this call fails, alone
 *     torture list            the scenarios, and how many calls of which kind each makes
 *     torture SCENARIO [CALL TRICK OFTEN NTH CODE HALF]...
 *                             one run, as a failure's message names it
 */
#define _GNU_SOURCE
#include "run.h"

#include "../support/sanitizer.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64, SCENARIOS = 128, PAIRS = 1000, FAILURES = 40, SAMPLE_SECONDS = 40 };

static const struct scenario *scenarios[SCENARIOS];
static size_t scenario_count;
static long counts[SCENARIOS][CALLS]; /* how many calls each makes where nothing fails */

struct job {
    size_t scenario;
    struct fault faults[2];
};
static struct job *jobs;
static size_t job_count, job_room;

static const struct fault no_fault = {.call = -1};

static void collect(const struct scenario *some)
{
    for (; some->name && scenario_count < SCENARIOS; some++)
        scenarios[scenario_count++] = some;
}

static uint64_t dice;

static size_t throw_dice(size_t below)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(dice >> 33) % below;
}

/* ---- runs, some at a time */

static struct slot {
    pid_t warden; /* 0: free */
    struct plan *plan;
    struct job job;
    long since;
} slots[SLOTS];

static size_t runs, hit_runs, failures, slow_runs;
static long slowest;
static struct job slowest_job;

static void print_job(const struct job *job)
{
    printf("%s", scenarios[job->scenario]->name);
    for (int i = 0; i < 2; i++) {
        const struct fault *fault = &job->faults[i];
        if (fault->call >= 0)
            printf(" %s %d %d %ld %d %d", calls[fault->call].name, (int)fault->trick, (int)fault->often, fault->nth,
                   fault->code, fault->half);
    }
}

static void finished(struct slot *slot, int status)
{
    long took = now_ms() - slot->since;

    runs++;
    for (int kin = 0; kin < KIN; kin++) {
        if (atomic_load(&slot->plan->hits[kin]) > 0) {
            hit_runs++;
            break;
        }
    }
    slow_runs += took > 2000;
    if (took > slowest) {
        slowest = took;
        slowest_job = slot->job;
    }
    if (status != 0) {
        failures++;
        printf("FAILED ");
        print_job(&slot->job);
        printf("\n       %s; failed in host %ld, zygote %ld, workers %ld; %ld ms\n", slot->plan->words,
               atomic_load(&slot->plan->hits[HOST]), atomic_load(&slot->plan->hits[ZYGOTE]),
               atomic_load(&slot->plan->hits[WORKER]), took);
        fflush(stdout);
    }
    slot->warden = 0;
}

static void reap(bool wait)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, wait ? 0 : WNOHANG)) > 0) {
        for (int i = 0; i < SLOTS; i++)
            if (slots[i].warden == pid)
                finished(&slots[i], status);
        wait = false;
    }
}

static struct plan *plan_new(void)
{
    struct plan *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return made;
}

static void start(struct slot *slot, const struct job *job, bool quiet)
{
    if (!slot->plan)
        slot->plan = plan_new();
    memset((void *)slot->plan, 0, sizeof *slot->plan);
    slot->plan->faults[0] = job->faults[0];
    slot->plan->faults[1] = job->faults[1];
    slot->job = *job;
    slot->since = now_ms();
    fflush(stdout);
    slot->warden = run_start(slot->plan, scenarios[job->scenario], quiet);
    if (slot->warden < 0) {
        perror("fork");
        exit(1);
    }
}

static void run_job(const struct job *job, int at_a_time)
{
    for (;;) {
        for (int i = 0; i < at_a_time; i++) {
            if (slots[i].warden == 0) {
                start(&slots[i], job, true);
                reap(false);
                return;
            }
        }
        reap(true);
    }
}

static void wait_for_all(void)
{
    for (int i = 0; i < SLOTS; i++)
        while (slots[i].warden != 0)
            reap(true);
}

/* ---- what is to be run */

/* Each without a fault: it must work, and tells how many calls it makes. */
static void count_calls(void)
{
    for (size_t i = 0; i < scenario_count; i++) {
        struct job job = {i, {no_fault, no_fault}};
        start(&slots[0], &job, true);
        while (slots[0].warden != 0)
            reap(true);
        for (int call = 0; call < CALLS; call++)
            counts[i][call] = atomic_load(&slots[0].plan->counts[call]);
    }
}

static void add_job(size_t scenario, struct fault first, struct fault second)
{
    if (job_count == job_room) {
        job_room = job_room ? job_room * 2 : 4096;
        jobs = realloc(jobs, job_room * sizeof *jobs);
        if (!jobs) {
            perror("realloc");
            exit(1);
        }
    }
    jobs[job_count++] = (struct job){scenario, {first, second}};
}

static void add_nth(size_t scenario, int call, long nth)
{
    unsigned tricks = calls[call].tricks;
    struct fault fault = {.call = call, .nth = nth};

    for (int often = ONCE; often <= EVERY_OTHER; often++) {
        fault.often = (enum often)often;
        fault.trick = FAILS;
        for (int i = 0; i < 2 && often != EVERY_OTHER; i++) {
            fault.code = calls[call].codes[i];
            if ((tricks & FAILS) && fault.code != 0)
                add_job(scenario, fault, no_fault);
        }
        fault.code = 0;
        /* what only takes longer, once at each turn, or again and again from the first on */
        if (often == EVERY_OTHER && nth > 2)
            continue;
        for (fault.trick = INTERRUPTED; fault.trick <= NOT_NOW && often != EVER; fault.trick *= 2)
            if (tricks & fault.trick)
                add_job(scenario, fault, no_fault);
        fault.trick = SHORT;
        for (int half = 0; half < 2 && (tricks & SHORT) && (often == ONCE || (often == EVER && nth == 1)); half++) {
            fault.half = half;
            add_job(scenario, fault, no_fault);
        }
        fault.half = false;
    }
}

/* The address sanitizer's own code, linked in here, goes by the stand-ins too, and does without nothing. */
static bool is_the_sanitizers(int call)
{
    return UNDER_ADDRESS_SANITIZER && (call == CALL_sigaltstack || call == CALL_sysconf);
}

static struct fault random_fault(size_t scenario)
{
    for (;;) {
        int call = (int)throw_dice(CALLS);
        struct fault fault = {.call = call, .trick = FAILS};
        if (counts[scenario][call] == 0 || is_the_sanitizers(call) || !(calls[call].tricks & FAILS))
            continue;
        fault.nth = 1 + (long)throw_dice((size_t)counts[scenario][call]);
        fault.code = calls[call].codes[calls[call].codes[1] ? throw_dice(2) : 0];
        fault.often = throw_dice(4) == 0 ? EVER : ONCE;
        return fault;
    }
}

/* One fault on top of the other: a crash during a respawn during the lack of descriptors. */
static void add_pairs(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t scenario = throw_dice(scenario_count);
        add_job(scenario, random_fault(scenario), random_fault(scenario));
    }
}

/* Each new process sets every signal to its default: of those calls one in so many fails. */
static long step_of(int call)
{
    return call == CALL_sigaction ? 13 : 1;
}

/* A few turns more than were counted: a fault makes more calls. */
static void add_all(void)
{
    for (size_t scenario = 0; scenario < scenario_count; scenario++)
        for (int call = 0; call < CALLS; call++)
            if (counts[scenario][call] > 0 && !is_the_sanitizers(call))
                for (long nth = 1; nth <= counts[scenario][call] + 2; nth += step_of(call))
                    add_nth(scenario, call, nth);
}

/* At random; but one of each kind of failure comes first, so that the smallest sample has them all. */
static void shuffle(void)
{
    for (size_t i = job_count; i > 1; i--) {
        size_t other = throw_dice(i);
        struct job kept = jobs[i - 1];
        jobs[i - 1] = jobs[other];
        jobs[other] = kept;
    }
    static bool has_come[CALLS][SHORT + 1][EVERY_OTHER + 1];
    size_t first = 0;
    for (size_t i = 0; i < job_count; i++) {
        const struct fault *fault = &jobs[i].faults[0];
        bool *come = &has_come[fault->call][fault->trick][fault->often];
        if (*come)
            continue;
        *come = true;
        struct job kept = jobs[i];
        jobs[i] = jobs[first];
        jobs[first++] = kept;
    }
}

/* ---- the ways to run this program */

static int report(size_t of)
{
    wait_for_all();
    printf("%zu runs of %zu, something failed or fell short in %zu of them; ", runs, of, hit_runs);
    printf("%zu took longer than 2 s, the slowest %ld ms (", slow_runs, slowest);
    print_job(&slowest_job);
    printf("); %zu were wrong\n", failures);
    return failures > 0;
}

static int run_at_a_time(void)
{
    const char *text = getenv("PROCPOOL_JOBS");
    int at_a_time = text ? atoi(text) : 6;

    return at_a_time < 1 ? 1 : at_a_time > SLOTS ? SLOTS : at_a_time;
}

static uint64_t seed_of_today(void)
{
    const char *text = getenv("PROCPOOL_SEED");
    time_t now = time(NULL);
    struct tm date;

    if (text)
        return strtoull(text, NULL, 10);
    gmtime_r(&now, &date);
    return (uint64_t)(date.tm_year + 1900) * 10000 + (uint64_t)(date.tm_mon + 1) * 100 + (uint64_t)date.tm_mday;
}

static int run_sample(void)
{
    const char *text = getenv("PROCPOOL_SCALE");
    double scale = text ? strtod(text, NULL) : 1;
    long end = now_ms() + (long)(SAMPLE_SECONDS * 1000 * (scale > 0 ? scale : 1));

    dice = seed_of_today();
    printf("PROCPOOL_SEED=%llu\n", (unsigned long long)dice);
    count_calls();
    add_all();
    add_pairs(job_count / 8);
    shuffle();
    for (size_t i = 0; i < job_count && now_ms() < end && failures < FAILURES; i++)
        run_job(&jobs[i], run_at_a_time());
    return report(job_count);
}

static int run_all(size_t part, size_t of)
{
    dice = seed_of_today();
    count_calls();
    add_all();
    add_pairs(PAIRS);
    for (size_t i = part; i < job_count && failures < FAILURES; i += of)
        run_job(&jobs[i], run_at_a_time());
    return report(job_count);
}

static int run_only(const char *name)
{
    size_t count = 0;

    count_calls();
    add_all();
    for (size_t i = 0; i < job_count && failures < FAILURES; i++) {
        if (strcmp(calls[jobs[i].faults[0].call].name, name) != 0)
            continue;
        run_job(&jobs[i], run_at_a_time());
        count++;
    }
    return report(count);
}

static int list(void)
{
    count_calls();
    for (size_t i = 0; i < scenario_count; i++) {
        printf("%s:", scenarios[i]->name);
        for (int call = 0; call < CALLS; call++)
            if (counts[i][call] > 0)
                printf(" %s %ld", calls[call].name, counts[i][call]);
        printf("\n");
    }
    return report(scenario_count);
}

/* Six words, as print_job() writes them. */
static struct fault read_fault(char **words)
{
    struct fault fault = {.call = CALLS};

    while (fault.call > 0 && strcmp(calls[fault.call - 1].name, words[0]) != 0)
        fault.call--;
    fault.call--;
    fault.trick = (enum trick)atoi(words[1]);
    fault.often = (enum often)atoi(words[2]);
    fault.nth = atol(words[3]);
    fault.code = atoi(words[4]);
    fault.half = atoi(words[5]);
    return fault;
}

static int run_one(int count, char **words)
{
    struct job job = {scenario_count, {no_fault, no_fault}};

    for (size_t i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i]->name, words[0]) == 0)
            job.scenario = i;
    if (job.scenario == scenario_count) {
        fprintf(stderr, "no such scenario: %s\n", words[0]);
        return 2;
    }
    for (int i = 0; i < 2 && count >= 7 + 6 * i; i++)
        job.faults[i] = read_fault(words + 1 + 6 * i);
    start(&slots[0], &job, false);
    return report(1);
}

int main(int count, char **words)
{
    collect(scenarios_of_tasks);
    collect(scenarios_of_jobs);
    collect(scenarios_of_pools);
    if (count < 2)
        return run_sample();
    if (strcmp(words[1], "all") == 0)
        return run_all(count > 3 ? (size_t)atol(words[2]) : 0, count > 3 ? (size_t)atol(words[3]) : 1);
    if (strcmp(words[1], "only") == 0 && count > 2)
        return run_only(words[2]);
    if (strcmp(words[1], "list") == 0)
        return list();
    return run_one(count - 1, words + 1);
}
