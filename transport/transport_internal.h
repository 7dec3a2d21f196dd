/* struct transport, for the files of this folder. */

#ifndef TRANSPORT_TRANSPORT_INTERNAL_H
#define TRANSPORT_TRANSPORT_INTERNAL_H

#include "src/base/list.h"
#include "src/base/log.h"
#include "src/base/rng.h"
#include "src/net/http_conn.h"
#include "transport/headers.h"
#include "transport/message_check.h"
#include "transport/transport.h"

struct peer;

struct transport {
    struct http_net *net;
    const struct logger *lg;
    struct transport_handler handler;
    uint64_t id;
    struct peer_fields fields;
    struct rng rng;

    /* Time as the links see it: it advances at ticks, by what http_net_now_ms
     * advanced but at most CLOCK_STEP_MAX_MS. A node that was stopped for a
     * minute would otherwise give up links whose bytes wait in the kernel
     * [reliability F31]. */
    uint64_t now_ms;
    uint64_t net_ms; /* http_net_now_ms at the last tick */

    struct http_listener *listener;
    struct list peers;   /* PEER_ACTIVE */
    size_t n_peers;      /* of those */
    struct list remotes; /* PEER_ACTIVE, no members; longest unused first */
    size_t n_remotes;
    struct list leaving; /* PEER_LEAVING */
    struct list closed;  /* PEER_CLOSED: freed outside of their callbacks */

    bool has_news; /* a stream may have a commit index that waits */

    struct log_limit refusals;
    struct log_limit drops;

    bool closing; /* no call into the handler any more */
    void (*closed_cb)(void *ctx);
    void *closed_ctx;
};

#define CLOCK_STEP_MAX_MS 2000

/* One repeated line per so long. */
#define LOG_EVERY_MS 10000

/* A WARN line that may repeat: at most one per `l`'s time, with the number of
 * those kept back. */
void transport_warn(const struct transport *t, struct log_limit *l,
                    const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Whether this id belonged to a member and does no more. */
bool transport_is_removed(const struct transport *t, uint64_t id);

/* The field lines, with the URL that this node has now. */
const struct peer_fields *transport_fields(struct transport *t);

/* The active peer with this id, or NULL. */
struct peer *transport_find(const struct transport *t, uint64_t id);

/* What became of a message from outside. */
struct reception {
    enum message_verdict verdict;
    const char *reason; /* static; unless GOOD */
    int rc;             /* of the handler; 0 unless GOOD */
};

/* Screen a message that came in and, if it is good, hand it to the handler.
 * `where` says on which way it came, for the log. */
struct reception transport_receive(struct transport *t,
                                   const struct raft_message *m,
                                   const char *where);

#endif /* TRANSPORT_TRANSPORT_INTERNAL_H */
