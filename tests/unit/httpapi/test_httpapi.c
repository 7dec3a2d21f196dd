/* Goal: what a client sees of every line of http-api.md section 1, and that
 * each request reaches the backend once and is finished once, whenever the
 * client leaves. Method: raw sockets in front, a backend that is a small map
 * with scripted outcomes behind. */

#include "httpapi/httpapi.h"

#include <sys/socket.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/map.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/http_cases.h"
#include "tests/lib/http_fixture.h"

#define MAX_VALUE 2000
#define H         "Host: x\r\n"
#define E         "\r\n"
#define CLOSE     "Connection: close\r\n"

struct item {
    struct buf key;
    struct buf value;
};

/* The cluster, as far as the API can see. */
struct cluster {
    struct http_fixture f;
    struct httpapi *api;
    uint16_t port;
    struct map map; /* struct item */
    int outcome;    /* of every call, unless it is 0 */
    bool hold;      /* keep calls instead of completing them */
    struct httpapi_call *held[300];
    size_t n_held;
    size_t n_puts;
    size_t n_gets;
    size_t n_cancelled;
    bool was_async;
    bool was_local;
    uint64_t id; /* of the last membership call */
    char url[ADDR_URL_MAX];
    bool closed;
};

static struct bytes item_key(const void *item)
{
    return buf_bytes(&((const struct item *)item)->key);
}

static void item_free(struct item *it)
{
    if (it != NULL) {
        buf_release(&it->key);
        buf_release(&it->value);
        xfree(it);
    }
}

static void finish(struct cluster *cl, struct httpapi_call *call, int outcome,
                   struct bytes value)
{
    if (cl->hold) {
        httpapi_call_set_data(call, cl);
        cl->held[cl->n_held++] = call;
        return;
    }
    httpapi_complete(call, cl->outcome != 0 ? cl->outcome : outcome, value);
}

static void put(void *ctx, struct httpapi_call *call, struct bytes key,
                struct bytes value, bool respond_async)
{
    struct cluster *cl = ctx;

    cl->n_puts++;
    cl->was_async = respond_async;
    if (cl->outcome == 0) {
        struct item *it = xcalloc(1, sizeof(*it));

        buf_init(&it->key, BUF_UNLIMITED);
        buf_init(&it->value, BUF_UNLIMITED);
        (void)buf_append(&it->key, key.data, key.len);
        (void)buf_append(&it->value, value.data, value.len);
        item_free(map_put(&cl->map, it));
    }
    finish(cl, call, 0, (struct bytes){NULL, 0});
}

static void get(void *ctx, struct httpapi_call *call, struct bytes key,
                bool local)
{
    struct cluster *cl = ctx;
    const struct item *it = map_find(&cl->map, key);

    cl->n_gets++;
    cl->was_local = local;
    if (it == NULL) {
        finish(cl, call, ERR_NOT_FOUND, (struct bytes){NULL, 0});
    } else {
        finish(cl, call, 0, buf_bytes(&it->value));
    }
}

static void add_member(void *ctx, struct httpapi_call *call, uint64_t id,
                       const char *url)
{
    struct cluster *cl = ctx;

    cl->id = id;
    (void)snprintf(cl->url, sizeof(cl->url), "%s", url);
    finish(cl, call, 0, (struct bytes){NULL, 0});
}

static void remove_member(void *ctx, struct httpapi_call *call, uint64_t id)
{
    struct cluster *cl = ctx;

    cl->id = id;
    finish(cl, call, 0, (struct bytes){NULL, 0});
}

static void cancel(void *ctx, struct httpapi_call *call)
{
    struct cluster *cl = ctx;

    assert_ptr_equal(httpapi_call_data(call), cl);
    cl->n_cancelled++;
    for (size_t i = 0; i < cl->n_held; i++) {
        if (cl->held[i] == call) {
            cl->held[i] = NULL;
        }
    }
}

