/*
 * report - the figures: lines of the table and series of the chart. In pages shared with the rows' processes, so it
 * holds no pointers.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { REPORT_LINES = 24, REPORT_SERIES = 4, REPORT_POINTS = 24 };

enum goal_kind { NO_GOAL, AT_MOST, AT_LEAST };

struct goal {
    enum goal_kind kind;
    double limit;
};

#define GOAL_NONE ((struct goal){NO_GOAL, 0})
#define GOAL_AT_MOST(limit) ((struct goal){AT_MOST, (limit)})
#define GOAL_AT_LEAST(limit) ((struct goal){AT_LEAST, (limit)})

struct report_line {
    char what[64];
    char unit[12];
    char other[48];       /* the floor or peer; "" where the figure stands alone */
    char note[48];        /* instead of figures, where there are none */
    double figure, other_figure;
    double ratio, least, greatest; /* over the rounds */
    bool has_ratio;
    struct goal goal;     /* of the ratio, or of the figure where there is no ratio */
};

/* One curve of the chart. A row has one panel. */
struct report_series {
    char name[48];
    size_t count;
    double x[REPORT_POINTS], y[REPORT_POINTS];
};

struct report {
    size_t lines, series;
    struct report_line line[REPORT_LINES];
    struct report_series curve[REPORT_SERIES];
};

/* Pages that this process and its later children share. They stay for good. */
struct report *report_make(void);

/* Adds a line; what does not fit is cut. */
void report_add(struct report *report, const struct report_line *line);

/* A line without figures: why there are none. */
void report_note(struct report *report, const char *what, const char *note);

/* A figure alone. */
void report_figure(struct report *report, const char *what, const char *unit, double figure, struct goal goal);

/* Adds a point to the curve of that name, which is begun where there is none. */
void report_point(struct report *report, const char *curve, double x, double y);

/* Is the goal met? True where there is none. */
bool report_is_met(const struct report_line *line);

void report_print_head(FILE *file);
void report_print(const struct report *report, unsigned row, FILE *file);

#endif
