#include "floors.h"

#include "children/task.h"
#include "contest.h"

double serial_loop_rate(void *context)
{
    const struct serial_loop *floor = context;
    int (*volatile function)(struct pool_task *task) = floor->function;
    int (*call)(struct pool_task *task) = function; /* no inlining: a pool cannot either */
    double start = seconds_now();

    for (size_t i = 0; i < floor->count; i++) {
        struct pool__task task = {
            .given = {.arg = floor->in + i, .size = sizeof(long), .index = i, .attempt = 1},
            .staging = (unsigned char *)(floor->out + i), /* so pool_return() writes where it shall be */
            .staging_room = sizeof(long),
        };
        call(&task.given);
    }
    return (double)floor->count / (seconds_now() - start) / 1e6;
}
