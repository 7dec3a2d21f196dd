/* Proposals waiting for commit: request id -> request.
 *
 * A proposal enters the log at most once: what raft refused was in no log and
 * is answered as such, what it took is never proposed again, and is settled by
 * the very entry that carries its id, by its deadline, or by the end of the
 * node [reliability I19, I20].
 *
 * Counterpart: etcd pkg/wait, which raftexample does without. */

#ifndef SRC_SERVER_PROPOSALS_H
#define SRC_SERVER_PROPOSALS_H

#include "src/base/map.h"
#include "src/server/request.h"

struct rawnode;

struct proposals {
    struct list puts;          /* WAITING, not yet proposed */
    struct list changes;       /* WAITING membership changes, one at a time */
    struct list sent;          /* PROPOSED */
    struct map by_id;          /* PROPOSED */
    size_t n;                  /* in any of the lists */
    size_t bytes;              /* payload bytes of the puts waiting */
    struct raft_entry **batch; /* scratch of proposals_flush */
    size_t batch_cap;
};

void proposals_init(struct proposals *p);

/* All lists must be empty. */
void proposals_release(struct proposals *p);

/* Take a request in, to wait for a leader. ERR_OVERLOADED if too many wait;
 * the request is then not taken. */
MUST_CHECK int proposals_add(struct proposals *p, struct request *req);

/* Hand everything that waits to raft, but for the puts if `hold_puts`; called
 * with a leader known. `term` is the node's. Membership changes go one by one,
 * and wait while one may still be unapplied. Requests that are refused, or need
 * no more than being proposed, are put on a list of *out. */
struct proposals_outcome {
    struct list refused; /* ERR_PROPOSAL_DROPPED */
    struct list handed;  /* 0: respond_async */
};
void proposals_flush(struct proposals *p, struct rawnode *rn, uint64_t term,
                     bool hold_puts, struct proposals_outcome *out);

struct request_load proposals_load(const struct proposals *p);

/* The request whose entry with this id and term has been applied, taken out of
 * the table; NULL if it is not one of ours or not any more. */
struct request *proposals_applied(struct proposals *p, uint64_t id,
                                  uint64_t term);

/* Take a request out, whatever its stage. */
void proposals_remove(struct proposals *p, struct request *req);

#endif /* SRC_SERVER_PROPOSALS_H */