static void open_sized(struct cluster *cl, size_t max_value_size)
{
    struct errmsg em;

    *cl = (struct cluster){.n_held = 0};
    http_fixture_init(&cl->f);
    map_init(&cl->map, item_key, 1);
    struct httpapi_options o = {
        .net = cl->f.net,
        .lg = &cl->f.lg,
        .addr = {.host = "127.0.0.1"},
        .max_value_size = max_value_size,
        .conns_max = 100,
        .header_timeout_ms = 60000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .backend = {cl, put, get, add_member, remove_member, cancel},
    };
    assert_int_equal(httpapi_open(&o, &cl->api, &em), 0);
    cl->port = httpapi_port(cl->api);
}

static void open_api(struct cluster *cl)
{
    open_sized(cl, MAX_VALUE);
}

static void on_closed(void *ctx)
{
    ((struct cluster *)ctx)->closed = true;
}

static void close_api(struct cluster *cl)
{
    struct item *it;
    size_t pos = 0;

    httpapi_close(cl->api, on_closed, cl);
    http_fixture_until_set(&cl->f, &cl->closed);
    http_fixture_release(&cl->f);
    while ((it = map_next(&cl->map, &pos)) != NULL) {
        item_free(it);
    }
    map_release(&cl->map);
}

/* One request on a connection of its own. */
struct reply {
    struct buf raw;
    struct raw_answer answer;
    bool closed; /* the answer says so */
};

static void ask_bytes(struct cluster *cl, struct bytes request, struct reply *r)
{
    int fd = raw_dial(cl->port);

    *r = (struct reply){.closed = false};
    buf_init(&r->raw, BUF_UNLIMITED);
    raw_send(&cl->f, fd, request);
    (void)shutdown(fd, SHUT_WR);
    assert_true(raw_read_all(&cl->f, fd, &r->raw));
    (void)close(fd);
}

static void parse_reply(struct reply *r)
{
    assert_int_equal(raw_parse(buf_bytes(&r->raw), &r->answer, 1), 1);
    const char *connection = raw_field(&r->answer, "Connection");
    r->closed = connection != NULL && strcmp(connection, "close") == 0;
}

static void ask(struct cluster *cl, const char *request, struct reply *r)
{
    ask_bytes(cl, (struct bytes){(const uint8_t *)request, strlen(request)}, r);
    parse_reply(r);
}

static int status_of(struct cluster *cl, const char *request)
{
    struct reply r;

    ask(cl, request, &r);
    int status = r.answer.status;
    buf_release(&r.raw);
    return status;
}

/* --- the first table --- */

static void test_put_and_get(void **state)
{
    (void)state;
    struct cluster cl;
    struct reply r;

    open_api(&cl);
    ask(&cl, "PUT /k HTTP/1.1\r\n" H "Content-Length: 5\r\n" E "value", &r);
    assert_int_equal(r.answer.status, 204);
    assert_null(raw_field(&r.answer, "Content-Length"));
    assert_null(raw_field(&r.answer, "Content-Type"));
    assert_false(cl.was_async);
    buf_release(&r.raw);

    ask(&cl, "GET /k HTTP/1.1\r\n" H E, &r);
    assert_int_equal(r.answer.status, 200);
    assert_string_equal(raw_field(&r.answer, "Content-Type"),
                        "application/octet-stream");
    assert_int_equal(r.answer.body.len, 5);
    assert_memory_equal(r.answer.body.data, "value", 5);
    assert_false(cl.was_local);
    buf_release(&r.raw);

    ask(&cl, "GET /absent HTTP/1.1\r\n" H E, &r);
    assert_int_equal(r.answer.status, 404);
    assert_string_equal(raw_field(&r.answer, "Content-Type"),
                        "text/plain; charset=utf-8");
    assert_int_equal(r.answer.body.data[r.answer.body.len - 1], '\n');
    buf_release(&r.raw);
    close_api(&cl);
}

