/* The tests' own tools: the audit sees what is left behind, gates and the watchdog keep their limits. */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* One audit round what `leave` leaves behind, in a process of its own, whose complaints go nowhere. */
static int audited(void (*leave)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDERR_FILENO);
        close(nowhere);
        void *state = (void *)(uintptr_t) "audited";
        if (audit_begin(&state) != 0)
            _exit(50);
        leave();
        _exit(audit_end(&state));
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void nothing(void)
{
}

static void a_descriptor(void)
{
    (void)!open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void a_closed_descriptor(void)
{
    close(STDOUT_FILENO);
}

static void *stay(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static void a_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, stay, NULL);
}

static void a_zombie(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

/* It ends some time after the audit has seen it, lest this test leave it behind itself. */
static void live_a_while(void)
{
    for (int i = 0; i < 4000 * time_scale(); i++)
        pause_briefly();
    _exit(0);
}

static void a_child(void)
{
    if (fork() == 0)
        live_a_while();
}

static void an_orphan_in_a_session_of_its_own(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (fork() == 0)
            live_a_while();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void the_audit_sees_what_is_left(void **state)
{
    (void)state;
    ground_make();
    assert_int_equal(audited(nothing), 0);
    assert_int_equal(audited(a_descriptor), 1);
    assert_int_equal(audited(a_closed_descriptor), 1);
    assert_int_equal(audited(a_thread), 1);
    assert_int_equal(audited(a_zombie), 1);
    assert_int_equal(audited(a_child), 1);
    assert_int_equal(audited(an_orphan_in_a_session_of_its_own), 1);
    assert_true(audit_wait_alone(20000));
}

static void wait_for_ever(void)
{
    watchdog_start("wait_for_ever");
    alarm(1); /* rather than half a minute */
    for (;;)
        pause();
}

static void the_watchdog_ends_what_hangs(void **state)
{
    (void)state;
    assert_int_equal(audited(wait_for_ever), 128 + SIGABRT);
}

static void gates_and_counters(void **state)
{
    (void)state;
    ground_make();
    pid_t pid = fork();
    if (pid == 0)
        _exit(gate_pass(&ground->gate[3]) ? 7 : 8);
    assert_true(gate_wait_arrived(&ground->gate[3], 1));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    gate_open(&ground->gate[3]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_true(gate_pass(&ground->gate[3])); /* it stays open */
    gate_shut(&ground->gate[3]);
    assert_int_equal(atomic_load(&ground->gate[3].arrived), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_audit_sees_what_is_left),
        cmocka_unit_test(the_watchdog_ends_what_hangs),
        cmocka_unit_test(gates_and_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
