/* The bytes of one snapshot file, written and read in pieces: neither ever has
 * the whole of it in memory. Private to snap/. */

#ifndef SNAP_SNAP_FILE_H
#define SNAP_SNAP_FILE_H

#include "snap/snapshotter.h"

/* Make `path` a durable file with `snap` in it, its name not yet durable.
 * `content` NULL: the snapshot has no data. On an error it may be there in
 * part. ERR_TOO_LARGE, -errno */
MUST_CHECK int snap_file_write(struct vfs *fs, const char *path,
                               const struct raft_snapshot *snap,
                               const struct snapshot_content *content,
                               struct errmsg *em);

/* As snapshotter_open_source. *n_open is one more from before the file is
 * opened until after it is closed. */
MUST_CHECK int snap_file_open(struct vfs *fs, const char *path,
                              atomic_size_t *n_open,
                              struct raft_snapshot_source **out,
                              struct errmsg *em);

#endif /* SNAP_SNAP_FILE_H */
