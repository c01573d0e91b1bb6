/*
 * The program forks and execs all the time, on several threads, while its pool works and its workers die: the children are refused, the
 * exec'd see no descriptor of ours, and the pool loses nothing.
 */
#include "../support/audit.h"
#include "../support/check.h"
#include "../support/gate.h"
#include "../support/sanitizer.h"
#include "../support/storm.h"
#include "../support/tasks.h"
#include "../support/watchdog.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKERS = 2, HIGHEST = 512 };

static const char *own_path;

/* What this program does when it is run with "--count": how many descriptors it has is its exit status. */
static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < HIGHEST; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

struct forker {
    struct pool        *pool;
    struct pool_future *future;
    bool                execs;
    int                 expected; /* descriptors that an exec'd program has */
    atomic_bool        *over;
    unsigned            forks, wrong;
    pthread_t           thread;
};

/* In the child: everything is refused, and harms nobody. The first wrong answer's number, or 0. */
static int try_pool(const struct forker *forker)
{
    const struct pool_result *result;
    struct pool_stats stats;
    long value = 3, square;

    if (pool_apply(forker->pool, task_square, &value, sizeof value, &square, sizeof square, NULL) != POOL_INVALID)
        return 1;
    if (pool_apply_async(forker->pool, task_square, &value, sizeof value, NULL))
        return 2;
    if (pool_future_get(forker->future, 0, &result) != POOL_INVALID)
        return 3;
    if (pool_get_stats(forker->pool, &stats) != POOL_INVALID)
        return 4;
    if (pool_terminate(forker->pool) != POOL_INVALID)
        return 5;
    pool_stop(forker->pool);
    pool_future_free(forker->future);
    pool_destroy(forker->pool);
    return 0;
}

static void *fork_all_the_time(void *argument)
{
    struct forker *forker = argument;

    while (!atomic_load(forker->over)) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            if (!forker->execs)
                _exit(try_pool(forker));
            execl(own_path, own_path, "--count", (char *)NULL);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
            WEXITSTATUS(status) != (forker->execs ? forker->expected : 0))
            forker->wrong++;
        if (forker->wrong == 1 && pid > 0)
            fprintf(stderr, "a child's status is 0x%x\n", (unsigned)status);
        forker->forks++;
    }
    return NULL;
}

static void forks_in_a_storm(void **state)
{
    size_t count = scaled(20000);
    size_t *places = places_of(count);
    uint64_t *answers = made(calloc(count, sizeof *answers));
    enum pool_status *statuses = made(calloc(count, sizeof *statuses));
    struct pool_job job = {.keep_going = true, .statuses = statuses};
    struct storm storm = {.pause_us = 5000};
    struct tally tally = {0};
    struct forker forkers[2 * FORKERS];
    atomic_bool over = false;

    (void)state;
    int expected = audit_descriptors();
    storm.pool = made(pool_create(STORM_WORKERS, NULL));
    struct pool_future *future = made(pool_apply_async(storm.pool, task_nothing, NULL, 0, NULL));
    assert_status(pool_future_wait(future, POOL_FOREVER), POOL_OK);
    storm_begin(&storm);
    for (int i = 0; i < 2 * FORKERS; i++) {
        forkers[i] = (struct forker){
            .pool = storm.pool, .future = future, .execs = i % 2, .expected = expected, .over = &over};
        assert_int_equal(pthread_create(&forkers[i].thread, NULL, fork_all_the_time, &forkers[i]), 0);
    }
    int64_t start = time_now_ms();
    pool_map(storm.pool, task_does_its_deed, pool_items(places, count, sizeof *places), answers, sizeof *answers, &job);
    int64_t took = time_now_ms() - start;
    atomic_store(&over, true);
    unsigned forks = 0, wrong = 0;
    for (int i = 0; i < 2 * FORKERS; i++) {
        pthread_join(forkers[i].thread, NULL);
        forks += forkers[i].forks;
        wrong += forkers[i].wrong;
    }
    storm_end(&storm);
    print_message("    %u forks in %ld ms\n", forks, (long)took);
    assert_int_equal(wrong, 0);
    for (size_t i = 0; i < count; i++)
        judge(&tally, i, statuses[i], &answers[i]);
    check_tally(&storm, &tally, count);
    check_calm(storm.pool);
    pool_future_free(future);
    pool_destroy(storm.pool);
    free(places);
    free(answers);
    free(statuses);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROCESS_TEST(forks_in_a_storm),
    };

    if (argc > 1 && strcmp(argv[1], "--count") == 0)
        return count_descriptors();
    own_path = argv[0];
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (UNDER_THREAD_SANITIZER) /* whose own locks a fork beside other threads may copy taken */
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
