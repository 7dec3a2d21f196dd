/* Goal: every payload that Go decodes gives the same key and value here, and
 * what Go refuses is refused; what we write is what Go would write. Method:
 * literal streams, the recorded vectors, cuts and flips of both. */

#include "src/kv/command.h"

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"

#define DEF_PLAIN                                                              \
    "20ff81030101026b7601ff8200010201034b6579010c00010356616c010c0000"         \
    "00"
#define DEF_OURS                                                               \
    "27ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"         \
    "02494401060000"                                                           \
    "00"

static struct bytes str_bytes(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_bytes(struct bytes got, struct bytes want)
{
    assert_int_equal(got.len, want.len);
    if (want.len > 0) {
        assert_memory_equal(got.data, want.data, want.len);
    }
}

static int decode_hex(const char *hex, struct kv_command *out, uint8_t **data)
{
    size_t len;

    *data = hex_decode(hex, &len);
    return kv_command_decode((struct bytes){*data, len}, out);
}

/* --- encoding --- */

static const struct {
    const char *name;
    const char *key;
    const char *value;
    uint64_t id;
    const char *hex; /* behind the definition */
} encodings[] = {
    {"all fields", "/foo", "bar", 7, "10ff8201042f666f6f0103626172010700"},
    {"no id", "/foo", "bar", 0, "0eff8201042f666f6f010362617200"},
    {"no value", "/foo", "", 7, "0bff8201042f666f6f020700"},
    {"no key", "", "bar", 7, "0aff8202036261720107 00"},
    {"only an id", "", "", 7, "05ff82030700"},
    {"nothing", "", "", 0, "03ff8200"},
    {"id of two bytes", "/k", "v", 300, "0eff8201022f6b01017601fe012c00"},
    {"largest id", "/k", "v", UINT64_MAX,
     "14ff8201022f6b01017601f8ffffffffffffffff00"},
};

static void test_encode_omits_zero_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        struct kv_command c = {str_bytes(encodings[i].key),
                               str_bytes(encodings[i].value), encodings[i].id};
        size_t def_len;
        size_t value_len;
        uint8_t *def = hex_decode(DEF_OURS, &def_len);
        uint8_t *value = hex_decode(encodings[i].hex, &value_len);
        size_t size = kv_command_size(&c);
        uint8_t *out = xmalloc(size);

        if (size != def_len + value_len) {
            fail_msg("%s: size %zu", encodings[i].name, size);
        }
        assert_ptr_equal(kv_command_encode(&c, out), out + size);
        assert_memory_equal(out, def, def_len);
        assert_memory_equal(out + def_len, value, value_len);
        xfree(out);
        xfree(value);
        xfree(def);
    }
}

/* Lengths around each step of the encoding of numbers, with all byte values
 * in key and value. */
