/* The table of hostile HTTP; large inputs are made on first use. */

#include "tests/lib/http_cases.h"

#include "src/base/bounds.h"
#include "src/base/buf.h"

#define H    "Host: x\r\n"
#define E    "\r\n"
#define GET  "GET /k HTTP/1.1\r\n"
#define PUT  "PUT /k HTTP/1.1\r\n" H
#define CH   PUT "Transfer-Encoding: chunked\r\n" E
#define NEXT "GET /next HTTP/1.1\r\n" H E

/* A request that may be kept open is followed by another one, to see that the
 * bytes between were understood. */
#define IN(literal) .in = {(const uint8_t *)(literal), sizeof(literal) - 1}
#define BAD(n, what, code)                                                     \
    {                                                                          \
        .name = (n), IN(what), .answers = (code)                               \
    }
#define GOOD(n, what, codes)                                                   \
    {                                                                          \
        .name = (n), IN(what), .answers = (codes), .open = true                \
    }
#define LIMIT(n, what, codes)                                                  \
    {                                                                          \
        .name = (n), IN(what), .answers = (codes), .by_listener = true         \
    }

static struct http_case cases[] = {
    /* framing said twice, or in other ways than one */
    BAD("length_and_coding",
        PUT "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" E "0\r\n\r\n",
        "400"),
    BAD("coding_and_length",
        PUT "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n" E "0\r\n\r\n",
        "400"),
    BAD("two_lengths_equal",
        PUT "Content-Length: 4\r\nContent-Length: 4\r\n" E "abcd", "400"),
    BAD("two_lengths_differ",
        PUT "Content-Length: 4\r\nContent-Length: 5\r\n" E "abcd", "400"),
    BAD("length_list", PUT "Content-Length: 4, 4\r\n" E "abcd", "400"),
    BAD("length_negative", PUT "Content-Length: -1\r\n" E, "400"),
    BAD("length_plus", PUT "Content-Length: +4\r\n" E "abcd", "400"),
    BAD("length_hex", PUT "Content-Length: 0x4\r\n" E "abcd", "400"),
    BAD("length_with_space", PUT "Content-Length: 1 3\r\n" E "abcd", "400"),
    BAD("length_empty", PUT "Content-Length:\r\n" E, "400"),
    BAD("length_blank", PUT "Content-Length: \t \r\n" E, "400"),
    BAD("length_leading_zeros", PUT "Content-Length: 004\r\n" E "abcd", "400"),
    BAD("length_two_zeros", PUT "Content-Length: 00\r\n" E, "400"),
    BAD("length_2_64", PUT "Content-Length: 18446744073709551616\r\n" E, "400"),
    LIMIT("length_2_64_minus_1",
          PUT "Content-Length: 18446744073709551615\r\n" E, "413"),
    LIMIT("length_2_63", PUT "Content-Length: 9223372036854775808\r\n" E,
          "413"),
    LIMIT("length_over_limit", PUT "Content-Length: 65\r\n" E, "413"),
    BAD("coding_unknown", PUT "Transfer-Encoding: xchunked\r\n" E "0\r\n\r\n",
        "400"),
    BAD("coding_identity", PUT "Transfer-Encoding: identity\r\n" E "0\r\n\r\n",
        "400"),
    BAD("coding_chunked_not_last",
        PUT "Transfer-Encoding: chunked, gzip\r\n" E "0\r\n\r\n", "400"),
    BAD("coding_empty", PUT "Transfer-Encoding:\r\n" E "0\r\n\r\n", "400"),
    BAD("coding_twice",
        PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" E
            "0\r\n\r\n",
        "400"),
    BAD("coding_chunked_chunked",
        PUT "Transfer-Encoding: chunked, chunked\r\n" E "0\r\n\r\n", "400"),
    BAD("coding_gzip_chunked",
        PUT "Transfer-Encoding: gzip, chunked\r\n" E "0\r\n\r\n", "501"),
    BAD("coding_in_1_0",
        "PUT /k HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" E "0\r\n\r\n",
        "400"),

