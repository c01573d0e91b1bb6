#include "floors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "contest.h"

struct ends {
    size_t size;
    int task[2], result[2];
};

static void answer(void *context)
{
    struct ends *ends = context;
    unsigned char *bytes = memory_make(ends->size);

    close(ends->task[1]);
    close(ends->result[0]);
    while (read_whole(ends->task[0], bytes, ends->size))
        write_whole(ends->result[1], bytes, ends->size);
    free(bytes);
}

void echo_open(struct echo *floor, size_t size)
{
    struct ends ends = {.size = size};

    pipe_make(ends.task);
    pipe_make(ends.result);
    floor->child = child_start(answer, &ends);
    close(ends.task[0]);
    close(ends.result[1]);
    floor->task = ends.task[1];
    floor->result = ends.result[0];
    floor->size = size;
    floor->out = memory_make(size);
    floor->in = memory_make(size);
}

double echo_ms(void *context)
{
    const struct echo *floor = context;
    double start = seconds_now(), end;

    write_whole(floor->task, floor->out, floor->size);
    if (!read_whole(floor->result, floor->in, floor->size))
        give_up("the echo's child has ended");
    end = seconds_now();
    if (memcmp(floor->out, floor->in, floor->size) != 0)
        give_up("the echo came back changed");
    return (end - start) * 1e3;
}

void echo_close(struct echo *floor)
{
    close(floor->task);
    close(floor->result);
    child_wait(floor->child);
    free(floor->out);
    free(floor->in);
}
