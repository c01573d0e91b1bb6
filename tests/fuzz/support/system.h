/*
 * system - what src/base is to the rest of the library, played in memory: descriptors that are numbers in a table,
 * pipes that are buffers, a clock that is moved by hand, a zygote that forks nothing. The library's own code above it
 * runs as it ships, in one thread (POOL_NO_THREAD).
 *
 * The functions themselves are those of src/base; here is what a target does with them.
 *
 * Workers are the target's to play: what they find in their task pipes, what they write into their result pipes and
 * on their boards, and how they end. The zygote answers each request in good order, when it is given a turn; whoever
 * sleeps with nothing on its way gives it one.
 */
#ifndef FUZZ_SYSTEM_H
#define FUZZ_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "data/board.h"
#include "data/bulk.h"

#define LIVES_MOST 128u /* beyond that forks fail */

struct pipe_memory {
    unsigned char *bytes;
    size_t from, to, room;
    unsigned readers, writers; /* descriptors */
};

/* One that was asked for, from SPAWN until it has ended and its end is told. */
struct life {
    bool alive, told, end_told;
    bool held; /* SIGKILL does not end it: the kernel keeps it */
    uint32_t seat, number, board;
    pid_t pid;
    int status; /* how it has ended */
    struct pipe_memory *tasks, *results;
    struct pool__board *page;
    struct pool__bulk *bulk;
};

extern struct life lives[LIVES_MOST];
extern unsigned life_count;       /* ever, since system_begin() */
extern uint64_t system_now;       /* ns */
extern size_t system_read_most;   /* bytes that one read gives at the most */
extern size_t system_pipe_room;   /* bytes that a pipe takes */
extern bool system_refuses_spawn; /* SPAWN_FAILED */

void system_begin(void);
void system_end(void); /* looks whether everything was given back, and gives back its own */

/* A turn of the zygote: it tells what has happened. */
void zygote_turn(void);

/* A worker ends by itself, or by somebody else's hand; told at the zygote's next turn. */
void life_ends(struct life *life, int status);

/* What a worker writes into its result pipe: the number of bytes that it took. */
size_t life_writes(struct life *life, const void *bytes, size_t size);

/* What a worker reads from its task pipe. */
size_t life_reads(struct life *life, void *bytes, size_t size);

/* Bytes straight from the zygote, whatever they are; and its end. */
void zygote_says(const void *bytes, size_t size);
void zygote_ends(void);

#endif
