/* struct raftnode, private to raftnode.c (the loop), ready.c (what a Ready
 * asks for), requests.c (clients), messages.c (peers), apply.c (what entries
 * and snapshots do to the node) and snapshots.c (those that it makes and
 * sends). */

#ifndef SRC_SERVER_RAFTNODE_INTERNAL_H
#define SRC_SERVER_RAFTNODE_INTERNAL_H

#include "src/base/log.h"
#include "src/kv/kvstore.h"
#include "src/raft/memory_storage.h"
#include "src/raft/rawnode.h"
#include "src/server/proposals.h"
#include "src/server/raftnode.h"
#include "src/server/reads.h"

/* The low 48 bits of a request id (extensions to the log payload). */
#define REQUEST_COUNTER_MAX ((UINT64_C(1) << 48) - 1)

/* What the log's lane of the disk does. Readys are taken meanwhile, their
 * appends queued.
 *
 *   IDLE    -> WRITING  appends were submitted, as one write
 *   WRITING -> WRITTEN  its completion, from storage
 *   WRITTEN -> IDLE     stored, what waited for it is on its way
 *
 * A failed completion ends in condition FAILED: no Ready is taken and nothing
 * delivered after it, so nothing leaves the node any more. */
enum raftnode_phase {
    PHASE_IDLE,
    PHASE_WRITING,
    PHASE_WRITTEN,
};

/* What the other lane does for a snapshot of our own; snapshots.c. */
enum own_state {
    OWN_NONE,
    OWN_FILING,
    OWN_FILED,
    OWN_MARKING,
    OWN_CLEANING,
};

struct own_snapshot {
    enum own_state state;
    struct raft_snapshot *snap; /* without data; NULL while NONE */
    struct kv_view *view;       /* while FILING */
    size_t bytes;               /* of its content, from FILED on */
    bool lane_done;             /* what FILING, CLEANING asked for has ended */
    int rc;                     /* so */
    /* Tick: after a failure none is made, though wanted, before it. */
    uint64_t retry_at;
};

/* A MsgStorageAppend, and the messages of its Ready that may not leave before
 * it is durable. */
struct append {
    struct list link;
    uint64_t seq;
    bool must_sync;
    struct raft_message m;
    struct raft_message *held;
    size_t n_held;
};

/* A MsgStorageApply, which may begin once append `after` is durable. */
struct apply {
    struct list link;
    uint64_t after;
    struct raft_message m;
};

struct raftnode {
    uint64_t id;
    const struct logger *lg;
    struct raftnode_peers peers;
    struct raftnode_storage disk;
    struct raftnode_peer *cluster; /* --cluster, owned copies */
    size_t n_cluster;

    struct rawnode *raw;
    struct memory_storage log;
    struct kvstore *store;
    struct conf_state conf_state; /* in force, as of `applied` */
    uint64_t applied;
    uint64_t snapshot_index;
    uint64_t snapshot_bytes; /* of its content */
    uint64_t applied_bytes;  /* of entries since the last one was begun */
    uint64_t snapshot_count;
    uint64_t catchup_entries;
    /* No snapshot of our own before this index: moved on after a failure. */
    uint64_t next_snapshot_at;

    struct proposals proposals;
    struct reads reads;
    bool holds_puts; /* as raftnode_hold said */
    bool holds_reads;
    struct list due;    /* every request, oldest first */
    struct list parked; /* membership changes of others, one at a time */
    struct raft_message late_snapshot; /* waits for `applies`, or type 0 */
    size_t n_parked;
    uint64_t timeout_ticks;
    uint64_t election_ticks; /* also when a read is asked for again */
    uint64_t next_request;   /* low 48 bits of the next request id */
    uint64_t now;            /* ticks since the start */

    enum raftnode_phase phase;
    bool busy;                   /* inside raftnode_process */
    bool draining;               /* takes no requests */
    struct list appends;         /* wait for the disk, oldest first (ready.c) */
    struct list writing;         /* are in the write that is on its way */
    struct list applies;         /* wait to be applied, oldest first */
    struct raftnode_write write; /* while WRITING */
    struct raft_entries writing_entries;
    uint64_t busy_since;  /* tick at which the disk was last given work */
    uint64_t append_seq;  /* of the last append */
    uint64_t written_seq; /* of the last one that is durable */
    struct own_snapshot own;
    bool compacts;              /* raft's log is longer than it has to be */
    struct list held_snapshots; /* MsgSnaps that cannot be sent yet */

    struct soft_state soft; /* as of the last Ready */
    uint64_t term;          /* as of the last Ready */
    uint64_t stuck_since;   /* tick at which applied last moved or caught up */

