/* Intrusive doubly linked list with a sentinel head.
 *
 * Counterpart: the list of the Linux kernel and of libuv's queue.h. A node
 * that is in no list is linked to itself, so that list_remove is idempotent. */

#ifndef SRC_BASE_LIST_H
#define SRC_BASE_LIST_H

#include "src/base/common.h"

struct list {
    struct list *prev;
    struct list *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = head->next;

    if (node == head) {
        return NULL;
    }
    list_remove(node);
    return node;
}

/* Move all nodes of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* They declare what they are given, which cannot stand in parentheses.
 * NOLINTBEGIN(bugprone-macro-parentheses) */
#define list_for_each(it, head)                                                \
    for (struct list *it = (head)->next; it != (head); it = it->next)

/* `it` may be removed in the body, `it`'s successor may not. */
#define list_for_each_safe(it, head)                                           \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);  \
         it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif /* SRC_BASE_LIST_H */
