/* One member: its streams, its pipeline, and which way a message goes. Also one
 * that is no member yet, a remote (remotes.h): nothing but a pipeline.
 *
 * Counterpart: etcd rafthttp peer.go.
 * Differs: removal lets what is queued leave first. */

#ifndef TRANSPORT_PEER_H
#define TRANSPORT_PEER_H

#include "src/base/list.h"
#include "src/net/addr.h"
#include "transport/pipeline.h"
#include "transport/probing.h"
#include "transport/stream.h"
#include "transport/transport.h"

enum peer_state {
    PEER_ACTIVE,
    PEER_LEAVING, /* removed, its pipeline still has something to write */
    PEER_CLOSED,  /* nothing is open any more; freed at the next tick */
};

struct peer {
    struct list link; /* in one of the lists of its transport */
    struct transport *t;
    uint64_t id;
    struct addr addr;
    enum peer_state state;
    bool is_remote; /* its readers are closed, its writers are never attached */
    struct stream_reader readers[STREAM_KINDS];
    struct stream_writer writers[STREAM_KINDS];
    struct pipeline pipeline;
    struct prober prober;
    uint64_t leave_by_ms; /* if LEAVING */
    uint64_t hurry_ms;    /* no peer_hurry before this instant */

    /* What the handler has not been told yet: see peer_report. */
    bool is_unreachable;
    bool snapshot_failed; /* one that found no room, or was not taken */
    bool snapshot_delivered;

    bool told_removed; /* it said once that this node was removed */
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint64_t dropped_messages;
};

/* Begin to dial. */
struct peer *peer_new(struct transport *t, uint64_t id,
                      const struct addr *addr);

/* Nothing is dialed but for a message to it. */
struct peer *peer_new_remote(struct transport *t, uint64_t id,
                             const struct addr *addr);

/* Only when CLOSED. */
void peer_free(struct peer *p);

/* Route a message; what cannot be queued is dropped and will be reported. */
void peer_send(struct peer *p, const struct raft_message *m);

/* End of a batch: give the chunks to the connections. */
void peer_flush(struct peer *p);

void peer_tick(struct peer *p);

/* It came to us: it is up, so do not sit out a pause. At most once per
 * BACKOFF_MAX_MS, for it may be up and yet not be reached. */
void peer_hurry(struct peer *p);

void peer_update(struct peer *p, const struct addr *addr);

/* Stop reading at once; let the writers end. */
void peer_leave(struct peer *p);
void peer_close(struct peer *p);

bool peer_is_active(const struct peer *p);

/* Tell the handler what happened to messages. Only as the last act of a
 * callback of the loop: never inside transport_send, and the handler may remove
 * the peer or close the transport. */
void peer_report(struct peer *p);
bool peer_has_news(const struct peer *p);

/* It answered 410: this node is no member any more. Told once; of a remote it
 * is not taken, who may be of another cluster: all of them have the same id. */
void peer_says_removed(struct peer *p);

/* It answered 404 to a stream: it does not know this node. */
void peer_says_unknown(struct peer *p);

#endif /* TRANSPORT_PEER_H */