    /* Set once this node knows that it was removed. It leaves when a majority
     * of the others knows too, however long that takes. Until then its vote and
     * its log may be what they need to learn it: of two members, with the
     * leader removed, the other one has the entry but not the news that it is
     * committed, and by its own configuration needs both to find out. */
    bool is_leaving;
    struct id_list removal_known_by;

    enum raftnode_condition condition;
    struct errmsg why;
};

/* Stop the node: the first reason stands. */
void raftnode_fail(struct raftnode *rn, enum raftnode_condition condition,
                   const char *fmt, ...) PRINTF_LIKE(3, 4);

/* --- requests.c --- */

/* The request is over: out of every list, then its callback. */
void raftnode_finish(struct raftnode *rn, struct request *req, int rc,
                     struct bytes value);

/* A request id was seen in the log: never use it, or one before it, again. It
 * can only be ahead of ours if the wall clock went back between two lives. */
void raftnode_note_request_id(struct raftnode *rn, uint64_t id);

/* End the requests whose deadline has passed. */
void requests_expire(struct raftnode *rn);

/* All that came in during this turn, or was held back before it, becomes one
 * proposal and one ReadIndex. */
void requests_flush(struct raftnode *rn);

/* Answer the reads whose index is applied; membership changes go on from there
 * to be proposed. */
void requests_finish_reads(struct raftnode *rn);

/* --- raftnode.c --- */

/* The disk was asked for something, and has not answered for so long that this
 * node is of no use: a leader could send heartbeats for ever, and answer
 * nobody. It takes no Ready and has no ticks until the disk is back, so that
 * the others find another leader [reliability F6]. */
bool raftnode_is_stuck(const struct raftnode *rn);

/* --- ready.c --- */

/* Take a Ready; there must be one. */
void ready_take(struct raftnode *rn);

/* Submit all that waits for the disk, which is idle; false: nothing does. */
bool ready_begin_write(struct raftnode *rn);

/* A write is durable: store what it brought, and let go what waited for it. */
void ready_finish_write(struct raftnode *rn);

/* Apply the entries of one Ready; false: there are none, or not yet. */
bool ready_apply(struct raftnode *rn);

void ready_release(struct raftnode *rn);

/* --- messages.c --- */

/* This node is no longer a member; and leave, if it is time. */
void messages_begin_leaving(struct raftnode *rn);
void messages_maybe_leave(struct raftnode *rn);

/* Step the membership change that waited longest, if its turn has come. */
void messages_step_parked(struct raftnode *rn);
void messages_free_parked(struct raftnode *rn);

/* Step the snapshot that had to wait, if it has not to any more. */
void messages_step_late_snapshot(struct raftnode *rn);

/* --- apply.c --- */

/* The state of `snap` becomes the node's: store, members, configuration, and
 * the beginning of raft's log. */
MUST_CHECK int apply_snapshot(struct raftnode *rn,
                              const struct raft_snapshot *snap,
                              struct errmsg *em);

/* Apply committed entries in order and settle the requests that made them. */
void apply_entries(struct raftnode *rn, struct raft_entry *const *entries,
                   size_t n);

/* Pass by the request ids that an earlier life left in the log, applied or
 * not. */
void apply_note_recovered(struct raftnode *rn,
                          const struct raft_entries *entries);

/* Whether a proposed entry can be applied by every node [formats-gob.md 3,
 * formats-raftexample.md 5]; checked before it enters a log. */
bool apply_can_take(const struct raftnode *rn, const struct raft_entry *e);

/* --- snapshots.c --- */

/* Begin one that is due, go on with one whose lane has done its part, send what
 * can be sent; whether there was something to go on with. */
bool snapshots_progress(struct raftnode *rn);

/* Once per loop turn: merge a part of what was set while the map was frozen,
 * and drop a part of the log that a snapshot has made needless. */
void snapshots_turn(struct raftnode *rn);

/* The metadata of a snapshot as of `applied`, count 1. */
struct raft_snapshot *snapshots_make_head(struct raftnode *rn);

/* What is to be marked with a write that brings this commit index; or NULL. */
const struct raft_snapshot *snapshots_marker(const struct raftnode *rn,
                                             uint64_t commit);

/* The write with the marker is durable. */
void snapshots_marked(struct raftnode *rn);

/* A leader's snapshot must wait with replacing the map. */
bool snapshots_hold_back_others(const struct raftnode *rn);

/* Take over a MsgSnap that raft wants to be sent; snapshots_send_held sends it,
 * at once or later. */
void snapshots_hold(struct raftnode *rn, struct raft_message *m);
void snapshots_send_held(struct raftnode *rn);

/* The node ends: what the other lane does is over soon. */
void snapshots_stop(struct raftnode *rn);
void snapshots_release(struct raftnode *rn);

#endif /* SRC_SERVER_RAFTNODE_INTERNAL_H */
