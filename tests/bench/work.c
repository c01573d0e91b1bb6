#include "work.h"

#include <stdlib.h>
#include <string.h>

#include "tasks.h"

static void apply(struct pool *pool, size_t count)
{
    apply_us(&(struct pool_side){pool, count});
}

static void async(struct pool *pool, size_t count)
{
    async_rate(&(struct async_side){.pool = pool, .count = count});
}

static void map(struct pool *pool, size_t count)
{
    long *in = numbers_make(count), *out = numbers_make(count);

    map_rate(&(struct map_side){.pool = pool, .in = in, .out = out, .count = count});
    free(in);
    free(out);
}

static void imap(struct pool *pool, size_t count)
{
    long *in = numbers_make(count);

    imap_rate(&(struct imap_side){pool, in, count, pool_imap});
    free(in);
}

bool work_run(const char *name, size_t count)
{
    static const struct {
        const char *name;
        void (*run)(struct pool *pool, size_t count);
    } works[] = {{"apply", apply}, {"async", async}, {"imap", imap}, {"map", map}};

    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (strcmp(works[i].name, name) == 0) {
            struct pool *pool = pool_made(pool_create(2, NULL));
            works[i].run(pool, count);
            must(pool_close(pool));
            must(pool_join(pool, POOL_FOREVER)); /* or a profiler would hear nothing of workers that were killed */
            pool_destroy(pool);
            return true;
        }
    return false;
}
