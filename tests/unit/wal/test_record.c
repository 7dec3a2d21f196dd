/* Goal: frames are written as the original writes them, and nothing else is
 * read. Method: bytes of a real log, round trips over many sizes, and tables of
 * frames that no writer writes. */

#include "wal/record.h"

#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "src/base/crc32c.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"

static struct bytes bytes_of(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* --- a real log (formats-wal 4) --- */

static const char REAL[] =
    "0400000000000084 0804100000000000"
    "0400000000000084 0801100000000000"
    "0e00000000000082 080510a0b39b8f08 1a04080010000000"
    "1800000000000000 080210f2a8d1e90b1a0e0801100118012206080010001801"
    "0000000000000000";

static void test_reads_a_real_log(void **state)
{
    static const uint64_t types[] = {WALPB_CRC, WALPB_METADATA, WALPB_SNAPSHOT,
                                     WALPB_ENTRY};
    size_t len;
    uint8_t *p = hex_decode(REAL, &len);
    struct record_chain chain = {0};
    struct record rec;
    size_t off = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct bytes in = {p + off, len - off};

        assert_int_equal(record_decode(in, &rec), RECORD_OK);
        assert_int_equal(rec.pb.type, types[i]);
        assert_false(record_is_marker(&rec));
        assert_int_equal(record_verify(&chain, &rec, p + off), RECORD_FITS);
        off += rec.size;
    }
    assert_int_equal(chain.crc, 0xbd345472);
    assert_int_equal(record_decode((struct bytes){p + off, len - off}, &rec),
                     RECORD_END);
    assert_int_equal(rec.size, 0);
    xfree(p);
}

static void test_writes_a_real_log(void **state)
{
    size_t len;
    size_t n;
    uint8_t *want = hex_decode(REAL, &len);
    uint8_t *snap = hex_decode("08001000", &n);
    struct record_chain chain = {0};
    struct buf b;

    (void)state;
    buf_init(&b, BUF_UNLIMITED);
    record_append_crc(&b, &chain);
    record_append(&b, WALPB_METADATA, (struct bytes){0}, &chain);
    record_append(&b, WALPB_SNAPSHOT, (struct bytes){snap, n}, &chain);
    xfree(snap);
    snap = hex_decode("0801100118012206080010001801", &n);
    record_append(&b, WALPB_ENTRY, (struct bytes){snap, n}, &chain);
    assert_int_equal(b.len + RECORD_LENGTH_BYTES, len);
    assert_memory_equal(b.data, want, b.len);
    xfree(snap);
    xfree(want);
    buf_release(&b);
}

/* --- round trips --- */

static void test_round_trip_of_sizes(void **state)
{
    struct buf b;
    uint8_t data[700];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7 + 1);
    }
    buf_init(&b, BUF_UNLIMITED);
    for (size_t n = 0; n < sizeof(data); n++) {
        struct record_chain w = {(uint32_t)n, 0};
        struct record_chain r = w;
        struct record rec;

        buf_reset(&b);
        record_append(&b, WALPB_ENTRY, (struct bytes){data, n}, &w);
        assert_int_equal(b.len % RECORD_ALIGN, 0);
        assert_int_equal(record_decode(buf_bytes(&b), &rec), RECORD_OK);
        assert_int_equal(rec.size, b.len);
        assert_in_range(rec.size - rec.used, 0, 7);
        assert_int_equal(rec.pb.data.len, n);
        assert_memory_equal(rec.pb.data.data, data, n);
        assert_int_equal(record_verify(&r, &rec, b.data), RECORD_FITS);
        assert_int_equal(r.crc, w.crc);
        assert_int_equal(r.raw, w.raw);
        assert_int_equal(r.raw, crc32c(0, b.data, b.len));
    }
    buf_release(&b);
}

