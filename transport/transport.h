/* The peer protocol: raft messages to and from the other members.
 *
 * The folder transport/ speaks etcd's rafthttp (formats-transport.md), both
 * ends: per peer two long-lived streams that the receiver of messages dials, a
 * pipeline of POSTs for what has no stream and for snapshots, and probing. It
 * carries messages; what they mean is the handler's business.
 *
 * Nothing here blocks and every queue is bounded: when a peer does not take
 * messages they are dropped and reported, and raft sends again.
 *
 * Counterpart: etcd server/etcdserver/api/rafthttp.
 * Differs: redial backs off (100 ms doubling to 2 s, with jitter) when a peer
 * refuses; dead streams are noticed after 5 s; impossible messages are refused
 * before the core sees them; requests carry X-PeerURLs, which raftexample does
 * not send: whoever has not applied the entry with our URL can answer us. */

#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include "proto/raftpb.h"
#include "src/base/common.h"
#include "src/base/err.h"
#include "src/net/addr.h"

struct buf;
struct http_net;
struct logger;
struct transport; /* opaque */

/* What the transport needs of its user. */
struct transport_handler {
    void *ctx;
    /* A message arrived; `m` is borrowed, entries and snapshot are shared. An
     * error answers a POST with 500. */
    int (*process)(void *ctx, const struct raft_message *m);
    /* A message to `id` could not be delivered. The reports come from the
     * loop; the handler may send, add, remove and close in them. */
    void (*report_unreachable)(void *ctx, uint64_t id);
    /* The MsgSnap to `id` was taken by it, or failed. */
    void (*report_snapshot)(void *ctx, uint64_t id, bool ok);
    /* Whether this id was removed from the cluster: its requests get 410, its
     * messages are dropped. */
    bool (*is_id_removed)(void *ctx, uint64_t id);
    /* A peer says (410) that this node was removed; once per peer. */
    void (*self_removed)(void *ctx, uint64_t told_by);
    /* A peer does not know this node (404). */
    void (*self_unknown)(void *ctx, uint64_t told_by);
    /* The URL under which the other members know this node, or NULL; borrowed
     * for the call. They are told with every request. */
    const char *(*own_url)(void *ctx);
    /* A GET on the peer port outside /raft ("/health", ...): append the body
     * to `body`, set the content type (static) and return the status; 404 for
     * a page that does not exist. */
    int (*page)(void *ctx, struct bytes path, struct buf *body,
                const char **content_type);
};

struct transport_options {
    struct http_net *net;             /* borrowed */
    const struct logger *lg;          /* borrowed */
    uint64_t id;                      /* own id */
    uint64_t cluster_id;              /* raftexample's is 0x1000 */
    struct addr listen;               /* own peer address */
    size_t conns_max;                 /* there; 0: PEER_CONNS_MAX */
    uint64_t seed;                    /* of the jitter */
    struct transport_handler handler; /* copied; all of it is set */
};

/* Listen on the peer port. No peer is known yet. *out is owned by the caller:
 * transport_close. Errors as http_listener_open. */
MUST_CHECK int transport_open(const struct transport_options *o,
                              struct transport **out, struct errmsg *em);

/* Encode and queue `n` messages; `messages` are borrowed. Those to 0, to
 * oneself or to unknown ids are dropped, but for an id that is no peer and has
 * lately told us its URL (remotes.h). Never fails: what has no room is dropped
 * and reported unreachable by the next transport_tick, not from inside. They
 * leave at the next http_net_flush. */
void transport_send(struct transport *t, const struct raft_message *messages,
                    size_t n);

/* Whether a MsgApp that tells nothing but the commit index may be waiting for
 * the next entries: transport_send_news is due in TRANSPORT_NEWS_MS. */
#define TRANSPORT_NEWS_MS 2
bool transport_has_news(const struct transport *t);
void transport_send_news(struct transport *t);

/* Begin to talk to a member; an existing one is left as it is, and so is the
 * node itself. `url` is one that addr_parse_url takes. Errors, nothing is
 * added: ERR_INVALID (URL, or id 0), ERR_TOO_LARGE (MEMBERS_MAX peers). */
MUST_CHECK int transport_add_peer(struct transport *t, uint64_t id,
                                  const char *url);

/* Stop talking to a member: what is queued is still written (at most 1 s, so
 * that it learns of its removal), then its streams end. From now on its
 * requests are answered 410 if the handler's is_id_removed says so, else as
 * those of an unknown id. No report about it comes any more. An unknown id is
 * a no-op. */
void transport_remove_peer(struct transport *t, uint64_t id);

/* The member has another URL: reconnect there. Unknown ids are added. */
MUST_CHECK int transport_update_peer(struct transport *t, uint64_t id,
                                     const char *url);

/* Once per tick of the node: heartbeats of the links, redial, probes, and the
 * reports of what transport_send had to drop. It reads http_net_now_ms itself;
 * a gap of the clock (the node was stopped) counts as 2 s at most. */
void transport_tick(struct transport *t);

/* For the status page. */
struct transport_peer_status {
    uint64_t id;
    char url[ADDR_URL_MAX];
    bool active;         /* at least one stream up each way */
    uint64_t sent_bytes; /* encoded messages and link heartbeats */
    uint64_t received_bytes;
    uint64_t dropped_messages;
};
bool transport_peer_status(const struct transport *t, uint64_t id,
                           struct transport_peer_status *out);

/* Close the listener and all links; `cb` is called when the last handle is
 * gone and the transport is freed. No handler call comes after this one. */
void transport_close(struct transport *t, void (*cb)(void *ctx), void *ctx);

#endif /* TRANSPORT_TRANSPORT_H */
