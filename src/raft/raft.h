/* The consensus core as its users see it: configuration, Ready, roles.
 *
 * The algorithm is a machine without hands. Ticks and messages go in through
 * rawnode.h, a Ready comes out; the core never opens, sends, sleeps or asks the
 * time. The contract of a Ready, in this order:
 *
 *   1. write snapshot, hard_state and entries to stable storage; sync if
 *      must_sync (writing entry i discards stored entries >= i);
 *   2. only then send `messages`;
 *   3. apply the snapshot, then committed_entries, in order; for each
 *      configuration change call rawnode_apply_conf_change (or do not, to
 *      reject it);
 *   4. rawnode_advance().
 *
 * With async_storage_writes the same work comes as two local messages instead
 * (MsgStorageAppend, MsgStorageApply) and rawnode_advance is not called. The
 * other messages may then leave at once, with one exception that the reference
 * does not make: a MsgVote must wait until the MsgStorageAppend of its Ready is
 * durable. A candidate that crashes before could campaign again in the same
 * term with a shorter log, and be elected by votes given to the longer one.
 *
 * Everything a Ready points to is borrowed until rawnode_advance.
 *
 * Counterpart: etcd-io/raft raft.go, doc.go, node.go (the types). */

#ifndef SRC_RAFT_RAFT_H
#define SRC_RAFT_RAFT_H

#include "proto/raftpb.h"
#include "src/base/logger.h"
#include "src/raft/storage.h"

#define RAFT_NO_LIMIT UINT64_MAX

enum raft_role {
    RAFT_FOLLOWER = 0,
    RAFT_CANDIDATE = 1,
    RAFT_LEADER = 2,
    RAFT_PRE_CANDIDATE = 3,
};

enum read_only_option {
    READ_ONLY_SAFE = 0,        /* a heartbeat round per read [Thesis 6.4] */
    READ_ONLY_LEASE_BASED = 1, /* trusts clocks; needs check_quorum */
};

enum snapshot_status {
    SNAPSHOT_FINISH = 1,
    SNAPSHOT_FAILURE = 2,
};

/* raft-core section 3 has the meaning of each field in full. */
struct raft_config {
    uint64_t id;                  /* not RAFT_NONE */
    int election_ticks;           /* > heartbeat_ticks */
    int heartbeat_ticks;          /* > 0 */
    struct raft_storage *storage; /* borrowed */
    uint64_t applied;             /* entries up to here are not handed out */
    bool async_storage_writes;
    uint64_t max_size_per_msg;             /* encoded bytes; 0: one entry */
    uint64_t max_committed_size_per_ready; /* 0: max_size_per_msg */
    uint64_t max_uncommitted_entries_size; /* payload bytes; 0: no limit */
    size_t max_inflight_msgs;              /* > 0 */
    uint64_t max_inflight_bytes;           /* 0: no limit */
    bool check_quorum;
    bool pre_vote;
    enum read_only_option read_only_option;
    const struct logger *lg; /* borrowed; NULL: silent */
    bool disable_proposal_forwarding;
    bool disable_conf_change_validation;
    bool step_down_on_removal;
    uint64_t seed; /* of the election timeout; differs between nodes */
};

struct soft_state {
    uint64_t lead;
    enum raft_role role;
};

/* The answer to a ReadIndex request: serve it once applied >= index. */
struct read_state {
    uint64_t index;
    uint8_t ctx[RAFT_CONTEXT_MAX];
    uint8_t ctx_len;
};

/* What to do next; see the contract above. */
struct raft_ready {
    const struct soft_state *soft_state; /* NULL: unchanged */
    const struct hard_state *hard_state; /* NULL: unchanged */
    const struct read_state *read_states;
    size_t n_read_states;
    struct raft_entry *const *entries; /* to be made stable */
    size_t n_entries;
    struct raft_snapshot *snapshot; /* to be made stable; NULL: none */
    struct raft_entry *const *committed_entries; /* to be applied */
    size_t n_committed_entries;
    /* Already addressed; the receiver of a Ready may change the snapshot
     * pointer of a MsgSnap. */
    struct raft_message *messages;
    size_t n_messages;
    bool must_sync; /* entries, term or vote changed */
};

struct raft_peer {
    uint64_t id;
    struct bytes context; /* copied into the bootstrap change */
};

const char *raft_role_name(enum raft_role role); /* "StateLeader" */

/* Progress of one member, as a status shows it. */
struct raft_progress_status {
    uint64_t id;
    bool is_learner;
    bool recent_active;
    bool paused;
    const char *state; /* "StateProbe", ...; static */
    uint64_t match;
    uint64_t next;
    uint64_t pending_snapshot;
    size_t inflight;
};

struct raft_status {
    uint64_t id;
    struct hard_state hard_state;
    struct soft_state soft_state;
    uint64_t applied;
    uint64_t lead_transferee;
    uint64_t first_index;
    uint64_t last_index;
    /* The leader's view of every member, ascending ids; empty elsewhere.
     * Owned: raft_status_release. */
    struct raft_progress_status *progress;
    size_t n_progress;
};

void raft_status_release(struct raft_status *st);

#endif /* SRC_RAFT_RAFT_H */
