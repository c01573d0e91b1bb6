#include "api/item_store.h"

#include <stdlib.h>
#include <string.h>

#include "api/result.h"

#define SLAB_ITEMS  32u
#define FIRST_SLOTS 64u
#define MOST_SLOTS  (1u << 20) /* beyond, items share slots */

struct pool__item_slab {
    struct pool__item_slab *next;
    struct pool__item items[SLAB_ITEMS];
};

static void put_in(struct pool__item_store *store, struct pool__item *item)
{
    struct pool__item **slot = &store->table[item->result.index & (store->slots - 1)];

    item->chain = *slot;
    *slot = item;
}

/* More slots. Where there is no memory for them, those that are there must do; false: there are none. */
static bool grow_table(struct pool__item_store *store)
{
    size_t slots = store->slots > 0 ? 2 * store->slots : FIRST_SLOTS, before = store->slots, i;
    struct pool__item **old = store->table, **table;

    if (before == MOST_SLOTS)
        return true;
    table = calloc(slots, sizeof *table);
    if (table == NULL)
        return before > 0;
    store->table = table;
    store->slots = slots;
    for (i = 0; i < before; i++) {
        struct pool__item *item = old[i];

        while (item != NULL) {
            struct pool__item *behind = item->chain;

            put_in(store, item);
            item = behind;
        }
    }
    free(old);
    return true;
}

static bool add_slab(struct pool__item_store *store)
{
    struct pool__item_slab *slab = malloc(sizeof *slab);
    size_t i;

    if (slab == NULL)
        return false;
    slab->next = store->slabs;
    store->slabs = slab;
    for (i = SLAB_ITEMS; i > 0; i--) {
        slab->items[i - 1].chain = store->free;
        store->free = &slab->items[i - 1];
    }
    return true;
}

struct pool__item *pool__store_add(struct pool__item_store *store, uint64_t index)
{
    struct pool__item *item;

    if (store->count >= store->slots && !grow_table(store))
        return NULL;
    if (store->free == NULL && !add_slab(store))
        return NULL;
    item = store->free;
    store->free = item->chain;
    memset(item, 0, offsetof(struct pool__item, argument));
    pool__result_init(&item->result);
    item->result.index = (size_t)index;
    put_in(store, item);
    store->count++;
    return item;
}

void pool__store_take_out(struct pool__item_store *store, struct pool__item *item)
{
    struct pool__item **at = &store->table[item->result.index & (store->slots - 1)];

    while (*at != item)
        at = &(*at)->chain;
    *at = item->chain;
    store->count--;
}

void pool__store_let_go(struct pool__item_store *store, struct pool__item *item)
{
    if (item->done)
        pool__result_clear(&item->result, item->result.data != item->room);
    if (item->own_argument)
        free((void *)(uintptr_t)item->result.arg);
    item->chain = store->free;
    store->free = item;
}

void pool__store_let_done_go(struct pool__item_store *store)
{
    size_t i;

    for (i = 0; i < store->slots; i++) {
        struct pool__item **at = &store->table[i];

        while (*at != NULL) {
            struct pool__item *item = *at;

            if (!item->done) {
                at = &item->chain;
                continue;
            }
            *at = item->chain;
            store->count--;
            pool__store_let_go(store, item);
        }
    }
}

void pool__store_free(struct pool__item_store *store)
{
    while (store->slabs != NULL) {
        struct pool__item_slab *slab = store->slabs;

        store->slabs = slab->next;
        free(slab);
    }
    free(store->table);
    memset(store, 0, sizeof *store);
}
