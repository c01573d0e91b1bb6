#include "system.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/death_bell.h"
#include "base/descriptor.h"
#include "base/executable_map.h"
#include "base/fork_child.h"
#include "base/oom_counter.h"
#include "base/poller.h"
#include "base/shared_pages.h"
#include "children/zygote.h"
#include "data/control.h"
#include "input.h"

#define FIRST_FD  1000
#define FDS_MOST  256
#define FIRST_PID 40000

struct life lives[LIVES_MOST];
unsigned life_count;
uint64_t system_now;
size_t system_read_most, system_pipe_room;
bool system_refuses_spawn;

static struct descriptor {
    bool open;
    struct pipe_memory *in, *out; /* what it reads from, what it writes to */
    bool watched, awake;
    uint64_t tag;
    unsigned events;
} table[FDS_MOST];

static struct pool__poller {
    bool open, woken;
} the_poller;

static struct zygote {
    struct pipe_memory *requests, *notices; /* its ends of the control socket */
    struct pool__board *boards;
    struct pool__bulk *bulks;
    size_t board_count;
    bool quits;
} zygote;

/* ---- pipes */

static struct pipe_memory *pipe_make(void)
{
    struct pipe_memory *pipe = calloc(1, sizeof *pipe);

    MUST(pipe != NULL);
    return pipe;
}

/* One descriptor of it is closed; a life's own hold counts as one. */
static void pipe_leave(struct pipe_memory *pipe, unsigned *side)
{
    MUST(*side > 0);
    (*side)--;
    if (pipe->readers + pipe->writers > 0)
        return;
    free(pipe->bytes);
    free(pipe);
}

static size_t pipe_held(const struct pipe_memory *pipe)
{
    return pipe->to - pipe->from;
}

static size_t pipe_put(struct pipe_memory *pipe, const void *bytes, size_t size, size_t most)
{
    size_t held = pipe_held(pipe);

    if (held >= most || size == 0)
        return 0;
    size = size < most - held ? size : most - held;
    if (pipe->room - pipe->to < size) {
        if (held > 0)
            memmove(pipe->bytes, pipe->bytes + pipe->from, held);
        pipe->from = 0;
        pipe->to = held;
    }
    if (pipe->room - pipe->to < size) {
        pipe->room = 2 * (held + size);
        pipe->bytes = realloc(pipe->bytes, pipe->room);
        MUST(pipe->bytes != NULL);
    }
    memcpy(pipe->bytes + pipe->to, bytes, size);
    pipe->to += size;
    return size;
}

static size_t pipe_take(struct pipe_memory *pipe, void *bytes, size_t size)
{
    size = size < pipe_held(pipe) ? size : pipe_held(pipe);
    if (size > 0)
        memcpy(bytes, pipe->bytes + pipe->from, size);
    pipe->from += size;
    return size;
}

/* ---- descriptors */

static struct descriptor *descriptor_at(int fd)
{
    MUST(fd >= FIRST_FD && fd < FIRST_FD + FDS_MOST && table[fd - FIRST_FD].open);
    return &table[fd - FIRST_FD];
}

static int descriptor_make(struct pipe_memory *in, struct pipe_memory *out)
{
    int i = 0;

    while (i < FDS_MOST && table[i].open)
        i++;
    MUST(i < FDS_MOST);
    memset(&table[i], 0, sizeof table[i]);
    table[i].open = true;
    table[i].in = in;
    table[i].out = out;
    if (in != NULL)
        in->readers++;
    if (out != NULL)
        out->writers++;
    return FIRST_FD + i;
}

int pool__pipe(int ends[2])
{
    struct pipe_memory *pipe = pipe_make();

    ends[0] = descriptor_make(pipe, NULL);
    ends[1] = descriptor_make(NULL, pipe);
    return 0;
}

int pool__socket_pair(int ends[2])
{
    struct pipe_memory *there = pipe_make(), *back = pipe_make();

    ends[0] = descriptor_make(back, there);
    ends[1] = descriptor_make(there, back);
    return 0;
}

