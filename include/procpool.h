/*
 * procpool - process pools for C, on POSIX systems: run functions in worker processes, one call or a million, and get
 * every outcome told. What Python's multiprocessing.Pool is, for C, and without its hangs.
 *
 *     #include <procpool.h>
 *     #include <stdio.h>
 *
 *     static long square(long x)
 *     {
 *         return x * x;
 *     }
 *     POOL_FUNCTION(square_task, long, long, square)
 *
 *     int main(void)
 *     {
 *         long in[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, out[10];
 *         struct pool *pool = pool_create(0, NULL);
 *         enum pool_status status = pool_map(pool, square_task, POOL_ARRAY(in), out, sizeof(out[0]), NULL);
 *
 *         if (status != POOL_OK)
 *             fprintf(stderr, "squares: %s\n", pool_error());
 *         for (size_t i = 0; status == POOL_OK && i < 10; i++)
 *             printf("%ld\n", out[i]);
 *         pool_destroy(pool);
 *         return status == POOL_OK ? 0 : 1;
 *     }
 *
 * Build with `cc squares.c -lprocpool`. This header teaches in order; whoever has what he needs may stop reading:
 *
 *      1  How things end          enum pool_status, pool_error
 *      2  Task functions          POOL_FUNCTION, pool_return, pool_fail: what runs in a worker
 *      3  The pool                pool_create, pool_close, pool_join, pool_terminate, pool_destroy
 *      4  Many tasks              POOL_ARRAY, pool_map
 *      5  One task                pool_apply
 *      6  Results                 struct pool_result
 *      7  Results as they come    pool_imap, pool_imap_unordered
 *      8  Futures                 pool_apply_async, pool_map_async, pool_future_get
 *      9  What to run, and how    struct pool_job: chunks, callbacks, progress
 *     10  Options of a pool       struct pool_options: initializers, recycling, limits
 *     11  Packing arguments       several values in one argument
 *     12  Event loops             a pool without a thread
 *     13  Looking inside          statistics, worker pids, progress bar
 *     14  Memory shared with the workers
 *     15  Single processes        Python's Process
 *
 * Conventions
 *   - Sizes and counts are size_t, in bytes or elements. Waits are int milliseconds: POOL_FOREVER (-1) waits without
 *     end, 0 only looks, any other negative value is POOL_INVALID. All clocks are CLOCK_MONOTONIC. EINTR neither ends
 *     nor stretches a wait.
 *   - A function that can fail returns enum pool_status; one that makes an object returns NULL and sets errno. Either
 *     way pool_error() then says in words what happened.
 *   - Every options struct may be NULL; every field may be zero, and zero is the default. Reserved fields must be zero
 *     (POOL_INVALID, EINVAL). In C++ write `pool_job job = {};` and assign.
 *   - Every free and destroy takes NULL, keeps errno, and is the object's last use.
 *   - Threads: any thread of the process that made the pool may call anything here at the same time as any other.
 *   - Processes: in another one (a child that the program forked itself, a worker) every call on the pool is
 *     POOL_INVALID and harms nobody.
 *   - Signal handlers: only pool_stop() may be called in one.
 *
 * Caveats
 *   - Workers are copies of the process as it was at pool_create(): globals, heap, libraries and descriptors that came
 *     later they do not have. A pointer in an argument or result means something only into older memory or into the
 *     arena. Make pools early: before threads, before memory fills.
 *   - Workers lead process groups of their own (^C reaches this process alone), read end-of-file from stdin, start with
 *     an empty mask and default signal actions (but for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and SIGSYS, whose
 *     handler keeps what is known of the crash and then lets it end the worker as ever), have their stdout flushed
 *     after each task; rand() goes alike in all.
 *   - Workers and their helper process hold the descriptors that the program had open. In a task, a wait for any child
 *     may return a stranger (a grandchild that lost its parent).
 *   - What a task changes in its process (signal mask, directory, umask, limits, descriptors) stays for that worker's
 *     next task. Which system calls a worker needs under a filter: README.md.
 *   - A task function is not left by longjmp, pthread_exit or a C++ exception: its worker ends, POOL_CRASHED or
 *     POOL_EXITED.
 *   - A program that closes descriptors it does not know (daemons do) closes the pool's too: the pool is POOL_BROKEN
 *     then. Make it afterwards.
 *   - Leaving a program's main without pool_destroy() ends workers and unfinished tasks at once.
 *   - A wait for a single task, and a worker that has done one, look for up to 20 microseconds whether the other side is
 *     that quick, before they sleep: with more than one processor, and ever more rarely where it does not pay.
 *     PROCPOOL_SPIN in the environment of pool_create() is another number of microseconds, 0 for never.
 *
 * Declared, and not yet built: pool_trace(). This version refuses its use, by POOL_INVALID and words; PROCPOOL_TRACE it
 * does not look at.
 */
