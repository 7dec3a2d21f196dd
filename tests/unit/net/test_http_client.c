/* Goal: a client sends what it is asked to and ends every request with exactly
 * one on_end, whatever the other end does. Method: the other end is a raw
 * socket of the test, or a listener of ours; failures come by closing, by
 * bytes, by refusing to connect and by limits of some milliseconds. */

#include "src/net/http_conn.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/http_site.h"

struct caller {
    struct http_fixture f;
    struct http_client *client;
    int listener; /* raw, or -1 */
    uint16_t port;
    int status; /* of the last answer */
    struct buf body;
    size_t n_ends;
    int rc;
    char why[256];
    bool close_on_body; /* close the client from inside on_body */
    bool close_on_end;
    bool ask_again; /* send another request from inside on_end */
};

static const struct http_request get = {.method = "GET", .target = "/a"};

static void on_response(void *ctx, const struct http_head *h)
{
    ((struct caller *)ctx)->status = h->status;
}

static void on_body(void *ctx, struct bytes data)
{
    struct caller *c = ctx;

    (void)buf_append(&c->body, data.data, data.len);
    if (c->close_on_body) {
        http_client_close(c->client);
        c->client = NULL;
    }
}

static void on_end(void *ctx, int rc, const char *why)
{
    struct caller *c = ctx;

    c->n_ends++;
    c->rc = rc;
    (void)snprintf(c->why, sizeof(c->why), "%s", why);
    if (c->close_on_end) {
        http_client_close(c->client);
        c->client = NULL;
    } else if (c->ask_again) {
        c->ask_again = false;
        http_client_request(c->client, &get);
    }
}

static const struct http_client_ops client_ops = {
    .on_response = on_response,
    .on_body = on_body,
    .on_end = on_end,
};

static void init(struct caller *c)
{
    *c = (struct caller){.listener = -1};
    http_fixture_init(&c->f);
    buf_init(&c->body, BUF_UNLIMITED);
    c->listener = raw_listen(&c->port);
}

static struct http_client_options options(struct caller *c, const char *host)
{
    struct http_client_options o = {
        .addr = {.port = c->port},
        .connect_timeout_ms = 60000,
        .head_max = 16 * KiB,
        .ops = &client_ops,
        .ctx = c,
    };
    (void)snprintf(o.addr.host, sizeof(o.addr.host), "%s", host);
    return o;
}

static void open_caller(struct caller *c)
{
    init(c);
    struct http_client_options o = options(c, "127.0.0.1");
    c->client = http_client_new(c->f.net, &o);
}

static void close_caller(struct caller *c)
{
    size_t ends = c->n_ends;

    http_client_close(c->client);
    http_fixture_release(&c->f);
    assert_int_equal(c->n_ends, ends);
    (void)close(c->listener);
    buf_release(&c->body);
}

static bool has_ended(void *ctx)
{
    return ((struct caller *)ctx)->n_ends > 0;
}

static void wait_end(struct caller *c, int rc)
{
    http_fixture_until(&c->f, has_ended, c);
    assert_int_equal(c->n_ends, 1);
    assert_int_equal(c->rc, rc);
    if (rc != 0) {
        assert_true(strlen(c->why) > 0);
    }
    c->n_ends = 0;
}

/* Send `get` and take it on the other end. */
static int serve_one(struct caller *c, struct buf *got)
{
    http_client_request(c->client, &get);
    int fd = raw_accept(&c->f, c->listener);
    raw_read_until(&c->f, fd, got, "\r\n\r\n");
    return fd;
}

