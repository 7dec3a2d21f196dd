/* Quorums: what a majority, or both majorities of a joint configuration, have
 * stored or voted.
 *
 * A configuration here is a set of ids: an id_list in ascending order, without
 * duplicates. Nothing is allocated for up to QUORUM_STACK_MEMBERS voters.
 *
 * Counterpart: etcd-io/raft quorum/ [Raft 6, Thesis 4.3].
 * Differs: sets are sorted arrays, not maps, so every order is the ids'. */

#ifndef SRC_RAFT_QUORUM_H
#define SRC_RAFT_QUORUM_H

#include "proto/raftpb.h"

struct buf;

/* The committed index of an empty configuration: no limit. */
#define QUORUM_INDEX_MAX UINT64_MAX

/* Larger configurations work and allocate. */
#define QUORUM_STACK_MEMBERS 64

/* --- sets of ids --- */

/* Both say whether the set changed. */
bool id_set_add(struct id_list *s, uint64_t id);
bool id_set_remove(struct id_list *s, uint64_t id);

/* By binary search, so only for ascending lists. */
bool id_set_contains(const struct id_list *s, uint64_t id);
bool id_set_equal(const struct id_list *a, const struct id_list *b);

/* Make `to` (its content is released) a copy. */
void id_set_copy(struct id_list *to, const struct id_list *from);
void id_set_release(struct id_list *s); /* empty afterwards */

/* Move all ids of `from` into `to` as well. */
void id_set_union(struct id_list *to, const struct id_list *from);

/* --- questions to the tracker --- */

/* The highest index known to be stored by voter `id`; false: not known. */
typedef bool acked_index_fn(const void *ctx, uint64_t id, uint64_t *index);

enum vote {
    VOTE_MISSING,
    VOTE_NO,
    VOTE_YES,
};

typedef enum vote vote_fn(const void *ctx, uint64_t id);

enum vote_result {
    VOTE_PENDING = 1, /* the missing votes decide */
    VOTE_LOST = 2,    /* no majority can be reached any more */
    VOTE_WON = 3,
};

const char *vote_result_name(enum vote_result r); /* "VotePending" */

/* --- one majority --- */

/* The largest index that a majority has stored; an unknown one counts as 0. An
 * empty configuration commits everything, which makes it neutral in a joint
 * one. */
uint64_t quorum_majority_committed_index(const struct id_list *voters,
                                         const void *ctx,
                                         acked_index_fn *acked_cb);

/* An empty configuration has won. */
enum vote_result quorum_majority_vote_result(const struct id_list *voters,
                                             const void *ctx, vote_fn *vote_cb);

/* Append the bar chart of raft-tests.md 7.4 to `out`. */
void quorum_majority_describe(const struct id_list *voters, const void *ctx,
                              acked_index_fn *acked_cb, struct buf *out);

/* --- both majorities --- */

/* The voters. Not joint iff `outgoing` is empty. */
struct joint_config {
    struct id_list incoming;
    struct id_list outgoing;
};

/* The smaller one of the two halves. */
uint64_t quorum_joint_committed_index(const struct joint_config *c,
                                      const void *ctx,
                                      acked_index_fn *acked_cb);

/* Won if both are won, lost if one is lost. */
enum vote_result quorum_joint_vote_result(const struct joint_config *c,
                                          const void *ctx, vote_fn *vote_cb);

/* Whether `id` votes in one of the halves. */
bool quorum_joint_contains(const struct joint_config *c, uint64_t id);

/* *out (all zero before) becomes the union of the halves, owned by the caller:
 * id_set_release. */
void quorum_joint_ids(const struct joint_config *c, struct id_list *out);

/* The chart of the union. */
void quorum_joint_describe(const struct joint_config *c, const void *ctx,
                           acked_index_fn *acked_cb, struct buf *out);

/* Append "(1 2 3)", ids in hex, and with "&&" the outgoing half if any. */
void quorum_majority_string(const struct id_list *voters, struct buf *out);
void quorum_joint_string(const struct joint_config *c, struct buf *out);

/* Append an index in decimal, QUORUM_INDEX_MAX as the infinity sign. */
void quorum_index_string(uint64_t index, struct buf *out);

#endif /* SRC_RAFT_QUORUM_H */
