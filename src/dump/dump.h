/* raftexample-dump: a data directory in readable form.
 *
 * The folder src/dump prints what a node has on disk: segments, records with
 * offsets and checksums, entries with their payload, hard states, snapshots
 * with members and pairs. What is read and where reading stops is decided by
 * the daemon's own recovery (wal/recover.h, snap/snapshotter.h), so the dump
 * says of a damaged directory what the daemon would. It never writes, not even
 * the lock: a directory in use can be looked at, of our program or of etcd's
 * raftexample.
 *
 * Counterpart: etcd tools/etcd-dump-logs. */

#ifndef SRC_DUMP_DUMP_H
#define SRC_DUMP_DUMP_H

#include "src/base/common.h"
#include "src/base/err.h"

struct vfs;

/* Takes output as it comes, whole lines; `text` is borrowed for the call. */
typedef void dump_write_cb(void *ctx, struct bytes text);

struct dump_options {
    struct vfs *fs; /* borrowed */
    /* What to print: a data directory (all of its members), the log directory
     * of one member (with its snapshots beside it), or a directory of
     * snapshots. */
    const char *path;
    bool json; /* one object a line instead of text; see the usage */
    dump_write_cb *write;
    void *ctx;
};

/* Print everything that can be read. A directory that is damaged is printed as
 * far as it goes, with a line that says where and why it stops; the other ones
 * are printed all the same.
 *
 * Returns 0, or the first error: ERR_DAMAGED, ERR_WAL_NOT_FOUND, -errno. A torn
 * tail is no error, as the daemon mends it. `em` says it in words; if nothing
 * at all could be read, only `em` does. */
MUST_CHECK int dump_run(const struct dump_options *o, struct errmsg *em);

/* The help text: one screen, static. */
const char *dump_usage(void);

#endif /* SRC_DUMP_DUMP_H */
