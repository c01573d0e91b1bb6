/* symbols - addresses without names, where it matters that a crash costs little: its words are crash.c's to try. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/symbol.h"

void pool__symbols_find(const uintptr_t *addresses, size_t count, struct pool__symbol *symbols)
{
    (void)addresses;
    memset(symbols, 0, count * sizeof *symbols);
}

void pool__symbol_print(const struct pool__symbol *symbol, uintptr_t address, char *text, size_t room)
{
    (void)symbol;
    snprintf(text, room, "0x%" PRIxPTR, address);
}
