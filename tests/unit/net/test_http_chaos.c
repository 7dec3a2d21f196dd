/* Goal: no order of events between many clients, their requests, answers and
 * deaths breaks a listener's books: every exchange ends once, and nothing is
 * left. Method: random steps from fixed seeds; the sanitizers and the asserts
 * of the code judge, and the counts at the end. */

#include "src/net/http_conn.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/rng.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/http_cases.h"
#include "tests/lib/http_fixture.h"

#define CLIENTS 12
#define LIVE    4096

/* An exchange that the handler was given and that is not over. */
struct live {
    struct http_exchange *x;
    bool complete;
    bool streaming;
};

struct chaos {
    struct http_fixture f;
    struct http_listener *l;
    struct rng r;
    struct live live[LIVE];
    size_t n_live;
    size_t n_begun;
    size_t n_ended; /* by an answer, a stream's end or an abort */
    int fds[CLIENTS];
    bool closed;
};

static struct live *find(struct chaos *c, struct http_exchange *x)
{
    for (size_t i = 0; i < c->n_live; i++) {
        if (c->live[i].x == x) {
            return &c->live[i];
        }
    }
    fail_msg("an exchange that is not alive");
    return NULL;
}

static void forget(struct chaos *c, struct http_exchange *x)
{
    *find(c, x) = c->live[c->n_live - 1];
    c->n_live--;
    c->n_ended++;
}

static void answer(struct chaos *c, struct http_exchange *x)
{
    static uint8_t body[300000];
    size_t len = rng_below(&c->r, 4) == 0 ? rng_below(&c->r, sizeof(body)) : 3;

    forget(c, x);
    http_respond(x, &(struct http_response){
                        .status = 200,
                        .body = {body, len},
                        .close = rng_below(&c->r, 20) == 0,
                    });
}

static void on_request(void *ctx, struct http_exchange *x,
                       const struct http_head *h)
{
    struct chaos *c = ctx;

    assert_true(h->target.len > 0);
    assert_true(c->n_live < LIVE);
    c->live[c->n_live++] = (struct live){.x = x};
    c->n_begun++;
    switch (rng_below(&c->r, 12)) {
    case 0:
        answer(c, x);
        break;
    case 1:
        break; /* a body is refused */
    case 2:
        find(c, x)->streaming = true;
        http_stream_begin(x, 200, NULL);
        break;
    default:
        http_accept_body(x, HTTP_CASE_LIMIT);
        break;
    }
}

static void on_complete(void *ctx, struct http_exchange *x, struct bytes body)
{
    struct chaos *c = ctx;

    assert_true(body.len <= HTTP_CASE_LIMIT);
    find(c, x)->complete = true;
    if (rng_below(&c->r, 2) == 0 &&
        http_exchange_has_room(x, rng_below(&c->r, 100))) {
        answer(c, x);
    }
}

static void on_abort(void *ctx, struct http_exchange *x)
{
    forget(ctx, x);
}

static void on_room(void *ctx, struct http_exchange *x)
{
    struct chaos *c = ctx;

    assert_true(find(c, x)->complete);
    answer(c, x);
}

static const struct http_server_ops ops = {
    .on_request = on_request,
    .on_complete = on_complete,
    .on_abort = on_abort,
    .on_room = on_room,
};

