/*
 * replay - runs a fuzz target without a fuzzer: every file of its corpus, then as many mutations of them as are asked
 * for, always the same ones.
 *
 *     PROGRAM CORPUS [MUTATIONS [FIRST]]
 *
 * An input that ends the program, or that it cannot end within ten seconds, is told by its number and its bytes.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"

#define FILES_MOST 1000u
#define SIZE_MOST  65536u
#define SECONDS    10u

struct file {
    char name[256];
    unsigned char *bytes;
    size_t size;
};

static struct file files[FILES_MOST];
static size_t file_count;
static unsigned char at_work[SIZE_MOST];
static size_t at_work_size;
static char at_work_name[512];

/* ---- when it goes wrong */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void tell_input(void)
{
    static const char digits[] = "0123456789abcdef";
    char hex[3] = {0};
    size_t i;

    say("the input was ");
    say(at_work_name);
    say(", in hex:\n");
    for (i = 0; i < at_work_size; i++) {
        hex[0] = digits[at_work[i] / 16];
        hex[1] = digits[at_work[i] % 16];
        say(hex);
    }
    say("\n");
}

static void fatal(int signal_number)
{
    signal(signal_number, SIG_DFL);
    if (signal_number == SIGALRM)
        say("it does not come to an end\n");
    tell_input();
    raise(signal_number);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
void __sanitizer_set_death_callback(void (*callback)(void));
#endif

static void watch(void)
{
    signal(SIGALRM, fatal);
    signal(SIGABRT, fatal);
#ifdef SANITIZED
    __sanitizer_set_death_callback(tell_input);
#else
    signal(SIGSEGV, fatal);
    signal(SIGBUS, fatal);
    signal(SIGFPE, fatal);
    signal(SIGILL, fatal);
#endif
}

/* ---- corpus */

static void read_file(const char *folder, const char *name)
{
    struct file *file = &files[file_count];
    char path[4096];
    struct stat info;
    FILE *stream;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size > (off_t)SIZE_MOST)
        return;
    stream = fopen(path, "rb");
    MUST(stream != NULL && file_count < FILES_MOST);
    snprintf(file->name, sizeof file->name, "%s", name);
    file->bytes = malloc(SIZE_MOST);
    MUST(file->bytes != NULL);
    file->size = fread(file->bytes, 1, SIZE_MOST, stream);
    fclose(stream);
    file_count++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* In the order of their names, so that the mutations are the same everywhere. */
static void read_corpus(const char *folder)
{
    DIR *directory = opendir(folder);
    const struct dirent *entry;

    if (directory == NULL) {
        fprintf(stderr, "%s: there is no such folder\n", folder);
        exit(2);
    }
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            read_file(folder, entry->d_name);
    closedir(directory);
    qsort(files, file_count, sizeof files[0], by_name);
}

/* ---- mutations */

static uint64_t dice;

static size_t throw_dice(size_t below)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(dice >> 33) % below;
}

static void change_byte(void)
{
    static const unsigned char edges[] = {0, 1, 2, 3, 4, 5, 16, 48, 64, 127, 128, 254, 255};
    size_t at = throw_dice(at_work_size);

    switch (throw_dice(4)) {
    case 0:
        at_work[at] ^= (unsigned char)(1u << throw_dice(8));
        break;
    case 1:
        at_work[at] = (unsigned char)throw_dice(256);
        break;
    case 2:
        at_work[at] = (unsigned char)(at_work[at] + throw_dice(9) - 4);
        break;
    default:
        at_work[at] = edges[throw_dice(sizeof edges)];
    }
}

static void insert_bytes(const unsigned char *bytes, size_t size)
{
    size_t at = throw_dice(at_work_size + 1);

    if (size > SIZE_MOST - at_work_size)
        return;
    memmove(at_work + at + size, at_work + at, at_work_size - at);
    memmove(at_work + at, bytes, size);
    at_work_size += size;
}

static void remove_bytes(void)
{
    size_t at = throw_dice(at_work_size), size = 1 + throw_dice(at_work_size - at);

    if (throw_dice(3) > 0 && size > 16)
        size = 1 + throw_dice(16);
    memmove(at_work + at, at_work + at + size, at_work_size - at - size);
    at_work_size -= size;
}

static void insert_part_of_another(void)
{
    const struct file *other = &files[throw_dice(file_count)];
    size_t at;

    if (other->size == 0)
        return;
    at = throw_dice(other->size);
    insert_bytes(other->bytes + at, 1 + throw_dice(other->size - at));
}

static void repeat_part(void)
{
    unsigned char part[256];
    size_t at = throw_dice(at_work_size), size = 1 + throw_dice(at_work_size - at);

    if (size > sizeof part)
        size = sizeof part;
    memcpy(part, at_work + at, size);
    insert_bytes(part, size);
}

static void mutate(void)
{
    size_t changes = 1 + throw_dice(6);

    for (; changes > 0 && at_work_size > 0; changes--) {
        size_t how = throw_dice(16);

        if (how < 10)
            change_byte();
        else if (how < 12)
            remove_bytes();
        else if (how < 14)
            insert_part_of_another();
        else
            repeat_part();
    }
}

/* ---- running */

static void run(const struct file *file, uint64_t mutation)
{
    memcpy(at_work, file->bytes, file->size);
    at_work_size = file->size;
    if (mutation == 0) {
        snprintf(at_work_name, sizeof at_work_name, "%.500s", file->name);
    } else {
        dice = mutation;
        throw_dice(2);
        mutate();
        snprintf(at_work_name, sizeof at_work_name, "mutation %llu, of %s", (unsigned long long)mutation, file->name);
    }
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(at_work, at_work_size);
    alarm(0);
}

int main(int argc, char **argv)
{
    uint64_t mutations = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, first = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    size_t i;

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [MUTATIONS [FIRST]]\n", argv[0]);
        return 2;
    }
    read_corpus(argv[1]);
    if (file_count == 0) {
        fprintf(stderr, "%s: an empty corpus\n", argv[1]);
        return 2;
    }
    watch();
    for (i = 0; i < file_count; i++)
        run(&files[i], 0);
    for (i = 0; i < mutations; i++)
        run(&files[(size_t)(i % file_count)], first + i);
    printf("%zu files of %s, %llu mutations of them\n", file_count, argv[1], (unsigned long long)mutations);
    for (i = 0; i < file_count; i++)
        free(files[i].bytes);
    return 0;
}
