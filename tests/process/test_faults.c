/*
 * Calls of the system that fail: the first, the second, the third ... memory, pipe, thread and so on that the library asks for in the program,
 * once or from then on for ever. Whatever is asked of the pool then fails with a documented error or works; nothing hangs, nothing is left over, and
 * when the fault is gone all is well.
 *
 * The functions below stand in for the C library's, in this program and so in the library that is linked into it. They fail in this process
 * only, not in workers.
 */
#define _GNU_SOURCE /* RTLD_NEXT; before the first header */

#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

enum fault { NO_FAULT, MEMORY, PIPES, SOCKETS, POLLERS, WAKERS, FORKS, THREADS, FAULTS };

static const char *const fault_names[FAULTS] = {"nothing", "memory", "pipes", "sockets",
                                                "pollers", "wakers", "forks", "threads"};

static _Atomic(enum fault) armed;
static atomic_long         before_it;  /* calls that still work */
static atomic_long         hit;        /* calls that failed */
static atomic_bool         for_ever;
static pid_t               host;

/* Does this call fail? */
static bool fails(enum fault fault)
{
    if (atomic_load(&armed) != fault || getpid() != host)
        return false;
    long left = atomic_fetch_sub(&before_it, 1);
    if (left > 0 || (left < 0 && !atomic_load(&for_ever)))
        return false;
    atomic_fetch_add(&hit, 1);
    return true;
}

static int no(int code)
{
    errno = code;
    return -1;
}

/* ISO C has no conversion between the two kinds of pointer. */
#define REAL(pointer, name) \
    do { \
        void *found_ = dlsym(RTLD_NEXT, name); \
        memcpy(&(pointer), &found_, sizeof found_); \
    } while (0)

static int (*real_pipe2)(int *, int);
static int (*real_pipe)(int *);
static int (*real_socketpair)(int, int, int, int *);
#ifdef __linux__
static int (*real_epoll_create1)(int);
static int (*real_eventfd)(unsigned, int);
#endif
static pid_t (*real_fork)(void);
static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static void find_the_real_ones(void)
{
    REAL(real_pipe2, "pipe2");
    REAL(real_pipe, "pipe");
    REAL(real_socketpair, "socketpair");
#ifdef __linux__
    REAL(real_epoll_create1, "epoll_create1");
    REAL(real_eventfd, "eventfd");
#endif
    REAL(real_fork, "fork");
    REAL(real_pthread_create, "pthread_create");
}

int pipe2(int ends[2], int flags)
{
    return fails(PIPES) ? no(EMFILE) : real_pipe2(ends, flags);
}

int pipe(int ends[2])
{
    return fails(PIPES) ? no(EMFILE) : real_pipe(ends);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
    return fails(SOCKETS) ? no(EMFILE) : real_socketpair(domain, type, protocol, ends);
}

#ifdef __linux__
int epoll_create1(int flags)
{
    return fails(POLLERS) ? no(EMFILE) : real_epoll_create1(flags);
}

int eventfd(unsigned value, int flags)
{
    return fails(WAKERS) ? no(EMFILE) : real_eventfd(value, flags);
}
#endif

pid_t fork(void)
{
    return fails(FORKS) ? (pid_t)no(EAGAIN) : real_fork();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    return fails(THREADS) ? EAGAIN : real_pthread_create(thread, attributes, run, argument);
}

#if defined(__GLIBC__) && !UNDER_ADDRESS_SANITIZER && !UNDER_THREAD_SANITIZER
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size)
{
    return fails(MEMORY) ? no_memory() : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(MEMORY) ? no_memory() : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return fails(MEMORY) ? no_memory() : __libc_realloc(memory, size);
}
#endif

/* ---- what is done under a fault; each returns what was wrong, or NULL */

enum { ITEMS = 20 };

static bool is_status_of_fault(enum pool_status status)
{
    return status == POOL_OK || status == POOL_NO_MEMORY || status == POOL_SYSTEM || status == POOL_BROKEN;
}

static bool is_errno_of_fault(void)
{
    return errno == ENOMEM || errno == EMFILE || errno == EAGAIN || errno == EPIPE;
}

static const char *apply(struct pool *pool)
{
    long value = 7, square = 0;
    enum pool_status status = pool_apply(pool, task_square, &value, sizeof value, &square, sizeof square, NULL);

    if (!is_status_of_fault(status))
        return "the status of an apply";
    return status == POOL_OK && square != 49 ? "the result of an apply" : NULL;
}

static const char *map(struct pool *pool)
{
    long items[ITEMS], squares[ITEMS] = {0};
    enum pool_status statuses[ITEMS];
    struct pool_job job = {.keep_going = true, .statuses = statuses, .chunk = 3};

    for (long i = 0; i < ITEMS; i++) {
        items[i] = i;
        statuses[i] = POOL_NO_MEMORY;
    }
    enum pool_status status = pool_map(pool, task_square, POOL_ARRAY(items), squares, sizeof squares[0], &job);
    if (!is_status_of_fault(status))
        return "the status of a map";
    for (long i = 0; i < ITEMS; i++) {
        if (!is_status_of_fault(statuses[i]) || (status == POOL_OK && statuses[i] != POOL_OK))
            return "the status of an item of a map";
        if (statuses[i] == POOL_OK && squares[i] != i * i)
            return "the result of an item of a map";
    }
    return NULL;
}