int pool__set_nonblocking(int fd)
{
    descriptor_at(fd);
    return 0;
}

int pool__above_standard(int *fd)
{
    descriptor_at(*fd);
    return 0;
}

void pool__close(int *fd)
{
    struct descriptor *descriptor;

    if (*fd < 0)
        return;
    if (*fd < FIRST_FD) { /* of the system's own: a file that was looked into */
        close(*fd);
        *fd = -1;
        return;
    }
    descriptor = descriptor_at(*fd);
    MUST(!descriptor->watched); /* rule 29 */
    descriptor->open = false;
    if (descriptor->in != NULL)
        pipe_leave(descriptor->in, &descriptor->in->readers);
    if (descriptor->out != NULL)
        pipe_leave(descriptor->out, &descriptor->out->writers);
    *fd = -1;
}

ssize_t pool__read_some(int fd, void *data, size_t size)
{
    struct pipe_memory *pipe = descriptor_at(fd)->in;
    size_t got;

    MUST(pipe != NULL && size > 0);
    memset(data, 0xcc, size < 64 ? size : 64); /* the room must be there */
    ((unsigned char *)data)[size - 1] = 0xcc;
    got = pipe_take(pipe, data, size < system_read_most ? size : system_read_most);
    if (got == 0)
        return pipe->writers == 0 ? POOL__GONE : POOL__NOT_NOW;
    return (ssize_t)got;
}

ssize_t pool__write_some(int fd, const struct iovec *parts, int count)
{
    struct pipe_memory *pipe = descriptor_at(fd)->out;
    size_t put = 0, now;
    int i;

    MUST(pipe != NULL);
    for (i = 0; i < count; i++) {
        now = pipe_put(pipe, parts[i].iov_base, parts[i].iov_len, system_pipe_room);
        put += now;
        if (now < parts[i].iov_len)
            break;
    }
    return (ssize_t)put;
}

size_t pool__readable_bytes(int fd)
{
    return pipe_held(descriptor_at(fd)->in);
}

bool pool__has_hung_up(int fd)
{
    return descriptor_at(fd)->in->writers == 0;
}

/* ---- the poller: one set, and whoever sleeps gives the zygote its turn */

struct pool__poller *pool__poller_open(void)
{
    MUST(!the_poller.open);
    the_poller.open = true;
    the_poller.woken = false;
    return &the_poller;
}

void pool__poller_close(struct pool__poller *poller)
{
    if (poller != NULL)
        poller->open = false;
}

bool pool__poller_add(struct pool__poller *poller, int fd, uint64_t tag, unsigned events)
{
    struct descriptor *descriptor = descriptor_at(fd);

    MUST(poller == &the_poller && !descriptor->watched);
    descriptor->watched = true;
    descriptor->tag = tag;
    descriptor->events = events;
    return true;
}

void pool__poller_remove(struct pool__poller *poller, int fd)
{
    MUST(poller == &the_poller);
    if (fd < 0)
        return; /* of a seat that nobody ever sat on */
    MUST(descriptor_at(fd)->watched);
    descriptor_at(fd)->watched = false;
}

void pool__poller_wake(struct pool__poller *poller)
{
    MUST(poller == &the_poller);
    poller->woken = true;
}

bool pool__poller_make_bell(struct pool__poller *poller, int *bell)
{
    (void)poller;
    *bell = -1;
    return true;
}

bool pool__poller_is_bell(const struct pool__poller *poller)
{
    (void)poller;
    return false;
}

void pool__poller_leave_rung(struct pool__poller *poller)
{
    (void)poller;
}

void pool__ring(int fd)
{
    MUST(fd < 0);
}

/* Nobody takes the pool's descriptors away here. */
bool pool__poller_is_ours(const struct pool__poller *poller)
{
    (void)poller;
    return true;
}

bool pool__poller_has_failed(const struct pool__poller *poller)
{
    (void)poller;
    return false;
}

void pool__poller_give_up(struct pool__poller *poller)
{
    (void)poller;
    MUST(false);
}