static void test_encode_then_decode(void **state)
{
    static const size_t lens[] = {0,   1,   100,   115,   116,   127,    128,
                                  255, 256, 65535, 65536, 65600, 1 << 20};
    uint8_t *value = xmalloc(1 << 20);

    (void)state;
    for (size_t i = 0; i < (size_t)1 << 20; i++) {
        value[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct kv_command c = {
            {value, lens[i] / 3}, {value, lens[i]}, (uint64_t)lens[i] << 40};
        size_t size = kv_command_size(&c);
        uint8_t *out = xmalloc(size);
        struct kv_command back;

        assert_ptr_equal(kv_command_encode(&c, out), out + size);
        assert_int_equal(kv_command_decode((struct bytes){out, size}, &back),
                         0);
        assert_bytes(back.key, c.key);
        assert_bytes(back.value, c.value);
        assert_true(back.id == c.id);
        xfree(out);
    }
    xfree(value);
}

/* --- decoding --- */

static const struct {
    const char *name;
    const char *hex;
    const char *key; /* NULL: refused */
    const char *value;
    uint64_t id;
} streams[] = {
    {"plain", DEF_PLAIN "0eff8201042f666f6f010362617200", "/foo", "bar", 0},
    {"plain, id 64",
     "1f7f030101026b7601ff8000010201034b6579010c00010356616c010c000000"
     "0eff8001042f666f6f010362617200",
     "/foo", "bar", 0},
    {"ours", DEF_OURS "10ff8201042f666f6f0103626172010700", "/foo", "bar", 7},
    {"ID and Op",
     "2eff81030101026b7601ff8200010401034b6579010c00010356616c010c0001"
     "02494401060001024f70010400000012ff8201042f666f6f01036261720107010200",
     "/foo", "bar", 7},
    {"other order",
     "2eff85030101026b7601ff860001040102494401060001024f70010400010356616c"
     "010c0001034b6579010c00000012ff8601070102010362617201042f666f6f00",
     "/foo", "bar", 7},
    {"an ID that is a string is foreign",
     "27ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "024944010c00000011ff8201042f666f6f010362617201013700",
     "/foo", "bar", 0},
    {"name omitted",
     "1cff81030102ff8200010201034b6579010c00010356616c010c000000"
     "0eff8201042f666f6f010362617200",
     "/foo", "bar", 0},
    {"Key twice: the last wins",
     "20ff81030101026b7601ff8200010201034b6579010c0001034b6579010c0000"
     "000eff8201042f666f6f010362617200",
     "bar", "", 0},
    {"case matters",
     "20ff81030101026b7601ff8200010201036b6579010c00010356616c010c0000"
     "000eff8201042f666f6f010362617200",
     "", "bar", 0},
    {"bytes behind the value", DEF_PLAIN "0eff8201042f666f6f010362617200dead",
     "/foo", "bar", 0},
    {"bytes in the message", DEF_PLAIN "10ff8201042f666f6f0103626172000000",
     "/foo", "bar", 0},
    {"no closing 0", DEF_PLAIN "0dff8201042f666f6f0103626172", "/foo", "bar",
     0},
    {"long forms of numbers",
     DEF_PLAIN "f8000000000000000fff8201ff042f666f6f010362617200", "/foo",
     "bar", 0},
    {"interface field, absent",
     "28ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "03416e7901100000000eff8201042f666f6f010362617200",
     "/foo", "bar", 0},
    {"interface field, nil",
     "28ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "03416e79011000000010ff8201042f666f6f0103626172010000",
     "/foo", "bar", 0},
    {"interface field with an int",
     "28ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "03416e79011000000017ff8201042f666f6f01036261720103696e7404020006"
     "00",
     "/foo", "bar", 0},
    {"GobEncoder field",
     "29ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "0354696d01ff840000000aff83050102ff8400000012ff8201042f666f6f0103"
     "626172010255aa00",
     "/foo", "bar", 0},
    {"array field",
     "27ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "014101ff840000000eff83010102ff840001040106000013ff8201042f666f6f"
     "0103626172010302010a00",
     "/foo", "bar", 0},
    {"map field",
     "27ff81030101026b7601ff8200010301014d01ff840001034b6579010c000103"
     "56616c010c0000000eff83040102ff8400010c010e000014ff82010101780102"
     "01042f666f6f010362617200",
     "/foo", "bar", 0},
    {"slice of structs that have a Key of their own",
     "27ff81030101026b7601ff8200010301015301ff840001034b6579010c000103"
     "56616c010c0000000dff83020102ff840001ff8600001eff8503010102696e01"
     "ff8600010201034b6579010400010146010800000016ff820102010a00020900"
     "01042f666f6f010362617200",
     "/foo", "bar", 0},
    {"empty", "", NULL, NULL, 0},
    {"only a definition", DEF_PLAIN, NULL, NULL, 0},
    {"no definition", "0eff8201042f666f6f010362617200", NULL, NULL, 0},
    {"another type's value", DEF_PLAIN "0eff8401042f666f6f010362617200", NULL,
     NULL, 0},
    {"defined twice", DEF_PLAIN DEF_PLAIN "0eff8201042f666f6f010362617200",
     NULL, NULL, 0},
    {"message of length 0", DEF_PLAIN "000eff8201042f666f6f010362617200", NULL,
     NULL, 0},
    {"length over 8 bytes", "80" DEF_PLAIN, NULL, NULL, 0},
    {"field beyond the definition", DEF_PLAIN "0eff8203042f666f6f010362617200",
     NULL, NULL, 0},
    {"string beyond the message", DEF_PLAIN "0eff82017f2f666f6f010362617200",
     NULL, NULL, 0},
    {"Key is []byte",
     "20ff81030101026b7601ff8200010201034b6579010a00010356616c010c0000"
     "000eff8201042f666f6f010362617200",
     NULL, NULL, 0},
    {"neither Key nor Val",
     "18ff81030101026b7601ff820001010103466f6f010c00000009ff8201042f66"
     "6f6f00",
     NULL, NULL, 0},
    {"field without a name",
     "1bff81030101026b7601ff8200010201034b6579010c00020c00000009ff8201"
     "042f666f6f00",
     NULL, NULL, 0},
    {"field of an undefined type",
     "27ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "015801ff840000000eff8201042f666f6f010362617200",
     NULL, NULL, 0},
    {"definition with bytes behind it",
     "21ff81030101026b7601ff8200010201034b6579010c00010356616c010c0000"
     "00000eff8201042f666f6f010362617200",
     NULL, NULL, 0},
    {"definition of a built-in type",
     "1e0b030101026b76010c00010201034b6579010c00010356616c010c0000000d"
     "0c01042f666f6f010362617200",
     NULL, NULL, 0},
    {"array of another length",
     "27ff81030101026b7601ff8200010301034b6579010c00010356616c010c0001"
     "014101ff840000000eff83010102ff840001040106000012ff8201042f666f6f"
     "01036261720102020100",
     NULL, NULL, 0},
    {"value is a slice", "0cff81020102ff8200010c000006ff8200010178", NULL, NULL,
     0},
    {"value is a map", "0eff81040102ff8200010c010c00000aff820001034b65790178",
     NULL, NULL, 0},
    {"a struct and a slice at once",
     "27ff81030101026b7601ff8200010201034b6579010c00010356616c010c0000"
     "010102ff820000000eff8201042f666f6f010362617200",
     NULL, NULL, 0},
};

static void test_decode_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        struct kv_command c;
        uint8_t *data;
        int rc = decode_hex(streams[i].hex, &c, &data);

        if ((rc == 0) != (streams[i].key != NULL)) {
            fail_msg("%s: result %d", streams[i].name, rc);
        }
        if (rc == 0) {
            assert_bytes(c.key, str_bytes(streams[i].key));
            assert_bytes(c.value, str_bytes(streams[i].value));
            assert_true(c.id == streams[i].id);
        } else {
            assert_int_equal(rc, ERR_MALFORMED);
            assert_null(c.key.data);
        }
        xfree(data);
    }
}

