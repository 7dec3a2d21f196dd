/* Goal: exactly the URLs that can be dialed and printed are taken, and printing
 * gives back what was parsed. Method: tables of good and bad URLs, and random
 * changes to them. */

#include "src/net/addr.h"

#include "src/base/rng.h"
#include "tests/lib/cmocka.h"

static int parse(const char *text, struct addr *out, struct errmsg *em)
{
    return addr_parse_url((struct bytes){(const uint8_t *)text, strlen(text)},
                          out, em);
}

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        const char *printed;
    } cases[] = {
        {"http://127.0.0.1:9021", "127.0.0.1", 9021, "http://127.0.0.1:9021"},
        {"http://localhost:1", "localhost", 1, "http://localhost:1"},
        {"http://a-b_c.example.:65535", "a-b_c.example.", 65535,
         "http://a-b_c.example.:65535"},
        {" \t\r\nhttp://h:80\r\n \v\f", "h", 80, "http://h:80"},
        {"HTTP://H:80", "H", 80, "http://H:80"},
        {"http://[::1]:80", "::1", 80, "http://[::1]:80"},
        {"http://[fe80::1:2]:12380", "fe80::1:2", 12380,
         "http://[fe80::1:2]:12380"},
        {"http://[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80,
         "http://[::ffff:10.0.0.1]:80"},
        {"http://0.0.0.0:80", "0.0.0.0", 80, "http://0.0.0.0:80"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a;
        struct addr again;
        char url[ADDR_URL_MAX];

        assert_int_equal(parse(cases[i].text, &a, NULL), 0);
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
        addr_print_url(&a, url);
        assert_string_equal(url, cases[i].printed);
        assert_int_equal(parse(url, &again, NULL), 0);
        assert_true(addr_equal(&a, &again));
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"", "not an http:// URL"},
        {"   ", "not an http:// URL"},
        {"nonsense", "not an http:// URL"},
        {"127.0.0.1:9021", "not an http:// URL"},
        {"https://h:1", "not an http:// URL"},
        {"unix://h:1", "not an http:// URL"},
        {"http:/h:1", "not an http:// URL"},
        {"http//h:1", "not an http:// URL"},
        {"http://", "the port is missing"},
        {"http://h", "the port is missing"},
        {"http://[::1]", "the port is missing"},
        {"http://[::1]80", "the port is missing"},
        {"http://h:", "the port is not in 1..65535"},
        {"http://h:0", "the port is not in 1..65535"},
        {"http://h:01", "the port is not in 1..65535"},
        {"http://h:65536", "the port is not in 1..65535"},
        {"http://h:100000", "the port is not in 1..65535"},
        {"http://h:-1", "the port is not in 1..65535"},
        {"http://h:+1", "the port is not in 1..65535"},
        {"http://h:1x", "the port is not in 1..65535"},
        {"http://h:1:2", "the port is not in 1..65535"},
        {"http://h:80 x", "the port is not in 1..65535"},
        {"http://h:1/", "the URL has a path, query or fragment"},
        {"http://h:1/raft", "the URL has a path, query or fragment"},
        {"http://h:1?a", "the URL has a path, query or fragment"},
        {"http://h:1#a", "the URL has a path, query or fragment"},
        {"http://u@h:1", "the URL has a user"},
        {"http://u:p@h:1", "the URL has a user"},
        {"http://:1", "the host is malformed"},
        {"http://a b:1", "the host is malformed"},
        {"http://a,http:1", "the host is malformed"},
        {"http://a%20b:1", "the host is malformed"},
        {"http://-a:1", "the host is malformed"},
        {"http://.a:1", "the host is malformed"},
        {"http://\xc3\xa4:1", "the host is malformed"},
        {"http://::1:80", "the host is malformed"},
        {"http://[]:80", "no IPv6 address in the brackets"},
        {"http://[h]:80", "no IPv6 address in the brackets"},
        {"http://[127.0.0.1]:80", "no IPv6 address in the brackets"},
        {"http://[::1%eth0]:80", "no IPv6 address in the brackets"},
        {"http://[::1:80", "the bracket is not closed"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a = {.host = "kept", .port = 7};
        struct errmsg em;

        assert_int_equal(parse(cases[i].text, &a, &em), ERR_INVALID);
        assert_string_equal(em.text, cases[i].why);
        assert_string_equal(a.host, "kept");
        assert_int_equal(a.port, 7);
    }
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    static const uint8_t nul[] = "http://a\0b:80";
    struct addr a;

    assert_int_equal(
        addr_parse_url((struct bytes){nul, sizeof(nul) - 1}, &a, NULL),
        ERR_INVALID);
    assert_int_equal(addr_parse_url((struct bytes){NULL, 0}, &a, NULL),
                     ERR_INVALID);
}

static void test_host_length(void **state)
{
    (void)state;
    for (size_t n = ADDR_HOST_MAX - 2; n <= ADDR_HOST_MAX + 2; n++) {
        char text[ADDR_HOST_MAX + 40];
        char url[ADDR_URL_MAX];
        struct addr a;
        int head = snprintf(text, sizeof(text), "http://");

        memset(text + head, 'h', n);
        (void)snprintf(text + head + n, 8, ":65535");
        int rc = parse(text, &a, NULL);
        assert_int_equal(rc, n < ADDR_HOST_MAX ? 0 : ERR_INVALID);
        if (rc == 0) {
            addr_print_url(&a, url);
            assert_string_equal(url, text);
        }
    }
}

static void test_equal(void **state)
{
    (void)state;
    struct addr a = {.host = "h", .port = 1};
    struct addr b = {.host = "h", .port = 1};

    assert_true(addr_equal(&a, &b));
    b.port = 2;
    assert_false(addr_equal(&a, &b));
    b = (struct addr){.host = "i", .port = 1};
    assert_false(addr_equal(&a, &b));
}

/* Whatever is taken prints to what parses to the same. */
static void test_random_round_trip(void **state)
{
    (void)state;
    static const char alphabet[] = "http://[]:.@?#-_ 0189afz\r\n";
    struct rng r;
    size_t taken = 0;

    rng_seed(&r, 11);
    for (int round = 0; round < 200000; round++) {
        char text[32] = "http://[::1]:80";
        size_t len = strlen(text);
        struct addr a;

        if (rng_below(&r, 2) == 0) {
            (void)snprintf(text, sizeof(text), "http://ab.c:9021");
            len = strlen(text);
        }
        for (size_t i = rng_below(&r, 4); i > 0; i--) {
            text[rng_below(&r, len)] =
                alphabet[rng_below(&r, sizeof(alphabet) - 1)];
        }
        if (addr_parse_url((struct bytes){(uint8_t *)text, len}, &a, NULL) ==
            0) {
            char url[ADDR_URL_MAX];
            struct addr again;

            taken++;
            addr_print_url(&a, url);
            assert_int_equal(parse(url, &again, NULL), 0);
            assert_true(addr_equal(&a, &again));
        }
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_host_length),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_random_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
