#include "peers.h"

const struct thread_pool thread_pools[] = {
#ifdef BENCH_GLIB
    {"GLib GThreadPool", glib_rate},
#endif
#ifdef BENCH_UV
    {"libuv uv_queue_work", uv_rate},
#endif
    {NULL, NULL},
};

const size_t thread_pool_count = sizeof thread_pools / sizeof thread_pools[0] - 1;
