/*
 * namesakes - functions that have our names and are not ours: each says that it was called, and returns NAMESAKE_VALUE.
 */
#ifndef TEST_NAMESAKES_H
#define TEST_NAMESAKES_H

#define NAMESAKE_VALUE 4711

int namesake_met(const char *name);
int namesake_call(void); /* calls two of them, as whoever wrote them would: pool_create() + pool__fail() */

#define NAMESAKE(name) \
    int name(void); \
    int name(void) \
    { \
        return namesake_met(#name); \
    }

#endif
