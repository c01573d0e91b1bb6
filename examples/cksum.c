/*
 * cksum - POSIX cksum of every regular file below the directories given, by all processors.
 *
 *     cc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -o cksum cksum.c -lprocpool -pthread
 *
 * Usage: cksum [-q] [-j workers] DIR...
 *   -q  quiet: no progress bar, no last line
 *   -j  worker processes (0: one for each processor)
 *
 * Prints checksum, size and path of each file, as they are ready; sorted, that is the output of
 * `find DIR... -type f -exec cksum {} +` sorted. A file or directory that cannot be read is reported and does not stop
 * the run, but makes the exit status 1. Symbolic links are not followed.
 *
 * Shows: pool_imap_unordered over a generator, here a walk of the tree which is never read far ahead of the work;
 * tables made before the pool, so that every worker has them; a task that fails with a reason; a progress bar.
 * What it prints is described at the end of this file. It is the last of these examples: README.md lists them all.
 */
#include <procpool.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ complaints */

static unsigned long complaints; /* of this process; a worker's failures arrive as results */
static bool bar_shown;

/* Wipe the bar from the line that is to be written now: it is drawn again, below, with the next results. */
static void wipe_bar(void)
{
    if (bar_shown)
        fputs("\r\033[K", stderr);
}

static void complain(const char *path, const char *why)
{
    wipe_bar();
    fprintf(stderr, "cksum: %s: %s\n", path, why);
    complaints++;
}

static void give_up(const char *what, const char *why)
{
    complain(what, why);
    exit(EXIT_FAILURE);
}

/* ------------------------------------------------------------------ the checksum */

/*
 * crc_table[0] has the remainder of each byte, highest bit first, by the polynomial 0x04c11db7; crc_table[k] that of
 * the byte with k zero bytes behind it. So eight bytes go in at a step, by lookups that need not wait for each other.
 */
static uint32_t crc_table[8][256];

static void make_crc_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte << 24;

        for (int bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ (crc >> 31 ? UINT32_C(0x04c11db7) : 0);
        crc_table[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = crc_table[k - 1][byte];

            crc_table[k][byte] = crc << 8 ^ crc_table[0][crc >> 24];
        }
}

static uint32_t add_byte(uint32_t crc, unsigned char byte)
{
    return crc << 8 ^ crc_table[0][crc >> 24 ^ byte];
}

static uint32_t add_bytes(uint32_t crc, const unsigned char *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8)
        crc = crc_table[7][crc >> 24 ^ at[0]] ^ crc_table[6][(crc >> 16 & 255) ^ at[1]] ^
              crc_table[5][(crc >> 8 & 255) ^ at[2]] ^ crc_table[4][(crc & 255) ^ at[3]] ^
              crc_table[3][at[4]] ^ crc_table[2][at[5]] ^ crc_table[1][at[6]] ^ crc_table[0][at[7]];
    for (; size > 0; at++, size--)
        crc = add_byte(crc, *at);
    return crc;
}

/* ------------------------------------------------------------------ the task */

struct sum {
    uint64_t size;
    uint32_t crc;
};

/* Sum up an open file. Returns 0 or an errno. */
static int sum_file(int fd, struct sum *sum)
{
    static unsigned char buffer[128 * 1024]; /* each worker is a process: its own copy, and no lock */
    ssize_t got;

    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        sum->crc = add_bytes(sum->crc, buffer, (size_t)got);
        sum->size += (uint64_t)got;
    }
    if (got < 0)
        return errno;
    for (uint64_t left = sum->size; left != 0; left >>= 8) /* POSIX: the length's bytes go in too, the lowest first */
        sum->crc = add_byte(sum->crc, (unsigned char)(left & 255));
    sum->crc = ~sum->crc;
    return 0;
}

/* The argument is a path with its final NUL, the result a struct sum; the code of a failure is its errno. */
static int sum_task(struct pool_task *task)
{
    struct sum sum = {0};
    int fd = open(task->arg, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : sum_file(fd, &sum);

    if (fd >= 0)
        close(fd);
    if (error != 0)
        return pool_fail(task, error, "%s", strerror(error));
    return pool_return(task, &sum, sizeof sum);
}

/* ------------------------------------------------------------------ the walk */

/*
 * The generator's state. One directory is open at a time; those met on the way wait in `pending`, last in, first out.
 * So little is held at any moment, however large the tree.
 */
struct walk {
    char **arguments; /* not yet looked at, up to a NULL */
    char **pending;   /* directories not yet read */
    size_t count, room;
    DIR   *dir;       /* the directory that is being read, or NULL */
    char  *dir_path;
    char  *file;      /* the item last given out */
};

static void *need(void *memory)
{
    if (memory == NULL)
        give_up("the walk", "not enough memory");
    return memory;
}

/* dir/name, without a second slash where dir ends in one: as find spells it. */
static char *join_path(const char *dir, const char *name)
{
    size_t dir_size = strlen(dir), name_size = strlen(name);
    size_t slash = dir_size > 0 && dir[dir_size - 1] != '/';
    char *path = need(malloc(dir_size + slash + name_size + 1));

    memcpy(path, dir, dir_size);
    memcpy(path + dir_size, "/", slash);
    memcpy(path + dir_size + slash, name, name_size + 1);
    return path;
}

/* Look at one path, our own copy: a regular file becomes the item, a directory waits its turn; a link is neither. */
static void visit(struct walk *walk, char *path)
{
    struct stat info = {0};

    if (lstat(path, &info) != 0)
        complain(path, strerror(errno));
    if (S_ISREG(info.st_mode)) {
        walk->file = path;
    } else if (S_ISDIR(info.st_mode)) {
        if (walk->count == walk->room) {
            walk->room = walk->room * 2 + 64;
            walk->pending = need(realloc(walk->pending, walk->room * sizeof *walk->pending));
        }
        walk->pending[walk->count++] = path;
    } else {
        free(path);
    }
}

static void open_pending(struct walk *walk)
{
    free(walk->dir_path);
    walk->dir_path = walk->pending[--walk->count];
    walk->dir = opendir(walk->dir_path);
    if (walk->dir == NULL)
        complain(walk->dir_path, strerror(errno));
}

static void read_entry(struct walk *walk)
{
    struct dirent *entry;

    errno = 0;
    entry = readdir(walk->dir);
    if (entry == NULL) {
        if (errno != 0)
            complain(walk->dir_path, strerror(errno));
        closedir(walk->dir);
        walk->dir = NULL;
    } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
        visit(walk, join_path(walk->dir_path, entry->d_name));
    }
}