static void test_decode_vectors(void **state)
{
    struct jsonl *j = jsonl_open_shared("spec/samples/gob-vectors.jsonl");
    size_t n = 0;

    (void)state;
    if (j == NULL) {
        skip();
    }
    while (jsonl_next(j)) {
        size_t len;
        struct bytes key = {NULL, 0};
        struct bytes value = {NULL, 0};
        uint8_t *data = jsonl_get_hex(j, "hex", &len);
        struct kv_command c;
        bool ok = kv_command_decode((struct bytes){data, len}, &c) == 0;

        if (ok != (strcmp(jsonl_get(j, "go_decodes_into_kv"), "true") == 0)) {
            fail_msg("%s", jsonl_get(j, "name"));
        }
        if (ok) {
            key.data = jsonl_get_hex(j, "key_hex", &key.len);
            value.data = jsonl_get_hex(j, "val_hex", &value.len);
            assert_bytes(c.key, key);
            assert_bytes(c.value, value);
            xfree((void *)(uintptr_t)key.data);
            xfree((void *)(uintptr_t)value.data);
        }
        xfree(data);
        n++;
    }
    jsonl_close(j);
    assert_true(n > 40);
}

/* Types that contain themselves: type T struct { Key string; Next *T }, given
 * with one Next inside the other. Beyond the bound it is refused, and never
 * does it cost more stack than the bound. */
