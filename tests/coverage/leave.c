/*
 * In builds that count what the tests run (PROCPOOL_COVERAGE) this file is part of each test program. The counters lie in
 * the memory of each process and are written by exit(), which workers and helper processes never call: so this program's
 * own _exit() writes them first, and a process that kills itself too. What is killed by another takes them along.
 */
#define _GNU_SOURCE /* syscall */
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libgcov's; it names them in no header that every compiler has */
void __gcov_dump(void);
void __gcov_reset(void);

_Noreturn void _exit(int status)
{
    __gcov_dump();
    for (;;)
        syscall(SYS_exit_group, status);
}

/* Written, and cleared so that what survives the signal does not count it twice. */
static void write_counters(void)
{
    __gcov_dump();
    __gcov_reset();
}

int kill(pid_t pid, int signal_number)
{
    if (signal_number != 0 && (pid == getpid() || pid == 0 || pid == -getpgrp()))
        write_counters();
    return (int)syscall(SYS_kill, pid, signal_number);
}

int raise(int signal_number)
{
    write_counters();
    return (int)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal_number);
}
