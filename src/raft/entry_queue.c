/* See entry_queue.h. */

#include "src/raft/entry_queue.h"

/* Below this many dropped places it is not worth moving anything. */
#define DROPPED_MIN 32

void entry_queue_append(struct entry_queue *q, struct raft_entry *const *items,
                        size_t n)
{
    ASSERT(q->head <= q->v.len);
    raft_entries_append(&q->v, items, n);
}

void entry_queue_truncate(struct entry_queue *q, size_t len)
{
    ASSERT(len <= entry_queue_len(q));
    if (len == 0) {
        entry_queue_reset(q);
        return;
    }
    raft_entries_truncate(&q->v, q->head + len);
}

/* Each entry that is moved down was preceded by at least as many dropped ones,
 * so moving costs O(1) per drop. */
void entry_queue_drop_front(struct entry_queue *q, size_t n)
{
    ASSERT(n <= entry_queue_len(q));
    for (size_t i = 0; i < n; i++) {
        raft_entry_unref(q->v.items[q->head]);
        q->v.items[q->head++] = NULL;
    }
    if (q->head == q->v.len) {
        entry_queue_reset(q);
    } else if (q->head >= DROPPED_MIN && q->head >= entry_queue_len(q)) {
        raft_entries_drop_front(&q->v, q->head);
        q->head = 0;
    }
}

void entry_queue_replace_front(struct entry_queue *q, struct raft_entry *e)
{
    ASSERT(entry_queue_len(q) > 0);
    raft_entry_unref(q->v.items[q->head]);
    q->v.items[q->head] = e;
}

void entry_queue_reset(struct entry_queue *q)
{
    raft_entries_reset(&q->v);
    q->head = 0;
}

void entry_queue_release(struct entry_queue *q)
{
    raft_entries_release(&q->v);
    q->head = 0;
}
