/* The dialing end: one request at a time over a connection that is made when
 * it is needed.
 *
 *   IDLE --request--> RESOLVING --> CONNECTING --> BUSY --answer--> READY
 *   READY --request--> BUSY;  READY --closed--> IDLE;  any --failure--> DEAD
 *
 * The happy path: the address is resolved (one that is a number needs no
 * thread), its results are tried in turn, the request is written at the next
 * flush, the answer is handed on piece by piece, on_end(0), and the connection
 * is kept if both sides want that.
 *
 * A body that is made as it is sent is asked for its next piece when the socket
 * has taken the last one, in a turn of the loop of its own, so that nobody else
 * waits for long.
 *
 * What can go wrong: resolving, connecting, writing or reading fails, the other
 * end closes in the middle, sends what is not HTTP, or is silent for too long:
 * the connection is closed, and on_end with the reason comes from its close
 * callback, so never from inside a call. A connection that the other end closes
 * while no request is under way is no failure: the next request dials anew.
 *
 * http_client_close may come from any callback of the client; it cuts the
 * connection loose, which then dies alone. A resolver that cannot be cancelled
 * keeps the client's memory until it is done. */

#include "src/net/http_internal.h"

#include "src/base/alloc.h"
#include "src/net/http_parser.h"

/* Bodies up to this size are copied behind the header block. */
#define COPY_BODY_MAX (16 * KiB)

/* Of a body that is made as it is sent, one turn of the loop sends so much. */
#define PIECE_BYTES (512 * KiB)

struct client_conn {
    struct http_conn c;
    struct http_client *client; /* NULL: cut loose */
    struct http_parser parser;
    uv_connect_t connect_req;
    size_t write_mark; /* bytes not yet written when the deadline was set */
};

enum client_state {
    CLIENT_IDLE,
    CLIENT_RESOLVING,
    CLIENT_CONNECTING,
    CLIENT_BUSY,
    CLIENT_READY,
    CLIENT_DEAD,
};

struct http_client {
    struct http_net *net;
    struct http_client_options o;
    enum client_state state;
    struct client_conn *conn; /* NULL while IDLE and DEAD */
    bool closed;              /* by the user; freed behind the resolver */

    uv_getaddrinfo_t resolver;
    bool resolving;                 /* `resolver` is in use */
    struct addrinfo *found;         /* what it gave; owned */
    const struct addrinfo *untried; /* of `found` */
    uint64_t connect_deadline_ms;

    /* The request, until it is handed to the connection. */
    struct buf head;
    uint8_t *body; /* owned, or NULL */
    size_t body_len;
    struct http_body stream; /* what of the body is not made yet; len 0: none */
    bool head_only;          /* it is a HEAD: the answer has no body */
    uint64_t read_timeout_ms;

    int fail_rc; /* why it is dying, told by on_end */
    struct errmsg fail_why;
};

static const struct http_conn_ops client_ops;

static struct client_conn *client_of(struct http_conn *c)
{
    return container_of(c, struct client_conn, c);
}

/* --- life --- */

struct http_client *http_client_new(struct http_net *net,
                                    const struct http_client_options *o)
{
    struct http_client *cl = xcalloc(1, sizeof(*cl));

    cl->net = net;
    cl->o = *o;
    buf_init(&cl->head, BUF_UNLIMITED);
    http_net_ref(net);
    return cl;
}

static void release_stream(struct http_client *cl)
{
    if (cl->stream.release != NULL) {
        cl->stream.release(cl->stream.ctx);
    }
    cl->stream = (struct http_body){0};
}

static void free_found(struct http_client *cl)
{
    if (cl->found != NULL) {
        uv_freeaddrinfo(cl->found);
    }
    cl->found = NULL;
    cl->untried = NULL;
}

static void client_free(struct http_client *cl)
{
    struct http_net *net = cl->net;

    ASSERT(cl->conn == NULL);
    ASSERT(!cl->resolving);
    free_found(cl);
    release_stream(cl);
    buf_release(&cl->head);
    xfree(cl->body);
    xfree(cl);
    http_net_unref(net);
}

/* The connection goes its own way from here. */
static void cut_loose(struct http_client *cl)
{
    struct client_conn *cc = cl->conn;

    cl->conn = NULL;
    if (cc != NULL) {
        cc->client = NULL;
        http_conn_close(&cc->c);
    }
}

