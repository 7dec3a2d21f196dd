/* The endpoints of the peer port.
 *
 * Counterpart: etcd rafthttp http.go, etcdhttp/peer.go.
 * Differs: malformed versions and malformed X-PeerURLs get an answer instead of
 * a dead connection, /raft/snapshot is not offered. */

#ifndef TRANSPORT_INBOUND_H
#define TRANSPORT_INBOUND_H

#include "src/net/http_conn.h"

/* Their ctx is the struct transport. */
extern const struct http_server_ops inbound_ops;

#endif /* TRANSPORT_INBOUND_H */
