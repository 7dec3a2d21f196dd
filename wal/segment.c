/* Segments: names, making, reading.
 *
 * Counterpart: etcd server/storage/wal util.go, file_pipeline.go.
 * Differs: the next segment is made when it is needed, not ahead of time; a
 * left-over temporary file is truncated before use. */

#include "wal/segment.h"

#include <errno.h>
#include <inttypes.h>

#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/log.h"

#define NAME_DIGITS ((size_t)16)
#define TMP_NAME    "0.tmp"
/* Large enough that a read costs more than its call, small enough to stay in
 * the processor's cache while it is parsed. */
#define READ_BYTES (1 * MiB)

static_assert(SEGMENT_NAME_BYTES ==
                  2 * NAME_DIGITS + 1 + sizeof(SEGMENT_SUFFIX),
              "a name and its final 0 fit exactly");

/* --- names --- */

void segment_name_format(struct segment_name name, char out[SEGMENT_NAME_BYTES])
{
    int n = snprintf(out, SEGMENT_NAME_BYTES,
                     "%016" PRIx64 "-%016" PRIx64 SEGMENT_SUFFIX, name.seq,
                     name.index);

    ASSERT(n == SEGMENT_NAME_BYTES - 1);
}

static bool parse_hex(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < NAME_DIGITS; i++) {
        if (s[i] >= '0' && s[i] <= '9') {
            v = v << 4 | (uint64_t)(s[i] - '0');
        } else if (s[i] >= 'a' && s[i] <= 'f') {
            v = v << 4 | (uint64_t)(s[i] - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = v;
    return true;
}

bool segment_name_parse(const char *text, struct segment_name *out)
{
    return strlen(text) == SEGMENT_NAME_BYTES - 1 &&
           parse_hex(text, &out->seq) && text[NAME_DIGITS] == '-' &&
           parse_hex(text + NAME_DIGITS + 1, &out->index) &&
           strcmp(text + 2 * NAME_DIGITS + 1, SEGMENT_SUFFIX) == 0;
}

bool segment_name_ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);

    return n >= m && strcmp(name + n - m, suffix) == 0;
}

char *segment_path(const char *dir, struct segment_name name)
{
    char text[SEGMENT_NAME_BYTES];

    segment_name_format(name, text);
    return vfs_join(dir, text);
}

/* --- the list --- */

void segment_list_push(struct segment_list *l, struct segment_name name)
{
    if (l->len == l->cap) {
        l->cap = grow_cap(l->cap, l->len + 1);
        l->items = xrealloc_array(l->items, l->cap, sizeof(l->items[0]));
    }
    l->items[l->len++] = name;
}

void segment_list_drop_first(struct segment_list *l)
{
    ASSERT(l->len > 0);
    l->len--;
    memmove(l->items, l->items + 1, l->len * sizeof(l->items[0]));
}

void segment_list_release(struct segment_list *l)
{
    xfree(l->items);
    *l = (struct segment_list){0};
}

size_t segment_list_whole(const char *dir, const struct segment_list *l,
                          int *rc, struct errmsg *em)
{
    *rc = 0;
    if (l->len == 0) {
        *rc = errmsg_set(em, ERR_WAL_NOT_FOUND, "%s", dir);
    }
    for (size_t i = 0; i < l->len; i++) {
        struct segment_name name = l->items[i];

        /* Index 0 means "from the beginning", which only the first has. */
        if ((name.seq == 0) != (name.index == 0)) {
            *rc = errmsg_set(em, ERR_DAMAGED,
                             "%s: segment %016" PRIx64 " has the name of "
                             "index %" PRIu64,
                             dir, name.seq, name.index);
            return i;
        }
        if (i > 0 && name.seq != l->items[i - 1].seq + 1) {
            *rc = errmsg_set(em, ERR_DAMAGED,
                             "%s: segment %016" PRIx64 " is missing, the "
                             "next one is %016" PRIx64,
                             dir, l->items[i - 1].seq + 1, name.seq);
            return i;
        }
    }
    return l->len;
}

int segment_list_scan(struct vfs *fs, const char *dir, const struct logger *lg,
                      struct segment_list *out, struct errmsg *em)
{
    struct vfs_names names;
    struct segment_name name;
    int rc = vfs_list_sorted(fs, dir, &names);

    *out = (struct segment_list){0};
    if (rc < 0) {
        return errmsg_set(em, rc, "list %s", dir);
    }
    /* Fixed width and lower case: sorted by bytes is sorted by number. */
    for (size_t i = 0; i < names.n; i++) {
        if (segment_name_parse(names.names[i], &name)) {
            segment_list_push(out, name);
        } else if (segment_name_ends_in(names.names[i], SEGMENT_SUFFIX)) {
            log_warn(lg, "%s: ignored %s, which is no segment's name", dir,
                     names.names[i]);
        }
    }
    vfs_names_release(&names);
    return 0;
}

int segment_list_read(struct vfs *fs, const char *dir, const struct logger *lg,
                      struct segment_list *out, struct errmsg *em)
{
    int rc = segment_list_scan(fs, dir, lg, out, em);

