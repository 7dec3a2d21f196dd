/* Goal: the JSON of snapshots is Go's to the byte for text, and every byte
 * string comes back. Method: literal strings, the recorded vectors, damage. */

#include "src/kv/image.h"

#include "src/base/alloc.h"
#include "src/base/buf.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/hex.h"
#include "tests/lib/jsonl.h"

/* The last pair that came, and how many did. */
struct seen {
    size_t n;
    struct buf key;
    struct buf value;
};

static void seen_init(struct seen *s)
{
    s->n = 0;
    buf_init(&s->key, BUF_UNLIMITED);
    buf_init(&s->value, BUF_UNLIMITED);
}

static void seen_release(struct seen *s)
{
    buf_release(&s->key);
    buf_release(&s->value);
}

static void on_pair(void *arg, struct bytes key, struct bytes value)
{
    struct seen *s = arg;

    s->n++;
    buf_reset(&s->key);
    buf_reset(&s->value);
    (void)buf_append(&s->key, key.data, key.len);
    (void)buf_append(&s->value, value.data, value.len);
}

static int decode(const void *doc, size_t len, struct seen *s,
                  struct errmsg *em)
{
    /* A copy of its own, so that reading past the end is seen. */
    uint8_t *copy = xmemdup(doc, len);
    int rc = image_decode((struct bytes){copy, len}, on_pair, s, em);

    xfree(copy);
    return rc;
}

/* --- writing --- */

static const struct {
    const char *name;
    const char *in;
    size_t len;
    const char *out;
} strings[] = {
#define CASE(name, in, out)                                                    \
    {                                                                          \
        name, in, sizeof(in) - 1, out                                          \
    }
    CASE("empty", "", "\"\""),
    CASE("plain", "/foo bar\x7f", "\"/foo bar\x7f\""),
    CASE("quote and backslash", "a\"b\\c/", "\"a\\\"b\\\\c/\""),
    CASE("short escapes", "\n\r\t", "\"\\n\\r\\t\""),
    CASE("no short form for these", "\b\f", "\"\\u0008\\u000c\""),
    CASE("control bytes", "\0\x1f\x0b", "\"\\u0000\\u001f\\u000b\""),
    CASE("html", "<a&b>", "\"\\u003ca\\u0026b\\u003e\""),
    CASE("line separators", "\xe2\x80\xa8x\xe2\x80\xa9", "\"\\u2028x\\u2029\""),
    CASE("its neighbours", "\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8",
         "\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x81\xa8\""),
    CASE("separator behind a broken character", "\xf0\xe2\x80\xa8",
         "\"\xf0\\u2028\""),
    CASE("separator cut short", "\xe2\x80", "\"\xe2\x80\""),
    CASE("text", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
         "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""),
    CASE("not text", "\xff\0\x80", "\"\xff\\u0000\x80\""),
#undef CASE
};

static void test_put_string(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        struct bytes in = {(const uint8_t *)strings[i].in, strings[i].len};
        struct buf b;

        buf_init(&b, BUF_UNLIMITED);
        assert_int_equal(image_put_string(&b, in), 0);
        if (b.len != strlen(strings[i].out) ||
            memcmp(b.data, strings[i].out, b.len) != 0) {
            fail_msg("%s: %s", strings[i].name, buf_cstr(&b));
        }
        buf_release(&b);
    }
}

static void test_put_string_reports_full_buffer(void **state)
{
    struct buf b;

    (void)state;
    for (size_t limit = 0; limit < 12; limit++) {
        buf_init(&b, limit);
        int rc =
            image_put_string(&b, (struct bytes){(const uint8_t *)"ab\"cd<", 6});
        assert_int_equal(rc, ERR_TOO_LARGE);
        buf_release(&b);
    }
}

