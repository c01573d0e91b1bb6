#include "floors.h"

#include <unistd.h>

#include "child.h"
#include "contest.h"

struct worker {
    pid_t pid;
    int task, result;
};

struct ends {
    int task[2], result[2];
};

/* A task of 0 is one that never ends; any other is answered at once. */
static void answer(void *context)
{
    struct ends *ends = context;
    long value;

    close(ends->task[1]);
    close(ends->result[0]);
    while (read_whole(ends->task[0], &value, sizeof value)) {
        write_whole(ends->result[1], &value, sizeof value);
        while (value == 0)
            pause();
    }
}

static struct worker start_worker(void)
{
    struct worker worker;
    struct ends ends;

    pipe_make(ends.task);
    pipe_make(ends.result);
    worker.pid = child_start(answer, &ends);
    close(ends.task[0]);
    close(ends.result[1]);
    worker.task = ends.task[1];
    worker.result = ends.result[0];
    return worker;
}

static void give_task(const struct worker *worker, long value)
{
    long answered;

    write_whole(worker->task, &value, sizeof value);
    if (!read_whole(worker->result, &answered, sizeof answered))
        give_up("the worker by hand has ended");
}

static void close_worker(const struct worker *worker)
{
    close(worker->task);
    close(worker->result);
}

/* From SIGKILL to the wait status; then to the first answer of the next one. */
static void kill_one(double *told, double *replaced)
{
    struct worker first = start_worker(), second;
    double start;

    give_task(&first, 0); /* answered: it is busy now */
    start = seconds_now();
    child_kill(first.pid);
    *told = (seconds_now() - start) * 1e3;
    close_worker(&first);
    second = start_worker();
    give_task(&second, 1);
    *replaced = (seconds_now() - start) * 1e3;
    child_kill(second.pid);
    close_worker(&second);
}

double death_told_ms(void *unused)
{
    double told, replaced;

    (void)unused;
    kill_one(&told, &replaced);
    return told;
}

double death_replaced_ms(void *unused)
{
    double told, replaced;

    (void)unused;
    kill_one(&told, &replaced);
    return replaced;
}
