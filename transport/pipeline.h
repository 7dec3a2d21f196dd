/* POST /raft: for snapshots, and for everything while the peer has no stream
 * open to us.
 *
 * Two lanes with a connection each, so that a heartbeat does not wait behind a
 * snapshot; within a lane one request at a time, so that order is kept.
 *
 * Counterpart: etcd rafthttp pipeline.go.
 * Differs: etcd has four requests in the air and no timeout; a request here
 * fails when nothing moves any more, and after a failure the lane pauses. */

#ifndef TRANSPORT_PIPELINE_H
#define TRANSPORT_PIPELINE_H

#include "src/base/list.h"
#include "src/net/http_conn.h"
#include "transport/headers.h"

struct peer;
struct raft_message;

#define PIPELINE_QUEUE_MAX 64

/* A request fails after so long without a byte taken or an answer. A snapshot
 * has to be stored before it is answered. */
#define PIPELINE_STALL_MS          5000
#define PIPELINE_SNAPSHOT_STALL_MS 30000

/* An idle connection is closed before the other end does so in the middle of
 * our next request. */
#define PIPELINE_IDLE_MS 3000

enum lane_kind {
    LANE_MESSAGES,
    LANE_SNAPSHOT,
    LANES,
};

struct lane {
    struct peer *peer;
    enum lane_kind kind;
    struct http_client *client; /* NULL: not connected */
    struct list queue;          /* struct post, encoded, not sent yet */
    size_t n_queued;
    size_t queued_bytes;
    bool in_flight;            /* a request has no complete answer yet */
    size_t unsent;             /* bytes of it that the socket had not taken */
    uint64_t moved_ms;         /* last instant at which something happened */
    struct peer_answer answer; /* to the request in flight */
    struct backoff backoff;
    struct log_limit complaints;
};

struct pipeline {
    struct lane lanes[LANES];
};

void pipeline_init(struct pipeline *pl, struct peer *p);

/* Encode and queue. False if there is no room, the peer is taken for dead, or
 * another snapshot is on its way. */
bool pipeline_put(struct pipeline *pl, const struct raft_message *m);

/* Fail what does not move, close what is idle. */
void pipeline_tick(struct pipeline *pl);

/* The peer gave a sign of life: end the pause. */
void pipeline_hurry(struct pipeline *pl);

/* Nothing is queued or in flight. */
bool pipeline_is_idle(const struct pipeline *pl);

/* Drop everything, the connections too. True if a snapshot was among it. */
bool pipeline_reset(struct pipeline *pl);

#endif /* TRANSPORT_PIPELINE_H */
