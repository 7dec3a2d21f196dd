/* Linearizable reads: ReadIndex in batches.
 *
 * All reads that came in since the last turn share one ReadIndex request, whose
 * context is new each time it is asked. A change of leader or term ends every
 * attempt: its reads are asked again under a new context, which is legal since
 * they began before [reliability I21; raft-core 21; Thesis 6.4].
 *
 * Counterpart: etcd server/etcdserver/v3_server.go, linearizableReadLoop.
 * Differs: several batches may be on their way at once. */

#ifndef SRC_SERVER_READS_H
#define SRC_SERVER_READS_H

#include "src/server/request.h"

struct read_state;
struct rawnode;

struct reads {
    uint64_t node_id;
    uint64_t next_seq;     /* of a context; never used twice */
    struct list queued;    /* requests: READ_QUEUED */
    struct list asked;     /* batches without an answer, oldest first */
    struct list confirmed; /* batches that wait for applied, by index */
    size_t n;              /* requests in any of them */
    size_t n_queued;       /* of them READ_QUEUED */
};

/* `first_seq` differs from every one used in earlier lives of the node. */
void reads_init(struct reads *r, uint64_t node_id, uint64_t first_seq);
void reads_release(struct reads *r); /* no requests must be left */

/* ERR_OVERLOADED if too many wait; the request is then not taken. */
MUST_CHECK int reads_add(struct reads *r, struct request *req);

/* Ask for what is queued, if anything; called with a leader known. `now` is
 * the tick. */
void reads_flush(struct reads *r, struct rawnode *rn, uint64_t now);

struct request_load reads_load(const struct reads *r);

/* Ask again, under new contexts: everything asked before tick `before`
 * (UINT64_MAX: all). */
void reads_restart(struct reads *r, uint64_t before);

/* A ReadState came; one of an attempt that has ended is ignored. */
void reads_confirmed(struct reads *r, const struct read_state *rs);

/* Take the next request whose index is <= applied; NULL: none. */
struct request *reads_applied(struct reads *r, uint64_t applied);

/* Take a request out, whatever its stage. */
void reads_remove(struct reads *r, struct request *req);

#endif /* SRC_SERVER_READS_H */
