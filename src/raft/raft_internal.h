/* The consensus state machine itself, private to this folder (and its tests).
 *
 * Roles and the functions that move between them [Raft figure 4]:
 *
 *                 times out (hup)              wins the pre-vote
 *   follower ----------------> pre-candidate ------------------> candidate
 *      ^  ^ \                        |      (pre_vote off: directly) |  |
 *      |  |  `-----------------------+-------------------------------'  |
 *      |  |        loses, or hears a leader or a higher term            |
 *      |  `------------------------------------ leader <----------------'
 *      |       higher term, lost quorum, removed          wins the vote
 *
 *   from            event                          function
 *   follower        hup, promotable                raft_become_pre_candidate
 *   pre-candidate   majority would vote            raft_become_candidate
 *   candidate       majority voted                 raft_become_leader
 *   any             higher term, leader, defeat    raft_become_follower
 *
 * raft.c has the life cycle, the roles and the ticks, step.c what each role
 * does with a message, replicate.c what a leader sends and when it commits.
 *
 * Counterpart: etcd-io/raft raft.go, struct raft. Differs: a message is built
 * in place in a queue that keeps its memory; peers' malformed messages are
 * dropped where the reference panics [raft-core PF-44]. */

#ifndef SRC_RAFT_RAFT_INTERNAL_H
#define SRC_RAFT_RAFT_INTERNAL_H

#include "src/base/log.h"
#include "src/base/rng.h"
#include "src/raft/confchange.h"
#include "src/raft/log.h"
#include "src/raft/raft.h"
#include "src/raft/read_only.h"
#include "src/raft/tracker.h"

struct raft;

/* Messages in order. Taking them out keeps the memory of the slots, so that a
 * queue in steady use does not allocate. */
struct message_queue {
    struct raft_message *items;
    size_t len;
    size_t cap;
};

/* A new last message, all zero; borrowed until the next push. */
struct raft_message *message_queue_push(struct message_queue *q);

/* A new last message that says the same as `m`, sharing entries and snapshot.
 * `m` must not be in `q`. */
struct raft_message *message_queue_push_copy(struct message_queue *q,
                                             const struct raft_message *m);

/* Move item `i` of `from` to the end of `to`; the slot in `from` is empty. */
void message_queue_move(struct message_queue *to, struct message_queue *from,
                        size_t i);
void message_queue_swap(struct message_queue *a, struct message_queue *b);
void message_queue_reset(struct message_queue *q);   /* empty, keep memory */
void message_queue_release(struct message_queue *q); /* empty, free memory */

typedef int raft_step_fn(struct raft *r, const struct raft_message *m);
typedef void raft_tick_fn(struct raft *r);

struct raft {
    uint64_t id;
    const struct logger *lg; /* borrowed; may be NULL */
    struct rng rng;

    /* Durable [Raft figure 2]; commit and entries are in `log`. */
    uint64_t term;
    uint64_t vote; /* in `term`; RAFT_NONE: not yet */

    /* The role; `step` and `tick` always belong to it. */
    enum raft_role role;
    uint64_t lead; /* the leader of `term`, if known */
    raft_step_fn *step;
    raft_tick_fn *tick;

    struct raft_log log;
    struct tracker trk; /* members, and what a leader knows of them */
    bool is_learner;    /* self, in trk.config */

    /* A leader's own business, cleared by raft_reset. No conf change is
     * accepted until pending_conf_index is applied [raft-core CC-20];
     * uncommitted_size counts payload bytes proposed and not yet applied. */
    uint64_t lead_transferee; /* proposals stop while it is set */
    uint64_t pending_conf_index;
    uint64_t uncommitted_size;
    struct read_only read_only;
    struct message_queue pending_reads; /* before the first commit in term */

    /* Answers for the application, taken by the next Ready. */
    struct read_state *read_states;
    size_t n_read_states;
    size_t read_states_cap;

    /* `msgs` may leave at once; `msgs_after_append` only after all that is
     * unstable now is durable [raft-core SND-4]. */
    struct message_queue msgs;
    struct message_queue msgs_after_append;

    /* Entries in passing, empty between calls: kept for its memory. */
    struct raft_entries batch;

    /* Ticks since the role's timer was reset. A follower campaigns at
     * randomized_election_timeout in [election_timeout, 2*election_timeout). */
    int election_elapsed;
    int heartbeat_elapsed; /* leader only */
    int randomized_election_timeout;
    int quiet_ticks; /* until the next line about a peer's mistake */

    /* Configuration; never changes. */
    int election_timeout;
    int heartbeat_timeout;
    uint64_t max_msg_size;
    uint64_t max_uncommitted_size;
    bool async_storage_writes;
    bool check_quorum;
    bool pre_vote;
    bool disable_proposal_forwarding;
    bool disable_conf_change_validation;
    bool step_down_on_removal;

#ifdef RAFT_CHECK
    bool unchecked; /* by a test that breaks an invariant on purpose */
#endif
};

enum campaign_type {
    CAMPAIGN_PRE_ELECTION, /* ask first, without raising the term */
    CAMPAIGN_ELECTION,
    CAMPAIGN_TRANSFER, /* at the leader's wish: breaks voters' leases */
};

/* The only campaign type that travels, as the context of MsgVote. */
#define CAMPAIGN_TRANSFER_CONTEXT "CampaignTransfer"

/* --- raft.c: life cycle, roles, ticks, elections, membership --- */

/* As the storage of `cfg` says. What does not fit together is fatal. */
void raft_init(struct raft *r, const struct raft_config *cfg);
void raft_release(struct raft *r);

void raft_hard_state(const struct raft *r, struct hard_state *hs);
struct soft_state raft_soft_state(const struct raft *r);

