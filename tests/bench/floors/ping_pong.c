#include "floors.h"

#include <unistd.h>

#include "child.h"
#include "contest.h"
#include "usage.h"

/* What the child is given. */
struct ends {
    int task[2], result[2];
};

static void answer(void *context)
{
    struct ends *ends = context;
    long value;

    close(ends->task[1]);
    close(ends->result[0]);
    while (read_whole(ends->task[0], &value, sizeof value)) {
        value = value * value;
        write_whole(ends->result[1], &value, sizeof value);
    }
}

void ping_pong_open(struct ping_pong *floor, size_t count)
{
    struct ends ends;

    pipe_make(ends.task);
    pipe_make(ends.result);
    floor->child = child_start(answer, &ends);
    close(ends.task[0]);
    close(ends.result[1]);
    floor->task = ends.task[1];
    floor->result = ends.result[0];
    floor->count = count;
}

static void play(const struct ping_pong *floor)
{
    for (size_t i = 0; i < floor->count; i++) {
        long value = (long)(i % 1000), square;
        write_whole(floor->task, &value, sizeof value);
        if (!read_whole(floor->result, &square, sizeof square) || square != value * value)
            give_up("the ping-pong's child gave a wrong answer");
    }
}

double ping_pong_us(void *context)
{
    const struct ping_pong *floor = context;
    double start = seconds_now();

    play(floor);
    return (seconds_now() - start) * 1e6 / (double)floor->count;
}

double ping_pong_cpu_us(void *context)
{
    const struct ping_pong *floor = context;
    double start = usage_cpu_seconds(&floor->child, 1);

    play(floor);
    return (usage_cpu_seconds(&floor->child, 1) - start) * 1e6 / (double)floor->count;
}

void ping_pong_close(struct ping_pong *floor)
{
    close(floor->task);
    close(floor->result);
    child_wait(floor->child);
}
