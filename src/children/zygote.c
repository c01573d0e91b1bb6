#include "children/zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/fork_child.h"
#include "base/process_self.h"
#include "base/shared_pages.h"
#include "children/crash_record.h"
#include "children/lives.h"
#include "data/control.h"

#define LAST_WORDS (2000 * POOL__MS) /* the most that the end waits for corpses that the kernel keeps */

#define LOOK_APART (10 * POOL__MS) /* between two looks for what the dead have left behind */
#define NOTICES    32u             /* that are sent at once */

/* A SPAWN that is not carried out yet. */
struct birth {
    struct pool__life *life;
    int tasks, results;
};

static struct zygote {
    const struct pool__zygote_setup *setup;
    struct pool__lives *lives;
    pid_t pid;
    /* a control message that has come in part; its descriptors came with its first byte */
    unsigned char message[POOL__MESSAGE_SIZE];
    size_t have;
    int fds[POOL__FDS_MAX];
    size_t fd_count;
    bool cut;
    /* not in the table, which changes while a worker that was just forked looks at its copy */
    struct birth wanted[POOL__SPAWNS_AHEAD];
    size_t wanted_count;
    /* notices [from, to) of these bytes are to be sent */
    unsigned char notices[NOTICES * POOL__MESSAGE_SIZE];
    size_t notices_from, notices_to;
    bool alive_untold;
    uint64_t looked_at, look_at; /* for strangers: last, and when next */
} self;

/* ---- what is to be forked */

static void drop_birth(struct birth *birth)
{
    size_t at = (size_t)(birth - self.wanted);

    pool__close(&birth->tasks);
    pool__close(&birth->results);
    self.wanted_count--;
    memmove(birth, birth + 1, (self.wanted_count - at) * sizeof *birth);
}

static struct birth *birth_of(const struct pool__life *life)
{
    size_t i = 0;

    while (self.wanted[i].life != life)
        i++;
    return &self.wanted[i];
}

/*
 * The group, and the process itself in case it has not yet made its group (rule 23). Only between fork and reap, so
 * neither number can be a stranger's.
 */
static void kill_tree(pid_t pid)
{
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
}

/* ---- deaths */

/* A child that no table knows lost its parent, a worker that is dead: rule 19. */
static void kill_stranger(void *context, pid_t pid)
{
    (void)context;
    if (pool__lives_of_pid(self.lives, pid) == NULL)
        kill_tree(pid);
}

/* Looks for a dead child and leaves it as it is: its pid, 0 where none is dead, -1 where there is none at all. */
static pid_t find_dead(void)
{
    siginfo_t info;
    int told;

    memset(&info, 0, sizeof info);
    do
        told = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    while (told < 0 && errno == EINTR);
    return told < 0 ? -1 : info.si_pid;
}

/* Its group is killed first: until the wait, the number is its own (rule 23). */
static void reap_one(pid_t pid)
{
    struct pool__life *life = pool__lives_of_pid(self.lives, pid);
    int status = 0;

    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (life != NULL)
        pool__lives_ended(self.lives, life, false, status);
}

/* False: there is no child left, so no stranger either. */
static bool reap(void)
{
    pid_t dead;

    pool__death_bell_quiet(&self.setup->bell);
    while ((dead = find_dead()) > 0)
        reap_one(dead);
    return dead == 0;
}

static void look_for_strangers(void)
{
    pool__for_each_child(kill_stranger, NULL);
    self.looked_at = pool__now();
    self.look_at = POOL__NEVER;
}

/* At once, but where many die in a row not after each: the system's list of children is as long as there are workers. */
static void plan_look(void)
{
    if (pool__now() - self.looked_at >= LOOK_APART)
        look_for_strangers();
    else
        self.look_at = self.looked_at + LOOK_APART;
}

/*
 * Closed before it rings, so that who hears it finds the socket at its end; shut down, since a process that is held
 * since its fork has it open still.
 */
static _Noreturn void leave(void)
{
    shutdown(self.setup->control, SHUT_RDWR);
    close(self.setup->control);
    pool__ring(self.setup->doorbell);
    _exit(0);
}

/* The end of everything: no worker, nor what descends from one, outlives this process. */
static _Noreturn void quit(void)
{
    uint64_t end = pool__now() + LAST_WORDS;
    struct pollfd bell;
    size_t i;

    for (i = 0; i < self.lives->count; i++)
        if (self.lives->lives[i].state == POOL__LIFE_RUNS)
            kill_tree(self.lives->lives[i].pid);
    memset(&bell, 0, sizeof bell);
    bell.fd = self.setup->bell.listen;
    bell.events = POLLIN;
    for (;;) {
        if (!reap() || pool__now() >= end)
            leave();
        look_for_strangers();
        if (poll(&bell, 1, pool__ms_until(end)) < 0)
            pool__nap();
    }
}

