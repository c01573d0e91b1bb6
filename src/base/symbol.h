/*
 * symbol - addresses of code for a person: which function of which file they lie in.
 *
 * Asked of the files themselves, by this process's table of mappings and the symbol tables in them: so static
 * functions have names too where the file was not stripped, and no lock of the dynamic loader is taken, which a thread
 * may hold that waits for the pool. Where there is no such table (the portable build), nothing has a name.
 */
#ifndef POOL__SYMBOL_H
#define POOL__SYMBOL_H

#include <stddef.h>
#include <stdint.h>

struct pool__symbol {
    char name[96];    /* of the function, cut where it is longer; "": unknown */
    uint64_t offset;  /* within the function; where that has no name within the file, as addr2line takes it */
    char object[160]; /* the file; "": the address is none that is known here */
};

/* Fills one symbol for each address. Opens files; takes some of the heap. */
void pool__symbols_find(const uintptr_t *addresses, size_t count, struct pool__symbol *symbols);

/*
 * "function+0x1c (/usr/bin/reader)", without a name "reader+0x11c8 (/usr/bin/reader)", else the bare address. Cut
 * where there is no room.
 */
void pool__symbol_print(const struct pool__symbol *symbol, uintptr_t address, char *text, size_t room);

#endif
