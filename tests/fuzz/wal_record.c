/* Goal: no bytes make the record parser read past their end, and what it
 * accepts is what a writer would have written. Method: the input is a run of
 * frames; each that is accepted is written again, byte for byte; then all of
 * them are written as one log, whose checksums must fit. */

#include "wal/record.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "tests/fuzz/lib/fuzz.h"

/* The frame of a record with exactly these fields, whatever its crc. */
static void check_same_bytes(const struct record *rec, const uint8_t *frame)
{
    uint8_t head[32];
    bool has_data = rec->pb.data.data != NULL;
    const uint8_t *end = walpb_record_encode_head(
        head, rec->pb.type, rec->pb.crc, has_data, rec->pb.data.len);
    size_t n = (size_t)(end - head);
    const uint8_t *body = frame + RECORD_LENGTH_BYTES;

    ASSERT(rec->used == RECORD_LENGTH_BYTES + n + rec->pb.data.len);
    ASSERT(walpb_record_size(rec->pb.type, rec->pb.crc, has_data,
                             rec->pb.data.len) == n + rec->pb.data.len);
    ASSERT(memcmp(body, head, n) == 0);
    ASSERT(rec->pb.data.len == 0 || rec->pb.data.data == body + n);
    for (uint64_t i = rec->used; i < rec->size; i++) {
        ASSERT(frame[i] == 0);
    }
}

static void write_again(struct buf *log, const struct record *rec,
                        struct record_chain *chain)
{
    if (rec->pb.type != WALPB_CRC) {
        record_append(log, (enum walpb_record_type)rec->pb.type, rec->pb.data,
                      chain);
    } else if (record_is_marker(rec)) {
        record_append_marker(log, chain);
    } else {
        record_append_crc(log, chain);
    }
}

/* What was written is read, fits its checksums and has the same data. */
static void check_log(struct bytes log, struct bytes frames)
{
    struct record_chain chain = {0};
    struct record a;
    struct record b;

    while (log.len > 0) {
        ASSERT(record_decode(log, &a) == RECORD_OK);
        ASSERT(record_decode(frames, &b) == RECORD_OK);
        ASSERT(record_verify(&chain, &a, log.data) == RECORD_FITS);
        ASSERT(a.pb.type == b.pb.type);
        ASSERT(record_is_marker(&a) == record_is_marker(&b));
        ASSERT(record_is_marker(&a) || fuzz_equal(a.pb.data, b.pb.data));
        log.data += a.size;
        log.len -= a.size;
        frames.data += b.size;
        frames.len -= b.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct record_chain as_read = {0};
    struct record_chain chain = {0};
    struct buf log;
    size_t at = 0;
    struct record rec;

    buf_init(&log, BUF_UNLIMITED);
    while (record_decode((struct bytes){data + at, len - at}, &rec) ==
           RECORD_OK) {
        ASSERT(rec.size <= len - at);
        fuzz_use(rec.pb.data);
        fuzz_use_number((uint64_t)record_verify(&as_read, &rec, data + at));
        check_same_bytes(&rec, data + at);
        write_again(&log, &rec, &chain);
        at += (size_t)rec.size;
    }
    check_log(buf_bytes(&log), (struct bytes){data, at});
    buf_release(&log);
    return 0;
}