/* ---- forking */

/*
 * One board, and what lies beside it, is all that a worker keeps of the shared pages, and the worker's own children
 * will not have it. There is no table of lives from here on.
 */
static void keep_one_board(struct pool__worker_birth *birth, uint32_t which)
{
    char *end = (char *)self.setup->boards + self.setup->shared_size;
    struct pool__board *board = self.setup->boards + which;
    struct pool__bulk *bulk = self.setup->bulks + which;

    pool__shared_pages_unmap(self.setup->boards, which * sizeof *board);
    pool__shared_pages_unmap(board + 1, (size_t)((char *)bulk - (char *)(board + 1)));
    pool__shared_pages_unmap(bulk + 1, (size_t)(end - (char *)(bulk + 1)));
    pool__shared_pages_keep_from_children(board, sizeof *board);
    pool__shared_pages_keep_from_children(bulk, sizeof *bulk);
    birth->board = board;
    birth->bulk = bulk;
}

static _Noreturn void become_worker(size_t which)
{
    struct pool__worker_birth birth;
    size_t i;

    setpgid(0, 0);
    pool__settle_in();
    pool__die_with_parent(self.pid);
    pool__adopt_orphans();
    birth.setup = &self.setup->worker;
    birth.seat = self.wanted[which].life->seat;
    birth.tasks = self.wanted[which].tasks;
    birth.results = self.wanted[which].results;
    birth.doorbell = self.setup->doorbell;
    keep_one_board(&birth, self.wanted[which].life->board);
    for (i = 0; i < self.wanted_count; i++) {
        if (i != which) {
            close(self.wanted[i].tasks);
            close(self.wanted[i].results);
        }
    }
    close(self.setup->control);
    if (self.setup->host >= 0)
        close(self.setup->host);
    pool__death_bell_leave(&self.setup->bell);
    pool__process_name(self.setup->worker.name);
    pool__signals_unblock_all();
    pool__worker_main(&birth);
}

/* The one that was asked for first. */
static void fork_one(void)
{
    struct birth *birth = &self.wanted[0];
    pid_t pid;

    if (self.wanted_count == 0)
        return;
    pid = pool__fork();
    if (pid == 0)
        become_worker(0);
    if (pid < 0) {
        pool__lives_ended(self.lives, birth->life, true, errno);
    } else {
        setpgid(pid, pid);
        pool__lives_forked(self.lives, birth->life, pid);
    }
    drop_birth(birth);
}

/* ---- control messages */

static void spawn_asked(const struct pool__message *message)
{
    struct pool__life *life = pool__lives_want(self.lives, message);

    if (life == NULL)
        return;
    if (self.fd_count == 2) {
        struct birth *birth = &self.wanted[self.wanted_count++];

        birth->life = life;
        birth->tasks = self.fds[0];
        birth->results = self.fds[1];
        self.fd_count = 0;
        return;
    }
    pool__lives_ended(self.lives, life, true, EMFILE); /* they did not arrive: this process has too many */
}

static void kill_asked(const struct pool__message *message)
{
    struct pool__life *life = pool__lives_of(self.lives, message->seat, message->life);

    if (life == NULL)
        return;
    if (life->state == POOL__LIFE_WANTED) {
        drop_birth(birth_of(life));
        pool__lives_ended(self.lives, life, false, SIGKILL); /* as if it had been killed at once */
    } else if (life->state == POOL__LIFE_RUNS) {
        kill_tree(life->pid);
    }
}

static void handle_message(void)
{
    struct pool__message message;

    if (!pool__message_decode(self.message, &message))
        quit();
    switch (message.kind) {
    case POOL__HELLO:
        self.alive_untold = true;
        break;
    case POOL__SPAWN:
        spawn_asked(&message);
        break;
    case POOL__KILL:
        kill_asked(&message);
        break;
    case POOL__QUIT:
    default:
        quit();
    }
}

static void drop_descriptors(void)
{
    while (self.fd_count > 0)
        pool__close(&self.fds[--self.fd_count]);
    self.cut = false;
}