void http_client_close(struct http_client *cl)
{
    if (cl == NULL) {
        return;
    }
    ASSERT(!cl->closed);
    cl->closed = true;
    cut_loose(cl);
    if (cl->resolving) {
        (void)uv_cancel((uv_req_t *)&cl->resolver);
        return; /* its callback comes in either case */
    }
    client_free(cl);
}

static bool is_under_way(const struct http_client *cl)
{
    return cl->state == CLIENT_RESOLVING || cl->state == CLIENT_CONNECTING ||
           cl->state == CLIENT_BUSY;
}

/* The first reason counts; on_end comes when the connection is gone. */
static void fail(struct http_client *cl, int rc, const char *what,
                 const char *why)
{
    ASSERT(cl->conn != NULL);
    ASSERT(rc < 0);
    if (cl->fail_rc == 0) {
        cl->fail_rc = errmsg_text(&cl->fail_why, rc, "%s: %s", what, why);
    }
    http_conn_close(&cl->conn->c);
}

static void on_gone(struct http_conn *c)
{
    struct client_conn *cc = client_of(c);
    struct http_client *cl = cc->client;

    xfree(cc);
    if (cl == NULL) {
        return;
    }
    cl->conn = NULL;
    cl->state = CLIENT_DEAD;
    release_stream(cl);
    if (cl->fail_rc == 0) {
        cl->fail_rc = ERR_EOF; /* libuv closed it under us: reading failed */
    }
    cl->o.ops->on_end(cl->o.ctx, cl->fail_rc,
                      cl->fail_why.text[0] != '\0' ? cl->fail_why.text
                                                   : "closed");
}

static struct client_conn *conn_new(struct http_client *cl)
{
    struct client_conn *cc = xcalloc(1, sizeof(*cc));

    cc->client = cl;
    http_parser_init(&cc->parser, true, cl->o.head_max, cl->net->fields);
    http_conn_init(&cc->c, cl->net, &client_ops,
                   HTTP_READ_CHUNK + 2 * cl->o.head_max + 64);
    cl->conn = cc;
    return cc;
}

/* --- the request --- */

static void set_read_deadline(struct client_conn *cc)
{
    const struct http_client *cl = cc->client;

    cc->write_mark = http_client_queued(cl);
    http_conn_set_deadline(&cc->c,
                           cl->state != CLIENT_BUSY || cl->read_timeout_ms == 0
                               ? HTTP_NEVER
                               : uv_now(cl->net->loop) + cl->read_timeout_ms);
}

/* Make the next piece of the body and hand it to the connection, which has
 * written all before it. */
static void send_piece(struct http_client *cl)
{
    struct client_conn *cc = cl->conn;
    size_t len = cl->stream.len < PIECE_BYTES ? cl->stream.len : PIECE_BYTES;
    struct errmsg em = {{0}};

    ASSERT(cc->c.tail == NULL && !cc->c.writing);
    cc->c.tail = xmalloc(len);
    cc->c.tail_len = len;
    int rc = cl->stream.read(cl->stream.ctx, cc->c.tail, len, &em);
    if (rc < 0) {
        fail(cl, rc, "reading what is to be sent", em.text);
        return;
    }
    cl->stream.len -= len;
    cc->c.notify_sent = cl->stream.len > 0;
    if (cl->stream.len == 0) {
        release_stream(cl);
    }
    http_conn_dirty(&cc->c);
}

static void send_request(struct http_client *cl)
{
    struct client_conn *cc = cl->conn;
    struct buf *out = http_conn_out(&cc->c);

    ASSERT(cc->c.tail == NULL);
    cl->state = CLIENT_BUSY;
    cc->parser.no_body = cl->head_only;
    (void)buf_append(out, cl->head.data, cl->head.len);
    buf_reset(&cl->head);
    cc->c.tail = cl->body;
    cc->c.tail_len = cl->body_len;
    cl->body = NULL;
    cl->body_len = 0;
    http_conn_dirty(&cc->c);
    set_read_deadline(cc);
    if (cl->stream.len > 0) {
        send_piece(cl);
    }
}

static void append_head(struct http_client *cl, const struct http_request *r)
{
    const struct addr *a = &cl->o.addr;
    bool v6 = strchr(a->host, ':') != NULL;

    buf_reset(&cl->head);
    (void)buf_printf(&cl->head, "%s %s HTTP/1.1\r\nHost: %s%s%s:%u\r\n",
                     r->method, r->target, v6 ? "[" : "", a->host,
                     v6 ? "]" : "", (unsigned)a->port);
    if (r->has_body || r->body.len > 0) {
        (void)buf_printf(&cl->head, "Content-Length: %zu\r\n",
                         r->stream.len > 0 ? r->stream.len : r->body.len);
    }
    if (r->fields != NULL) {
        (void)buf_append_str(&cl->head, r->fields);
    }
    (void)buf_append_str(&cl->head, "\r\n");
}

