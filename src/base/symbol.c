#define _GNU_SOURCE /* ElfW */
#include "base/symbol.h"

#include <stdio.h>
#include <string.h>

#if defined(__linux__) && !defined(POOL__PORTABLE)
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"

#define TABLE_MAX  (16u << 20) /* bytes of a symbol table: one that is larger takes too long to read */
#define HEADER_MAX 4096u       /* program or section headers */
#define AT_ONCE    1024u       /* symbols that are read at once */
#define WINDOW     4096u       /* bytes of the file that small reads are served from */

/* What is looked for in one mapping of one file. */
struct search {
    const uintptr_t *addresses;
    size_t count;
    struct pool__symbol *symbols;
    struct find {
        bool wanted;        /* it lies in this mapping */
        bool found, global; /* a function that holds it */
        uint64_t place;     /* as the file numbers its bytes once loaded */
        uint64_t start;     /* of the function, the same way */
        uint64_t name;      /* in the file */
    } * finds;
    int fd;
    ElfW(Ehdr) header;
    uint64_t window_at; /* the place in the file of `window`, which has this much of it */
    size_t window_size;
    unsigned char window[WINDOW];
};

static bool read_at(int fd, void *into, size_t size, uint64_t offset)
{
    return offset <= INT64_MAX && pread(fd, into, size, (off_t)offset) == (ssize_t)size;
}

/* Headers stand in rows: one call of the system brings many. */
static bool read_small(struct search *search, void *into, size_t size, uint64_t offset)
{
    ssize_t got;

    if (offset < search->window_at || offset - search->window_at + size > search->window_size) {
        got = offset <= INT64_MAX ? pread(search->fd, search->window, WINDOW, (off_t)offset) : -1;
        search->window_at = offset;
        search->window_size = got > 0 ? (size_t)got : 0;
        if (size > search->window_size)
            return false;
    }
    memcpy(into, search->window + (offset - search->window_at), size);
    return true;
}

/* ------------------------------------------------------------------ symbol tables */

static bool is_function(const ElfW(Sym) * symbol)
{
    unsigned type = symbol->st_info & 0xfu;

    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF;
}

/* Of several names of one function a global one is taken: it is the one that a person knows. */
static void consider(struct search *search, const ElfW(Sym) * symbol, uint64_t strings)
{
    bool global = symbol->st_info >> 4 != STB_LOCAL;
    size_t i;

    for (i = 0; i < search->count; i++) {
        struct find *find = &search->finds[i];

        if (!find->wanted || find->place < symbol->st_value || find->place - symbol->st_value >= symbol->st_size ||
            (find->found && (find->global || !global)))
            continue;
        find->found = true;
        find->global = global;
        find->start = symbol->st_value;
        find->name = strings + symbol->st_name;
    }
}

static void read_table(struct search *search, const ElfW(Shdr) * table, uint64_t strings)
{
    ElfW(Sym) *symbols = malloc(AT_ONCE * sizeof *symbols);
    uint64_t left = table->sh_size / sizeof *symbols, at = table->sh_offset;

    while (symbols != NULL && left > 0) {
        size_t now = left < AT_ONCE ? (size_t)left : AT_ONCE, i;

        if (!read_at(search->fd, symbols, now * sizeof *symbols, at))
            break;
        for (i = 0; i < now; i++)
            if (is_function(&symbols[i]))
                consider(search, &symbols[i], strings);
        left -= now;
        at += now * sizeof *symbols;
    }
    free(symbols);
}

static bool read_section(struct search *search, unsigned index, ElfW(Shdr) * section)
{
    return index < search->header.e_shnum &&
           read_small(search, section, sizeof *section, search->header.e_shoff + index * sizeof *section);
}

/* False: the file has no table of this type. */
static bool read_table_of_type(struct search *search, unsigned type)
{
    ElfW(Shdr) section, strings;
    unsigned i;

    for (i = 0; i < search->header.e_shnum && i < HEADER_MAX; i++) {
        if (!read_section(search, i, &section))
            return false;
        if (section.sh_type != type || section.sh_size > TABLE_MAX || section.sh_entsize != sizeof(ElfW(Sym)) ||
            !read_section(search, section.sh_link, &strings))
            continue;
        read_table(search, &section, strings.sh_offset);
        return true;
    }
    return false;
}

static void read_name(const struct search *search, size_t which)
{
    struct pool__symbol *symbol = &search->symbols[which];
    const struct find *find = &search->finds[which];
    ssize_t got = pread(search->fd, symbol->name, sizeof symbol->name - 1, (off_t)find->name);
    size_t i;

    symbol->name[got > 0 ? got : 0] = '\0';
    for (i = 0; symbol->name[i] != '\0'; i++)
        if ((unsigned char)symbol->name[i] <= ' ' || symbol->name[i] == 127)
            symbol->name[0] = symbol->name[i] = '\0'; /* no name that a compiler makes */
    if (symbol->name[0] != '\0')
        symbol->offset = find->place - find->start;
}

