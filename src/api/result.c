#include "api/result.h"

#include <stdlib.h>
#include <string.h>

#include "engine/words.h"

static char no_words[] = ""; /* with POOL_OK, and where there was no memory for words */

void pool__result_init(struct pool_result *result)
{
    result->message = no_words;
}

void pool__result_fill(struct pool_result *result, struct pool__outcome *outcome, uint64_t index, bool lone,
                       uint64_t submitted)
{
    char *words = outcome->status == POOL_OK ? NULL : pool__outcome_words(outcome, index, lone);

    result->status = outcome->status;
    result->code = outcome->status == POOL_OK ? 0 : outcome->code;
    result->index = (size_t)index;
    result->data = outcome->data;
    result->size = outcome->status == POOL_OK ? outcome->size : 0;
    result->message = words != NULL ? words : no_words;
    result->worker = outcome->worker;
    result->attempts = outcome->attempts;
    result->run_ns = outcome->run;
    result->wait_ns = outcome->start > submitted ? outcome->start - submitted : 0;
    free(outcome->message);
    outcome->message = NULL;
    outcome->data = NULL;
}

void pool__result_fill_dropped(struct pool_result *result, enum pool_status status, int code, const char *message,
                               uint64_t index, bool lone)
{
    struct pool__outcome outcome;

    memset(&outcome, 0, sizeof outcome);
    outcome.status = status;
    outcome.code = code;
    outcome.message = message != NULL ? strdup(message) : NULL;
    pool__result_fill(result, &outcome, index, lone, 0);
}

void pool__result_clear(struct pool_result *result, bool own_data)
{
    if (own_data)
        free((void *)(uintptr_t)result->data);
    if (result->message != no_words)
        free((void *)(uintptr_t)result->message);
    result->data = NULL;
    result->message = no_words;
}

void pool__outcome_free(struct pool__outcome *outcome)
{
    free(outcome->data);
    free(outcome->message);
    outcome->data = NULL;
    outcome->message = NULL;
}
