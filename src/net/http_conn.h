/* HTTP/1.1 over libuv: one uv stream and one llhttp parser per connection,
 * bounded, timed, closed in order. Both ends: what a listener accepts and what
 * we dial.
 *
 * src/net is the only folder that touches llhttp. It knows messages, not their
 * meaning: transport and httpapi give it callbacks.
 *
 * An exchange is one request and its answer. On an accepted connection there
 * may be several without an answer (pipelining); they may be answered in any
 * order and are written in the order of the requests. On a dialed connection
 * there is one at a time.
 *
 * Writes are collected per connection and leave once per loop turn, when the
 * owner of the loop calls http_net_flush(); so all answers of one turn share a
 * system call.
 *
 * Life: every object is freed in its last close callback. After on_abort
 * (server) or on_end (client) an exchange must not be touched again. No
 * callback runs from inside a call the user made, except where a function says
 * so. */

#ifndef SRC_NET_HTTP_CONN_H
#define SRC_NET_HTTP_CONN_H

#include <uv.h>

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/base/log.h"
#include "src/net/addr.h"

struct http_net;      /* the connections of one loop */
struct http_listener; /* opaque */
struct http_exchange; /* opaque */
struct http_client;   /* opaque: one dialed connection */

/* `loop` and `lg` are borrowed and outlive it. The process must ignore SIGPIPE:
 * libuv's writes raise it. */
struct http_net *http_net_new(uv_loop_t *loop, const struct logger *lg);

/* Write what was answered since the last call. Call it once per loop turn,
 * after everything that may answer has run. */
void http_net_flush(struct http_net *net);

/* Free what is kept for reuse, which may be far more than is needed now. */
void http_net_trim(struct http_net *net);

/* Everything must be closed (listeners, clients, and the loop run until their
 * connections are gone); the last of it goes with the next turn of the loop.
 * NULL: no-op. */
void http_net_free(struct http_net *net);

/* Milliseconds of the loop's monotonic clock; for log_limit and back-off. */
uint64_t http_net_now_ms(const struct http_net *net);

/* How often a connection had bytes for us, since the beginning. */
uint64_t http_net_inputs(const struct http_net *net);

/* --- what a message says --- */

struct http_field {
    struct bytes name; /* as sent; compare without case */
    struct bytes value;
};

/* Borrowed for the callback that brings it. */
struct http_head {
    struct bytes method; /* requests: "GET" */
    struct bytes target; /* requests: exactly as sent */
    int status;          /* responses */
    int minor;           /* HTTP/1.minor */
    const struct http_field *fields;
    size_t n_fields;
    bool chunked;
    bool expect_continue;
    int64_t content_length; /* -1: not given */
};

/* The value of the first field of this name (any case), or {NULL, 0}. */
struct bytes http_head_field(const struct http_head *h, const char *name);

/* --- server --- */

struct http_server_ops {
    /* The header block is complete. Answer at once, also by a stream (the body
     * is then not read and the connection closes if there is one), or call
     * http_accept_body, or do nothing where no body is expected. */
    void (*on_request)(void *ctx, struct http_exchange *x,
                       const struct http_head *head);
    /* The request is complete; `body` is borrowed for the call. Not called for
     * an exchange that was answered before. */
    void (*on_complete)(void *ctx, struct http_exchange *x, struct bytes body);
    /* The connection is gone before the answer was written, or while a stream
     * was open. Not called after a complete answer. */
    void (*on_abort)(void *ctx, struct http_exchange *x);
    /* A stream's queue, which was full, went below half of its bound; may be
     * NULL. */
    void (*on_drain)(void *ctx, struct http_exchange *x);
    /* After http_exchange_has_room said no: there is room now; may be NULL if
     * that is never asked. */
    void (*on_room)(void *ctx, struct http_exchange *x);
};

struct http_listener_options {
    struct addr addr; /* host may be a name; "0.0.0.0" or "::" for all */
    const char *what; /* "client" or "peer", for log lines */
    size_t
        conns_max; /* more wait in the kernel's queue; logged once per 10 s */
    /* Limits of time; 0: none. */
    /* Bytes of bodies that are still being read, over all connections; a
     * request beyond is answered 503. 0: no bound. */
    size_t bodies_max;
    uint64_t header_timeout_ms; /* from the first byte of a request */
    uint64_t body_timeout_ms;   /* from the end of the header */
    uint64_t idle_timeout_ms;   /* between requests */
    uint64_t write_timeout_ms;  /* without a byte taken */
    const char *allow; /* of the 405 to an unknown method; NULL: no Allow */
    const struct http_server_ops *ops;
    void *ctx;
};

/* Bind and listen. *out is owned by the caller: http_listener_close.
 * Errors (-errno, `em` names address and reason): port in use, no such host. */
MUST_CHECK int http_listener_open(struct http_net *net,
                                  const struct http_listener_options *o,
                                  struct http_listener **out,
                                  struct errmsg *em);

/* The port in use, also where options asked for port 0 (any). */
uint16_t http_listener_port(const struct http_listener *l);

/* Accepted connections that are not closed yet. */
size_t http_listener_conns(const struct http_listener *l);

/* Stop accepting; connections that are idle are closed now, the others after
 * their last answer ("Connection: close"). Accepting cannot be taken up
 * again. */