    /* chunks */
    GOOD("chunks", CH "4\r\nabcd\r\nA\r\n0123456789\r\n0\r\n\r\n" NEXT,
         "200 200"),
    GOOD("chunk_size_with_zeros",
         CH "0004\r\nabcd\r\n0000000000000000\r\n\r\n" NEXT, "200 200"),
    BAD("chunk_size_hex_prefix", CH "0x1\r\na\r\n0\r\n\r\n", "400"),
    BAD("chunk_size_negative", CH "-1\r\na\r\n0\r\n\r\n", "400"),
    BAD("chunk_size_empty", CH "\r\na\r\n0\r\n\r\n", "400"),
    BAD("chunk_size_with_space", CH "4 \r\nabcd\r\n0\r\n\r\n", "400"),
    BAD("chunk_size_17_digits", CH "00000000000000001\r\na\r\n0\r\n\r\n",
        "400"),
    BAD("chunk_size_lf_only", CH "1\na\r\n0\r\n\r\n", "400"),
    BAD("chunk_size_cr_only", CH "1\ra\r\n0\r\n\r\n", "400"),
    BAD("chunk_data_lf_only", CH "1\r\na\n0\r\n\r\n", "400"),
    BAD("chunk_data_longer", CH "1\r\nabc\r\n0\r\n\r\n", "400"),
    GOOD("chunk_extensions",
         CH "4;a=b;c=\"d e\";f\r\nabcd\r\n0;last\r\n\r\n" NEXT, "200 200"),
    BAD("chunk_extension_control_byte", CH "4;a\x01\r\nabcd\r\n0\r\n\r\n",
        "400"),
    GOOD("trailers",
         CH "4\r\nabcd\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n" NEXT,
         "200 200"),
    BAD("trailer_folded", CH "0\r\nA: b\r\n c\r\n\r\n", "400"),
    BAD("trailer_without_colon", CH "0\r\nAbc\r\n\r\n", "400"),
    LIMIT("chunks_over_limit",
          CH "20\r\n0123456789abcdef0123456789abcdef\r\n"
             "21\r\n0123456789abcdef0123456789abcdef0\r\n0\r\n\r\n",
          "413"),
    LIMIT("chunk_of_2_64_minus_1", CH "ffffffffffffffff\r\na", "413"),

    /* header lines */
    BAD("folded_line", GET H "A: b\r\n c\r\n" E, "400"),
    BAD("folded_line_with_tab", GET H "A: b\r\n\tc\r\n" E, "400"),
    BAD("folded_first_line", GET " Host: x\r\n" E, "400"),
    BAD("space_before_colon", GET "Host : x\r\n" E, "400"),
    BAD("bare_lf", "GET /k HTTP/1.1\nHost: x\n\n", "400"),
    BAD("bare_lf_in_header", GET "Host: x\n" E, "400"),
    BAD("bare_lf_at_end", GET H "\n", "400"),
    BAD("bare_cr", GET "Host: x\rA: b\r\n" E, "400"),
    BAD("nul_in_value", GET "Host: x\0y\r\n" E, "400"),
    BAD("nul_in_target", "GET /\0 HTTP/1.1\r\n" H E, "400"),
    BAD("control_byte_in_target", "GET /\x01 HTTP/1.1\r\n" H E, "400"),
    BAD("del_in_target", "GET /\x7f HTTP/1.1\r\n" H E, "400"),
    BAD("tab_in_target", "GET /\t HTTP/1.1\r\n" H E, "400"),
    BAD("control_byte_in_value", GET "Host: x\x1fy\r\n" E, "400"),
    BAD("no_colon", GET H "Abc\r\n" E, "400"),
    BAD("name_with_separator", GET H "A(b: c\r\n" E, "400"),
    BAD("name_not_ascii", GET H "A\xc3\xa4: c\r\n" E, "400"),
    BAD("empty_name", GET H ": c\r\n" E, "400"),
    GOOD("value_not_ascii", GET H "A: \xc3\xa4\xff\r\n" E NEXT, "200 200"),
    GOOD("empty_value", GET H "A:\r\nB: \r\n" E NEXT, "200 200"),
    BAD("no_host", GET E, "400"),
    BAD("two_hosts", GET H H E, "400"),
    BAD("two_hosts_1_0", "GET /k HTTP/1.0\r\n" H H E, "400"),
    GOOD("empty_host", GET "Host:\r\n" E NEXT, "200 200"),