/* All that is here, as far as there is room for what it asks for. */
static void read_messages(void)
{
    while (self.wanted_count < POOL__SPAWNS_AHEAD) {
        int fds[POOL__FDS_MAX];
        size_t fd_count;
        bool cut;
        ssize_t got = pool__receive_record(self.setup->control, self.message + self.have,
                                           POOL__MESSAGE_SIZE - self.have, fds, &fd_count, &cut);

        if (got == POOL__NOT_NOW)
            return;
        if (got < 0)
            quit();
        if (fd_count > 0) {
            drop_descriptors();
            memcpy(self.fds, fds, sizeof fds);
            self.fd_count = fd_count;
        }
        self.have += (size_t)got;
        if (self.have < POOL__MESSAGE_SIZE)
            continue;
        self.have = 0;
        handle_message();
        drop_descriptors();
    }
}

/* ---- notices */

/* The notices that are under way. False: not all of them now. */
static bool push_notices(void)
{
    while (self.notices_from < self.notices_to) {
        ssize_t put = pool__send_record(self.setup->control, self.notices + self.notices_from,
                                        self.notices_to - self.notices_from, NULL, 0);

        if (put < 0)
            quit();
        if (put == POOL__NOT_NOW)
            return false;
        self.notices_from += (size_t)put;
        pool__ring(self.setup->doorbell);
    }
    self.notices_from = self.notices_to = 0;
    return true;
}

static bool next_notice(struct pool__message *notice)
{
    if (!self.alive_untold)
        return pool__lives_tell(self.lives, notice);
    self.alive_untold = false;
    memset(notice, 0, sizeof *notice);
    notice->kind = POOL__ALIVE;
    notice->value = (uint64_t)self.pid << 32 | (uint64_t)(uint32_t)getppid();
    return true;
}

static bool must_tell(void)
{
    return self.alive_untold || pool__lives_must_tell(self.lives, self.wanted_count > 0);
}

static void tell_all(void)
{
    struct pool__message notice;

    while (push_notices() && must_tell()) {
        while (self.notices_to < sizeof self.notices && next_notice(&notice)) {
            pool__message_encode(self.notices + self.notices_to, &notice);
            self.notices_to += POOL__MESSAGE_SIZE;
        }
    }
}

/* ---- the loop */

static void sleep_until_something(struct pollfd *fds)
{
    bool want_out = self.notices_from < self.notices_to;

    fds[0].fd = self.setup->control;
    fds[0].events = (short)(POLLIN | (want_out ? POLLOUT : 0));
    fds[1].fd = self.setup->bell.listen;
    fds[1].events = POLLIN;
    fds[2].fd = self.setup->host;
    fds[2].events = POLLIN;
    fds[0].revents = fds[1].revents = fds[2].revents = 0;
    if (poll(fds, 3, self.wanted_count > 0 ? 0 : pool__ms_until(self.look_at)) >= 0 || errno == EINTR)
        return;
    /* No memory for it: everything is looked at, now and then. That the host is dead, the socket says too. */
    if (self.wanted_count == 0)
        pool__nap();
    fds[0].revents = fds[1].revents = POLLIN;
}

/* What is settled here, every worker has from this process. */
static void settle_as_zygote(void)
{
    close(self.setup->host_end);
    pool__poller_close_in_child(self.setup->pipes);
    setsid(); /* ^C and ^Z are for the program (rule 19) */
    self.pid = getpid();
    pool__adopt_orphans();
    pool__signals_to_default();
    pool__crash_record_install();
    pool__stdio_settle();
    pool__continue_by(self.setup->control); /* a stopped zygote could not end the workers of a dead host */
    if (!pool__death_bell_arm(&self.setup->bell))
        leave();                    /* deaf to deaths, it is of no use: the pool is not made */
    pool__signals_block_requests(); /* what asks a program to end ends this through the host */
    pool__process_name(self.setup->name);
}

void pool__zygote_main(void *setup)
{
    struct pollfd fds[3];

    memset(&self, 0, sizeof self); /* of a pool within a worker: that one's zygote left its state here */
    self.setup = setup;
    self.lives = self.setup->lives;
    self.look_at = POOL__NEVER;
    settle_as_zygote();
    for (;;) {
        sleep_until_something(fds);
        if (fds[2].revents != 0)
            quit();
        if (fds[1].revents != 0 && reap())
            plan_look();
        if (self.look_at != POOL__NEVER && pool__now() >= self.look_at)
            look_for_strangers();
        if (fds[0].revents != 0)
            read_messages();
        fork_one();
        tell_all();
    }
}
