/*
 * held - a process in a debugger's hands: it does not run, SIGCONT does not help it, and where it is held at its exit, SIGKILL has been and yet
 * there is no end to be told. What a kernel does to processes now and then, done on purpose.
 *
 * By ptrace, so only on Linux and where that is allowed: held_possible() tells. All by the one thread that held it.
 */
#ifndef TEST_HELD_H
#define TEST_HELD_H

#include <stdbool.h>
#include <sys/types.h>

bool held_possible(void);
bool hold_now(pid_t pid);     /* it stands still when this returns */
bool hold_at_exit(pid_t pid); /* it runs on, and will stand still where it ends */
bool hold_reached(pid_t pid); /* wait until one held at its exit has come there */
void hold_end(pid_t pid);     /* it goes on from where it stands */

#endif
