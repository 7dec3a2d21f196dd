/* The one error space.
 *
 * A function that can fail returns an int: 0 or a count on success, negative
 * on failure. -1..-4095 is -errno, as in libuv; ours start at -10001. Layers
 * that do I/O also take a struct errmsg and add context on the way up. */

#ifndef SRC_BASE_ERR_H
#define SRC_BASE_ERR_H

#include "src/base/common.h"

/* The texts of the raft errors are the reference's, the scripts of its test
 * suite print them. */
#define ERR_MAP(X)                                                             \
    X(ERR_COMPACTED, "requested index is unavailable due to compaction")       \
    X(ERR_SNAP_OUT_OF_DATE,                                                    \
      "requested index is older than the existing snapshot")                   \
    X(ERR_UNAVAILABLE, "requested entry at index is unavailable")              \
    X(ERR_SNAPSHOT_TEMPORARILY_UNAVAILABLE,                                    \
      "snapshot is temporarily unavailable")                                   \
    X(ERR_PROPOSAL_DROPPED, "raft proposal dropped")                           \
    X(ERR_STEP_LOCAL_MSG, "raft: cannot step raft local message")              \
    X(ERR_STEP_PEER_NOT_FOUND, "raft: cannot step as peer not found")          \
    X(ERR_BOOTSTRAP_NO_PEERS, "must provide at least one peer to Bootstrap")   \
    X(ERR_BOOTSTRAP_NONEMPTY, "can't bootstrap a nonempty Storage")            \
    X(ERR_CONF_CHANGE, "invalid configuration change")                         \
    X(ERR_MALFORMED, "malformed data")                                         \
    X(ERR_TOO_LARGE, "larger than the limit")                                  \
    X(ERR_EOF, "end of data")                                                  \
    X(ERR_TORN, "torn write")                                                  \
    X(ERR_DAMAGED, "damaged data")                                             \
    X(ERR_CRC_MISMATCH, "crc mismatch")                                        \
    X(ERR_WAL_NOT_FOUND, "no WAL segment covers the index")                    \
    X(ERR_SNAPSHOT_MISMATCH, "snapshot marker has another term")               \
    X(ERR_NO_SNAPSHOT, "no snapshot")                                          \
    X(ERR_LOCKED, "locked by another process")                                 \
    X(ERR_QUEUE_FULL, "queue full")                                            \
    X(ERR_NOT_FOUND, "not found")                                              \
    X(ERR_INVALID, "invalid value")                                            \
    X(ERR_STOPPED, "stopped")                                                  \
    X(ERR_TIMED_OUT, "timed out")                                              \
    X(ERR_REFUSED, "refused")                                                  \
    X(ERR_NO_LEADER, "no leader is known")                                     \
    X(ERR_OVERLOADED, "too many requests are waiting")                         \
    X(ERR_OUTCOME_UNKNOWN, "not seen applied in time, outcome unknown")        \
    X(ERR_NO_MEMBER, "no such member")                                         \
    X(ERR_MEMBER_REMOVED, "this id was removed before")                        \
    X(ERR_MEMBER_URL_DIFFERS, "the id is a member with another URL")           \
    X(ERR_LAST_VOTER, "the only voter cannot be removed")                      \
    X(ERR_SELF_REMOVED, "this node has been removed from the cluster")

/* Ordinals first, so that the codes count down from -10001. */
enum err_ordinal {
#define X(name, text) name##_ORDINAL,
    ERR_MAP(X)
#undef X
};

enum err_code {
#define X(name, text) name = -10001 - (int)name##_ORDINAL,
    ERR_MAP(X)
#undef X
};

/* The text of a negative code of either kind; static. */
const char *err_str(int rc);

/* Where and why: one line, cut at its end if it does not fit. */
struct errmsg {
    char text[512];
};

/* Set the text to the formatted context, ": " and err_str(rc). `em` may be
 * NULL. Returns `rc`, so that failing is one statement. */
int errmsg_set(struct errmsg *em, int rc, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Set exactly the formatted text. Returns `rc`. */
int errmsg_text(struct errmsg *em, int rc, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Put the formatted context and ": " before the text. Returns `rc`. */
int errmsg_prefix(struct errmsg *em, int rc, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif /* SRC_BASE_ERR_H */
