/* Goal: the checksum is the one the WAL of etcd has, however the processor
 * computes it. Method: vectors from etcd's own files, and a comparison with
 * the definition, bit by bit, over all lengths, alignments and cuts. */

#include "src/base/crc32c.h"

#include "src/base/alloc.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"

static uint32_t by_definition(uint32_t crc, const uint8_t *p, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
        }
    }
    return ~crc;
}

static void check_vector(uint32_t prev, const char *hex, uint32_t want)
{
    size_t len;
    uint8_t *data = hex_decode(hex, &len);

    assert_int_equal(crc32c(prev, data, len), want);
    assert_int_equal(crc32c_portable(prev, data, len), want);
    xfree(data);
}

static void test_known_values(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t prev;
        const char *hex;
        uint32_t want;
    } cases[] = {
        {"nothing", 0, "", 0},
        {"nothing keeps the value", 0xffffffff, "", 0xffffffff},
        {"check value", 0, "313233343536373839", 0xe3069283},
        {"first WAL snapshot record", 0, "08001000", 0x81e6d9a0},
        {"bootstrap entry behind it", 0x81e6d9a0,
         "0801100118012206080010001801", 0xbd345472},
        {"32 zeros", 0xdeadbeef,
         "00000000000000000000000000000000"
         "00000000000000000000000000000000",
         0x7fd88f12},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("  %s\n", cases[i].name);
        check_vector(cases[i].prev, cases[i].hex, cases[i].want);
    }
}

static void test_shared_vectors(void **state)
{
    (void)state;
    struct jsonl *j = jsonl_open_shared("spec/samples/crc32c-vectors.jsonl");

    if (j == NULL) {
        return;
    }
    while (jsonl_next(j)) {
        uint32_t prev = (uint32_t)strtoul(jsonl_get(j, "prev"), NULL, 16);
        uint32_t want = (uint32_t)strtoul(jsonl_get(j, "crc"), NULL, 16);

        check_vector(prev, jsonl_get(j, "data"), want);
    }
    assert_true(jsonl_line(j) > 0);
    jsonl_close(j);
}

static void test_lengths_alignments_and_cuts(void **state)
{
    (void)state;
    uint8_t data[96];
    struct rng r;

    rng_seed(&r, 3);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)rng_next(&r);
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; from + len <= sizeof(data); len++) {
            uint32_t seed = (uint32_t)rng_next(&r);
            size_t cut = rng_below(&r, len + 1);
            uint32_t want = by_definition(seed, data + from, len);
            uint32_t head = crc32c(seed, data + from, cut);

            assert_int_equal(crc32c(seed, data + from, len), want);
            assert_int_equal(crc32c_portable(seed, data + from, len), want);
            assert_int_equal(crc32c(head, data + from + cut, len - cut), want);
        }
    }
}

/* Long runs are computed in three lanes. */
static void test_long_runs(void **state)
{
    (void)state;
    static uint8_t data[16 * 1024];
    struct rng r;

    rng_seed(&r, 4);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)rng_next(&r);
    }
    for (size_t n = 0; n < 300; n++) {
        size_t from = rng_below(&r, 64);
        size_t len =
            n < 64 ? 3 * 1024 - 32 + n : rng_below(&r, sizeof(data) - from + 1);
        uint32_t seed = (uint32_t)rng_next(&r);
        uint32_t want = by_definition(seed, data + from, len);

        assert_int_equal(crc32c(seed, data + from, len), want);
        assert_int_equal(crc32c_portable(seed, data + from, len), want);
    }
}

/* Two runs, joined by their CRCs alone, at every kind of length. */
static void test_combine(void **state)
{
    static uint8_t data[5000];
    struct rng r;

    (void)state;
    rng_seed(&r, 6);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)rng_next(&r);
    }
    for (size_t n = 0; n < 500; n++) {
        size_t len = n < 40 ? n : rng_below(&r, sizeof(data) + 1);
        size_t cut = rng_below(&r, len + 1);

        assert_int_equal(crc32c_combine(crc32c(0, data, cut),
                                        crc32c(0, data + cut, len - cut),
                                        len - cut),
                         crc32c(0, data, len));
    }
    /* Far beyond 32 bits. x has the order 2^31 - 1: as many bytes change
     * nothing. */
    assert_int_equal(crc32c_combine(0, 0x12345678, UINT64_MAX), 0x12345678);
    assert_int_equal(crc32c_combine(0x12345678, 0, UINT64_C(0x7fffffff) * 12),
                     crc32c_combine(0x12345678, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_shared_vectors),
        cmocka_unit_test(test_lengths_alignments_and_cuts),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_combine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
