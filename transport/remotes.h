/* Remotes: senders that are no members yet, as far as this node knows.
 *
 * A node that has not applied the entry with the URL of a newer member cannot
 * find it, and could not answer its appends or votes. So each request says
 * under which URL its sender is known (X-PeerURLs). Who is no peer and was not
 * removed becomes a remote then: messages to it go to that URL, by POST only,
 * until it becomes a peer.
 *
 * Anybody on the network can make one, hence PEER_REMOTES_MAX; the one that was
 * longest not used gives way. A remote is believed nothing but its address.
 *
 * Counterpart: etcd rafthttp remote.go, Transport.AddRemote.
 * Differs: bounded; of several URLs the first is used, and a later request may
 * give another; a remote goes when its id becomes a peer or is removed. */

#ifndef TRANSPORT_REMOTES_H
#define TRANSPORT_REMOTES_H

#include "src/net/addr.h"

struct peer;
struct transport;

/* The sender `id`, which is no peer, is at `addr`. The node itself, id 0 and
 * removed ids are left out. Not from inside a callback of a remote. */
void remotes_learn(struct transport *t, uint64_t id, const struct addr *addr);

/* The remote with this id, to send a message to it, or NULL. */
struct peer *remotes_use(struct transport *t, uint64_t id);

/* It has become a peer, or was removed: what is queued is still written. */
void remotes_forget(struct transport *t, uint64_t id);

#endif /* TRANSPORT_REMOTES_H */
