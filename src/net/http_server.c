/* Requests in: a connection that was accepted, parsed into exchanges.
 *
 * The happy path: each read is parsed; a head makes an exchange and goes to
 * the user, who accepts the body or answers; the complete request goes to the
 * user; answers leave by http_exchange.c. The connection is kept, or closed in
 * order behind the answer that says so.
 *
 * What can go wrong, and what happens then:
 * - a request is malformed or beyond a limit: its exchange (a user's one gets
 *   on_abort) is answered here, and the connection closes behind the answer;
 * - the client closes: what is complete is answered still (it may only have
 *   closed its side), what is not is aborted; a stream is aborted;
 * - a write or read fails, or no byte is taken in time: all is aborted;
 * - a request is slow: it is dropped at its deadline without an answer; answers
 *   that are due before it are given first;
 * - answers pile up: no further request is looked at, then nothing is read.
 *
 * An exchange ends for the user with its answer or with on_abort, which comes
 * from a read, the timer or the close callback. */

#include "src/net/http_server.h"

#include "src/base/alloc.h"

bool server_conn_is_paused(const struct server_conn *sc)
{
    return sc->current == NULL && !sc->no_more &&
           (sc->n_exchanges >= HTTP_PIPELINE_MAX ||
            http_exchange_waiting_bytes(sc) >= HTTP_WRITE_QUEUE_MAX);
}

bool server_conn_is_ending(const struct server_conn *sc)
{
    return sc->l->draining || sc->c.eof || sc->last_round;
}

bool server_conn_is_idle(const struct server_conn *sc)
{
    return sc->n_exchanges == 0 && !http_parser_in_message(&sc->parser) &&
           sc->c.in.len == 0;
}

void server_conn_take_no_more(struct server_conn *sc)
{
    sc->no_more = true;
    sc->head_deadline_ms = HTTP_NEVER;
    sc->body_deadline_ms = HTTP_NEVER;
    if (sc->c.paused) {
        http_conn_todo(&sc->c); /* to throw away what waits */
    }
}

static uint64_t deadline_in(const struct server_conn *sc, uint64_t timeout_ms)
{
    return timeout_ms == 0 ? HTTP_NEVER : server_conn_now(sc) + timeout_ms;
}

void server_conn_update_deadline(struct server_conn *sc)
{
    uint64_t at = HTTP_NEVER;

    if (sc->c.state != HTTP_CONN_OPEN) {
        return;
    }
    if (sc->current != NULL) {
        at = sc->body_deadline_ms;
    } else if (sc->head_deadline_ms != HTTP_NEVER) {
        at = sc->head_deadline_ms;
    } else if (sc->n_exchanges == 0 && !sc->c.paused) {
        at = deadline_in(sc, sc->l->o.idle_timeout_ms);
    }
    http_conn_set_deadline(&sc->c, at);
}

/* --- refusing --- */

/* One line per listener in a while, however many try. */
static void log_refused(struct server_conn *sc, int status, const char *text)
{
    struct http_listener *l = sc->l;
    uint64_t more;

    if (log_limit_pass(&l->refused_limit, server_conn_now(sc), &more)) {
        log_warn(l->net->lg,
                 "%s %s: refused with %d: %s (%" PRIu64 " more before)",
                 l->o.what, http_conn_peer(&sc->c), status, text, more);
    }
}

/* Answer `x`, which is ours, and close behind it. */
static void refuse(struct http_exchange *x, int status, const char *text)
{
    const char *allow = x->sc->l->o.allow;
    char body[128];
    char fields[128] = "";

    ASSERT(x->ours);
    log_refused(x->sc, status, text);
    int n = snprintf(body, sizeof(body), "%s\n", text);
    if (status == 405 && allow != NULL) {
        (void)snprintf(fields, sizeof(fields), "Allow: %s\r\n", allow);
    } else if (status == 503) {
        (void)snprintf(fields, sizeof(fields), "Retry-After: 1\r\n");
    }
    http_respond(x, &(struct http_response){
                        .status = status,
                        .content_type = "text/plain; charset=utf-8",
                        .fields = fields,
                        .body = {(const uint8_t *)body, (size_t)n},
                        .close = true,
                    });
}

/* The request being read, or about to be, is refused. Its exchange is the
 * newest; the answers before it come first. */
static void refuse_request(struct server_conn *sc, int status, const char *text)
{
    struct http_exchange *x = sc->current;

    if (x == NULL) {
        x = http_exchange_new(sc);
        x->ours = true;
        x->is_head = sc->parser.guard.is_head;
    } else {
        http_exchange_abort(x);
    }
    refuse(x, status, text);
}

/* --- input --- */

