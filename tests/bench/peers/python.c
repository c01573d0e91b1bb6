#include "peers.h"

#include <stdio.h>
#include <unistd.h>

#include "child.h"

/* What the child is to become. */
struct script {
    const struct python_side *side;
    int result[2];
};

static void run_script(void *context)
{
    const struct script *script = context;
    char count[32];

    snprintf(count, sizeof count, "%zu", script->side->count);
    close(script->result[0]);
    if (dup2(script->result[1], STDOUT_FILENO) < 0)
        _exit(1);
    execlp("python3", "python3", BENCH_PYTHON_SCRIPT, script->side->mode, count,
           script->side->pinned ? "pinned" : "free", (char *)NULL);
    _exit(1);
}

/* False: it did not print a number. */
static bool run(const struct python_side *side, double *figure)
{
    struct script script = {.side = side};
    char text[64];
    size_t length = 0;
    pid_t child;

    pipe_make(script.result);
    child = child_start(run_script, &script);
    close(script.result[1]);
    while (length < sizeof text - 1 && read_whole(script.result[0], text + length, 1))
        length++;
    text[length] = '\0';
    close(script.result[0]);
    child_wait(child);
    return sscanf(text, "%lf", figure) == 1;
}

bool python_there(void)
{
    static int known; /* 1: yes, 2: no */
    double figure;

    if (known == 0)
        known = run(&(struct python_side){.mode = "there", .count = 1}, &figure) ? 1 : 2;
    return known == 1;
}

double python_figure(void *context)
{
    const struct python_side *side = context;
    double figure;

    if (!run(side, &figure))
        give_up("python_pool.py %s gave no figure", side->mode);
    return figure;
}
