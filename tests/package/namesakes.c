/*
 * namesakes - uses procpool beside functions of the same names, which the linker meets first. So ours are asked for by
 * dlsym() in libprocpool.so itself; whether its own calls stay inside is what is tested. Built and run by symbols.sh.
 */
#include "namesakes.h"

#include <dlfcn.h>
#include <procpool.h>
#include <sys/mman.h>

static void *library;
static int  *times_met; /* in memory shared with the workers, which may be the ones that meet */

int namesake_met(const char *name)
{
    ++*times_met;
    fprintf(stderr, "met %s\n", name);
    return NAMESAKE_VALUE;
}

#define OURS(name) ((__typeof__(name) *)dlsym(library, #name))

static int failed(const char *what)
{
    fprintf(stderr, "namesakes: %s\n", what);
    return 1;
}

static int square(struct pool_task *task)
{
    struct pool_reader reader = OURS(pool_unpack)(task->arg, task->size);
    struct pool_buffer buffer = {0};
    int64_t            value = OURS(pool_get_int)(&reader);

    if (reader.failed)
        return OURS(pool_fail)(task, 1, "no number");
    OURS(pool_put_int)(&buffer, value * value);
    return OURS(pool_return_buffer)(task, &buffer);
}

static int refuse(struct pool_task *task)
{
    return OURS(pool_fail)(task, 3, "refused");
}

static int quick_child(void *arg)
{
    return arg == NULL ? 7 : 8;
}

static int use_results(struct pool *pool)
{
    struct pool_buffer        buffer = {0};
    const struct pool_result *result;
    struct pool_future       *future;
    struct pool_iterator     *iterator;
    struct pool_reader        reader;

    OURS(pool_put_int)(&buffer, 12);
    future = OURS(pool_apply_async)(pool, square, buffer.data, buffer.size, NULL);
    if (OURS(pool_future_get)(future, 10000, &result) != POOL_OK)
        return failed("pool_future_get");
    reader = OURS(pool_unpack)(result->data, result->size);
    if (OURS(pool_get_int)(&reader) != 144)
        return failed("a wrong result");
    OURS(pool_future_free)(future);

    iterator = OURS(pool_imap)(pool, square, OURS(pool_items)(buffer.data, 1, buffer.size), NULL);
    if (OURS(pool_iterator_next)(iterator, 10000, &result) != POOL_OK || result->status != POOL_OK)
        return failed("pool_iterator_next");
    OURS(pool_iterator_free)(iterator);
    OURS(pool_buffer_free)(&buffer);
    return 0;
}

static int use_failures(struct pool *pool)
{
    char *const strings[] = {(char *)"a", (char *)"b"};

    if (OURS(pool_map)(pool, refuse, OURS(pool_strings)(strings, 2), NULL, 0, NULL) != POOL_FAILED)
        return failed("pool_map of a task that fails");
    if (OURS(pool_map)(NULL, refuse, OURS(pool_strings)(strings, 2), NULL, 0, NULL) != POOL_INVALID)
        return failed("pool_map without a pool");
    if (OURS(pool_error)()[0] == '\0')
        return failed("pool_error");
    return 0;
}

static int use_process(void)
{
    struct pool_process *process = OURS(pool_process_start)(quick_child, NULL);

    if (OURS(pool_process_join)(process, 10000) != POOL_OK || OURS(pool_process_exit_code)(process) != 7)
        return failed("pool_process_join");
    OURS(pool_process_free)(process);
    return 0;
}

int main(void)
{
    struct pool *pool;

    times_met = mmap(NULL, sizeof(*times_met), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (times_met == MAP_FAILED)
        return failed("mmap");
    library = dlopen("libprocpool.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (library == NULL)
        return failed(dlerror());
    pool = OURS(pool_create)(2, NULL);
    if (pool == NULL)
        return failed(OURS(pool_error)());
    if (use_results(pool) != 0 || use_failures(pool) != 0 || use_process() != 0)
        return 1;
    OURS(pool_close)(pool);
    if (OURS(pool_join)(pool, 10000) != POOL_OK)
        return failed("pool_join");
    OURS(pool_destroy)(pool);
    if (*times_met != 0)
        return failed("the library called a function that is not its own");
    if (namesake_call() != 2 * NAMESAKE_VALUE || *times_met != 2)
        return failed("another's function was not called, but ours");
    return 0;
}
