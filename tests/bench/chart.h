/*
 * chart - curves as a picture (SVG): one panel beside the other, the x axis by powers, the y axis too or from 0.
 */
#ifndef BENCH_CHART_H
#define BENCH_CHART_H

#include "report.h"

struct chart_panel {
    const char *title, *x_label, *y_label;
    bool y_by_powers;
    const struct report *report;
};

/* False, and errno: the file cannot be written. Panels without curves are left out. */
bool chart_write(const char *path, const struct chart_panel *panels, size_t count);

#endif
