/*
 * The kill matrix: a worker ends, or is stopped, at every place of its way with an item; in every manner; whoever waits for the item. What
 * must come of the item stands in the tables below. Its neighbours in the chunk always end well, and nothing starts twice.
 *
 * The places lie inside the library. This program is linked with some of its functions wrapped (see CMakeLists.txt), and each wrapper knows
 * which place it is: after a claim, before a record is written, after so many bytes of it ...
 *
 * The result of an apply has a record of its own, which is published before the mark says DONE. The items of a map or imap are added to a
 * row, and the next mark publishes them: DONE of the item or, where several were claimed together, RUN of the item behind it.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/family.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/watchdog.h"

#include "data/board.h"
#include "data/bulk.h"
#include "data/wire.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

enum place {
    IN_INITIALIZER,
    WHEN_IDLE,     /* before it reads its first task */
    AFTER_READ,    /* it has the frame */
    AFTER_CLAIM,   /* the item is its own, and not marked */
    AFTER_MARK,    /* the next thing would be the call */
    IN_TASK,
    BEFORE_RECORD, /* the function has returned */
    AFTER_RECORD,  /* the result lies in staging, unpublished */
    BEFORE_DONE,   /* the mark is still RUN; a record is published, an item of a row is not */
    AFTER_DONE,    /* the mark is DONE, or RUN of the next item of the row */
    IN_WRITE,      /* with plan->bytes of the stream written since the claim */
    AFTER_WRITE,
    AT_EXIT,       /* it has said LEAVING */
    PLACES
};
static const char *const place_names[PLACES] = {"in initializer", "when idle",    "after read", "after claim", "after mark",
                                                "in task",        "before record", "after record", "before done", "after done",
                                                "in write",       "after write",   "at exit"};

enum how { BY_KILL, BY_SEGV, BY_EXIT, BY_STOP, HOWS };
static const char *const how_names[HOWS] = {"killed", "segv", "exits", "stopped"};

enum wait { BY_MAP, BY_APPLY, BY_IMAP, BY_DEADLINE, BY_CANCEL, BY_CLOSE, WAITS };
static const char *const wait_names[WAITS] = {"map", "apply", "imap", "deadline", "cancel", "close"};

enum { ITEMS = 8, VICTIM = 3, EXIT_CODE = 3, DEADLINE_MS = 60, START_MS = 250 };

/* Shared by all processes. */
static struct plan {
    enum place    place;
    enum how      how;
    uint32_t      victim;  /* offset of the item in its batch */
    uint32_t      most;    /* items to be claimed together; 0: as many as the worker likes */
    uint64_t      bytes;
    bool          rows;    /* its batch has several items: their results go into a row */
    atomic_int    armed;   /* it happens once */
    atomic_int    pid;     /* where it happened */
    atomic_int    by_run;  /* it was the mark of the next item that published the victim's result */
} *plan;

/* ---- the places */

/* Of this worker: is the victim its own, how many bytes has it written since, and what was planned for it. */
static bool     has_victim, in_row, in_function;
static uint64_t written;
static enum how planned;

static void happen(void)
{
    switch (planned) {
    case BY_KILL:
        kill(getpid(), SIGKILL);
        break;
    case BY_SEGV:
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        break;
    case BY_EXIT:
        _Exit(EXIT_CODE);
    case BY_STOP:
    case HOWS:
        raise(SIGSTOP);
    }
}

/* True once: the plan is this worker's from here on, and the next one may be made. */
static bool is_here(enum place place)
{
    if (plan == NULL || plan->place != place || pool_worker_index() < 0 || atomic_exchange(&plan->armed, 0) == 0)
        return false;
    planned = plan->how;
    atomic_store(&plan->pid, (int)getpid());
    return true;
}

static void pass(enum place place)
{
    if (is_here(place))
        happen();
}

ssize_t __real_pool__read_some(int fd, void *data, size_t size);
ssize_t __wrap_pool__read_some(int fd, void *data, size_t size);
ssize_t __wrap_pool__read_some(int fd, void *data, size_t size)
{
    pass(WHEN_IDLE);
    ssize_t got = __real_pool__read_some(fd, data, size);
    pass(AFTER_READ);
    return got;
}

