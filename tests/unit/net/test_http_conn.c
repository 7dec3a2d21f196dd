/* Goal: a listener gives every client its answers, in order and within bounds,
 * whatever the client sends and whenever it leaves. Method: real loopback
 * sockets in one process, a loop that the test turns, and a handler that
 * answers at once or when the test says so; the hostile table of
 * tests/lib/http_cases.h at every cut. */

#include "src/net/http_conn.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/cmocka.h"
#include "tests/lib/http_cases.h"
#include "tests/lib/http_site.h"

/* --- the hostile table --- */

static void run_case(struct site *s, const struct http_case *c, size_t cut)
{
    struct buf got;
    char statuses[128];
    char want[128];
    int fd = raw_dial(s->port);

    buf_init(&got, BUF_UNLIMITED);
    raw_send(&s->f, fd, (struct bytes){c->in.data, cut});
    raw_send(&s->f, fd, (struct bytes){c->in.data + cut, c->in.len - cut});
    (void)snprintf(want, sizeof(want), "%s%s", c->answers,
                   c->open ? " 200" : "");
    if (c->open) {
        raw_send_str(&s->f, fd, LAST);
    }
    if (c->answers[0] == '\0') {
        /* It waits for more: nothing may come but the end we make. */
        http_fixture_turns(&s->f, 20);
        (void)shutdown(fd, SHUT_WR);
    }
    if (!raw_read_all(&s->f, fd, &got)) {
        fail_msg("%s, cut at %zu: reset", c->name, cut);
    }
    raw_statuses(buf_bytes(&got), statuses, sizeof(statuses));
    if (strcmp(statuses, want) != 0) {
        fail_msg("%s, cut at %zu: got \"%s\", want \"%s\"", c->name, cut,
                 statuses, want);
    }
    (void)close(fd);
    buf_release(&got);
}

static void test_hostile_table(void **state)
{
    (void)state;
    struct site s;
    size_t n;
    const struct http_case *cases = http_cases(&n);

    site_open(&s);
    for (size_t i = 0; i < n; i++) {
        /* The parser's test has every cut of the large ones. */
        size_t step = 1 + cases[i].in.len / 200;

        for (size_t cut = 0; cut <= cases[i].in.len; cut += step) {
            run_case(&s, &cases[i], cut);
        }
        run_case(&s, &cases[i], cases[i].in.len);
    }
    http_fixture_until(&s.f, site_has_no_conns, &s);
    site_close(&s);
}

static void test_refusals_are_explained(void **state)
{
    (void)state;
    struct site s;
    size_t n;
    const struct http_case *cases = http_cases(&n);

    site_open(&s);
    for (size_t i = 0; i < n; i++) {
        struct raw_answer answers[4];
        struct buf got;
        int fd = raw_dial(s.port);

        if (cases[i].open || cases[i].answers[0] == '\0') {
            (void)close(fd);
            continue;
        }
        buf_init(&got, BUF_UNLIMITED);
        raw_send(&s.f, fd, cases[i].in);
        assert_true(raw_read_all(&s.f, fd, &got));
        size_t k = raw_parse(buf_bytes(&got), answers, ARRAY_LEN(answers));
        assert_true(k > 0);
        const struct raw_answer *a = &answers[k - 1];
        assert_string_equal(raw_field(a, "Connection"), "close");
        assert_non_null(raw_field(a, "Date"));
        if (a->status >= 400) {
            assert_string_equal(raw_field(a, "Content-Type"),
                                "text/plain; charset=utf-8");
            assert_true(a->body.len > 5);
            /* One line. */
            assert_ptr_equal(memchr(a->body.data, '\n', a->body.len),
                             a->body.data + a->body.len - 1);
        }
        if (a->status == 405) {
            assert_string_equal(raw_field(a, "Allow"), "GET, PUT");
        }
        (void)close(fd);
        buf_release(&got);
    }
    /* Rate-limited: one line for all of them. */
    assert_non_null(strstr(buf_cstr(&s.f.log), "refused with"));
    assert_null(
        strstr(strstr(buf_cstr(&s.f.log), "refused with") + 1, "refused with"));
    site_close(&s);
}

/* --- exchanges --- */

static void test_answer_of_a_request(void **state)
{
    (void)state;
    struct site s;
    struct raw_answer a;
    struct buf got;

    site_open(&s);
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd,
                 "PUT /a?b HTTP/1.1\r\n" H "Content-Length: 3\r\n" E "abc");
    raw_read_answers(&s.f, fd, &got, 1);
    assert_int_equal(raw_parse(buf_bytes(&got), &a, 1), 1);
    assert_int_equal(a.status, 200);
    assert_memory_equal(a.head.data, "HTTP/1.1 200 OK\r\n", 17);
    assert_string_equal(raw_field(&a, "Content-Type"), "text/plain");
    assert_null(raw_field(&a, "Connection"));
    assert_int_equal(a.body.len, strlen("PUT /a?b 3"));
    assert_memory_equal(a.body.data, "PUT /a?b 3", a.body.len);
    assert_memory_equal(http_exchange_peer(s.last), "127.0.0.1:", 10);
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