static void dial(struct http_client *cl);

void http_client_request(struct http_client *cl, const struct http_request *r)
{
    ASSERT(cl->state == CLIENT_IDLE || cl->state == CLIENT_READY);
    ASSERT(!cl->closed);
    ASSERT(cl->body == NULL);
    append_head(cl, r);
    cl->head_only = strcmp(r->method, "HEAD") == 0;
    cl->read_timeout_ms = r->read_timeout_ms;
    ASSERT(cl->stream.len == 0);
    cl->stream = r->stream;
    if (r->stream.len > 0) {
        ASSERT(r->has_body && r->body.len == 0);
    } else if (r->body_owned != NULL) {
        cl->body = r->body_owned;
        cl->body_len = r->body.len;
    } else if (r->body.len <= COPY_BODY_MAX) {
        (void)buf_append(&cl->head, r->body.data, r->body.len);
    } else {
        cl->body = xmemdup(r->body.data, r->body.len);
        cl->body_len = r->body.len;
    }
    if (cl->state == CLIENT_READY) {
        send_request(cl);
    } else {
        dial(cl);
    }
}

size_t http_client_queued(const struct http_client *cl)
{
    return cl->head.len + cl->body_len + cl->stream.len +
           (cl->conn != NULL ? http_conn_queued(&cl->conn->c) : 0);
}

/* --- connecting --- */

static void try_next(struct http_client *cl);

static void on_connect(uv_connect_t *req, int status)
{
    struct http_conn *c = req->handle->data;
    struct client_conn *cc = client_of(c);
    struct http_client *cl = cc->client;

    if (cl == NULL || c->state != HTTP_CONN_OPEN) {
        return;
    }
    if (status != 0 && cl->untried != NULL) {
        cut_loose(cl);
        (void)conn_new(cl);
        http_conn_set_deadline(&cl->conn->c, cl->connect_deadline_ms);
        try_next(cl);
        return;
    }
    if (status != 0) {
        fail(cl, status, "connect", uv_strerror(status));
        return;
    }
    free_found(cl);
    send_request(cl);
    http_conn_start(c);
}

static void connect_to(struct http_client *cl, const struct sockaddr *sa)
{
    struct client_conn *cc = cl->conn;

    cl->state = CLIENT_CONNECTING;
    int rc = uv_tcp_connect(&cc->connect_req, &cc->c.tcp, sa, on_connect);
    if (rc != 0) {
        fail(cl, rc, "connect", uv_strerror(rc));
    }
}

static void try_next(struct http_client *cl)
{
    const struct addrinfo *ai = cl->untried;

    cl->untried = ai->ai_next;
    connect_to(cl, ai->ai_addr);
}

static void on_resolved(uv_getaddrinfo_t *req, int status,
                        struct addrinfo *found)
{
    struct http_client *cl = container_of(req, struct http_client, resolver);

    cl->resolving = false;
    cl->found = found;
    if (cl->closed) {
        client_free(cl);
        return;
    }
    if (cl->state != CLIENT_RESOLVING || cl->conn->c.state != HTTP_CONN_OPEN) {
        free_found(cl); /* it took too long */
        return;
    }
    if (status != 0) {
        fail(cl, status, "resolve", uv_strerror(status));
        return;
    }
    cl->untried = found;
    try_next(cl);
}

static void resolve(struct http_client *cl)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char service[8];

    (void)snprintf(service, sizeof(service), "%u", (unsigned)cl->o.addr.port);
    cl->state = CLIENT_RESOLVING;
    int rc = uv_getaddrinfo(cl->net->loop, &cl->resolver, on_resolved,
                            cl->o.addr.host, service, &hints);
    if (rc != 0) {
        fail(cl, rc, "resolve", uv_strerror(rc));
        return;
    }
    cl->resolving = true;
}

static void dial(struct http_client *cl)
{
    const struct addr *a = &cl->o.addr;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    (void)conn_new(cl);
    cl->connect_deadline_ms =
        cl->o.connect_timeout_ms == 0
            ? HTTP_NEVER
            : uv_now(cl->net->loop) + cl->o.connect_timeout_ms;
    http_conn_set_deadline(&cl->conn->c, cl->connect_deadline_ms);
    if (uv_ip4_addr(a->host, a->port, &v4) == 0) {
        connect_to(cl, (const struct sockaddr *)&v4);
    } else if (uv_ip6_addr(a->host, a->port, &v6) == 0) {
        connect_to(cl, (const struct sockaddr *)&v6);
    } else {
        resolve(cl);
    }
}

