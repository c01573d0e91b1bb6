#include "engine/crash_words.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/oom_counter.h"
#include "base/symbol.h"
#include "engine/words.h"

#define STACK_END 65536u /* an address so near the stack pointer faults only where the stack ends */
#define LAST_LINE 16u    /* room for "  ...", where not all calls can be told */
#define LINE_ROOM 320u

/* The calls that led there, the innermost first; before them, as [0], the function that was called by the worker. */
struct calls {
    uintptr_t at[1 + POOL__CRASH_CALLS];
    struct pool__symbol symbols[1 + POOL__CRASH_CALLS];
    size_t count;
    bool full; /* there may have been more */
};

/* The task functions of a program are few; where they are not, the later ones are looked for each time. */
#define NAMES_MOST 16u

struct pool__name {
    struct pool__name *next;
    uintptr_t function;
    struct pool__symbol symbol;
};

struct text {
    char *bytes; /* POOL__CRASH_ROOM of them */
    size_t size;
};

/* Nothing of it where it does not fit whole. False then. */
static bool add(struct text *text, size_t keep_free, const char *format, ...) POOL__PRINTF(3, 4);

static bool add(struct text *text, size_t keep_free, const char *format, ...)
{
    size_t room = POOL__CRASH_ROOM - text->size;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text->bytes + text->size, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room || room - (size_t)length <= keep_free) {
        text->bytes[text->size] = '\0';
        return false;
    }
    text->size += (size_t)length;
    return true;
}

/* ---- the first line */

/* NULL: the pool did not kill it. */
static const char *reason_words(enum pool__kill_reason reason)
{
    static const char *const words[] = {
        [POOL__KILL_NONSENSE] = "it sent what no worker sends",
        [POOL__KILL_START] = "its initializer took longer than start_timeout_ms",
        [POOL__KILL_STOP] = "it did not end in time when it was told to",
        [POOL__KILL_DEADLINE] = "its deadline had passed",
        [POOL__KILL_CANCEL] = "it was cancelled",
        [POOL__KILL_STUCK] = "it did not begin what it was given",
        [POOL__KILL_PIPE] = "its pipes could not be read or written",
        [POOL__KILL_TERMINATE] = "the pool was terminated",
    };

    if (reason == POOL__KILL_NONE)
        return NULL;
    return (size_t)reason < sizeof words / sizeof words[0] && words[reason] != NULL ? words[reason] : "it had to go";
}

static void add_kill(struct text *text, const struct pool__crash_scene *scene)
{
    const char *reason = reason_words(scene->reason);

    if (reason != NULL)
        add(text, 0, "killed by the pool (signal %d): %s,", SIGKILL, reason);
    else
        add(text, 0, "killed by signal %d from outside the pool,", SIGKILL);
}

static bool is_stack_overflow(const struct pool__crash *crash)
{
    uint64_t distance = crash->value > crash->stack ? crash->value - crash->stack : crash->stack - crash->value;

    return crash->signal == SIGSEGV && crash->stack != 0 && distance < STACK_END;
}

static void add_cause(struct text *text, const struct pool__crash_scene *scene)
{
    const struct pool__crash *crash = scene->crash;
    unsigned long long value = crash->value;

    switch (crash->kind) {
    case POOL__FAULT_AT:
        add(text, 0, " at address 0x%llx%s", value, is_stack_overflow(crash) ? " (the stack has no room left)" : "");
        break;
    case POOL__FAULT_CALL:
        add(text, 0, " by system call %llu", value);
        break;
    case POOL__FAULT_SENT:
        if (value != (unsigned long long)scene->worker)
            add(text, 0, ", sent by process %llu,", value);
        else if (crash->signal != SIGABRT)
            add(text, 0, ", sent by itself,");
        break;
    default:
        break;
    }
}

/* Its name, or where it lies. */
static void add_function(struct text *text, const struct pool__crash_scene *scene, const struct calls *calls)
{
    const struct pool__symbol *symbol = &calls->symbols[0];
    char words[LINE_ROOM];

    if (symbol->name[0] != '\0' && symbol->offset == 0) {
        add(text, 0, ", %s %s", scene->what, symbol->name);
        return;
    }
    pool__symbol_print(symbol, scene->function, words, sizeof words);
    add(text, 0, ", %s %s", scene->what, words);
}

static void add_first_line(struct text *text, const struct pool__crash_scene *scene, const struct calls *calls)
{
    int number = WTERMSIG(scene->status);

    if (number == SIGKILL)
        add_kill(text, scene);
    else
        add(text, 0, "%s (signal %d)", pool__signal_name(number), number);
    if (scene->crash != NULL)
        add_cause(text, scene);
    add(text, 0, " in worker %ld", (long)scene->worker);
    if (scene->function != 0)
        add_function(text, scene, calls);
    if (number == SIGKILL && scene->reason == POOL__KILL_NONE && scene->out_of_memory)
        add(text, 0, "; the out-of-memory killer has been at work in this cgroup");
}

/* ---- the calls */

/*
 * Is it within the task function? By the unwinder's tables, and by its name where the compiler has set a part of it
 * apart ("parse_page.cold").
 */
static bool is_within(const struct calls *calls, size_t which)
{
    size_t length = strlen(calls->symbols[0].name);
    const char *name = calls->symbols[which].name;

    return pool__function_start(calls->at[which]) == calls->at[0] ||
           (length > 0 && calls->symbols[0].offset == 0 && strncmp(name, calls->symbols[0].name, length) == 0 &&
            (name[length] == '\0' || name[length] == '.'));
}