/* Both ends of a pipe are the same file. */
bool pool__identity_of(int fd, struct pool__identity *identity)
{
    const struct descriptor *descriptor = descriptor_at(fd);

    memset(identity, 0, sizeof *identity);
    identity->inode = (ino_t)(uintptr_t)(descriptor->out != NULL ? descriptor->out : descriptor->in);
    return true;
}

bool pool__identity_is(int fd, const struct pool__identity *identity)
{
    struct pool__identity found;

    return pool__identity_of(fd, &found) && found.inode == identity->inode;
}

void pool__close_own(int *fd, const struct pool__identity *identity)
{
    MUST(*fd < 0 || pool__identity_is(*fd, identity));
    pool__close(fd);
}

int pool__poller_fd(const struct pool__poller *poller)
{
    (void)poller;
    return FIRST_FD + FDS_MOST;
}

void pool__poller_close_in_child(struct pool__poller *poller)
{
    (void)poller;
}

static size_t look(struct pool__ready *ready, size_t room)
{
    size_t count = 0;
    int i;

    for (i = 0; i < FDS_MOST && count < room; i++) {
        const struct descriptor *at = &table[i];
        bool readable, writable;

        if (!at->open || !at->watched)
            continue;
        readable = (at->events & POOL__POLL_READ) != 0 && (pipe_held(at->in) > 0 || at->in->writers == 0);
        writable = (at->events & POOL__POLL_WRITE) != 0 && pipe_held(at->out) < system_pipe_room;
        if (!readable && !writable)
            continue;
        ready[count].tag = at->tag;
        ready[count].readable = readable;
        ready[count].writable = writable;
        count++;
    }
    return count;
}

size_t pool__poller_wait(struct pool__poller *poller, struct pool__poller *also, uint64_t end,
                         struct pool__ready *ready, size_t room)
{
    size_t count = look(ready, room);

    MUST(poller == &the_poller && also == NULL);
    if (count > 0 || poller->woken || end <= system_now) {
        poller->woken = false;
        return count;
    }
    zygote_turn();
    count = look(ready, room);
    if (count == 0) {
        MUST(end != POOL__NEVER); /* it would sleep for ever */
        system_now = end;
    }
    return count;
}

/* ---- the barrier */

/* One thread plays all: each has seen what the others did. */
bool pool__barrier_is_there(void)
{
    return true;
}
bool pool__barrier_join(void)
{
    return true;
}
bool pool__barrier_all(void)
{
    return true;
}

/* ---- the clock */

uint64_t pool__now(void)
{
    return system_now;
}

uint64_t pool__now_roughly(struct pool__moment *last)
{
    (void)last;
    return system_now;
}

uint64_t pool__end_of_wait(int timeout_ms)
{
    return timeout_ms < 0 ? POOL__NEVER : timeout_ms == 0 ? 0 : system_now + (uint64_t)timeout_ms * POOL__MS;
}

int pool__ms_until(uint64_t end)
{
    uint64_t ms = end > system_now ? (end - system_now + POOL__MS - 1) / POOL__MS : 0;

    return end == POOL__NEVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
}

struct timespec pool__timespec(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / UINT64_C(1000000000)), (long)(ns % UINT64_C(1000000000))};

    return time;
}

/* ---- memory, forks, processes */

/* Kept from one input to the next: such an allocation is the dearest thing that a pool does here. */
static void *pages;
static size_t pages_size;

void *pool__shared_pages_map(size_t size)
{
    if (size != pages_size) {
        free(pages);
        pages = aligned_alloc(64, (size + 63) / 64 * 64);
        MUST(pages != NULL);
        pages_size = size;
    }
    memset(pages, 0, size);
    return pages;
}

void pool__shared_pages_unmap(void *memory, size_t size)
{
    MUST(memory == NULL || (memory == pages && size == pages_size));
}

