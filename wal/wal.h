/* Write-ahead log: the durable copy of HardState and log entries.
 *
 * The folder wal/ turns a directory into an append-only sequence of records
 * and back, in etcd's format (formats-wal.md), under the disk rules of
 * reliability.md section 3: a sync group opens with a marker, so that a torn
 * tail can be told from damage; the first is mended, the second refused.
 *
 * A WAL is a directory of segments named SEQ-INDEX.wal, each a run of records
 * chained by CRC (record.h has the bytes). Open it, read it once to the end,
 * then append. Not thread-safe; all I/O goes through the vfs given at open.
 *
 * Errors: any failure of a write, sync, allocation, rename or directory sync
 * is final. The WAL is then broken: every later call that would write returns
 * the same error, and nothing is retried.
 *
 * Counterpart: etcd server/storage/wal.
 * Differs: one lock file for the directory beside the lock on the last
 * segment; markers; Repair is part of opening and never cuts damage. */

#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "proto/raftpb.h"
#include "proto/walpb.h"
#include "src/base/err.h"
#include "src/os/vfs.h"

struct logger;
struct wal;          /* opaque */
struct wal_released; /* opaque */

struct wal_options {
    struct vfs *fs;          /* borrowed, must outlive the WAL */
    const struct logger *lg; /* borrowed, may be NULL */
    const char *dir;         /* copied */
    /* Size at which the tail segment is cut, in bytes; 0: the format's 64 MB.
     * A record is never split, so a segment may exceed this by one group. */
    uint64_t segment_bytes;
};

/* One snapshot marker as read. */
struct wal_marker {
    uint64_t index;
    uint64_t term;
};

/* What a log says, after all rules of reliability.md 3.3. */
struct wal_contents {
    struct hard_state hard_state;
    /* Entries behind the snapshot that the log was opened at: indexes
     * snapshot+1, snapshot+2, ... without gap. Owned. */
    struct raft_entries entries;
    /* A torn tail that was cut away; 0 and 0 if there was none. */
    uint64_t torn_bytes;
    uint64_t torn_records; /* whole or part, as far as they can be counted */
};

void wal_contents_release(struct wal_contents *c);

/* Whether `dir` holds a WAL: at least one name that ends in ".wal". A directory
 * with nothing but temporary files is an unfinished creation, not a WAL. */
bool wal_exists(struct vfs *fs, const char *dir);

/* Make the directory if it is missing and the first segment in it (temporary
 * name, sync, rename, sync of the directory and of its parent), and leave the
 * WAL open for appending, locked, in *out. A leftover of an unfinished creation
 * is removed first.
 * Errors: -EEXIST if there is a WAL, ERR_LOCKED, -errno. Nothing is left. */
MUST_CHECK int wal_create(const struct wal_options *opts, struct wal **out,
                          struct errmsg *em);

/* Lock the directory and read everything in it, without changing a byte.
 * On success *out is in read mode: choose a snapshot from wal_markers(), then
 * call wal_start(), or wal_close().
 *
 * Errors (*out untouched, `em` names file, offset, record number, last good
 * index, and what to do):
 *   ERR_WAL_NOT_FOUND  no segment in `dir`
 *   ERR_LOCKED         another process has the directory
 *   ERR_DAMAGED        rules R1, R2, R4, or the checks after them
 *   -errno             from the file system */
MUST_CHECK int wal_open(const struct wal_options *opts, struct wal **out,
                        struct errmsg *em);

/* The snapshot markers that a node may start from: those that the commit index
 * of the last HardState covers and that no later record has superseded, in
 * ascending order. A marker that replaced the log is covered by itself: what
 * it stands for is committed, even if a crash kept the HardState from saying
 * so. Borrowed until wal_start. Index 0 is not listed; starting from nothing
 * is possible if wal_reaches_beginning(). */
const struct wal_marker *wal_markers(const struct wal *w, size_t *n);

/* Whether the log as read still has its first entry, so that no snapshot is
 * needed. A log that is huge and has two usable markers is kept in memory only
 * from the older of them on. */
bool wal_reaches_beginning(const struct wal *w);

/* End of read mode: take over the contents behind the snapshot `start` (index
 * 0: the beginning) into *out, mend a torn tail (copy to NAME.broken, cut,
 * sync, a WARN line), make what was read durable, for the process that wrote it
 * may have died before its sync, write an opening marker and be ready to
 * append.
 *
 * Errors:
 *   ERR_SNAPSHOT_MISMATCH  `start` is not one of the markers; still in read
 *                          mode
 *   ERR_DAMAGED            `start` is index 0 and the log begins later; still
 *                          in read mode
 *   -errno                 broken */
MUST_CHECK int wal_start(struct wal *w, struct wal_marker start,
                         struct wal_contents *out, struct errmsg *em);

/* Append entries and HardState (empty: left out) to the current group, in
 * memory: nothing is written, let alone durable, before wal_sync. If the group
 * has entries already and more come, it is synced first: no group has two runs
 * of them (repair.h). If the segment is full and no group is open, a new one is
 * made first, which syncs.
 * `entries` are encoded at once and not kept.
 *
 * The rules that recovery checks hold here too: indexes without gap and above
 * the last commit index, terms not falling, and a HardState whose term covers
 * the last entry, in this call or an earlier one. */
MUST_CHECK int wal_save(struct wal *w, const struct hard_state *hs,
                        struct raft_entry *const *entries, size_t n,
                        struct errmsg *em);

/* Append a snapshot marker to the current group. The snapshot file must be
 * durable already [reliability 3.1]. With index > 0 `conf_state` is required.
 */
MUST_CHECK int wal_save_snapshot(struct wal *w, const struct walpb_snapshot *s,
                                 struct errmsg *em);

/* Write what was appended and sync it: one write and one fdatasync. The group
 * ends; the next begins with its marker. A no-op if nothing was appended. */
MUST_CHECK int wal_sync(struct wal *w, struct errmsg *em);

/* Give up the segments that a start from a snapshot at `index` does not need:
 * those whose successor's name index is <= index. The snapshot, its marker and
 * their directories must be durable. *out is theirs: wal_released_delete, then
 * wal_release_end. */
MUST_CHECK int wal_release_to(struct wal *w, uint64_t index,
                              struct wal_released **out, struct errmsg *em);

/* Delete them, oldest first, each one durably before the next, with rests. May
 * run on another thread, while the WAL is used. A failure is final, as any
 * other. */
MUST_CHECK int wal_released_delete(struct wal_released *r, struct vfs_rest rest,
                                   struct errmsg *em);

/* Free `r`; the WAL is broken if it could not be deleted. */
void wal_release_end(struct wal *w, struct wal_released *r);

/* Sync the last group, put a synced marker behind it, unless the WAL is broken
 * or in read mode, close the files, free `w` (NULL: no-op). Returns the result
 * of the sync. */
int wal_close(struct wal *w, struct errmsg *em);

/* Numbers for the status page. */
struct wal_stats {
    uint64_t segments;
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t tail_offset; /* bytes used in the last segment */
    uint64_t syncs;
    uint64_t bytes_written;
};
void wal_get_stats(const struct wal *w, struct wal_stats *out);

#endif /* WAL_WAL_H */