    /* request lines */
    BAD("version_2_0", "GET /k HTTP/2.0\r\n" H E, "505"),
    BAD("version_1_2", "GET /k HTTP/1.2\r\n" H E, "505"),
    BAD("version_9_9", "GET /k HTTP/9.9\r\n" H E, "505"),
    BAD("version_0_9", "GET /k HTTP/0.9\r\n" H E, "505"),
    BAD("http2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    BAD("version_long", "GET /k HTTP/1.10\r\n" H E, "400"),
    BAD("version_short", "GET /k HTTP/1\r\n" H E, "400"),
    BAD("version_lower_case", "GET /k http/1.1\r\n" H E, "400"),
    BAD("version_other", "GET /k RTSP/1.0\r\n" H E, "400"),
    BAD("version_and_space", "GET /k HTTP/1.1 \r\n" H E, "400"),
    BAD("tls_hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" E, "400"),
    BAD("simple_request", "GET /k\r\n", ""),
    BAD("simple_request_with_head", "GET /k\r\n" H E, "400"),
    BAD("two_spaces", "GET  /k HTTP/1.1\r\n" H E, "400"),
    BAD("leading_space", " GET /k HTTP/1.1\r\n" H E, "400"),
    BAD("method_alone", "GET\r\n" E, "400"),
    BAD("unknown_method", "BREW /k HTTP/1.1\r\n" H E, "405"),
    BAD("lower_case_method", "get /k HTTP/1.1\r\n" H E, "405"),
    BAD("connect", "CONNECT h:1 HTTP/1.1\r\n" H E, "405"),
    GOOD("upgrade", GET H "Connection: Upgrade\r\nUpgrade: h2c\r\n" E NEXT,
         "200 200"),
    GOOD("upgrade_with_body",
         PUT "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n" E
             "abc" NEXT,
         "200 200"),
    BAD("absolute_form", "GET http://x/k HTTP/1.1\r\n" H E, "400"),
    BAD("asterisk", "OPTIONS * HTTP/1.1\r\n" H E, "400"),
    BAD("target_without_slash", "GET k HTTP/1.1\r\n" H E, "400"),
    GOOD("target_not_ascii", "GET /\x80\xff\xc3\xa4 HTTP/1.1\r\n" H E NEXT,
         "200 200"),
    GOOD("target_odd", "GET //../%00?a#b\"<>[]^`{|} HTTP/1.1\r\n" H E NEXT,
         "200 200"),
    GOOD("four_blank_lines", "\r\n\r\n\r\n\r\n" GET H E NEXT, "200 200"),
    BAD("five_blank_lines", "\r\n\r\n\r\n\r\n\r\n" GET H E, "400"),
    BAD("blank_line_lf_only", "\n" GET H E, "400"),

    /* several requests, and where they end */
    GOOD("three_requests", NEXT PUT "Content-Length: 3\r\n" E "abc" NEXT,
         "200 200 200"),
    BAD("bad_third_request", NEXT NEXT "GET k HTTP/1.1\r\n" H E, "200 200 400"),
    BAD("close_and_another", GET H "Connection: close\r\n" E NEXT, "200"),
    BAD("close_in_list", GET H "Connection: x, close\r\n" E NEXT, "200"),
    BAD("http_1_0", "GET /k HTTP/1.0\r\n" E NEXT, "200"),
    GOOD("http_1_0_keep_alive",
         "GET /k HTTP/1.0\r\nConnection: keep-alive\r\n" E NEXT, "200 200"),
    GOOD("get_with_body", GET H "Content-Length: 4\r\n" E "abcd" NEXT,
         "200 200"),
    GOOD("length_zero", PUT "Content-Length: 0\r\n" E NEXT, "200 200"),
    GOOD("body_of_line_ends",
         PUT "Content-Length: 8\r\n" E "\r\n\r\n\r\n\r\n" NEXT, "200 200"),

    /* expectations */
    GOOD("expect",
         PUT "Expect: 100-continue\r\nContent-Length: 4\r\n" E "abcd" NEXT,
         "100 200 200"),
    GOOD("expect_without_body", PUT "Expect: 100-Continue\r\n" E NEXT,
         "200 200"),
    LIMIT("expect_too_large",
          PUT "Expect: 100-continue\r\nContent-Length: 65\r\n" E, "413"),
    BAD("expect_another", PUT "Expect: 200-ok\r\nContent-Length: 4\r\n" E,
        "417"),
    GOOD("body_at_limit",
         PUT "Content-Length: 64\r\n" E "0123456789abcdef0123456789abcdef"
             "0123456789abcdef0123456789abcdef" NEXT,
         "200 200"),
    GOOD("chunks_at_limit",
         CH "20\r\n0123456789abcdef0123456789abcdef\r\n"
            "20\r\n0123456789abcdef0123456789abcdef\r\n"
            "0\r\n\r\n" NEXT,
         "200 200"),

    /* made by fill_large */
    {.name = "line_8k", .answers = "200 200", .open = true},
    {.name = "line_8k_plus_1", .answers = "414"},
    {.name = "line_without_end", .answers = "414"},
    {.name = "headers_16k", .answers = "200 200", .open = true},
    {.name = "headers_16k_plus_1", .answers = "431"},
    {.name = "header_without_end", .answers = "431"},
    {.name = "fields_100", .answers = "200 200", .open = true},
    {.name = "fields_101", .answers = "431"},
    {.name = "extensions_16k_plus_1", .answers = "431"},
    {.name = "trailers_101", .answers = "431"},
};

static struct buf large[ARRAY_LEN(cases)];

static void fill(struct buf *b, char c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)buf_append_byte(b, (uint8_t)c);
    }
}

