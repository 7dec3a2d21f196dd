/* Recovery: read a whole WAL directory.
 *
 * Counterpart: etcd server/storage/wal OpenForRead, ReadAll, Verify.
 * Differs: all segments are read, and none is changed. */

#include "wal/recover.h"

#include <errno.h>
#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "wal/repair.h"

/* Records at the start of a segment that were synced before it got its name,
 * so that no crash can tear them: crc, metadata, and in the very first
 * segment the marker of the empty snapshot. */
#define HEAD_RECORDS       2
#define FIRST_HEAD_RECORDS 3

/* One segment being read. */
struct scan {
    struct recovery *out;
    const struct recovery_watch *watch; /* NULL: nobody looks on */
    const char *dir;
    struct segment_name name;
    bool is_first; /* of those that are there */
    bool is_last;
    struct segment_reader reader;
    uint64_t off;            /* of the record at hand */
    uint64_t n;              /* records read before it */
    enum repair_group group; /* in this segment */
    /* As they were before the first entry that is ahead of the hard state;
     * valid while replay.ahead. */
    uint64_t ahead_offset;
    struct record_chain ahead_chain;
    uint64_t ahead_last_index;
};

static int refuse(const struct scan *s, const char *why, struct errmsg *em)
{
    char text[SEGMENT_NAME_BYTES];

    segment_name_format(s->name, text);
    return errmsg_text(em, ERR_DAMAGED,
                       "%s/%s: offset %" PRIu64 ": record %" PRIu64
                       ": %s (last good index %" PRIu64 "): %s; " WAL_ADVICE,
                       s->dir, text, s->off, s->n + 1, why,
                       replay_last_index(&s->out->replay),
                       err_str(ERR_DAMAGED));
}

static int io_error(const struct scan *s, int rc, struct errmsg *em)
{
    char text[SEGMENT_NAME_BYTES];

    segment_name_format(s->name, text);
    return errmsg_set(em, rc, "read %s/%s at offset %" PRIu64, s->dir, text,
                      s->off);
}

/* --- records --- */

static int apply_entry(struct scan *s, struct bytes data, const char **why)
{
    struct raft_entry *e;
    uint64_t index;
    int rc = raft_entry_decode(data, &e);

    if (rc < 0) {
        *why = "an entry that cannot be decoded";
        return rc;
    }
    index = e->index;
    rc = replay_entry(&s->out->replay, e, why);
    if (rc == 0) {
        s->out->last_index = index;
    }
    return rc;
}

static int apply_state(struct scan *s, struct bytes data, const char **why)
{
    struct hard_state hs;
    int rc = hard_state_decode(data, &hs);

    if (rc < 0) {
        *why = "a hard state that cannot be decoded";
        return rc;
    }
    return replay_state(&s->out->replay, &hs, why);
}

static int apply_snapshot(struct scan *s, struct bytes data, const char **why)
{
    struct walpb_snapshot snap;
    int rc = walpb_snapshot_decode(data, &snap);

    if (rc < 0) {
        *why = "a snapshot marker that cannot be decoded";
        return rc;
    }
    rc = replay_marker(&s->out->replay,
                       (struct wal_marker){snap.index, snap.term}, why);
    if (rc == 0) {
        s->out->last_index = max_u64(s->out->last_index, snap.index);
    }
    return rc;
}

static int apply(struct scan *s, const struct record *rec, const char **why)
{
    switch ((enum walpb_record_type)rec->pb.type) {
    case WALPB_METADATA:
        return 0;
    case WALPB_ENTRY:
        return apply_entry(s, rec->pb.data, why);
    case WALPB_STATE:
        return apply_state(s, rec->pb.data, why);
    case WALPB_CRC:
        return replay_group(&s->out->replay, why);
    case WALPB_SNAPSHOT:
        return apply_snapshot(s, rec->pb.data, why);
    }
    UNREACHABLE();
}

static uint64_t head_records(const struct scan *s)
{
    return s->name.seq == 0 ? FIRST_HEAD_RECORDS : HEAD_RECORDS;
}

