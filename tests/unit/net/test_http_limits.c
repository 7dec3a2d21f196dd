/* Goal: slow clients are closed in time, waiting ones are not, and connections
 * beyond the limit wait without being refused. Method: real loopback sockets
 * and limits of some milliseconds, so that the test waits for the event and
 * not for a time. */

#include "src/net/http_conn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/cmocka.h"
#include "tests/lib/http_site.h"

/* --- time: short limits instead of waiting --- */

static void open_hasty(struct site *s, uint64_t header_ms, uint64_t body_ms,
                       uint64_t idle_ms, uint64_t write_ms)
{
    site_init(s);
    struct http_listener_options o = site_options(s);
    o.header_timeout_ms = header_ms;
    o.body_timeout_ms = body_ms;
    o.idle_timeout_ms = idle_ms;
    o.write_timeout_ms = write_ms;
    site_open_with(s, &o);
}

static void expect_silence_closed(struct site *s, const char *text)
{
    site_expect(s, text, "");
    http_fixture_until(&s->f, site_has_no_conns, s);
}

static void test_slow_header_is_closed(void **state)
{
    (void)state;
    struct site s;

    open_hasty(&s, 30, 600000, 600000, 600000);
    expect_silence_closed(&s, "G");
    expect_silence_closed(&s, "GET /k\r\n");
    expect_silence_closed(&s, "GET /k HTTP/1.1\r\nHost: x\r\n");
    site_close(&s);
}

/* Progress does not help: the limit counts from the first byte. */
static void test_trickled_header_is_closed(void **state)
{
    (void)state;
    struct site s;

    open_hasty(&s, 50, 600000, 600000, 600000);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, "GET /");
    while (http_listener_conns(s.l) > 0) {
        raw_send_str(&s.f, fd, "x");
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(s.n_requests, 0);
    (void)close(fd);
    site_close(&s);
}

static void test_slow_body_is_closed(void **state)
{
    (void)state;
    struct site s;

    open_hasty(&s, 600000, 30, 600000, 600000);
    expect_silence_closed(&s, "PUT / HTTP/1.1\r\n" H "Content-Length: 9\r\n" E
                              "abc");
    assert_int_equal(s.n_aborted, 1);
    site_close(&s);
}

static void test_idle_connection_is_closed(void **state)
{
    (void)state;
    struct site s;

    open_hasty(&s, 600000, 600000, 30, 600000);
    expect_silence_closed(&s, "");
    expect_silence_closed(&s, "\r\n\r\n"); /* blank lines are no request */
    site_expect(&s, NEXT, "200");
    site_close(&s);
}

/* A request that waits for us is not idle. */
static void test_waiting_is_not_idle(void **state)
{
    (void)state;
    struct site s;
    struct buf got;

    open_hasty(&s, 20, 20, 20, 600000);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT);
    int second = raw_dial(s.port);
    /* When the second one was closed for being idle, the first was not. */
    assert_true(raw_read_all(&s.f, second, &got));
    http_fixture_turns(&s.f, 10);
    assert_int_equal(http_listener_conns(s.l), 1);
    site_answer(&s, s.held[0], "x");
    assert_true(raw_read_all(&s.f, fd, &got));
    assert_true(got.len > 0);
    (void)close(fd);
    (void)close(second);
    buf_release(&got);
    site_close(&s);
}

