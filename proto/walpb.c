/* What WAL records hold.
 *
 * Differs: a record is read more strictly than any protobuf reader would. All
 * writers of the format write the fields once, in ascending order and as short
 * as possible; and the checksum of a record does not cover its head. So
 * whatever looks different there is a flipped bit, and must not be read as if
 * it were a record [reliability 3.3]. */

#include "proto/walpb.h"

#include "proto/pb_wire.h"

/* A varint field with this tag byte comes next, in its shortest form. */
static bool take_scalar(struct pb_reader *r, uint8_t tag, uint64_t *out)
{
    if (r->p == r->end || *r->p != tag) {
        return false;
    }
    const uint8_t *start = ++r->p;

    return pb_get_varint(r, out) &&
           (size_t)(r->p - start) == pb_varint_size(*out);
}

int walpb_record_decode(struct bytes in, struct walpb_record *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct walpb_record rec = {0};
    uint64_t crc;
    uint64_t len;

    if (!take_scalar(&r, PB_TAG(1, PB_VARINT), &rec.type) ||
        !take_scalar(&r, PB_TAG(2, PB_VARINT), &crc)) {
        return ERR_MALFORMED;
    }
    if (rec.type < WALPB_METADATA || rec.type > WALPB_SNAPSHOT ||
        crc > UINT32_MAX) {
        return ERR_MALFORMED;
    }
    rec.crc = (uint32_t)crc;
    if (r.p < r.end) {
        /* The data is the last field: its length is what is left. */
        if (!take_scalar(&r, PB_TAG(3, PB_BYTES), &len) ||
            len != (uint64_t)(r.end - r.p)) {
            return ERR_MALFORMED;
        }
        rec.data = (struct bytes){r.p, (size_t)len};
    }
    *out = rec;
    return 0;
}

size_t walpb_record_size(uint64_t type, uint32_t crc, bool has_data,
                         size_t data_len)
{
    size_t size = pb_u64_size(type) + pb_u64_size(crc);

    return has_data ? size + pb_bytes_size(data_len) : size;
}

uint8_t *walpb_record_encode_head(uint8_t *p, uint64_t type, uint32_t crc,
                                  bool has_data, size_t data_len)
{
    ASSERT(type >= WALPB_METADATA && type <= WALPB_SNAPSHOT);
    ASSERT(has_data || data_len == 0);
    p = pb_put_u64(p, 1, type);
    p = pb_put_u64(p, 2, crc);
    return has_data ? pb_put_head(p, 3, data_len) : p;
}

size_t walpb_snapshot_size(const struct walpb_snapshot *s)
{
    size_t size = pb_u64_size(s->index) + pb_u64_size(s->term);

    if (s->conf_state != NULL) {
        size += pb_bytes_size(conf_state_size(s->conf_state));
    }
    return size;
}

uint8_t *walpb_snapshot_encode(const struct walpb_snapshot *s, uint8_t *p)
{
    p = pb_put_u64(p, 1, s->index);
    p = pb_put_u64(p, 2, s->term);
    if (s->conf_state != NULL) {
        p = pb_put_head(p, 3, conf_state_size(s->conf_state));
        p = conf_state_encode(s->conf_state, p);
    }
    return p;
}

int walpb_snapshot_decode(struct bytes in, struct walpb_snapshot *out)
{
    struct pb_reader r = pb_reader_of(in);
    struct walpb_snapshot s = {0};
    struct bytes conf_state;
    struct pb_field f;
    int rc;

    while ((rc = pb_next(&r, &f)) > 0) {
        bool ok = true;

        switch (f.number) {
        case 1:
            ok = pb_take_varint(&f, &s.index);
            break;
        case 2:
            ok = pb_take_varint(&f, &s.term);
            break;
        case 3:
            ok = pb_take_bytes(&f, &conf_state);
            break;
        default:
            break;
        }
        if (!ok) {
            return ERR_MALFORMED;
        }
    }
    if (rc < 0) {
        return rc;
    }
    *out = s;
    return 0;
}
