/* Snapshot files: written whole under another name, checked in full when read.
 *
 * A file gets its final name only after its bytes are synced, and counts only
 * after the directory is. A crash at any point therefore leaves the old state
 * and at most one file ending in .tmp, which the next open removes.
 *
 * Counterpart: etcd server/etcdserver/api/snap/snapshotter.go. */

#include "snap/snapshotter.h"

#include <errno.h>

#include "proto/snappb.h"
#include "src/base/alloc.h"
#include "src/base/bounds.h"
#include "src/base/crc32c.h"
#include "src/base/log.h"

#define SNAP_SUFFIX ".snap"
#define TMP_SUFFIX  ".snap.tmp"
#define SNAP_DIGITS ((size_t)16) /* of term and of index */
/* TERM-INDEX and the longest suffix. */
#define SNAP_NAME_MAX (2 * SNAP_DIGITS + 1 + sizeof(TMP_SUFFIX))

/* Term and index, as a file's name says them. */
struct snap_id {
    uint64_t term;
    uint64_t index;
};

/* --- names --- */

static void format_name(char *out, struct snap_id id, const char *suffix)
{
    int n = snprintf(out, SNAP_NAME_MAX, "%016" PRIx64 "-%016" PRIx64 "%s",
                     id.term, id.index, suffix);

    ASSERT(n > 0);
    ASSERT((size_t)n < SNAP_NAME_MAX);
}

static bool parse_hex(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < SNAP_DIGITS; i++) {
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

/* Whether `name` is exactly what format_name makes with this suffix. */
static bool parse_name(const char *name, const char *suffix, struct snap_id *id)
{
    return strlen(name) == 2 * SNAP_DIGITS + 1 + strlen(suffix) &&
           parse_hex(name, &id->term) && name[SNAP_DIGITS] == '-' &&
           parse_hex(name + SNAP_DIGITS + 1, &id->index) &&
           strcmp(name + 2 * SNAP_DIGITS + 1, suffix) == 0;
}

bool snapshot_name_parse(const char *name, uint64_t *term, uint64_t *index)
{
    struct snap_id id;

    if (!parse_name(name, SNAP_SUFFIX, &id)) {
        return false;
    }
    *term = id.term;
    *index = id.index;
    return true;
}

/* The path of the file, owned by the caller. */
static char *snap_path(const struct snapshotter *s, struct snap_id id,
                       const char *suffix)
{
    char name[SNAP_NAME_MAX];

    format_name(name, id, suffix);
    return vfs_join(s->dir, name);
}

/* --- life cycle --- */

void snapshotter_init(struct snapshotter *s, struct vfs *fs, const char *dir,
                      const struct logger *lg)
{
    ASSERT(fs != NULL);
    ASSERT(dir != NULL);
    *s = (struct snapshotter){.fs = fs, .lg = lg, .dir = xstrdup(dir)};
}

void snapshotter_release(struct snapshotter *s)
{
    xfree(s->dir);
    s->dir = NULL;
}

/* Make s->dir if it is missing. */
static int make_dir(struct snapshotter *s, struct errmsg *em)
{
    enum vfs_kind kind;
    int rc = vfs_stat(s->fs, s->dir, &kind);

    if (rc == -ENOENT) {
        rc = vfs_mkdir(s->fs, s->dir);
        return rc < 0 ? errmsg_set(em, rc, "create directory %s", s->dir) : 0;
    }
    if (rc == 0 && kind != VFS_DIR) {
        rc = -ENOTDIR;
    }
    return rc < 0 ? errmsg_set(em, rc, "open directory %s", s->dir) : 0;
}

/* A snapshot in a directory that a crash takes away would be no snapshot
 * [reliability 3.1]. Done also for a directory that was there: whoever made it
 * may have ended before its name was durable. */
static int sync_parent(struct snapshotter *s, struct errmsg *em)
{
    char *parent = vfs_parent(s->dir);
    int rc = vfs_sync_dir(s->fs, parent);

    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", parent);
    }
    xfree(parent);
    return rc;
}

/* Only names of our own making: the directory may hold foreign files. */
static int remove_temporary(struct snapshotter *s, struct errmsg *em)
{
    struct vfs_names names;
    int rc = vfs_list_sorted(s->fs, s->dir, &names);

    if (rc < 0) {
        return errmsg_set(em, rc, "list directory %s", s->dir);
    }
    for (size_t i = 0; i < names.n && rc == 0; i++) {
        struct snap_id id;

        if (!parse_name(names.names[i], TMP_SUFFIX, &id)) {
            continue;
        }
        char *path = snap_path(s, id, TMP_SUFFIX);
        rc = vfs_unlink(s->fs, path);
        if (rc < 0) {
            errmsg_set(em, rc, "remove %s", path);
        } else {
            log_info(s->lg, "removed unfinished snapshot file %s", path);
        }
        xfree(path);
    }
    vfs_names_release(&names);
    return rc;
}