/* Beyond the task function there is only the worker's own code, the same every time. */
static size_t end_of_calls(const struct calls *calls)
{
    size_t end = calls->count;

    while (end > 1 && !is_within(calls, end - 1))
        end--;
    return end > 1 ? end : calls->count;
}

/* A call that stands there many times in a row, as when a stack overflows, is told once. */
static void add_calls(struct text *text, const struct calls *calls)
{
    size_t i, row, end = end_of_calls(calls);
    bool more = calls->full && end == calls->count;

    for (i = 1; i < end; i += row) {
        char words[LINE_ROOM], times[32] = "";

        row = 1;
        while (i + row < end && calls->at[i + row] == calls->at[i])
            row++;
        if (row > 1)
            snprintf(times, sizeof times, ", %zu times", row);
        pool__symbol_print(&calls->symbols[i], calls->at[i], words, sizeof words);
        if (!add(text, LAST_LINE, "\n  %s%s", words, times)) {
            more = true;
            break;
        }
    }
    if (more)
        add(text, 0, "\n  ...");
}

/* ---- names that are known */

static const struct pool__symbol *known_name(struct pool__name **names, uintptr_t function)
{
    const struct pool__name *name = names != NULL ? *names : NULL;

    while (name != NULL && name->function != function)
        name = name->next;
    return name != NULL ? &name->symbol : NULL;
}

static void keep_name(struct pool__name **names, uintptr_t function, const struct pool__symbol *symbol)
{
    struct pool__name **end = names, *name;
    unsigned count = 0;

    if (names == NULL || known_name(names, function) != NULL)
        return;
    for (; *end != NULL; end = &(*end)->next)
        count++;
    name = count < NAMES_MOST ? calloc(1, sizeof *name) : NULL;
    if (name == NULL)
        return;
    name->function = function;
    name->symbol = *symbol;
    *end = name;
}

void pool__names_free(struct pool__name *names)
{
    while (names != NULL) {
        struct pool__name *next = names->next;

        free(names);
        names = next;
    }
}

static void find_names(struct calls *calls, struct pool__name **names)
{
    const struct pool__symbol *known = known_name(names, calls->at[0]);

    if (known != NULL && calls->count == 1) {
        calls->symbols[0] = *known;
        return;
    }
    pool__symbols_find(calls->at, calls->count, calls->symbols);
    keep_name(names, calls->at[0], &calls->symbols[0]);
}

static void find_calls(struct calls *calls, const struct pool__crash_scene *scene)
{
    const struct pool__crash *crash = scene->crash;
    size_t i;

    calls->at[0] = scene->function;
    calls->count = 1;
    for (i = 0; crash != NULL && i < crash->count; i++)
        calls->at[calls->count++] = (uintptr_t)crash->calls[i];
    calls->full = i == POOL__CRASH_CALLS;
    if (i == 0 && crash != NULL && crash->counter != 0)
        calls->at[calls->count++] = (uintptr_t)crash->counter;
    find_names(calls, scene->names);
}

char *pool__crash_words(const struct pool__crash_scene *scene)
{
    struct pool__crash_scene known = *scene;
    struct calls *calls = WIFSIGNALED(scene->status) ? malloc(sizeof *calls) : NULL;
    struct text text = {calls != NULL ? malloc(POOL__CRASH_ROOM) : NULL, 0};

    if (text.bytes == NULL) {
        free(calls);
        return NULL;
    }
    if (known.crash != NULL &&
        (known.crash->signal != WTERMSIG(scene->status) || known.crash->count > POOL__CRASH_CALLS))
        known.crash = NULL;
    text.bytes[0] = '\0';
    find_calls(calls, &known);
    add_first_line(&text, &known, calls);
    add_calls(&text, calls);
    free(calls);
    return text.bytes;
}

/* The counter has risen before the signal is sent. */
static bool was_out_of_memory(struct pool *pool, struct pool__channel *channel)
{
    if (!channel->killer_looked_for) {
        channel->killer_looked_for = true;
        channel->killer_at_work = pool__oom_kills("", &pool->oom_file) > pool->oom_kills;
    }
    return channel->killer_at_work;
}

void pool__death_expected(struct pool *pool, const struct pool__seat *seat)
{
    struct pool__place place;
    const struct pool__run *run = pool__seat_running(seat, &place);
    struct pool__symbol symbol;
    uintptr_t function;

    if (run == NULL || seat->reason != POOL__KILL_NONE)
        return;
    was_out_of_memory(pool, pool__channel_of(pool, seat));
    function = (uintptr_t)run->job->function;
    if (known_name(&pool->names, function) == NULL) {
        pool__symbols_find(&function, 1, &symbol);
        keep_name(&pool->names, function, &symbol);
    }
}

char *pool__death_words(struct pool *pool, const struct pool__seat *seat, int status, bool starting)
{
    struct pool__crash_scene scene;
    struct pool__crash crash;
    struct pool__place place;
    const struct pool__run *run = pool__seat_running(seat, &place);

    if (!WIFSIGNALED(status) || (run == NULL && !starting))
        return NULL;
    memset(&scene, 0, sizeof scene);
    scene.what = run != NULL ? "task function" : "initializer";
    scene.function = run != NULL ? (uintptr_t)run->job->function : (uintptr_t)pool->setup->worker.initializer;
    scene.status = status;
    scene.worker = seat->pid;
    scene.crash = pool__board_crash(seat->board, &crash) ? &crash : NULL;
    scene.reason = seat->reason;
    scene.out_of_memory = WTERMSIG(status) == SIGKILL && seat->reason == POOL__KILL_NONE &&
                          was_out_of_memory(pool, pool__channel_of(pool, seat));
    scene.names = &pool->names;
    return pool__crash_words(&scene);
}
