/* What must always hold, checked from outside after every step.
 *
 * The checker sees what passes the seams of each node (writes, messages,
 * answers) and looks at the node in between. It keeps two things of its own:
 * for each node a model of what its disk holds, and for the cluster a ledger
 * of what was committed. The invariants are those of reliability.md section 4,
 * under the same names; I1-I6 and I10 are what the TLA+ model of etcd's raft
 * (tla/etcdraft.tla) checks too. */

#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "src/server/raftnode.h"
#include "tests/lib/sim_node.h"

struct checker; /* opaque */

/* A violation: does not return. */
typedef void checker_violation_cb(void *ctx, const char *invariant,
                                  const char *text);

struct checker *checker_new(checker_violation_cb *on_violation, void *ctx);
void checker_free(struct checker *k); /* NULL: no-op */

NORETURN void checker_fail(struct checker *k, const char *invariant,
                           const char *fmt, ...) PRINTF_LIKE(3, 4);

/* --- what passes the seams --- */

/* The node asked for a write of its log. */
void checker_submit(struct checker *k, const struct sim_node *n,
                    const struct raftnode_write *w);

/* It was done, or failed. */
void checker_written(struct checker *k, const struct sim_node *n, int rc);

/* The file of a snapshot of its own was written; or that failed. */
void checker_filed(struct checker *k, const struct sim_node *n,
                   const struct raft_snapshot *own, int rc);

/* The disk was read at start. */
void checker_recovered(struct checker *k, const struct sim_node *n,
                       const struct raftnode_recovered *found);

/* A message was stepped, and nothing else has happened since checker_look. */
void checker_heard(struct checker *k, const struct sim_node *n,
                   const struct raft_message *m);

void checker_send(struct checker *k, const struct sim_node *n,
                  const struct raft_message *m);

/* A client of `n` was told 204, or 503, of the PUT with this request id. */
void checker_acknowledged(struct checker *k, const struct sim_node *n,
                          uint64_t request_id);
void checker_refused(struct checker *k, uint64_t request_id);

/* A client of `n` got the answer to a read that came in when checker_committed
 * was `committed`. What had been committed by then is in what it reads (I21):
 * an old leader that does not know of it is found out by its round. */
void checker_read(struct checker *k, const struct sim_node *n,
                  uint64_t committed);

/* A client of `n` was told what the node has, with NULL that it has nothing. */
void checker_local_read(struct checker *k, const struct sim_node *n,
                        struct bytes key, const struct bytes *value);

/* --- what can be seen --- */

/* The node did something. */
void checker_look(struct checker *k, const struct sim_node *n);

/* If the node has compacted its log since: whether a power cut now would leave
 * a snapshot to begin from (I27). */
void checker_compacted(struct checker *k, const struct sim_node *n);

/* The node was closed: it left nothing behind (I26). */
void checker_closed(struct checker *k, const struct sim_node *n);

/* The last index that is known to be committed. */
uint64_t checker_committed(const struct checker *k);

#endif /* TESTS_SIM_CHECK_H */
