/* Goal: a streamed answer is framed, bounded, ended and aborted as the header
 * says. Method: a raw socket reads, or does not read, what the test streams. */

#include "src/net/http_conn.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/cmocka.h"
#include "tests/lib/http_site.h"

/* --- streams --- */

static void test_stream(void **state)
{
    (void)state;
    struct site s;
    struct buf got;

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT);
    struct http_exchange *x = s.held[0];
    http_stream_begin(x, 200, "X-A: b\r\n");
    raw_read_until(&s.f, fd, &got, "\r\n\r\n");
    assert_non_null(strstr(buf_cstr(&got), "X-A: b\r\n"));
    assert_non_null(strstr(buf_cstr(&got), "Transfer-Encoding: chunked\r\n"));
    assert_int_equal(
        http_stream_write(x, (struct bytes){(const uint8_t *)"hello", 5}, 100),
        0);
    assert_true(http_stream_queued(x) > 5);
    raw_read_until(&s.f, fd, &got, "5\r\nhello\r\n");
    assert_int_equal(http_stream_queued(x), 0);
    /* The same in place. */
    uint8_t *room;
    assert_int_equal(http_stream_reserve(x, 101, 100, &room), ERR_QUEUE_FULL);
    assert_null(room);
    assert_int_equal(http_stream_reserve(x, 12, 100, &room), 0);
    memcpy(room, "in its place", 12);
    http_stream_commit(x, 12);
    raw_read_until(&s.f, fd, &got, "c\r\nin its place\r\n");
    /* What the client sends is not looked at. */
    raw_send_str(&s.f, fd, NEXT "garbage");
    assert_int_equal(s.n_requests, 1);
    http_stream_end(x, 60000);
    assert_true(raw_read_all(&s.f, fd, &got));
    assert_non_null(strstr(buf_cstr(&got), "place\r\n0\r\n\r\n"));
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
    assert_int_equal(s.n_aborted, 0);
}

/* A stream that begins before the request's body: the body is not looked at,
 * whatever it is. */
static void test_stream_begun_before_a_body(void **state)
{
    (void)state;
    static const char *const requests[] = {
        NEXT,
        "GET / HTTP/1.1\r\n" H "Content-Length: 9\r\n" E "abc",
        "GET / HTTP/1.1\r\n" H "Content-Length: 99999999999\r\n" E,
        "GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" E "zzz",
        "GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
        "Content-Length: 9\r\n" E,
    };

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct site s;
        struct buf got;

        site_open(&s);
        s.stream = true;
        buf_init(&got, BUF_UNLIMITED);
        int fd = raw_dial(s.port);
        raw_send_str(&s.f, fd, requests[i]);
        raw_read_until(&s.f, fd, &got, "\r\n\r\n");
        assert_int_equal(
            http_stream_write(s.last, (struct bytes){(uint8_t *)"a", 1}, 100),
            0);
        http_stream_end(s.last, 60000);
        assert_true(raw_read_all(&s.f, fd, &got));
        assert_string_equal(strstr(buf_cstr(&got), "\r\n\r\n"),
                            "\r\n\r\n1\r\na\r\n0\r\n\r\n");
        assert_int_equal(s.n_aborted, 0);
        (void)close(fd);
        buf_release(&got);
        site_close(&s);
    }
}

static void test_stream_is_bounded(void **state)
{
    (void)state;
    struct site s;
    struct buf got;
    static uint8_t block[65536];
    const size_t queue_max = 8 * MiB;

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT);
    struct http_exchange *x = s.held[0];
    struct bytes data = {block, sizeof(block)};
    http_stream_begin(x, 200, NULL);
    size_t sent = 0;
    while (http_stream_write(x, data, queue_max) == 0) {
        sent += data.len;
        http_fixture_turn(&s.f);
        assert_true(http_stream_queued(x) <= queue_max + 64);
        assert_true(sent < 1000 * MiB);
    }
    assert_int_equal(s.n_drains, 0);
    while (s.n_drains == 0) {
        uint8_t chunk[65536];

        (void)!recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        http_fixture_turn(&s.f);
    }
    assert_true(http_stream_queued(x) < queue_max / 2);
    assert_int_equal(http_stream_write(x, data, queue_max), 0);
    raw_reset(fd);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    assert_int_equal(s.n_aborted, 1);
    buf_release(&got);
    site_close(&s);
}

static void test_stream_aborts_when_the_client_closes(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    s.hold = true;
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT);
    http_stream_begin(s.held[0], 200, NULL);
    http_fixture_turns(&s.f, 3);
    (void)close(fd);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    assert_int_equal(s.n_aborted, 1);
    site_close(&s);
}

static void test_stream_end_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct site s;
    static uint8_t block[MiB];
    struct bytes data = {block, sizeof(block)};

    site_open(&s);
    s.hold = true;
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT);
    http_stream_begin(s.held[0], 200, NULL);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(http_stream_write(s.held[0], data, 64 * MiB), 0);
    }
    http_fixture_turns(&s.f, 3);
    http_stream_end(s.held[0], 20);
    http_fixture_until(&s.f, site_has_no_conns, &s); /* nobody reads */
    assert_int_equal(s.n_aborted, 0);
    (void)close(fd);
    site_close(&s);
}

static void test_stream_to_1_0_has_no_chunks(void **state)
{
    (void)state;
    struct site s;
    struct buf got;

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, "GET / HTTP/1.0\r\n" E);
    http_stream_begin(s.held[0], 200, NULL);
    assert_int_equal(http_stream_write(
                         s.held[0], (struct bytes){(uint8_t *)"hello", 5}, 100),
                     0);
    http_stream_end(s.held[0], 60000);
    assert_true(raw_read_all(&s.f, fd, &got));
    assert_string_equal(strstr(buf_cstr(&got), "\r\n\r\n"), "\r\n\r\nhello");
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_begun_before_a_body),
        cmocka_unit_test(test_stream_is_bounded),
        cmocka_unit_test(test_stream_aborts_when_the_client_closes),
        cmocka_unit_test(test_stream_end_does_not_wait_for_ever),
        cmocka_unit_test(test_stream_to_1_0_has_no_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