/* Forget the body collected so far; its memory is kept for the next one. */
static void drop_body(struct server_conn *sc)
{
    ASSERT(sc->l->body_bytes >= sc->body.len);
    sc->l->body_bytes -= sc->body.len;
    buf_reset(&sc->body);
    sc->whole = (struct bytes){NULL, 0};
}

static void on_head(struct server_conn *sc)
{
    const struct http_listener_options *o = &sc->l->o;
    const struct http_head *h = &sc->parser.head;
    struct http_exchange *x = http_exchange_new(sc);

    x->minor = (uint8_t)h->minor;
    x->is_head = sc->parser.guard.is_head;
    x->keep_alive = sc->parser.keep_alive;
    x->has_body = h->chunked || h->content_length > 0;
    x->expects = h->expect_continue;
    sc->current = x;
    sc->head_deadline_ms = HTTP_NEVER;
    sc->body_deadline_ms = deadline_in(sc, o->body_timeout_ms);
    drop_body(sc);

    o->ops->on_request(o->ctx, x, h);
    if (sc->c.state != HTTP_CONN_OPEN || sc->current != x) {
        return; /* answered: it may be gone */
    }
    if (h->content_length > 0 && (uint64_t)h->content_length > x->body_limit) {
        refuse_request(sc, 413, "the body is too large");
    }
}

void http_accept_body(struct http_exchange *x, size_t limit)
{
    struct server_conn *sc = x->sc;
    const struct http_head *h = &sc->parser.head;

    x->body_limit = limit;
    if (sc->c.state != HTTP_CONN_OPEN || sc->current != x || !x->expects) {
        return;
    }
    x->expects = false;
    if (h->content_length > 0 && (uint64_t)h->content_length > limit) {
        return; /* refused when on_request is back */
    }
    http_exchange_continue(x);
}

/* A piece of the body. One that is complete in a single piece is handed on
 * where it lies. */
static void on_data(struct server_conn *sc, struct bytes piece)
{
    struct http_exchange *x = sc->current;
    struct http_listener *l = sc->l;

    ASSERT(x != NULL);
    ASSERT(sc->body.len <= x->body_limit);
    size_t room = x->body_limit - sc->body.len;

    /* With chunks, what is left of this one counts as soon as it begins. */
    if (piece.len > room ||
        http_parser_body_left(&sc->parser) > room - piece.len) {
        refuse_request(sc, 413, "the body is too large");
        return;
    }
    if (sc->parser.head.content_length == (int64_t)piece.len) {
        sc->whole = piece;
        return;
    }
    if (l->o.bodies_max != 0 && piece.len > l->o.bodies_max - l->body_bytes) {
        refuse_request(sc, 503, "too many bodies are being read at once");
        return;
    }
    if (sc->body.data == NULL) {
        http_net_take_buf(sc->c.net, &sc->body);
    }
    (void)buf_append(&sc->body, piece.data, piece.len);
    l->body_bytes += piece.len;
}

static void on_end(struct server_conn *sc)
{
    const struct http_listener_options *o = &sc->l->o;
    struct http_exchange *x = sc->current;
    struct bytes body =
        sc->whole.data != NULL ? sc->whole : buf_bytes(&sc->body);

    sc->current = NULL;
    sc->body_deadline_ms = HTTP_NEVER;
    if (x == NULL) {
        return; /* answered before */
    }
    if (!x->keep_alive) {
        server_conn_take_no_more(sc);
    }
    o->ops->on_complete(o->ctx, x, body);
    drop_body(sc);
    http_net_give_buf(sc->c.net, &sc->body);
}

/* One event of the parser; the bytes of `piece` are in the input. */
static void on_event(struct server_conn *sc, enum http_event event,
                     struct bytes piece)
{
    switch (event) {
    case HTTP_EVENT_HEAD:
        on_head(sc);
        return;
    case HTTP_EVENT_DATA:
        on_data(sc, piece);
        return;
    case HTTP_EVENT_END:
        on_end(sc);
        return;
    case HTTP_EVENT_BAD:
        refuse_request(sc, sc->parser.status, sc->parser.text);
        return;
    case HTTP_EVENT_MORE:
        return;
    }
    UNREACHABLE();
}

static bool may_parse(const struct server_conn *sc)
{
    return sc->c.state == HTTP_CONN_OPEN && !sc->no_more &&
           !server_conn_is_paused(sc);
}

static size_t on_input(struct http_conn *c, struct bytes in)
{
    struct server_conn *sc = server_of(c);
    size_t done = 0;
    enum http_event event = HTTP_EVENT_HEAD;

    while (may_parse(sc) && event != HTTP_EVENT_MORE) {
        struct bytes rest = {in.data + done, in.len - done};
        struct bytes piece;
        size_t used;

        event = http_parser_next(&sc->parser, rest, &used, &piece);
        done += used;
        on_event(sc, event, piece);
    }
    if (sc->no_more) {
        done = in.len;
    }
    c->paused = server_conn_is_paused(sc);
    if (c->paused) {
        c->notify_sent = true;
    }
    if (!http_parser_in_head(&sc->parser) || c->paused) {
        sc->head_deadline_ms = HTTP_NEVER;
    } else if (sc->head_deadline_ms == HTTP_NEVER) {
        sc->head_deadline_ms = deadline_in(sc, sc->l->o.header_timeout_ms);
    }
    server_conn_update_deadline(sc);
    return done;
}