static void send_something(struct chaos *c, int fd)
{
    size_t n;
    const struct http_case *cases = http_cases(&n);
    struct bytes in = cases[rng_below(&c->r, n)].in;

    if (rng_below(&c->r, 2) == 0) {
        static const char good[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
                                   "PUT /b HTTP/1.1\r\nHost: x\r\n"
                                   "Content-Length: 3\r\n\r\nabc";
        in = (struct bytes){(const uint8_t *)good, sizeof(good) - 1};
    }
    size_t len =
        rng_below(&c->r, 4) == 0 ? rng_below(&c->r, in.len + 1) : in.len;
    (void)!send(fd, in.data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void end_client(struct chaos *c, int *fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (rng_below(&c->r, 2) == 0) {
        (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    (void)close(*fd);
    *fd = -1;
}

static void act_on_exchange(struct chaos *c, struct live *v)
{
    static uint8_t block[50000];

    if (v->streaming) {
        int rc = http_stream_write(
            v->x,
            (struct bytes){block, 1 + rng_below(&c->r, sizeof(block) - 1)},
            1000000);

        assert_true(rc == 0 || rc == ERR_QUEUE_FULL);
        if (rng_below(&c->r, 5) == 0) {
            struct http_exchange *x = v->x;

            forget(c, x);
            http_stream_end(x, rng_below(&c->r, 3));
        }
    } else if (v->complete) {
        answer(c, v->x);
    }
}

static void step(struct chaos *c)
{
    static uint8_t sink[65536];
    int *fd = &c->fds[rng_below(&c->r, CLIENTS)];

    switch (rng_below(&c->r, 8)) {
    case 0:
    case 1:
        http_fixture_turn(&c->f);
        break;
    case 2:
    case 3:
        if (*fd < 0) {
            *fd = raw_dial(http_listener_port(c->l));
        }
        send_something(c, *fd);
        break;
    case 4:
        if (*fd >= 0 && recv(*fd, sink, sizeof(sink), MSG_DONTWAIT) == 0) {
            end_client(c, fd);
        }
        break;
    case 5:
        if (*fd >= 0 && rng_below(&c->r, 3) == 0) {
            (void)shutdown(*fd, SHUT_WR);
        } else if (*fd >= 0 && rng_below(&c->r, 3) == 0) {
            end_client(c, fd);
        }
        break;
    default:
        if (c->n_live > 0) {
            act_on_exchange(c, &c->live[rng_below(&c->r, c->n_live)]);
        }
        break;
    }
}

static void on_closed(void *ctx)
{
    ((struct chaos *)ctx)->closed = true;
}

static void run(uint64_t seed, struct chaos *c)
{
    struct errmsg em;

    *c = (struct chaos){.n_live = 0};
    rng_seed(&c->r, seed);
    http_fixture_init(&c->f);
    for (size_t i = 0; i < CLIENTS; i++) {
        c->fds[i] = -1;
    }
    struct http_listener_options o = {
        .addr = {.host = "127.0.0.1"},
        .what = "client",
        .conns_max = 1 + rng_below(&c->r, CLIENTS),
        .header_timeout_ms = 1 + rng_below(&c->r, 10),
        .body_timeout_ms = 1 + rng_below(&c->r, 10),
        .idle_timeout_ms = 1 + rng_below(&c->r, 10),
        .write_timeout_ms = 1 + rng_below(&c->r, 10),
        .ops = &ops,
        .ctx = c,
    };
    assert_int_equal(http_listener_open(c->f.net, &o, &c->l, &em), 0);
    for (int i = 0; i < 3000; i++) {
        step(c);
    }
    if (rng_below(&c->r, 2) == 0) {
        http_listener_drain(c->l);
        for (int i = 0; i < 300; i++) {
            act_on_exchange(c, c->n_live > 0 ? &c->live[0]
                                             : &(struct live){.x = NULL});
            http_fixture_turn(&c->f);
        }
    }
    http_listener_close(c->l, on_closed, c);
    http_fixture_until_set(&c->f, &c->closed);
    http_fixture_release(&c->f);
    assert_int_equal(c->n_live, 0);
    assert_int_equal(c->n_begun, c->n_ended);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (c->fds[i] >= 0) {
            (void)close(c->fds[i]);
        }
    }
}

static void test_random_events(void **state)
{
    (void)state;
    struct chaos *c = xmalloc(sizeof(*c));
    size_t begun = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        run(seed, c);
        begun += c->n_begun;
    }
    assert_true(begun > 1000);
    xfree(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
