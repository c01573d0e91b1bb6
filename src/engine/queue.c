#include "engine/queue.h"

#include <stdlib.h>
#include <string.h>

struct pool__run *pool__run_make(struct pool__job *job, uint64_t first, uint32_t count)
{
    bool own = job->lone && !job->own_used;
    struct pool__run *run = own ? &job->own : malloc(sizeof *run);

    if (run == NULL)
        return NULL;
    job->own_used = job->own_used || own;
    memset(run, 0, sizeof *run);
    run->job = job;
    run->first = first;
    run->count = count;
    run->attempt = 1;
    return run;
}

void pool__run_free(struct pool__run *run)
{
    if (run == &run->job->own)
        run->job->own_used = false;
    else
        free(run);
}

void pool__job_init(struct pool__job *job, const struct pool__owner *owner, pool_function *function, size_t item_size)
{
    memset(job, 0, sizeof *job);
    job->owner = owner;
    job->function = function;
    job->item_size = item_size;
    pool__list_init(&job->returned);
}

static struct pool__link *queue_of(struct pool__scheduler *scheduler, const struct pool__job *job)
{
    return job->lone ? &scheduler->lone : &scheduler->bulk;
}

/* A job stands in its queue exactly while it has something to give out. */
static void requeue(struct pool__scheduler *scheduler, struct pool__job *job, bool in_front)
{
    if (!pool__job_waits(job))
        pool__list_remove(&job->link);
    else if (!pool__is_linked(&job->link) && in_front)
        pool__list_push(queue_of(scheduler, job), &job->link);
    else if (!pool__is_linked(&job->link))
        pool__list_append(queue_of(scheduler, job), &job->link);
}

void pool__queue_update(struct pool__scheduler *scheduler, struct pool__job *job)
{
    requeue(scheduler, job, false);
}

void pool__scheduler_submit(struct pool__scheduler *scheduler, struct pool__job *job)
{
    requeue(scheduler, job, false);
}

bool pool__scheduler_waits(const struct pool__scheduler *scheduler)
{
    return !pool__list_empty(&scheduler->lone) || !pool__list_empty(&scheduler->bulk);
}

static uint64_t waiting_in(const struct pool__link *queue)
{
    const struct pool__link *link, *returned;
    uint64_t count = 0;

    for (link = queue->next; link != queue; link = link->next) {
        const struct pool__job *job = pool__holder(link, struct pool__job, link);

        count += job->end - job->next;
        for (returned = job->returned.next; returned != &job->returned; returned = returned->next)
            count += pool__holder(returned, struct pool__run, link)->count;
    }
    return count;
}

uint64_t pool__scheduler_waiting(const struct pool__scheduler *scheduler)
{
    return waiting_in(&scheduler->lone) + waiting_in(&scheduler->bulk);
}

void pool__queue_drop(struct pool__job *job, uint64_t first, uint64_t count, enum pool_status status, int code,
                      const char *message)
{
    if (count > 0)
        job->owner->dropped(job, first, count, status, code, message);
}

/*
 * Unstarted items go to the front, where they came from; those of a withdrawn job end here. So does one of a group that
 * was asked to stop when it was claimed, and was not begun: it is the first.
 */
void pool__queue_give_back(struct pool__scheduler *scheduler, struct pool__run *run)
{
    struct pool__job *job = run->job;

    if (run->count > 0 && !job->withdrawn && pool__job_asked(job, run->first) != POOL__ASKED_NOTHING) {
        run->count--;
        pool__queue_drop(job, run->first++, 1, POOL_CANCELLED, 0, NULL);
        scheduler->cancelled++;
    }
    if (run->count == 0 || job->withdrawn) {
        uint64_t first = run->first, count = run->count;

        pool__run_free(run);
        pool__queue_drop(job, first, count, job->withdrawn_as, 0, NULL);
        return;
    }
    pool__list_push(&job->returned, &run->link);
    requeue(scheduler, job, true);
}

uint64_t pool__queue_drop_waiting(struct pool__job *job, enum pool_status status, int code, const char *message)
{
    uint64_t dropped = 0, first = job->next, fresh = job->end - job->next;
    struct pool__link *link;

    while ((link = pool__list_pop(&job->returned)) != NULL) {
        struct pool__run *run = pool__holder(link, struct pool__run, link);
        uint64_t from = run->first, count = run->count;

        pool__run_free(run);
        dropped += count;
        pool__queue_drop(job, from, count, status, code, message);
    }
    job->next = job->end;
    pool__queue_drop(job, first, fresh, status, code, message);
    return dropped + fresh;
}
