/*
 * Other weather: several threads at once in the same storm, a pool that is closed and joined in it, and workers that are not killed but stand
 * still for a while at any instruction.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/scale.h"
#include "../support/storm.h"

#include <pthread.h>

struct submitter {
    struct pool *pool;
    size_t       first, count; /* its places in `deeds` */
    pthread_t    thread;
    uint64_t    *answers;
    enum pool_status *statuses;
};

static void *submit_maps(void *argument)
{
    enum { AT_ONCE = 500 };
    struct submitter *submitter = argument;
    size_t places[AT_ONCE];

    for (size_t done = 0; done < submitter->count; done += AT_ONCE) {
        size_t count = submitter->count - done < AT_ONCE ? submitter->count - done : AT_ONCE;
        struct pool_job job = {.keep_going = true, .statuses = submitter->statuses + done, .chunk = done % 3 * 10};
        for (size_t i = 0; i < count; i++)
            places[i] = submitter->first + done + i;
        pool_map(submitter->pool, task_does_its_deed, pool_items(places, count, sizeof places[0]),
                 submitter->answers + done, sizeof submitter->answers[0], &job);
    }
    return NULL;
}

/* Several threads have maps in the same storm, while the pool grows and shrinks. */
static void over_many_threads(void **state)
{
    enum { THREADS = 4 };
    size_t each = scaled(15000);
    struct submitter submitters[THREADS];
    struct storm storm = {.pause_us = 5000};
    struct tally tally = {0};

    (void)state;
    deeds_clear(THREADS * each);
    storm.pool = made(pool_create(STORM_WORKERS, NULL));
    storm_begin(&storm);
    for (size_t i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.pool = storm.pool, .first = i * each, .count = each};
        submitters[i].answers = made(calloc(each, sizeof *submitters[i].answers));
        submitters[i].statuses = made(calloc(each, sizeof *submitters[i].statuses));
        assert_int_equal(pthread_create(&submitters[i].thread, NULL, submit_maps, &submitters[i]), 0);
    }
    for (unsigned round = 0; round < 50; round++) {
        assert_status(pool_resize(storm.pool, 2 + round % STORM_WORKERS), POOL_OK);
        pause_briefly();
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(submitters[i].thread, NULL);
    storm_end(&storm);
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < each; j++)
            judge(&tally, i * each + j, submitters[i].statuses[j], &submitters[i].answers[j]);
        free(submitters[i].answers);
        free(submitters[i].statuses);
    }
    check_tally(&storm, &tally, THREADS * each);
    check_calm(storm.pool);
    pool_destroy(storm.pool);
}

/* The pool is closed at once, and joined in the storm: everything that was handed in is finished all the same. */
static void closed_in_the_storm(void **state)
{
    size_t count = scaled(30000);
    size_t *places = places_of(count);
    uint64_t *answers = made(calloc(count, sizeof *answers));
    enum pool_status *statuses = made(calloc(count, sizeof *statuses));
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct tally tally = {0};
    struct storm storm = {.pause_us = 5000, .pool = made(pool_create(STORM_WORKERS, NULL))};
    struct pool_source items = pool_items(places, count, sizeof *places);

    (void)state;
    storm_begin(&storm);
    struct pool_future *future =
        made(pool_map_async(storm.pool, task_does_its_deed, items, answers, sizeof *answers, &job));
    assert_status(pool_close(storm.pool), POOL_OK);
    assert_status(pool_join(storm.pool, POOL_FOREVER), POOL_OK);
    assert_true(pool_future_ready(future));
    storm_end(&storm);
    for (size_t i = 0; i < count; i++)
        judge(&tally, i, statuses[i], &answers[i]);
    check_tally(&storm, &tally, count);
    pool_future_free(future);
    pool_destroy(storm.pool);
    free(places);
    free(answers);
    free(statuses);
}

/* Workers that stand still for a while, at any instruction: what they have not begun goes elsewhere, and nothing is run twice or lost. */
static void stopped_and_continued(void **state)
{
    (void)state;
    for (size_t chunk = 0; chunk <= 128; chunk += 64) {
        size_t count = scaled(60000);
        size_t *places = places_of(count);
        uint64_t *answers = made(calloc(count, sizeof *answers));
        struct pool_job job = {.chunk = chunk};
        struct tally tally = {0};
        struct storm storm = {.pool = made(pool_create(STORM_WORKERS, NULL))};
        storm_of_stops_begin(&storm);
        enum pool_status status = pool_map(storm.pool, task_does_its_deed, pool_items(places, count, sizeof *places),
                                           answers, sizeof *answers, &job);
        storm_end(&storm);
        assert_status(status, POOL_OK);
        for (size_t i = 0; i < count; i++)
            judge(&tally, i, POOL_OK, &answers[i]);
        check_tally(&storm, &tally, count);
        check_calm(storm.pool);
        pool_destroy(storm.pool);
        free(places);
        free(answers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(over_many_threads),
        PROCESS_TEST(closed_in_the_storm),
        PROCESS_TEST(stopped_and_continued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
