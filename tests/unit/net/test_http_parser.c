/* Goal: the parser gives every message of the hostile table its verdict, the
 * same however the bytes are cut, and hands out exactly what was sent. Method:
 * the table of tests/lib/http_cases.h at every cut, byte by byte, and random
 * bytes; then named cases for what a head says, and for answers. */

#include "src/net/http_parser.h"

#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/http_cases.h"

static struct http_field fields[HTTP_FIELDS_MAX];

/* What a caller of the parser sees. */
struct seen {
    char verdict[64]; /* "200 400": complete messages, then the refusal */
    struct buf body;  /* of all messages */
    size_t body_limit;
    bool stop; /* closed or refused: what follows is not looked at */
};

static void note(struct seen *s, int status)
{
    size_t len = strlen(s->verdict);

    (void)snprintf(s->verdict + len, sizeof(s->verdict) - len, "%s%d",
                   len > 0 ? " " : "", status);
}

/* Present `in` to the parser; returns the bytes that are done with. */
static size_t present(struct http_parser *p, struct bytes in, struct seen *s)
{
    size_t done = 0;

    while (!s->stop) {
        struct bytes rest = {in.data + done, in.len - done};
        struct bytes piece;
        size_t used;
        enum http_event event = http_parser_next(p, rest, &used, &piece);

        assert_true(used <= rest.len);
        done += used;
        switch (event) {
        case HTTP_EVENT_MORE:
            return done;
        case HTTP_EVENT_HEAD:
            if (p->head.expect_continue) {
                note(s, 100);
            }
            break;
        case HTTP_EVENT_DATA:
            assert_true(piece.len > 0);
            (void)buf_append(&s->body, piece.data, piece.len);
            break;
        case HTTP_EVENT_END:
            note(s, p->response ? p->head.status : 200);
            s->stop = !p->keep_alive;
            break;
        case HTTP_EVENT_BAD:
            note(s, p->status);
            s->stop = true;
            break;
        }
    }
    return in.len;
}

/* Present `in` in two parts; the parser sees again what it did not take. */
static void run_cut(struct bytes in, size_t cut, bool response, struct seen *s)
{
    struct http_parser p;
    size_t done;

    *s = (struct seen){.verdict = ""};
    buf_init(&s->body, BUF_UNLIMITED);
    http_parser_init(&p, response, HTTP_HEADERS_MAX, fields);
    done = present(&p, (struct bytes){in.data, cut}, s);
    (void)present(&p, (struct bytes){in.data + done, in.len - done}, s);
}

static void run_byte_by_byte(struct bytes in, struct seen *s)
{
    struct http_parser p;
    size_t done = 0;

    *s = (struct seen){.verdict = ""};
    buf_init(&s->body, BUF_UNLIMITED);
    http_parser_init(&p, false, HTTP_HEADERS_MAX, fields);
    for (size_t end = 1; end <= in.len && !s->stop; end++) {
        done += present(&p, (struct bytes){in.data + done, end - done}, s);
    }
}

static void check_case(const struct http_case *c, const struct seen *s,
                       size_t cut)
{
    if (strcmp(s->verdict, c->answers) != 0) {
        fail_msg("%s, cut at %zu: got \"%s\", want \"%s\"", c->name, cut,
                 s->verdict, c->answers);
    }
}

static void test_hostile_table_at_every_cut(void **state)
{
    (void)state;
    size_t n;
    const struct http_case *cases = http_cases(&n);

    for (size_t i = 0; i < n; i++) {
        struct seen s;

        if (cases[i].by_listener) {
            continue;
        }
        for (size_t cut = 0; cut <= cases[i].in.len; cut++) {
            run_cut(cases[i].in, cut, false, &s);
            check_case(&cases[i], &s, cut);
            buf_release(&s.body);
        }
        run_byte_by_byte(cases[i].in, &s);
        check_case(&cases[i], &s, SIZE_MAX);
        buf_release(&s.body);
    }
}

static void test_every_refusal_says_why(void **state)
{
    (void)state;
    size_t n;
    const struct http_case *cases = http_cases(&n);

    for (size_t i = 0; i < n; i++) {
        struct http_parser p;
        struct seen s = {.verdict = ""};

        buf_init(&s.body, BUF_UNLIMITED);
        http_parser_init(&p, false, HTTP_HEADERS_MAX, fields);
        (void)present(&p, cases[i].in, &s);
        if (p.state == HTTP_PARSER_BAD) {
            assert_non_null(p.text);
            assert_true(strlen(p.text) > 3);
            assert_null(strchr(p.text, '\n'));
        }
        buf_release(&s.body);
    }
}