static void test_decode_bounds_recursion(void **state)
{
    static const struct {
        size_t depth;
        bool ok;
    } cases[] = {{0, true}, {1, true}, {200, true}, {400, false}};
    static const char def[] =
        "21ff81030101015401ff8200010201034b6579010c0001044e657874"
        "01ff82000000";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t def_len;
        uint8_t *def_bytes = hex_decode(def, &def_len);
        size_t n = cases[i].depth;
        size_t value_len = 2 + 3 + n + n + 1;
        uint8_t *all = xmalloc(def_len + 3 + value_len);
        uint8_t *p = all;
        struct kv_command c;

        memcpy(p, def_bytes, def_len);
        p += def_len;
        *p++ = 0xfe;
        *p++ = (uint8_t)(value_len >> 8);
        *p++ = (uint8_t)value_len;
        memcpy(p, "\xff\x82\x01\x01k", 5);
        p += 5;
        for (size_t k = 0; k < n; k++) {
            *p++ = k == 0 ? 1 : 2; /* Next */
        }
        memset(p, 0, n + 1);
        int rc =
            kv_command_decode((struct bytes){all, def_len + 3 + value_len}, &c);
        if ((rc == 0) != cases[i].ok) {
            fail_msg("depth %zu: %d", n, rc);
        }
        xfree(all);
        xfree(def_bytes);
    }
}

/* Many definitions, and a count of elements that the message cannot hold. */
static void test_decode_bounds_work(void **state)
{
    static const char huge_slice[] =
        "27ff81030101026b7601ff8200010301015301ff840001034b6579010c000103"
        "56616c010c0000000dff83020102ff840001ff86000016ff8503010102696e01"
        "ff8600010101014601080000000dff8201f8800000000000000000";
    uint8_t *many = xmalloc(300 * 9);
    uint8_t *data;
    size_t len;
    struct kv_command c;

    (void)state;
    data = hex_decode(huge_slice, &len);
    assert_int_equal(kv_command_decode((struct bytes){data, len}, &c),
                     ERR_MALFORMED);
    xfree(data);
    for (size_t i = 0; i < 300; i++) {
        uint64_t id = (100 + i) << 1 | 1; /* ~(-id) is id - 1 */
        uint8_t def[] = {8, 0xfe, (uint8_t)(id >> 8), (uint8_t)id, 2, 2, 0x0c,
                         0, 0};
        memcpy(many + i * 9, def, 9);
    }
    assert_int_equal(kv_command_decode((struct bytes){many, 300 * 9}, &c),
                     ERR_MALFORMED);
    xfree(many);
}

/* Every prefix and every single changed byte of a stream with all kinds of
 * fields: any verdict, no fault. */
static void test_decode_survives_damage(void **state)
{
    static const char *const sources[] = {
        DEF_OURS "10ff8201042f666f6f0103626172010700",
        "2eff85030101026b7601ff860001040102494401060001024f70010400010356616c"
        "010c0001034b6579010c00000012ff8601070102010362617201042f666f6f00",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        size_t len;
        uint8_t *data = hex_decode(sources[i], &len);
        struct kv_command c;

        for (size_t cut = 0; cut < len; cut++) {
            /* A copy of its own, so that reading on is seen. */
            uint8_t *copy = xmemdup(data, cut);
            int rc = kv_command_decode((struct bytes){copy, cut}, &c);
            assert_true(rc == 0 || rc == ERR_MALFORMED);
            xfree(copy);
        }
        for (size_t at = 0; at < len * 256; at++) {
            uint8_t before = data[at / 256];
            data[at / 256] = (uint8_t)at;
            int rc = kv_command_decode((struct bytes){data, len}, &c);
            assert_true(rc == 0 || rc == ERR_MALFORMED);
            data[at / 256] = before;
        }
        xfree(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_omits_zero_values),
        cmocka_unit_test(test_encode_then_decode),
        cmocka_unit_test(test_decode_streams),
        cmocka_unit_test(test_decode_vectors),
        cmocka_unit_test(test_decode_bounds_recursion),
        cmocka_unit_test(test_decode_bounds_work),
        cmocka_unit_test(test_decode_survives_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
