/* The consensus core as its users see it: the contract of a Ready, what a node
 * is told at its start, what it says of itself.
 *
 * The algorithm is a machine without hands. Ticks and messages go in through
 * rawnode.h, a Ready comes out; the core never opens, sends, sleeps or asks the
 * time. Whoever calls it does the work of each Ready, in this order:
 *
 *   1. write snapshot, hard_state and entries to stable storage, and sync if
 *      must_sync. Writing entry i discards what was stored from i on;
 *   2. show the same to the raft_storage of the configuration (for a
 *      memory_storage: apply the snapshot, set the hard state, append);
 *   3. only then send `messages`. They may be lost, doubled or late; but tell
 *      rawnode_report_unreachable of a member that cannot be reached, and
 *      rawnode_report_snapshot what became of a MsgSnap;
 *   4. put the snapshot, if any, in place of the state machine, then apply
 *      committed_entries, in order. A normal entry without data is a new
 *      leader's own and changes nothing. A configuration change is decoded and
 *      given to rawnode_apply_conf_change or rawnode_apply_conf_change_v2 (or
 *      not, to reject it);
 *   5. rawnode_advance().
 *
 *   for (;;) {
 *       wait for a tick, a message or a proposal;
 *       rawnode_tick(rn), rawnode_step(rn, &m), rawnode_propose(rn, e), ...;
 *       while (rawnode_has_ready(rn)) {
 *           struct raft_ready rd;
 *           rawnode_ready(rn, &rd);
 *           steps 1 to 4;
 *           rawnode_advance(rn);
 *       }
 *   }
 *
 * Everything a Ready points to is borrowed until rawnode_advance; who needs an
 * entry for longer takes a reference. A read_state may be served once its index
 * is applied. Several ticks, messages and proposals may share one Ready, and so
 * one sync: that is where the throughput comes from.
 *
 * A node starts from its storage. After a crash show it the last hard state,
 * the last snapshot and the entries after it, put the snapshot into the state
 * machine, and call rawnode_new; what was committed since is handed out again.
 * A new group calls rawnode_bootstrap in addition, once, with the same peers at
 * every member; who joins an existing group starts with an empty storage and
 * waits to be added.
 *
 * With async_storage_writes the same work comes as two local messages instead
 * (MsgStorageAppend, MsgStorageApply). Those of a kind are done in their order,
 * and then the responses that the message carries are delivered: to this node
 * by rawnode_step, to others by the network. rawnode_advance is not called. The
 * other messages may then leave at once, with one exception that the reference
 * does not make: a MsgVote must wait until the MsgStorageAppend of its Ready is
 * durable. A candidate that crashes before could campaign again in the same
 * term with a shorter log, and be elected by votes given to the longer one.
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

/* All zero but the fields marked "required" is a node that works. A bad one is
 * fatal in rawnode_new [raft-core 3]. */
struct raft_config {
    /* Required; neither RAFT_NONE nor a local thread. Never used again for
     * another node of the group. */
    uint64_t id;

    /* Required, more than heartbeat_ticks; 10 times as many is usual. Without
     * word of a leader for election_ticks to twice as long a node campaigns.
     * Also the lease of a leader, and the time for a transfer. */
    int election_ticks;
    int heartbeat_ticks; /* required, more than 0 */

    struct raft_storage *storage; /* required; borrowed */

    /* Entries up to here are not handed out: the state machine has them, and
     * the ConfState of the storage is the one of this index. At most what the
     * storage knows as committed; 0: the index of its snapshot. */
    uint64_t applied;

    bool async_storage_writes; /* see above */

    /* Encoded bytes of the entries in one MsgApp; 0: a single entry. */
    uint64_t max_size_per_msg;
    /* Encoded bytes of committed entries handed out and not yet acknowledged;
     * 0: as max_size_per_msg. */
    uint64_t max_committed_size_per_ready;
    /* Payload bytes of a leader's proposals that are not yet applied; beyond,
     * they are dropped. 0: no limit. */
    uint64_t max_uncommitted_entries_size;
    /* MsgApps, and their payload bytes, on their way to one follower; 0 bytes:
     * no limit, else at least max_size_per_msg. */
    size_t max_inflight_msgs; /* required, more than 0 */
    uint64_t max_inflight_bytes;

    /* A leader steps down when it has not heard of a majority for
     * election_ticks, and who hears of a leader votes for nobody else. */
    bool check_quorum;
    /* Ask before taking a new term, so that a node that was cut off disturbs
     * nobody when it returns. Best together with check_quorum. */
    bool pre_vote;
    enum read_only_option read_only_option;

    const struct logger *lg; /* borrowed; NULL: silent */

    /* Followers drop proposals instead of passing them to the leader. */
    bool disable_proposal_forwarding;
    /* A leader lets configuration changes into the log that cannot be made now;
     * for who checks them when they are applied. */
    bool disable_conf_change_validation;
    /* A leader that is removed, or made a learner, becomes a follower. */
    bool step_down_on_removal;

    /* Of the election timeouts. Must differ between nodes, and should between
     * starts; the same seed and calls give the same run. */
    uint64_t seed;
};

/* What need not survive a crash. */
struct soft_state {
    uint64_t lead; /* RAFT_NONE: not known */
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
    const struct soft_state *soft_state;  /* NULL: unchanged */
    const struct hard_state *hard_state;  /* NULL: unchanged */
    const struct read_state *read_states; /* to be served once applied */
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