/* A slow request behind one that waits for its answer: the answer comes. */
static void test_slow_second_request_does_not_cost_the_first(void **state)
{
    (void)state;
    struct site s;
    struct buf got;
    char statuses[64];

    open_hasty(&s, 20, 20, 600000, 600000);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd,
                 NEXT "PUT / HTTP/1.1\r\n" H "Content-Length: 2\r\n" E "a");
    while (s.n_aborted == 0) {
        http_fixture_turn(&s.f);
        (void)poll(NULL, 0, 1);
    }
    site_answer(&s, s.held[0], "x");
    assert_true(raw_read_all(&s.f, fd, &got));
    raw_statuses(buf_bytes(&got), statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

static void test_client_that_takes_nothing_is_closed(void **state)
{
    (void)state;
    struct site s;

    open_hasty(&s, 600000, 600000, 600000, 30);
    s.answer_bytes = 32 * MiB;
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    assert_non_null(strstr(buf_cstr(&s.f.log), "takes no bytes"));
    (void)close(fd);
    site_close(&s);
}

/* --- number --- */

static void test_connections_beyond_the_limit_wait(void **state)
{
    (void)state;
    enum {
        N = 20,
        LIMIT = 3
    };
    struct site s;
    struct buf got;
    int fds[N];

    site_init(&s);
    struct http_listener_options o = site_options(&s);
    o.conns_max = LIMIT;
    site_open_with(&s, &o);
    buf_init(&got, BUF_UNLIMITED);
    for (int i = 0; i < N; i++) {
        fds[i] = raw_dial(s.port);
        raw_send_str(&s.f, fds[i], NEXT);
        assert_true(http_listener_conns(s.l) <= LIMIT);
    }
    assert_int_equal(s.n_requests, LIMIT);
    /* Each that leaves lets one in; none was refused. */
    for (int i = 0; i < N; i++) {
        buf_reset(&got);
        raw_read_answers(&s.f, fds[i], &got, 1);
        (void)close(fds[i]);
        http_fixture_turns(&s.f, 3);
        assert_true(http_listener_conns(s.l) <= LIMIT);
    }
    assert_int_equal(s.n_requests, N);
    const char *line = strstr(buf_cstr(&s.f.log), "new connections wait");
    assert_non_null(line);
    assert_null(strstr(line + 1, "new connections wait"));
    buf_release(&got);
    site_close(&s);
}

static void test_connections_that_wait_do_not_hold_up_closing(void **state)
{
    (void)state;
    struct site s;

    site_init(&s);
    struct http_listener_options o = site_options(&s);
    o.conns_max = 1;
    site_open_with(&s, &o);
    int a = raw_dial(s.port);
    int b = raw_dial(s.port);
    http_fixture_turns(&s.f, 5);
    assert_int_equal(http_listener_conns(s.l), 1);
    site_close(&s);
    (void)close(a);
    (void)close(b);
}

static void send_part(struct site *s, int fd, const char *head)
{
    raw_send_str(&s->f, fd, head);
    raw_send_str(&s->f, fd, "0123456789");
    raw_send_str(&s->f, fd, "0123456789");
}

/* Each body is within its own limit; together they are not. */
static void test_bodies_share_a_bound(void **state)
{
    const char *head = "PUT /a HTTP/1.1\r\n" H "Content-Length: 21\r\n" E;
    struct http_listener_options o;
    struct site s;
    struct buf got;
    int first;
    int second;

    (void)state;
    site_init(&s);
    o = site_options(&s);
    o.bodies_max = 35;
    site_open_with(&s, &o);
    buf_init(&got, BUF_UNLIMITED);
    for (int round = 0; round < 3; round++) {
        first = raw_dial(s.port);
        second = raw_dial(s.port);
        send_part(&s, first, head);
        send_part(&s, second, head);
        buf_reset(&got);
        assert_true(raw_read_all(&s.f, second, &got));
        assert_non_null(strstr(buf_cstr(&got), " 503 "));
        buf_reset(&got);
        raw_send_str(&s.f, first, "x");
        raw_read_answers(&s.f, first, &got, 1);
        assert_non_null(strstr(buf_cstr(&got), "PUT /a 21"));
        (void)close(first);
        (void)close(second);
        http_fixture_until(&s.f, site_has_no_conns, &s);
    }
    buf_release(&got);
    site_close(&s);
}

static size_t count_fds(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return n;
}

static void test_many_connections_leave_nothing(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    size_t before = count_fds();
    for (int i = 0; i < 2000; i++) {
        int fd = raw_dial(s.port);

        if (i % 3 == 0) {
            raw_send_str(&s.f, fd, NEXT);
        } else if (i % 3 == 1) {
            raw_send_str(&s.f, fd, "GE");
            raw_reset(fd);
            continue;
        }
        (void)close(fd);
        http_fixture_turn(&s.f);
    }
    http_fixture_until(&s.f, site_has_no_conns, &s);
    assert_int_equal(count_fds(), before);
    site_close(&s);
}

static void test_port_in_use(void **state)
{
    (void)state;
    struct site s;
    struct http_listener *second = NULL;
    struct errmsg em;

    site_open(&s);
    struct http_listener_options o = site_options(&s);
    o.addr.port = s.port;
    assert_int_equal(http_listener_open(s.f.net, &o, &second, &em),
                     UV_EADDRINUSE);
    assert_null(second);
    assert_non_null(strstr(em.text, "127.0.0.1"));
    assert_non_null(strstr(em.text, "in use"));

    (void)snprintf(o.addr.host, sizeof(o.addr.host), "no-such-host.invalid");
    assert_true(http_listener_open(s.f.net, &o, &second, &em) < 0);
    assert_non_null(strstr(em.text, "no-such-host.invalid"));
    site_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_share_a_bound),
        cmocka_unit_test(test_slow_header_is_closed),
        cmocka_unit_test(test_trickled_header_is_closed),
        cmocka_unit_test(test_slow_body_is_closed),
        cmocka_unit_test(test_idle_connection_is_closed),
        cmocka_unit_test(test_waiting_is_not_idle),
        cmocka_unit_test(test_slow_second_request_does_not_cost_the_first),
        cmocka_unit_test(test_client_that_takes_nothing_is_closed),
        cmocka_unit_test(test_connections_beyond_the_limit_wait),
        cmocka_unit_test(test_connections_that_wait_do_not_hold_up_closing),
        cmocka_unit_test(test_many_connections_leave_nothing),
        cmocka_unit_test(test_port_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
