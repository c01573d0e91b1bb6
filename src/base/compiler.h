/* compiler - what a compiler can be told beyond C11. */
#ifndef POOL__COMPILER_H
#define POOL__COMPILER_H

/* A function that is not to become part of its callers, which then have registers of their own. */
#ifdef __GNUC__
#define POOL__APART __attribute__((noinline))
#else
#define POOL__APART
#endif

#endif
