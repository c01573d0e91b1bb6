/*
 * Large worlds (world.h) at random: up to 16 workers, some hundred items in jobs of all kinds, deadlines, retries,
 * deaths at any moment, workers that fail to start, hang or stand still, kills that take their time, full pipes, a host
 * that is stopped now and then, resize, cancel, cancel with a kill, close, terminate, the zygote's death, and workers that
 * scribble on their boards and send nonsense. Promises are then kept for all items that were never with one of these.
 *
 * Each world comes from a seed. PROCPOOL_SCALE makes more worlds; PROCPOOL_SEED=n runs that one only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "world_check.h"

#define FIRST_SEED UINT64_C(20261122000)
#define WORLDS 10000u
#define STEPS_MAX 3000000u

static uint64_t dice;

static unsigned throw_dice(unsigned below)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice >> 33) % below;
}

static bool one_in(unsigned chance) { return throw_dice(chance) == 0; }

/* ------------------------------------------------------------------ a plan */

struct mood {
    unsigned step_ns;   /* time passes with each event: up to twice that */
    unsigned death, scribble, hang, freeze, resize, stall, silence; /* one in so many events, 0: never */
    unsigned end;       /* after so many events the world is closed or terminated, 0: not */
    bool limited;       /* every job has a deadline: any worker may stand still */
    uint64_t deadline;
};

static void plan_job(struct job_plan *job, unsigned most, uint8_t *functions)
{
    unsigned i, failing = one_in(3) ? 1 + throw_dice(200) : 0;

    job->lone = one_in(3);
    job->items = job->lone ? 1 : 1 + throw_dice(most);
    job->chunk = one_in(2) ? 0 : 1 + throw_dice(one_in(2) ? 4 : 300);
    job->keep_going = one_in(2);
    job->functions = functions;
    for (i = 0; i < job->items; i++)
        functions[i] = failing != 0 && one_in(failing) ? SIM_FAILS : SIM_RETURNS;
}

/* Of jobs with deadlines some items never end by themselves. */
static void plan_limits(struct job_plan *job, const struct mood *mood, uint8_t *functions)
{
    unsigned i;

    job->retries = one_in(4) ? 1 + throw_dice(3) : 0;
    if (mood->deadline == 0 || (!mood->limited && one_in(2)))
        return;
    job->deadline = POOL__MS + mood->deadline * throw_dice(100) / 100;
    if (mood->limited && job->deadline < mood->deadline / 2)
        job->deadline = mood->deadline / 2;
    for (i = 0; one_in(3) && i < job->items; i++)
        functions[i] = one_in(20) ? SIM_HANGS : functions[i];
}

/* Deadlines of some hundred events; or, where workers stand still, such that few looks are made until they are over. */
static void plan_kills(struct world_plan *plan, struct mood *mood)
{
    if (one_in(2)) {
        mood->step_ns = one_in(2) ? 20000 : 300000;
        mood->deadline = POOL__MS + (uint64_t)mood->step_ns * throw_dice(one_in(2) ? 200 : 4000);
        mood->limited = one_in(4);
    }
    if (mood->limited)
        mood->deadline = (100 + throw_dice(200)) * POOL__MS;
    plan->cancels_kill = one_in(3);
    mood->stall = one_in(4) ? 20 + throw_dice(1000) : 0;
    plan->silent = one_in(4);
    plan->spare_boards = throw_dice(5);
    mood->silence = 1 + throw_dice(one_in(2) ? 10 : 1000);
    plan->zygote_dies = one_in(20);
}