    if (rc == 0) {
        (void)segment_list_whole(dir, out, &rc, em);
    }
    if (rc < 0) {
        segment_list_release(out);
    }
    return rc;
}

/* --- making one --- */

static int fill_new(struct vfs_file *file, const char *path, uint64_t bytes,
                    struct bytes head, struct errmsg *em)
{
    int rc = vfs_lock(file);

    if (rc < 0) {
        return errmsg_set(em, rc, "lock %s", path);
    }
    rc = vfs_allocate(file, bytes);
    if (rc < 0) {
        return errmsg_set(em, rc, "allocate %s", path);
    }
    rc = vfs_pwrite(file, head.data, head.len, 0);
    if (rc < 0) {
        return errmsg_set(em, rc, "write %s", path);
    }
    rc = vfs_datasync(file);
    if (rc < 0) {
        return errmsg_set(em, rc, "sync %s", path);
    }
    return 0;
}

int segment_create(struct vfs *fs, const char *dir, struct segment_name name,
                   uint64_t bytes, struct bytes head, struct vfs_file **out,
                   struct errmsg *em)
{
    char *tmp = vfs_join(dir, TMP_NAME);
    char *path = segment_path(dir, name);
    struct vfs_file *file = NULL;
    /* Truncated: a left-over may hold a longer header than ours. */
    int rc = vfs_open(fs, tmp,
                      VFS_WRITE | VFS_READ | VFS_CREATE | VFS_TRUNC | VFS_LOG,
                      &file);

    ASSERT(head.len > 0);
    if (rc < 0) {
        errmsg_set(em, rc, "create %s", tmp);
        goto out_free;
    }
    rc = fill_new(file, tmp, bytes, head, em);
    if (rc < 0) {
        goto err_unlink;
    }
    rc = vfs_rename(fs, tmp, path);
    if (rc < 0) {
        errmsg_set(em, rc, "rename %s to %s", tmp, path);
        goto err_unlink;
    }
    rc = vfs_sync_dir(fs, dir);
    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", dir);
        vfs_close(file);
        goto out_free;
    }
    *out = file;
    goto out_free;

err_unlink:
    ASSERT(rc < 0);
    vfs_close(file);
    vfs_unlink(fs, tmp);
out_free:
    xfree(path);
    xfree(tmp);
    return rc;
}

/* --- reading --- */

int segment_reader_init(struct segment_reader *r, struct vfs_file *file)
{
    int64_t size = vfs_size(file);

    if (size < 0) {
        return (int)size;
    }
    *r = (struct segment_reader){.file = file, .size = (uint64_t)size};
    r->cap = (size_t)min_u64((uint64_t)size, READ_BYTES);
    r->buf = xmalloc(r->cap);
    return 0;
}

void segment_reader_release(struct segment_reader *r)
{
    xfree(r->buf);
    *r = (struct segment_reader){0};
}

/* Make buf start at `off`, keeping what it has from there on, and fill it. */
static int refill(struct segment_reader *r, uint64_t off, size_t want)
{
    int64_t n;

    if (off >= r->off && off < r->off + r->len) {
        r->len -= (size_t)(off - r->off);
        memmove(r->buf, r->buf + (off - r->off), r->len);
    } else {
        r->len = 0;
    }
    r->off = off;
    if (want > r->cap) {
        ASSERT(want <= WAL_RECORD_MAX);
        r->cap = want;
        r->buf = xrealloc_array(r->buf, r->cap, 1);
    }
    n = vfs_pread(r->file, r->buf + r->len, r->cap - r->len, off + r->len);
    if (n < 0) {
        return (int)n;
    }
    r->len += (size_t)n;
    return 0;
}

int segment_reader_view(struct segment_reader *r, uint64_t off, size_t want,
                        struct bytes *out)
{
    ASSERT(off <= r->size);
    want = (size_t)min_u64(want, r->size - off);
    if (off < r->off || off + want > r->off + r->len) {
        int rc = refill(r, off, want);

        if (rc < 0) {
            return rc;
        }
        /* The file is locked, so it cannot have become shorter. */
        if (r->len < want) {
            return -EIO;
        }
    }
    *out = (struct bytes){r->buf + (off - r->off),
                          r->len - (size_t)(off - r->off)};
    return 0;
}

/* The length of `v` without the zeros at its end. */
static size_t trimmed(struct bytes v)
{
    /* All equal to the first, which is zero: one fast comparison of the bytes
     * with themselves shifted by one, as nearly all of a segment's reserved
     * space ends here. */
    if (v.data[0] == 0 && memcmp(v.data, v.data + 1, v.len - 1) == 0) {
        return 0;
    }
    while (v.data[v.len - 1] == 0) {
        v.len--;
    }
    return v.len;
}

int segment_reader_used(struct segment_reader *r, uint64_t off, uint64_t *out)
{
    struct bytes v;

    *out = off;
    while (off < r->size) {
        int rc = segment_reader_view(r, off, 1, &v);

        if (rc < 0) {
            return rc;
        }
        ASSERT(v.len > 0);
        size_t used = trimmed(v);
        if (used > 0) {
            *out = off + used;
        }
        off += v.len;
    }
    return 0;
}