/* Random bytes, and table cases with random bytes changed: no verdict is
 * right or wrong, but it is the same for every cut, and nothing crashes. */
static void test_random_bytes_cut_alike(void **state)
{
    (void)state;
    struct rng r;
    size_t n;
    const struct http_case *cases = http_cases(&n);

    rng_seed(&r, 7);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[600];
        const struct http_case *c = &cases[rng_below(&r, n)];
        size_t len = c->in.len < sizeof(bytes) ? c->in.len : sizeof(bytes);
        size_t changes = rng_below(&r, 4);
        struct seen whole;
        struct seen cut;

        memcpy(bytes, c->in.data, len);
        for (size_t i = 0; i < changes; i++) {
            bytes[rng_below(&r, len)] = (uint8_t)rng_next(&r);
        }
        struct bytes in = {bytes, len};
        run_cut(in, 0, false, &whole);
        run_cut(in, rng_below(&r, len + 1), false, &cut);
        assert_string_equal(whole.verdict, cut.verdict);
        assert_int_equal(whole.body.len, cut.body.len);
        buf_release(&whole.body);
        buf_release(&cut.body);
    }
}

/* --- what a head says --- */

static enum http_event first_event(struct http_parser *p, bool response,
                                   const char *text)
{
    struct bytes in = {(const uint8_t *)text, strlen(text)};
    struct bytes piece;
    size_t used;

    http_parser_init(p, response, HTTP_HEADERS_MAX, fields);
    return http_parser_next(p, in, &used, &piece);
}

static void assert_bytes(struct bytes b, const char *want)
{
    assert_int_equal(b.len, strlen(want));
    assert_memory_equal(b.data, want, b.len);
}

static void test_head_of_a_request(void **state)
{
    (void)state;
    struct http_parser p;

    assert_int_equal(
        first_event(&p, false,
                    "\r\nPUT /a?b%20c HTTP/1.1\r\nhOsT:  h \r\n"
                    "X-Empty:\r\nX-Two: 1\r\nX-Two: 2\r\n"
                    "Content-Length: 12\r\nExpect: 100-CONTINUE\r\n\r\n"),
        HTTP_EVENT_HEAD);
    const struct http_head *h = &p.head;
    assert_bytes(h->method, "PUT");
    assert_bytes(h->target, "/a?b%20c");
    assert_int_equal(h->minor, 1);
    assert_int_equal(h->content_length, 12);
    assert_false(h->chunked);
    assert_true(h->expect_continue);
    assert_int_equal(h->n_fields, 6);
    assert_bytes(http_head_field(h, "Host"), "h");
    assert_bytes(http_head_field(h, "x-two"), "1");
    assert_bytes(http_head_field(h, "x-empty"), "");
    assert_non_null(http_head_field(h, "x-empty").data);
    assert_null(http_head_field(h, "x-tw").data);
    assert_null(http_head_field(h, "x-two2").data);
    assert_true(p.keep_alive);
    assert_int_equal(http_parser_body_left(&p), 12);
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *connection;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1", "", true},
        {"GET / HTTP/1.1", "Connection: keep-alive\r\n", true},
        {"GET / HTTP/1.1", "Connection: CLOSE\r\n", false},
        {"GET / HTTP/1.1", "Connection: close, keep-alive\r\n", false},
        {"GET / HTTP/1.1", "Connection: x\r\nConnection: close\r\n", false},
        {"GET / HTTP/1.0", "", false},
        {"GET / HTTP/1.0", "Connection: Keep-Alive\r\n", true},
        {"GET / HTTP/1.0", "Connection: close\r\n", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        struct http_parser p;

        (void)snprintf(text, sizeof(text), "%s\r\nHost: x\r\n%s\r\n",
                       cases[i].line, cases[i].connection);
        assert_int_equal(first_event(&p, false, text), HTTP_EVENT_HEAD);
        assert_int_equal(p.keep_alive, cases[i].keep);
    }
}

static void test_chunks_are_joined(void **state)
{
    (void)state;
    static const char text[] =
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;x\r\na\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\nT: u\r\n\r\n";
    struct bytes in = {(const uint8_t *)text, sizeof(text) - 1};

    for (size_t cut = 0; cut <= in.len; cut++) {
        struct seen s;

        run_cut(in, cut, false, &s);
        assert_string_equal(s.verdict, "200");
        assert_bytes(buf_bytes(&s.body), "a\r\n0\r\n\r\n");
        buf_release(&s.body);
    }
}