static void plan_world(struct world_plan *plan, struct mood *mood, uint8_t *functions, unsigned most)
{
    static const unsigned paces[] = {50, 1000, 20000, 300000};
    unsigned i;

    memset(plan, 0, sizeof *plan);
    memset(mood, 0, sizeof *mood);
    plan->limit = 1 + throw_dice(WORLD_SEATS);
    plan->workers = 1 + throw_dice(plan->limit);
    plan->claims = one_in(2) ? throw_dice(9) : 0;
    plan->meanwhile = one_in(2) ? throw_dice(8) : 0;
    plan->tasks_per_worker = one_in(4) ? 1 + throw_dice(50) : 0;
    plan->job_count = 1 + throw_dice(one_in(2) ? 4 : WORLD_JOBS);
    mood->step_ns = paces[throw_dice(4)];
    plan_kills(plan, mood);
    for (i = 0; i < plan->job_count; i++) {
        plan_job(&plan->jobs[i], most / plan->job_count + 1, functions);
        plan_limits(&plan->jobs[i], mood, functions);
        functions += plan->jobs[i].items;
    }
    plan->pipe_frames = one_in(2) ? 0 : 1 + throw_dice(4);
    plan->bad_starts = one_in(4) ? throw_dice(12) : 0;
    plan->refusals = one_in(4) ? throw_dice(12) : 0;
    plan->cancels = one_in(3);
    plan->may_break = true;
    mood->death = one_in(2) ? 20 + throw_dice(2000) : 0;
    mood->scribble = one_in(3) ? 50 + throw_dice(2000) : 0;
    mood->freeze = 50 + throw_dice(1000);
    mood->resize = one_in(3) ? 20 + throw_dice(2000) : 0;
    mood->end = one_in(2) ? 1 + throw_dice(8 * most) : 0;
    if (one_in(4)) {
        mood->hang = 20 + throw_dice(200);
        plan->start_timeout = plan->stop_timeout = 30 * POOL__MS;
    }
}

/* ------------------------------------------------------------------ mischief */

static void taint(struct world *world, const struct pool__seat *seat)
{
    uint32_t batch, i;

    world->workers[seat->index].liar = true;
    for (batch = seat->head; batch != seat->sent + 1; batch++) {
        const struct pool__run *run = seat->flight[batch % POOL__FLIGHT];

        for (i = 0; run != NULL && i < run->count; i++) {
            job_of(run->job)->items[run->first + i].tainted = 1;
            job_of(run->job)->items[run->first + i].inside = 0;
        }
    }
}

static uint64_t random_word(void)
{
    return (uint64_t)throw_dice(1u << 31) << 33 ^ (uint64_t)throw_dice(1u << 31) << 12 ^ throw_dice(1u << 12);
}

/* A range word as it is, with one of its numbers a little wrong; or anything. */
static uint64_t wrong_range(uint64_t word)
{
    switch (throw_dice(6)) {
    case 0:
        return word + 1; /* next */
    case 1:
        return word - 1;
    case 2:
        return word + (UINT64_C(1) << 24); /* end */
    case 3:
        return word - (UINT64_C(1) << 24);
    case 4:
        return word ^ UINT64_C(1) << 50; /* tag */
    default:
        return random_word();
    }
}

static void send_nonsense(struct sim_worker *worker, const struct pool__seat *seat)
{
    static const enum pool__record_kind kinds[] = {POOL__RECORD_RESULT, POOL__RECORD_RESULT, POOL__RECORD_LEFT,
                                                   POOL__RECORD_READY, POOL__RECORD_START_FAILED};

    if (sim_stream_full(worker))
        return;
    sim_publish(worker, kinds[throw_dice(5)], seat->left + throw_dice(4), throw_dice(8), one_in(2) ? 0 : 1, 1000);
    sim_flush(worker);
}

static void scribble(struct world *world)
{
    struct pool__seat *seat = &world->scheduler.seats[throw_dice(world->scheduler.limit)];
    struct sim_worker *worker = &world->workers[seat->index];
    _Atomic uint64_t *range;

    if (!worker->forked || worker->dead || worker->pc == SIM_BORN)
        return;
    taint(world, seat);
    range = &seat->board->range[(seat->left + throw_dice(3)) % POOL__FLIGHT];
    switch (throw_dice(4)) {
    case 0:
        send_nonsense(worker, seat);
        break;
    case 1:
        atomic_store(&seat->board->running, one_in(2) ? random_word()
                                                      : (uint64_t)(seat->left + throw_dice(4)) << 32 |
                                                            (uint64_t)throw_dice(9) << 8 | throw_dice(4));
        break;
    default:
        atomic_store(range, wrong_range(atomic_load(range)));
        break;
    }
}

