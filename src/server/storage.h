/* The durable side of one node: its WAL and its snapshot files as one thing.
 *
 * Opening applies the rules that span both (which snapshot counts, what may be
 * missing); writing keeps the only legal order (snapshot file, its marker,
 * entries and HardState, sync). raftnode sees it through struct
 * raftnode_storage, in completion style: submit, later done. What takes time is
 * given to two workers, each with one job at a time: the one has the WAL, which
 * nobody else touches until it is done; the other makes the files of our own
 * snapshots, and deletes what they replace, while the WAL goes on. The marker
 * of such a file goes with a later write of the WAL.
 *
 * Counterpart: etcd server/storage/storage.go; contrib/raftexample raft.go,
 * openWAL, replayWAL, saveSnap. */

#ifndef SRC_SERVER_STORAGE_H
#define SRC_SERVER_STORAGE_H

#include "proto/raftpb.h"
#include "src/base/err.h"
#include "src/server/raftnode.h"

struct logger;
struct storage; /* opaque */
struct vfs;

/* Calls `work(arg)` after the call that asked for it, maybe on another thread,
 * then `done(arg)` on the caller's. `brief`: it takes little longer than one
 * sync. */
struct storage_worker {
    void *ctx;
    void (*run)(void *ctx, bool brief, void (*work)(void *arg),
                void (*done)(void *arg), void *arg);
    /* Called by long work, on its thread, every fraction of a millisecond: let
     * others go first. NULL: not needed. */
    void (*rest)(void *ctx);
};

struct storage_options {
    struct vfs *fs;          /* borrowed */
    const struct logger *lg; /* borrowed */
    const char *wal_dir;
    const char *snap_dir;
    uint64_t segment_bytes; /* 0: the format's */
    /* run NULL: what is asked for completes at once. */
    struct storage_worker worker;          /* for the WAL */
    struct storage_worker snapshot_worker; /* what it does may take long */
};

/* Open what is there, or create it if neither directory is.
 * *out is owned by the caller: storage_close. *found is what the disk says;
 * raftnode_recovered_release.
 *
 * Errors (`em` is the whole line for the operator):
 *   ERR_LOCKED   another process has the directory
 *   ERR_DAMAGED  refused [reliability 3.3], nothing was changed
 *   -errno */
MUST_CHECK int storage_open(const struct storage_options *o,
                            struct storage **out,
                            struct raftnode_recovered *found,
                            struct errmsg *em);

/* The seam for raftnode; valid until storage_close. */
struct raftnode_storage storage_seam(struct storage *st);

/* End the log with a synced marker, unless it failed, and free `st` (NULL:
 * no-op). No job may be under way. Returns the result of that sync. */
int storage_close(struct storage *st, struct errmsg *em);

#endif /* SRC_SERVER_STORAGE_H */
