/*
 * zygote_link - the host's end of the control socket: asks for lives and deaths, hears what became of them. Never
 * blocks: what cannot be sent now is said so, and asked again by staffing.
 */
#ifndef POOL__ZYGOTE_LINK_H
#define POOL__ZYGOTE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/descriptor.h"
#include "data/control.h"

struct pool__zygote_link {
    int control;                    /* -1: the zygote is gone, or was let go */
    struct pool__identity identity; /* of control */
    pid_t pid;
    bool our_child; /* the host is PID 1 or a subreaper: then the zygote is its child after all (rule 26) */
    bool quitting;  /* it was told to quit: its end is no failure */
    unsigned char notices[16 * POOL__MESSAGE_SIZE]; /* of what was read, [taken, have) is still to be told */
    size_t taken, have;
    unsigned char request[POOL__MESSAGE_SIZE]; /* one that went out in part */
    size_t request_left;
};

/* Is the socket what it was? False: the program has closed it, and the number may be another file's. */
bool pool__zygote_is_ours(const struct pool__zygote_link *link);

/* False: not now, or the zygote is gone. The descriptors go with the first byte, and only once (rule 22). */
bool pool__zygote_send(struct pool__zygote_link *link, enum pool__message_kind kind, uint32_t seat, uint32_t life,
                       uint32_t board, const int *fds, size_t fd_count);

/* QUIT, or where that cannot be sent the end of what is sent, which says the same. False: neither. */
bool pool__zygote_quit(struct pool__zygote_link *link);

/* 1: a notice; 0: none now; -1: the zygote is gone. */
int pool__zygote_next_notice(struct pool__zygote_link *link, struct pool__message *notice);

/*
 * Forks the zygote and exchanges HELLO and ALIVE with it. The fork lock is held. 0, or an errno. `setup` is a struct
 * pool__zygote_setup.
 */
struct pool__zygote_setup;
int pool__zygote_start(struct pool__zygote_link *link, struct pool__zygote_setup *setup);

/*
 * Continues it where it is stopped (rule 24); nothing else to one that runs. Its number is its own for as long as its
 * end of the socket is open.
 */
void pool__zygote_continue(const struct pool__zygote_link *link);

/* After its end: the socket is closed, and the status taken where the zygote is our child. */
void pool__zygote_bury(struct pool__zygote_link *link);

#endif
