/*
 * header_use - what a program does with procpool.h's macros, for compilers of C and of C++. Compiled by header.sh, never run;
 * with one of the ARRAY_OF_ macros defined it must be refused.
 */
#include <procpool.h>

struct point {
    double x, y;
};

static struct point flip(struct point p)
{
    struct point flipped = {p.y, p.x};
    return flipped;
}
POOL_FUNCTION(flip_task, struct point, struct point, flip)

static const char *tail(const char *string)
{
    return string + 1;
}
POOL_FUNCTION(tail_task, const char *, const char *, tail)

static bool is_odd(unsigned char value)
{
    return value % 2 != 0;
}
POOL_FUNCTION(is_odd_task, bool, unsigned char, is_odd)

extern pool_function *const functions[];
pool_function *const functions[] = {flip_task, tail_task, is_odd_task};

static const char words[3][8] = {"a", "b", "c"};

size_t sources(long (*rows)[4], struct pool_source *source);
size_t sources(long (*rows)[4], struct pool_source *source)
{
    struct local {
        int value;
    } locals[] = {{1}, {2}};
    long  numbers[7] = {0};
    long *const pointer = numbers;

    source[0] = POOL_ARRAY(numbers);
    source[1] = POOL_ARRAY(rows[0]);
    source[2] = POOL_ARRAY(words);
    source[3] = POOL_ARRAY(locals);
    source[4] = pool_items(pointer, 7, sizeof(*pointer));
#ifdef ARRAY_OF_A_POINTER
    source[5] = POOL_ARRAY(rows);
#endif
#ifdef ARRAY_OF_A_CONST_POINTER
    source[5] = POOL_ARRAY(pointer);
#endif
    return POOL__COUNT(words);
}
