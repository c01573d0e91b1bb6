/*
 * Every order of events in small worlds: two workers, up to three items, up to two deaths, cancel, close, terminate
 * (world.h). Depth first, by replay: a path of choices is run from the world's beginning; the next path differs in
 * the last choice that had an alternative. A state that was met before is not gone into again.
 *
 * A plan whose states are too many for the default is cut off, and the rest of it sampled by random walks.
 * PROCPOOL_SCALE multiplies both, so that a large one searches all of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "world_check.h"
#include "world_hash.h"

#define DEPTH_MAX 600u
#define PATHS 5000u /* of one plan, by default */
#define WALKS 600u
/* Timers in one path, while anything else can happen: workers slower than every timer pass an item round for long. */
#define TICKS 5u

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
    if (count > 1 && choices[count - 1].kind == TICK &&
        world->ticks >= (world->plan->ticks != 0 ? world->plan->ticks : TICKS))
        count--;
    count += world_may(world, choices + count);
    if (rests)
        add_choice(choices, &count, FINISH, 0);
    if (rests && world->silent)
        add_choice(choices, &count, FINISH_MUTE, 0);
    return count;
}

static void take(struct world *world, struct choice choice)
{
    if (choice.kind == FINISH || choice.kind == FINISH_MUTE) {
        world_finish(world, choice.kind == FINISH_MUTE);
        return;
    }
    world_apply(world, choice);
    world_check(world);
    if (world->complaint == NULL && host_is_quiet(world))
        world_check_quiet(world);
}

