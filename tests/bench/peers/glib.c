#include "peers.h"

#include <glib.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "child.h"
#include "contest.h"

/* What a program would keep of a task. */
struct work {
    int result;
};

static struct {
    GMutex lock;
    GCond all_done;
    atomic_size_t left;
} gather;

static void run(gpointer data, gpointer unused)
{
    struct work *work = data;

    (void)unused;
    work->result = 1;
    if (atomic_fetch_sub(&gather.left, 1) == 1) {
        g_mutex_lock(&gather.lock);
        g_cond_signal(&gather.all_done);
        g_mutex_unlock(&gather.lock);
    }
}

double glib_rate(void *context)
{
    size_t count = *(const size_t *)context;
    struct work *works = memory_make(count * sizeof works[0]);
    GThreadPool *pool = g_thread_pool_new(run, NULL, 2, TRUE, NULL);
    double start = seconds_now(), end;

    atomic_store(&gather.left, count);
    for (size_t i = 0; i < count; i++)
        g_thread_pool_push(pool, &works[i], NULL);
    g_mutex_lock(&gather.lock);
    while (atomic_load(&gather.left) > 0)
        g_cond_wait(&gather.all_done, &gather.lock);
    g_mutex_unlock(&gather.lock);
    for (size_t i = 0; i < count; i++)
        if (works[i].result != 1)
            give_up("a task of GThreadPool has not run");
    end = seconds_now();
    g_thread_pool_free(pool, FALSE, TRUE);
    free(works);
    return (double)count / (end - start) / 1e6;
}