static void test_in_message(void **state)
{
    (void)state;
    struct http_parser p;

    assert_int_equal(first_event(&p, false, "\r\n\r"), HTTP_EVENT_MORE);
    assert_false(http_parser_in_message(&p));
    assert_int_equal(first_event(&p, false, "\r\nG"), HTTP_EVENT_MORE);
    assert_true(http_parser_in_message(&p));
    assert_true(http_parser_in_head(&p));
    assert_int_equal(first_event(&p, false,
                                 "PUT / HTTP/1.1\r\nHost: x\r\n"
                                 "Content-Length: 1\r\n\r\n"),
                     HTTP_EVENT_HEAD);
    assert_true(http_parser_in_message(&p));
    assert_false(http_parser_in_head(&p));
}

/* --- answers --- */

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *in;
        const char *verdict;
        const char *body;
    } cases[] = {
        {"no_content", "HTTP/1.1 204 No Content\r\n\r\n", "204", ""},
        {"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "200",
         "ab"},
        {"two",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
         "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
         "200 404", "ab"},
        {"no_reason", "HTTP/1.1 204\r\n\r\n", "204", ""},
        {"chunked",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
         "200", "abc"},
        {"interim",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
         "100 204", ""},
        {"until_eof", "HTTP/1.1 200 OK\r\n\r\nabc", "", "abc"},
        {"not_modified",
         "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
         "304 204", ""},
        {"other_protocol", "SSH-2.0-x\r\n", "400", ""},
        {"other_version", "HTTP/2.0 200 OK\r\n\r\n", "505", ""},
        {"switching", "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n", "505", ""},
        {"bad_status", "HTTP/1.1 2x0 OK\r\n\r\n", "400", ""},
        {"bad_length", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n", "400",
         ""},
        {"unknown_coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
         "400", ""},
        {"bad_chunk",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", "400",
         ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bytes in = {(const uint8_t *)cases[i].in, strlen(cases[i].in)};

        for (size_t cut = 0; cut <= in.len; cut++) {
            struct seen s;

            run_cut(in, cut, true, &s);
            if (strcmp(s.verdict, cases[i].verdict) != 0) {
                fail_msg("%s, cut at %zu: got \"%s\", want \"%s\"",
                         cases[i].name, cut, s.verdict, cases[i].verdict);
            }
            assert_bytes(buf_bytes(&s.body), cases[i].body);
            buf_release(&s.body);
        }
    }
}

static void test_answer_to_head_has_no_body(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    struct bytes in = {(const uint8_t *)text, sizeof(text) - 1};
    struct http_parser p;
    struct seen s = {.verdict = ""};

    buf_init(&s.body, BUF_UNLIMITED);
    http_parser_init(&p, true, HTTP_HEADERS_MAX, fields);
    p.no_body = true;
    assert_int_equal(present(&p, in, &s), in.len);
    assert_string_equal(s.verdict, "200");
    assert_int_equal(p.head.content_length, 5);
}

static void test_eof_ends_only_an_open_body(void **state)
{
    (void)state;
    struct http_parser p;

    (void)first_event(&p, true, "HTTP/1.1 200 OK\r\n\r\n");
    assert_true(http_parser_eof(&p));
    (void)first_event(&p, true, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    assert_false(http_parser_eof(&p));
    (void)first_event(&p, true, "HTTP/1.1 200 OK\r\n");
    assert_false(http_parser_eof(&p));
}

static void test_answer_head_limit(void **state)
{
    (void)state;
    struct http_parser p;
    struct seen s = {.verdict = ""};
    struct buf in;

    buf_init(&in, BUF_UNLIMITED);
    buf_init(&s.body, BUF_UNLIMITED);
    (void)buf_append_str(&in, "HTTP/1.1 200 OK\r\nA: ");
    while (in.len < 2000) {
        (void)buf_append_byte(&in, 'x');
    }
    http_parser_init(&p, true, 1000, fields);
    (void)present(&p, buf_bytes(&in), &s);
    assert_string_equal(s.verdict, "431");
    buf_release(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_table_at_every_cut),
        cmocka_unit_test(test_every_refusal_says_why),
        cmocka_unit_test(test_random_bytes_cut_alike),
        cmocka_unit_test(test_head_of_a_request),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_chunks_are_joined),
        cmocka_unit_test(test_in_message),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answer_to_head_has_no_body),
        cmocka_unit_test(test_eof_ends_only_an_open_body),
        cmocka_unit_test(test_answer_head_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
