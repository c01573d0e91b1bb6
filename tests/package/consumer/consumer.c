/* A program of somebody else's, in what C and C++ have in common: prints the squares of five numbers. */
#include <procpool.h>
#include <stdio.h>

static long square(long x)
{
    return x * x;
}
POOL_FUNCTION(square_task, long, long, square)

int main(void)
{
    long             in[] = {0, 1, 2, 3, 4}, out[5];
    struct pool     *pool = pool_create(2, NULL);
    enum pool_status status = pool_map(pool, square_task, POOL_ARRAY(in), out, sizeof(out[0]), NULL);

    if (status != POOL_OK)
        fprintf(stderr, "%s\n", pool_error());
    else
        printf("%ld %ld %ld %ld %ld\n", out[0], out[1], out[2], out[3], out[4]);
    pool_destroy(pool);
    return status != POOL_OK;
}