static void test_head(void **state)
{
    (void)state;
    struct cluster cl;
    struct reply r;

    open_api(&cl);
    assert_int_equal(status_of(&cl, "PUT /k HTTP/1.1\r\n" H
                                    "Content-Length: 5\r\n" E "value"),
                     204);
    struct bytes head = {(const uint8_t *)"HEAD /k HTTP/1.1\r\n" H E, 29};
    ask_bytes(&cl, head, &r);
    assert_memory_equal(r.raw.data, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(buf_cstr(&r.raw), "Content-Length: 5\r\n"));
    assert_string_equal(strstr(buf_cstr(&r.raw), "\r\n\r\n"), "\r\n\r\n");
    buf_release(&r.raw);

    head.data = (const uint8_t *)"HEAD /n HTTP/1.1\r\n" H E;
    ask_bytes(&cl, head, &r);
    assert_memory_equal(r.raw.data, "HTTP/1.1 404 Not Found\r\n", 24);
    assert_string_equal(strstr(buf_cstr(&r.raw), "\r\n\r\n"), "\r\n\r\n");
    buf_release(&r.raw);
    close_api(&cl);
}

static void test_fields_reach_the_backend(void **state)
{
    (void)state;
    struct cluster cl;

    open_api(&cl);
    assert_int_equal(
        status_of(&cl, "PUT /k HTTP/1.1\r\n" H "Prefer: respond-async\r\n" E),
        202);
    assert_true(cl.was_async);
    assert_int_equal(
        status_of(&cl, "GET /k HTTP/1.1\r\n" H "X-Consistency: local\r\n" E),
        200);
    assert_true(cl.was_local);
    close_api(&cl);
}

static void test_members(void **state)
{
    (void)state;
    struct cluster cl;

    open_api(&cl);
    assert_int_equal(status_of(&cl, "POST /0x10 HTTP/1.1\r\n" H
                                    "Content-Length: 21\r\n" E
                                    " http://10.0.0.1:80\r\n"),
                     204);
    assert_true(cl.id == 16);
    assert_string_equal(cl.url, "http://10.0.0.1:80");
    assert_int_equal(
        status_of(&cl, "DELETE /18446744073709551615 HTTP/1.1\r\n" H E), 204);
    assert_true(cl.id == UINT64_MAX);
    close_api(&cl);
}

/* --- the second table --- */

static void test_wrong_input(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *request;
        int status;
    } cases[] = {
        {"malformed", "PUT /k HTTP/1.1\r\nHost x\r\n" E, 400},
        {"bad_chunk",
         "PUT /k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" E "z\r\n",
         400},
        {"both_lengths",
         "PUT /k HTTP/1.1\r\n" H
         "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n" E,
         400},
        {"too_large", "PUT /k HTTP/1.1\r\n" H "Content-Length: 2001\r\n" E,
         413},
        {"id_zero", "POST /0 HTTP/1.1\r\n" H E, 400},
        {"id_negative", "POST /-1 HTTP/1.1\r\n" H E, 400},
        {"id_too_large", "POST /18446744073709551616 HTTP/1.1\r\n" H E, 400},
        {"id_and_more", "POST /1x HTTP/1.1\r\n" H E, 400},
        {"delete_bad_id", "DELETE /01 HTTP/1.1\r\n" H E, 400},
        {"post_large_body",
         "POST /4 HTTP/1.1\r\n" H "Content-Length: 1000000\r\n" E, 413},
        {"post_no_url",
         "POST /4 HTTP/1.1\r\n" H "Content-Length: 8\r\n" E "nonsense", 400},
        {"post_empty", "POST /4 HTTP/1.1\r\n" H E, 400},
        {"post_url_with_path",
         "POST /4 HTTP/1.1\r\n" H "Content-Length: 11\r\n" E "http://h:1/",
         400},
        {"patch", "PATCH /k HTTP/1.1\r\n" H E, 405},
        {"options", "OPTIONS /k HTTP/1.1\r\n" H E, 405},
        {"unknown_method", "BREW /k HTTP/1.1\r\n" H E, 405},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cluster cl;
        struct reply r;

        open_api(&cl);
        ask(&cl, cases[i].request, &r);
        if (r.answer.status != cases[i].status) {
            fail_msg("%s: got %d, want %d", cases[i].name, r.answer.status,
                     cases[i].status);
        }
        assert_true(r.closed);
        if (r.answer.status == 405) {
            assert_string_equal(raw_field(&r.answer, "Allow"),
                                "GET, HEAD, PUT, POST, DELETE");
        }
        assert_int_equal(memchr(r.answer.body.data, '\n', r.answer.body.len) ==
                             r.answer.body.data + r.answer.body.len - 1,
                         true);
        assert_int_equal(cl.n_puts + cl.n_gets, 0);
        assert_true(cl.id == 0);
        buf_release(&r.raw);
        close_api(&cl);
    }
}

