/* create - pool_create() and pool_destroy(): a pool's parts, made in order and let go in reverse. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api/arena.h"
#include "api/call.h"
#include "api/group.h"
#include "base/barrier.h"
#include "base/clock.h"
#include "base/cpu_count.h"
#include "base/descriptor.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/oom_counter.h"
#include "base/shared_pages.h"
#include "engine/callbacks.h"
#include "engine/loss.h"
#include "engine/role.h"
#include "engine/staffing.h"

#define START_TIMEOUT 60000u /* ms, where start_timeout_ms is 0 */
#define SPIN          20     /* us, where PROCPOOL_SPIN does not say: longer than a wake-up takes */
#define SPIN_MOST     1000000
#define SPARE_BOARDS  4u                 /* for lives whose end is not told yet while the next begins */
#define FIRST_LIVES   (30000 * POOL__MS) /* the most that the first forks may take, of a very large program */
#define LAST_LIVES    (3000 * POOL__MS)  /* the most that pool_destroy() waits for a zygote that does not answer */

/* ---- options */

static const struct pool_options defaults;

static void *wrong(const char *what)
{
    return pool__null(EINVAL, "pool_create: %s", what);
}

static unsigned default_limit(unsigned workers)
{
    unsigned four = workers > UINT_MAX / 4 ? workers : workers * 4;

    return four > 64 ? four : 64;
}

/* False, with words and errno: not an options struct for this version. */
static bool check_options(const struct pool_options *options, unsigned workers, unsigned limit)
{
    size_t i;

    for (i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i] != 0)
            return wrong("a reserved field of the options is not zero") != NULL;
    if ((options->flags & ~POOL_NO_THREAD) != 0)
        return pool__null(EINVAL, "pool_create: flags are 0x%x: only POOL_NO_THREAD is known", options->flags) != NULL;
    if (options->start_timeout_ms < 0)
        return pool__null(EINVAL, "pool_create: start_timeout_ms is %d: below zero", options->start_timeout_ms) != NULL;
    if (workers > limit)
        return pool__null(EINVAL, "pool_create: %u workers are more than max_workers, %u", workers, limit) != NULL;
    if (limit > UINT16_MAX)
        return pool__null(EINVAL, "pool_create: %u workers are more than the 65,535 that a pool can have", limit) !=
               NULL;
    return true;
}

/* How long waits may spin before they sleep, ns: not where there is but one processor for both sides. */
static uint64_t spin_budget(void)
{
    const char *asked = getenv("PROCPOOL_SPIN");
    char *end;
    long us = asked != NULL ? strtol(asked, &end, 10) : SPIN;

    if (asked != NULL && (end == asked || *end != '\0' || us < 0))
        us = SPIN;
    if (us > SPIN_MOST)
        us = SPIN_MOST;
    return us > 0 && pool__cpu_affinity() > 1 ? (uint64_t)us * 1000 : 0;
}

static void name_processes(struct pool__zygote_setup *setup, const char *name)
{
    snprintf(setup->worker.name, sizeof setup->worker.name, "%s", name != NULL ? name : "pool");
    snprintf(setup->name, sizeof setup->name, "%.8s/zygote", setup->worker.name);
}

/* ---- parts */

static void setup_free(struct pool__zygote_setup *setup)
{
    if (setup == NULL)
        return;
    pool__shared_pages_unmap(setup->boards, setup->shared_size);
    pool__executable_map_free(&setup->worker.code);
    free(setup);
}

/* Boards, the rings beside them, and the zygote's own table, in one mapping. */
static bool map_shared(struct pool__zygote_setup *setup)
{
    size_t count = setup->board_count;

    setup->shared_size = count * (sizeof *setup->boards + sizeof *setup->bulks) + pool__lives_size(count);
    setup->boards = pool__shared_pages_map(setup->shared_size);
    if (setup->boards == NULL)
        return false;
    setup->bulks = (struct pool__bulk *)(void *)(setup->boards + count);
    setup->lives = (struct pool__lives *)(void *)(setup->bulks + count);
    pool__lives_begin(setup->lives, count);
    return true;
}

static struct pool__zygote_setup *setup_make(const struct pool_options *options, unsigned limit)
{
    struct pool__zygote_setup *setup = calloc(1, sizeof *setup);

    if (setup == NULL)
        return NULL;
    setup->worker.initializer = options->initializer;
    setup->worker.finalizer = options->finalizer;
    setup->worker.initializer_arg = options->initializer_arg;
    setup->worker.tasks_per_worker = options->tasks_per_worker;
    setup->worker.worker_memory = options->worker_memory;
    setup->worker.spin = spin_budget();
    name_processes(setup, options->name);
    setup->board_count = (size_t)limit + SPARE_BOARDS;
    if (!map_shared(setup)) {
        setup_free(setup);
        errno = ENOMEM;
        return NULL;
    }
    setup->worker.blocks = pool__barrier_is_there();
    pool__executable_map_read(&setup->worker.code);
    pool__fault_prepare();
    return setup;
}

/*
 * In a child that the program forked: the pool's descriptors go, and its boards and arena, where the system has not
 * kept them back itself. Nothing else is looked at.
 */
