/*
 * pack - pool_unpack() of any bytes, any gets: nothing beyond the bytes is read, a failed get fails all later ones,
 * and what was got packs to the same bytes again.
 *
 *   input   the gets' order (1 byte: how many, then as many), the packed bytes
 */
#include "support/input.h"

#include "procpool.h"

static const unsigned char *end_of_data;

static void check_place(const void *at, size_t size)
{
    MUST((const unsigned char *)at + size <= end_of_data);
}

/* One value; where it could be got it is put into `again`. By its own type where `get` says so, else by any. */
static void get_one(struct pool_reader *reader, unsigned get, struct pool_buffer *again)
{
    static const char types[] = "idsb";
    const void *bytes;
    const char *string;
    int64_t number;
    double real;
    size_t size = 77;

    if (get >= 4 && reader->left > 0 && memchr(types, *reader->at, 4) != NULL)
        get = (unsigned)((const char *)memchr(types, *reader->at, 4) - types);
    switch (get % 4) {
    case 0:
        number = pool_get_int(reader);
        MUST(!reader->failed || number == 0);
        if (!reader->failed)
            pool_put_int(again, number);
        break;
    case 1:
        real = pool_get_double(reader);
        if (!reader->failed)
            pool_put_double(again, real);
        break;
    case 2:
        string = pool_get_string(reader);
        MUST(string != NULL && (!reader->failed || *string == '\0'));
        if (!reader->failed) {
            check_place(string, strlen(string) + 1);
            pool_put_string(again, string);
        }
        break;
    default:
        bytes = pool_get_bytes(reader, &size);
        MUST(!reader->failed || (bytes == NULL && size == 0));
        if (!reader->failed) {
            check_place(bytes, size);
            pool_put_bytes(again, bytes, size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    unsigned count = take8(&input) % 32, i;
    unsigned char gets[32], *packed;
    struct pool_buffer again = {0};
    struct pool_reader reader;
    size_t whole;

    take(&input, gets, count);
    whole = input.left;
    packed = exact_copy(input.at, whole);
    end_of_data = packed + whole;
    reader = pool_unpack(packed, whole);
    MUST(!reader.failed);
    for (i = 0; !reader.failed && (reader.left > 0 || i < count); i++) {
        size_t before = reader.left;

        get_one(&reader, i < count ? gets[i] % 8 : 4, &again);
        MUST(!again.failed && (reader.failed || reader.left < before));
        MUST(reader.at + reader.left == end_of_data);
        if (!reader.failed)
            MUST(again.size == whole - reader.left && memcmp(again.data, packed, again.size) == 0);
    }
    if (reader.failed) {
        struct pool_reader stays = reader;

        for (i = 0; i < 4; i++)
            get_one(&reader, i, &again);
        MUST(reader.failed && reader.at == stays.at && reader.left == stays.left);
    }
    pool_buffer_free(&again);
    free(packed);
    return 0;
}