/* --- ends --- */

/* The request that is being read will not be completed. */
static void drop_current(struct server_conn *sc)
{
    struct http_exchange *x = sc->current;

    if (x != NULL) {
        http_exchange_abort(x);
        http_exchange_free(x);
    }
    server_conn_take_no_more(sc);
}

static bool has_stream(const struct server_conn *sc)
{
    struct http_exchange *x = http_exchange_oldest(sc);

    return x != NULL && x->streaming;
}

static void on_broken(struct http_conn *c, int rc)
{
    struct server_conn *sc = server_of(c);

    log_debug(c->net->lg, "%s %s: %s, %zu requests without an answer",
              sc->l->o.what, http_conn_peer(c),
              rc == UV_EOF ? "closed" : uv_strerror(rc), sc->n_exchanges);
    if (rc != UV_EOF || has_stream(sc)) {
        http_conn_close(c);
        return;
    }
    drop_current(sc);
    http_exchange_advance(sc);
}

static void on_deadline(struct http_conn *c)
{
    struct server_conn *sc = server_of(c);
    struct http_exchange *x = http_exchange_oldest(sc);

    log_debug(c->net->lg, "%s %s: too slow or idle, closing", sc->l->o.what,
              http_conn_peer(c));
    if (x == NULL || x == sc->current || x->answered) {
        http_conn_close(c);
        return;
    }
    /* Answers are due before the slow request. */
    sc->last_round = true;
    drop_current(sc);
    server_conn_update_deadline(sc);
}

/* The oldest exchange is the one that room, or a drained queue, is for. */
static void tell_room(struct server_conn *sc)
{
    const struct http_listener_options *o = &sc->l->o;
    struct http_exchange *x = http_exchange_oldest(sc);
    size_t queued = http_conn_queued(&sc->c);

    if (x == NULL) {
        return;
    }
    if (x->wants_room && queued < HTTP_WRITE_QUEUE_MAX / 2) {
        x->wants_room = false;
        o->ops->on_room(o->ctx, x);
    } else if (x->wants_drain && queued < x->queue_max / 2) {
        x->wants_drain = false;
        if (o->ops->on_drain != NULL) {
            o->ops->on_drain(o->ctx, x);
        }
    }
}

static void on_todo(struct http_conn *c)
{
    struct server_conn *sc = server_of(c);

    c->notify_sent = false;
    tell_room(sc);
    if (c->state != HTTP_CONN_OPEN) {
        return;
    }
    if (c->paused && !server_conn_is_paused(sc)) {
        http_conn_resume(c);
    }
    struct http_exchange *x = http_exchange_oldest(sc);
    if (c->paused || (x != NULL && (x->wants_room || x->wants_drain))) {
        c->notify_sent = true;
    }
}

static void on_gone(struct http_conn *c)
{
    struct server_conn *sc = server_of(c);
    struct http_listener *l = sc->l;

    list_for_each (it, &sc->exchanges) {
        http_exchange_abort(container_of(it, struct http_exchange, node));
    }
    while (!list_is_empty(&sc->exchanges)) {
        http_exchange_free(http_exchange_oldest(sc));
    }
    drop_body(sc);
    http_net_give_buf(c->net, &sc->body);
    list_remove(&sc->node);
    xfree(sc);
    http_listener_conn_gone(l);
}

static const struct http_conn_ops server_ops = {
    .on_input = on_input,
    .on_broken = on_broken,
    .on_todo = on_todo,
    .on_deadline = on_deadline,
    .on_gone = on_gone,
};

struct server_conn *server_conn_new(struct http_listener *l)
{
    struct server_conn *sc = xcalloc(1, sizeof(*sc));

    sc->l = l;
    sc->head_deadline_ms = HTTP_NEVER;
    sc->body_deadline_ms = HTTP_NEVER;
    list_init(&sc->exchanges);
    buf_init(&sc->body, BUF_UNLIMITED);
    http_parser_init(&sc->parser, false, HTTP_HEADERS_MAX, l->net->fields);
    /* An unfinished head, and one read behind it. */
    http_conn_init(&sc->c, l->net, &server_ops,
                   HTTP_READ_CHUNK + HTTP_REQUEST_LINE_MAX + HTTP_HEADERS_MAX +
                       64);
    sc->c.write_timeout_ms = l->o.write_timeout_ms;
    return sc;
}
