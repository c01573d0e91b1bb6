/*
 * host - a whole pool among workers that may do anything, a zygote that does its part, and a program that submits,
 * cancels, frees and ends at any moment. A script of bytes says who does what next.
 *
 * What must hold: each item has one outcome, told once; what has been told does not change, nor does what lies in
 * arrays that were let go; the pool's tables agree with each other after every event; nobody sleeps for ever; memory
 * and descriptors are all given back. And where no worker did wrong, every result is that of its item.
 *
 *   input   options (4 bytes), then steps: who (1 byte), and what that takes
 */
#include "../support/open_row.h"
#include "support/input.h"

#include <signal.h>

#include "base/clock.h"
#include "procpool.h"
#include "support/check.h"
#include "support/worker.h"

#define JOBS_MOST  12u
#define ITEMS_MOST 40u
#define STEPS_MOST 400u
#define OUT_SIZE   8u
#define BIG        100000u
#define NO_STATUS  ((enum pool_status)99)

enum job_kind { NO_JOB, APPLY, MAP, IMAP };

struct job {
    enum job_kind kind;
    struct pool_future *future;
    struct pool_iterator *iterator;
    unsigned items;
    bool let_go, keep_going; /* the future was freed */
    unsigned calls;          /* of its callback */
    bool wants_call;
    bool got[ITEMS_MOST]; /* imap: came out */
    enum pool_status statuses[ITEMS_MOST], seen[ITEMS_MOST];
    unsigned char out[ITEMS_MOST][OUT_SIZE], seen_out[ITEMS_MOST][OUT_SIZE];
};

static struct play {
    struct pool *pool;
    struct job jobs[JOBS_MOST];
    unsigned job_count;
    bool honest; /* no worker has done wrong */
} play;

static const uint64_t numbers[ITEMS_MOST];
static char *const strings[ITEMS_MOST] = {
    "a", "",  "bc", "a longer one than the others, by some bytes",
    "d", "e", "f",  "g",
    "h", "i", "j",  "k",
    "l", "m", "n",  "o",
    "p", "q", "r",  "s",
    "t", "u", "v",  "w",
    "x", "y", "z",  "",
    "",  "",  "",   "",
    "",  "",  "",   "",
    "",  "",  "",   "",
};
static unsigned char big[BIG];

static int no_function(struct pool_task *task)
{
    (void)task;
    return 0;
}

/* ---- what has come of the jobs */

static bool is_answer(const unsigned char *bytes, size_t size, uint64_t index)
{
    size_t i;

    for (i = 0; i < size; i++)
        if (bytes[i] != answer_byte(index, i))
            return false;
    return true;
}

static void check_result(const struct pool_result *result)
{
    MUST(result->message != NULL && (result->status == POOL_OK) == (result->message[0] == '\0'));
    MUST(result->size == 0 || result->status != POOL_OK || result->data != NULL);
    if (result->status == POOL_OK && play.honest && result->data != NULL)
        MUST(is_answer(result->data, result->size, result->index));
}

/* A map's arrays: each place is written once, and none after the future was freed. */
static void check_arrays(struct job *job)
{
    unsigned i;

    for (i = 0; i < job->items; i++) {
        if (job->seen[i] != NO_STATUS || job->let_go) {
            MUST(job->statuses[i] == job->seen[i]);
            MUST(job->seen[i] != POOL_OK || memcmp(job->out[i], job->seen_out[i], OUT_SIZE) == 0);
            continue;
        }
        job->seen[i] = job->statuses[i];
        memcpy(job->seen_out[i], job->out[i], OUT_SIZE);
        if (job->statuses[i] == POOL_OK && play.honest)
            MUST(is_answer(job->out[i], OUT_SIZE, i));
    }
}

/* A worker that does no wrong is never taken for one that does. */
static void check_trust(const struct pool__scheduler *scheduler)
{
    unsigned i;

    for (i = 0; play.honest && i < scheduler->limit; i++)
        MUST(scheduler->seats[i].reason != POOL__KILL_NONSENSE);
}

static void check_all(void)
{
    unsigned i;

    for (i = 0; i < play.job_count; i++)
        if (play.jobs[i].kind == MAP)
            check_arrays(&play.jobs[i]);
    if (play.pool == NULL)
        return;
    check_pool(play.pool);
    check_trust(&play.pool->scheduler);
}

static void called(void *user, const struct pool_result *result)
{
    struct job *job = user;

    MUST(job->wants_call && job->calls++ == 0);
    if (job->kind == APPLY)
        check_result(result);
}

/* ---- the program */