/* A worker hangs in its initializer or its finalizer. */
static void hang(struct world *world)
{
    struct sim_worker *worker = &world->workers[throw_dice(world->scheduler.limit)];

    if (worker->forked && (worker->pc == SIM_BORN || worker->pc == SIM_EXIT))
        worker->stuck = true;
}

/* Or anywhere. */
static void stand_still(struct world *world)
{
    struct sim_worker *worker = &world->workers[throw_dice(world->scheduler.limit)];

    if (worker->forked)
        worker->stuck = true;
}

/* The host is stopped for a while; the workers are not. */
static void stall(struct world *world) { world->now += (50 + throw_dice(400)) * POOL__MS; }

/* Something that need not happen: a kill arrives, or one that nobody waits for goes on. */
static void break_silence(struct world *world)
{
    struct choice choices[CHOICES_MAX];
    unsigned count = world_silence(world, choices);

    if (count > 0)
        world_apply(world, choices[throw_dice(count)]);
}

static void resize(struct world *world)
{
    if (world->closed)
        return;
    pool__staffing_resize(&world->scheduler, 1 + throw_dice(world->scheduler.limit), world->now);
    world_settle(world);
}

/* What does not begin is still being passed round, with longer and longer pauses. */
static bool will_look(const struct world *world)
{
    return world->scheduler.owed > 0 &&
           pool__earlier(world->scheduler.look_at, world->scheduler.check_at) != POOL__NEVER;
}

/* All workers stand still, and the host does all that it can do. */
static void freeze(struct world *world)
{
    struct choice choices[CHOICES_MAX];
    unsigned count, i, turns;

    for (turns = 0; turns < 3000 && world->complaint == NULL; turns++) {
        count = world_must(world, choices);
        for (i = 0; i < count && (choices[i].kind == STEP || choices[i].kind == SUBMIT); i++)
            continue;
        if (i == count) {
            if (world->submitted == world->plan->job_count && !will_look(world))
                world_check_quiet(world);
            return;
        }
        world_apply(world, choices[i]);
    }
}

/* ------------------------------------------------------------------ a world */

static void one_of(struct world *world, unsigned chance, void (*happens)(struct world *world))
{
    if (chance != 0 && one_in(chance))
        happens(world);
}

static void some_die(struct world *world)
{
    struct choice die = {DIE, throw_dice(world->scheduler.limit)};

    if (!world->workers[die.which].forked || world->workers[die.which].dead)
        return;
    world->deaths_left++;
    world_apply(world, die);
}

static void some_cancel(struct world *world)
{
    struct choice cancel = {CANCEL, throw_dice(world->plan->job_count)};

    if (cancel.which < world->submitted && !world->aborting && !world->jobs[cancel.which].cancelled &&
        world->jobs[cancel.which].left > 0)
        world_apply(world, cancel);
}

static void some_cancel_and_kill(struct world *world)
{
    struct choice cancel = {CANCEL_KILL, throw_dice(world->plan->job_count)};

    if (cancel.which < world->submitted && !world->aborting && !world->jobs[cancel.which].kill_said &&
        world->jobs[cancel.which].left > 0)
        world_apply(world, cancel);
}

static void zygote_dies_here(struct world *world)
{
    struct choice death = {ZYGOTE_DIES, 0};

    if (!world->zygote_dead)
        world_apply(world, death);
}

static struct choice end_of(const struct world *world)
{
    struct choice choice = {one_in(2) ? CLOSE : TERMINATE, 0};

