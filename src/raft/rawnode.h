/* The only door to the core.
 *
 * A rawnode is not thread-safe: one thread makes all calls. raft.h has the
 * contract of a Ready and the loop around it; messages may be stepped and
 * proposals made between rawnode_ready and rawnode_advance.
 *
 * What cannot go on is fatal: a broken contract, a storage that fails, a log
 * that lost what it had acknowledged. The logger gets the reason, and the
 * process aborts.
 *
 * Counterpart: etcd-io/raft rawnode.go. Differs: the Node wrapper and its
 * goroutines have no counterpart, the event loop does their work. */

#ifndef SRC_RAFT_RAWNODE_H
#define SRC_RAFT_RAWNODE_H

#include "src/raft/raft.h"

struct rawnode; /* opaque */

/* A node over `cfg->storage` as it is now: new, restarted or joining. A bad
 * configuration is fatal [raft-core 2.2]. Owned by the caller. */
struct rawnode *rawnode_new(const struct raft_config *cfg);
void rawnode_free(struct rawnode *rn); /* NULL: no-op */

/* Start a new group: append one AddNode per peer at term 1 and mark them
 * committed [raft-core NEW-4]. Once, on empty storage.
 *   ERR_BOOTSTRAP_NO_PEERS, ERR_BOOTSTRAP_NONEMPTY */
MUST_CHECK int rawnode_bootstrap(struct rawnode *rn,
                                 const struct raft_peer *peers, size_t n);

/* The unit of time: call it at even intervals, such as 100 ms. */
void rawnode_tick(struct rawnode *rn);

/* Let time pass without any effect, for a group that is known to be quiet: only
 * the election timer goes on [raft-core TICK-4]. Deprecated in the reference;
 * pre_vote and check_quorum want real ticks. */
void rawnode_tick_quiesced(struct rawnode *rn);

/* Start an election now, if the node may. */
int rawnode_campaign(struct rawnode *rn);

/* Append `entry` to the log, here or at the leader. It is taken over without a
 * copy: one reference moves in, also on failure; term and index must be 0. With
 * a count of 1 it is numbered in place, a shared one is copied instead.
 *   ERR_PROPOSAL_DROPPED  refused; it is in no log */
MUST_CHECK int rawnode_propose(struct rawnode *rn, struct raft_entry *entry);

/* Propose several entries as one message; all or none [raft-core PR-3]. One
 * reference to each moves in, also on failure; the array stays the caller's. */
MUST_CHECK int rawnode_propose_batch(struct rawnode *rn,
                                     struct raft_entry *const *entries,
                                     size_t n);

/* As an entry of type RAFT_ENTRY_CONF_CHANGE / _V2. A change that may not be
 * made now is replaced by an empty entry, without an error [CC-21]: ask
 * rawnode_conf_change_pending first. */
MUST_CHECK int rawnode_propose_conf_change(struct rawnode *rn,
                                           const struct conf_change *cc);
MUST_CHECK int rawnode_propose_conf_change_v2(struct rawnode *rn,
                                              const struct conf_change_v2 *cc);

/* On the leader: whether a configuration change may still be unapplied, so that
 * another one would be refused [CC-20]; also if it has no vote any more: that
 * others may need its help to learn so (may_vote_by_commit in step.c) ends with
 * the next change in its log, which is for the next leader to make. False
 * elsewhere. */
bool rawnode_conf_change_pending(const struct rawnode *rn);

/* A committed change takes effect. *cs is the new configuration, owned by the
 * caller (conf_state_release). A node_id of 0 changes nothing. */
void rawnode_apply_conf_change(struct rawnode *rn, const struct conf_change *cc,
                               struct conf_state *cs);
void rawnode_apply_conf_change_v2(struct rawnode *rn,
                                  const struct conf_change_v2 *cc,
                                  struct conf_state *cs);

/* Handle a message from another node, or with asynchronous writes a response of
 * a local thread. `m` is borrowed, not changed; entries and snapshot are
 * shared. What no correct peer sends is ignored with a line in the log.
 *   ERR_STEP_LOCAL_MSG, ERR_STEP_PEER_NOT_FOUND, ERR_PROPOSAL_DROPPED */
MUST_CHECK int rawnode_step(struct rawnode *rn, const struct raft_message *m);

/* Whether rawnode_ready would have anything in it. */
bool rawnode_has_ready(const struct rawnode *rn);

/* Build and accept a Ready; what *rd points to is borrowed until
 * rawnode_advance, with asynchronous writes until the next rawnode_ready. */
void rawnode_ready(struct rawnode *rn, struct raft_ready *rd);

/* The work of the last Ready is done [raft-core 22.3]. Not with asynchronous
 * writes, where it is fatal: storage answers by messages. */
void rawnode_advance(struct rawnode *rn);

/* What the application saw of others, and what it wishes; ids that are no
 * members are ignored. Each MsgSnap wants one report: until then, or an answer,
 * its receiver is sent nothing else. Without a transfer within an election
 * timeout the leader goes on. */
void rawnode_report_unreachable(struct rawnode *rn, uint64_t id);
void rawnode_report_snapshot(struct rawnode *rn, uint64_t id,
                             enum snapshot_status status);
void rawnode_transfer_leader(struct rawnode *rn, uint64_t transferee);
int rawnode_forget_leader(struct rawnode *rn);

/* Ask for a ReadIndex; the answer comes as a read_state with this context, or
 * never. `ctx` must be unique and non-empty, at most RAFT_CONTEXT_MAX bytes. */
void rawnode_read_index(struct rawnode *rn, struct bytes ctx);

/* Cheap looks at the node. */
void rawnode_basic_status(const struct rawnode *rn, struct soft_state *soft,
                          struct hard_state *hard, uint64_t *applied);

/* *st is filled; release it with raft_status_release. */
void rawnode_status(const struct rawnode *rn, struct raft_status *st);

/* Call visit_cb with every member, ascending ids, in any role; what is handed
 * to it is borrowed for the call [raft-core ST-4]. Of the progress only a
 * leader's is of use. */
typedef void rawnode_progress_cb(void *ctx,
                                 const struct raft_progress_status *pr);
void rawnode_with_progress(const struct rawnode *rn, void *ctx,
                           rawnode_progress_cb *visit_cb);

/* The configuration in force; *cs is a copy owned by the caller. */
void rawnode_conf_state(const struct rawnode *rn, struct conf_state *cs);

#endif /* SRC_RAFT_RAWNODE_H */
