/* Goal: the wrapper of a snapshot file is etcd's, and its data is found
 * without a copy. Method: named encodings, and heads compared with what
 * protobuf-c packs. */

#include "proto/snappb.h"

#include "proto/snap.pb-c.h"
#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex;
        int want;
        uint32_t crc;
        int data_at; /* offset in the input, -1: absent */
        size_t data_len;
    } cases[] = {
        {"small", "08 f8acd19101 12 02 aabb", 0, 0x12345678, 8, 2},
        {"largest crc", "08 ffffffff0f 12 00", 0, UINT32_MAX, 8, 0},
        {"no data", "08 05", 0, 5, -1, 0},
        {"no crc", "12 01 aa", 0, 0, 2, 1},
        {"nothing", "", 0, 0, -1, 0},
        {"other order and an unknown field", "12 01 aa 18 07 08 05", 0, 5, 2,
         1},
        {"crc of 33 bits", "08 8080808010 12 00", ERR_MALFORMED, 0, -1, 0},
        {"crc as bytes", "0a 00", ERR_MALFORMED, 0, -1, 0},
        {"data as varint", "10 00", ERR_MALFORMED, 0, -1, 0},
        {"truncated data", "08 05 12 02 aa", ERR_MALFORMED, 0, -1, 0},
        {"field 0", "00 00", ERR_MALFORMED, 0, -1, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct snappb_snapshot s = {0};
        size_t len;
        uint8_t *in = hex_decode(cases[i].hex, &len);
        int at = cases[i].data_at;

        print_message("  %s\n", cases[i].name);
        assert_int_equal(snappb_decode((struct bytes){in, len}, &s),
                         cases[i].want);
        assert_int_equal(s.crc, cases[i].crc);
        assert_ptr_equal(s.data.data, at < 0 ? NULL : in + at);
        assert_int_equal(s.data.len, cases[i].data_len);
        xfree(in);
    }
}

static void test_heads_as_protobuf_c(void **state)
{
    (void)state;
    static const uint32_t crcs[] = {0, 1, 127, 128, 0x12345678, UINT32_MAX};
    static const size_t lens[] = {0, 1, 127, 128, 16383, 16384, 70000};
    uint8_t *data = xcalloc(70000, 1);
    uint8_t *packed = xmalloc(70000 + SNAPPB_HEAD_MAX);

    for (size_t c = 0; c < ARRAY_LEN(crcs); c++) {
        for (size_t l = 0; l < ARRAY_LEN(lens); l++) {
            Snappb__Snapshot pb = SNAPPB__SNAPSHOT__INIT;
            uint8_t head[SNAPPB_HEAD_MAX];
            size_t size = snappb_head_size(crcs[c], lens[l]);

            pb.has_crc = 1;
            pb.crc = crcs[c];
            pb.has_data = 1;
            pb.data = (ProtobufCBinaryData){lens[l], data};
            assert_int_equal(snappb__snapshot__pack(&pb, packed),
                             size + lens[l]);
            assert_ptr_equal(snappb_head_encode(head, crcs[c], lens[l]),
                             head + size);
            assert_memory_equal(head, packed, size);
        }
    }
    xfree(data);
    xfree(packed);
}

static void test_largest_head_fits(void **state)
{
    (void)state;
    assert_true(snappb_head_size(UINT32_MAX, SIZE_MAX) <= SNAPPB_HEAD_MAX);
}

/* The head alone, as it is read from a file that is not read as a whole. */
static void test_head_decode(void **state)
{
    static const struct {
        const char *name;
        const char *hex;
        int want; /* size, or an error */
        uint32_t crc;
        uint64_t data_len;
    } cases[] = {
        {"with the data behind", "08 f8acd19101 12 02 aabb", 8, 0x12345678, 2},
        {"without it", "08 05 12 ffffffff0f", 8, 5, UINT32_MAX},
        {"nothing", "", ERR_MALFORMED, 0, 0},
        {"tag alone", "08", ERR_MALFORMED, 0, 0},
        {"no data", "08 05", ERR_MALFORMED, 0, 0},
        {"no length", "08 05 12", ERR_MALFORMED, 0, 0},
        {"length cut off", "08 05 12 80", ERR_MALFORMED, 0, 0},
        {"other order", "12 01 aa 08 05", ERR_MALFORMED, 0, 0},
        {"data as varint", "08 05 10 00", ERR_MALFORMED, 0, 0},
        {"crc of 33 bits", "08 8080808010 12 00", ERR_MALFORMED, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t crc = 0;
        uint64_t data_len = 0;
        size_t len;
        uint8_t *in = hex_decode(cases[i].hex, &len);
        int rc = snappb_head_decode((struct bytes){in, len}, &crc, &data_len);

        print_message("  %s\n", cases[i].name);
        assert_int_equal(rc, cases[i].want);
        if (rc > 0) {
            assert_int_equal(crc, cases[i].crc);
            assert_true(data_len == cases[i].data_len);
        }
        xfree(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_heads_as_protobuf_c),
        cmocka_unit_test(test_largest_head_fits),
        cmocka_unit_test(test_head_decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