    if (world->submitted == world->plan->job_count && one_in(2))
        choice.kind = CLOSE;
    return choice;
}

/* Submissions and timers are rarer than workers' steps. */
static struct choice some_choice(const struct choice *choices, unsigned count)
{
    struct choice choice = choices[throw_dice(count)];

    if ((choice.kind == SUBMIT || choice.kind == TICK) && !one_in(8))
        choice = choices[throw_dice(count)];
    return choice;
}

/*
 * One that has lied the item away in which it hangs owes nothing: nothing can be missed of it. Nor of one that stands
 * still behind a full pipe, of which all has been taken back.
 */
static void end_the_unnoticed(struct world *world)
{
    unsigned i;

    for (i = 0; i < world->scheduler.limit; i++)
        if (world->workers[i].forked && !world->workers[i].dead && sim_worker_hangs(&world->workers[i]) &&
            (world->workers[i].liar || world->workers[i].wants_room))
            sim_worker_die(&world->workers[i], SIGKILL);
}

static void live(struct world *world, const struct mood *mood)
{
    struct choice choices[CHOICES_MAX];
    unsigned events, count;

    for (events = 0; world->complaint == NULL && (count = world_must(world, choices)) > 0; events++) {
        world->now += throw_dice(2 * mood->step_ns);
        world_apply(world, some_choice(choices, count));
        one_of(world, mood->death, some_die);
        one_of(world, mood->scribble, scribble);
        one_of(world, mood->hang, hang);
        one_of(world, mood->limited && mood->hang ? 10 * mood->hang : 0, stand_still);
        one_of(world, mood->stall, stall);
        one_of(world, world->plan->silent ? mood->silence : 0, break_silence);
        one_of(world, world->plan->cancels_kill ? 300 : 0, some_cancel_and_kill);
        one_of(world, world->plan->zygote_dies ? 1000 : 0, zygote_dies_here);
        one_of(world, mood->resize, resize);
        one_of(world, mood->freeze, freeze);
        one_of(world, world->plan->cancels ? 500 : 0, some_cancel);
        if (mood->end != 0 && events == mood->end && !world->closed)
            world_apply(world, end_of(world));
        if (events % 32 == 0)
            world_check(world);
        if (events == STEPS_MAX)
            complain(world, "the world does not come to rest");
    }
    end_the_unnoticed(world);
    if (world->complaint == NULL)
        world_finish(world, world->plan->silent && one_in(2));
}

static const char *simulate(uint64_t seed, uint64_t *finished)
{
    static uint8_t functions[5000 + 2 * WORLD_JOBS];
    const char *complaint;
    struct world_plan plan;
    struct world world;
    struct mood mood;

    dice = seed * UINT64_C(0x9e3779b97f4a7c15);
    plan_world(&plan, &mood, functions, seed % 100 == 0 ? 5000 : seed % 10 == 0 ? 500 : 60);
    world_begin(&world, &plan);
    live(&world, &mood);
    complaint = world.complaint;
    *finished += world.scheduler.finished;
    world_end(&world);
    return complaint;
}

static void random_worlds(void **state)
{
    const char *seed_text = getenv("PROCPOOL_SEED"), *scale_text = getenv("PROCPOOL_SCALE");
    uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : FIRST_SEED, finished = 0;
    double scale = scale_text != NULL ? strtod(scale_text, NULL) : 1.0;
    uint64_t worlds = seed_text != NULL ? 1 : 1 + (uint64_t)(WORLDS * (scale > 0 && scale < 1e6 ? scale : 1.0)), i;

    (void)state;
    for (i = 0; i < worlds; i++) {
        const char *complaint = simulate(seed + i, &finished);

        if (complaint != NULL) {
            print_error("PROCPOOL_SEED=%llu: %s\n", (unsigned long long)(seed + i), complaint);
            fail();
        }
    }
    assert_true(finished > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_worlds)};

    return cmocka_run_group_tests_name("simulator", tests, NULL, NULL);
}
