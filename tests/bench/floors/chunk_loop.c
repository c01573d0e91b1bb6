#include "floors.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "child.h"
#include "contest.h"

enum { MOST_DEPTH = 2 };

/* What stands before a chunk's items. */
struct header {
    uint64_t place, count;
};

/* A worker's chunks on their way, oldest first. */
struct flight {
    struct header chunk[MOST_DEPTH];
    unsigned count;
};

struct ends {
    floor_function *function;
    int task[2], result[2];
};

/* Room for chunks grows as they come. */
static long *make_room(long *items, size_t *room, size_t count)
{
    if (count <= *room)
        return items;
    items = realloc(items, count * sizeof items[0]);
    if (items == NULL)
        give_up("no memory for a chunk of %zu items", count);
    *room = count;
    return items;
}

static void compute(void *context)
{
    struct ends *ends = context;
    floor_function *volatile function = ends->function; /* no inlining: a pool cannot either */
    struct header header;
    size_t room = 0;
    long *items = NULL;

    close(ends->task[1]);
    close(ends->result[0]);
    while (read_whole(ends->task[0], &header, sizeof header)) {
        floor_function *call = function;
        items = make_room(items, &room, header.count);
        if (!read_whole(ends->task[0], items, header.count * sizeof items[0]))
            break;
        for (size_t i = 0; i < header.count; i++)
            items[i] = call(items[i]);
        write_whole(ends->result[1], items, header.count * sizeof items[0]);
    }
    free(items);
}

void chunk_loop_open(struct chunk_loop *floor, floor_function *function, const long *in, long *out, size_t count)
{
    *floor = (struct chunk_loop){.function = function, .in = in, .out = out, .count = count, .chunk = 4094, .depth = 1};
    for (int i = 0; i < 2; i++) {
        struct ends ends = {.function = function};
        pipe_make(ends.task);
        pipe_make(ends.result);
        floor->child[i] = child_start(compute, &ends);
        close(ends.task[0]);
        close(ends.result[1]);
        floor->task[i] = ends.task[1];
        floor->result[i] = ends.result[0];
    }
}

static void send_chunk(const struct chunk_loop *floor, int worker, struct flight *flight, size_t *next)
{
    struct header header = {*next, floor->count - *next < floor->chunk ? floor->count - *next : floor->chunk};
    struct iovec parts[2] = {{&header, sizeof header}, {NULL, header.count * sizeof floor->in[0]}};
    const char *items = (const char *)(floor->in + header.place);
    ssize_t got;

    memcpy(&parts[1].iov_base, &items, sizeof items); /* writev() only reads */
    got = writev(floor->task[worker], parts, 2);
    if (got < (ssize_t)sizeof header)
        give_up("writev: %s", strerror(errno));
    write_whole(floor->task[worker], items + ((size_t)got - sizeof header),
                parts[1].iov_len - ((size_t)got - sizeof header));
    flight->chunk[flight->count++] = header;
    *next += header.count;
}

static void take_chunk(const struct chunk_loop *floor, int worker, struct flight *flight)
{
    struct header header = flight->chunk[0];

    if (!read_whole(floor->result[worker], floor->out + header.place, header.count * sizeof floor->out[0]))
        give_up("a child of the chunk loop has ended");
    flight->count--;
    memmove(flight->chunk, flight->chunk + 1, flight->count * sizeof flight->chunk[0]);
}

double chunk_loop_rate(void *context)
{
    const struct chunk_loop *floor = context;
    struct pollfd results[2] = {{floor->result[0], POLLIN, 0}, {floor->result[1], POLLIN, 0}};
    struct flight flight[2] = {{.count = 0}, {.count = 0}};
    double start = seconds_now();
    size_t next = 0;

    while (true) {
        for (unsigned turn = 0; turn < floor->depth; turn++)
            for (int i = 0; i < 2; i++)
                while (next < floor->count && flight[i].count <= turn)
                    send_chunk(floor, i, &flight[i], &next);
        if (flight[0].count + flight[1].count == 0)
            break;
        for (int i = 0; i < 2; i++)
            results[i].fd = flight[i].count > 0 ? floor->result[i] : -1;
        if (poll(results, 2, -1) < 0 && errno != EINTR)
            give_up("poll: %s", strerror(errno));
        for (int i = 0; i < 2; i++)
            if (flight[i].count > 0 && results[i].revents != 0)
                take_chunk(floor, i, &flight[i]);
    }
    return (double)floor->count / (seconds_now() - start) / 1e6;
}

/*
 * Header and chunk are to stay within a pipe's 16 pages, so 8,190 items and not 8,192. Two chunks at a worker only
 * where both fit into its pipes: all here is blocking, and both sides would wait for room.
 */
void chunk_loop_tune(struct chunk_loop *floor)
{
    static const struct {
        size_t chunk;
        unsigned depth;
    } tries[] = {{1022, 1}, {1022, 2}, {2046, 2}, {4094, 1}, {3070, 2}, {8190, 1}, {32766, 1}, {131070, 1}};
    size_t count = floor->count, best = 0;
    double best_rate = 0;

    floor->count = count / 2;
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
            double rate;
            floor->chunk = tries[i].chunk;
            floor->depth = tries[i].depth;
            rate = chunk_loop_rate(floor);
            if (rate > best_rate) {
                best_rate = rate;
                best = i;
            }
        }
    floor->chunk = tries[best].chunk;
    floor->depth = tries[best].depth;
    floor->count = count;
}

void chunk_loop_close(struct chunk_loop *floor)
{
    for (int i = 0; i < 2; i++) {
        close(floor->task[i]);
        close(floor->result[i]);
    }
    for (int i = 0; i < 2; i++)
        child_kill(floor->child[i]); /* the second has the first's ends, so that neither sees its own's end for sure */
}
