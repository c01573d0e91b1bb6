/*
 * scenario - small uses of the library, each with what may come of it: without a fault, and with calls that only take
 * longer or move fewer bytes, everything works; where a call fails, each outcome is right or one that is documented
 * for such a failure.
 *
 * A scenario gives back all that it has made. What the tasks and it say to each other lies in the plan.
 */
#ifndef TORTURE_SCENARIO_H
#define TORTURE_SCENARIO_H

#include "calls.h"
#include "procpool.h"

enum { WAIT_MS = 12000 }; /* longer than anything that ends; times time_scale() */

struct scenario {
    const char *name;
    const char *(*run)(void); /* returns what was wrong, or NULL */
};
/* Up to one without a name. */
extern const struct scenario scenarios_of_tasks[], scenarios_of_jobs[], scenarios_of_pools[];

/* ---- judging */

/* Says what is wrong, with pool_error(); a scenario returns it. */
#ifdef __GNUC__
__attribute__((format(printf, 1, 2)))
#endif
const char *
wrong(const char *format, ...);

bool is_faulty(void);                 /* do calls fail in this run? */
bool may_be(enum pool_status status); /* may a task, or a call, end so? */
bool may_be_errno(void);              /* may a call that makes an object leave this errno? */
const char *check_status(const char *what, enum pool_status status);
const char *check_errno(const char *what); /* of an object that was not made */

/* Leaves the scenario with what is wrong. */
#define NEED(condition, ...)           \
    do {                               \
        if (!(condition))              \
            return wrong(__VA_ARGS__); \
    } while (0)
#define PASS_ON(check)                \
    do {                              \
        const char *wrong_ = (check); \
        if (wrong_)                   \
            return wrong_;            \
    } while (0)

/* ---- what most do */

/* A pool with few boards, and *wrong NULL; or NULL, and what is wrong with that, if anything. */
struct pool *pool_with(unsigned workers, const struct pool_options *options, const char **wrong);
#define BEGIN(name, workers, options)                         \
    const char *begun_ = NULL;                                \
    struct pool *name = pool_with(workers, options, &begun_); \
    if (!name)                                                \
    return begun_

const char *apply_squares(struct pool *pool, int count); /* one after the other */
const char *map_squares(struct pool *pool, const struct pool_job *job);
/* Waits; does not free. NULL is an error of the apply_async just before. */
const char *check_square(struct pool_future *future, long value);
const char *finish(struct pool *pool); /* close, join, destroy */
int wait_limit(void);

int square(struct pool_task *task); /* long to long */
int echo(struct pool_task *task);
int killed(struct pool_task *task);           /* by SIGKILL */
int killed_once(struct pool_task *task);      /* the first of a run; later ones are squares */
int gone_at_3(struct pool_task *task);        /* the item 3 of a job leaves by _exit(7); others are squares */
int fails_at_3(struct pool_task *task);       /* "three is wrong"; others are squares */
int waits_for_cancel(struct pool_task *task); /* opens gate 0; returns 1 when it is asked to stop */
int pid_of_zygote(struct pool_task *task);    /* notes it in the plan */

#endif