static void submit(struct input *input)
{
    struct job *job = &play.jobs[play.job_count];
    uint8_t what = take8(input), items = take8(input), how = take8(input), more = take8(input);
    struct pool_job options = {0};
    struct pool_source source;
    unsigned i;

    if (play.job_count == JOBS_MOST)
        return;
    memset(job, 0, sizeof *job);
    job->items = items % (ITEMS_MOST + 1);
    options.chunk = how % 4 == 3 ? 1 + how / 16u : how % 4;
    options.keep_going = how / 4 % 2 != 0;
    options.deadline_ms = more % 4 == 1 ? 1 + more / 16 : 0;
    options.retries = more % 8 == 2 ? more / 64u : 0;
    options.try_submit = true;
    options.shared = how / 8 % 4 == 1 ? big : NULL;
    options.shared_size = options.shared != NULL ? how * 300u : 0;
    options.window = more / 8 % 4;
    for (i = 0; i < ITEMS_MOST; i++)
        job->statuses[i] = job->seen[i] = NO_STATUS;
    job->wants_call = what / 4 % 2 != 0 && what % 4 != 3;
    options.callback = job->wants_call ? called : NULL;
    options.user = job;
    job->kind = what % 4 < 2 ? MAP : what % 4 == 2 ? APPLY : IMAP;
    source = what / 8 % 2 != 0 ? pool_strings(strings, job->items) : pool_items(numbers, job->items, sizeof numbers[0]);
    if (what / 16 % 8 == 7 && job->kind != APPLY) {
        job->items = job->items < 3 ? job->items : 3;
        source = pool_items(big, job->items, BIG / 3);
    }
    if (job->kind != MAP)
        options.keep_going = false;
    if (job->kind == APPLY) {
        job->future = pool_apply_async(play.pool, no_function, big, what / 16 % 8 == 7 ? BIG : what / 16u, &options);
    } else if (job->kind == MAP) {
        options.statuses = job->statuses;
        job->future = pool_map_async(play.pool, no_function, source, job->out, OUT_SIZE, &options);
    } else {
        job->iterator = what / 4 % 2 != 0 ? pool_imap(play.pool, no_function, source, &options)
                                          : pool_imap_unordered(play.pool, no_function, source, &options);
    }
    job->keep_going = options.keep_going;
    if (job->future == NULL && job->iterator == NULL)
        job->kind = NO_JOB; /* refused: the pool is at its end, or the queue is full */
    play.job_count++;
}

static enum pool_status next_of(struct job *job)
{
    const struct pool_result *result = NULL;
    enum pool_status status = pool_iterator_next(job->iterator, 0, &result);

    if (status != POOL_OK) {
        MUST(result == NULL);
        return status;
    }
    MUST(result->index < job->items && !job->got[result->index]);
    job->got[result->index] = true;
    check_result(result);
    return status;
}

/* Called for a future that has ended, too: it says the same each time. */
static void look_at_future(struct job *job)
{
    const struct pool_result *result = NULL;
    enum pool_status status = pool_future_get(job->future, 0, &result);

    MUST((result == NULL) == (status == POOL_TIMEOUT));
    if (result != NULL && job->kind == APPLY)
        check_result(result);
    if (result != NULL)
        MUST(result->status == status && pool_future_ready(job->future));
}

static void use_job(struct input *input)
{
    uint8_t which = take8(input), what = take8(input);
    struct job *job;

    if (play.job_count == 0)
        return;
    job = &play.jobs[which % play.job_count];
    if (job->iterator != NULL) {
        if (what % 8 < 6)
            next_of(job);
        else if (what % 8 == 6)
            pool_iterator_cancel(job->iterator, what / 8 % 2 != 0);
        else {
            pool_iterator_free(job->iterator);
            job->iterator = NULL;
        }
    } else if (job->future != NULL) {
        if (what % 4 < 2)
            look_at_future(job);
        else if (what % 4 == 2)
            pool_future_cancel(job->future, what / 8 % 2 != 0);
        else {
            check_arrays(job);
            pool_future_free(job->future);
            job->future = NULL;
            check_arrays(job); /* what had no outcome may have been cancelled by that */
            job->let_go = true;
        }
    }
}

static void end_somehow(struct input *input)
{
    uint8_t how = take8(input);

    if (how % 8 < 3)
        pool_close(play.pool);
    else if (how % 8 < 4)
        pool_stop(play.pool);
    else if (how % 8 < 5)
        pool_terminate(play.pool);
    else
        pool_resize(play.pool, 1 + how / 8 % 3u);
}

static void look_inside(void)
{
    struct pool_stats stats;
    pid_t pids[4];
    size_t count;

    MUST(pool_get_stats(play.pool, &stats) == POOL_OK);
    MUST(stats.finished <= stats.submitted && stats.queued + stats.running <= stats.submitted);
    count = pool_worker_pids(play.pool, pids, 4);
    MUST(count <= 4);
}

