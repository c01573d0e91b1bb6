#include "engine/zygote_link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/descriptor.h"
#include "base/fork_child.h"
#include "children/zygote.h"

/* the most that a zygote may take to answer, its fork of a large program included */
#define BIRTH_TIME (30000 * POOL__MS)

static bool push_request(struct pool__zygote_link *link)
{
    while (link->request_left > 0) {
        ssize_t put = pool__send_record(link->control, link->request + POOL__MESSAGE_SIZE - link->request_left,
                                        link->request_left, NULL, 0);

        if (put <= 0)
            return false;
        link->request_left -= (size_t)put;
    }
    return true;
}

bool pool__zygote_is_ours(const struct pool__zygote_link *link)
{
    return link->control < 0 || pool__identity_is(link->control, &link->identity);
}

bool pool__zygote_send(struct pool__zygote_link *link, enum pool__message_kind kind, uint32_t seat, uint32_t life,
                       uint32_t board, const int *fds, size_t fd_count)
{
    struct pool__message message;
    ssize_t put;

    if (link->control < 0 || !pool__zygote_is_ours(link) || !push_request(link))
        return false;
    memset(&message, 0, sizeof message);
    message.kind = kind;
    message.seat = seat;
    message.life = life;
    message.board = board;
    pool__message_encode(link->request, &message);
    put = pool__send_record(link->control, link->request, POOL__MESSAGE_SIZE, fds, fd_count);
    if (put <= 0)
        return false;
    link->request_left = POOL__MESSAGE_SIZE - (size_t)put;
    push_request(link);
    return true;
}

bool pool__zygote_quit(struct pool__zygote_link *link)
{
    if (link->control < 0)
        return false;
    if (!link->quitting)
        link->quitting = pool__zygote_send(link, POOL__QUIT, 0, 0, 0, NULL, 0) || shutdown(link->control, SHUT_WR) == 0;
    return link->quitting;
}

int pool__zygote_next_notice(struct pool__zygote_link *link, struct pool__message *notice)
{
    if (link->control < 0)
        return -1;
    if (link->have - link->taken < POOL__MESSAGE_SIZE) {
        ssize_t got;

        memmove(link->notices, link->notices + link->taken, link->have - link->taken);
        link->have -= link->taken;
        link->taken = 0;
        got = pool__read_some(link->control, link->notices + link->have, sizeof link->notices - link->have);
        if (got == POOL__NOT_NOW)
            return 0;
        if (got < 0)
            return -1;
        link->have += (size_t)got;
        if (link->have < POOL__MESSAGE_SIZE)
            return pool__zygote_next_notice(link, notice);
    }
    link->taken += POOL__MESSAGE_SIZE;
    return pool__message_decode(link->notices + link->taken - POOL__MESSAGE_SIZE, notice) ? 1 : -1;
}

/* Waits for the first answer. */
static int greet(struct pool__zygote_link *link)
{
    uint64_t end = pool__now() + BIRTH_TIME;
    struct pool__message notice;
    struct pollfd fd;
    int got;

    while (!pool__zygote_send(link, POOL__HELLO, 0, 0, 0, NULL, 0)) {
        if ((errno != EAGAIN && errno != EWOULDBLOCK) || pool__now() >= end)
            return EAGAIN;
        pool__nap();
    }
    memset(&fd, 0, sizeof fd);
    fd.fd = link->control;
    fd.events = POLLIN;
    while ((got = pool__zygote_next_notice(link, &notice)) == 0) {
        if (pool__now() >= end)
            return ETIMEDOUT;
        if (poll(&fd, 1, pool__ms_until(end)) < 0)
            pool__nap();
    }
    if (got < 0 || notice.kind != POOL__ALIVE)
        return EAGAIN;
    link->pid = (pid_t)(notice.value >> 32);
    link->our_child = (pid_t)(uint32_t)notice.value == getpid();
    return 0;
}

/*
 * The zygote's descriptors are made here, where a failure can be told: its ends of the socket and the bell do not
 * block.
 */
static int open_ends(struct pool__zygote_link *link, struct pool__zygote_setup *setup)
{
    int ends[2] = {-1, -1};

    setup->bell.listen = setup->bell.ring = -1;
    if (pool__socket_pair(ends) < 0)
        return errno;
    setup->control = ends[1];
    setup->host_end = link->control = ends[0];
    if (!pool__identity_of(link->control, &link->identity)) {
        pool__close(&link->control); /* while it is ours beyond doubt */
        return errno;
    }
    setup->host = pool__pidfd_open(getpid()); /* by the host itself, so that it cannot be another's (rule 21) */
    if (pool__death_bell_open(&setup->bell) < 0 || pool__set_nonblocking(setup->control) < 0 ||
        pool__set_nonblocking(link->control) < 0)
        return errno;
    return 0;
}

static void close_zygotes_ends(struct pool__zygote_setup *setup)
{
    pool__close(&setup->control);
    pool__close(&setup->host);
    pool__close(&setup->doorbell);
    pool__death_bell_close(&setup->bell);
}

int pool__zygote_start(struct pool__zygote_link *link, struct pool__zygote_setup *setup)
{
    int code;

    memset(link, 0, sizeof *link);
    link->control = setup->control = setup->host = -1;
    code = open_ends(link, setup);
    /* what the program has printed and not yet written must not be written by the workers too (rule 26) */
    fflush(stdout);
    fflush(stderr);
    if (code == 0)
        code = pool__fork_twice(pool__zygote_main, setup);
    close_zygotes_ends(setup);
    if (code == 0)
        code = greet(link);
    if (code != 0)
        pool__zygote_bury(link);
    return code;
}

void pool__zygote_continue(const struct pool__zygote_link *link)
{
    if (link->control >= 0)
        kill(link->pid, SIGCONT);
}

void pool__zygote_bury(struct pool__zygote_link *link)
{
    pool__close_own(&link->control, &link->identity);
    if (link->our_child)
        while (waitpid(link->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    link->our_child = false;
}
