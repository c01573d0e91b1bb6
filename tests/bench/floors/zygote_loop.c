#include "floors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "contest.h"

struct ends {
    const struct zygote_loop *floor;
    int control[2];
};

struct parent {
    size_t workers;
    int control, epoll;
    int *task, *result;
};

/* ------------------------------------------------------------------ descriptors by a socket */

union room { /* aligned as the system wants it */
    struct cmsghdr align;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
};

static void send_pair(int control, const int pair[2])
{
    char byte = 'w';
    struct iovec part = {&byte, 1};
    union room room = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(rights), pair, 2 * sizeof(int));
    if (sendmsg(control, &message, 0) != 1)
        give_up("sendmsg: %s", strerror(errno));
}

/* False: the parent has closed its end. */
static bool receive_pair(int control, int pair[2])
{
    char byte;
    struct iovec part = {&byte, 1};
    union room room;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    struct cmsghdr *rights;

    if (recvmsg(control, &message, 0) != 1)
        return false;
    rights = CMSG_FIRSTHDR(&message);
    if (rights == NULL || rights->cmsg_len != CMSG_LEN(2 * sizeof(int)))
        give_up("a message without descriptors");
    memcpy(pair, CMSG_DATA(rights), 2 * sizeof(int));
    return true;
}

/* ------------------------------------------------------------------ the zygote and its workers */

static void work(const struct zygote_loop *floor, const int pair[2])
{
    long value;

    while (read_whole(pair[0], &value, sizeof value)) {
        floor->task();
        write_whole(pair[1], &value, sizeof value);
    }
}

static void serve(void *context)
{
    struct ends *ends = context;
    int pair[2];

    close(ends->control[1]);
    while (receive_pair(ends->control[0], pair)) {
        pid_t pid = fork();
        if (pid < 0)
            give_up("the zygote by hand cannot fork: %s", strerror(errno));
        if (pid == 0) {
            close(ends->control[0]);
            work(ends->floor, pair);
            _exit(0);
        }
        close(pair[0]);
        close(pair[1]);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* ------------------------------------------------------------------ the parent */

static void start_worker(struct parent *parent, size_t i)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = i}};
    int task[2], result[2];

    pipe_make(task);
    pipe_make(result);
    send_pair(parent->control, (int[2]){task[0], result[1]});
    close(task[0]);
    close(result[1]);
    parent->task[i] = task[1];
    parent->result[i] = result[0];
    if (epoll_ctl(parent->epoll, EPOLL_CTL_ADD, result[0], &event) != 0)
        give_up("epoll_ctl: %s", strerror(errno));
}

static void run_tasks(const struct parent *parent)
{
    struct epoll_event events[64];
    size_t left = parent->workers;

    for (size_t i = 0; i < parent->workers; i++)
        write_whole(parent->task[i], &(long){1}, sizeof(long));
    while (left > 0) {
        int count = epoll_wait(parent->epoll, events, 64, -1);
        if (count < 0 && errno != EINTR)
            give_up("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++, left--) {
            long value;
            if (!read_whole(parent->result[events[i].data.u64], &value, sizeof value))
                give_up("a worker by hand has ended");
        }
    }
}

static void end_workers(struct parent *parent)
{
    for (size_t i = 0; i < parent->workers; i++) {
        close(parent->task[i]);
        close(parent->result[i]);
    }
    close(parent->epoll);
    close(parent->control);
}

double zygote_loop_ms(void *context)
{
    const struct zygote_loop *floor = context;
    struct parent parent = {.workers = floor->workers};
    struct ends ends = {.floor = floor};
    double start, end;
    pid_t zygote;

    floor->rearm();
    start = seconds_now();
    parent.task = memory_make(parent.workers * sizeof parent.task[0]);
    parent.result = memory_make(parent.workers * sizeof parent.result[0]);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.control) != 0)
        give_up("socketpair: %s", strerror(errno));
    zygote = child_start(serve, &ends);
    close(ends.control[0]);
    parent.control = ends.control[1];
    parent.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < parent.workers; i++)
        start_worker(&parent, i);
    run_tasks(&parent);
    end_workers(&parent);
    child_wait(zygote);
    end = seconds_now();
    free(parent.task);
    free(parent.result);
    return (end - start) * 1e3;
}
