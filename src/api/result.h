/* result - an item's outcome as the program sees it. */
#ifndef POOL__API_RESULT_H
#define POOL__API_RESULT_H

#include "engine/job.h"

/* A zeroed result becomes an empty one. */
void pool__result_init(struct pool_result *result);

/*
 * Fills a result from an outcome and takes over its memory: data and message are then the result's, see
 * pool__result_clear(). `submitted` is when the item came, ns.
 */
void pool__result_fill(struct pool_result *result, struct pool__outcome *outcome, uint64_t index, bool lone,
                       uint64_t submitted);

/* The outcome of items that were never started. */
void pool__result_fill_dropped(struct pool_result *result, enum pool_status status, int code, const char *message,
                               uint64_t index, bool lone);

/* Frees data, where `own_data`, and message. */
void pool__result_clear(struct pool_result *result, bool own_data);

/* Frees what an unwanted outcome holds. */
void pool__outcome_free(struct pool__outcome *outcome);

#endif
