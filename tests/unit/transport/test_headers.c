/* Goal: ids, versions and field lines are exactly those of the protocol; the
 * pause between attempts grows and is bounded. Method: tables. */

#include "transport/headers.h"

#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s == NULL ? 0 : strlen(s)};
}

static void test_hex_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t id;
    } CASES[] = {
        {"1", true, 1},
        {"a", true, 10},
        {"A", true, 10},
        {"02", true, 2},
        {"0000000000000000000f", true, 15},
        {"ffffffffffffffff", true, UINT64_MAX},
        {"10000000000000000", false, 0},
        {"", false, 0},
        {"zz", false, 0},
        {"0x1", false, 0},
        {"-1", false, 0},
        {" 1", false, 0},
        {NULL, false, 0},
    };
    char out[HEX_ID_SIZE];

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        uint64_t id = 0;

        assert_int_equal(hex_id_parse(text(CASES[i].text), &id), CASES[i].ok);
        assert_true(!CASES[i].ok || id == CASES[i].id);
    }
    hex_id_print(10, out);
    assert_string_equal(out, "a");
    hex_id_print(UINT64_MAX, out);
    assert_string_equal(out, "ffffffffffffffff");
}

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *server;
        const char *min;
        bool compatible; /* as the sender of a request */
        bool readable;   /* as the sender of an answer */
    } CASES[] = {
        {"3.4.23", "3.0.0", true, true},
        {"3.8.0-alpha.0", "3.0.0", true, true},
        {"3.9.0-alpha+x", "3.0.0", true, true},
        {"3.0.0", "2.0.0", true, true},
        {"3.0.0+build", "3.4.99", true, true},
        {"4.0.0", "3.0.0", true, true},
        {"2.3.0", "3.0.0", false, false},
        {"3.4.23", "3.5.0", false, true},
        {"3.4.23", "4.0.0", false, true},
        {"3.4.23", NULL, true, true}, /* absent: 2.0.0 */
        {NULL, "3.0.0", false, false},
        {"3.4", "3.0.0", false, false},
        {"v3.4.23", "3.0.0", false, false},
        {"3.4.23.1", "3.0.0", false, false},
        {"3.4.", "3.0.0", false, false},
        {"3..4", "3.0.0", false, false},
        {"abc", "3.0.0", false, false},
        {"", "3.0.0", false, false},
        {"3.99999999999999999999.0", "3.0.0", false, false},
        {"3.4.23", "3", false, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct bytes server = text(CASES[i].server);

        if (peer_versions_compatible(server, text(CASES[i].min)) !=
                CASES[i].compatible ||
            peer_version_readable(server) != CASES[i].readable) {
            fail_msg("case %zu: %s", i, CASES[i].server);
        }
    }
}

static void test_fields(void **state)
{
    (void)state;
    struct peer_fields f;

    peer_fields_init(&f, 10, 0x1000);
    assert_string_equal(f.id, "a");
    assert_string_equal(f.cluster_id, "1000");
    assert_string_equal(f.stream, "X-Etcd-Cluster-ID: 1000\r\n"
                                  "X-Min-Cluster-Version: 3.0.0\r\n"
                                  "X-Server-From: a\r\n"
                                  "X-Server-Version: 3.4.23\r\n");
    assert_string_equal(f.post, "Content-Type: application/protobuf\r\n"
                                "X-Etcd-Cluster-ID: 1000\r\n"
                                "X-Min-Cluster-Version: 3.0.0\r\n"
                                "X-Server-From: a\r\n"
                                "X-Server-Version: 3.4.23\r\n");
    assert_string_equal(f.answer, "X-Etcd-Cluster-Id: 1000\r\n");
    assert_string_equal(f.stream_answer, "X-Etcd-Cluster-Id: 1000\r\n"
                                         "X-Server-Version: 3.4.23\r\n");
    peer_fields_init(&f, UINT64_MAX, UINT64_MAX); /* the longest ones fit */
}

