/* A snapshot's content: a JSON object of strings, as Go's encoding/json writes
 * a map[string]string, but lossless.
 *
 * Bytes that are not valid UTF-8 are written raw inside the string, where Go
 * reads U+FFFD, the same as from its own snapshots; our own reader gets the
 * original bytes back (extensions.md).
 *
 * Pure: bytes in, bytes out. Counterpart: Go encoding/json as used by etcd
 * contrib/raftexample kvstore.go (formats-snapshot.md section 4). */

#ifndef SRC_KV_IMAGE_H
#define SRC_KV_IMAGE_H

#include "src/base/common.h"
#include "src/base/err.h"

struct buf;

/* Append `s` as a JSON string with its quotes. ERR_TOO_LARGE if `b` is full. */
int image_put_string(struct buf *b, struct bytes s);

/* Called per member of the object, in order; `key` and `value` are borrowed
 * for the call. Duplicate keys come as they stand: the last one wins. */
typedef void image_pair_cb(void *arg, struct bytes key, struct bytes value);

/* Parse a whole document. Everything Go's decoder accepts is accepted, a null
 * value is the empty string, a null document is the empty map; everything else
 * is ERR_MALFORMED, `em` has the offset. */
MUST_CHECK int image_decode(struct bytes in, image_pair_cb *cb, void *arg,
                            struct errmsg *em);

#endif /* SRC_KV_IMAGE_H */