int snapshotter_open(struct snapshotter *s, struct errmsg *em)
{
    int rc = make_dir(s, em);

    if (rc == 0) {
        rc = sync_parent(s, em);
    }
    if (rc == 0) {
        rc = remove_temporary(s, em);
    }
    return rc;
}

/* --- saving --- */

/* What goes into the file: the head, then the encoded snapshot. */
struct snap_image {
    uint8_t head[SNAPPB_HEAD_MAX];
    size_t head_len;
    uint8_t *data; /* owned */
    size_t data_len;
    uint32_t crc;
};

static void image_encode(struct snap_image *im,
                         const struct raft_snapshot *snap)
{
    im->data_len = raft_snapshot_size(snap);
    im->data = xmalloc(im->data_len);
    const uint8_t *end = raft_snapshot_encode(snap, im->data);
    ASSERT(end == im->data + im->data_len);
    im->crc = crc32c(0, im->data, im->data_len);
}

/* A CRC of 0 means "no CRC" to every reader. White space behind the JSON
 * document changes the CRC and nothing else [formats-snapshot 3]. */
static void image_init(struct snap_image *im, const struct raft_snapshot *snap)
{
    struct raft_snapshot *longer = NULL;

    image_encode(im, snap);
    while (im->crc == 0) {
        if (longer == NULL) {
            longer = raft_snapshot_copy(snap, NULL);
        }
        longer->data = xrealloc_array(longer->data, longer->len + 1, 1);
        longer->data[longer->len++] = ' ';
        xfree(im->data);
        image_encode(im, longer);
    }
    raft_snapshot_unref(longer);
    im->head_len = snappb_head_size(im->crc, im->data_len);
    ASSERT(im->head_len <= sizeof(im->head));
    const uint8_t *end = snappb_head_encode(im->head, im->crc, im->data_len);
    ASSERT(end == im->head + im->head_len);
}

static int write_file(struct vfs *fs, const char *path,
                      const struct snap_image *im, struct errmsg *em)
{
    struct iovec iov[] = {
        {(void *)(uintptr_t)im->head, im->head_len},
        {im->data, im->data_len},
    };
    struct vfs_file *f;
    int rc = vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNC, &f);

    if (rc < 0) {
        return errmsg_set(em, rc, "create %s", path);
    }
    rc = vfs_pwritev(f, iov, ARRAY_LEN(iov), 0);
    if (rc < 0) {
        errmsg_set(em, rc, "write %s", path);
        goto out;
    }
    rc = vfs_datasync(f);
    if (rc < 0) {
        errmsg_set(em, rc, "sync %s", path);
    }
out:;
    int closed = vfs_close(f);
    /* Some file systems tell of a lost write only now. */
    if (rc == 0 && closed < 0) {
        rc = errmsg_set(em, closed, "close %s", path);
    }
    return rc;
}

int snapshotter_save(struct snapshotter *s, const struct raft_snapshot *snap,
                     struct errmsg *em)
{
    struct snap_id id = {snap->term, snap->index};
    struct snap_image im;
    int rc;

    ASSERT(!raft_snapshot_is_empty(snap));
    if (raft_snapshot_size(snap) > SNAPSHOT_FILE_MAX - SNAPPB_HEAD_MAX - 1) {
        return errmsg_set(em, ERR_TOO_LARGE, "snapshot of %zu bytes",
                          raft_snapshot_size(snap));
    }
    image_init(&im, snap);
    char *tmp = snap_path(s, id, TMP_SUFFIX);
    char *path = snap_path(s, id, SNAP_SUFFIX);
    rc = write_file(s->fs, tmp, &im, em);
    if (rc < 0) {
        goto err_unlink;
    }
    rc = vfs_rename(s->fs, tmp, path);
    if (rc < 0) {
        errmsg_set(em, rc, "rename %s to %s", tmp, path);
        goto err_unlink;
    }
    /* If this fails the file has its name and may keep it or not; it has no
     * marker in the WAL, so nobody will ask for it. */
    rc = vfs_sync_dir(s->fs, s->dir);
    if (rc < 0) {
        errmsg_set(em, rc, "sync directory %s", s->dir);
    }
    goto out;

err_unlink:
    ASSERT(rc < 0);
    (void)vfs_unlink(s->fs, tmp); /* what is left, the next open removes */
out:
    xfree(path);
    xfree(tmp);
    xfree(im.data);
    return rc;
}

