/* Segments: the files of a WAL directory, their names, making and reading.
 *
 * A segment is named SEQ-INDEX.wal, each 16 hexadecimal digits: its sequence
 * number, and the index that its first entry was expected to have when it was
 * made, which is the last index saved before plus one [formats-wal 1].
 *
 * Counterpart: etcd server/storage/wal util.go, file_pipeline.go. */

#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include "src/base/common.h"
#include "src/base/err.h"
#include "src/os/vfs.h"

struct logger;

#define SEGMENT_SUFFIX     ".wal"
#define SEGMENT_TMP_SUFFIX ".tmp"
#define SEGMENT_NAME_BYTES 38 /* with the final 0 */

struct segment_name {
    uint64_t seq;
    uint64_t index;
};

void segment_name_format(struct segment_name name,
                         char out[SEGMENT_NAME_BYTES]);
bool segment_name_parse(const char *text, struct segment_name *out);

/* Whether a file's name ends in `suffix`. */
bool segment_name_ends_in(const char *text, const char *suffix);

/* "dir/SEQ-INDEX.wal", owned by the caller. */
char *segment_path(const char *dir, struct segment_name name);

/* The segments of a directory, ascending. */
struct segment_list {
    struct segment_name *items;
    size_t len;
    size_t cap;
};

void segment_list_push(struct segment_list *l, struct segment_name name);
void segment_list_drop_first(struct segment_list *l);
void segment_list_release(struct segment_list *l);

/* How many segments stand in `l` before its first gap or foreign name. If that
 * is not all of them, or none: as segment_list_read, and its error in *rc. */
size_t segment_list_whole(const char *dir, const struct segment_list *l,
                          int *rc, struct errmsg *em);

/* List `dir` without checking the sequence. */
MUST_CHECK int segment_list_scan(struct vfs *fs, const char *dir,
                                 const struct logger *lg,
                                 struct segment_list *out, struct errmsg *em);

/* List `dir`. Names that are no segment's are left out, with a WARN line if
 * they end in .wal.
 *   ERR_WAL_NOT_FOUND  there is no segment
 *   ERR_DAMAGED        the sequence has a gap: a file is missing */
MUST_CHECK int segment_list_read(struct vfs *fs, const char *dir,
                                 const struct logger *lg,
                                 struct segment_list *out, struct errmsg *em);

/* Make a segment of `bytes` bytes that starts with `head`: under a temporary
 * name, locked, reserved, written, synced; then renamed, and the directory
 * synced, so that it counts only when it is whole [reliability 3.1]. *out is
 * open for writing and holds the lock. On failure the temporary file is gone,
 * but the segment may be there if only the directory's sync failed. */
MUST_CHECK int segment_create(struct vfs *fs, const char *dir,
                              struct segment_name name, uint64_t bytes,
                              struct bytes head, struct vfs_file **out,
                              struct errmsg *em);

/* A file read from front to back through one buffer. */
struct segment_reader {
    struct vfs_file *file; /* borrowed */
    uint64_t size;         /* of the file, when the reader was made */
    uint8_t *buf;
    size_t cap;
    uint64_t off; /* where in the file buf starts */
    size_t len;   /* bytes of the file in buf */
};

MUST_CHECK int segment_reader_init(struct segment_reader *r,
                                   struct vfs_file *file);
void segment_reader_release(struct segment_reader *r);

/* A view of the file from `off`: at least `want` bytes, or as many as there
 * are. Borrowed until the next call. */
MUST_CHECK int segment_reader_view(struct segment_reader *r, uint64_t off,
                                   size_t want, struct bytes *out);

/* Where the bytes that are not zero end, looking from `off` on: `off` itself
 * if only zeros follow. */
MUST_CHECK int segment_reader_used(struct segment_reader *r, uint64_t off,
                                   uint64_t *out);

#endif /* WAL_SEGMENT_H */