static void close_in_child(struct pool__fork_guard *guard)
{
    struct pool *pool = pool__holder(guard, struct pool, guard);
    unsigned i;

    pool__shared_pages_unmap(pool->setup->boards, pool->setup->shared_size);
    pool__arena_unmap(pool);
    if (!pool__zygote_is_ours(&pool->zygote) || !pool__poller_is_ours(pool->pipes) || !pool__poller_is_ours(pool->bell))
        return; /* the program has closed them, and opened others */
    pool__close(&pool->zygote.control);
    pool__poller_close_in_child(pool->pipes);
    pool__poller_close_in_child(pool->bell);
    for (i = 0; pool->channels != NULL && i < pool->scheduler.limit; i++)
        pool__channel_close_in_child(&pool->channels[i]);
}

static void destroy(struct pool *pool);

static void init_plain(struct pool *pool)
{
    size_t i;

    pool->generation = pool__process_generation();
    pool->references = 1;
    pool->zygote.control = -1;
    pool->guard.in_child = close_in_child;
    pool->destroy = destroy;
    pool->take_role_at = pool->thread_sleeps_until = pool->retry_at = POOL__NEVER;
    pool->oom_kills = pool__oom_kills("", &pool->oom_file);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_mutex_init(&pool->arena_lock, NULL);
    pool__condition_init(&pool->quiet);
    pool__condition_init(&pool->call_done);
    for (i = 0; i < POOL__BEDS; i++)
        pool__condition_init(&pool->beds[i]);
    pool__list_init(&pool->unwanted);
    pool__list_init(&pool->iterators);
    pool__list_init(&pool->waiters);
    pool__list_init(&pool->calls_queued);
}

static bool make_memory(struct pool *pool, const struct pool_options *options, unsigned limit)
{
    pool->flags = options->flags;
    pool->queue_limit = options->queue_limit;
    pool->setup = setup_make(options, limit);
    pool->channels = calloc(limit, sizeof *pool->channels);
    pool->scratch = malloc(POOL__SCRATCH);
    if (pool->setup == NULL || pool->channels == NULL || pool->scratch == NULL ||
        (pool->boards = calloc(pool->setup->board_count, sizeof *pool->boards)) == NULL ||
        !pool__scheduler_init(&pool->scheduler, pool__engine_actions, pool, limit)) {
        errno = ENOMEM;
        return false;
    }
    pool->spin.budget = pool->setup->worker.spin;
    pool->scheduler.blocks = pool->setup->worker.blocks;
    pool->scheduler.tasks_per_worker = options->tasks_per_worker;
    pool->scheduler.start_timeout =
        (options->start_timeout_ms != 0 ? (unsigned)options->start_timeout_ms : START_TIMEOUT) * POOL__MS;
    pool->scheduler.stop_timeout = pool->scheduler.start_timeout;
    return true;
}

/* Before the zygote: where the program's loop can hear of no more than a bell, the zygote and the workers ring it. */
static bool make_pipes_poller(struct pool *pool)
{
    pool->setup->doorbell = -1;
    pool->setup->pipes = pool->pipes = pool__poller_open();
    return pool->pipes != NULL &&
           (pool__has_thread(pool) || pool__poller_make_bell(pool->pipes, &pool->setup->doorbell));
}

static bool listen_to_zygote(struct pool *pool)
{
    if (pool__has_thread(pool) && (pool->bell = pool__poller_open()) == NULL)
        return false;
    pool->listening = pool__listen(pool);
    return pool->listening;
}

/*
 * Under the fork lock, so that a child forked meanwhile by another thread has nothing that its handler does not know
 * (rule 25).
 */
static int make_zygote(struct pool *pool)
{
    unsigned i;
    int code;

    pool__fork_lock();
    code = make_pipes_poller(pool) ? pool__zygote_start(&pool->zygote, pool->setup) : errno;
    for (i = 0; i < pool->scheduler.limit; i++) /* written after the fork only, which so has not to copy it */
        pool__channel_clear(&pool->channels[i]);
    if (code == 0 && !listen_to_zygote(pool))
        code = errno;
    if (code == 0)
        pool__fork_guard_add(&pool->guard);
    pool__fork_unlock();
    pool__shared_pages_keep_from_children(pool->setup->boards, pool->setup->shared_size);
    pool__arena_keep_from_children(pool);
    return code;
}

/* ---- the first workers: all of them, or none */

static bool all_spawned(const void *context)
{
    const struct pool *pool = context;
    unsigned i;

    if (pool->create_error != 0 || pool->broken)
        return true;
    for (i = 0; i < pool->scheduler.size; i++)
        if (!pool->scheduler.seats[i].spawned)
            return false;
    return true;
}

static int start_workers(struct pool *pool, unsigned workers)
{
    int code = 0;

    pool__lock(pool);
    pool->creating = true;
    pool__staffing_resize(&pool->scheduler, workers, pool__now());
    if (!pool__wait(pool, pool, all_spawned, pool, pool__now() + FIRST_LIVES))
        code = EAGAIN;
    else if (pool->create_error != 0 || pool->broken)
        code = pool->create_error != 0 ? pool->create_error : EAGAIN;
    pool->creating = false;
    pool__unlock(pool);
    return code;
}