/* The crc's own size moves the data: one to five bytes of varint. */
static void test_small_checksums(void **state)
{
    static const uint8_t nothing[1];
    static const uint32_t seeds[] = {0,         1,         127,       128,
                                     16383,     16384,     2097151,   2097152,
                                     268435455, 268435456, UINT32_MAX};
    struct buf b;

    (void)state;
    buf_init(&b, BUF_UNLIMITED);
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
        struct record_chain w = {seeds[i], 0};
        struct record_chain r = w;
        struct record rec;

        buf_reset(&b);
        /* Empty data leave the crc as it is. */
        record_append(&b, WALPB_STATE, (struct bytes){nothing, 0}, &w);
        assert_int_equal(record_decode(buf_bytes(&b), &rec), RECORD_OK);
        assert_int_equal(rec.pb.crc, seeds[i]);
        assert_non_null(rec.pb.data.data);
        assert_int_equal(record_verify(&r, &rec, b.data), RECORD_FITS);
        buf_reset(&b);
        record_append_marker(&b, &w);
        assert_int_equal(b.len, RECORD_MARKER_BYTES);
        assert_int_equal(record_decode(buf_bytes(&b), &rec), RECORD_OK);
        assert_true(record_is_marker(&rec));
        assert_int_equal(record_verify(&r, &rec, b.data), RECORD_FITS);
    }
    buf_release(&b);
}

/* --- the two checksums --- */

struct log {
    struct buf b;
    struct record_chain chain;
};

static void log_init(struct log *l)
{
    *l = (struct log){0};
    buf_init(&l->b, BUF_UNLIMITED);
    record_append_marker(&l->b, &l->chain);
    record_append(&l->b, WALPB_ENTRY, bytes_of("hello"), &l->chain);
    record_append(&l->b, WALPB_ENTRY, bytes_of("world"), &l->chain);
    record_append_marker(&l->b, &l->chain);
}

/* How far the log verifies, and why not further. */
static enum record_fit verify(const struct log *l, size_t *n)
{
    struct record_chain chain = {0};
    size_t off = 0;

    for (*n = 0; off < l->b.len; (*n)++) {
        struct record rec;
        enum record_fit fit;
        struct bytes in = {l->b.data + off, l->b.len - off};

        if (record_decode(in, &rec) != RECORD_OK) {
            return RECORD_CRC_WRONG;
        }
        fit = record_verify(&chain, &rec, in.data);
        if (fit != RECORD_FITS) {
            return fit;
        }
        off += rec.size;
    }
    return RECORD_FITS;
}

static void test_intact_log_verifies(void **state)
{
    struct log l;
    size_t n;

    (void)state;
    log_init(&l);
    assert_int_equal(verify(&l, &n), RECORD_FITS);
    assert_int_equal(n, 4);
    buf_release(&l.b);
}

