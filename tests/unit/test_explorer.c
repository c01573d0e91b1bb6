/*
 * Every order of events in small worlds: two workers, up to three items, up to two deaths, cancel, close, terminate (world.h). Depth first, by replay: a path of choices is run from the world's beginning; the next path
 * differs in the last choice that had an alternative. A state that was met before is not gone into again.
 *
 * A plan whose states are too many for the default is cut off, and the rest of it sampled by random walks. PROCPOOL_SCALE multiplies both, so that a large one searches all of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "world_check.h"

#define DEPTH_MAX 600u
#define PATHS 8000u /* of one plan, by default */
#define WALKS 800u
#define TICKS 5u /* in one path, while anything else can happen: workers that are slower than every timer could pass an item round for ever */

static double scale(void)
{
    const char *text = getenv("PROCPOOL_SCALE");
    double value = text != NULL ? strtod(text, NULL) : 1.0;

    return value > 0 && value < 1e6 ? value : 1.0;
}

/* ------------------------------------------------------------------ states met before */

struct known {
    uint64_t *slots;
    size_t size, used; /* size is a power of two */
};

static void known_init(struct known *known, size_t size)
{
    known->slots = calloc(size, sizeof *known->slots);
    known->size = size;
    known->used = 0;
    assert_non_null(known->slots);
}

static size_t slot_of(const struct known *known, uint64_t hash)
{
    size_t at = (size_t)hash & (known->size - 1);

    while (known->slots[at] != 0 && known->slots[at] != hash)
        at = (at + 1) & (known->size - 1);
    return at;
}

static void known_grow(struct known *known)
{
    struct known larger;
    size_t i;

    known_init(&larger, known->size * 2);
    for (i = 0; i < known->size; i++)
        if (known->slots[i] != 0)
            larger.slots[slot_of(&larger, known->slots[i])] = known->slots[i];
    larger.used = known->used;
    free(known->slots);
    *known = larger;
}

static bool is_known(struct known *known, uint64_t hash)
{
    size_t at = slot_of(known, hash |= 1);

    if (known->slots[at] == hash)
        return true;
    known->slots[at] = hash;
    if (++known->used > known->size / 2)
        known_grow(known);
    return false;
}

/* ------------------------------------------------------------------ a state as a number */

static void mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    *hash ^= *hash >> 29;
}

/* Times only matter as distances from now, those in the past up to `past`, those to come up to the horizon. Batch numbers only matter as distances from the last that was left. */
static void mix_time(uint64_t *hash, const struct world *world, uint64_t time, uint64_t past)
{
    if (time == POOL__NEVER || (time > world->now && time - world->now > WORLD_HORIZON))
        mix(hash, 1);
    else if (time < world->now)
        mix(hash, 2 + 2 * pool__earlier(world->now - time, past));
    else
        mix(hash, 3 + 2 * (time - world->now));
}

static void mix_run(uint64_t *hash, const struct world *world, const struct pool__run *run)
{
    if (run == NULL) {
        mix(hash, 3);
        return;
    }
    mix(hash, (uint64_t)(job_of(run->job) - world->jobs));
    mix(hash, run->first << 32 | (uint64_t)run->count << 16 | run->done);
    mix(hash, run->suspicion);
}

static void mix_place(uint64_t *hash, const struct pool__seat *seat, uint64_t word)
{
    uint32_t batch = (uint32_t)(word >> 32) - seat->left;

    mix(hash, batch == 0 || batch > POOL__FLIGHT ? 0 : (uint64_t)batch << 32 | (uint32_t)word);
}

static void mix_board(uint64_t *hash, const struct pool__seat *seat)
{
    uint32_t batch;

    mix_place(hash, seat, atomic_load(&seat->board->running));
    mix_place(hash, seat, atomic_load(&seat->board->cancel));
    mix(hash, atomic_load(&seat->board->hurry));
    for (batch = seat->left + 1; batch != seat->sent + 1; batch++)
        mix(hash, atomic_load(&seat->board->range[batch % POOL__FLIGHT]) << 16);
}

static void mix_stream(uint64_t *hash, const struct pool__seat *seat, const struct sim_worker *worker)
{
    unsigned i;

    mix(hash, worker->piped - worker->read);
    mix(hash, worker->received - worker->read);
    for (i = worker->received; i != worker->staged; i++) {
        const struct pool__record *record = &worker->stream[i % SIM_STREAM];

        mix(hash, (uint64_t)record->kind << 48 | (uint64_t)(record->batch - seat->left) << 16 | (uint64_t)record->offset << 8 | (uint64_t)record->how);
    }
}