/* --- loading --- */

int snapshot_file_check(struct bytes file, uint64_t term, uint64_t index,
                        struct raft_snapshot **out, const char **why)
{
    struct snappb_snapshot outer;
    struct raft_snapshot *snap;

    *why = "the file is empty";
    if (file.len == 0) {
        return ERR_DAMAGED;
    }
    *why = "the outer message does not parse";
    if (snappb_decode(file, &outer) < 0) {
        return ERR_DAMAGED;
    }
    *why = "there is no data or no crc";
    if (outer.data.len == 0 || outer.crc == 0) {
        return ERR_DAMAGED;
    }
    *why = "crc mismatch";
    if (crc32c(0, outer.data.data, outer.data.len) != outer.crc) {
        return ERR_DAMAGED;
    }
    *why = "the snapshot does not parse";
    if (raft_snapshot_decode(outer.data, &snap) < 0) {
        return ERR_DAMAGED;
    }
    *why = "the content is of another term or index than the name";
    if (snap->term != term || snap->index != index) {
        raft_snapshot_unref(snap);
        return ERR_DAMAGED;
    }
    *out = snap;
    return 0;
}

/* Out of the way, but kept for whoever wants to look at it. */
static void set_aside(struct snapshotter *s, const char *path, const char *why)
{
    char *broken = xasprintf("%s.broken", path);
    int rc = vfs_rename(s->fs, path, broken);

    if (rc == 0) {
        rc = vfs_sync_dir(s->fs, s->dir);
    }
    if (rc < 0) {
        log_error(s->lg, "snapshot file %s is damaged (%s), renaming it: %s",
                  path, why, err_str(rc));
    } else {
        log_error(s->lg, "snapshot file %s is damaged (%s), renamed to %s",
                  path, why, broken);
    }
    xfree(broken);
}

int snapshotter_load(struct snapshotter *s, uint64_t term, uint64_t index,
                     struct raft_snapshot **out, struct errmsg *em)
{
    struct snap_id id = {term, index};
    char *path = snap_path(s, id, SNAP_SUFFIX);
    const char *why;
    uint8_t *data = NULL;
    size_t len = 0;
    int rc = vfs_read_file(s->fs, path, SNAPSHOT_FILE_MAX, &data, &len, em);

    if (rc == -ENOENT) {
        rc = errmsg_set(em, ERR_NO_SNAPSHOT, "%s", path);
    } else if (rc == 0) {
        rc = snapshot_file_check((struct bytes){data, len}, term, index, out,
                                 &why);
        if (rc < 0) {
            errmsg_set(em, rc, "%s: %s", path, why);
            set_aside(s, path, why);
        }
        xfree(data);
    }
    xfree(path);
    ASSERT(rc < 0 || (*out)->index == index);
    return rc;
}

/* --- purging --- */

/* The ids of all files at or below `index`, ascending; the caller frees the
 * array. `names` is sorted, and equal widths sort as numbers do. */
static struct snap_id *purgeable(const struct vfs_names *names, uint64_t index,
                                 size_t *n)
{
    struct snap_id *ids = xcalloc(names->n + 1, sizeof(*ids));

    *n = 0;
    for (size_t i = 0; i < names->n; i++) {
        struct snap_id id;

        if (parse_name(names->names[i], SNAP_SUFFIX, &id) &&
            id.index <= index) {
            ids[(*n)++] = id;
        }
    }
    ASSERT(*n <= names->n);
    return ids;
}

void snapshotter_purge(struct snapshotter *s, uint64_t index, size_t keep)
{
    struct vfs_names names;
    int rc = vfs_list_sorted(s->fs, s->dir, &names);

    if (rc < 0) {
        log_warn(s->lg, "purge snapshots: list directory %s: %s", s->dir,
                 err_str(rc));
        return;
    }
    size_t n;
    struct snap_id *ids = purgeable(&names, index, &n);
    for (size_t i = 0; i + keep < n; i++) {
        char *path = snap_path(s, ids[i], SNAP_SUFFIX);

        rc = vfs_unlink(s->fs, path);
        if (rc < 0) {
            log_warn(s->lg, "purge snapshots: remove %s: %s", path,
                     err_str(rc));
        } else {
            log_info(s->lg, "purged snapshot file %s", path);
        }
        xfree(path);
    }
    xfree(ids);
    vfs_names_release(&names);
}
