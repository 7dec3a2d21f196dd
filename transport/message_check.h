/* The door of the core: which messages from outside may enter.
 *
 * A message that decodes may still be one that no raft node sends: a type that
 * only arises inside a node, a log with gaps, terms that fall. The core may
 * assert that such things do not happen, because this check has kept them out
 * [reliability F23-F25]. The same check stands before sending, so that we never
 * hand a peer what would be refused there, or would kill a Go node
 * (formats-transport 11).
 *
 * Only the message itself is looked at, not the state of the node: stale,
 * repeated and reordered messages pass, raft deals with them.
 *
 * Counterpart: etcd refuses only undecodable bytes; the list of what makes its
 * nodes fail is in formats-transport 11. */

#ifndef TRANSPORT_MESSAGE_CHECK_H
#define TRANSPORT_MESSAGE_CHECK_H

#include "proto/raftpb.h"
#include "src/base/common.h"

enum message_verdict {
    MESSAGE_GOOD,
    /* Means nothing here, as a message of an old term: drop it. */
    MESSAGE_IGNORED,
    /* Addressed to another node: somebody's address list is wrong. */
    MESSAGE_MISSENT,
    /* No raft node sends this: its sender or its stream is broken. */
    MESSAGE_IMPOSSIBLE,
};

/* Judge a message that arrived at, or is about to leave for, node `to`. Unless
 * it is good, *reason is a static text of a few words. */
enum message_verdict message_check(const struct raft_message *m, uint64_t to,
                                   const char **reason);

#endif /* TRANSPORT_MESSAGE_CHECK_H */