static const char *imap(struct pool *pool)
{
    long items[ITEMS];
    const struct pool_result *result;
    enum pool_status status;
    int count = 0;

    for (long i = 0; i < ITEMS; i++)
        items[i] = i;
    struct pool_iterator *iterator = pool_imap(pool, task_square, POOL_ARRAY(items), NULL);
    if (!iterator)
        return is_errno_of_fault() ? NULL : "the errno of an imap";
    while ((status = pool_iterator_next(iterator, POOL_FOREVER, &result)) == POOL_OK && count++ < ITEMS)
        if (!is_status_of_fault(result->status))
            return "the status of an item of an imap";
    pool_iterator_free(iterator);
    /* POOL_FAILED: an item could not be taken from the source */
    return status == POOL_END || status == POOL_FAILED || is_status_of_fault(status) ? NULL : "the end of an imap";
}

static atomic_int called;

static void count_call(void *user, const struct pool_result *result)
{
    (void)user;
    (void)result;
    atomic_fetch_add(&called, 1);
}

static const char *future(struct pool *pool, int *expected_calls)
{
    struct pool_job job = {.callback = count_call};
    const struct pool_result *result;
    struct pool_future *one = pool_apply_async(pool, task_killed, NULL, 0, &job);

    if (!one)
        return is_errno_of_fault() ? NULL : "the errno of an apply_async";
    ++*expected_calls;
    enum pool_status status = pool_future_get(one, POOL_FOREVER, &result);
    pool_future_free(one);
    return status == POOL_CRASHED || is_status_of_fault(status) ? NULL : "the status of a future";
}

static const char *use(struct pool *pool)
{
    int expected_calls = 0;
    const char *wrong = apply(pool);

    atomic_store(&called, 0);
    if (!wrong)
        wrong = map(pool);
    if (!wrong)
        wrong = imap(pool);
    if (!wrong)
        wrong = future(pool, &expected_calls);
    if (!wrong && !is_status_of_fault(pool_resize(pool, 3)))
        wrong = "the status of a resize";
    if (!wrong)
        wrong = apply(pool);
    if (!wrong && pool_close(pool) != POOL_OK)
        wrong = "the status of close";
    if (!wrong && pool_join(pool, 20000 * time_scale()) != POOL_OK)
        wrong = "the status of join";
    if (!wrong && atomic_load(&called) != expected_calls)
        wrong = "the number of callbacks";
    return wrong;
}

/* ---- each fault at each of its calls */

/* Arms the fault, makes and uses a pool, and compares. Returns whether the fault was hit at all. */
static bool play(enum fault fault, long nth, bool ever, unsigned flags)
{
    struct pool_options options = {.flags = flags};
    int descriptors = audit_descriptors();
    const char *wrong = NULL;

    atomic_store(&before_it, nth);
    atomic_store(&for_ever, ever);
    atomic_store(&hit, 0);
    atomic_store(&armed, fault);
    struct pool *pool = pool_create(2, &options);
    if (pool)
        wrong = use(pool);
    else if (!is_errno_of_fault() || !*pool_error())
        wrong = "the errno of pool_create()";
    pool_destroy(pool);
    atomic_store(&armed, NO_FAULT);
    if (wrong || audit_descriptors() != descriptors)
        fail_msg("%s, call %ld fails%s, flags %u: wrong is %s (pool_error: \"%s\")", fault_names[fault], nth,
                 ever ? " and all after it" : "", flags, wrong ? wrong : "the number of open descriptors",
                 pool_error());
    return atomic_load(&hit) > 0;
}

/* All its calls, one after the other, until there is none that could fail. */
static void play_all(enum fault fault, unsigned flags)
{
    for (int ever = 0; ever <= 1; ever++) {
        long nth = 0;
        while (play(fault, nth, ever, flags) && nth < 400)
            nth++;
        print_message("    %s%s, flags %u: %ld calls\n", fault_names[fault], ever ? ", for ever" : "", flags, nth);
    }
    assert_true(audit_wait_alone(2000));
}

static void check(enum fault fault)
{
    play_all(fault, 0);
    play_all(fault, POOL_NO_THREAD);
}

static void memory(void **state)
{
    (void)state;
    check(MEMORY);
}

static void pipes(void **state)
{
    (void)state;
    check(PIPES);
}

static void sockets(void **state)
{
    (void)state;
    check(SOCKETS);
}

static void pollers_and_wakers(void **state)
{
    (void)state;
    check(POLLERS);
    check(WAKERS);
}

static void forks(void **state)
{
    (void)state;
    check(FORKS);
}

static void threads(void **state)
{
    (void)state;
    check(THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(memory),
        PROCESS_TEST(pipes),
        PROCESS_TEST(sockets),
        PROCESS_TEST(pollers_and_wakers),
        PROCESS_TEST(forks),
        PROCESS_TEST(threads),
    };

    host = getpid();
    find_the_real_ones();
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (UNDER_THREAD_SANITIZER) /* which has stand-ins of its own */
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
