/*
 * Long sequences of calls chosen by dice: tasks that end in every way, maps and iterators half read, cancels, frees, resizes, killed workers,
 * and now and then the pool's end. Whatever the order: no item is started twice, and each outcome fits what the item did.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/scale.h"
#include "../support/tasks.h"

#include <signal.h>
#include <sys/resource.h>

enum { FUTURES = 24, MAPS = 4, ITERATORS = 4, MAP_ITEMS = 40, PLACES = 1 << 16 };

enum manner { RETURNS, FAILS, CRASHES, EXITS, DAWDLES, LISTENS, MANNERS };

/* An item: its place in `starts`, and how it ends. */
struct item {
    uint32_t place;
    uint32_t manner;
};

static atomic_int *starts; /* in memory shared with the workers: how often the item of each place was started */

static int task_plays(struct pool_task *task)
{
    struct item item;
    uint64_t answer;

    memcpy(&item, task->arg, sizeof item);
    atomic_fetch_add(&starts[item.place], 1);
    answer = item.place * 3ull;
    switch ((enum manner)item.manner) {
    case FAILS:
        return pool_fail(task, 5, "place %u", (unsigned)item.place);
    case CRASHES:
        raise(SIGBUS);
        break;
    case EXITS:
        exit(6);
    case DAWDLES:
        pause_briefly();
        break;
    case LISTENS:
        for (int i = 0; i < 20; i++) {
            if (pool_cancelled(task))
                return 1;
            pause_briefly();
        }
        break;
    default:
        break;
    }
    return pool_return(task, &answer, sizeof answer);
}

struct single {
    struct pool_future *future;
    struct item         item;
    bool                cancelled; /* with POOL_OK: it must never have started */
};

struct mapped {
    struct pool_future *future;
    struct item         items[MAP_ITEMS];
    uint64_t            answers[MAP_ITEMS];
    enum pool_status    statuses[MAP_ITEMS];
};

struct iterated {
    struct pool_iterator *iterator;
    struct item           items[MAP_ITEMS];
    bool                  seen[MAP_ITEMS];
    bool                  ordered;
    size_t                count;
};

struct game {
    struct pool    *pool;
    struct dice     dice;
    uint32_t        next_place;
    unsigned        kills, judged;
    struct single   singles[FUTURES];
    struct mapped   maps[MAPS];
    struct iterated iterators[ITERATORS];
};

static struct item new_item(struct game *game)
{
    static const enum manner manners[] = {RETURNS, RETURNS, RETURNS, RETURNS, RETURNS, RETURNS, RETURNS,
                                          RETURNS, RETURNS, RETURNS, RETURNS, RETURNS, RETURNS, RETURNS,
                                          RETURNS, FAILS,   CRASHES, EXITS,   DAWDLES, LISTENS};

    return (struct item){.place = game->next_place++ % PLACES,
                         .manner = (uint32_t)manners[dice_throw(&game->dice, 20)]};
}

/* Does the outcome fit what the item did? `answer` is NULL where it is not known. */
static void judge(struct game *game, struct item item, enum pool_status status, int code, const uint64_t *answer)
{
    int started = atomic_load(&starts[item.place]);
    enum manner manner = (enum manner)item.manner;

    game->judged++;
    assert_in_range(started, 0, 1);
    switch (status) {
    case POOL_OK:
        assert_int_equal(started, 1);
        assert_true(manner == RETURNS || manner == DAWDLES || manner == LISTENS);
        if (answer)
            assert_int_equal(*answer, item.place * 3ull);
        break;
    case POOL_FAILED:
        assert_int_equal(started, 1);
        assert_int_equal(manner, FAILS);
        assert_true(code == 5 || code == 0);
        break;
    case POOL_EXITED:
        assert_int_equal(started, 1);
        assert_int_equal(manner, EXITS);
        break;
    case POOL_CRASHED:
        assert_true(manner == CRASHES || game->kills > 0);
        break;
    case POOL_CANCELLED:
    case POOL_TERMINATED:
        break;
    default:
        fail_msg("the status is %s: %s", pool_status_name(status), pool_error());
    }
}

static int random_timeout(struct game *game)
{
    static const int timeouts[] = {0, 0, 0, 1, 2, POOL_FOREVER};

    return timeouts[dice_throw(&game->dice, 6)];
}

/* ---- single tasks */

