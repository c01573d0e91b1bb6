/*
 * sanitizer - which of them this program is built with, for the few tests that one of them makes impossible.
 *
 * The thread sanitizer has a thread of its own in each process: a process never ends because its only thread of the program's has, and what is
 * forked while other threads run may stand still in the sanitizer itself.
 */
#ifndef TEST_SANITIZER_H
#define TEST_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(UNDER_THREAD_SANITIZER)
#define UNDER_THREAD_SANITIZER 1
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(UNDER_ADDRESS_SANITIZER)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#ifndef UNDER_THREAD_SANITIZER
#define UNDER_THREAD_SANITIZER 0
#endif
#ifndef UNDER_ADDRESS_SANITIZER
#define UNDER_ADDRESS_SANITIZER 0
#endif

/* At the start of a test that forks while other threads run, or that ends a process by its thread. */
#define skip_under_thread_sanitizer() \
    do { \
        if (UNDER_THREAD_SANITIZER) \
            skip(); \
    } while (0)

#endif
