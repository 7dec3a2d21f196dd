/* Replay: what a run of records means. Pure.
 *
 * Records are fed in the order they were written; the result is the hard
 * state, the log behind its base, and the snapshot markers that a node may
 * start from. What the rules of raft forbid is damage that no checksum saw, and
 * is refused [reliability 3.3]:
 *
 * - an entry drops every entry at or behind its index, wherever a snapshot is;
 * - indexes have no gap, entry terms never fall, no entry rewinds to or below
 *   a commit index read before it, none has a term above the hard state's;
 * - term and commit of the hard state never fall, the vote of a term does not
 *   change, and in the end commit is not beyond the last entry (on the way it
 *   may be: etcd 3.4 writes the HardState before the snapshot's marker);
 * - a snapshot marker that the log does not reach, or contradicts, replaces
 *   the log: the leader's snapshot. It proves that its index is committed, so
 *   the hard state follows it. A crash may have come before the HardState that
 *   was to say so.
 *
 * An entry is written before the HardState of the same Save. So the end of a
 * torn group can be an entry whose term no HardState covers. Such entries were
 * never acknowledged; replay_roll_back forgets them, and brings back what they
 * had dropped.
 *
 * Counterpart: etcd server/storage/wal ReadAll, ValidSnapshotEntries.
 * Differs: reads from the first record, not from one snapshot; the rules
 * above, of which etcd has the first two only in part (etcd #22442). */

#ifndef WAL_REPLAY_H
#define WAL_REPLAY_H

#include "proto/raftpb.h"
#include "wal/wal.h"

/* Index and term of an entry; term 0: not known. */
struct replay_pos {
    uint64_t index;
    uint64_t term;
};

struct replay {
    struct hard_state hs; /* the last one, or as a marker raised it */
    bool raised;          /* hs says more than the last record did */

    /* The log is base, then entries without gap: entries.items[0] has index
     * base.index + 1. */
    struct replay_pos base;
    struct raft_entries entries;

    /* Ascending, each at or behind base. */
    struct wal_marker *markers;
    size_t n_markers;
    size_t markers_cap;

    /* While entries above the hard state's term wait for theirs: where they
     * start, the base at that time, and the older entries they dropped. */
    bool ahead;
    uint64_t ahead_index;
    struct replay_pos undo_base;
    struct raft_entries undo;

    /* Payload bytes taken in since the front was last dropped. Beyond
     * bytes_max, entries that two usable markers cover are dropped. */
    size_t bytes;
    size_t bytes_max;
};

/* `first_index` is the index in the name of the first segment: 0 if the log
 * begins at the beginning. */
void replay_init(struct replay *r, uint64_t first_index);
void replay_release(struct replay *r);

uint64_t replay_last_index(const struct replay *r);

/* Feed one record. ERR_DAMAGED, and *why (static), if it cannot follow what was
 * read before. replay_entry takes the caller's reference in any case. */
MUST_CHECK int replay_entry(struct replay *r, struct raft_entry *e,
                            const char **why);
MUST_CHECK int replay_state(struct replay *r, const struct hard_state *hs,
                            const char **why);
MUST_CHECK int replay_marker(struct replay *r, struct wal_marker m,
                             const char **why);

/* A crc record opens a sync group: the one before it must be complete. */
MUST_CHECK int replay_group(const struct replay *r, const char **why);

/* The log ends here. What is ahead has been rolled back. */
MUST_CHECK int replay_end(const struct replay *r, const char **why);

/* Forget the entries that are ahead of the hard state. */
void replay_roll_back(struct replay *r);

/* The markers that a node may start from, ascending: those that the commit
 * index covers. */
const struct wal_marker *replay_usable(const struct replay *r, size_t *n);

/* Move hard state and the entries behind `start` into *out. Index 0 is the
 * beginning of the log.
 *   ERR_SNAPSHOT_MISMATCH  `start` is no usable marker
 *   ERR_DAMAGED            index 0, but the log begins later */
MUST_CHECK int replay_take(struct replay *r, struct wal_marker start,
                           struct wal_contents *out);

#endif /* WAL_REPLAY_H */
