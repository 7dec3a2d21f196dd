/* Goal: WAL records are written as etcd writes them, and anything a writer
 * would not write is refused. Method: records from real files, each broken in
 * one way; every single-bit error of a record's head; random records compared
 * with protobuf-c. */

#include "proto/walpb.h"

#include "proto/wal.pb-c.h"
#include "src/base/alloc.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"

static int decode_hex(const char *hex, struct walpb_record *rec)
{
    size_t len;
    uint8_t *in = hex_decode(hex, &len);
    int rc = walpb_record_decode((struct bytes){in, len}, rec);

    xfree(in);
    return rc;
}

static size_t record_encode(uint8_t *out, const struct walpb_record *rec)
{
    bool has_data = rec->data.data != NULL;
    size_t size =
        walpb_record_size(rec->type, rec->crc, has_data, rec->data.len);
    uint8_t *p = walpb_record_encode_head(out, rec->type, rec->crc, has_data,
                                          rec->data.len);

    if (rec->data.len > 0) {
        memcpy(p, rec->data.data, rec->data.len);
    }
    assert_ptr_equal(p + rec->data.len, out + size);
    return size;
}

static void test_records_of_a_real_file(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        uint64_t type;
        uint32_t crc;
        int data_len; /* -1: absent */
    } cases[] = {
        {"crc", "08 04 10 00", WALPB_CRC, 0, -1},
        {"metadata without data", "08 01 10 00", WALPB_METADATA, 0, -1},
        {"metadata, empty data", "08 01 10 00 1a 00", WALPB_METADATA, 0, 0},
        {"snapshot", "08 05 10 a0b39b8f08 1a 04 08 00 10 00", WALPB_SNAPSHOT,
         0x81e6d9a0, 4},
        {"entry",
         "08 02 10 f2a8d1e90b 1a 0e 08 01 10 01 18 01 22 06 08 00 10 00 18 01",
         WALPB_ENTRY, 0xbd345472, 14},
        {"state", "08 03 10 d2a7ef22 1a 06 08 01 10 00 18 03", WALPB_STATE,
         0x045bd3d2, 6},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct walpb_record rec;
        uint8_t out[64];
        size_t len;
        uint8_t *in = hex_decode(cases[i].hex, &len);

        print_message("  %s\n", cases[i].name);
        assert_int_equal(walpb_record_decode((struct bytes){in, len}, &rec), 0);
        assert_int_equal(rec.type, cases[i].type);
        assert_int_equal(rec.crc, cases[i].crc);
        assert_int_equal(rec.data.data == NULL, cases[i].data_len < 0);
        assert_int_equal(rec.data.len,
                         cases[i].data_len < 0 ? 0 : cases[i].data_len);
        assert_int_equal(record_encode(out, &rec), len);
        assert_memory_equal(out, in, len);
        xfree(in);
    }
}

static void test_strictness(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
    } cases[] = {
        {"nothing", ""},
        {"no crc", "08 04"},
        {"no type", "10 00"},
        {"type 0", "08 00 10 00"},
        {"type 6", "08 06 10 00"},
        {"negative type", "08 ffffffffffffffffff01 10 00"},
        {"type twice", "08 04 08 04 10 00"},
        {"crc twice", "08 04 10 00 10 00"},
        {"other order", "10 00 08 04"},
        {"data twice", "08 01 10 00 1a 00 1a 00"},
        {"data before crc", "08 01 1a 00 10 00"},
        {"crc of 33 bits", "08 04 10 8080808010"},
        {"type longer than needed", "08 8400 10 00"},
        {"crc longer than needed", "08 04 10 8000"},
        {"length longer than needed", "08 01 10 00 1a 8100 ff"},
        {"unknown field", "08 04 10 00 20 00"},
        {"data as varint", "08 04 10 00 18 00"},
        {"type as bytes", "0a 00 10 00"},
        {"truncated crc", "08 04 10 80"},
        {"truncated data", "08 02 10 00 1a 02 aa"},
        {"byte behind the data", "08 02 10 00 1a 01 aa bb"},
        {"tag alone", "08 04 10 00 1a"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct walpb_record rec;

        print_message("  %s\n", cases[i].name);
        assert_int_equal(decode_hex(cases[i].hex, &rec), ERR_MALFORMED);
    }
    struct walpb_record rec;
    assert_int_equal(walpb_record_decode((struct bytes){0}, &rec),
                     ERR_MALFORMED);
}

/* A flipped bit in front of the data must change the type or the crc, or be
 * refused: never may it pass unseen. */
