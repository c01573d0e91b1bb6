#define _GNU_SOURCE
#include "scenario.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *wrong(const char *format, ...)
{
    int saved = errno;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(plan->words, sizeof plan->words, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof plan->words)
        snprintf(plan->words + length, sizeof plan->words - (size_t)length, " (errno %d, pool_error: \"%.200s\")",
                 saved, pool_error());
    return plan->words;
}

bool is_faulty(void)
{
    for (int i = 0; i < 2; i++)
        if (plan->faults[i].call >= 0 && plan->faults[i].trick == FAILS)
            return true;
    return false;
}

static bool fails(enum call_number call)
{
    for (int i = 0; i < 2; i++)
        if (plan->faults[i].call == (int)call && plan->faults[i].trick == FAILS)
            return true;
    return false;
}

/*
 * Only where something has failed among the children, or on the way to them and back, may a task end with its worker.
 */
static bool workers_are_lost(void)
{
    return atomic_load(&plan->hits[ZYGOTE]) + atomic_load(&plan->hits[WORKER]) > 0 || fails(CALL_read) ||
           fails(CALL_writev);
}

bool may_be(enum pool_status status)
{
    if (status == POOL_OK)
        return true;
    if (!is_faulty())
        return false;
    if (status == POOL_CRASHED || status == POOL_EXITED)
        return workers_are_lost();
    return status == POOL_NO_MEMORY || status == POOL_SYSTEM || status == POOL_BROKEN;
}

bool may_be_errno(void)
{
    if (!is_faulty() || !*pool_error())
        return false;
    for (int i = 0; i < 2; i++)
        if (plan->faults[i].call >= 0 && errno == plan->faults[i].code)
            return true;
    return errno == ENOMEM || errno == EMFILE || errno == EAGAIN || errno == EPIPE || errno == ETIMEDOUT;
}

const char *check_status(const char *what, enum pool_status status)
{
    return may_be(status) ? NULL : wrong("%s: %s", what, pool_status_name(status));
}

const char *check_errno(const char *what)
{
    return may_be_errno() ? NULL : wrong("%s: NULL", what);
}

int wait_limit(void)
{
    const char *text = getenv("PROCPOOL_TIME_SCALE");
    int scale = text ? atoi(text) : 1;

    return WAIT_MS * (scale < 1 ? 1 : scale > 100 ? 100 : scale);
}

struct pool *pool_with(unsigned workers, const struct pool_options *options, const char **wrong_words)
{
    struct pool_options given = {0};

    if (options)
        given = *options;
    if (given.max_workers == 0)
        given.max_workers = 4;
    struct pool *pool = pool_create(workers, &given);
    if (!pool)
        *wrong_words = check_errno("pool_create");
    return pool;
}

const char *apply_squares(struct pool *pool, int count)
{
    for (long i = 0; i < count; i++) {
        long value = i, result = -1;
        enum pool_status status = pool_apply(pool, square, &value, sizeof value, &result, sizeof result, NULL);

        PASS_ON(check_status("pool_apply", status));
        NEED(status != POOL_OK || result == i * i, "pool_apply: %ld of %ld", result, i);
    }
    return NULL;
}

enum { ITEMS = 12 };

const char *map_squares(struct pool *pool, const struct pool_job *job)
{
    long items[ITEMS], results[ITEMS];
    enum pool_status statuses[ITEMS];
    struct pool_job given = {0};

    if (job)
        given = *job;
    given.statuses = statuses;
    given.keep_going = true;
    for (long i = 0; i < ITEMS; i++) {
        items[i] = i;
        results[i] = -1;
        statuses[i] = POOL_SYSTEM;
    }
    enum pool_status status = pool_map(pool, square, POOL_ARRAY(items), results, sizeof results[0], &given);
    PASS_ON(check_status("pool_map", status));
    for (long i = 0; i < ITEMS; i++) {
        PASS_ON(check_status("an item of pool_map", statuses[i]));
        NEED(status != POOL_OK || statuses[i] == POOL_OK, "pool_map is ok, an item is not");
        NEED(statuses[i] != POOL_OK || results[i] == i * i, "pool_map: %ld of %ld", results[i], i);
    }
    return NULL;
}

const char *check_square(struct pool_future *future, long value)
{
    const struct pool_result *result = NULL;
    long number = -1;

    if (!future)
        return check_errno("pool_apply_async");
    enum pool_status status = pool_future_get(future, wait_limit(), &result);
    NEED(status != POOL_TIMEOUT, "a future does not resolve");
    NEED(result && result->status == status, "a future without a result");
    PASS_ON(check_status("a future", status));
    if (status != POOL_OK)
        return NULL;
    NEED(result->size == sizeof number, "a future's result has %zu bytes", result->size);
    memcpy(&number, result->data, sizeof number);
    NEED(number == value * value, "a future: %ld of %ld", number, value);
    return NULL;
}

const char *finish(struct pool *pool)
{
    enum pool_status status = pool_close(pool);

    NEED(status == POOL_OK, "pool_close: %s", pool_status_name(status));
    status = pool_join(pool, wait_limit());
    NEED(status == POOL_OK, "pool_join: %s", pool_status_name(status));
    pool_destroy(pool);
    return NULL;
}

/* ---- tasks */

int square(struct pool_task *task)
{
    long value = -1;

    if (task->size == sizeof value)
        memcpy(&value, task->arg, sizeof value);
    value *= value;
    return pool_return(task, &value, sizeof value);
}

int echo(struct pool_task *task)
{
    return pool_return(task, task->arg, task->size);
}

int killed(struct pool_task *task)
{
    (void)task;
    raise(SIGKILL);
    return 0;
}

int killed_once(struct pool_task *task)
{
    if (atomic_fetch_add(&plan->marks[0], 1) == 0)
        raise(SIGKILL);
    return square(task);
}

int gone_at_3(struct pool_task *task)
{
    if (task->index == 3)
        _exit(7);
    return square(task);
}

int fails_at_3(struct pool_task *task)
{
    return task->index == 3 ? pool_fail(task, 3, "three is wrong") : square(task);
}

int waits_for_cancel(struct pool_task *task)
{
    atomic_store(&plan->gates[0], 1);
    while (!pool_cancelled(task))
        sched_yield();
    return 1;
}

int pid_of_zygote(struct pool_task *task)
{
    (void)task;
    atomic_store(&plan->zygote, (int)getppid());
    return 0;
}
