/*
 * mandelbrot - compute a picture of the Mandelbrot set, a row a task, and write it to a file (PPM, P6).
 *
 *     cc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -o mandelbrot mandelbrot.c -lprocpool -pthread
 *
 * Usage: mandelbrot [-w width] [-h height] [-n limit] [-x re] [-y im] [-s span] [-j workers] [-c chunk] FILE
 *   -w, -h  the picture's size in pixels (1200 x 800)
 *   -n      iterations after which a point counts as inside (1000)
 *   -x, -y  the point at the middle of the picture (-0.6, 0)
 *   -s      the picture's width in the plane (3.6)
 *   -j      worker processes (0: one for each processor)
 *   -c      rows sent to a worker at a time (0: chosen by the pool as it runs)
 *
 * Shows: pool_map over items that are nothing but their index, what all tasks read sent once (pool_job.shared), results
 * gathered in one array, and uneven work: a row through the middle costs a hundred times one at the edge. The picture
 * is the same, byte for byte, for any -j and -c.
 * What it prints is described at the end of this file. Next: cksum.c.
 */
#include <procpool.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* All that a row needs to know: sent to each worker once. */
struct view {
    size_t   width, height;
    unsigned limit;
    double   re, im, span;
};

struct settings {
    struct view view;
    size_t      workers, chunk;
    const char *path;
};

static void usage(void)
{
    fprintf(stderr, "usage: mandelbrot [-w width] [-h height] [-n limit] [-x re] [-y im] [-s span]\n"
                    "                  [-j workers] [-c chunk] FILE\n");
    exit(2);
}

/* ------------------------------------------------------------------ the picture */

/* How many steps the point takes to leave the circle of radius 2; `limit` where it never did. */
static unsigned steps_to_escape(double re, double im, unsigned limit)
{
    double x = 0, y = 0, xx = 0, yy = 0;
    unsigned steps = 0;

    while (steps < limit && xx + yy <= 4) {
        y = 2 * x * y + im;
        x = xx - yy + re;
        xx = x * x;
        yy = y * y;
        steps++;
    }
    return steps;
}

/* Up from 0 to 255 and down again, over and over. */
static unsigned char wave(unsigned at)
{
    unsigned place = at % 512;

    return (unsigned char)(place < 256 ? place : 511 - place);
}

static void paint(unsigned char *pixel, unsigned steps, unsigned limit)
{
    bool inside = steps == limit;

    pixel[0] = inside ? 0 : wave(steps * 4);
    pixel[1] = inside ? 0 : wave(steps * 7);
    pixel[2] = inside ? 0 : wave(steps * 11 + 60);
}

/* The task: row number task->index, written where the library wants the result, without a copy of ours. */
static int row_task(struct pool_task *task)
{
    const struct view *view = task->shared;
    unsigned char *pixels = pool_return_space(task, view->width * 3);
    double step = view->span / (double)view->width;
    double left = view->re - step * (double)view->width / 2;
    double im = view->im + step * ((double)view->height / 2 - (double)task->index);

    if (pixels == NULL)
        return pool_fail(task, ENOMEM, "no memory for a row of %zu pixels", view->width);
    for (size_t column = 0; column < view->width; column++)
        paint(pixels + column * 3, steps_to_escape(left + step * (double)column, im, view->limit), view->limit);
    return 0;
}

/* ------------------------------------------------------------------ the program */

static size_t read_number(const char *text, size_t least, size_t most)
{
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-' || number < least || number > most) {
        fprintf(stderr, "mandelbrot: %s is not a number from %zu to %zu\n", text, least, most);
        exit(2);
    }
    return number;
}

static double read_real(const char *text)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !(number > -1e6 && number < 1e6)) {
        fprintf(stderr, "mandelbrot: %s is not a number of the plane\n", text);
        exit(2);
    }
    return number;
}

static struct settings read_settings(int argc, char **argv)
{
    struct settings settings = {.view = {1200, 800, 1000, -0.6, 0, 3.6}};
    int option;

    while ((option = getopt(argc, argv, "w:h:n:x:y:s:j:c:")) != -1) {
        switch (option) {
        case 'w': settings.view.width = read_number(optarg, 1, 100000); break;
        case 'h': settings.view.height = read_number(optarg, 1, 100000); break;
        case 'n': settings.view.limit = (unsigned)read_number(optarg, 1, 1000000000); break;
        case 'x': settings.view.re = read_real(optarg); break;
        case 'y': settings.view.im = read_real(optarg); break;
        case 's': settings.view.span = read_real(optarg); break;
        case 'j': settings.workers = read_number(optarg, 0, 10000); break;
        case 'c': settings.chunk = read_number(optarg, 0, 100000); break;
        default: usage();
        }
    }
    if (optind != argc - 1)
        usage();
    settings.path = argv[optind];
    return settings;
}

/* Say what failed and why, and end; the workers end with us. */
static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "mandelbrot: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void write_picture(FILE *file, const struct settings *settings, const unsigned char *pixels)
{
    size_t size = settings->view.width * settings->view.height * 3;

    fprintf(file, "P6\n%zu %zu\n255\n", settings->view.width, settings->view.height);
    if (fwrite(pixels, 1, size, file) != size || fclose(file) != 0)
        give_up(settings->path, strerror(errno));
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
    struct settings settings = read_settings(argc, argv);
    const struct view *view = &settings.view;
    struct pool_job job = {.chunk = settings.chunk, .shared = view, .shared_size = sizeof *view};
    struct pool *pool = pool_create((unsigned)settings.workers, NULL); /* first: no worker needs the picture's memory */
    unsigned char *pixels;
    struct timespec start;
    FILE *file;

    if (pool == NULL)
        give_up("cannot make a pool", pool_error());
    file = fopen(settings.path, "wb"); /* before the work: a picture that cannot be kept need not be computed */
    if (file == NULL)
        give_up(settings.path, strerror(errno));
    pixels = calloc(view->height, view->width * 3);
    if (pixels == NULL)
        give_up("the picture", "not enough memory");
    if (isatty(STDERR_FILENO))
        job.progress = pool_progress_bar;

    clock_gettime(CLOCK_MONOTONIC, &start);
    if (pool_map(pool, row_task, pool_items(NULL, view->height, 0), pixels, view->width * 3, &job) != POOL_OK)
        give_up("a row", pool_error());
    write_picture(file, &settings, pixels);
    printf("%s: %zu x %zu pixels in %.2f s with %u workers\n", settings.path, view->width, view->height,
           seconds_since(&start), pool_size(pool));
    free(pixels);
    pool_destroy(pool);
    return 0;
}

/*
 * Expected output of `mandelbrot -j 4 set.ppm`, and in set.ppm a picture to be looked at with any viewer:
 *
 *     set.ppm: 1200 x 800 pixels in 0.31 s with 4 workers
 */