static void mix_worker(uint64_t *hash, const struct world *world, const struct pool__seat *seat)
{
    const struct sim_worker *worker = &world->workers[seat->index];
    bool has_item = worker->pc == SIM_MARK || worker->pc == SIM_RUN || worker->pc == SIM_STAGED;
    unsigned i;

    mix(hash, (uint64_t)worker->dead << 1 | (uint64_t)worker->kill_sent << 2 | (uint64_t)worker->announced << 3 | (uint64_t)worker->poisoned << 4 | (uint64_t)worker->wants_room << 5
                  | (uint64_t)worker->fails_to_start << 6 | (uint64_t)worker->pc << 8 | (uint64_t)(has_item ? worker->offset : 0) << 16);
    mix(hash, worker->tasks_per_worker != 0 ? worker->started_items : 0);
    mix(hash, (uint64_t)worker->status);
    mix(hash, has_item || worker->pc == SIM_CLAIM ? worker->frame.batch - seat->left : 0);
    for (i = worker->from; i != worker->to; i++)
        mix(hash, (uint64_t)(worker->frames[i % SIM_FRAMES].batch - seat->left) << 2 | (uint64_t)(i - worker->from < worker->fetched - worker->from) << 1
                      | worker->frames[i % SIM_FRAMES].stop);
    mix(hash, 5);
    mix_stream(hash, seat, worker);
    mix(hash, worker->oldest != 0 && world->now - worker->oldest >= SIM_FLUSH_AFTER);
    mix(hash, (worker->pc == SIM_RUN || worker->pc == SIM_STAGED) && world->now - worker->began >= SIM_FLUSH_AFTER);
}

static void mix_seat(uint64_t *hash, const struct world *world, const struct pool__seat *seat)
{
    uint32_t batch;

    mix(hash, (uint64_t)seat->state);
    if (seat->state == POOL__SEAT_EMPTY)
        return;
    mix(hash, (uint64_t)seat->reason | (uint64_t)seat->was_ready << 16 | (uint64_t)seat->started_any << 17);
    mix(hash, seat->budget);
    mix(hash, (uint64_t)(seat->sent - seat->left) << 20 | (seat->head - seat->left));
    mix_worker(hash, world, seat);
    if (world->aborting)
        mix_time(hash, world, seat->since, WORLD_HORIZON);
    if (seat->owed > 0 || world->aborting) {
        mix_time(hash, world, seat->heard, POOL__STEAL_AFTER);
        mix(hash, seat->looks);
    }
    mix_board(hash, seat);
    for (batch = seat->head; batch != seat->sent + 1; batch++)
        mix_run(hash, world, seat->flight[batch % POOL__FLIGHT]);
}

static void mix_job(uint64_t *hash, const struct world *world, const struct world_job *job)
{
    const struct pool__link *link;
    unsigned i;

    mix(hash, (uint64_t)job->unwanted | (uint64_t)job->cancelled << 1 | (uint64_t)job->job.withdrawn << 2 | (uint64_t)job->job.cancel_asked << 3 | (uint64_t)job->job.last_batch << 8
                  | job->job.next << 40);
    mix(hash, job->job.item_ns);
    for (link = job->job.returned.next; link != &job->job.returned; link = link->next)
        mix_run(hash, world, pool__holder(link, struct pool__run, link));
    for (i = 0; i < job->count; i++)
        mix(hash, job->items[i].outcome != 0 ? 1 : 2 | (uint64_t)job->items[i].starts << 8 | (uint64_t)job->items[i].published << 16);
}

static void mix_list(uint64_t *hash, const struct world *world, const struct pool__link *list, bool of_seats)
{
    const struct pool__link *link;

    mix(hash, 7);
    for (link = list->next; link != list; link = link->next)
        mix(hash, of_seats ? pool__holder(link, struct pool__seat, link)->index : (uint64_t)(job_of(pool__holder(link, struct pool__job, link)) - world->jobs));
}

