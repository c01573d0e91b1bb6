/*
 * audit - what a test must leave as it found it: open descriptors, threads, children, and processes that come from this
 * program.
 *
 * PROCESS_TEST(function) is a cmocka test with the audit (and the watchdog, and a cleared ground) around it:
 *
 *     const struct CMUnitTest tests[] = {PROCESS_TEST(map_squares), PROCESS_TEST(map_nothing)};
 *     return cmocka_run_group_tests(tests, NULL, NULL);
 *
 * A process comes from this program when it has the ground (see gate.h) in its memory: workers, helper processes and
 * all that they fork have it, whoever is their parent, until they exec.
 */
#ifndef TEST_AUDIT_H
#define TEST_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_TEST(function) {#function, function, audit_begin, audit_end, #function}

/* Setup and teardown for cmocka. *state is the test's name, a string. */
int audit_begin(void **state);
int audit_end(void **state);

/* How many there are now; -1 where the system does not say. */
int audit_threads(void);
int audit_descriptors(void);

/* Up to `room` processes that come from this one, itself left out; returns how many there are. */
size_t audit_processes(pid_t *pids, size_t room);

/* Wait until all processes that come from this one have gone; false: some had not within the limit. */
bool audit_wait_alone(int limit_ms);

#endif
