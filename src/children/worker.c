#include "children/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/child.h"
#include "base/fork_child.h"
#include "base/process_self.h"
#include "base/shared_pages.h"
#include "children/batch.h"
#include "children/crash_record.h"
#include "children/result_stream.h"
#include "children/shared_bytes.h"
#include "children/task.h"
#include "children/task_pipe.h"

/* One process, one worker. */
static struct worker {
    struct pool__worker_birth birth;
    const struct pool__worker_setup *setup;
    struct pool__fork_guard guard;
    void *state;
    bool leaving;
} self;

_Noreturn void pool__worker_exit(int status)
{
    pool__stdio_flush();
    _exit(status);
}

/* ---- frames */

static bool keep_shared(const struct pool__frame *frame, const unsigned char *body)
{
    if ((frame->flags & POOL__FRAME_BODY_THERE) != 0)
        return pool__shared_bytes_refer(frame->shared, body, (size_t)frame->item_size);
    return pool__shared_bytes_keep(frame->shared, body, (size_t)frame->item_size);
}

/* `body` is all of it, as it came: places first where there are any. */
static void obey(const struct pool__frame *frame, const unsigned char *body)
{
    struct pool__frame whole = *frame;
    struct pool__places places;

    body = pool__frame_body(&whole, body, &places);
    if (body == NULL)
        _exit(0); /* not a frame that a host of this version makes */
    switch (frame->kind) {
    case POOL__FRAME_BATCH:
        self.leaving = !pool__batch_run(&whole, body, &places);
        break;
    case POOL__FRAME_SHARED:
        if (!keep_shared(&whole, body))
            pool__worker_exit(ENOMEM); /* its tasks would read what is not there; the host starts another worker */
        break;
    case POOL__FRAME_DROP:
        pool__shared_bytes_drop(frame->shared);
        break;
    case POOL__FRAME_STOP:
        self.leaving = true;
        break;
    }
}

/* ---- a life */

/* What a task forks has not our board, where the system has not kept it back itself. */
static void unmap_board(struct pool__fork_guard *guard)
{
    (void)guard;
    pool__shared_pages_unmap(self.birth.board, sizeof *self.birth.board);
    pool__shared_pages_unmap(self.birth.bulk, sizeof *self.birth.bulk);
}

/*
 * Runs in whoever calls exit(): a task, the initializer, or a child that one of them forked. The program's own
 * handlers, which lie behind this one, must not run here.
 */
static void exit_hook(int status)
{
    pool__worker_exit(status);
}

/*
 * Where a task calls pthread_exit() and has left another thread behind, this process would go on without anybody who
 * reads its tasks.
 */
static void leave_with_thread(void *unused)
{
    (void)unused;
    pool__worker_exit(0);
}

static void end_with_this_thread(void)
{
    pthread_key_t key;

    if (pthread_key_create(&key, leave_with_thread) == 0)
        pthread_setspecific(key, &self);
}

static void start(void)
{
    struct pool__record record;
    pid_t own = getpid(), parent = getppid();
    int code = 0;

    if (self.setup->initializer != NULL) {
        code = self.setup->initializer(&self.state, self.setup->initializer_arg);
        pool__leave_if_stray();
        pool__stdio_flush();
        pool__die_with_parent(parent); /* the system forgets it where the initializer has become another user */
    }
    memset(&record, 0, sizeof record);
    record.kind = code == 0 ? POOL__RECORD_READY : POOL__RECORD_START_FAILED;
    record.code = code == 0 ? (int32_t)own : code;
    record.size = code == 0 ? 0 : strlen(pool__words());
    pool__stream_send(&record, pool__words(), 0);
    pool__stream_flush();
    if (code != 0)
        pool__worker_exit(1);
}

static _Noreturn void leave(void)
{
    pool__stream_send_plain(POOL__RECORD_LEAVING, 0);
    pool__stream_flush();
    if (self.setup->finalizer != NULL)
        self.setup->finalizer(self.state, self.setup->initializer_arg);
    pool__worker_exit(0);
}

_Noreturn void pool__worker_main(const struct pool__worker_birth *birth)
{
    struct pool__frame frame;

    pool__shared_bytes_forget();
    memset(&self, 0, sizeof self); /* a worker of a pool that was made in a worker has that one's here */
    self.birth = *birth;
    self.setup = birth->setup;
    self.guard.in_child = unmap_board;
    pool__fork_guard_add(&self.guard);
    pool__worker_index_set((int)birth->seat);
    pool__stream_begin(birth);
    pool__tasks_begin(birth);
    pool__batch_begin(birth);
    pool__exit_hook(exit_hook);
    pool__crash_record_begin(birth->board, (uintptr_t)&frame);
    pool__go_first();
    if (self.setup->blocks && !pool__barrier_join())
        pool__worker_exit(ENOSYS);
    start();
    end_with_this_thread();
    pool__batch_state(self.state);
    while (!self.leaving) {
        obey(&frame, pool__tasks_next(&frame));
        pool__tasks_done(&frame, pool__batch_spare_most());
    }
    leave();
}