static void test_head_gets_no_body(void **state)
{
    (void)state;
    struct site s;
    struct buf got;

    site_open(&s);
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, "HEAD / HTTP/1.1\r\n" H "Connection: close\r\n" E);
    assert_true(raw_read_all(&s.f, fd, &got));
    assert_non_null(strstr(buf_cstr(&got), "Content-Length: 8\r\n"));
    assert_string_equal(strstr(buf_cstr(&got), "\r\n\r\n"), "\r\n\r\n");
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

static void test_refused_head_gets_no_body(void **state)
{
    (void)state;
    struct site s;
    struct buf got;

    site_open(&s);
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, "HEAD / HTTP/1.1\r\n" E);
    assert_true(raw_read_all(&s.f, fd, &got));
    assert_memory_equal(got.data, "HTTP/1.1 400 Bad Request\r\n", 26);
    assert_string_equal(strstr(buf_cstr(&got), "\r\n\r\n"), "\r\n\r\n");
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

static void test_pipelined_answers_keep_their_order(void **state)
{
    (void)state;
    static const size_t order[] = {2, 0, 4, 3, 1};
    struct site s;
    struct buf got;
    struct raw_answer answers[5];

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT NEXT NEXT NEXT NEXT);
    assert_int_equal(s.n_held, 5);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        char text[2] = {(char)('0' + order[i]), '\0'};

        site_answer(&s, s.held[order[i]], text);
        http_fixture_turns(&s.f, 2);
    }
    raw_read_answers(&s.f, fd, &got, 5);
    assert_int_equal(raw_parse(buf_bytes(&got), answers, 5), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(answers[i].body.data[0], '0' + (int)i);
    }
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
    assert_int_equal(s.n_aborted, 0);
}

/* The 100 of a request behind others waits for their answers. */
static void test_continue_keeps_its_place(void **state)
{
    (void)state;
    struct site s;
    struct buf got;
    char statuses[64];

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd,
                 NEXT "PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
                      "Content-Length: 1\r\nConnection: close\r\n" E);
    http_fixture_turns(&s.f, 10);
    assert_int_equal(s.n_held, 1);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    site_answer(&s, s.held[0], "first");
    raw_read_answers(&s.f, fd, &got, 2);
    raw_send_str(&s.f, fd, "x");
    site_answer(&s, s.held[1], "second");
    assert_true(raw_read_all(&s.f, fd, &got));
    raw_statuses(buf_bytes(&got), statuses, sizeof(statuses));
    assert_string_equal(statuses, "200 100 200");
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

static bool has_pipeline(void *ctx)
{
    return ((struct site *)ctx)->n_held == HTTP_PIPELINE_MAX;
}

static void test_pipeline_is_bounded(void **state)
{
    (void)state;
    struct site s;
    struct buf all;
    struct buf got;
    size_t n = HTTP_PIPELINE_MAX + 44;

    site_open(&s);
    s.hold = true;
    buf_init(&all, BUF_UNLIMITED);
    buf_init(&got, BUF_UNLIMITED);
    for (size_t i = 0; i < n; i++) {
        (void)buf_append_str(&all, NEXT);
    }
    int fd = raw_dial(s.port);
    raw_send(&s.f, fd, buf_bytes(&all));
    http_fixture_until(&s.f, has_pipeline, &s);
    http_fixture_turns(&s.f, 20);
    assert_int_equal(s.n_requests, HTTP_PIPELINE_MAX);

    /* One answer makes room for one request. */
    struct http_exchange *first = s.held[0];
    memmove(s.held, s.held + 1, (HTTP_PIPELINE_MAX - 1) * sizeof(s.held[0]));
    s.n_held--;
    site_answer(&s, first, "x");
    http_fixture_until(&s.f, has_pipeline, &s);
    assert_int_equal(s.n_requests, HTTP_PIPELINE_MAX + 1);

    s.hold = false;
    for (size_t i = 0; i < s.n_held; i++) {
        site_answer(&s, s.held[i], "x");
    }
    raw_read_answers(&s.f, fd, &got, n);
    assert_int_equal(s.n_requests, n);
    (void)close(fd);
    buf_release(&all);
    buf_release(&got);
    site_close(&s);
}

