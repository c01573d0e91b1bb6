/* words - how a task ended, and how a process ended, for a person. */
#ifndef POOL__ENGINE_WORDS_H
#define POOL__ENGINE_WORDS_H

#include "engine/job.h"

#define POOL__ENDING_ROOM 128

const char *pool__signal_name(int number); /* "segmentation fault" */

/* Of a wait status: the signal, or the exit status; "was ended by signal 9 (killed)", "exited with status 3". */
int pool__ending_code(int status);
void pool__ending_words(int status, char words[POOL__ENDING_ROOM]);

/*
 * The message of an outcome that is not POOL_OK: what the task said itself, else what happened, where. Malloc'ed;
 * takes over outcome->message. Where memory is short: NULL. `lone`: the item needs no number.
 */
char *pool__outcome_words(struct pool__outcome *outcome, uint64_t index, bool lone);

#endif