static void test_outcomes(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int outcome;
        int status;
        bool closed;
        bool retry;
    } cases[] = {
        {"PUT /k HTTP/1.1\r\n" H E, ERR_NO_LEADER, 503, false, true},
        {"PUT /k HTTP/1.1\r\n" H E, ERR_PROPOSAL_DROPPED, 503, false, true},
        {"PUT /k HTTP/1.1\r\n" H E, ERR_OVERLOADED, 503, false, true},
        {"PUT /k HTTP/1.1\r\n" H E, ERR_OUTCOME_UNKNOWN, 504, false, false},
        {"PUT /k HTTP/1.1\r\n" H E, ERR_STOPPED, 503, true, false},
        {"PUT /k HTTP/1.1\r\n" H E, ERR_SELF_REMOVED, 503, true, false},
        {"GET /k HTTP/1.1\r\n" H E, ERR_NO_LEADER, 503, false, true},
        {"GET /k HTTP/1.1\r\n" H E, ERR_TIMED_OUT, 503, false, true},
        {"DELETE /4 HTTP/1.1\r\n" H E, ERR_NO_MEMBER, 404, false, false},
        {"DELETE /4 HTTP/1.1\r\n" H E, ERR_LAST_VOTER, 409, false, false},
        {"POST /4 HTTP/1.1\r\n" H "Content-Length: 10\r\n" E "http://h:1",
         ERR_MEMBER_REMOVED, 410, false, false},
        {"POST /4 HTTP/1.1\r\n" H "Content-Length: 10\r\n" E "http://h:1",
         ERR_MEMBER_URL_DIFFERS, 409, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cluster cl;
        struct buf got;
        struct raw_answer a;
        int fd;

        open_api(&cl);
        cl.outcome = cases[i].outcome;
        buf_init(&got, BUF_UNLIMITED);
        fd = raw_dial(cl.port);
        raw_send_str(&cl.f, fd, cases[i].request);
        raw_read_answers(&cl.f, fd, &got, 1);
        assert_int_equal(raw_parse(buf_bytes(&got), &a, 1), 1);
        assert_int_equal(a.status, cases[i].status);
        assert_int_equal(raw_field(&a, "Connection") != NULL, cases[i].closed);
        assert_int_equal(raw_field(&a, "Retry-After") != NULL, cases[i].retry);
        (void)close(fd);
        buf_release(&got);
        close_api(&cl);
    }
}

/* --- keys and values --- */

static void append_put(struct buf *b, struct bytes key, struct bytes value)
{
    (void)buf_append_str(b, "PUT ");
    (void)buf_append(b, key.data, key.len);
    (void)buf_printf(b, " HTTP/1.1\r\n" H "Content-Length: %zu\r\n" E,
                     value.len);
    (void)buf_append(b, value.data, value.len);
}

static void append_get(struct buf *b, struct bytes key)
{
    (void)buf_append_str(b, "GET ");
    (void)buf_append(b, key.data, key.len);
    (void)buf_append_str(b, " HTTP/1.1\r\n" H CLOSE E);
}

