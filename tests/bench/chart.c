#include "chart.h"

#include <math.h>

enum { WIDTH = 400, HEIGHT = 300, LEFT = 58, RIGHT = 14, TOP = 58, BOTTOM = 46 };

static const char *const colours[REPORT_SERIES] = {"#1f5fa8", "#c8541a", "#3a8a3a", "#777777"};

/* Where the numbers of an axis lie. */
struct axis {
    double least, greatest;
    bool by_powers;
    double from, to; /* in the picture */
};

static double axis_place(const struct axis *axis, double value)
{
    double part = axis->by_powers ? log(value / axis->least) / log(axis->greatest / axis->least)
                                  : (value - axis->least) / (axis->greatest - axis->least);

    return axis->from + part * (axis->to - axis->from);
}

/* ------------------------------------------------------------------ what an axis spans */

static void widen(struct axis *axis, double value, bool first)
{
    if (first || value < axis->least)
        axis->least = value;
    if (first || value > axis->greatest)
        axis->greatest = value;
}

static double round_up(double value)
{
    double power = pow(10, floor(log10(value)));

    for (double step = 1; step < 10; step++)
        if (value <= step * power)
            return step * power;
    return 10 * power;
}

static void settle(struct axis *axis)
{
    if (axis->by_powers) {
        axis->least = pow(10, floor(log10(axis->least)));
        axis->greatest = pow(10, ceil(log10(axis->greatest)));
    } else {
        axis->least = 0;
        axis->greatest = round_up(axis->greatest);
    }
    if (axis->greatest <= axis->least)
        axis->greatest = axis->least * 10 + 1;
}

static void span(const struct chart_panel *panel, struct axis *x, struct axis *y)
{
    bool first = true;

    for (size_t i = 0; i < panel->report->series; i++)
        for (size_t k = 0; k < panel->report->curve[i].count; k++) {
            widen(x, panel->report->curve[i].x[k], first);
            widen(y, panel->report->curve[i].y[k], first);
            first = false;
        }
    settle(x);
    settle(y);
}

/* ------------------------------------------------------------------ drawing */

static void draw_text(FILE *file, double x, double y, const char *anchor, int size, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\">%s</text>\n", x, y, anchor, size,
            text);
}

static void draw_number(FILE *file, double x, double y, const char *anchor, double number)
{
    char text[32];

    if (number >= 1e6)
        snprintf(text, sizeof text, "%.3gM", number / 1e6);
    else if (number >= 1e4)
        snprintf(text, sizeof text, "%.3gk", number / 1e3);
    else
        snprintf(text, sizeof text, "%.4g", number);
    draw_text(file, x, y, anchor, 10, text);
}

static void draw_line(FILE *file, double x1, double y1, double x2, double y2, const char *colour)
{
    fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour);
}

static void draw_grid(FILE *file, const struct axis *x, const struct axis *y)
{
    for (double at = x->least; at <= x->greatest * 1.001; at *= 10) {
        draw_line(file, axis_place(x, at), y->from, axis_place(x, at), y->to, "#dddddd");
        draw_number(file, axis_place(x, at), y->from + 14, "middle", at);
    }
    for (double at = y->least; at <= y->greatest * 1.001;
         at = y->by_powers ? at * 10 : at + (y->greatest - y->least) / 5) {
        draw_line(file, x->from, axis_place(y, at), x->to, axis_place(y, at), "#dddddd");
        draw_number(file, x->from - 5, axis_place(y, at) + 3, "end", at);
    }
}

static void draw_curve(FILE *file, const struct report_series *curve, size_t number, const struct axis *x,
                       const struct axis *y)
{
    const char *colour = colours[number % REPORT_SERIES];
    double legend = y->to - 8 - 13 * (double)number;

    fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
    for (size_t i = 0; i < curve->count; i++)
        fprintf(file, "%.1f,%.1f ", axis_place(x, curve->x[i]), axis_place(y, curve->y[i]));
    fprintf(file, "\"/>\n");
    for (size_t i = 0; i < curve->count; i++)
        fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", axis_place(x, curve->x[i]),
                axis_place(y, curve->y[i]), colour);
    fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"3\" fill=\"%s\"/>\n", x->from, legend - 4, colour);
    draw_text(file, x->from + 17, legend, "start", 11, curve->name);
}

static void draw_panel(FILE *file, const struct chart_panel *panel, size_t place)
{
    double left = (double)(place * WIDTH);
    struct axis x = {.by_powers = true, .from = left + LEFT, .to = left + WIDTH - RIGHT};
    struct axis y = {.by_powers = panel->y_by_powers, .from = HEIGHT - BOTTOM, .to = TOP};

    span(panel, &x, &y);
    draw_grid(file, &x, &y);
    draw_text(file, left + WIDTH / 2.0, 16, "middle", 13, panel->title);
    draw_text(file, (x.from + x.to) / 2, HEIGHT - 12, "middle", 11, panel->x_label);
    fprintf(file, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" ", left + 14, (y.from + y.to) / 2);
    fprintf(file, "text-anchor=\"middle\" font-size=\"11\">%s</text>\n", panel->y_label);
    for (size_t i = 0; i < panel->report->series; i++)
        draw_curve(file, &panel->report->curve[i], i, &x, &y);
}

bool chart_write(const char *path, const struct chart_panel *panels, size_t count)
{
    FILE *file = fopen(path, "w");
    size_t drawn = 0;
    bool bad;

    if (file == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        drawn += panels[i].report->series > 0;
    fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %d\" font-family=\"sans-serif\">\n",
            (drawn > 0 ? drawn : 1) * WIDTH, HEIGHT);
    fprintf(file, "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n");
    drawn = 0;
    for (size_t i = 0; i < count; i++)
        if (panels[i].report->series > 0)
            draw_panel(file, &panels[i], drawn++);
    fprintf(file, "</svg>\n");
    bad = ferror(file) != 0;
    return fclose(file) == 0 && !bad;
}