/* Why the record at hand cannot stand where it does, or NULL. */
static const char *check_head(const struct scan *s, const struct record *rec)
{
    static const uint64_t types[FIRST_HEAD_RECORDS] = {
        WALPB_CRC, WALPB_METADATA, WALPB_SNAPSHOT};

    if (s->n < head_records(s) && rec->pb.type != types[s->n]) {
        return "a segment does not begin like this";
    }
    /* Other writers count differently after a restart, so the name is checked
     * only where we have written it. */
    if (s->n == 0 && !s->is_first && record_is_marker(rec) &&
        s->name.index != s->out->last_index + 1) {
        return "the segment's name does not continue the one before";
    }
    return NULL;
}

static enum recovery_crc verify(struct scan *s, const struct record *rec,
                                const uint8_t *frame)
{
    struct record_chain *chain = &s->out->chain;

    if (s->n == 0 && s->is_first && s->name.seq > 0) {
        /* The chain came from segments that are released: take its word. */
        chain->crc = rec->pb.crc;
        return RECOVERY_CRC_TAKEN;
    }
    switch (record_verify(chain, rec, frame)) {
    case RECORD_FITS:
        return RECOVERY_CRC_OK;
    case RECORD_CRC_WRONG:
        return RECOVERY_CRC_WRONG;
    case RECORD_GROUP_WRONG:
        return RECOVERY_GROUP_WRONG;
    }
    UNREACHABLE();
}

/* Take the record at hand. *bad: it breaks the chain, and may be torn. */
static int take_record(struct scan *s, const struct record *rec,
                       const uint8_t *frame, bool *bad, struct errmsg *em)
{
    struct recovery *out = s->out;
    struct record_chain before = out->chain;
    uint64_t last_index = out->last_index;
    const char *why = check_head(s, rec);
    bool was_ahead = out->replay.ahead;
    enum recovery_crc crc = verify(s, rec, frame);

    if (s->watch != NULL) {
        s->watch->record(s->watch->ctx, s->off, rec, crc);
    }
    *bad = false;
    if (why != NULL) {
        return refuse(s, why, em);
    }
    if (crc == RECOVERY_GROUP_WRONG) {
        return refuse(s, "bytes before it have changed", em); /* R2 */
    }
    if (crc == RECOVERY_CRC_WRONG) {
        *bad = true;
        return 0;
    }
    if (apply(s, rec, &why) < 0) {
        return refuse(s, why, em);
    }
    if (out->replay.ahead && !was_ahead) {
        s->ahead_offset = s->off;
        s->ahead_chain = before;
        s->ahead_last_index = last_index;
    }
    s->group = repair_group_add(s->group, rec);
    if (record_is_marker(rec)) {
        out->has_marker = true;
        out->marker_offset = s->off;
    }
    return 0;
}

/* --- the end of a segment --- */

/* The frame at hand cannot be read. */
static int judge(struct scan *s, struct errmsg *em)
{
    struct repair_finding finding;
    int rc;

    if (s->n == 0 && !s->is_first) {
        return refuse(s, "does not continue the segment before", em);
    }
    if (s->n < head_records(s)) {
        return refuse(s, "the head of the segment cannot be read", em);
    }
    if (!s->is_last) {
        return refuse(s, "cannot be read, in a segment that was finished",
                      em); /* R1 */
    }
    rc = repair_judge(&s->reader, s->off, s->group, &finding);
    if (rc < 0) {
        return io_error(s, rc, em);
    }
    switch (finding.verdict) {
    case REPAIR_CLEAN:
        return 0;
    case REPAIR_TORN:
        s->out->torn = true;
        s->out->why = finding.why;
        s->out->torn_bytes = finding.bytes;
        s->out->torn_records = finding.records;
        return 0;
    case REPAIR_DAMAGED:
        return refuse(s, finding.why, em);
    }
    UNREACHABLE();
}

/* The log ends before its group does: entries wait for a HardState that never
 * arrived. What is left of the group is torn, wherever its frames end. */
