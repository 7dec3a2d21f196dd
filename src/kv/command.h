/* A log entry's payload: one Go gob stream of kv{Key, Val}, with our ID.
 *
 * Each payload is self-contained: a type definition, then one value. Ours adds
 * the field ID, which Go programs skip (extensions.md): the request id, by
 * which the node that took a PUT knows when that very entry is applied. It is
 * never used to suppress anything.
 *
 * Pure: bytes in, bytes out. Counterpart: Go encoding/gob as used by etcd
 * contrib/raftexample kvstore.go (formats-gob.md). */

#ifndef SRC_KV_COMMAND_H
#define SRC_KV_COMMAND_H

#include "src/base/common.h"
#include "src/base/err.h"

struct kv_command {
    struct bytes key;
    struct bytes value;
    uint64_t id; /* 0: none */
};

/* The exact size of the encoding, and write it at `p`; returns the end. */
size_t kv_command_size(const struct kv_command *c);
uint8_t *kv_command_encode(const struct kv_command *c, uint8_t *p);

/* Read any gob stream that Go would decode into kv{Key, Val}, however it was
 * defined (formats-gob.md section 5). Key and value point into `in`. For every
 * other input: ERR_MALFORMED; depth and work are bounded by in.len. */
MUST_CHECK int kv_command_decode(struct bytes in, struct kv_command *out);

#endif /* SRC_KV_COMMAND_H */
