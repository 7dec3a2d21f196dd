/* The configuration in force, the Progress of every member, and the votes of
 * the election in hand.
 *
 * Members are kept in ascending order of their ids; whoever needs all of them
 * walks tracker.progress.items. Pointers into it stay valid until the next
 * tracker_switch.
 *
 * Invariants [raft-core CC-10]: every voter and learner has a Progress;
 * learners are disjoint from the voters of both halves; learners_next is a part
 * of the outgoing voters; outside a joint configuration learners_next is empty
 * and auto_leave false.
 *
 * Counterpart: etcd-io/raft tracker/tracker.go, tracker/progress.go
 * (ProgressMap). Differs: sorted arrays in the place of maps. */

#ifndef SRC_RAFT_TRACKER_H
#define SRC_RAFT_TRACKER_H

#include "src/raft/progress.h"
#include "src/raft/quorum.h"

/* All zero is the empty configuration. The lists are sets (quorum.h). */
struct tracker_config {
    struct joint_config voters;
    struct id_list learners;
    /* Voters of the outgoing half that become learners when it is left. */
    struct id_list learners_next;
    bool auto_leave; /* the leader leaves the joint configuration itself */
};

/* Make `to` (its content is released) a deep copy. */
void tracker_config_copy(struct tracker_config *to,
                         const struct tracker_config *from);
void tracker_config_release(struct tracker_config *c); /* empty afterwards */
bool tracker_config_is_joint(const struct tracker_config *c);

/* Append the text of raft-core TR-6. */
void tracker_config_string(const struct tracker_config *c, struct buf *out);

/* Progress by id: an array in ascending order. All zero is empty. */
struct progress_map {
    struct progress *items;
    size_t n;
    size_t cap;
};

/* NULL: no such member. */
struct progress *progress_map_find(const struct progress_map *m, uint64_t id);

/* A new place for `id`, which must be absent; the caller initialises it. Moves
 * the others: pointers to them are void. */
struct progress *progress_map_insert(struct progress_map *m, uint64_t id);
void progress_map_remove(struct progress_map *m, uint64_t id);

/* Make `to` (its content is released) a deep copy. */
void progress_map_copy(struct progress_map *to,
                       const struct progress_map *from);
void progress_map_release(struct progress_map *m); /* empty afterwards */

/* Append one line per member, as the command `status` of the scripts. */
void progress_map_string(const struct progress_map *m, struct buf *out);

struct vote_record {
    uint64_t id;
    bool granted;
};

struct tracker {
    struct tracker_config config;
    struct progress_map progress;
    struct vote_record *votes; /* the first answer of each */
    size_t n_votes;
    size_t votes_cap;
    struct inflight_limits limits; /* of each member */
    const struct logger *lg;       /* borrowed; may be NULL */
};

/* No members. */
void tracker_init(struct tracker *t, struct inflight_limits limits,
                  const struct logger *lg);
void tracker_release(struct tracker *t);

/* Put another configuration and its Progress in place; both are moved out of
 * the arguments, which are empty afterwards. Votes stay. */
void tracker_switch(struct tracker *t, struct tracker_config *config,
                    struct progress_map *progress);

/* Empty configuration, no Progress, no votes; the limits stay. */
void tracker_clear(struct tracker *t);

/* NULL: not a member. */
struct progress *tracker_progress(const struct tracker *t, uint64_t id);

/* Whether `id` votes in one of the halves. */
bool tracker_is_voter(const struct tracker *t, uint64_t id);

/* One voter in all; learners do not matter. */
bool tracker_is_singleton(const struct tracker *t);

/* The largest index that the quorum has stored. */
uint64_t tracker_committed(const struct tracker *t);

/* Whether a quorum of voters was recently active [raft-core EL-21]. */
bool tracker_quorum_active(const struct tracker *t);

/* *out (all zero before) is the sorted ids, owned by the caller:
 * id_set_release. Voters of both halves; learners without learners_next. */
void tracker_voter_nodes(const struct tracker *t, struct id_list *out);
void tracker_learner_nodes(const struct tracker *t, struct id_list *out);

/* *out (all zero before) is the configuration as stored in snapshots, owned by
 * the caller: conf_state_release. */
void tracker_conf_state(const struct tracker *t, struct conf_state *out);

/* --- the election in hand --- */

void tracker_reset_votes(struct tracker *t);

/* Later answers of the same member are ignored. */
void tracker_record_vote(struct tracker *t, uint64_t id, bool granted);

struct vote_tally {
    size_t granted; /* of members that are no learners; for logs only */
    size_t rejected;
    enum vote_result result;
};

struct vote_tally tracker_tally_votes(const struct tracker *t);

/* ASSERT the invariants above, and those of every Progress. */
void tracker_check(const struct tracker *t);

#endif /* SRC_RAFT_TRACKER_H */
