/* Snapshot files: the durable copy of the state machine.
 *
 * The folder snap/ saves a raft_snapshot atomically under the name
 * TERM-INDEX.snap and loads the newest valid one, in etcd's format
 * (formats-snapshot.md). A snapshot counts only once the WAL has its marker;
 * that is the caller's duty, and the order is: file first, marker second
 * [reliability 3.1].
 *
 * Counterpart: etcd server/etcdserver/api/snap.
 * Differs: temporary name, rename and directory sync; a file that fails its
 * check is renamed .broken only while loading, with an ERROR line; name and
 * content are compared; old files are purged. */

#ifndef SNAP_SNAPSHOTTER_H
#define SNAP_SNAPSHOTTER_H

#include <stdatomic.h>

#include "proto/raftpb.h"
#include "src/base/err.h"
#include "src/os/vfs.h"

struct logger;

struct snapshotter {
    struct vfs *fs;          /* borrowed */
    const struct logger *lg; /* borrowed, may be NULL */
    char *dir;               /* owned */
    atomic_size_t n_sources; /* that are open */
};

/* No I/O; `dir` is copied. */
void snapshotter_init(struct snapshotter *s, struct vfs *fs, const char *dir,
                      const struct logger *lg);
void snapshotter_release(struct snapshotter *s);

/* Make the directory if it is missing (durably, parent synced) and remove
 * temporary files that a crash left. */
MUST_CHECK int snapshotter_open(struct snapshotter *s, struct errmsg *em);

/* Write `snap` (not empty) to a temporary name, sync, rename, sync the
 * directory. On failure the temporary file is removed and -errno returned;
 * whatever was there before is as it was. */
MUST_CHECK int snapshotter_save(struct snapshotter *s,
                                const struct raft_snapshot *snap,
                                struct errmsg *em);

/* What is not in memory as one piece, but can be made. */
struct snapshot_content {
    void *ctx;
    /* Hand all of it to `sink`, piece by piece and the same bytes each time; go
     * no further, and return what it said, if the sink returns less than 0. A
     * piece may be empty. */
    int (*write)(void *ctx, int (*sink)(void *arg, struct bytes piece),
                 void *arg);
};

/* The same with `content` in the place of snap->data, which is NULL; it is
 * asked for twice. The file is written in pieces and synced now and then, so
 * that other files' syncs do not wait for all of it. ERR_TOO_LARGE if it would
 * not fit into one message to a peer. Touches nothing of `s` or `snap` but to
 * read it: may run on another thread. */
MUST_CHECK int snapshotter_save_content(struct snapshotter *s,
                                        const struct raft_snapshot *snap,
                                        const struct snapshot_content *content,
                                        struct errmsg *em);

/* Open the file of exactly this term and index to be read once, from its front
 * to its end. It may be purged meanwhile. *out is owned by the caller, who
 * closes it while `s` is still there.
 *   ERR_NO_SNAPSHOT, ERR_DAMAGED, -errno */
MUST_CHECK int snapshotter_open_source(struct snapshotter *s, uint64_t term,
                                       uint64_t index,
                                       struct raft_snapshot_source **out,
                                       struct errmsg *em);

/* Load the file of exactly this term and index into *out (count 1).
 *   ERR_NO_SNAPSHOT  there is no such file
 *   ERR_DAMAGED      it fails a check; it is renamed to NAME.broken
 *   -errno */
MUST_CHECK int snapshotter_load(struct snapshotter *s, uint64_t term,
                                uint64_t index, struct raft_snapshot **out,
                                struct errmsg *em);

/* Delete the oldest files beyond the `keep` newest at or below `index`, by
 * (term, index), with rests. Failures are logged, not returned: nothing depends
 * on it. May run on another thread, while other files are saved and sources
 * opened, read and closed. */
void snapshotter_purge(struct snapshotter *s, uint64_t index, size_t keep,
                       struct vfs_rest rest);

/* --- for who only looks: pure --- */

/* Whether `name` is that of a snapshot file, and of which. */
bool snapshot_name_parse(const char *name, uint64_t *term, uint64_t *index);

/* Check the content of the file of that term and index, in full. *out has a
 * count of 1. ERR_DAMAGED, and what is wrong in *why (static). */
MUST_CHECK int snapshot_file_check(struct bytes file, uint64_t term,
                                   uint64_t index, struct raft_snapshot **out,
                                   const char **why);

#endif /* SNAP_SNAPSHOTTER_H */