bool __real_pool__board_claim(struct pool__board *board, uint32_t batch, uint32_t most, struct pool__claim *claim);
bool __wrap_pool__board_claim(struct pool__board *board, uint32_t batch, uint32_t most, struct pool__claim *claim);
bool __wrap_pool__board_claim(struct pool__board *board, uint32_t batch, uint32_t most, struct pool__claim *claim)
{
    bool claimed = __real_pool__board_claim(board, batch, plan->most > 0 ? plan->most : most, claim);

    if (claimed && plan->victim - claim->next < claim->end - claim->next) {
        has_victim = true;
        in_row = false;
        written = 0;
        pass(AFTER_CLAIM);
    }
    return claimed;
}

void __real_pool__board_mark_word(struct pool__board *board, uint64_t word);
void __wrap_pool__board_mark_word(struct pool__board *board, uint64_t word);
void __wrap_pool__board_mark_word(struct pool__board *board, uint64_t word)
{
    uint32_t offset = (uint32_t)(word >> 8) & POOL__BATCH_MAX;
    enum pool__mark mark = (enum pool__mark)(word & 3u);
    bool victim = has_victim && offset == plan->victim, done = victim && mark == POOL__MARK_DONE;
    bool by_run = has_victim && in_row && offset == plan->victim + 1 && mark == POOL__MARK_RUN;

    if (by_run || (done && in_row))
        pass(AFTER_RECORD); /* a row's result, put straight to its place, lies there since the function wrote it */
    in_function = victim && mark == POOL__MARK_RUN;
    if (done || by_run)
        pass(BEFORE_DONE);
    __real_pool__board_mark_word(board, word);
    if (victim && mark == POOL__MARK_RUN)
        pass(AFTER_MARK);
    if ((done || by_run) && is_here(AFTER_DONE)) {
        atomic_store(&plan->by_run, by_run);
        happen();
    }
    if (done || by_run)
        in_row = false;
}

/* The worker's first question when a function has returned. */
bool __real_pool__is_stray_child(void);
bool __wrap_pool__is_stray_child(void);
bool __wrap_pool__is_stray_child(void)
{
    if (in_function) {
        pass(BEFORE_RECORD);
        in_row = in_row || (plan != NULL && plan->rows);
    }
    in_function = false;
    return __real_pool__is_stray_child();
}

void __real_pool__stream_add(const struct pool__frame *frame, uint32_t offset, const void *payload, size_t each, uint64_t start,
                             uint64_t run);
void __wrap_pool__stream_add(const struct pool__frame *frame, uint32_t offset, const void *payload, size_t each, uint64_t start,
                             uint64_t run);
void __wrap_pool__stream_add(const struct pool__frame *frame, uint32_t offset, const void *payload, size_t each, uint64_t start,
                             uint64_t run)
{
    bool victim = has_victim && offset == plan->victim;

    if (victim)
        pass(BEFORE_RECORD);
    __real_pool__stream_add(frame, offset, payload, each, start, run);
    in_row = in_row || victim;
    if (victim)
        pass(AFTER_RECORD);
}

void __real_pool__record_encode(unsigned char *bytes, const struct pool__record *record);
void __wrap_pool__record_encode(unsigned char *bytes, const struct pool__record *record);
void __wrap_pool__record_encode(unsigned char *bytes, const struct pool__record *record)
{
    bool victim = has_victim && record->kind == POOL__RECORD_RESULT && record->offset == plan->victim;

    if (victim)
        pass(BEFORE_RECORD);
    __real_pool__record_encode(bytes, record);
    if (victim)
        pass(AFTER_RECORD);
}

bool __real_pool__write_all(int fd, const void *data, size_t size);
bool __wrap_pool__write_all(int fd, const void *data, size_t size);
bool __wrap_pool__write_all(int fd, const void *data, size_t size)
{
    if (has_victim && plan->place == IN_WRITE && written + size >= plan->bytes && is_here(IN_WRITE)) {
        size_t part = (size_t)(plan->bytes - written);
        if (part > 0)
            __real_pool__write_all(fd, data, part);
        happen(); /* the plan may be another by now */
        return __real_pool__write_all(fd, (const char *)data + part, size - part);
    }
    written += size;
    bool whole = __real_pool__write_all(fd, data, size);
    if (has_victim)
        pass(AFTER_WRITE);
    return whole;
}

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
_Noreturn void __wrap__exit(int status)
{
    if (has_victim)
        pass(AT_EXIT);
    __real__exit(status);
}

