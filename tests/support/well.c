#include "well.h"
#include "gate.h"
#include "watchdog.h"

static int draw(void *context, const void **item, size_t *size)
{
    struct well *well = context;
    if (atomic_fetch_add(&well->inside, 1) > 0)
        atomic_store(&well->twice, 1);
    if (!pthread_equal(pthread_self(), well->thread))
        well->other_thread = true;
    int64_t end = time_now_ms() + well->slow_ms;
    while (well->slow_ms && time_now_ms() < end)
        pause_briefly();
    bool more = well->count < 0 || atomic_load(&well->drawn) < well->count;
    if (more) {
        well->place = atomic_fetch_add(&well->drawn, 1);
        *item = &well->place;
        *size = sizeof well->place;
    }
    atomic_fetch_sub(&well->inside, 1);
    return more ? 1 : well->failure;
}

struct well well_new(long count, int failure)
{
    struct well well = {.count = count, .failure = failure, .thread = pthread_self()};
    return well;
}

struct pool_source well_source(struct well *well)
{
    return pool_generate(draw, well);
}