static void test_fields_with_a_url(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *sent; /* NULL: none */
    } CASES[] = {
        {"http://127.0.0.1:2380", "http://127.0.0.1:2380"},
        {" HTTP://node-1.example:1 ", "http://node-1.example:1"},
        {"http://[::1]:80", "http://[::1]:80"},
        {"http://[2001:db8::7]:65535", "http://[2001:db8::7]:65535"},
        {NULL, NULL},
        {"", NULL},
        {"nonsense", NULL},
        {"https://127.0.0.1:2380", NULL},
        {"http://:2380", NULL},
        {"http://127.0.0.1:2380/", NULL},
        {"http://127.0.0.1:2380,http://127.0.0.1:2381", NULL},
        {"http://a b:1", NULL},
        {"http://a\r\nX: y:1", NULL},
        {"http://0.0.0.0:2380", NULL}, /* where others would meet themselves */
        {"http://[::]:2380", NULL},
        {"http://[0:0::]:2380", NULL},
        {"http://[1:2:3]:2380", NULL}, /* Go: no IPv6 address */
    };
    struct peer_fields f;
    char line[ADDR_URL_MAX + 32];

    peer_fields_init(&f, 10, 0x1000);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        peer_fields_set_url(&f, CASES[i].url);
        (void)snprintf(line, sizeof(line), "3.4.23\r\n%s%s%s",
                       CASES[i].sent == NULL ? "" : "X-PeerURLs: ",
                       CASES[i].sent == NULL ? "" : CASES[i].sent,
                       CASES[i].sent == NULL ? "" : "\r\n");
        assert_true(strlen(f.stream) > strlen(line));
        assert_string_equal(f.stream + strlen(f.stream) - strlen(line), line);
        assert_string_equal(f.post + strlen(f.post) - strlen(f.stream),
                            f.stream);
    }

    /* The longest ones fit. */
    char url[ADDR_URL_MAX];
    (void)snprintf(url, sizeof(url), "http://%0255d:65535", 0);
    peer_fields_init(&f, UINT64_MAX, UINT64_MAX);
    peer_fields_set_url(&f, url);
    assert_non_null(strstr(f.post, url));
}

static void test_peer_urls(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *first; /* NULL: malformed */
    } CASES[] = {
        {"http://a:1", "http://a:1"},
        {" http://a:1 ", "http://a:1"},
        {"http://a:1,http://b:2", "http://a:1"},
        {"http://[::1]:1 , http://b:2,http://c:3", "http://[::1]:1"},
        {"", NULL},
        {" ", NULL},
        {",", NULL},
        {"http://a:1,", NULL},
        {",http://a:1", NULL},
        {"http://a:1,,http://b:2", NULL},
        {"http://a:1,nonsense", NULL},
        {"http://a:1 http://b:2", NULL},
        {"http://a:1/,http://b:2", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        char printed[ADDR_URL_MAX];
        struct addr first;

        if (peer_urls_parse(text(CASES[i].value), &first) !=
            (CASES[i].first != NULL)) {
            fail_msg("\"%s\"", CASES[i].value);
        }
        if (CASES[i].first != NULL) {
            addr_print_url(&first, printed);
            assert_string_equal(printed, CASES[i].first);
        }
    }
}

static void test_answer_text(void **state)
{
    (void)state;
    struct peer_answer a;

    peer_answer_reset(&a, 404);
    peer_answer_add(&a, text("error sen"));
    peer_answer_add(&a, text("der\x01 not found\nmore"));
    assert_int_equal(a.status, 404);
    assert_string_equal(a.text, "error sender? not found");
    peer_answer_reset(&a, 200);
    for (int i = 0; i < 50; i++) {
        peer_answer_add(&a, text("0123456789"));
    }
    assert_int_equal(strlen(a.text), sizeof(a.text) - 1);
}

static void test_back_off_is_bounded(void **state)
{
    (void)state;
    struct backoff b = {0};
    struct rng rng;
    uint64_t full = BACKOFF_MIN_MS;

    rng_seed(&rng, 1);
    for (int i = 0; i < 50; i++) {
        backoff_fail(&b, 1000, &rng);
        assert_int_equal(b.delay_ms, full);
        assert_true(b.at_ms <= 1000 + full && b.at_ms >= 1000 + full / 2);
        full = min_u64(2 * full, BACKOFF_MAX_MS);
    }
    backoff_reset(&b);
    assert_int_equal(b.at_ms, 0);
    backoff_fail(&b, 1000, &rng);
    assert_int_equal(b.delay_ms, BACKOFF_MIN_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex_ids),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_fields_with_a_url),
        cmocka_unit_test(test_peer_urls),
        cmocka_unit_test(test_answer_text),
        cmocka_unit_test(test_back_off_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
