/* The wrapper of a snapshot file: etcd's snappb { crc, data }.
 *
 * Counterpart: etcd server/etcdserver/api/snap/snappb. */

#ifndef PROTO_SNAPPB_H
#define PROTO_SNAPPB_H

#include "src/base/common.h"
#include "src/base/err.h"

struct snappb_snapshot {
    uint32_t crc; /* CRC-32C of data */
    struct bytes data;
};

/* Bytes before the data of a file with `data_len` bytes of it, and write them
 * at `p`; returns the end, where the caller puts the data. */
#define SNAPPB_HEAD_MAX 20
size_t snappb_head_size(uint32_t crc, size_t data_len);
uint8_t *snappb_head_encode(uint8_t *p, uint32_t crc, size_t data_len);

/* `data` points into `in`, NULL if it is absent. ERR_MALFORMED, with *out
 * untouched, if it does not parse. The crc is not checked. */
MUST_CHECK int snappb_decode(struct bytes in, struct snappb_snapshot *out);

/* The same for a file of which only the front is there: what stands before the
 * data, as the functions above write it, and how much data follows. Returns the
 * size of the head, or ERR_MALFORMED. */
MUST_CHECK int snappb_head_decode(struct bytes front, uint32_t *crc,
                                  uint64_t *data_len);

#endif /* PROTO_SNAPPB_H */
