/*
 * contest - a thing and its floors, measured in turns: each round measures every side once, beginning with another one
 * each time, and a ratio is of two figures of one round. Machines are noisy; what happens to one side in a round mostly
 * happens to the other too. Medians over the rounds are told.
 */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include "bench.h"

struct side {
    const char *name;
    double (*measure)(void *context); /* one figure */
    void *context;
    bool peer; /* told for comparison; the goal is not about it */
};

/*
 * sides[0] is the library, the others are floors and peers. A line for each of these, the goal with the one floor that
 * is best (the least figure where the goal is at most something, else the greatest).
 */
void contest(struct bench *bench, const char *what, const char *unit, const struct side *sides, size_t count,
             struct goal goal);

/* Seconds, of a clock that only goes forward. */
double seconds_now(void);

double median(double *figures, size_t count);

#endif