static void test_request_and_answer(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;
    char host[64];

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    http_client_request(c.client, &(struct http_request){
                                      .method = "POST",
                                      .target = "/raft",
                                      .fields = "X-A: b\r\n",
                                      .body = {(const uint8_t *)"hello", 5},
                                  });
    assert_true(http_client_queued(c.client) > 5);
    int fd = raw_accept(&c.f, c.listener);
    raw_read_until(&c.f, fd, &got, "hello");
    (void)snprintf(host, sizeof(host), "Host: 127.0.0.1:%u\r\n",
                   (unsigned)c.port);
    assert_memory_equal(got.data, "POST /raft HTTP/1.1\r\n", 21);
    assert_non_null(strstr(buf_cstr(&got), host));
    assert_non_null(strstr(buf_cstr(&got), "Content-Length: 5\r\n"));
    assert_non_null(strstr(buf_cstr(&got), "X-A: b\r\n"));
    assert_int_equal(http_client_queued(c.client), 0);
    raw_send_str(&c.f, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    wait_end(&c, 0);
    assert_int_equal(c.status, 200);
    assert_string_equal(buf_cstr(&c.body), "ok");

    /* The connection is used again. */
    http_client_request(c.client, &get);
    buf_reset(&got);
    raw_read_until(&c.f, fd, &got, "\r\n\r\n");
    assert_memory_equal(got.data, "GET /a HTTP/1.1\r\n", 17);
    assert_null(strstr(buf_cstr(&got), "Content-Length"));
    raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    wait_end(&c, 0);
    assert_int_equal(c.status, 204);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

static void test_empty_body_is_announced(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    http_client_request(c.client, &(struct http_request){.method = "POST",
                                                         .target = "/",
                                                         .has_body = true});
    int fd = raw_accept(&c.f, c.listener);
    raw_read_until(&c.f, fd, &got, "\r\n\r\n");
    assert_non_null(strstr(buf_cstr(&got), "Content-Length: 0\r\n"));
    (void)close(fd);
    wait_end(&c, ERR_EOF);
    buf_release(&got);
    close_caller(&c);
}

/* A body beyond the socket's buffers, once handed over and once copied. */
static void test_large_body(void **state)
{
    (void)state;
    const size_t len = 24 * MiB;

    for (int owned = 0; owned <= 1; owned++) {
        struct caller c;
        struct buf got;
        uint8_t *body = xmalloc(len);

        for (size_t i = 0; i < len; i++) {
            body[i] = (uint8_t)(i * 7 + i / 251);
        }
        open_caller(&c);
        buf_init(&got, BUF_UNLIMITED);
        http_client_request(c.client,
                            &(struct http_request){
                                .method = "POST",
                                .target = "/",
                                .body = {body, len},
                                .body_owned = owned ? xmemdup(body, len) : NULL,
                            });
        assert_true(http_client_queued(c.client) > len);
        int fd = raw_accept(&c.f, c.listener);
        raw_read_until(&c.f, fd, &got, "\r\n\r\n");
        const char *at = strstr(buf_cstr(&got), "\r\n\r\n");
        buf_consume(&got, (size_t)(at - (const char *)got.data) + 4);
        while (got.len < len) {
            uint8_t chunk[65536];
            ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

            (void)buf_append(&got, chunk, n > 0 ? (size_t)n : 0);
            http_fixture_turn(&c.f);
        }
        assert_memory_equal(got.data, body, len);
        http_fixture_turns(&c.f, 3);
        assert_int_equal(http_client_queued(c.client), 0);
        raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
        wait_end(&c, 0);
        (void)close(fd);
        xfree(body);
        buf_release(&got);
        close_caller(&c);
    }
}

/* Closed with the body not written: what it owned is freed (ASan sees it). */
static void test_close_with_a_body_under_way(void **state)
{
    (void)state;
    struct caller c;

    open_caller(&c);
    http_client_request(c.client, &(struct http_request){
                                      .method = "POST",
                                      .target = "/",
                                      .body = {NULL, 24 * MiB},
                                      .body_owned = xcalloc(24, MiB),
                                  });
    int fd = raw_accept(&c.f, c.listener);
    http_fixture_turns(&c.f, 5);
    close_caller(&c);
    (void)close(fd);
}

static void test_chunked_stream(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    raw_send_str(&c.f, fd,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(c.status, 200);
    raw_send_str(&c.f, fd, "3\r\nabc\r\n");
    assert_string_equal(buf_cstr(&c.body), "abc");
    raw_send_str(&c.f, fd, "5\r\nde");
    raw_send_str(&c.f, fd, "fgh\r");
    assert_string_equal(buf_cstr(&c.body), "abcdefgh");
    assert_int_equal(c.n_ends, 0);
    raw_send_str(&c.f, fd, "\n0\r\n\r\n");
    wait_end(&c, 0);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

static void test_body_until_the_end(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    raw_send_str(&c.f, fd, "HTTP/1.1 200 OK\r\n\r\nabc");
    assert_int_equal(c.n_ends, 0);
    (void)close(fd);
    wait_end(&c, 0);
    assert_string_equal(buf_cstr(&c.body), "abc");
    buf_release(&got);
    close_caller(&c);
}

static void test_interim_answers_are_skipped(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    raw_send_str(&c.f, fd, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(c.status, 0);
    raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    wait_end(&c, 0);
    assert_int_equal(c.status, 204);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

static void test_answer_to_head(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    http_client_request(
        c.client, &(struct http_request){.method = "HEAD", .target = "/"});
    int fd = raw_accept(&c.f, c.listener);
    raw_read_until(&c.f, fd, &got, "\r\n\r\n");
    raw_send_str(&c.f, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    wait_end(&c, 0);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

/* The answer at every cut. */
static void test_answer_in_two_writes(void **state)
{
    (void)state;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n";
    struct caller c;
    struct buf got;
    int fd = -1;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    for (size_t cut = 0; cut < sizeof(answer); cut++) {
        buf_reset(&got);
        buf_reset(&c.body);
        if (fd < 0) {
            fd = serve_one(&c, &got);
        } else {
            http_client_request(c.client, &get);
            raw_read_until(&c.f, fd, &got, "\r\n\r\n");
        }
        raw_send(&c.f, fd, (struct bytes){(const uint8_t *)answer, cut});
        raw_send_str(&c.f, fd, answer + cut);
        wait_end(&c, 0);
        assert_string_equal(buf_cstr(&c.body), "abc");
    }
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

/* --- failures --- */

static void test_connection_refused(void **state)
{
    (void)state;
    struct caller c;

    open_caller(&c);
    (void)close(c.listener);
    http_client_request(c.client, &get);
    assert_int_equal(c.n_ends, 0); /* never from inside */
    wait_end(&c, UV_ECONNREFUSED);
    c.listener = -1;
    close_caller(&c);
}

/* A name that the resolver turns into 127.0.0.1. "localhost" is the better one,
 * it may be ::1 first; a system with no /etc/hosts does not know it, but the
 * old short form of an address is a name to us everywhere. */
static const char *loopback_name(void)
{
    struct addrinfo *found = NULL;
    bool known = getaddrinfo("localhost", NULL, NULL, &found) == 0;

    if (known) {
        freeaddrinfo(found);
    }
    return known ? "localhost" : "127.1";
}

static void test_name_is_resolved(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;
    const char *name = loopback_name();
    char host[32];

    (void)snprintf(host, sizeof(host), "Host: %s:", name);
    init(&c);
    buf_init(&got, BUF_UNLIMITED);
    struct http_client_options o = options(&c, name);
    c.client = http_client_new(c.f.net, &o);
    int fd = serve_one(&c, &got);
    assert_non_null(strstr(buf_cstr(&got), host));
    raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    wait_end(&c, 0);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

static void test_name_that_does_not_resolve(void **state)
{
    (void)state;
    struct caller c;

    init(&c);
    struct http_client_options o = options(&c, "a..b");
    c.client = http_client_new(c.f.net, &o);
    http_client_request(c.client, &get);
    http_fixture_until(&c.f, has_ended, &c);
    assert_true(c.rc < 0);
    assert_memory_equal(c.why, "resolve: ", 9);
    close_caller(&c);
}

static void test_closed_while_resolving(void **state)
{
    (void)state;
    struct caller c;

    init(&c);
    struct http_client_options o = options(&c, "localhost");
    c.client = http_client_new(c.f.net, &o);
    http_client_request(c.client, &get);
    close_caller(&c);
    assert_int_equal(c.n_ends, 0);
}

static void test_answers_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int rc;
        const char *why;
    } cases[] = {
        {"", ERR_EOF, "before an answer"},
        {"HTTP/1.1 20", ERR_EOF, "in the middle"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", ERR_EOF,
         "in the middle"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
         ERR_EOF, "in the middle"},
        {"SSH-2.0-OpenSSH\r\n", ERR_MALFORMED, "malformed"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         ERR_MALFORMED, "malformed"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct caller c;
        struct buf got;

        open_caller(&c);
        buf_init(&got, BUF_UNLIMITED);
        int fd = serve_one(&c, &got);
        raw_send_str(&c.f, fd, cases[i].bytes);
        (void)close(fd);
        wait_end(&c, cases[i].rc);
        assert_non_null(strstr(c.why, cases[i].why));
        buf_release(&got);
        close_caller(&c);
    }
}

static void test_reset_by_the_other_end(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    raw_reset(fd);
    wait_end(&c, UV_ECONNRESET);
    buf_release(&got);
    close_caller(&c);
}

static void test_head_beyond_its_bound(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    buf_reset(&got);
    (void)buf_append_str(&got, "HTTP/1.1 200 OK\r\nA: ");
    while (got.len < 20 * KiB) {
        (void)buf_append_byte(&got, 'x');
    }
    raw_send(&c.f, fd, buf_bytes(&got));
    wait_end(&c, ERR_MALFORMED);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

static void test_silence_is_timed_out(void **state)
{
    (void)state;
    struct caller c;
    struct http_request r = get;

    open_caller(&c);
    r.read_timeout_ms = 30;
    http_client_request(c.client, &r);
    int fd = raw_accept(&c.f, c.listener);
    wait_end(&c, ERR_TIMED_OUT);
    (void)close(fd);
    close_caller(&c);
}

static void test_stream_that_falls_silent_is_timed_out(void **state)
{
    (void)state;
    struct caller c;
    struct http_request r = get;

    open_caller(&c);
    r.read_timeout_ms = 200;
    http_client_request(c.client, &r);
    int fd = raw_accept(&c.f, c.listener);
    raw_send_str(&c.f, fd,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        raw_send_str(&c.f, fd, "1\r\na\r\n");
    }
    wait_end(&c, ERR_TIMED_OUT);
    assert_true(c.body.len <= 5);
    (void)close(fd);
    close_caller(&c);
}

/* --- connections that end between requests --- */

static void test_closed_while_idle_dials_anew(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    for (int i = 0; i < 3; i++) {
        buf_reset(&got);
        int fd = serve_one(&c, &got);
        raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
        wait_end(&c, 0);
        if (i == 1) {
            raw_send_str(&c.f, fd, "bytes that nobody asked for");
        }
        (void)close(fd);
        http_fixture_turns(&c.f, 5);
        assert_int_equal(c.n_ends, 0);
    }
    buf_release(&got);
    close_caller(&c);
}

static void test_answer_that_closes_dials_anew(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    buf_init(&got, BUF_UNLIMITED);
    int first = serve_one(&c, &got);
    raw_send_str(&c.f, first,
                 "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    wait_end(&c, 0);
    buf_reset(&got);
    int second = serve_one(&c, &got);
    raw_send_str(&c.f, second, "HTTP/1.1 204 No Content\r\n\r\n");
    wait_end(&c, 0);
    (void)close(first);
    (void)close(second);
    buf_release(&got);
    close_caller(&c);
}

/* --- calls from inside of callbacks --- */

static void test_close_from_on_body(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    c.close_on_body = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    raw_send_str(&c.f, fd,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    http_fixture_turns(&c.f, 5);
    assert_null(c.client);
    assert_string_equal(buf_cstr(&c.body), "a");
    assert_int_equal(c.n_ends, 0);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

static void test_close_from_on_end(void **state)
{
    (void)state;
    for (int good = 0; good <= 1; good++) {
        struct caller c;
        struct buf got;

        open_caller(&c);
        c.close_on_end = true;
        buf_init(&got, BUF_UNLIMITED);
        int fd = serve_one(&c, &got);
        raw_send_str(&c.f, fd,
                     good ? "HTTP/1.1 204 No Content\r\n\r\n" : "nonsense");
        http_fixture_until(&c.f, has_ended, &c);
        assert_null(c.client);
        (void)close(fd);
        buf_release(&got);
        close_caller(&c);
    }
}

static void test_request_from_on_end(void **state)
{
    (void)state;
    struct caller c;
    struct buf got;

    open_caller(&c);
    c.ask_again = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = serve_one(&c, &got);
    raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_int_equal(c.n_ends, 1);
    buf_reset(&got);
    raw_read_until(&c.f, fd, &got, "\r\n\r\n");
    raw_send_str(&c.f, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_int_equal(c.n_ends, 2);
    (void)close(fd);
    buf_release(&got);
    close_caller(&c);
}

/* --- against our own listener --- */

static bool site_saw(void *ctx)
{
    return ((struct site *)ctx)->n_held == 1;
}

static void test_stream_between_both_ends(void **state)
{
    (void)state;
    struct site s;
    struct caller c = {.listener = -1};
    static uint8_t block[100000];

    site_open(&s);
    s.hold = true;
    buf_init(&c.body, BUF_UNLIMITED);
    c.port = s.port;
    struct http_client_options o = options(&c, "127.0.0.1");
    c.client = http_client_new(s.f.net, &o);
    http_client_request(c.client, &get);
    http_fixture_until(&s.f, site_saw, &s);
    http_stream_begin(s.held[0], 200, NULL);
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (uint8_t)(i * 13);
    }
    for (int i = 0; i < 50; i++) {
        assert_int_equal(http_stream_write(s.held[0],
                                           (struct bytes){block, sizeof(block)},
                                           100 * MiB),
                         0);
        http_fixture_turn(&s.f);
    }
    http_stream_end(s.held[0], 60000);
    http_fixture_until(&s.f, has_ended, &c);
    assert_int_equal(c.rc, 0);
    assert_int_equal(c.body.len, 50 * sizeof(block));
    assert_memory_equal(c.body.data + 49 * sizeof(block), block, sizeof(block));
    http_client_close(c.client);
    buf_release(&c.body);
    site_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_answer),
        cmocka_unit_test(test_empty_body_is_announced),
        cmocka_unit_test(test_large_body),
        cmocka_unit_test(test_close_with_a_body_under_way),
        cmocka_unit_test(test_chunked_stream),
        cmocka_unit_test(test_body_until_the_end),
        cmocka_unit_test(test_interim_answers_are_skipped),
        cmocka_unit_test(test_answer_to_head),
        cmocka_unit_test(test_answer_in_two_writes),
        cmocka_unit_test(test_connection_refused),
        cmocka_unit_test(test_name_is_resolved),
        cmocka_unit_test(test_name_that_does_not_resolve),
        cmocka_unit_test(test_closed_while_resolving),
        cmocka_unit_test(test_answers_that_fail),
        cmocka_unit_test(test_reset_by_the_other_end),
        cmocka_unit_test(test_head_beyond_its_bound),
        cmocka_unit_test(test_silence_is_timed_out),
        cmocka_unit_test(test_stream_that_falls_silent_is_timed_out),
        cmocka_unit_test(test_closed_while_idle_dials_anew),
        cmocka_unit_test(test_answer_that_closes_dials_anew),
        cmocka_unit_test(test_close_from_on_body),
        cmocka_unit_test(test_close_from_on_end),
        cmocka_unit_test(test_request_from_on_end),
        cmocka_unit_test(test_stream_between_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
