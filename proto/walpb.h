/* What WAL records hold: etcd's walpb.
 *
 * The frame around a record is wal/record.h's; here are only the protobuf
 * messages. Counterpart: etcd server/storage/wal/walpb. */

#ifndef PROTO_WALPB_H
#define PROTO_WALPB_H

#include "proto/raftpb.h"

enum walpb_record_type {
    WALPB_METADATA = 1,
    WALPB_ENTRY = 2,
    WALPB_STATE = 3,
    WALPB_CRC = 4,
    WALPB_SNAPSHOT = 5,
};

/* A record as decoded; `data` points into the input, NULL: absent. */
struct walpb_record {
    uint64_t type;
    uint32_t crc;
    struct bytes data;
};

/* Strict: ERR_MALFORMED for an unknown type or field, a repeated or missing
 * scalar, a crc over 32 bits, a truncated field [reliability 3.3]; and for what
 * no writer of the format writes, fields out of order or varints longer than
 * needed. Written by hand, as it runs once per record and must not be more
 * lenient than that. *out is untouched on failure. */
MUST_CHECK int walpb_record_decode(struct bytes in, struct walpb_record *out);

/* The encoded size of a record with `data_len` bytes of data (`has_data`
 * false: the field is absent). */
size_t walpb_record_size(uint64_t type, uint32_t crc, bool has_data,
                         size_t data_len);

/* Everything of the record up to the data bytes themselves, which the caller
 * puts behind; returns the end. */
uint8_t *walpb_record_encode_head(uint8_t *p, uint64_t type, uint32_t crc,
                                  bool has_data, size_t data_len);

/* A snapshot marker: (index, term) of a snapshot file that is on disk, and the
 * ConfState at that index, which etcd 3.5 and later insist on. */
struct walpb_snapshot {
    uint64_t index;
    uint64_t term;
    const struct conf_state *conf_state; /* borrowed; NULL for index 0 */
};

size_t walpb_snapshot_size(const struct walpb_snapshot *s);
uint8_t *walpb_snapshot_encode(const struct walpb_snapshot *s, uint8_t *p);

/* Lenient as protobuf is. conf_state is not kept: nothing reads it back. *out
 * is untouched on failure. */
MUST_CHECK int walpb_snapshot_decode(struct bytes in,
                                     struct walpb_snapshot *out);

#endif /* PROTO_WALPB_H */
