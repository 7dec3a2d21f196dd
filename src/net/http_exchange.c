/* Exchanges: the answers of a connection, written in the order of the requests.
 *
 * The happy path: an answer goes into the connection's output if its exchange
 * is the oldest, else it is held in the exchange until it is. An answered
 * exchange at the front is taken off, and what the next one holds follows.
 *
 * What can go wrong: the connection breaks: the exchanges that have no answer
 * are aborted in its close callback, and an answer given in between goes
 * nowhere. Answers pile up because the client takes none: has_room says no,
 * and on_room calls when the exchange is the oldest and half of the queue is
 * free. */

#include "src/net/http_server.h"

#include "src/base/alloc.h"

struct http_exchange *http_exchange_new(struct server_conn *sc)
{
    struct http_net *net = sc->c.net;
    struct list *node = list_pop_front(&net->free_exchanges);
    struct http_exchange *x;

    if (node != NULL) {
        net->n_free_exchanges--;
        x = container_of(node, struct http_exchange, node);
    } else {
        x = xmalloc(sizeof(*x));
    }
    *x = (struct http_exchange){.sc = sc};
    buf_init(&x->held, BUF_UNLIMITED);
    list_push_back(&sc->exchanges, &x->node);
    sc->n_exchanges++;
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    struct server_conn *sc = x->sc;
    struct http_net *net = sc->c.net;

    if (sc->current == x) {
        sc->current = NULL;
    }
    list_remove(&x->node);
    sc->n_exchanges--;
    sc->held_bytes -= x->held.len;
    http_net_give_buf(net, &x->held);
    if (net->n_free_exchanges == HTTP_POOL_EXCHANGES) {
        xfree(x);
        return;
    }
    list_push_back(&net->free_exchanges, &x->node);
    net->n_free_exchanges++;
}

struct http_exchange *http_exchange_oldest(const struct server_conn *sc)
{
    return list_is_empty(&sc->exchanges)
               ? NULL
               : container_of(sc->exchanges.next, struct http_exchange, node);
}

static bool is_last(const struct http_exchange *x)
{
    return x->node.next == &x->sc->exchanges;
}

size_t http_exchange_waiting_bytes(const struct server_conn *sc)
{
    return http_conn_queued(&sc->c) + sc->held_bytes;
}

void http_exchange_abort(struct http_exchange *x)
{
    const struct http_listener_options *o = &x->sc->l->o;

    if (x->answered || x->ours) {
        return;
    }
    x->ours = true;
    o->ops->on_abort(o->ctx, x);
}

/* --- output, in the order of the requests --- */

/* Where the output of `x` goes now. */
/* What `x` writes to, once begin_output has been called. */
static struct buf *output_of(struct http_exchange *x)
{
    struct server_conn *sc = x->sc;

    return http_exchange_oldest(sc) == x ? &sc->c.out : &x->held;
}

static struct buf *begin_output(struct http_exchange *x)
{
    struct server_conn *sc = x->sc;

    if (http_exchange_oldest(sc) == x) {
        return http_conn_out(&sc->c);
    }
    if (x->held.data == NULL) {
        http_net_take_buf(sc->c.net, &x->held);
    }
    sc->held_bytes -= x->held.len;
    return &x->held;
}

static void end_output(struct http_exchange *x)
{
    struct server_conn *sc = x->sc;

    if (http_exchange_oldest(sc) == x) {
        http_conn_dirty(&sc->c);
    } else {
        sc->held_bytes += x->held.len;
    }
}

/* `x` became the oldest: what it holds can go. */
static void release_held(struct http_exchange *x)
{
    struct server_conn *sc = x->sc;
    struct buf *out = http_conn_out(&sc->c);

    if (x->held.len == 0) {
        return;
    }
    (void)buf_append(out, x->held.data, x->held.len);
    sc->held_bytes -= x->held.len;
    http_net_give_buf(sc->c.net, &x->held);
    http_conn_dirty(&sc->c);
}

void http_exchange_advance(struct server_conn *sc)
{
    struct http_exchange *x;

    while ((x = http_exchange_oldest(sc)) != NULL && x->answered) {
        bool close = x->close;

        http_exchange_free(x);
        if (close) {
            http_conn_finish(&sc->c);
            return;
        }
        if (http_exchange_oldest(sc) != NULL) {
            release_held(http_exchange_oldest(sc));
        }
    }
    if (x == NULL && server_conn_is_ending(sc) &&
        (sc->no_more || !http_parser_in_message(&sc->parser))) {
        http_conn_finish(&sc->c);
        return;
    }
    if ((x != NULL && x->wants_room) ||
        (sc->c.paused && !server_conn_is_paused(sc))) {
        http_conn_todo(&sc->c);
    }
    server_conn_update_deadline(sc);
}

/* Heads are put together in place: an answer is mostly head, and appending it
 * piece by piece took a sixth of the time of a read. */
