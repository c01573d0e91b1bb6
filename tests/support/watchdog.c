#include "watchdog.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *volatile watched_test;

int time_scale(void)
{
    const char *text = getenv("PROCPOOL_TIME_SCALE");
    long scale = text ? strtol(text, NULL, 10) : 1;
    return scale < 1 ? 1 : scale > 1000 ? 1000 : (int)scale;
}

int64_t time_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say(const char *text)
{
    /* nothing to be done where stderr does not take it: the abort below says enough */
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void time_is_up(int signal_number)
{
    (void)signal_number;
    say("watchdog: time is up in ");
    say(watched_test ? watched_test : "(no test)");
    say("\n");
    abort();
}

void watchdog_start(const char *test)
{
    watched_test = test;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = time_is_up;
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)(WATCHDOG_SECONDS * time_scale()));
}

void watchdog_stop(void)
{
    alarm(0);
    signal(SIGALRM, SIG_DFL);
    watched_test = NULL;
}
