/* ReadIndex requests that wait for a quorum to confirm the leader.
 *
 * The k-th request since the leader's term began has position k. Heartbeats
 * carry the newest position, members echo it, and once a quorum has echoed
 * position p every request up to p is confirmed: the leader was still leader
 * after they arrived [Thesis 6.4]. Positions, not the users' contexts, travel:
 * equal contexts or answers of an earlier term cannot confirm anything, because
 * the tracker restarts empty on every change of role [raft-core RI-10].
 *
 * Counterpart: etcd-io/raft read_only.go (3.7). */

#ifndef SRC_RAFT_READ_ONLY_H
#define SRC_RAFT_READ_ONLY_H

#include "src/raft/quorum.h"
#include "src/raft/raft.h"

#define READ_ONLY_CONTEXT_SIZE 8 /* a position, little-endian */

struct read_request {
    uint64_t from;            /* who asked; RAFT_NONE or self: here */
    uint64_t index;           /* committed when it arrived */
    struct raft_entry *entry; /* its data is the context; one reference */
};

struct read_ack {
    uint64_t id;
    uint64_t position; /* the highest one acknowledged */
};

struct read_only {
    enum read_only_option option;
    struct read_request *queue; /* unconfirmed, oldest at queue[head] */
    size_t head;
    size_t len; /* places in use, those before head included */
    size_t cap;
    uint64_t confirmed;    /* requests that have left the queue */
    struct read_ack *acks; /* in no order; a handful */
    size_t n_acks;
    size_t acks_cap;
};

void read_only_init(struct read_only *ro, enum read_only_option option);
void read_only_release(struct read_only *ro);

/* Forget requests, positions and acknowledgements; the option stays. */
void read_only_reset(struct read_only *ro);

/* Requests not yet confirmed. */
size_t read_only_pending(const struct read_only *ro);

/* The position of the newest request. */
uint64_t read_only_last_position(const struct read_only *ro);

/* Queue a request, with one more reference to req.entry, and let `self`
 * acknowledge its position. */
void read_only_add_request(struct read_only *ro, uint64_t self,
                           struct read_request req);

/* What heartbeats carry now, written to `ctx`: the newest position, or absent
 * (data NULL) while nothing waits. */
struct bytes read_only_heartbeat_context(const struct read_only *ro,
                                         uint8_t ctx[READ_ONLY_CONTEXT_SIZE]);

/* `id` echoed `ctx`. False, and nothing changed, if that is no position. */
bool read_only_recv_ack(struct read_only *ro, uint64_t id, struct bytes ctx);

/* How many of the oldest requests are confirmed by now: pop as many. */
size_t read_only_advance(const struct read_only *ro,
                         const struct joint_config *voters);

/* The oldest request leaves as confirmed; its reference moves to *out. */
void read_only_pop(struct read_only *ro, struct read_request *out);

#endif /* SRC_RAFT_READ_ONLY_H */