static void print_choice(const struct world *world, struct choice choice)
{
    static const char *const names[] = {"step",        "hear",   "room",  "killed",      "exited", "tick",
                                        "submit",      "die",    "cancel", "cancel-kill", "cancel item",
                                        "cancel-kill item", "stall", "grace",
                                        "zygote dies", "close",  "terminate", "resize",   "finish", "finish mute"};
    static const char *const places[] = {"born", "read", "claim", "mark", "check", "run", "staged", "bye", "exit"};

    print_message(" %s", names[choice.kind]);
    if (choice.kind == CANCEL_ITEM || choice.kind == CANCEL_ITEM_KILL)
        print_message(" %u of %u", choice.which % WORLD_GROUP, choice.which / WORLD_GROUP);
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

/*
 * Runs the path's beginning, then on: with the first of the choices at each state that is new, or (known NULL) with
 * any. False: a promise was broken.
 */
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
#define GROUP(n, by) {.items = (n), .chunk = (by), .grouped = true}
#define LIMIT .deadline = POOL__MS
#define LIMITED_LONE {.items = 1, .lone = true, LIMIT}
#define HANGING_LONE {.items = 1, .lone = true, LIMIT, .functions = hangs}
#define RETRIED_LONE(times) {.items = 1, .lone = true, .retries = (times)}
#define SILENT(boards) .silent = true, .spare_boards = (boards), .ticks = 9
#define CHEAP .item_ns = 1000
#define LONG .item_ns = 2000000

static const uint8_t hangs[] = {SIM_HANGS}, second_hangs[] = {SIM_RETURNS, SIM_HANGS, SIM_RETURNS};

static const struct world_plan plans[] = {
    {.name = "one apply, a death, a cancel",
     TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .cancels = true},
    {.name = "one apply, close", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .closes = true},
    {.name = "one apply, terminate", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .terminates = true},
    {.name = "one apply, two deaths", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 2},
    {.name = "two applies", TWO, CHEAP, .job_count = 2, .jobs = {LONE, LONE}, .at_once = true},
    {.name = "two applies, a death", TWO, CHEAP, .job_count = 2, .jobs = {LONE, LONE}, .deaths = 1, .at_once = true},
    {.name = "three applies", TWO, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}},
    {.name = "three applies, one worker, a death",
     .workers = 1, .limit = 1, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}, .deaths = 1, .cancels = true},
    {.name = "three applies, a death, a cancel",
     TWO, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}, .deaths = 1, .cancels = true},
    {.name = "map of two in one batch", TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .at_once = true},
    {.name = "map of two in one batch, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .deaths = 1, .at_once = true},
    {.name = "map of two in one batch, cancel",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .cancels = true, .at_once = true},
    {.name = "map of three in one batch", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .at_once = true},
    {.name = "map of three in one batch, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .at_once = true},
    {.name = "map of three, one worker, two deaths",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 2},
    {.name = "map of three by twos, a death", TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 2)}, .deaths = 1},
    {.name = "map of three by ones, a death, close",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 1)}, .deaths = 1, .closes = true},
    {.name = "map of three, automatic, terminate",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 0)}, .deaths = 1, .terminates = true},
    {.name = "map of three long items, a death", TWO, LONG, .job_count = 1, .jobs = {MAP(3, 0)}, .deaths = 1},
    {.name = "map of three, the second fails",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .functions = second_fails}}, .deaths = 1, .at_once = true},
    {.name = "map of two and an apply, all that others can do",
     TWO, CHEAP, .job_count = 2, .jobs = {MAP(2, 2), LONE}, .deaths = 1, .cancels = true, .closes = true, .terminates = true},
    {.name = "two maps", TWO, CHEAP, .job_count = 2, .jobs = {MAP(2, 2), MAP(1, 0)}, .deaths = 1},
    {.name = "one task a worker",
     TWO, CHEAP, .tasks_per_worker = 1, .job_count = 1, .jobs = {MAP(3, 3)}, .at_once = true, .closes = true},
    {.name = "two tasks a worker, a death",
     TWO, CHEAP, .tasks_per_worker = 2, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .at_once = true},
    {.name = "one worker less",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .resize_to = 1, .deaths = 1, .at_once = true},
    {.name = "one worker more",
     .workers = 1, .limit = 2, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .resize_to = 2, .at_once = true},
    {.name = "three bad starts",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .bad_starts = 3, .closes = true, .at_once = true},
    {.name = "two refusals, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 1)}, .refusals = 2, .deaths = 1, .at_once = true},
    {.name = "pipes of one frame",
     TWO, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LONE}, .pipe_frames = 1, .deaths = 1, .at_once = true},

    {.name = "claims of two, a death",
     TWO, CHEAP, .claims = 2, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .at_once = true},
    {.name = "claims of three, a step meanwhile, a death",
     TWO, CHEAP, .claims = 3, .meanwhile = 1, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .at_once = true},
    {.name = "claims of three, two steps meanwhile, a cancel",
     TWO, CHEAP, .claims = 3, .meanwhile = 2, .job_count = 1, .jobs = {MAP(3, 3)}, .cancels = true, .at_once = true},
    {.name = "claims of three, three steps meanwhile, a death",
     TWO, CHEAP, .claims = 3, .meanwhile = 3, .job_count = 1, .jobs = {MAP(4, 4)}, .deaths = 1, .at_once = true},
    {.name = "claims of two, five steps meanwhile, one worker less",
     TWO, CHEAP, .claims = 2, .meanwhile = 5, .job_count = 1, .jobs = {MAP(4, 4)}, .resize_to = 1, .at_once = true},
    {.name = "claims of three, a step meanwhile, the second fails",
     TWO, CHEAP, .claims = 3, .meanwhile = 1, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .functions = second_fails}},
     .deaths = 1, .at_once = true},
    {.name = "claims of two, a step meanwhile, cancel that kills, terminate",
     TWO, CHEAP, .claims = 2, .meanwhile = 1, .job_count = 2, .jobs = {MAP(2, 2), LONE}, .cancels_kill = true,
     .terminates = true, .at_once = true},

    {.name = "deadline, a death, a stall",
     TWO, CHEAP, .job_count = 1, .jobs = {LIMITED_LONE}, .deaths = 1, .stalls = 1},
    {.name = "deadline of one that hangs, a stall, close",
     TWO, CHEAP, .job_count = 1, .jobs = {HANGING_LONE}, .stalls = 1, .closes = true},
    {.name = "deadlines of two applies, one worker",
     .workers = 1, .limit = 1, CHEAP, .job_count = 2, .jobs = {LIMITED_LONE, LIMITED_LONE}, .stalls = 1, .at_once = true},
    {.name = "deadline behind two applies without, one worker",
     .workers = 1, .limit = 1, CHEAP, .job_count = 3, .jobs = {LONE, LONE, LIMITED_LONE}, .at_once = true},
    {.name = "deadlines of a map in one batch, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .keep_going = true, LIMIT}}, .deaths = 1, .at_once = true},
    {.name = "deadlines of a map, the second hangs, terminate",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .keep_going = true, LIMIT, .functions = second_hangs}},
     .terminates = true, .at_once = true},
    {.name = "deadlines of a map that stops at the first failure",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, LIMIT, .functions = second_hangs}},
     .stalls = 1, .at_once = true},
    {.name = "retry of an apply, two deaths, a cancel",
     TWO, CHEAP, .job_count = 1, .jobs = {RETRIED_LONE(1)}, .deaths = 2, .cancels = true},
    {.name = "two retries of an apply, three deaths, close",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {RETRIED_LONE(2)}, .deaths = 3, .closes = true},
    {.name = "retries in a map, two deaths",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 2, .chunk = 2, .keep_going = true, .retries = 1}}, .deaths = 2,
     .at_once = true},
    {.name = "retries in a map, one worker, two deaths, terminate",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .retries = 1}}, .deaths = 2,
     .terminates = true, .at_once = true},
    {.name = "retry after a deadline",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 1, .lone = true, LIMIT, .retries = 1, .functions = hangs}}, .deaths = 1,
     .stalls = 1},
    {.name = "retries after deadlines in a map",
     TWO, CHEAP, .job_count = 1,
     .jobs = {{.items = 3, .chunk = 3, .keep_going = true, LIMIT, .retries = 1, .functions = second_hangs}}, .at_once = true},
    {.name = "cancel that kills, a death", TWO, CHEAP, .job_count = 1, .jobs = {LONE}, .deaths = 1, .cancels_kill = true},
    {.name = "cancel that kills one that hangs, a deadline, a retry",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 1, .lone = true, LIMIT, .retries = 1, .functions = hangs}},
     .cancels = true, .cancels_kill = true},
    {.name = "cancel that kills a map, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(3, 3)}, .deaths = 1, .cancels_kill = true, .at_once = true},
    {.name = "cancels that kill two of three applies at one worker",
     .workers = 1, .limit = 1, CHEAP, .job_count = 3, .jobs = {LONE, RETRIED_LONE(1), LONE}, .cancels_kill = true,
     .at_once = true},
    {.name = "cancel that kills a map beside an apply, all that others can do",
     TWO, CHEAP, .job_count = 2, .jobs = {MAP(2, 2), LIMITED_LONE}, .deaths = 1, .stalls = 1, .cancels = true,
     .cancels_kill = true, .closes = true, .terminates = true},
    {.name = "silence after a cancel that kills, no spare board",
     TWO, CHEAP, .job_count = 1, .jobs = {MAP(2, 2)}, .cancels_kill = true, .at_once = true, SILENT(0)},
    {.name = "silence after a cancel that kills, with another job",
     .workers = 1, .limit = 1, CHEAP, .job_count = 2, .jobs = {LONE, MAP(2, 2)}, .cancels_kill = true, .at_once = true,
     SILENT(2)},
    {.name = "silence after deadlines, a spare board",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .keep_going = true, LIMIT, .functions = second_hangs}},
     .at_once = true, SILENT(1)},
    {.name = "silence after deadlines, retries, close",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1,
     .jobs = {{.items = 2, .chunk = 2, .keep_going = true, LIMIT, .retries = 1}}, .closes = true, .at_once = true, SILENT(3)},
    {.name = "silence, a death, terminate",
     TWO, CHEAP, .job_count = 2, .jobs = {LIMITED_LONE, MAP(2, 2)}, .deaths = 1, .terminates = true, .at_once = true,
     SILENT(4)},
    {.name = "death of the zygote, a map with deadlines and retries",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, LIMIT, .retries = 1}}, .deaths = 1, .zygote_dies = true,
     .at_once = true},
    {.name = "death of the zygote, cancels, close, silence",
     TWO, CHEAP, .job_count = 2, .jobs = {LONE, MAP(2, 2)}, .cancels_kill = true, .closes = true, .zygote_dies = true,
     .at_once = true, SILENT(1)},

    {.name = "group of three by twos, a death", TWO, CHEAP, .job_count = 1, .jobs = {GROUP(3, 2)}, .deaths = 1, .at_once = true},
    {.name = "group of three in one batch, one worker, two deaths",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {GROUP(3, 3)}, .deaths = 2, .at_once = true},
    {.name = "group of three, automatic, terminate",
     TWO, CHEAP, .job_count = 1, .jobs = {GROUP(3, 0)}, .deaths = 1, .terminates = true, .at_once = true},
    {.name = "group of three in one batch, one worker, cancels of its items",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {GROUP(3, 3)}, .cancels_items = true, .at_once = true},
    {.name = "group of three in one batch, cancels of its items",
     TWO, CHEAP, .job_count = 1, .jobs = {GROUP(3, 3)}, .cancels_items = true, .at_once = true},
    {.name = "group of two in one batch, cancels of its items, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {GROUP(2, 2)}, .cancels_items = true, .deaths = 1, .at_once = true},
    {.name = "group of two in one batch, one worker, cancels of its items, a death, terminate",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {GROUP(2, 2)}, .cancels_items = true, .deaths = 1,
     .terminates = true, .at_once = true},
    {.name = "group with retries, cancels of its items, a death",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 2, .chunk = 2, .grouped = true, .retries = 1}}, .cancels_items = true,
     .deaths = 1, .at_once = true},
    {.name = "group with deadlines, the second hangs, cancels of its items",
     TWO, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .grouped = true, LIMIT, .functions = second_hangs}},
     .cancels_items = true, .at_once = true},
    {.name = "group whose second fails, one worker, cancels of its items",
     .workers = 1, .limit = 1, CHEAP, .job_count = 1, .jobs = {{.items = 3, .chunk = 3, .grouped = true, .functions = second_fails}},
     .cancels_items = true, .at_once = true},
    {.name = "two groups and an apply, cancels of items, close",
     TWO, CHEAP, .job_count = 3, .jobs = {GROUP(2, 2), LONE, GROUP(1, 0)}, .cancels_items = true, .closes = true},
    {.name = "group behind a map, one worker, cancels of items, a death",
     .workers = 1, .limit = 1, CHEAP, .job_count = 2, .jobs = {MAP(2, 1), GROUP(2, 2)}, .cancels_items = true, .deaths = 1,
     .at_once = true},
    {.name = "group claimed by twos, a step meanwhile, cancels of its items",
     TWO, CHEAP, .claims = 2, .meanwhile = 1, .job_count = 1, .jobs = {GROUP(3, 3)}, .cancels_items = true, .at_once = true},
    {.name = "group claimed by threes, two steps meanwhile, one worker, cancels of its items, a death",
     .workers = 1, .limit = 1, CHEAP, .claims = 3, .meanwhile = 2, .job_count = 1, .jobs = {GROUP(3, 3)}, .cancels_items = true,
     .deaths = 1, .at_once = true},
    {.name = "group claimed by twos, three steps meanwhile, the second fails, cancels of its items",
     TWO, CHEAP, .claims = 2, .meanwhile = 3, .job_count = 1,
     .jobs = {{.items = 3, .chunk = 3, .grouped = true, .functions = second_fails}}, .cancels_items = true, .at_once = true},
    {.name = "group, cancels of items, silence",
     TWO, CHEAP, .job_count = 1, .jobs = {GROUP(2, 2)}, .cancels_items = true, .at_once = true, SILENT(1)},
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