void pool__shared_pages_keep_from_children(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

void pool__shared_pages_give_back(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

void pool__shared_pages_wipe(void *memory, size_t size)
{
    memset(memory, 0, size);
}

size_t pool__page_size(void)
{
    return 4096;
}

void pool__executable_map_read(struct pool__executable_map *map)
{
    memset(map, 0, sizeof *map);
}

void pool__executable_map_free(struct pool__executable_map *map)
{
    (void)map;
}

bool pool__executable_map_has(const struct pool__executable_map *map, uintptr_t address)
{
    (void)map;
    return address != 0;
}

int pool__fork_handlers_install(void)
{
    return 0;
}

uint64_t pool__process_generation(void)
{
    return 1;
}

bool pool__process_is(uint64_t generation)
{
    return generation == 1;
}

void pool__fork_lock(void)
{
}

bool pool__fork_trylock(void)
{
    return true;
}

void pool__fork_unlock(void)
{
}

void pool__fork_guard_add(struct pool__fork_guard *guard)
{
    (void)guard;
}

void pool__fork_guard_remove(struct pool__fork_guard *guard)
{
    (void)guard;
}

int pool__death_bell_open(struct pool__death_bell *bell)
{
    bell->listen = bell->ring = -1;
    return 0;
}

void pool__death_bell_close(struct pool__death_bell *bell)
{
    (void)bell;
}

int64_t pool__oom_kills(const char *root, char **path)
{
    (void)root;
    (void)path;
    return -1;
}

int pool__pidfd_open(pid_t pid)
{
    (void)pid;
    return -1;
}

/* Nobody is forked here: what would be killed must be a worker, or the zygote. */
int kill(pid_t pid, int signal_number)
{
    unsigned i;

    MUST(pid != 0 && pid != -1);
    if (pid == FIRST_PID) {
        MUST(signal_number == SIGKILL || signal_number == SIGCONT);
        if (signal_number == SIGKILL)
            zygote_ends();
        return 0;
    }
    MUST(signal_number == SIGKILL);
    for (i = 0; i < life_count; i++)
        if (lives[i].pid == -pid) {
            life_ends(&lives[i], SIGKILL);
            return 0;
        }
    fuzz_fail(__FILE__, __LINE__, "only workers are killed");
}

/* Each worker leads its group, in the zygote's session. */
pid_t getsid(pid_t pid)
{
    unsigned i;

    for (i = 0; i < life_count; i++)
        if (lives[i].pid == pid)
            return FIRST_PID;
    errno = ESRCH;
    return -1;
}

pid_t getpgid(pid_t pid)
{
    return getsid(pid) < 0 ? -1 : pid;
}

/* ---- the zygote */

void pool__zygote_main(void *setup)
{
    (void)setup;
}

int pool__fork_twice(void (*run)(void *argument), void *argument)
{
    const struct pool__zygote_setup *setup = argument;
    const struct descriptor *control = descriptor_at(setup->control);

    MUST(run == pool__zygote_main);
    zygote.requests = control->in;
    zygote.notices = control->out;
    zygote.requests->readers++;
    zygote.notices->writers++;
    zygote.boards = setup->boards;
    zygote.bulks = setup->bulks;
    zygote.board_count = setup->board_count;
    return 0;
}

void zygote_says(const void *bytes, size_t size)
{
    if (zygote.notices != NULL && zygote.notices->readers > 0)
        pipe_put(zygote.notices, bytes, size, SIZE_MAX);
}

static void tell(enum pool__message_kind kind, const struct life *life, uint64_t value)
{
    unsigned char bytes[POOL__MESSAGE_SIZE];
    struct pool__message notice;

    memset(&notice, 0, sizeof notice);
    notice.kind = kind;
    notice.value = value;
    if (life != NULL) {
        notice.seat = life->seat;
        notice.life = life->number;
    }
    pool__message_encode(bytes, &notice);
    zygote_says(bytes, sizeof bytes);
}

/* A worker's ends close with it. */
void life_ends(struct life *life, int status)
{
    if (!life->alive)
        return;
    life->alive = false;
    life->status = status;
    pipe_leave(life->tasks, &life->tasks->readers);
    pipe_leave(life->results, &life->results->writers);
    life->page = NULL;
}

static void spawn(const struct pool__message *request, const int *fds)
{
    struct life *life = &lives[life_count];

    MUST(request->board < zygote.board_count);
    memset(life, 0, sizeof *life);
    life->seat = request->seat;
    life->number = request->life;
    if (system_refuses_spawn || life_count == LIVES_MOST - 1) {
        tell(POOL__SPAWN_FAILED, life, EAGAIN);
        return;
    }
    life_count++;
    life->alive = true;
    life->pid = FIRST_PID + (pid_t)life_count;
    life->board = request->board;
    life->page = &zygote.boards[request->board];
    life->bulk = &zygote.bulks[request->board];
    life->tasks = descriptor_at(fds[0])->in;
    life->results = descriptor_at(fds[1])->out;
    life->tasks->readers++;
    life->results->writers++;
}

static void obey(const struct pool__message *request, const int *fds)
{
    unsigned i;

    switch (request->kind) {
    case POOL__HELLO:
        tell(POOL__ALIVE, NULL, (uint64_t)FIRST_PID << 32 | 1);
        break;
    case POOL__SPAWN:
        spawn(request, fds);
        break;
    case POOL__KILL:
        for (i = 0; i < life_count; i++)
            if (lives[i].seat == request->seat && lives[i].number == request->life && !lives[i].held)
                life_ends(&lives[i], SIGKILL);
        break;
    case POOL__QUIT:
        for (i = 0; i < life_count; i++)
            life_ends(&lives[i], SIGKILL);
        zygote.quits = true;
        break;
    default:
        fuzz_fail(__FILE__, __LINE__, "a host's request");
    }
}

ssize_t pool__send_record(int fd, const void *record, size_t size, const int *fds, size_t fd_count)
{
    struct pool__message request;

    MUST(descriptor_at(fd)->out == zygote.requests);
    if (zygote.requests->readers < 2 && zygote.notices == NULL)
        return POOL__GONE;
    MUST(size == POOL__MESSAGE_SIZE && pool__message_decode(record, &request));
    MUST((fd_count == 2) == (request.kind == POOL__SPAWN));
    obey(&request, fds);
    return (ssize_t)size;
}

void zygote_ends(void)
{
    unsigned i;

    if (zygote.notices == NULL)
        return;
    for (i = 0; i < life_count; i++)
        life_ends(&lives[i], SIGKILL); /* rule 24 */
    pipe_leave(zygote.requests, &zygote.requests->readers);
    pipe_leave(zygote.notices, &zygote.notices->writers);
    zygote.requests = zygote.notices = NULL;
}

void zygote_turn(void)
{
    unsigned i;

    for (i = 0; i < life_count; i++) {
        struct life *life = &lives[i];

        if (!life->told)
            tell(POOL__SPAWNED, life, (uint64_t)life->pid);
        life->told = true;
        if (!life->alive && !life->end_told) {
            tell(POOL__EXITED, life, (uint64_t)(uint32_t)life->status);
            life->end_told = true;
        }
    }
    if (zygote.quits)
        zygote_ends();
}

size_t life_writes(struct life *life, const void *bytes, size_t size)
{
    return life->alive ? pipe_put(life->results, bytes, size, system_pipe_room) : 0;
}

size_t life_reads(struct life *life, void *bytes, size_t size)
{
    return life->alive ? pipe_take(life->tasks, bytes, size) : 0;
}

/* ---- begin and end */

/* Read by the address sanitizer: freed memory that is held back for long makes each pool's buffers new pages. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1";
}

void system_begin(void)
{
    memset(lives, 0, sizeof lives);
    memset(&zygote, 0, sizeof zygote);
    memset(table, 0, sizeof table);
    life_count = 0;
    system_now = 1000000 * POOL__MS;
    system_read_most = SIZE_MAX;
    system_pipe_room = 65536;
    system_refuses_spawn = false;
}

void system_end(void)
{
    int i;

    zygote_ends();
    for (i = 0; i < FDS_MOST; i++)
        MUST(!table[i].open);
    MUST(!the_poller.open);
}
