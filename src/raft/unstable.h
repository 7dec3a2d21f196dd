/* The tail of the log that is not yet known to be durable.
 *
 * unstable.entries[i] has index offset + i. The entries below
 * offset_in_progress were already handed out in a Ready (or MsgStorageAppend)
 * and wait for their acknowledgement; those from there on are the next to hand
 * out. offset may be less than or equal to the last index of the stable log:
 * the next write then overwrites stored entries from offset on [raft-core
 * UN-10]. A snapshot that was received but is not yet stored lives here, too.
 *
 * Invariants: offset <= offset_in_progress <= offset + n; with a snapshot
 * present, offset > snapshot index.
 *
 * Counterpart: etcd-io/raft log_unstable.go.
 * Differs: entries leave the front in amortised constant time (entry_queue.h),
 * so there is no shrinking by copying. */

#ifndef SRC_RAFT_UNSTABLE_H
#define SRC_RAFT_UNSTABLE_H

#include "src/base/log.h"
#include "src/raft/entry_queue.h"

/* What identifies an entry in all logs of a group [Raft 5.3]. */
struct entry_id {
    uint64_t term;
    uint64_t index;
};

static inline struct entry_id entry_id_of(const struct raft_entry *e)
{
    return (struct entry_id){e->term, e->index};
}

static inline bool entry_id_equal(struct entry_id a, struct entry_id b)
{
    return a.term == b.term && a.index == b.index;
}

struct unstable {
    struct raft_snapshot *snapshot; /* one reference; NULL: none */
    struct entry_queue entries;     /* entries not yet stable */
    uint64_t offset;                /* the index of the first of them */
    bool snapshot_in_progress;      /* the snapshot is being written */
    uint64_t offset_in_progress;    /* entries below are being written */
    const struct logger *lg;        /* borrowed; may be NULL */
};

/* Empty, with `offset` the index that the next entry will have. */
void unstable_init(struct unstable *u, uint64_t offset,
                   const struct logger *lg);
void unstable_release(struct unstable *u);

static inline size_t unstable_len(const struct unstable *u)
{
    return entry_queue_len(&u->entries);
}

/* The first index, which only a snapshot determines: entries alone may be
 * preceded by stable ones. False: unknown, *index untouched. */
bool unstable_maybe_first_index(const struct unstable *u, uint64_t *index);

/* The last index, of the entries or else the snapshot. False: unknown. */
bool unstable_maybe_last_index(const struct unstable *u, uint64_t *index);

/* The term of entry `index`, if an entry or the snapshot here tells it. */
bool unstable_maybe_term(const struct unstable *u, uint64_t index,
                         uint64_t *term);

/* The entries not yet handed out: their number, and *items a view of them,
 * borrowed until the next change. */
size_t unstable_next_entries(const struct unstable *u,
                             struct raft_entry *const **items);

/* The snapshot not yet handed out, borrowed; NULL: none. */
struct raft_snapshot *unstable_next_snapshot(const struct unstable *u);

/* Everything here is being written now; the next_ functions will not give it
 * again unless it is overwritten by new content. */
void unstable_accept_in_progress(struct unstable *u);

/* Entries up to `id` are durable: drop them. Ignored if `id` is not the id of
 * an entry here: then it was overwritten, or released before. Must only be
 * called when no write in the pipeline can still overwrite these positions
 * [raft-core UN-11]. */
void unstable_stable_to(struct unstable *u, struct entry_id id);

/* The snapshot at `index` is durable: drop it. Ignored for any other index. */
void unstable_stable_snap_to(struct unstable *u, uint64_t index);

/* Forget everything and become the position just after the snapshot. Takes
 * another reference to `snap`. */
void unstable_restore(struct unstable *u, struct raft_snapshot *snap);

/* Append `n` > 0 consecutive entries, dropping first what is at or beyond the
 * first of them. Takes a reference to each. */
void unstable_truncate_and_append(struct unstable *u,
                                  struct raft_entry *const *items, size_t n);

/* A view of the entries [lo, hi), borrowed until the next change. Fatal unless
 * offset <= lo <= hi <= offset + n. */
struct raft_entry *const *unstable_slice(const struct unstable *u, uint64_t lo,
                                         uint64_t hi);

/* ASSERT the invariants above. O(n) for the indexes. */
void unstable_check(const struct unstable *u);

#endif /* SRC_RAFT_UNSTABLE_H */
