/* Forks that tell each other apart: by handlers, by a wiped page, by neither; and forks that fail or are interrupted. */
#define _GNU_SOURCE
#include "fail_next.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/fork_child.h"

/* What a child found wrong stands on a line that its exit status is a part of. */
#define IN_CHILD(condition) \
    do { \
        if (!(condition)) \
            _exit(__LINE__ % 127 + 1); \
    } while (0)

/* Runs check() in a fresh process: the handlers are installed once in each. */
static void alone(void (*check)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(20);
        check();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int ended(pid_t pid)
{
    int status = -1;

    IN_CHILD(waitpid(pid, &status, 0) == pid);
    return status;
}

/* ---- whose process this is */

static void check_generations(void)
{
    uint64_t ours;
    pid_t pid;

    IN_CHILD(pool__fork_handlers_install() == 0);
    IN_CHILD(pool__fork_handlers_install() == 0);
    ours = pool__process_generation();
    IN_CHILD(ours != 0 && pool__process_is(ours) && pool__process_generation() == ours);
    pid = fork();
    if (pid == 0) {
        uint64_t theirs = pool__process_generation();

        IN_CHILD(!pool__process_is(ours) && theirs != ours && theirs != 0 && pool__process_is(theirs));
        pid = fork();
        if (pid == 0) {
            IN_CHILD(!pool__process_is(ours) && !pool__process_is(theirs));
            _exit(0);
        }
        _exit(ended(pid) == 0 ? 0 : 1);
    }
    IN_CHILD(ended(pid) == 0);
    IN_CHILD(pool__process_is(ours));
}

static void each_process_has_its_number(void **state)
{
    (void)state;
    alone(check_generations);
}

static void check_without_page(void)
{
    fail_next(CALL_MMAP, 1, ENOMEM);
    check_generations();
    IN_CHILD(fail_no_more(CALL_MMAP) == 1);
}

static void without_memory_for_a_page_the_handlers_tell(void **state)
{
    (void)state;
#if defined(MADV_WIPEONFORK) && !defined(POOL__PORTABLE)
    alone(check_without_page);
#else
    (void)check_without_page;
    skip();
#endif
}

#if defined(MADV_WIPEONFORK) && !defined(POOL__PORTABLE) && defined(SYS_clone) && defined(__x86_64__)
/* A child that no handler was run in. */
static void check_raw_clone(void)
{
    uint64_t ours, theirs;
    pid_t pid;

    IN_CHILD(pool__fork_handlers_install() == 0);
    ours = pool__process_generation();
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        IN_CHILD(!pool__process_is(ours));
        theirs = pool__process_generation();
        IN_CHILD(theirs != ours && theirs != 0 && pool__process_generation() == theirs && pool__process_is(theirs));
        _exit(0);
    }
    IN_CHILD(ended(pid) == 0);
    IN_CHILD(pool__process_is(ours));
}

static void a_raw_clone_is_another_process(void **state)
{
    (void)state;
    alone(check_raw_clone);
}
#endif

/* ---- guards */

struct counted {
    struct pool__fork_guard guard;
    int calls;
};

static void count_call(struct pool__fork_guard *guard)
{
    ((struct counted *)(void *)guard)->calls++;
}

