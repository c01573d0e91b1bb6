#define _GNU_SOURCE /* prctl, __fpending, __fpurge */
#include "base/process_self.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/shared_pages.h"

#if defined(__linux__) && !defined(POOL__PORTABLE)
#include <stdio_ext.h>
#include <sys/prctl.h>

void pool__process_name(const char *name)
{
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

void pool__die_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(0);
}

void pool__adopt_orphans(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void pool__continue_by(int socket)
{
    int flags = fcntl(socket, F_GETFL);

    if (flags >= 0 && fcntl(socket, F_SETOWN, getpid()) == 0 && fcntl(socket, F_SETSIG, SIGCONT) == 0)
        fcntl(socket, F_SETFL, flags | O_ASYNC);
}

#define SCORE_STEP 100 /* thousandths of all memory, by which this process counts as larger than it is */
#define SCORE_MAX  1000

/* "-17\n"; false: it cannot be read. */
static bool read_score(int fd, int *score)
{
    char text[16];
    ssize_t got = pread(fd, text, sizeof text, 0);
    ssize_t i = got > 0 && text[0] == '-';

    for (*score = 0; i < got && text[i] >= '0' && text[i] <= '9'; i++)
        *score = *score * 10 + (text[i] - '0');
    if (got > 0 && text[0] == '-')
        *score = -*score;
    return got > 0;
}

/* False: it is not allowed here, and stays as it is. */
static bool write_score(int fd, int score)
{
    char text[16];
    size_t at = sizeof text;
    int rest = score < 0 ? -score : score;

    do
        text[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (score < 0)
        text[--at] = '-';
    return pwrite(fd, text + at, sizeof text - at, 0) > 0;
}

void pool__go_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    int score;

    if (fd < 0)
        return;
    if (read_score(fd, &score) && score < SCORE_MAX)
        write_score(fd, score < SCORE_MAX - SCORE_STEP ? score + SCORE_STEP : SCORE_MAX);
    pool__close(&fd);
}

/* The pids in /proc/thread-self/children, read in pieces: "12 34 56 ". */
void pool__for_each_child(void (*each)(void *context, pid_t child), void *context)
{
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[512];
    ssize_t got, i;
    pid_t pid = 0;

    if (fd < 0)
        return;
    while ((got = read(fd, text, sizeof text)) > 0 || (got < 0 && errno == EINTR)) {
        for (i = 0; i < got; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid > 0) {
                each(context, pid);
                pid = 0;
            }
        }
    }
    pool__close(&fd);
}

static bool has_pending(FILE *stream)
{
    return __fpending(stream) > 0;
}
static void forget_buffered(FILE *stream)
{
    __fpurge(stream);
}

size_t pool__resident_size(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[64];
    ssize_t got;
    size_t pages = 0, i = 0;

    if (fd < 0)
        return 0;
    got = read(fd, text, sizeof text - 1);
    pool__close(&fd);
    if (got <= 0)
        return 0;
    while (i < (size_t)got && text[i] != ' ') /* the first number is the address space's size */
        i++;
    for (i++; i < (size_t)got && text[i] >= '0' && text[i] <= '9'; i++)
        pages = pages * 10 + (size_t)(text[i] - '0');
    return pages * pool__page_size();
}

#else

void pool__process_name(const char *name)
{
    (void)name;
}
void pool__die_with_parent(pid_t parent)
{
    (void)parent;
}
void pool__adopt_orphans(void)
{
}

void pool__go_first(void)
{
}

void pool__continue_by(int socket)
{
    (void)socket;
}

void pool__for_each_child(void (*each)(void *context, pid_t child), void *context)
{
    (void)each;
    (void)context;
}

static bool has_pending(FILE *stream)
{
    (void)stream;
    return true;
}

/* Standard input has just been turned to the null device, so nobody's file offset is moved. */
static void forget_buffered(FILE *stream)
{
    if (stream == stdin)
        fflush(stream);
}

size_t pool__resident_size(void)
{
    struct rusage usage; /* the peak, and that of the host at the fork: the nearest thing to have */

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}
#endif

static void forget_if_free(FILE *stream)
{
    if (ftrylockfile(stream) != 0)
        return; /* held at the fork by a thread that does not exist here */
    forget_buffered(stream);
    clearerr(stream); /* the lock is this thread's: it may take it twice */
    funlockfile(stream);
}

void pool__stdio_settle(void)
{
    int null_device = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null_device >= 0 && null_device != STDIN_FILENO) {
        dup2(null_device, STDIN_FILENO);
        pool__close(&null_device);
    } else if (null_device < 0) {
        close(STDIN_FILENO);
    } else {
        fcntl(STDIN_FILENO, F_SETFD, 0); /* programs that a task runs read it too */
    }
    forget_if_free(stdin);
    forget_if_free(stdout);
    forget_if_free(stderr);
}

static void flush_stream(FILE *stream)
{
    if (!has_pending(stream) || ftrylockfile(stream) != 0)
        return;
    fflush(stream);
    funlockfile(stream);
}

void pool__stdio_flush(void)
{
    flush_stream(stdout);
    flush_stream(stderr);
}
