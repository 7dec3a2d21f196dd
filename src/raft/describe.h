/* Text of the core's structures, for logs, dumps and the datadriven scripts.
 *
 * The formats are the reference's, byte for byte, so that its public scripts
 * can be replayed against us (raft-tests.md 5). Every function appends to
 * `out`. raft_role_name of raft.h is implemented here, too.
 *
 * Counterpart: etcd-io/raft util.go, and ConfChangesToString of raftpb. */

#ifndef SRC_RAFT_DESCRIBE_H
#define SRC_RAFT_DESCRIBE_H

#include "src/raft/log.h"
#include "src/raft/raft.h"

struct buf;

/* How the payload of a normal entry is shown; NULL: describe_quoted. */
typedef void entry_formatter_fn(struct bytes data, struct buf *out);

/* Go's %q: quotes, escapes, printable UTF-8 as it is. */
void describe_quoted(struct bytes data, struct buf *out);

/* An id in hex, "None", "AppendThread" or "ApplyThread". */
void describe_target(uint64_t id, struct buf *out);

void describe_hard_state(const struct hard_state *hs, struct buf *out);
void describe_soft_state(const struct soft_state *ss, struct buf *out);
void describe_conf_state(const struct conf_state *cs, struct buf *out);
void describe_snapshot(const struct raft_snapshot *s, struct buf *out);

/* "v1 l2 r3 u4" [raft-core CC-4]. */
void describe_conf_changes(const struct conf_change_single *ccs, size_t n,
                           struct buf *out);

/* The form for logs. */
void describe_conf_change(const struct conf_change_v2 *cc, struct buf *out);

void describe_entry(const struct raft_entry *e, entry_formatter_fn *fmt_cb,
                    struct buf *out);

/* One line per entry, each with a newline. */
void describe_entries(struct raft_entry *const *items, size_t n,
                      entry_formatter_fn *fmt_cb, struct buf *out);

/* No newline at the end; several lines if there are several entries, a
 * snapshot or responses. */
void describe_message(const struct raft_message *m, entry_formatter_fn *fmt_cb,
                      struct buf *out);

void describe_ready(const struct raft_ready *rd, entry_formatter_fn *fmt_cb,
                    struct buf *out);

/* A status as one line of JSON, the members by ascending ids [raft-core
 * ST-5]. */
void describe_status(const struct raft_status *st, struct buf *out);

/* The marks of a log on one line [raft-core LOG-24]. */
void describe_log(const struct raft_log *l, struct buf *out);

/* "EntryNormal"; "EntryUnknown" for a number out of range. */
const char *raft_entry_type_name(uint64_t type);

#endif /* SRC_RAFT_DESCRIBE_H */
