/* Record framing.
 *
 * Counterpart: etcd server/storage/wal encoder.go, decoder.go. */

#include "wal/record.h"

#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/base/crc32c.h"

#define LENGTH_BITS 56
#define LENGTH_MASK (((uint64_t)1 << LENGTH_BITS) - 1)
#define PAD_FLAG    0x80

static_assert(RECORD_LENGTH_BYTES % RECORD_ALIGN == 0,
              "records start aligned as their frames do");

static uint64_t get_le64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}

static void put_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static size_t padding_of(uint64_t n)
{
    return (size_t)(-n % RECORD_ALIGN);
}

/* The only length field that a writer writes for `n` bytes. */
static uint64_t length_field(uint64_t n)
{
    uint64_t pad = padding_of(n);

    return n | (pad > 0 ? (PAD_FLAG | pad) << LENGTH_BITS : 0);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* What the record parser lets pass but neither we nor raftexample write. */
static bool is_odd(const struct walpb_record *rec)
{
    switch ((enum walpb_record_type)rec->type) {
    case WALPB_METADATA:
        return rec->data.data != NULL;
    case WALPB_CRC:
        return rec->data.data != NULL && rec->data.len != RECORD_GROUP_BYTES;
    case WALPB_ENTRY:
    case WALPB_STATE:
    case WALPB_SNAPSHOT:
        return rec->data.data == NULL;
    }
    UNREACHABLE();
}

enum record_status record_decode(struct bytes in, struct record *out)
{
    uint64_t field;
    uint64_t n;

    *out = (struct record){.size = RECORD_LENGTH_BYTES,
                           .used = RECORD_LENGTH_BYTES};
    if (in.len < RECORD_LENGTH_BYTES) {
        return RECORD_SHORT;
    }
    field = get_le64(in.data);
    if (field == 0) {
        out->size = 0;
        out->used = 0;
        return RECORD_END;
    }
    n = field & LENGTH_MASK;
    out->used = RECORD_LENGTH_BYTES + n;
    out->size = out->used + padding_of(n);
    ASSERT(out->size % RECORD_ALIGN == 0);
    if (field != length_field(n) || out->size > WAL_RECORD_MAX) {
        return RECORD_BAD;
    }
    if (in.len < out->size) {
        return RECORD_SHORT;
    }
    in.data += RECORD_LENGTH_BYTES;
    if (!is_zero(in.data + n, padding_of(n)) ||
        walpb_record_decode((struct bytes){in.data, (size_t)n}, &out->pb) < 0 ||
        is_odd(&out->pb)) {
        return RECORD_BAD;
    }
    return RECORD_OK;
}

bool record_is_marker(const struct record *rec)
{
    return rec->pb.type == WALPB_CRC && rec->pb.data.data != NULL;
}

enum record_fit record_verify(struct record_chain *chain,
                              const struct record *rec, const uint8_t *frame)
{
    ASSERT(rec->size > 0);
    if (rec->pb.type == WALPB_CRC) {
        if (rec->pb.crc != chain->crc) {
            return RECORD_CRC_WRONG;
        }
        if (record_is_marker(rec) &&
            get_le32(rec->pb.data.data) != chain->raw) {
            return RECORD_GROUP_WRONG;
        }
        chain->raw = 0;
        return RECORD_FITS;
    }
    uint32_t crc = crc32c(chain->crc, rec->pb.data.data, rec->pb.data.len);
    if (crc != rec->pb.crc) {
        return RECORD_CRC_WRONG;
    }
    chain->crc = crc;
    chain->raw = crc32c(chain->raw, frame, (size_t)rec->size);
    return RECORD_FITS;
}

/* --- writing --- */

/* Bytes of the record before the data, if its crc needs `crc`'s bytes. */
static size_t head_bytes(uint32_t crc, bool has_data, size_t data_len)
{
    return walpb_record_size(WALPB_CRC, crc, has_data, data_len) - data_len;
}

/* The data is written before its crc is known, and the crc's size decides
 * where the data starts. Nearly all values take five bytes: leave that room,
 * and move the data in the rare other case. */
static size_t data_offset(size_t data_len)
{
    return RECORD_LENGTH_BYTES + head_bytes(UINT32_MAX, true, data_len);
}

size_t record_room(size_t data_len)
{
    return data_offset(data_len) + data_len + RECORD_ALIGN;
}

uint8_t *record_begin(struct buf *b, size_t data_len)
{
    uint8_t *p;

    ASSERT(b->limit == BUF_UNLIMITED);
    p = buf_reserve(b, record_room(data_len));
    ASSERT(p != NULL);
    return p + data_offset(data_len);
}

/* Make a frame of the data that lie where record_begin said, and count it as
 * content. */
static void put_frame(struct buf *b, uint64_t type, uint32_t crc, bool has_data,
                      size_t data_len)
{
    uint8_t *p = b->data + b->len;
    size_t from = data_offset(data_len);
    size_t head = head_bytes(crc, has_data, data_len);
    size_t n = head + data_len;
    uint8_t *end;

    ASSERT(RECORD_LENGTH_BYTES + head <= from);
    if (RECORD_LENGTH_BYTES + head < from && data_len > 0) {
        memmove(p + RECORD_LENGTH_BYTES + head, p + from, data_len);
    }
    put_le64(p, length_field(n));
    end = walpb_record_encode_head(p + RECORD_LENGTH_BYTES, type, crc, has_data,
                                   data_len);
    ASSERT(end == p + RECORD_LENGTH_BYTES + head);
    memset(end + data_len, 0, padding_of(n));
    buf_commit(b, RECORD_LENGTH_BYTES + n + padding_of(n));
}

static void end_record(struct buf *b, enum walpb_record_type type,
                       bool has_data, size_t data_len,
                       struct record_chain *chain)
{
    size_t start = b->len;

    ASSERT(type != WALPB_CRC);
    ASSERT(start % RECORD_ALIGN == 0);
    chain->crc =
        crc32c(chain->crc, b->data + start + data_offset(data_len), data_len);
    put_frame(b, type, chain->crc, has_data, data_len);
    chain->raw = crc32c(chain->raw, b->data + start, b->len - start);
}

void record_end(struct buf *b, enum walpb_record_type type, size_t data_len,
                struct record_chain *chain)
{
    end_record(b, type, true, data_len, chain);
}

void record_append(struct buf *b, enum walpb_record_type type,
                   struct bytes data, struct record_chain *chain)
{
    uint8_t *p = record_begin(b, data.len);

    ASSERT(data.data != NULL || data.len == 0);
    if (data.len > 0) {
        memcpy(p, data.data, data.len);
    }
    end_record(b, type, data.data != NULL, data.len, chain);
}

void record_append_crc(struct buf *b, struct record_chain *chain)
{
    (void)record_begin(b, 0);
    put_frame(b, WALPB_CRC, chain->crc, false, 0);
    chain->raw = 0;
}

void record_append_marker(struct buf *b, struct record_chain *chain)
{
    size_t start = b->len;
    uint8_t *p = record_begin(b, RECORD_GROUP_BYTES);

    ASSERT(start % RECORD_ALIGN == 0);
    for (int i = 0; i < RECORD_GROUP_BYTES; i++) {
        p[i] = (uint8_t)(chain->raw >> (8 * i));
    }
    put_frame(b, WALPB_CRC, chain->crc, true, RECORD_GROUP_BYTES);
    ASSERT(b->len - start == RECORD_MARKER_BYTES);
    chain->raw = 0;
}