static int initialize(void **state, void *argument)
{
    (void)state;
    (void)argument;
    pass(IN_INITIALIZER);
    return 0;
}

static int task_at_its_place(struct pool_task *task)
{
    size_t value = 5 * task->index + 2;

    atomic_fetch_add(&ground->started[task->index], 1);
    if (has_victim && task->index % ITEMS == plan->victim)
        pass(IN_TASK);
    return pool_return(task, &value, sizeof value);
}

/* ---- what must come of it */

enum fate { IS_DONE, IS_LOST };

/* By the place alone: before the mark it is given to another, from the publication on its result is there. */
static enum fate fate_of(enum place place)
{
    return place >= AFTER_MARK && place < (plan->rows ? AFTER_DONE : BEFORE_DONE) ? IS_LOST : IS_DONE;
}

static enum pool_status loss(enum how how)
{
    return how == BY_EXIT ? POOL_EXITED : POOL_CRASHED;
}

static int starts_of(enum place place, enum how how)
{
    return place == AFTER_MARK && how != BY_STOP ? 0 : 1;
}

static struct pool *arm(enum place place, enum how how, uint32_t victim, uint64_t bytes, unsigned workers)
{
    struct pool_options options = {
        .initializer = initialize, .start_timeout_ms = START_MS * time_scale(), .tasks_per_worker = place == AT_EXIT};

    memset((void *)ground->started, 0, 64 * sizeof ground->started[0]);
    plan->place = place;
    plan->how = how;
    plan->victim = victim;
    plan->bytes = bytes;
    atomic_store(&plan->pid, 0);
    atomic_store(&plan->by_run, 0);
    atomic_store(&plan->armed, 1);
    return made(pool_create(workers, &options));
}

/* Waits until the plan has been carried out: by a stop, until the worker stands still. */
static pid_t wait_until_it_happened(void)
{
    struct family_member member = {.state = '?'};

    assert_true(counter_wait(&plan->pid, 1));
    pid_t pid = (pid_t)atomic_load(&plan->pid);
    int64_t end = time_now_ms() + 5000 * time_scale();
    while (plan->how == BY_STOP && family_look(pid, &member) && member.state != 'T' && member.state != 't') {
        assert_true(time_now_ms() < end);
        pause_briefly();
    }
    return pid;
}

/* A worker that is stopped, and that nothing limits, is waited for: nothing is lost when it is continued. */
static void continue_the_stopped(void)
{
    if (plan->how == BY_STOP)
        kill(wait_until_it_happened(), SIGCONT);
}

/*
 * The plan names an offset in a batch. Where the other worker was quick enough to steal the second half of the chunk, that
 * is a batch of its own, and either may have come to its item first.
 */
static size_t find_victim(const enum pool_status *statuses, size_t count)
{
    size_t other = plan->victim + ITEMS / 2;

    return other < count && statuses[other] != POOL_OK ? other : plan->victim;
}

/* Who was marked when it happened pays: the victim, or the one whose mark published the victim's result. */
static size_t find_lost(const enum pool_status *statuses, size_t count)
{
    bool next = plan->place == AFTER_DONE && atomic_load(&plan->by_run) != 0;

    if (plan->how == BY_STOP || (fate_of(plan->place) == IS_DONE && !next))
        return count;
    return next ? (size_t)plan->victim + 1 : find_victim(statuses, count);
}

static void check_statuses(const enum pool_status *statuses, const size_t *out, size_t count)
{
    size_t lost = find_lost(statuses, count);

    for (size_t i = 0; i < count; i++) {
        int starts = i != lost ? 1 : i == plan->victim + 1 ? 0 : starts_of(plan->place, plan->how);

        assert_status(statuses[i], i == lost ? loss(plan->how) : POOL_OK);
        assert_int_equal(atomic_load(&ground->started[i]), starts);
        if (i != lost)
            assert_int_equal(out[i], 5 * i + 2);
    }
}