static void expect_round_trip(struct cluster *cl, struct bytes key,
                              struct bytes value)
{
    struct buf request;
    struct reply r;
    struct raw_answer both[2];

    buf_init(&request, BUF_UNLIMITED);
    append_put(&request, key, value);
    append_get(&request, key);
    ask_bytes(cl, buf_bytes(&request), &r);
    assert_int_equal(raw_parse(buf_bytes(&r.raw), both, 2), 2);
    assert_int_equal(both[0].status, 204);
    assert_int_equal(both[1].status, 200);
    assert_int_equal(both[1].body.len, value.len);
    assert_memory_equal(both[1].body.data, value.data, value.len);
    buf_release(&request);
    buf_release(&r.raw);
}

static void test_values_round_trip(void **state)
{
    (void)state;
    struct cluster cl;
    const size_t max = VALUE_SIZE_DEFAULT;
    uint8_t *value = xmalloc(max + 1);
    struct bytes key = {(const uint8_t *)"/k", 2};

    open_sized(&cl, max);
    for (size_t i = 0; i < max; i++) {
        value[i] = (uint8_t)(i + i / 256);
    }
    static const size_t sizes[] = {0,     1,       256,
                                   65536, 1000000, VALUE_SIZE_DEFAULT};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        expect_round_trip(&cl, key, (struct bytes){value, sizes[i]});
    }
    for (size_t i = 0; i < MiB; i++) {
        value[i] = i % 2 == 0 ? 0x0d : 0x0a;
    }
    expect_round_trip(&cl, key, (struct bytes){value, MiB});
    xfree(value);
    close_api(&cl);
}

static void test_keys_are_distinct_bytes(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "/",    "//",   "/?",  "/%00",      "/../x", "/x",   "/a",   "/a?",
        "/a?x", "/%61", "/a/", "/\xff\x80", "/1",    "/0x1", "/a#b", "/a%20b"};
    struct cluster cl;
    char longest[8001];

    open_api(&cl);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        uint8_t value = (uint8_t)i;

        expect_round_trip(
            &cl, (struct bytes){(const uint8_t *)keys[i], strlen(keys[i])},
            (struct bytes){&value, 1});
    }
    assert_int_equal(cl.map.len, ARRAY_LEN(keys));
    memset(longest, 'k', sizeof(longest));
    longest[0] = '/';
    expect_round_trip(&cl, (struct bytes){(uint8_t *)longest, 8000},
                      (struct bytes){(const uint8_t *)"v", 1});
    assert_int_equal(cl.map.len, ARRAY_LEN(keys) + 1);
    close_api(&cl);
}

static void test_limit_of_a_value(void **state)
{
    (void)state;
    struct cluster cl;
    struct reply r;
    struct buf request;
    uint8_t value[MAX_VALUE + 1] = {0};
    struct bytes key = {(const uint8_t *)"/k", 2};

    open_api(&cl);
    buf_init(&request, BUF_UNLIMITED);
    expect_round_trip(&cl, key, (struct bytes){value, MAX_VALUE});
    append_put(&request, key, (struct bytes){value, MAX_VALUE + 1});
    ask_bytes(&cl, buf_bytes(&request), &r);
    parse_reply(&r);
    assert_int_equal(r.answer.status, 413);
    assert_int_equal(cl.n_puts, 1);
    buf_release(&request);
    buf_release(&r.raw);
    close_api(&cl);
}

static void test_body_cut_off_changes_nothing(void **state)
{
    (void)state;
    struct cluster cl;
    struct reply r;
    static const char cut[] =
        "PUT /k HTTP/1.1\r\n" H "Content-Length: 9\r\n" E "abc";

    open_api(&cl);
    ask_bytes(&cl, (struct bytes){(const uint8_t *)cut, sizeof(cut) - 1}, &r);
    assert_int_equal(r.raw.len, 0);
    assert_int_equal(cl.n_puts, 0);
    assert_int_equal(cl.map.len, 0);
    buf_release(&r.raw);
    close_api(&cl);
}

