#include "peers.h"

#include <stdlib.h>
#include <uv.h>

#include "child.h"
#include "contest.h"

struct work {
    uv_work_t request;
    int result;
};

static void run(uv_work_t *request)
{
    ((struct work *)request->data)->result = 1;
}

static void over(uv_work_t *request, int status)
{
    if (status != 0 || ((struct work *)request->data)->result != 1)
        give_up("a task of uv_queue_work has not run");
}

double uv_rate(void *context)
{
    size_t count = *(const size_t *)context;
    struct work *works = memory_make(count * sizeof works[0]);
    double start, end;

    setenv("UV_THREADPOOL_SIZE", "2", 1); /* looked at once, at the first request */
    start = seconds_now();
    for (size_t i = 0; i < count; i++) {
        works[i].request.data = &works[i];
        if (uv_queue_work(uv_default_loop(), &works[i].request, run, over) != 0)
            give_up("uv_queue_work failed");
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    end = seconds_now();
    free(works);
    return (double)count / (end - start) / 1e6;
}