/* ------------------------------------------------------------------ one file */

static bool read_header(struct search *search)
{
    const ElfW(Ehdr) *header = &search->header;

    search->window_size = 0;
    return read_small(search, &search->header, sizeof search->header, 0) &&
           memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
           header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
           header->e_phentsize == sizeof(ElfW(Phdr)) && header->e_phnum < HEADER_MAX;
}

/* From the place in the file to the place in memory that the file was made for; false: the file loads no such byte. */
static bool place_of(struct search *search, uint64_t in_file, uint64_t *place)
{
    ElfW(Phdr) part;
    unsigned i;

    for (i = 0; i < search->header.e_phnum; i++) {
        if (!read_small(search, &part, sizeof part, search->header.e_phoff + i * sizeof part))
            return false;
        if (part.p_type == PT_LOAD && in_file >= part.p_offset && in_file - part.p_offset < part.p_filesz) {
            *place = in_file - part.p_offset + part.p_vaddr;
            return true;
        }
    }
    return false;
}

/* `offset` of the symbols is the place in the file so far. */
static void search_file(struct search *search)
{
    size_t i;

    if (!read_header(search))
        return;
    for (i = 0; i < search->count; i++)
        if (search->finds[i].wanted && place_of(search, search->symbols[i].offset, &search->finds[i].place))
            search->symbols[i].offset = search->finds[i].place;
        else
            search->finds[i].wanted = false;
    if (search->header.e_shentsize != sizeof(ElfW(Shdr)))
        return;
    if (!read_table_of_type(search, SHT_SYMTAB))
        read_table_of_type(search, SHT_DYNSYM);
    for (i = 0; i < search->count; i++)
        if (search->finds[i].found)
            read_name(search, i);
}

/* The name of a file that was replaced ends in " (deleted)": it is not found, and that is well. */
static void open_and_search(struct search *search, const char *path)
{
    struct stat status;

    if (path[0] != '/')
        return; /* "[vdso]" */
    search->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (search->fd >= 0 && fstat(search->fd, &status) == 0 && S_ISREG(status.st_mode))
        search_file(search);
    pool__close(&search->fd);
}

/* ------------------------------------------------------------------ mappings */

/*
 * A line of /proc/self/maps: "55d0c0a00000-55d0c0a21000 r-xp 00001000 fe:00 1234    /usr/bin/reader". How many of the
 * addresses lie in it.
 */
static size_t search_mapping(struct search *search, char *line)
{
    unsigned long long from, to, offset;
    char permissions[8];
    int path = 0;
    size_t i, here = 0;

    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%llx-%llx %7s %llx %*s %*s %n", &from, &to, permissions, &offset, &path) != 4 || path == 0 ||
        line[path] == '\0' || permissions[2] != 'x')
        return 0;
    for (i = 0; i < search->count; i++) {
        struct pool__symbol *symbol = &search->symbols[i];
        uintptr_t address = search->addresses[i];

        memset(&search->finds[i], 0, sizeof search->finds[i]);
        if (address < from || address >= to)
            continue;
        search->finds[i].wanted = true;
        here++;
        symbol->offset = address - from + offset;
        snprintf(symbol->object, sizeof symbol->object, "%s", line + path);
    }
    if (here > 0)
        open_and_search(search, line + path);
    return here;
}

static void search_all(struct search *search)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t room = 0, left = search->count;

    if (maps == NULL)
        return;
    while (left > 0 && getline(&line, &room, maps) > 0)
        left -= search_mapping(search, line);
    free(line);
    fclose(maps);
}

void pool__symbols_find(const uintptr_t *addresses, size_t count, struct pool__symbol *symbols)
{
    struct search search;

    if (count == 0)
        return;
    memset(symbols, 0, count * sizeof *symbols);
    memset(&search, 0, sizeof search);
    search.addresses = addresses;
    search.count = count;
    search.symbols = symbols;
    search.finds = calloc(count, sizeof *search.finds);
    if (search.finds != NULL)
        search_all(&search);
    free(search.finds);
}

#else

void pool__symbols_find(const uintptr_t *addresses, size_t count, struct pool__symbol *symbols)
{
    (void)addresses;
    memset(symbols, 0, count * sizeof *symbols);
}

#endif

void pool__symbol_print(const struct pool__symbol *symbol, uintptr_t address, char *text, size_t room)
{
    const char *slash = strrchr(symbol->object, '/');
    const char *name = symbol->name[0] != '\0' ? symbol->name : slash != NULL ? slash + 1 : symbol->object;

    if (symbol->object[0] == '\0')
        snprintf(text, room, "0x%llx", (unsigned long long)address);
    else
        snprintf(text, room, "%s+0x%llx (%s)", name, (unsigned long long)symbol->offset, symbol->object);
}
