/* The stable log in memory: a Storage whose disk is somebody else's.
 *
 * The application writes to its WAL first and then here, so that raft can read
 * back quickly. The first of `ents` is a dummy that carries index and term of
 * the position before the first entry.
 *
 * Counterpart: etcd-io/raft storage.go, MemoryStorage.
 * Differs: no mutex, one thread makes all calls. */

#ifndef SRC_RAFT_MEMORY_STORAGE_H
#define SRC_RAFT_MEMORY_STORAGE_H

#include "src/base/logger.h"
#include "src/raft/storage.h"

struct entry_queue;

struct memory_storage {
    struct raft_storage base; /* hand &ms->base to raft */
    const struct logger *lg;  /* for fatal conditions; may be NULL */
    struct hard_state hard_state;
    struct raft_snapshot *snapshot; /* never NULL; empty at first */
    struct entry_queue *ents;       /* never empty: the first is the dummy */
    uint64_t bytes;                 /* that they take, but for the dummy */
};

void memory_storage_init(struct memory_storage *ms, const struct logger *lg);
void memory_storage_release(struct memory_storage *ms);

void memory_storage_set_hard_state(struct memory_storage *ms,
                                   const struct hard_state *hs);

/* Replace everything by the snapshot (one more reference is taken).
 *   ERR_SNAP_OUT_OF_DATE  the own one is not older */
MUST_CHECK int memory_storage_apply_snapshot(struct memory_storage *ms,
                                             struct raft_snapshot *snap);

/* Make `snap` the snapshot that Snapshot() returns; it must carry the term of
 * its index. Entries stay. The storage takes one more reference.
 *   ERR_SNAP_OUT_OF_DATE  index is not beyond the own one
 * Fatal beyond the last index. (CreateSnapshot of the reference, with the
 * snapshot built by the caller, as it also carries the members' URLs.) */
MUST_CHECK int memory_storage_create_snapshot(struct memory_storage *ms,
                                              struct raft_snapshot *snap);

/* Drop the entries up to and including `index`, which stays as the dummy.
 *   ERR_COMPACTED  already gone. Fatal beyond the last index. */
MUST_CHECK int memory_storage_compact(struct memory_storage *ms,
                                      uint64_t index);

/* Where to compact to so that at most `bytes_max` bytes of entries stay: at
 * least to `index`, at most to `limit`, which is not beyond the last index; and
 * not before what is compacted already. Takes time for what is to go, not for
 * what stays. */
uint64_t memory_storage_compact_point(const struct memory_storage *ms,
                                      uint64_t index, uint64_t limit,
                                      uint64_t bytes_max);

/* Append, replacing what overlaps [raft-core MS-7]. A gap is fatal. */
void memory_storage_append(struct memory_storage *ms,
                           struct raft_entry *const *entries, size_t n);

uint64_t memory_storage_first_index(const struct memory_storage *ms);
uint64_t memory_storage_last_index(const struct memory_storage *ms);

/* The memory that the entries take. */
uint64_t memory_storage_bytes(const struct memory_storage *ms);

#endif /* SRC_RAFT_MEMORY_STORAGE_H */