static void wait_by_map(struct pool *pool)
{
    enum pool_status statuses[ITEMS];
    size_t out[ITEMS];
    struct pool_job job = {.chunk = ITEMS, .keep_going = true, .statuses = statuses};
    struct pool_future *map =
        made(pool_map_async(pool, task_at_its_place, pool_items(NULL, ITEMS, 0), out, sizeof out[0], &job));

    continue_the_stopped();
    assert_status(pool_future_wait(map, POOL_FOREVER), POOL_OK);
    pool_future_free(map);
    check_statuses(statuses, out, ITEMS);
}

static void wait_by_imap(struct pool *pool)
{
    enum pool_status statuses[ITEMS];
    size_t out[ITEMS] = {0};
    const struct pool_result *result;
    struct pool_job job = {.chunk = ITEMS, .window = ITEMS};
    struct pool_iterator *items = made(pool_imap(pool, task_at_its_place, pool_items(NULL, ITEMS, 0), &job));

    continue_the_stopped();
    for (size_t i = 0; i < ITEMS; i++) {
        assert_status(pool_iterator_next(items, POOL_FOREVER, &result), POOL_OK);
        statuses[i] = result->status;
        if (result->size == sizeof out[i])
            memcpy(&out[i], result->data, sizeof out[i]);
    }
    assert_status(pool_iterator_next(items, POOL_FOREVER, &result), POOL_END);
    pool_iterator_free(items);
    check_statuses(statuses, out, ITEMS);
}

static void check_one(struct pool_future *future)
{
    size_t out = 0;
    const struct pool_result *result;
    enum pool_status status = pool_future_get(future, POOL_FOREVER, &result);

    if (result->size == sizeof out)
        memcpy(&out, result->data, sizeof out);
    check_statuses(&status, &out, 1);
}

static void wait_by_apply(struct pool *pool)
{
    struct pool_future *future = made(pool_apply_async(pool, task_at_its_place, NULL, 0, NULL));

    continue_the_stopped();
    check_one(future);
    pool_future_free(future);
}

/* Stopped in the function, its time runs out. Before it, another worker runs it; after it, the result is there. */
static void wait_by_deadline(struct pool *pool)
{
    struct pool_job job = {.deadline_ms = plan->how == BY_STOP ? DEADLINE_MS : 60000};
    struct pool_future *future = made(pool_apply_async(pool, task_at_its_place, NULL, 0, &job));

    if (plan->how == BY_STOP && fate_of(plan->place) == IS_LOST) {
        assert_status(pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL}), POOL_EXPIRED);
        assert_true(family_gone((pid_t)atomic_load(&plan->pid)));
    } else {
        check_one(future);
    }
    pool_future_free(future);
}

/* A cancel that kills finds it stopped. What died before the cancel came has died. */
static void wait_by_cancel(struct pool *pool)
{
    struct pool_future *future = made(pool_apply_async(pool, task_at_its_place, NULL, 0, NULL));
    bool lost = fate_of(plan->place) == IS_LOST, stopped = plan->how == BY_STOP;

    wait_until_it_happened();
    bool cancelled = pool_future_cancel(future, true) == POOL_OK;
    enum pool_status status = pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL});
    if (cancelled)
        assert_status(status, POOL_CANCELLED);
    else
        assert_true(status == POOL_OK || (lost && !stopped && status == loss(plan->how)));
    if (stopped && lost)
        assert_true(cancelled);
    if (stopped && plan->place >= BEFORE_DONE)
        assert_status(status, POOL_OK);
    assert_true(atomic_load(&ground->started[0]) <= 1);
    pool_future_free(future);
}

/* A closed pool finishes what it has; one that cannot, since its worker is stopped, can be terminated. */
static void wait_by_close(struct pool *pool)
{
    struct pool_future *future = made(pool_apply_async(pool, task_at_its_place, NULL, 0, NULL));
    bool may_never_end = plan->how == BY_STOP && plan->place >= WHEN_IDLE && plan->place <= AFTER_WRITE;

    assert_status(pool_close(pool), POOL_OK);
    if (may_never_end) {
        wait_until_it_happened();
        pool_join(pool, 30);
        assert_status(pool_terminate(pool), POOL_OK);
        enum pool_status status = pool_future_get(future, POOL_FOREVER, &(const struct pool_result *){NULL});
        assert_true(status == POOL_OK || (status == POOL_TERMINATED && plan->place < BEFORE_DONE));
    } else {
        check_one(future);
    }
    int64_t start = time_now_ms();
    assert_status(pool_join(pool, 5000 * time_scale()), POOL_OK);
    assert_true(time_now_ms() - start < 3000 * time_scale());
    pool_future_free(future);
}