/* Every pair of bytes inside a string: written and read back. */
static void test_every_two_bytes_come_back(void **state)
{
    uint8_t all[2 * 65536];
    struct buf b;
    struct seen s;

    (void)state;
    for (size_t i = 0; i < 65536; i++) {
        all[2 * i] = (uint8_t)(i >> 8);
        all[2 * i + 1] = (uint8_t)i;
    }
    seen_init(&s);
    buf_init(&b, BUF_UNLIMITED);
    (void)buf_append_str(&b, "{\"k\":");
    assert_int_equal(image_put_string(&b, (struct bytes){all, sizeof(all)}), 0);
    (void)buf_append_byte(&b, '}');
    assert_int_equal(decode(b.data, b.len, &s, NULL), 0);
    assert_int_equal(s.value.len, sizeof(all));
    assert_memory_equal(s.value.data, all, sizeof(all));
    buf_release(&b);
    seen_release(&s);
}

/* Each byte at each place of a word of eight, and behind the last one, is
 * written as it is alone, and read back. */
static void test_every_byte_at_every_place(void **state)
{
    struct seen s;

    (void)state;
    seen_init(&s);
    for (int c = 0; c < 256; c++) {
        struct bytes alone = {(const uint8_t[]){(uint8_t)c}, 1};

        for (size_t at = 0; at < 19; at++) {
            uint8_t in[19];
            struct buf want;
            struct buf b;

            memset(in, at % 2 == 0 ? 'x' : 0xff, sizeof(in));
            in[at] = (uint8_t)c;
            buf_init(&want, BUF_UNLIMITED);
            buf_init(&b, BUF_UNLIMITED);
            assert_int_equal(image_put_string(&want, alone), 0);
            (void)buf_append_str(&b, "{\"k\":");
            assert_int_equal(image_put_string(&b, (struct bytes){in, 19}), 0);
            (void)buf_append_byte(&b, '}');
            assert_int_equal(b.len, 5 + 1 + 18 + (want.len - 2) + 1 + 1);
            assert_memory_equal(b.data + 6 + at, want.data + 1, want.len - 2);
            assert_int_equal(decode(b.data, b.len, &s, NULL), 0);
            assert_int_equal(s.value.len, sizeof(in));
            assert_memory_equal(s.value.data, in, sizeof(in));
            buf_release(&b);
            buf_release(&want);
        }
    }
    seen_release(&s);
}

/* --- reading --- */

static const struct {
    const char *name;
    const char *doc;
    const char *value; /* of the last pair; NULL: refused */
    size_t n;
} documents[] = {
    {"empty object", "{}", "", 0},
    {"null document", "null", "", 0},
    {"white space everywhere", " \t\r\n{ \"a\" : \"b\" , \"c\":\"d\" } \n", "d",
     2},
    {"same key twice", "{\"a\":\"1\",\"a\":\"2\"}", "2", 2},
    {"null value", "{\"a\":null}", "", 1},
    {"short escapes", "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
     "\"\\/\b\f\n\r\t", 1},
    {"either case of hex", "{\"a\":\"\\u00E9\\u00e9\"}", "\xc3\xa9\xc3\xa9", 1},
    {"surrogate pair", "{\"a\":\"\\ud83d\\ude00\"}", "\xf0\x9f\x98\x80", 1},
    {"high surrogate alone", "{\"a\":\"x\\ud83dy\"}", "x\xef\xbf\xbdy", 1},
    {"low surrogate alone", "{\"a\":\"x\\ude00y\"}", "x\xef\xbf\xbdy", 1},
    {"high, high, low", "{\"a\":\"\\ud83d\\ud83d\\ude00\"}",
     "\xef\xbf\xbd\xf0\x9f\x98\x80", 1},
    {"low, high", "{\"a\":\"\\ude00\\ud83d\"}", "\xef\xbf\xbd\xef\xbf\xbd", 1},
    {"high, other", "{\"a\":\"\\ud83d\\u0041\"}", "\xef\xbf\xbd\x41", 1},
    {"high, short escape", "{\"a\":\"\\ud83d\\n\"}", "\xef\xbf\xbd\n", 1},
    {"bytes that are no text", "{\"a\":\"x\xff\xc3(\xed\xa0\x80y\"}",
     "x\xff\xc3(\xed\xa0\x80y", 1},
    {"raw 7f", "{\"a\":\"x\x7fy\"}", "x\x7fy", 1},
    {"empty input", "", NULL, 0},
    {"only white space", " ", NULL, 0},
    {"number", "{\"a\":1}", NULL, 0},
    {"true", "{\"a\":true}", NULL, 0},
    {"object inside", "{\"a\":{}}", NULL, 0},
    {"array", "[\"a\"]", NULL, 0},
    {"string", "\"a\"", NULL, 0},
    {"nul", "nul", NULL, 0},
    {"nulll", "nulll", NULL, 0},
    {"bytes behind", "{\"a\":\"b\"}x", NULL, 0},
    {"second document", "{}{}", NULL, 0},
    {"comma at the end", "{\"a\":\"b\",}", NULL, 0},
    {"comma at the start", "{,}", NULL, 0},
    {"no comma", "{\"a\":\"b\" \"c\":\"d\"}", NULL, 0},
    {"no colon", "{\"a\" \"b\"}", NULL, 0},
    {"byte order mark", "\xef\xbb\xbf{}", NULL, 0},
    {"raw newline", "{\"a\":\"x\ny\"}", NULL, 0},
    {"unknown escape", "{\"a\":\"\\a\"}", NULL, 0},
    {"escaped apostrophe", "{\"a\":\"\\'\"}", NULL, 0},
    {"short \\u", "{\"a\":\"\\u12\"}", NULL, 0},
    {"\\u with a letter too far", "{\"a\":\"\\u12g4\"}", NULL, 0},
    {"capital \\U", "{\"a\":\"\\U0041\"}", NULL, 0},
    {"not closed", "{\"a\":\"b\"", NULL, 0},
    {"key without quotes", "{a:\"b\"}", NULL, 0},
    {"null key", "{null:\"b\"}", NULL, 0},
    {"vertical tab between", "{\v}", NULL, 0},
};