/* ---- the workers */

static struct worker *take_worker(struct input *input)
{
    uint8_t which = take8(input);
    unsigned i, recent = life_count < 4 ? life_count : 4;

    for (i = 0; i < recent; i++) { /* of the last ones, one that lives */
        struct worker *worker = &workers[life_count - 1 - (which + i) % recent];

        if (worker->life->alive)
            return worker;
    }
    return NULL;
}

static void work(struct input *input)
{
    struct worker *worker = take_worker(input);
    uint8_t steps = take8(input), what = take8(input);
    struct answer answer = {OUT_SIZE, what % 16 == 1, what / 64 % 2 != 0};
    unsigned i;

    if (what % 16 == 2 || what % 16 == 3)
        answer.size = what % 16 == 2 ? what : BIG; /* BAD_SIZE for a map */
    for (i = 0; worker != NULL && i < steps % 64u && worker_step(worker, answer); i++)
        continue;
    if (worker != NULL && what / 16 % 2 != 0 && !worker->undone)
        worker_flush(worker);
}

static void say_anything(struct input *input)
{
    struct worker *worker = take_worker(input);
    unsigned char bytes[256];
    size_t size = take8(input);

    take(input, bytes, size);
    play.honest = false;
    if (worker != NULL)
        life_writes(worker->life, bytes, size);
}

/* A record that is nearly right, of an item that may be its own; its payload comes, or not. */
static void say_record(struct input *input)
{
    struct worker *worker = take_worker(input);
    unsigned char bytes[POOL__RECORD_SIZE + 300] = {0};
    uint8_t kind = take8(input), batch = take8(input), offset = take8(input), size = take8(input), part = take8(input);
    struct pool__record record;

    memset(&record, 0, sizeof record);
    record.kind = (enum pool__record_kind)(POOL__RECORD_READY + kind % 6u);
    record.how = (enum pool__how)(kind / 8 % 8 < 4 ? 0 : kind / 8 % 4);
    record.size = size < 200 ? 8 : size < 250 ? size : UINT64_C(1) << (size - 210);
    if (record.kind != POOL__RECORD_RESULT && record.kind != POOL__RECORD_START_FAILED)
        record.size = 0;
    record.code = part;
    record.run = (uint64_t)part << (kind % 64);
    if (record.kind == POOL__RECORD_ROW) {
        record.how = POOL__HOW_OK;
        record.count = 1 + size % 8u;
        record.each = size < 200 ? OUT_SIZE : size % 16u;
        record.timed = kind / 8 % 2 != 0;
        record.size = pool__padded(record.count * pool__row_stride(record.each, record.timed), POOL__RECORD_ALIGN);
    }
    play.honest = false;
    if (worker == NULL)
        return;
    record.batch = worker->frame.batch + (batch < 128 ? 0 : batch % 4u - 1);
    record.offset = worker->offset + (offset < 128 ? 0 : offset % 4u - 1);
    pool__record_encode(bytes, &record);
    if (part % 4 == 0 || record.size > 300)
        life_writes(worker->life, bytes, POOL__RECORD_SIZE + part / 4u);
    else if (part % 4 == 1)
        worker_publish(worker, &record, part);
    else
        life_writes(worker->life, bytes, POOL__RECORD_SIZE + (size_t)pool__padded(record.size, POOL__RECORD_ALIGN));
    if (part % 8 == 2) {
        worker->offset++; /* the next one, perhaps, is of the next item */
    }
}

static void scribble(struct input *input)
{
    struct worker *worker = take_worker(input);
    uint16_t where = take16(input);
    uint64_t value = take64(input);
    struct pool__board *page = worker != NULL ? worker->life->page : NULL;

    play.honest = false;
    if (page == NULL)
        return;
    switch (where % 8) {
    case 0: /* any word but those in staging */
        memcpy((unsigned char *)page + (size_t)(where / 8 % 128) * 8, &value, sizeof value);
        break;
    case 1:
        if (where % 16 == 1) { /* the counts of the rings of large bodies */
            struct pool__ring *ring = where % 32 == 1 ? &worker->life->bulk->in : &worker->life->bulk->out;

            atomic_store(where % 64 < 32 ? &ring->taken : &ring->put, value % 2 != 0 ? value : value % 1000000);
            break;
        }
        memcpy(page->staging + where / 8 % (POOL__STAGING_SIZE - 8), &value, sizeof value);
        break;
    case 2:
    case 3: /* a mark on what may be with it */
        pool__board_mark(page, worker->frame.batch + (uint32_t)(value % 4) - 1, (uint32_t)(value / 4 % 8),
                         (enum pool__mark)(value / 32 % 4));
        break;
    case 4: /* a range near the true one */
        atomic_fetch_add(&page->range[(worker->frame.batch + where / 8 % 2u) % POOL__FLIGHT],
                         (value % 8) << (where / 16 % 3 * 24));
        break;
    case 5:
        atomic_store(&page->staged, worker->staged + value % 200);
        break;
    case 6:
        if (where / 8 % 2 == 0)
            atomic_store(&page->base, worker->base + value % 200 - 100);
        else if (where / 16 % 4 == 0)
            pool__board_row_closed(page);
        else
            open_row_at(page, worker->frame.batch + (uint32_t)(value % 4) - 1, (uint32_t)(value / 4 % 8),
                                   (uint32_t)(value / 32 % (POOL__ROW_EACH + 2)), where / 16 % 4 == 1);
        break;
    default:
        atomic_store(&page->started, where / 8 % 2 != 0 ? value : system_now - value % (20 * POOL__MS));
    }
}