static int undo_unfinished(struct scan *s, struct errmsg *em)
{
    struct recovery *out = s->out;
    uint64_t used;
    int rc = segment_reader_used(&s->reader, s->ahead_offset, &used);

    ASSERT(s->is_last);
    if (rc == 0) {
        rc = repair_count(&s->reader, s->ahead_offset, &out->torn_records);
    }
    if (rc < 0) {
        return io_error(s, rc, em);
    }
    replay_roll_back(&out->replay);
    out->torn = true;
    out->why = "its hard state is missing";
    out->torn_bytes = used - s->ahead_offset;
    out->chain = s->ahead_chain;
    out->last_index = s->ahead_last_index;
    s->off = s->ahead_offset;
    return 0;
}

static int end_log(struct scan *s, struct errmsg *em)
{
    const char *why;

    if (s->out->replay.ahead) {
        int rc = undo_unfinished(s, em);

        if (rc < 0) {
            return rc;
        }
    }
    return replay_end(&s->out->replay, &why) < 0 ? refuse(s, why, em) : 0;
}

static int read_records(struct scan *s, struct errmsg *em)
{
    while (s->off < s->reader.size) {
        struct record rec;
        struct bytes v;
        bool bad = false;
        enum record_status st;
        int rc =
            segment_reader_view(&s->reader, s->off, RECORD_LENGTH_BYTES, &v);

        if (rc < 0) {
            return io_error(s, rc, em);
        }
        st = record_decode(v, &rec);
        if (st == RECORD_SHORT && rec.size <= s->reader.size - s->off) {
            rc = segment_reader_view(&s->reader, s->off, (size_t)rec.size, &v);
            if (rc < 0) {
                return io_error(s, rc, em);
            }
            st = record_decode(v, &rec);
        }
        if (st == RECORD_OK) {
            rc = take_record(s, &rec, v.data, &bad, em);
            if (rc < 0) {
                return rc;
            }
        }
        if (st != RECORD_OK || bad) {
            return judge(s, em);
        }
        s->off += rec.size;
        s->n++;
    }
    return s->n < head_records(s) ? judge(s, em) : 0;
}

/* Read one segment; `file` stays the caller's. */
static int read_segment(struct scan *s, struct vfs_file *file,
                        struct errmsg *em)
{
    int rc = segment_reader_init(&s->reader, file);

    if (rc < 0) {
        return io_error(s, rc, em);
    }
    s->out->has_marker = false;
    if (s->watch != NULL) {
        s->watch->segment(s->watch->ctx, s->name, s->reader.size);
    }
    rc = read_records(s, em);
    if (rc == 0 && s->is_last) {
        rc = end_log(s, em);
    }
    s->out->tail_offset = s->off;
    s->out->tail_size = s->reader.size;
    segment_reader_release(&s->reader);
    return rc;
}

/* --- the directory --- */

static int open_segment(const struct wal_options *opts,
                        struct segment_name name, int flags,
                        struct vfs_file **out, struct errmsg *em)
{
    char *path = segment_path(opts->dir, name);
    int rc = vfs_open(opts->fs, path, flags, out);

    if (rc < 0) {
        errmsg_set(em, rc, "open %s", path);
    } else if ((flags & VFS_WRITE) != 0) {
        rc = vfs_lock(*out);
        if (rc < 0) {
            errmsg_set(em, rc, "lock %s", path);
            vfs_close(*out);
            *out = NULL;
        }
    }
    xfree(path);
    return rc;
}

/* The last of the `n` segments is open already: out->tail, unless the log goes
 * on behind a gap, where none is the last. */