static void test_decode_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
        struct seen s;
        const char *doc = documents[i].doc;

        seen_init(&s);
        int rc = decode(doc, strlen(doc), &s, NULL);
        if (documents[i].value == NULL) {
            if (rc != ERR_MALFORMED) {
                fail_msg("%s: %d", documents[i].name, rc);
            }
        } else {
            if (rc != 0 || s.n != documents[i].n) {
                fail_msg("%s: %d, %zu pairs", documents[i].name, rc, s.n);
            }
            assert_string_equal(buf_cstr(&s.value), documents[i].value);
        }
        seen_release(&s);
    }
}

static void test_decode_says_where(void **state)
{
    struct errmsg em;
    struct seen s;

    (void)state;
    seen_init(&s);
    assert_int_equal(decode("{\"a\":\"b\",\"c\":7}", 15, &s, &em),
                     ERR_MALFORMED);
    assert_string_equal(em.text,
                        "offset 13: a string should stand here: malformed "
                        "data");
    seen_release(&s);
}

static void test_decode_nul_in_strings_and_behind(void **state)
{
    static const char doc[] = "{\"a\\u0000b\":\"\\u0000\"}";
    struct seen s;

    (void)state;
    seen_init(&s);
    assert_int_equal(decode(doc, sizeof(doc) - 1, &s, NULL), 0);
    assert_int_equal(s.key.len, 3);
    assert_memory_equal(s.key.data, "a\0b", 3);
    assert_int_equal(s.value.len, 1);
    assert_int_equal(decode(doc, sizeof(doc), &s, NULL), ERR_MALFORMED);
    seen_release(&s);
}

static void test_decode_every_prefix_is_refused(void **state)
{
    static const char doc[] =
        "{\"a\":\"\\ud83d\\ude00\\n\",\"b\":null,\"c\":\"\"}";
    struct seen s;

    (void)state;
    seen_init(&s);
    for (size_t cut = 0; cut < sizeof(doc) - 1; cut++) {
        assert_int_equal(decode(doc, cut, &s, NULL), ERR_MALFORMED);
    }
    assert_int_equal(decode(doc, sizeof(doc) - 1, &s, NULL), 0);
    seen_release(&s);
}

/* --- recorded vectors --- */

