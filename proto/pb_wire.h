/* The wire format of protobuf, as far as our hand-written codecs need it.
 *
 *   field   = tag payload
 *   tag     = varint of (number << 3 | wire type)
 *   payload = varint            wire type 0
 *           | 8 bytes           wire type 1
 *           | varint n, n bytes wire type 2
 *           | 4 bytes           wire type 5
 *
 * Reading refuses what every reader of the format refuses: field number 0, a
 * varint of more than 64 bits, a truncated field [formats-protobuf 2]. Groups
 * (wire types 3 and 4) are refused too, as by protobuf-c; nobody sends them.
 *
 * Private to proto/: other layers see raftpb.h, walpb.h and snappb.h. */

#ifndef PROTO_PB_WIRE_H
#define PROTO_PB_WIRE_H

#include "proto/raftpb.h"

enum pb_wire_type {
    PB_VARINT = 0,
    PB_FIXED64 = 1,
    PB_BYTES = 2,
    PB_FIXED32 = 5,
};

#define PB_FIELD_NUMBER_MAX ((UINT64_C(1) << 29) - 1)

/* The tag byte of a field whose number is at most 15. */
#define PB_TAG(number, wire) ((uint8_t)((number) << 3 | (wire)))

/* --- reading --- */

/* What is left of the input; borrowed. */
struct pb_reader {
    const uint8_t *p;
    const uint8_t *end;
};

struct pb_field {
    uint32_t number;
    uint32_t wire;
    uint64_t value;     /* PB_VARINT */
    struct bytes bytes; /* PB_BYTES: within the input, never NULL */
};

static inline struct pb_reader pb_reader_of(struct bytes in)
{
    /* An absent input reads as an empty one, without arithmetic on NULL. */
    static const uint8_t nothing[1];
    const uint8_t *p = in.data == NULL ? nothing : in.data;

    ASSERT(in.data != NULL || in.len == 0);
    return (struct pb_reader){.p = p, .end = p + in.len};
}

/* False if the varint is truncated or has more than 64 bits. */
static inline bool pb_get_varint(struct pb_reader *r, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint64_t byte = *r->p++;

        if (shift == 63 && byte > 1) {
            return false; /* the tenth byte has room for one bit */
        }
        v |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

static inline bool pb_skip(struct pb_reader *r, uint64_t n)
{
    if (n > (uint64_t)(r->end - r->p)) {
        return false;
    }
    r->p += n;
    return true;
}

/* The payload of a field whose tag has been read. */
static inline bool pb_get_payload(struct pb_reader *r, struct pb_field *f)
{
    uint64_t len;

    switch (f->wire) {
    case PB_VARINT:
        return pb_get_varint(r, &f->value);
    case PB_FIXED64:
        return pb_skip(r, 8);
    case PB_FIXED32:
        return pb_skip(r, 4);
    case PB_BYTES:
        if (!pb_get_varint(r, &len)) {
            return false;
        }
        f->bytes = (struct bytes){r->p, (size_t)len};
        return pb_skip(r, len);
    default:
        return false;
    }
}

/* The next field: 1, or 0 at the end, or ERR_MALFORMED. */
static inline int pb_next(struct pb_reader *r, struct pb_field *f)
{
    uint64_t tag;

    if (r->p == r->end) {
        return 0;
    }
    if (!pb_get_varint(r, &tag)) {
        return ERR_MALFORMED;
    }
    if (tag >> 3 == 0 || tag >> 3 > PB_FIELD_NUMBER_MAX) {
        return ERR_MALFORMED;
    }
    *f = (struct pb_field){.number = (uint32_t)(tag >> 3),
                           .wire = (uint32_t)(tag & 7)};
    return pb_get_payload(r, f) ? 1 : ERR_MALFORMED;
}

/* Store a field that must be a varint / bytes; a repeated one takes the last
 * value. False if the wire type is another. */
static inline bool pb_take_varint(const struct pb_field *f, uint64_t *out)
{
    *out = f->value;
    return f->wire == PB_VARINT;
}

static inline bool pb_take_bytes(const struct pb_field *f, struct bytes *out)
{
    *out = f->bytes;
    return f->wire == PB_BYTES;
}

/* --- writing; every field below has a number of at most 15 --- */

static inline size_t pb_u64_size(uint64_t v)
{
    return 1 + pb_varint_size(v);
}

/* A length-delimited field with `len` bytes in it. */
static inline size_t pb_bytes_size(size_t len)
{
    return 1 + pb_varint_size(len) + len;
}

static inline uint8_t *pb_put_u64(uint8_t *p, unsigned number, uint64_t v)
{
    *p++ = PB_TAG(number, PB_VARINT);
    return pb_put_varint(p, v);
}

/* Tag and length; the caller writes the `len` bytes. */
static inline uint8_t *pb_put_head(uint8_t *p, unsigned number, size_t len)
{
    *p++ = PB_TAG(number, PB_BYTES);
    return pb_put_varint(p, len);
}

static inline uint8_t *pb_put_raw(uint8_t *p, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(p, data, len);
    }
    return p + len;
}

static inline uint8_t *pb_put_bytes(uint8_t *p, unsigned number,
                                    struct bytes data)
{
    return pb_put_raw(pb_put_head(p, number, data.len), data.data, data.len);
}

#endif /* PROTO_PB_WIRE_H */
