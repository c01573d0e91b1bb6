/* Rows 6 and 7: a trivial function over a large array. */
#include <procpool.h>

#include <stdlib.h>

#include "bench.h"
#include "child.h"
#include "contest.h"
#include "floors/floors.h"
#include "peers/peers.h"
#include "tasks.h"

enum { COUNT = 10000000, QUICK_COUNT = 50000, LARGEST_CHUNK = 1 << 18 };

/* Both with the same chunk, and so many items that it takes a while, not for ever. */
static void sweep_chunks(struct bench *bench, struct map_side side, struct chunk_loop *floor)
{
    size_t most = side.count;

    for (size_t chunk = 1; chunk <= LARGEST_CHUNK; chunk *= 4) {
        struct pool_job job = {.chunk = chunk};
        double ours[3], theirs[3];
        side.count = floor->count = chunk * 100000 < most ? chunk * 100000 : most;
        side.job = &job;
        floor->chunk = chunk;
        floor->depth = chunk <= 2048 ? 2 : 1;
        for (int i = 0; i < 3; i++) {
            ours[i] = map_rate(&side);
            theirs[i] = chunk_loop_rate(floor);
        }
        report_point(bench->report, "pool_map", (double)chunk, median(ours, 3));
        report_point(bench->report, "by hand", (double)chunk, median(theirs, 3));
    }
}

void row_map(struct bench *bench)
{
    size_t count = bench_count(bench, COUNT, QUICK_COUNT);
    struct pool *pool = pool_made(pool_create(2, NULL));
    struct map_side side = {.pool = pool, .in = numbers_make(count), .out = numbers_make(count), .count = count};
    struct python_side python = {"map", bench_count(bench, COUNT / 5, 100), false};
    struct chunk_loop floor;

    chunk_loop_open(&floor, square, side.in, numbers_make(count), count);
    chunk_loop_tune(&floor);
    contest(bench, "pool_map, 10,000,000 longs", "M/s",
            (struct side[]){{"pool", map_rate, &side, false},
                            {"chunks by hand", chunk_loop_rate, &floor, false},
                            {"Python's map", python_figure, &python, true}},
            bench->python && python_there() ? 3 : 2, GOAL_AT_LEAST(0.85));
    report_figure(bench->report, "the best chunk by hand", "items", (double)floor.chunk, GOAL_NONE);
    report_figure(bench->report, "with so many at a worker at once", "", (double)floor.depth, GOAL_NONE);
    if (bench->sweep)
        sweep_chunks(bench, side, &floor);
    chunk_loop_close(&floor);
    pool_destroy(pool);
}

void row_map_in_arena(struct bench *bench)
{
    size_t count = bench_count(bench, COUNT, QUICK_COUNT), size = count * sizeof(long);
    struct pool_options options = {.arena_size = 2 * size + 65536};
    struct pool *pool = pool_create(2, &options);
    struct map_side side = {.pool = pool, .count = count};
    struct serial_loop floor = {task_square, NULL, NULL, count};
    long *in, *numbers;

    if (pool == NULL) {
        report_note(bench->report, "the same, arrays in the arena", "not built");
        return;
    }
    in = pool_arena_alloc(pool, size);
    side.out = pool_arena_alloc(pool, size);
    if (in == NULL || side.out == NULL)
        give_up("no room in the arena: %s", pool_error());
    for (size_t i = 0; i < count; i++)
        in[i] = (long)i;
    side.in = in;
    floor.in = numbers = numbers_make(count);
    floor.out = numbers_make(count);
    contest(bench, "the same, arrays in the arena", "M/s",
            (struct side[]){{"pool", map_rate, &side, false}, {"serial loop", serial_loop_rate, &floor, false}}, 2,
            GOAL_AT_LEAST(1.5));
    free(numbers);
    free(floor.out);
    pool_destroy(pool);
}
