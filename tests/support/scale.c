#include "scale.h"

#include <stdlib.h>
#include <unistd.h>

#include "watchdog.h"

size_t scaled(size_t count)
{
    const char *text = getenv("PROCPOOL_SCALE");
    double scale = text ? strtod(text, NULL) : 1.0;
    double result = (double)count * (scale > 0 && scale < 1e6 ? scale : 1.0);

    return result < 1 ? 1 : (size_t)result;
}

void stress_begin(void)
{
    alarm((unsigned)(STRESS_SECONDS * time_scale()));
}

uint32_t dice_throw(struct dice *dice, uint32_t below)
{
    dice->state = dice->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(dice->state >> 33) % below;
}
