#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* setrlimit's RLIMIT_AS, munmap, ucontext: before the first header */
#endif

#include "hostile.h"
#include "gate.h"

#include "children/task.h"
#include "data/board.h"
#include "data/wire.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HIGHEST = 1024 };

static bool own_pipe[HIGHEST];
static uint64_t random_state;

/* ---- what a worker has */

static bool is_pipe(int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode);
}

void hostile_begin(void)
{
    for (int fd = 0; fd < HIGHEST; fd++)
        own_pipe[fd] = is_pipe(fd);
}

/* One that does not block is the bell of a pool without threads, where there is such a thing. */
static int find_pipe(int mode)
{
    for (int fd = 3; fd < HIGHEST; fd++)
        if (!own_pipe[fd] && is_pipe(fd) && (fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == mode)
            return fd;
    return -1;
}

/* As it was before any act of this worker: some open pipes of their own. */
static struct {
    pid_t worker;
    int   results, tasks;
} own;

static void find_ends(void)
{
    if (own.worker == getpid())
        return;
    own.worker = getpid();
    own.results = find_pipe(O_WRONLY);
    own.tasks = find_pipe(O_RDONLY);
}

int hostile_results(void)
{
    find_ends();
    return own.results;
}

int hostile_tasks(void)
{
    find_ends();
    return own.tasks;
}

struct pool__board *hostile_board(struct pool_task *task)
{
    return ((struct pool__task *)(void *)task)->board;
}

/* ---- lies */

static uint32_t random_below(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(((random_state >> 32) * below) >> 32);
}

static uint64_t random_word(void)
{
    uint64_t word = (uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX);

    return random_below(4) == 0 ? word >> random_below(64) : word;
}

bool hostile_write(const void *data, size_t size)
{
    const char *at = data;
    int fd = hostile_results();

    while (size > 0) {
        ssize_t put = write(fd, at, size);
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

void hostile_send(const struct pool__record *record)
{
    unsigned char head[POOL__RECORD_SIZE];

    pool__record_encode(head, record);
    hostile_write(head, sizeof head);
}

void hostile_own_result(struct pool_task *task, struct pool__record *record, uint64_t size)
{
    struct pool__place place = pool__board_running(hostile_board(task));

    memset(record, 0, sizeof *record);
    record->kind = POOL__RECORD_RESULT;
    record->batch = place.batch;
    record->offset = place.offset;
    record->size = size;
}

static void send_kind(enum pool__record_kind kind, uint32_t batch)
{
    struct pool__record record;

    memset(&record, 0, sizeof record);
    record.kind = kind;
    record.batch = batch;
    hostile_send(&record);
}

static void write_garbage(struct pool_task *task)
{
    unsigned char bytes[600];

    (void)task;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)random_below(256);
    bytes[0] |= 8; /* no kind of record */
    hostile_write(bytes, 1 + random_below(sizeof bytes));
}

static void promise_a_body(struct pool_task *task)
{
    struct pool__record record;

    hostile_own_result(task, &record, 1000);
    hostile_send(&record);
    hostile_write("ten bytes!", 10);
}

static void promise_a_body_and_exit(struct pool_task *task)
{
    promise_a_body(task);
    _exit(0);
}

static void answer_for_another_batch(struct pool_task *task)
{
    struct pool__record record;

    hostile_own_result(task, &record, 0);
    record.batch += 1 + random_below(100);
    hostile_send(&record);
}

static void answer_for_another_item(struct pool_task *task)
{
    struct pool__record record;

    hostile_own_result(task, &record, 0);
    record.offset += 1 + random_below(1000);
    hostile_send(&record);
}

static void answer_twice(struct pool_task *task)
{
    struct pool__record record;

    hostile_own_result(task, &record, 0);
    hostile_send(&record);
    hostile_send(&record);
}

static void announce_too_much(struct pool_task *task)
{
    static const uint64_t sizes[] = {UINT64_MAX,     (uint64_t)1 << 63, UINT64_MAX / 2,
                                     UINT64_MAX - 15, (uint64_t)1 << 62, (uint64_t)1 << 40};
    static const char bytes[4096];
    struct pool__record record;

    hostile_own_result(task, &record, sizes[random_below(6)]);
    hostile_send(&record);
    for (int i = 0; i < 25 && hostile_write(bytes, sizeof bytes); i++)
        continue;
    if (random_below(2) == 0)
        _exit(3);
}

static void say_what_is_no_record(struct pool_task *task)
{
    unsigned char head[POOL__RECORD_SIZE] = {0};
    struct pool__record record;
    unsigned which = random_below(6);

    hostile_own_result(task, &record, 0);
    pool__record_encode(head, &record);
    switch (which) {
    case 0:
        head[0] = 0;
        break;
    case 1:
        head[0] = (unsigned char)(POOL__RECORD_LEAVING + 1 + random_below(200));
        break;
    case 2:
        head[1] = (unsigned char)(POOL__HOW_COUNT + random_below(200));
        break;
    case 3:
        head[2 + random_below(2)] = 1;
        break;
    case 4:
        head[40 + random_below(8)] = 1;
        break;
    default:
        head[0] = POOL__RECORD_LEFT;
        head[16] = 5; /* a payload where none can be */
    }
    hostile_write(head, sizeof head);
}

static void be_ready_again(struct pool_task *task)
{
    (void)task;
    send_kind(POOL__RECORD_READY, 0);
}

static void fail_to_start_late(struct pool_task *task)
{
    struct pool__record record;

    (void)task;
    memset(&record, 0, sizeof record);
    record.kind = POOL__RECORD_START_FAILED;
    record.size = 16;
    hostile_send(&record);
    hostile_write("never was there.", 16);
}

static void leave_too_early(struct pool_task *task)
{
    send_kind(POOL__RECORD_LEFT, pool__board_running(hostile_board(task)).batch + random_below(3));
}

static void talk_too_much(struct pool_task *task)
{
    static const char words[80000];
    struct pool__record record;

    hostile_own_result(task, &record, sizeof words);
    record.how = POOL__HOW_FAILED;
    hostile_send(&record);
    hostile_write(words, sizeof words);
}

static void drip(struct pool_task *task)
{
    unsigned char head[POOL__RECORD_SIZE + 16] = {0};
    struct pool__record record;

    hostile_own_result(task, &record, 8);
    pool__record_encode(head, &record);
    for (size_t i = 0; i < sizeof head; i++) {
        hostile_write(head + i, 1);
        if (i % 8 == 0)
            pause_briefly();
    }
    _exit(0);
}

static void flood(struct pool_task *task)
{
    static const char bytes[65536];
    struct pool__record record;

    hostile_own_result(task, &record, (uint64_t)1 << 40);
    hostile_send(&record);
    for (int i = 0; i < 128 && hostile_write(bytes, sizeof bytes); i++)
        continue;
    _exit(0);
}

/* ---- the board */

static _Atomic uint64_t *words_of(struct pool_task *task)
{
    return (_Atomic uint64_t *)(void *)hostile_board(task);
}

enum { BOARD_WORDS = (POOL__BOARD_SIZE - POOL__STAGING_SIZE) / 8 };

static void scribble(struct pool_task *task)
{
    for (int i = 0; i < BOARD_WORDS; i++)
        atomic_store(&words_of(task)[i], random_word());
}

static void scribble_and_die(struct pool_task *task)
{
    scribble(task);
    raise(SIGKILL);
}

static void scribble_a_word_and_die(struct pool_task *task)
{
    atomic_store(&words_of(task)[random_below(BOARD_WORDS)], random_word());
    raise(SIGKILL);
}

static void fill_with_ones(struct pool_task *task)
{
    for (int i = 0; i < BOARD_WORDS; i++)
        atomic_store(&words_of(task)[i], UINT64_MAX);
    if (random_below(2) == 0)
        raise(SIGSEGV);
}

static void wipe(struct pool_task *task)
{
    for (int i = 0; i < BOARD_WORDS; i++)
        atomic_store(&words_of(task)[i], 0);
    if (random_below(2) == 0)
        raise(SIGSEGV);
}

static void stage_what_is_not_there(struct pool_task *task)
{
    struct pool__board *board = hostile_board(task);
    uint64_t far[] = {1, 47, 4096, POOL__STAGING_SIZE, POOL__STAGING_SIZE + 1, (uint64_t)1 << 40, UINT64_MAX / 2};

    switch (random_below(3)) {
    case 0:
        atomic_fetch_add(&board->staged, far[random_below(7)]);
        break;
    case 1:
        atomic_fetch_sub(&board->base, far[random_below(7)]);
        break;
    default:
        atomic_fetch_add(&board->base, far[random_below(7)]);
    }
    if (random_below(2) == 0)
        raise(SIGKILL);
}

static void lie_about_claims(struct pool_task *task)
{
    struct pool__board *board = hostile_board(task);

    for (unsigned entry = 0; entry < POOL__FLIGHT; entry++) {
        uint64_t word = atomic_load(&board->range[entry]), next = random_below(2) ? 0 : random_below(1u << 24);
        atomic_store(&board->range[entry], (word & ~(uint64_t)0xffffff) | next);
    }
    if (random_below(2) == 0)
        raise(SIGKILL);
}

static void lie_about_what_runs(struct pool_task *task)
{
    struct pool__board *board = hostile_board(task);
    struct pool__place place = pool__board_running(board);

    pool__board_mark(board, place.batch + random_below(3) - 1, place.offset + random_below(3) - 1,
                     (enum pool__mark)random_below(4));
    if (random_below(2) == 0)
        raise(SIGKILL);
}

static atomic_bool scribbling;

static void *scribble_for_ever(void *task)
{
    while (atomic_load(&scribbling))
        atomic_store(&words_of(task)[random_below(BOARD_WORDS)], random_word());
    return NULL;
}

/* While the item ends, the host looks, and others are taken back. */
static void scribble_in_a_thread(struct pool_task *task)
{
    pthread_t thread;

    atomic_store(&scribbling, true);
    if (pthread_create(&thread, NULL, scribble_for_ever, task) != 0)
        return;
    pthread_detach(thread);
    pause_briefly();
    pause_briefly();
    if (random_below(2) == 0)
        _exit(0);
}

static void unmap_the_board(struct pool_task *task)
{
    munmap(hostile_board(task), sizeof(struct pool__board));
}

/* ---- descriptors */

static void close_from(int lowest)
{
    for (int fd = lowest; fd < HIGHEST; fd++)
        close(fd);
}

static void close_results(struct pool_task *task)
{
    (void)task;
    close(hostile_results());
}

static void close_tasks(struct pool_task *task)
{
    (void)task;
    close(hostile_tasks());
}

static void close_all(struct pool_task *task)
{
    (void)task;
    close_from((int)random_below(4));
}

static void close_all_and_open_pipes(struct pool_task *task)
{
    int ends[2];

    (void)task;
    close_from(3);
    for (int i = 0; i < 30; i++)
        if (pipe(ends) != 0)
            break;
}

static void results_into_nothing(struct pool_task *task)
{
    int fd = open("/dev/null", O_WRONLY);

    (void)task;
    dup2(fd, hostile_results());
    close(fd);
}

/* What closes a number once too often does: the next thing that is opened has it. */
static void tasks_from_elsewhere(struct pool_task *task)
{
    int ends[2], tasks = hostile_tasks();

    (void)task;
    if (pipe(ends) == 0)
        dup2(ends[0], tasks);
}

static void nothing_blocks(struct pool_task *task)
{
    fcntl(hostile_results(), F_SETFL, O_NONBLOCK);
    fcntl(hostile_tasks(), F_SETFL, O_NONBLOCK);
    memset(pool_return_space(task, 1 << 20), 1, 1 << 20);
}

static void eat_tasks(struct pool_task *task)
{
    char bytes[4096];
    int fd = hostile_tasks();

    (void)task;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (read(fd, bytes, sizeof bytes) > 0)
        continue;
}

static void eat_some_of_the_tasks(struct pool_task *task)
{
    char bytes[100];
    int fd = hostile_tasks();

    (void)task;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (read(fd, bytes, 1 + random_below(sizeof bytes)) < 0)
        return;
    fcntl(fd, F_SETFL, 0);
}

/* ---- processes and threads */

static void fork_and_return(struct pool_task *task)
{
    (void)task;
    if (fork() < 0)
        _exit(1);
}

static void leave_a_writer(struct pool_task *task)
{
    if (fork() != 0)
        return;
    own.worker = getpid(); /* the pipes that its parent has found */
    for (int i = 0; i < 10; i++) {
        write_garbage(task);
        pause_briefly();
    }
    _exit(0);
}

static void leave_a_daemon(struct pool_task *task)
{
    (void)task;
    if (fork() != 0)
        return;
    setsid();
    if (fork() != 0)
        _exit(0);
    for (;;)
        pause();
}

static void die_with_a_daemon(struct pool_task *task)
{
    leave_a_daemon(task);
    raise(SIGKILL);
}

static void end_the_group(struct pool_task *task)
{
    (void)task;
    kill(0, SIGKILL);
}

static void leave_by_the_thread(struct pool_task *task)
{
    (void)task;
    pthread_exit(NULL);
}

static void *stay(void *argument)
{
    for (;;)
        pause();
    return argument;
}

/* A process that lives on, with nobody in it who reads its tasks. */
static void leave_a_thread_alone(struct pool_task *task)
{
    pthread_t thread;

    (void)task;
    if (pthread_create(&thread, NULL, stay, NULL) == 0)
        pthread_detach(thread);
    pthread_exit(NULL);
}

static void leave_by_exit(struct pool_task *task)
{
    (void)task;
    exit(0);
}

/* ---- state that stays */

static void block_all(struct pool_task *task)
{
    sigset_t all;

    (void)task;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
}

static void go_elsewhere(struct pool_task *task)
{
    (void)task;
    umask(0777);
    if (chdir("/proc") != 0)
        _exit(1);
}

static void limit_itself(struct pool_task *task)
{
    const struct rlimit none = {0, 0}, little = {1 << 20, 1 << 20};

    (void)task;
    setrlimit(RLIMIT_NOFILE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
    setrlimit(RLIMIT_NPROC, &none);
    setrlimit(RLIMIT_AS, &little);
}

/* ---- the table */

#define MAY(status)  (1u << (status))
#define ENDS_WELL    MAY(POOL_OK)
#define IS_TOLD      (MAY(POOL_CRASHED) | MAY(POOL_EXITED))
#define EITHER       (ENDS_WELL | IS_TOLD)

const struct hostile_act hostile_acts[] = {
    {"write_garbage", write_garbage, IS_TOLD},
    {"promise_a_body", promise_a_body, IS_TOLD},
    {"promise_a_body_and_exit", promise_a_body_and_exit, IS_TOLD},
    {"answer_for_another_batch", answer_for_another_batch, IS_TOLD},
    {"answer_for_another_item", answer_for_another_item, IS_TOLD},
    {"answer_twice", answer_twice, ENDS_WELL}, /* the first one counts */
    {"announce_too_much", announce_too_much, IS_TOLD},
    {"say_what_is_no_record", say_what_is_no_record, IS_TOLD},
    {"be_ready_again", be_ready_again, IS_TOLD},
    {"fail_to_start_late", fail_to_start_late, IS_TOLD},
    {"leave_too_early", leave_too_early, IS_TOLD},
    {"talk_too_much", talk_too_much, IS_TOLD},
    {"drip", drip, ENDS_WELL},
    {"flood", flood, IS_TOLD},
    {"scribble", scribble, EITHER},
    {"scribble_and_die", scribble_and_die, IS_TOLD},
    {"scribble_a_word_and_die", scribble_a_word_and_die, IS_TOLD},
    {"fill_with_ones", fill_with_ones, EITHER},
    {"wipe", wipe, EITHER},
    {"stage_what_is_not_there", stage_what_is_not_there, EITHER},
    {"lie_about_claims", lie_about_claims, EITHER},
    {"lie_about_what_runs", lie_about_what_runs, EITHER},
    {"scribble_in_a_thread", scribble_in_a_thread, EITHER},
    {"unmap_the_board", unmap_the_board, IS_TOLD},
    {"close_results", close_results, ENDS_WELL}, /* from the board */
    {"close_tasks", close_tasks, ENDS_WELL},
    {"close_all", close_all, ENDS_WELL},
    {"close_all_and_open_pipes", close_all_and_open_pipes, ENDS_WELL},
    {"results_into_nothing", results_into_nothing, ENDS_WELL},
    {"tasks_from_elsewhere", tasks_from_elsewhere, ENDS_WELL},
    {"nothing_blocks", nothing_blocks, EITHER},
    {"eat_tasks", eat_tasks, ENDS_WELL},
    {"eat_some_of_the_tasks", eat_some_of_the_tasks, ENDS_WELL},
    {"fork_and_return", fork_and_return, ENDS_WELL},
    {"leave_a_writer", leave_a_writer, EITHER},
    {"leave_a_daemon", leave_a_daemon, ENDS_WELL},
    {"die_with_a_daemon", die_with_a_daemon, IS_TOLD},
    {"end_the_group", end_the_group, IS_TOLD},
    {"leave_by_the_thread", leave_by_the_thread, IS_TOLD},
    {"leave_a_thread_alone", leave_a_thread_alone, IS_TOLD},
    {"leave_by_exit", leave_by_exit, IS_TOLD},
    {"block_all", block_all, ENDS_WELL},
    {"go_elsewhere", go_elsewhere, ENDS_WELL},
    {"limit_itself", limit_itself, ENDS_WELL | IS_TOLD | MAY(POOL_NO_MEMORY)},
};
const size_t hostile_act_count = sizeof hostile_acts / sizeof hostile_acts[0];

struct hostile_order hostile_order(const char *name, unsigned seed)
{
    struct hostile_order order = {0, seed};

    while (strcmp(hostile_acts[order.act].name, name) != 0)
        if (++order.act == hostile_act_count)
            abort(); /* no such act */
    return order;
}

int task_hostile(struct pool_task *task)
{
    struct hostile_order order;
    uint64_t value = 8;

    find_ends();
    memcpy(&order, task->arg, sizeof order);
    random_state = (uint64_t)order.seed * 7919 + order.act;
    random_below(2);
    hostile_acts[order.act].act(task);
    return task->size == sizeof order ? pool_return(task, &value, sizeof value) : 1;
}
