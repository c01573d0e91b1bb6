/*
 * executable_map - which addresses hold code in this process now, so that a worker can refuse a function that came
 * with a library loaded after it was forked.
 */
#ifndef POOL__EXECUTABLE_MAP_H
#define POOL__EXECUTABLE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool__executable_map {
    struct pool__code_range {
        uintptr_t from, to; /* [from, to) */
    } * ranges;
    size_t count; /* 0: unknown, every address is taken */
};

/* Where the system does not tell, or memory is short, the map stays unknown. */
void pool__executable_map_read(struct pool__executable_map *map);
void pool__executable_map_free(struct pool__executable_map *map);
bool pool__executable_map_has(const struct pool__executable_map *map, uintptr_t address);

#endif
