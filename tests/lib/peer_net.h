/* Several transports in one process, over loopback and a real loop.
 *
 * Each node is a transport with a handler that records: what it received and
 * what it was told. A ticker and the flush before polling stand for the server.
 * Raw sockets play peers that misbehave. Nothing here waits for a time: run the
 * loop until a condition holds. */

#ifndef TESTS_LIB_PEER_NET_H
#define TESTS_LIB_PEER_NET_H

#include <uv.h>

#include "proto/raftpb.h"
#include "src/base/buf.h"
#include "src/base/log.h"
#include "src/net/http_conn.h"
#include "tests/lib/cmocka.h"
#include "transport/msgcodec.h"
#include "transport/transport.h"

#define PEER_NET_NODES   3
#define PEER_NET_CLUSTER 0x1000

struct peer;
struct peer_net;

struct peer_node {
    struct peer_net *net;
    struct transport *t; /* NULL: not running */
    uint64_t id;
    uint64_t cluster_id;
    uint16_t port; /* kept over restarts; 0: never started */
    char url[64];  /* what own_url says; empty: nothing */
    bool closing;

    /* What its handler was given. */
    struct raft_message *got;
    size_t n_got;
    size_t unreachable; /* reports, about whomever */
    size_t snapshots_ok;
    size_t snapshots_failed;
    uint64_t removed_by; /* who said that this node was removed */
    uint64_t unknown_to; /* who said that it does not know this node */

    /* What its handler does. */
    int process_rc;
    uint64_t removed_id;       /* is_id_removed says so of this one */
    uint64_t remove_sender_at; /* process removes the sender of message N */
    bool close_on_report;      /* report_unreachable closes the transport */
    bool sending;              /* inside transport_send: no report now */
};

struct peer_net {
    uv_loop_t loop;
    uv_prepare_t flusher;
    uv_timer_t ticker;
    struct http_net *http;
    struct logger lg;
    struct buf lines; /* every log line, each with a line feed */
    struct peer_node nodes[PEER_NET_NODES];
};

void peer_net_init(struct peer_net *net);

/* Close all that runs; fails the test if anything is left. */
void peer_net_release(struct peer_net *net);

/* Start the transport of node `id` (1..PEER_NET_NODES). */
struct peer_node *peer_net_start(struct peer_net *net, uint64_t id);
void peer_net_stop(struct peer_net *net, uint64_t id);

/* `from` gets to know `to`, which was started at least once. */
void peer_net_add(struct peer_net *net, uint64_t from, uint64_t to);

/* Start nodes 1..n, all knowing each other. */
void peer_net_start_all(struct peer_net *net, uint64_t n);

/* The same, and wait until all streams between them are up. */
void peer_net_start_linked(struct peer_net *net, uint64_t n);

/* The peer `id` of node `of`; NULL if it is none. */
struct peer *peer_net_peer(struct peer_net *net, uint64_t of, uint64_t id);

/* Whether `of` reads this stream of `from`. */
bool peer_net_reads(struct peer_net *net, uint64_t of, uint64_t from,
                    enum stream_kind kind);

/* Whether all four streams between two nodes are up. */
bool peer_net_linked(struct peer_net *net, uint64_t a, uint64_t b);

/* Move the clock of a node's links. */
void peer_net_skip(struct peer_net *net, uint64_t of, uint64_t ms);

/* A message of term 1 without more in it; the MsgApp with the one entry
 * `index`, of `len` bytes; a MsgSnap of `len` bytes. */
struct raft_message peer_message(uint64_t type, uint64_t from, uint64_t to);
struct raft_message peer_append(uint64_t from, uint64_t to, uint64_t index,
                                size_t len);
struct raft_message peer_snapshot(uint64_t from, uint64_t to, size_t len);

/* Send one message by node `from`, and release it. */
void peer_net_send(struct peer_net *net, uint64_t from, struct raft_message m);

void peer_node_send(struct peer_node *n, const struct raft_message *m,
                    size_t count);

/* Whether `of` has streams up each way with `with`. */
bool peer_net_active(struct peer_net *net, uint64_t of, uint64_t with);

/* Whether a log line contains this. */
bool peer_net_logged(struct peer_net *net, const char *text);

/* One turn of the loop, at most a few milliseconds. */
void peer_net_turn(struct peer_net *net);

/* Run the loop until `cond`; a minute without it fails the test. */
#define RUN_UNTIL(net, cond)                                                   \
    do {                                                                       \
        uint64_t deadline_ns_ = uv_hrtime() + 60000000000u;                    \
        while (!(cond)) {                                                      \
            if (uv_hrtime() > deadline_ns_) {                                  \
                fail_msg("still not: %s", #cond);                              \
            }                                                                  \
            peer_net_turn(net);                                                \
        }                                                                      \
    } while (0)

/* --- raw sockets --- */

int peer_raw_connect(uint16_t port);
int peer_raw_listen(uint16_t *port);

/* Open the stream `kind` of node `of` as its peer `as`; answered 200. */
int peer_net_open_stream(struct peer_net *net, uint64_t of, const char *kind,
                         uint64_t as);

/* Turn the loop until a connection comes in. */
int peer_raw_accept(struct peer_net *net, int listener);

/* Write all of it; the loop turns while the other end is slow. */
void peer_raw_write(struct peer_net *net, int fd, const void *data, size_t len);
void peer_raw_puts(struct peer_net *net, int fd, const char *text);

/* Take what has arrived into `b`; false at the end of the stream. */
bool peer_raw_read(int fd, struct buf *b);

/* The bytes until `text` is in them, or until the end if it is NULL. */
void peer_raw_read_until(struct peer_net *net, int fd, struct buf *b,
                         const char *text);

#endif /* TESTS_LIB_PEER_NET_H */
