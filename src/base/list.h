/*
 * list - intrusive doubly linked lists. A link that is in no list points to itself or is zero; removing such a link
 * does nothing.
 */
#ifndef POOL__LIST_H
#define POOL__LIST_H

#include <stdbool.h>
#include <stddef.h>

struct pool__link {
    struct pool__link *next, *previous;
};

/* The struct that holds `link` as its member. */
#define pool__holder(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void pool__list_init(struct pool__link *list)
{
    list->next = list->previous = list;
}

static inline bool pool__list_empty(const struct pool__link *list)
{
    return list->next == list;
}

static inline bool pool__is_linked(const struct pool__link *link)
{
    return link->next != NULL && link->next != link;
}

static inline void pool__list_insert_after(struct pool__link *at, struct pool__link *link)
{
    link->previous = at;
    link->next = at->next;
    at->next->previous = link;
    at->next = link;
}

static inline void pool__list_push(struct pool__link *list, struct pool__link *link)
{
    pool__list_insert_after(list, link);
}

static inline void pool__list_append(struct pool__link *list, struct pool__link *link)
{
    pool__list_insert_after(list->previous, link);
}

static inline void pool__list_remove(struct pool__link *link)
{
    if (!pool__is_linked(link))
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = link->previous = NULL;
}

static inline struct pool__link *pool__list_pop(struct pool__link *list)
{
    struct pool__link *link = list->next;

    if (link == list)
        return NULL;
    pool__list_remove(link);
    return link;
}

#endif