static void test_pipelined_puts_the_last_one_wins(void **state)
{
    (void)state;
    struct cluster cl;
    struct buf request;
    struct reply r;
    struct raw_answer answers[101];
    struct bytes key = {(const uint8_t *)"/k", 2};

    open_api(&cl);
    buf_init(&request, BUF_UNLIMITED);
    for (int i = 0; i < 100; i++) {
        char value[8];
        int n = snprintf(value, sizeof(value), "%d", i);

        append_put(&request, key,
                   (struct bytes){(const uint8_t *)value, (size_t)n});
    }
    append_get(&request, key);
    ask_bytes(&cl, buf_bytes(&request), &r);
    assert_int_equal(raw_parse(buf_bytes(&r.raw), answers, 101), 101);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(answers[i].status, 204);
    }
    assert_int_equal(answers[100].body.len, 2);
    assert_memory_equal(answers[100].body.data, "99", 2);
    buf_release(&request);
    buf_release(&r.raw);
    close_api(&cl);
}

/* The hostile table again: none of it gets past the listener as something
 * else than it is. Membership does not occur in it. */
static void test_hostile_table_leaves_no_trace(void **state)
{
    (void)state;
    struct cluster cl;
    size_t n;
    const struct http_case *cases = http_cases(&n);

    open_sized(&cl, HTTP_CASE_LIMIT);
    for (size_t i = 0; i < n; i++) {
        struct reply r;

        ask_bytes(&cl, cases[i].in, &r);
        buf_release(&r.raw);
    }
    assert_true(cl.id == 0);
    size_t pos = 0;
    const struct item *it;
    while ((it = map_next(&cl.map, &pos)) != NULL) {
        /* The good cases put "/k" and nothing else. */
        assert_int_equal(it->key.len, 2);
        assert_memory_equal(it->key.data, "/k", 2);
    }
    close_api(&cl);
}

/* --- time and leaving --- */

static void test_answers_come_in_order_of_requests(void **state)
{
    (void)state;
    static const size_t order[] = {3, 1, 0, 2};
    struct cluster cl;
    struct buf got;
    char statuses[64];
    int fd;

    open_api(&cl);
    cl.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    fd = raw_dial(cl.port);
    raw_send_str(&cl.f, fd,
                 "PUT /a HTTP/1.1\r\n" H E "GET /b HTTP/1.1\r\n" H E
                 "DELETE /4 HTTP/1.1\r\n" H E "GET /c HTTP/1.1\r\n" H CLOSE E);
    assert_int_equal(cl.n_held, 4);
    static const int outcomes[] = {0, ERR_NOT_FOUND, ERR_LAST_VOTER, 0};
    for (size_t i = 0; i < 4; i++) {
        httpapi_complete(cl.held[order[i]], outcomes[order[i]],
                         (struct bytes){(const uint8_t *)"v", 1});
        http_fixture_turn(&cl.f);
    }
    assert_true(raw_read_all(&cl.f, fd, &got));
    raw_statuses(buf_bytes(&got), statuses, sizeof(statuses));
    assert_string_equal(statuses, "204 404 409 200");
    (void)close(fd);
    buf_release(&got);
    close_api(&cl);
    assert_int_equal(cl.n_cancelled, 0);
}

static bool was_cancelled(void *ctx)
{
    return ((struct cluster *)ctx)->n_cancelled == 2;
}

static void test_client_that_leaves_is_forgotten(void **state)
{
    (void)state;
    struct cluster cl;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    int fd;

    open_api(&cl);
    cl.hold = true;
    fd = raw_dial(cl.port);
    raw_send_str(&cl.f, fd,
                 "PUT /a HTTP/1.1\r\n" H E "GET /b HTTP/1.1\r\n" H E
                 "PUT /c HTTP/1.1\r\n" H "Content-Length: 5\r\n" E "abc");
    assert_int_equal(cl.n_held, 2);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    (void)close(fd);
    http_fixture_until(&cl.f, was_cancelled, &cl);
    close_api(&cl);
    assert_int_equal(cl.n_cancelled, 2);
}