static void end_single(struct game *game, struct single *single)
{
    const struct pool_result *result;
    uint64_t answer = 0;

    if (!single->future)
        return;
    enum pool_status status = pool_future_get(single->future, random_timeout(game), &result);
    if (status == POOL_TIMEOUT) {
        assert_null(result);
        return;
    }
    assert_status(result->status, status);
    if (status == POOL_OK)
        memcpy(&answer, result->data, sizeof answer);
    if (single->cancelled)
        assert_true(status == POOL_CANCELLED && atomic_load(&starts[single->item.place]) == 0);
    judge(game, single->item, status, result->code, status == POOL_OK ? &answer : NULL);
    pool_future_free(single->future);
    single->future = NULL;
}

static void begin_single(struct game *game, struct single *single)
{
    if (single->future)
        return;
    single->item = new_item(game);
    single->cancelled = false;
    single->future = made(pool_apply_async(game->pool, task_plays, &single->item, sizeof single->item, NULL));
}

static void cancel_single(struct single *single)
{
    if (!single->future || single->cancelled)
        return;
    enum pool_status status = pool_future_cancel(single->future, false);
    assert_true(status == POOL_OK || status == POOL_INVALID);
    single->cancelled = status == POOL_OK;
}

static void free_single(struct single *single)
{
    pool_future_free(single->future);
    single->future = NULL;
}

/* ---- maps */

static void begin_map(struct game *game, struct mapped *map)
{
    struct pool_job job = {
        .chunk = dice_throw(&game->dice, 12), .keep_going = dice_throw(&game->dice, 2), .statuses = map->statuses};

    if (map->future)
        return;
    for (int i = 0; i < MAP_ITEMS; i++)
        map->items[i] = new_item(game);
    map->future = made(
        pool_map_async(game->pool, task_plays, POOL_ARRAY(map->items), map->answers, sizeof map->answers[0], &job));
}

static void end_map(struct game *game, struct mapped *map)
{
    if (!map->future || pool_future_wait(map->future, random_timeout(game)) == POOL_TIMEOUT)
        return;
    for (int i = 0; i < MAP_ITEMS; i++)
        judge(game, map->items[i], map->statuses[i], 0, &map->answers[i]);
    pool_future_free(map->future);
    map->future = NULL;
}

static void free_map(struct mapped *map)
{
    pool_future_free(map->future);
    map->future = NULL;
    memset(map->answers, 0, sizeof map->answers);
    memset(map->statuses, 0, sizeof map->statuses);
}

/* ---- iterators */

static void begin_iterator(struct game *game, struct iterated *one)
{
    struct pool_job job = {.chunk = dice_throw(&game->dice, 6), .window = dice_throw(&game->dice, 20)};

    if (one->iterator)
        return;
    *one = (struct iterated){.ordered = dice_throw(&game->dice, 2)};
    for (int i = 0; i < MAP_ITEMS; i++)
        one->items[i] = new_item(game);
    one->iterator =
        made((one->ordered ? pool_imap : pool_imap_unordered)(game->pool, task_plays, POOL_ARRAY(one->items), &job));
}

static void free_iterator(struct iterated *one)
{
    pool_iterator_free(one->iterator);
    one->iterator = NULL;
}

static void advance_iterator(struct game *game, struct iterated *one)
{
    const struct pool_result *result;
    uint64_t answer = 0;

    if (!one->iterator)
        return;
    enum pool_status status = pool_iterator_next(one->iterator, random_timeout(game), &result);
    if (status == POOL_TIMEOUT)
        return;
    if (status != POOL_OK) {
        assert_true(status == POOL_END || status == POOL_TERMINATED);
        free_iterator(one);
        return;
    }
    assert_true(result->index < MAP_ITEMS && !one->seen[result->index]);
    assert_true(!one->ordered || result->index == one->count);
    one->seen[result->index] = true;
    one->count++;
    if (result->status == POOL_OK)
        memcpy(&answer, result->data, sizeof answer);
    judge(game, one->items[result->index], result->status, result->code, result->status == POOL_OK ? &answer : NULL);
}

/* ---- the pool */

static void kill_one(struct game *game)
{
    pid_t pids[16];
    size_t count = pool_worker_pids(game->pool, pids, 16);
    pid_t pid = count > 0 ? pids[dice_throw(&game->dice, (uint32_t)count)] : 0;

    if (pid > 0 && kill(pid, SIGKILL) == 0)
        game->kills++;
}

static void check_stats(struct game *game)
{
    struct pool_stats stats;

    assert_status(pool_get_stats(game->pool, &stats), POOL_OK);
    assert_true(stats.submitted >= stats.queued + stats.running);
    assert_true(stats.busy <= stats.workers);
}

