#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "report.h"

#include <string.h>
#include <sys/mman.h>

#include "child.h"

struct report *report_make(void)
{
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (report == MAP_FAILED)
        give_up("no memory for the figures");
    return report;
}

void report_add(struct report *report, const struct report_line *line)
{
    if (report->lines == REPORT_LINES)
        give_up("a row has more than %d lines", REPORT_LINES);
    report->line[report->lines] = *line;
    report->lines++; /* last: the row may be killed at any moment, and what it had by then is printed */
}

void report_note(struct report *report, const char *what, const char *note)
{
    struct report_line line = {.goal = GOAL_NONE};

    snprintf(line.what, sizeof line.what, "%s", what);
    snprintf(line.note, sizeof line.note, "%s", note);
    report_add(report, &line);
}

void report_figure(struct report *report, const char *what, const char *unit, double figure, struct goal goal)
{
    struct report_line line = {.figure = figure, .goal = goal};

    snprintf(line.what, sizeof line.what, "%s", what);
    snprintf(line.unit, sizeof line.unit, "%s", unit);
    report_add(report, &line);
}

void report_point(struct report *report, const char *curve, double x, double y)
{
    struct report_series *series = NULL;

    for (size_t i = 0; i < report->series; i++)
        if (strcmp(report->curve[i].name, curve) == 0)
            series = &report->curve[i];
    if (series == NULL) {
        if (report->series == REPORT_SERIES)
            give_up("a row has more than %d curves", REPORT_SERIES);
        series = &report->curve[report->series++];
        snprintf(series->name, sizeof series->name, "%s", curve);
    }
    if (series->count == REPORT_POINTS)
        give_up("a curve has more than %d points", REPORT_POINTS);
    series->x[series->count] = x;
    series->y[series->count] = y;
    series->count++;
}

bool report_is_met(const struct report_line *line)
{
    double figure = line->has_ratio ? line->ratio : line->figure;

    return line->goal.kind == NO_GOAL || (line->goal.kind == AT_MOST ? figure <= line->goal.limit
                                                                      : figure >= line->goal.limit);
}

/* ------------------------------------------------------------------ as text */

/* With three digits that count, whatever the size. */
static void format_figure(char *text, size_t room, double figure, const char *unit)
{
    int digits = figure < 10 ? 2 : figure < 100 ? 1 : 0;

    if (figure == 0)
        digits = 0;
    else if (figure < 0.1)
        digits = 4;
    snprintf(text, room, "%.*f %s", digits, figure, unit);
}

static void format_goal(char *text, size_t room, struct goal goal)
{
    if (goal.kind == NO_GOAL)
        snprintf(text, room, "-");
    else
        snprintf(text, room, "%s %.6g", goal.kind == AT_MOST ? "<=" : ">=", goal.limit);
}

static void print_line(const struct report_line *line, unsigned row, FILE *file)
{
    char figure[40] = "", other[96] = "", other_figure[40] = "", ratio[64] = "", goal[32] = "";

    if (line->note[0] != '\0') {
        fprintf(file, "%3u  %-43s %s\n", row, line->what, line->note);
        return;
    }
    format_figure(figure, sizeof figure, line->figure, line->unit);
    if (line->has_ratio) {
        format_figure(other_figure, sizeof other_figure, line->other_figure, line->unit);
        snprintf(other, sizeof other, "%s: %s", line->other, other_figure);
        snprintf(ratio, sizeof ratio, "%.2f [%.2f..%.2f]", line->ratio, line->least, line->greatest);
    }
    format_goal(goal, sizeof goal, line->goal);
    fprintf(file, "%3u  %-43s %-14s %-43s %-20s %-9s %s\n", row, line->what, figure, other, ratio, goal,
            line->goal.kind == NO_GOAL ? "" : report_is_met(line) ? "met" : "missed");
}

void report_print_head(FILE *file)
{
    fprintf(file, "%3s  %-43s %-14s %-43s %-20s %-9s\n", "row", "what", "procpool", "floor or peer", "ratio", "goal");
}

void report_print(const struct report *report, unsigned row, FILE *file)
{
    for (size_t i = 0; i < report->lines; i++)
        print_line(&report->line[i], row, file);
    fflush(file);
}