/* A list of pairs, [["6b","76"],...]: the next two hexadecimal strings. */
static bool next_pair(const char **p, uint8_t **key, size_t *key_len,
                      uint8_t **value, size_t *value_len)
{
    char *parts[2];

    for (size_t i = 0; i < 2; i++) {
        const char *open = strchr(*p, '"');
        if (open == NULL) {
            return false;
        }
        const char *close = strchr(open + 1, '"');
        parts[i] = xasprintf("%.*s", (int)(close - open - 1), open + 1);
        *p = close + 1;
    }
    *key = hex_decode(parts[0], key_len);
    *value = hex_decode(parts[1], value_len);
    xfree(parts[0]);
    xfree(parts[1]);
    return true;
}

/* Go loses bytes that are no text and we do not: these differ on purpose. */
static bool is_lossy(const char *name)
{
    return strstr(name, "invalid_") != NULL;
}

static void check_encode_vector(const struct jsonl *j)
{
    const char *p = jsonl_get(j, "map_hex");
    uint8_t *key;
    uint8_t *value;
    size_t key_len;
    size_t value_len;
    size_t want_len;
    uint8_t *want = jsonl_get_hex(j, "json_hex", &want_len);
    struct buf b;

    buf_init(&b, BUF_UNLIMITED);
    (void)buf_append_byte(&b, '{');
    while (next_pair(&p, &key, &key_len, &value, &value_len)) {
        if (b.len > 1) {
            (void)buf_append_byte(&b, ',');
        }
        (void)image_put_string(&b, (struct bytes){key, key_len});
        (void)buf_append_byte(&b, ':');
        (void)image_put_string(&b, (struct bytes){value, value_len});
        xfree(key);
        xfree(value);
    }
    (void)buf_append_byte(&b, '}');
    if (b.len != want_len || memcmp(b.data, want, want_len) != 0) {
        fail_msg("%s: %s", jsonl_get(j, "name"), buf_cstr(&b));
    }
    buf_release(&b);
    xfree(want);
}

static void check_decode_vector(const struct jsonl *j)
{
    const char *name = jsonl_get(j, "name");
    bool go_ok = strcmp(jsonl_get(j, "go_ok"), "true") == 0;
    size_t len;
    uint8_t *doc = jsonl_get_hex(j, "json_hex", &len);
    struct seen s;

    seen_init(&s);
    if ((decode(doc, len, &s, NULL) == 0) != go_ok) {
        fail_msg("%s", name);
    }
    if (go_ok && !is_lossy(name)) {
        const char *p = jsonl_get(j, "map_hex");
        uint8_t *key;
        uint8_t *value;
        size_t key_len;
        size_t value_len;

        /* Only the last pair: the map's order is the document's here. */
        while (next_pair(&p, &key, &key_len, &value, &value_len)) {
            if (strchr(p, '"') == NULL) {
                assert_int_equal(s.key.len, key_len);
                assert_int_equal(s.value.len, value_len);
                assert_memory_equal(s.key.data, key, key_len);
                if (value_len > 0) {
                    assert_memory_equal(s.value.data, value, value_len);
                }
            }
            xfree(key);
            xfree(value);
        }
    }
    seen_release(&s);
    xfree(doc);
}

static void test_vectors(void **state)
{
    struct jsonl *j = jsonl_open_shared("spec/samples/json-vectors.jsonl");
    size_t n = 0;

    (void)state;
    if (j == NULL) {
        skip();
    }
    while (jsonl_next(j)) {
        const char *name = jsonl_get(j, "name");

        n++;
        if (strcmp(jsonl_get(j, "op"), "decode") == 0) {
            check_decode_vector(j);
        } else if (!is_lossy(name) && strcmp(name, "nil") != 0) {
            check_encode_vector(j);
        }
    }
    jsonl_close(j);
    assert_true(n > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_string),
        cmocka_unit_test(test_put_string_reports_full_buffer),
        cmocka_unit_test(test_every_two_bytes_come_back),
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_decode_documents),
        cmocka_unit_test(test_decode_says_where),
        cmocka_unit_test(test_decode_nul_in_strings_and_behind),
        cmocka_unit_test(test_decode_every_prefix_is_refused),
        cmocka_unit_test(test_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
