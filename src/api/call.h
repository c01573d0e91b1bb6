/*
 * call - what every public call on a pool begins and ends with, and the checks that several share.
 */
#ifndef POOL__API_CALL_H
#define POOL__API_CALL_H

#include "engine/engine.h"

/*
 * Takes the lock, unless the pool is NULL or another process's: then the status says so (and errno is EINVAL), with
 * words that name `call`. Thread cancellation is off until pool__leave().
 */
enum pool_status pool__enter(struct pool *pool, const char *call, const char *object);
void pool__leave(struct pool *pool);

/* The same for a call that may wait: refused inside a callback of the pool. Timeouts below -1 are refused. */
enum pool_status pool__enter_to_wait(struct pool *pool, const char *call, const char *object, int timeout_ms);

/* May something be submitted? POOL_CLOSED or POOL_BROKEN with words, and errno EPIPE. Under the lock. */
enum pool_status pool__check_open(struct pool *pool, const char *call);

/* Which fields of a struct pool_job mean something in this call. */
#define POOL__JOB_CALLBACK 0x1u
#define POOL__JOB_MAP      0x2u
enum pool_status pool__check_job(const struct pool_job *job, const char *call, unsigned meaning);

/* What the engine is to know of the options; NULL: the defaults. */
void pool__job_options(struct pool__job *job, const struct pool_job *options);

/* Fields that a later version will carry out: refused, never ignored. */
enum pool_status pool__refuse(const char *call, const char *what);

#endif
