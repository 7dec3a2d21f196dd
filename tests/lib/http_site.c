/* A listener with a handler that tests can steer. */

#include "tests/lib/http_site.h"

#include <sys/socket.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/http_cases.h"

void site_answer(struct site *s, struct http_exchange *x, const char *text)
{
    struct http_response r = {
        .status = 200,
        .content_type = "text/plain",
        .body = {(const uint8_t *)text, strlen(text)},
    };
    uint8_t *large = NULL;

    if (s->answer_bytes > 0) {
        if (s->ask_room && !http_exchange_has_room(x, s->answer_bytes)) {
            s->n_waits++;
            return;
        }
        large = xmalloc(s->answer_bytes);
        memset(large, 'v', s->answer_bytes);
        r.body = (struct bytes){large, s->answer_bytes};
    }
    http_respond(x, &r);
    xfree(large);
}

static void on_request(void *ctx, struct http_exchange *x,
                       const struct http_head *h)
{
    struct site *s = ctx;

    s->n_requests++;
    s->last = x;
    (void)snprintf(s->what, sizeof(s->what), "%.*s %.*s", (int)h->method.len,
                   (const char *)h->method.data, (int)h->target.len,
                   (const char *)h->target.data);
    if (s->early) {
        site_answer(s, x, "early");
    } else if (s->stream) {
        http_stream_begin(x, 200, NULL);
    } else if (!s->refuse_body) {
        http_accept_body(x, HTTP_CASE_LIMIT);
    }
}

static void on_complete(void *ctx, struct http_exchange *x, struct bytes body)
{
    struct site *s = ctx;
    char text[HTTP_REQUEST_LINE_MAX + 80];

    if (s->hold) {
        s->held[s->n_held++] = x;
        return;
    }
    (void)snprintf(text, sizeof(text), "%s %zu", s->what, body.len);
    site_answer(s, x, text);
}

static void on_abort(void *ctx, struct http_exchange *x)
{
    struct site *s = ctx;

    s->n_aborted++;
    for (size_t i = 0; i < s->n_held; i++) {
        if (s->held[i] == x) {
            s->held[i] = NULL;
        }
    }
}

static void on_drain(void *ctx, struct http_exchange *x)
{
    struct site *s = ctx;

    (void)x;
    s->n_drains++;
}

static void on_room(void *ctx, struct http_exchange *x)
{
    struct site *s = ctx;

    s->n_rooms++;
    site_answer(s, x, "later");
}

static const struct http_server_ops ops = {
    .on_request = on_request,
    .on_complete = on_complete,
    .on_abort = on_abort,
    .on_drain = on_drain,
    .on_room = on_room,
};

struct http_listener_options site_options(struct site *s)
{
    return (struct http_listener_options){
        .addr = {.host = "127.0.0.1"},
        .what = "client",
        .conns_max = 1000,
        .header_timeout_ms = 60000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .write_timeout_ms = 60000,
        .allow = "GET, PUT",
        .ops = &ops,
        .ctx = s,
    };
}

void site_open_with(struct site *s, const struct http_listener_options *o)
{
    struct errmsg em;

    assert_int_equal(http_listener_open(s->f.net, o, &s->l, &em), 0);
    s->port = http_listener_port(s->l);
    assert_true(s->port > 0);
}

void site_init(struct site *s)
{
    *s = (struct site){.n_held = 0};
    http_fixture_init(&s->f);
}

void site_open(struct site *s)
{
    site_init(s);
    struct http_listener_options o = site_options(s);
    site_open_with(s, &o);
}

void site_on_closed(void *ctx)
{
    ((struct site *)ctx)->closed = true;
}

void site_close(struct site *s)
{
    http_listener_close(s->l, site_on_closed, s);
    assert_false(s->closed);
    http_fixture_until_set(&s->f, &s->closed);
    http_fixture_release(&s->f);
}

bool site_has_no_conns(void *ctx)
{
    return http_listener_conns(((struct site *)ctx)->l) == 0;
}

/* Send `text`, read to the end, compare the status codes. */
void site_expect(struct site *s, const char *text, const char *statuses)
{
    struct buf got;
    char all[1024];
    int fd = raw_dial(s->port);

    buf_init(&got, BUF_UNLIMITED);
    raw_send_str(&s->f, fd, text);
    assert_true(raw_read_all(&s->f, fd, &got));
    raw_statuses(buf_bytes(&got), all, sizeof(all));
    assert_string_equal(all, statuses);
    (void)close(fd);
    buf_release(&got);
}

void raw_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    (void)close(fd);
}
