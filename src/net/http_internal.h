/* Private to src/net: the connection that servers and clients share, and the
 * net that holds them all.
 *
 * A connection is a stream with a buffer each way, a deadline and a state:
 *
 *   OPEN --finish--> FINISHING --all written, FIN--> LINGERING --EOF--> CLOSING
 *     \------------------------- close ------------------------------> CLOSING
 *
 * | state     | input           | output            | left by               |
 * | OPEN      | to the role     | taken, written    | finish, close         |
 * | FINISHING | thrown away     | what is queued    | last byte: shutdown   |
 * | LINGERING | thrown away     | none              | EOF, error, deadline  |
 * | CLOSING   | none            | none              | the close callback    |
 *
 * Lingering is what lets the other end read an answer that we gave before it
 * had sent everything: closing with unread input would reset the connection
 * and take the answer with it. */

#ifndef SRC_NET_HTTP_INTERNAL_H
#define SRC_NET_HTTP_INTERNAL_H

#include <uv.h>

#include "src/base/bounds.h"
#include "src/base/buf.h"
#include "src/base/list.h"
#include "src/net/http_conn.h"

#define HTTP_NEVER UINT64_MAX /* a deadline that does not come */

struct http_conn;

enum net_timer_state {
    NET_TIMER_NONE,
    NET_TIMER_OPEN,
    NET_TIMER_CLOSING,
};

struct http_net {
    uv_loop_t *loop;         /* borrowed */
    const struct logger *lg; /* borrowed */

    /* One timer for all deadlines: moving a deadline away is a store, and only
     * one that comes earlier than all others touches the timer. It is open as
     * long as there are users, so that a loop without them can end. */
    uv_timer_t timer;
    enum net_timer_state timer_state;
    uint64_t timer_due_ms; /* HTTP_NEVER: not armed */
    uint64_t inputs;       /* see http_net_inputs */
    size_t users;          /* listeners, connections, clients */
    bool freeing;          /* http_net_free was called */

    struct list conns; /* every http_conn, by its `node` */
    struct list dirty; /* those with something to write, by `dirty_node` */
    struct list todo;  /* those to be called from the loop, by `todo_node` */

    struct buf pool[HTTP_POOL_BUFS]; /* memory of idle buffers */
    size_t n_pool;
    size_t pool_bytes;
    struct list free_exchanges;
    size_t n_free_exchanges;

    char date[48]; /* "Date: ...\r\n" */
    size_t date_len;
    uint64_t date_due_ms; /* when it is old */

    struct http_field fields[HTTP_FIELDS_MAX]; /* scratch of the parsers */
    uint8_t read_buf[HTTP_READ_CHUNK];         /* of the read callbacks */
};

void http_net_ref(struct http_net *net);
void http_net_unref(struct http_net *net);

/* The timer must fire at `at_ms` at the latest. */
void http_net_arm(struct http_net *net, uint64_t at_ms);

/* An empty buffer, with memory of the pool if there is some. */
void http_net_take_buf(struct http_net *net, struct buf *b);

/* Empty `b` and keep its memory for others, or free it. */
void http_net_give_buf(struct http_net *net, struct buf *b);

/* "Date: ...\r\n" of now. */
struct bytes http_net_date(struct http_net *net);

enum http_conn_state {
    HTTP_CONN_OPEN,
    HTTP_CONN_FINISHING,
    HTTP_CONN_LINGERING,
    HTTP_CONN_CLOSING,
};

/* What the two roles do with a connection. Only on_input, on_todo, on_deadline
 * and on_gone may call back to users; on_broken may run inside of
 * http_net_flush. */
struct http_conn_ops {
    /* Bytes to look at; returns how many are done with. The others come again,
     * with more behind them. */
    size_t (*on_input)(struct http_conn *c, struct bytes in);
    /* The other end has closed (UV_EOF), or reading or writing failed. */
    void (*on_broken)(struct http_conn *c, int rc);
    /* From the loop: after output was written, if `notify_sent` is set; and
     * after http_conn_todo. */
    void (*on_todo)(struct http_conn *c);
    void (*on_deadline)(struct http_conn *c);
    /* The last callback: the role frees. */
    void (*on_gone)(struct http_conn *c);
};

struct http_conn {
    uv_tcp_t tcp; /* `data` is the http_conn */
    uv_write_t write_req;
    uv_shutdown_t shutdown_req;
    struct http_net *net;
    const struct http_conn_ops *ops;
    struct list node;
    struct list dirty_node;
    struct list todo_node;

    enum http_conn_state state;
    bool reading;       /* uv_read_start is in force */
    bool paused;        /* set by the role: `in` waits, read no more */
    bool eof;           /* the other end has closed its side */
    bool notify_sent;   /* set by the role: it waits for room */
    bool shutting_down; /* the FIN is on its way */

    uint64_t deadline_ms;      /* HTTP_NEVER, or when on_deadline is due */
    uint64_t write_timeout_ms; /* 0: none; without a byte taken */
    uint64_t write_due_ms;     /* while `writing` */
    size_t write_mark;         /* libuv's queue when write_due_ms was set */

    struct buf in;   /* input that is not done with */
    struct buf out;  /* collected for the next flush */
    struct buf sent; /* what libuv is writing */
    bool writing;    /* write_req is in use */
    /* A large body that follows `out` without being copied; owned. While
     * `writing` it belongs to that write. */
    uint8_t *tail;
    size_t tail_len;

    char peer[64]; /* "" until asked for */
};

/* Make a connection with an open handle, not yet connected; http_conn_close
 * from now on. */
void http_conn_init(struct http_conn *c, struct http_net *net,
                    const struct http_conn_ops *ops, size_t in_max);

/* Connected: set the socket up and begin to read. */
void http_conn_start(struct http_conn *c);

/* Append to this, then say http_conn_dirty. */
struct buf *http_conn_out(struct http_conn *c);
void http_conn_dirty(struct http_conn *c);

/* Bytes that the socket has not taken. */
size_t http_conn_queued(const struct http_conn *c);

/* Call on_todo in the next turn of the loop. */
void http_conn_todo(struct http_conn *c);

/* Look again at input that waits, and read on. From the loop only. */
void http_conn_resume(struct http_conn *c);

void http_conn_set_deadline(struct http_conn *c, uint64_t at_ms);

/* No more output: write what is queued, then close in order. */
void http_conn_finish(struct http_conn *c);

/* Close now; on_gone follows from the loop. May be repeated. */
void http_conn_close(struct http_conn *c);

const char *http_conn_peer(struct http_conn *c);

#endif /* SRC_NET_HTTP_INTERNAL_H */
