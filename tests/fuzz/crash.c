/*
 * crash - what a worker leaves of its crash, any bytes: where it is believed its words are a person's to read, of bounded
 * length, and every address in them is asked of this program's own files only.
 *
 *   input   wait status (4 bytes), reason, what is known besides (1 each), stage (1), the record
 */
#include "support/input.h"

#include <signal.h>
#include <sys/wait.h>

#include "engine/crash_words.h"

static struct pool__board board;

static void check_words(const char *words)
{
    size_t i, length = strlen(words);

    MUST(length > 0 && length < POOL__CRASH_ROOM);
    for (i = 0; i < length; i++)
        MUST(words[i] == '\n' || ((unsigned char)words[i] >= ' ' && words[i] != 127));
    MUST(words[length - 1] != '\n');
}

/* Small numbers are places in this program, so that some of them have names. */
static uint64_t near_home(uint64_t value)
{
    return value < 1u << 20 ? (uint64_t)(uintptr_t)check_words + value : value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct pool__crash_scene scene;
    struct pool__crash crash, copy;
    char *words;
    uint8_t known;
    unsigned i;

    memset(&scene, 0, sizeof scene);
    scene.status = (int)take32(&input);
    scene.reason = (enum pool__kill_reason)(take8(&input) % (POOL__KILL_TERMINATE + 1));
    known = take8(&input);
    scene.worker = 4242;
    scene.what = "task function";
    scene.function = known % 2 != 0 ? (uintptr_t)check_words : 0;
    scene.out_of_memory = known / 2 % 2 != 0;
    pool__board_clear(&board);
    i = take8(&input);
    atomic_store(&board.crashed, i < 250 ? i % 4 : i * 0x1010101u);
    take(&input, &crash, sizeof crash);
    crash.counter = near_home(crash.counter);
    for (i = 0; i < POOL__CRASH_CALLS; i++)
        crash.calls[i] = near_home(crash.calls[i]);
    board.crash = crash;
    memset(&copy, 0x5a, sizeof copy);
    if (pool__board_crash(&board, &copy)) {
        MUST(copy.count <= POOL__CRASH_CALLS);
        MUST(copy.count == 0 || atomic_load(&board.crashed) == POOL__CRASH_WHOLE);
        scene.crash = &copy;
    }
    words = pool__crash_words(&scene);
    MUST(words == NULL || WIFSIGNALED(scene.status));
    if (words != NULL)
        check_words(words);
    free(words);
    return 0;
}
