/* A run of log entries that grows at its end and is dropped from its front.
 *
 * The unstable tail and the stable log in memory both lose their oldest
 * entries all the time. Dropping k of n entries here costs O(k) amortised: the
 * freed places in front stay until they are half of the vector, and only then
 * is the rest moved down. (Releasing the front of a plain raft_entries moves
 * all that remains, for every acknowledgement.)
 *
 * Differs: the reference reslices and leaves the rest to the collector. */

#ifndef SRC_RAFT_ENTRY_QUEUE_H
#define SRC_RAFT_ENTRY_QUEUE_H

#include "proto/raftpb.h"

/* All zero is an empty queue. Holds one reference per entry. */
struct entry_queue {
    struct raft_entries v; /* v.items[0..head) are NULL: dropped */
    size_t head;           /* head <= v.len */
};

static inline size_t entry_queue_len(const struct entry_queue *q)
{
    return q->v.len - q->head;
}

/* The entries, borrowed until the next change of the queue; NULL or anything
 * when it is empty. */
static inline struct raft_entry *const *
entry_queue_items(const struct entry_queue *q)
{
    return q->v.items == NULL ? NULL : q->v.items + q->head;
}

static inline struct raft_entry *entry_queue_at(const struct entry_queue *q,
                                                size_t i)
{
    ASSERT(i < entry_queue_len(q));
    return q->v.items[q->head + i];
}

/* Add `n` entries at the end, taking a reference to each. `items` must not
 * point into the queue. */
void entry_queue_append(struct entry_queue *q, struct raft_entry *const *items,
                        size_t n);

/* Keep only the first `len` entries. */
void entry_queue_truncate(struct entry_queue *q, size_t len);

/* Drop the first `n` entries. */
void entry_queue_drop_front(struct entry_queue *q, size_t n);

/* Put `e` in the place of the first entry; the caller's reference moves in. */
void entry_queue_replace_front(struct entry_queue *q, struct raft_entry *e);

void entry_queue_reset(struct entry_queue *q);   /* drop all, keep memory */
void entry_queue_release(struct entry_queue *q); /* drop all, free memory */

#endif /* SRC_RAFT_ENTRY_QUEUE_H */
