/* A result that is ready comes out of pool_iterator_next() before the source is asked for more (rule 35). */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/tasks.h"
#include "../support/well.h"

enum { WINDOW = 8, QUICK = 4 };

/* The first item stands at gate 1, the next ones return at once, the rest stands at gate 0. */
static int task_quick_ones_first(struct pool_task *task)
{
    if (task->index == 0 && !gate_pass(&ground->gate[1]))
        return pool_fail(task, 99, "gate 1 was never opened");
    if (task->index >= QUICK && !gate_pass(&ground->gate[0]))
        return pool_fail(task, 99, "gate 0 was never opened");
    return pool_return(task, &task->index, sizeof task->index);
}

typedef struct pool_iterator *imap_function(struct pool *, pool_function *, struct pool_source,
                                            const struct pool_job *);

static imap_function *const kinds[2] = {pool_imap, pool_imap_unordered};

/*
 * An iterator that has read more than the quick items: a call that finds no result reads ahead. It does not where the
 * source seemed slow, on a machine that had no time for it: then once more.
 */
static struct pool_iterator *read_ahead(struct pool *pool, imap_function *kind, struct well *well)
{
    struct pool_job job = {.window = WINDOW};
    const struct pool_result *result;

    for (int tries = 0; tries < 50; tries++) {
        *well = well_new(-1, 0);
        gate_shut(&ground->gate[0]);
        gate_shut(&ground->gate[1]);
        struct pool_iterator *iterator = made(kind(pool, task_quick_ones_first, well_source(well), &job));
        assert_status(pool_iterator_next(iterator, 0, &result), POOL_TIMEOUT);
        gate_open(&ground->gate[1]);
        if (atomic_load(&well->drawn) > QUICK)
            return iterator;
        gate_open(&ground->gate[0]);
        pool_iterator_free(iterator);
    }
    fail_msg("the source is not read ahead");
    return NULL;
}

/*
 * The worker is busy with item 4, so no more is needed to keep it so, and the results of the first four are here. There
 * is room in the window from the second on.
 */
static void then_the_source_is_not_read(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct pool *pool = made(pool_create(1, NULL));
        struct well well;
        const struct pool_result *result;
        struct pool_stats now;
        struct pool_iterator *iterator = read_ahead(pool, kinds[kind], &well);
        assert_true(gate_wait_arrived(&ground->gate[0], 1));
        do {
            pause_briefly();
            assert_status(pool_get_stats(pool, &now), POOL_OK);
        } while (now.queued + now.running > (size_t)atomic_load(&well.drawn) - QUICK);
        long drawn = atomic_load(&well.drawn);
        for (size_t i = 0; i < QUICK; i++) {
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_int_equal(result->index, i);
            assert_int_equal(atomic_load(&well.drawn), drawn);
        }
        gate_open(&ground->gate[0]);
        for (size_t i = QUICK; i < 100; i++) { /* and goes on */
            assert_status(pool_iterator_next(iterator, POOL_FOREVER, &result), POOL_OK);
            assert_int_equal(result->index, i);
        }
        pool_iterator_free(iterator);
        pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {PROCESS_TEST(then_the_source_is_not_read)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
