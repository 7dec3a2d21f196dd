/* The Storage seam: how raft reads back what the application made stable.
 *
 * raft calls it from its own thread and never writes. The application appends
 * between Ready and Advance.
 *
 * Counterpart: etcd-io/raft storage.go, interface Storage. */

#ifndef SRC_RAFT_STORAGE_H
#define SRC_RAFT_STORAGE_H

#include "proto/raftpb.h"

struct raft_storage_ops;

/* Embedded first in its implementation. */
struct raft_storage {
    const struct raft_storage_ops *ops;
};

struct raft_storage_ops {
    /* The saved HardState (empty if none) and ConfState; *cs is a copy owned by
     * the caller: conf_state_release. */
    int (*initial_state)(struct raft_storage *s, struct hard_state *hs,
                         struct conf_state *cs);

    /* Append to `out` the entries of [lo, hi), at least one if any, limited to
     * `max_size` encoded bytes (a hint: more is legal).
     *   ERR_COMPACTED    lo is gone
     *   ERR_UNAVAILABLE  something in the range is missing */
    int (*entries)(struct raft_storage *s, uint64_t lo, uint64_t hi,
                   uint64_t max_size, struct raft_entries *out);

    /* The term of entry i in [first-1, last].
     *   ERR_COMPACTED, ERR_UNAVAILABLE */
    int (*term)(struct raft_storage *s, uint64_t i, uint64_t *term);

    /* An empty log has first == last + 1. */
    int (*last_index)(struct raft_storage *s, uint64_t *index);
    int (*first_index)(struct raft_storage *s, uint64_t *index);

    /* The most recent snapshot, one reference for the caller.
     *   ERR_SNAPSHOT_TEMPORARILY_UNAVAILABLE: ask again later */
    int (*snapshot)(struct raft_storage *s, struct raft_snapshot **out);
};

#endif /* SRC_RAFT_STORAGE_H */