#ifndef PROCPOOL_H
#define PROCPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

/* Stands before every function: seen from outside the shared library, whatever -fvisibility says. */
#ifdef __GNUC__
#define POOL_API __attribute__((visibility("default")))
#else
#define POOL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define POOL_VERSION_MAJOR 1
#define POOL_VERSION_MINOR 0
#define POOL_VERSION_PATCH 0
#define POOL_VERSION_NUMBER (POOL_VERSION_MAJOR * 10000 + POOL_VERSION_MINOR * 100 + POOL_VERSION_PATCH)

/* The version of the library in use, "1.0.0"; the macros above are those of the header. */
POOL_API const char *pool_version(void);

/* A wait without end. */
#define POOL_FOREVER (-1)

struct pool;          /* a set of worker processes, and the tasks waiting for them */
struct pool_future;   /* the result, now or later, of one apply_async or map_async */
struct pool_iterator; /* the results, as they come, of one imap or imap_unordered */
struct pool_process;  /* one child process */
struct pool_job;      /* how a submission is to be run: section 9, NULL until then */
struct pool_options;  /* how a pool is to be made: section 10, NULL until then */
struct pool_result;   /* what came of one task: section 6 */

/* ------------------------------------------------------------------ 1. How things end */

/* How a task, or a call, ended. The values are fixed; new ones come at the end. */
enum pool_status {
    POOL_OK = 0,
    POOL_TIMEOUT = 1,    /* the wait ran out; what was waited for goes on */
    POOL_END = 2,        /* the iterator has no more items */
    POOL_FAILED = 3,     /* the task function returned non-zero: code holds what, message what it said by pool_fail() */
    POOL_CRASHED = 4,    /* a signal ended the worker while it ran the task: code holds the signal */
    POOL_EXITED = 5,     /* the task ended its worker by exit() or _exit(): code holds the exit status (after exit() 255
                            where the system has no on_exit(), musl for one) */
    POOL_EXPIRED = 6,    /* the task's deadline passed, and its worker was killed */
    POOL_CANCELLED = 7,  /* a cancel or pool_stop(), or an earlier failure in the same map */
    POOL_TERMINATED = 8, /* pool_terminate() or pool_destroy() came first */
    POOL_CLOSED = 9,     /* submitted after pool_close(), pool_stop() or pool_terminate() */
    POOL_BROKEN = 10,    /* the pool cannot keep workers alive: initializer fails, fork fails for good, helper process
                            killed */
    POOL_BAD_SIZE = 11,  /* the result's size is not the size that the caller asked for */
    POOL_INVALID = 12,   /* an argument, the state or the process is not one for this call */
    POOL_NO_MEMORY = 13,
    POOL_SYSTEM = 14     /* a system call failed: code holds errno */
};

/* The status as a word, "crashed" for POOL_CRASHED. Never NULL, whatever is given. */
POOL_API const char *pool_status_name(enum pool_status status);

/*
 * The last failure in words, never NULL. It is the thread's own and stays until the thread's next failure; success does
 * not clear it. A get that returns a failed task's status sets it to the result's message. A call that was given NULL
 * for its object keeps the earlier words beside its own, so that a chain of calls tells its first cause, as in the
 * program above: where pool_create() fails, pool_map(NULL, ...) says why. POOL_SYSTEM leaves errno as well.
 */
POOL_API const char *pool_error(void);

/* ------------------------------------------------------------------ 2. In the worker: task functions */

/*
 * What a task function is given. The library owns it; it and all it points to are gone when the function returns.
 * Later versions add fields at the end.
 */
struct pool_task {
    const void *arg;         /* the argument's bytes; never NULL. Aligned for any type; the items of an array lie as in
                                an array that starts so */
    size_t      size;        /* their number, possibly 0 */
    size_t      index;       /* the item's place in its map or imap, from 0; 0 in an apply */
    const void *shared;      /* pool_job.shared as the worker has it, or NULL */
    size_t      shared_size;
    void       *state;       /* what the initializer left for this worker */
    unsigned    attempt;     /* 1, or more where pool_job.retries brought it back */
};

