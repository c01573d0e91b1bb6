/*
 * status - what the library can say without a pool: the names of statuses, its version, and how many processors
 * there are for workers.
 */
#include "procpool.h"

#include "base/cpu_count.h"

#define STATUS_NAMES(X)              \
    X(POOL_OK, "ok")                 \
    X(POOL_TIMEOUT, "timeout")       \
    X(POOL_END, "end")               \
    X(POOL_FAILED, "failed")         \
    X(POOL_CRASHED, "crashed")       \
    X(POOL_EXITED, "exited")         \
    X(POOL_EXPIRED, "expired")       \
    X(POOL_CANCELLED, "cancelled")   \
    X(POOL_TERMINATED, "terminated") \
    X(POOL_CLOSED, "closed")         \
    X(POOL_BROKEN, "broken")         \
    X(POOL_BAD_SIZE, "bad size")     \
    X(POOL_INVALID, "invalid")       \
    X(POOL_NO_MEMORY, "no memory")   \
    X(POOL_SYSTEM, "system error")

/* A switch and not a table: the compiler then names a status that the list has forgotten. */
const char *pool_status_name(enum pool_status status)
{
#define NAME_OF(status, name) \
    case status:              \
        return name;
    switch (status) {
        STATUS_NAMES(NAME_OF)
    }
#undef NAME_OF
    return "unknown status";
}

#define TEXT_OF(number)                   #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *pool_version(void)
{
    return VERSION_TEXT(POOL_VERSION_MAJOR, POOL_VERSION_MINOR, POOL_VERSION_PATCH);
}

unsigned pool_cpu_count(void)
{
    return pool__cpu_count();
}
