/* Record framing: the bytes of a segment. Pure.
 *
 * A segment is a run of frames, each at a multiple of 8 [formats-wal 2]:
 *
 *   0    8  length field, little-endian: bits 0-55 are n; the top byte is 0x80
 *           | p if there is padding, else 0
 *   8    n  walpb.Record { type, crc, data }
 *   8+n  p  zeros up to the next multiple of 8
 *
 * A length field of zero is the end of the used part.
 *
 * Two checksums run through the log. The chain of the format covers the data
 * fields only, in order, over all segments; each record carries its value. The
 * second one is ours [reliability 3.3]: a *marker*, a crc record that opens
 * each sync group, has in its data field, which other readers ignore, the
 * CRC-32C of all raw bytes since the crc record before it. So a changed type,
 * length or padding is seen too, and a record that is missing altogether.
 *
 *   marker  10..14 bytes of record, 24 of frame:
 *           08 04 | 10 crc | 1a 04 group crc, little-endian
 *
 * Counterpart: etcd server/storage/wal encoder.go, decoder.go.
 * Differs: reads strictly; whatever no writer writes is a bad frame. */

#ifndef WAL_RECORD_H
#define WAL_RECORD_H

#include "proto/walpb.h"
#include "src/base/common.h"

struct buf;

#define RECORD_ALIGN        8
#define RECORD_LENGTH_BYTES 8 /* the length field */
#define RECORD_MARKER_BYTES 24
#define RECORD_GROUP_BYTES  4 /* the data of a marker */

enum record_status {
    RECORD_OK,
    RECORD_END,   /* the length field is zero */
    RECORD_SHORT, /* the frame is longer than the bytes given */
    RECORD_BAD,   /* no writer writes this */
};

struct record {
    struct walpb_record pb; /* data points into the input */
    /* The whole frame, a multiple of 8, as the length field says: also for
     * RECORD_SHORT (8 if not even that field is there) and RECORD_BAD. 0 for
     * RECORD_END. */
    uint64_t size;
    uint64_t used; /* the same without the padding */
};

/* Take apart the frame at the start of `in`. Nothing but the frame itself is
 * checked: the chain is record_verify's. */
enum record_status record_decode(struct bytes in, struct record *out);

/* Whether a decoded record is a marker: a crc record with a group checksum. */
bool record_is_marker(const struct record *rec);

/* The two running checksums at some offset of the log. */
struct record_chain {
    uint32_t crc; /* over the data fields of all records so far */
    uint32_t raw; /* over all bytes since the last crc record's end */
};

enum record_fit {
    RECORD_FITS,
    RECORD_CRC_WRONG,   /* the format's chain is broken at this record */
    RECORD_GROUP_WRONG, /* a marker says that bytes before it have changed */
};

/* Check `rec`, decoded from the start of `frame`, against the chain, and move
 * the chain past it if it fits. */
enum record_fit record_verify(struct record_chain *chain,
                              const struct record *rec, const uint8_t *frame);

/* --- writing: whole frames at the end of a buffer without limit --- */

/* The room in a buffer that a record takes while it is written. */
size_t record_room(size_t data_len);

/* Room for a record with `data_len` bytes of data: the caller writes them
 * where the result points and calls record_end with the same length. */
uint8_t *record_begin(struct buf *b, size_t data_len);
void record_end(struct buf *b, enum walpb_record_type type, size_t data_len,
                struct record_chain *chain);

/* A record whose data lies elsewhere; a NULL pointer means no data field. */
void record_append(struct buf *b, enum walpb_record_type type,
                   struct bytes data, struct record_chain *chain);

/* A crc record without data: what every other writer puts in its place. */
void record_append_crc(struct buf *b, struct record_chain *chain);

/* A crc record that seals all bytes since the last one. */
void record_append_marker(struct buf *b, struct record_chain *chain);

#endif /* WAL_RECORD_H */
