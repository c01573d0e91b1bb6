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
#include "data/control.h"

#define LAST_WORDS (2000 * POOL__MS) /* the most that the end waits for corpses that the kernel keeps */

static struct zygote {
    const struct pool__zygote_setup *setup;
    pid_t pid;
    /* a control message that has come in part; its descriptors came with its first byte */
    unsigned char message[POOL__MESSAGE_SIZE];
    size_t have;
    int fds[POOL__FDS_MAX];
    size_t fd_count;
    bool cut;
    /* a notice that went out in part */
    unsigned char notice[POOL__MESSAGE_SIZE];
    size_t notice_left;
    bool alive_untold, anything_untold;
    size_t wanted; /* lives in state WANTED */
} self;

/* ---- the table of lives */

static struct pool__zygote_life *find_life(uint32_t seat, uint32_t number)
{
    size_t i;

    for (i = 0; i < self.setup->board_count; i++) {
        struct pool__zygote_life *life = &self.setup->lives[i];

        if (life->state != POOL__LIFE_FREE && life->seat == seat && life->life == number)
            return life;
    }
    return NULL;
}

static struct pool__zygote_life *find_pid(pid_t pid)
{
    size_t i;

    for (i = 0; i < self.setup->board_count; i++)
        if (self.setup->lives[i].state == POOL__LIFE_RUNS && self.setup->lives[i].pid == pid)
            return &self.setup->lives[i];
    return NULL;
}

