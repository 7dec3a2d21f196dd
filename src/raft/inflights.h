/* The window of MsgApps sent to one follower and not yet acknowledged.
 *
 * A queue of (last index, payload bytes) per message, limited in messages and,
 * softly, in bytes: the message that crosses the byte limit still goes out, the
 * next one does not.
 *
 * Counterpart: etcd-io/raft tracker/inflights.go [Thesis 10.2.1].
 * Differs: positions wrap at the allocated length, not at the limit, so memory
 * follows the number in flight even under a limit of 2^31-1. */

#ifndef SRC_RAFT_INFLIGHTS_H
#define SRC_RAFT_INFLIGHTS_H

#include "src/base/log.h"

struct inflight {
    uint64_t index; /* of the last entry in the message */
    uint64_t bytes; /* payload of the message */
};

struct inflights {
    size_t start;            /* position of the oldest in the ring */
    size_t count;            /* messages in flight */
    uint64_t bytes;          /* the sum of their bytes */
    size_t size;             /* limit of messages */
    uint64_t max_bytes;      /* limit of bytes; 0: none */
    struct inflight *buffer; /* ring of `cap` places, grown on demand */
    size_t cap;              /* <= size */
    const struct logger *lg; /* borrowed; may be NULL */
};

void inflights_init(struct inflights *in, size_t size, uint64_t max_bytes,
                    const struct logger *lg);
void inflights_release(struct inflights *in);

/* Make `to` (all zero, or released) a deep copy. */
void inflights_copy(struct inflights *to, const struct inflights *from);

/* No more message may be sent. A window of size 0 is always full. */
bool inflights_full(const struct inflights *in);

/* One more message that ends in index `last`, beyond all before it. Fatal when
 * full. */
void inflights_add(struct inflights *in, uint64_t last, uint64_t bytes);

/* Everything up to index `to` has arrived. */
void inflights_free_le(struct inflights *in, uint64_t to);

/* Nothing is in flight any more. */
void inflights_reset(struct inflights *in);

/* ASSERT that counts, bytes and order agree. O(count). */
void inflights_check(const struct inflights *in);

#endif /* SRC_RAFT_INFLIGHTS_H */