static int read_all(const struct wal_options *opts,
                    const struct recovery_watch *watch, size_t n,
                    struct recovery *out, struct errmsg *em)
{
    for (size_t i = 0; i < n; i++) {
        struct vfs_file *file = out->tail;
        struct scan s = {.out = out,
                         .watch = watch,
                         .dir = opts->dir,
                         .name = out->segments.items[i],
                         .is_first = i == 0,
                         .is_last = i == out->segments.len - 1};
        int rc;

        if (!s.is_last) {
            rc = open_segment(opts, s.name, VFS_READ, &file, em);
            if (rc < 0) {
                return rc;
            }
        }
        rc = read_segment(&s, file, em);
        if (!s.is_last) {
            vfs_close(file);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int recovery_lock(const struct wal_options *opts, struct vfs_file **out,
                  struct errmsg *em)
{
    char *path = vfs_join(opts->dir, WAL_LOCK_NAME);
    int rc = vfs_open(opts->fs, path, VFS_READ | VFS_WRITE | VFS_CREATE, out);

    if (rc < 0) {
        errmsg_set(em, rc, "open %s", path);
    } else {
        rc = vfs_lock(*out);
        if (rc < 0) {
            errmsg_set(em, rc, "lock %s", path);
            vfs_close(*out);
            *out = NULL;
        }
    }
    xfree(path);
    return rc;
}

static int run(const struct wal_options *opts, struct recovery *out,
               struct errmsg *em)
{
    struct segment_list *l = &out->segments;
    int rc = recovery_lock(opts, &out->lock, em);

    if (rc == -ENOENT) {
        return errmsg_set(em, ERR_WAL_NOT_FOUND, "%s", opts->dir);
    }
    if (rc < 0) {
        return rc;
    }
    rc = segment_list_read(opts->fs, opts->dir, opts->lg, l, em);
    if (rc < 0) {
        if (rc == ERR_DAMAGED && em != NULL) {
            struct errmsg cause = *em;

            errmsg_text(em, rc, "%s; " WAL_ADVICE, cause.text);
        }
        return rc;
    }
    rc = open_segment(opts, l->items[l->len - 1],
                      VFS_READ | VFS_WRITE | VFS_LOG, &out->tail, em);
    if (rc < 0) {
        return rc;
    }
    replay_init(&out->replay, l->items[0].index);
    out->last_index = replay_last_index(&out->replay);
    return read_all(opts, NULL, l->len, out, em);
}

int recovery_run(const struct wal_options *opts, struct recovery *out,
                 struct errmsg *em)
{
    int rc;

    *out = (struct recovery){0};
    rc = run(opts, out, em);
    if (rc < 0) {
        recovery_release(out);
        return rc;
    }
    ASSERT(out->tail_offset % RECORD_ALIGN == 0);
    ASSERT(out->replay.hs.commit <= replay_last_index(&out->replay));
    ASSERT(!out->replay.ahead);
    return 0;
}

static int inspect(const struct wal_options *opts,
                   const struct recovery_watch *watch, struct recovery *out,
                   struct errmsg *em)
{
    struct segment_list *l = &out->segments;
    struct errmsg gap = {{0}};
    size_t n;
    int incomplete;
    int rc = segment_list_scan(opts->fs, opts->dir, opts->lg, l, em);

    if (rc < 0) {
        return rc;
    }
    n = segment_list_whole(opts->dir, l, &incomplete, &gap);
    if (n > 0 && incomplete == 0) {
        rc = open_segment(opts, l->items[n - 1], VFS_READ, &out->tail, em);
    }
    if (rc == 0 && n > 0) {
        replay_init(&out->replay, l->items[0].index);
        out->last_index = replay_last_index(&out->replay);
        rc = read_all(opts, watch, n, out, em);
    }
    return rc < 0 || incomplete == 0
               ? rc
               : errmsg_text(em, incomplete, "%s", gap.text);
}

int recovery_inspect(const struct wal_options *opts,
                     const struct recovery_watch *watch, struct recovery *out,
                     struct errmsg *em)
{
    int rc;

    *out = (struct recovery){0};
    rc = inspect(opts, watch, out, em);
    if (out->replay.ahead) {
        ASSERT(rc < 0);
        replay_roll_back(&out->replay);
    }
    return rc;
}

void recovery_release(struct recovery *rec)
{
    replay_release(&rec->replay);
    segment_list_release(&rec->segments);
    vfs_close(rec->tail);
    vfs_close(rec->lock);
    *rec = (struct recovery){0};
}
