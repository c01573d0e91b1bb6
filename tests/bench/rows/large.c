/* Rows 9 and 10: much memory in and out, and none at all. */
#include <procpool.h>

#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "floors/floors.h"
#include "peers/peers.h"
#include "tasks.h"

enum { WARM_ECHOES = 4, ECHO_BYTES = 16 << 20, QUICK_BYTES = 1 << 20, POINTER_COUNT = 20000, QUICK_COUNT = 200 };

struct echo_side {
    struct pool *pool;
    unsigned char *out, *in;
    size_t size;
};

static double pool_echo_once(void *context)
{
    const struct echo_side *side = context;
    double start = seconds_now(), end;

    must(pool_apply(side->pool, task_echo, side->out, side->size, side->in, side->size, NULL));
    end = seconds_now();
    if (memcmp(side->out, side->in, side->size) != 0)
        give_up("the pool's echo came back changed");
    return (end - start) * 1e3;
}

/* With warm buffers: the other sides, a Python among them, have been through the caches since the last round. */
static double when_warm(double (*once)(void *context), void *context)
{
    double sum = 0;

    once(context);
    for (int i = 0; i < WARM_ECHOES; i++)
        sum += once(context);
    return sum / WARM_ECHOES;
}

static double pool_echo_ms(void *context)
{
    return when_warm(pool_echo_once, context);
}

static double floor_echo_ms(void *context)
{
    return when_warm(echo_ms, context);
}

void row_large(struct bench *bench)
{
    size_t size = bench_count(bench, ECHO_BYTES, QUICK_BYTES);
    struct echo_side side = {pool_made(pool_create(2, NULL)), memory_make(size), memory_make(size), size};
    struct python_side python = {"echo", size, false};
    struct echo floor;

    echo_open(&floor, size);
    contest(bench, "16 MiB in and out", "ms",
            (struct side[]){{"pool", pool_echo_ms, &side, false},
                            {"two pipes", floor_echo_ms, &floor, false},
                            {"Python's Pool", python_figure, &python, true}},
            bench->python && python_there() ? 3 : 2, GOAL_AT_MOST(0.5));
    echo_close(&floor);
    pool_destroy(side.pool);
    free(side.out);
    free(side.in);
}

/* ------------------------------------------------------------------ a pointer into the arena */

struct pointer_side {
    struct pool *pool;
    char *memory;
    size_t count;
};

/* Touches the byte that it was pointed to. */
static int task_look(struct pool_task *task)
{
    char *memory;

    memcpy(&memory, task->arg, sizeof memory);
    return pool_return(task, memory, 1);
}

static double pointer_us(void *context)
{
    const struct pointer_side *side = context;
    double start = seconds_now();
    char got;

    for (size_t i = 0; i < side->count; i++)
        must(pool_apply(side->pool, task_look, &side->memory, sizeof side->memory, &got, 1, NULL));
    return (seconds_now() - start) * 1e6 / (double)side->count;
}

void row_arena_pointer(struct bench *bench)
{
    size_t size = bench_count(bench, (size_t)1 << 30, 1 << 20);
    struct pool_options options = {.arena_size = size + 65536};
    struct pool *pool = pool_create(2, &options);
    struct pointer_side side = {pool, NULL, bench_count(bench, POINTER_COUNT, QUICK_COUNT)};
    struct pool_side plain = {pool, side.count};

    if (pool == NULL) {
        report_note(bench->report, "a pointer to 1 GiB of the arena", "not built");
        return;
    }
    side.memory = pool_arena_alloc(pool, size);
    if (side.memory == NULL)
        give_up("no room in the arena: %s", pool_error());
    memset(side.memory, 1, size);
    contest(bench, "a pointer to 1 GiB of the arena", "us",
            (struct side[]){{"pool", pointer_us, &side, false}, {"row 1", apply_us, &plain, false}}, 2,
            GOAL_AT_MOST(1.1));
    pool_destroy(pool);
}