/* ---- the cells */

static bool cell_is_possible(enum place place, enum how how, enum wait wait)
{
    if (place == IN_WRITE)
        return false; /* by the byte, below */
    if (UNDER_ADDRESS_SANITIZER && how == BY_SEGV)
        return false;
    if (how == BY_STOP && (wait == BY_MAP || wait == BY_APPLY || wait == BY_IMAP))
        return place != AT_EXIT; /* the limit for stopping ends it */
    return true;
}

/* A worker that is to leave after one item is sent one at a time. */
static bool is_of_rows(enum place place, enum wait wait)
{
    return (wait == BY_MAP || wait == BY_IMAP) && place != AT_EXIT;
}

/* In blocks: one worker, which claims all items together, so that the mark of the next one publishes the victim's result. */
static void run_cell(enum place place, enum how how, enum wait wait, bool blocks)
{
    static void (*const waits[WAITS])(struct pool *pool) = {wait_by_map,      wait_by_apply,  wait_by_imap,
                                                            wait_by_deadline, wait_by_cancel, wait_by_close};

    plan->rows = is_of_rows(place, wait);
    plan->most = blocks ? ITEMS : 0;
    struct pool *pool = arm(place, how, plan->rows ? VICTIM : 0, 0, blocks ? 1 : 2);
    waits[wait](pool);
    if (how == BY_STOP && atomic_load(&plan->pid) > 0 && family_lives((pid_t)atomic_load(&plan->pid)))
        kill((pid_t)atomic_load(&plan->pid), SIGCONT);
    pool_destroy(pool);
    assert_int_equal(atomic_load(&plan->armed), 0);
    if (blocks && place == AFTER_DONE)
        assert_int_equal(atomic_load(&plan->by_run), 1);
    plan->rows = false;
    plan->most = 0;
}

static void run_cells(enum place place, enum how how, enum wait wait)
{
    for (int blocks = 0; blocks <= is_of_rows(place, wait); blocks++) {
        char cell[96];
        snprintf(cell, sizeof cell, "%s %s, waited for by %s%s", how_names[how], place_names[place], wait_names[wait],
                 blocks ? ", in blocks" : "");
        watchdog_start(cell);
        if (getenv("PROCPOOL_CELLS"))
            fprintf(stderr, "%s\n", cell);
        run_cell(place, how, wait, blocks);
    }
}

static void run_row(enum how how)
{
    for (enum place place = 0; place < PLACES; place++) {
        for (enum wait wait = 0; wait < WAITS; wait++) {
            if (cell_is_possible(place, how, wait))
                run_cells(place, how, wait);
        }
    }
}

static void killed(void **state)
{
    (void)state;
    run_row(BY_KILL);
}

static void by_a_fault(void **state)
{
    (void)state;
    run_row(BY_SEGV);
}

static void exiting(void **state)
{
    (void)state;
    run_row(BY_EXIT);
}

static void stopped(void **state)
{
    (void)state;
    run_row(BY_STOP);
}

/* ---- by the byte */

static int task_returns_bytes(struct pool_task *task)
{
    size_t size;

    memcpy(&size, task->arg, sizeof size);
    char *bytes = pool_return_space(task, size);
    if (bytes == NULL)
        return 1;
    memset(bytes, 'r', size);
    return 0;
}

