/*
 * spin - when to look again and again for a moment before one goes to sleep.
 *
 * Waking up on another processor costs more than most small tasks, so to look for some microseconds pays where what is
 * waited for comes at once; where it does not, or where there is no processor to spare, it only burns time. Which of
 * the two it is, the last tries tell: one in vain leaves out the next 2, the one after that 4, and so on up to 1,024;
 * one that found something lets the next one begin at once, and takes half of that back. So who always waits for long
 * spins once in a thousand waits; and who now and then finds something, on a busy machine, not much more often.
 *
 * Pure: no clock, no system call. One struct for each that waits.
 */
#ifndef POOL__SPIN_H
#define POOL__SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define POOL__SPIN_LEAST 2u
#define POOL__SPIN_MOST  1024u

struct pool__spin {
    uint64_t budget; /* ns that one try may take; 0: there is none */
    uint32_t pause;  /* tries left out after the last one in vain, less what was taken back */
    uint32_t left;   /* of these, still to be left out */
};

/* To be asked before each wait that might spin. */
bool pool__spin_may(struct pool__spin *spin);

/* How it went. */
void pool__spin_hit(struct pool__spin *spin);
void pool__spin_vain(struct pool__spin *spin);

#endif