void http_listener_drain(struct http_listener *l);

/* Close the listener and every connection of it now; exchanges get on_abort
 * from the loop. `cb` (may be NULL) is called when the last one is gone; the
 * listener is freed then. */
void http_listener_close(struct http_listener *l, void (*cb)(void *ctx),
                         void *ctx);

/* The user's own pointer of an exchange; NULL at first. */
void http_exchange_set_data(struct http_exchange *x, void *data);
void *http_exchange_data(const struct http_exchange *x);

/* "127.0.0.1:4711" of the other end; borrowed, for log lines. */
const char *http_exchange_peer(const struct http_exchange *x);

/* In on_request: read the body, up to `limit` bytes; sends 100 Continue where
 * it was asked for. A larger one is answered 413 by http_conn itself as soon as
 * that is known (then on_abort is called: the exchange is over). Without this
 * call a request with a body gets limit 0. */
void http_accept_body(struct http_exchange *x, size_t limit);

struct http_response {
    int status;
    const char *content_type; /* NULL: none */
    const char *fields; /* further lines, each ending in "\r\n", or NULL */
    struct bytes body;  /* copied */
    bool close;         /* close the connection behind it */
};

/* Whether an answer with `len` bytes of body may be given now. If not, because
 * the client has not taken the answers before it, on_room follows in time (or
 * on_abort): whoever keeps what it would answer somewhere else waits for it, so
 * that pipelined requests for large values cannot fill the memory. */
bool http_exchange_has_room(struct http_exchange *x, size_t len);

/* Answer. HEAD, 204 and 304 get no body but the Content-Length of `body` (HEAD
 * only). The exchange is over for the user. */
void http_respond(struct http_exchange *x, const struct http_response *r);

/* Answer 200-style with an endless chunked body: header block at once, then
 * http_stream_write per batch. Pipelined requests behind it are not read. */
void http_stream_begin(struct http_exchange *x, int status, const char *fields);

/* Queue one chunk; ERR_QUEUE_FULL if more than `queue_max` bytes would wait
 * (nothing is queued then). The bytes are copied. */
MUST_CHECK int http_stream_write(struct http_exchange *x, struct bytes data,
                                 size_t queue_max);

/* The same without the copy: *room is where the caller writes exactly `len`
 * bytes, more than 0, and then calls http_stream_commit, with no other call for
 * this exchange in between. NULL where the connection is gone: on_abort is on
 * its way. */
MUST_CHECK int http_stream_reserve(struct http_exchange *x, size_t len,
                                   size_t queue_max, uint8_t **room);
void http_stream_commit(struct http_exchange *x, size_t len);

/* Bytes that wait in this exchange's connection. */
size_t http_stream_queued(const struct http_exchange *x);

/* Write the last chunk behind what is queued and close the connection after
 * it; at the latest after `linger_ms`. The exchange is over for the user: no
 * on_abort follows. */
void http_stream_end(struct http_exchange *x, uint64_t linger_ms);

/* --- client --- */

struct http_client_ops {
    /* The header block of the answer. */
    void (*on_response)(void *ctx, const struct http_head *head);
    /* A piece of the body; borrowed for the call. */
    void (*on_body)(void *ctx, struct bytes data);
    /* The exchange is over: rc 0 (the answer is complete and the connection
     * may be used again), or why not: connecting failed, closed, timed out,
     * malformed. `why` is a line for the log. On rc != 0 the client is dead:
     * close it. */
    void (*on_end)(void *ctx, int rc, const char *why);
};

struct http_client_options {
    struct addr addr;            /* resolved at every connect */
    uint64_t connect_timeout_ms; /* resolving included; 0: the system's */
    size_t head_max;             /* header block of an answer, bytes */
    const struct http_client_ops *ops;
    void *ctx;
};

/* Begin to connect, or do so on the first request. Owned by the caller. */
struct http_client *http_client_new(struct http_net *net,
                                    const struct http_client_options *o);

/* A body that is made piece by piece, as the socket takes it. */
struct http_body {
    size_t len; /* 0: none */
    /* The next `len` bytes. Negative: there are no more, the request ends with
     * on_end(that, what `em` says). */
    int (*read)(void *ctx, uint8_t *p, size_t len, struct errmsg *em);
    void (*release)(void *ctx); /* once, when it is not needed any more */
    void *ctx;
};

struct http_request {
    const char *method;
    const char *target;
    const char *fields;      /* further lines, each ending in "\r\n", or NULL */
    struct bytes body;       /* taken over if `body_owned`, else copied */
    uint8_t *body_owned;     /* xfree'd when written; NULL: copy `body` */
    bool has_body;           /* send Content-Length also for an empty body */
    struct http_body stream; /* in the place of `body`; taken over */
    uint64_t read_timeout_ms; /* without a byte from the peer; 0: none */
};

/* Send a request; one at a time. Errors come through on_end, later. */
void http_client_request(struct http_client *c, const struct http_request *r);

/* Bytes of the request that the socket has not taken yet. */
size_t http_client_queued(const struct http_client *c);

/* Close now. No callback comes any more; the client is freed by the loop.
 * NULL: no-op. */
void http_client_close(struct http_client *c);

#endif /* SRC_NET_HTTP_CONN_H */
