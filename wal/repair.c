/* Torn or damaged.
 *
 * Counterpart: etcd server/storage/wal repair.go. */

#include "wal/repair.h"

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/crc32c.h"

#define BROKEN_SUFFIX ".broken"
#define COPY_BYTES    (1 * MiB)
/* Length field, type and the tag of the crc: enough to tell most other bytes
 * from a frame without looking at all of it. */
#define GLANCE_BYTES 11

/* Whether the bytes at the start of `v` may be a frame. */
static bool looks_like_frame(struct bytes v)
{
    return v.len >= GLANCE_BYTES && v.data[8] == 0x08 &&
           v.data[9] >= WALPB_METADATA && v.data[9] <= WALPB_SNAPSHOT &&
           v.data[10] == 0x10;
}

/* 1 and the record if a whole, well-formed frame stands at `off`, else 0; its
 * data are borrowed from the reader. */
static int frame_at(struct segment_reader *r, uint64_t off, struct record *rec)
{
    struct bytes v;
    enum record_status st;
    int rc;

    if (off + GLANCE_BYTES > r->size) {
        return 0;
    }
    rc = segment_reader_view(r, off, GLANCE_BYTES, &v);
    if (rc < 0 || !looks_like_frame(v)) {
        return rc < 0 ? rc : 0;
    }
    st = record_decode(v, rec);
    if (st == RECORD_SHORT && rec->size <= r->size - off) {
        rc = segment_reader_view(r, off, (size_t)rec->size, &v);
        if (rc < 0) {
            return rc;
        }
        st = record_decode(v, rec);
    }
    return st == RECORD_OK ? 1 : 0;
}

/* 1 if the frame at `off` continues the chain that stood at `seed`. */
static int verifies_at(struct segment_reader *r, uint64_t off, uint32_t seed)
{
    struct record rec;
    int rc = frame_at(r, off, &rec);

    if (rc <= 0) {
        return rc;
    }
    if (rec.pb.type != WALPB_CRC) {
        seed = crc32c(seed, rec.pb.data.data, rec.pb.data.len);
    }
    return rec.pb.crc == seed ? 1 : 0;
}

/* 1 if a genuine marker stands at `off`, or, where a Go node wrote, any two
 * frames that fit: something was synced behind what comes before. */
static int is_evidence(struct segment_reader *r, uint64_t off, uint64_t used,
                       bool markers_only)
{
    struct record rec;
    int rc = frame_at(r, off, &rec);

    if (rc <= 0) {
        return rc;
    }
    if (record_is_marker(&rec) && off + rec.size >= used) {
        return 1;
    }
    if (!record_is_marker(&rec) && markers_only) {
        return 0;
    }
    return verifies_at(r, off + rec.size, rec.pb.crc);
}

/* 1 if R2 finds something in [off, used). The bad frame itself is no evidence
 * with what follows it: both can be parts of one torn group. */