static void test_every_flipped_bit_is_seen(void **state)
{
    struct log l;
    size_t n;

    (void)state;
    log_init(&l);
    for (size_t i = 0; i < l.b.len * 8; i++) {
        l.b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(verify(&l, &n), RECORD_FITS);
        l.b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_release(&l.b);
}

static void test_changed_type_is_seen_by_the_marker(void **state)
{
    struct log l;
    size_t n;

    (void)state;
    log_init(&l);
    assert_int_equal(l.b.data[RECORD_MARKER_BYTES + 9], WALPB_ENTRY);
    l.b.data[RECORD_MARKER_BYTES + 9] = WALPB_STATE;
    assert_int_equal(verify(&l, &n), RECORD_GROUP_WRONG);
    assert_int_equal(n, 3);
    buf_release(&l.b);
}

static void test_missing_record_is_seen(void **state)
{
    struct log l;
    struct record rec;
    size_t n;

    (void)state;
    log_init(&l);
    assert_int_equal(
        record_decode((struct bytes){l.b.data + RECORD_MARKER_BYTES,
                                     l.b.len - RECORD_MARKER_BYTES},
                      &rec),
        RECORD_OK);
    l.b.len -= rec.size;
    memmove(l.b.data + RECORD_MARKER_BYTES,
            l.b.data + RECORD_MARKER_BYTES + rec.size,
            l.b.len - RECORD_MARKER_BYTES);
    assert_int_equal(verify(&l, &n), RECORD_CRC_WRONG);
    assert_int_equal(n, 1);
    buf_release(&l.b);
}

/* --- frames that are none --- */

static const struct {
    const char *name;
    const char *hex;
    enum record_status status;
    uint64_t size;
} FRAMES[] = {
    {"nothing", "", RECORD_SHORT, 8},
    {"part of a length field", "040000", RECORD_SHORT, 8},
    {"end", "0000000000000000", RECORD_END, 0},
    {"length only", "0400000000000084", RECORD_SHORT, 16},
    {"padding missing", "0400000000000084 08011000 0000", RECORD_SHORT, 16},
    {"whole", "0400000000000084 0801100000000000", RECORD_OK, 16},
    {"padding not zero", "0400000000000084 0801100000000001", RECORD_BAD, 16},
    {"padding bits without flag", "0400000000000004 0801100000000000",
     RECORD_BAD, 16},
    {"flag without padding", "0800000000000080 0801108080808000", RECORD_BAD,
     16},
    {"flag missing", "0400000000000000 0801100000000000", RECORD_BAD, 16},
    {"wrong padding bits", "0400000000000083 0801100000000000", RECORD_BAD, 16},
    {"bit 59", "040000000000008c 0801100000000000", RECORD_BAD, 16},
    {"bit 62", "04000000000000c4 0801100000000000", RECORD_BAD, 16},
    {"unknown type", "0400000000000084 0806100000000000", RECORD_BAD, 16},
    {"type 0", "0400000000000084 0800100000000000", RECORD_BAD, 16},
    {"crc over 32 bits", "0800000000000000 0801108080808010", RECORD_BAD, 16},
    {"metadata with data", "0700000000000081 08011000 1a017800", RECORD_BAD,
     16},
    {"state without data", "0400000000000084 0803100000000000", RECORD_BAD, 16},
    {"entry without data", "0400000000000084 0802100000000000", RECORD_BAD, 16},
    {"marker with one byte", "0700000000000081 08041000 1a017800", RECORD_BAD,
     16},
    {"unknown field", "0600000000000082 08011000 20010000", RECORD_BAD, 16},
    {"longer than what is there", "0000000100000000", RECORD_SHORT, 16777224},
    {"longer than the limit", "0000001000000000", RECORD_BAD,
     ((uint64_t)1 << 28) + 8},
    {"longest", "ffffffffffffff81", RECORD_BAD, (uint64_t)1 << 56 | 8},
};

static void test_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FRAMES); i++) {
        struct record rec;
        size_t len;
        uint8_t *p = hex_decode(FRAMES[i].hex, &len);
        enum record_status st = record_decode((struct bytes){p, len}, &rec);

        if (st != FRAMES[i].status || rec.size != FRAMES[i].size) {
            print_message("%s: status %d, size %" PRIu64 "\n", FRAMES[i].name,
                          (int)st, rec.size);
        }
        assert_int_equal(st, FRAMES[i].status);
        assert_int_equal(rec.size, FRAMES[i].size);
        xfree(p);
    }
}

/* Whatever is decoded is exactly what would be written. */
static void test_decoded_frames_encode_to_the_same_bytes(void **state)
{
    struct log l;

    (void)state;
    log_init(&l);
    for (size_t i = 0; i < l.b.len * 8; i++) {
        struct record rec;
        size_t off = 0;

        l.b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        while (off < l.b.len &&
               record_decode((struct bytes){l.b.data + off, l.b.len - off},
                             &rec) == RECORD_OK) {
            struct bytes d = rec.pb.data;
            uint8_t head[32];
            uint8_t *end = walpb_record_encode_head(
                head, rec.pb.type, rec.pb.crc, d.data != NULL, d.len);

            assert_int_equal(rec.used, RECORD_LENGTH_BYTES +
                                           (size_t)(end - head) + d.len);
            assert_memory_equal(l.b.data + off + RECORD_LENGTH_BYTES, head,
                                (size_t)(end - head));
            off += rec.size;
        }
        l.b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_release(&l.b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_real_log),
        cmocka_unit_test(test_writes_a_real_log),
        cmocka_unit_test(test_round_trip_of_sizes),
        cmocka_unit_test(test_small_checksums),
        cmocka_unit_test(test_intact_log_verifies),
        cmocka_unit_test(test_every_flipped_bit_is_seen),
        cmocka_unit_test(test_changed_type_is_seen_by_the_marker),
        cmocka_unit_test(test_missing_record_is_seen),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_decoded_frames_encode_to_the_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