static uint8_t *put(uint8_t *p, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(p, data, len);
    }
    return p + len;
}

#define PUT(p, text) put(p, text, sizeof(text) - 1)

/* Decimal, without the cost of a format. */
static uint8_t *put_number(uint8_t *p, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return put(p, digits + at, sizeof(digits) - at);
}

static struct bytes line_of(int status)
{
#define LINE(number, reason)                                                   \
    {                                                                          \
        number, "HTTP/1.1 " #number " " reason "\r\n",                         \
            sizeof("HTTP/1.1 " #number " " reason "\r\n") - 1                  \
    }
    static const struct {
        int status;
        const char *line;
        size_t len;
    } lines[] = {
        LINE(200, "OK"),
        LINE(204, "No Content"),
        LINE(404, "Not Found"),
        LINE(202, "Accepted"),
        LINE(301, "Moved Permanently"),
        LINE(304, "Not Modified"),
        LINE(400, "Bad Request"),
        LINE(405, "Method Not Allowed"),
        LINE(409, "Conflict"),
        LINE(410, "Gone"),
        LINE(412, "Precondition Failed"),
        LINE(413, "Content Too Large"),
        LINE(414, "URI Too Long"),
        LINE(417, "Expectation Failed"),
        LINE(431, "Request Header Fields Too Large"),
        LINE(500, "Internal Server Error"),
        LINE(501, "Not Implemented"),
        LINE(503, "Service Unavailable"),
        LINE(504, "Gateway Timeout"),
        LINE(505, "HTTP Version Not Supported"),
    };
#undef LINE

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (lines[i].status == status) {
            return (struct bytes){(const uint8_t *)lines[i].line, lines[i].len};
        }
    }
    return (struct bytes){NULL, 0};
}

/* Status line, date, and our own fields, which are all short. */
#define HEAD_MAX 192

static uint8_t *put_status_line(const struct http_exchange *x, uint8_t *p,
                                int status)
{
    struct bytes line = line_of(status);
    struct bytes date = http_net_date(x->sc->c.net);

    if (line.len > 0) {
        p = put(p, line.data, line.len);
    } else {
        ASSERT(status >= 100 && status <= 999);
        p = PUT(p, "HTTP/1.1 ");
        p = put_number(p, (uint64_t)status);
        p = PUT(p, " Status\r\n");
    }
    return put(p, date.data, date.len);
}

static uint8_t *put_connection(const struct http_exchange *x, uint8_t *p)
{
    if (x->close) {
        return PUT(p, "Connection: close\r\n");
    }
    return x->minor == 0 ? PUT(p, "Connection: keep-alive\r\n") : p;
}

/* The answer, in one piece of `out`. */
static void append_answer(const struct http_exchange *x, struct buf *out,
                          const struct http_response *r)
{
    bool no_length = r->status == 204 || r->status == 304;
    size_t type_len = r->content_type != NULL ? strlen(r->content_type) : 0;
    size_t fields_len = r->fields != NULL ? strlen(r->fields) : 0;
    size_t body_len = no_length || x->is_head ? 0 : r->body.len;
    uint8_t *start =
        buf_reserve(out, HEAD_MAX + type_len + fields_len + body_len);
    uint8_t *p = put_status_line(x, start, r->status);

    if (type_len > 0) {
        p = PUT(p, "Content-Type: ");
        p = put(p, r->content_type, type_len);
        p = PUT(p, "\r\n");
    }
    if (!no_length) {
        p = PUT(p, "Content-Length: ");
        p = put_number(p, r->body.len);
        p = PUT(p, "\r\n");
    }
    p = put_connection(x, p);
    p = put(p, r->fields, fields_len);
    p = PUT(p, "\r\n");
    ASSERT(p <= start + HEAD_MAX + type_len + fields_len);
    p = put(p, r->body.data, body_len);
    buf_commit(out, (size_t)(p - start));
}

/* What makes this answer the connection's last, whatever the user wants. */
static bool must_close(const struct http_exchange *x)
{
    const struct server_conn *sc = x->sc;
    bool unread_body = sc->current == x && x->has_body;

    return !x->keep_alive || unread_body ||
           (is_last(x) && server_conn_is_ending(sc));
}

void http_respond(struct http_exchange *x, const struct http_response *r)
{
    struct server_conn *sc = x->sc;

    ASSERT(!x->answered);
    ASSERT(!x->streaming);
    x->answered = true;
    x->wants_room = false;
    if (sc->c.state != HTTP_CONN_OPEN) {
        return; /* too late; the close callback frees it */
    }
    x->close = r->close || must_close(x);
    if (sc->current == x) {
        sc->current = NULL; /* what may follow of it is not read */
    }

    append_answer(x, begin_output(x), r);
    end_output(x);

    if (x->close) {
        server_conn_take_no_more(sc);
    }
    http_exchange_advance(sc);
}