static void test_close_cancels_what_waits(void **state)
{
    (void)state;
    struct cluster cl;
    int fd;

    open_api(&cl);
    cl.hold = true;
    fd = raw_dial(cl.port);
    raw_send_str(&cl.f, fd,
                 "PUT /a HTTP/1.1\r\n" H E "GET /b HTTP/1.1\r\n" H E);
    close_api(&cl);
    assert_int_equal(cl.n_cancelled, 2);
    (void)close(fd);
}

static void test_drain(void **state)
{
    (void)state;
    struct cluster cl;
    struct buf got;
    struct raw_answer a;

    open_api(&cl);
    cl.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int waiting = raw_dial(cl.port);
    raw_send_str(&cl.f, waiting, "PUT /a HTTP/1.1\r\n" H E);
    int late = raw_dial(cl.port);
    raw_send_str(&cl.f, late, "PUT /b HTTP/1.1\r\n");
    httpapi_drain(cl.api);
    raw_send_str(&cl.f, late, H E);
    assert_true(raw_read_all(&cl.f, late, &got));
    assert_int_equal(raw_parse(buf_bytes(&got), &a, 1), 1);
    assert_int_equal(a.status, 503);
    assert_string_equal(raw_field(&a, "Connection"), "close");

    httpapi_complete(cl.held[0], 0, (struct bytes){NULL, 0});
    buf_reset(&got);
    assert_true(raw_read_all(&cl.f, waiting, &got));
    assert_int_equal(raw_parse(buf_bytes(&got), &a, 1), 1);
    assert_int_equal(a.status, 204);
    (void)close(waiting);
    (void)close(late);
    buf_release(&got);
    close_api(&cl);
}

/* Many reads of a large value in one go, by a client that takes its time: each
 * value that had no room was read again; all answers come. */
static void test_large_reads_are_repeated_when_there_is_room(void **state)
{
    (void)state;
    enum {
        N = 40
    };
    struct cluster cl;
    struct buf request;
    struct reply r;
    uint8_t *value = xcalloc(1, MiB);
    struct bytes key = {(const uint8_t *)"/k", 2};
    static struct raw_answer answers[N + 2];

    open_sized(&cl, MiB);
    buf_init(&request, BUF_UNLIMITED);
    append_put(&request, key, (struct bytes){value, MiB});
    for (int i = 0; i < N; i++) {
        (void)buf_append_str(&request, "GET /k HTTP/1.1\r\n" H E);
    }
    append_get(&request, key);
    ask_bytes(&cl, buf_bytes(&request), &r);
    assert_int_equal(raw_parse(buf_bytes(&r.raw), answers, N + 2), N + 2);
    for (int i = 1; i < N + 2; i++) {
        assert_int_equal(answers[i].status, 200);
        assert_int_equal(answers[i].body.len, MiB);
    }
    assert_true(cl.n_gets >= N + 1);
    xfree(value);
    buf_release(&request);
    buf_release(&r.raw);
    close_api(&cl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_get),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_fields_reach_the_backend),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_wrong_input),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_values_round_trip),
        cmocka_unit_test(test_keys_are_distinct_bytes),
        cmocka_unit_test(test_limit_of_a_value),
        cmocka_unit_test(test_body_cut_off_changes_nothing),
        cmocka_unit_test(test_pipelined_puts_the_last_one_wins),
        cmocka_unit_test(test_hostile_table_leaves_no_trace),
        cmocka_unit_test(test_answers_come_in_order_of_requests),
        cmocka_unit_test(test_client_that_leaves_is_forgotten),
        cmocka_unit_test(test_close_cancels_what_waits),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_large_reads_are_repeated_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