static int find_evidence(struct segment_reader *r, uint64_t off, uint64_t used,
                         bool markers_only)
{
    for (uint64_t at = off; at < used; at += RECORD_ALIGN) {
        int rc = is_evidence(r, at, used, markers_only || at == off);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

enum repair_group repair_group_add(enum repair_group group,
                                   const struct record *rec)
{
    if (record_is_marker(rec)) {
        return REPAIR_GROUP_OPEN;
    }
    switch (group) {
    case REPAIR_GROUP_OPEN:
        return rec->pb.type == WALPB_ENTRY ? REPAIR_GROUP_ENTRIES : group;
    case REPAIR_GROUP_ENTRIES:
        return rec->pb.type == WALPB_STATE ? REPAIR_GROUP_STATE : group;
    case REPAIR_GROUP_STATE:
        return rec->pb.type == WALPB_ENTRY ? REPAIR_GROUP_FOREIGN : group;
    case REPAIR_GROUP_UNKNOWN:
    case REPAIR_GROUP_FOREIGN:
        return group;
    }
    UNREACHABLE();
}

/* Whether a Go node wrote the end of a segment of ours: *group goes on with
 * what can still be read in [off, used). What cannot be read at `off` may be
 * the marker of a group, so it begins anew there. */
static int read_group(struct segment_reader *r, uint64_t off, uint64_t used,
                      enum repair_group *group)
{
    if (*group == REPAIR_GROUP_UNKNOWN || *group == REPAIR_GROUP_FOREIGN) {
        return 0;
    }
    *group = REPAIR_GROUP_OPEN;
    for (uint64_t at = off; at < used;) {
        struct record rec;
        int rc = frame_at(r, at, &rec);

        if (rc < 0) {
            return rc;
        }
        if (rc == 1) {
            *group = repair_group_add(*group, &rec);
        }
        at += rc == 1 ? rec.size : RECORD_ALIGN;
    }
    return 0;
}

/* Whether one of the pieces into which the sectors' borders divide `frame`,
 * which starts at `off`, is all zero: a sector that never arrived. */
static bool has_zero_sector(struct bytes frame, uint64_t off)
{
    static const uint8_t zeros[SECTOR_BYTES];
    size_t at = 0;

    while (at < frame.len) {
        size_t part = SECTOR_BYTES - (size_t)((off + at) % SECTOR_BYTES);

        part = part < frame.len - at ? part : frame.len - at;
        if (memcmp(frame.data + at, zeros, part) == 0) {
            return true;
        }
        at += part;
    }
    return false;
}

/* Whether the head of the record in `frame`, as far as its bytes go, promises
 * the length that the length field says. A flipped bit in one of the two does
 * not look like a write that stopped. */
static bool head_agrees(struct bytes frame, uint64_t used)
{
    const uint8_t *p = frame.data + RECORD_LENGTH_BYTES;
    const uint8_t *end = frame.data + frame.len;
    uint64_t len = 0;

    if (!looks_like_frame(frame)) {
        return end - p < GLANCE_BYTES - RECORD_LENGTH_BYTES;
    }
    p = frame.data + GLANCE_BYTES;
    while (p < end && (*p & 0x80) != 0) {
        p++; /* crc */
    }
    if (end - p < 2) {
        return true;
    }
    p++;
    if (*p++ != 0x1a) {
        return false;
    }
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        len |= (uint64_t)(*p & 0x7f) << shift;
        if ((*p++ & 0x80) == 0) {
            return len == used - (uint64_t)(p - frame.data);
        }
    }
    return p == end;
}

/* Why R3 applies to the whole frame in `v`, which starts at `off`; NULL if it
 * does not. Everything ends at `used`. */
static const char *why_torn_inside(struct bytes v, const struct record *rec,
                                   uint64_t off, uint64_t used)
{
    v.len = (size_t)rec->used; /* padding is zero by right */
    if (has_zero_sector(v, off)) {
        return "a sector inside it is all zero";
    }
    if (used > off && used < off + rec->used) {
        v.len = (size_t)(used - off);
        if (head_agrees(v, rec->used)) {
            return "everything ends inside it";
        }
    }
    return NULL;
}

/* *why: why R3 applies to the frame at `off`, or NULL. */
static int why_torn(struct segment_reader *r, uint64_t off, uint64_t used,
                    const char **why)
{
    struct record rec;
    struct bytes v;
    int rc = segment_reader_view(r, off, RECORD_LENGTH_BYTES, &v);

    *why = NULL;
    if (rc < 0) {
        return rc;
    }
    if (record_decode(v, &rec) == RECORD_END) {
        *why = "its length field is zero";
        return 0;
    }
    if (rec.size > r->size - off) {
        *why = "it runs past the end of the file";
        return 0;
    }
    if (rec.size > WAL_RECORD_MAX) {
        return 0; /* R4: too long for any writer, though the file has room */
    }
    rc = segment_reader_view(r, off, (size_t)rec.size, &v);
    if (rc < 0) {
        return rc;
    }
    *why = why_torn_inside(v, &rec, off, used);
    return 0;
}

int repair_count(struct segment_reader *r, uint64_t off, uint64_t *records)
{
    uint64_t used;
    int rc = segment_reader_used(r, off, &used);

    *records = used > off && rc == 0 ? 1 : 0;
    for (uint64_t at = off; rc == 0 && at < used;) {
        struct record rec;

        rc = frame_at(r, at, &rec);
        if (rc < 0) {
            return rc;
        }
        *records += rc == 1 && at > off ? 1 : 0;
        at += rc == 1 ? rec.size : RECORD_ALIGN;
        rc = 0;
    }
    return rc;
}

int repair_judge(struct segment_reader *r, uint64_t off,
                 enum repair_group group, struct repair_finding *out)
{
    uint64_t used;
    int rc = segment_reader_used(r, off, &used);

    ASSERT(off % RECORD_ALIGN == 0);
    ASSERT(off <= r->size);
    if (rc < 0) {
        return rc;
    }
    *out = (struct repair_finding){
        .verdict = REPAIR_CLEAN, .why = "end of the log", .bytes = used - off};
    if (used == off) {
        return 0; /* R0 */
    }
    rc = read_group(r, off, used, &group);
    if (rc == 0) {
        rc = find_evidence(r, off, used,
                           group != REPAIR_GROUP_UNKNOWN &&
                               group != REPAIR_GROUP_FOREIGN);
    }
    if (rc < 0) {
        return rc;
    }
    out->verdict = REPAIR_DAMAGED;
    if (rc == 1) {
        out->why = "records that were synced later stand behind it"; /* R2 */
        return 0;
    }
    rc = why_torn(r, off, used, &out->why);
    if (rc < 0) {
        return rc;
    }
    if (out->why == NULL) {
        out->why = "all of its sectors are written, but not as they were";
        return 0; /* R4 */
    }
    out->verdict = REPAIR_TORN; /* R3 */
    return repair_count(r, off, &out->records);
}

/* --- cutting --- */

static int copy_bytes(struct segment_reader *r, struct vfs_file *to)
{
    uint64_t used;
    int rc = segment_reader_used(r, 0, &used);

    for (uint64_t off = 0; rc == 0 && off < used;) {
        struct bytes v;

        rc = segment_reader_view(r, off, 1, &v);
        if (rc < 0) {
            break;
        }
        v.len = (size_t)min_u64(v.len, used - off);
        rc = vfs_pwrite(to, v.data, v.len, off);
        off += v.len;
    }
    if (rc == 0) {
        rc = vfs_truncate(to, r->size); /* the zeros at the end, as a hole */
    }
    return rc < 0 ? rc : vfs_datasync(to);
}

/* Keep the evidence: the whole file as it was found. */
static int copy_aside(struct vfs *fs, const char *path,
                      struct segment_reader *r, struct errmsg *em)
{
    char *broken = xasprintf("%s%s", path, BROKEN_SUFFIX);
    struct vfs_file *f;
    int rc = vfs_open(fs, broken, VFS_WRITE | VFS_CREATE | VFS_TRUNC, &f);

    if (rc == 0) {
        rc = copy_bytes(r, f);
        vfs_close(f);
    }
    if (rc < 0) {
        errmsg_set(em, rc, "copy %s to %s", path, broken);
    }
    xfree(broken);
    return rc;
}

int repair_cut(struct vfs *fs, const char *dir, struct segment_name name,
               struct segment_reader *r, uint64_t off, uint64_t bytes,
               struct errmsg *em)
{
    char *path = segment_path(dir, name);
    int rc = copy_aside(fs, path, r, em);

    ASSERT(off % RECORD_ALIGN == 0);
    if (rc < 0) {
        goto out_free;
    }
    rc = vfs_sync_dir(fs, dir);
    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", dir);
        goto out_free;
    }
    rc = vfs_truncate(r->file, off);
    if (rc == 0 && off < bytes) {
        rc = vfs_allocate(r->file, bytes);
    }
    if (rc == 0) {
        rc = vfs_datasync(r->file);
    }
    if (rc < 0) {
        errmsg_set(em, rc, "cut %s at offset %llu", path,
                   (unsigned long long)off);
    }
out_free:
    xfree(path);
    return rc;
}
