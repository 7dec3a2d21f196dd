/* Private to the server side of src/net: the listener, its connections and
 * their exchanges, shared by http_listener.c (accepting), http_server.c
 * (requests in) and http_exchange.c (answers out). */

#ifndef SRC_NET_HTTP_SERVER_H
#define SRC_NET_HTTP_SERVER_H

#include "src/net/http_internal.h"
#include "src/net/http_parser.h"

struct http_listener {
    uv_tcp_t tcp; /* `data` is the listener */
    struct http_net *net;
    struct http_listener_options o;
    uint16_t port;
    struct list conns; /* server_conn, by `node` */
    size_t n_conns;
    bool accept_waits; /* libuv holds a connection that has no slot */
    bool stopped;      /* the handle is closing or closed */
    bool handle_gone;
    size_t body_bytes; /* in the bodies of its connections */
    bool draining;
    bool closing; /* by the user; freed when nothing is left */
    void (*close_cb)(void *ctx);
    void *close_ctx;
    struct log_limit full_limit;
    struct log_limit refused_limit;
};

struct server_conn {
    struct http_conn c;
    struct list node;
    struct http_listener *l;
    struct http_parser parser;
    struct list exchanges; /* oldest first */
    size_t n_exchanges;
    size_t held_bytes; /* answers that wait for older ones */
    /* The newest exchange while its request is being read, else NULL. */
    struct http_exchange *current;
    struct buf body;           /* of `current`, if it came in pieces */
    struct bytes whole;        /* the same, if it is in the input at once */
    bool no_more;              /* further input is thrown away */
    bool last_round;           /* too slow: close behind what is answered */
    uint64_t head_deadline_ms; /* HTTP_NEVER: no head is being read */
    uint64_t body_deadline_ms; /* of `current` */
};

/* The node comes first: see free_net. */
struct http_exchange {
    struct list node; /* in its connection's, or the net's free list */
    struct server_conn *sc;
    void *data;        /* the user's */
    size_t body_limit; /* 0 until http_accept_body */
    size_t queue_max;  /* of the stream write that was refused */
    uint8_t minor;     /* of the request's version */
    bool is_head;      /* HEAD: no body in the answer */
    bool keep_alive;   /* as the client asks */
    bool has_body;     /* a body was announced */
    bool expects;      /* wants to see 100 Continue */
    bool answered;     /* over for the user */
    bool ours;         /* the user does not know it (any more) */
    bool streaming;
    bool chunked;    /* the stream is */
    bool wants_room; /* on_room is due */
    bool wants_drain;
    bool close;      /* behind this answer */
    struct buf held; /* output until it is the oldest */
};

/* --- http_server.c --- */

/* A connection of `l` with an open handle that is not accepted yet. */
struct server_conn *server_conn_new(struct http_listener *l);

/* Deadline by what the connection is waiting for. */
void server_conn_update_deadline(struct server_conn *sc);

/* Nothing that comes behind the requests read so far is looked at. */
void server_conn_take_no_more(struct server_conn *sc);

/* Whether further requests wait, in our memory or the kernel's, for an answer
 * to be given or taken. */
bool server_conn_is_paused(const struct server_conn *sc);

/* Whether the connection closes once every request is answered. */
bool server_conn_is_ending(const struct server_conn *sc);

/* No request is there, not even in part. */
bool server_conn_is_idle(const struct server_conn *sc);

/* --- http_exchange.c --- */

struct http_exchange *http_exchange_new(struct server_conn *sc);
void http_exchange_free(struct http_exchange *x);

/* The one whose answer is written next, or NULL. */
struct http_exchange *http_exchange_oldest(const struct server_conn *sc);

/* Bytes of answers in this connection, wherever they wait. */
size_t http_exchange_waiting_bytes(const struct server_conn *sc);

/* Ask the client to send the body. */
void http_exchange_continue(struct http_exchange *x);

/* Tell the user that it is over, unless that is known or `x` is ours. */
void http_exchange_abort(struct http_exchange *x);

/* Take answered exchanges off the front; close if it is time. */
void http_exchange_advance(struct server_conn *sc);

/* --- http_listener.c --- */

/* A connection of `l` is gone, its memory too. `l` may be freed by this. */
void http_listener_conn_gone(struct http_listener *l);

static inline struct server_conn *server_of(struct http_conn *c)
{
    return container_of(c, struct server_conn, c);
}

static inline uint64_t server_conn_now(const struct server_conn *sc)
{
    return uv_now(sc->c.net->loop);
}

#endif /* SRC_NET_HTTP_SERVER_H */
