#include "tasks.h"

#include <signal.h>
#include <unistd.h>

static void count_start(const struct pool_task *task)
{
    if (task->index < GROUND_ITEMS)
        atomic_fetch_add(&ground->started[task->index], 1);
}

int task_nothing(struct pool_task *task)
{
    count_start(task);
    return 0;
}

int task_square(struct pool_task *task)
{
    long value;
    count_start(task);
    if (task->size != sizeof value)
        return pool_fail(task, 1, "%zu bytes are no long", task->size);
    memcpy(&value, task->arg, sizeof value);
    value *= value;
    return pool_return(task, &value, sizeof value);
}

int task_echo(struct pool_task *task)
{
    count_start(task);
    return pool_return(task, task->arg, task->size);
}

int task_size(struct pool_task *task)
{
    return pool_return(task, &task->size, sizeof task->size);
}

int task_index(struct pool_task *task)
{
    count_start(task);
    return pool_return(task, &task->index, sizeof task->index);
}

int task_pid(struct pool_task *task)
{
    pid_t pid = getpid();
    return pool_return(task, &pid, sizeof pid);
}

int task_seat(struct pool_task *task)
{
    int seat = pool_worker_index();
    return pool_return(task, &seat, sizeof seat);
}

int task_stays_deaf(struct pool_task *task)
{
    sigset_t all;

    count_start(task);
    atomic_fetch_add(&ground->count[0], 1);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    while (true)
        pause();
    return 0;
}

int task_killed(struct pool_task *task)
{
    (void)task;
    kill(getpid(), SIGKILL);
    return 0;
}

int task_fail(struct pool_task *task)
{
    int code;
    memcpy(&code, task->arg, sizeof code);
    return pool_fail(task, code, "code %d it is", code);
}

int task_half(struct pool_task *task)
{
    long value;
    count_start(task);
    memcpy(&value, task->arg, sizeof value);
    if (value % 2 != 0)
        return pool_fail(task, (int)value, "%ld is odd", value);
    value /= 2;
    return pool_return(task, &value, sizeof value);
}

int task_gated(struct pool_task *task)
{
    struct gated order;
    count_start(task);
    memcpy(&order, task->arg, sizeof order);
    if (!gate_pass(&ground->gate[order.gate]))
        return pool_fail(task, 99, "gate %d was never opened", order.gate);
    return pool_return(task, &order.value, sizeof order.value);
}

int task_until_cancelled(struct pool_task *task)
{
    int gate;
    memcpy(&gate, task->arg, sizeof gate);
    count_start(task);
    atomic_fetch_add(&ground->gate[gate].arrived, 1);
    for (int steps = 0; steps < GATE_SECONDS * 1000; steps++) {
        if (pool_cancelled(task))
            return 1;
        pause_briefly();
    }
    return pool_fail(task, 99, "nobody cancelled");
}

int task_square_behind_gate_0(struct pool_task *task)
{
    if (!gate_pass(&ground->gate[0]))
        return pool_fail(task, 99, "the gate was never opened");
    return task_square(task);
}

struct pool_future *start_gated(struct pool *pool, int gate, long value, const struct pool_job *job)
{
    struct gated order;
    memset(&order, 0, sizeof order);
    order.gate = gate;
    order.value = value;
    return made(pool_apply_async(pool, task_gated, &order, sizeof order, job));
}

void occupy(struct pool *pool, int gate, struct pool_future **futures, size_t workers)
{
    for (size_t i = 0; i < workers; i++)
        futures[i] = start_gated(pool, gate, (long)i, NULL);
    assert_true(gate_wait_arrived(&ground->gate[gate], (int)workers));
}

void release(struct pool_future **futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_status(pool_future_wait(futures[i], POOL_FOREVER), POOL_OK);
        pool_future_free(futures[i]);
        futures[i] = NULL;
    }
}
