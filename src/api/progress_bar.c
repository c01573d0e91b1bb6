/*
 * progress_bar - a ready-made pool_job.progress: one line on a terminal, drawn over itself.
 *
 *   rows [==============>               ]  48%  492/1024  37.4/s  0:14 left
 *   files 18233  6077.7/s  0:03                                              (the total not known)
 *
 * A progress call brings only the label, so the label's pointer (not its text) is the key under which a bar's start
 * and last drawing are remembered: two jobs at a time want two labels, else they share one bar. A few bars are
 * remembered, in static memory under a lock of its own; a bar is forgotten when it is full, and the one that has
 * rested longest gives its place to a new one. A bar whose count goes back begins anew: its job was left unfinished,
 * and the label is used again.
 */
#include "procpool.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/terminal.h"

#define BARS_MAX     8
#define REDRAW_EVERY (100 * POOL__MS)
#define LINE_ROOM    512
#define BAR_MIN      10 /* columns: a shorter bar says nothing and is left out */
#define BAR_MAX      50

struct bar {
    bool used;
    const void *label;
    uint64_t started, drawn; /* drawn: 0 before the first drawing */
    size_t done_at_start, done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct bar bars[BARS_MAX]; /* guarded by lock */

/* ------------------------------------------------------------------ which bar */

static void bar_start(struct bar *bar, const void *label, size_t done)
{
    *bar = (struct bar){.used = true, .label = label, .started = pool__now(), .done_at_start = done, .done = done};
}

static struct bar *bar_find(const void *label, size_t done)
{
    struct bar *oldest = &bars[0];

    for (struct bar *bar = bars; bar < bars + BARS_MAX; bar++) {
        if (bar->used && bar->label == label) {
            if (done < bar->done)
                bar_start(bar, label, done);
            return bar;
        }
        if (oldest->used && (!bar->used || bar->drawn < oldest->drawn))
            oldest = bar;
    }
    bar_start(oldest, label, done);
    return oldest;
}

/* ------------------------------------------------------------------ one line of text */

struct line {
    char text[LINE_ROOM];
    size_t size;
};

static void line_add(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof line->text - 1 - line->size;

    size = size < room ? size : room;
    memcpy(line->text + line->size, text, size);
    line->size += size;
    line->text[line->size] = '\0';
}

static void line_add_text(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

static void line_fill(struct line *line, char character, size_t count)
{
    while (count-- > 0)
        line_add(line, &character, 1);
}

static void line_add_rate(struct line *line, double rate)
{
    char text[32];

    snprintf(text, sizeof text, rate < 100.0 ? "  %.1f/s" : "  %.0f/s", rate);
    line_add_text(line, text);
}

static void line_add_time(struct line *line, double seconds, const char *what)
{
    char text[64];
    unsigned long whole = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 1000000000UL;

    if (whole < 3600)
        snprintf(text, sizeof text, "  %lu:%02lu%s", whole / 60, whole % 60, what);
    else
        snprintf(text, sizeof text, "  %lu:%02lu:%02lu%s", whole / 3600, whole / 60 % 60, whole % 60, what);
    line_add_text(line, text);
}

/*
 * What stands behind the bar: counts, rate, and the time left or, at the end and where no end is known, the time
 * gone.
 */
static void tail_write(struct line *line, const struct bar *bar, size_t total, uint64_t now)
{
    double seconds = (double)(now - bar->started) / 1e9;
    double rate = seconds > 0 ? (double)(bar->done - bar->done_at_start) / seconds : 0;
    char text[64];

    if (total == 0)
        snprintf(text, sizeof text, "%zu", bar->done);
    else
        snprintf(text, sizeof text, "%3.0f%%  %zu/%zu", 100.0 * ((double)bar->done / (double)total), bar->done, total);
    line_add_text(line, text);
    if (rate > 0)
        line_add_rate(line, rate);
    if (total == 0 || bar->done >= total)
        line_add_time(line, seconds, "");
    else if (rate > 0)
        line_add_time(line, (double)(total - bar->done) / rate, " left");
}

static void bar_write(struct line *line, size_t done, size_t total, size_t columns)
{
    size_t full = done < total ? (size_t)((double)columns * ((double)done / (double)total)) : columns;

    full = full < columns ? full : columns; /* the division rounds */
    line_add_text(line, "[");
    line_fill(line, '=', full);
    if (full < columns)
        line_add_text(line, ">");
    line_fill(line, ' ', full < columns ? columns - full - 1 : 0);
    line_add_text(line, "] ");
}

/* Columns that the label takes: its characters, as UTF-8. */
static size_t label_columns(const char *label)
{
    size_t columns = 0;

    for (; *label != '\0'; label++)
        columns += ((unsigned char)*label & 0xc0) != 0x80;
    return columns;
}

/*
 * A carriage return, the line, and an end that wipes what a longer one left behind. A label too long for the line
 * makes it wrap; nothing worse.
 */
static void line_write(struct line *line, const struct bar *bar, size_t total, size_t width, uint64_t now)
{
    const char *label = bar->label;
    struct line tail = {.size = 0};
    size_t taken = 0;

    tail_write(&tail, bar, total, now);
    line_add_text(line, "\r");
    if (label != NULL && *label != '\0') {
        line_add_text(line, label);
        line_add_text(line, " ");
        taken = label_columns(label) + 1;
    }
    taken += tail.size + 4; /* "[", "] ", and the last column: some terminals wrap there */
    if (total > 0 && taken + BAR_MIN <= width)
        bar_write(line, bar->done, total, width - taken < BAR_MAX ? width - taken : BAR_MAX);
    line_add(line, tail.text, tail.size);
    line_add_text(line, "\033[K");
    if (total > 0 && bar->done >= total)
        line_add_text(line, "\n");
}

/* ------------------------------------------------------------------ the call */

static void bar_draw(struct bar *bar, size_t total, size_t width, uint64_t now)
{
    struct line line = {.size = 0};

    line_write(&line, bar, total, width, now);
    fwrite(line.text, 1, line.size, stderr); /* in one piece, so that other threads' lines fall between ours */
    fflush(stderr);
    bar->drawn = now;
}

static void progress_show(const void *label, size_t done, size_t total, size_t width)
{
    struct bar *bar = bar_find(label, done);
    uint64_t now = pool__now();
    bool full = total > 0 && done >= total;

    bar->done = done;
    if (full || bar->drawn == 0 || now - bar->drawn >= REDRAW_EVERY)
        bar_draw(bar, total, width, now);
    if (full)
        bar->used = false;
}

void pool_progress_bar(void *label, size_t done, size_t total)
{
    int saved = errno, width = pool__terminal_width(STDERR_FILENO), cancel_state;

    if (width == 0 || (done == 0 && total == 0))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&lock);
    progress_show(label, done, total, (size_t)width);
    pthread_mutex_unlock(&lock);
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved;
}