void raft_reset(struct raft *r, uint64_t term);
void raft_become_follower(struct raft *r, uint64_t term, uint64_t lead);
void raft_become_candidate(struct raft *r);
void raft_become_pre_candidate(struct raft *r);
void raft_become_leader(struct raft *r);

void raft_tick_election(struct raft *r);
void raft_tick_heartbeat(struct raft *r);
bool raft_promotable(const struct raft *r);
bool raft_past_election_timeout(const struct raft *r);

/* Whether the log has a configuration change in (after, last]; `after` is not
 * below what is applied. */
bool raft_has_conf_changes(const struct raft *r, uint64_t after, uint64_t last);

/* Campaign, if the node may [raft-core EL-1]. */
void raft_hup(struct raft *r, enum campaign_type type);
void raft_campaign(struct raft *r, enum campaign_type type);

/* Count the answer of `id` and return how the vote stands. */
enum vote_result raft_poll(struct raft *r, uint64_t id, bool granted);

/* Entries up to `index`, `size` encoded bytes, are applied. May propose to
 * leave a joint configuration [raft-core CC-19]. */
void raft_applied_to(struct raft *r, uint64_t index, uint64_t size);
void raft_applied_snap(struct raft *r, const struct raft_snapshot *s);

/* Take over the members of `s`; false if it is not needed or not usable. */
bool raft_restore(struct raft *r, struct raft_snapshot *s);

/* Apply `cc`; a change that the members do not allow is fatal. */
void raft_apply_conf_change(struct raft *r, const struct conf_change_v2 *cc);
void raft_abort_leader_transfer(struct raft *r);

/* Whether a warning about what a peer does may be written now: one in an
 * election timeout, as a broken peer repeats itself. */
bool raft_may_warn(struct raft *r);
#define warn_limited(r, ...)                                                   \
    (raft_may_warn(r) ? log_at((r)->lg, LOG_WARN, __VA_ARGS__) : (void)0)

/* Assert the invariants between the parts of `r`. */
void raft_check(const struct raft *r);

/* --- step.c --- */

/* Handle one message; `m` is borrowed and not changed. Entries of a MsgProp
 * with a single reference and term and index 0 are numbered in place.
 *   ERR_PROPOSAL_DROPPED  (MsgProp only) */
int raft_step(struct raft *r, const struct raft_message *m);

int raft_step_candidate(struct raft *r, const struct raft_message *m);
int raft_step_follower(struct raft *r, const struct raft_message *m);
void raft_handle_append_entries(struct raft *r, const struct raft_message *m);
void raft_handle_heartbeat(struct raft *r, const struct raft_message *m);
void raft_handle_snapshot(struct raft *r, const struct raft_message *m);

/* --- step_leader.c --- */

int raft_step_leader(struct raft *r, const struct raft_message *m);

/* Hand a read's answer to the application: serve it once `index` is applied. */
void raft_push_read_state(struct raft *r, uint64_t index, struct bytes ctx);
bool raft_committed_entry_in_current_term(const struct raft *r);

/* Leader: the commit index has moved. Take up the reads that waited for it and
 * tell the followers. */
void raft_commit_advanced(struct raft *r);

/* Leader: answer the reads that a quorum has confirmed by now. */
void raft_answer_confirmed_reads(struct raft *r);

/* --- replicate.c --- */

/* A new message of `type` to `to` in the queue where it belongs, with sender
 * and term filled in [raft-core SND-1..3]. The caller fills the rest before the
 * next call. */
struct raft_message *raft_send(struct raft *r, enum raft_message_type type,
                               uint64_t to);

/* The same for the four vote types, whose term is the caller's. */
struct raft_message *raft_send_vote_type(struct raft *r,
                                         enum raft_message_type type,
                                         uint64_t to, uint64_t term);

/* Pass `m` on to `to`, in the name of its sender. */
void raft_forward(struct raft *r, const struct raft_message *m, uint64_t to);

/* Append to the leader's log; false if the limit of uncommitted bytes refuses
 * the batch. References are taken, not moved. */
bool raft_append_entry(struct raft *r, struct raft_entry *const *entries,
                       size_t n);
void raft_reduce_uncommitted_size(struct raft *r, uint64_t payload);

bool raft_maybe_send_append(struct raft *r, uint64_t to, bool send_if_empty);
void raft_send_append(struct raft *r, uint64_t to);
void raft_bcast_append(struct raft *r);
void raft_bcast_heartbeat(struct raft *r);
void raft_send_timeout_now(struct raft *r, uint64_t to);

/* Leader: commit what a quorum has stored, if that is more than before. */
bool raft_maybe_commit(struct raft *r);

/* --- rawnode.c --- */

/* Private as well, so that tests can look inside. */
struct rawnode {
    struct raft raft;

    /* As of the last Ready, to see what has changed since. */
    struct soft_state prev_soft_state;
    struct hard_state prev_hard_state;

    /* What the Ready in hand points to. The vectors hold references, so the log
     * may change meanwhile; they keep their memory from one Ready to the
     * next. */
    struct soft_state soft_state;
    struct hard_state hard_state;
    struct read_state *read_states;
    size_t read_states_cap;
    struct raft_entries entries;
    struct raft_entries committed_entries;
    struct raft_snapshot *snapshot;
    struct message_queue messages;

    /* Messages to self that wait for the work of the Ready in hand: own votes
     * and acknowledgements, then those of storage [raft-core RD-1]. */
    struct message_queue steps_on_advance;

    struct raft_message proposal; /* reused for every MsgProp */
};

#endif /* SRC_RAFT_RAFT_INTERNAL_H */