/* Returns 0, or non-zero for POOL_FAILED. Runs in a worker process: what it changes in memory stays there. */
typedef int pool_function(struct pool_task *task);

/* The task's result: the bytes are copied in, and the last call counts. Returns 0, or POOL_NO_MEMORY, so that a task
 * may end by `return pool_return(task, &value, sizeof(value));`. Without a call the result has 0 bytes. */
POOL_API int pool_return(struct pool_task *task, const void *data, size_t size);

/* Room of `size` bytes to write the result in, spared the copy. Called again with another size it trims or grows the
 * result, its bytes kept. Of a map whose out lies in the arena it is that place itself. The library owns it. NULL: no
 * memory. */
POOL_API void *pool_return_space(struct pool_task *task, size_t size);

/* Leaves a message (printf's format, up to 4 KiB) for POOL_FAILED. Returns code, or 1 where code is 0, so that a task
 * may end by `return pool_fail(task, 2, "%s: no such file", path);`. In an initializer task is NULL, and the words go
 * with POOL_BROKEN. */
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
POOL_API int pool_fail(struct pool_task *task, int code, const char *format, ...);

/* Has somebody asked this running item to stop? Costs a load: call it often. A task that then returns non-zero ends
 * POOL_CANCELLED; one that returns 0 ends with its result. */
POOL_API bool pool_cancelled(const struct pool_task *task);

/* In a worker, its initializer included: its seat, from 0, kept by its successors. Elsewhere -1. */
POOL_API int pool_worker_index(void);

/*
 * POOL_FUNCTION(name, result_type, argument_type, function) defines, at file scope and static, the task function `name`
 * around a plain function of one value: long square(long x) becomes POOL_FUNCTION(square_task, long, long, square). No
 * semicolon after it. Values are copied by memcpy: in C++ the types are trivially copyable ones. An argument of another
 * size is POOL_FAILED with code 1, and a message that names both sizes.
 */