/* --- the answer --- */

/* The answer is complete. After on_end the client may be gone. */
static void answered(struct client_conn *cc)
{
    struct http_client *cl = cc->client;

    /* An answer that came before the request was written leaves bytes in the
     * way of the next one. */
    if (cc->parser.keep_alive && http_client_queued(cl) == 0) {
        cl->state = CLIENT_READY;
        set_read_deadline(cc);
    } else {
        cl->state = CLIENT_IDLE;
        release_stream(cl);
        cut_loose(cl);
    }
    cl->o.ops->on_end(cl->o.ctx, 0, "");
}

/* Bytes that no request asked for: the connection is of no use. */
static void unasked(struct client_conn *cc)
{
    cc->client->state = CLIENT_IDLE;
    cut_loose(cc->client);
}

static void on_event(struct client_conn *cc, enum http_event event,
                     struct bytes piece)
{
    struct http_client *cl = cc->client;
    bool interim = cc->parser.head.status / 100 == 1;

    switch (event) {
    case HTTP_EVENT_HEAD:
        if (!interim) {
            cl->o.ops->on_response(cl->o.ctx, &cc->parser.head);
        }
        return;
    case HTTP_EVENT_DATA:
        cl->o.ops->on_body(cl->o.ctx, piece);
        return;
    case HTTP_EVENT_END:
        if (!interim) {
            answered(cc);
        }
        return;
    case HTTP_EVENT_BAD:
        fail(cl, ERR_MALFORMED, "the answer is malformed", cc->parser.text);
        return;
    case HTTP_EVENT_MORE:
        return;
    }
    UNREACHABLE();
}

static size_t on_input(struct http_conn *c, struct bytes in)
{
    struct client_conn *cc = client_of(c);
    size_t done = 0;
    enum http_event event = HTTP_EVENT_HEAD;

    while (cc->client != NULL && c->state == HTTP_CONN_OPEN &&
           event != HTTP_EVENT_MORE) {
        struct bytes rest = {in.data + done, in.len - done};
        struct bytes piece;
        size_t used;

        if (cc->client->state != CLIENT_BUSY) {
            if (rest.len > 0) {
                unasked(cc);
            }
            break;
        }
        event = http_parser_next(&cc->parser, rest, &used, &piece);
        done += used;
        on_event(cc, event, piece);
    }
    if (cc->client != NULL && c->state == HTTP_CONN_OPEN) {
        set_read_deadline(cc);
    }
    return cc->client != NULL ? done : in.len;
}

/* May run inside of http_net_flush: on_end waits for the close callback, but
 * for an answer that ends with the connection, which only a read can see. */
static void on_broken(struct http_conn *c, int rc)
{
    struct client_conn *cc = client_of(c);
    struct http_client *cl = cc->client;

    if (cl == NULL) {
        return;
    }
    if (!is_under_way(cl)) {
        unasked(cc);
    } else if (rc == UV_EOF && http_parser_eof(&cc->parser)) {
        answered(cc);
    } else if (rc == UV_EOF) {
        fail(cl, ERR_EOF, "closed by the other end",
             http_parser_in_message(&cc->parser) ? "in the middle of an answer"
                                                 : "before an answer");
    } else {
        fail(cl, rc, "connection failed", uv_strerror(rc));
    }
}

static void on_deadline(struct http_conn *c)
{
    struct client_conn *cc = client_of(c);
    struct http_client *cl = cc->client;

    if (cl == NULL) {
        return;
    }
    /* A large request that is being taken is a sign of life. */
    if (cl->state == CLIENT_BUSY && http_client_queued(cl) < cc->write_mark) {
        set_read_deadline(cc);
        return;
    }
    fail(cl, ERR_TIMED_OUT,
         cl->state == CLIENT_BUSY ? "no byte in time" : "connect",
         err_str(ERR_TIMED_OUT));
}

/* All that was made of the body is written. */
static void on_todo(struct http_conn *c)
{
    struct http_client *cl = client_of(c)->client;

    if (cl != NULL && cl->stream.len > 0 && c->tail == NULL && !c->writing) {
        send_piece(cl);
    }
}

static const struct http_conn_ops client_ops = {
    .on_input = on_input,
    .on_broken = on_broken,
    .on_todo = on_todo,
    .on_deadline = on_deadline,
    .on_gone = on_gone,
};