static uint64_t world_hash(const struct world *world)
{
    const struct pool__scheduler *scheduler = &world->scheduler;
    uint64_t hash = 11;
    unsigned i;

    mix(&hash, (uint64_t)world->submitted | (uint64_t)world->deaths_left << 8 | (uint64_t)world->bad_starts_left << 16 | (uint64_t)world->refusals_left << 48 | (uint64_t)world->closed << 24 | (uint64_t)world->aborting << 25
                   | (uint64_t)world->resized << 26 | (uint64_t)world->restaff << 27 | (uint64_t)scheduler->bulk_turn << 28 | (uint64_t)scheduler->ending << 29
                   | (uint64_t)scheduler->bad_before_ready << 30 | (uint64_t)scheduler->bad_starts << 32);
    mix(&hash, (uint64_t)world->ticks << 32 ^ scheduler->lone_ns);
    mix_time(&hash, world, scheduler->owed > 0 ? scheduler->look_at : POOL__NEVER, 0);
    mix_time(&hash, world, scheduler->staff_at, 0);
    mix_time(&hash, world, scheduler->next_spawn, 0);
    mix_list(&hash, world, &scheduler->lone, false);
    mix_list(&hash, world, &scheduler->bulk, false);
    mix_list(&hash, world, &scheduler->idle, true);
    mix_list(&hash, world, &scheduler->roomy, true);
    for (i = 0; i < scheduler->limit; i++)
        mix_seat(&hash, world, &scheduler->seats[i]);
    for (i = 0; i < world->submitted; i++)
        mix_job(&hash, world, &world->jobs[i]);
    return hash;
}

/* ------------------------------------------------------------------ paths */

struct path {
    unsigned length;
    unsigned char taken[DEPTH_MAX], width[DEPTH_MAX];
};

static unsigned choices_now(const struct world *world, struct choice *choices)
{
    unsigned count = world->finished ? 0 : world_must(world, choices);
    bool rests = count == 0;

    if (world->finished)
        return 0;
    if (count > 1 && choices[count - 1].kind == TICK && world->ticks >= TICKS)
        count--;
    count += world_may(world, choices + count);
    if (rests)
        add_choice(choices, &count, FINISH, 0);
    return count;
}

static void take(struct world *world, struct choice choice)
{
    if (choice.kind == FINISH) {
        world_finish(world);
        return;
    }
    world_apply(world, choice);
    world_check(world);
    if (world->complaint == NULL && host_is_quiet(world))
        world_check_quiet(world);
}

static void print_choice(const struct world *world, struct choice choice)
{
    static const char *const names[] = {"step", "hear", "room", "killed", "exited", "tick", "submit", "die", "cancel", "close", "terminate", "resize", "finish"};
    static const char *const places[] = {"born", "read", "claim", "mark", "run", "staged", "bye", "exit"};

    print_message(" %s", names[choice.kind]);
    if (choice.kind <= EXITED || choice.kind == DIE)
        print_message(" %c", 'A' + (int)choice.which);
    if (choice.kind == STEP)
        print_message(" (%s)", places[world->workers[choice.which].pc]);
    print_message(";");
}

/* The path again, told. */
static void tell(const struct world_plan *plan, const struct path *path, const char *complaint)
{
    struct choice choices[CHOICES_MAX];
    struct world world;
    unsigned i;

    print_message("%s: %s\n  ", plan->name, complaint);
    world_begin(&world, plan);
    for (i = 0; i < path->length && world.complaint == NULL; i++) {
        choices_now(&world, choices);
        print_choice(&world, choices[path->taken[i]]);
        take(&world, choices[path->taken[i]]);
    }
    print_message("\n");
    world_end(&world);
}

static uint64_t dice = 20261122;

static unsigned throw_dice(unsigned below)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(dice >> 33) % below;
}

/* Runs the path's beginning, then on: with the first of the choices at each state that is new, or (known NULL) with any. False: a promise was broken. */
static bool run_path(const struct world_plan *plan, struct path *path, struct known *known)
{
    struct choice choices[CHOICES_MAX];
    unsigned prefix = path->length, count;
    const char *complaint;
    struct world world;

    world_begin(&world, plan);
    path->length = 0;
    while (world.complaint == NULL && (count = choices_now(&world, choices)) > 0) {
        unsigned at = path->length;

        if (at >= prefix) {
            if (known != NULL && is_known(known, world_hash(&world)))
                break;
            if (at == DEPTH_MAX) {
                complain(&world, "a path without end");
                break;
            }
            path->taken[at] = (unsigned char)(known != NULL ? 0 : throw_dice(count));
            path->width[at] = (unsigned char)count;
        }
        path->length = at + 1;
        take(&world, choices[path->taken[at]]);
    }
    complaint = world.complaint;
    world_end(&world);
    if (complaint != NULL)
        tell(plan, path, complaint);
    return complaint == NULL;
}

static bool next_path(struct path *path)
{
    while (path->length > 0 && path->taken[path->length - 1] + 1u == path->width[path->length - 1])
        path->length--;
    if (path->length == 0)
        return false;
    path->taken[path->length - 1]++;
    return true;
}

