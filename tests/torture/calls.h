/*
 * calls - the system's calls as the library of this program makes them: the linker turns each of calls.inc to a
 * stand-in (--wrap=NAME), which counts it and makes some of them fail.
 *
 * Counted over all processes of one run, in a page that they share: the third pipe2, the fifth fork, whoever makes
 * it. What libc does inside itself is not seen.
 */
#ifndef TORTURE_CALLS_H
#define TORTURE_CALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum trick { FAILS = 1, INTERRUPTED = 2, NOT_NOW = 4, SHORT = 8 };

#define CALL(name, tricks, code, other) CALL_##name,
enum call_number {
#include "calls.inc"
    CALLS
};
#undef CALL

struct call {
    const char *name;
    unsigned tricks;
    int codes[2];
};
extern const struct call calls[CALLS];

/* How often: the nth; it and all later ones; it and every second one after it. */
enum often { ONCE, EVER, EVERY_OTHER };

struct fault {
    int call; /* -1: none */
    enum trick trick;
    enum often often;
    long nth;  /* from 1 */
    int code;  /* FAILS: the errno */
    bool half; /* SHORT: half of what was asked for; else one byte */
};

enum kin { HOST, ZYGOTE, WORKER, KIN };

/* One run: what is to happen, and what did. Shared by all its processes. */
struct plan {
    struct fault faults[2];
    atomic_long counts[CALLS];
    atomic_long hits[KIN]; /* calls that failed, by the process in which they did */
    char words[400];       /* what was wrong, by whoever found it */
    atomic_int gates[4];   /* for scenarios */
    atomic_long marks[4];
    atomic_int zygote; /* a pid */
};
extern struct plan *plan;

/* In this process and those that it forks, calls are counted and fail from now on; no more. */
void calls_arm(void);
void calls_disarm(void);

/* What the library has allocated, and mapped, in this process and not given back. */
size_t calls_live_blocks(void);
size_t calls_live_pages(void);

#endif