static void die(struct input *input)
{
    static const int statuses[] = {SIGKILL, SIGSEGV, SIGABRT, 0, 1 << 8, 77 << 8};
    struct worker *worker = take_worker(input);
    uint8_t how = take8(input);

    if (worker == NULL)
        return;
    if (how % 8 == 7)
        worker->life->held = !worker->life->held;
    else
        life_ends(worker->life, how % 8 == 6 ? how : statuses[how % 8]);
}

static void weather(struct input *input)
{
    uint8_t what = take8(input), value = take8(input);

    switch (what % 4) {
    case 0:
        system_read_most = value < 128 ? SIZE_MAX : 1 + value % 64u;
        break;
    case 1:
        system_pipe_room = value < 128 ? 65536 : 512 + value * 16u;
        break;
    case 2:
        system_refuses_spawn = value > 128;
        break;
    default:
        if (value > 250)
            zygote_ends();
        else if (value > 240)
            zygote_says(&value, 1); /* with the next notice it makes nonsense */
    }
}

static void step(struct input *input)
{
    switch (take8(input) % 16) {
    case 0:
        submit(input);
        break;
    case 1:
    case 2:
        work(input);
        break;
    case 3:
        use_job(input);
        break;
    case 4:
        say_anything(input);
        break;
    case 5:
        say_record(input);
        break;
    case 6:
    case 7:
        scribble(input);
        break;
    case 8:
        die(input);
        break;
    case 9:
        weather(input);
        break;
    case 10:
        end_somehow(input);
        break;
    case 11:
        look_inside();
        break;
    case 12:
        zygote_turn();
        break;
    case 13:
        system_now += UINT64_C(1000) << take8(input) % 24;
        break;
    default:
        break;
    }
}

/* ---- the whole */

static void begin(struct input *input)
{
    struct pool_options options = {0};
    uint8_t workers_wanted = take8(input), tasks = take8(input), queue = take8(input), timeout = take8(input);

    memset(&play, 0, sizeof play);
    play.honest = true;
    system_begin();
    workers_begin();
    options.flags = POOL_NO_THREAD;
    options.max_workers = 3;
    options.tasks_per_worker = tasks % 8 < 4 ? 0 : tasks % 8u - 3;
    options.queue_limit = queue % 4;
    options.start_timeout_ms = timeout % 2 != 0 ? 1 + timeout : 0;
    play.pool = pool_create(1 + workers_wanted % 3u, &options);
    MUST(play.pool != NULL);
}

/* Futures and iterators outlive the pool; each item has come to an end. */
static void finish_job(struct job *job)
{
    unsigned i;

    MUST(!job->wants_call || job->kind == NO_JOB || job->calls == 1);
    for (i = 0; job->kind == MAP && !job->let_go && i < job->items; i++)
        MUST(job->statuses[i] != NO_STATUS);
    if (job->future != NULL) {
        MUST(pool_future_ready(job->future));
        look_at_future(job);
        pool_future_free(job->future);
    }
    for (i = 0; job->iterator != NULL && i <= job->items; i++)
        if (next_of(job) != POOL_OK)
            break;
    if (job->iterator != NULL) {
        MUST(i <= job->items && next_of(job) != POOL_TIMEOUT);
        pool_iterator_free(job->iterator);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct pool *pool;
    unsigned i;

    begin(&input);
    for (i = 0; i < STEPS_MOST && input.left > 0; i++) {
        step(&input);
        pool_dispatch(play.pool);
        check_all();
    }
    pool = play.pool;
    play.pool = NULL;
    pool_destroy(pool);
    check_all();
    for (i = 0; i < play.job_count; i++)
        finish_job(&play.jobs[i]);
    workers_end();
    system_end();
    return 0;
}
