/*
 * crash_words - how a worker was ended by a signal, for a person, in several lines:
 *
 *     segmentation fault (signal 11) at address 0x10 in worker 4242, task function parse_page
 *       next_tag+0x1c (/usr/bin/reader)
 *       parse_page+0x55 (/usr/bin/reader)
 *
 * What the worker's board says of the crash is believed only where the wait status agrees.
 */
#ifndef POOL__CRASH_WORDS_H
#define POOL__CRASH_WORDS_H

#include <stdint.h>

#include "engine/engine.h"

#define POOL__CRASH_ROOM 4096u /* the most that the words take, their final NUL included */

struct pool__crash_scene {
    int status; /* the wait status; a signal's, else there are no words */
    pid_t worker;
    const struct pool__crash *crash; /* what was left on the board, or NULL */
    const char *what;                /* "task function", "initializer" */
    uintptr_t function;              /* that one; 0: unknown */
    enum pool__kill_reason reason;   /* why the pool killed it, where it did */
    bool out_of_memory;              /* the system's killer has been at work here */
    struct pool__name **names;       /* of functions that were asked for before, and this one's; or NULL */
};

/* Names are looked for in files, so what is found is kept: a list of a few, the caller's to free. */
void pool__names_free(struct pool__name *names);

/* Malloc'ed. NULL: there is nothing to say, or no memory. */
char *pool__crash_words(const struct pool__crash_scene *scene);

/*
 * The result pipe of a worker is at its end, and its death will be told in a moment: what its words will need is looked
 * for meanwhile. Under the pool's lock.
 */
void pool__death_expected(struct pool *pool, const struct pool__seat *seat);

/*
 * The same of a worker that is dead, where it was running an item whose outcome is owed, or, where `starting`, its
 * initializer. Under the pool's lock, before its items are judged.
 */
char *pool__death_words(struct pool *pool, const struct pool__seat *seat, int status, bool starting);

#endif