static void end_life(struct pool__zygote_life *life, bool failed, int ending)
{
    if (life->state == POOL__LIFE_WANTED)
        self.wanted--;
    pool__close(&life->tasks);
    pool__close(&life->results);
    life->state = POOL__LIFE_ENDED;
    life->failed = failed;
    life->ending = ending;
    self.anything_untold = true;
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
    if (find_pid(pid) == NULL)
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

/* Reaps one dead child, its group killed first. False: none is dead. */
static bool reap_one(void)
{
    struct pool__zygote_life *life;
    pid_t pid = find_dead();
    int status = 0;

    if (pid <= 0)
        return false;
    kill_tree(pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    life = find_pid(pid);
    if (life != NULL)
        end_life(life, false, status);
    return true;
}

static void reap(void)
{
    bool any = false;

    pool__death_bell_quiet(&self.setup->bell);
    while (reap_one())
        any = true;
    if (any)
        pool__for_each_child(kill_stranger, NULL);
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

    for (i = 0; i < self.setup->board_count; i++)
        if (self.setup->lives[i].state == POOL__LIFE_RUNS)
            kill_tree(self.setup->lives[i].pid);
    memset(&bell, 0, sizeof bell);
    bell.fd = self.setup->bell.listen;
    bell.events = POLLIN;
    for (;;) {
        reap();
        if (find_dead() < 0 || pool__now() >= end)
            leave();
        if (poll(&bell, 1, pool__ms_until(end)) < 0)
            pool__nap();
    }
}

/* ---- forking */

/* The board is the only one that a worker keeps, and the worker's own children will not have it. */
static struct pool__board *keep_one_board(uint32_t which)
{
    struct pool__board *boards = self.setup->boards;
    size_t count = self.setup->board_count;

    pool__shared_pages_unmap(boards, which * sizeof *boards);
    pool__shared_pages_unmap(boards + which + 1, (count - which - 1) * sizeof *boards);
    pool__shared_pages_keep_from_children(boards + which, sizeof *boards);
    return boards + which;
}

static _Noreturn void become_worker(const struct pool__zygote_life *life)
{
    struct pool__worker_birth birth;
    size_t i;

    setpgid(0, 0);
    pool__settle_in();
    pool__die_with_parent(self.pid);
    pool__adopt_orphans();
    birth.setup = &self.setup->worker;
    birth.seat = life->seat;
    birth.tasks = life->tasks;
    birth.results = life->results;
    birth.doorbell = self.setup->doorbell;
    birth.board = keep_one_board(life->board);
    for (i = 0; i < self.setup->board_count; i++) {
        struct pool__zygote_life *other = &self.setup->lives[i];

        if (other != life && other->state == POOL__LIFE_WANTED) {
            close(other->tasks);
            close(other->results);
        }
    }
    close(self.setup->control);
    close(self.setup->bell.listen);
    if (self.setup->bell.ring >= 0)
        close(self.setup->bell.ring);
    if (self.setup->host >= 0)
        close(self.setup->host);
    pool__process_name(self.setup->worker.name);
    pool__stdio_settle();
    pool__signals_to_default();
    pool__signals_unblock_all();
    pool__worker_main(&birth);
}

static void fork_worker(struct pool__zygote_life *life)
{
    pid_t pid = pool__fork();

    if (pid == 0)
        become_worker(life);
    if (pid < 0) {
        end_life(life, true, errno);
        return;
    }
    setpgid(pid, pid);
    self.wanted--;
    pool__close(&life->tasks);
    pool__close(&life->results);
    life->pid = pid;
    life->state = POOL__LIFE_RUNS;
    life->spawned_untold = true;
    self.anything_untold = true;
}

static void fork_one(void)
{
    size_t i;

    for (i = 0; self.wanted > 0 && i < self.setup->board_count; i++) {
        if (self.setup->lives[i].state == POOL__LIFE_WANTED) {
            fork_worker(&self.setup->lives[i]);
            return;
        }
    }
}

/* ---- control messages */

static void spawn_asked(const struct pool__message *message)
{
    struct pool__zygote_life *life =
        message->board < self.setup->board_count ? &self.setup->lives[message->board] : NULL;

    if (life == NULL || life->state != POOL__LIFE_FREE)
        return; /* a board has one life at a time; the host knows that */
    memset(life, 0, sizeof *life);
    life->seat = message->seat;
    life->life = message->life;
    life->board = message->board;
    life->state = POOL__LIFE_WANTED;
    self.wanted++;
    if (self.fd_count == 2) {
        life->tasks = self.fds[0];
        life->results = self.fds[1];
        self.fd_count = 0;
        return;
    }
    life->tasks = life->results = -1;
    end_life(life, true, EMFILE); /* the descriptors did not arrive: this process has too many */
}

static void kill_asked(const struct pool__message *message)
{
    struct pool__zygote_life *life = find_life(message->seat, message->life);

    if (life == NULL)
        return;
    if (life->state == POOL__LIFE_WANTED)
        end_life(life, false, SIGKILL); /* as if it had been killed at once */
    else if (life->state == POOL__LIFE_RUNS)
        kill_tree(life->pid);
}

static void handle_message(void)
{
    struct pool__message message;

    if (!pool__message_decode(self.message, &message))
        quit();
    switch (message.kind) {
    case POOL__HELLO:
        self.alive_untold = self.anything_untold = true;
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

static void read_messages(void)
{
    for (;;) {
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

/* The rest of a notice that is under way. False: not now. */
static bool push_notice(void)
{
    while (self.notice_left > 0) {
        ssize_t put = pool__send_record(self.setup->control, self.notice + POOL__MESSAGE_SIZE - self.notice_left,
                                        self.notice_left, NULL, 0);

        if (put < 0)
            quit();
        if (put == POOL__NOT_NOW)
            return false;
        self.notice_left -= (size_t)put;
        pool__ring(self.setup->doorbell);
    }
    return true;
}

static bool tell(enum pool__message_kind kind, const struct pool__zygote_life *life, uint64_t value)
{
    struct pool__message message;

    if (!push_notice())
        return false;
    memset(&message, 0, sizeof message);
    message.kind = kind;
    message.value = value;
    if (life != NULL) {
        message.seat = life->seat;
        message.life = life->life;
        message.board = life->board;
    }
    pool__message_encode(self.notice, &message);
    self.notice_left = POOL__MESSAGE_SIZE;
    push_notice();
    return true;
}

/* SPAWNED comes before EXITED; a life that has been told to its end makes room for the next. */
static bool tell_life(struct pool__zygote_life *life)
{
    if (life->spawned_untold) {
        if (!tell(POOL__SPAWNED, life, (uint64_t)life->pid))
            return false;
        life->spawned_untold = false;
    }
    if (life->state != POOL__LIFE_ENDED)
        return true;
    if (!tell(life->failed ? POOL__SPAWN_FAILED : POOL__EXITED, life, (uint64_t)(uint32_t)life->ending))
        return false;
    life->state = POOL__LIFE_FREE;
    return true;
}

static void tell_all(void)
{
    size_t i;

    if (!push_notice() || !self.anything_untold)
        return;
    if (self.alive_untold) {
        if (!tell(POOL__ALIVE, NULL, (uint64_t)self.pid << 32 | (uint64_t)(uint32_t)getppid()))
            return;
        self.alive_untold = false;
    }
    for (i = 0; i < self.setup->board_count; i++)
        if (!tell_life(&self.setup->lives[i]))
            return;
    self.anything_untold = false;
}

/* ---- the loop */

static void sleep_until_something(struct pollfd *fds)
{
    bool want_out = self.notice_left > 0 || self.anything_untold;

    fds[0].fd = self.setup->control;
    fds[0].events = (short)(POLLIN | (want_out ? POLLOUT : 0));
    fds[1].fd = self.setup->bell.listen;
    fds[1].events = POLLIN;
    fds[2].fd = self.setup->host;
    fds[2].events = POLLIN;
    fds[0].revents = fds[1].revents = fds[2].revents = 0;
    if (poll(fds, 3, self.wanted > 0 ? 0 : -1) >= 0 || errno == EINTR)
        return;
    /* No memory for it: everything is looked at, now and then. That the host is dead, the socket says too. */
    if (self.wanted == 0)
        pool__nap();
    fds[0].revents = fds[1].revents = POLLIN;
}

static void settle_as_zygote(void)
{
    struct sigaction action;

    close(self.setup->host_end);
    pool__poller_close_in_child(self.setup->pipes);
    setsid(); /* ^C and ^Z are for the program (rule 19) */
    self.pid = getpid();
    pool__adopt_orphans();
    pool__signals_to_default();
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN; /* what is only meant to end a program politely ends it through the host */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    pool__continue_by(self.setup->control); /* a stopped zygote could not end the workers of a dead host */
    if (!pool__death_bell_arm(&self.setup->bell))
        leave(); /* deaf to deaths, it is of no use: the pool is not made */
    pool__process_name(self.setup->name);
}

void pool__zygote_main(void *setup)
{
    struct pollfd fds[3];

    memset(&self, 0, sizeof self); /* of a pool within a worker: that one's zygote left its state here */
    self.setup = setup;
    settle_as_zygote();
    for (;;) {
        sleep_until_something(fds);
        if (fds[2].revents != 0)
            quit();
        if (fds[1].revents != 0)
            reap();
        if (fds[0].revents != 0)
            read_messages();
        fork_one();
        tell_all();
    }
}