static void check_guards(void)
{
    struct counted first = {{{NULL, NULL}, count_call}, 0}, second = first;
    pid_t pid;

    IN_CHILD(pool__fork_handlers_install() == 0);
    pool__fork_lock();
    pool__fork_guard_add(&first.guard);
    pool__fork_guard_add(&second.guard);
    IN_CHILD(!pool__fork_trylock());
    pool__fork_unlock();
    IN_CHILD(pool__fork_trylock());
    pool__fork_guard_remove(&second.guard);
    pool__fork_unlock();
    IN_CHILD(!pool__is_stray_child());
    pid = fork();
    if (pid == 0) {
        IN_CHILD(first.calls == 1 && second.calls == 0 && pool__is_stray_child());
        pool__settle_in();
        IN_CHILD(!pool__is_stray_child());
        IN_CHILD(pool__fork_trylock()); /* free here too */
        pool__fork_unlock();
        pid = fork();
        if (pid == 0) {
            IN_CHILD(first.calls == 1 && pool__is_stray_child()); /* closed is closed */
            _exit(0);
        }
        _exit(ended(pid) == 0 ? 0 : 1);
    }
    IN_CHILD(ended(pid) == 0);
    IN_CHILD(first.calls == 0 && !pool__is_stray_child());
    IN_CHILD(pool__fork_trylock());
    /* the pool's own fork, by who holds the lock */
    pid = pool__fork();
    if (pid == 0) {
        IN_CHILD(first.calls == 1);
        _exit(0);
    }
    IN_CHILD(ended(pid) == 0);
    pool__fork_unlock();
}

static void guards_are_told_in_children(void **state)
{
    (void)state;
    alone(check_guards);
}

/* ---- signals */

static volatile sig_atomic_t children_died;

static void note_death(int signal_number)
{
    (void)signal_number;
    children_died++;
}

static void catch_deaths(void)
{
    struct sigaction action = {.sa_handler = note_death};

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    children_died = 0;
}

static void check_mask(void)
{
    sigset_t mask, now;
    pid_t pid;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    pid = pool__fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, NULL, &now);
        IN_CHILD(sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGUSR1) == 1);
        pool__signals_unblock_all();
        sigprocmask(SIG_SETMASK, NULL, &now);
        IN_CHILD(sigismember(&now, SIGTERM) == 0 && sigismember(&now, SIGUSR1) == 0);
        _exit(0);
    }
    IN_CHILD(ended(pid) == 0);
    sigprocmask(SIG_SETMASK, NULL, &now);
    IN_CHILD(sigismember(&now, SIGTERM) == 0 && sigismember(&now, SIGUSR1) == 1);
    fail_next(CALL_FORK, 1, EAGAIN);
    IN_CHILD(pool__fork() == -1 && errno == EAGAIN);
    sigprocmask(SIG_SETMASK, NULL, &now);
    IN_CHILD(sigismember(&now, SIGTERM) == 0 && sigismember(&now, SIGUSR1) == 1);
}

static void a_fork_blocks_signals_in_the_child_alone(void **state)
{
    (void)state;
    alone(check_mask);
}