#define POOL_FUNCTION(name, result_type, argument_type, function)                                                    \
    static int name(struct pool_task *pool_task_)                                                                    \
    {                                                                                                                \
        argument_type pool_argument_;                                                                                \
        result_type pool_value_;                                                                                     \
                                                                                                                     \
        if (pool_task_->size != sizeof(pool_argument_))                                                              \
            return pool_fail(pool_task_, 1, "%s: the argument has %zu bytes, and %s has %zu", #name,                 \
                             pool_task_->size, #argument_type, sizeof(pool_argument_));                              \
        memcpy(&pool_argument_, pool_task_->arg, sizeof(pool_argument_));                                            \
        pool_value_ = function(pool_argument_);                                                                      \
        return pool_return(pool_task_, &pool_value_, sizeof(pool_value_));                                           \
    }

/* ------------------------------------------------------------------ 3. The pool */

/*
 * Starts `workers` worker processes; 0: one for each processor that this process may use (affinity mask and cgroup
 * quota counted). They can read what is in memory now, at no cost, at the same addresses. Does not wait for
 * initializers: where those fail, calls end POOL_BROKEN. All or nothing. Python's Pool().
 * Returns the pool, the caller's to pool_destroy(). NULL with EINVAL (unknown flags, non-zero reserved, more than
 * max_workers), ENOMEM, EAGAIN (process limit), EMFILE.
 */
POOL_API struct pool *pool_create(unsigned workers, const struct pool_options *options);

/* No more tasks; those submitted are finished. Python's close(). */
POOL_API enum pool_status pool_close(struct pool *pool);

/* Waits for the workers' end; for iterators too: each read to its end, cancelled or freed. POOL_INVALID before close,
 * stop or terminate. Python's join(). */
POOL_API enum pool_status pool_join(struct pool *pool, int timeout_ms);

/* Stops at once: what is unfinished ends POOL_TERMINATED. Python's terminate(). */
POOL_API enum pool_status pool_terminate(struct pool *pool);

/* Terminates, joins and frees: unfinished tasks are lost, to keep them close and join first. What Python's `with` does
 * at its end. Futures and iterators live on until freed. In another process: ends nobody, and leaves that process's
 * copy of the pool's memory as it is. */
POOL_API void pool_destroy(struct pool *pool);

/*
 * Closes, and cancels what is not started. What runs may finish; pool_cancelled() turns true there. pool_map() then
 * returns POOL_CANCELLED, and statuses tell the rest: what was done is kept. Async-signal-safe, made for a handler of
 * SIGINT; take the handler away before pool_destroy().
 */
POOL_API void pool_stop(struct pool *pool);

/* More or fewer workers, 0 as in pool_create(). A busy worker finishes its task before it goes, and nothing is lost.
 * POOL_INVALID above max_workers. */
POOL_API enum pool_status pool_resize(struct pool *pool, unsigned workers);

/* How many workers the pool was last told to have. */
POOL_API unsigned pool_size(const struct pool *pool);

/* Processors that this process may use, affinity mask and cgroup quota counted; at least 1. */
POOL_API unsigned pool_cpu_count(void);

/* ------------------------------------------------------------------ 4. Many tasks */

/*
 * Where items come from. Made by the functions below only; passed by value, holds nothing that needs freeing.
 *
 * A generator (pool_generate, pool_lines) is called only on the thread that is in pool_map(), pool_imap() or
 * pool_iterator_next(), never twice at a time, nor after pool_iterator_free() has returned. Its item is copied before
 * it is called again. A wait's timeout does not cover the time in it. pool_map_async() takes none.
 */
struct pool_source {
    const void *items;
    size_t      count;
    size_t      item_size;
    int (*next)(void *context, const void **item, size_t *size); /* see pool_generate() */
    void       *context;
    const void *reserved[3];
};

/* An array of `count` items of item_size bytes. items may be NULL where item_size is 0: `count` tasks that need only
 * their index. The array stays the caller's, and unchanged until the job is done (see struct pool_job). */
POOL_API struct pool_source pool_items(const void *items, size_t count, size_t item_size);

/* POOL_ARRAY(array): the same of a whole array whose size the compiler knows. A pointer in its place is refused. */
#define POOL_ARRAY(array) pool_items((array), POOL__COUNT(array), sizeof((array)[0]))

/* Each item is a string with its final NUL. */
POOL_API struct pool_source pool_strings(char *const *strings, size_t count);

/* Each item is a line of the file without its newline, with a final NUL. A generator. */
POOL_API struct pool_source pool_lines(FILE *file);

/* Items from a function. It sets *item and *size and returns 1; 0 at the end; below 0 where it failed: after the items
 * before it the job ends POOL_FAILED with this code. It may go on without end: see pool_imap(). */
POOL_API struct pool_source pool_generate(int (*next)(void *context, const void **item, size_t *size), void *context);

/*
 * Runs fn on every item and waits: out[i] is item i's result, each exactly out_size bytes (NULL, 0: no results).
 * Python's map(); with an argument that holds several values (section 11) its starmap().
 * Returns POOL_OK, for an empty source too, or the status of the first (lowest) item that failed; pool_error() names
 * it. (To branch on item and code: pool_map_async() and pool_future_get().) Once an item has failed, items not yet
 * started are POOL_CANCELLED, unless pool_job.keep_going. A generator is POOL_INVALID where out or statuses is given,
 * since its count is not known: use pool_imap().
 */
POOL_API enum pool_status pool_map(struct pool *pool, pool_function *fn, struct pool_source in,
                                   void *out, size_t out_size, const struct pool_job *job);

/* ------------------------------------------------------------------ 5. One task */

/* Runs fn(arg) in a worker and waits: Python's apply(). `out` receives exactly out_size bytes (NULL, 0: no result
 * wanted). Returns the task's status; POOL_BAD_SIZE where its result has another size. */
POOL_API enum pool_status pool_apply(struct pool *pool, pool_function *fn, const void *arg, size_t size,
                                     void *out, size_t out_size, const struct pool_job *job);

/* ------------------------------------------------------------------ 6. Results */

/*
 * What came of one task; or of a whole map: of its first (lowest) failed item, or with POOL_OK of the map itself: index
 * its number of items, data and size its out. Owned by what it was got from: a future, an iterator, a callback's
 * caller. Later versions add fields at the end.
 */
struct pool_result {
    enum pool_status status;
    int         code;     /* see enum pool_status; 0 with POOL_OK */
    size_t      index;    /* the item's place in its map or imap */
    const void *data;     /* the result's bytes, aligned for any type */
    size_t      size;
    const char *message;  /* one or more lines for a person: what failed, where, the crash's address and calls (where
                             the program is stripped: file+0x1234, as addr2line takes it); "" with POOL_OK */
    pid_t       worker;   /* the process that ran it; 0 where none did */
    unsigned    attempts;
    uint64_t    wait_ns;  /* from submission to start */
    uint64_t    run_ns;   /* in the function */
    const void *arg;      /* the argument's bytes (a map's: in the caller's array), for as long as the result */
    size_t      arg_size;
};

/* ------------------------------------------------------------------ 7. Results as they come */

/* Results one by one, in the items' order. The source is read only as far ahead as pool_job.window, so it may be large,
 * slow or endless. Returns the iterator, the caller's to pool_iterator_free(), or NULL and errno as pool_apply_async().
 * Python's imap(). */
POOL_API struct pool_iterator *pool_imap(struct pool *pool, pool_function *fn, struct pool_source in,
                                         const struct pool_job *job);

/* The same, each result as soon as it is there: result->index says whose it is. Python's imap_unordered(). */
POOL_API struct pool_iterator *pool_imap_unordered(struct pool *pool, pool_function *fn, struct pool_source in,
                                                   const struct pool_job *job);

/*
 * The next item. Threads may share an iterator: each item goes to one of them.
 * Returns POOL_OK: its own outcome is in (*result)->status, and *result is good until this thread's next call on the
 * iterator. Else *result is NULL: POOL_END, POOL_TIMEOUT (no item is lost), POOL_FAILED (the source), POOL_TERMINATED,
 * POOL_BROKEN. What ended the iteration is told again by every later call.
 */
POOL_API enum pool_status pool_iterator_next(struct pool_iterator *iterator, int timeout_ms,
                                             const struct pool_result **result);

/* The source is read no more; what is not started comes out POOL_CANCELLED, what runs as it ends (`kill`: its worker is
 * killed), then POOL_END. */
POOL_API enum pool_status pool_iterator_cancel(struct pool_iterator *iterator, bool kill);

/* At any time, half read too: what is not started is cancelled; what runs is let finish unheard (or is killed, and its
 * end waited for, where items or shared lie in the arena). */
POOL_API void pool_iterator_free(struct pool_iterator *iterator);

/* ------------------------------------------------------------------ 8. Futures */

/* Hands fn(arg) to a worker and does not wait; arg is copied before this returns. Python's apply_async().
 * Returns the future, the caller's to pool_future_free(). NULL with EINVAL, ENOMEM, EPIPE (closed, stopped or broken),
 * EAGAIN (queue full, see pool_job.try_submit).
 * One of a small argument and result takes 128 bytes until it is freed. Of very many that were freed up to 128 MiB stay
 * with the pool for the next ones, and are the system's to take meanwhile (MADV_FREE, where there is that).
 */
POOL_API struct pool_future *pool_apply_async(struct pool *pool, pool_function *fn, const void *arg, size_t size,
                                              const struct pool_job *job);

/* pool_map() without the wait: one future for all. Items and out stay in use until it is done or freed. Python's
 * map_async(). */
POOL_API struct pool_future *pool_map_async(struct pool *pool, pool_function *fn, struct pool_source in,
                                            void *out, size_t out_size, const struct pool_job *job);

/* Waits until it is done. POOL_OK: it is, well or badly. Python's wait(). */
POOL_API enum pool_status pool_future_wait(struct pool_future *future, int timeout_ms);

/* Waits, and tells what came of it: returns its status. *result is the future's own, good until it is freed; NULL until
 * it is done (POOL_TIMEOUT). Python's get(timeout). */
POOL_API enum pool_status pool_future_get(struct pool_future *future, int timeout_ms,
                                          const struct pool_result **result);

/* Gets, and copies the result: exactly out_size bytes, else POOL_BAD_SIZE. */
POOL_API enum pool_status pool_future_read(struct pool_future *future, int timeout_ms, void *out, size_t out_size);

/* Is it done? Only looks; under POOL_NO_THREAD it moves nothing: pool_future_wait(future, 0) does. Python's ready(). */
POOL_API bool pool_future_ready(const struct pool_future *future);

/* Ready, with POOL_OK. Python's successful(). */
POOL_API bool pool_future_successful(const struct pool_future *future);

/*
 * Not started: it never runs. Running: pool_cancelled() turns true in it, `kill` ends its worker. A map: all its items.
 * Returns POOL_OK: it ends POOL_CANCELLED. POOL_INVALID, no mistake meant: it runs on, or is done.
 */
POOL_API enum pool_status pool_future_cancel(struct pool_future *future, bool kill);

/*
 * At any time. An unfinished apply still runs, and calls back. Of an unfinished map what is not started is cancelled
 * (its callback comes, POOL_CANCELLED), what runs is let finish unheard (or is killed, and its end waited for, where
 * items, out or shared lie in the arena), and its items, out, statuses and shared are not touched once this has
 * returned.
 */
POOL_API void pool_future_free(struct pool_future *future);

/* Waits for any of several futures of one pool; *which is its place. NULLs are skipped, so that a caller strikes out
 * what he has taken; POOL_END where none is left. */
POOL_API enum pool_status pool_wait_any(struct pool_future *const *futures, size_t count, int timeout_ms,
                                        size_t *which);

/* Waits until all of them are done. POOL_OK: they are, well or badly. */
POOL_API enum pool_status pool_wait_all(struct pool_future *const *futures, size_t count, int timeout_ms);

/* ------------------------------------------------------------------ 9. What to run, and how */

/*
 * How a submission is to be run. Copied by the call. What it points to, and a map's items and out, stay the caller's
 * and must not change until the blocking call has returned, the future is done or freed, the iterator has ended or is
 * freed; apply_async copies shared as it does arg. callback in a blocking call or an imap, statuses or keep_going
 * outside a map: POOL_INVALID. chunk and window are ignored where they mean nothing.
 *
 * Callbacks run one at a time: on the pool's callback thread, or under POOL_NO_THREAD in pool_dispatch() and in waits;
 * never inside a submission, cancel or free. One may run before pool_apply_async() has returned; none comes where that
 * returned NULL; all have returned when pool_join() or pool_destroy() does. Inside one: submit, cancel, free, close,
 * stop, terminate; a wait on the pool, even of 0, is POOL_INVALID; pool_destroy() takes effect when the callback has
 * returned. result is good until the callback returns, whoever frees the future. No progress call comes after the
 * callback, after pool_map() has returned, after POOL_END, pool_iterator_free(), or pool_future_free() of a map that is
 * not done: these two wait for one that runs, save inside it. (Of one that is done the last call still comes.)
 */
struct pool_job {
    size_t      chunk;       /* items a message; 0: chosen as it runs */
    int         deadline_ms; /* the most that one item may run, from its start, before its worker is killed;
                                0: no deadline */
    unsigned    retries;     /* how often an item is run again after POOL_CRASHED, POOL_EXITED or POOL_EXPIRED */
    const void *shared;      /* bytes that every task of the job may read: a copy in each worker, sent once and not with
                                each item (memory truly shared is the arena) */
    size_t      shared_size;
    size_t      window;      /* imap: items read from the source ahead of the consumer; 0: from the pool's size, more
                                while they are short and small */
    bool        keep_going;  /* map: a failed item does not stop the others */
    bool        try_submit;  /* apply_async: EAGAIN at queue_limit rather than a wait; always so in callbacks and under
                                POOL_NO_THREAD */
    enum pool_status *statuses; /* map: where given, one for each item is written here; for codes and messages use
                                   imap */
    void (*callback)(void *user, const struct pool_result *result); /* once, when the future is done, whatever its
                                                                       status */
    void       *user;        /* given to callback */
    void (*progress)(void *progress_user, size_t done, size_t total); /* map, imap: now and then, and at the end;
                                                                         total 0: unknown */
    void       *progress_user; /* given to progress; a label (or NULL) for pool_progress_bar() */
    uint64_t    reserved[8];
};

/* ------------------------------------------------------------------ 10. Options of a pool */

/* pool_options.flags: the pool starts no thread in this process; the program's own event loop calls pool_dispatch(),
 * see pool_fd(). */
#define POOL_NO_THREAD 0x1u

/* How a pool is to be made: Python's initializer, initargs and maxtasksperchild, and what was missing there. */
struct pool_options {
    int (*initializer)(void **state, void *arg); /* runs first in every worker; non-zero: that worker is no good */
    void (*finalizer)(void *state, void *arg);   /* runs last in every worker that ends in good order */
    void    *initializer_arg;  /* given to both; a pointer into memory as it is when the pool is made */
    int      start_timeout_ms; /* the most that an initializer may take before its worker is killed and counted as
                                  failed; 0: 60,000 */
    unsigned tasks_per_worker; /* a worker is replaced after so many tasks or items, exactly; 0: never */
    size_t   worker_memory;    /* a worker is replaced after a task that left its resident set above so many bytes;
                                  0: never */
    size_t   queue_limit;      /* tasks of pool_apply() and pool_apply_async() that may wait; a submitter blocks past
                                  it (see try_submit). Items of maps do not count; 0: no limit */
    size_t   arena_size;       /* bytes of memory shared with the workers, see pool_arena_alloc(); 0: none */
    unsigned max_workers;      /* the most that pool_resize() may ask for; 0: the larger of 64 and 4 x workers */
    unsigned flags;            /* POOL_NO_THREAD */
    const char *name;          /* copied; seen in ps, logs and traces; NULL: "pool" */
    uint64_t reserved[8];
};

/* ------------------------------------------------------------------ 11. Packing arguments */

/*
 * Several values in one argument or result: what starmap's tuples are in Python. Put in, get out in the same order;
 * values carry their type, another get than the put fails. Neither struct is for two threads at a time.
 *
 *     struct pool_buffer buffer = { 0 };      struct pool_reader reader = pool_unpack(task->arg, task->size);
 *     pool_put_int(&buffer, 42);              int64_t count = pool_get_int(&reader);
 *     pool_put_string(&buffer, "apples");     const char *what = pool_get_string(&reader);
 *     ... buffer.data, buffer.size ...        if (reader.failed)
 *     pool_buffer_free(&buffer);                  return pool_fail(task, 1, "not an order");
 */
struct pool_buffer { /* zero-initialised; freed by pool_buffer_free() */
    unsigned char *data;
    size_t         size, room;
    bool           failed; /* a put found no memory, or was given nonsense: all later ones do nothing */
};
struct pool_reader {
    const unsigned char *at;
    size_t               left;
    bool                 failed; /* a failed get returns 0, NULL or "" and sets it */
};

POOL_API void pool_put_int(struct pool_buffer *buffer, int64_t value);
POOL_API void pool_put_double(struct pool_buffer *buffer, double value);
POOL_API void pool_put_string(struct pool_buffer *buffer, const char *string);
POOL_API void pool_put_bytes(struct pool_buffer *buffer, const void *data, size_t size);
POOL_API void pool_buffer_free(struct pool_buffer *buffer);

/* In a task: pool_return() the buffer's bytes and free it. Non-zero where a put had failed. */
POOL_API int pool_return_buffer(struct pool_task *task, struct pool_buffer *buffer);

/* A reader from the data's first byte on. The data stays the caller's. */
POOL_API struct pool_reader pool_unpack(const void *data, size_t size);

/* Strings and bytes got point into the data; bytes are not aligned. */
POOL_API int64_t pool_get_int(struct pool_reader *reader);
POOL_API double pool_get_double(struct pool_reader *reader);
POOL_API const char *pool_get_string(struct pool_reader *reader);
POOL_API const void *pool_get_bytes(struct pool_reader *reader, size_t *size);

/* ------------------------------------------------------------------ 12. Event loops */

/* Readable (level-triggered) when pool_dispatch() has something to do; do not read or close it. -1 unless the pool was
 * made with POOL_NO_THREAD. */
POOL_API int pool_fd(const struct pool *pool);

/* Milliseconds until pool_dispatch() must run even so; -1: no need. Ask before every poll. On systems without a
 * descriptor for sets of descriptors never more than 1,000 while the pool lives, so that its helper's death is found. */
POOL_API int pool_next_timeout(struct pool *pool);

/* Moves results, runs callbacks; never blocks. POOL_OK, or POOL_BROKEN once the pool is. */
POOL_API enum pool_status pool_dispatch(struct pool *pool);

/* ------------------------------------------------------------------ 13. Looking inside */

struct pool_stats {
    unsigned workers, busy; /* now */
    uint64_t submitted, finished, failed, crashed, expired, cancelled, retried, stolen; /* tasks and items, ever */
    uint64_t workers_started, workers_lost;
    uint64_t bytes_sent, bytes_received;
    uint64_t run_ns;          /* all tasks' time in their functions */
    size_t   queued, running; /* tasks and items, now */
    uint64_t reserved[8];
};
POOL_API enum pool_status pool_get_stats(struct pool *pool, struct pool_stats *stats);

/* Writes the workers' pids, as they are now, up to `count` of them. Returns how many it wrote; with pids NULL, how many
 * there are. */
POOL_API size_t pool_worker_pids(struct pool *pool, pid_t *pids, size_t count);

/* A timeline: .json in the Trace Event Format, .svg as a picture; also by PROCPOOL_TRACE=path in the environment. */
POOL_API enum pool_status pool_trace(struct pool *pool, const char *path);

/* A pool_job.progress for terminals: bar, rate, time left, on stderr. label is progress_user: a string, or NULL. */
POOL_API void pool_progress_bar(void *label, size_t done, size_t total);

/* ------------------------------------------------------------------ 14. Memory shared with the workers */

/*
 * The arena: memory that this process and every worker see at the same address, pool_options.arena_size bytes of it. A
 * pointer into it can be an argument or part of a result. pool_map() moves no bytes of arrays that lie in it, nor does
 * pool_imap() of items, nor any job of shared; a task finds them there, and pool_apply()'s argument too.
 * Aligned to 64; a block takes its size rounded up to 64 (0 too), nothing more (bookkeeping lies outside, where no
 * worker can write); not cleared; gone with the pool. Only the pool's process allocates. NULL with ENOMEM: no room; with
 * EINVAL: the pool has no arena.
 *
 * It is reserved and not committed: memory is taken page by page as it is touched, and goes back to the system when some
 * MiB side by side are free. What tasks fork has it too; the program's own children and other pools' workers have not.
 * Who writes where others read at that moment sees to the order himself (atomics). A worker that is killed may have
 * written a part of its result: that item is POOL_CRASHED, and no other is harmed.
 */
POOL_API void *pool_arena_alloc(struct pool *pool, size_t size);

/* A block's first byte, at any time until the pool is destroyed. Anything else (NULL, a block that is free already) is
 * left as it is. */
POOL_API void pool_arena_free(struct pool *pool, void *memory);

/* ------------------------------------------------------------------ 15. Single processes */

/*
 * Forks a child now (of the process as it is now) that runs fn(arg), flushes stdio and leaves by _exit with what fn
 * returned & 255: Python's Process. This one is the program's own child: SIGCHLD comes, and a wait for any child
 * elsewhere in the program takes its status (exit code INT_MAX).
 * Returns the process, the caller's to pool_process_free(), or NULL with errno.
 */
POOL_API struct pool_process *pool_process_start(int (*fn)(void *arg), void *arg);

/* Waits for its end. POOL_OK, or POOL_TIMEOUT. */
POOL_API enum pool_status pool_process_join(struct pool_process *process, int timeout_ms);

/* Does it still run? */
POOL_API bool pool_process_alive(struct pool_process *process);

/* Exit status; -N: ended by signal N; INT_MIN: still running; INT_MAX: taken by someone else. */
POOL_API int pool_process_exit_code(struct pool_process *process);

POOL_API pid_t pool_process_pid(const struct pool_process *process);

/* A descriptor that is readable once it has ended, for poll(). The process object owns it. */
POOL_API int pool_process_fd(const struct pool_process *process);

/* SIGTERM, and SIGKILL; nothing where it has ended. */
POOL_API enum pool_status pool_process_terminate(struct pool_process *process);
POOL_API enum pool_status pool_process_kill(struct pool_process *process);

/* Kills and reaps one that still runs. */
POOL_API void pool_process_free(struct pool_process *process);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* How POOL_ARRAY counts, and how it tells an array from a pointer: a pointer has no N to deduce, and has the type of
 * its first element's address. */
#ifdef __cplusplus
extern "C++" {
template <typename Item, size_t N> char (&pool__array(Item (&array)[N]))[N];
}
#define POOL__COUNT(array) sizeof(pool__array(array))
#elif defined(__GNUC__)
#define POOL__NOT_A_POINTER(array) \
    sizeof(char[1 - 2 * __builtin_types_compatible_p(__typeof__(array), __typeof__(&(array)[0]))])
#define POOL__COUNT(array) (sizeof(array) / sizeof((array)[0]) / POOL__NOT_A_POINTER(array))
#else
#define POOL__COUNT(array) (sizeof(array) / sizeof((array)[0]))
#endif

#endif /* PROCPOOL_H */
