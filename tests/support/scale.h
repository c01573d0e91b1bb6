/*
 * scale - how much a stress test does: PROCPOOL_SCALE (a number, 1 where it is not set) multiplies its rounds and items.
 */
#ifndef TEST_SCALE_H
#define TEST_SCALE_H

#include <stddef.h>
#include <stdint.h>

#define STRESS_SECONDS 280 /* the most that one stress test may take; times time_scale() */

/* `count` times the scale, at least 1. */
size_t scaled(size_t count);

/* In a test that began with audit_begin(): replaces the watchdog's limit by STRESS_SECONDS. */
void stress_begin(void);

/* Numbers that look random and are the same in every run. */
struct dice {
    uint64_t state;
};
uint32_t dice_throw(struct dice *dice, uint32_t below); /* 0 to below - 1 */

#endif