static void test_flipped_bits_of_the_head(void **state)
{
    (void)state;
    static const char hex[] =
        "08 02 10 f2a8d1e90b 1a 0e 08 01 10 01 18 01 22 06 08 00 10 00 18 01";
    size_t len;
    uint8_t *in = hex_decode(hex, &len);
    struct walpb_record good;

    assert_int_equal(walpb_record_decode((struct bytes){in, len}, &good), 0);
    for (size_t bit = 0; bit < (len - good.data.len) * 8; bit++) {
        struct walpb_record rec;

        in[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (walpb_record_decode((struct bytes){in, len}, &rec) == 0) {
            assert_true(rec.type != good.type || rec.crc != good.crc);
            assert_int_equal(rec.data.len, good.data.len);
        }
        in[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    xfree(in);
}

static void test_random_records_as_protobuf_c(void **state)
{
    (void)state;
    uint8_t data[300] = {1, 2, 3};
    uint8_t ours[400];
    uint8_t theirs[400];
    struct rng r;

    rng_seed(&r, 6);
    for (int i = 0; i < 2000; i++) {
        struct walpb_record rec = {
            .type = 1 + rng_below(&r, 5),
            .crc = (uint32_t)(rng_next(&r) >> (32 + rng_below(&r, 32))),
        };
        Walpb__Record pb = WALPB__RECORD__INIT;

        if (rng_below(&r, 4) > 0) {
            rec.data = (struct bytes){data, rng_below(&r, sizeof(data))};
            pb.has_data = 1;
            pb.data = (ProtobufCBinaryData){rec.data.len, data};
        }
        pb.has_type = 1;
        pb.type = (int64_t)rec.type;
        pb.has_crc = 1;
        pb.crc = rec.crc;

        size_t size = record_encode(ours, &rec);
        assert_int_equal(walpb__record__get_packed_size(&pb), size);
        (void)walpb__record__pack(&pb, theirs);
        assert_memory_equal(ours, theirs, size);

        struct walpb_record back;
        assert_int_equal(walpb_record_decode((struct bytes){ours, size}, &back),
                         0);
        assert_int_equal(back.type, rec.type);
        assert_int_equal(back.crc, rec.crc);
        assert_int_equal(back.data.len, rec.data.len);
        assert_int_equal(back.data.data == NULL, rec.data.data == NULL);
    }
}

static void test_snapshot_marker(void **state)
{
    (void)state;
    uint64_t ids[] = {1, 2, 3};
    const struct conf_state cs = {.voters = {ids, 3}};
    static const struct {
        const char *name;
        uint64_t index;
        uint64_t term;
        bool with_conf_state;
        const char *hex;
    } cases[] = {
        {"the first one", 0, 0, false, "08001000"},
        {"3.4", 8, 2, false, "08081002"},
        {"3.5 and later", 8, 2, true, "080810021a080801080208032800"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct walpb_snapshot s = {
            .index = cases[i].index,
            .term = cases[i].term,
            .conf_state = cases[i].with_conf_state ? &cs : NULL,
        };
        struct walpb_snapshot back;
        uint8_t out[64];
        size_t size = walpb_snapshot_size(&s);

        print_message("  %s\n", cases[i].name);
        assert_ptr_equal(walpb_snapshot_encode(&s, out), out + size);
        char *hex = hex_encode((struct bytes){out, size});
        assert_string_equal(hex, cases[i].hex);
        xfree(hex);
        assert_int_equal(
            walpb_snapshot_decode((struct bytes){out, size}, &back), 0);
        assert_int_equal(back.index, s.index);
        assert_int_equal(back.term, s.term);
        assert_null(back.conf_state);
    }
}

static void test_snapshot_marker_is_read_leniently(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        int want;
        uint64_t index;
    } cases[] = {
        {"nothing", "", 0, 0},
        {"other order, unknown field", "10 02 20 07 08 08", 0, 8},
        {"the last one counts", "08 01 08 09", 0, 9},
        {"index as bytes", "0a 00", ERR_MALFORMED, 0},
        {"conf_state as varint", "18 00", ERR_MALFORMED, 0},
        {"truncated", "08", ERR_MALFORMED, 0},
        {"field 0", "00 00", ERR_MALFORMED, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct walpb_snapshot s = {0};
        size_t len;
        uint8_t *in = hex_decode(cases[i].hex, &len);

        print_message("  %s\n", cases[i].name);
        assert_int_equal(walpb_snapshot_decode((struct bytes){in, len}, &s),
                         cases[i].want);
        assert_int_equal(s.index, cases[i].index);
        xfree(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_of_a_real_file),
        cmocka_unit_test(test_strictness),
        cmocka_unit_test(test_flipped_bits_of_the_head),
        cmocka_unit_test(test_random_records_as_protobuf_c),
        cmocka_unit_test(test_snapshot_marker),
        cmocka_unit_test(test_snapshot_marker_is_read_leniently),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