/* The generator: called when the pool wants one more item, in this process only. */
static int next_file(void *context, const void **item, size_t *size)
{
    struct walk *walk = context;

    free(walk->file); /* the pool has its copy */
    walk->file = NULL;
    while (walk->file == NULL) {
        if (walk->dir != NULL)
            read_entry(walk);
        else if (walk->count > 0)
            open_pending(walk);
        else if (*walk->arguments != NULL)
            visit(walk, join_path("", *walk->arguments++));
        else
            return 0;
    }
    *item = walk->file;
    *size = strlen(walk->file) + 1;
    return 1;
}

static void end_walk(struct walk *walk)
{
    if (walk->dir != NULL)
        closedir(walk->dir);
    while (walk->count > 0)
        free(walk->pending[--walk->count]);
    free(walk->pending);
    free(walk->dir_path);
    free(walk->file);
}

/* ------------------------------------------------------------------ the program */

static void usage(void)
{
    fputs("usage: cksum [-q] [-j workers] DIR...\n", stderr);
    exit(2);
}

static unsigned read_workers(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || number > 10000)
        usage();
    return (unsigned)number;
}

struct totals {
    uint64_t files, bytes;
};

/* One file's outcome: a line, or a complaint. */
static void show_result(const struct pool_result *result, struct totals *totals)
{
    const struct sum *sum = result->data;

    if (result->status == POOL_OK) {
        printf("%" PRIu32 " %" PRIu64 " %s\n", sum->crc, sum->size, (const char *)result->arg);
        totals->files++;
        totals->bytes += sum->size;
    } else {
        complain(result->arg, result->status == POOL_FAILED ? strerror(result->code) : result->message);
    }
}

/* Sum up all that the walk finds. What ends the run early is a complaint too. */
static void sum_all(struct pool *pool, struct walk *walk, struct totals *totals)
{
    struct pool_job job = {.progress = bar_shown ? pool_progress_bar : NULL, .progress_user = "cksum"};
    struct pool_iterator *iterator = pool_imap_unordered(pool, sum_task, pool_generate(next_file, walk), &job);
    const struct pool_result *result;
    enum pool_status status;

    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK && !ferror(stdout))
        show_result(result, totals);
    if (status != POOL_END && status != POOL_OK)
        complain("the run ended early", pool_error());
    pool_iterator_free(iterator);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
    bool quiet = false;
    unsigned workers = 0;
    struct walk walk = {0};
    struct totals totals = {0};
    struct timespec start;
    struct pool *pool;
    int option;

    while ((option = getopt(argc, argv, "qj:")) != -1) {
        switch (option) {
        case 'q': quiet = true; break;
        case 'j': workers = read_workers(optarg); break;
        default: usage();
        }
    }
    if (optind == argc)
        usage();
    walk.arguments = argv + optind;

    clock_gettime(CLOCK_MONOTONIC, &start);
    make_crc_table(); /* before the pool: what is in memory now, every worker has */
    pool = pool_create(workers, NULL);
    if (pool == NULL)
        give_up("cannot make a pool", pool_error());
    bar_shown = !quiet && isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO); /* else it would stand among the lines */
    sum_all(pool, &walk, &totals);
    if (fflush(stdout) != 0 || ferror(stdout))
        give_up("standard output", "write error");
    wipe_bar();
    if (!quiet)
        fprintf(stderr, "cksum: %" PRIu64 " files, %" PRIu64 " bytes in %.2f s with %u workers\n", totals.files,
                totals.bytes, seconds_since(&start), pool_size(pool));
    end_walk(&walk);
    pool_destroy(pool);
    return complaints == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * Expected output of `cksum -j 2 /usr/include`: a line for each file on standard output, in no particular order, and
 * one on standard error:
 *
 *     3524715683 7738 /usr/include/aio.h
 *     316844425 36827 /usr/include/stdlib.h
 *     ...
 *     cksum: 8183 files, 116297609 bytes in 0.24 s with 2 workers
 */