/* A request line of `n` bytes. */
static void fill_line(struct buf *b, size_t n)
{
    (void)buf_append_str(b, "GET /");
    fill(b, 'x', n - strlen("GET / HTTP/1.1"));
    (void)buf_append_str(b, " HTTP/1.1\r\n" H E);
}

/* Field lines of `n` bytes together. */
static void fill_headers(struct buf *b, size_t n)
{
    (void)buf_append_str(b, GET H "A: ");
    fill(b, 'x', n - strlen(H "A: \r\n"));
    (void)buf_append_str(b, "\r\n" E);
}

static void fill_fields(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)buf_printf(b, "A%zu: b\r\n", i);
    }
    (void)buf_append_str(b, E);
}

static void make(const char *name, struct buf *b)
{
    if (strcmp(name, "line_8k") == 0) {
        fill_line(b, HTTP_REQUEST_LINE_MAX);
    } else if (strcmp(name, "line_8k_plus_1") == 0) {
        fill_line(b, HTTP_REQUEST_LINE_MAX + 1);
    } else if (strcmp(name, "line_without_end") == 0) {
        fill(b, 'x', HTTP_REQUEST_LINE_MAX + 1);
    } else if (strcmp(name, "headers_16k") == 0) {
        fill_headers(b, HTTP_HEADERS_MAX);
    } else if (strcmp(name, "headers_16k_plus_1") == 0) {
        fill_headers(b, HTTP_HEADERS_MAX + 1);
    } else if (strcmp(name, "header_without_end") == 0) {
        (void)buf_append_str(b, GET "A: ");
        fill(b, 'x', HTTP_HEADERS_MAX);
    } else if (strcmp(name, "fields_100") == 0) {
        (void)buf_append_str(b, GET H);
        fill_fields(b, HTTP_FIELDS_MAX - 1);
    } else if (strcmp(name, "fields_101") == 0) {
        (void)buf_append_str(b, GET H);
        fill_fields(b, HTTP_FIELDS_MAX);
    } else if (strcmp(name, "extensions_16k_plus_1") == 0) {
        (void)buf_append_str(b, CH "1;");
        fill(b, 'x', HTTP_HEADERS_MAX);
        (void)buf_append_str(b, "\r\na\r\n0\r\n\r\n");
    } else {
        ASSERT(strcmp(name, "trailers_101") == 0);
        (void)buf_append_str(b, CH "0\r\n");
        fill_fields(b, HTTP_FIELDS_MAX + 1);
    }
}

const struct http_case *http_cases(size_t *n)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].in.data == NULL) {
            buf_init(&large[i], BUF_UNLIMITED);
            make(cases[i].name, &large[i]);
            if (cases[i].open) {
                (void)buf_append_str(&large[i], NEXT);
            }
            cases[i].in = buf_bytes(&large[i]);
        }
    }
    *n = ARRAY_LEN(cases);
    return cases;
}
