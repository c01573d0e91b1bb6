#include "engine/words.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"

static const struct {
    int number;
    const char *name;
} signals[] = {
    {SIGSEGV, "segmentation fault"},
    {SIGBUS, "bus error"},
    {SIGFPE, "arithmetic error"},
    {SIGILL, "illegal instruction"},
    {SIGABRT, "aborted"},
    {SIGKILL, "killed"},
    {SIGTERM, "terminated"},
    {SIGINT, "interrupted"},
    {SIGQUIT, "quit"},
    {SIGHUP, "hang-up"},
    {SIGPIPE, "broken pipe"},
    {SIGALRM, "alarm"},
    {SIGSYS, "bad system call"},
    {SIGTRAP, "trap"},
    {SIGXCPU, "processor time limit"},
    {SIGXFSZ, "file size limit"},
    {SIGUSR1, "user signal 1"},
    {SIGUSR2, "user signal 2"},
};

const char *pool__signal_name(int number)
{
    size_t i;

    for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "a signal";
}

int pool__ending_code(int status)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

void pool__ending_words(int status, char words[POOL__ENDING_ROOM])
{
    if (WIFSIGNALED(status))
        snprintf(words, POOL__ENDING_ROOM, "was ended by signal %d (%s)", WTERMSIG(status),
                 pool__signal_name(WTERMSIG(status)));
    else
        snprintf(words, POOL__ENDING_ROOM, "exited with status %d", WEXITSTATUS(status));
}

static void what_happened(const struct pool__outcome *outcome, char words[POOL__ENDING_ROOM])
{
    switch (outcome->status) {
    case POOL_FAILED:
        snprintf(words, POOL__ENDING_ROOM, "the task function returned %d", outcome->code);
        break;
    case POOL_CRASHED:
        if (outcome->code > 0)
            snprintf(words, POOL__ENDING_ROOM, "its worker %ld was ended by signal %d (%s)", (long)outcome->worker,
                     outcome->code, pool__signal_name(outcome->code));
        else
            snprintf(words, POOL__ENDING_ROOM, "its worker %ld ended", (long)outcome->worker);
        break;
    case POOL_EXITED:
        snprintf(words, POOL__ENDING_ROOM, "the task ended its worker %ld with exit status %d", (long)outcome->worker,
                 outcome->code);
        break;
    case POOL_EXPIRED:
        snprintf(words, POOL__ENDING_ROOM, "its deadline of %llu ms passed, and its worker %ld was killed",
                 (unsigned long long)(outcome->deadline / POOL__MS), (long)outcome->worker);
        break;
    case POOL_CANCELLED:
        snprintf(words, POOL__ENDING_ROOM, "cancelled");
        break;
    case POOL_TERMINATED:
        snprintf(words, POOL__ENDING_ROOM, "the pool was terminated first");
        break;
    case POOL_BROKEN:
        snprintf(words, POOL__ENDING_ROOM, "the pool cannot keep workers alive");
        break;
    default:
        snprintf(words, POOL__ENDING_ROOM, "%s", pool_status_name(outcome->status));
        break;
    }
}

static char *join(const char *item, const char *words)
{
    size_t room = strlen(item) + strlen(words) + 1;
    char *message = malloc(room);

    if (message != NULL)
        snprintf(message, room, "%s%s", item, words);
    return message;
}

char *pool__outcome_words(struct pool__outcome *outcome, uint64_t index, bool lone)
{
    char words[POOL__ENDING_ROOM], *message = outcome->message, item[32] = "";
    size_t room;

    if (message != NULL && message[0] != '\0') {
        outcome->message = NULL;
        return message;
    }
    if (!lone)
        snprintf(item, sizeof item, "item %llu: ", (unsigned long long)index);
    if (outcome->words != NULL && outcome->status == POOL_CRASHED)
        return join(item, outcome->words);
    what_happened(outcome, words);
    room = strlen(item) + strlen(words) + (outcome->why != NULL ? strlen(outcome->why) : 0) + 4;
    message = malloc(room);
    if (message != NULL && outcome->why != NULL && outcome->status != POOL_CRASHED && outcome->status != POOL_EXITED)
        snprintf(message, room, "%s%s", item, outcome->why);
    else if (message != NULL)
        snprintf(message, room, "%s%s%s%s", item, words, outcome->why != NULL ? ": " : "",
                 outcome->why != NULL ? outcome->why : "");
    return message;
}
