/* Torn or damaged: what to make of a frame that cannot be read.
 *
 * Only the last sync group of the last segment can be torn by a crash. What
 * was before it was once on disk; if it cannot be read now, it is damaged, and
 * cutting the log there would lose what was acknowledged [reliability 3.3].
 * The rules, for the first bad frame at offset S:
 *
 *   R0  its length field is zero and only zeros follow: the end of the log
 *   R1  not the last segment: damaged
 *   R2  at or behind S stands a marker that is genuine: damaged, as something
 *       was synced after the bad frame
 *   R3  the frame runs past the end of the file, its length field is zero, a
 *       sector part inside it is all zero, or everything ends inside it while
 *       what is there agrees with its length (a write that stopped): torn
 *   R4  else (all sectors are written, but wrong): damaged
 *
 * A marker is genuine if its crc, taken as seed, verifies the record behind
 * it, or if nothing is behind it, as after a clean shutdown. A Go node writes
 * no markers: where it wrote, R2 looks for two whole frames in a row behind S
 * of which the second verifies against the crc of the first.
 *
 * A Go node may also have gone on in a segment of ours, behind our last marker.
 * Then that marker's group has an entry behind a hard state behind an entry,
 * which no group of ours has: entries are synced before others are appended
 * (wal_save). Unless it is found, what is behind the last marker is one group
 * of ours, and two frames in a row prove nothing: both can be parts that
 * arrived.
 *
 * Counterpart: etcd server/storage/wal repair.go, decoder.go isTornEntry.
 * Differs: the whole decision; etcd cuts at a hole in the middle. */

#ifndef WAL_REPAIR_H
#define WAL_REPAIR_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "wal/record.h"
#include "wal/segment.h"

#define SECTOR_BYTES 512

enum repair_verdict {
    REPAIR_CLEAN,
    REPAIR_TORN,
    REPAIR_DAMAGED,
};

struct repair_finding {
    enum repair_verdict verdict;
    const char *why;  /* static; the rule, in words */
    uint64_t bytes;   /* from S to the last byte that is not zero */
    uint64_t records; /* behind S, whole or part, as far as can be counted */
};

/* What has been seen of the group at hand, in order of the records. */
enum repair_group {
    REPAIR_GROUP_UNKNOWN, /* no marker yet: a Go node made the segment */
    REPAIR_GROUP_OPEN,    /* a marker */
    REPAIR_GROUP_ENTRIES, /* and entries */
    REPAIR_GROUP_STATE,   /* and a hard state behind them */
    REPAIR_GROUP_FOREIGN, /* and again an entry: a Go node has gone on */
};

/* The group with one more record, of whatever checksum. */
enum repair_group repair_group_add(enum repair_group group,
                                   const struct record *rec);

/* Judge the bad frame at `off` of the last segment, before which stands
 * `group`. Fails only if the file cannot be read. */
MUST_CHECK int repair_judge(struct segment_reader *r, uint64_t off,
                            enum repair_group group,
                            struct repair_finding *out);

/* How many records stand from `off` on; a damaged one at `off` counts. */
MUST_CHECK int repair_count(struct segment_reader *r, uint64_t off,
                            uint64_t *records);

/* Cut the segment at `off`: copy the file to NAME.broken first, then truncate,
 * reserve up to `bytes` again, so that everything behind is zero, and sync
 * file and directory. `r` reads the file, which must be open for writing. */
MUST_CHECK int repair_cut(struct vfs *fs, const char *dir,
                          struct segment_name name, struct segment_reader *r,
                          uint64_t off, uint64_t bytes, struct errmsg *em);

#endif /* WAL_REPAIR_H */
