/* What the leader knows about one member, and what it may send to it.
 *
 *            rejection, unreachable            snapshot needed
 *        +---------------------------+      +--------------------+
 *        v                           |      |                    v
 *      PROBE --- append accepted --> REPLICATE               SNAPSHOT
 *        |  ^                        ^   |                    |  |
 *        |  |   reset (role change)  |   +--> SNAPSHOT        |  |
 *        |  +------------------------|------ status report ---+  |
 *        |                           +------ append accepted ----+
 *        +--- snapshot needed --> SNAPSHOT   (reconnects the log)
 *
 *   PROBE      one append per heartbeat round, to find where the logs meet;
 *              progress_become_probe
 *   REPLICATE  appends are pipelined within the window of inflights;
 *              progress_become_replicate
 *   SNAPSHOT   no appends until the member has the snapshot;
 *              progress_become_snapshot
 *
 * match is the highest index known to be in the member's log, next the index
 * of the next entry to send; entries between are in flight. match < next.
 *
 * Counterpart: etcd-io/raft tracker/progress.go, tracker/state.go. */

#ifndef SRC_RAFT_PROGRESS_H
#define SRC_RAFT_PROGRESS_H

#include "src/raft/inflights.h"

struct buf;

enum progress_state {
    PROGRESS_PROBE = 0,
    PROGRESS_REPLICATE = 1,
    PROGRESS_SNAPSHOT = 2,
};

struct progress {
    uint64_t id; /* of the member */
    uint64_t match;
    uint64_t next;
    /* The commit index last sent to it, in an append or a heartbeat; it may
     * have been lost, or capped at the member's last entry. */
    uint64_t sent_commit;
    enum progress_state state;
    uint64_t pending_snapshot; /* index of the one sent; SNAPSHOT only */
    bool recent_active;        /* heard of since the last CheckQuorum */
    bool msg_app_flow_paused;  /* no append before it is heard of */
    bool is_learner;
    struct inflights inflights; /* sent in REPLICATE, not acknowledged */
    const struct logger *lg;    /* borrowed; may be NULL */
};

/* How much may be in flight to one member. */
struct inflight_limits {
    size_t msgs;
    uint64_t bytes; /* 0: none */
};

/* PROBE at match 0 and `next`, not active, nothing in flight. */
void progress_init(struct progress *pr, uint64_t id, uint64_t next,
                   struct inflight_limits limits, const struct logger *lg);
void progress_release(struct progress *pr);

/* Back to what progress_init gives, at another `next`; the id, is_learner and
 * the memory of the window stay [raft-core ROLE-1]. */
void progress_reset(struct progress *pr, uint64_t next,
                    struct inflight_limits limits);

/* Make `to` (all zero, or released) a deep copy. */
void progress_copy(struct progress *to, const struct progress *from);

/* Transitions; see the diagram. After a snapshot, probing goes on behind it. */
void progress_become_probe(struct progress *pr);
void progress_become_replicate(struct progress *pr);
void progress_become_snapshot(struct progress *pr, uint64_t snapshot_index);

/* A MsgApp with `n` entries of `bytes` payload was sent. Fatal in SNAPSHOT. */
void progress_sent_entries(struct progress *pr, size_t n, uint64_t bytes);

/* `commit` was sent, in an append or a heartbeat. */
void progress_set_sent_commit(struct progress *pr, uint64_t commit);

/* Whether an empty append with this commit index could raise the member's. */
bool progress_can_bump_commit(const struct progress *pr, uint64_t commit);

/* The member has acknowledged everything up to `index`. False: old news. */
bool progress_maybe_update(struct progress *pr, uint64_t index);

/* A MsgApp was refused. */
struct progress_rejection {
    uint64_t rejected;   /* the index before its entries */
    uint64_t match_hint; /* where the logs may meet */
};

/* Move next back. False: the rejection is stale. */
bool progress_maybe_decr_to(struct progress *pr, struct progress_rejection r);

/* Nothing at all may be appended for now. */
bool progress_is_paused(const struct progress *pr);

const char *progress_state_name(enum progress_state s); /* "StateProbe" */

/* Append the text of raft-core PG-12. */
void progress_string(const struct progress *pr, struct buf *out);

/* ASSERT the invariants above. */
void progress_check(const struct progress *pr);

#endif /* SRC_RAFT_PROGRESS_H */
