/* The wrapper of a snapshot file. Read by hand, as its data may be larger than
 * the 2 GiB that protobuf-c takes, and must not be copied to be checked. */

#include "proto/snappb.h"

#include "proto/pb_wire.h"

size_t snappb_head_size(uint32_t crc, size_t data_len)
{
    return pb_u64_size(crc) + 1 + pb_varint_size(data_len);
}

uint8_t *snappb_head_encode(uint8_t *p, uint32_t crc, size_t data_len)
{
    p = pb_put_u64(p, 1, crc);
    return pb_put_head(p, 2, data_len);
}

int snappb_decode(struct bytes in, struct snappb_snapshot *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct snappb_snapshot s = {0};
    struct pb_field f;
    uint64_t crc = 0;
    int rc;

    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        if (f.number == 1) {
            ok = pb_take_varint(&f, &crc);
        } else if (f.number == 2) {
            ok = pb_take_bytes(&f, &s.data);
        }
        /* A checksum that does not fit its type is not one. */
        if (!ok || crc > UINT32_MAX) {
            return ERR_MALFORMED;
        }
    }
    if (rc < 0) {
        return rc;
    }
    s.crc = (uint32_t)crc;
    *out = s;
    return 0;
}

int snappb_head_decode(struct bytes front, uint32_t *crc, uint64_t *data_len)
{
    struct pb_reader r = pb_reader_of(front);
    uint64_t value;

    if (r.p == r.end || *r.p++ != PB_TAG(1, PB_VARINT) ||
        !pb_get_varint(&r, &value) || value > UINT32_MAX || r.p == r.end ||
        *r.p++ != PB_TAG(2, PB_BYTES) || !pb_get_varint(&r, data_len)) {
        return ERR_MALFORMED;
    }
    *crc = (uint32_t)value;
    return (int)(r.p - front.data);
}