static void check_defaults(void)
{
    static char room[16384];
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    struct sigaction action;

    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, note_death);
    signal(SIGRTMAX, note_death);
    IN_CHILD(sigaltstack(&stack, NULL) == 0);
    pool__signals_to_default();
    IN_CHILD(sigaction(SIGTERM, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    IN_CHILD(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    IN_CHILD(sigaction(SIGRTMAX, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    IN_CHILD(sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE) != 0);
}

static void all_signals_go_to_their_defaults(void **state)
{
    (void)state;
    alone(check_defaults);
}

/* ---- forked twice */

static int told[2];

static void tell_parent(void *word)
{
    if (write(told[1], word, 1) == 1 && pool__fork_trylock())
        _exit(write(told[1], "L", 1) == 1 ? 0 : 1); /* the lock is free here */
    _exit(1);
}

static bool hears(const char *words)
{
    struct pollfd wait = {.fd = told[0], .events = POLLIN};
    char byte;

    for (; *words != '\0'; words++)
        if (poll(&wait, 1, 10000) != 1 || read(told[0], &byte, 1) != 1 || byte != *words)
            return false;
    return true;
}

static int twice(void)
{
    char word = 'a';
    int outcome;

    pool__fork_lock();
    outcome = pool__fork_twice(tell_parent, &word);
    pool__fork_unlock();
    return outcome;
}

static void check_twice(void)
{
    sigset_t before, after;

    IN_CHILD(pool__fork_handlers_install() == 0 && pipe(told) == 0);
    catch_deaths();
    memset(&before, 0, sizeof before); /* the system fills in a part */
    memset(&after, 0, sizeof after);
    sigprocmask(SIG_SETMASK, NULL, &before);
    fail_next(CALL_WAITPID, 2, EINTR);
    IN_CHILD(twice() == 0);
    IN_CHILD(fail_no_more(CALL_WAITPID) == 2);
    IN_CHILD(hears("aL"));
    sigprocmask(SIG_SETMASK, NULL, &after);
    IN_CHILD(memcmp(&before, &after, sizeof before) == 0);
    IN_CHILD(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    IN_CHILD(children_died == 0);
}

static void forked_twice_is_no_child(void **state)
{
    (void)state;
    alone(check_twice);
}

static void check_twice_failing(void)
{
    IN_CHILD(pool__fork_handlers_install() == 0 && pipe(told) == 0);
    catch_deaths();
    fail_next(CALL_FORK, 1, EAGAIN);
    IN_CHILD(twice() == EAGAIN);
    fail_after(CALL_FORK, 1, 1, ENOMEM); /* the second, in the process between: this one's plan stays */
    IN_CHILD(twice() == ENOMEM);
    (void)fail_no_more(CALL_FORK);
    IN_CHILD(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    IN_CHILD(children_died == 0);
    IN_CHILD(twice() == 0 && hears("aL"));
}

static void each_of_the_two_forks_may_fail(void **state)
{
    (void)state;
    alone(check_twice_failing);
}

/* A death of the program's own child, before or meanwhile, is not taken from it. */
static void check_other_deaths(void)
{
    sigset_t death, before;
    siginfo_t info;
    pid_t own;

    IN_CHILD(pool__fork_handlers_install() == 0 && pipe(told) == 0);
    catch_deaths();
    sigemptyset(&death);
    sigaddset(&death, SIGCHLD);
    sigprocmask(SIG_BLOCK, &death, &before);
    own = fork();
    if (own == 0)
        _exit(3);
    IN_CHILD(waitid(P_PID, (id_t)own, &info, WEXITED | WNOWAIT) == 0);
    IN_CHILD(twice() == 0 && hears("aL"));
    sigprocmask(SIG_SETMASK, &before, NULL);
    IN_CHILD(children_died == 1);

    /* one that has died unseen while its signal had been taken already, and now hides behind the other */
    catch_deaths();
    IN_CHILD(twice() == 0 && hears("aL"));
    IN_CHILD(children_died == 1); /* raised again, as the program's child is still to be reaped */
    IN_CHILD(WEXITSTATUS(ended(own)) == 3);
    catch_deaths();
    IN_CHILD(twice() == 0 && hears("aL"));
    IN_CHILD(children_died == 0);
}

static void deaths_of_the_programs_children_are_told(void **state)
{
    (void)state;
    alone(check_other_deaths);
}

/* Where SIGCHLD is ignored nobody can say how the process between ended. */
static void check_ignored(void)
{
    IN_CHILD(pool__fork_handlers_install() == 0 && pipe(told) == 0);
    signal(SIGCHLD, SIG_IGN);
    IN_CHILD(twice() == 0 && hears("aL"));
}

static void ignored_deaths_are_no_failure(void **state)
{
    (void)state;
    alone(check_ignored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_process_has_its_number),
        cmocka_unit_test(without_memory_for_a_page_the_handlers_tell),
#if defined(MADV_WIPEONFORK) && !defined(POOL__PORTABLE) && defined(SYS_clone) && defined(__x86_64__)
        cmocka_unit_test(a_raw_clone_is_another_process),
#endif
        cmocka_unit_test(guards_are_told_in_children),
        cmocka_unit_test(a_fork_blocks_signals_in_the_child_alone),
        cmocka_unit_test(all_signals_go_to_their_defaults),
        cmocka_unit_test(forked_twice_is_no_child),
        cmocka_unit_test(each_of_the_two_forks_may_fail),
        cmocka_unit_test(deaths_of_the_programs_children_are_told),
        cmocka_unit_test(ignored_deaths_are_no_failure),
    };

    if (UNDER_THREAD_SANITIZER)
        return CANNOT_FAIL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