static bool is_all(const char *bytes, size_t size, char byte)
{
    return size == 0 || (bytes[0] == byte && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* In the middle of writing a result of `size` bytes, `bytes` of them and of its head are out. */
static void end_in_write(struct pool *pool, enum how how, size_t size, uint64_t bytes, enum pool_status expected)
{
    const struct pool_result *result;

    plan->how = how;
    plan->bytes = bytes;
    atomic_store(&plan->pid, 0);
    atomic_store(&plan->armed, 1);
    struct pool_future *future = made(pool_apply_async(pool, task_returns_bytes, &size, sizeof size, NULL));
    continue_the_stopped();
    enum pool_status status = pool_future_get(future, POOL_FOREVER, &result);
    if (status != expected)
        fail_msg("%s after %llu bytes of %zu: %s, not %s", how_names[how], (unsigned long long)bytes, size,
                 pool_status_name(status), pool_status_name(expected));
    if (status == POOL_OK) {
        assert_int_equal(result->size, size);
        assert_true(is_all(result->data, size, 'r'));
    }
    pool_future_free(future);
    assert_int_equal(atomic_load(&plan->armed), 0);
}

/* Small results are staged: wherever the write ends, the board has them. */
static void at_each_byte(void **state)
{
    static const enum how hows[] = {BY_KILL, BY_EXIT, BY_STOP};
    enum { SIZE = 400, WHOLE = POOL__RECORD_SIZE + SIZE };

    (void)state;
    for (size_t h = 0; h < sizeof hows / sizeof hows[0]; h++) {
        struct pool *pool = arm(IN_WRITE, hows[h], 0, 0, 2);
        for (uint64_t bytes = 0; bytes <= WHOLE; bytes += h == 0 ? 1 : 7)
            end_in_write(pool, hows[h], SIZE, bytes, POOL_OK);
        pool_destroy(pool);
    }
}

/* Large ones go in pieces: there is a result when it is whole. In the pipe are the record and the heads of the pieces. */
static void at_each_byte_of_a_large_one(void **state)
{
    enum { SIZE = 100000, WHOLE = POOL__RECORD_SIZE + POOL__PIECE_SIZE, RANDOM = 60 };
    const size_t larger = (size_t)10 << 20;
    const uint64_t least = POOL__RECORD_SIZE + larger / POOL__PIECE_MOST * POOL__PIECE_SIZE;
    unsigned number = 17;
    struct pool *pool = arm(IN_WRITE, BY_KILL, 0, 0, 2);

    (void)state;
    assert_true(SIZE % POOL__RECORD_ALIGN == 0 && SIZE <= POOL__PIECE_MOST);
    for (uint64_t bytes = 0; bytes < WHOLE; bytes++)
        end_in_write(pool, bytes % 3 == 2 ? BY_EXIT : BY_KILL, SIZE, bytes,
                     bytes % 3 == 2 ? POOL_EXITED : POOL_CRASHED);
    end_in_write(pool, BY_KILL, SIZE, WHOLE, POOL_OK);
    end_in_write(pool, BY_STOP, SIZE, WHOLE / 2, POOL_OK);
    for (int i = 0; i < RANDOM; i++) {
        number = number * 1103515245u + 12345u;
        end_in_write(pool, BY_KILL, larger, (number >> 4) % least, POOL_CRASHED);
    }
    pool_destroy(pool);
}

/* ---- again and again, P2 and A4 */

static void many_times(enum place place, int times)
{
    struct pool *pool = arm(place, BY_KILL, 0, 0, 2);

    for (int i = 0; i < times; i++) {
        atomic_store(&ground->started[0], 0);
        atomic_store(&plan->armed, 1);
        size_t out = 0;
        enum pool_status status = pool_apply(pool, task_at_its_place, NULL, 0, &out, sizeof out, NULL);
        assert_status(status, fate_of(place) == IS_LOST ? POOL_CRASHED : POOL_OK);
        assert_int_equal(atomic_load(&ground->started[0]), starts_of(place, BY_KILL));
    }
    pool_destroy(pool);
}

static void again_and_again(void **state)
{
    (void)state;
    many_times(AFTER_WRITE, 300);
    many_times(AFTER_MARK, 300);
    many_times(IN_TASK, 300);
    many_times(BEFORE_DONE, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(killed),
        PROCESS_TEST(by_a_fault),
        PROCESS_TEST(exiting),
        PROCESS_TEST(stopped),
        PROCESS_TEST(at_each_byte),
        PROCESS_TEST(at_each_byte_of_a_large_one),
        PROCESS_TEST(again_and_again),
    };

    if (!family_known())
        return 77;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    plan = shared_memory(sizeof *plan);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