/* 1,000 pipelined requests for 256 KiB each of a client that reads nothing:
 * the answers that exist at once are bounded; when it reads, all come. */
static void test_large_answers_wait_for_the_reader(void **state)
{
    (void)state;
    struct site s;
    struct buf all;
    struct buf got;
    const size_t n = 1000;

    site_open(&s);
    s.ask_room = true;
    s.answer_bytes = 256 * KiB;
    buf_init(&all, BUF_UNLIMITED);
    buf_init(&got, BUF_UNLIMITED);
    for (size_t i = 1; i < n; i++) {
        (void)buf_append_str(&all, NEXT);
    }
    (void)buf_append_str(&all, LAST);
    int fd = raw_dial(s.port);
    raw_send(&s.f, fd, buf_bytes(&all));
    http_fixture_turns(&s.f, 100);
    /* The kernel takes some megabytes; the bound says the rest. */
    assert_true(s.n_requests <= HTTP_PIPELINE_MAX + 64);
    assert_true(s.n_requests < n);

    struct raw_answer a;
    size_t answers = 0;
    bool open = true;
    while (open) {
        uint8_t chunk[65536];
        ssize_t k = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

        http_fixture_turn(&s.f);
        open = k != 0;
        if (k > 0) {
            (void)buf_append(&got, chunk, (size_t)k);
        }
        while (raw_parse(buf_bytes(&got), &a, 1) == 1) {
            assert_int_equal(a.body.len, 256 * KiB);
            buf_consume(&got, a.head.len + 2 + a.body.len);
            answers++;
        }
    }
    assert_int_equal(answers, n);
    assert_int_equal(s.n_waits, s.n_rooms);
    (void)close(fd);
    buf_release(&all);
    buf_release(&got);
    site_close(&s);
}

/* An answer larger than the queue goes when nothing is before it. */
static void test_one_answer_always_has_room(void **state)
{
    (void)state;
    struct site s;
    struct buf got;

    site_open(&s);
    s.ask_room = true;
    s.answer_bytes = HTTP_WRITE_QUEUE_MAX + 1;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    s.hold = true;
    raw_send_str(&s.f, fd, NEXT NEXT LAST);
    assert_int_equal(s.n_held, 3);
    for (size_t i = 0; i < 3; i++) {
        site_answer(&s, s.held[i], "x");
    }
    assert_int_equal(s.n_waits, 2);
    assert_true(raw_read_all(&s.f, fd, &got));
    assert_true(got.len > 3 * HTTP_WRITE_QUEUE_MAX);
    assert_int_equal(s.n_rooms, 2);
    (void)close(fd);
    buf_release(&got);
    site_close(&s);
}

static void test_early_answer_leaves_the_body_unread(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    s.early = true;
    site_expect(&s, "PUT / HTTP/1.1\r\n" H "Content-Length: 3\r\n" E "abc" NEXT,
                "200");
    site_expect(&s, "PUT / HTTP/1.1\r\n" H "Content-Length: 999999999\r\n" E,
                "200");
    /* Without a body the connection goes on. */
    site_expect(&s, NEXT NEXT LAST, "200 200 200");
    site_close(&s);
    assert_int_equal(s.n_aborted, 0);
}

static void test_body_without_accept_is_refused(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    s.refuse_body = true;
    site_expect(&s, "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\n" E "a",
                "413");
    assert_int_equal(s.n_aborted, 1);
    site_expect(&s, NEXT LAST, "200 200");
    site_close(&s);
}

/* A large upload is told 413 and can read it: no reset. */
static void test_refused_upload_reads_its_answer(void **state)
{
    (void)state;
    struct site s;
    struct buf all;
    struct buf got;
    char statuses[64];

    site_open(&s);
    buf_init(&all, BUF_UNLIMITED);
    buf_init(&got, BUF_UNLIMITED);
    (void)buf_append_str(&all, "PUT / HTTP/1.1\r\n" H
                               "Content-Length: 4000000\r\n" E);
    while (all.len < 4000000) {
        (void)buf_append_byte(&all, 'x');
    }
    int fd = raw_dial(s.port);
    raw_send(&s.f, fd, buf_bytes(&all));
    assert_true(raw_read_all(&s.f, fd, &got));
    raw_statuses(buf_bytes(&got), statuses, sizeof(statuses));
    assert_string_equal(statuses, "413");
    (void)close(fd);
    buf_release(&all);
    buf_release(&got);
    site_close(&s);
}

/* --- clients that go away --- */