static void new_pool(struct game *game)
{
    struct pool_options options = {
        .max_workers = 6,
        .flags = dice_throw(&game->dice, 3) == 0 ? POOL_NO_THREAD : 0,
        .tasks_per_worker = dice_throw(&game->dice, 3) == 0 ? 1 + dice_throw(&game->dice, 5) : 0,
    };

    game->kills = 0;
    game->pool = made(pool_create(1 + dice_throw(&game->dice, 4), &options));
}

/* Ends the pool in one of the ways, before or after the objects that came from it. */
static void end_pool(struct game *game)
{
    uint32_t way = dice_throw(&game->dice, 5);

    if (way == 0) { /* join waits for iterators too */
        for (int i = 0; i < ITERATORS; i++)
            free_iterator(&game->iterators[i]);
        assert_status(pool_close(game->pool), POOL_OK);
        assert_status(pool_join(game->pool, POOL_FOREVER), POOL_OK);
    } else if (way == 1) {
        pool_stop(game->pool);
    } else if (way == 2) {
        assert_status(pool_terminate(game->pool), POOL_OK);
    }
    if (way != 3)
        pool_destroy(game->pool);
    while (true) {
        int left = 0;
        for (int i = 0; i < FUTURES; i++) {
            end_single(game, &game->singles[i]);
            left += game->singles[i].future != NULL;
        }
        for (int i = 0; i < MAPS; i++) {
            end_map(game, &game->maps[i]);
            left += game->maps[i].future != NULL;
        }
        for (int i = 0; i < ITERATORS; i++) {
            advance_iterator(game, &game->iterators[i]);
            left += game->iterators[i].iterator != NULL;
        }
        if (left == 0)
            break;
    }
    if (way == 3)
        pool_destroy(game->pool);
    game->pool = NULL;
}

static void one_step(struct game *game)
{
    uint32_t throw = dice_throw(&game->dice, 100);
    struct single *single = &game->singles[dice_throw(&game->dice, FUTURES)];
    struct mapped *map = &game->maps[dice_throw(&game->dice, MAPS)];
    struct iterated *iterator = &game->iterators[dice_throw(&game->dice, ITERATORS)];

    if (throw < 25)
        begin_single(game, single);
    else if (throw < 45)
        end_single(game, single);
    else if (throw < 50)
        cancel_single(single);
    else if (throw < 53)
        free_single(single);
    else if (throw < 58)
        begin_map(game, map);
    else if (throw < 65)
        end_map(game, map);
    else if (throw < 67 && map->future)
        pool_future_cancel(map->future, false);
    else if (throw < 69)
        free_map(map);
    else if (throw < 73)
        begin_iterator(game, iterator);
    else if (throw < 92)
        advance_iterator(game, iterator);
    else if (throw < 93 && iterator->iterator)
        pool_iterator_cancel(iterator->iterator, false);
    else if (throw < 94)
        free_iterator(iterator);
    else if (throw < 96)
        assert_status(pool_resize(game->pool, 1 + dice_throw(&game->dice, 6)), POOL_OK);
    else if (throw < 98)
        kill_one(game);
    else
        check_stats(game);
}

static size_t
    playing; /* the number of the game; that which a failure names can be played alone: PROCPOOL_GAME=number */
static bool   played;  /* all of them */

static int games_end(void **state)
{
    if (!played)
        print_error("it was game %zu\n", playing);
    return audit_end(state);
}

static void games(void **state)
{
    static struct game game;
    const char *only = getenv("PROCPOOL_GAME");
    size_t rounds = scaled(60), first = only ? (size_t)strtoul(only, NULL, 10) : 0;
    unsigned judged = 0;

    (void)state;
    stress_begin();
    starts = shared_memory(PLACES * sizeof *starts);
    for (size_t round = first; round < (only ? first + 1 : rounds); round++) {
        playing = round;
        memset(&game, 0, sizeof game);
        memset((void *)starts, 0, PLACES * sizeof *starts);
        game.dice.state = round;
        dice_throw(&game.dice, 2);
        new_pool(&game);
        for (int step = 0; step < 400; step++)
            one_step(&game);
        end_pool(&game);
        for (uint32_t place = 0; place < PLACES; place++)
            if (atomic_load(&starts[place]) > 1)
                fail_msg("the item at place %u was started %d times", (unsigned)place, atomic_load(&starts[place]));
        judged += game.judged;
    }
    played = true;
    shared_memory_free((void *)starts, PLACES * sizeof *starts);
    print_message("    %zu games, %u outcomes\n", rounds, judged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {{"games", games, audit_begin, games_end, "games"}};

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