static void explore(const struct world_plan *plan)
{
    unsigned paths = 0, walks, most = (unsigned)(PATHS * scale());
    struct path path = {0, {0}, {0}};
    struct known known;
    bool more = true;

    known_init(&known, 1u << 15);
    do {
        assert_true(run_path(plan, &path, &known));
        more = next_path(&path);
    } while (more && ++paths < most);
    for (walks = 0; more && walks < (unsigned)(WALKS * scale()); walks++) {
        path.length = 0;
        assert_true(run_path(plan, &path, NULL));
    }
    if (getenv("PROCPOOL_SCALE") != NULL)
        print_message("%s: %u paths, %zu states%s\n", plan->name, paths, known.used, more ? ", not all" : "");
    free(known.slots);
}

/* ------------------------------------------------------------------ the worlds */

static const uint8_t second_fails[] = {SIM_RETURNS, SIM_FAILS, SIM_RETURNS};

#define TWO .workers = 2, .limit = 2
#define MAP(n, by) {.items = (n), .chunk = (by), .keep_going = true}
#define LONE {.items = 1, .lone = true}
#define CHEAP .item_ns = 1000
#define LONG .item_ns = 2000000

static const struct world_plan plans[] = {
    {.name = "one apply, a death, a cancel", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .cancels = true},
    {.name = "one apply, close", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .closes = true},
    {.name = "one apply, terminate", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .terminates = true},
    {.name = "one apply, two deaths", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 2},
    {.name = "two applies", TWO, CHEAP, .job_count = 2, .jobs = {LONE, LONE}, .at_once = true},
    {.name = "two applies, a death", TWO, CHEAP, .job_count = 2, .jobs = {LONE, LONE}, .deaths = 1, .at_once = true},
    {.name = "three applies", TWO, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}},
    {.name = "three applies, one worker, a death", .workers = 1, .limit = 1, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}, .deaths = 1, .cancels = true},
    {.name = "three applies, a death, a cancel", TWO, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}, .deaths = 1, .cancels = true},
    {.name = "map of two in one batch", TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .at_once = true},
    {.name = "map of two in one batch, a death", TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .deaths = 1, .at_once = true},
    {.name = "map of two in one batch, cancel", TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .cancels = true, .at_once = true},
    {.name = "map of three in one batch", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .at_once = true},
    {.name = "map of three in one batch, a death", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .at_once = true},
    {.name = "map of three, one worker, two deaths", .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 2},
    {.name = "map of three by twos, a death", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 2)}, .deaths = 1},
    {.name = "map of three by ones, a death, close", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 1)}, .deaths = 1, .closes = true},
    {.name = "map of three, automatic, terminate", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 0)}, .deaths = 1, .terminates = true},
    {.name = "map of three long items, a death", TWO, LONG, .job_count = 1, .jobs = {MAP(3, 0)}, .deaths = 1},
    {.name = "map of three, the second fails", TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .functions = second_fails}}, .deaths = 1, .at_once = true},
    {.name = "map of two and an apply, all that others can do", TWO, CHEAP, .job_count = 2, .jobs = {MAP(2, 2), LONE}, .deaths = 1, .cancels = true, .closes = true, .terminates = true},
    {.name = "two maps", TWO, CHEAP, .job_count = 2, .jobs = {MAP(2, 2), MAP(1, 0)}, .deaths = 1},
    {.name = "one task a worker", TWO, CHEAP, .tasks_per_worker = 1, .job_count = 1, .jobs = {MAP(3, 3)}, .at_once = true, .closes = true},
    {.name = "two tasks a worker, a death", TWO, CHEAP, .tasks_per_worker = 2, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .at_once = true},
    {.name = "one worker less", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .resize_to = 1, .deaths = 1, .at_once = true},
    {.name = "one worker more", .workers = 1, .limit = 2, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .resize_to = 2, .at_once = true},
    {.name = "three bad starts", TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .bad_starts = 3, .closes = true, .at_once = true},
    {.name = "two refusals, a death", TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 1)}, .refusals = 2, .deaths = 1, .at_once = true},
    {.name = "pipes of one frame", TWO, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}, .pipe_frames = 1, .deaths = 1, .at_once = true},
};

static void explore_plan(void **state) { explore(*state); }

int main(void)
{
    enum { COUNT = sizeof plans / sizeof *plans };
    struct CMUnitTest tests[COUNT];
    unsigned i;

    memset(tests, 0, sizeof tests);
    for (i = 0; i < COUNT; i++) {
        tests[i].name = plans[i].name;
        tests[i].test_func = explore_plan;
        tests[i].initial_state = (void *)(uintptr_t)&plans[i];
    }
    return cmocka_run_group_tests_name("explorer", tests, NULL, NULL);
}