static void test_half_closed_client_is_answered(void **state)
{
    (void)state;
    struct site s;
    struct buf got;
    char statuses[64];

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT NEXT "GET /unfinished");
    (void)shutdown(fd, SHUT_WR);
    http_fixture_turns(&s.f, 10);
    assert_int_equal(s.n_held, 2);
    site_answer(&s, s.held[0], "a");
    http_fixture_turns(&s.f, 3);
    site_answer(&s, s.held[1], "b");
    assert_true(raw_read_all(&s.f, fd, &got));
    raw_statuses(buf_bytes(&got), statuses, sizeof(statuses));
    assert_string_equal(statuses, "200 200");
    (void)close(fd);
    buf_release(&got);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    site_close(&s);
}

static void test_closed_before_the_body_ends(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd,
                 "PUT / HTTP/1.1\r\n" H "Content-Length: 9\r\n" E "abc");
    (void)close(fd);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    assert_int_equal(s.n_requests, 1);
    assert_int_equal(s.n_aborted, 1);
    site_close(&s);
}

static void test_reset_aborts_what_has_no_answer(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    s.hold = true;
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT NEXT NEXT);
    assert_int_equal(s.n_held, 3);
    site_answer(&s, s.held[1], "x"); /* over for the user, though not written */
    raw_reset(fd);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    assert_int_equal(s.n_aborted, 2);
    site_close(&s);
}

static void test_listener_close_aborts_and_answers_go_nowhere(void **state)
{
    (void)state;
    struct site s;

    site_open(&s);
    s.hold = true;
    int fd = raw_dial(s.port);
    raw_send_str(&s.f, fd, NEXT NEXT);
    http_listener_close(s.l, site_on_closed, &s);
    site_answer(&s, s.held[0], "too late");
    http_fixture_until_set(&s.f, &s.closed);
    assert_int_equal(s.n_aborted, 1);
    (void)close(fd);
    http_fixture_release(&s.f);
}

static bool got_request(void *ctx)
{
    return ((struct site *)ctx)->n_requests > 0;
}

static void test_drain(void **state)
{
    (void)state;
    struct site s;
    struct buf got;
    struct raw_answer a[3];

    site_open(&s);
    s.hold = true;
    buf_init(&got, BUF_UNLIMITED);
    int idle = raw_dial(s.port);
    int busy = raw_dial(s.port);
    int slow = raw_dial(s.port);
    raw_send_str(&s.f, busy, NEXT NEXT);
    http_fixture_until(&s.f, got_request, &s);
    raw_send_str(&s.f, slow, "GET /last HTTP/1.1\r\n");
    http_listener_drain(s.l);

    /* The idle one is closed, in order. */
    assert_true(raw_read_all(&s.f, idle, &got));
    assert_int_equal(got.len, 0);

    /* The busy one gets both answers; the second one says that it is the
     * last. */
    site_answer(&s, s.held[0], "a");
    site_answer(&s, s.held[1], "b");
    assert_true(raw_read_all(&s.f, busy, &got));
    assert_int_equal(raw_parse(buf_bytes(&got), a, 3), 2);
    assert_null(raw_field(&a[0], "Connection"));
    assert_string_equal(raw_field(&a[1], "Connection"), "close");

    /* The one in the middle of a request may finish it. */
    raw_send_str(&s.f, slow, H E);
    assert_int_equal(s.n_held, 3);
    site_answer(&s, s.held[2], "c");
    buf_reset(&got);
    assert_true(raw_read_all(&s.f, slow, &got));
    assert_int_equal(raw_parse(buf_bytes(&got), a, 3), 1);
    assert_string_equal(raw_field(&a[0], "Connection"), "close");
    (void)close(idle);
    (void)close(busy);
    (void)close(slow);
    buf_release(&got);
    http_fixture_until(&s.f, site_has_no_conns, &s);
    site_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_table),
        cmocka_unit_test(test_refusals_are_explained),
        cmocka_unit_test(test_answer_of_a_request),
        cmocka_unit_test(test_head_gets_no_body),
        cmocka_unit_test(test_refused_head_gets_no_body),
        cmocka_unit_test(test_pipelined_answers_keep_their_order),
        cmocka_unit_test(test_continue_keeps_its_place),
        cmocka_unit_test(test_pipeline_is_bounded),
        cmocka_unit_test(test_large_answers_wait_for_the_reader),
        cmocka_unit_test(test_one_answer_always_has_room),
        cmocka_unit_test(test_early_answer_leaves_the_body_unread),
        cmocka_unit_test(test_body_without_accept_is_refused),
        cmocka_unit_test(test_refused_upload_reads_its_answer),
        cmocka_unit_test(test_half_closed_client_is_answered),
        cmocka_unit_test(test_closed_before_the_body_ends),
        cmocka_unit_test(test_reset_aborts_what_has_no_answer),
        cmocka_unit_test(test_listener_close_aborts_and_answers_go_nowhere),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
