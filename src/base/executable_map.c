#include "base/executable_map.h"

#include <stdio.h>
#include <stdlib.h>

static bool append(struct pool__executable_map *map, uintptr_t from, uintptr_t to)
{
    struct pool__code_range *ranges;

    if (map->count > 0 && map->ranges[map->count - 1].to == from) {
        map->ranges[map->count - 1].to = to;
        return true;
    }
    ranges = realloc(map->ranges, (map->count + 1) * sizeof *ranges);
    if (ranges == NULL)
        return false;
    map->ranges = ranges;
    map->ranges[map->count].from = from;
    map->ranges[map->count].to = to;
    map->count++;
    return true;
}

#if defined(__linux__) && !defined(POOL__PORTABLE)
/*
 * Lines of /proc/self/maps: "55d0c0a00000-55d0c0a21000 r-xp ...". Longer lines are read in pieces, of which only the
 * first has this shape.
 */
void pool__executable_map_read(struct pool__executable_map *map)
{
    FILE *file = fopen("/proc/self/maps", "re");
    bool at_start = true, whole = true;
    char line[256];

    map->ranges = NULL;
    map->count = 0;
    if (file == NULL)
        return;
    while (whole && fgets(line, sizeof line, file) != NULL) {
        unsigned long long from, to;
        char permissions[8];
        size_t i = 0;

        if (at_start && sscanf(line, "%llx-%llx %7s", &from, &to, permissions) == 3 && permissions[2] == 'x')
            whole = append(map, (uintptr_t)from, (uintptr_t)to);
        while (line[i] != '\0' && line[i] != '\n')
            i++;
        at_start = line[i] == '\n';
    }
    fclose(file);
    if (!whole)
        pool__executable_map_free(map);
}
#else
void pool__executable_map_read(struct pool__executable_map *map)
{
    map->ranges = NULL;
    map->count = 0;
    (void)append;
}
#endif

void pool__executable_map_free(struct pool__executable_map *map)
{
    free(map->ranges);
    map->ranges = NULL;
    map->count = 0;
}

bool pool__executable_map_has(const struct pool__executable_map *map, uintptr_t address)
{
    size_t low = 0, high = map->count;

    if (map->count == 0)
        return true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (map->ranges[middle].to <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->count && map->ranges[low].from <= address;
}
