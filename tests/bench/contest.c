#include "contest.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_SIDES = 8, MOST_ROUNDS = 101 };

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare_figures(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

double median(double *figures, size_t count)
{
    qsort(figures, count, sizeof figures[0], compare_figures);
    return count % 2 == 1 ? figures[count / 2] : (figures[count / 2 - 1] + figures[count / 2]) / 2;
}

static double median_of(const double *figures, size_t count)
{
    double sorted[MOST_ROUNDS];

    for (size_t i = 0; i < count; i++)
        sorted[i] = figures[i];
    return median(sorted, count);
}

/* The place of the floor that the goal is about, 0 where there is none. */
static size_t find_rival(const struct side *sides, double figures[][MOST_ROUNDS], size_t count, size_t rounds,
                         enum goal_kind kind)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++) {
        double figure = median_of(figures[i], rounds);
        if (sides[i].peer)
            continue;
        if (best == 0 || (kind == AT_LEAST) == (figure > median_of(figures[best], rounds)))
            best = i;
    }
    return best;
}

static void add_line(struct bench *bench, const char *what, const char *unit, const struct side *side,
                     const double *ours, const double *theirs, size_t rounds, struct goal goal)
{
    struct report_line line = {.goal = goal, .has_ratio = true};
    double ratios[MOST_ROUNDS];

    for (size_t i = 0; i < rounds; i++)
        ratios[i] = ours[i] / theirs[i];
    line.ratio = median(ratios, rounds); /* sorts them */
    line.least = ratios[0];
    line.greatest = ratios[rounds - 1];
    line.figure = median_of(ours, rounds);
    line.other_figure = median_of(theirs, rounds);
    snprintf(line.what, sizeof line.what, "%s", what);
    snprintf(line.unit, sizeof line.unit, "%s", unit);
    snprintf(line.other, sizeof line.other, "%s", side->name);
    report_add(bench->report, &line);
}

void contest(struct bench *bench, const char *what, const char *unit, const struct side *sides, size_t count,
             struct goal goal)
{
    static double figures[MOST_SIDES][MOST_ROUNDS];
    size_t rounds = bench->rounds < MOST_ROUNDS ? bench->rounds : MOST_ROUNDS, rival;

    for (size_t i = 0; i < count && !bench->quick; i++)
        sides[i].measure(sides[i].context); /* to get warm: caches, buffers, the processors' clock */
    for (size_t round = 0; round < rounds; round++)
        for (size_t turn = 0; turn < count; turn++) {
            size_t i = (round + turn) % count;
            figures[i][round] = sides[i].measure(sides[i].context);
        }
    rival = find_rival(sides, figures, count, rounds, goal.kind);
    for (size_t i = 1; i < count; i++)
        add_line(bench, what, unit, &sides[i], figures[0], figures[i], rounds, i == rival ? goal : GOAL_NONE);
}