/* ---- the end */

static bool is_over(const void *pool)
{
    return pool__is_over(pool);
}

static void end_processes(struct pool *pool)
{
    pool__lock(pool);
    pool__look_for_loss(pool);
    if (!pool->terminated && !pool->broken)
        pool__end_by_terminate(pool);
    pool__settle(pool);
    if (!pool__wait(pool, pool, is_over, pool, pool__now() + LAST_LIVES) && pool->zygote.control >= 0) {
        /* it is stopped, or held by the kernel; it has our socket open still, so the number is its own */
        kill(pool->zygote.pid, SIGKILL);
        pool__wait(pool, pool, is_over, pool, pool__now() + LAST_LIVES);
    }
    pool__unlock(pool);
}

static void wait_for_calls(struct pool *pool)
{
    pool__lock(pool);
    pool->destroying = true;
    while (pool->calls > 0)
        pool__sleep(pool, &pool->quiet, POOL__NEVER);
    pool__unlock(pool);
}

/*
 * Futures and iterators may outlive the pool, and be asked at this very moment: what they look at is taken away under
 * the lock, and freed after.
 */
static void free_parts(struct pool *pool)
{
    struct pool__scheduler scheduler;
    struct pool__poller *pipes, *bell;
    struct pool__channel *channels;
    unsigned i;

    pool__fork_lock();
    pool__fork_guard_remove(&pool->guard);
    pool__fork_unlock();
    pool__lock(pool);
    pool__groups_end(pool);
    for (i = 0; pool->pipes != NULL && i < pool->scheduler.limit; i++)
        pool__channel_close(pool, &pool->channels[i]);
    pool__close(&pool->zygote.control);
    scheduler = pool->scheduler;
    pipes = pool->pipes;
    bell = pool->bell;
    channels = pool->channels;
    pool->pipes = pool->bell = NULL;
    pool->channels = NULL;
    pool->scheduler.limit = pool->scheduler.span = pool->scheduler.size = 0;
    pool->scheduler.seats = NULL;
    pool__unlock(pool);
    pool__poller_close(pipes);
    pool__poller_close(bell);
    pool__scheduler_free(&scheduler);
    free(channels);
    free(pool->boards);
    free(pool->scratch);
    pool__arena_unmap(pool);
    pool__arena_free(&pool->arena);
    setup_free(pool->setup);
}

static void destroy(struct pool *pool)
{
    end_processes(pool);
    wait_for_calls(pool);
    pool__callbacks_end(pool);
    if (pool->bell != NULL && pool->thread_started)
        pool__background_end(pool);
    free_parts(pool);
    pool__let_go(pool);
}

void pool_destroy(struct pool *pool)
{
    int kept = errno;

    if (pool == NULL || !pool__is_here(pool))
        /*
         * another process: what is there may be half changed by a thread that does not exist here; its descriptors
         * are closed already
         */
        return;
    pool__lock(pool);
    if (pool__in_callback(pool)) {
        pool->destroy_when_returned = true;
        pool->destroyer = pthread_self();
        pool__end_by_terminate(pool);
        pool__settle(pool);
        pool__unlock(pool);
    } else {
        pool__unlock(pool);
        destroy(pool);
    }
    errno = kept;
}

/* ---- the beginning */

/* Where there is no thread to listen to the zygote, the waits that are made at the end do. 0, or an errno. */
static int start_thread(struct pool *pool)
{
    int code = pool__background_start(pool);

    if (code == 0)
        return 0;
    pool->flags |= POOL_NO_THREAD;
    return code;
}

struct pool *pool_create(unsigned workers, const struct pool_options *options)
{
    unsigned limit;
    struct pool *pool;
    bool no_arena;
    int code;

    if (options == NULL)
        options = &defaults;
    if (workers == 0)
        workers = pool_cpu_count();
    limit = options->max_workers != 0 ? options->max_workers : default_limit(workers);
    if (!check_options(options, workers, limit))
        return NULL;
    if ((code = pool__fork_handlers_install()) != 0)
        return pool__null(code, "pool_create: no fork handlers: %s", strerror(code));
    pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return pool__null(ENOMEM, "pool_create: no memory for a pool");
    init_plain(pool);
    no_arena = options->arena_size > 0 && !pool__arena_make(pool, options->arena_size);
    if (no_arena || !make_memory(pool, options, limit)) {
        code = no_arena ? ENOMEM : errno;
    } else if ((code = make_zygote(pool)) == 0 && (code = pool__has_thread(pool) ? start_thread(pool) : 0) == 0) {
        pool->thread_started = true;
        code = start_workers(pool, workers);
    }
    if (code == 0)
        return pool;
    if (pool->listening)
        destroy(pool);
    else {
        pool__zygote_bury(&pool->zygote);
        free_parts(pool);
        pool__let_go(pool);
    }
    if (no_arena)
        return pool__null(code, "pool_create: no room for an arena of %zu bytes", options->arena_size);
    return pool__null(code, "pool_create: %u workers cannot be started: %s", workers, strerror(code));
}