bool http_exchange_has_room(struct http_exchange *x, size_t len)
{
    struct server_conn *sc = x->sc;
    size_t queued = http_conn_queued(&sc->c);
    bool room;

    /* What younger exchanges hold waits for the oldest one, so it must not
     * count against it; and with nothing before it an answer has room however
     * large it is: else both would wait for ever. */
    if (http_exchange_oldest(sc) == x) {
        room = queued == 0 || queued + len <= HTTP_WRITE_QUEUE_MAX;
    } else {
        room = queued + sc->held_bytes + len <= HTTP_WRITE_QUEUE_MAX;
    }
    if (!room) {
        x->wants_room = true;
        sc->c.notify_sent = true;
    }
    return room;
}

void http_exchange_continue(struct http_exchange *x)
{
    struct buf *out = begin_output(x);

    (void)buf_append_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
    end_output(x);
}

/* --- streams --- */

void http_stream_begin(struct http_exchange *x, int status, const char *fields)
{
    struct server_conn *sc = x->sc;

    ASSERT(!x->answered);
    ASSERT(!x->streaming);
    x->streaming = true;
    x->chunked = x->minor > 0;
    x->close = true;
    if (sc->c.state != HTTP_CONN_OPEN) {
        return;
    }
    if (sc->current == x) {
        sc->current = NULL; /* a body is not read, and not judged */
    }
    server_conn_take_no_more(sc);

    struct buf *out = begin_output(x);
    uint8_t *start = buf_reserve(out, HEAD_MAX);
    uint8_t *p = put_status_line(x, start, status);
    p = x->chunked ? PUT(p, "Transfer-Encoding: chunked\r\n")
                   : put_connection(x, p);
    ASSERT(p <= start + HEAD_MAX);
    buf_commit(out, (size_t)(p - start));
    if (fields != NULL) {
        (void)buf_append_str(out, fields);
    }
    (void)buf_append_str(out, "\r\n");
    end_output(x);
    server_conn_update_deadline(sc);
}

/* Bytes around a chunk: its size in digits, and two line ends. */
#define CHUNK_FRAME_MAX (2 * sizeof(size_t) + 4)

int http_stream_reserve(struct http_exchange *x, size_t len, size_t queue_max,
                        uint8_t **room)
{
    ASSERT(x->streaming);
    ASSERT(!x->answered);
    ASSERT(len > 0); /* an empty chunk would be the last one */
    *room = NULL;
    if (x->sc->c.state != HTTP_CONN_OPEN) {
        return 0; /* on_abort is on its way */
    }
    size_t queued = http_stream_queued(x);
    if (queued > queue_max || len > queue_max - queued) {
        x->queue_max = queue_max;
        x->wants_drain = true;
        x->sc->c.notify_sent = true;
        return ERR_QUEUE_FULL;
    }

    struct buf *out = begin_output(x);
    (void)buf_reserve(out, len + CHUNK_FRAME_MAX);
    if (x->chunked) {
        (void)buf_printf(out, "%zx\r\n", len);
    }
    *room = buf_reserve(out, len);
    return 0;
}

void http_stream_commit(struct http_exchange *x, size_t len)
{
    struct buf *out = output_of(x);

    buf_commit(out, len);
    if (x->chunked) {
        (void)buf_append_str(out, "\r\n");
    }
    end_output(x);
}

int http_stream_write(struct http_exchange *x, struct bytes data,
                      size_t queue_max)
{
    uint8_t *room = NULL;
    int rc = 0;

    if (data.len > 0) {
        rc = http_stream_reserve(x, data.len, queue_max, &room);
    }
    if (room != NULL) {
        memcpy(room, data.data, data.len);
        http_stream_commit(x, data.len);
    }
    return rc;
}

size_t http_stream_queued(const struct http_exchange *x)
{
    return http_exchange_waiting_bytes(x->sc);
}

void http_stream_end(struct http_exchange *x, uint64_t linger_ms)
{
    struct server_conn *sc = x->sc;

    ASSERT(x->streaming);
    ASSERT(!x->answered);
    x->answered = true;
    if (sc->c.state != HTTP_CONN_OPEN) {
        return;
    }
    struct buf *out = begin_output(x);
    if (x->chunked) {
        (void)buf_append_str(out, "0\r\n\r\n");
    }
    end_output(x);
    http_exchange_advance(sc);
    if (sc->c.state == HTTP_CONN_FINISHING) {
        http_conn_set_deadline(&sc->c, server_conn_now(sc) + linger_ms);
    }
}

void http_exchange_set_data(struct http_exchange *x, void *data)
{
    x->data = data;
}

void *http_exchange_data(const struct http_exchange *x)
{
    return x->data;
}

const char *http_exchange_peer(const struct http_exchange *x)
{
    return http_conn_peer(&x->sc->c);
}
